//go:build integration

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long anything may take on a busy machine.
const limit = 60 * time.Second

// never is a gap that no test waits for.
const never = time.Hour

// fixture are seven topics and a group of a test's own.
type fixture struct {
	t      *testing.T
	client *kgo.Client
	admin  *kadm.Client
	prefix string
	group  string
}

func newFixture(t *testing.T, partitions int32) *fixture {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(testenv.KafkaBrokers(t)...),
		kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(100*time.Millisecond)) // The topics are new.
	require.NoError(t, err)
	t.Cleanup(client.Close)
	f := &fixture{t: t, client: client, admin: kadm.NewClient(client), prefix: "test." + dom.NewID() + ".", group: dom.NewID()}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	answers, err := f.admin.CreateTopics(ctx, partitions, 1, nil, f.topics()...)
	require.NoError(t, err)
	require.NoError(t, answers.Error())
	return f
}

func (f *fixture) topics() []string {
	var list []string
	for _, topic := range topics {
		list = append(list, f.prefix+topic)
	}
	return list
}

// produce sends a record and answers its offset.
func (f *fixture) produce(topic, key, value string, headers ...string) int64 {
	f.t.Helper()
	r := &kgo.Record{Topic: f.prefix + topic, Key: []byte(key), Value: []byte(value)}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), limit)
	defer cancel()
	require.NoError(f.t, f.client.ProduceSync(ctx, r).FirstErr())
	return r.Offset
}

// event sends an event of a booking; a second time it is a repeat.
func (f *fixture) event(topic, booking string, version int) int64 {
	f.t.Helper()
	return f.produce(topic, booking, fmt.Sprintf(`{
		"headers": {"source": "booking-svc", "timestamp": "1795493230", "weather": "rain"},
		"booking_id": %q, "table": {"venue_id": "venue-1", "table_id": "t-1"}, "joined_tables": [{"table_id": "t-2"}],
		"slot": {"date": "2026-12-05", "start_time": "19:30", "duration_minutes": 120}, "party_size": 6,
		"customer_name": "Zaphod", "customer_phone": "+42 4242 4242", "from_a_later_version": [{"x": null}]}`, booking),
		"event_id", booking+"-"+strconv.Itoa(version), "booking_version", strconv.Itoa(version),
		"content-type", "application/json", "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
}

// marker sends the first event of another booking and waits until it is applied: what was in the
// topic before it, which has one partition, has been read then.
func (f *fixture) marker(r *running, topic string) {
	f.t.Helper()
	booking := "marker-" + dom.NewID()
	f.event(topic, booking, 1)
	r.wait(booking, 1)
}

// running is a consumer that runs.
type running struct {
	t           *testing.T
	out, report testenv.Buffer
	cancel      context.CancelFunc
	ended       chan error
}

func (f *fixture) run(gap time.Duration) *running {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: f.t, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		r.ended <- run(ctx, config{
			brokers: testenv.KafkaBrokers(f.t), group: f.group, topics: f.topics(), gap: gap, out: &r.out, report: &r.report,
		})
	}()
	f.t.Cleanup(func() {
		cancel()
		if f.t.Failed() {
			f.t.Logf("out:\n%s\nreport:\n%s", r.out.String(), r.report.String())
		}
	})
	return r
}

// stop ends the consumer as Ctrl-C does.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	select {
	case err := <-r.ended:
		require.NoError(r.t, err)
	case <-time.After(limit):
		r.t.Fatal("the consumer does not end")
	}
}

// lines answers what was written about a booking, or of all for "".
func (r *running) lines(booking string) []line {
	r.t.Helper()
	var list []line
	text := r.out.String()
	for text != "" {
		var one string
		one, text, _ = strings.Cut(text, "\n")
		var l line
		require.NoError(r.t, json.Unmarshal([]byte(one), &l), one)
		if booking == "" || l.BookingID == booking {
			list = append(list, l)
		}
	}
	return list
}

