package main

import (
	"iter"
	"math/rand/v2"
	"time"
)

// The evening, in its own time since midnight. Parties ask from opens to closes; what they do later is
// played until ends.
const (
	opens  = 17 * time.Hour
	closes = 23 * time.Hour
	ends   = closes + interval

	// interval is what the report has a row for.
	interval  = 30 * time.Minute
	intervals = int((ends - opens) / interval)
)

// point is how many parties ask for a table at a time, as a part of the peak.
type point struct {
	at   time.Duration
	part float64
}

// curve runs straight from one point to the next.
type curve []point

var (
	// saturday begins with those who plan ahead, rises as people get hungry, and ends with the last walk-ins.
	saturday = curve{
		{opens, 0.35}, {18 * time.Hour, 0.6}, {19 * time.Hour, 0.9}, {19*time.Hour + 30*time.Minute, 1},
		{20 * time.Hour, 0.9}, {21 * time.Hour, 0.55}, {22 * time.Hour, 0.3}, {closes, 0.15},
	}
	// flat is the peak all the time, for the search of a rate that holds.
	flat = curve{{opens, 1}, {closes, 1}}
)

// part answers the part of the peak at a time between the first point and the last.
func (c curve) part(at time.Duration) float64 {
	for i, next := range c[1:] {
		if last := c[i]; at <= next.at {
			return last.part + (next.part-last.part)*float64(at-last.at)/float64(next.at-last.at)
		}
	}
	return 0
}

// clock is the evening's, which is quicker than the machine's.
type clock struct {
	began time.Time
	// pace is how long of the evening passes while the machine's clock goes on by one.
	pace float64
}

// newClock lets the hours from opens to closes pass in d.
func newClock(began time.Time, d time.Duration) clock {
	return clock{began, float64(closes-opens) / float64(d)}
}

// evening answers what the evening's clock shows at a moment.
func (c clock) evening(t time.Time) time.Duration {
	return opens + time.Duration(float64(t.Sub(c.began))*c.pace)
}

// moment answers when the evening's clock shows a time.
func (c clock) moment(at time.Duration) time.Time {
	return c.began.Add(time.Duration(float64(at-opens) / c.pace))
}

// arrivals answers the moments at which parties ask, in their order: a Poisson process with peak a second
// where the curve is 1.
func arrivals(r *rand.Rand, c curve, peak float64, clock clock) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		var since float64 // seconds
		for {
			since += r.ExpFloat64() / peak
			t := clock.began.Add(time.Duration(since * float64(time.Second)))
			at := clock.evening(t)
			if at >= closes {
				return
			}
			if r.Float64() < c.part(at) && !yield(t) {
				return
			}
		}
	}
}
