package devstack

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// bookings is a booking service that only knows which tables are taken.
type bookings struct {
	bookingpb.UnimplementedBookingServiceServer

	mu    sync.Mutex
	taken map[string]bool
	asked *bookingpb.CheckTableAvailabilityRequest
	err   error
}

func (b *bookings) CheckTableAvailability(_ context.Context, req *bookingpb.CheckTableAvailabilityRequest) (*bookingpb.CheckTableAvailabilityResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = req
	if b.err != nil {
		return nil, b.err
	}
	answer := &bookingpb.CheckTableAvailabilityResponse{}
	for _, id := range req.GetTableIds() {
		answer.Tables = append(answer.Tables, &bookingpb.TableAvailabilityInfo{TableId: id, Available: !b.taken[id]})
	}
	return answer, nil
}

// serveBookings serves b until the test is over and answers its address.
func serveBookings(t *testing.T, b *bookings) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	bookingpb.RegisterBookingServiceServer(server, b)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func startVenue(t *testing.T, o VenueOptions) (*Venue, *grpc.ClientConn) {
	t.Helper()
	v, err := NewVenue(o)
	require.NoError(t, err)
	t.Cleanup(v.Stop)
	conn, err := grpc.NewClient(v.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return v, conn
}

// ids shows an offer as its table, or as table+partner.
func ids(answer *venuepb.CheckAvailabilityResponse) []string {
	var list []string
	for _, offer := range answer.GetTables() {
		id := offer.GetTable().GetTableId()
		if partner := offer.GetMergedWithTable(); partner != nil {
			id += "+" + partner.GetTableId()
		}
		list = append(list, id)
	}
	return list
}

// The 5th of December 2026 is a Saturday.
func saturday(start string, minutes int32) *commonpb.Slot {
	return &commonpb.Slot{Date: "2026-12-05", StartTime: start, DurationMinutes: minutes}
}

func TestCheckAvailability(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	b := &bookings{taken: map[string]bool{"table-7": true, "table-10": true}}
	v, conn := startVenue(t, VenueOptions{BookingAddr: serveBookings(t, b)})
	client := venuepb.NewVenueServiceClient(conn)
	slot := saturday("19:00", 0)

	tests := []struct {
		name  string
		venue string
		party int32
		want  []string
	}{
		{"free and large enough", "venue-1", 5, []string{"table-11", "table-12"}},
		{"the largest single table", "venue-1", 8, []string{"table-12"}},
		{"pairs, when no table is large enough", "venue-1", 9, nil},
		{"no pair is large enough", "venue-1", 13, nil},
		{"an unknown venue", "venue-2", 2, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer, err := client.CheckAvailability(t.Context(),
				&venuepb.CheckAvailabilityRequest{VenueId: tt.venue, Slot: slot, PartySize: tt.party})
			require.NoError(t, err)
			require.Equal(t, tt.want, ids(answer))
			for _, offer := range answer.GetTables() {
				require.True(t, offer.GetAvailable())
			}
		})
	}
	require.Len(t, b.asked.GetTableIds(), 12, "the booking service is asked for all tables")
	require.True(t, proto.Equal(slot, b.asked.GetSlot()), "with the slot as it came")
	require.Equal(t, len(tests), v.Checked())

	b.mu.Lock()
	b.taken = map[string]bool{"table-10": true}
	b.mu.Unlock()
	pairs, err := client.CheckAvailability(t.Context(), &venuepb.CheckAvailabilityRequest{VenueId: "venue-1", Slot: slot, PartySize: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"table-4+table-7", "table-5+table-7"}, ids(pairs),
		"of one room, both free, both to be joined")

	v.SetCallback(false)
	answer, err := client.CheckAvailability(t.Context(), &venuepb.CheckAvailabilityRequest{VenueId: "venue-1", Slot: slot, PartySize: 9})
	require.NoError(t, err)
	require.Contains(t, ids(answer), "table-10+table-11")
	v.SetCallback(true)

	b.mu.Lock()
	b.err = status.Error(codes.Unavailable, "away")
	b.mu.Unlock()
	_, err = client.CheckAvailability(t.Context(), &venuepb.CheckAvailabilityRequest{VenueId: "venue-1", Slot: slot, PartySize: 2})
	require.Equal(t, codes.Unavailable, status.Code(err))

	v.SetAnswer(func(context.Context, *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
		return nil, status.Error(codes.ResourceExhausted, "")
	})
	_, err = client.CheckAvailability(t.Context(), &venuepb.CheckAvailabilityRequest{})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
}

