package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// acknowledged is what the clients were told.
type acknowledged struct{ creates, changes int }

// checkAcknowledged answers what was acknowledged and is not in the database, or is there twice, or
// otherwise than asked for.
func checkAcknowledged(h *history, s *store) (told acknowledged, problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, o := range h.operations {
		switch {
		case o.Kind == create:
			b := s.byKey[o.Key]
			if o.Twin != "" && (b == nil || b.ID != o.Twin) {
				say("create %s was answered booking %s when it was sent at the same time once more, its key has another", o.Key, o.Twin)
			}
			switch {
			case !o.ok():
				if o.last().clear() && b != nil && b.Events[0].At < o.last().Start-statementLimit {
					say("create %s was refused %s, although it had made booking %s before", o.Key, o.last().Reason, b.ID)
				}
				continue
			case b == nil || b.ID != o.BookingID:
				say("create %s was answered booking %s, which its key does not have", o.Key, o.BookingID)
			case !slices.Equal(b.tables(), o.Tables) || b.Date != o.Date || b.From != o.From || b.Minutes != o.Minutes || b.Party != o.Party:
				say("booking %s is not what was asked for: %+v", b.ID, *b)
			}
			told.creates++
		case o.Kind == change && o.ok():
			b := s.bookings[o.BookingID]
			if b == nil || !slices.ContainsFunc(b.Events, func(e stampedEvent) bool { return e.becomes() == o.To }) {
				say("booking %s was answered to be %s, which it never was", o.BookingID, o.To)
			}
			told.changes++
		}
	}
	return told, problems
}

// checkLives answers the bookings whose audit log tells no life that there can be.
func checkLives(s *store) (problems []string) {
	for _, b := range s.bookings {
		say := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf("booking %s: ", b.ID)+fmt.Sprintf(format, args...))
		}
		if len(b.Events) == 0 {
			say("no event tells of it")
			continue
		}
		before := byte(absent)
		for i, e := range b.Events {
			to := states[e.becomes()]
			switch {
			case e.Version != i+1:
				say("event %d has version %d", i+1, e.Version)
			case i == 0 && to != 'h', i > 0 && !strings.Contains(allowed[string(to)], string(before)):
				say("version %d made it %s, after state %c", e.Version, e.becomes(), before)
			case to == 'x' && e.At+statementLimit < b.Expires:
				say("expired %v before its time", b.Expires-e.At)
			// The transaction may have begun a little before the hold ran out, never after it.
			case to == 'c' && e.At > b.Expires+time.Second:
				say("confirmed %v after its hold had run out", e.At-b.Expires)
			}
			before = to
		}
		if last := b.Events[len(b.Events)-1]; last.becomes() != b.Status || last.Version != b.Version {
			say("it is %s in version %d, its last event says %s in %d", b.Status, b.Version, last.becomes(), last.Version)
		}
	}
	return problems
}
