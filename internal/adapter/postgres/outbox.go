package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

// EventRepository is the outbox in PostgreSQL, as its relay sees it.
type EventRepository struct {
	pool *pgxpool.Pool
	m    *metrics.Metrics
}

var _ dom.EventRepository = (*EventRepository)(nil)

// NewEventRepository answers the outbox behind pool. The caller closes the pool.
func NewEventRepository(pool *pgxpool.Pool, m *metrics.Metrics) *EventRepository {
	return &EventRepository{pool: pool, m: m}
}

// leaseShards does a round of leasing in one statement. Two relays cannot deadlock in it: `free`
// passes over rows that others have locked, and its limit reads `locked`, so that a relay waits for
// its own rows only before it locks anyone else's. A lapsed lease of one's own counts as taken anew,
// with a new epoch: another relay may have had it in between.
const leaseShards = `
WITH alive AS (
	INSERT INTO outbox_relays (owner, alive_until) VALUES ($1, now() + $2::interval)
	ON CONFLICT (owner) DO UPDATE SET alive_until = EXCLUDED.alive_until
), forgotten AS (
	DELETE FROM outbox_relays WHERE owner IN (
		SELECT owner FROM outbox_relays
		WHERE owner <> $1 AND alive_until < now() - interval '1 minute'
		FOR UPDATE SKIP LOCKED)
), fair AS (
	SELECT ceil($3::numeric / (1 + count(*)))::int AS share
	FROM outbox_relays WHERE owner <> $1 AND alive_until > now()
), locked AS MATERIALIZED (
	SELECT shard, leased_until > now() AS live FROM outbox_leases
	WHERE owner = $1 ORDER BY shard FOR UPDATE
), mine AS (
	SELECT shard, NOT live AS fresh,
		row_number() OVER (ORDER BY live DESC, shard) <= (SELECT share FROM fair) AS keep
	FROM locked
), free AS MATERIALIZED (
	SELECT shard FROM outbox_leases
	WHERE owner <> $1 AND leased_until <= now() ORDER BY shard
	LIMIT greatest(0, (SELECT share FROM fair) - (SELECT count(*) FROM locked))
	FOR UPDATE SKIP LOCKED
), wanted AS (
	SELECT shard, fresh, keep FROM mine
	UNION ALL
	SELECT shard, true, true FROM free
)
UPDATE outbox_leases l SET
	owner        = CASE WHEN w.keep THEN $1 ELSE '' END,
	epoch        = l.epoch + CASE WHEN w.keep AND w.fresh THEN 1 ELSE 0 END,
	leased_until = CASE WHEN w.keep THEN now() + $2::interval ELSE '-infinity' END
FROM wanted w WHERE l.shard = w.shard
RETURNING l.shard, l.epoch, w.keep`

