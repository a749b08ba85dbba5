//go:build integration

package postgres

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/kafka"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	infra "github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// newPool answers a pool on a database of its own. settings are those of its sessions.
func newPool(t *testing.T, settings ...string) *pgxpool.Pool {
	t.Helper()
	return configuredPool(t, func(cfg *pgxpool.Config) {
		cfg.MaxConns = 16
		for _, s := range settings {
			name, value, _ := strings.Cut(s, "=")
			cfg.ConnConfig.RuntimeParams[name] = value
		}
	})
}

// configuredPool answers a pool on a database of its own, whose sessions plan as the service's do, as
// configure makes it.
func configuredPool(t *testing.T, configure func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(testenv.PostgresURL(t))
	require.NoError(t, err)
	maps.Copy(cfg.ConnConfig.RuntimeParams, infra.Planning)
	configure(cfg)
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func newRepository(pool *pgxpool.Pool) *Repository {
	return NewRepository(pool, kafka.EncodeEvent, metrics.New(prometheus.NewRegistry()))
}

// underTest wraps a repository for the suite: time passes by moving what is stored.
func underTest(t *testing.T, pool *pgxpool.Pool) bookingtest.Repository {
	ctx := context.Background()
	return bookingtest.Repository{
		Repository: newRepository(pool),
		Advance: func(d time.Duration) {
			_, err := pool.Exec(ctx, `UPDATE bookings SET expires_at = expires_at - $1::interval WHERE status = 'held'`, d)
			require.NoError(t, err)
			_, err = pool.Exec(ctx, `UPDATE idempotency_keys SET created_at = created_at - $1::interval`, d)
			require.NoError(t, err)
		},
		Events: func(id string) []string { return outboxEvents(t, pool, id) },
	}
}

func outboxEvents(t *testing.T, pool *pgxpool.Pool, id string) []string {
	t.Helper()
	rows, err := pool.Query(context.Background(), `SELECT topic, booking_version FROM outbox WHERE key = $1 ORDER BY id`, id)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var topic string
		var version int
		err := row.Scan(&topic, &version)
		return fmt.Sprintf("%s/%d", topic, version), err
	})
	require.NoError(t, err)
	return list
}

func TestRepositorySuite(t *testing.T) {
	bookingtest.RepositorySuite(t, func(t *testing.T) bookingtest.Repository {
		pool := newPool(t)
		t.Cleanup(func() { testenv.RequireConsistent(t, pool) })
		return underTest(t, pool)
	})
}

// Runs share a database, which is emptied for each: that is quicker than a new one.
func TestRepositoryMachine(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	r := underTest(t, pool)
	open := func() bookingtest.Repository {
		_, err := pool.Exec(context.Background(), `
			WITH b AS (DELETE FROM bookings) DELETE FROM outbox`)
		require.NoError(t, err)
		return r
	}
	bookingtest.RepositoryMachine(t, open, func(t require.TestingT) { testenv.RequireConsistent(t, pool) })
}

// The end of a hold is decided by the database's clock, so the event must tell that one.
func TestHeldEventTellsTheDatabasesExpiry(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	n := bookingtest.New("v", "t1", 0)
	n.Booking.CustomerName = `"expires_at":"0" \ 🪟`
	_, err := newRepository(pool).CreateBooking(context.Background(), n)
	require.NoError(t, err)
	var expires int64
	var name string
	require.NoError(t, pool.QueryRow(context.Background(), `
		SELECT (payload_json->'held'->>'expires_at')::bigint, payload_json->>'customer_name' FROM booking_events`).Scan(&expires, &name))
	require.Equal(t, n.Booking.ExpiresAt.Unix(), expires)
	require.Equal(t, n.Booking.CustomerName, name)
}

// A hold that runs out while a confirm waits for the row's lock is not confirmed.
func TestConfirmReadsTheClockAfterTheLock(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	n := bookingtest.New("v", "t1", 0)
	n.HoldTTL = 300 * time.Millisecond
	_, err := repo.CreateBooking(ctx, n)
	require.NoError(t, err)

	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, `SELECT FROM bookings WHERE id = $1 FOR UPDATE`, n.Booking.ID)
	require.NoError(t, err)
	answer := make(chan error)
	go func() {
		_, _, err := repo.ChangeBooking(ctx, n.Booking.ID, dom.Change{To: dom.StatusConfirmed})
		answer <- err
	}()
	time.Sleep(400 * time.Millisecond)
	require.NoError(t, tx.Rollback(ctx))
	var refused *dom.TransitionError
	require.ErrorAs(t, <-answer, &refused)
	require.True(t, refused.HoldExpired)
}

