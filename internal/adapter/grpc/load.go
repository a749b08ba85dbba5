package grpc

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Limits are how much the server takes on; 0 is no limit each.
type Limits struct {
	// Rate is how many calls a second one caller may make, and Burst how many at once; 0 is as many as Rate.
	Rate, Burst int
	// Calls are served at a time, but for those of CheckTableAvailability, which have a limit of their own: a
	// create waits for the venue service, which calls back, and neither may keep the other out.
	Calls, AvailabilityCalls int
	// RequestBytes is the size of the largest request; 0 is gRPC's 4 MiB.
	RequestBytes int
	// Streams are the calls at a time on one connection.
	Streams int
}

// gate lets a number of calls in at a time. A nil gate lets in all.
type gate struct {
	most   int64
	inside atomic.Int64
}

func newGate(most int) *gate {
	if most == 0 {
		return nil
	}
	return &gate{most: int64(most)}
}

// enter tells whether one more may come in; it leaves by leave.
func (g *gate) enter() bool {
	if g == nil || g.inside.Add(1) <= g.most {
		return true
	}
	g.inside.Add(-1)
	return false
}

func (g *gate) leave() {
	if g != nil {
		g.inside.Add(-1)
	}
}

// maxRates is how many callers are remembered before those are forgotten who have not called for a while.
const maxRates = 10_000

// forgetAmong is how many of them are looked at for that, so that a call by somebody new stays cheap.
const forgetAmong = 100

// rates are the callers' token buckets.
type rates struct {
	perSecond rate.Limit
	burst     int

	mu      sync.Mutex
	callers map[string]*rate.Limiter
}

// newRates answers nil for no limit.
func newRates(perSecond, burst int) *rates {
	if perSecond == 0 {
		return nil
	}
	if burst == 0 {
		burst = perSecond
	}
	return &rates{perSecond: rate.Limit(perSecond), burst: burst, callers: make(map[string]*rate.Limiter)}
}

// take takes a token of the caller, and answers how long to wait if there is none: then none is taken.
func (r *rates) take(caller string, now time.Time) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter, ok := r.callers[caller]
	if !ok {
		if len(r.callers) >= maxRates {
			r.forget(now)
		}
		limiter = rate.NewLimiter(r.perSecond, r.burst)
		r.callers[caller] = limiter
	}
	reservation := limiter.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// forget looks at some of the callers and drops those whose buckets are full, who are as new; if all of them
// are in use, one of them begins anew.
func (r *rates) forget(now time.Time) {
	looked := 0
	for caller, limiter := range r.callers {
		looked++
		full := limiter.TokensAt(now) >= float64(r.burst)
		if full || looked == forgetAmong && len(r.callers) >= maxRates {
			delete(r.callers, caller)
		}
		if looked == forgetAmong {
			return
		}
	}
}
