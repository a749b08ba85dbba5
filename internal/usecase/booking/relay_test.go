package booking

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
)

// within is long enough for whatever a relay with quickConfig does.
const within = 10 * time.Second

// quickConfig has the usual leases, so that a slow machine loses none.
var quickConfig = RelayConfig{
	Poll:    5 * time.Millisecond,
	Backoff: 2 * time.Millisecond, MaxBackoff: 20 * time.Millisecond, StatsEvery: 10 * time.Millisecond,
	RetryAfter: 2 * time.Millisecond,
}

type statsRecorder struct {
	mu   sync.Mutex
	last dom.OutboxStats
}

func (s *statsRecorder) SetOutbox(pending int64, oldest time.Duration, dlq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = dom.OutboxStats{Pending: pending, OldestPending: oldest, DLQ: dlq}
}

func (s *statsRecorder) get() dom.OutboxStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// shortLeases is quickConfig for tests in which leases lapse.
func shortLeases() RelayConfig {
	cfg := quickConfig
	cfg.LeaseTTL = 300 * time.Millisecond
	return cfg
}

// newPublisher answers a publisher that knows all topics.
func newPublisher() *bookingtest.MemoryPublisher {
	limits := make(map[string]int)
	for _, topic := range dom.EventTypes() {
		limits[string(topic)] = 1000
	}
	return bookingtest.NewMemoryPublisher(limits)
}

// startRelay runs a relay until the answered function is called, or the test ends.
func startRelay(
	ctx context.Context, t *testing.T, events dom.EventRepository, p dom.EventPublisher, cfg RelayConfig,
) (*Relay, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	r := NewRelay(events, p, &statsRecorder{}, cfg)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil && !errors.Is(err, errGone) {
					t.Error(err)
				}
			case <-time.After(within):
				t.Error("the relay does not stop")
			}
		})
	}
	t.Cleanup(stop)
	return r, stop
}

// add puts versions of a booking into the outbox, as the life of a booking has them.
func add(o *bookingtest.MemoryOutbox, booking string, versions int) {
	types := dom.EventTypes()
	for v := 1; v <= versions; v++ {
		o.Add(bookingtest.Message(booking, v, types[(v-1)%len(types)]))
	}
}

func countStatus(o *bookingtest.MemoryOutbox, status dom.OutboxStatus) (n int) {
	for _, r := range o.Rows() {
		if r.Status == status {
			n++
		}
	}
	return n
}

func waitSent(t *testing.T, o *bookingtest.MemoryOutbox, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return countStatus(o, dom.OutboxSent) == n }, within, time.Millisecond,
		"%d events are to be sent", n)
}

// requireFirstInOrder proves that each version of a booking first came after the one before it.
func requireFirstInOrder(t *testing.T, got []dom.OutboxMessage, bookings, versions int) {
	t.Helper()
	last := make(map[string]int)
	for _, m := range got {
		require.LessOrEqual(t, m.BookingVersion, last[m.Key]+1, "booking %s skipped a version", m.Key)
		last[m.Key] = max(last[m.Key], m.BookingVersion)
	}
	require.Len(t, last, bookings)
	for key, v := range last {
		require.Equal(t, versions, v, "booking %s", key)
	}
}

func TestRelaySendsAllInOrder(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	for i := range 200 {
		add(o, "b"+strconv.Itoa(i), 7)
	}
	_, stop := startRelay(t.Context(), t, o, p, quickConfig)
	waitSent(t, o, 1400)
	stop()
	requireFirstInOrder(t, p.Published(), 200, 7)
	require.Len(t, p.Published(), 1400, "undisturbed, each event is sent once")
	for _, wave := range p.Waves() {
		seen := make(map[string]bool)
		for _, m := range wave {
			require.False(t, seen[m.Key], "two events of a booking on their way at once")
			seen[m.Key] = true
		}
	}
	require.Empty(t, o.Owners(), "the leases are given back")
}

func TestRelayPipelines(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	for i := range 400 {
		add(o, "b"+strconv.Itoa(i), 1)
	}
	startRelay(t.Context(), t, o, p, quickConfig)
	waitSent(t, o, 400)
	require.Less(t, len(p.Waves()), 40, "events of many bookings share a wave")
}

