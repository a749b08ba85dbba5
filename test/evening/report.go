package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

// String says what is played.
func (p plan) String() string {
	return fmt.Sprintf("%d restaurants, %.0f parties/s at the peak, %s to %s in %v, seed %d",
		p.venues, p.rate, timeText(opens), timeText(closes), p.takes, p.seed)
}

func timeText(t time.Duration) string {
	return fmt.Sprintf("%02d:%02d", t/time.Hour, t%time.Hour/time.Minute)
}

// report writes all of it in Markdown.
func (e *evening) report(ctx context.Context, db *pgxpool.Pool) (string, error) {
	var expired int
	if err := db.QueryRow(ctx, `SELECT count(*) FROM bookings WHERE status = 'expired'`).Scan(&expired); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| from | creates/s asked | answered | creates p50 / p99, ms | changes | reads | %s | expired | errors | events waiting at the end |\n",
		strings.Join(refusals, " | "))
	fmt.Fprintln(&b, "|"+strings.Repeat(" --- |", 9+len(refusals)))
	each := e.takes.Seconds() * float64(interval) / float64(closes-opens)
	for i, r := range e.rows {
		b.WriteString(r.line(timeText(opens+time.Duration(i)*interval), each))
	}
	all := e.sum(intervals)
	b.WriteString(all.line("all", e.takes.Seconds()))

	minutes := e.takes.Minutes()
	booked := e.booked.Load()
	day := float64(booked) / minutes * 24 * 60
	asLong := float64(booked) / minutes * (closes - opens).Minutes()
	fmt.Fprintln(&b, "\n| over the evening | |\n| --- | --- |")
	for _, line := range []struct {
		name  string
		value any
	}{
		{"parties", e.parties.Load()},
		{"of them walk-ins", e.walkIns.Load()},
		{"booked", booked},
		{"gave up after refusals", e.gaveUp.Load()},
		{"requests repeated with their key", e.repeats.Load()},
		{"confirmed", e.confirmed.Load()},
		{"cancelled", e.cancelled.Load()},
		{"holds abandoned", e.abandoned.Load()},
		{"expired", expired},
		{"seated", e.seated.Load()},
		{"finished", e.finished.Load()},
		{"no-shows", e.noShows.Load()},
		{"creates p99 / p99.9", fmt.Sprintf("%.0f / %.0f ms", ms(all.times[create], 99), ms(all.times[create], 99.9))},
		{"changes p99 / p99.9", fmt.Sprintf("%.0f / %.0f ms", ms(all.times[change], 99), ms(all.times[change], 99.9))},
		{"reads p99 / p99.9", fmt.Sprintf("%.0f / %.0f ms", ms(all.times[read], 99), ms(all.times[read], 99.9))},
		{"bookings in a day at this rate", fmt.Sprintf("%.0f", day)},
		{"in an evening of six hours", fmt.Sprintf("%.0f, %.1f a restaurant", asLong, asLong/float64(e.venues))},
		{fmt.Sprintf("steps that waited as %d ran", most), e.full.Load()},
	} {
		fmt.Fprintf(&b, "| %s | %v |\n", line.name, line.value)
	}
	return b.String(), nil
}

// line writes the row of an interval that took some seconds.
func (r row) line(name string, seconds float64) string {
	times := func(k kind) string { return fmt.Sprintf("%.0f / %.0f", ms(r.times[k], 50), ms(r.times[k], 99)) }
	refused := ""
	for _, reason := range refusals {
		refused += fmt.Sprintf(" %d |", r.refused[reason])
	}
	return fmt.Sprintf("| %s | %.0f | %.0f | %s | %s | %s |%s %d | %d | %d |\n", name, float64(r.asked)/seconds,
		float64(r.answered)/seconds, times(create), times(change), times(read), refused, r.expired, r.errors, r.waiting)
}

func ms(latencies []time.Duration, p float64) float64 {
	return float64(load.Percentile(latencies, p)) / float64(time.Millisecond)
}
