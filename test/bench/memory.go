package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// samples of the memory are taken during a million calls: one each 50,000.
const samples = 20

// memory lets 64 clients call in a mix of operations, and answers what the service kept resident, in MiB,
// after each of equal parts of the calls.
func (b *bench) memory(ctx context.Context, calls int) (taken []float64, err error) {
	mix := []func(context.Context, int) error{b.create, b.get, b.list, b.availability}
	each := max(1, calls/samples)
	var made atomic.Int64
	var mu sync.Mutex
	over := make(chan struct{})
	_, err = closedUntil(ctx, 64, over, func(ctx context.Context, client int) error {
		n := int(made.Add(1))
		err := mix[n%len(mix)](ctx, client)
		if n%each == 0 && n <= samples*each {
			mu.Lock()
			taken = append(taken, resident(b.service.PID()))
			mu.Unlock()
		}
		if n == samples*each {
			close(over)
		}
		return err
	})
	return taken, err
}

// memoryClaim says whether the memory stays small, and flat: the first sample, after a twentieth of the
// calls, is one of a warm service.
func (b *bench) memoryClaim(ctx context.Context, s *size, calls int) (c claim, err error) {
	if err := b.load(ctx, s); err != nil {
		return c, err
	}
	b.known = s.past()
	var taken []float64
	err = b.serving(b.Binary, s.name, func() error {
		taken, err = b.memory(ctx, calls)
		return err
	})
	if err != nil {
		return c, err
	}
	third := len(taken) / 3
	first, last := median(taken[:third]), median(taken[len(taken)-third:])
	return claim{
		name: fmt.Sprintf("memory, 64 clients, %d calls, %d bookings", calls, s.bookings),
		measured: fmt.Sprintf("first %.0f, largest %.0f, last %.0f MiB; last third's median %.2f of the first's",
			taken[0], slices.Max(taken), taken[len(taken)-1], last/first),
		goal: "≤ 80 MiB; ≤ 1.1", met: slices.Max(taken) <= 80 && last <= 1.1*first,
	}, nil
}
