package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

// result is what a measurement of one side came to.
type result struct {
	calls     int
	elapsed   time.Duration
	latencies []time.Duration
}

// rate is in calls a second.
func (r result) rate() float64 { return float64(r.calls) / r.elapsed.Seconds() }

// percentile of the latencies, p from 0 to 100.
func (r result) percentile(p float64) time.Duration {
	return load.Percentile(r.latencies, p)
}

// and puts two measurements of the same thing together.
func (r result) and(other result) result {
	return result{r.calls + other.calls, r.elapsed + other.elapsed, append(r.latencies, other.latencies...)}
}

// closed lets clients call one after another for a while, each as soon as its last call is answered.
// The first error ends it.
func closed(ctx context.Context, clients int, d time.Duration, call func(ctx context.Context, client int) error) (result, error) {
	over := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	return closedUntil(ctx, clients, over, call)
}

// closedUntil is closed until over is closed.
func closedUntil(ctx context.Context, clients int, over <-chan struct{}, call func(ctx context.Context, client int) error) (result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg  sync.WaitGroup
		all = make([][]time.Duration, clients)
	)
	began := time.Now()
	for client := range clients {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				start := time.Now()
				if err := call(ctx, client); err != nil {
					cancel(err)
					return
				}
				all[client] = append(all[client], time.Since(start))
			}
		})
	}
	wg.Wait()
	r := result{elapsed: time.Since(began), latencies: slices.Concat(all...)}
	r.calls = len(r.latencies)
	return r, context.Cause(ctx)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
