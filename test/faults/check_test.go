package main

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/test/delivery"
)

// told is a history of one client: each operation takes the second after the one before.
type told struct {
	h *history
	s *store
}

func newTold() *told {
	return &told{
		h: &history{Began: time.Now()},
		s: &store{bookings: make(map[string]*stored), byKey: make(map[string]*stored)},
	}
}

const date = "2027-10-01"

func at(n int) time.Duration { return time.Duration(n) * time.Second }

// answered adds an operation from one second to another with its answer.
func (t *told) answered(from, to int, o operation, code, reason string) *operation {
	o.Date = date
	if o.Client == "" {
		o.Client = "c0"
	}
	o.Attempts = append(o.Attempts, attempt{Start: at(from), End: at(to), Deadline: patience, AdminID: o.Key, Code: code, Reason: reason})
	t.h.operations = append(t.h.operations, &o)
	return &o
}

// made adds a booking that was made within the seconds, on a table from six to eight.
func (t *told) made(from, to int, id string, tables ...string) *stored {
	b := &stored{
		ID: id, Table: tables[0], Joined: tables[1:], Date: date, From: 18 * 60, Minutes: 120, Status: "held",
		AdminID: "by-" + id, Version: 1, Expires: at(60), Keys: []string{"by-" + id},
		Events: []stampedEvent{{ID: id + "-1", Type: "booking.held", Version: 1, At: at(from)}},
	}
	t.s.bookings[id], t.s.byKey[b.AdminID] = b, b
	t.answered(from, to, operation{
		Kind: create, Tables: tables, From: b.From, Minutes: b.Minutes, Key: b.AdminID, BookingID: id, Status: "held",
	}, "OK", "")
	return b
}

// became adds a change of a booking within the seconds.
func (t *told) became(from, to int, b *stored, state string) {
	by := b.ID + "-" + state
	b.Version++
	b.Status = state
	b.Events = append(b.Events, stampedEvent{ID: by, Type: "booking." + state, AdminID: by, Version: b.Version, At: at(from)})
	if state != "expired" {
		t.answered(from, to, operation{Kind: change, BookingID: b.ID, To: state, Status: state, Key: by}, "OK", "")
	}
}

// wrong is what the checkers make of it.
func (t *told) wrong() []string {
	_, problems := checkAcknowledged(t.h, t.s)
	problems = append(problems, checkLives(t.s)...)
	list, strange := days(t.h, t.s, at(100))
	problems = append(problems, strange...)
	for _, d := range list {
		if verdict, _ := d.linearizable(); verdict != "" {
			problems = append(problems, verdict)
		}
	}
	return problems
}

func TestLivesThatCanBe(t *testing.T) {
	h := newTold()
	a := h.made(1, 2, "a", "c1")
	h.answered(3, 4, operation{Kind: create, Tables: []string{"c1"}, From: 19 * 60, Minutes: 30, Key: "x"}, "AlreadyExists", "SLOT_TAKEN")
	h.answered(3, 4, operation{Kind: check, Tables: []string{"c1", "c2"}, From: 19 * 60, Minutes: 30, Free: map[string]bool{"c1": false, "c2": true}}, "OK", "")
	h.became(5, 6, a, "cancelled")
	h.answered(7, 8, operation{Kind: change, BookingID: "a", To: "seated", State: "cancelled"}, "FailedPrecondition", "INVALID_TRANSITION")
	b := h.made(7, 8, "b", "c1")
	// An answer that never came, of a change that was made.
	h.became(9, 10, b, "confirmed")
	h.h.operations[len(h.h.operations)-1].Attempts[0].Code = "Unavailable"
	h.answered(11, 12, operation{Kind: get, BookingID: "b", Status: "confirmed"}, "OK", "")
	// Two at once: the order is found.
	c := h.made(20, 30, "c", "c2")
	h.answered(20, 30, operation{Kind: get, BookingID: "c", Status: "held"}, "OK", "")
	h.became(20, 30, c, "cancelled")
	h.answered(31, 32, operation{Kind: list, Tables: []string{"c2"}, Listed: map[string]string{"c": "cancelled"}}, "OK", "")
	// A hold that runs out makes room.
	d := h.made(33, 34, "d", "j1", "j2")
	h.became(61, 61, d, "expired")
	h.answered(65, 66, operation{Kind: change, BookingID: "d", To: "confirmed", State: "held"}, "FailedPrecondition", "HOLD_EXPIRED")
	require.Empty(t, h.wrong())
}

