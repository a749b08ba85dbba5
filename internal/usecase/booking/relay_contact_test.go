package booking

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

var errUnreachable = errors.New("connection refused")

// impatient is a relay that soon gives its shards back.
func impatient() RelayConfig {
	cfg := shortLeases()
	cfg.GiveBackAfter = 200 * time.Millisecond
	return cfg
}

func waitOwners(t *testing.T, o *bookingtest.MemoryOutbox, want ...int) {
	t.Helper()
	require.Eventually(t, func() bool {
		owners := o.Owners()
		if len(owners) != len(want) {
			return false
		}
		for _, n := range owners {
			if n != want[0] {
				return false
			}
		}
		return true
	}, within, time.Millisecond, "shards of each relay are to be %v", want)
}

func TestRelayThatKafkaDoesNotAnswerLeavesItsShardsToOthers(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	o, p, cutOff := bookingtest.NewMemoryOutbox(), newPublisher(), newPublisher()
	cutOff.Leave(errUnreachable)
	var out testenv.Buffer
	_, stop := startRelay(t.Context(), t, o, p, impatient())
	_, stopCutOff := startRelay(zerolog.New(&out).WithContext(t.Context()), t, o, cutOff, impatient())
	waitOwners(t, o, dom.Shards/2, dom.Shards/2)
	for i := range 200 {
		add(o, "b"+strconv.Itoa(i), 3)
	}
	waitSent(t, o, 600)
	requireFirstInOrder(t, p.Published(), 200, 3)
	require.Empty(t, cutOff.Published())
	waitOwners(t, o, dom.Shards)
	require.Equal(t, 1, strings.Count(out.String(), "Kafka does not answer this process"), out.String())

	// It stays out, and comes back with Kafka.
	time.Sleep(3 * impatient().LeaseTTL)
	waitOwners(t, o, dom.Shards)
	require.NotContains(t, out.String(), "Kafka answers this process again")
	cutOff.Leave(nil)
	waitOwners(t, o, dom.Shards/2, dom.Shards/2)
	require.Equal(t, 1, strings.Count(out.String(), "Kafka answers this process again"))
	for i := range 200 {
		add(o, "c"+strconv.Itoa(i), 1)
	}
	waitSent(t, o, 800)
	require.NotEmpty(t, cutOff.Published())
	require.Equal(t, 1, strings.Count(out.String(), "Kafka does not answer this process"))
	stop()
	stopCutOff()
	require.Empty(t, o.Owners())
}

func TestRelayAloneKeepsItsShards(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	p.Leave(errUnreachable)
	cfg := impatient()
	r, _ := startRelay(t.Context(), t, o, p, cfg)
	add(o, "a", 1)
	require.Eventually(t, func() bool { return r.contact.lostFor() > 3*cfg.GiveBackAfter }, within, time.Millisecond)
	waitOwners(t, o, dom.Shards)
	p.Leave(nil)
	waitSent(t, o, 1)
}

func TestRelaysThatAreAllCutOffComeBackWithKafka(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	p.Leave(errUnreachable)
	for range 3 {
		startRelay(t.Context(), t, o, p, impatient())
	}
	for i := range 200 {
		add(o, "b"+strconv.Itoa(i), 1)
	}
	// Two of them leave, or all three when they do so at the same moment.
	require.Eventually(t, func() bool { return len(o.Owners()) <= 1 }, within, time.Millisecond)
	p.Leave(nil)
	waitSent(t, o, 200)
	require.Eventually(t, func() bool { return len(o.Owners()) == 3 }, within, time.Millisecond)
}

// Topics that are missing, or have too few replicas, are no reason to leave: the others would fare
// no better.
func TestRelayThatKafkaAnswersStays(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	p.Respond(func(dom.OutboxMessage) error {
		return &dom.UnavailableError{Dependency: dom.Kafka, Err: errors.New("not enough replicas")}
	})
	var out testenv.Buffer
	ctx := zerolog.New(&out).WithContext(t.Context())
	for range 2 {
		startRelay(ctx, t, o, p, impatient())
	}
	for i := range 200 {
		add(o, "b"+strconv.Itoa(i), 1)
	}
	waitOwners(t, o, dom.Shards/2, dom.Shards/2)
	time.Sleep(3 * impatient().GiveBackAfter)
	waitOwners(t, o, dom.Shards/2, dom.Shards/2)
	require.NotContains(t, out.String(), "Kafka does not answer")
}

func TestContactIsLostFromTheLastSignOfKafka(t *testing.T) {
	var c contact
	require.Zero(t, c.lostFor())
	away := &dom.UnavailableError{Dependency: dom.Kafka, Err: errUnreachable}
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }

	c.note(t.Context(), ago(time.Hour), []error{dom.ErrRecordRejected})
	require.Zero(t, c.lostFor(), "a refusal says nothing")
	c.note(t.Context(), ago(time.Hour), []error{away, dom.ErrRecordRejected})
	require.GreaterOrEqual(t, c.lostFor(), time.Hour)
	c.note(t.Context(), ago(time.Minute), []error{away})
	require.GreaterOrEqual(t, c.lostFor(), time.Hour, "still since the first")
	c.note(t.Context(), ago(time.Second), []error{away, nil})
	require.Zero(t, c.lostFor(), "one acknowledgement is enough")
	c.note(t.Context(), ago(time.Hour), []error{away})
	require.Less(t, c.lostFor(), time.Minute, "another worker heard from Kafka after this one had begun")
}
