package booking

import (
	"context"
	"time"
)

// HoldRepository keeps the fast path's holds: a key a table and start, with the id of the booking
// that owns it as its value. It may lose keys at any time; the Repository is the proof.
//
// Every method may answer *UnavailableError for Redis.
type HoldRepository interface {
	// SetHold takes the key if it is free.
	SetHold(ctx context.Context, key, bookingID string, ttl time.Duration) (acquired bool, err error)
	// GetHold answers the owner's booking id, "" when the key is free.
	GetHold(ctx context.Context, key string) (bookingID string, err error)
	// ReplaceHold takes the key if it is free or owned by oldID, in one step.
	ReplaceHold(ctx context.Context, key, oldID, newID string, ttl time.Duration) (replaced bool, err error)
	// DeleteHold releases the key if bookingID owns it, in one step.
	DeleteHold(ctx context.Context, key, bookingID string) (deleted bool, err error)
	// DeleteHolds releases those of the keys that their bookings own, each in one step, all of them
	// in few round trips. When it fails, some may have been released.
	DeleteHolds(ctx context.Context, holds []Hold) error
}

// Hold is a key and the booking that may own it.
type Hold struct {
	Key       string
	BookingID string
}

// HoldKey is the key of a table's hold: hold:{venue_id}:{table_id}:{date}:{start_time}.
func HoldKey(venueID, tableID string, slot Slot) string {
	return "hold:" + venueID + ":" + tableID + ":" + slot.DateText() + ":" + slot.StartText()
}

// HoldKeys are the keys of all tables of the booking, the one that was asked for first.
func (b *Booking) HoldKeys() []string {
	tables := b.Tables()
	keys := make([]string, len(tables))
	for i, t := range tables {
		keys[i] = HoldKey(b.VenueID, t, b.Slot)
	}
	return keys
}
