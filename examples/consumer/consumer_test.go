package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

var start = time.Date(2026, 12, 5, 19, 0, 0, 0, time.UTC)

func version(n int) *event { return &event{bookingID: "b", version: n} }

// versions tells what was answered; a late one is negative.
func versions(events []*event) []int {
	list := []int{}
	for _, e := range events {
		if e.late {
			list = append(list, -e.version)
		} else {
			list = append(list, e.version)
		}
	}
	return list
}

func TestTopicsAreTheServices(t *testing.T) {
	require.Equal(t, dom.Topics(), topics)
}

func TestSequence(t *testing.T) {
	s := newSequence()
	add := func(n int, at time.Duration) []int { return versions(s.add(version(n), start.Add(at))) }
	require.Equal(t, []int{1}, add(1, 0))
	require.Empty(t, add(1, 0), "a repeat")
	require.Empty(t, add(4, time.Second), "early")
	require.Empty(t, add(4, 2*time.Second), "a repeat of an early one")
	require.Empty(t, add(3, 3*time.Second))
	require.Equal(t, []int{2, 3, 4}, add(2, 4*time.Second))
	require.Empty(t, s.early)
	require.Empty(t, add(3, 5*time.Second))
	require.Len(t, s.applied, 1)
	require.Equal(t, []int{1}, versions(s.add(&event{bookingID: "c", version: 1}, start)), "each booking by itself")
}

func TestGapsOfASequence(t *testing.T) {
	s := newSequence()
	add := func(n int, at time.Duration) []int { return versions(s.add(version(n), start.Add(at))) }
	overdue := func(since time.Duration) []gap { return s.overdue(start.Add(since), start.Add(since+time.Minute)) }
	add(1, 0)
	add(3, time.Second)
	add(6, 5*time.Second)
	require.Empty(t, overdue(time.Second-1), "it may still be filled")
	require.Equal(t, []int{2, 3}, add(2, 10*time.Second))
	require.Empty(t, overdue(10*time.Second-1), "the next gap is a new one")
	got := overdue(10 * time.Second)
	require.Len(t, got, 1)
	require.Equal(t, []int{4, 5}, got[0].missing)
	require.Equal(t, []int{6}, versions(got[0].events))
	require.Empty(t, overdue(time.Hour), "told once")
	require.Equal(t, []int{-5}, add(5, time.Hour), "late, and said so")
	require.Empty(t, add(5, time.Hour))
	require.Equal(t, []int{7}, add(7, time.Hour))
}

func TestWhatAnEarlierRunApplied(t *testing.T) {
	s := newSequence()
	passed := func(n int) []int { return versions(s.passed(version(n), start)) }
	require.Empty(t, versions(s.add(version(2), start)), "read before what was applied earlier")
	require.Equal(t, []int{2}, passed(1))
	require.Empty(t, passed(3))
	require.Empty(t, versions(s.add(version(3), start)))
	require.Equal(t, []int{4}, versions(s.add(version(4), start)))

	s = newSequence()
	s.add(version(3), start)
	require.Empty(t, passed(3), "applied twice only when it has to be")
	require.Empty(t, s.early)
}

// What is missing may be in a partition that was not read as far.
func TestGapsWaitForAllPartitions(t *testing.T) {
	c := &consumer{config: config{gap: time.Minute}}
	c.forget()
	held, confirmed, other := partition{"booking.held", 0}, partition{"booking.confirmed", 0}, partition{"booking.held", 1}
	for _, p := range []partition{held, confirmed, other} {
		c.positions[p] = &position{}
	}
	record := func(p partition, offset int64, booking, version string) *kgo.Record {
		return &kgo.Record{
			Topic: p.topic, Partition: p.number, Offset: offset, Key: []byte(booking),
			Value: []byte(`{"booking_id": "` + booking + `"}`),
			Headers: []kgo.RecordHeader{
				{Key: "event_id", Value: []byte(booking + version)}, {Key: "booking_version", Value: []byte(version)},
				{Key: "content-type", Value: []byte("application/json")},
			},
		}
	}
	require.Empty(t, c.take(record(confirmed, 0, "b", "2"), start))
	require.Empty(t, c.gaps(t.Context(), start.Add(59*time.Second)))
	// Asked at the end of the minute.
	c.ends, c.asked = map[partition]int64{held: 2, confirmed: 1}, start.Add(time.Minute)
	require.Empty(t, c.gaps(t.Context(), start.Add(time.Hour)), "there is more to read")
	require.Empty(t, c.take(record(confirmed, 1, "late", "2"), start.Add(time.Hour)))
	require.Len(t, c.take(record(held, 0, "c", "1"), start.Add(time.Hour)), 1)
	require.Empty(t, c.gaps(t.Context(), start.Add(time.Hour)))
	require.Len(t, c.take(record(held, 1, "d", "1"), start.Add(time.Hour)), 1)
	gaps := c.gaps(t.Context(), start.Add(time.Hour))
	require.Len(t, gaps, 1, "not the one that came after the question")
	require.Equal(t, "b", gaps[0].bookingID)
	require.Nil(t, c.ends)

	// What another member has from now on is no longer applied or committed here.
	require.NotEmpty(t, c.sequence.early)
	c.revoked(t.Context(), nil, nil)
	require.Empty(t, c.sequence.early)
	require.Empty(t, c.positions)
}

func TestParse(t *testing.T) {
	good := func() *kgo.Record {
		return &kgo.Record{
			Topic: "booking.seated", Key: []byte("b-1"),
			Value: []byte(`{"booking_id": "b-1", "seated": {"new": 1}, "mood": {"cheerful": true}}`),
			Headers: []kgo.RecordHeader{
				{Key: "event_id", Value: []byte("e-1")}, {Key: "booking_version", Value: []byte("3")},
				{Key: "content-type", Value: []byte("application/json")}, {Key: "new", Value: []byte("x")},
			},
		}
	}
	e, err := parse(good())
	require.NoError(t, err, "unknown fields and headers are no fault")
	require.Equal(t, 3, e.version)
	require.NotNil(t, e.told.GetSeated())

	for want, spoil := range map[string]func(*kgo.Record){
		"event_id":        func(r *kgo.Record) { r.Headers = r.Headers[1:] },
		"booking_version": func(r *kgo.Record) { r.Headers[1].Value = []byte("0") },
		"content-type":    func(r *kgo.Record) { r.Headers[2].Value = []byte("application/protobuf") },
		"BookingEvent":    func(r *kgo.Record) { r.Value = []byte(`{"booking_id": "b-1", "party_size": "Zaphod"}`) },
		"key":             func(r *kgo.Record) { r.Key = []byte("b-2") },
		"booking's id":    func(r *kgo.Record) { r.Key, r.Value = nil, []byte("{}") },
	} {
		r := good()
		spoil(r)
		_, err := parse(r)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "Zaphod")
	}
}
