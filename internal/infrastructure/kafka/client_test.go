package kafka

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newCluster(t *testing.T) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	client, err := NewClient(Config{Brokers: cluster.ListenAddrs(), ClientID: "test", Logger: zerolog.Nop()})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return cluster, client
}

// refuse makes the cluster answer CreateTopics with err for each topic, as often as times.
func refuse(cluster *kfake.Cluster, times int32, err *kerr.Error) *atomic.Int32 {
	var asked atomic.Int32
	cluster.ControlKey(kmsg.CreateTopics.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if asked.Add(1) > times {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, topic := range req.(*kmsg.CreateTopicsRequest).Topics {
			answer := kmsg.NewCreateTopicsResponseTopic()
			answer.Topic, answer.ErrorCode = topic.Topic, err.Code
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
	return &asked
}

func TestEnsureTopics(t *testing.T) {
	t.Parallel()
	cluster, client := newCluster(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, cluster.CreateTopic("booking.held", 2, nil))
	require.NoError(t, EnsureTopics(ctx, client, 5, 1, "booking.held", "booking.seated"))
	require.NoError(t, EnsureTopics(ctx, client, 7, 1, "booking.held", "booking.seated"))
	topics, err := kadm.NewClient(client).ListTopics(ctx)
	require.NoError(t, err)
	require.Len(t, topics["booking.held"].Partitions, 2, "one that exists is left alone")
	require.Len(t, topics["booking.seated"].Partitions, 5)
}

func TestEnsureTopicsTriesOn(t *testing.T) {
	t.Parallel()
	cluster, client := newCluster(t)
	// Before its controller is elected a cluster refuses for a while.
	asked := refuse(cluster, 2, kerr.NotEnoughReplicas)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, EnsureTopics(ctx, client, 1, 1, "booking.held"))
	require.EqualValues(t, 3, asked.Load())
	require.NotNil(t, cluster.TopicInfo("booking.held"))
}

func TestEnsureTopicsNotAllowed(t *testing.T) {
	t.Parallel()
	cluster, client := newCluster(t)
	asked := refuse(cluster, 100, kerr.TopicAuthorizationFailed)
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(zerolog.New(&out).WithContext(context.Background()), 10*time.Second)
	defer cancel()
	require.NoError(t, EnsureTopics(ctx, client, 1, 1, "booking.held", "booking.seated"))
	require.EqualValues(t, 1, asked.Load(), "what is not allowed is not tried again")
	require.Equal(t, 1, strings.Count(out.String(), "Not allowed to create topics"))
}

func TestEnsureTopicsEnds(t *testing.T) {
	t.Parallel()
	cluster, client := newCluster(t)
	cluster.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	require.ErrorIs(t, EnsureTopics(ctx, client, 1, 1, "booking.held"), context.DeadlineExceeded)
	require.Less(t, time.Since(began), 3*time.Second)
}

func TestNewClientRefusesBadBrokers(t *testing.T) {
	_, err := NewClient(Config{Brokers: []string{"kafka:port"}, Logger: zerolog.Nop()})
	require.ErrorContains(t, err, "kafka client")
}

func TestClientsOfOneRegistryComeAndGo(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 {
		client, err := NewClient(Config{Brokers: []string{"127.0.0.1:1"}, Registerer: reg, Logger: zerolog.Nop()})
		require.NoError(t, err)
		client.Close()
	}
}

func TestLoggerIsQuiet(t *testing.T) {
	var out bytes.Buffer
	l := newLogger(zerolog.New(&out))
	now := time.Unix(0, 0)
	l.now = func() time.Time { return now }
	lines := func() []string {
		defer out.Reset()
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	for range 100 {
		l.Log(kgo.LogLevelError, "unable to dial", "addr", "kafka:9092", "odd")
	}
	l.Log(kgo.LogLevelWarn, "another")
	require.Equal(t, []string{
		`{"level":"warn","component":"kafka","addr":"kafka:9092","message":"unable to dial"}`,
		`{"level":"warn","component":"kafka","message":"another"}`,
	}, lines())
	now = now.Add(quietFor)
	l.Log(kgo.LogLevelError, "unable to dial", "addr", "kafka:9092")
	require.Equal(t, []string{
		`{"level":"warn","component":"kafka","addr":"kafka:9092","repeated":99,"message":"unable to dial"}`,
	}, lines())
}