// applied answers the versions of a booking that were written, a late one as negative.
func (r *running) applied(booking string) []int {
	list := []int{}
	for _, l := range r.lines(booking) {
		require.Equal(r.t, booking+"-"+strconv.Itoa(l.Version), l.EventID)
		if l.Late {
			l.Version = -l.Version
		}
		list = append(list, l.Version)
	}
	return list
}

// wait waits until as many events of a booking were applied, and answers them.
func (r *running) wait(booking string, n int) []int {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return len(r.applied(booking)) >= n }, limit, 10*time.Millisecond, booking)
	return r.applied(booking)
}

func TestConsumer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	r := f.run(never)

	// A booking, and all of it again, as after a relay that died before it marked what it had sent.
	life := []string{"booking.held", "booking.confirmed", "booking.seated", "booking.finished"}
	for range 2 {
		for i, topic := range life {
			f.event(topic, "a", i+1)
		}
	}
	require.Equal(t, []int{1, 2, 3, 4}, r.wait("a", 4))

	// The topics are read in the wrong order, with what is no event among them.
	f.event("booking.seated", "b", 3)
	f.marker(r, "booking.seated")
	var poison []string
	for _, offset := range []int64{
		f.produce("booking.confirmed", "b", "Zaphod +42 4242 4242"),
		f.produce("booking.confirmed", "b", "Zaphod +42 4242 4242", "event_id", "b-2", "booking_version", "2", "content-type", "application/json"),
		f.produce("booking.confirmed", "c", `{"booking_id": "b"}`, "event_id", "b-2", "booking_version", "2", "content-type", "application/json"),
		f.produce("booking.confirmed", "", ""),
	} {
		poison = append(poison, fmt.Sprintf("no event: %sbooking.confirmed/0 offset %d: ", f.prefix, offset))
	}
	f.event("booking.confirmed", "b", 2)
	f.event("booking.seated", "b", 3)
	f.marker(r, "booking.seated")
	f.marker(r, "booking.confirmed")
	require.Empty(t, r.applied("b"), "its first event is missing")
	f.event("booking.held", "b", 1)
	require.Equal(t, []int{1, 2, 3}, r.wait("b", 3))

	for _, topic := range topics {
		f.marker(r, topic)
	}
	require.Equal(t, []int{1, 2, 3, 4}, r.applied("a"))
	require.Equal(t, []int{1, 2, 3}, r.applied("b"), "no repeat")
	for _, want := range poison {
		require.Equal(t, 1, strings.Count(r.report.String(), want), want)
	}
	require.NotContains(t, r.report.String(), "gap")
	require.Equal(t, line{
		Topic: f.prefix + "booking.held", BookingID: "b", Version: 1, EventID: "b-1", VenueID: "venue-1",
		Tables: []string{"t-1", "t-2"}, Date: "2026-12-05", StartTime: "19:30", DurationMinutes: 120, PartySize: 6,
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}, r.lines("b")[0])
	// With the blank: ids are hexadecimal, and now and then one has these digits.
	for _, secret := range []string{"Zaphod", "4242 4242"} {
		require.NotContains(t, r.out.String()+r.report.String(), secret)
	}
	r.stop()
}

// An event of which the operator of the service has to decide: the consumer goes on without it, says
// so, and takes it when it comes after all.
func TestGapThatStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	r := f.run(200 * time.Millisecond)
	f.event("booking.held", "a", 1)
	f.event("booking.seated", "a", 3)
	f.event("booking.finished", "a", 4)
	require.Equal(t, []int{1, 3, 4}, r.wait("a", 3))
	require.Equal(t, 1, strings.Count(r.report.String(), "gap: booking a: version [2] did not come within 200ms"))
	f.event("booking.confirmed", "a", 2)
	f.event("booking.confirmed", "a", 2)
	require.Equal(t, []int{1, 3, 4, -2}, r.wait("a", 4))
	f.marker(r, "booking.confirmed")
	require.Equal(t, []int{1, 3, 4, -2}, r.applied("a"))
	r.stop()
	require.Equal(t, 1, strings.Count(r.report.String(), "gap: "))
}

