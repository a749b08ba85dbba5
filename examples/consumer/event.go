package main

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protojson"

	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// event tells of one change of a booking.
type event struct {
	record    *kgo.Record
	bookingID string
	// id is the same however often the event comes.
	id string
	// version is the booking's after the change: 1, 2, …
	version     int
	traceParent string
	told        *commonpb.BookingEvent
	// late: a later event of the booking was applied before.
	late bool
}

// parse reads a record. Its errors do not repeat the value, which names a guest.
func parse(r *kgo.Record) (*event, error) {
	e := &event{record: r, bookingID: string(r.Key), told: &commonpb.BookingEvent{}}
	var contentType string
	for _, h := range r.Headers {
		switch h.Key {
		case "event_id":
			e.id = string(h.Value)
		case "booking_version":
			e.version, _ = strconv.Atoi(string(h.Value)) // What is no number is no version, as 0.
		case "traceparent":
			e.traceParent = string(h.Value)
		case "content-type":
			contentType = string(h.Value)
		}
	}
	// Fields that this program does not know come with newer versions of the service.
	lenient := protojson.UnmarshalOptions{DiscardUnknown: true}
	switch {
	case e.id == "":
		return nil, errors.New("no header event_id")
	case e.version < 1:
		return nil, errors.New("no header booking_version, or not 1, 2, …")
	case contentType != "application/json":
		return nil, errors.New("its content-type is not application/json")
	case lenient.Unmarshal(r.Value, e.told) != nil:
		return nil, errors.New("its value is no common.BookingEvent")
	case e.bookingID == "" || e.told.GetBookingId() != e.bookingID:
		return nil, errors.New("its key is not its booking's id")
	}
	return e, nil
}

// line is what is written of an event: nothing that the guest told.
type line struct {
	Topic           string   `json:"topic"`
	BookingID       string   `json:"booking_id"`
	Version         int      `json:"version"`
	EventID         string   `json:"event_id"`
	Late            bool     `json:"late,omitempty"`
	VenueID         string   `json:"venue_id"`
	Tables          []string `json:"tables"`
	Date            string   `json:"date"`
	StartTime       string   `json:"start_time"`
	DurationMinutes int32    `json:"duration_minutes"`
	PartySize       int32    `json:"party_size"`
	TraceParent     string   `json:"traceparent,omitempty"`
}

// apply is the effect of an event: here a line of text, elsewhere a change in a database.
func (e *event) apply(out io.Writer) error {
	slot := e.told.GetSlot()
	l := line{
		Topic: e.record.Topic, BookingID: e.bookingID, Version: e.version, EventID: e.id, Late: e.late,
		VenueID: e.told.GetTable().GetVenueId(), Tables: []string{e.told.GetTable().GetTableId()},
		Date: slot.GetDate(), StartTime: slot.GetStartTime(), DurationMinutes: slot.GetDurationMinutes(),
		PartySize: e.told.GetPartySize(), TraceParent: e.traceParent,
	}
	for _, t := range e.told.GetJoinedTables() {
		l.Tables = append(l.Tables, t.GetTableId())
	}
	return json.NewEncoder(out).Encode(l)
}