func TestWhatTheCheckersMustFind(t *testing.T) {
	for name, tell := range map[string]func(*told){
		"two bookings on a table": func(h *told) {
			h.made(1, 2, "a", "c1")
			h.made(3, 4, "b", "c1")
		},
		"two bookings at once on a table": func(h *told) {
			h.made(1, 4, "a", "c1")
			h.made(2, 3, "b", "c1")
		},
		"a pair on the table of a single one": func(h *told) {
			h.made(1, 2, "a", "j2")
			h.made(3, 4, "b", "j1", "j2")
		},
		"a refusal of a free table": func(h *told) {
			h.made(1, 2, "a", "c1")
			h.answered(3, 4, operation{Kind: create, Tables: []string{"c1"}, From: 20 * 60, Minutes: 30, Key: "x"}, "AlreadyExists", "SLOT_TAKEN")
		},
		"a refusal because of an overdue hold": func(h *told) {
			h.made(1, 2, "a", "c1")
			h.answered(63, 64, operation{Kind: create, Tables: []string{"c1"}, From: 18 * 60, Minutes: 30, Key: "x"}, "AlreadyExists", "SLOT_TAKEN")
		},
		"a taken table that is called free": func(h *told) {
			h.made(1, 2, "a", "c1")
			h.answered(3, 4, operation{Kind: check, Tables: []string{"c1"}, From: 19 * 60, Minutes: 30, Free: map[string]bool{"c1": true}}, "OK", "")
		},
		"an old state": func(h *told) {
			a := h.made(1, 2, "a", "c1")
			h.became(3, 4, a, "confirmed")
			h.answered(5, 6, operation{Kind: get, BookingID: "a", Status: "held"}, "OK", "")
		},
		"a list without a booking": func(h *told) {
			h.made(1, 2, "a", "c1")
			h.answered(3, 4, operation{Kind: list, Tables: []string{"c1"}, Listed: map[string]string{}}, "OK", "")
		},
		"a booking that was acknowledged and is not there": func(h *told) {
			h.made(1, 2, "a", "c1")
			delete(h.s.bookings, "a")
			delete(h.s.byKey, "by-a")
		},
		"a change that was acknowledged and is not there": func(h *told) {
			h.made(1, 2, "a", "c1")
			h.answered(3, 4, operation{Kind: change, BookingID: "a", To: "confirmed", Status: "confirmed"}, "OK", "")
		},
		"a change that the booking does not show": func(h *told) {
			a := h.made(1, 2, "a", "c1")
			h.became(3, 4, a, "confirmed")
			a.Status = "held"
		},
		"a version left out": func(h *told) {
			a := h.made(1, 2, "a", "c1")
			h.became(3, 4, a, "confirmed")
			a.Version, a.Events[1].Version = 3, 3
		},
		"a seating without a confirmation": func(h *told) {
			a := h.made(1, 2, "a", "c1")
			h.became(3, 4, a, "seated")
		},
		"a hold that expired before its time": func(h *told) {
			a := h.made(1, 2, "a", "c1")
			h.became(5, 5, a, "expired")
		},
		"a confirmation of an overdue hold": func(h *told) {
			a := h.made(1, 2, "a", "c1")
			h.became(63, 64, a, "confirmed")
		},
		"the same create twice, with two bookings": func(h *told) {
			h.made(1, 2, "a", "c1")
			h.h.operations[0].Twin = "b"
		},
		"a change that nobody asked for": func(h *told) {
			a := h.made(1, 2, "a", "c1")
			h.became(3, 4, a, "confirmed")
			h.h.operations = h.h.operations[:1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTold()
			tell(h)
			require.NotEmpty(t, h.wrong())
		})
	}
}

