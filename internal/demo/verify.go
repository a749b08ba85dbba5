package demo

import (
	"context"
	"time"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// verify compares the end of the evening with what it should be: all bookings, that no table is
// taken any more, and all events.
func (e *evening) verify(ctx context.Context) {
	e.say("\nThe books are checked.")
	e.verifyBookings(ctx)
	free := make(map[string]bool)
	for _, t := range e.place.Tables {
		free[t.ID] = true
	}
	for _, at := range []string{"17:00", "19:00", "21:30", "23:00"} {
		e.available(ctx, at, free)
	}
	e.awaitEvents(ctx)
	for _, p := range e.parties {
		e.verifyEvents(p, e.events.of(p.id))
	}
}

func (e *evening) verifyBookings(ctx context.Context) {
	list, err := e.list(ctx)
	if err != nil {
		e.differ("list the bookings: %v", err)
		return
	}
	if int(list.GetTotal()) != len(e.parties) || len(list.GetBookings()) != len(e.parties) {
		e.differ("the list has %d bookings and counts %d, but should have %d",
			len(list.GetBookings()), list.GetTotal(), len(e.parties))
	}
	byID := make(map[string]*bookingpb.Booking)
	for _, b := range list.GetBookings() {
		byID[b.GetId()] = b
	}
	for _, p := range e.parties {
		b := byID[p.id]
		if b == nil {
			e.differ("%s is not in the list", p)
			continue
		}
		e.compare(p, b, "in the end")
	}
}

// awaitEvents waits until every event came, and a little longer for those that should not.
func (e *evening) awaitEvents(ctx context.Context) {
	end := time.Now().Add(eventTimeout)
	for time.Now().Before(end) && ctx.Err() == nil {
		missing := 0
		for _, p := range e.parties {
			missing += max(0, len(p.events)-len(e.events.of(p.id)))
		}
		if missing == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond)
}

// verifyEvents expects a booking's events complete, each as it should be, and sent in the order of
// their versions. Events of one booking are in several topics, which are not read in step, so their
// order is that of the times when they were sent.
func (e *evening) verifyEvents(p *party, got []event) {
	byVersion := make(map[int]event)
	for _, ev := range got {
		if ev.err != nil {
			e.differ("%s: a record in %s is no event: %v", p, ev.topic, ev.err)
			continue
		}
		if twice, ok := byVersion[ev.version]; ok {
			e.differ("%s: two events of version %d, in %s and in %s", p, ev.version, twice.topic, ev.topic)
		}
		byVersion[ev.version] = ev
	}
	var before event
	for i, topic := range p.events {
		version := i + 1
		ev, ok := byVersion[version]
		if !ok {
			e.differ("%s: %s, version %d, did not come out of Kafka", p, topic, version)
			continue
		}
		delete(byVersion, version)
		if ev.topic != topic {
			e.differ("%s: version %d is in %s, but should be in %s", p, version, ev.topic, topic)
		}
		if ev.sent.Before(before.sent) {
			e.differ("%s: %s was sent before %s", p, ev.topic, before.topic)
		}
		before = ev
		e.verifyContent(p, ev)
	}
	for version, ev := range byVersion {
		e.differ("%s: %s, version %d, should not be there", p, ev.topic, version)
	}
}

// verifyContent expects an event to tell everything about the booking.
func (e *evening) verifyContent(p *party, ev event) {
	told := ev.told
	slot := told.GetSlot()
	switch {
	case !e.sameTable(p, told):
		e.differ("%s: %s names other tables: %v %v", p, ev.topic, told.GetTable(), told.GetJoinedTables())
	case slot.GetDate() != e.date || slot.GetStartTime() != p.start || slot.GetDurationMinutes() != p.turn():
		e.differ("%s: %s names another slot: %v", p, ev.topic, slot)
	case told.GetPartySize() != p.size || told.GetCustomerName() != p.name:
		e.differ("%s: %s names another party", p, ev.topic)
	case payloadTopic(told) != ev.topic:
		e.differ("%s: the event in %s tells of %s", p, ev.topic, payloadTopic(told))
	case told.GetHeaders().GetSource() != "booking-svc" || len(told.GetHeaders().GetTraceId()) != 32 || told.GetHeaders().GetTimestamp() == 0:
		e.differ("%s: the headers of %s are not complete: %v", p, ev.topic, told.GetHeaders())
	case ev.topic == "booking.cancelled" && told.GetCancelled().GetReason() == "":
		e.differ("%s: the cancellation has lost its reason", p)
	}
}
