//go:build integration

package booking_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	kafkainfra "github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/kafka"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// Each test of this file meets an error of a real Kafka, on topics of its own.

// row is what the outbox tells of an event.
type row struct {
	status    string
	retries   int
	lastError string
}

func (o *outbox) row(booking string, version int) (r row) {
	o.t.Helper()
	err := o.pool.QueryRow(context.Background(), `
		SELECT status, retry_count, last_error FROM outbox WHERE key = $1 AND booking_version = $2`, booking, version,
	).Scan(&r.status, &r.retries, &r.lastError)
	require.NoError(o.t, err)
	return r
}

// failures answers the levels of the log lines that tell of failures to publish an event of a booking
// to a topic.
func (p *process) failures(t *testing.T, booking, topic string) (levels []string) {
	t.Helper()
	for line := range strings.Lines(p.log.String()) {
		var entry struct {
			Level, Message, Topic, Error string
			BookingID                    string `json:"booking_id"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry.Message == "Failed to publish event" && entry.BookingID == booking && entry.Topic == topic {
			require.NotEmpty(t, entry.Error)
			levels = append(levels, entry.Level)
		}
	}
	return levels
}

func newClient(t *testing.T, brokers []string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func newAdmin(t *testing.T, brokers []string) *kadm.Client {
	t.Helper()
	return kadm.NewClient(newClient(t, brokers))
}

// noise answers bytes that no compression makes fewer.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // It never fails.
	return b
}

// requireGivenUp has a booking whose second event goes to a topic that refuses it, among events that
// no topic refuses. It waits until that one was given up and all others were sent.
func requireGivenUp(t *testing.T, o *outbox, p *process, brokers []string, good string, bad dom.OutboxMessage, cause string) {
	t.Helper()
	o.add(bookingtest.Message(bad.Key, 1, dom.EventType(good)))
	o.add(bad)
	for v := 3; v <= 4; v++ {
		o.add(bookingtest.Message(bad.Key, v, dom.EventType(good)))
	}
	const others = 100
	for i := range others {
		o.add(bookingtest.Message("good"+strconv.Itoa(i), 1, dom.EventType(good)))
	}
	o.waitSent(others + 3)
	r := o.row(bad.Key, 2)
	require.Equal(t, "dlq", r.status)
	require.Equal(t, 4, r.retries, "once and three retries")
	require.Contains(t, r.lastError, cause)
	require.Equal(t, []string{"warn", "warn", "warn", "error"}, p.failures(t, bad.Key, bad.Topic))
	require.Equal(t, []int{1, 3, 4}, firsts(t, brokers, others+3, good)[bad.Key], "the later events go on, in order")
}

func TestMessageTooLarge(t *testing.T) {
	t.Parallel()
	o, brokers := newOutbox(t), testenv.KafkaBrokers(t)
	limit := "2000"
	topic := newTopics(t, brokers, map[string]*string{"max.message.bytes": &limit}, 1)[0]
	bad := bookingtest.Message("bad", 2, dom.EventType(topic))
	bad.Payload = noise(5000)
	requireGivenUp(t, o, startProcess(t, o.url, brokers), brokers, topic, bad, "MESSAGE_TOO_LARGE")
}

func TestInvalidTopic(t *testing.T) {
	t.Parallel()
	o, brokers := newOutbox(t), testenv.KafkaBrokers(t)
	good := newTopics(t, brokers, nil, 1)[0]
	bad := bookingtest.Message("bad", 2, "no such: a name")
	requireGivenUp(t, o, startProcess(t, o.url, brokers), brokers, good, bad, "INVALID_TOPIC_EXCEPTION")
}

// forbid denies writing to a topic, until the answered function is called or the test ends.
func forbid(t *testing.T, brokers []string, topic string) (allow func()) {
	t.Helper()
	admin := newAdmin(t, brokers)
	acl := kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).
		Deny("User:ANONYMOUS").DenyHosts("*").Operations(kadm.OpWrite)
	created, err := admin.CreateACLs(context.Background(), acl)
	require.NoError(t, err)
	for _, c := range created {
		require.NoError(t, c.Err)
	}
	allow = func() {
		deleted, err := admin.DeleteACLs(context.Background(), acl)
		require.NoError(t, err)
		for _, d := range deleted {
			require.NoError(t, d.Err)
		}
	}
	t.Cleanup(allow)
	// A broker hears of it a little later than its controller.
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	ask := kmsg.NewPtrMetadataRequest()
	ask.Topics, ask.IncludeTopicAuthorizedOperations = []kmsg.MetadataRequestTopic{{Topic: &topic}}, true
	require.Eventually(t, func() bool {
		answer, err := ask.RequestWith(context.Background(), client)
		return err == nil && answer.Topics[0].AuthorizedOperations&(1<<kmsg.ACLOperationWrite) == 0
	}, within, 20*time.Millisecond, "writing is still allowed")
	return allow
}

func TestTopicAuthorizationFailed(t *testing.T) {
	t.Parallel()
	o, brokers := newOutbox(t), testenv.KafkaBrokers(t)
	topics := newTopics(t, brokers, nil, 2)
	forbid(t, brokers, topics[1])
	bad := bookingtest.Message("bad", 2, dom.EventType(topics[1]))
	requireGivenUp(t, o, startProcess(t, o.url, brokers), brokers, topics[0], bad, "TOPIC_AUTHORIZATION_FAILED")
}

// Far more bookings are refused than a pass reads, as by a wrong ACL; those on other topics go on, and
// when an operator mends it in time, nothing is given up.
func TestAForbiddenTopicStopsNoOther(t *testing.T) {
	t.Parallel()
	o, brokers := newOutbox(t), testenv.KafkaBrokers(t)
	topics := newTopics(t, brokers, nil, 2)
	allow := forbid(t, brokers, topics[0])
	const refused, others = 3000, 100
	inOneShard := func(m dom.OutboxMessage) dom.OutboxMessage {
		m.Shard = 1
		return m
	}
	for i := range refused {
		o.add(inOneShard(bookingtest.Message("waits"+strconv.Itoa(i), 1, dom.EventType(topics[0]))))
	}
	for i := range others {
		o.add(inOneShard(bookingtest.Message("other"+strconv.Itoa(i), 1, dom.EventType(topics[1]))))
	}
	cfg := quickRetries
	cfg.RetryAfter = within
	p := startProcessWith(t, o.url, brokers, cfg)
	o.waitSent(others)
	require.Zero(t, o.count(dom.OutboxDLQ))
	require.Equal(t, row{"pending", 1, o.row("waits0", 1).lastError}, o.row("waits0", 1))
	require.NoError(t, p.stop())

	allow()
	startProcess(t, o.url, brokers)
	o.waitSent(refused + others)
	require.Len(t, firsts(t, brokers, refused, topics[0]), refused)
}

func setMinISR(t *testing.T, brokers []string, topic, value string) {
	t.Helper()
	answers, err := newAdmin(t, brokers).AlterTopicConfigs(context.Background(),
		[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: "min.insync.replicas", Value: &value}}, topic)
	require.NoError(t, err)
	for _, a := range answers {
		require.NoError(t, a.Err)
	}
}

// requireWaits has bookings whose second event goes to a topic that cannot take it just now, and
// waits until a failure was logged. When mend was called, all are sent.
func requireWaits(t *testing.T, o *outbox, p *process, brokers []string, good, away string, mend func()) {
	t.Helper()
	const bookings = 20
	for v, topic := range []string{good, away, good} {
		for i := range bookings {
			o.add(bookingtest.Message("b"+strconv.Itoa(i), v+1, dom.EventType(topic)))
		}
	}
	warned := func() (n int) {
		for i := range bookings {
			for _, level := range p.failures(t, "b"+strconv.Itoa(i), away) {
				require.Equal(t, "warn", level)
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return warned() > 0 }, within, 20*time.Millisecond)
	o.waitSent(bookings)
	// Events that come now, of other bookings and topics, are sent all the same.
	o.add(bookingtest.Message("other", 1, dom.EventType(good)))
	p.Wake("other")
	o.waitSent(bookings + 1)
	for i := range bookings {
		for v := 2; v <= 3; v++ {
			require.Equal(t, row{status: "pending"}, o.row("b"+strconv.Itoa(i), v), "it is not the event's fault")
		}
	}
	mend()
	o.waitSent(3*bookings + 1)
	versions := firsts(t, brokers, 2*bookings+1, good)
	for i := range bookings {
		require.Equal(t, []int{1, 3}, versions["b"+strconv.Itoa(i)])
	}
	require.Len(t, firsts(t, brokers, bookings, away), bookings)
	require.LessOrEqual(t, warned(), 3, "said once in a while")
}

// newHalfTopic creates a topic of two replicas, one of them on a broker that never came, which asks for
// both of them.
func newHalfTopic(t *testing.T, brokers []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	admin := newAdmin(t, brokers)
	metadata, err := admin.BrokerMetadata(ctx)
	require.NoError(t, err)
	absent := registerBroker(t, brokers, metadata.Cluster)

	topic, two := "test."+dom.NewID(), "2"
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 10_000
	request.Topics = []kmsg.CreateTopicsRequestTopic{{
		Topic: topic, NumPartitions: -1, ReplicationFactor: -1,
		ReplicaAssignment: []kmsg.CreateTopicsRequestTopicReplicaAssignment{
			{Partition: 0, Replicas: []int32{metadata.Brokers[0].NodeID, absent}},
		},
		Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "min.insync.replicas", Value: &two}},
	}}
	answer, err := request.RequestWith(ctx, newClient(t, brokers))
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(answer.Topics[0].ErrorCode), answer.Topics[0].ErrorMessage)
	t.Cleanup(func() {
		_, err := admin.DeleteTopics(context.Background(), topic)
		require.NoError(t, err)
	})

	// The client of the service tries on until its time is over and then tells of the time alone.
	once, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	require.NoError(t, err)
	defer once.Close()
	require.Eventually(t, func() bool {
		known, err := admin.ListTopics(ctx, topic)
		return err == nil && known.Error() == nil
	}, within, 20*time.Millisecond, "the broker does not know the topic")
	require.ErrorIs(t, once.ProduceSync(ctx, &kgo.Record{Topic: topic}).FirstErr(), kerr.NotEnoughReplicas)
	return topic
}

// registerBroker makes the cluster know one more broker, which is not there, and answers its id. No
// topic gets a replica on it unless it is asked for.
func registerBroker(t *testing.T, brokers []string, cluster string) int32 {
	t.Helper()
	const id = 77
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	client := newClient(t, brokers)
	quorum := kmsg.NewPtrDescribeQuorumRequest()
	quorum.Topics = []kmsg.DescribeQuorumRequestTopic{{
		Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}},
	}}
	voters, err := quorum.RequestWith(ctx, client)
	require.NoError(t, err)
	require.NotEmpty(t, voters.Nodes)
	listener := voters.Nodes[0].Listeners[0]

	versions := kmsg.NewPtrApiVersionsRequest()
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "test", "1"
	supported, err := versions.RequestWith(ctx, client)
	require.NoError(t, err)
	request := kmsg.NewPtrBrokerRegistrationRequest()
	request.BrokerID, request.ClusterID, request.IncarnationID = id, cluster, uuid.New()
	request.LogDirs = [][16]byte{uuid.New()}
	request.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}
	for _, f := range supported.SupportedFeatures {
		request.Features = append(request.Features, kmsg.BrokerRegistrationRequestFeature{
			Name: f.Name, MinSupportedVersion: f.MinVersion, MaxSupportedVersion: f.MaxVersion,
		})
	}
	controller := newClient(t, []string{net.JoinHostPort(listener.Host, strconv.Itoa(int(listener.Port)))})
	response, err := controller.SeedBrokers()[0].Request(ctx, request)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(response.(*kmsg.BrokerRegistrationResponse).ErrorCode))
	t.Cleanup(func() {
		request := kmsg.NewPtrUnregisterBrokerRequest()
		request.BrokerID = id
		_, err := request.RequestWith(context.Background(), client)
		require.NoError(t, err)
	})
	return id
}

func TestNotEnoughReplicas(t *testing.T) {
	t.Parallel()
	o, brokers := newOutbox(t), testenv.KafkaBrokers(t)
	good, half := newTopics(t, brokers, nil, 1)[0], newHalfTopic(t, brokers)
	p := startProcess(t, o.url, brokers)
	requireWaits(t, o, p, brokers, good, half, func() { setMinISR(t, brokers, half, "1") })
	require.Contains(t, p.log.String(), "records have timed out")
}

func TestUnknownTopicOrPartition(t *testing.T) {
	t.Parallel()
	o, brokers := newOutbox(t), testenv.KafkaBrokers(t)
	good, late := newTopics(t, brokers, nil, 1)[0], "test."+dom.NewID()
	p := startProcess(t, o.url, brokers)
	requireWaits(t, o, p, brokers, good, late, func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		require.NoError(t, kafkainfra.EnsureTopics(ctx, p.client, 3, 1, late))
	})
	require.Contains(t, p.log.String(), "UNKNOWN_TOPIC_OR_PARTITION")
}

// A replica with a wrong address of Kafka, or behind a broken network, beside one that reaches it.
func TestAReplicaWithoutKafkaLeavesItsShards(t *testing.T) {
	t.Parallel()
	o, brokers := newOutbox(t), testenv.KafkaBrokers(t)
	topic := newTopics(t, brokers, nil, 1)[0]
	startProcess(t, o.url, brokers)
	p := startProcess(t, o.url, []string{"127.0.0.1:1"})
	require.Eventually(t, func() bool { return strings.Contains(p.log.String(), `"shards":32`) }, within, 10*time.Millisecond)
	for i := range 200 {
		o.add(bookingtest.Message("b"+strconv.Itoa(i), 1, dom.EventType(topic)))
	}
	o.waitSent(200)
	require.Len(t, firsts(t, brokers, 200, topic), 200)
	require.Equal(t, 1, strings.Count(p.log.String(), "Kafka does not answer this process"), p.log.String())
}
