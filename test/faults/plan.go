package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
	"github.com/bookingcontrol/booker-booking-svc/test/process"
)

// fault is something that goes wrong for a while.
type fault struct {
	name string
	// of is what it happens to; two faults of the same are never combined.
	of string
	// hold is how long it lasts; 0 for one that is over when begin returns.
	hold time.Duration
	// brief is hold in a short run; 0 leaves it as it is.
	brief time.Duration
	begin func(*cluster, *replica) error
	// end takes it back; nil when there is nothing to take back.
	end func(*cluster, *replica) error
	// harmless: reads, and creates of other tables, must go on at half speed or better.
	harmless bool
}

// restarts tells whether a replica must become ready while the fault begins.
func (f fault) restarts() bool { return f.name == rolling || f.name == clockAhead }

const (
	rolling    = "rolling restart"
	clockAhead = "clock 5 minutes ahead"
	paused     = "replica paused"
	nonsense   = "venue talks nonsense"
)

// breaking is a fault of a proxy that is healed afterwards.
func breaking(name, of string, hold time.Duration, harmless bool, way func(*cluster) *proxy, begin func(*proxy) error) fault {
	return fault{
		name: name, of: of, hold: hold, harmless: harmless,
		begin: func(c *cluster, _ *replica) error { return begin(way(c)) },
		end:   func(c *cluster, _ *replica) error { return way(c).heal() },
	}
}

// crash is a server that is ended by a signal and started again after a while.
func crash(name, of string, hold time.Duration, harmless bool, which func(*cluster) *process.Server, sig syscall.Signal) fault {
	return fault{
		name: name, of: of, hold: hold, harmless: harmless,
		begin: func(c *cluster, _ *replica) error {
			_, err := which(c).End(sig, 10*time.Second)
			return err
		},
		end: func(c *cluster, _ *replica) error { return which(c).Start() },
	}
}

func theKafka(c *cluster) *proxy    { return c.toKafka }
func theRedis(c *cluster) *proxy    { return c.toRedis }
func thePostgres(c *cluster) *proxy { return c.toPostgres }
func theVenue(c *cluster) *proxy    { return c.toVenue }

// faults lists all of them.
func faults() []fault {
	kafkaAway := breaking("kafka away", "kafka", time.Minute, true, theKafka, (*proxy).refuse)
	kafkaAway.brief = 8 * time.Second
	pause := fault{
		name: paused, of: "replica", hold: 20 * time.Second, brief: 8 * time.Second, harmless: true,
		begin: func(_ *cluster, r *replica) error {
			r.gone()
			return r.Signal(syscall.SIGSTOP)
		},
		end: func(_ *cluster, r *replica) error {
			defer r.routed.Store(true)
			return r.Signal(syscall.SIGCONT)
		},
	}
	return []fault{
		{
			name: "replica killed", of: "replica", hold: 8 * time.Second, brief: 3 * time.Second, harmless: true,
			begin: func(_ *cluster, r *replica) error { return r.kill() },
			end:   func(_ *cluster, r *replica) error { return r.Start() },
		},
		{name: rolling, of: "replica", harmless: true, begin: rollingRestart},
		pause,
		{
			name: clockAhead, of: "replica", hold: 10 * time.Second, brief: 5 * time.Second,
			begin: func(_ *cluster, r *replica) error { return restartWithClock(r, 5*time.Minute) },
			end:   func(_ *cluster, r *replica) error { return restartWithClock(r, 0) },
		},
		breaking("redis away", "redis", 8*time.Second, true, theRedis, (*proxy).refuse),
		breaking("redis silent", "redis", 8*time.Second, true, theRedis, (*proxy).swallow),
		breaking("redis slow", "redis", 8*time.Second, false, theRedis, func(p *proxy) error { return p.delay(100) }),
		crash("redis restarted empty", "redis", time.Second, true, func(c *cluster) *process.Server { return c.redis }, syscall.SIGKILL),
		{name: "redis flushed", of: "redis", hold: 2 * time.Second, harmless: true, begin: func(c *cluster, _ *replica) error {
			client := c.redisClient()
			return errors.Join(client.FlushAll(context.Background()).Err(), client.Close())
		}},
		kafkaAway,
		breaking("kafka silent", "kafka", 10*time.Second, true, theKafka, (*proxy).swallow),
		breaking("kafka trickling", "kafka", 8*time.Second, true, theKafka, func(p *proxy) error { return p.trickle(2) }),
		breaking("kafka connections reset", "kafka", 2*time.Second, true, theKafka, (*proxy).reset),
		crash("kafka killed", "kafka", 3*time.Second, true, func(c *cluster) *process.Server { return c.kafka }, syscall.SIGKILL),
		crash("postgres shut down at once", "postgres", 3*time.Second, false, func(c *cluster) *process.Server { return c.postgres }, syscall.SIGQUIT),
		breaking("postgres connections reset", "postgres", time.Second, false, thePostgres, (*proxy).reset),
		breaking("postgres silent", "postgres", 8*time.Second, false, thePostgres, (*proxy).swallow),
		breaking("postgres 2 s slower", "postgres", 10*time.Second, false, thePostgres, func(p *proxy) error { return p.delay(2000) }),
		breaking("postgres trickling", "postgres", 6*time.Second, false, thePostgres, func(p *proxy) error { return p.trickle(20) }),
		breaking("venue away", "venue", 5*time.Second, false, theVenue, (*proxy).refuse),
		breaking("venue slow", "venue", 6*time.Second, false, theVenue, func(p *proxy) error { return p.delay(3000) }),
		{name: nonsense, of: "venue", hold: 5 * time.Second,
			begin: func(c *cluster, _ *replica) error { c.venue.SetAnswer(talkNonsense); return nil },
			end:   func(c *cluster, _ *replica) error { c.venue.SetAnswer(nil); return nil },
		},
	}
}

