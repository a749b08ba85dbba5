// Package booking holds the use cases of table bookings.
package booking

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/rs/zerolog"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// Config are the settings of the use cases.
type Config struct {
	// HoldTTL is how long a table is held before it must be confirmed.
	HoldTTL time.Duration
	// MaxAdvance is how far ahead a sitting may start.
	MaxAdvance time.Duration
	// ExpiryInterval is the time between two sweeps of overdue holds.
	ExpiryInterval time.Duration
	// KeyRetention is how long an idempotency key is kept.
	KeyRetention time.Duration
}

// Metrics count what the use cases do.
type Metrics interface {
	// HoldLost counts a create that lost its table to another one at the same time.
	HoldLost()
	// RedisFallback counts a time that the service went on without Redis.
	RedisFallback()
	// BookingChanged counts a change of a booking into status.
	BookingChanged(status string)
	// SetHoldsOverdue sets how long the hold is overdue that is so for the longest.
	SetHoldsOverdue(longest time.Duration)
}

// Service runs the use cases. Its methods are safe for concurrent use.
type Service struct {
	repo      dom.Repository
	holds     dom.HoldRepository
	venue     dom.VenueClient
	metrics   Metrics
	committed func(bookingID string)
	cfg       Config
	now       func() time.Time
}

// NewService answers the use cases on their ports. committed is called after each commit of an
// event, so that the relay need not wait for its next look; it must not block.
func NewService(
	repo dom.Repository, holds dom.HoldRepository, venue dom.VenueClient,
	metrics Metrics, committed func(bookingID string), cfg Config,
) *Service {
	return &Service{
		repo: repo, holds: holds, venue: venue, metrics: metrics, committed: committed, cfg: cfg, now: clock,
	}
}

// GetBooking answers a booking by its id.
//
// Errors: *dom.ValidationError, dom.ErrNotFound, *dom.UnavailableError.
func (s *Service) GetBooking(ctx context.Context, id string) (b *dom.Booking, err error) {
	ctx, end := startSpan(ctx, "GetBooking")
	defer func() { end(err) }()

	var v validation
	v.id("id", id)
	if err := v.err(); err != nil {
		return nil, err
	}
	return s.repo.GetBooking(ctx, id)
}

// Limits of a page of ListBookings.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// ListBookings answers one page of the bookings that match, ordered by start, then id, and how many
// match in all.
//
// Errors: *dom.ValidationError, *dom.UnavailableError.
func (s *Service) ListBookings(ctx context.Context, q ListQuery) (list []*dom.Booking, total int, err error) {
	ctx, end := startSpan(ctx, "ListBookings")
	defer func() { end(err) }()

	filters, err := q.validate()
	if err != nil {
		return nil, 0, err
	}
	return s.repo.ListBookings(ctx, filters)
}

// ConfirmBooking turns a hold into a firm booking.
//
// Errors: *dom.ValidationError, dom.ErrNotFound, *dom.TransitionError, *dom.UnavailableError.
func (s *Service) ConfirmBooking(ctx context.Context, c ChangeCommand) (*dom.Booking, error) {
	return s.change(ctx, "ConfirmBooking", c, dom.StatusConfirmed)
}

// CancelBooking calls a booking off and frees its tables.
//
// Errors: as ConfirmBooking.
func (s *Service) CancelBooking(ctx context.Context, c ChangeCommand) (*dom.Booking, error) {
	return s.change(ctx, "CancelBooking", c, dom.StatusCancelled)
}

// MarkSeated notes that the party sits at its table.
//
// Errors: as ConfirmBooking.
func (s *Service) MarkSeated(ctx context.Context, c ChangeCommand) (*dom.Booking, error) {
	return s.change(ctx, "MarkSeated", c, dom.StatusSeated)
}

// MarkFinished notes that the party has left and frees its tables.
//
// Errors: as ConfirmBooking.
func (s *Service) MarkFinished(ctx context.Context, c ChangeCommand) (*dom.Booking, error) {
	return s.change(ctx, "MarkFinished", c, dom.StatusFinished)
}

// MarkNoShow notes that the party did not come and frees its tables.
//
// Errors: as ConfirmBooking.
func (s *Service) MarkNoShow(ctx context.Context, c ChangeCommand) (*dom.Booking, error) {
	return s.change(ctx, "MarkNoShow", c, dom.StatusNoShow)
}

func (s *Service) change(ctx context.Context, name string, c ChangeCommand, to dom.Status) (b *dom.Booking, err error) {
	ctx, end := startSpan(ctx, name, attribute.String("booking.id", c.ID))
	defer func() { end(err) }()

	c.AdminID = adminID(ctx, c.AdminID)
	if err := c.validate(); err != nil {
		return nil, err
	}
	b, changed, err := s.repo.ChangeBooking(ctx, c.ID, dom.Change{
		To: to, AdminID: c.AdminID, Reason: c.Reason, Origin: s.origin(ctx),
	})
	if err != nil {
		var refused *dom.TransitionError
		if errors.As(err, &refused) && b != nil {
			// The hold was overdue and has been expired on the way.
			s.afterChange(ctx, b, "")
		}
		return nil, err
	}
	if changed {
		s.afterChange(ctx, b, c.AdminID)
	}
	return b, nil
}

// changeMessages are the log lines of changes.
var changeMessages = map[dom.Status]string{
	dom.StatusHeld:      "Booking held",
	dom.StatusConfirmed: "Booking confirmed",
	dom.StatusCancelled: "Booking cancelled",
	dom.StatusExpired:   "Booking expired",
	dom.StatusSeated:    "Booking seated",
	dom.StatusFinished:  "Booking finished",
	dom.StatusNoShow:    "Booking marked as no-show",
}

// afterChange does what follows a committed change: wake the relay, count, log, and release the
// keys of a hold that has ended.
func (s *Service) afterChange(ctx context.Context, b *dom.Booking, adminID string) {
	s.tell(ctx, b, adminID)
	switch b.Status {
	case dom.StatusConfirmed, dom.StatusCancelled, dom.StatusExpired:
		s.releaseHolds(ctx, b, b.HoldKeys())
	}
}

// tell wakes the relay, counts and logs a committed change.
func (s *Service) tell(ctx context.Context, b *dom.Booking, adminID string) {
	s.committed(b.ID)
	s.metrics.BookingChanged(string(b.Status))
	zerolog.Ctx(ctx).Info().
		Str("booking_id", b.ID).Str("venue_id", b.VenueID).Str("table_id", b.Table.TableID).
		Str("status", string(b.Status)).Str("admin_id", adminID).
		Msg(changeMessages[b.Status])
}

// origin describes the request that runs under ctx.
func (s *Service) origin(ctx context.Context) dom.Origin {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return dom.Origin{
		Time:        s.now(),
		TraceID:     trace.SpanContextFromContext(ctx).TraceID().String(),
		TraceParent: carrier.Get("traceparent"),
		Caller:      CallerOf(ctx),
	}
}

// startSpan opens the span of a use case; the function closes it with the outcome.
func startSpan(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, func(error)) {
	ctx, span := otel.Tracer("booking-svc").Start(ctx, name, trace.WithAttributes(attrs...))
	return ctx, func(err error) {
		if err != nil {
			// The text of a validation error names fields, never their values.
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
