package booking

import (
	"context"
	"time"
)

//go:generate go tool mockgen -destination=../../../mocks/repository_mock.go -package=mocks . Repository
//go:generate go tool mockgen -destination=../../../mocks/hold_repository_mock.go -package=mocks . HoldRepository
//go:generate go tool mockgen -destination=../../../mocks/event_repository_mock.go -package=mocks . EventRepository,EventPublisher
//go:generate go tool mockgen -destination=../../../mocks/venue_mock.go -package=mocks . VenueClient

// Repository keeps bookings. Each change of a booking, its row in the audit log and its event in
// the outbox are written together or not at all. Its clock decides when a hold is overdue.
//
// Every method may answer *UnavailableError for Postgres, besides its own errors.
type Repository interface {
	// CreateBooking writes a new hold with its occupancies, its event and its idempotency key.
	// Overdue holds in its way are expired with it; expired lists them, so that their keys can be
	// released. It sets CreatedAt, UpdatedAt and ExpiresAt of n.Booking. Calling it again with the
	// same booking id answers what the first call wrote.
	//
	// Errors: ErrSlotTaken, when a table is occupied; ErrKeyReused, when the key already has a
	// booking, of this or another request: FindByKey tells which. Nothing was written then.
	// After *UnavailableError the outcome may be unknown.
	CreateBooking(ctx context.Context, n NewBooking) (expired []*Booking, err error)
	// GetBooking reads a booking.
	//
	// Errors: ErrNotFound.
	GetBooking(ctx context.Context, id string) (*Booking, error)
	// FindByKey reads the booking that was made under an idempotency key, and the hash of the
	// request that made it.
	//
	// Errors: ErrNotFound.
	FindByKey(ctx context.Context, venueID, key string) (*Booking, []byte, error)
	// ListBookings reads one page of the bookings that match, ordered by start, then id, and how
	// many match in all.
	ListBookings(ctx context.Context, f BookingFilters) ([]*Booking, int, error)
	// ChangeBooking locks a booking, applies the change (Booking.Apply) by the clock of the
	// store, and writes what came of it. changed is false when the booking was already in the
	// state asked for. When an overdue hold was expired instead, the booking comes together with
	// the error.
	//
	// Errors: ErrNotFound, *TransitionError.
	ChangeBooking(ctx context.Context, id string, c Change) (b *Booking, changed bool, err error)
	// TakenTables answers those of the tables that a booking occupies during the sitting. Overdue
	// holds do not count.
	TakenTables(ctx context.Context, venueID string, tableIDs []string, during Sitting) (map[string]bool, error)
	// ExpireHolds expires overdue holds, at most limit, and answers them. Holds that another
	// caller works on are passed over; all are, while another caller is in here.
	ExpireHolds(ctx context.Context, limit int, origin Origin) ([]*Booking, error)
	// LongestOverdue answers for how long the hold is overdue that is so for the longest; 0 when none is.
	LongestOverdue(ctx context.Context) (time.Duration, error)
	// VenueZone answers the time zone of the venue's latest sitting.
	//
	// Errors: ErrNotFound, when the venue has no booking.
	VenueZone(ctx context.Context, venueID string) (string, error)
	// DeleteOldKeys removes idempotency keys older than age, at most limit, and answers how many.
	DeleteOldKeys(ctx context.Context, age time.Duration, limit int) (int, error)
}

// NewBooking is what CreateBooking writes.
type NewBooking struct {
	// Booking is the hold, version 1. The repository sets its times.
	Booking *Booking
	// HoldTTL is how long the hold lasts.
	HoldTTL time.Duration
	// IdempotencyKey is scoped to the venue; empty for none.
	IdempotencyKey string
	// RequestHash identifies the request that came with the key.
	RequestHash []byte
	// Origin is the request.
	Origin Origin
}

// BookingFilters select bookings; empty fields match all.
type BookingFilters struct {
	VenueID string
	// Date is the local date of the start, zero for all.
	Date   time.Time
	Status Status
	// TableID matches the asked table and the joined ones.
	TableID string
	Limit   int
	Offset  int
}
