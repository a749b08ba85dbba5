// Package kafka makes the client of the Kafka cluster and the topics that the service writes to.
package kafka

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kotel"
	"github.com/twmb/franz-go/plugin/kprom"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

// DeliveryTimeout is how long a record waits for its acknowledgement before it counts as failed.
const DeliveryTimeout = 5 * time.Second

// Config describes the client.
type Config struct {
	// Brokers are the seeds, as host:port.
	Brokers []string
	// ClientID names this service to the brokers.
	ClientID string
	// TLS is for the connections to the brokers; nil for none.
	TLS *tls.Config
	// Mechanism is that of SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty for none.
	Mechanism      string
	User, Password string
	// Registerer takes the client's metrics (kafka_client_…); nil for none.
	Registerer prometheus.Registerer
	// TracerProvider makes the spans of publishing; nil for the global one.
	TracerProvider trace.TracerProvider
	// Logger takes the client's warnings, each kind at most once in half a minute.
	Logger zerolog.Logger
}

// NewClient makes a client. It does not connect: brokers may be away when it is made. The caller
// closes it.
//
// Errors: settings that cannot work, as a broker's address that cannot be read.
func NewClient(cfg Config) (*kgo.Client, error) {
	tracing := []kotel.TracerOpt{kotel.TracerPropagator(propagation.TraceContext{}), kotel.ClientID(cfg.ClientID)}
	if cfg.TracerProvider != nil {
		tracing = append(tracing, kotel.TracerProvider(cfg.TracerProvider))
	}
	hooks := []kgo.Hook{kotel.NewTracer(tracing...)}
	if cfg.Registerer != nil {
		reg := prometheus.WrapRegistererWith(prometheus.Labels{"service": metrics.Service}, cfg.Registerer)
		hooks = append(hooks, kprom.NewMetrics("kafka_client", kprom.Registerer(reg)))
	}
	options, err := cfg.security()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(options,
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(cfg.ClientID),
		kgo.WithLogger(newLogger(cfg.Logger)),
		kgo.WithHooks(hooks...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// The relay gathers batches itself; waiting for more would only delay them.
		kgo.ProducerLinger(0),
		// With the default of five seconds the first records of a new topic sometimes wait that long.
		kgo.MetadataMinAge(100*time.Millisecond),
		kgo.RetryTimeout(DeliveryTimeout),
		kgo.RecordDeliveryTimeout(DeliveryTimeout),
		// Without it a record on the wire is waited for without limit when its broker dies. Events
		// are delivered at least once: one that is sent again may arrive twice.
		kgo.AllowIdempotentProduceCancellation(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return client, nil
}

// security answers what keeps strangers out: TLS, and a proof of who the service is.
func (cfg Config) security() ([]kgo.Opt, error) {
	var options []kgo.Opt
	if cfg.TLS != nil {
		options = append(options, kgo.DialTLSConfig(cfg.TLS))
	}
	switch cfg.Mechanism {
	case "":
	case "PLAIN":
		options = append(options, kgo.SASL(plain.Auth{User: cfg.User, Pass: cfg.Password}.AsMechanism()))
	case "SCRAM-SHA-256":
		options = append(options, kgo.SASL(scram.Auth{User: cfg.User, Pass: cfg.Password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		options = append(options, kgo.SASL(scram.Auth{User: cfg.User, Pass: cfg.Password}.AsSha512Mechanism()))
	default:
		return nil, fmt.Errorf("kafka client: unknown SASL mechanism %q", cfg.Mechanism)
	}
	return options, nil
}