func TestOpen(t *testing.T) {
	t.Parallel()
	demo := DemoPlace()
	always := Place{}
	tests := []struct {
		name  string
		place Place
		slot  *commonpb.Slot
		want  bool
	}{
		{"in the evening", demo, saturday("19:00", 0), true},
		{"before the doors open", demo, saturday("09:59", 60), false},
		{"past midnight on a Saturday", demo, saturday("23:30", 150), true},
		{"longer than the house is open", demo, saturday("23:30", 151), false},
		{"until two, by the default duration", demo, saturday("23:59", 0), true},
		{"after midnight, which is Friday's evening", demo, saturday("00:30", 90), true},
		{"after midnight, too long", demo, saturday("00:30", 91), false},
		{"after midnight, Saturday's evening", demo, &commonpb.Slot{Date: "2026-12-06", StartTime: "01:00", DurationMinutes: 60}, true},
		{"until midnight on a Sunday", demo, &commonpb.Slot{Date: "2026-12-06", StartTime: "22:00"}, true},
		{"past midnight on a Sunday", demo, &commonpb.Slot{Date: "2026-12-06", StartTime: "22:01"}, false},
		{"after midnight of a Sunday", demo, &commonpb.Slot{Date: "2026-12-07", StartTime: "00:30", DurationMinutes: 30}, false},
		{"hours unknown", always, saturday("04:00", 0), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			open, err := tt.place.open(tt.slot)
			require.NoError(t, err)
			require.Equal(t, tt.want, open)
		})
	}
	for _, slot := range []*commonpb.Slot{nil, {Date: "2026-12-05"}, {StartTime: "10:00"}, saturday("19:00", -1)} {
		_, err := demo.open(slot)
		require.Error(t, err)
	}
}

func TestVenueService(t *testing.T) {
	t.Parallel()
	other := Place{ID: "other", TimeZone: "Asia/Tokyo", Tables: []Table{{ID: "t", RoomID: "main", Capacity: 1}}}
	v, conn := startVenue(t, VenueOptions{Places: []Place{DemoPlace(), other}})
	client, ctx := venuepb.NewVenueServiceClient(conn), t.Context()

	venue, err := client.GetVenue(ctx, &venuepb.GetVenueRequest{Id: "venue-1"})
	require.NoError(t, err)
	require.Equal(t, "Europe/Berlin", venue.GetTimezone())
	_, err = client.GetVenue(ctx, &venuepb.GetVenueRequest{Id: "nowhere"})
	require.Equal(t, codes.Unknown, status.Code(err))
	v.SetZone("venue-1", "America/New_York")
	venue, err = client.GetVenue(ctx, &venuepb.GetVenueRequest{Id: "venue-1"})
	require.NoError(t, err)
	require.Equal(t, "America/New_York", venue.GetTimezone())

	tables, err := client.ListTables(ctx, &venuepb.ListTablesRequest{VenueId: "venue-1", Limit: 5, Offset: 10})
	require.NoError(t, err)
	require.EqualValues(t, 12, tables.GetTotal())
	require.Len(t, tables.GetTables(), 2)
	require.Equal(t, "table-11", tables.GetTables()[0].GetId())
	require.EqualValues(t, 6, tables.GetTables()[0].GetCapacity())
	tables, err = client.ListTables(ctx, &venuepb.ListTablesRequest{VenueId: "venue-1", Offset: 99})
	require.NoError(t, err)
	require.Empty(t, tables.GetTables())

	layout, err := client.GetTableLayout(ctx, &venuepb.GetTableLayoutRequest{VenueId: "venue-1", RoomId: "terrace"})
	require.NoError(t, err)
	require.Len(t, layout.GetTables(), 5)

	hours, err := client.GetOpeningHours(ctx, &venuepb.GetOpeningHoursRequest{VenueId: "venue-1"})
	require.NoError(t, err)
	require.Len(t, hours.GetDays(), 7)
	require.Equal(t, "02:00", hours.GetDays()[time.Friday].GetCloseTime())
	hours, err = client.GetOpeningHours(ctx, &venuepb.GetOpeningHoursRequest{VenueId: "other"})
	require.NoError(t, err)
	require.Empty(t, hours.GetDays())

	health, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "venue.VenueService"})
	require.NoError(t, err)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, health.GetStatus())
}

func TestNewVenueRefusesBadPlaces(t *testing.T) {
	t.Parallel()
	_, err := NewVenue(VenueOptions{Places: []Place{{}}})
	require.ErrorContains(t, err, "no id")
	_, err = NewVenue(VenueOptions{Places: []Place{{ID: "v", Hours: []Hours{{Open: "10", Close: "11:00"}}}}})
	require.ErrorContains(t, err, "open time")
}
