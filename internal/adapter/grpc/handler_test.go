package grpc

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// wireBooking is sampleBooking as a client gets it.
func wireBooking() *bookingpb.Booking {
	return &bookingpb.Booking{
		Id:            "0195f3a0-0000-7000-8000-000000000001",
		VenueId:       "venue-1",
		Table:         &commonpb.TableRef{VenueId: "venue-1", RoomId: "room-1", TableId: "table-1"},
		Slot:          &commonpb.Slot{Date: "2027-03-14", StartTime: "19:05", DurationMinutes: 120},
		PartySize:     4,
		CustomerName:  "Ada Lovelace",
		CustomerPhone: "+49 30 1234567",
		Status:        "held",
		Comment:       "by the window",
		AdminId:       "admin-1",
		CreatedAt:     1803895200,
		UpdatedAt:     1803895260,
		ExpiresAt:     1803896100,
		JoinedTables: []*commonpb.TableRef{
			{VenueId: "venue-1", RoomId: "room-1", TableId: "table-2"},
			{VenueId: "venue-1", TableId: "table-3"},
		},
	}
}

func requireProto(t *testing.T, want, got proto.Message) {
	t.Helper()
	require.True(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)
}

// A field that is added to the contract must be looked at here.
func TestSampleSetsEveryField(t *testing.T) {
	t.Parallel()
	m := wireBooking().ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		require.True(t, m.Has(fields.Get(i)), "%s", fields.Get(i).Name())
	}
}

func TestCreateBooking(t *testing.T) {
	t.Parallel()
	var got booking.CreateCommand
	s := start(t, &fake{create: func(_ context.Context, c booking.CreateCommand) (*dom.Booking, error) {
		got = c
		return sampleBooking(), nil
	}})
	full := &bookingpb.CreateBookingRequest{
		VenueId:        "venue-1",
		Table:          &commonpb.TableRef{VenueId: "venue-x", RoomId: "room-1", TableId: "table-1"},
		Slot:           &commonpb.Slot{Date: "2027-03-14", StartTime: "19:05", DurationMinutes: 90},
		PartySize:      4,
		CustomerName:   " Ada ",
		CustomerPhone:  "+49",
		Comment:        "window",
		AdminId:        "admin-1",
		IdempotencyKey: "key-1",
	}
	answer, err := s.CreateBooking(t.Context(), full)
	require.NoError(t, err)
	requireProto(t, wireBooking(), answer)
	require.Equal(t, booking.CreateCommand{
		VenueID:        "venue-1",
		Table:          &booking.TableInput{VenueID: "venue-x", RoomID: "room-1", TableID: "table-1"},
		Slot:           &booking.SlotInput{Date: "2027-03-14", StartTime: "19:05", DurationMinutes: 90},
		PartySize:      4,
		CustomerName:   " Ada ",
		CustomerPhone:  "+49",
		Comment:        "window",
		AdminID:        "admin-1",
		IdempotencyKey: "key-1",
	}, got)

	_, err = s.CreateBooking(t.Context(), &bookingpb.CreateBookingRequest{})
	require.NoError(t, err)
	require.Equal(t, booking.CreateCommand{}, got, "what was not given stays nil")

	name := strings.Repeat("x", 1<<20)
	_, err = s.CreateBooking(t.Context(), &bookingpb.CreateBookingRequest{CustomerName: name})
	require.NoError(t, err, "a name of a MiB reaches the validation")
	require.Len(t, got.CustomerName, 1<<20)
}

func TestGetBooking(t *testing.T) {
	t.Parallel()
	s := start(t, &fake{get: func(_ context.Context, id string) (*dom.Booking, error) {
		b := sampleBooking()
		b.ID = id
		b.Joined = nil
		b.Status = dom.StatusConfirmed
		b.ExpiresAt = time.Time{}
		b.Table.RoomID = ""
		return b, nil
	}})
	answer, err := s.GetBooking(t.Context(), &bookingpb.GetBookingRequest{Id: "some-id"})
	require.NoError(t, err)
	want := wireBooking()
	want.Id, want.Status, want.JoinedTables, want.ExpiresAt, want.Table.RoomId = "some-id", "confirmed", nil, 0, ""
	requireProto(t, want, answer)
}

