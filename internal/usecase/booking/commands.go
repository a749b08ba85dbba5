package booking

// TableInput is a reference to a table as a client typed it.
type TableInput struct {
	// VenueID is empty or equal to the request's.
	VenueID string
	RoomID  string
	TableID string
}

// SlotInput is a slot as a client typed it.
type SlotInput struct {
	// Date is `YYYY-MM-DD`, local to the venue.
	Date string
	// StartTime is `HH:MM`, local to the venue.
	StartTime string
	// DurationMinutes is the turn time; 0 means 120.
	DurationMinutes int32
}

// CreateCommand asks for a booking. The fields are those of booking.CreateBookingRequest; a nil
// Table or Slot was not given.
type CreateCommand struct {
	VenueID        string
	Table          *TableInput
	Slot           *SlotInput
	PartySize      int32
	CustomerName   string
	CustomerPhone  string
	Comment        string
	AdminID        string
	IdempotencyKey string
}

// ChangeCommand asks for a change of a booking.
type ChangeCommand struct {
	ID      string
	AdminID string
	// Reason is why a booking is cancelled; the other changes have none.
	Reason string
}

// ListQuery filters bookings. The fields are those of booking.ListBookingsRequest.
type ListQuery struct {
	VenueID string
	Date    string
	Status  string
	TableID string
	Limit   int32
	Offset  int32
}

// AvailabilityQuery asks about tables of a venue. The fields are those of
// booking.CheckTableAvailabilityRequest; a nil Slot was not given.
type AvailabilityQuery struct {
	VenueID  string
	TableIDs []string
	Slot     *SlotInput
}

// TableAvailability tells whether a table is free of bookings.
type TableAvailability struct {
	TableID   string
	Available bool
	// Reason says why not; empty when available.
	Reason string
}

// ReasonTaken is the reason of a table that is not available.
const ReasonTaken = "Table is already booked for this time slot"
