//go:build integration

package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/tlsfiles"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

func TestTLSAndSASL(t *testing.T) {
	t.Parallel()
	server := testenv.KafkaWithTLS(t)
	topic := "secure-" + uuid.NewString()
	config, err := tlsfiles.ClientConfig(server.CA)
	require.NoError(t, err)
	publish := func(c Config, limit time.Duration) error {
		c.Brokers, c.ClientID, c.Logger = []string{server.Addr}, "test", zerolog.Nop()
		client, err := NewClient(c)
		require.NoError(t, err)
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		if err := EnsureTopics(ctx, client, 1, 1, topic); err != nil {
			return err
		}
		return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr()
	}
	const soon = time.Second // Who is not let in tries on until then.
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		good := Config{TLS: config, Mechanism: mechanism, User: server.User, Password: server.Password}
		require.NoError(t, publish(good, 20*time.Second), mechanism)
		good.Password = "wrong"
		require.Error(t, publish(good, soon), mechanism)
	}
	require.Error(t, publish(Config{Mechanism: "PLAIN", User: server.User, Password: server.Password}, soon), "no TLS")
	require.Error(t, publish(Config{TLS: config}, soon), "nobody")

	plain, err := NewClient(Config{Brokers: testenv.KafkaBrokers(t), ClientID: "test", Logger: zerolog.Nop()})
	require.NoError(t, err)
	defer plain.Close()
	offsets, err := kadm.NewClient(plain).ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	at, ok := offsets.Lookup(topic, 0)
	require.True(t, ok)
	require.EqualValues(t, 3, at.Offset, "what those wrote who may")
}
