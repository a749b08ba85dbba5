package kafka

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	infra "github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/kafka"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t *testing.T, brokers []string, reg *prometheus.Registry) *kgo.Client {
	t.Helper()
	client, err := infra.NewClient(infra.Config{
		Brokers: brokers, ClientID: "test", Registerer: reg, Logger: zerolog.Nop(),
	})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// newFixture answers a producer on topics of its own on a real or fake cluster.
func newFixture(t *testing.T, brokers []string) bookingtest.EventPublisher {
	t.Helper()
	reg := prometheus.NewRegistry()
	client := newClient(t, brokers, reg)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	name := "test." + dom.NewID()
	require.NoError(t, infra.EnsureTopics(ctx, client, 3, 1, name))
	narrow := name + ".narrow"
	limit := strconv.Itoa(bookingtest.NarrowBytes)
	admin := kadm.NewClient(client)
	_, err := admin.CreateTopic(ctx, 1, 1, map[string]*string{"max.message.bytes": &limit}, narrow)
	require.NoError(t, err)
	// A broker hears of a new topic a little later than its controller, and the client gives a topic up
	// after a few answers that there is none.
	require.Eventually(t, func() bool {
		known, err := admin.ListTopics(ctx, name, narrow)
		return err == nil && len(known[name].Partitions) == 3 && len(known[narrow].Partitions) == 1
	}, 20*time.Second, 20*time.Millisecond, "the broker does not know the topics")
	return bookingtest.EventPublisher{
		EventPublisher: NewProducer(client, metrics.New(reg)),
		Topic:          name, Narrow: narrow, Missing: name + ".missing",
		Received: func(topic string, n int) []dom.OutboxMessage { return receive(t, brokers, n, topic) },
	}
}

// receive reads n messages from topics, as far as they come in a few seconds.
func receive(t *testing.T, brokers []string, n int, topics ...string) []dom.OutboxMessage {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	var got []dom.OutboxMessage
	for len(got) < n && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			headers := make(map[string]string)
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			require.Equal(t, ContentType, headers[HeaderContentType])
			version, err := strconv.Atoi(headers[HeaderBookingVersion])
			require.NoError(t, err)
			got = append(got, dom.OutboxMessage{
				Topic: r.Topic, Key: string(r.Key), Payload: r.Value, EventID: headers[HeaderEventID],
				BookingVersion: version, TraceParent: headers[HeaderTraceParent],
			})
		})
	}
	return got
}