// minReady is how long an orchestrator sees a replica ready before it restarts the next one.
const minReady = 2 * time.Second

// rollingRestart restarts one replica after the other, each with its tidy end.
func rollingRestart(c *cluster, _ *replica) error {
	for _, r := range c.replicas {
		if err := r.terminate(); err != nil {
			return err
		}
		if err := r.Start(); err != nil {
			return err
		}
		time.Sleep(minReady)
	}
	return nil
}

func restartWithClock(r *replica, ahead time.Duration) error {
	r.clock = ahead
	if err := r.terminate(); err != nil {
		return err
	}
	return r.Start()
}

// talkNonsense answers tables that do not exist, of other venues, unnamed, joined with themselves.
func talkNonsense(_ context.Context, req *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
	ref := func(venue, table string) *commonpb.TableRef {
		return &commonpb.TableRef{VenueId: venue, TableId: table}
	}
	return &venuepb.CheckAvailabilityResponse{Tables: []*venuepb.TableAvailability{
		nil,
		{},
		{Table: ref(req.GetVenueId(), ""), Available: true},
		{Table: ref("elsewhere", "c1"), Available: true},
		{Table: ref(req.GetVenueId(), strings.Repeat("c", 100)), Available: true},
		{Table: ref(req.GetVenueId(), "j1"), Available: true, MergedWithTable: ref(req.GetVenueId(), "j1")},
		{Table: ref(req.GetVenueId(), "c2"), Reason: "in the\x00 cellar\n"},
		{Table: ref(req.GetVenueId(), "nowhere"), Available: true},
	}}, nil
}

// step is one fault, or two at once, of the plan.
type step struct {
	faults []fault
	// replica is the one that a fault of a replica happens to.
	replica int
	// quiet is how long nothing is wrong before.
	quiet time.Duration
}

func (s step) String() string {
	var names []string
	for _, f := range s.faults {
		names = append(names, f.name)
	}
	text := strings.Join(names, " + ")
	for _, f := range s.faults {
		if f.of == "replica" && f.name != rolling {
			return fmt.Sprintf("%s (replica %d)", text, s.replica)
		}
	}
	return text
}

// makePlan makes the plan of a seed: every fault once and some pairs, or a few of them in a short run.
func makePlan(seed uint64, short bool) []step {
	rnd := rand.New(rand.NewPCG(seed, 0))
	all := faults()
	if short {
		for i := range all {
			if all[i].brief > 0 {
				all[i].hold = all[i].brief
			}
		}
	}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	singles, pairs, quiet := len(all), 8, 3*time.Second
	if short {
		singles, pairs, quiet = 5, 2, 2*time.Second
	}
	var plan []step
	for _, f := range all[:singles] {
		plan = append(plan, step{faults: []fault{f}, replica: rnd.IntN(3), quiet: quiet})
	}
	for len(plan) < singles+pairs {
		a, b := all[rnd.IntN(len(all))], all[rnd.IntN(len(all))]
		if a.of == "replica" { // ended last: a replica that starts needs its database
			a, b = b, a
		}
		if a.of == b.of || a.of == "postgres" && b.restarts() {
			continue
		}
		plan = append(plan, step{faults: []fault{a, b}, replica: rnd.IntN(3), quiet: quiet})
	}
	return plan
}

// killPlan kills a replica n times in a row.
func killPlan(seed uint64, n int) []step {
	rnd := rand.New(rand.NewPCG(seed, 0))
	kill := faults()[0]
	kill.hold = 0
	plan := make([]step, n)
	for i := range plan {
		plan[i] = step{faults: []fault{kill}, replica: rnd.IntN(3), quiet: time.Duration(200+rnd.IntN(1300)) * time.Millisecond}
	}
	return plan
}

// play runs the plan under load and notes the phases.
func play(c *cluster, h *history, plan []step, say func(string, ...any)) error {
	for i, s := range plan {
		h.Phases = append(h.Phases, phase{Name: "quiet", Start: h.now()})
		time.Sleep(s.quiet)
		quiet := &h.Phases[len(h.Phases)-1]
		quiet.Healed, quiet.End = h.now(), h.now()
		say("%3d/%d  %6.1fs  %s", i+1, len(plan), h.now().Seconds(), s)
		h.Phases = append(h.Phases, phase{Name: s.String(), Start: h.now(), faults: s.faults})
		p := &h.Phases[len(h.Phases)-1]
		if err := s.play(c, p, h); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (s step) play(c *cluster, p *phase, h *history) error {
	r := c.replicas[s.replica]
	hold, atLeast := s.faults[0].hold, time.Duration(0)
	for _, f := range s.faults {
		hold = min(hold, f.hold)
		if f.name == paused {
			p.Paused = append(p.Paused, r.index)
			// Calls that came to it before it was taken out of the routing wait for seconds: a phase that
			// is hardly longer would tell their speed alone.
			atLeast = f.hold
		}
		if err := f.begin(c, r); err != nil {
			return err
		}
	}
	if len(s.faults) > 1 {
		hold = max(hold, 3*time.Second, atLeast)
	}
	time.Sleep(hold)
	for _, f := range s.faults {
		if f.end != nil {
			if err := f.end(c, r); err != nil {
				return err
			}
		}
	}
	p.Healed = h.now()
	err := c.allReady()
	p.End = h.now()
	return err
}
