package main

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func draws() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestCurve(t *testing.T) {
	require.InDelta(t, 0.35, saturday.part(opens), 1e-9)
	require.InDelta(t, 1, saturday.part(19*time.Hour+30*time.Minute), 1e-9)
	require.InDelta(t, 0.75, saturday.part(18*time.Hour+30*time.Minute), 1e-9, "between two points")
	require.InDelta(t, 0.15, saturday.part(closes), 1e-9)
	for i, p := range saturday[1:] {
		require.Greater(t, p.at, saturday[i].at)
		require.LessOrEqual(t, p.part, 1.0, "arrivals are drawn at the peak and left out below it")
	}
}

func TestClock(t *testing.T) {
	began := time.Now()
	c := newClock(began, 5*time.Minute)
	require.Equal(t, opens, c.evening(began))
	require.Equal(t, 20*time.Hour, c.evening(began.Add(150*time.Second)))
	require.Equal(t, began.Add(150*time.Second), c.moment(20*time.Hour))
	require.Equal(t, began.Add(5*time.Minute), c.moment(closes))
}

func TestArrivalsFollowTheCurve(t *testing.T) {
	c := newClock(time.Now(), 6*time.Minute)
	var each [intervals]int
	last := c.began
	for at := range arrivals(draws(), saturday, 200, c) {
		require.False(t, at.Before(last))
		last = at
		each[(c.evening(at)-opens)/interval]++
	}
	for i, n := range each[:intervals-1] {
		// An interval takes half a minute, and its mean is that of its ends: no point lies between them.
		from := opens + time.Duration(i)*interval
		expected := 30 * 200 * (saturday.part(from) + saturday.part(from+interval)) / 2
		require.InDelta(t, expected, n, 0.12*expected, timeText(from))
	}
	require.Zero(t, each[intervals-1])

	take := func(seed uint64) (all []time.Time) {
		for at := range arrivals(rand.New(rand.NewPCG(seed, 0)), saturday, 10, c) {
			all = append(all, at)
		}
		return all
	}
	first := take(1)
	require.Equal(t, first, take(1))
	require.NotEqual(t, first, take(2))
}

func TestPick(t *testing.T) {
	r, drawn := draws(), map[int]int{}
	for range 100_000 {
		drawn[pick(r, partySizes)]++
	}
	var weights float64
	for _, c := range partySizes {
		weights += c.weight
	}
	for _, c := range partySizes {
		expected := 100_000 * c.weight / weights
		require.InDelta(t, expected, drawn[c.of], 0.1*expected, "parties of %d", c.of)
	}
}

// docs/evening.md says how popular the most popular venues are.
func TestVenuesAreSkewed(t *testing.T) {
	r, drawn := draws(), make([]int, 50_000)
	for range 200_000 {
		drawn[pickVenue(r, len(drawn))]++
	}
	require.InDelta(t, 800, drawn[0], 100, "0.4 % for the first")
	first := 0
	for _, n := range drawn[:830] {
		first += n
	}
	require.InDelta(t, 100_000, first, 5000, "a half")
	require.Zero(t, pickVenue(r, 1))
}

func TestSittingsOfTonightAreAhead(t *testing.T) {
	r := draws()
	for range 1000 {
		at, ok := pickSitting(r, clockTime(20, 15))
		require.True(t, ok)
		require.GreaterOrEqual(t, at, clockTime(20, 30))
	}
	_, ok := pickSitting(r, clockTime(22, 1))
	require.False(t, ok)

	e := newEvening(plan{venues: 10, takes: time.Minute}, nil)
	for n := range 1000 {
		p := e.newParty(n, clockTime(22, 0))
		require.True(t, p.walkIn || p.days > 0, "nobody books a sitting of tonight at ten")
		require.Contains(t, restaurantTables(p.size), p.table)
	}
}

func TestPartiesDependOnTheSeedAlone(t *testing.T) {
	drawn := func(seed uint64) (all []party) {
		e := newEvening(plan{venues: 1000, seed: seed}, nil)
		for n := range 100 {
			p := e.newParty(n, opens)
			all = append(all, party{venue: p.venue, size: p.size, walkIn: p.walkIn, days: p.days, begins: p.begins, table: p.table})
		}
		return all
	}
	first := drawn(1)
	require.Equal(t, first, drawn(1))
	require.NotEqual(t, first, drawn(2))
}

