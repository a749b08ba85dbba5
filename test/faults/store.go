package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bookingcontrol/booker-booking-svc/test/delivery"
)

// stored is a booking as the database has it in the end.
type stored struct {
	ID, Table, Date, Status, AdminID string
	Joined                           []string
	// From and Minutes are the sitting, in minutes since local midnight.
	From, Minutes int
	Party         int32
	Version       int
	// Expires is when its hold ran out, since the beginning of the run, from its first event.
	Expires time.Duration
	Events  []stampedEvent
	// Keys are the idempotency keys that it was made under.
	Keys []string
}

// stampedEvent is a row of the audit log.
type stampedEvent struct {
	ID, Type, AdminID string
	Version           int
	// At is when its transaction began, by the database's clock, since the beginning of the run.
	At      time.Duration
	Payload []byte
}

// becomes is the state that an event tells of.
func (e stampedEvent) becomes() string { return e.Type[len("booking."):] }

// store is what the database holds.
type store struct {
	bookings map[string]*stored
	byKey    map[string]*stored
}

// written are the events of all bookings.
func (s *store) written() (all []delivery.Written) {
	for _, b := range s.bookings {
		for _, e := range b.Events {
			all = append(all, delivery.Written{ID: e.ID, BookingID: b.ID, Type: e.Type, Version: e.Version, Payload: e.Payload})
		}
	}
	return all
}

// readStore reads all bookings with their events.
func readStore(ctx context.Context, db interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, began time.Time) (*store, error) {
	s := &store{bookings: make(map[string]*stored), byKey: make(map[string]*stored)}
	rows, err := db.Query(ctx, `
		SELECT id, table_id, joined_table_ids, to_char(date, 'YYYY-MM-DD'), extract(epoch FROM start_time)::int / 60,
			extract(epoch FROM ends_at - starts_at)::int / 60, status, admin_id, party_size, version FROM bookings`)
	if err != nil {
		return nil, err
	}
	b := stored{}
	_, err = pgx.ForEachRow(rows, []any{
		&b.ID, &b.Table, &b.Joined, &b.Date, &b.From, &b.Minutes, &b.Status, &b.AdminID, &b.Party, &b.Version,
	}, func() error {
		copied := b
		b.Joined = nil
		s.bookings[b.ID] = &copied
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err = db.Query(ctx, `
		SELECT id, booking_id, type, version, ts, payload_json::text,
			coalesce(payload_json -> split_part(type, '.', 2) ->> 'admin_id', ''),
			coalesce((payload_json -> 'held' ->> 'expires_at')::bigint, 0)
		FROM booking_events ORDER BY booking_id, version`)
	if err != nil {
		return nil, err
	}
	var e stampedEvent
	var bookingID, payload string
	var at time.Time
	var expires int64
	_, err = pgx.ForEachRow(rows, []any{&e.ID, &bookingID, &e.Type, &e.Version, &at, &payload, &e.AdminID, &expires}, func() error {
		e.At, e.Payload = at.Sub(began), []byte(payload)
		b := s.bookings[bookingID]
		b.Events = append(b.Events, e)
		if expires > 0 {
			b.Expires = time.Unix(expires, 0).Sub(began)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err = db.Query(ctx, `SELECT key, booking_id FROM idempotency_keys`)
	if err != nil {
		return nil, err
	}
	var key string
	_, err = pgx.ForEachRow(rows, []any{&key, &bookingID}, func() error {
		s.byKey[key] = s.bookings[bookingID]
		s.bookings[bookingID].Keys = append(s.bookings[bookingID].Keys, key)
		return nil
	})
	return s, err
}
