//go:build integration

package booking_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/kafka"
	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/postgres"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	kafkainfra "github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/kafka"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	usecase "github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
)

// within is long enough for a relay to take over from a dead one and to send a few thousand events.
const within = 60 * time.Second

// outbox is an outbox in a PostgreSQL database of the test's own.
type outbox struct {
	t    *testing.T
	url  string
	pool *pgxpool.Pool
}

func newOutbox(t *testing.T) *outbox {
	t.Helper()
	url := testenv.PostgresURL(t)
	return &outbox{t: t, url: url, pool: newPool(t, url)}
}

func newPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func (o *outbox) add(m dom.OutboxMessage) {
	_, err := o.pool.Exec(context.Background(), `
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, traceparent)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		m.Shard, m.Topic, m.Key, m.Payload, m.EventID, m.BookingVersion, m.TraceParent)
	if err != nil {
		o.t.Error(err)
	}
}

func (o *outbox) count(status dom.OutboxStatus) (n int) {
	err := o.pool.QueryRow(context.Background(), `SELECT count(*) FROM outbox WHERE status = $1`, string(status)).Scan(&n)
	require.NoError(o.t, err)
	return n
}

func (o *outbox) waitSent(n int) {
	o.t.Helper()
	require.Eventually(o.t, func() bool { return o.count(dom.OutboxSent) == n }, within, 20*time.Millisecond,
		"%d events are to be sent", n)
}

// process is a relay with connections of its own, as a replica of the service has it.
type process struct {
	*usecase.Relay
	pool   *pgxpool.Pool
	client *kgo.Client
	log    testenv.Buffer
	stop   func() error
}

// quickRetries is the usual relay, but for the time that an operator has.
var quickRetries = usecase.RelayConfig{RetryAfter: 100 * time.Millisecond, GiveBackAfter: time.Second}

func startProcess(t *testing.T, url string, brokers []string) *process {
	t.Helper()
	return startProcessWith(t, url, brokers, quickRetries)
}

func startProcessWith(t *testing.T, url string, brokers []string, cfg usecase.RelayConfig) *process {
	t.Helper()
	client, err := kafkainfra.NewClient(kafkainfra.Config{Brokers: brokers, ClientID: "test", Logger: zerolog.Nop()})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	m := metrics.New(prometheus.NewRegistry())
	p := &process{pool: newPool(t, url), client: client}
	p.Relay = usecase.NewRelay(postgres.NewEventRepository(p.pool, m), kafka.NewProducer(client, m), m,
		cfg)
	ctx, cancel := context.WithCancel(zerolog.New(&p.log).WithContext(context.Background()))
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	var once sync.Once
	p.stop = func() (err error) {
		once.Do(func() {
			cancel()
			err = <-ended
		})
		return err
	}
	t.Cleanup(func() { _ = p.stop() })
	return p
}

// die cuts a process off from everything at once: it releases nothing.
func (p *process) die() {
	go p.pool.Close()
	p.client.Close()
}

// newTopics creates topics of the test's own.
func newTopics(t *testing.T, brokers []string, config map[string]*string, n int) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var topics []string
	for range n {
		topic := "test." + dom.NewID()
		_, err := kadm.NewClient(client).CreateTopic(ctx, 3, 1, config, topic)
		require.NoError(t, err)
		topics = append(topics, topic)
	}
	// A broker hears of a new topic a little later than its controller.
	require.Eventually(t, func() bool {
		known, err := kadm.NewClient(client).ListTopics(ctx, topics...)
		return err == nil && known.Error() == nil && len(known) == n
	}, within, 20*time.Millisecond, "the broker does not know the topics")
	return topics
}

// firsts reads topics until it has seen n different events, and answers for each booking and topic
// the versions in the order of their first arrival.
func firsts(t *testing.T, brokers []string, n int, topics ...string) map[string][]int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	seen := make(map[string]bool)
	versions := make(map[string][]int)
	for len(seen) < n && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			headers := make(map[string]string)
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			if id := headers[kafka.HeaderEventID]; !seen[id] {
				seen[id] = true
				version, err := strconv.Atoi(headers[kafka.HeaderBookingVersion])
				require.NoError(t, err)
				versions[string(r.Key)] = append(versions[string(r.Key)], version)
			}
		})
	}
	require.Len(t, seen, n, "every event arrives")
	return versions
}

func requireRising(t *testing.T, versions map[string][]int, bookings, each int) {
	t.Helper()
	require.Len(t, versions, bookings)
	for booking, got := range versions {
		require.Len(t, got, each, booking)
		for i, v := range got {
			require.Equal(t, i+1, v, "booking %s: %v", booking, got)
		}
	}
}

// addLives has several writers put bookings with their versions into the outbox, a version after the
// other, each booking on one topic, so that their order can be read there.
func addLives(o *outbox, topics []string, name string, bookings, versions int, committed func(bookingID string)) {
	const writers = 8
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for v := 1; v <= versions; v++ {
				for i := w; i < bookings; i += writers {
					topic := topics[i%len(topics)]
					o.add(bookingtest.Message(name+strconv.Itoa(i), v, dom.EventType(topic)))
					committed(name + strconv.Itoa(i))
				}
			}
		})
	}
	running.Wait()
}

func TestEveryEventArrivesInOrder(t *testing.T) {
	t.Parallel()
	o, brokers := newOutbox(t), testenv.KafkaBrokers(t)
	topics := newTopics(t, brokers, nil, 7)
	a, b := startProcess(t, o.url, brokers), startProcess(t, o.url, brokers)
	addLives(o, topics, "b", 300, 5, a.Wake)
	o.waitSent(1500)
	requireRising(t, firsts(t, brokers, 1500, topics...), 300, 5)
	require.NoError(t, a.stop())
	require.NoError(t, b.stop())
	var owned, relays int
	require.NoError(t, o.pool.QueryRow(context.Background(), `
		SELECT (SELECT count(*) FROM outbox_leases WHERE owner <> ''), (SELECT count(*) FROM outbox_relays)`,
	).Scan(&owned, &relays))
	require.Zero(t, owned)
	require.Zero(t, relays)
}

func TestASecondRelayTakesOver(t *testing.T) {
	t.Parallel()
	o, brokers := newOutbox(t), testenv.KafkaBrokers(t)
	topics := newTopics(t, brokers, nil, 3)
	a, _ := startProcess(t, o.url, brokers), startProcess(t, o.url, brokers)
	addLives(o, topics, "b", 100, 3, func(string) {})
	died := make(chan time.Time, 1)
	go func() {
		time.Sleep(50 * time.Millisecond)
		a.die()
		died <- time.Now()
	}()
	addLives(o, topics, "c", 300, 3, func(string) {})
	o.waitSent(1200)
	t.Logf("all sent %v after the first relay died", time.Since(<-died).Round(time.Millisecond))
	requireRising(t, firsts(t, brokers, 1200, topics...), 400, 3)
}

func TestEventsWaitForTheBroker(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	const topic = "booking.held"
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	require.NoError(t, err)
	brokers := cluster.ListenAddrs()
	_, port, err := net.SplitHostPort(brokers[0])
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)

	p := startProcess(t, o.url, brokers)
	o.add(bookingtest.Message("a", 1, topic))
	o.waitSent(1)
	cluster.Close()
	for i := range 100 {
		for v := 1; v <= 2; v++ {
			o.add(bookingtest.Message("b"+strconv.Itoa(i), v, topic))
			p.Wake("b" + strconv.Itoa(i))
		}
	}
	time.Sleep(2 * kafkainfra.DeliveryTimeout)
	require.Equal(t, 1, o.count(dom.OutboxSent))

	cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic), kfake.Ports(number))
	require.NoError(t, err)
	defer cluster.Close()
	back := time.Now()
	o.waitSent(201)
	require.Less(t, time.Since(back), 15*time.Second)
	requireRising(t, firsts(t, brokers, 200, topic), 100, 2)
	var counted int
	require.NoError(t, o.pool.QueryRow(context.Background(),
		`SELECT count(*) FROM outbox WHERE retry_count > 0`).Scan(&counted))
	require.Zero(t, counted, "it was not the events' fault")
}
