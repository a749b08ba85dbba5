package booking

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

const (
	// maxRetries is how often an event is tried again after a failure of its own before it is
	// given up.
	maxRetries = 3
	// passSpacing is the shortest time between the beginnings of two passes that did not find a
	// full batch, so that under load events are gathered and not read one by one: each pass costs
	// PostgreSQL and Kafka as much as a few creates do. An event that comes alone need not wait.
	passSpacing = 25 * time.Millisecond
	// statementTimeout bounds each statement of a pass.
	statementTimeout = 3 * time.Second
	// maxPassed bounds how many bookings that wait a read passes over.
	maxPassed = 10_000
)

// worker relays the events of a part of the relay's shards, one pass after the other.
type worker struct {
	r     *Relay
	index int
	wake  chan struct{}

	// acked are events that Kafka has and that are not marked yet, under the leases ackedBy.
	acked   []int64
	ackedBy []dom.Lease
	// topics are those that Kafka did not take events of lately.
	topics map[string]*setback
	// refused are bookings whose next event was refused, until when they wait.
	refused map[string]time.Time
	// behind are bookings that were seen to wait for a topic of topics.
	behind map[string]string
}

// setback is a row of failures.
type setback struct {
	failures int
	until    time.Time
}

func newWorker(r *Relay, index int) *worker {
	return &worker{
		r: r, index: index, wake: make(chan struct{}, 1),
		topics: make(map[string]*setback), refused: make(map[string]time.Time), behind: make(map[string]string),
	}
}

// wakeUp ends the worker's rest.
func (w *worker) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// progress tells what a pass came to.
type progress struct {
	// sent events were acknowledged, or given up.
	sent int
	// full: there was more to read.
	full bool
	// past: of what was read, something was found to wait; the next pass reads past it.
	past bool
	// away: nothing could be sent, since Kafka does not take events.
	away bool
}

// run makes passes until ctx is done. Once stopping is closed it ends with the first pass that has
// nothing more to send; a Kafka that does not take events just then is tried again until ctx is done.
func (w *worker) run(ctx context.Context, stopping <-chan struct{}) {
	// A relay that is stopped soon after its start must not end before it knows its shards.
	select {
	case <-w.r.asked:
	case <-ctx.Done():
		return
	}
	failures := 0
	for {
		// Looked at before the pass: what was committed before the stop is still seen by it.
		last := closed(stopping)
		began := time.Now()
		p, err := w.pass(ctx)
		if err != nil && ctx.Err() == nil && w.r.quiet.admit("pass") {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Failed to work on the outbox, going on later")
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && p.full && p.past && w.r.contact.lostFor() < w.r.cfg.GiveBackAfter:
			// No more than every other moment is spent on looking for what may be sent.
			w.pause(ctx, nil, max(passSpacing, time.Since(began)))
		case last && err == nil && p.away:
			w.pause(ctx, nil, w.nextTry())
		case last && (err != nil || p.sent == 0 || !p.full):
			return
		case err != nil:
			failures++
			w.pause(ctx, stopping, w.r.backoff(failures))
			continue
		case p.away:
			w.pause(ctx, stopping, w.nextTry())
		case p.sent > 0 && p.full:
		default:
			w.rest(ctx, stopping, began.Add(passSpacing))
		}
		failures = 0
	}
}

// pause waits for d; no wake-up ends it.
func (w *worker) pause(ctx context.Context, stopping <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stopping:
	case <-ctx.Done():
	}
}

// rest waits for the next poll, or for the next commit and until earliest.
func (w *worker) rest(ctx context.Context, stopping <-chan struct{}, earliest time.Time) {
	timer := time.NewTimer(w.r.cfg.Poll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.wake:
		w.pause(ctx, stopping, time.Until(earliest))
	case <-stopping:
	case <-ctx.Done():
	}
}

// nextTry answers the time until an event of some topic may be tried again.
func (w *worker) nextTry() time.Duration {
	next := w.r.cfg.MaxBackoff
	for _, s := range w.topics {
		if d := time.Until(s.until); d > 0 {
			next = min(next, d)
		}
	}
	return next
}

// backoff answers the wait after a number of failures in a row, with jitter.
func (r *Relay) backoff(failures int) time.Duration {
	d := r.cfg.MaxBackoff
	if failures < 16 {
		d = min(d, r.cfg.Backoff<<(failures-1))
	}
	return d/2 + rand.N(d/2+1)
}

