package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// changing is a change on its way.
type changing struct {
	id     string
	change dom.Change
	// What came of it: the booking as it is now, nil when there is none; why it was refused, although its
	// hold was perhaps expired; whether anything was changed as asked.
	booking *dom.Booking
	refused *dom.TransitionError
	changed bool
	// tried is the id of the event that an attempt has written, and refusal what it came to, if it was
	// committed: when the change is repeated, the event tells.
	tried   string
	refusal *dom.TransitionError
}

// ChangeBooking implements dom.Repository.
func (r *Repository) ChangeBooking(ctx context.Context, id string, change dom.Change) (b *dom.Booking, changed bool, err error) {
	defer r.metrics.ObserveQuery("change_booking", time.Now())
	c := &changing{id: id, change: change}
	if err = r.changes.do(ctx, c, [2]string{id}); errors.Is(err, errAlone) {
		err = r.writeRepeated(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
			return inTx(ctx, conn, func(tx *transaction) error { return r.changeTogether(ctx, tx, []*changing{c}) })
		})
	}
	switch refused := c.refused; {
	case err != nil:
		return nil, false, asDomain(ctx, err)
	case c.booking == nil:
		return nil, false, dom.ErrNotFound
	case refused != nil && c.booking.Status == dom.StatusExpired && refused.From == dom.StatusHeld:
		return c.booking, false, refused
	case refused != nil:
		return nil, false, refused
	}
	return c.booking, c.changed, nil
}

// changeGathered runs one batch of changes.
func (r *Repository) changeGathered(waiting context.Context, take func() []*member[*changing]) error {
	return runBatch(waiting, r.pool, take, func(conn *pgxpool.Conn, batch []*member[*changing]) error {
		changes := make([]*changing, len(batch))
		for i, m := range batch {
			changes[i] = m.work
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), writeTimeout)
		defer cancel()
		return inTx(ctx, conn, func(tx *transaction) error {
			tx.Queue(impatience)
			return r.changeTogether(ctx, tx, changes)
		})
	})
}

// changeTogether locks bookings, in the order of their ids, applies the rules to each, and queues what
// that writes.
func (r *Repository) changeTogether(ctx context.Context, tx *transaction, changes []*changing) error {
	ids, byID := make([]string, len(changes)), make(map[string]*changing, len(changes))
	for i, c := range changes {
		c.booking, c.refused, c.changed = nil, nil, false
		ids[i], byID[c.id] = c.id, c
	}
	var now time.Time
	// The clock is read after the wait for the locks: a hold may run out meanwhile.
	tx.Queue(`
		WITH locked AS MATERIALIZED (SELECT `+columns+` FROM bookings WHERE id = ANY ($1) ORDER BY id FOR UPDATE)
		SELECT `+columns+`, clock_timestamp() FROM locked`, ids).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			b, err := scanBooking(rows, &now)
			if err != nil {
				return err
			}
			byID[b.ID].booking = b
		}
		return nil
	})
	if err := tx.send(ctx); err != nil {
		return err
	}
	var events []*dom.Event
	for _, c := range changes {
		if c.booking == nil {
			continue
		}
		event, err := c.booking.Apply(c.change, now)
		switch {
		case err != nil && !errors.As(err, &c.refused):
			return err
		case event != nil:
			c.changed, c.tried, c.refusal = c.refused == nil, event.ID, c.refused
			events = append(events, event)
		case c.tried != "":
			tx.Queue(`SELECT EXISTS (SELECT FROM booking_events WHERE id = $1)`, c.tried).QueryRow(func(row pgx.Row) error {
				// The booking may have been changed again since: what counts is what the first attempt came to.
				var written bool
				err := row.Scan(&written)
				if written {
					c.changed, c.refused = c.refusal == nil, c.refusal
				}
				return err
			})
		}
	}
	if len(events) == 0 {
		return nil
	}
	return r.writeChanges(tx, events)
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
		ids, statuses, eventIDs, types, payloads, traces, askers = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		updated                                                  = make([]time.Time, n)
		versions                                                 = make([]int32, n)
		shards                                                   = make([]int16, n)
		frees                                                    = make([]bool, n)
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
		shards[i], traces[i], askers[i] = dom.Shard(b.ID), e.Origin.TraceParent, e.Origin.Caller
	}
	tx.Queue(`
		WITH c AS (
			SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::timestamptz[], $4::int[], $5::bool[],
				$6::varchar[], $7::varchar[], $8::text[], $9::smallint[], $10::varchar[], $11::varchar[])
				AS c(id, status, updated_at, version, frees, event_id, type, payload, shard, traceparent, caller)
		), b AS (
			UPDATE bookings b
			SET status = c.status, updated_at = c.updated_at, expires_at = NULL, version = c.version
			FROM c WHERE b.id = c.id
		), freed AS (
			DELETE FROM table_occupancies o USING c WHERE o.booking_id = c.id AND c.frees
		), e AS (
			INSERT INTO booking_events (id, booking_id, version, type, payload_json, caller)
			SELECT event_id, id, version, type, payload::jsonb, caller FROM c
		)
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, traceparent)
		SELECT shard, type, id, convert_to(payload, 'UTF8'), event_id, version, traceparent FROM c`,
		ids, statuses, updated, versions, frees, eventIDs, types, payloads, shards, traces, askers)
	return nil
}
