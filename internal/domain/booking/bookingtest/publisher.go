package bookingtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// EventPublisher is a publisher under test.
type EventPublisher struct {
	dom.EventPublisher
	// Topic exists, with several partitions. Narrow exists, with one partition, and takes batches of
	// NarrowBytes at most. Missing does not exist.
	Topic, Narrow, Missing string
	// Received answers the first n messages of a topic, in the order of their partition, as far as
	// they come within a few seconds. Shard, ID and RetryCount do not travel.
	Received func(topic string, n int) []dom.OutboxMessage
}

// NarrowBytes is the limit of EventPublisher.Narrow.
const NarrowBytes = 3000

// EventPublisherSuite tests what the port promises. open answers a publisher on empty topics.
func EventPublisherSuite(t *testing.T, open func(t *testing.T) EventPublisher) {
	tests := map[string]func(*testing.T, EventPublisher){
		"nothing to send is nothing to answer":            publishNothing,
		"a message arrives whole":                         publishWhole,
		"a booking's events arrive in order":              publishInOrder,
		"a message that is too large is refused alone":    publishTooLarge,
		"messages that are only together too large":       publishTogetherTooLarge,
		"a topic that is missing may come":                publishMissing,
		"who is not waited for has failed":                publishCancelled,
		"many publish at once, each gets its own answers": publishTogether,
		"a cluster that is there answers":                 publisherAnswers,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// sentTo answers an event on a topic of the fixture, as it is received.
func sentTo(topic, bookingID string, version int) dom.OutboxMessage {
	m := Message(bookingID, version, dom.EventType(topic))
	m.Shard = 0
	return m
}

// noise answers bytes that no compression makes fewer.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // It never fails.
	return b
}

func requireAccepted(t *testing.T, errs []error, n int) {
	t.Helper()
	require.Len(t, errs, n)
	for i, err := range errs {
		require.NoError(t, err, "message %d", i)
	}
}

// requireSame compares messages. Of the trace context only the trace must be the same: the span may
// be that of the publishing.
func requireSame(t *testing.T, want, got []dom.OutboxMessage) {
	t.Helper()
	trimmed := func(messages []dom.OutboxMessage) []dom.OutboxMessage {
		messages = slices.Clone(messages)
		for i := range messages {
			messages[i].TraceParent, _, _ = strings.Cut(strings.TrimPrefix(messages[i].TraceParent, "00-"), "-")
		}
		slices.SortFunc(messages, func(a, b dom.OutboxMessage) int { return strings.Compare(a.EventID, b.EventID) })
		return messages
	}
	require.Equal(t, trimmed(want), trimmed(got))
}

func publishNothing(t *testing.T, p EventPublisher) {
	require.Empty(t, p.Publish(context.Background(), nil))
}

func publishWhole(t *testing.T, p EventPublisher) {
	traced, untraced := sentTo(p.Topic, dom.NewID(), 3), sentTo(p.Topic, dom.NewID(), 1)
	requireAccepted(t, p.Publish(context.Background(), []dom.OutboxMessage{traced, untraced}), 2)
	requireSame(t, []dom.OutboxMessage{traced, untraced}, p.Received(p.Topic, 2))
}

func publishInOrder(t *testing.T, p EventPublisher) {
	const bookings, versions = 20, 5
	ids := make([]string, bookings)
	for i := range ids {
		ids[i] = dom.NewID()
	}
	for v := 1; v <= versions; v++ {
		var wave []dom.OutboxMessage
		for _, id := range ids {
			wave = append(wave, sentTo(p.Topic, id, v))
		}
		requireAccepted(t, p.Publish(context.Background(), wave), bookings)
	}
	last := make(map[string]int)
	for _, m := range p.Received(p.Topic, bookings*versions) {
		require.Equal(t, last[m.Key]+1, m.BookingVersion)
		last[m.Key]++
	}
	require.Len(t, last, bookings)
	for id, v := range last {
		require.Equal(t, versions, v, id)
	}
}

func publishTooLarge(t *testing.T, p EventPublisher) {
	messages := []dom.OutboxMessage{
		sentTo(p.Narrow, "a", 1), sentTo(p.Narrow, "b", 1), sentTo(p.Narrow, "c", 1), sentTo(p.Topic, "d", 1),
		sentTo(p.Topic, "e", 1),
	}
	messages[1].Payload = noise(2 * NarrowBytes)
	// Larger than any broker takes by default.
	messages[4].Payload = noise(3 << 20)
	errs := p.Publish(context.Background(), messages)
	require.ErrorIs(t, errs[1], dom.ErrRecordRejected)
	require.ErrorIs(t, errs[4], dom.ErrRecordRejected)
	requireAccepted(t, []error{errs[0], errs[2], errs[3]}, 3)
	requireSame(t, []dom.OutboxMessage{messages[0], messages[2]}, p.Received(p.Narrow, 2))
}

func publishTogetherTooLarge(t *testing.T, p EventPublisher) {
	var messages []dom.OutboxMessage
	for i := range 8 {
		m := sentTo(p.Narrow, fmt.Sprint(i), 1)
		m.Payload = noise(NarrowBytes / 2)
		messages = append(messages, m)
	}
	requireAccepted(t, p.Publish(context.Background(), messages), len(messages))
	requireSame(t, messages, p.Received(p.Narrow, len(messages)))
}

func publishMissing(t *testing.T, p EventPublisher) {
	messages := []dom.OutboxMessage{sentTo(p.Topic, "a", 1), sentTo(p.Missing, "b", 1)}
	errs := p.Publish(context.Background(), messages)
	require.Len(t, errs, 2)
	require.NoError(t, errs[0])
	requireKafkaAway(t, errs[1])
}

func publishCancelled(t *testing.T, p EventPublisher) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	for _, err := range p.Publish(ctx, []dom.OutboxMessage{sentTo(p.Missing, "a", 1), sentTo(p.Missing, "b", 1)}) {
		requireKafkaAway(t, err)
	}
	require.Less(t, time.Since(began), 2*time.Second)
}

