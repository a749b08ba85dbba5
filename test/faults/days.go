package main

import (
	"fmt"
	"slices"
	"sort"
	"time"
)

// statementLimit is how long after the beginning of its transaction a change may have been committed.
const statementLimit = 10 * time.Second

// clockSlack covers what the database's clock and the harness's differ by when they are read.
const clockSlack = 5 * time.Millisecond

// days sorts a history into days and turns it into events. Problems are what is wrong already: a change
// that nobody asked for, an answer about an unknown booking.
func days(h *history, s *store, finish time.Duration) (list []*day, problems []string) {
	byDate := make(map[string]*day)
	for _, b := range s.bookings {
		if !slices.Contains(contested, b.Table) {
			continue
		}
		d := byDate[b.Date]
		if d == nil {
			d = &day{date: b.Date, index: make(map[string]int)}
			byDate[b.Date] = d
			list = append(list, d)
		}
		d.bookings = append(d.bookings, b)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].date < list[j].date })
	for _, d := range list {
		sort.Slice(d.bookings, func(i, j int) bool { return d.bookings[i].ID < d.bookings[j].ID })
		for i, b := range d.bookings {
			d.index[b.ID] = i
		}
	}
	byAdmin := make(map[string]attempt)
	creates := make(map[string]*operation)
	for _, o := range h.operations {
		if o.Kind == create {
			creates[o.Key] = o
		}
		for _, a := range o.Attempts {
			byAdmin[a.AdminID] = a
		}
	}
	for _, d := range list {
		problems = append(problems, d.changes(creates, byAdmin)...)
		for i, b := range d.bookings {
			d.add(finish, finish+1, seen(i, states[b.Status]), "in the end %s is %s", b.ID, b.Status)
		}
	}
	for _, o := range h.operations {
		if d := byDate[o.Date]; d != nil {
			problems = append(problems, d.answer(h, o)...)
		}
	}
	return list, problems
}

func (d *day) add(start, end time.Duration, step func(string) (string, bool), format string, args ...any) {
	d.events = append(d.events, event{start: start, end: end, step: step, text: fmt.Sprintf(format, args...)})
}

// changes adds what is in the audit log, each change within the attempt that made it.
func (d *day) changes(creates map[string]*operation, byAdmin map[string]attempt) (problems []string) {
	for i, b := range d.bookings {
		for _, e := range b.Events {
			start, end := e.At-clockSlack, e.At+statementLimit
			switch to := e.becomes(); to {
			case "held":
				o := creates[b.AdminID]
				if o == nil {
					problems = append(problems, fmt.Sprintf("booking %s was made by nobody", b.ID))
					continue
				}
				start = o.Attempts[0].Start - clockSlack
				for _, a := range o.Attempts {
					if a.Code == "OK" {
						end = a.End
					}
				}
				d.add(start, end, creation(i, d.rivals(b)), "create %s on %s at %d for %d", b.ID, b.tables(), b.From, b.Minutes)
			case "expired":
				d.add(start, end, changeOf(i, 'x'), "expire %s", b.ID)
			default:
				a, known := byAdmin[e.AdminID]
				if !known {
					problems = append(problems, fmt.Sprintf("booking %s was changed to %s by nobody", b.ID, to))
					continue
				}
				if a.Code == "OK" {
					end = a.End
				}
				d.add(a.Start, end, changeOf(i, states[to]), "change %s to %s", b.ID, to)
			}
		}
	}
	return problems
}

func (b *stored) tables() []string { return append([]string{b.Table}, b.Joined...) }

// rivals are the bookings that cannot occupy their tables at the same time as b.
func (d *day) rivals(b *stored) []int {
	return slices.DeleteFunc(d.on(b.tables(), b.From, b.Minutes), func(i int) bool { return d.bookings[i] == b })
}

// on answers the bookings on any of the tables whose sitting overlaps this one.
func (d *day) on(tables []string, from, minutes int) (list []int) {
	for i, b := range d.bookings {
		overlap := b.From < from+minutes && from < b.From+b.Minutes
		if overlap && slices.ContainsFunc(b.tables(), func(t string) bool { return slices.Contains(tables, t) }) {
			list = append(list, i)
		}
	}
	return list
}

