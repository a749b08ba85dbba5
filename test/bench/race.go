package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// race lets 64 clients ask for one sitting at the same moment, again and again, and answers how long
// the losers waited for their refusal.
func (b *bench) race(ctx context.Context, rounds int) (losers result, err error) {
	const clients = 64
	began := time.Now()
	for range rounds {
		n := int(b.next.Add(1))
		var (
			wg      sync.WaitGroup
			mu      sync.Mutex
			winners int
		)
		start := make(chan struct{})
		for client := range clients {
			wg.Go(func() {
				stub, req := b.client(client), createRequest(n)
				<-start
				asked := time.Now()
				_, callErr := stub.CreateBooking(ctx, req)
				took := time.Since(asked)
				mu.Lock()
				defer mu.Unlock()
				switch status.Code(callErr) {
				case codes.OK:
					winners++
				case codes.AlreadyExists:
					losers.latencies = append(losers.latencies, took)
				default:
					err = callErr
				}
			})
		}
		close(start)
		wg.Wait()
		if err == nil && winners != 1 {
			err = fmt.Errorf("race: %d winners of one sitting", winners)
		}
		if err != nil {
			return losers, err
		}
	}
	losers.calls, losers.elapsed = len(losers.latencies), time.Since(began)
	return losers, nil
}
