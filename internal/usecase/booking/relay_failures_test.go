package booking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

func TestRelayWaitsForKafka(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	var out testenv.Buffer
	ctx := zerolog.New(&out).WithContext(t.Context())
	away := &dom.UnavailableError{Dependency: dom.Kafka, Err: errors.New("connection refused")}
	p.Respond(func(dom.OutboxMessage) error { return away })
	for i := range 100 {
		add(o, "b"+strconv.Itoa(i), 2)
	}
	cfg := quickConfig
	cfg.MaxBackoff = 200 * time.Millisecond
	reads := &countedReads{EventRepository: o}
	r, _ := startRelay(ctx, t, reads, p, cfg)
	for began := time.Now(); time.Since(began) < 500*time.Millisecond; {
		r.wakeAll()
		time.Sleep(100 * time.Microsecond)
	}
	// Four workers, each waiting 1 to 2 ms, 2 to 4, …, up to 100 to 200.
	require.Less(t, len(p.Waves()), 4*14, "wake-ups do not defeat the backoff")
	require.Less(t, int(reads.n.Load()), 4*20, "nor is the database read in vain meanwhile")
	for _, row := range o.Rows() {
		require.Equal(t, dom.OutboxPending, row.Status)
		require.Zero(t, row.RetryCount, "it is not the event's fault")
	}
	require.LessOrEqual(t, strings.Count(out.String(), "Failed to publish event"), 1, "said once in a while")

	p.Respond(nil)
	waitSent(t, o, 200)
	requireFirstInOrder(t, p.Published(), 100, 2)
}

type countedReads struct {
	dom.EventRepository
	n atomic.Int32
}

func (c *countedReads) GetPendingOutbox(ctx context.Context, shards []int16, n int, except []string) ([]dom.OutboxMessage, error) {
	c.n.Add(1)
	return c.EventRepository.GetPendingOutbox(ctx, shards, n, except)
}

func TestRelayGoesOnPastATopicThatIsAway(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	away := &dom.UnavailableError{Dependency: dom.Kafka, Err: errors.New("no such topic")}
	p.Respond(func(m dom.OutboxMessage) error {
		if m.Topic == "booking.held" {
			return away
		}
		return nil
	})
	for i := range 300 {
		o.Add(bookingtest.Message("held"+strconv.Itoa(i), 1, "booking.held"))
		o.Add(bookingtest.Message("held"+strconv.Itoa(i), 2, "booking.confirmed"))
	}
	for i := range 300 {
		o.Add(bookingtest.Message("other"+strconv.Itoa(i), 1, "booking.seated"))
	}
	startRelay(t.Context(), t, o, p, quickConfig)
	waitSent(t, o, 300)
	for _, m := range p.Published() {
		require.Equal(t, "booking.seated", m.Topic, "a booking's later events wait")
	}
	p.Respond(nil)
	waitSent(t, o, 900)
}

func TestRelayGivesUpARefusedEvent(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	var out testenv.Buffer
	ctx := zerolog.New(&out).WithContext(t.Context())
	cause := fmt.Errorf("%w: too large", dom.ErrRecordRejected)
	var tries atomic.Int32
	p.Respond(func(m dom.OutboxMessage) error {
		if m.Key == "bad" && m.BookingVersion == 2 {
			tries.Add(1)
			return cause
		}
		return nil
	})
	add(o, "bad", 4)
	cfg := quickConfig
	cfg.RetryAfter = 200 * time.Millisecond
	r, _ := startRelay(ctx, t, o, p, cfg)

	// Others are not kept up by it.
	require.Eventually(t, func() bool { return tries.Load() > 0 }, within, time.Millisecond)
	waitSent(t, o, 1)
	for i := range 20 {
		add(o, "good"+strconv.Itoa(i), 1)
		r.Wake("good" + strconv.Itoa(i))
	}
	waitSent(t, o, 21)
	require.Less(t, tries.Load(), int32(4), "the refused one waits between its tries")
	require.Zero(t, countStatus(o, dom.OutboxDLQ))

	waitSent(t, o, 23)
	require.Equal(t, 1, countStatus(o, dom.OutboxDLQ))
	require.EqualValues(t, 4, tries.Load(), "once and three retries")
	row := o.Rows()[1]
	require.Equal(t, dom.OutboxDLQ, row.Status)
	require.Equal(t, 4, row.RetryCount)

	var versions []int
	for _, m := range p.Published() {
		if m.Key == "bad" {
			versions = append(versions, m.BookingVersion)
		}
	}
	require.Equal(t, []int{1, 3, 4}, versions, "the later events go on, in order")

	var errorLines []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry["level"] == "error" {
			errorLines = append(errorLines, entry)
		}
	}
	require.Len(t, errorLines, 1)
	require.Equal(t, "Failed to publish event", errorLines[0]["message"])
	require.Equal(t, "bad", errorLines[0]["booking_id"])
	require.Equal(t, "booking.confirmed", errorLines[0]["topic"])
	require.EqualValues(t, row.ID, errorLines[0]["id"])
}

