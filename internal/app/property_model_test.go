//go:build integration

package app

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// clientModel is the service as its clients may see it, as plainly as it can be written, after the
// design and the contract: it shares no code with the service.
type clientModel struct {
	venueID string
	zone    *time.Location
	tables  []modelTable
	// informed says that the venue asks the service which tables are free before it offers any;
	// away, that it answers no question about tables.
	informed, away bool

	bookings []*clientBooking
	keys     map[string]*keyUse
	// step counts the requests; the events of one request have its number.
	step int
}

type modelTable struct {
	id       string
	capacity int
	merges   bool
}

type clientBooking struct {
	// want is what every answer about the booking must be.
	want     *bookingpb.Booking
	from, to time.Time
	// overdue is a hold that has run out, and that nothing has expired yet.
	overdue bool
	events  []modelEvent
}

type modelEvent struct {
	step  int
	topic string
	event *commonpb.BookingEvent
}

type keyUse struct {
	// request is the one that the key came with, normalised.
	request *bookingpb.CreateBookingRequest
	booking *clientBooking
}

// refusal is an error as a client can tell it from others.
type refusal struct {
	code   codes.Code
	reason string
	// fields are the bad ones, sorted.
	fields string
	// about are the ErrorInfo's metadata, sorted, as `from=held`.
	about string
}

var (
	notFound    = &refusal{code: codes.NotFound, reason: "BOOKING_NOT_FOUND"}
	slotTaken   = &refusal{code: codes.AlreadyExists, reason: "SLOT_TAKEN"}
	keyReused   = &refusal{code: codes.InvalidArgument, reason: "IDEMPOTENCY_KEY_REUSED"}
	unavailable = &refusal{code: codes.FailedPrecondition, reason: "TABLE_UNAVAILABLE"}
	venueAway   = &refusal{code: codes.Unavailable, reason: "DEPENDENCY_UNAVAILABLE", about: "dependency=venue"}
)

func badFields(fields ...string) *refusal {
	slices.Sort(fields)
	return &refusal{code: codes.InvalidArgument, fields: strings.Join(fields, " ")}
}

// moves are the changes that a client can ask for.
var moves = [][2]string{
	{"held", "confirmed"}, {"held", "cancelled"},
	{"confirmed", "cancelled"}, {"confirmed", "seated"}, {"confirmed", "no_show"},
	{"seated", "finished"}, {"seated", "no_show"},
}

// resolve answers the first instant that the clocks in the zone show as this, false if none does. No
// zone of today is off by other than quarters of an hour.
func resolve(zone *time.Location, slot *commonpb.Slot) (time.Time, bool) {
	wall := slot.Date + " " + slot.StartTime
	asUTC, err := time.Parse("2006-01-02 15:04", wall)
	if err != nil {
		return time.Time{}, false
	}
	for quarter := -4 * 15; quarter <= 4*15; quarter++ {
		if at := asUTC.Add(time.Duration(quarter) * 15 * time.Minute); at.In(zone).Format("2006-01-02 15:04") == wall {
			return at, true
		}
	}
	return time.Time{}, false
}

func minutes(slot *commonpb.Slot) int32 { return cmp.Or(slot.DurationMinutes, 120) }

func sitting(zone *time.Location, slot *commonpb.Slot) (from, to time.Time, ok bool) {
	from, ok = resolve(zone, slot)
	return from, from.Add(time.Duration(minutes(slot)) * time.Minute), ok
}

// normalised is the request without what makes no difference.
func normalised(r *bookingpb.CreateBookingRequest) *bookingpb.CreateBookingRequest {
	n := proto.CloneOf(r)
	n.Table.VenueId = r.VenueId
	n.Slot.DurationMinutes = minutes(r.Slot)
	n.CustomerName = strings.TrimSpace(r.CustomerName)
	return n
}

func (b *clientBooking) tables() []string {
	ids := []string{b.want.Table.TableId}
	for _, t := range b.want.JoinedTables {
		ids = append(ids, t.TableId)
	}
	return ids
}

