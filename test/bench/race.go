package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// burstClients are the callers that come at the same moment.
const burstClients = 64

// burst lets 64 clients call at the same moment, again and again, each round after the last is answered, and
// answers how long those calls took that call says are counted.
func burst(rounds int, call func(round, client int) (counted bool, err error)) (r result, err error) {
	began := time.Now()
	for round := range rounds {
		var wg sync.WaitGroup
		var mu sync.Mutex
		start := make(chan struct{})
		for client := range burstClients {
			wg.Go(func() {
				<-start
				asked := time.Now()
				counted, callErr := call(round, client)
				took := time.Since(asked)
				mu.Lock()
				defer mu.Unlock()
				if callErr != nil {
					err = callErr
				}
				if counted {
					r.latencies = append(r.latencies, took)
				}
			})
		}
		close(start)
		wg.Wait()
		if err != nil {
			return r, err
		}
	}
	r.calls, r.elapsed = len(r.latencies), time.Since(began)
	return r, nil
}

// race lets all want one sitting, and answers how long the losers waited for their refusal.
func (b *bench) race(ctx context.Context, rounds int) (losers result, err error) {
	first := int(b.next.Add(int64(rounds))) - rounds + 1
	losers, err = burst(rounds, func(round, client int) (bool, error) {
		_, err := b.client(client).CreateBooking(ctx, createRequest(first+round))
		if status.Code(err) == codes.AlreadyExists {
			return true, nil
		}
		return false, err
	})
	if want := rounds * (burstClients - 1); err == nil && losers.calls != want {
		err = fmt.Errorf("race: %d losers of %d sittings, not %d", losers.calls, rounds, want)
	}
	return losers, err
}

// raceClaim compares the losers of races with as many callers who want different tables, or nothing at all.
func (b *bench) raceClaim(ctx context.Context, rounds int) (claim, error) {
	losers, err := b.race(ctx, rounds)
	if err != nil {
		return claim{}, err
	}
	alone := func(call func(context.Context, int) error) (result, error) {
		return burst(rounds, func(_, client int) (bool, error) { return true, call(ctx, client) })
	}
	others, err := alone(b.create)
	if err != nil {
		return claim{}, err
	}
	nothing, err := alone(b.nothing)
	p99 := losers.percentile(99)
	return claim{
		measured: fmt.Sprintf("losers' p50 %.1f ms, p99 %.1f ms, %d rounds; 64 creates of different tables p99 %.1f ms; 64 calls that ask for nothing p99 %.1f ms",
			milliseconds(losers.percentile(50)), milliseconds(p99), rounds, milliseconds(others.percentile(99)), milliseconds(nothing.percentile(99))),
		goal: "losers' p99 ≤ 15 ms", met: p99 <= 15*time.Millisecond,
	}, err
}
