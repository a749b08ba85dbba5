package main

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// most is how many steps may run at once: what waits beyond it is late, and its latency says so.
const most = 4096

// step is something that is done at a moment, which it is told.
type step func(planned time.Time)

// agenda starts steps at their moments, whatever became of those before.
type agenda struct {
	mu    sync.Mutex
	later waiting

	running sync.WaitGroup
	slots   chan struct{}
	// full counts the steps that had to wait because too many ran.
	full atomic.Int64
}

func newAgenda() *agenda { return &agenda{slots: make(chan struct{}, most)} }

// add notes a step for a moment.
func (a *agenda) add(at time.Time, s step) {
	a.mu.Lock()
	defer a.mu.Unlock()
	heap.Push(&a.later, appointment{at, s})
}

// start lets a step run beside the others.
func (a *agenda) start(planned time.Time, s step) {
	select {
	case a.slots <- struct{}{}:
	default:
		a.full.Add(1)
		a.slots <- struct{}{}
	}
	a.running.Go(func() {
		defer func() { <-a.slots }()
		s(planned)
	})
}

// play starts the steps that are noted for before the end, those too that are added meanwhile, and
// forgets the others.
func (a *agenda) play(ctx context.Context, end time.Time) {
	for now := time.Now(); now.Before(end) && ctx.Err() == nil; now = time.Now() {
		next, due := a.next(now)
		if due {
			a.start(next.at, next.step)
			continue
		}
		time.Sleep(time.Millisecond) // something sooner may be added
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.later = nil
}

// next takes the first step, if it is due.
func (a *agenda) next(now time.Time) (appointment, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.later) == 0 || a.later[0].at.After(now) {
		return appointment{}, false
	}
	return heap.Pop(&a.later).(appointment), true
}

type appointment struct {
	at   time.Time
	step step
}

// waiting is a heap, the soonest first.
type waiting []appointment

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].at.Before(w[j].at) }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }

// Push adds an appointment.
func (w *waiting) Push(x any) { *w = append(*w, x.(appointment)) }

// Pop takes the last one.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	x := (*w)[last]
	(*w)[last] = appointment{}
	*w = (*w)[:last]
	return x
}