// answer adds what an operation was answered, within its last attempt.
func (d *day) answer(h *history, o *operation) (problems []string) {
	a := o.last()
	if !a.clear() {
		return nil
	}
	i, known := d.index[o.BookingID]
	if !known && (o.Kind == get || o.Kind == change || o.Kind == create && o.ok()) {
		return []string{fmt.Sprintf("%s of booking %s was answered %s %s, but there is no such booking on %s", o.Kind, o.BookingID, a.Code, a.Reason, d.date)}
	}
	surely, perhaps := d.holding(a)
	switch {
	case o.Kind == create && !o.ok():
		if a.Reason == "TABLE_UNAVAILABLE" && h.underNonsense(a) {
			return nil
		}
		d.add(a.Start, a.End, taken(false, d.on(o.Tables, o.From, o.Minutes), surely, perhaps),
			"refuse %s at %d for %d: %s", o.Tables, o.From, o.Minutes, a.Reason)
	case o.Kind == change && o.ok():
		if a.AdminID != d.madeBy(i, states[o.To]) {
			d.add(a.Start, a.End, seen(i, states[o.To]), "%s is %s already", o.BookingID, o.To)
		}
	case o.Kind == change && a.Reason == "HOLD_EXPIRED":
		d.add(a.Start, a.End, seen(i, 'x'), "%s has expired, cannot be %s", o.BookingID, o.To)
	case o.Kind == change && a.Reason == "INVALID_TRANSITION":
		d.add(a.Start, a.End, seen(i, states[o.State]), "%s is %s, cannot be %s", o.BookingID, o.State, o.To)
	case o.Kind == change:
		return []string{fmt.Sprintf("the change of %s to %s was answered %s %s", o.BookingID, o.To, a.Code, a.Reason)}
	case o.Kind == get && o.ok():
		d.add(a.Start, a.End, seen(i, states[o.Status]), "%s is %s", o.BookingID, o.Status)
	case o.Kind == get:
		return []string{fmt.Sprintf("the read of %s was answered %s", o.BookingID, a.Code)}
	case o.Kind == list && o.Listed != nil:
		return d.listing(o, a)
	case o.Kind == check && o.ok():
		for _, table := range o.Tables {
			d.add(a.Start, a.End, taken(o.Free[table], d.on([]string{table}, o.From, o.Minutes), surely, perhaps),
				"%s at %d for %d is free: %v", table, o.From, o.Minutes, o.Free[table])
		}
	}
	return nil
}

// madeBy is who made a booking's change into a state.
func (d *day) madeBy(i int, state byte) string {
	for _, e := range d.bookings[i].Events {
		if states[e.becomes()] == state {
			return e.AdminID
		}
	}
	return ""
}

// listing adds a list of a table's bookings: these are there in these states, and no others.
func (d *day) listing(o *operation, a attempt) (problems []string) {
	var indexes []int
	var want []byte
	found := 0
	for i, b := range d.bookings {
		if !slices.Contains(b.tables(), o.Tables[0]) {
			continue
		}
		indexes = append(indexes, i)
		if status, ok := o.Listed[b.ID]; ok {
			want = append(want, states[status])
			found++
		} else {
			want = append(want, absent)
		}
	}
	if found < len(o.Listed) {
		problems = append(problems, fmt.Sprintf("a list of %s on %s has bookings that are not there", o.Tables[0], d.date))
	}
	d.add(a.Start, a.End, seenAll(indexes, want), "list of %s", o.Tables[0])
	return problems
}

// holding tells which bookings surely, and which perhaps, took their tables at some moment of an
// attempt: a hold that had run out before it did not, one that runs out during it may have. The end of a
// hold is known to the second.
func (d *day) holding(a attempt) (surely, perhaps func(byte, int) bool) {
	surely = func(state byte, i int) bool {
		return occupies(state) && (state != 'h' || d.bookings[i].Expires > a.End)
	}
	perhaps = func(state byte, i int) bool {
		return occupies(state) && (state != 'h' || d.bookings[i].Expires+time.Second > a.Start)
	}
	return surely, perhaps
}

// underNonsense tells whether the venue may have talked nonsense to an attempt.
func (h *history) underNonsense(a attempt) bool {
	return slices.ContainsFunc(h.Phases, func(p phase) bool {
		return p.Start <= a.End && a.Start <= p.End && p.has(func(f fault) bool { return f.name == nonsense })
	})
}
