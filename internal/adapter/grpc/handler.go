// Package grpc serves the booking service's gRPC interface: it turns messages into commands, bookings
// into messages and errors of the domain into status.
package grpc

import (
	"context"
	"math"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/contract"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// UseCases is what the handler needs of the use cases. They check every field; their errors are
// those of the domain.
type UseCases interface {
	// CreateBooking holds a table for a party.
	CreateBooking(ctx context.Context, c booking.CreateCommand) (*dom.Booking, error)
	// GetBooking reads a booking.
	GetBooking(ctx context.Context, id string) (*dom.Booking, error)
	// ListBookings reads a page of bookings, and how many match in all.
	ListBookings(ctx context.Context, q booking.ListQuery) ([]*dom.Booking, int, error)
	// ConfirmBooking turns a hold into a firm booking.
	ConfirmBooking(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error)
	// CancelBooking calls a booking off.
	CancelBooking(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error)
	// MarkSeated notes that the party sits at its table.
	MarkSeated(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error)
	// MarkFinished notes that the party has left.
	MarkFinished(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error)
	// MarkNoShow notes that the party did not come.
	MarkNoShow(ctx context.Context, c booking.ChangeCommand) (*dom.Booking, error)
	// CheckTableAvailability tells which tables are free of bookings.
	CheckTableAvailability(ctx context.Context, q booking.AvailabilityQuery) ([]booking.TableAvailability, error)
}

// Handler is the bookingpb.BookingServiceServer. It answers the errors of the use cases as they are:
// the server of NewServer turns them into status. Make it with NewHandler.
type Handler struct {
	// Every method is implemented; one that is added to the contract must not build without.
	bookingpb.UnsafeBookingServiceServer
	useCases UseCases
}

var _ bookingpb.BookingServiceServer = (*Handler)(nil)

// NewHandler makes the handler.
func NewHandler(useCases UseCases) *Handler {
	return &Handler{useCases: useCases}
}

// CreateBooking holds a table for a party.
func (h *Handler) CreateBooking(ctx context.Context, r *bookingpb.CreateBookingRequest) (*bookingpb.Booking, error) {
	c := booking.CreateCommand{
		VenueID:        r.GetVenueId(),
		Slot:           slotInput(r.GetSlot()),
		PartySize:      r.GetPartySize(),
		CustomerName:   r.GetCustomerName(),
		CustomerPhone:  r.GetCustomerPhone(),
		Comment:        r.GetComment(),
		AdminID:        r.GetAdminId(),
		IdempotencyKey: r.GetIdempotencyKey(),
	}
	if t := r.GetTable(); t != nil {
		c.Table = &booking.TableInput{VenueID: t.GetVenueId(), RoomID: t.GetRoomId(), TableID: t.GetTableId()}
	}
	return answer(h.useCases.CreateBooking(ctx, c))
}

// GetBooking reads a booking.
func (h *Handler) GetBooking(ctx context.Context, r *bookingpb.GetBookingRequest) (*bookingpb.Booking, error) {
	return answer(h.useCases.GetBooking(ctx, r.GetId()))
}

// ListBookings reads a page of bookings.
func (h *Handler) ListBookings(ctx context.Context, r *bookingpb.ListBookingsRequest) (*bookingpb.ListBookingsResponse, error) {
	page, total, err := h.useCases.ListBookings(ctx, booking.ListQuery{
		VenueID: r.GetVenueId(),
		Date:    r.GetDate(),
		Status:  r.GetStatus(),
		TableID: r.GetTableId(),
		Limit:   r.GetLimit(),
		Offset:  r.GetOffset(),
	})
	if err != nil {
		return nil, err
	}
	bookings := make([]*bookingpb.Booking, len(page))
	for i, b := range page {
		bookings[i] = toProto(b)
	}
	return &bookingpb.ListBookingsResponse{Bookings: bookings, Total: int32(min(total, math.MaxInt32))}, nil
}

// ConfirmBooking turns a hold into a firm booking.
func (h *Handler) ConfirmBooking(ctx context.Context, r *bookingpb.ConfirmBookingRequest) (*bookingpb.Booking, error) {
	return answer(h.useCases.ConfirmBooking(ctx, change(r)))
}

// CancelBooking calls a booking off.
func (h *Handler) CancelBooking(ctx context.Context, r *bookingpb.CancelBookingRequest) (*bookingpb.Booking, error) {
	c := change(r)
	c.Reason = r.GetReason()
	return answer(h.useCases.CancelBooking(ctx, c))
}

// MarkSeated notes that the party sits at its table.
func (h *Handler) MarkSeated(ctx context.Context, r *bookingpb.MarkSeatedRequest) (*bookingpb.Booking, error) {
	return answer(h.useCases.MarkSeated(ctx, change(r)))
}

// MarkFinished notes that the party has left.
func (h *Handler) MarkFinished(ctx context.Context, r *bookingpb.MarkFinishedRequest) (*bookingpb.Booking, error) {
	return answer(h.useCases.MarkFinished(ctx, change(r)))
}

// MarkNoShow notes that the party did not come.
func (h *Handler) MarkNoShow(ctx context.Context, r *bookingpb.MarkNoShowRequest) (*bookingpb.Booking, error) {
	return answer(h.useCases.MarkNoShow(ctx, change(r)))
}

// CheckTableAvailability tells which tables are free of bookings.
func (h *Handler) CheckTableAvailability(ctx context.Context, r *bookingpb.CheckTableAvailabilityRequest) (*bookingpb.CheckTableAvailabilityResponse, error) {
	found, err := h.useCases.CheckTableAvailability(ctx, booking.AvailabilityQuery{
		VenueID:  r.GetVenueId(),
		TableIDs: r.GetTableIds(),
		Slot:     slotInput(r.GetSlot()),
	})
	if err != nil {
		return nil, err
	}
	tables := make([]*bookingpb.TableAvailabilityInfo, len(found))
	for i, t := range found {
		tables[i] = &bookingpb.TableAvailabilityInfo{TableId: t.TableID, Available: t.Available, Reason: t.Reason}
	}
	return &bookingpb.CheckTableAvailabilityResponse{Tables: tables}, nil
}

// change reads what all requests for a change have in common.
func change(r interface {
	GetId() string
	GetAdminId() string
}) booking.ChangeCommand {
	return booking.ChangeCommand{ID: r.GetId(), AdminID: r.GetAdminId()}
}

func slotInput(s *commonpb.Slot) *booking.SlotInput {
	if s == nil {
		return nil
	}
	return &booking.SlotInput{Date: s.GetDate(), StartTime: s.GetStartTime(), DurationMinutes: s.GetDurationMinutes()}
}

func answer(b *dom.Booking, err error) (*bookingpb.Booking, error) {
	if err != nil {
		return nil, err
	}
	return toProto(b), nil
}

func toProto(b *dom.Booking) *bookingpb.Booking {
	return &bookingpb.Booking{
		Id:            b.ID,
		VenueId:       b.VenueID,
		Table:         contract.TableRef(b.VenueID, b.Table),
		Slot:          contract.Slot(b.Slot),
		PartySize:     int32(b.PartySize),
		CustomerName:  b.CustomerName,
		CustomerPhone: b.CustomerPhone,
		Status:        string(b.Status),
		Comment:       b.Comment,
		AdminId:       b.AdminID,
		CreatedAt:     unix(b.CreatedAt),
		UpdatedAt:     unix(b.UpdatedAt),
		ExpiresAt:     unix(b.ExpiresAt),
		JoinedTables:  contract.JoinedTables(b),
	}
}

// unix answers Unix seconds, 0 for no time.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