// active tells whether the booking takes its tables; an overdue hold gives way.
func (b *clientBooking) active() bool {
	return !b.overdue && slices.Contains([]string{"held", "confirmed", "seated"}, b.want.Status)
}

func (m *clientModel) taken(tableID string, from, to time.Time) bool {
	return slices.ContainsFunc(m.bookings, func(b *clientBooking) bool {
		return b.active() && b.from.Before(to) && from.Before(b.to) && slices.Contains(b.tables(), tableID)
	})
}

func (m *clientModel) allOverdue() []*clientBooking {
	return slices.DeleteFunc(slices.Clone(m.bookings), func(b *clientBooking) bool { return !b.overdue })
}

// create answers what a create must answer: a booking of before, a refusal, or the tables of the new
// booking.
func (m *clientModel) create(r *bookingpb.CreateBookingRequest, bad []string, now time.Time) (*clientBooking, *refusal, []string) {
	if len(bad) > 0 {
		return nil, badFields(bad...), nil
	}
	if use := m.keys[r.IdempotencyKey]; use != nil && r.VenueId == m.venueID {
		if proto.Equal(use.request, normalised(r)) {
			return use.booking, nil, nil
		}
		return nil, keyReused, nil
	}
	if r.VenueId != m.venueID {
		if m.away {
			return nil, venueAway, nil
		}
		return nil, unavailable, nil
	}
	from, to, ok := sitting(m.zone, r.Slot)
	switch {
	case !ok, from.Before(now.Add(-time.Hour)):
		return nil, badFields("slot.start_time"), nil
	case from.After(now.AddDate(3, 0, 0)):
		return nil, badFields("slot.date"), nil
	case m.away:
		return nil, venueAway, nil
	}
	tables, refused := m.seat(r.Table.TableId, int(r.PartySize), from, to)
	return nil, refused, tables
}

// seat answers the tables that a party gets which asked for one.
func (m *clientModel) seat(asked string, party int, from, to time.Time) ([]string, *refusal) {
	known := slices.IndexFunc(m.tables, func(t modelTable) bool { return t.id == asked })
	switch {
	case m.taken(asked, from, to):
		return nil, slotTaken
	case known < 0:
		return nil, unavailable
	}
	if slices.ContainsFunc(m.tables, func(t modelTable) bool { return t.capacity >= party }) {
		if m.tables[known].capacity < party {
			return nil, unavailable
		}
		return []string{asked}, nil
	}
	// No table is large enough: the first partner that is free, in the order of the venue.
	refused := unavailable
	for i, partner := range m.tables {
		if i == known || !partner.merges || !m.tables[known].merges || m.tables[known].capacity+partner.capacity < party {
			continue
		}
		if !m.taken(partner.id, from, to) {
			return []string{asked, partner.id}, nil
		}
		if !m.informed {
			refused = slotTaken // the venue offered it all the same
		}
	}
	return nil, refused
}

// change answers what a change must answer, and what becomes of the booking: its state, or ""
// when nothing does.
func (m *clientModel) change(id, to string, bad []string) (b *clientBooking, refused *refusal, becomes string) {
	if len(bad) > 0 {
		return nil, badFields(bad...), ""
	}
	i := slices.IndexFunc(m.bookings, func(b *clientBooking) bool { return b.want.Id == id })
	if i < 0 {
		return nil, notFound, ""
	}
	b = m.bookings[i]
	from := b.want.Status
	refuse := func(reason string) *refusal {
		return &refusal{code: codes.FailedPrecondition, reason: reason, about: "booking_id=" + id + " from=" + from + " to=" + to}
	}
	endsHold := to == "confirmed" || to == "cancelled"
	switch {
	case endsHold && b.overdue:
		return b, refuse("HOLD_EXPIRED"), "expired"
	case endsHold && from == "expired":
		return b, refuse("HOLD_EXPIRED"), ""
	case from == to:
		return b, nil, ""
	case slices.Contains(moves, [2]string{from, to}):
		return b, nil, to
	}
	return b, refuse("INVALID_TRANSITION"), ""
}

