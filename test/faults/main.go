// Command faults runs three replicas of the service with all their neighbours, lets clients collide on
// few tables, makes things go wrong by a plan, and then decides from the history whether the service
// kept what it promises (docs/reliability.md). scripts/faults.sh starts it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

type options struct {
	seed     uint64
	short    bool
	kills    int
	sabotage string
	only     string
	programs programs
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()%1_000_000), "the plan and the clients' choices follow from it")
	flag.BoolVar(&o.short, "short", false, "five faults and two pairs, instead of all and eight")
	flag.IntVar(&o.kills, "kills", 0, "kill a replica this often in a row, and nothing else")
	flag.StringVar(&o.only, "only", "", "only the faults whose names contain this")
	flag.StringVar(&o.sabotage, "sabotage", "", "break the service on purpose: ends well if the checkers report it")
	flag.StringVar(&o.programs.postgres, "postgres", "", "directory of initdb and postgres")
	flag.StringVar(&o.programs.kafka, "kafka", "", "directory of Apache Kafka's jars")
	flag.Parse()
	zerolog.SetGlobalLevel(zerolog.Disabled) // the proxies' talk
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// plan is what the options ask for.
func (o options) plan() ([]step, error) {
	var plan []step
	switch {
	case o.kills > 0:
		return killPlan(o.seed, o.kills), nil
	case o.sabotage != "":
		// What is broken on purpose shows without many faults.
		o.only = "redis away"
		fallthrough
	case o.only != "":
		for _, f := range faults() {
			if strings.Contains(f.name, o.only) {
				plan = append(plan, step{faults: []fault{f}, quiet: 3 * time.Second})
			}
		}
	default:
		return makePlan(o.seed, o.short), nil
	}
	if len(plan) == 0 {
		return nil, fmt.Errorf("no fault is called %q", o.only)
	}
	return plan, nil
}

// errInterrupted ends the run, and with it every process.
var errInterrupted = errors.New("interrupted")

func run(o options) (err error) {
	plan, err := o.plan()
	if err != nil {
		return err
	}
	// PostgreSQL may run as another user, who must get to its directory.
	dir, err := os.MkdirTemp("/tmp", "booking-faults-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	say("faults: seed %d, %d steps, everything is in %s", o.seed, len(plan), dir)

	c := &cluster{}
	defer func() {
		c.stop()
		if err == nil {
			err = os.RemoveAll(dir)
			return
		}
		say("\nThe history, the logs and the data are in %s. Again: make faults ARGS=%q", dir, o.again())
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	began := time.Now()
	if c, err = newCluster(o.programs, dir); err != nil {
		return err
	}
	say("ready after %.1f s", time.Since(began).Seconds())
	if o.sabotage != "" {
		if err := sabotage(context.Background(), c.db, o.sabotage); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() {
		problems, err := trial(o, c, plan, say)
		if err == nil {
			err = verdict(o, problems, say)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-signals:
		return errInterrupted
	}
}

// again are the arguments that make the same plan.
func (o options) again() string {
	args := fmt.Sprintf("-seed %d", o.seed)
	if o.short {
		args += " -short"
	}
	if o.kills > 0 {
		args += fmt.Sprintf(" -kills %d", o.kills)
	}
	if o.only != "" {
		args += fmt.Sprintf(" -only '%s'", o.only)
	}
	if o.sabotage != "" {
		args += fmt.Sprintf(" -sabotage '%s'", o.sabotage)
	}
	return args
}

// shown is how many problems are printed.
const shown = 40

func verdict(o options, problems []string, say func(string, ...any)) error {
	for i, p := range problems {
		if i == shown {
			say("  … and %d more", len(problems)-shown)
			break
		}
		say("  WRONG: %s", p)
	}
	switch {
	case o.sabotage != "" && len(problems) == 0:
		return fmt.Errorf("the sabotage %q was not noticed", o.sabotage)
	case o.sabotage != "":
		say("\nThe sabotage %q was noticed, as it should be.", o.sabotage)
		return nil
	case len(problems) > 0:
		return fmt.Errorf("%d things are wrong", len(problems))
	}
	say("\nNothing is wrong.")
	return nil
}

// trial plays the plan and checks what came of it.
func trial(o options, c *cluster, plan []step, say func(string, ...any)) (problems []string, err error) {
	h := &history{Seed: o.seed, Began: time.Now()}
	defer func() { err = errors.Join(err, h.write(filepath.Join(c.dir, "history.jsonl"))) }()
	w := startWorkload(h, c.routing, o.seed)
	time.Sleep(2 * time.Second) // connections are made, the venue's zone is known
	err = play(c, h, plan, say)
	if err == nil {
		time.Sleep(5 * time.Second)
	}
	finish := h.now()
	w.end()
	if err != nil {
		return nil, err
	}
	return judge(o, c, h, finish, say)
}
