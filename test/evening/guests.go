package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
)

// choice is one of several that are not equally likely.
type choice[T any] struct {
	of     T
	weight float64
}

// pick draws one of the choices.
func pick[T any](r *rand.Rand, choices []choice[T]) T {
	var sum float64
	for _, c := range choices {
		sum += c.weight
	}
	at := r.Float64() * sum
	for _, c := range choices {
		if at -= c.weight; at < 0 {
			return c.of
		}
	}
	return choices[len(choices)-1].of
}

// What guests want; docs/evening.md says where each table comes from.
var (
	// partySizes in covers.
	partySizes = []choice[int]{{1, 5}, {2, 48}, {3, 12}, {4, 21}, {5, 5}, {6, 6}, {7, 1}, {8, 2}}
	// leadDays is how many days ahead the sitting is.
	leadDays = []choice[int]{{0, 35}, {1, 15}, {2, 8}, {3, 7}, {4, 6}, {5, 5}, {6, 8}, {7, 8}, {14, 5}, {21, 3}}
	// sittings is when it begins.
	sittings = []choice[time.Duration]{
		{clockTime(17, 0), 3}, {clockTime(17, 30), 4}, {clockTime(18, 0), 8}, {clockTime(18, 30), 11},
		{clockTime(19, 0), 17}, {clockTime(19, 30), 18}, {clockTime(20, 0), 16}, {clockTime(20, 30), 10},
		{clockTime(21, 0), 7}, {clockTime(21, 30), 4}, {clockTime(22, 0), 2},
	}
)

// What part of the guests does what.
const (
	walksIn     = 0.15
	hasKey      = 0.6  // books with an idempotency key
	losesAnswer = 0.05 // of those with a key: hangs up early, then repeats the request
	abandons    = 0.12 // of the holds
	dropsHold   = 0.03 // of the holds: cancels before confirming
	cancels     = 0.08 // of the confirmed
	isNoShow    = 0.06 // of those who are expected tonight
	looksAgain  = 0.5  // reads the booking before confirming or cancelling
)

// tries is how often a party asks before it gives up.
const tries = 3

// The popularity of venues falls with their rank by a law of Zipf and Mandelbrot: the most popular of
// 50,000 is asked for by 0.4 % of the parties, half of all ask for the first 830 or so.
const (
	zipfExponent = 1.1
	zipfOffset   = 50
)

func clockTime(hour, minute int) time.Duration {
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
}

// turnTime is how long a party has its table.
func turnTime(size int) time.Duration {
	switch {
	case size <= 2:
		return 90 * time.Minute
	case size <= 4:
		return 120 * time.Minute
	}
	return 150 * time.Minute
}

// pickVenue draws the number of a venue.
func pickVenue(r *rand.Rand, venues int) int {
	return int(rand.NewZipf(r, zipfExponent, zipfOffset, uint64(venues-1)).Uint64())
}

// pickSitting draws when a sitting begins, not before the earliest time; false if none is so late.
func pickSitting(r *rand.Rand, earliest time.Duration) (time.Duration, bool) {
	for i, s := range sittings {
		if s.of >= earliest {
			return pick(r, sittings[i:]), true
		}
	}
	return 0, false
}

// between draws a time from least to most.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// zone is that of all venues: one without daylight saving, so that every local time is there once.
const zone = "Asia/Tokyo"

var location = time.FixedZone(zone, 9*60*60)

// nextSaturday is the date, at midnight UTC, of the first Saturday after a moment's local day.
func nextSaturday(now time.Time) time.Time {
	year, month, day := now.In(location).Date()
	date := time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
	return date.AddDate(0, 0, int(time.Saturday-date.Weekday()))
}

// restaurant is what each venue is like: the demo's dozen tables, open at all times, as walk-ins come at
// the machine's time of day.
var restaurant = func() devstack.Place {
	p := devstack.DemoPlace()
	p.TimeZone, p.Hours = zone, nil
	return p
}()

func venueID(n int) string { return fmt.Sprintf("venue-%d", n) }

func places(venues int) []devstack.Place {
	all := make([]devstack.Place, venues)
	for i := range all {
		all[i] = restaurant
		all[i].ID = venueID(i)
	}
	return all
}

// fitting answers the tables that seat a party, the smallest first, and how many are of that smallest size.
func fitting(size int) (ids []string, smallest int) {
	for _, capacity := range []int{2, 4, 6, 8} {
		for _, t := range restaurant.Tables {
			if t.Capacity == capacity && capacity >= size {
				ids = append(ids, t.ID)
			}
		}
		if smallest == 0 {
			smallest = len(ids)
		}
	}
	return ids, smallest
}
