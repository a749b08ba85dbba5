// Command upgrade replaces the replicas of an older version by those of this one while guests book, and shows that
// nobody notices (docs/upgrade.md). scripts/upgrade.sh starts it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

func main() {
	before := flag.String("before", "", "the binary of the version that is upgraded from")
	flag.Parse()
	zerolog.SetGlobalLevel(zerolog.Disabled)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *before); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "upgrade:", err)
		os.Exit(1)
	}
}

// limit is how long all of it may take.
const limit = 4 * time.Minute

func run(ctx context.Context, before string) (err error) {
	if before == "" {
		return errors.New("-before names no binary")
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "booking-upgrade-")
	if err != nil {
		return err
	}
	r, err := newRollout(ctx, dir, before)
	defer func() {
		r.stop()
		if err == nil {
			err = os.RemoveAll(dir)
			return
		}
		fmt.Printf("\nThe log of the replicas is in %s.\n", dir)
	}()
	if err != nil {
		return err
	}
	t := newTally()
	err = r.play(ctx, t)
	t.print(r.attempts)
	if err != nil {
		return err
	}
	problems, err := r.judge(ctx)
	if err != nil {
		return err
	}
	problems = append(t.problems, problems...)
	for _, p := range problems {
		fmt.Println("  WRONG:", p)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%d things are wrong", len(problems))
	}
	fmt.Println("\nNothing is wrong.")
	return nil
}
