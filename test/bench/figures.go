package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// figure is a row of the table.
type figure struct {
	Name string
	// Limit and Service are in operations a second, Ratio is the second by the first, in each round.
	Limit, Service, Ratio []float64
	// LimitTimes and Times are the latencies of pgbench and of the service.
	LimitTimes, Times result
	Clients           int
	cost              costs
	// Goal is what is to be reached, empty for nothing, and Met whether it is.
	Goal string
	Met  bool
}

// costs are the processor seconds that operations took: of the service, of PostgreSQL, of Redis, of the load
// with the venue service, and of the rest of the machine, which is Kafka and the kernel's own work.
type costs struct {
	calls                                int
	service, postgres, redis, load, rest float64
}

// spent answers what has been used so far.
func (b *bench) spent() costs {
	c := costs{
		service: cpuSeconds(b.service.PID()), postgres: cpuSeconds(b.postgres), redis: cpuSeconds(b.redis),
		load: ownSeconds(), rest: machineSeconds(),
	}
	c.rest -= c.service + c.postgres + c.redis + c.load
	return c
}

// add adds what calls took between two moments.
func (c *costs) add(calls int, before, after costs) {
	c.calls += calls
	c.service += after.service - before.service
	c.postgres += after.postgres - before.postgres
	c.redis += after.redis - before.redis
	c.load += after.load - before.load
	c.rest += after.rest - before.rest
}

// measure runs a pair, limit and service in turn, so that what slows the machine slows both.
func (b *bench) measure(ctx context.Context, p pair, rounds int, d time.Duration) (f figure, err error) {
	f = figure{Name: p.name, Clients: p.clients}
	b.Venue.SetCallback(p.callback)
	for range rounds {
		limit, err := b.pgbench.run(ctx, p.database, p.limit, p.clients, d)
		if err != nil {
			return f, fmt.Errorf("%s: %w", p.name, err)
		}
		time.Sleep(settle)
		before := b.spent()
		stop := b.startProfile(ctx, f.key(), d)
		r, err := closed(ctx, p.clients, d, p.call)
		stop()
		if err != nil {
			return f, fmt.Errorf("%s: %w", p.name, err)
		}
		f.cost.add(r.calls, before, b.spent())
		time.Sleep(settle)
		f.Limit, f.Service = append(f.Limit, limit.rate()), append(f.Service, r.rate())
		f.Ratio = append(f.Ratio, r.rate()/limit.rate())
		f.LimitTimes, f.Times = f.LimitTimes.and(limit), f.Times.and(r)
	}
	return f, nil
}

// settle is a pause after each load, so that what it left behind (events to send) is not the next one's.
const settle = 300 * time.Millisecond

// goal is what a figure is to reach: a least ratio or a least rate, and a highest p99.
type goal struct {
	text  string
	ratio float64
	rate  float64
	p99   time.Duration
	// above is how much the median may lie above the limit's; then nothing else counts.
	above time.Duration
}

// judge notes the goal with the figure, and whether it is reached.
func (g goal) judge(f *figure) {
	f.Goal = g.text
	ratio, rate := median(f.Ratio), median(f.Service)
	f.Met = g.ratio > 0 && ratio >= g.ratio || g.rate > 0 && rate >= g.rate
	if g.p99 > 0 {
		f.Met = f.Met && f.Times.percentile(99) <= g.p99
	}
	if g.above > 0 {
		f.Met = f.Times.percentile(50)-f.LimitTimes.percentile(50) <= g.above
	}
}

// goals of the pairs, by name and clients.
var goals = map[string]goal{
	"create 1":                     {text: "median ≤ 2 ms above the statement", above: 2 * time.Millisecond},
	"create 16":                    {text: "≥ 0.9; p99 ≤ 12 ms", ratio: 0.9, p99: 12 * time.Millisecond},
	"create 64":                    {text: "≥ 1.1; p99 ≤ 40 ms", ratio: 1.1, p99: 40 * time.Millisecond},
	"get 16":                       {text: "≥ 0.4", ratio: 0.4},
	"list 50 of 500 16":            {text: "≥ 0.5 or 1,800/s", ratio: 0.5, rate: 1800},
	"availability of 20 tables 16": {text: "≥ 0.5 or 3,500/s", ratio: 0.5, rate: 3500},
	"life cycle 16":                {text: "≥ 0.5 or 600/s", ratio: 0.5, rate: 600},
}

func (f figure) key() string { return fmt.Sprintf("%s %d", f.Name, f.Clients) }

// spread writes the least, the middle and the largest of some values.
func spread(values []float64, format string) string {
	return fmt.Sprintf(format+" / "+format+" / "+format, slices.Min(values), median(values), slices.Max(values))
}