// retryWait answers the wait before an event is tried again that was refused for a number of times.
func (r *Relay) retryWait(refusals int) time.Duration {
	return r.cfg.RetryAfter << (min(refusals, maxRetries) - 1)
}

// queue are the waiting events of one booking, in order.
type queue struct {
	lease    dom.Lease
	messages []dom.OutboxMessage
}

// pass reads what waits, sends it wave by wave, and marks what was acknowledged. A wave has at most
// one event of each booking.
func (w *worker) pass(ctx context.Context) (progress, error) {
	// First what an earlier pass could not mark: it would be sent again otherwise.
	if err := w.mark(ctx); err != nil {
		return progress{}, err
	}
	leases := w.r.leases.of(w.index, w.r.cfg.Workers, time.Now())
	if len(leases) == 0 {
		return progress{}, nil
	}
	queues, full, err := w.read(ctx, leases)
	if err != nil {
		return progress{}, err
	}
	w.ackedBy = leases
	p := progress{full: full}
	for err == nil && ctx.Err() == nil {
		wave, past := w.next(queues)
		p.past = p.past || past
		if len(wave) == 0 {
			break
		}
		messages := make([]dom.OutboxMessage, len(wave))
		for i, q := range wave {
			messages[i] = q.messages[0]
		}
		began := time.Now()
		sendErrs := w.r.publisher.Publish(ctx, messages)
		w.r.contact.note(ctx, began, sendErrs)
		for i, sendErr := range sendErrs {
			done, settleErr := w.settle(ctx, wave[i], sendErr)
			if done {
				p.sent++
			}
			err = errors.Join(err, settleErr)
		}
		queues = wave
	}
	p.away = p.sent == 0 && len(w.behind) > 0
	return p, errors.Join(err, w.mark(ctx))
}

// read answers what waits in the shards, by booking, and whether there is more than it read.
func (w *worker) read(ctx context.Context, leases []dom.Lease) (queues []*queue, full bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	shards := make([]int16, len(leases))
	byShard := make(map[int16]dom.Lease, len(leases))
	for i, l := range leases {
		shards[i], byShard[l.Shard] = l.Shard, l
	}
	perShard := max(1, w.r.cfg.Batch/len(leases))
	messages, err := w.r.events.GetPendingOutbox(ctx, shards, perShard, w.waiting())
	if err != nil {
		return nil, false, err
	}
	byKey := make(map[string]*queue, len(messages))
	counts := make(map[int16]int, len(leases))
	for _, m := range messages {
		q := byKey[m.Key]
		if q == nil {
			q = &queue{lease: byShard[m.Shard]}
			byKey[m.Key] = q
			queues = append(queues, q)
		}
		q.messages = append(q.messages, m)
		counts[m.Shard]++
		full = full || counts[m.Shard] == perShard
	}
	return queues, full, nil
}

// waiting answers the bookings whose next event may not be sent yet.
func (w *worker) waiting() []string {
	now := time.Now()
	keys := make([]string, 0, min(len(w.refused)+len(w.behind), maxPassed))
	add := func(key string) {
		if len(keys) < maxPassed {
			keys = append(keys, key)
		}
	}
	for key, until := range w.refused {
		if now.Before(until) {
			add(key)
		}
	}
	for key, topic := range w.behind {
		if s := w.topics[topic]; s == nil || !now.Before(s.until) {
			delete(w.behind, key)
			continue
		}
		add(key)
	}
	return keys
}

// next answers the queues whose first event may be sent now. past tells that others have to wait,
// and that the next pass will read past them.
func (w *worker) next(queues []*queue) (wave []*queue, past bool) {
	now := time.Now()
	for _, q := range queues {
		if len(q.messages) == 0 || !w.r.leases.holds(q.lease, now) {
			continue
		}
		head := q.messages[0]
		if head.RetryCount > 0 {
			until, known := w.refused[head.Key]
			if !known {
				// It was refused before this worker had the shard: its wait begins anew.
				until = now.Add(w.r.retryWait(head.RetryCount))
				w.refused[head.Key] = until
			}
			if now.Before(until) {
				past = past || len(w.refused) < maxPassed
				continue
			}
		}
		if s := w.topics[head.Topic]; s != nil && now.Before(s.until) {
			if len(w.refused)+len(w.behind) < maxPassed {
				w.behind[head.Key], past = head.Topic, true
			}
			continue
		}
		wave = append(wave, q)
	}
	return wave, past
}

