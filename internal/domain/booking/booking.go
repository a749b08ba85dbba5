// Package booking holds the rules of table bookings and the ports through which they reach stores
// and neighbours. It knows no driver and no wire format.
package booking

import (
	"time"

	"github.com/google/uuid"
)

// Status is the state of a booking. Its text is the one of the wire contract.
type Status string

// The states that this service uses, and the two of the contract that it does not.
const (
	// StatusHeld: a table is held for a limited time.
	StatusHeld Status = "held"
	// StatusConfirmed: the guests are expected.
	StatusConfirmed Status = "confirmed"
	// StatusSeated: the party sits at its table.
	StatusSeated Status = "seated"
	// StatusFinished: the party has left.
	StatusFinished Status = "finished"
	// StatusCancelled: the booking was called off.
	StatusCancelled Status = "cancelled"
	// StatusExpired: the hold ran out.
	StatusExpired Status = "expired"
	// StatusNoShow: the party did not come.
	StatusNoShow Status = "no_show"
	// StatusRequested belongs to the contract; no booking of this service has it.
	StatusRequested Status = "requested"
	// StatusRejected belongs to the contract; no booking of this service has it.
	StatusRejected Status = "rejected"
)

// Statuses lists every status of the wire contract.
func Statuses() []Status {
	return []Status{
		StatusRequested, StatusHeld, StatusConfirmed, StatusSeated, StatusFinished,
		StatusCancelled, StatusExpired, StatusNoShow, StatusRejected,
	}
}

// Occupies tells whether a booking in this state takes its tables.
func (s Status) Occupies() bool {
	return s == StatusHeld || s == StatusConfirmed || s == StatusSeated
}

// transitions lists, for each state, the states that a caller may ask for. A hold's expiry is not
// asked for; see Expire.
var transitions = map[Status][]Status{
	StatusHeld:      {StatusConfirmed, StatusCancelled},
	StatusConfirmed: {StatusCancelled, StatusSeated, StatusNoShow},
	StatusSeated:    {StatusFinished, StatusNoShow},
}

// TableRef names a table of the booking's venue.
type TableRef struct {
	// RoomID is empty when neither the client nor the venue told it.
	RoomID  string
	TableID string
}

// Booking is a party's claim to one table, or to several joined ones, for a sitting.
type Booking struct {
	// ID is a UUID, version 7.
	ID      string
	VenueID string
	// Table is the one that was asked for.
	Table TableRef
	// Joined are the other tables of the party; empty for a party on one table.
	Joined []TableRef
	// Slot is the sitting in the venue's local time.
	Slot Slot
	// Sitting is the same as instants, fixed when the booking was made.
	Sitting Sitting
	// TimeZone is the venue's IANA zone when the booking was made.
	TimeZone string
	// PartySize is the number of covers.
	PartySize     int
	CustomerName  string
	CustomerPhone string
	Status        Status
	Comment       string
	// AdminID is who created the booking.
	AdminID   string
	CreatedAt time.Time
	UpdatedAt time.Time
	// ExpiresAt is when the hold runs out; zero unless the status is held.
	ExpiresAt time.Time
	// Version is 1 for a new booking and rises by one with each change.
	Version int
}

// Tables answers the ids of all tables of the party, the one that was asked for first.
func (b *Booking) Tables() []string {
	ids := make([]string, 0, 1+len(b.Joined))
	ids = append(ids, b.Table.TableID)
	for _, t := range b.Joined {
		ids = append(ids, t.TableID)
	}
	return ids
}

// Overdue tells whether the booking is a hold that has run out by now. The instant of expiry
// itself is too late to confirm.
func (b *Booking) Overdue(now time.Time) bool {
	return b.Status == StatusHeld && !now.Before(b.ExpiresAt)
}

// Change is what a caller asks of a booking.
type Change struct {
	// To is the state asked for: confirmed, cancelled, seated, finished or no_show.
	To Status
	// AdminID is who asks; may be empty.
	AdminID string
	// Reason is why a booking is cancelled; may be empty.
	Reason string
	// Origin is the request that asks.
	Origin Origin
}

// Apply changes the booking as asked and answers the event that tells of it. The caller has the
// booking locked and takes now from the store's clock.
//
// A booking that is already in the state asked for is left alone: no event, no error. A hold that
// is overdue when it should be confirmed or cancelled is expired instead: the event then tells of
// the expiry, must be written, and comes together with an error.
//
// Errors: *TransitionError, with HoldExpired set when the hold had run out.
func (b *Booking) Apply(c Change, now time.Time) (*Event, error) {
	from := b.Status
	if from == c.To {
		if from != StatusHeld && from != StatusExpired {
			return nil, nil
		}
		return nil, &TransitionError{BookingID: b.ID, From: from, To: c.To}
	}
	holdEnds := c.To == StatusConfirmed || c.To == StatusCancelled
	if holdEnds && b.Overdue(now) {
		return b.Expire(now, c.Origin), &TransitionError{BookingID: b.ID, From: from, To: c.To, HoldExpired: true}
	}
	for _, to := range transitions[from] {
		if to == c.To {
			return b.become(c.To, c.AdminID, c.Reason, now, c.Origin), nil
		}
	}
	return nil, &TransitionError{
		BookingID: b.ID, From: from, To: c.To, HoldExpired: holdEnds && from == StatusExpired,
	}
}

// ReasonHoldExpired is the reason in the event of a hold that ran out.
const ReasonHoldExpired = "hold expired"

// Expire ends a hold that has run out and answers the event that tells of it, nil if the booking is
// not an overdue hold. The caller has the booking locked and takes now from the store's clock.
func (b *Booking) Expire(now time.Time, origin Origin) *Event {
	if !b.Overdue(now) {
		return nil
	}
	return b.become(StatusExpired, "", ReasonHoldExpired, now, origin)
}

func (b *Booking) become(to Status, adminID, reason string, now time.Time, origin Origin) *Event {
	b.Status = to
	b.ExpiresAt = time.Time{}
	b.UpdatedAt = now
	b.Version++
	return newEvent(b, adminID, reason, origin)
}

// NewID answers a new id for a booking or an event: a UUID, version 7, so that ids rise with time.
func NewID() string {
	return uuid.Must(uuid.NewV7()).String()
}
