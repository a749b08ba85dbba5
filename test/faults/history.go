package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync"
	"time"
)

// kind names what an operation does.
type kind string

const (
	create kind = "create"
	change kind = "change"
	get    kind = "get"
	list   kind = "list"
	check  kind = "check"
)

// attempt is one call of an operation.
type attempt struct {
	Replica int `json:"replica"`
	// Start and End are since the beginning of the run.
	Start time.Duration `json:"start"`
	End   time.Duration `json:"end"`
	// Deadline is the client's; with patience alone the server's is what ends the call.
	Deadline time.Duration `json:"deadline"`
	// AdminID marks the change that this attempt made, in the audit log.
	AdminID string `json:"admin_id,omitempty"`
	Code    string `json:"code"`
	Reason  string `json:"reason,omitempty"`
}

// clear tells whether the answer says for sure whether the operation happened.
func (a attempt) clear() bool {
	switch a.Code {
	case "OK", "InvalidArgument", "NotFound", "AlreadyExists", "FailedPrecondition":
		return true
	}
	return false
}

// operation is what a client wanted, tried again until the answer was clear.
type operation struct {
	Client string `json:"client"`
	Kind   kind   `json:"kind"`
	// Date, Tables, From and Minutes are the sitting: the asked table first, its partner after it when
	// both are needed; minutes since midnight.
	Date    string   `json:"date"`
	Tables  []string `json:"tables,omitempty"`
	From    int      `json:"from,omitempty"`
	Minutes int      `json:"minutes,omitempty"`
	Party   int32    `json:"party,omitempty"`
	Key     string   `json:"key,omitempty"`
	// BookingID is asked for, or answered.
	BookingID string `json:"booking_id,omitempty"`
	// To is the state that a change asks for.
	To string `json:"to,omitempty"`

	Attempts []attempt `json:"attempts"`

	// Status is the booking's in the answer; State the one that a refused change met.
	Status string `json:"status,omitempty"`
	State  string `json:"state,omitempty"`
	// Listed are the states of the bookings in a list.
	Listed map[string]string `json:"listed,omitempty"`
	// Free are the tables' availabilities in the answer of a check.
	Free map[string]bool `json:"free,omitempty"`
	// Twin is what the same create, sent at the same time to another replica, was answered.
	Twin string `json:"twin,omitempty"`
}

func (o *operation) last() attempt { return o.Attempts[len(o.Attempts)-1] }

func (o *operation) ok() bool { return len(o.Attempts) > 0 && o.last().Code == "OK" }

// phase is a part of the run: quiet, or under a fault.
type phase struct {
	Name string `json:"name"`
	// Start is when the fault began, Healed when it was taken back, and End when every replica was
	// ready again.
	Start  time.Duration `json:"start"`
	Healed time.Duration `json:"healed"`
	End    time.Duration `json:"end"`
	// Paused are the replicas that were stopped and went on later.
	Paused []int `json:"paused,omitempty"`
	faults []fault
}

func (p phase) covers(t time.Duration) bool { return p.Start <= t && t < p.End }

// has tells whether one of the phase's faults has the trait.
func (p phase) has(trait func(fault) bool) bool { return slices.ContainsFunc(p.faults, trait) }

// history is all that happened in a run.
type history struct {
	Seed   uint64
	Began  time.Time
	Phases []phase

	mu         sync.Mutex
	operations []*operation
}

// now is the time since the beginning of the run.
func (h *history) now() time.Duration { return time.Since(h.Began) }

func (h *history) add(o *operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, o)
}

// write leaves the history in a file, one JSON object a line: first the run, then the operations.
func (h *history) write(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriter(f)
	lines := json.NewEncoder(out)
	err = lines.Encode(struct {
		Seed   uint64    `json:"seed"`
		Began  time.Time `json:"began"`
		Phases []phase   `json:"phases"`
	}{h.Seed, h.Began, h.Phases})
	for _, o := range h.operations {
		err = errors.Join(err, lines.Encode(o))
	}
	return errors.Join(err, out.Flush())
}
