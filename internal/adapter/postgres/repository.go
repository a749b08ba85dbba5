// Package postgres keeps bookings, their audit log and the outbox in PostgreSQL.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

// Repository implements the domain's Repository.
type Repository struct {
	pool    *pgxpool.Pool
	encode  dom.EventEncoder
	metrics *metrics.Metrics
	creates *gatherer[newRow]
	changes *gatherer[*changing]
	finds   *gatherer[*finding]
}

var _ dom.Repository = (*Repository)(nil)

// NewRepository answers a repository on pool. encode writes events as the outbox keeps them.
func NewRepository(pool *pgxpool.Pool, encode dom.EventEncoder, m *metrics.Metrics) *Repository {
	r := &Repository{pool: pool, encode: encode, metrics: m}
	r.creates = &gatherer[newRow]{run: r.createGathered}
	r.changes = &gatherer[*changing]{run: r.changeGathered}
	r.finds = &gatherer[*finding]{run: r.findGathered, reads: true}
	return r
}

// FindByKey implements dom.Repository.
func (r *Repository) FindByKey(ctx context.Context, venueID, key string) (b *dom.Booking, hash []byte, err error) {
	err = r.read(ctx, "find_by_key", func(conn *pgxpool.Conn) error {
		b, err = scanBooking(conn.QueryRow(ctx, `
			SELECT `+columns+`, request_hash
			FROM (SELECT booking_id, request_hash FROM idempotency_keys WHERE venue_id = $1 AND key = $2) k
			JOIN bookings ON id = booking_id`, venueID, key), &hash)
		return err
	})
	return b, hash, err
}

// ListBookings implements dom.Repository.
func (r *Repository) ListBookings(ctx context.Context, f dom.BookingFilters) (list []*dom.Booking, total int, err error) {
	where, args := listFilter(f)
	err = r.read(ctx, "list_bookings", func(conn *pgxpool.Conn) error {
		list = make([]*dom.Booking, 0, f.Limit)
		batch := &pgx.Batch{}
		batch.Queue(`SELECT count(*) FROM bookings`+where, args...).QueryRow(func(row pgx.Row) error {
			return row.Scan(&total)
		})
		page := fmt.Sprintf(` ORDER BY starts_at, id LIMIT %d OFFSET %d`, f.Limit, f.Offset)
		batch.Queue(`SELECT `+columns+` FROM bookings`+where+page, args...).Query(func(rows pgx.Rows) error {
			list, err = scanBookings(rows)
			return err
		})
		return conn.SendBatch(ctx, batch).Close()
	})
	return list, total, err
}

func listFilter(f dom.BookingFilters) (where string, args []any) {
	var conditions []string
	and := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	if f.VenueID != "" {
		and("venue_id = $%d", f.VenueID)
	}
	if !f.Date.IsZero() {
		and("date = $%d", f.Date)
	}
	if f.Status != "" {
		// Written out: a plan for any state cannot use the index of those bookings that are not over.
		conditions = append(conditions, "status = '"+strings.ReplaceAll(string(f.Status), "'", "''")+"'")
	}
	if f.TableID != "" {
		// The second half repeats the predicate of the partial index on joined tables.
		and("(table_id = $%[1]d OR (joined_table_ids <> '{}' AND joined_table_ids @> ARRAY[$%[1]d]::varchar[]))", f.TableID)
	}
	if len(conditions) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conditions, " AND "), args
}

// TakenTables implements dom.Repository.
func (r *Repository) TakenTables(ctx context.Context, venueID string, tableIDs []string, during dom.Sitting) (taken map[string]bool, err error) {
	err = r.read(ctx, "check_table_availability", func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `
			SELECT DISTINCT o.table_id
			FROM table_occupancies o JOIN bookings b ON b.id = o.booking_id
			WHERE `+atVenue+` AND o.table_id = ANY ($2) AND o.during && tstzrange($3, $4)
			  AND NOT (b.status = 'held' AND b.expires_at <= now())`,
			venueID, tableIDs, during.Start, during.End)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		taken = make(map[string]bool, len(ids))
		for _, id := range ids {
			taken[id] = true
		}
		return err
	})
	return taken, err
}

// VenueZone implements dom.Repository.
func (r *Repository) VenueZone(ctx context.Context, venueID string) (zone string, err error) {
	err = r.read(ctx, "venue_zone", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT time_zone FROM bookings WHERE venue_id = $1
			ORDER BY date DESC, start_time DESC LIMIT 1`, venueID).Scan(&zone)
	})
	return zone, err
}

// LongestOverdue implements dom.Repository. It reads the first entry of the index that the sweep reads.
func (r *Repository) LongestOverdue(ctx context.Context) (longest time.Duration, err error) {
	err = r.read(ctx, "longest_overdue", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT coalesce((
				SELECT clock_timestamp() - expires_at FROM bookings
				WHERE status = 'held' AND expires_at <= now() ORDER BY expires_at LIMIT 1
			), interval '0')`).Scan(&longest)
	})
	return longest, err
}

// DeleteOldKeys implements dom.Repository.
func (r *Repository) DeleteOldKeys(ctx context.Context, age time.Duration, limit int) (deleted int, err error) {
	err = r.read(ctx, "delete_old_keys", func(conn *pgxpool.Conn) error {
		// Materialized: as a mere subquery it may run once a row, and passes the limit then.
		tag, err := conn.Exec(ctx, `
			WITH old AS MATERIALIZED (
				SELECT venue_id, key FROM idempotency_keys WHERE created_at < now() - $1::interval
				ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
			)
			DELETE FROM idempotency_keys k USING old WHERE k.venue_id = old.venue_id AND k.key = old.key`, age, limit)
		deleted = int(tag.RowsAffected())
		return err
	})
	return deleted, err
}

// read runs a statement that may be repeated, and repeats it once when its connection turns out to
// be dead, as the pooled ones are after a restart of the server.
func (r *Repository) read(ctx context.Context, operation string, fn func(*pgxpool.Conn) error) error {
	defer r.metrics.ObserveQuery(operation, time.Now())
	err := r.pool.AcquireFunc(ctx, fn)
	if err != nil && ctx.Err() == nil && connectionLost(err) {
		err = r.pool.AcquireFunc(ctx, fn)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return dom.ErrNotFound
	}
	return asDomain(ctx, err)
}

// writeTimeout bounds a write that goes on although its caller has gone. It is longer than the
// server's own limits for a statement.
const writeTimeout = 8 * time.Second

// write runs a change on a connection that the caller waited for, but not under the caller's
// cancellation: breaking off a statement half way would leave its outcome unknown.
func (r *Repository) write(ctx context.Context, fn func(context.Context, *pgxpool.Conn) error) error {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return &notStarted{err}
	}
	defer conn.Release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return fn(ctx, conn)
}

// writeRepeated runs a change that finds what it wrote when it is repeated, and repeats it once when
// its outcome is unknown.
func (r *Repository) writeRepeated(ctx context.Context, fn func(context.Context, *pgxpool.Conn) error) error {
	err := r.write(ctx, fn)
	if err != nil && repeatable(err) {
		err = r.write(ctx, fn)
	}
	return err
}

// notStarted marks the failure of a change that has not reached the server.
type notStarted struct{ error }

func (e *notStarted) Unwrap() error { return e.error }

// repeatable tells whether a change that failed with err, and that finds what it wrote when it is
// repeated, should be: the connection broke, the server may have committed it or not, or it
// was the victim of a deadlock.
func repeatable(err error) bool {
	var no *notStarted
	if errors.As(err, &no) {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == deadlockDetected) {
		return true
	}
	return connectionLost(err)
}
