package main

import (
	"context"
	"math/rand/v2"
	"time"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

// callTimeout is how long a client waits for an answer: longer than the service works on a call.
const callTimeout = 6 * time.Second

// plan is what an evening is to be like.
type plan struct {
	venues int
	// rate is how many parties ask in a second, where the curve is 1.
	rate  float64
	curve curve
	// takes is how long the machine plays the hours from opens to closes.
	takes time.Duration
	seed  uint64
	// date is the evening's, at midnight UTC.
	date time.Time
}

// evening is one that is being played.
type evening struct {
	plan
	clock
	*tally
	*agenda
	service *load.Service
}

func newEvening(p plan, service *load.Service) *evening {
	c := newClock(time.Now(), p.takes)
	return &evening{plan: p, clock: c, tally: newTally(c), agenda: newAgenda(), service: service}
}

// run plays the evening to its end.
func (e *evening) run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.play(ctx, e.moment(ends))
	}()
	for at := range arrivals(rand.New(rand.NewPCG(e.seed, 0)), e.curve, e.rate, e.clock) {
		time.Sleep(time.Until(at))
		if ctx.Err() != nil {
			break
		}
		p := e.newParty(int(e.parties.Add(1)), e.evening(at))
		e.start(at, func(planned time.Time) { p.ask(ctx, planned) })
	}
	<-done
	e.running.Wait()
	return ctx.Err()
}

// call makes a call that was planned for a moment, and notes how long its answer took from then on. It
// tells whether the call did what it should, and whether it was refused.
func (e *evening) call(ctx context.Context, k kind, planned time.Time, do func(context.Context) error) (ok, refused bool) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return e.note(k, planned, do(ctx))
}

func (e *evening) note(k kind, planned time.Time, err error) (ok, refused bool) {
	reason := refusal(err)
	if err != nil && reason == "" {
		e.failed(planned, err)
		return false, false
	}
	e.answered(k, planned, time.Now(), reason)
	return err == nil, err != nil
}

// client answers the stub that a party's calls go through.
func (e *evening) client(n int) bookingpb.BookingServiceClient {
	return e.service.Bookings[n%len(e.service.Bookings)]
}
