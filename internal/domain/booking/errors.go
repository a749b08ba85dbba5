package booking

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of the domain. The gRPC adapter maps each to a status, in one place.
var (
	// ErrNotFound: there is no such booking.
	ErrNotFound = errors.New("booking not found")
	// ErrSlotTaken: a booking that occupies the table overlaps the slot.
	ErrSlotTaken = errors.New("the table is already booked for this time slot")
	// ErrKeyReused: the idempotency key came with another request before.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
	// ErrVenueUnknown: the venue service does not know the venue. It is answered by a port only;
	// a client is told TableUnavailableError.
	ErrVenueUnknown = errors.New("venue unknown")
)

// TableUnavailableError says that the venue does not offer a table for this party and slot.
type TableUnavailableError struct {
	// Reason is the venue's, empty when it gave none.
	Reason string
}

func (e *TableUnavailableError) Error() string {
	if e.Reason == "" {
		return "the venue does not offer this table for this party and slot"
	}
	return "the venue does not offer this table for this party and slot: " + e.Reason
}

// TransitionError says that a booking cannot go from its state to the one asked for.
type TransitionError struct {
	BookingID string
	From      Status
	To        Status
	// HoldExpired says that the reason is a hold that has run out.
	HoldExpired bool
}

func (e *TransitionError) Error() string {
	if e.HoldExpired {
		return fmt.Sprintf("the hold has expired: the booking cannot go from %s to %s", e.From, e.To)
	}
	return fmt.Sprintf("the booking cannot go from %s to %s", e.From, e.To)
}

// FieldViolation says what is wrong with a field of a request.
type FieldViolation struct {
	// Field is the path in the request, as `slot.start_time`.
	Field string
	// Description says what the field must be. It never repeats the value.
	Description string
}

// ValidationError lists every bad field of a request.
type ValidationError struct {
	Violations []FieldViolation
}

func (e *ValidationError) Error() string {
	parts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		parts[i] = v.Field + ": " + v.Description
	}
	return "invalid request: " + strings.Join(parts, "; ")
}

// Dependency names a part that the service needs.
type Dependency string

// The service's dependencies.
const (
	Postgres Dependency = "postgres"
	Redis    Dependency = "redis"
	Kafka    Dependency = "kafka"
	Venue    Dependency = "venue"
)

// UnavailableError says that a dependency is away or too slow. Trying again later may succeed.
type UnavailableError struct {
	Dependency Dependency
	// Err is the cause; it is for the log, not for a client.
	Err error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%s is unavailable: %v", e.Dependency, e.Err)
}

// Unwrap answers the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }
