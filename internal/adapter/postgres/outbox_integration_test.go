//go:build integration

package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

func openOutbox(t *testing.T) (*EventRepository, *pgxpool.Pool) {
	t.Helper()
	pool := newPool(t)
	return NewEventRepository(pool, metrics.New(prometheus.NewRegistry())), pool
}

func TestEventRepository(t *testing.T) {
	t.Parallel()
	bookingtest.EventRepositorySuite(t, func(t *testing.T) bookingtest.EventRepository {
		_, pool := openOutbox(t)
		return outboxUnderTest(t, pool)
	})
}

// outboxUnderTest wraps a repository for the suite: time passes by moving what is stored.
func outboxUnderTest(t *testing.T, pool *pgxpool.Pool) bookingtest.EventRepository {
	ctx := context.Background()
	return bookingtest.EventRepository{
		EventRepository: NewEventRepository(pool, metrics.New(prometheus.NewRegistry())),
		Add: func(m dom.OutboxMessage) (id int64) {
			require.NoError(t, pool.QueryRow(ctx, `
					INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, traceparent)
					VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
				m.Shard, m.Topic, m.Key, m.Payload, m.EventID, m.BookingVersion, m.TraceParent).Scan(&id))
			return id
		},
		Advance: func(d time.Duration) {
			for _, statement := range []string{
				`UPDATE outbox SET created_at = created_at - $1::interval, sent_at = sent_at - $1::interval`,
				`UPDATE outbox_leases SET leased_until = leased_until - $1::interval WHERE leased_until > '-infinity'`,
				`UPDATE outbox_relays SET alive_until = alive_until - $1::interval`,
			} {
				_, err := pool.Exec(ctx, statement, d)
				require.NoError(t, err)
			}
		},
	}
}

// The relay asks many times a second, beside an outbox that may be long and may just have been
// filled, with no statistics yet: its statements must go by their indexes.
func TestOutboxUsesItsIndexes(t *testing.T) {
	t.Parallel()
	r, pool := openOutbox(t)
	ctx := context.Background()
	_, err := pool.Exec(ctx, `
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version)
		SELECT n % 64, 'booking.held', 'b' || n, convert_to(repeat('x', 500), 'UTF8'), 'e' || n, 1
		FROM generate_series(1, 50000) n`)
	require.NoError(t, err)
	leases, err := r.LeaseShards(ctx, "a", time.Minute)
	require.NoError(t, err)

	shards := make([]int16, 16)
	for i := range shards {
		shards[i] = int16(4 * i)
	}
	for pass := range 20 {
		began := time.Now()
		messages, err := r.GetPendingOutbox(ctx, shards, 31, nil)
		require.NoError(t, err)
		require.Len(t, messages, 16*31)
		ids := make([]int64, len(messages))
		for i, m := range messages {
			ids[i] = m.ID
		}
		n, err := r.MarkSent(ctx, "a", leases, ids)
		require.NoError(t, err)
		require.Equal(t, len(ids), n)
		require.Less(t, time.Since(began), time.Second, "pass %d", pass)
	}

	stats := func() (scans, index int64) {
		require.NoError(t, pool.QueryRow(ctx, `
			SELECT seq_tup_read, coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'outbox'`,
		).Scan(&scans, &index))
		return scans, index
	}
	// The server tells its counters a little later.
	require.Eventually(t, func() bool {
		_, index := stats()
		return index >= 20*2*16*31
	}, 10*time.Second, 50*time.Millisecond)
	scanned, fetched := stats()
	require.Zero(t, scanned, "rows read by scanning the table")
	require.Less(t, fetched, int64(3*20*2*16*31), "rows fetched by index")
}

func TestMarkFailedKeepsTheCause(t *testing.T) {
	t.Parallel()
	r, pool := openOutbox(t)
	ctx := context.Background()
	var id int64
	require.NoError(t, pool.QueryRow(ctx, `
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version)
		VALUES (7, 'booking.held', 'b', '', 'e', 1) RETURNING id`).Scan(&id))
	leases, err := r.LeaseShards(ctx, "a", time.Minute)
	require.NoError(t, err)
	var lease dom.Lease
	for _, l := range leases {
		if l.Shard == 7 {
			lease = l
		}
	}
	cause := "refused\x00: " + strings.Repeat("ы", 400)
	require.NoError(t, r.MarkFailed(ctx, "a", lease, id, 4, dom.OutboxDLQ, cause))
	var status, kept string
	var retries int
	require.NoError(t, pool.QueryRow(ctx, `SELECT status, retry_count, last_error FROM outbox WHERE id = $1`, id).
		Scan(&status, &retries, &kept))
	require.Equal(t, "dlq", status)
	require.Equal(t, 4, retries)
	require.True(t, strings.HasPrefix(kept, "refused: ы"), "%q", kept)
	require.LessOrEqual(t, len(kept), 500)
}

func TestOutboxWithoutPostgres(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://nobody@127.0.0.1:1/nothing?connect_timeout=2")
	require.NoError(t, err)
	defer pool.Close()
	r := NewEventRepository(pool, metrics.New(prometheus.NewRegistry()))
	_, leaseErr := r.LeaseShards(ctx, "a", time.Second)
	_, pendingErr := r.GetPendingOutbox(ctx, []int16{1}, 1, nil)
	_, sentErr := r.MarkSent(ctx, "a", nil, []int64{1})
	_, statsErr := r.OutboxStats(ctx)
	_, _, deleteErr := r.DeleteSent(ctx, time.Hour, 0, 1)
	for name, err := range map[string]error{
		"lease":   leaseErr,
		"release": r.ReleaseShards(ctx, "a"),
		"pending": pendingErr,
		"sent":    sentErr,
		"failed":  r.MarkFailed(ctx, "a", dom.Lease{}, 1, 1, dom.OutboxPending, ""),
		"stats":   statsErr,
		"delete":  deleteErr,
	} {
		var away *dom.UnavailableError
		require.ErrorAs(t, err, &away, name)
		require.Equal(t, dom.Postgres, away.Dependency, name)
	}
}