func restaurantTables(size int) (ids []string) {
	for _, t := range restaurant.Tables {
		if t.Capacity >= size {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

func TestFitting(t *testing.T) {
	for size := 1; size <= 8; size++ {
		ids, smallest := fitting(size)
		require.ElementsMatch(t, restaurantTables(size), ids)
		require.Positive(t, smallest)
	}
	ids, smallest := fitting(7)
	require.Equal(t, []string{"table-12"}, ids)
	require.Equal(t, 1, smallest)
	_, smallest = fitting(5)
	require.Equal(t, 2, smallest, "tables of six before the one of eight")
}

func TestNextSaturday(t *testing.T) {
	for now, want := range map[string]string{
		"2026-11-24T12:00:00Z": "2026-11-28",
		"2026-11-27T12:00:00Z": "2026-11-28",
		"2026-11-27T16:00:00Z": "2026-12-05", // Saturday in Tokyo: the next one, so that all of it lies ahead
	} {
		at, err := time.Parse(time.RFC3339, now)
		require.NoError(t, err)
		require.Equal(t, want, nextSaturday(at).Format(time.DateOnly), now)
	}
}

func TestAgenda(t *testing.T) {
	a, now := newAgenda(), time.Now()
	var done []string
	single := make(chan string, 10)
	note := func(name string) step { return func(time.Time) { single <- name } }
	a.add(now.Add(40*time.Millisecond), note("third"))
	a.add(now.Add(-time.Second), func(planned time.Time) {
		require.True(t, planned.Equal(now.Add(-time.Second)))
		single <- "first"
		a.add(now.Add(20*time.Millisecond), note("second"))
	})
	a.add(now.Add(time.Hour), note("never"))
	a.play(t.Context(), now.Add(150*time.Millisecond))
	a.running.Wait()
	close(single)
	for name := range single {
		done = append(done, name)
	}
	require.Equal(t, []string{"first", "second", "third"}, done)
	require.Empty(t, a.later)
}

func TestTally(t *testing.T) {
	c := newClock(time.Now(), 6*time.Minute) // half an hour takes 30 seconds
	tally := newTally(c)
	at := func(s float64) time.Time { return c.began.Add(time.Duration(s * float64(time.Second))) }
	tally.asked(at(29))
	tally.answered(create, at(29), at(31), "SLOT_TAKEN")
	tally.answered(read, at(1), at(2), "")
	tally.expired(at(1000))
	tally.failed(at(31), errors.New("broken"))

	require.Equal(t, 1, tally.rows[0].asked)
	require.Zero(t, tally.rows[0].answered)
	require.Equal(t, 1, tally.rows[1].answered, "answered in the next interval")
	require.Equal(t, []time.Duration{2 * time.Second}, tally.rows[0].times[create], "since it was planned")
	require.Equal(t, map[string]int{"SLOT_TAKEN": 1}, tally.rows[0].refused)
	require.Equal(t, 1, tally.rows[intervals-1].expired)
	all := tally.sum(intervals)
	require.Equal(t, []int{1, 1, 1, 1}, []int{all.asked, all.answered, all.expired, all.errors})
	require.Equal(t, 1, all.refused["SLOT_TAKEN"])
	require.Zero(t, tally.sum(1).errors)
}

func TestRefusal(t *testing.T) {
	with := func(reason string) error {
		s, err := status.New(codes.AlreadyExists, "no").WithDetails(&errdetails.ErrorInfo{Reason: reason})
		require.NoError(t, err)
		return s.Err()
	}
	require.Equal(t, "SLOT_TAKEN", refusal(with("SLOT_TAKEN")))
	require.Empty(t, refusal(with("DEPENDENCY_UNAVAILABLE")))
	require.Empty(t, refusal(status.Error(codes.Internal, "no")))
	require.Empty(t, refusal(nil))
}

func TestClimb(t *testing.T) {
	var tried []float64
	until := func(limit float64) func(float64) (bool, error) {
		tried = nil
		return func(rate float64) (bool, error) {
			tried = append(tried, rate)
			return rate <= limit, nil
		}
	}
	rate, err := climb(until(320))
	require.NoError(t, err)
	require.InDelta(t, 312.5, rate, 1e-9)
	require.Equal(t, []float64{200, 250, 312.5, 390.625}, tried)
	_, err = climb(until(100))
	require.ErrorContains(t, err, "not even 200")
	_, err = climb(func(float64) (bool, error) { return false, errors.New("broken") })
	require.ErrorContains(t, err, "broken")
}

func TestHolds(t *testing.T) {
	r := row{asked: 100, answered: 95}
	r.times[create] = slices.Repeat([]time.Duration{time.Millisecond}, 100)
	require.True(t, holds(r))
	r.times[create][0], r.times[create][99] = time.Second, time.Second
	require.False(t, holds(r), "two in a hundred are slow")
	r.times[create][99], r.times[create][98] = time.Millisecond, time.Millisecond
	r.answered = 94
	require.False(t, holds(r))
	r.answered, r.errors = 100, 1
	require.False(t, holds(r))
}