func TestListBookings(t *testing.T) {
	t.Parallel()
	var got booking.ListQuery
	page, total := []*dom.Booking{sampleBooking(), sampleBooking()}, 77
	s := start(t, &fake{list: func(_ context.Context, q booking.ListQuery) ([]*dom.Booking, int, error) {
		got = q
		return page, total, nil
	}})
	list := func() *bookingpb.ListBookingsResponse {
		answer, err := s.ListBookings(t.Context(), &bookingpb.ListBookingsRequest{
			VenueId: "venue-1", Date: "2027-03-14", Status: "held", TableId: "table-1", Limit: -5, Offset: 6,
		})
		require.NoError(t, err)
		return answer
	}
	requireProto(t, &bookingpb.ListBookingsResponse{
		Bookings: []*bookingpb.Booking{wireBooking(), wireBooking()}, Total: 77,
	}, list())
	require.Equal(t, booking.ListQuery{
		VenueID: "venue-1", Date: "2027-03-14", Status: "held", TableID: "table-1", Limit: -5, Offset: 6,
	}, got)

	page, total = nil, math.MaxInt32+10
	requireProto(t, &bookingpb.ListBookingsResponse{Total: math.MaxInt32}, list())
}

func TestChanges(t *testing.T) {
	t.Parallel()
	var called string
	var got booking.ChangeCommand
	record := func(name string) func(context.Context, booking.ChangeCommand) (*dom.Booking, error) {
		return func(_ context.Context, c booking.ChangeCommand) (*dom.Booking, error) {
			called, got = name, c
			return sampleBooking(), nil
		}
	}
	s := start(t, &fake{
		confirm: record("confirm"), cancel: record("cancel"), seat: record("seat"), finish: record("finish"), noShow: record("no-show"),
	})
	plain := booking.ChangeCommand{ID: "id-1", AdminID: "admin-1"}
	for _, c := range []struct {
		name string
		want booking.ChangeCommand
		call func(context.Context) (*bookingpb.Booking, error)
	}{
		{"confirm", plain, func(ctx context.Context) (*bookingpb.Booking, error) {
			return s.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: "id-1", AdminId: "admin-1"})
		}},
		{"cancel", booking.ChangeCommand{ID: "id-1", AdminID: "admin-1", Reason: "ill"}, func(ctx context.Context) (*bookingpb.Booking, error) {
			return s.CancelBooking(ctx, &bookingpb.CancelBookingRequest{Id: "id-1", AdminId: "admin-1", Reason: "ill"})
		}},
		{"seat", plain, func(ctx context.Context) (*bookingpb.Booking, error) {
			return s.MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: "id-1", AdminId: "admin-1"})
		}},
		{"finish", plain, func(ctx context.Context) (*bookingpb.Booking, error) {
			return s.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: "id-1", AdminId: "admin-1"})
		}},
		{"no-show", plain, func(ctx context.Context) (*bookingpb.Booking, error) {
			return s.MarkNoShow(ctx, &bookingpb.MarkNoShowRequest{Id: "id-1", AdminId: "admin-1"})
		}},
	} {
		answer, err := c.call(t.Context())
		require.NoError(t, err, c.name)
		requireProto(t, wireBooking(), answer)
		require.Equal(t, c.name, called)
		require.Equal(t, c.want, got, c.name)
	}
}

func TestCheckTableAvailability(t *testing.T) {
	t.Parallel()
	var got booking.AvailabilityQuery
	found := []booking.TableAvailability{
		{TableID: "b", Available: true},
		{TableID: "a", Reason: booking.ReasonTaken},
	}
	s := start(t, &fake{check: func(_ context.Context, q booking.AvailabilityQuery) ([]booking.TableAvailability, error) {
		got = q
		return found, nil
	}})
	answer, err := s.CheckTableAvailability(t.Context(), &bookingpb.CheckTableAvailabilityRequest{
		VenueId: "venue-1", TableIds: []string{"b", "a"}, Slot: &commonpb.Slot{Date: "2027-03-14", StartTime: "19:05"},
	})
	require.NoError(t, err)
	requireProto(t, &bookingpb.CheckTableAvailabilityResponse{Tables: []*bookingpb.TableAvailabilityInfo{
		{TableId: "b", Available: true},
		{TableId: "a", Reason: "Table is already booked for this time slot"},
	}}, answer)
	require.Equal(t, booking.AvailabilityQuery{
		VenueID: "venue-1", TableIDs: []string{"b", "a"}, Slot: &booking.SlotInput{Date: "2027-03-14", StartTime: "19:05"},
	}, got)

	found = nil
	answer, err = s.CheckTableAvailability(t.Context(), &bookingpb.CheckTableAvailabilityRequest{})
	require.NoError(t, err)
	require.Empty(t, answer.GetTables())
	require.Nil(t, got.Slot)
}