func TestRelayIsWoken(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	cfg := quickConfig
	cfg.Poll = time.Hour
	r, _ := startRelay(t.Context(), t, o, p, cfg)
	require.Eventually(t, func() bool { return len(o.Owners()) == 1 }, within, time.Millisecond)
	for i := range 20 {
		add(o, "b"+strconv.Itoa(i), 1)
		r.Wake("b" + strconv.Itoa(i))
		waitSent(t, o, i+1)
	}
}

func TestRelaySharesAndTakesOver(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	dying := &mortal{EventRepository: o}
	_, stopDying := startRelay(t.Context(), t, dying, p, shortLeases())
	_, stop := startRelay(t.Context(), t, o, p, shortLeases())
	shares := func() (shares []int) {
		for _, n := range o.Owners() {
			shares = append(shares, n)
		}
		return shares
	}
	require.Eventually(t, func() bool {
		s := shares()
		return len(s) == 2 && s[0] == dom.Shards/2 && s[1] == dom.Shards/2
	}, within, time.Millisecond, "two relays share evenly")
	for i := range 50 {
		add(o, "b"+strconv.Itoa(i), 3)
	}
	waitSent(t, o, 150)

	dying.dead.Store(true)
	for i := range 50 {
		add(o, "c"+strconv.Itoa(i), 3)
	}
	waitSent(t, o, 300)
	require.Eventually(t, func() bool {
		s := shares()
		return len(s) == 1 && s[0] == dom.Shards
	}, within, time.Millisecond)
	stopDying()
	stop()
	requireFirstInOrder(t, p.Published(), 100, 3)
}

// mortal is an outbox that a relay loses touch with, as if its process had died.
type mortal struct {
	dom.EventRepository
	dead atomic.Bool
}

var errGone = &dom.UnavailableError{Dependency: dom.Postgres, Err: errors.New("gone")}

func (m *mortal) LeaseShards(ctx context.Context, owner string, ttl time.Duration) ([]dom.Lease, error) {
	if m.dead.Load() {
		return nil, errGone
	}
	return m.EventRepository.LeaseShards(ctx, owner, ttl)
}

func (m *mortal) GetPendingOutbox(ctx context.Context, shards []int16, n int, except []string) ([]dom.OutboxMessage, error) {
	if m.dead.Load() {
		return nil, errGone
	}
	return m.EventRepository.GetPendingOutbox(ctx, shards, n, except)
}

func (m *mortal) MarkSent(ctx context.Context, owner string, leases []dom.Lease, ids []int64) (int, error) {
	if m.dead.Load() {
		return 0, errGone
	}
	return m.EventRepository.MarkSent(ctx, owner, leases, ids)
}

func (m *mortal) ReleaseShards(ctx context.Context, owner string) error {
	if m.dead.Load() {
		return errGone
	}
	return m.EventRepository.ReleaseShards(ctx, owner)
}

func TestRelayThatLostItsLeaseSendsNothingFurther(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	add(o, "b", 3)
	cfg := shortLeases()
	// The first event is acknowledged only after its lease has lapsed and the shard is another's.
	stolen := make(chan struct{})
	repo := &mortal{EventRepository: o}
	p.Respond(func(dom.OutboxMessage) error {
		if !repo.dead.Swap(true) {
			o.Steal("another", time.Hour)
			time.Sleep(cfg.LeaseTTL)
			close(stolen)
		}
		return nil
	})
	// Only the renewal is dead: the pass itself still reaches the database.
	startRelay(t.Context(), t, &noRenewal{EventRepository: o, dead: &repo.dead}, p, cfg)
	<-stolen
	time.Sleep(100 * time.Millisecond)
	require.Len(t, p.Published(), 1, "the events after it are the new owner's")
	require.Equal(t, 3, countStatus(o, dom.OutboxPending), "and so is the marking")
}

type noRenewal struct {
	dom.EventRepository
	dead *atomic.Bool
}

