package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// gatheredStatement is createStatement for many bookings, of which each has one table: its parameters
// are arrays of what createArgs are, without those of joined tables. It answers the bookings that are
// written. Tables and keys are taken in order, so that two batches wait for each other in one
// direction only; the caller has sorted the bookings.
const gatheredStatement = `
WITH n AS (
	SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::varchar[], $4::varchar[], $5::date[],
		$6::time[], $7::time[], $8::timestamptz[], $9::timestamptz[], $10::varchar[], $11::int[],
		$12::varchar[], $13::varchar[], $14::text[], $15::varchar[], $16::interval[], $17::varchar[],
		$18::bytea[], $19::jsonb[], $20::varchar[], $21::varchar[], $22::smallint[], $23::varchar[], $24::varchar[])
		WITH ORDINALITY AS n(id, venue_id, room_id, table_id, date, start_time, end_time, starts_at,
		ends_at, time_zone, party_size, customer_name, customer_phone, comment, admin_id, hold_ttl,
		key, request_hash, payload, event_id, type, shard, traceparent, caller, place)
), taken AS (
	INSERT INTO table_occupancies (booking_id, venue_id, table_id, during)
	SELECT id, venue_id, table_id, tstzrange(starts_at, ends_at) FROM n ORDER BY place
	ON CONFLICT ON CONSTRAINT table_occupancies_no_overlap DO NOTHING
	RETURNING booking_id
), b AS (
	INSERT INTO bookings (id, venue_id, room_id, table_id, date, start_time, end_time, starts_at,
		ends_at, time_zone, party_size, customer_name, customer_phone, comment, admin_id,
		joined_table_ids, joined_room_ids, status, created_at, updated_at, expires_at, version)
	SELECT id, venue_id, room_id, table_id, date, start_time, end_time, starts_at,
		ends_at, time_zone, party_size, customer_name, customer_phone, comment, admin_id,
		'{}', '{}', 'held', now(), now(), now() + hold_ttl, 1
	FROM n JOIN taken ON booking_id = id
	RETURNING id, created_at, expires_at
), k AS (
	INSERT INTO idempotency_keys (venue_id, key, request_hash, booking_id)
	SELECT venue_id, key, request_hash, id FROM n JOIN b USING (id) WHERE key <> '' ORDER BY venue_id, key
), p AS (
	SELECT id, event_id, type, shard, traceparent, caller, jsonb_set(payload, '{held,expires_at}',
		to_jsonb(floor(extract(epoch FROM expires_at))::bigint::text)) AS payload
	FROM n JOIN b USING (id)
), e AS (
	INSERT INTO booking_events (id, booking_id, version, type, payload_json, caller)
	SELECT event_id, id, 1, type, payload, caller FROM p
), o AS (
	INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, traceparent)
	SELECT shard, type, id, convert_to(payload::text, 'UTF8'), event_id, 1, traceparent FROM p
)
SELECT id, created_at, expires_at FROM b`

// newRow is a booking on its way through a batch, with its createArgs.
type newRow struct {
	booking *dom.Booking
	args    []any
}

// gatheredArgs is how many parameters the statement has.
const gatheredArgs = 24

// impatience, set for the transaction alone: who meets a table that somebody holds for long must not
// hold up the others of the batch. It is shorter than the server waits before it looks for deadlocks.
const impatience = `SELECT set_config('lock_timeout', '100ms', true)`

// createGathered runs one batch of the gatherer.
func (r *Repository) createGathered(waiting context.Context, take func() []*member[newRow]) error {
	return runBatch(waiting, r.pool, take, func(conn *pgxpool.Conn, batch []*member[newRow]) error {
		r.metrics.CreatesGathered(len(batch))
		ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), writeTimeout)
		defer cancel()
		written, err := createBatch(ctx, conn, batch)
		if err != nil {
			return err
		}
		for _, m := range batch {
			if times, ok := written[m.work.booking.ID]; ok {
				b := m.work.booking
				b.CreatedAt, b.UpdatedAt, b.ExpiresAt = times[0], times[0], times[1]
			} else {
				m.err = errTaken
			}
		}
		return nil
	})
}

// createBatch writes the bookings whose tables are free, in one transaction and one round trip, and
// answers when each was created and expires.
func createBatch(ctx context.Context, conn *pgxpool.Conn, batch []*member[newRow]) (map[string][2]time.Time, error) {
	statement, args := createStatement, batch[0].work.args // The fastest for one.
	if len(batch) > 1 {
		slices.SortFunc(batch, func(a, b *member[newRow]) int {
			return cmp.Or(cmp.Compare(a.work.booking.VenueID, b.work.booking.VenueID),
				cmp.Compare(a.work.booking.Table.TableID, b.work.booking.Table.TableID),
				a.work.booking.Sitting.Start.Compare(b.work.booking.Sitting.Start))
		})
		statement, args = gatheredStatement, columnsOf(batch)
	}
	written := make(map[string][2]time.Time, len(batch))
	pipeline := &pgx.Batch{}
	pipeline.Queue(impatience)
	pipeline.Queue(statement, args...).Query(func(rows pgx.Rows) error {
		var id string
		var created, expires time.Time
		_, err := pgx.ForEachRow(rows, []any{&id, &created, &expires}, func() error {
			written[id] = [2]time.Time{created, expires}
			return nil
		})
		return err
	})
	// It is committed when all is read.
	return written, conn.SendBatch(ctx, pipeline).Close()
}

// columnsOf turns the parameters of single creates into those of all.
func columnsOf(batch []*member[newRow]) []any {
	columns := make([]any, gatheredArgs)
	for i := range columns {
		column := make(pgtype.FlatArray[any], len(batch))
		for j, m := range batch {
			column[j] = m.work.args[i]
		}
		columns[i] = column
	}
	return columns
}
