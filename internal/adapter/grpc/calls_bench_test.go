package grpc

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// BenchmarkCalls tells what calls allocate, client and server together, on doubles of all neighbours. What
// repositories allocate is in the adapters' benchmarks. scripts/allocations.sh compares it with the last
// commit's.
func BenchmarkCalls(b *testing.B) {
	ctx := context.Background()
	w := newFuzzWorld(b)
	slot := func(n int) *commonpb.Slot {
		return &commonpb.Slot{
			Date:      time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n).Format(time.DateOnly),
			StartTime: "19:00", DurationMinutes: 120,
		}
	}
	for name, call := range map[string]func(n int) error{
		"create": func(n int) error {
			_, err := w.CreateBooking(ctx, &bookingpb.CreateBookingRequest{
				VenueId: "venue-1", Table: &commonpb.TableRef{TableId: "table-1"}, Slot: slot(n),
				PartySize: 2, CustomerName: "Ada Lovelace", CustomerPhone: "+44 20 7946 0000", AdminId: "admin-1",
			})
			return err
		},
		"confirm": func(int) error {
			_, err := w.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: "b-confirmed", AdminId: "admin-1"})
			return err
		},
		"get": func(int) error {
			_, err := w.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: "b-held"})
			return err
		},
		"list": func(int) error {
			_, err := w.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: "venue-1", Limit: 5})
			return err
		},
		"availability": func(n int) error {
			_, err := w.CheckTableAvailability(ctx, &bookingpb.CheckTableAvailabilityRequest{
				VenueId: "venue-1", Slot: slot(n), TableIds: []string{"table-1", "table-2", "table-3"},
			})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w.renew(b)
			for n := 0; b.Loop(); n++ {
				require.NoError(b, call(n))
			}
		})
	}
}
