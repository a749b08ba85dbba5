package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// OutboxAdmin is the outbox in PostgreSQL, as an operator sees it. Each of its methods may answer
// *dom.UnavailableError for Postgres. None answers an event's payload, a guest's data, but Payload.
type OutboxAdmin struct {
	pool *pgxpool.Pool
}

// NewOutboxAdmin answers the outbox behind pool. The caller closes the pool.
func NewOutboxAdmin(pool *pgxpool.Pool) *OutboxAdmin { return &OutboxAdmin{pool: pool} }

const (
	// readTimeout bounds a reading, also when the network swallows the answer. It is long, since the
	// outbox is: counting two million events takes some ten seconds on a busy machine of two cores.
	readTimeout = time.Minute
	// changeTimeout bounds the change of a page.
	changeTimeout = 10 * time.Second
	// changePage is how many events one statement changes: few enough for the pool's
	// statement_timeout, and for a relay that wants to go on.
	changePage = 1000
)

// OutboxEvent is an event in the outbox, without its payload.
type OutboxEvent struct {
	// ID is the row's; EventID is what consumers see.
	ID             int64
	EventID        string
	Shard          int16
	Topic          string
	BookingID      string
	BookingVersion int
	Status         dom.OutboxStatus
	// RetryCount counts the failures that were the event's own fault, LastError is the last of them.
	RetryCount int
	LastError  string
	CreatedAt  time.Time
	// SentAt is zero unless the event is sent.
	SentAt time.Time
	// Age is the time since CreatedAt by the database's clock.
	Age time.Duration
	// PayloadSize is in bytes.
	PayloadSize int
}

// eventColumns are those that scanEvent reads. now() is the transaction's: ages of one answer agree.
const eventColumns = `id, event_id, shard, topic, key, booking_version, status, retry_count, last_error, created_at,
	coalesce(sent_at, 'epoch'), greatest(0, extract(epoch FROM now() - created_at))::float8, octet_length(payload)`

func scanEvent(row pgx.CollectableRow) (e OutboxEvent, err error) {
	var age float64
	err = row.Scan(&e.ID, &e.EventID, &e.Shard, &e.Topic, &e.BookingID, &e.BookingVersion, &e.Status, &e.RetryCount,
		&e.LastError, &e.CreatedAt, &e.SentAt, &age, &e.PayloadSize)
	e.Age = seconds(age)
	if e.Status != dom.OutboxSent {
		e.SentAt = time.Time{}
	}
	return e, err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// OutboxFilter chooses events. Its zero value chooses all.
type OutboxFilter struct {
	Topic     string
	BookingID string
	// OlderThan is the least age.
	OlderThan time.Duration
}

// List answers the events of these states that the filter chooses, by rising id, at most limit; 0 is
// no limit.
func (a *OutboxAdmin) List(
	ctx context.Context, statuses []dom.OutboxStatus, f OutboxFilter, limit int,
) (events []OutboxEvent, err error) {
	err = a.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		events = nil
		for _, status := range statuses {
			// One status a statement: "status = $1" is planned with its value, and so with the
			// partial index of that status, where "status = ANY" reads the whole table.
			rows, err := tx.Query(ctx, `
				SELECT `+eventColumns+` FROM outbox
				WHERE status = $1 AND ($2 = '' OR topic = $2) AND ($3 = '' OR key = $3)
					AND ($4::interval = '0' OR created_at <= now() - $4::interval)
				ORDER BY id LIMIT nullif($5::bigint, 0)`, string(status), f.Topic, f.BookingID, f.OlderThan, limit)
			if err != nil {
				return err
			}
			if events, err = pgx.AppendRows(events, rows, scanEvent); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list outbox: %w", err)
	}
	slices.SortFunc(events, func(a, b OutboxEvent) int { return cmp.Compare(a.ID, b.ID) })
	if limit > 0 && len(events) > limit {
		events = events[:limit]
	}
	return events, nil
}

// Find answers those of the events that are in the outbox, whatever their state, by rising id.
func (a *OutboxAdmin) Find(ctx context.Context, ids []int64) (events []OutboxEvent, err error) {
	err = a.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+eventColumns+` FROM outbox WHERE id = ANY ($1) ORDER BY id`, ids)
		if err != nil {
			return err
		}
		events, err = pgx.CollectRows(rows, scanEvent)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find in outbox: %w", err)
	}
	return events, nil
}

// Payload answers the payload of an event, which holds a guest's data: common.BookingEvent as
// protobuf JSON. It is nil when the event is not in the outbox.
func (a *OutboxAdmin) Payload(ctx context.Context, id int64) (payload []byte, err error) {
	err = a.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT payload FROM outbox WHERE id = $1`, id).Scan(&payload)
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read outbox payload: %w", err)
	}
	return payload, nil
}

// Rows are locked in one order, so that two operators who choose the same events wait for each other
// instead of ending in a deadlock; the second one then finds them changed. last_error stays, as it
// does with the specification's manual UPDATE: it tells what the event failed of before.
const (
	retryEvents = `
		WITH chosen AS MATERIALIZED (
			SELECT id FROM outbox WHERE id = ANY ($1) AND status = 'dlq' ORDER BY id FOR UPDATE
		)
		UPDATE outbox o SET status = 'pending', retry_count = 0
		FROM chosen c WHERE o.id = c.id RETURNING o.id`
	discardEvents = `
		WITH chosen AS MATERIALIZED (
			SELECT id FROM outbox WHERE id = ANY ($1) AND status = 'dlq' ORDER BY id FOR UPDATE
		)
		DELETE FROM outbox o USING chosen c WHERE o.id = c.id RETURNING o.id`
)

// Retry makes events pending again, with no failure counted, as far as they are dlq at that moment.
// It answers the ids of those that it changed, also together with an error.
func (a *OutboxAdmin) Retry(ctx context.Context, ids []int64) ([]int64, error) {
	return a.change(ctx, "retry events", retryEvents, ids)
}

// Discard removes events from the outbox, as far as they are dlq at that moment; booking_events keeps
// them. It answers the ids of those that it removed, also together with an error.
func (a *OutboxAdmin) Discard(ctx context.Context, ids []int64) ([]int64, error) {
	return a.change(ctx, "discard events", discardEvents, ids)
}

func (a *OutboxAdmin) change(ctx context.Context, name, statement string, ids []int64) (changed []int64, err error) {
	for page := range slices.Chunk(ids, changePage) {
		done, err := a.changePage(ctx, statement, page)
		if err != nil {
			return changed, fmt.Errorf("%s: %w", name, asDomain(ctx, err))
		}
		changed = append(changed, done...)
	}
	slices.Sort(changed)
	return changed, nil
}

func (a *OutboxAdmin) changePage(ctx context.Context, statement string, ids []int64) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	rows, err := a.pool.Query(ctx, statement, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// snapshot reads in one transaction, at one moment, so that an event that changes its state meanwhile is seen once.
func (a *OutboxAdmin) snapshot(ctx context.Context, read func(context.Context, pgx.Tx) error) error {
	return patiently(ctx, a.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, read)
}

// patiently runs a transaction of a command, for at most readTimeout.
func patiently(ctx context.Context, pool *pgxpool.Pool, o pgx.TxOptions, work func(context.Context, pgx.Tx) error) error {
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := pgx.BeginTxFunc(limited, pool, o, func(tx pgx.Tx) error {
		// The pool's own limit is that of a call, which nobody waits for at a terminal.
		if _, err := tx.Exec(limited, `SET LOCAL statement_timeout = '1min'`); err != nil {
			return err
		}
		return work(limited, tx)
	})
	return asDomain(ctx, err)
}