func (n *noRenewal) LeaseShards(ctx context.Context, owner string, ttl time.Duration) ([]dom.Lease, error) {
	if n.dead.Load() {
		return nil, errGone
	}
	return n.EventRepository.LeaseShards(ctx, owner, ttl)
}

func TestRelayFlushesWhenStopped(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	cfg := quickConfig
	cfg.Poll = time.Hour
	_, stop := startRelay(t.Context(), t, o, p, cfg)
	require.Eventually(t, func() bool { return len(o.Owners()) == 1 }, within, time.Millisecond)
	time.Sleep(50 * time.Millisecond)
	for i := range 500 {
		add(o, "b"+strconv.Itoa(i), 3)
	}
	require.Less(t, countStatus(o, dom.OutboxSent), 1500)
	stop()
	require.Equal(t, 1500, countStatus(o, dom.OutboxSent))
	require.Empty(t, o.Owners())
}

// slowLeases is an outbox whose leases take a while.
type slowLeases struct{ *bookingtest.MemoryOutbox }

func (s slowLeases) LeaseShards(ctx context.Context, owner string, ttl time.Duration) ([]dom.Lease, error) {
	time.Sleep(50 * time.Millisecond)
	return s.MemoryOutbox.LeaseShards(ctx, owner, ttl)
}

func TestRelayFlushesWhenStoppedBeforeItHasItsShards(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	add(o, "a", 2)
	_, stop := startRelay(t.Context(), t, slowLeases{o}, p, quickConfig)
	stop()
	require.Equal(t, 2, countStatus(o, dom.OutboxSent))
}

// A stop that meets a Kafka which does not take events just then, as while topics are being made.
// Replicas are often stopped all at once: what one commits while it stops may be in a shard of one that
// has stopped a moment before.
func TestRelayFlushesTheShardsOfThoseThatStoppedBefore(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	first, stopFirst := startRelay(t.Context(), t, o, p, quickConfig)
	second, stopSecond := startRelay(t.Context(), t, o, p, quickConfig)
	shared := func() bool {
		now := time.Now()
		return first.leases.count(now) == dom.Shards/2 && second.leases.count(now) == dom.Shards/2
	}
	require.Eventually(t, shared, within, time.Millisecond)
	stopFirst()
	for i := range 200 {
		add(o, "b"+strconv.Itoa(i), 1)
	}
	stopSecond()
	require.Equal(t, 200, countStatus(o, dom.OutboxSent))
}

func TestRelayFlushesWhenKafkaComesBackDuringTheStop(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	tried := make(chan struct{}, 1000)
	p.Respond(func(dom.OutboxMessage) error {
		tried <- struct{}{}
		return &dom.UnavailableError{Dependency: dom.Kafka, Err: errors.New("unknown topic")}
	})
	add(o, "a", 1)
	_, stop := startRelay(t.Context(), t, o, p, quickConfig)
	<-tried
	time.AfterFunc(100*time.Millisecond, func() { p.Respond(nil) })
	stop()
	require.Equal(t, 1, countStatus(o, dom.OutboxSent))
}

func TestRelayStopsInTimeWithoutKafka(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	o := bookingtest.NewMemoryOutbox()
	add(o, "a", 1)
	cfg := quickConfig
	cfg.FlushLimit = 100 * time.Millisecond
	asked := make(chan struct{}, 100)
	_, stop := startRelay(t.Context(), t, o, stuck(asked), cfg)
	<-asked
	began := time.Now()
	stop()
	require.Less(t, time.Since(began), time.Second)
	require.Equal(t, 1, countStatus(o, dom.OutboxPending))
	require.Empty(t, o.Owners())
}

// stuck is a publisher that waits for as long as its caller does.
type stuck chan struct{}

func (s stuck) Publish(ctx context.Context, messages []dom.OutboxMessage) []error {
	s <- struct{}{}
	<-ctx.Done()
	errs := make([]error, len(messages))
	for i := range errs {
		errs[i] = &dom.UnavailableError{Dependency: dom.Kafka, Err: ctx.Err()}
	}
	return errs
}

func (s stuck) Ping(context.Context) error { return nil }

