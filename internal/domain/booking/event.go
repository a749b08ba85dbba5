package booking

import "time"

// EventType tells what happened to a booking. Its text is the Kafka topic.
type EventType string

// eventTypes names the event of each state.
var eventTypes = map[Status]EventType{
	StatusHeld:      "booking.held",
	StatusConfirmed: "booking.confirmed",
	StatusCancelled: "booking.cancelled",
	StatusExpired:   "booking.expired",
	StatusSeated:    "booking.seated",
	StatusFinished:  "booking.finished",
	StatusNoShow:    "booking.no_show",
}

// EventTypes lists every type of event, in the order of a booking's life.
func EventTypes() []EventType {
	return []EventType{
		"booking.held", "booking.confirmed", "booking.cancelled", "booking.expired",
		"booking.seated", "booking.finished", "booking.no_show",
	}
}

// Topics lists the Kafka topic of every type of event.
func Topics() []string {
	topics := make([]string, 0, len(eventTypes))
	for _, t := range EventTypes() {
		topics = append(topics, string(t))
	}
	return topics
}

// Origin is the request that caused a change.
type Origin struct {
	// Time is when the request asked, by the clock of the process that served it.
	Time time.Time
	// TraceID is the W3C trace id, 32 lower-case hexadecimal digits.
	TraceID string
	// TraceParent is the W3C trace context, so that publishing joins the request's trace; may be
	// empty.
	TraceParent string
	// Caller is who asked, of at most 255 characters; empty if that is not known.
	Caller string
}

// Event tells of one change of a booking.
type Event struct {
	// ID is a UUID, version 7; the same however often the event is delivered.
	ID   string
	Type EventType
	// Booking is a copy of the booking after the change; its version is the event's.
	Booking Booking
	// AdminID is who asked for the change; may be empty.
	AdminID string
	// Reason is why a booking was cancelled or has expired; else empty.
	Reason string
	Origin Origin
}

// Held answers the event of a new booking.
func (b *Booking) Held(origin Origin) *Event {
	return newEvent(b, b.AdminID, "", origin)
}

func newEvent(b *Booking, adminID, reason string, origin Origin) *Event {
	return &Event{
		ID: NewID(), Type: eventTypes[b.Status], Booking: *b,
		AdminID: adminID, Reason: reason, Origin: origin,
	}
}
