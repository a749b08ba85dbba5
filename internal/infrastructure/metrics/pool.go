package metrics

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

var serviceLabel = prometheus.Labels{"service": Service}

// RegisterPostgresPool adds the statistics of a pool, read at each scrape, with its name as a label.
func RegisterPostgresPool(reg prometheus.Registerer, name string, stat func() *pgxpool.Stat) {
	prometheus.WrapRegistererWith(prometheus.Labels{"pool": name}, reg).MustRegister(&pool[*pgxpool.Stat]{stat: stat, values: []poolValue[*pgxpool.Stat]{
		gauge("database_pool_acquired_connections", "Connections to PostgreSQL that are in use.",
			func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) }),
		gauge("database_pool_idle_connections", "Connections to PostgreSQL that are open and not in use.",
			func(s *pgxpool.Stat) float64 { return float64(s.IdleConns()) }),
		gauge("database_pool_max_connections", "Most connections to PostgreSQL.",
			func(s *pgxpool.Stat) float64 { return float64(s.MaxConns()) }),
		counter("database_pool_acquires_total", "Times that a connection was taken from the pool.",
			func(s *pgxpool.Stat) float64 { return float64(s.AcquireCount()) }),
		counter("database_pool_waits_total", "Times that a caller had to wait for a connection.",
			func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) }),
		counter("database_pool_wait_seconds_total", "Time that callers waited for a connection.",
			func(s *pgxpool.Stat) float64 { return s.EmptyAcquireWaitTime().Seconds() }),
		counter("database_pool_gave_up_total", "Times that a caller ran out of time before it had a connection.",
			func(s *pgxpool.Stat) float64 { return float64(s.CanceledAcquireCount()) }),
		counter("database_pool_connects_total", "Connections to PostgreSQL that were opened.",
			func(s *pgxpool.Stat) float64 { return float64(s.NewConnsCount()) }),
	}})
}

// RegisterRedisPool adds the statistics of a Redis client's pool, read at each scrape.
func RegisterRedisPool(reg prometheus.Registerer, stat func() *redis.PoolStats) {
	reg.MustRegister(&pool[*redis.PoolStats]{stat: stat, values: []poolValue[*redis.PoolStats]{
		gauge("redis_pool_connections", "Connections to Redis that are open.",
			func(s *redis.PoolStats) float64 { return float64(s.TotalConns) }),
		gauge("redis_pool_idle_connections", "Connections to Redis that are open and not in use.",
			func(s *redis.PoolStats) float64 { return float64(s.IdleConns) }),
		counter("redis_pool_timeouts_total", "Times that a caller ran out of time before it had a connection.",
			func(s *redis.PoolStats) float64 { return float64(s.Timeouts) }),
		counter("redis_pool_stale_connections_total", "Connections to Redis that were closed because they had broken.",
			func(s *redis.PoolStats) float64 { return float64(s.StaleConns) }),
	}})
}

// pool collects values of type S, all from one reading.
type pool[S any] struct {
	stat   func() S
	values []poolValue[S]
}

type poolValue[S any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(S) float64
}

func gauge[S any](name, help string, of func(S) float64) poolValue[S] {
	return poolValue[S]{prometheus.NewDesc(name, help, nil, serviceLabel), prometheus.GaugeValue, of}
}

func counter[S any](name, help string, of func(S) float64) poolValue[S] {
	return poolValue[S]{prometheus.NewDesc(name, help, nil, serviceLabel), prometheus.CounterValue, of}
}

// Describe implements prometheus.Collector.
func (p *pool[S]) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range p.values {
		ch <- v.desc
	}
}

// Collect implements prometheus.Collector.
func (p *pool[S]) Collect(ch chan<- prometheus.Metric) {
	s := p.stat()
	for _, v := range p.values {
		ch <- prometheus.MustNewConstMetric(v.desc, v.kind, v.of(s))
	}
}
