// Package metrics holds the service's Prometheus metrics. Names and labels of the first eight are
// those of the specification.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Service is the value of the label `service` of every metric.
const Service = "booking-svc"

// latencyBuckets, in seconds, are fine where the goals lie (1 to 100 ms).
var latencyBuckets = []float64{
	.0005, .001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .2, .3, .5, 1, 2, 5, 10,
}

// Metrics are the service's metrics. Make them with New.
type Metrics struct {
	grpcRequests  *prometheus.CounterVec
	grpcDuration  *prometheus.HistogramVec
	handshakes    prometheus.Counter
	certificates  *prometheus.GaugeVec
	queries       *prometheus.CounterVec
	queryDuration *prometheus.HistogramVec
	published     *prometheus.CounterVec
	publishErrors *prometheus.CounterVec
	redisOps      *prometheus.CounterVec
	redisDuration *prometheus.HistogramVec

	holdsLost      prometheus.Counter
	redisFallbacks prometheus.Counter
	changes        *prometheus.CounterVec
	createBatches  prometheus.Histogram
	holdsOverdue   prometheus.Gauge
	dependencyUp   *prometheus.GaugeVec
	outboxPending  prometheus.Gauge
	outboxOldest   prometheus.Gauge
	outboxDLQ      prometheus.Gauge
}

// New makes the metrics and registers them.
func New(reg prometheus.Registerer) *Metrics {
	labels := prometheus.Labels{"service": Service}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
		reg.MustRegister(c)
		return c
	}
	counters := func(name, help string, by ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, by)
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
		reg.MustRegister(g)
		return g
	}
	gauges := func(name, help string, by ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, by)
		reg.MustRegister(g)
		return g
	}
	durations := func(name, help string, by ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, ConstLabels: labels, Buckets: latencyBuckets,
		}, by)
		reg.MustRegister(h)
		return h
	}
	createBatches := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "booking_create_batch_size", Help: "Creates that were written together, in one statement.",
		ConstLabels: labels, Buckets: []float64{1, 2, 4, 8, 16, 32, 64},
	})
	reg.MustRegister(createBatches)
	return &Metrics{
		grpcRequests:  counters("grpc_server_requests_total", "gRPC calls served, by method and status (ok, or the code in snake case).", "method", "status"),
		grpcDuration:  durations("grpc_server_request_duration_seconds", "Time to serve a gRPC call.", "method", "status"),
		handshakes:    counter("grpc_server_handshakes_failed_total", "TLS handshakes of clients that failed, as without the certificate that is asked for."),
		certificates:  gauges("tls_certificate_expiry_timestamp_seconds", "When a certificate of this service expires, as Unix time.", "certificate"),
		queries:       counters("database_queries_total", "Operations on PostgreSQL.", "operation"),
		queryDuration: durations("database_query_duration_seconds", "Time of an operation on PostgreSQL.", "operation"),
		published:     counters("kafka_messages_published_total", "Events acknowledged by Kafka.", "topic"),
		publishErrors: counters("kafka_publish_errors_total", "Events that Kafka did not take; they are sent again.", "topic"),
		redisOps:      counters("redis_operations_total", "Operations on Redis.", "operation"),
		redisDuration: durations("redis_operation_duration_seconds", "Time of an operation on Redis.", "operation"),

		holdsLost:      counter("booking_holds_lost_total", "Creates that lost the table to another booking made at the same time."),
		redisFallbacks: counter("booking_redis_fallbacks_total", "Times that the service went on without Redis, because it was away."),
		changes:        counters("booking_changes_total", "Changes of bookings, by the state that they led to.", "status"),
		createBatches:  createBatches,
		holdsOverdue:   gauge("booking_holds_overdue_seconds", "How long the hold is overdue that is so for the longest, by the database's clock; 0 when none is."),
		dependencyUp:   gauges("booking_dependency_up", "Whether the last look at a neighbour found it usable: 1 or 0. The schema counts as one.", "dependency"),
		outboxPending:  gauge("outbox_pending", "Events that wait to be sent to Kafka."),
		outboxOldest:   gauge("outbox_oldest_pending_age_seconds", "Age of the oldest event that waits to be sent."),
		outboxDLQ:      gauge("outbox_dlq", "Events that were given up and wait for an operator."),
	}
}

// ObserveCall counts a gRPC call that began at start; status is ok or the code in snake case.
func (m *Metrics) ObserveCall(method, status string, start time.Time) {
	m.grpcRequests.WithLabelValues(method, status).Inc()
	m.grpcDuration.WithLabelValues(method, status).Observe(time.Since(start).Seconds())
}

// HandshakeFailed counts a client that could not connect by TLS.
func (m *Metrics) HandshakeFailed() { m.handshakes.Inc() }

// SetCertificate sets when a certificate, as grpc, expires.
func (m *Metrics) SetCertificate(name string, until time.Time) {
	m.certificates.WithLabelValues(name).Set(float64(until.Unix()))
}

// ObserveQuery counts an operation on PostgreSQL that began at start, as create_booking.
func (m *Metrics) ObserveQuery(operation string, start time.Time) {
	m.queries.WithLabelValues(operation).Inc()
	m.queryDuration.WithLabelValues(operation).Observe(time.Since(start).Seconds())
}

// ObserveRedis counts an operation on Redis that began at start, as set_hold.
func (m *Metrics) ObserveRedis(operation string, start time.Time) {
	m.redisOps.WithLabelValues(operation).Inc()
	m.redisDuration.WithLabelValues(operation).Observe(time.Since(start).Seconds())
}

// EventPublished counts an event that Kafka acknowledged.
func (m *Metrics) EventPublished(topic string) { m.published.WithLabelValues(topic).Inc() }

// PublishFailed counts an event that Kafka did not take.
func (m *Metrics) PublishFailed(topic string) { m.publishErrors.WithLabelValues(topic).Inc() }

// HoldLost counts a create that lost its table to another one at the same time.
func (m *Metrics) HoldLost() { m.holdsLost.Inc() }

// RedisFallback counts a time that the service went on without Redis.
func (m *Metrics) RedisFallback() { m.redisFallbacks.Inc() }

// BookingChanged counts a change of a booking into status.
func (m *Metrics) BookingChanged(status string) { m.changes.WithLabelValues(status).Inc() }

// CreatesGathered counts a batch of n creates that are written together.
func (m *Metrics) CreatesGathered(n int) { m.createBatches.Observe(float64(n)) }

// SetHoldsOverdue sets how long the hold is overdue that is so for the longest.
func (m *Metrics) SetHoldsOverdue(longest time.Duration) { m.holdsOverdue.Set(longest.Seconds()) }

// SetDependency sets whether a neighbour can be used.
func (m *Metrics) SetDependency(name string, up bool) {
	value := 0.
	if up {
		value = 1
	}
	m.dependencyUp.WithLabelValues(name).Set(value)
}

// SetOutbox sets what is known of the outbox.
func (m *Metrics) SetOutbox(pending int64, oldest time.Duration, dlq int64) {
	m.outboxPending.Set(float64(pending))
	m.outboxOldest.Set(oldest.Seconds())
	m.outboxDLQ.Set(float64(dlq))
}
