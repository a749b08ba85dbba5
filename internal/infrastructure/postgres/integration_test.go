//go:build integration

package postgres

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	"github.com/bookingcontrol/booker-booking-svc/migrations"
)

// options answers where the database of url is.
func options(t *testing.T, url string) Options {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	return Options{
		Host: cfg.Host, Port: int(cfg.Port), Database: cfg.Database, User: cfg.User, Password: cfg.Password,
		SSLMode: "prefer", MaxConns: 4,
	}
}

func newPool(t *testing.T, o Options) *pgxpool.Pool {
	t.Helper()
	pool, err := NewPool(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func requireVersion(t *testing.T, o Options, want int64) {
	t.Helper()
	version, err := SchemaVersion(t.Context(), newPool(t, o))
	require.NoError(t, err)
	require.Equal(t, want, version)
}

func TestSessionsThatPlanOnce(t *testing.T) {
	t.Parallel()
	o := options(t, testenv.EmptyPostgresURL(t))
	for once, want := range map[bool]string{true: "force_generic_plan", false: "auto"} {
		o.PlanOnce = once
		var mode string
		require.NoError(t, newPool(t, o).QueryRow(t.Context(), "SHOW plan_cache_mode").Scan(&mode))
		require.Equal(t, want, mode)
	}
}

// A server that has become a standby keeps no connection: the next may reach the new primary.
func TestConnectionsToAStandbyAreGivenUp(t *testing.T) {
	t.Parallel()
	o := options(t, testenv.EmptyPostgresURL(t))
	o.MaxConns = 1
	pool := newPool(t, o)
	_, err := pool.Exec(t.Context(), "CREATE TABLE t ()")
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "SET default_transaction_read_only = on")
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "DROP TABLE t")
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, readOnly, pg.Code)
	_, err = pool.Exec(t.Context(), "DROP TABLE t")
	require.NoError(t, err, "on another connection")
}

func TestSessionsHaveLimits(t *testing.T) {
	t.Parallel()
	pool := newPool(t, options(t, testenv.EmptyPostgresURL(t)))
	for name, want := range map[string]string{
		"lock_timeout": "3s", "statement_timeout": "5s", "idle_in_transaction_session_timeout": "5s",
		"TimeZone": "UTC", "application_name": "booking-svc",
	} {
		var value string
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&value))
		require.Equal(t, want, value, name)
	}
	require.Equal(t, int32(4), pool.Stat().MaxConns())
}

func TestStatementsThatTakeTooLongEnd(t *testing.T) {
	t.Parallel()
	pool := newPool(t, options(t, testenv.EmptyPostgresURL(t)))
	_, err := pool.Exec(t.Context(), "SET statement_timeout = '50ms'; SELECT pg_sleep(20)")
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "57014", pg.Code)
}

// Spans show the statement, and no value: those are customers' data. Not parallel: it sets the
// process's tracer.
func TestSpansHoldNoParameters(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	defer otel.SetTracerProvider(before)

	pool := newPool(t, options(t, testenv.EmptyPostgresURL(t)))
	ctx, span := provider.Tracer("test").Start(t.Context(), "request")
	var answer string
	require.NoError(t, pool.QueryRow(ctx, "SELECT $1::text", "Anna Karenina").Scan(&answer))
	span.End()

	sawStatement := false
	for _, s := range recorder.Ended() {
		require.NotContains(t, s.Name(), "Karenina")
		for _, a := range s.Attributes() {
			require.NotContains(t, a.Value.String(), "Karenina")
			sawStatement = sawStatement || a.Value.String() == "SELECT $1::text"
		}
	}
	require.True(t, sawStatement)
}

func TestMigrateUpDownUp(t *testing.T) {
	t.Parallel()
	o := options(t, testenv.EmptyPostgresURL(t))
	requireVersion(t, o, 0)
	list, err := MigrationStatus(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, list, migrations.Latest)
	require.False(t, list[0].Applied)
	requireVersion(t, o, 0)

	applied, err := MigrateUp(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, applied, migrations.Latest)
	require.Equal(t, Migration{1, "00001_bookings.sql", true}, applied[0])
	requireVersion(t, o, migrations.Latest)
	list, err = MigrationStatus(t.Context(), o)
	require.NoError(t, err)
	for _, m := range list {
		require.True(t, m.Applied, m.Name)
	}

	applied, err = MigrateUp(t.Context(), o)
	require.NoError(t, err)
	require.Empty(t, applied, "nothing is left to do")

	for range migrations.Latest {
		undone, err := MigrateDown(t.Context(), o)
		require.NoError(t, err)
		require.NotNil(t, undone)
	}
	undone, err := MigrateDown(t.Context(), o)
	require.NoError(t, err)
	require.Nil(t, undone, "the schema is empty")
	requireVersion(t, o, 0)

	applied, err = MigrateUp(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, applied, migrations.Latest)
}

// Replicas that start together may all migrate: each ends well, each migration runs once.
func TestReplicasMigrateAtOnce(t *testing.T) {
	t.Parallel()
	o := options(t, testenv.EmptyPostgresURL(t))
	const replicas = 8
	var wg sync.WaitGroup
	applied := make([]int, replicas)
	errs := make([]error, replicas)
	for i := range replicas {
		wg.Go(func() {
			list, err := MigrateUp(t.Context(), o)
			applied[i], errs[i] = len(list), err
		})
	}
	wg.Wait()
	total := 0
	for i := range replicas {
		require.NoError(t, errs[i])
		total += applied[i]
	}
	require.Equal(t, int(migrations.Latest), total)
	requireVersion(t, o, migrations.Latest)
}

// A migration waits for a lock for as long as it takes, where a call would give up, and a signal
// ends it.
func TestMigrationsHaveNoTimeLimit(t *testing.T) {
	t.Parallel()
	o := options(t, testenv.EmptyPostgresURL(t))
	db, err := openDB(o)
	require.NoError(t, err)
	defer db.Close()
	var limit string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT current_setting('statement_timeout')").Scan(&limit))
	require.Equal(t, "0", limit)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = MigrateUp(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := testenv.NewAuthority(t), testenv.NewAuthority(t)
	o := options(t, testenv.PgbouncerWithTLS(t, testenv.EmptyPostgresURL(t), ca))
	o.Pooled = true
	for _, test := range []struct {
		mode, ca, wrong string
	}{
		{"verify-full", ca.File, ""},
		{"verify-ca", ca.File, ""},
		{"require", "", ""},
		{"verify-full", other.File, "certificate"},
		{"verify-ca", other.File, "certificate"},
		{"verify-full", "", "certificate"},
		{"disable", "", "SSL required"},
	} {
		o.SSLMode, o.RootCert, o.Host = test.mode, test.ca, "localhost"
		err := newPool(t, o).Ping(t.Context())
		if test.wrong == "" {
			require.NoError(t, err, "%+v", test)
		} else {
			require.ErrorContains(t, err, test.wrong, "%+v", test)
		}
	}
}