func publishTogether(t *testing.T, p EventPublisher) {
	const publishers, each = 4, 50
	together(publishers, func(i int) error {
		var messages []dom.OutboxMessage
		for n := range each {
			m := sentTo(p.Topic, fmt.Sprintf("%d-%d", i, n), 1)
			if n%2 == 1 {
				m.Payload = noise(3 << 20)
			}
			messages = append(messages, m)
		}
		for n, err := range p.Publish(context.Background(), messages) {
			if errors.Is(err, dom.ErrRecordRejected) != (n%2 == 1) || (n%2 == 0 && err != nil) {
				t.Errorf("publisher %d, message %d: %v", i, n, err)
			}
		}
		return nil
	})
	require.Len(t, p.Received(p.Topic, publishers*each/2), publishers*each/2)
}

func publisherAnswers(t *testing.T, p EventPublisher) {
	require.NoError(t, p.Ping(context.Background()))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	requireKafkaAway(t, p.Ping(ctx))
}

func requireKafkaAway(t *testing.T, err error) {
	t.Helper()
	var away *dom.UnavailableError
	require.ErrorAs(t, err, &away)
	require.Equal(t, dom.Kafka, away.Dependency)
	require.NotErrorIs(t, err, dom.ErrRecordRejected)
}

// MemoryPublisher is a publisher in memory. Make it with NewMemoryPublisher.
type MemoryPublisher struct {
	mu      sync.Mutex
	limits  map[string]int
	respond func(dom.OutboxMessage) error
	away    error
	got     []dom.OutboxMessage
	waves   [][]dom.OutboxMessage
}

var _ dom.EventPublisher = (*MemoryPublisher)(nil)

// NewMemoryPublisher answers a publisher that knows these topics. limits gives the largest payload
// of a topic, in bytes.
func NewMemoryPublisher(limits map[string]int) *MemoryPublisher {
	return &MemoryPublisher{limits: limits}
}

// Respond lets fn decide about each message from now on: its error is the answer. nil ends it.
func (p *MemoryPublisher) Respond(fn func(dom.OutboxMessage) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.respond = fn
}

// Leave makes the cluster unreachable for this publisher, with err as the cause; nil ends it.
func (p *MemoryPublisher) Leave(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = err
}

// Published answers what was acknowledged, in order.
func (p *MemoryPublisher) Published() []dom.OutboxMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// Waves answers what each call of Publish was asked to send.
func (p *MemoryPublisher) Waves() [][]dom.OutboxMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.waves)
}

// Publish does what the port says.
func (p *MemoryPublisher) Publish(ctx context.Context, messages []dom.OutboxMessage) []error {
	p.mu.Lock()
	p.waves = append(p.waves, slices.Clone(messages))
	respond, away := p.respond, p.away
	p.mu.Unlock()
	errs := make([]error, len(messages))
	for i, m := range messages {
		limit, known := p.limits[m.Topic]
		switch {
		case ctx.Err() != nil:
			errs[i] = &dom.UnavailableError{Dependency: dom.Kafka, Err: ctx.Err()}
		case away != nil:
			errs[i] = &dom.UnavailableError{Dependency: dom.Kafka, Err: away}
		case !known:
			errs[i] = &dom.UnavailableError{Dependency: dom.Kafka, Err: errors.New("no such topic")}
		case len(m.Payload) > limit:
			errs[i] = fmt.Errorf("%w: too large", dom.ErrRecordRejected)
		case respond != nil:
			errs[i] = respond(m)
		}
		if errs[i] == nil {
			p.mu.Lock()
			p.got = append(p.got, m)
			p.mu.Unlock()
		}
	}
	return errs
}

// Ping does what the port says.
func (p *MemoryPublisher) Ping(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := cmp.Or(ctx.Err(), p.away); err != nil {
		return &dom.UnavailableError{Dependency: dom.Kafka, Err: err}
	}
	return nil
}
