package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// side is one of two binaries, or of two databases, that are compared.
type side struct {
	name, binary, database string
	rates                  []float64
	times                  result
	cost                   costs
}

// compare lets another binary of the service and this one do the same in turn, each on a database of its
// own, and prints what came of it: what changes between two runs of the machine changes for both.
func (b *bench) compare(ctx context.Context, o options) error {
	const header = `
| operation | clients | rate, after by before, least / median / largest | p50 / p99 before, ms | after | processor ms of service, PostgreSQL, all before | after |
| --- | --- | --- | --- | --- | --- | --- |`
	fmt.Println(header)
	for _, p := range b.pairs() {
		if !o.wants(fmt.Sprint(p.name, " ", p.clients)) {
			continue
		}
		b.Venue.SetCallback(p.callback)
		before := &side{name: "before", binary: o.against, database: limitDB}
		after := &side{name: "after", binary: b.Binary, database: serviceDB}
		var ratios []float64
		for round := range o.rounds {
			// Who comes first changes.
			order := []*side{before, after}
			if round%2 == 1 {
				order = []*side{after, before}
			}
			for _, s := range order {
				if err := b.runSide(ctx, s, p, time.Duration(o.seconds)*time.Second); err != nil {
					return fmt.Errorf("%s, %s: %w", p.name, s.name, err)
				}
			}
			ratios = append(ratios, after.rates[round]/before.rates[round])
		}
		fmt.Printf("| %s | %d | %s | %s | %s | %s | %s |\n", p.name, p.clients, spread(ratios, "%.2f"),
			before.latency(), after.latency(), before.processor(), after.processor())
	}
	return nil
}

func (b *bench) runSide(ctx context.Context, s *side, p pair, d time.Duration) error {
	return b.serving(s.binary, s.database, func() error { return b.take(ctx, s, p, d) })
}

// serving starts the service on a database and stops it after do.
func (b *bench) serving(binary, database string, do func() error) (err error) {
	if b.service, err = b.Start(binary, database); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Drop(b.service)) }()
	return do()
}

// take measures an operation of the service that runs.
func (b *bench) take(ctx context.Context, s *side, p pair, d time.Duration) error {
	// The first calls of a process fill its caches.
	if _, err := closed(ctx, p.clients, time.Second, p.call); err != nil {
		return err
	}
	time.Sleep(settle)
	spent := b.spent()
	r, err := closed(ctx, p.clients, d, p.call)
	if err != nil {
		return err
	}
	time.Sleep(settle)
	s.cost.add(r.calls, spent, b.spent())
	s.rates, s.times = append(s.rates, r.rate()), s.times.and(r)
	return nil
}

func (s *side) latency() string {
	return fmt.Sprintf("%.1f / %.1f", milliseconds(s.times.percentile(50)), milliseconds(s.times.percentile(99)))
}

func (s *side) processor() string {
	c, per := s.cost, 1000/float64(s.cost.calls)
	return fmt.Sprintf("%.3f, %.3f, %.3f", c.service*per, c.postgres*per, (c.service+c.postgres+c.redis+c.load+c.rest)*per)
}
