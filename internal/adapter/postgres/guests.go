package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// GuestData is what guests told of themselves: name, phone and comment of their bookings, wherever they are
// kept. Each of its methods may answer *dom.UnavailableError for Postgres.
//
// Only bookings that have ended are erased. They do not change any more, and have no new events, so that it is
// done step by step: first the events in the outbox; then, in one transaction, the bookings with their audit
// log, the hashes of the requests that made them, and the record that it was done. Broken off in between, it is
// found unfinished, as the bookings still tell. Events stay where they are, without what the guest told.
type GuestData struct {
	pool *pgxpool.Pool
}

// NewGuestData answers the guests' data behind pool. The caller closes the pool.
func NewGuestData(pool *pgxpool.Pool) *GuestData { return &GuestData{pool: pool} }

// Conditions on a booking, written as the index of migration 5 has them.
const (
	hasEnded = `status IN ('finished', 'cancelled', 'expired', 'no_show')`
	hasGuest = `(customer_name <> '' OR customer_phone <> '' OR comment <> '')`
)

// What an event, as JSON, tells of its guest; why a booking was cancelled is told freely. What is empty is
// left out, as protobuf JSON does it.
func tells(event string) string {
	return `(` + event + ` ?| '{customer_name,customer_phone}' OR ` + event + ` #> '{cancelled,reason}' IS NOT NULL)`
}

func untold(event string) string {
	return `(` + event + ` - '{customer_name,customer_phone}'::text[]) #- '{cancelled,reason}'`
}

// outboxEvent is an event o of the outbox as JSON.
const outboxEvent = `convert_from(o.payload, 'UTF8')::jsonb`

// eraseOutbox erases in the events `due`, which it locks in the order that the relay and the operators'
// commands have. An event that is being sent stays what it is, pending or not, and where it is.
var eraseOutbox = `UPDATE outbox o SET payload = convert_to((` + untold(outboxEvent) + `)::text, 'UTF8') FROM due WHERE o.id = due.id`

// eraseChosen erases in the bookings `chosen`, which are locked, for the reason $1. A key is written in the
// transaction of its booking, and so has its time; without its hash it is answered as used for another request.
var eraseChosen = `
erased AS (
	UPDATE bookings b SET customer_name = '', customer_phone = '', comment = '' FROM chosen c WHERE b.id = c.id
), log AS (
	UPDATE booking_events e SET payload_json = ` + untold(`e.payload_json`) + `
	FROM chosen c WHERE e.booking_id = c.id AND ` + tells(`e.payload_json`) + `
), hashes AS (
	UPDATE idempotency_keys k SET request_hash = '' FROM chosen c WHERE k.created_at = c.created_at AND k.booking_id = c.id
), record AS (
	INSERT INTO guest_erasures (reason, booking_ids) SELECT $1, array_agg(id ORDER BY id) FROM chosen HAVING count(*) > 0
)
SELECT id FROM chosen ORDER BY id`

// EraseDue erases what is told in bookings that ended longer ago than age, at most limit, and answers how many
// they were. Those that another caller works on are passed over.
func (g *GuestData) EraseDue(ctx context.Context, age time.Duration, limit int) (int, error) {
	// The limit is written out: what a plan for any limit takes for likely would read whole tables.
	ids, err := g.erase(ctx, `
		WITH chosen AS MATERIALIZED (
			SELECT id, created_at FROM bookings
			WHERE `+hasEnded+` AND `+hasGuest+` AND updated_at < now() - $2::interval
			ORDER BY updated_at LIMIT `+strconv.Itoa(limit)+` FOR UPDATE SKIP LOCKED
		), `+eraseChosen, "retention", age)
	return len(ids), err
}

// EraseDueEvents erases what is told in the events of bookings that ended longer ago than age, reading at most
// limit events with an id above after. It answers in how many, and the id to go on after, 0 when there is
// nothing more. Events that somebody works on are passed over.
func (g *GuestData) EraseDueEvents(ctx context.Context, age time.Duration, after int64, limit int) (erased int, next int64, err error) {
	size := strconv.Itoa(limit)
	// Ids rise with time, so the walk may end at the first page that ends with a young event: mostly the first,
	// as sent events are removed sooner.
	err = g.pool.QueryRow(ctx, `
		WITH page AS MATERIALIZED (
			SELECT id, key, created_at < now() - $1::interval AS old FROM outbox WHERE id > $2 ORDER BY id LIMIT `+size+`
		), due AS MATERIALIZED (
			SELECT o.id FROM page p JOIN bookings b ON b.id = p.key JOIN outbox o ON o.id = p.id
			WHERE p.old AND b.`+hasEnded+` AND b.updated_at < now() - $1::interval AND `+tells(outboxEvent)+`
			ORDER BY o.id FOR UPDATE OF o SKIP LOCKED
		), erased AS (
			`+eraseOutbox+` RETURNING 1
		)
		SELECT (SELECT count(*) FROM erased),
			coalesce((SELECT id FROM page WHERE old AND (SELECT count(*) FROM page) = `+size+`
				AND id = (SELECT max(id) FROM page)), 0)`, age, after).Scan(&erased, &next)
	if err != nil {
		return 0, 0, fmt.Errorf("erase guests' data in the outbox: %w", asDomain(ctx, err))
	}
	return erased, next, nil
}

// maxCountedUnended bounds the counting of CountUnended.
const maxCountedUnended = 10_000

