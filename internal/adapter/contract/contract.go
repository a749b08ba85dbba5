// Package contract writes the domain's values as the messages that the contract's packages share, for
// all adapters that speak it.
package contract

import (
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// Slot writes a slot; its duration is always given.
func Slot(s dom.Slot) *commonpb.Slot {
	return &commonpb.Slot{Date: s.DateText(), StartTime: s.StartText(), DurationMinutes: s.Minutes()}
}

// TableRef writes a table of a venue.
func TableRef(venueID string, t dom.TableRef) *commonpb.TableRef {
	return &commonpb.TableRef{VenueId: venueID, RoomId: t.RoomID, TableId: t.TableID}
}

// JoinedTables writes the other tables of a booking, nil for a party on one table.
func JoinedTables(b *dom.Booking) []*commonpb.TableRef {
	var tables []*commonpb.TableRef
	for _, t := range b.Joined {
		tables = append(tables, TableRef(b.VenueID, t))
	}
	return tables
}