// A consumer that ends while an event waits: the next one gets that event again, and knows what was
// applied before.
func TestRestart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	r := f.run(never)
	f.event("booking.held", "a", 1)
	waits := f.event("booking.seated", "a", 3)
	f.event("booking.held", "b", 1)
	r.wait("a", 1)
	r.wait("b", 1)
	f.marker(r, "booking.seated")
	require.Equal(t, []int{1}, r.applied("a"))
	r.stop()

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	committed, err := f.admin.FetchOffsets(ctx, f.group)
	require.NoError(t, err)
	at := func(topic string) int64 {
		o, _ := committed.Lookup(f.prefix+topic, 0)
		return o.At
	}
	require.Equal(t, int64(2), at("booking.held"), "all of it was applied")
	require.Equal(t, waits, at("booking.seated"), "not past what waits")

	r = f.run(never)
	f.event("booking.confirmed", "b", 2)
	f.event("booking.held", "b", 1) // A repeat of what the first run applied.
	require.Equal(t, []int{2}, r.wait("b", 1))
	f.marker(r, "booking.held")
	f.marker(r, "booking.seated")
	require.Empty(t, r.applied("a"), "its third event still waits")
	f.event("booking.confirmed", "a", 2)
	require.Equal(t, []int{2, 3}, r.wait("a", 2))
	require.Equal(t, []int{2}, r.applied("b"))
	r.stop()
}

// failing takes a few writes and then no more.
type failing struct{ left int }

func (w *failing) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestWhatIsNotAppliedComesAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	for i, topic := range []string{"booking.held", "booking.confirmed", "booking.cancelled"} {
		f.event(topic, "a", i+1)
	}
	r := &running{t: t}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := run(ctx, config{
		brokers: testenv.KafkaBrokers(t), group: f.group, topics: f.topics(), gap: never, out: &failing{left: 2}, report: &r.report,
	})
	require.ErrorContains(t, err, "disk full")

	again := f.run(never)
	require.Eventually(t, func() bool { return strings.Contains(again.out.String(), "a-3") }, limit, 10*time.Millisecond)
	again.stop()
}

// Two members share the bookings, and one takes over when the other leaves; also what waits.
func TestTwoMembers(t *testing.T) {
	t.Parallel()
	const bookings = 40
	f := newFixture(t, 3)
	name := func(b int) string { return fmt.Sprint("b", b) }
	send := func(topic string, version int) {
		for b := range bookings {
			f.event(topic, name(b), version)
		}
	}
	members := []*running{f.run(never)}
	applied := func(b int) (versions []int) {
		for _, m := range members {
			versions = append(versions, m.applied(name(b))...)
		}
		return versions
	}
	// all waits until each booking has n events applied, by whichever member.
	all := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool {
			for b := range bookings {
				if len(applied(b)) < n {
					return false
				}
			}
			return true
		}, limit, 50*time.Millisecond)
	}
	send("booking.held", 1)
	send("booking.seated", 3)
	all(1)
	members = append(members, f.run(never))
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		groups, err := f.admin.DescribeGroups(ctx, f.group)
		return err == nil && groups[f.group].State == "Stable" && len(groups[f.group].Members) == 2
	}, limit, 20*time.Millisecond)
	send("booking.confirmed", 2)
	all(3)
	require.NotEmpty(t, members[1].lines(""), "it has its share")
	members[0].stop()
	send("booking.finished", 4)
	all(4)
	members[1].stop()
	for b := range bookings {
		// Each once, since the first member gave its bookings back in order.
		require.Equal(t, []int{1, 2, 3, 4}, applied(b))
	}
}
