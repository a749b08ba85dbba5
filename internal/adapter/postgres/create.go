package postgres

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// insertBooking writes a hold, its idempotency key, its row in the audit log and its event for as
// many rows as `taken` has: one or none. The parts of a statement share a snapshot and have no
// order, so each selects from what must come first. The hold's end is decided by the server's
// clock and put into the event here. createArgs are its parameters.
const insertBooking = `
b AS (
	INSERT INTO bookings (id, venue_id, room_id, table_id, date, start_time, end_time, starts_at,
		ends_at, time_zone, party_size, customer_name, customer_phone, comment, admin_id,
		joined_table_ids, joined_room_ids, status, created_at, updated_at, expires_at, version)
	SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
		$25, $26, 'held', now(), now(), now() + $16::interval, 1
	FROM taken
	RETURNING id, created_at, expires_at
), k AS (
	INSERT INTO idempotency_keys (venue_id, key, request_hash, booking_id)
	SELECT $2, $17, $18, b.id FROM b WHERE $17::varchar <> ''
), p AS (
	SELECT b.id, jsonb_set($19::jsonb, '{held,expires_at}',
		to_jsonb(floor(extract(epoch FROM b.expires_at))::bigint::text)) AS payload
	FROM b
), e AS (
	INSERT INTO booking_events (id, booking_id, version, type, payload_json, caller)
	SELECT $20, p.id, 1, $21::varchar, p.payload, $24 FROM p
), o AS (
	INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, traceparent)
	SELECT $22, $21::varchar, p.id, convert_to(p.payload::text, 'UTF8'), $20, 1, $23 FROM p
)
SELECT id, created_at, expires_at FROM b`

// createStatement does all of a create on one table: one round trip, one commit. No row back means
// that the table is taken: ON CONFLICT waits for a rival's commit, where a plain INSERT deadlocks
// when many rivals meet.
const createStatement = `
WITH taken AS (
	INSERT INTO table_occupancies (booking_id, venue_id, table_id, during)
	VALUES ($1, $2, $4, tstzrange($8, $9))
	ON CONFLICT ON CONSTRAINT table_occupancies_no_overlap DO NOTHING
	RETURNING 1
), ` + insertBooking

// insertStatement is the same for a booking whose occupancies are already written.
const insertStatement = `WITH taken AS (SELECT 1), ` + insertBooking

// occupy takes several tables in the order of their ids, so that two rivals for the same tables
// wait for each other in one direction only.
const occupy = `
INSERT INTO table_occupancies (booking_id, venue_id, table_id, during)
SELECT $1, $2, t, tstzrange($4, $5) FROM unnest($3::varchar[]) WITH ORDINALITY AS u(t, n) ORDER BY n
ON CONFLICT ON CONSTRAINT table_occupancies_no_overlap DO NOTHING`

// atVenue are the occupancies o of the venue $1. The range is that of the numbers which the index begins
// with (migration 3): without it, every entry of the index would be looked at.
const atVenue = `o.venue_id = $1 AND o.place_hash BETWEEN hashtext($1)::bigint << 32 AND (hashtext($1)::bigint << 32) + 4294967295`

// createAttempts bounds how often a create is tried whose obstacle is gone when it is looked at.
const createAttempts = 5

// errTaken says that an attempt met an occupied table.
var errTaken = errors.New("occupied")

// CreateBooking implements dom.Repository.
func (r *Repository) CreateBooking(ctx context.Context, n dom.NewBooking) (expired []*dom.Booking, err error) {
	defer r.metrics.ObserveQuery("create_booking", time.Now())
	args, err := r.createArgs(n)
	if err != nil {
		return nil, err
	}
	err = errAlone
	if len(n.Booking.Joined) == 0 {
		once := [][2]string{{n.Booking.ID}}
		if n.IdempotencyKey != "" {
			once = append(once, [2]string{n.Booking.VenueID, n.IdempotencyKey})
		}
		err = r.creates.do(ctx, newRow{n.Booking, args}, once...)
	}
	if taken := errors.Is(err, errTaken); taken || errors.Is(err, errAlone) {
		// The same create again finds what the first one wrote, and waits for it if it still runs.
		err = r.writeRepeated(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
			expired, err = r.create(ctx, conn, n, args, taken)
			return err
		})
	}
	return expired, createError(ctx, err)
}

func createError(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTaken):
		return dom.ErrSlotTaken
	case errors.As(err, &pg) && pg.Code == uniqueViolation && pg.ConstraintName == keysPrimaryKey:
		return dom.ErrKeyReused
	default:
		return asDomain(ctx, err)
	}
}

