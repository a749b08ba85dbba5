package metrics

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestRedisPool(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	stats := redis.PoolStats{TotalConns: 7, IdleConns: 5, Timeouts: 3, StaleConns: 2}
	RegisterRedisPool(reg, func() *redis.PoolStats { return &stats })
	want := `
# HELP redis_pool_connections Connections to Redis that are open.
# TYPE redis_pool_connections gauge
redis_pool_connections{service="booking-svc"} 7
# HELP redis_pool_idle_connections Connections to Redis that are open and not in use.
# TYPE redis_pool_idle_connections gauge
redis_pool_idle_connections{service="booking-svc"} 5
# HELP redis_pool_stale_connections_total Connections to Redis that were closed because they had broken.
# TYPE redis_pool_stale_connections_total counter
redis_pool_stale_connections_total{service="booking-svc"} 2
# HELP redis_pool_timeouts_total Times that a caller ran out of time before it had a connection.
# TYPE redis_pool_timeouts_total counter
redis_pool_timeouts_total{service="booking-svc"} 3
`
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(want)))
	stats.TotalConns = 8
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(strings.Replace(want, "} 7", "} 8", 1))),
		"read at each scrape")
}

// A pool that never connected has its size and nothing else.
func TestPostgresPool(t *testing.T) {
	cfg, err := pgxpool.ParseConfig("host=127.0.0.1 port=1 user=u dbname=d")
	require.NoError(t, err)
	cfg.MaxConns = 9
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.Error(t, pool.Ping(t.Context()))

	reg := prometheus.NewPedanticRegistry()
	RegisterPostgresPool(reg, "calls", pool.Stat)
	families, err := reg.Gather()
	require.NoError(t, err)
	got := make(map[string]float64)
	for _, f := range families {
		require.Len(t, f.Metric, 1)
		require.Equal(t, "calls", f.Metric[0].Label[0].GetValue())
		require.Equal(t, "booking-svc", f.Metric[0].Label[1].GetValue())
		got[f.GetName()] = f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue()
	}
	require.InDelta(t, 9, got["database_pool_max_connections"], 0)
	for _, name := range []string{
		"database_pool_acquired_connections", "database_pool_idle_connections", "database_pool_acquires_total",
		"database_pool_waits_total", "database_pool_wait_seconds_total", "database_pool_gave_up_total",
		"database_pool_connects_total",
	} {
		require.Contains(t, got, name)
	}
	require.Len(t, got, 8)
}