func TestRelayReportsThatItCouldNotRelease(t *testing.T) {
	o := bookingtest.NewMemoryOutbox()
	o.Fail(errGone)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var away *dom.UnavailableError
	require.ErrorAs(t, NewRelay(o, newPublisher(), &statsRecorder{}, quickConfig).Run(ctx), &away)
}

func TestRelayMeasuresAndRemoves(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	p.Respond(func(m dom.OutboxMessage) error {
		switch m.Key {
		case "bad":
			return dom.ErrRecordRejected
		case "waits":
			return &dom.UnavailableError{Dependency: dom.Kafka, Err: errors.New("no leader")}
		}
		return nil
	})
	o.Add(bookingtest.Message("waits", 1, "booking.no_show"))
	o.Add(bookingtest.Message("bad", 1, "booking.held"))
	add(o, "good", 2)
	cfg := quickConfig
	cfg.Retention = 50 * time.Millisecond
	stats := &statsRecorder{}
	r := NewRelay(o, p, stats, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	defer running.Wait()
	defer cancel()
	require.Eventually(t, func() bool {
		s := stats.get()
		return len(o.Rows()) == 2 && s.Pending == 1 && s.DLQ == 1 && s.OldestPending > 0
	}, within, time.Millisecond, "what was sent is removed, what was not stays and is counted")
}

func TestRelaysOwnStatementsAreNotSampled(t *testing.T) {
	seen := trace.SpanContextFromContext(untraced(t.Context()))
	require.True(t, seen.IsValid())
	require.False(t, seen.IsSampled())
}

func TestRelayWaitsForAnOperatorBetweenRetries(t *testing.T) {
	r := NewRelay(nil, nil, nil, RelayConfig{})
	for refusals, want := range map[int]time.Duration{1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 1000: 40 * time.Second} {
		require.Equal(t, want, r.retryWait(refusals))
	}
}

func TestRelayBackoffGrowsToItsLimit(t *testing.T) {
	r := NewRelay(nil, nil, nil, RelayConfig{})
	for failures := 1; failures < 100; failures++ {
		want := min(100*time.Millisecond<<min(failures-1, 10), 2*time.Second)
		d := r.backoff(failures)
		require.GreaterOrEqual(t, d, want/2)
		require.LessOrEqual(t, d, want)
	}
}

// An event that comes after a while of silence is sent at once; the spacing between passes is for those
// that come close together.
func TestRelaySendsALonelyEventAtOnce(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	cfg := quickConfig
	cfg.Poll = time.Hour
	r, _ := startRelay(t.Context(), t, o, p, cfg)
	require.Eventually(t, func() bool { return len(o.Owners()) == 1 }, within, time.Millisecond)
	fastest := time.Hour
	for i := range 10 {
		time.Sleep(2 * passSpacing)
		add(o, "b"+strconv.Itoa(i), 1)
		began := time.Now()
		r.Wake("b" + strconv.Itoa(i))
		for len(p.Waves()) == i {
			time.Sleep(100 * time.Microsecond)
		}
		fastest = min(fastest, time.Since(began))
	}
	require.Less(t, fastest, passSpacing/2)
}

// A commit wakes the worker of its shard and no other; one in another relay's shard wakes none.
func TestRelayWakesOneWorker(t *testing.T) {
	r := NewRelay(bookingtest.NewMemoryOutbox(), newPublisher(), &statsRecorder{}, quickConfig)
	woken := func() (workers []int) {
		for i, w := range r.workers {
			select {
			case <-w.wake:
				workers = append(workers, i)
			default:
			}
		}
		return workers
	}
	shard := dom.Shard("b1")
	r.leases.set([]dom.Lease{{Shard: shard, Epoch: 1}}, time.Now().Add(time.Hour))
	r.Wake("b1")
	require.Equal(t, []int{int(shard) % len(r.workers)}, woken())
	r.leases.set([]dom.Lease{{Shard: (shard + 1) % dom.Shards, Epoch: 1}}, time.Now().Add(time.Hour))
	r.Wake("b1")
	require.Empty(t, woken())
}
