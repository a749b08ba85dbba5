package demo

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// adminID signs the demo's changes.
const adminID = "demo"

// party is a group of guests with its booking, as it should be.
type party struct {
	name    string
	size    int32
	table   string
	start   string
	minutes int32
	// joined is the table that theirs must be joined with, empty for none.
	joined string

	// key identifies the request that created the booking.
	key string
	// id is empty until there is a booking.
	id     string
	status string
	// events are the topics that must have told of the booking, in their order.
	events []string
}

func (p *party) String() string {
	tables := p.table
	if p.joined != "" {
		tables += " with " + p.joined
	}
	return fmt.Sprintf("%s, party of %d, %s at %s", p.name, p.size, tables, p.start)
}

func (p *party) become(status string) {
	p.status = status
	p.events = append(p.events, "booking."+status)
}

// turn is how long the party has its table, in minutes.
func (p *party) turn() int32 {
	if p.minutes == 0 {
		return 120
	}
	return p.minutes
}

// request asks for the party's booking, in the way of the gateway: without venue and room in the
// table, and with no duration when the guests gave none.
func (e *evening) request(p *party) *bookingpb.CreateBookingRequest {
	return &bookingpb.CreateBookingRequest{
		VenueId: e.place.ID, Table: &commonpb.TableRef{TableId: p.table},
		Slot:      &commonpb.Slot{Date: e.date, StartTime: p.start, DurationMinutes: p.minutes},
		PartySize: p.size, CustomerName: p.name, AdminId: adminID, IdempotencyKey: p.key,
	}
}

// book creates the party's booking.
func (e *evening) book(ctx context.Context, p *party) {
	p.key = fmt.Sprintf("demo-%s-%d", e.date, len(e.parties)+1)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b, err := e.client.CreateBooking(ctx, e.request(p))
	if err != nil {
		e.differ("booking %s: refused with %v", p, err)
		return
	}
	p.id = b.GetId()
	p.become("held")
	e.parties = append(e.parties, p)
	e.compare(p, b, "booking")
	if b.GetExpiresAt() <= b.GetCreatedAt() {
		e.differ("booking %s: the hold has no end in the future", p)
	}
}

// move asks for a change of the party's booking and expects the state that it leads to.
func (e *evening) move(ctx context.Context, p *party, to string) {
	if p.id == "" {
		return // it has been told that there is no booking
	}
	b, err := e.ask(ctx, p.id, to)
	if err != nil {
		e.differ("%s to %s: refused with %v", p, to, err)
		return
	}
	p.become(to)
	e.compare(p, b, to)
}

func (e *evening) moveAll(ctx context.Context, to string, parties ...*party) {
	for _, p := range parties {
		e.move(ctx, p, to)
	}
}

// ask calls the method that leads to a state.
func (e *evening) ask(ctx context.Context, id, to string) (*bookingpb.Booking, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	switch to {
	case "confirmed":
		return e.client.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: id, AdminId: adminID})
	case "cancelled":
		return e.client.CancelBooking(ctx, &bookingpb.CancelBookingRequest{Id: id, AdminId: adminID, Reason: "changed their plans"})
	case "seated":
		return e.client.MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: id, AdminId: adminID})
	case "finished":
		return e.client.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: id, AdminId: adminID})
	case "no_show":
		return e.client.MarkNoShow(ctx, &bookingpb.MarkNoShowRequest{Id: id, AdminId: adminID})
	}
	return nil, fmt.Errorf("no method leads to %q", to)
}

// refused expects an error with a code and a reason.
func (e *evening) refused(what string, err error, code codes.Code, reason string) {
	if err == nil {
		e.differ("%s: accepted, but should be refused with %v %s", what, code, reason)
		return
	}
	s, got := status.Convert(err), ""
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			got = info.GetReason()
		}
	}
	if s.Code() != code || got != reason {
		e.differ("%s: refused with %v %q, but should be with %v %q", what, s.Code(), got, code, reason)
		return
	}
	e.say("  %s: refused, %s", what, reason)
}

// compare expects a booking to be the party's, in its state.
func (e *evening) compare(p *party, b *bookingpb.Booking, when string) {
	wrong := func(field string, got, want any) {
		e.differ("%s, %s: %s is %v, but should be %v", when, p, field, got, want)
	}
	if b.GetId() != p.id {
		wrong("id", b.GetId(), p.id)
	}
	if b.GetStatus() != p.status {
		wrong("status", b.GetStatus(), p.status)
	}
	if b.GetVenueId() != e.place.ID || b.GetTable().GetTableId() != p.table {
		wrong("table", b.GetVenueId()+" "+b.GetTable().GetTableId(), e.place.ID+" "+p.table)
	}
	if room := e.room(p.table); b.GetTable().GetRoomId() != room {
		wrong("room", b.GetTable().GetRoomId(), room)
	}
	if joined := joinedOf(b.GetJoinedTables()); !slices.Equal(joined, p.partners()) {
		wrong("joined tables", joined, p.partners())
	}
	s := b.GetSlot()
	if s.GetDate() != e.date || s.GetStartTime() != p.start || s.GetDurationMinutes() != p.turn() {
		wrong("slot", fmt.Sprint(s.GetDate(), " ", s.GetStartTime(), " ", s.GetDurationMinutes()),
			fmt.Sprint(e.date, " ", p.start, " ", p.turn()))
	}
	if b.GetPartySize() != p.size || b.GetCustomerName() != p.name {
		wrong("party", fmt.Sprint(b.GetCustomerName(), " ", b.GetPartySize()), fmt.Sprint(p.name, " ", p.size))
	}
	if p.status != "held" && b.GetExpiresAt() != 0 {
		wrong("expires_at", b.GetExpiresAt(), 0)
	}
}

func (p *party) partners() []string {
	if p.joined == "" {
		return nil
	}
	return []string{p.joined}
}

func joinedOf(refs []*commonpb.TableRef) []string {
	var ids []string
	for _, r := range refs {
		ids = append(ids, r.GetTableId())
	}
	return ids
}

func (e *evening) room(table string) string {
	for _, t := range e.place.Tables {
		if t.ID == table {
			return t.RoomID
		}
	}
	return ""
}