// LeaseShards does what the port says.
func (r *EventRepository) LeaseShards(ctx context.Context, owner string, ttl time.Duration) ([]dom.Lease, error) {
	defer r.m.ObserveQuery("lease_shards", time.Now())
	rows, err := r.pool.Query(ctx, leaseShards, owner, ttl, dom.Shards)
	if err != nil {
		return nil, fmt.Errorf("lease shards: %w", asDomain(ctx, err))
	}
	var leases []dom.Lease
	var l dom.Lease
	var keep bool
	_, err = pgx.ForEachRow(rows, []any{&l.Shard, &l.Epoch, &keep}, func() error {
		if keep {
			leases = append(leases, l)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lease shards: %w", asDomain(ctx, err))
	}
	return leases, nil
}

// ReleaseShards does what the port says.
func (r *EventRepository) ReleaseShards(ctx context.Context, owner string) error {
	defer r.m.ObserveQuery("release_shards", time.Now())
	_, err := r.pool.Exec(ctx, `
		WITH gone AS (DELETE FROM outbox_relays WHERE owner = $1)
		UPDATE outbox_leases SET owner = '', leased_until = '-infinity' WHERE owner = $1`, owner)
	if err != nil {
		return fmt.Errorf("release shards: %w", asDomain(ctx, err))
	}
	return nil
}

// GetPendingOutbox does what the port says.
func (r *EventRepository) GetPendingOutbox(
	ctx context.Context, shards []int16, perShard int, except []string,
) ([]dom.OutboxMessage, error) {
	defer r.m.ObserveQuery("get_pending_outbox", time.Now())
	// One probe of idx_outbox_pending a shard, so that a long queue in one costs the others nothing.
	// NOT IN of a query and not <> ALL of the array: only the former is always hashed.
	rows, err := r.pool.Query(ctx, `
		SELECT o.id, o.shard, o.topic, o.key, o.payload, o.event_id, o.booking_version, o.traceparent, o.retry_count
		FROM unnest($1::smallint[]) AS s (shard)
		CROSS JOIN LATERAL (
			SELECT * FROM outbox
			WHERE status = 'pending' AND shard = s.shard AND key NOT IN (SELECT unnest($3::varchar[]))
			ORDER BY shard, id LIMIT $2
		) o`, shards, perShard, append([]string{}, except...))
	if err != nil {
		return nil, fmt.Errorf("get pending outbox: %w", asDomain(ctx, err))
	}
	messages, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m dom.OutboxMessage, err error) {
		err = row.Scan(&m.ID, &m.Shard, &m.Topic, &m.Key, &m.Payload, &m.EventID, &m.BookingVersion,
			&m.TraceParent, &m.RetryCount)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("get pending outbox: %w", asDomain(ctx, err))
	}
	return messages, nil
}

// MarkSent does what the port says.
func (r *EventRepository) MarkSent(ctx context.Context, owner string, leases []dom.Lease, ids []int64) (int, error) {
	defer r.m.ObserveQuery("mark_sent", time.Now())
	shards, epochs := make([]int16, len(leases)), make([]int64, len(leases))
	for i, l := range leases {
		shards[i], epochs[i] = l.Shard, l.Epoch
	}
	// "<> 'sent'" and not "= 'pending'": with the latter the planner may walk the whole index of
	// what is pending for each batch, when it believes that to be short.
	// Rows are locked in the order of their ids, as operators' commands do it, who may have chosen the same
	// ones just before they were retried.
	tag, err := r.pool.Exec(ctx, `
		WITH chosen AS MATERIALIZED (
			SELECT o.id FROM outbox o
			JOIN outbox_leases l ON l.shard = o.shard AND l.owner = $1
			JOIN unnest($2::smallint[], $3::bigint[]) AS held (shard, epoch) ON held.shard = l.shard AND held.epoch = l.epoch
			WHERE o.id = ANY ($4::bigint[]) AND o.status <> 'sent'
			ORDER BY o.id FOR UPDATE OF o
		)
		UPDATE outbox o SET status = 'sent', sent_at = now() FROM chosen WHERE o.id = chosen.id`,
		owner, shards, epochs, ids)
	if err != nil {
		return 0, fmt.Errorf("mark sent: %w", asDomain(ctx, err))
	}
	return int(tag.RowsAffected()), nil
}

// maxCause is how much of a cause is kept, in bytes.
const maxCause = 500

// MarkFailed does what the port says.
func (r *EventRepository) MarkFailed(
	ctx context.Context, owner string, lease dom.Lease, id int64, retryCount int, status dom.OutboxStatus, cause string,
) error {
	defer r.m.ObserveQuery("mark_failed", time.Now())
	if len(cause) > maxCause {
		cause = cause[:maxCause]
	}
	// The text comes from a broker; PostgreSQL takes neither a NUL nor half a character.
	cause = strings.ReplaceAll(strings.ToValidUTF8(cause, ""), "\x00", "")
	_, err := r.pool.Exec(ctx, `
		UPDATE outbox o SET status = $5, retry_count = $4, last_error = $6
		FROM outbox_leases l
		WHERE o.id = $3 AND o.status = 'pending'
			AND l.shard = o.shard AND l.owner = $1 AND l.epoch = $2`,
		owner, lease.Epoch, id, retryCount, string(status), cause)
	if err != nil {
		return fmt.Errorf("mark failed: %w", asDomain(ctx, err))
	}
	return nil
}

// maxCounted bounds the counting of pending events, so that a long outage of Kafka does not make it
// a burden on PostgreSQL: more pending events than this are told as this many.
const maxCounted = 1_000_000

// OutboxStats does what the port says; it counts up to a million pending events.
func (r *EventRepository) OutboxStats(ctx context.Context) (dom.OutboxStats, error) {
	defer r.m.ObserveQuery("outbox_stats", time.Now())
	var s dom.OutboxStats
	var oldest float64
	// The oldest event is the first of some shard: 64 probes of an index instead of a scan.
	err := r.pool.QueryRow(ctx, `
		SELECT
			(SELECT count(*) FROM (SELECT FROM outbox WHERE status = 'pending' LIMIT $2) p),
			(SELECT count(*) FROM outbox WHERE status = 'dlq'),
			coalesce((
				SELECT greatest(0, extract(epoch FROM now() - min(first.created_at)))
				FROM generate_series(0, $1::int - 1) AS s (shard)
				CROSS JOIN LATERAL (
					SELECT created_at FROM outbox
					WHERE status = 'pending' AND shard = s.shard ORDER BY shard, id LIMIT 1
				) first
			), 0)::float8`, dom.Shards, maxCounted).Scan(&s.Pending, &s.DLQ, &oldest)
	if err != nil {
		return dom.OutboxStats{}, fmt.Errorf("outbox stats: %w", asDomain(ctx, err))
	}
	s.OldestPending = time.Duration(oldest * float64(time.Second))
	return s, nil
}

// DeleteSent does what the port says.
func (r *EventRepository) DeleteSent(ctx context.Context, age time.Duration, after int64, limit int) (int, int64, error) {
	defer r.m.ObserveQuery("delete_sent", time.Now())
	var deleted int
	var next int64
	// Ids rise with time, so the walk may end at the first page that ends with a young row.
	err := r.pool.QueryRow(ctx, `
		WITH page AS MATERIALIZED (
			SELECT id, created_at, status = 'sent' AND sent_at < now() - $1::interval AS old
			FROM outbox WHERE id > $2 ORDER BY id LIMIT $3
		), last AS (
			SELECT id, created_at FROM page ORDER BY id DESC LIMIT 1
		), deleted AS (
			DELETE FROM outbox WHERE id IN (
				SELECT o.id FROM outbox o JOIN page p ON p.id = o.id AND p.old
				ORDER BY o.id FOR UPDATE OF o SKIP LOCKED)
			RETURNING 1
		)
		SELECT (SELECT count(*) FROM deleted),
			coalesce((
				SELECT id FROM last
				WHERE created_at < now() - $1::interval AND (SELECT count(*) FROM page) >= $3
			), 0)`, age, after, limit).Scan(&deleted, &next)
	if err != nil {
		return 0, 0, fmt.Errorf("delete sent: %w", asDomain(ctx, err))
	}
	return deleted, next, nil
}
