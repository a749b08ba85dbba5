//go:build integration

package postgres

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

func slowOptions(t *testing.T, threshold time.Duration, log *testenv.Buffer) Options {
	t.Helper()
	o := options(t, testenv.EmptyPostgresURL(t))
	o.MaxConns, o.SlowQuery, o.Logger = 1, threshold, zerolog.New(log)
	return o
}

func TestSlowQueriesAreLogged(t *testing.T) {
	t.Parallel()
	var log testenv.Buffer
	pool := newPool(t, slowOptions(t, 100*time.Millisecond, &log))
	traceID := trace.TraceID{1, 2, 3}
	ctx := trace.ContextWithSpanContext(t.Context(),
		trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: trace.SpanID{1}}))
	line := func() map[string]any {
		t.Helper()
		require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
		require.NotContains(t, log.String(), "Karenina")
		fields := make(map[string]any)
		require.NoError(t, json.Unmarshal([]byte(log.String()), &fields))
		require.Equal(t, "warn", fields["level"])
		require.Equal(t, "Slow query", fields["message"])
		require.GreaterOrEqual(t, fields["duration_ms"], 100.0)
		log.Reset()
		return fields
	}

	var name string
	require.NoError(t, pool.QueryRow(ctx, "SELECT\n\t$1::text\nFROM pg_sleep(0.15)", "Anna Karenina").Scan(&name))
	fields := line()
	require.Equal(t, "SELECT $1::text FROM pg_sleep(0.15)", fields["sql"])
	require.Equal(t, traceID.String(), fields["trace_id"])

	// Several that are sent together are answered together.
	batch := &pgx.Batch{}
	batch.Queue(`SELECT 1`)
	batch.Queue(`SELECT $1::text FROM pg_sleep(0.15)`, "Anna Karenina")
	batch.Queue(`SELECT 2`)
	require.NoError(t, pool.SendBatch(ctx, batch).Close())
	fields = line()
	require.Equal(t, `SELECT 1; SELECT $1::text FROM pg_sleep(0.15); SELECT 2`, fields["sql"])

	// One that fails counts too; without a trace none is named.
	_, err := pool.Exec(context.Background(), `
		WITH s AS MATERIALIZED (SELECT pg_sleep(0.15)) SELECT length($1::text) / (count(*) - 1) FROM s`, "Anna Karenina")
	require.Error(t, err)
	require.NotContains(t, line(), "trace_id")

	require.NoError(t, pool.QueryRow(ctx, `SELECT $1::text`, "Anna Karenina").Scan(&name))
	require.Empty(t, log.String())
}

// Watching for slow statements costs those that are fast no allocation.
func TestFastQueriesAllocateNoMore(t *testing.T) {
	allocations := func(threshold time.Duration) float64 {
		var log testenv.Buffer
		pool := newPool(t, slowOptions(t, threshold, &log))
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		var n int
		single := testing.AllocsPerRun(200, func() { _ = conn.QueryRow(t.Context(), `SELECT 1`).Scan(&n) })
		together := testing.AllocsPerRun(200, func() {
			batch := &pgx.Batch{}
			batch.Queue(`SELECT 1`)
			batch.Queue(`SELECT 2`)
			_ = conn.SendBatch(t.Context(), batch).Close()
		})
		return single + together
	}
	require.InDelta(t, allocations(0), allocations(time.Minute), 0)
}