func TestEventsThatAreLostOrOutOfOrder(t *testing.T) {
	h := newTold()
	a := h.made(1, 2, "a", "c1")
	h.became(3, 4, a, "confirmed")
	arrived := func() map[string]*delivery.Arrived {
		events := make(map[string]*delivery.Arrived)
		for i := range a.Events {
			a.Events[i].Payload = []byte(`{"booking_id":"a"}`)
			e := a.Events[i]
			events[e.ID] = &delivery.Arrived{
				Topic: e.Type, Key: "a", Version: e.Version, At: h.h.Began.Add(at(e.Version)), Value: []byte(`{"booking_id": "a"}`), Times: 2,
			}
		}
		return events
	}
	events := arrived()
	repeats, problems := delivery.Check(h.s.written(), events)
	require.Empty(t, problems)
	require.Equal(t, 2, repeats)
	for name, change := range map[string]func(map[string]*delivery.Arrived){
		"lost":         func(e map[string]*delivery.Arrived) { delete(e, "a-1") },
		"out of order": func(e map[string]*delivery.Arrived) { e["a-1"].At = h.h.Began.Add(at(9)) },
		"changed":      func(e map[string]*delivery.Arrived) { e["a-1"].Value = []byte(`{"booking_id":"b"}`) },
		"elsewhere":    func(e map[string]*delivery.Arrived) { e["a-1"].Topic = "booking.seated" },
		"unheard of":   func(e map[string]*delivery.Arrived) { e["z"] = e["a-1"] },
	} {
		events := arrived()
		change(events)
		_, problems := delivery.Check(h.s.written(), events)
		require.NotEmpty(t, problems, name)
	}
}

func TestAnswersThatAreWrongOrLate(t *testing.T) {
	h := newTold()
	h.h.Began = time.Now().Add(-at(200))
	h.h.Phases = []phase{
		{Name: "quiet", Start: 0, Healed: at(50), End: at(50)},
		{Name: "redis away", Start: at(50), Healed: at(100), End: at(100), faults: []fault{{harmless: true}}},
	}
	for n := range 100 {
		h.answered(n, n+1, operation{Client: "r0", Kind: get}, "OK", "")
		h.answered(n, n+1, operation{Client: "p0", Kind: create}, "OK", "")
	}
	require.Empty(t, checkAnswers(h.h, reports(h.h), true))

	h.answered(10, 11, operation{Kind: get}, "Internal", "INTERNAL")
	h.answered(20, 26, operation{Kind: get}, "OK", "")
	require.Len(t, checkAnswers(h.h, reports(h.h), true), 2)
	var slow []*operation
	for _, o := range h.h.operations {
		if o.Client != "p0" || o.Attempts[0].Start < at(50) || o.Attempts[0].Start%at(3) == 0 {
			slow = append(slow, o)
		}
	}
	h.h.operations = slow
	require.Len(t, checkAnswers(h.h, reports(h.h), true), 3)
}

func TestPlansAreRepeatable(t *testing.T) {
	text := func(seed uint64, short bool) (list []string) {
		for _, s := range makePlan(seed, short) {
			list = append(list, s.String())
		}
		return list
	}
	for _, short := range []bool{false, true} {
		again := text(7, short)
		require.Equal(t, again, text(7, short))
		require.NotEqual(t, text(7, short), text(8, short))
	}
	for _, f := range faults() {
		require.True(t, slices.ContainsFunc(makePlan(7, false), func(s step) bool {
			return len(s.faults) == 1 && s.faults[0].name == f.name
		}), f.name)
	}
}
