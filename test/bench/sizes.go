package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// size is a database with a number of bookings.
type size struct {
	name string
	// bookings is how many there are, a tenth of them in the future; sent is how many events of the last
	// eight days are in the outbox, of which the service removes those of the first seven.
	bookings, sent int
	// db is for what PostgreSQL counts; nil until the database is filled.
	db *pgxpool.Pool
	// filled are the scans of each table until the service first ran on it.
	filled  map[string]int64
	removal removal
}

// past is how many of the bookings are finished: those that are read by id.
func (s *size) past() int { return s.bookings - s.bookings/10 }

func (s *size) close() {
	if s.db != nil {
		s.db.Close()
	}
}

// load makes the database, once.
func (b *bench) load(ctx context.Context, s *size) error {
	if s.db != nil {
		return nil
	}
	began := time.Now()
	db, err := b.Database(ctx, b.Binary, s.name)
	if err != nil {
		return err
	}
	config := db.Config()
	// Quicker without the triggers of foreign keys, which look for the booking of each row: it is there.
	config.ConnConfig.RuntimeParams["session_replication_role"] = "replica"
	loader, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	err = s.fill(ctx, loader)
	loader.Close() // a session tells its counts when it ends
	if err != nil {
		return fmt.Errorf("%d bookings: %w", s.bookings, err)
	}
	time.Sleep(settle)
	s.db = db
	s.filled, err = s.scans(ctx)
	fmt.Printf("%d bookings and %d sent events written in %.0f s\n", s.bookings, s.sent, time.Since(began).Seconds())
	return err
}

// fill writes finished bookings of three years and confirmed ones of the next two months, of up to 2,000
// venues, a venue's day of 500, and an event of each. Creates take tables of other venues than those with
// confirmed bookings.
func (s *size) fill(ctx context.Context, db *pgxpool.Pool) error {
	places := min(2000, max(venues, s.bookings/500))
	for _, part := range []struct {
		prefix, venue, status string
		version, count        int
		from                  time.Time
		days                  int
	}{
		{"019c0000", "bench-", "finished", 4, s.past(), firstDay.AddDate(-3, 0, 0), 3 * 365},
		{"019f0000", "later-", "confirmed", 2, s.bookings - s.past(), firstDay, 60},
	} {
		sittings := 1 + part.count/(places*tablesEach)
		_, err := db.Exec(ctx, book, pgx.NamedArgs{
			"prefix": part.prefix, "venue": part.venue, "venues": places, "tables": tablesEach, "zone": zone,
			"status": part.status, "version": part.version, "count": part.count,
			"day": part.from.Format(time.DateOnly), "step": max(2, part.days*24/sittings),
		})
		if err != nil {
			return err
		}
	}
	if err := fillDay(ctx, db); err != nil {
		return err
	}
	_, err := db.Exec(ctx, `
		INSERT INTO booking_events (id, booking_id, version, type, payload_json)
		SELECT 'e' || substr(id, 2), id, version, 'booking.' || status, jsonb_build_object('filler', repeat('x', 486)) FROM bookings`)
	if err != nil {
		return err
	}
	// In the order of time, as the service writes them.
	_, err = db.Exec(ctx, `
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, status, created_at, sent_at)
		SELECT n % 64, 'booking.finished', gen_random_uuid(), convert_to('{"filler": "' || repeat('x', 486) || '"}', 'UTF8'),
			gen_random_uuid(), 4, 'sent', at, at + interval '1 second'
		FROM generate_series(1, $1::int) n, LATERAL (SELECT now() - (1 - n / $1::float8) * interval '8 days') AS t(at)`, s.sent)
	if err != nil {
		return err
	}
	// What was written is on the disk before anything is measured.
	for _, statement := range []string{`VACUUM ANALYZE`, `CHECKPOINT`} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
