package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot/plotter"

	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

// growth lets the service do the same on a database of few bookings and on one of many, in turn.
type growth struct {
	*bench
	o options
	// out is where the tables are printed.
	out io.Writer
	// kept is which part of its speed each operation keeps, over the number of bookings.
	kept   map[string]plotter.XYs
	claims []claim
}

// growth measures how much slower the service is with many bookings, and what it keeps in memory.
func (b *bench) growth(ctx context.Context, o options) error {
	if o.scale < 1 || o.scale > 1000 {
		return fmt.Errorf("-scale must be from 1 to 1000, not %d", o.scale)
	}
	// No hold ends: the database of few bookings is measured twice, and only there would holds of the first
	// time end in the second.
	b.Settings = append(b.Settings, "HOLD_TTL_MINUTES=1440")
	var text strings.Builder
	g := &growth{bench: b, o: o, out: io.MultiWriter(os.Stdout, &text), kept: make(map[string]plotter.XYs)}
	few := &size{name: "bench_few", bookings: 10_000 / o.scale}
	million := &size{name: "bench_million", bookings: 1_000_000 / o.scale}
	millions := &size{name: "bench_millions", bookings: 5_000_000 / o.scale, sent: 5_000_000 / o.scale}
	defer func() {
		for _, s := range []*size{few, million, millions} {
			s.close()
		}
	}()
	if err := g.compare(ctx, few, million, 1.2); err != nil {
		return fmt.Errorf("%d bookings: %w", million.bookings, err)
	}
	if err := g.compare(ctx, few, millions, 1.3); err != nil {
		return fmt.Errorf("%d bookings: %w", millions.bookings, err)
	}
	if o.wants("memory") {
		c, err := b.memoryClaim(ctx, million, 1_000_000/o.scale)
		if err != nil {
			return fmt.Errorf("memory: %w", err)
		}
		g.claims = append(g.claims, c)
	}
	fmt.Fprint(g.out, "\n| figure | measured | goal | met |\n| --- | --- | --- | --- |\n")
	for _, c := range g.claims {
		fmt.Fprintln(g.out, c.line())
	}
	if o.docs == "" {
		return nil
	}
	if err := os.MkdirAll(o.docs, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.docs, "growth.md"), []byte("# Results of `make bench-growth`\n"+text.String()), 0o644); err != nil {
		return err
	}
	return keptOverSize(filepath.Join(o.docs, "growth.svg"), g.kept)
}

// growing are the operations that more rows may slow down.
var growing = []string{"create", "get", "list 50 of 500", "availability of 20 tables"}

// compare measures each operation that is asked for on both databases, and prints how much slower it is on
// that of many bookings.
func (g *growth) compare(ctx context.Context, few, many *size, most float64) error {
	var operations []pair
	sides := make(map[*size][]*side)
	for _, p := range g.pairs() {
		if p.clients != 16 || !slices.Contains(growing, p.name) || !g.o.wants(fmt.Sprintf("%s, %d bookings", p.name, many.bookings)) {
			continue
		}
		operations = append(operations, p)
		for _, s := range []*size{few, many} {
			sides[s] = append(sides[s], &side{database: s.name})
		}
	}
	if len(operations) == 0 {
		return nil
	}
	for _, s := range []*size{few, many} {
		if err := g.load(ctx, s); err != nil {
			return err
		}
	}
	for round := range g.o.rounds {
		// Who comes first changes.
		order := []*size{few, many}
		if round%2 == 1 {
			order = []*size{many, few}
		}
		for _, s := range order {
			if err := g.visit(ctx, s, operations, sides[s]); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(g.out, `
%s.

| operation, 16 clients | times slower with %d bookings than with %d, least / median / largest | p50 / p99 with %d, ms | with %d | goal | met |
| --- | --- | --- | --- | --- | --- |
`, load.Machine(ctx, many.db), many.bookings, few.bookings, few.bookings, many.bookings)
	for i, p := range operations {
		before, after := sides[few][i], sides[many][i]
		var slower []float64
		for round := range g.o.rounds {
			slower = append(slower, before.rates[round]/after.rates[round])
		}
		goal := fmt.Sprintf("≤ %.1f", most)
		fmt.Fprintf(g.out, "| %s | %s | %s | %s | %s | %s |\n", p.name, spread(slower, "%.2f"), before.latency(), after.latency(),
			goal, verdict(goal, median(slower) <= most))
		if len(g.kept[p.name]) == 0 {
			g.kept[p.name] = plotter.XYs{{X: float64(few.bookings), Y: 1}}
		}
		g.kept[p.name] = append(g.kept[p.name], plotter.XY{X: float64(many.bookings), Y: 1 / median(slower)})
	}
	scans, err := many.scansClaim(ctx)
	g.claims = append(g.claims, scans)
	if many.sent > 0 {
		g.claims = append(g.claims, many.removal.claim(many.sent))
	}
	return err
}

// visit starts the service on a database, measures the operations one after another, and stops it. Where
// there are sent events, they are being removed meanwhile: a service begins with that within a minute, so
// that a visit is one of all operations.
func (g *growth) visit(ctx context.Context, s *size, operations []pair, sides []*side) error {
	g.known = s.past()
	return g.serving(g.Binary, s.name, func() error {
		if s.sent > 0 {
			if err := s.awaitRemoval(ctx); err != nil {
				return err
			}
		}
		for i, p := range operations {
			if err := s.watch(ctx, func() error { return g.take(ctx, sides[i], p, time.Duration(g.o.seconds)*time.Second) }); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		return nil
	})
}
