package booking

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// RelayMetrics take what the relay knows of the outbox.
type RelayMetrics interface {
	// SetOutbox sets how many events wait, how old the oldest of them is, and how many were given up.
	SetOutbox(pending int64, oldest time.Duration, dlq int64)
}

// RelayConfig are the settings of the relay. A zero field has the default that is named there.
type RelayConfig struct {
	// LeaseTTL is how long a shard stays with a relay that does not renew its lease: 3 s. Leases
	// are renewed three times in it.
	LeaseTTL time.Duration
	// Poll is the time between two looks at the outbox when nothing wakes the relay: 100 ms.
	Poll time.Duration
	// Batch is about how many events a worker sends in one pass: 500.
	Batch int
	// Workers is how many parts the relay divides its shards into, to relay them in parallel: 4.
	Workers int
	// Backoff is the first wait after a failure, doubled up to MaxBackoff: 100 ms and 2 s.
	Backoff, MaxBackoff time.Duration
	// RetryAfter is the wait before an event is tried again that Kafka refused for its own sake: 10 s,
	// doubled with each of the retries. What refuses it may be a setting that an operator has to
	// notice and mend.
	RetryAfter time.Duration
	// GiveBackAfter is how long nothing that this relay sends is acknowledged before it leaves its
	// shards to others, if there are any: 10 s.
	GiveBackAfter time.Duration
	// StatsEvery is the time between two measurements of the outbox: 5 s.
	StatsEvery time.Duration
	// Retention is how long an event is kept after it was sent: 24 h.
	Retention time.Duration
	// FlushLimit is how long a relay that is stopped goes on sending what waits: 5 s.
	FlushLimit time.Duration
}

func (c *RelayConfig) setDefaults() {
	durations := []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.LeaseTTL, 3 * time.Second},
		{&c.Poll, 100 * time.Millisecond},
		{&c.Backoff, 100 * time.Millisecond},
		{&c.MaxBackoff, 2 * time.Second},
		{&c.RetryAfter, 10 * time.Second},
		{&c.GiveBackAfter, 10 * time.Second},
		{&c.StatsEvery, 5 * time.Second},
		{&c.Retention, 24 * time.Hour},
		{&c.FlushLimit, 5 * time.Second},
	}
	for _, d := range durations {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Batch == 0 {
		c.Batch = 500
	}
	if c.Workers == 0 {
		c.Workers = 4
	}
}

// Relay brings events from the outbox to Kafka. Any number of relays share the outbox; each has the
// shards that it has leased. A booking's next event is sent only after the one before it was
// acknowledged, so events first arrive in order whoever sends them; the leases keep two relays from
// sending the same.
type Relay struct {
	events    dom.EventRepository
	publisher dom.EventPublisher
	metrics   RelayMetrics
	cfg       RelayConfig
	owner     string
	leases    leaseTable
	contact   contact
	// asked is closed when leases were asked for once, with or without success.
	asked   chan struct{}
	workers []*worker
	quiet   throttle
}

// NewRelay answers a relay between its ports. It does nothing before Run.
func NewRelay(events dom.EventRepository, publisher dom.EventPublisher, m RelayMetrics, cfg RelayConfig) *Relay {
	cfg.setDefaults()
	r := &Relay{events: events, publisher: publisher, metrics: m, cfg: cfg, owner: dom.NewID(), asked: make(chan struct{})}
	for i := range cfg.Workers {
		r.workers = append(r.workers, newWorker(r, i))
	}
	return r
}

// Wake tells the relay that an event of a booking was committed. It does not block. Events in another
// relay's shards are left to that one's next look.
func (r *Relay) Wake(bookingID string) {
	if shard := dom.Shard(bookingID); r.leases.hasShard(shard, time.Now()) {
		r.workers[int(shard)%len(r.workers)].wakeUp()
	}
}

func (r *Relay) wakeAll() {
	for _, w := range r.workers {
		w.wakeUp()
	}
}

// cleanUp bounds what is still done with the database after the time for flushing is over: marking
// what was sent, and releasing the leases.
const cleanUp = time.Second

// Run relays until ctx is done; then it sends what waits, as far as it gets within FlushLimit,
// releases its leases and returns. It is called once.
//
// Errors: *dom.UnavailableError for Postgres, when the leases could not be released. They lapse
// then.
func (r *Relay) Run(ctx context.Context) error {
	last := make(chan struct{})
	work, stop := context.WithCancel(untraced(context.WithoutCancel(ctx)))
	defer stop()

	var workers, loops sync.WaitGroup
	loops.Go(func() { r.keepLeases(work, ctx.Done(), last) })
	loops.Go(func() { r.measure(work) })
	loops.Go(func() { r.deleteSent(work) })
	for _, w := range r.workers {
		workers.Go(func() { w.run(work, last) })
	}
	<-ctx.Done()
	limit := time.AfterFunc(r.cfg.FlushLimit, stop)
	workers.Wait()
	limit.Stop()
	stop()
	loops.Wait()

	release, cancel := context.WithTimeout(context.WithoutCancel(work), cleanUp)
	defer cancel()
	if err := r.events.ReleaseShards(release, r.owner); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// untraced answers a context whose spans are not sampled: the relay's own statements, many a second,
// belong to no request. The span of a publishing has its own parent, the request of its event.
func untraced(ctx context.Context) context.Context {
	var trc trace.TraceID
	var span trace.SpanID
	_, _ = rand.Read(trc[:]) // It never fails.
	_, _ = rand.Read(span[:])
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: trc, SpanID: span}))
}

// measure sets the outbox metrics until ctx is done.
func (r *Relay) measure(ctx context.Context) {
	for {
		began := time.Now()
		call, cancel := context.WithTimeout(ctx, r.cfg.StatsEvery)
		stats, err := r.events.OutboxStats(call)
		cancel()
		if err == nil {
			r.metrics.SetOutbox(stats.Pending, stats.OldestPending, stats.DLQ)
		} else if ctx.Err() == nil && r.quiet.admit("stats") {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Failed to measure the outbox")
		}
		// A count that is slow, since much is pending, must not become the database's main work.
		if !sleep(ctx, max(r.cfg.StatsEvery, 20*time.Since(began))) {
			return
		}
	}
}

const (
	// deletePage is how many rows one statement of the removal reads.
	deletePage = 1000
	// deletePause separates two such statements.
	deletePause = 20 * time.Millisecond
	// deleteEvery is the longest time between two walks over what may be removed.
	deleteEvery = time.Minute
)

// deleteSent removes old events until ctx is done. The relay that has the first shard does it for
// all.
func (r *Relay) deleteSent(ctx context.Context) {
	for sleep(ctx, min(deleteEvery, r.cfg.Retention)) {
		for after := int64(0); r.leases.hasShard(0, time.Now()); {
			_, next, err := r.events.DeleteSent(ctx, r.cfg.Retention, after, deletePage)
			if err != nil && ctx.Err() == nil && r.quiet.admit("delete") {
				zerolog.Ctx(ctx).Warn().Err(err).Msg("Failed to remove old events from the outbox")
			}
			if err != nil || next == 0 || !sleep(ctx, deletePause) {
				break
			}
			after = next
		}
	}
}

// sleep waits for d and tells whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
