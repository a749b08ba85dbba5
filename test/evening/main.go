// Command evening plays a Saturday evening of many restaurants against the service, on the servers that
// scripts/with-servers.sh starts, and reports what it was like. scripts/evening.sh starts it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

type options struct {
	minutes float64
	rate    float64
	venues  int
	seed    uint64
}

func main() {
	var o options
	flag.Float64Var(&o.minutes, "minutes", 5, "how long the evening takes on this machine")
	flag.Float64Var(&o.rate, "rate", 0, "parties a second at the peak; 0: 80 % of the highest rate that holds, which is searched for first")
	flag.IntVar(&o.venues, "venues", 50_000, "how many restaurants there are")
	flag.Uint64Var(&o.seed, "seed", 1, "another seed, other guests")
	flag.Parse()
	if flag.NArg() > 0 || o.minutes <= 0 || o.rate < 0 || o.venues < 1 {
		flag.Usage()
		os.Exit(2)
	}
	load.Main("evening", func(ctx context.Context, dir string) error { return run(ctx, dir, o) })
}

func run(ctx context.Context, dir string, o options) error {
	s, err := load.NewStack(ctx, dir, "", places(o.venues))
	defer s.Stop()
	if err != nil {
		return err
	}
	// The shortest that there is: a hold that is forgotten is to run out while the evening is played.
	s.Settings = []string{"HOLD_TTL_MINUTES=1"}
	p := plan{
		venues: o.venues, rate: o.rate, curve: saturday, seed: o.seed, date: nextSaturday(time.Now()),
		takes: time.Duration(o.minutes * float64(time.Minute)),
	}
	if p.rate == 0 {
		highest, err := search(ctx, s, p)
		if err != nil {
			return fmt.Errorf("search of a rate: %w", err)
		}
		p.rate = highest * 0.8
		fmt.Fprintf(os.Stderr, "%.0f parties a second hold; the peak of the evening is 80 %% of that\n", highest)
	}
	return withService(ctx, s, "evening", func(service *load.Service, db *pgxpool.Pool) error {
		return play(ctx, s, newEvening(p, service), db)
	})
}

// withService runs do with a service on a new database.
func withService(ctx context.Context, s *load.Stack, database string, do func(*load.Service, *pgxpool.Pool) error) error {
	db, err := s.Database(ctx, s.Binary, database)
	if err != nil {
		return err
	}
	defer db.Close()
	service, err := s.Start(s.Binary, database)
	if err != nil {
		return err
	}
	if err := do(service, db); err != nil {
		return err
	}
	return s.Drop(service)
}

// play plays the evening, prints what it came to, and fails if something is wrong afterwards.
func play(ctx context.Context, s *load.Stack, e *evening, db *pgxpool.Pool) error {
	w, err := newWatch(ctx, s, e, db)
	if err != nil {
		return err
	}
	var wrong []string
	if err = e.run(ctx); err == nil {
		wrong, err = e.aftermath(ctx, db)
	}
	w.stop()
	if err != nil {
		return err
	}
	text, err := e.report(ctx, db)
	if err != nil {
		return err
	}
	fmt.Printf("%s; %s\n\n%s", load.Machine(ctx, db), e.plan, text)
	if len(wrong) > 0 {
		return fmt.Errorf("afterwards: %v", wrong)
	}
	fmt.Println("\nAfterwards every event had been sent, and the bookings, their events and the tables agreed.")
	return nil
}
