package devstack

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestRedisKeysExpireByThemselves(t *testing.T) {
	t.Parallel()
	server, err := StartRedis(0)
	require.NoError(t, err)
	defer server.Stop()
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer func() { require.NoError(t, client.Close()) }()

	require.NoError(t, client.SetNX(t.Context(), "short", "x", 300*time.Millisecond).Err())
	require.NoError(t, client.SetNX(t.Context(), "long", "x", time.Minute).Err())
	require.Equal(t, "x", client.Get(t.Context(), "short").Val())
	require.Eventually(t, func() bool { return client.Get(t.Context(), "short").Err() == redis.Nil },
		5*time.Second, 20*time.Millisecond)
	require.Equal(t, "x", client.Get(t.Context(), "long").Val())
	require.Less(t, client.PTTL(t.Context(), "long").Val(), time.Minute)
}

func TestKafkaKeepsItsTopics(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for run := range 2 {
		broker, err := StartKafka(dir, 0)
		require.NoError(t, err)
		client, err := kgo.NewClient(kgo.SeedBrokers(broker.Broker), kgo.ConsumeTopics("topic"))
		require.NoError(t, err)
		if run == 0 {
			topics, err := kadm.NewClient(client).ListTopics(t.Context())
			require.NoError(t, err)
			require.Empty(t, topics)
			_, err = kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, "topic")
			require.NoError(t, err)
			record := &kgo.Record{Topic: "topic", Key: []byte("key"), Value: []byte("kept")}
			require.NoError(t, client.ProduceSync(t.Context(), record).FirstErr())
		}
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		require.Len(t, fetches.Records(), 1)
		require.Equal(t, "kept", string(fetches.Records()[0].Value))
		client.Close()
		broker.Stop()
	}
}