// CountUnended counts the bookings whose sitting was over longer ago than age, and that nobody has ended: what
// their guests told is not erased. It counts up to ten thousand.
func (g *GuestData) CountUnended(ctx context.Context, age time.Duration) (n int, err error) {
	err = g.pool.QueryRow(ctx, `
		SELECT count(*) FROM (
			SELECT FROM bookings WHERE status IN ('held', 'confirmed', 'seated') AND ends_at < now() - $1::interval
			LIMIT `+strconv.Itoa(maxCountedUnended)+`) b`, age).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count bookings that nobody has ended: %w", asDomain(ctx, err))
	}
	return n, nil
}

// GuestBooking is a booking whose guest wants to be forgotten.
type GuestBooking struct {
	ID      string
	VenueID string
	// Date is the local date of the sitting.
	Date   time.Time
	Status dom.Status
	// Tells is whether it has any of the guest's data.
	Tells bool
}

const guestColumns = `id, venue_id, date, status, ` + hasGuest

func scanGuestBookings(rows pgx.Rows, more ...any) ([]GuestBooking, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (b GuestBooking, err error) {
		err = row.Scan(append([]any{&b.ID, &b.VenueID, &b.Date, &b.Status, &b.Tells}, more...)...)
		return b, err
	})
}

// guestPage is how many rows of a table are read at a time: few enough for a disk that is slow.
const guestPage = "10000"

// FindByID answers a booking, none when there is none.
func (g *GuestData) FindByID(ctx context.Context, id string) (found []GuestBooking, err error) {
	rows, err := g.pool.Query(ctx, `SELECT `+guestColumns+` FROM bookings WHERE id = $1`, id)
	if err == nil {
		found, err = scanGuestBookings(rows)
	}
	if err != nil {
		return nil, fmt.Errorf("find a booking: %w", asDomain(ctx, err))
	}
	return found, nil
}

// FindByPhone answers the bookings with a phone number of these digits, however it is written, by their ids. It
// reads every booking, page by page: no index is kept for it.
func (g *GuestData) FindByPhone(ctx context.Context, digits string) (found []GuestBooking, err error) {
	for after := ""; ; {
		var page []GuestBooking
		err := patiently(ctx, g.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(ctx context.Context, tx pgx.Tx) error {
			// The last of the page comes as well, to go on after it.
			rows, err := tx.Query(ctx, `
				WITH page AS MATERIALIZED (
					SELECT `+guestColumns+` AS tells, regexp_replace(customer_phone, '[^0-9]', '', 'g') = $2 AS meant
					FROM bookings WHERE id > $1 ORDER BY id LIMIT `+guestPage+`
				)
				SELECT id, venue_id, date, status, tells, meant FROM page
				WHERE meant OR id = (SELECT max(id) FROM page) ORDER BY id`, after, digits)
			if err != nil {
				return err
			}
			var meant bool
			page, err = scanGuestBookings(rows, &meant)
			if n := len(page); n > 0 {
				after = page[n-1].ID
				if !meant {
					page = page[:n-1]
				}
			} else {
				after = ""
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("find bookings by phone: %w", err)
		}
		found = append(found, page...)
		if after == "" {
			return found, nil
		}
	}
}

// eraseBatch is how many bookings are erased in one transaction.
const eraseBatch = 100

// Erase erases what is told in those of the bookings that have ended, and answers the ids of those that told
// something, also together with an error. It reads the whole outbox, page by page.
func (g *GuestData) Erase(ctx context.Context, ids []string) (erased []string, err error) {
	if err := g.eraseEvents(ctx, ids); err != nil {
		return nil, err
	}
	for batch := range slices.Chunk(ids, eraseBatch) {
		// In the order in which changes of several bookings lock them.
		done, err := g.erase(ctx, `
			WITH chosen AS MATERIALIZED (
				SELECT id, created_at FROM bookings
				WHERE id = ANY ($2) AND `+hasEnded+` AND `+hasGuest+` ORDER BY id FOR UPDATE
			), `+eraseChosen, "request", batch)
		if err != nil {
			return erased, err
		}
		erased = append(erased, done...)
	}
	return erased, nil
}

// eraseEvents erases what is told in the outbox's events of those of the bookings that have ended.
func (g *GuestData) eraseEvents(ctx context.Context, bookings []string) error {
	for after, more := int64(0), true; more; {
		err := patiently(ctx, g.pool, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
			return tx.QueryRow(ctx, `
				WITH page AS MATERIALIZED (
					SELECT id, key FROM outbox WHERE id > $1 ORDER BY id LIMIT `+guestPage+`
				), due AS MATERIALIZED (
					SELECT o.id FROM page p JOIN bookings b ON b.id = p.key JOIN outbox o ON o.id = p.id
					WHERE p.key = ANY ($2) AND b.`+hasEnded+` AND `+tells(outboxEvent)+` ORDER BY o.id FOR UPDATE OF o
				), erased AS (
					`+eraseOutbox+`
				)
				SELECT coalesce(max(id), 0), count(*) > 0 FROM page`, after, bookings).Scan(&after, &more)
		})
		if err != nil {
			return fmt.Errorf("erase guests' data in the outbox: %w", err)
		}
	}
	return nil
}

// erase runs a statement that erases, and answers the bookings' ids.
func (g *GuestData) erase(ctx context.Context, statement string, args ...any) (ids []string, err error) {
	rows, err := g.pool.Query(ctx, statement, args...)
	if err == nil {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, fmt.Errorf("erase guests' data: %w", asDomain(ctx, err))
	}
	return ids, nil
}
