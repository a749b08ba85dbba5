package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

const (
	// firstRate is where the search begins, in parties a second, and rateStep what it goes on by.
	firstRate, rateStep = 200, 1.25
	// stepTakes is how long each rate is tried.
	stepTakes = 15 * time.Second
	// slowest is the longest that one create in a hundred may take for a rate to hold, and leastDone the
	// least part of the creates that is to be answered in time.
	slowest, leastDone = 500 * time.Millisecond, 0.95
)

// search answers the highest rate that holds. Each is tried for a short evening at its peak, four weeks
// after the one before, on a database of its own.
func search(ctx context.Context, s *load.Stack, p plan) (highest float64, err error) {
	err = withService(ctx, s, "evening_search", func(service *load.Service, _ *pgxpool.Pool) (err error) {
		p.curve, p.takes = flat, stepTakes
		highest, err = climb(func(rate float64) (bool, error) {
			p.rate, p.date = rate, p.date.AddDate(0, 0, 28)
			e := newEvening(p, service)
			if err := e.run(ctx); err != nil {
				return false, err
			}
			all := e.sum(intervals - 1)
			fmt.Fprintf(os.Stderr, "%.0f parties/s: of %d creates %d answered in time, p99 %v, %d errors\n", rate,
				all.asked, all.answered, load.Percentile(all.times[create], 99).Round(time.Millisecond), all.errors)
			return holds(all), nil
		})
		return err
	})
	return highest, err
}

// climb raises the rate until one does not hold, and answers the one before.
func climb(try func(rate float64) (held bool, err error)) (float64, error) {
	last := 0.0
	for rate := float64(firstRate); ; rate *= rateStep {
		held, err := try(rate)
		if err != nil {
			return 0, err
		}
		if !held && last == 0 {
			return 0, fmt.Errorf("not even %d parties a second hold; give a -rate", firstRate)
		}
		if !held {
			return last, nil
		}
		last = rate
	}
}

// holds tells whether the service kept up.
func holds(r row) bool {
	return r.errors == 0 && float64(r.answered) >= leastDone*float64(r.asked) && load.Percentile(r.times[create], 99) <= slowest
}