func TestRelaySeesPastManyRefusedEvents(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	p.Respond(func(m dom.OutboxMessage) error {
		if m.BookingVersion == 1 {
			return dom.ErrRecordRejected
		}
		return nil
	})
	// More refused bookings in one shard than a pass reads of it.
	for i, n := 0, 0; n < 60; i++ {
		if id := "bad" + strconv.Itoa(i); dom.Shard(id) == 5 {
			n++
			o.Add(bookingtest.Message(id, 1, "booking.held"))
		}
	}
	good := bookingtest.Message("good", 2, "booking.held")
	good.Shard = 5
	o.Add(good)
	cfg := quickConfig
	cfg.RetryAfter = time.Hour
	startRelay(t.Context(), t, o, p, cfg)
	waitSent(t, o, 1)
	require.Zero(t, countStatus(o, dom.OutboxDLQ))
}

// Far more than a pass reads of a shard wait: for their topic, or since they were refused.
func TestRelayReadsPastAllThatWaits(t *testing.T) {
	for name, cause := range map[string]error{
		"refused": dom.ErrRecordRejected,
		"away":    &dom.UnavailableError{Dependency: dom.Kafka, Err: errors.New("no leader")},
	} {
		t.Run(name, func(t *testing.T) {
			o, p := bookingtest.NewMemoryOutbox(), newPublisher()
			p.Respond(func(m dom.OutboxMessage) error {
				if m.Topic == "booking.held" {
					return cause
				}
				return nil
			})
			inShard := func(booking string, version int, topic dom.EventType) {
				m := bookingtest.Message(booking, version, topic)
				m.Shard = 5
				o.Add(m)
			}
			const waiting = 300
			for i := range waiting {
				inShard("waits"+strconv.Itoa(i), 1, "booking.held")
				inShard("waits"+strconv.Itoa(i), 2, "booking.confirmed")
			}
			inShard("good", 2, "booking.confirmed")
			cfg := quickConfig
			cfg.RetryAfter = time.Hour
			cfg.Backoff, cfg.MaxBackoff = 5*time.Second, 5*time.Second
			startRelay(t.Context(), t, o, p, cfg)
			waitSent(t, o, 1)
			require.Equal(t, "good", p.Published()[0].Key)
			inShard("later", 1, "booking.seated")
			waitSent(t, o, 2)
			require.Equal(t, "later", p.Published()[1].Key)
		})
	}
}

// A relay that is started, or takes a shard over, waits anew for an event that was refused before.
func TestRelayDoesNotHastenARefusedEventWhenItStarts(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	refused := bookingtest.Message("bad", 1, "booking.held")
	refused.RetryCount = maxRetries
	o.Add(refused)
	add(o, "good", 1)
	p.Respond(func(m dom.OutboxMessage) error {
		if m.Key == "bad" {
			return dom.ErrRecordRejected
		}
		return nil
	})
	cfg := quickConfig
	cfg.RetryAfter = time.Hour
	_, stop := startRelay(t.Context(), t, o, p, cfg)
	waitSent(t, o, 1)
	stop()
	require.Len(t, p.Published(), 1)
	require.Zero(t, countStatus(o, dom.OutboxDLQ))

	cfg.RetryAfter = time.Millisecond
	startRelay(t.Context(), t, o, p, cfg)
	require.Eventually(t, func() bool { return countStatus(o, dom.OutboxDLQ) == 1 }, within, time.Millisecond)
}

func TestRelayWithoutPostgresForAWhile(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	add(o, "a", 2)
	cfg := shortLeases()
	startRelay(t.Context(), t, o, p, cfg)
	waitSent(t, o, 2)
	o.Fail(errGone)
	time.Sleep(2 * cfg.LeaseTTL)
	o.Fail(nil)
	add(o, "b", 2)
	waitSent(t, o, 4)
}

func TestRelayKeepsInMindWhatItCouldNotMark(t *testing.T) {
	o, p := bookingtest.NewMemoryOutbox(), newPublisher()
	add(o, "a", 1)
	repo := &failingMarks{EventRepository: o}
	repo.failures.Store(5)
	startRelay(t.Context(), t, repo, p, quickConfig)
	waitSent(t, o, 1)
	require.Len(t, p.Published(), 1, "it is marked later and not sent again")
}

type failingMarks struct {
	dom.EventRepository
	failures atomic.Int32
}

func (f *failingMarks) MarkSent(ctx context.Context, owner string, leases []dom.Lease, ids []int64) (int, error) {
	if f.failures.Add(-1) >= 0 {
		return 0, errGone
	}
	return f.EventRepository.MarkSent(ctx, owner, leases, ids)
}
