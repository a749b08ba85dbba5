package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// expected are the codes and reasons that a client may be answered: those of the README, and what says
// that the time that a client gave was over or that its connection broke.
var expected = []string{
	"OK", "AlreadyExists SLOT_TAKEN", "FailedPrecondition TABLE_UNAVAILABLE", "FailedPrecondition INVALID_TRANSITION",
	"FailedPrecondition HOLD_EXPIRED", "Unavailable DEPENDENCY_UNAVAILABLE", "Unavailable",
	"DeadlineExceeded", "DeadlineExceeded DEADLINE_EXCEEDED",
}

// lateBy is how much later than its deadline a call may end.
const lateBy = 500 * time.Millisecond

// speed is what the measuring clients reached.
type speed struct{ reads, creates float64 }

// report is what one kind of phase came to.
type report struct {
	name string
	// codes counts the answers.
	codes map[string]int
	// readP99 and createP99 are the 99th percentiles of the answers OK to the measuring clients.
	readP99, createP99 time.Duration
	speed              speed
	// firstOK is how long after the fault was healed the first success came.
	firstOK time.Duration
}

// measuring tells whether an operation is of a measuring client: one that reads, or creates where no
// other does.
func measuring(o *operation) (read, creates bool) { return o.Client[0] == 'r', o.Client[0] == 'p' }

// timed is a successful answer of a measuring client.
type timed struct {
	at, took time.Duration
	read     bool
}

// reports sums up the phases: all quiet ones together, and each fault for itself.
func reports(h *history) []report {
	quiet := report{name: "quiet", codes: make(map[string]int)}
	list := []report{}
	var successes []timed
	var all []attempt
	for _, o := range h.operations {
		read, creates := measuring(o)
		for _, a := range o.Attempts {
			all = append(all, a)
			if (read || creates) && a.Code == "OK" {
				successes = append(successes, timed{a.End, a.End - a.Start, read})
			}
		}
	}
	slices.SortFunc(successes, func(a, b timed) int { return int(a.at - b.at) })
	var quietTimes []timed
	var quietFor time.Duration
	for _, p := range h.Phases {
		// What was reached is counted while the fault lasts, not while a replica still starts.
		during := within(successes, p.Start, p.Healed)
		if p.Name == "quiet" {
			quietTimes, quietFor = append(quietTimes, during...), quietFor+p.Healed-p.Start
			count(quiet.codes, all, p)
			continue
		}
		r := report{name: p.Name, codes: make(map[string]int)}
		count(r.codes, all, p)
		r.sumUp(during, p.Healed-p.Start)
		if after := within(successes, p.Healed, h.now()); len(after) > 0 {
			r.firstOK = after[0].at - p.Healed
		} else {
			r.firstOK = h.now() - p.Healed
		}
		list = append(list, r)
	}
	quiet.sumUp(quietTimes, quietFor)
	return append([]report{quiet}, list...)
}

func within(sorted []timed, from, to time.Duration) []timed {
	find := func(at time.Duration) int {
		i, _ := slices.BinarySearchFunc(sorted, at, func(t timed, at time.Duration) int { return int(t.at - at) })
		return i
	}
	return sorted[find(from):max(find(from), find(to))]
}

func count(codes map[string]int, all []attempt, p phase) {
	for _, a := range all {
		if p.covers(a.Start) {
			codes[strings.TrimSpace(a.Code+" "+a.Reason)]++
		}
	}
}

func (r *report) sumUp(successes []timed, length time.Duration) {
	var reads, creates []time.Duration
	for _, t := range successes {
		if t.read {
			reads = append(reads, t.took)
		} else {
			creates = append(creates, t.took)
		}
	}
	r.readP99, r.createP99 = percentile(reads), percentile(creates)
	if s := length.Seconds(); s > 0 {
		r.speed = speed{float64(len(reads)) / s, float64(len(creates)) / s}
	}
}

// percentile is the 99th.
func percentile(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[(len(times)*99-1)/100]
}

// checkAnswers answers the calls that were answered wrongly or late, and, with speeds, the faults under
// which the service was slower than it may be.
func checkAnswers(h *history, list []report, speeds bool) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	quiet := list[0]
	for i, r := range list {
		for _, code := range slices.Sorted(maps.Keys(r.codes)) {
			if !slices.Contains(expected, code) {
				say("%s: %d calls were answered %s", r.name, r.codes[code], code)
			}
		}
		if i == 0 {
			continue
		}
		p := h.Phases[2*i-1] // a quiet phase is before each fault
		harmless := speeds && !p.has(func(f fault) bool { return !f.harmless })
		if p.Healed-p.Start < time.Second { // too short to tell a speed
			harmless = false
		}
		if harmless && (r.speed.reads < quiet.speed.reads/2 || r.speed.creates < quiet.speed.creates/2) {
			say("%s: %.0f reads and %.0f creates a second, when all is quiet %.0f and %.0f",
				r.name, r.speed.reads, r.speed.creates, quiet.speed.reads, quiet.speed.creates)
		}
		if r.firstOK > 5*time.Second {
			say("%s: the first success came %v after it was over", r.name, r.firstOK)
		}
	}
	for _, o := range h.operations {
		for _, a := range o.Attempts {
			limit := min(a.Deadline, requestTimeout)
			if h.pausedDuring(a) {
				limit = a.Deadline // nobody is there to keep the server's
			}
			if took := a.End - a.Start; took > limit+lateBy {
				say("a call of %s took %v at %v, its limit was %v: %s %s", o.Client, took, a.Start, limit, a.Code, a.Reason)
			}
		}
	}
	return problems
}

// pausedDuring tells whether an attempt's replica was paused then. Calls that came before it still
// wait when it goes on.
func (h *history) pausedDuring(a attempt) bool {
	return slices.ContainsFunc(h.Phases, func(p phase) bool {
		return slices.Contains(p.Paused, a.Replica) && a.Start < p.End && a.End > p.Start
	})
}

// longestSilence is the longest time without a success of any client.
func longestSilence(h *history, until time.Duration) time.Duration {
	var ends []time.Duration
	for _, o := range h.operations {
		for _, a := range o.Attempts {
			if a.Code == "OK" {
				ends = append(ends, a.End)
			}
		}
	}
	slices.Sort(ends)
	var longest, before time.Duration
	for _, end := range append(ends, until) {
		longest, before = max(longest, end-before), end
	}
	return longest
}
