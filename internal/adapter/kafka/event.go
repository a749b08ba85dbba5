// Package kafka writes events as the wire contract has them, and sends them to Kafka.
package kafka

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/contract"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// source is what each event says of where it comes from.
const source = "booking-svc"

var _ dom.EventEncoder = EncodeEvent

// EncodeEvent writes an event as common.BookingEvent in protobuf JSON with proto field names: the
// value of its Kafka message. Every event is complete: table, slot, party and customer are in each.
//
// Errors: a type of event that the contract does not know, or text that is not UTF-8.
func EncodeEvent(e *dom.Event) ([]byte, error) {
	b := &e.Booking
	event := &commonpb.BookingEvent{
		Headers: &commonpb.EventHeaders{
			TraceId: e.Origin.TraceID, Timestamp: e.Origin.Time.Unix(), Source: source,
		},
		BookingId:     b.ID,
		Table:         contract.TableRef(b.VenueID, b.Table),
		Slot:          contract.Slot(b.Slot),
		JoinedTables:  contract.JoinedTables(b),
		PartySize:     int32(b.PartySize),
		CustomerName:  b.CustomerName,
		CustomerPhone: b.CustomerPhone,
	}
	switch e.Type {
	case "booking.held":
		held := &commonpb.BookingHeld{}
		if !b.ExpiresAt.IsZero() {
			held.ExpiresAt = b.ExpiresAt.Unix()
		}
		event.Payload = &commonpb.BookingEvent_Held{Held: held}
	case "booking.confirmed":
		event.Payload = &commonpb.BookingEvent_Confirmed{Confirmed: &commonpb.BookingConfirmed{AdminId: e.AdminID}}
	case "booking.cancelled":
		event.Payload = &commonpb.BookingEvent_Cancelled{
			Cancelled: &commonpb.BookingCancelled{AdminId: e.AdminID, Reason: e.Reason},
		}
	case "booking.expired":
		event.Payload = &commonpb.BookingEvent_Expired{Expired: &commonpb.BookingExpired{Reason: e.Reason}}
	case "booking.seated":
		event.Payload = &commonpb.BookingEvent_Seated{Seated: &commonpb.BookingSeated{AdminId: e.AdminID}}
	case "booking.finished":
		event.Payload = &commonpb.BookingEvent_Finished{Finished: &commonpb.BookingFinished{AdminId: e.AdminID}}
	case "booking.no_show":
		event.Payload = &commonpb.BookingEvent_NoShow{NoShow: &commonpb.BookingNoShow{AdminId: e.AdminID}}
	default:
		return nil, fmt.Errorf("encode event: the contract has no event %q", e.Type)
	}
	payload, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return payload, nil
}
