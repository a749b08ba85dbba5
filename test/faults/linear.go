package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// The checker of linearizability. The history of a day's tables is a sequence of changes and of
// answers. Which attempt made which change is known from the audit log, so that what is left to be
// found is an order of all of them, each within its call, in which every answer is right.

// states are the states of a booking in a model's state, one letter each.
var states = map[string]byte{
	"held": 'h', "confirmed": 'c', "seated": 's', "finished": 'f', "cancelled": 'k', "expired": 'x', "no_show": 'n',
}

// absent is the state of a booking that is not made yet.
const absent = '-'

func occupies(state byte) bool { return state == 'h' || state == 'c' || state == 's' }

// allowed are the changes that there are.
var allowed = map[string]string{"c": "h", "k": "hc", "x": "h", "s": "c", "f": "s", "n": "cs"}

// event is something that happened at one moment of its interval, or was seen there.
type event struct {
	text       string
	start, end time.Duration
	// step answers the state afterwards, false when it cannot happen in this state. A state has a
	// letter for each booking of the day.
	step func(state string) (string, bool)
}

// changeOf is the change of a booking into a state.
func changeOf(i int, to byte) func(string) (string, bool) {
	return func(state string) (string, bool) {
		if !strings.Contains(allowed[string(to)], state[i:i+1]) {
			return "", false
		}
		return state[:i] + string(to) + state[i+1:], true
	}
}

// creation is the making of a booking where none of its rivals occupies a table.
func creation(i int, rivals []int) func(string) (string, bool) {
	return func(state string) (string, bool) {
		if state[i] != absent || slices.ContainsFunc(rivals, func(r int) bool { return occupies(state[r]) }) {
			return "", false
		}
		return state[:i] + "h" + state[i+1:], true
	}
}

// seen is an answer that is right when the booking is in a state.
func seen(i int, want byte) func(string) (string, bool) {
	return func(state string) (string, bool) { return state, state[i] == want }
}

// seenAll is an answer that is right when all of these bookings are in these states.
func seenAll(indexes []int, want []byte) func(string) (string, bool) {
	return func(state string) (string, bool) {
		for n, i := range indexes {
			if state[i] != want[n] {
				return "", false
			}
		}
		return state, true
	}
}

// taken is a refusal, or an answer about availability. holders are the bookings on the table at that
// time. It is right when one of them surely occupies the table, or, for free, when none surely does: a
// hold that runs out during the call may count or not.
func taken(free bool, holders []int, surely, perhaps func(state byte, i int) bool) func(string) (string, bool) {
	return func(state string) (string, bool) {
		for _, i := range holders {
			if free && surely(state[i], i) {
				return "", false
			}
			if !free && perhaps(state[i], i) {
				return state, true
			}
		}
		return state, free
	}
}

// day is the history of the contested tables on a date.
type day struct {
	date     string
	bookings []*stored
	index    map[string]int
	events   []event
}

// linearModel is the model for porcupine; the inputs are events.
func linearModel(n int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return strings.Repeat(string(rune(absent)), n) },
		Step: func(state, input, _ any) (bool, any) {
			next, ok := input.(*event).step(state.(string))
			return ok, next
		},
		DescribeOperation: func(input, _ any) string { return input.(*event).text },
	}
}

// checkTimeout bounds the search for an order on one day.
const checkTimeout = 30 * time.Second

// linearizable answers "" when there is an order, else what is wrong. A day that takes too long is
// wrong too: nothing is known of it.
func (d *day) linearizable() (verdict string, visualize func(path string) error) {
	operations := make([]porcupine.Operation, len(d.events))
	for i := range d.events {
		e := &d.events[i]
		operations[i] = porcupine.Operation{Input: e, Call: int64(e.start), Return: int64(e.end)}
	}
	model := linearModel(len(d.bookings))
	result, info := porcupine.CheckOperationsVerbose(model, operations, checkTimeout)
	visualize = func(path string) error { return porcupine.VisualizePath(model, info, path) }
	switch result {
	case porcupine.Ok:
		return "", visualize
	case porcupine.Unknown:
		return fmt.Sprintf("%s: no order of %d events found within %v, nor that there is none", d.date, len(d.events), checkTimeout), visualize
	}
	longest := 0
	for _, partition := range info.PartialLinearizations() {
		for _, order := range partition {
			longest = max(longest, len(order))
		}
	}
	return fmt.Sprintf("%s: not linearizable: of %d events at most %d can be ordered", d.date, len(d.events), longest), visualize
}
