package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// all takes every measurement that is asked for, one after another.
func (b *bench) all(ctx context.Context, o options, db *pgxpool.Pool, r *report) error {
	d := time.Duration(o.seconds) * time.Second
	// The first calls of all fill caches: connections, plans, the venues' zones.
	if _, err := closed(ctx, 16, time.Second, b.create); err != nil {
		return err
	}
	for _, p := range b.pairs() {
		if !o.wants(fmt.Sprint(p.name, " ", p.clients)) {
			continue
		}
		f, err := b.measure(ctx, p, o.rounds, d)
		if err != nil {
			return err
		}
		if g, ok := goals[f.key()]; ok {
			g.judge(&f)
		}
		r.figures = append(r.figures, f)
		fmt.Println(f.line())
		r.memory = append(r.memory, resident(b.service.PID()))
	}
	b.Venue.SetCallback(false)
	for _, m := range []struct {
		name string
		run  func() (claim, error)
	}{
		{"64 clients for one slot", func() (claim, error) { return b.raceClaim(ctx, 20*o.rounds) }},
		{"answer → event, 50/s", func() (claim, error) { return b.deliveryClaim(ctx, 50, 40*time.Millisecond, o) }},
		{"answer → event, 500/s", func() (claim, error) { return b.deliveryClaim(ctx, 500, 100*time.Millisecond, o) }},
		{"drain of 100,000 events", func() (claim, error) { return b.drainClaim(ctx, db, r) }},
		{"start to ready", func() (claim, error) { return b.startClaim(o.rounds) }},
		{"640 clients with MAX_CALLS=64", func() (claim, error) { return b.overloadClaim(ctx, o.rounds, d) }},
		{"three replicas", func() (claim, error) { return b.replicasClaim(ctx, o.rounds, d) }},
	} {
		if !o.wants(m.name) {
			continue
		}
		c, err := m.run()
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		c.name = m.name
		r.claims = append(r.claims, c)
		fmt.Println(c.line())
	}
	return nil
}

// claim is a figure without a yardstick.
type claim struct {
	name, measured, goal string
	met                  bool
}

func (b *bench) deliveryClaim(ctx context.Context, perSecond int, most time.Duration, o options) (claim, error) {
	r, err := b.delivery(ctx, perSecond, time.Duration(o.rounds*o.seconds)*time.Second)
	p99 := r.percentile(99)
	return claim{
		measured: fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, largest %.1f ms of %d", milliseconds(r.percentile(50)), milliseconds(p99), milliseconds(r.percentile(100)), r.calls),
		goal:     fmt.Sprintf("p99 ≤ %d ms", most.Milliseconds()), met: p99 <= most,
	}, err
}

func (b *bench) drainClaim(ctx context.Context, db *pgxpool.Pool, r *report) (claim, error) {
	perSecond, kept, waiting, err := b.drain(ctx, db, 100_000)
	r.waiting = waiting
	return claim{
		measured: fmt.Sprintf("%.0f/s, creates at %.2f of their speed", perSecond, kept),
		goal:     "≥ 20,000/s, creates ≥ 0.5", met: perSecond >= 20_000 && kept >= 0.5,
	}, err
}

// startClaim starts further replicas, which are stopped again, and takes the time until each is ready.
func (b *bench) startClaim(rounds int) (claim, error) {
	var took []float64
	for range rounds {
		replica, err := b.Start(b.Binary, serviceDB)
		if err != nil {
			return claim{}, err
		}
		took = append(took, milliseconds(replica.Startup))
		if err := b.Drop(replica); err != nil {
			return claim{}, err
		}
	}
	return claim{
		measured: spread(took, "%.0f") + " ms",
		goal:     "≤ 100 ms", met: median(took) <= 100,
	}, nil
}

// replicasClaim compares three replicas with one, in turn, under the same 48 clients.
func (b *bench) replicasClaim(ctx context.Context, rounds int, d time.Duration) (c claim, err error) {
	first := b.service.Bookings
	defer func() { b.service.Bookings = first }()
	second, err := b.Start(b.Binary, serviceDB)
	if err != nil {
		return claim{}, err
	}
	third, err := b.Start(b.Binary, serviceDB)
	if err != nil {
		return claim{}, err
	}
	defer func() { err = errors.Join(err, b.Drop(second)) }()
	defer func() { err = errors.Join(err, b.Drop(third)) }()
	var ratios, rates []float64
	for range rounds {
		b.service.Bookings = first
		one, err := closed(ctx, 48, d, b.create)
		if err != nil {
			return claim{}, err
		}
		b.service.Bookings = nil
		for i := range first {
			b.service.Bookings = append(b.service.Bookings, first[i], second.Bookings[i], third.Bookings[i])
		}
		three, err := closed(ctx, 48, d, b.create)
		if err != nil {
			return claim{}, err
		}
		ratios, rates = append(ratios, three.rate()/one.rate()), append(rates, three.rate())
	}
	return claim{
		measured: fmt.Sprintf("%s of one replica, %.0f creates/s", spread(ratios, "%.2f"), median(rates)),
		goal:     "≥ 1", met: median(ratios) >= 1,
	}, nil
}