// become changes the state of a booking and adds the event that must tell of it.
func (m *clientModel) become(b *clientBooking, status, adminID, reason string) {
	b.want.Status = status
	b.overdue = false
	if status != "held" {
		b.want.ExpiresAt = 0
	}
	e := &commonpb.BookingEvent{
		BookingId: b.want.Id, Table: b.want.Table, JoinedTables: b.want.JoinedTables, Slot: b.want.Slot,
		PartySize: b.want.PartySize, CustomerName: b.want.CustomerName, CustomerPhone: b.want.CustomerPhone,
	}
	switch status {
	case "held":
		e.Payload = &commonpb.BookingEvent_Held{Held: &commonpb.BookingHeld{ExpiresAt: b.want.ExpiresAt}}
	case "confirmed":
		e.Payload = &commonpb.BookingEvent_Confirmed{Confirmed: &commonpb.BookingConfirmed{AdminId: adminID}}
	case "cancelled":
		e.Payload = &commonpb.BookingEvent_Cancelled{Cancelled: &commonpb.BookingCancelled{AdminId: adminID, Reason: reason}}
	case "expired":
		e.Payload = &commonpb.BookingEvent_Expired{Expired: &commonpb.BookingExpired{Reason: "hold expired"}}
	case "seated":
		e.Payload = &commonpb.BookingEvent_Seated{Seated: &commonpb.BookingSeated{AdminId: adminID}}
	case "finished":
		e.Payload = &commonpb.BookingEvent_Finished{Finished: &commonpb.BookingFinished{AdminId: adminID}}
	case "no_show":
		e.Payload = &commonpb.BookingEvent_NoShow{NoShow: &commonpb.BookingNoShow{AdminId: adminID}}
	}
	b.events = append(b.events, modelEvent{step: m.step, topic: "booking." + status, event: e})
}

// list answers what a list must answer.
func (m *clientModel) list(r *bookingpb.ListBookingsRequest) *bookingpb.ListBookingsResponse {
	var found []*clientBooking
	for _, b := range m.bookings {
		if (r.VenueId == "" || r.VenueId == b.want.VenueId) && (r.Date == "" || r.Date == b.want.Slot.Date) &&
			(r.Status == "" || r.Status == b.want.Status) && (r.TableId == "" || slices.Contains(b.tables(), r.TableId)) {
			found = append(found, b)
		}
	}
	slices.SortFunc(found, func(a, b *clientBooking) int {
		return cmp.Or(a.from.Compare(b.from), strings.Compare(a.want.Id, b.want.Id))
	})
	answer := &bookingpb.ListBookingsResponse{Total: int32(len(found))}
	limit := min(int(cmp.Or(r.Limit, 50)), 500)
	for i := int(r.Offset); i < len(found) && len(answer.Bookings) < limit; i++ {
		answer.Bookings = append(answer.Bookings, found[i].want)
	}
	return answer
}

// availability answers what must be said of tables.
func (m *clientModel) availability(r *bookingpb.CheckTableAvailabilityRequest, bad []string) (*bookingpb.CheckTableAvailabilityResponse, *refusal) {
	if len(bad) > 0 {
		return nil, badFields(bad...)
	}
	answer := &bookingpb.CheckTableAvailabilityResponse{}
	from, to, ok := sitting(m.zone, r.Slot)
	if !ok && len(r.TableIds) > 0 && r.VenueId == m.venueID {
		return nil, badFields("slot.start_time")
	}
	seen := make(map[string]bool)
	for _, id := range r.TableIds {
		if seen[id] {
			continue
		}
		seen[id] = true
		info := &bookingpb.TableAvailabilityInfo{TableId: id, Available: true}
		if r.VenueId == m.venueID && m.taken(id, from, to) {
			info = &bookingpb.TableAvailabilityInfo{TableId: id, Reason: "Table is already booked for this time slot"}
		}
		answer.Tables = append(answer.Tables, info)
	}
	return answer, nil
}
