package booking

import "context"

// TableOffer is a table, or a pair of joined tables, that a venue can give to a party.
type TableOffer struct {
	Table TableRef
	// Joined is the table that the party needs besides; nil when Table alone is enough.
	Joined *TableRef
	// Available is false when the venue names the table only to say why it cannot be had.
	Available bool
	// Reason says why not; may be empty.
	Reason string
}

// VenueClient asks the venue service.
//
// Every method may answer *UnavailableError for Venue.
type VenueClient interface {
	// TimeZone answers the IANA time zone of a venue, from a cache when it can.
	//
	// Errors: ErrVenueUnknown.
	TimeZone(ctx context.Context, venueID string) (string, error)
	// CheckAvailability lists what the venue can give to the party in the slot. An unknown venue
	// has nothing to give.
	CheckAvailability(ctx context.Context, venueID string, slot Slot, partySize int) ([]TableOffer, error)
}