// create tries until the booking is written or a booking that is not overdue is found in its way.
// When its table was seen taken, it looks for that first.
func (r *Repository) create(ctx context.Context, conn *pgxpool.Conn, n dom.NewBooking, args []any, taken bool) (expired []*dom.Booking, err error) {
	joined, overdue := len(n.Booking.Joined) > 0, false
	for range createAttempts {
		switch {
		case taken:
			err, taken = errTaken, false
		case joined || overdue:
			expired, err = r.createInTx(ctx, conn, n, args)
		default:
			err = scanCreated(conn.QueryRow(ctx, createStatement, args...), n.Booking)
			if errors.Is(err, pgx.ErrNoRows) {
				err = errTaken
			}
		}
		if err == nil {
			return expired, nil
		}
		if !errors.Is(err, errTaken) && !repeatedCreate(err) {
			return nil, err
		}
		// What is in the way may be this very booking, a hold that is overdue, or gone by now.
		var mine, blocked bool
		if mine, blocked, overdue, err = r.obstacles(ctx, conn, n.Booking); err != nil {
			return nil, err
		}
		if mine {
			return nil, r.reload(ctx, conn, n.Booking)
		}
		if blocked {
			return nil, errTaken
		}
	}
	return nil, errTaken
}

// scanCreated reads what a create answers for a booking into it.
func scanCreated(row pgx.Row, b *dom.Booking) error {
	err := row.Scan(nil, &b.CreatedAt, &b.ExpiresAt)
	b.UpdatedAt = b.CreatedAt
	return err
}

// repeatedCreate tells whether a create failed because the same booking is already there.
func repeatedCreate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == uniqueViolation && pg.ConstraintName != keysPrimaryKey
}

// createInTx writes a booking on several tables, or one in whose way there are overdue holds: these
// are expired with it, or not at all.
func (r *Repository) createInTx(ctx context.Context, conn *pgxpool.Conn, n dom.NewBooking, args []any) (expired []*dom.Booking, err error) {
	b := n.Booking
	tables := b.Tables()
	sort.Strings(tables)
	err = inTx(ctx, conn, func(tx *transaction) error {
		expired, err = r.expire(ctx, tx, n.Origin, `
			SELECT `+columns+`, clock_timestamp() FROM bookings
			WHERE status = 'held' AND expires_at <= now() AND id IN (
				SELECT o.booking_id FROM table_occupancies o
				WHERE `+atVenue+` AND o.table_id = ANY ($2) AND o.during && tstzrange($3, $4))
			ORDER BY id FOR UPDATE`, b.VenueID, tables, b.Sitting.Start, b.Sitting.End)
		if err != nil {
			return err
		}
		var taken int64
		tx.Queue(occupy, b.ID, b.VenueID, tables, b.Sitting.Start, b.Sitting.End).Exec(func(tag pgconn.CommandTag) error {
			taken = tag.RowsAffected()
			return nil
		})
		if err := tx.send(ctx); err != nil {
			return err
		}
		if int(taken) < len(tables) {
			return errTaken
		}
		tx.Queue(insertStatement, args...).QueryRow(func(row pgx.Row) error { return scanCreated(row, b) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return expired, nil
}

// obstacles tells what keeps a booking from being written: itself, written before; a booking that
// occupies one of its tables; an overdue hold.
func (r *Repository) obstacles(ctx context.Context, conn *pgxpool.Conn, b *dom.Booking) (mine, blocked, overdue bool, err error) {
	err = conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM bookings WHERE id = $5),
			coalesce(bool_or(NOT late), false), coalesce(bool_or(late), false)
		FROM (
			SELECT b.status = 'held' AND b.expires_at <= now() AS late
			FROM table_occupancies o JOIN bookings b ON b.id = o.booking_id
			WHERE `+atVenue+` AND o.table_id = ANY ($2) AND o.during && tstzrange($3, $4)
		) w`, b.VenueID, b.Tables(), b.Sitting.Start, b.Sitting.End, b.ID).Scan(&mine, &blocked, &overdue)
	return mine, blocked, overdue, err
}

// reload reads a booking anew, into b.
func (r *Repository) reload(ctx context.Context, conn *pgxpool.Conn, b *dom.Booking) error {
	stored, err := scanBooking(conn.QueryRow(ctx, `SELECT `+columns+` FROM bookings WHERE id = $1`, b.ID))
	if err != nil {
		return err
	}
	*b = *stored
	return nil
}

// createArgs are the parameters of a create. Those that only joined tables have come last.
func (r *Repository) createArgs(n dom.NewBooking) ([]any, error) {
	b := n.Booking
	b.ExpiresAt = time.Time{}
	event := b.Held(n.Origin)
	payload, err := r.encode(event)
	if err != nil {
		return nil, err
	}
	end, err := endTime(b)
	if err != nil {
		return nil, err
	}
	joinedTables, joinedRooms := make([]string, len(b.Joined)), make([]string, len(b.Joined))
	for i, t := range b.Joined {
		joinedTables[i], joinedRooms[i] = t.TableID, t.RoomID
	}
	return []any{
		b.ID, b.VenueID, b.Table.RoomID, b.Table.TableID,
		b.Slot.Date, timeOfDay(b.Slot.Start), end, b.Sitting.Start, b.Sitting.End, b.TimeZone,
		b.PartySize, b.CustomerName, b.CustomerPhone, b.Comment, b.AdminID,
		n.HoldTTL, n.IdempotencyKey, n.RequestHash, string(payload), event.ID, string(event.Type),
		dom.Shard(b.ID), n.Origin.TraceParent, n.Origin.Caller,
		joinedTables, joinedRooms,
	}, nil
}
