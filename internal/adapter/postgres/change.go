package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// ChangeBooking implements dom.Repository.
func (r *Repository) ChangeBooking(ctx context.Context, id string, c dom.Change) (b *dom.Booking, changed bool, err error) {
	defer r.metrics.ObserveQuery("change_booking", time.Now())
	var refused *dom.TransitionError
	// When it is repeated, the change may have been written by the first try: its event tells.
	var tried string
	err = r.writeRepeated(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		b, refused, changed = nil, nil, false
		return inTx(ctx, conn, func(tx *transaction) error {
			var now time.Time
			// The clock is read after the wait for the lock: a hold may run out meanwhile.
			tx.Queue(`
				WITH locked AS MATERIALIZED (SELECT `+columns+` FROM bookings WHERE id = $1 FOR UPDATE)
				SELECT `+columns+`, clock_timestamp() FROM locked`, id).Query(func(rows pgx.Rows) (err error) {
				if rows.Next() {
					b, err = scanBooking(rows, &now)
				}
				return err
			})
			if err := tx.send(ctx); err != nil {
				return err
			}
			if b == nil {
				return dom.ErrNotFound
			}
			event, err := b.Apply(c, now)
			switch {
			case err != nil && !errors.As(err, &refused):
				return err
			case event != nil:
				changed, tried = refused == nil, event.ID
				return r.writeChanges(tx, []*dom.Event{event})
			case tried != "":
				tx.Queue(`SELECT EXISTS (SELECT FROM booking_events WHERE id = $1)`, tried).QueryRow(func(row pgx.Row) error {
					return row.Scan(&changed)
				})
			}
			return nil
		})
	})
	switch {
	case errors.Is(err, dom.ErrNotFound):
		return nil, false, dom.ErrNotFound
	case err != nil:
		return nil, false, asDomain(ctx, err)
	case refused != nil && b.Status == dom.StatusExpired && refused.From == dom.StatusHeld:
		return b, false, refused
	case refused != nil:
		return nil, false, refused
	}
	return b, changed, nil
}

// sweepLock is the advisory lock of the one who expires overdue holds.
const sweepLock int64 = 0x73776565706572

// ExpireHolds implements dom.Repository.
func (r *Repository) ExpireHolds(ctx context.Context, limit int, origin dom.Origin) (expired []*dom.Booking, err error) {
	defer r.metrics.ObserveQuery("expire_holds", time.Now())
	err = r.write(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		return inTx(ctx, conn, func(tx *transaction) error {
			// The order is the index's: the longest overdue first, whatever the table's size. A second
			// sweep at the same time would hardly be done sooner, but take from the calls what the
			// first one leaves them.
			expired, err = r.expire(ctx, tx, origin, `
				SELECT `+columns+`, clock_timestamp() FROM bookings
				WHERE status = 'held' AND expires_at <= now() AND (SELECT pg_try_advisory_xact_lock($2))
				ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED`, limit, sweepLock)
			return err
		})
	})
	if err != nil {
		return nil, asDomain(ctx, err)
	}
	return expired, nil
}

// expire ends the overdue holds that a query locks, and answers them; what that writes is queued. The
// query answers them with the server's clock behind their columns.
func (r *Repository) expire(ctx context.Context, tx *transaction, origin dom.Origin, query string, args ...any) ([]*dom.Booking, error) {
	var expired []*dom.Booking
	var events []*dom.Event
	tx.Queue(query, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var now time.Time
			b, err := scanBooking(rows, &now)
			if err != nil {
				return err
			}
			if event := b.Expire(now, origin); event != nil {
				expired, events = append(expired, b), append(events, event)
			}
		}
		return nil
	})
	if err := tx.send(ctx); err != nil || len(events) == 0 {
		return nil, err
	}
	return expired, r.writeChanges(tx, events)
}

// writeChanges queues what writes bookings that the transaction has locked, as they are in their
// events, with the audit log and the outbox, and frees the tables of those that no longer need them.
func (r *Repository) writeChanges(tx *transaction, events []*dom.Event) error {
	n := len(events)
	var (
		ids, statuses, eventIDs, types, payloads, traces = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		updated                                          = make([]time.Time, n)
		versions                                         = make([]int32, n)
		shards                                           = make([]int16, n)
		frees                                            = make([]bool, n)
	)
	for i, e := range events {
		payload, err := r.encode(e)
		if err != nil {
			return err
		}
		b := &e.Booking
		ids[i], statuses[i], updated[i], versions[i] = b.ID, string(b.Status), b.UpdatedAt, int32(b.Version)
		frees[i] = !b.Status.Occupies()
		eventIDs[i], types[i], payloads[i] = e.ID, string(e.Type), string(payload)
		shards[i], traces[i] = dom.Shard(b.ID), e.Origin.TraceParent
	}
	tx.Queue(`
		WITH c AS (
			SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::timestamptz[], $4::int[], $5::bool[],
				$6::varchar[], $7::varchar[], $8::text[], $9::smallint[], $10::varchar[])
				AS c(id, status, updated_at, version, frees, event_id, type, payload, shard, traceparent)
		), b AS (
			UPDATE bookings b
			SET status = c.status, updated_at = c.updated_at, expires_at = NULL, version = c.version
			FROM c WHERE b.id = c.id
		), freed AS (
			DELETE FROM table_occupancies o USING c WHERE o.booking_id = c.id AND c.frees
		), e AS (
			INSERT INTO booking_events (id, booking_id, version, type, payload_json)
			SELECT event_id, id, version, type, payload::jsonb FROM c
		)
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, traceparent)
		SELECT shard, type, id, convert_to(payload, 'UTF8'), event_id, version, traceparent FROM c`,
		ids, statuses, updated, versions, frees, eventIDs, types, payloads, shards, traces)
	return nil
}