// settle draws the conclusions from what became of the first event of a queue. done tells whether
// the event is out of the way.
func (w *worker) settle(ctx context.Context, q *queue, sendErr error) (done bool, err error) {
	head := &q.messages[0]
	switch {
	case sendErr == nil:
		// Unless another event of this wave has just set the topic back.
		if s := w.topics[head.Topic]; s != nil && time.Now().After(s.until) {
			delete(w.topics, head.Topic)
			zerolog.Ctx(ctx).Debug().Str("topic", head.Topic).Msg("Kafka takes events again")
		}
		delete(w.refused, head.Key)
		w.acked = append(w.acked, head.ID)
		q.messages = q.messages[1:]
		return true, nil
	case errors.Is(sendErr, dom.ErrRecordRejected):
		return w.reject(ctx, q, sendErr)
	}
	if ctx.Err() == nil {
		w.setBack(ctx, head, sendErr)
	}
	return false, nil
}

// setBack makes all events of a topic wait, since Kafka did not take one. One wave that failed is
// one failure, however many events were in it.
func (w *worker) setBack(ctx context.Context, m *dom.OutboxMessage, cause error) {
	s := w.topics[m.Topic]
	if s == nil {
		s = &setback{}
		w.topics[m.Topic] = s
	}
	if time.Now().Before(s.until) {
		return
	}
	s.failures++
	s.until = time.Now().Add(w.r.backoff(s.failures))
	if w.r.quiet.admit("publish " + m.Topic) {
		zerolog.Ctx(ctx).Warn().Err(cause).Int64("id", m.ID).Str("booking_id", m.Key).Str("topic", m.Topic).
			Msg("Failed to publish event")
	}
}

// reject counts the failure of an event that Kafka refuses for its own sake. The booking's later
// events wait for it until it is given up; other bookings do not.
func (w *worker) reject(ctx context.Context, q *queue, cause error) (givenUp bool, err error) {
	m := &q.messages[0]
	status := dom.OutboxPending
	if m.RetryCount >= maxRetries {
		status = dom.OutboxDLQ
	}
	call, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	retries := m.RetryCount + 1
	w.refused[m.Key] = time.Now().Add(w.r.retryWait(retries))
	if !w.r.leases.holds(q.lease, time.Now()) {
		return false, nil
	}
	if err := w.r.events.MarkFailed(call, w.r.owner, q.lease, m.ID, retries, status, cause.Error()); err != nil {
		return false, err
	}
	m.RetryCount = retries
	level := zerolog.WarnLevel
	if status == dom.OutboxDLQ {
		level = zerolog.ErrorLevel
	}
	zerolog.Ctx(ctx).WithLevel(level).Err(cause).Int64("id", m.ID).Str("booking_id", m.Key).
		Str("topic", m.Topic).Int("retry_count", retries).Str("status", string(status)).
		Msg("Failed to publish event")
	if status != dom.OutboxDLQ {
		return false, nil
	}
	delete(w.refused, m.Key)
	q.messages = q.messages[1:]
	return true, nil
}

// mark marks what was acknowledged, in one statement. When it fails the events stay in mind for the
// next pass. It is worth a little time even after the limit of a flush.
func (w *worker) mark(ctx context.Context) error {
	w.forget()
	if len(w.acked) == 0 {
		return nil
	}
	timeout := statementTimeout
	if ctx.Err() != nil {
		timeout = cleanUp
	}
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	// Fewer marked than sent means that a lease was lost meanwhile: its new owner sends them again.
	if _, err := w.r.events.MarkSent(call, w.r.owner, w.ackedBy, w.acked); err != nil {
		return err
	}
	w.acked = w.acked[:0]
	return nil
}

// forget drops the bookings whose wait is long over: their shard is another relay's, or their event
// was taken away.
func (w *worker) forget() {
	for key, until := range w.refused {
		if time.Since(until) > time.Minute {
			delete(w.refused, key)
		}
	}
}

// closed tells whether a channel is closed.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
