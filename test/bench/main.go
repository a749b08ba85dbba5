// Command bench measures the service against what PostgreSQL alone does for the same rows, in turn, on
// the servers that scripts/with-servers.sh starts. scripts/bench.sh starts it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

type options struct {
	short   bool
	only    string
	rounds  int
	seconds int
	pgbench string
	docs    string
	profile string
	binary  string
	against string
	growth  bool
	scale   int
}

// wants tells whether a row is asked for.
func (o options) wants(name string) bool { return strings.Contains(name, o.only) }

func main() {
	var o options
	flag.BoolVar(&o.short, "short", false, "every measurement once, for a second: shows that it runs, its figures say little")
	flag.StringVar(&o.only, "only", "", "only the rows whose names contain this")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each pair is measured")
	flag.IntVar(&o.seconds, "seconds", 2, "how long each measurement takes")
	flag.StringVar(&o.pgbench, "pgbench", "pgbench", "PostgreSQL's load generator")
	flag.StringVar(&o.docs, "docs", "", "write the table and the plots into this directory")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of the service under each pair's load into this directory")
	flag.StringVar(&o.binary, "binary", "", "measure this binary of the service, and not one that is built from here")
	flag.StringVar(&o.against, "against", "", "compare with this binary of the service instead of with pgbench")
	flag.BoolVar(&o.growth, "growth", false, "compare the service with millions of bookings and with few, instead of with pgbench")
	flag.IntVar(&o.scale, "scale", 1, "with -growth: divide all numbers of rows and calls by this, to show that it runs")
	flag.Parse()
	if o.short {
		o.rounds, o.seconds = 1, 1
	}
	load.Main("bench", func(ctx context.Context, dir string) error { return run(ctx, dir, o) })
}

func run(ctx context.Context, dir string, o options) error {
	s, err := load.NewStack(ctx, dir, o.binary, places())
	defer s.Stop()
	if err != nil {
		return err
	}
	b := &bench{Stack: s, pgbench: &pgbench{program: o.pgbench, stack: s}, known: known}
	if b.postgres, err = postmaster(ctx, s.Admin.String()); err != nil {
		return err
	}
	if b.redis, err = redisProcess(ctx, s.RedisAddr); err != nil {
		return err
	}
	if o.growth {
		return b.growth(ctx, o)
	}
	limitBinary := s.Binary
	if o.against != "" {
		limitBinary = o.against
	}
	limit, err := s.Database(ctx, limitBinary, limitDB)
	if err != nil {
		return err
	}
	defer limit.Close()
	db, err := s.Database(ctx, s.Binary, serviceDB)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := fill(ctx, db); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	if o.against != "" {
		if err := fill(ctx, limit); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		return b.compare(ctx, o)
	}
	if o.profile != "" {
		b.profile, err = o.profile, os.MkdirAll(o.profile, 0o755)
		s.Settings = append(s.Settings, "PPROF=on")
	}
	if err != nil {
		return err
	}
	if b.service, err = s.Start(s.Binary, serviceDB); err != nil {
		return err
	}
	began := time.Now()
	r := &report{machine: load.Machine(ctx, db), command: "scripts/bench.sh " + strings.Join(os.Args[1:], " ")}
	if err := b.all(ctx, o, db, r); err != nil {
		return err
	}
	r.elapsed, r.calls = time.Since(began), b.calls.Load()
	fmt.Println(r.table())
	if o.docs != "" {
		return r.write(o.docs)
	}
	return nil
}
