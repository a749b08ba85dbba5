package main

import (
	"maps"
	"slices"
	"time"
)

// sequence puts the events of each booking in the order of its versions. Kafka keeps no order across
// topics, and a booking's events are in as many topics as there are events of it.
type sequence struct {
	// applied are the versions that were applied, by booking.
	applied map[string][]int
	// early are the events that wait for one before them, by booking.
	early map[string]*waiting
}

// waiting are the events of a booking that came too early, by version.
type waiting struct {
	events map[int]*event
	since  time.Time
}

func newSequence() *sequence {
	return &sequence{applied: make(map[string][]int), early: make(map[string]*waiting)}
}

// add takes an event that came at the moment now and answers what can be applied now, in order:
// nothing for a repeat or an event that came too early.
func (s *sequence) add(e *event, now time.Time) (ready []*event) {
	if slices.Contains(s.applied[e.bookingID], e.version) {
		return nil
	}
	w := s.early[e.bookingID]
	if w == nil {
		w = &waiting{events: make(map[int]*event), since: now}
		s.early[e.bookingID] = w
	}
	if _, repeat := w.events[e.version]; !repeat {
		w.events[e.version] = e
	}
	return s.release(e.bookingID, false, now)
}

// passed takes an event that was applied earlier, by this process or another of the group, and
// answers what can be applied now that this is known.
func (s *sequence) passed(e *event, now time.Time) (ready []*event) {
	if !slices.Contains(s.applied[e.bookingID], e.version) {
		s.applied[e.bookingID] = append(s.applied[e.bookingID], e.version)
	}
	if w := s.early[e.bookingID]; w != nil {
		delete(w.events, e.version)
	}
	return s.release(e.bookingID, false, now)
}

// release answers the waiting events of a booking that may be applied, all of them if gaps do not
// matter, and notes them as applied.
func (s *sequence) release(bookingID string, acrossGaps bool, now time.Time) (ready []*event) {
	w := s.early[bookingID]
	if w == nil {
		return nil
	}
	for _, version := range slices.Sorted(maps.Keys(w.events)) {
		last := s.last(bookingID)
		if version > last+1 && !acrossGaps {
			break
		}
		e := w.events[version]
		e.late = version < last
		ready = append(ready, e)
		s.applied[bookingID] = append(s.applied[bookingID], version)
		delete(w.events, version)
	}
	if len(w.events) == 0 {
		delete(s.early, bookingID)
	} else if len(ready) > 0 {
		w.since = now // What is left waits for another event.
	}
	return ready
}

// last answers the highest version of a booking that was applied, 0 for none.
func (s *sequence) last(bookingID string) int {
	last := 0
	for _, version := range s.applied[bookingID] {
		last = max(last, version)
	}
	return last
}

// gap is a booking of which some events are missing.
type gap struct {
	bookingID string
	missing   []int
	// events come after the missing ones, in order.
	events []*event
}

// waits tells whether there is a gap that has been open since the moment given or longer.
func (s *sequence) waits(since time.Time) bool {
	for _, w := range s.early {
		if !w.since.After(since) {
			return true
		}
	}
	return false
}

// overdue answers the gaps that have been open since the moment given or longer, and closes them:
// the events behind them count as applied.
func (s *sequence) overdue(since, now time.Time) (gaps []gap) {
	for bookingID, w := range s.early {
		if w.since.After(since) {
			continue
		}
		g := gap{bookingID: bookingID}
		last := s.last(bookingID)
		g.events = s.release(bookingID, true, now)
		for _, e := range g.events {
			for last++; last < e.version; last++ {
				g.missing = append(g.missing, last)
			}
		}
		gaps = append(gaps, g)
	}
	return gaps
}