// A create whose caller leaves is finished all the same, and its outcome known.
func TestCreateSurvivesItsCaller(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	repo := newRepository(pool)
	blocker, err := pool.Begin(context.Background())
	require.NoError(t, err)
	_, err = blocker.Exec(context.Background(), `LOCK TABLE booking_events IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	n := bookingtest.New("v", "t1", 0)
	answer := make(chan error)
	go func() {
		_, err := repo.CreateBooking(ctx, n)
		answer <- err
	}()
	time.Sleep(200 * time.Millisecond)
	cancel()
	require.NoError(t, blocker.Rollback(context.Background()))
	require.NoError(t, <-answer)
	_, err = repo.GetBooking(context.Background(), n.Booking.ID)
	require.NoError(t, err)
}

// A connection that breaks while a statement runs leaves its outcome unknown; asking again with the
// same booking finds out.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	kill := func() {
		_, err := pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		require.NoError(t, err)
	}
	for i := range 20 {
		n := bookingtest.New("v", fmt.Sprint("t", i), 0)
		_, err := repo.CreateBooking(ctx, n)
		require.NoError(t, err)
		kill()
		b, changed, err := repo.ChangeBooking(ctx, n.Booking.ID, dom.Change{To: dom.StatusConfirmed})
		require.NoError(t, err)
		require.True(t, changed)
		kill()
		got, err := repo.GetBooking(ctx, b.ID)
		require.NoError(t, err)
		require.Equal(t, dom.StatusConfirmed, got.Status)
	}
	testenv.RequireConsistent(t, pool)
}

// No more keys than asked for are removed by any plan. This one nests loops, as the planner does when it
// believes that there are few keys.
func TestOldKeysAreLimitedByAnyPlan(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t, "enable_hashjoin=off", "enable_mergejoin=off", "enable_hashagg=off", "enable_sort=off", "enable_material=off")
	r := underTest(t, pool)
	for i := range 5 {
		n := bookingtest.New("v", fmt.Sprint("t", i), 0)
		n.IdempotencyKey, n.RequestHash = fmt.Sprint("key-", i), []byte("hash")
		_, err := r.CreateBooking(ctx, n)
		require.NoError(t, err)
	}
	r.Advance(2 * time.Hour)
	for _, want := range []int{3, 2, 0} {
		deleted, err := r.DeleteOldKeys(ctx, time.Hour, 3)
		require.NoError(t, err)
		require.Equal(t, want, deleted)
	}
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	cfg, err := pgxpool.ParseConfig("postgres://nobody@127.0.0.1:1/none?connect_timeout=1")
	require.NoError(t, err)
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	require.NoError(t, err)
	defer pool.Close()
	repo := newRepository(pool)
	var away *dom.UnavailableError

	_, err = repo.GetBooking(context.Background(), "id")
	require.ErrorAs(t, err, &away)
	_, err = repo.CreateBooking(context.Background(), bookingtest.New("v", "t1", 0))
	require.ErrorAs(t, err, &away)
	_, _, err = repo.ChangeBooking(context.Background(), "id", dom.Change{To: dom.StatusConfirmed})
	require.ErrorAs(t, err, &away)
	require.Equal(t, dom.Postgres, away.Dependency)

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = repo.GetBooking(ended, "id")
	require.ErrorIs(t, err, context.Canceled)

}

// Two tables may have the same hash: they are still two tables, for creates and for who asks what is free.
func TestTablesOfTheSameHash(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), newPool(t)
	repo := newRepository(pool)
	twins := []string{"table-15923", "table-27368"}
	for _, table := range twins {
		n := bookingtest.New("venue-1", table, 0)
		taken, err := repo.TakenTables(ctx, "venue-1", twins[1:], n.Booking.Sitting)
		require.NoError(t, err)
		require.Empty(t, taken)
		_, err = repo.CreateBooking(ctx, n)
		require.NoError(t, err)
		_, err = repo.CreateBooking(ctx, bookingtest.New("venue-1", table, 1))
		require.ErrorIs(t, err, dom.ErrSlotTaken)
	}
	var hashes int
	require.NoError(t, pool.QueryRow(ctx, `SELECT count(DISTINCT place_hash) FROM table_occupancies`).Scan(&hashes))
	require.Equal(t, 1, hashes)
}
