package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/test/consistency"
	"github.com/bookingcontrol/booker-booking-svc/test/delivery"
)

// judgeTimeout bounds what the checkers ask of the cluster.
const judgeTimeout = 5 * time.Minute

// judge runs the checkers, prints the figures and answers what is wrong.
func judge(o options, c *cluster, h *history, finish time.Duration, say func(string, ...any)) (problems []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), judgeTimeout)
	defer cancel()
	add := func(more []string) { problems = append(problems, more...) }

	settled, left, err := awaitSettled(ctx, c)
	if err != nil {
		return nil, err
	}
	add(left)
	keys, stale, err := checkRedis(ctx, c)
	if err != nil {
		return nil, err
	}
	add(stale)
	leaks, err := checkLeaks(ctx, c)
	if err != nil {
		return nil, err
	}
	add(leaks)
	// From here on nothing changes any more, and a tidy end leaves no event behind.
	for _, r := range c.replicas {
		if err := r.terminate(); err != nil {
			add([]string{err.Error()})
		}
	}
	var waiting int
	if err := c.db.QueryRow(ctx, leftEvents).Scan(&waiting); err != nil {
		return nil, err
	}
	if waiting > 0 {
		add([]string{fmt.Sprintf("%d events wait after all replicas have ended in good order", waiting)})
	}
	over := h.now()
	s, err := readStore(ctx, c.db, h.Began)
	if err != nil {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	told, lost := checkAcknowledged(h, s)
	add(lost)
	add(checkLives(s))
	broken, err := consistency.Violations(ctx, c.db)
	if err != nil {
		return nil, err
	}
	add(broken)
	events, err := delivery.Read(ctx, c.kafkaAddr)
	if err != nil {
		add([]string{err.Error()})
	}
	repeats, undelivered := delivery.Check(s.written(), events)
	add(undelivered)
	list := reports(h)
	// The phases of a short run are too short to tell a speed.
	add(checkAnswers(h, list, !o.short))

	began := time.Now()
	all, strange := days(h, s, over)
	add(strange)
	ordered := 0
	for _, d := range all {
		if wrong, visualize := d.linearizable(); wrong != "" {
			add([]string{wrong})
			if err := visualize(filepath.Join(c.dir, d.date+".html")); err != nil {
				return nil, err
			}
		}
		ordered += len(d.events)
	}
	printReports(list, say)
	say("\n%d operations; %d bookings and %d changes acknowledged; %d events, %d repeats; settled after %.1f s; %d keys in Redis",
		len(h.operations), told.creates, told.changes, len(events), repeats, settled.Seconds(), keys)
	say("longest time without a success: %.1f s", longestSilence(h, finish).Seconds())
	say("%d events and answers of %d days put in order in %.1f s", ordered, len(all), time.Since(began).Seconds())
	return problems, nil
}

// printReports prints a table for docs/reliability.md.
func printReports(list []report, say func(string, ...any)) {
	say("\n| phase | reads/s | p99 | creates/s | p99 | first success after | other answers than OK |")
	say("| --- | --- | --- | --- | --- | --- | --- |")
	for _, r := range list {
		var codes []string
		for _, code := range slices.Sorted(maps.Keys(r.codes)) {
			if code != "OK" {
				codes = append(codes, fmt.Sprintf("%s %d", code, r.codes[code]))
			}
		}
		say("| %s | %.0f | %.0f ms | %.0f | %.0f ms | %.1f s | %s |", r.name, r.speed.reads, milliseconds(r.readP99),
			r.speed.creates, milliseconds(r.createP99), r.firstOK.Seconds(), strings.Join(codes, ", "))
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
