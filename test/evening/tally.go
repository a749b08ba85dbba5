package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// kind of a call.
type kind int

const (
	create kind = iota
	change
	read
	kinds
)

// row is what happened in an interval. Calls belong to the one that they were planned for, answers to the
// one that they came in.
type row struct {
	asked, answered int // creates
	times           [kinds][]time.Duration
	refused         map[string]int // by reason
	expired, errors int
	// waiting is how many events were not sent yet at the end.
	waiting int
}

// tally is everything that an evening comes to.
type tally struct {
	clock clock

	mu   sync.Mutex
	rows [intervals]row
	// failures are the first errors that are no refusals.
	failures []string

	parties, walkIns, booked, gaveUp, abandoned, confirmed, cancelled, noShows, seated, finished, repeats atomic.Int64
}

func newTally(clock clock) *tally {
	t := &tally{clock: clock}
	for i := range t.rows {
		t.rows[i].refused = make(map[string]int)
	}
	return t
}

// index of the interval that a moment is in; the last one has all that comes after it.
func (t *tally) index(at time.Time) int {
	return min(max(int((t.clock.evening(at)-opens)/interval), 0), intervals-1)
}

// asked notes a create.
func (t *tally) asked(planned time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[t.index(planned)].asked++
}

// answered notes an answer, which may be a refusal, with its reason.
func (t *tally) answered(k kind, planned, now time.Time, refusal string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.rows[t.index(planned)]
	r.times[k] = append(r.times[k], now.Sub(planned))
	if refusal != "" {
		r.refused[refusal]++
	}
	if k == create {
		t.rows[t.index(now)].answered++
	}
}

// failed notes an error that is no refusal.
func (t *tally) failed(planned time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[t.index(planned)].errors++
	if len(t.failures) < 5 {
		t.failures = append(t.failures, fmt.Sprint(err))
	}
}

// expired notes that a hold has run out.
func (t *tally) expired(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[t.index(now)].expired++
}

// waits notes how many events wait at the end of an interval, and answers its row as it is by then.
func (t *tally) waits(i, events int) row {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[i].waiting = events
	r := t.rows[i]
	for k := range r.times {
		r.times[k] = append([]time.Duration(nil), r.times[k]...) // it goes on growing
	}
	return r
}

// sum puts the first rows together.
func (t *tally) sum(rows int) row {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := row{refused: make(map[string]int)}
	for _, r := range t.rows[:rows] {
		all.asked += r.asked
		all.answered += r.answered
		all.expired += r.expired
		all.errors += r.errors
		all.waiting = r.waiting
		for k := range r.times {
			all.times[k] = append(all.times[k], r.times[k]...)
		}
		for reason, n := range r.refused {
			all.refused[reason] += n
		}
	}
	return all
}

// refusals are the reasons for which the service may say no to a party.
var refusals = []string{"SLOT_TAKEN", "TABLE_UNAVAILABLE", "HOLD_EXPIRED", "INVALID_TRANSITION"}

// refusal answers the reason of an error that is a refusal, else nothing.
func refusal(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			for _, reason := range refusals {
				if info.GetReason() == reason {
					return reason
				}
			}
		}
	}
	return ""
}
