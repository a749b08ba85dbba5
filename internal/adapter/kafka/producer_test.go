package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	infra "github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/kafka"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

func newCluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

func TestProducer(t *testing.T) {
	t.Parallel()
	bookingtest.EventPublisherSuite(t, func(t *testing.T) bookingtest.EventPublisher {
		return newFixture(t, newCluster(t).ListenAddrs())
	})
}

func TestPublishCounts(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "booking.held"))
	reg := prometheus.NewRegistry()
	p := NewProducer(newClient(t, cluster.ListenAddrs(), reg), metrics.New(reg))
	good, bad := bookingtest.Message("a", 1, "booking.held"), bookingtest.Message("b", 1, "booking.held")
	bad.Payload = make([]byte, 3<<20)
	errs := p.Publish(context.Background(), []dom.OutboxMessage{good, bad, good})
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], dom.ErrRecordRejected)

	value := func(name string) int {
		families, err := reg.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == name {
				return int(f.GetMetric()[0].GetCounter().GetValue())
			}
		}
		return 0
	}
	require.Equal(t, 2, value("kafka_messages_published_total"))
	require.Equal(t, 1, value("kafka_publish_errors_total"))
	n, err := testutil.GatherAndCount(reg, "kafka_client_write_bytes_total")
	require.NoError(t, err)
	require.Positive(t, n, "the client's own metrics are there")
}

func TestPublishJoinsTheRequestsTrace(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "booking.held"))
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	client, err := infra.NewClient(infra.Config{
		Brokers: cluster.ListenAddrs(), ClientID: "test", TracerProvider: provider, Logger: zerolog.Nop(),
	})
	require.NoError(t, err)
	defer client.Close()
	p := NewProducer(client, metrics.New(prometheus.NewRegistry()))

	m := bookingtest.Message("a", 1, "booking.held")
	// The relay's own context belongs to no request.
	relay, span := provider.Tracer("test").Start(context.Background(), "relay")
	require.NoError(t, p.Publish(relay, []dom.OutboxMessage{m})[0])
	span.End()

	var publish sdktrace.ReadOnlySpan
	for _, s := range spans.Ended() {
		if s.SpanKind() == trace.SpanKindProducer {
			publish = s
		}
	}
	require.NotNil(t, publish)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", publish.SpanContext().TraceID().String())
	require.Equal(t, "b7ad6b7169203331", publish.Parent().SpanID().String())
	got := receive(t, cluster.ListenAddrs(), 1, "booking.held")
	require.Len(t, got, 1)
	require.Equal(t, fmt.Sprintf("00-%s-%s-01", publish.SpanContext().TraceID(), publish.SpanContext().SpanID()),
		got[0].TraceParent, "consumers go on from the span of the publishing")
}

func TestPublishWithoutBroker(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "booking.held"))
	reg := prometheus.NewRegistry()
	p := NewProducer(newClient(t, cluster.ListenAddrs(), reg), metrics.New(reg))
	messages := []dom.OutboxMessage{bookingtest.Message("a", 1, "booking.held")}
	require.NoError(t, p.Publish(context.Background(), messages)[0])

	cluster.Close()
	for range 2 {
		began := time.Now()
		err := p.Publish(context.Background(), messages)[0]
		requireAway(t, err)
		require.Less(t, time.Since(began), 3*infra.DeliveryTimeout, "a pass must not hang")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	require.Error(t, p.Publish(ctx, messages)[0])
	require.Less(t, time.Since(began), time.Second, "who stops waiting is answered at once")
}

func TestPingPastABrokerThatSaysNothing(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binds at once
	require.NoError(t, err)
	defer silent.Close()
	client := newClient(t, append([]string{silent.Addr().String()}, newCluster(t).ListenAddrs()...), prometheus.NewRegistry())
	p := NewProducer(client, metrics.New(prometheus.NewRegistry()))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, p.Ping(ctx))

	alone := newClient(t, []string{silent.Addr().String()}, prometheus.NewRegistry())
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	requireAway(t, NewProducer(alone, metrics.New(prometheus.NewRegistry())).Ping(short))
}

func TestPublishToATopicThatWasMadeAnew(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "booking.held"))
	reg := prometheus.NewRegistry()
	p := NewProducer(newClient(t, cluster.ListenAddrs(), reg), metrics.New(reg))
	messages := []dom.OutboxMessage{bookingtest.Message("a", 1, "booking.held")}
	require.NoError(t, p.Publish(context.Background(), messages)[0])
	require.NoError(t, cluster.DeleteTopic("booking.held"))
	require.NoError(t, cluster.CreateTopic("booking.held", 1, nil))
	var err error
	for range 3 {
		if err = p.Publish(context.Background(), messages)[0]; err == nil {
			break
		}
		requireAway(t, err)
	}
	require.NoError(t, err)
	require.Len(t, receive(t, cluster.ListenAddrs(), 1, "booking.held"), 1)
}

func requireAway(t *testing.T, err error) {
	t.Helper()
	var away *dom.UnavailableError
	require.ErrorAs(t, err, &away)
	require.Equal(t, dom.Kafka, away.Dependency)
}

func TestErrorsOfRecords(t *testing.T) {
	own := []error{
		kerr.MessageTooLarge, fmt.Errorf("%w (3 bytes)", kerr.MessageTooLarge), kerr.RecordListTooLarge,
		kerr.InvalidTopicException, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.UnsupportedForMessageFormat,
	}
	for _, err := range own {
		require.ErrorIs(t, asDomain(err), dom.ErrRecordRejected, err)
		require.ErrorIs(t, asDomain(err), err)
	}
	others := []error{
		kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut,
		kerr.UnknownServerError, kerr.OutOfOrderSequenceNumber, kerr.KafkaStorageError, kgo.ErrRecordTimeout,
		kgo.ErrClientClosed, context.Canceled, errors.New("dial tcp: connection refused"),
	}
	for _, err := range others {
		requireAway(t, asDomain(err))
		require.NotErrorIs(t, asDomain(err), dom.ErrRecordRejected)
	}
}
