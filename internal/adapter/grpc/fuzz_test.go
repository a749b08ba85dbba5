package grpc

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// Whatever bytes a client sends to a method, the answer is right or the client's fault, and the
// process lives. One target a request message:
//
//	go test -run=- -fuzz=FuzzCreateBooking -fuzztime=60s -fuzzminimizetime=10x ./internal/adapter/grpc
//
// Which code runs also depends on gRPC's goroutines: without a limit most of the time goes into making
// inputs smaller.

func FuzzCreateBooking(f *testing.F) {
	fuzz(f, "CreateBooking", func(t *testing.T, w *fuzzWorld, r *bookingpb.CreateBookingRequest, b *bookingpb.Booking) {
		requireProto(t, &bookingpb.Booking{
			Id: b.Id, VenueId: r.VenueId,
			Table:     &commonpb.TableRef{VenueId: r.VenueId, RoomId: cmp.Or(r.Table.RoomId, "room-1"), TableId: r.Table.TableId},
			Slot:      &commonpb.Slot{Date: r.Slot.Date, StartTime: r.Slot.StartTime, DurationMinutes: cmp.Or(r.Slot.DurationMinutes, 120)},
			PartySize: r.PartySize, CustomerName: strings.TrimSpace(r.CustomerName), CustomerPhone: r.CustomerPhone,
			Status: "held", Comment: r.Comment, AdminId: r.AdminId,
			CreatedAt: b.CreatedAt, UpdatedAt: b.CreatedAt, ExpiresAt: b.CreatedAt + 15*60, JoinedTables: b.JoinedTables,
		}, b)
		require.Equal(t, r.PartySize > 4, len(b.JoinedTables) == 1)
		require.LessOrEqual(t, len(r.IdempotencyKey), 128)
		require.NotContains(t, r.IdempotencyKey, "\x00")
		w.requireStored(t, b)
		again, err := w.CreateBooking(context.Background(), r)
		if r.IdempotencyKey != "" {
			require.NoError(t, err)
			requireProto(t, b, again)
		} else {
			require.Error(t, err, "sold twice")
		}
	}, createSeeds()...)
}

func FuzzGetBooking(f *testing.F) {
	var seeds []*bookingpb.GetBookingRequest
	for _, id := range idSeeds() {
		seeds = append(seeds, &bookingpb.GetBookingRequest{Id: id})
	}
	fuzz(f, "GetBooking", func(t *testing.T, w *fuzzWorld, r *bookingpb.GetBookingRequest, b *bookingpb.Booking) {
		require.Equal(t, r.Id, b.Id)
		w.requireStored(t, b)
	}, seeds...)
}

func FuzzListBookings(f *testing.F) {
	seeds := []*bookingpb.ListBookingsRequest{
		{},
		{VenueId: "venue-1", Date: "2031-03-01", Status: "held", TableId: "b-held", Limit: 1, Offset: 0},
		{Limit: 3, Offset: 2}, {Limit: math.MaxInt32, Offset: math.MaxInt32}, {Limit: -1, Offset: -1}, {Limit: math.MinInt32},
		{Date: "2031-02-29"}, {Date: "9999-12-31"}, {Date: "0001-01-01"}, {Date: "0000-12-31"}, {Date: "10000-01-01"}, {Date: "２０３１-03-01"},
		{Status: "requested"}, {Status: "rejected"}, {Status: "no_show"}, {Status: "Held"}, {Status: "held\x00"},
	}
	for _, id := range idSeeds() {
		seeds = append(seeds, &bookingpb.ListBookingsRequest{VenueId: id}, &bookingpb.ListBookingsRequest{TableId: id})
	}
	fuzz(f, "ListBookings", func(t *testing.T, w *fuzzWorld, r *bookingpb.ListBookingsRequest, list *bookingpb.ListBookingsResponse) {
		want := w.matching(t, func(b *bookingpb.Booking) bool {
			return (r.VenueId == "" || r.VenueId == b.VenueId) && (r.Date == "" || r.Date == b.Slot.Date) &&
				(r.Status == "" || r.Status == b.Status) &&
				(r.TableId == "" || r.TableId == b.Table.TableId || r.TableId == b.JoinedTables[0].TableId)
		})
		require.EqualValues(t, len(want), list.Total)
		want = want[min(int(r.Offset), len(want)):]
		want = want[:min(int(cmp.Or(r.Limit, 50)), len(want))]
		requireProto(t, &bookingpb.ListBookingsResponse{Bookings: want, Total: list.Total}, list)
	}, seeds...)
}

func FuzzConfirmBooking(f *testing.F) {
	fuzzChange(f, "ConfirmBooking", "confirmed", func(id, adminID string) *bookingpb.ConfirmBookingRequest {
		return &bookingpb.ConfirmBookingRequest{Id: id, AdminId: adminID}
	})
}

func FuzzCancelBooking(f *testing.F) {
	fuzzChange(f, "CancelBooking", "cancelled", func(id, adminID string) *bookingpb.CancelBookingRequest {
		return &bookingpb.CancelBookingRequest{Id: id, AdminId: adminID}
	},
		&bookingpb.CancelBookingRequest{Id: "b-held", AdminId: "host-1", Reason: "ill"},
		&bookingpb.CancelBookingRequest{Id: "b-held", Reason: strings.Repeat("ü", 2000)},
		&bookingpb.CancelBookingRequest{Id: "b-held", Reason: strings.Repeat("ü", 2001)},
		&bookingpb.CancelBookingRequest{Id: "b-held", Reason: "\x00"},
		&bookingpb.CancelBookingRequest{Id: "b-held", Reason: strings.Repeat("x", 1<<16)},
	)
}

func FuzzMarkSeated(f *testing.F) {
	fuzzChange(f, "MarkSeated", "seated", func(id, adminID string) *bookingpb.MarkSeatedRequest {
		return &bookingpb.MarkSeatedRequest{Id: id, AdminId: adminID}
	})
}

func FuzzMarkFinished(f *testing.F) {
	fuzzChange(f, "MarkFinished", "finished", func(id, adminID string) *bookingpb.MarkFinishedRequest {
		return &bookingpb.MarkFinishedRequest{Id: id, AdminId: adminID}
	})
}

func FuzzMarkNoShow(f *testing.F) {
	fuzzChange(f, "MarkNoShow", "no_show", func(id, adminID string) *bookingpb.MarkNoShowRequest {
		return &bookingpb.MarkNoShowRequest{Id: id, AdminId: adminID}
	})
}

// fuzzChange fuzzes a method that brings a booking into a state.
func fuzzChange[Req any, PReq interface {
	message[Req]
	GetId() string
}](f *testing.F, method, to string, request func(id, adminID string) PReq, more ...PReq) {
	seeds := more
	for _, id := range idSeeds() {
		seeds = append(seeds, request(id, "host-1"))
	}
	for _, adminID := range textSeeds(36) {
		seeds = append(seeds, request("b-confirmed", adminID))
	}
	fuzz(f, method, func(t *testing.T, w *fuzzWorld, r PReq, b *bookingpb.Booking) {
		require.Equal(t, r.GetId(), b.Id)
		require.Equal(t, to, b.Status)
		w.requireStored(t, b)
	}, seeds...)
}

func FuzzCheckTableAvailability(f *testing.F) {
	evening := &commonpb.Slot{Date: "2031-03-01", StartTime: "19:30"}
	seeds := []*bookingpb.CheckTableAvailabilityRequest{
		{VenueId: "venue-1", TableIds: []string{"b-held", "table-1", "b-held", "next-to-b-seated", "b-overdue"}, Slot: evening},
		{VenueId: "venue-1", Slot: evening},
		{VenueId: "nowhere", TableIds: []string{"b", "a", "b"}, Slot: evening},
		{VenueId: "venue-1", TableIds: slices.Repeat([]string{"a"}, 1000), Slot: evening},
		{VenueId: "venue-1", TableIds: slices.Repeat([]string{"a"}, 1001), Slot: evening},
		{VenueId: "venue-1", TableIds: slices.Repeat([]string{""}, 1000), Slot: evening},
		{VenueId: "venue-1", TableIds: []string{"a"}},
	}
	for _, id := range idSeeds() {
		seeds = append(seeds,
			&bookingpb.CheckTableAvailabilityRequest{VenueId: id, TableIds: []string{"a"}, Slot: evening},
			&bookingpb.CheckTableAvailabilityRequest{VenueId: "venue-1", TableIds: []string{"a", id}, Slot: evening})
	}
	for _, slot := range slotSeeds() {
		for _, venue := range []string{"venue-1", "venue-2"} {
			seeds = append(seeds, &bookingpb.CheckTableAvailabilityRequest{VenueId: venue, TableIds: []string{"b-held", "table-1"}, Slot: slot})
		}
	}
	fuzz(f, "CheckTableAvailability", func(t *testing.T, _ *fuzzWorld, r *bookingpb.CheckTableAvailabilityRequest, list *bookingpb.CheckTableAvailabilityResponse) {
		var asked, answered []string
		for _, id := range r.TableIds {
			if !slices.Contains(asked, id) {
				asked = append(asked, id)
			}
		}
		for _, table := range list.Tables {
			answered = append(answered, table.TableId)
			require.Equal(t, table.Available, table.Reason == "")
			taken := table.TableId != "b-overdue" && table.TableId != "next-to-b-overdue" && r.VenueId == "venue-1"
			require.True(t, table.Available || taken, "%s is taken by nobody", table.TableId)
		}
		require.Equal(t, asked, answered)
	}, seeds...)
}

// idSeeds are the ids of the world's bookings, and others.
func idSeeds() []string {
	ids := []string{
		"", "nobody", "venue-1", "table-1", "a b", "a/b", "a\x00b", "a\n", "стол", "%s", "'; DROP TABLE bookings; --", ".", "..", "-", "_",
		"0190d1a0-0000-7000-8000-000000000001", strings.Repeat("x", 36), strings.Repeat("x", 37), strings.Repeat("x", 1<<16),
	}
	for id := range fuzzBookings {
		ids = append(ids, id, "next-to-"+id)
	}
	slices.Sort(ids)
	return ids
}

// textSeeds are texts about the limit of a field, and odd ones.
func textSeeds(limit int) []string {
	return []string{
		"", " ", "Ada Lovelace", strings.Repeat("x", limit), strings.Repeat("🪟", limit), strings.Repeat("ü", limit+1), strings.Repeat("x", 1<<16),
		"\x00", "a\nb", "\u0085", "\u202e", "\ufeff", "\ufffd", "e\u0301", `{"a":"\u0000"}`, "%00", "\\x00", "\u2028",
	}
}

// slotSeeds are slots about the limits of dates, times and durations, and where clocks change.
func slotSeeds() []*commonpb.Slot {
	slots := []*commonpb.Slot{
		nil, {}, {Date: "2031-03-01"}, {StartTime: "19:30"},
		// Clocks in Berlin: no 02:30 in March, two in October; in St. John's no 02:00 and two 01:00.
		{Date: "2031-03-30", StartTime: "02:30"}, {Date: "2031-03-30", StartTime: "01:59", DurationMinutes: 1440},
		{Date: "2031-03-30", StartTime: "03:00"}, {Date: "2031-10-26", StartTime: "02:30"}, {Date: "2031-10-26", StartTime: "02:00", DurationMinutes: 60},
		{Date: "2031-03-09", StartTime: "02:00"}, {Date: "2031-11-02", StartTime: "01:00"},
		// In Apia there was no such day.
		{Date: "2011-12-30", StartTime: "12:00"},
	}
	for _, date := range []string{
		"2031-12-31", "2032-02-29", "2031-02-29", "0001-01-01", "0000-12-31", "9999-12-31", "1969-12-31", "2020-02-29", "2031-3-1",
		"2031-03-01 ", "20310301", "+2031-03-01", "2031-00-10", "2031-13-01", "12031-03-01",
	} {
		slots = append(slots, &commonpb.Slot{Date: date, StartTime: "00:00"}, &commonpb.Slot{Date: date, StartTime: "23:59"})
	}
	for _, start := range []string{"24:00", "23:60", "9:30", "09:30:00", "09.30", "-1:30", "09:30\x00", "٠٩:٣٠"} {
		slots = append(slots, &commonpb.Slot{Date: "2031-03-01", StartTime: start})
	}
	for _, minutes := range []int32{-1, 1, 4, 5, 1440, 1441, math.MaxInt32, math.MinInt32} {
		slots = append(slots, &commonpb.Slot{Date: "2031-03-01", StartTime: "23:59", DurationMinutes: minutes})
	}
	return slots
}

func createSeeds() []*bookingpb.CreateBookingRequest {
	valid := func() *bookingpb.CreateBookingRequest {
		return &bookingpb.CreateBookingRequest{
			VenueId: "venue-1", Table: &commonpb.TableRef{TableId: "table-1"},
			Slot: &commonpb.Slot{Date: "2031-03-01", StartTime: "19:30"}, PartySize: 2, CustomerName: "Ada Lovelace",
		}
	}
	full := valid()
	full.Table.VenueId, full.Table.RoomId, full.Slot.DurationMinutes = "venue-1", "terrace", 90
	full.CustomerPhone, full.Comment, full.AdminId, full.IdempotencyKey = "+44 20 7946 0000", "by the window 🪟", "host-1", "key 1"
	seeds := []*bookingpb.CreateBookingRequest{{}, valid(), full}
	add := func(change func(*bookingpb.CreateBookingRequest)) {
		r := valid()
		change(r)
		seeds = append(seeds, r)
	}
	for _, id := range append(idSeeds(), "venue-2", "venue-3", "table-2") {
		add(func(r *bookingpb.CreateBookingRequest) { r.VenueId = id })
		add(func(r *bookingpb.CreateBookingRequest) { r.Table.TableId = id })
		add(func(r *bookingpb.CreateBookingRequest) { r.Table.RoomId = id })
		add(func(r *bookingpb.CreateBookingRequest) { r.Table.VenueId = id })
	}
	add(func(r *bookingpb.CreateBookingRequest) { r.Table = nil })
	for _, slot := range slotSeeds() {
		for _, venue := range []string{"venue-1", "venue-2", "venue-3"} {
			add(func(r *bookingpb.CreateBookingRequest) { r.VenueId, r.Slot = venue, slot })
		}
	}
	for _, party := range []int32{math.MinInt32, -1, 0, 1, 4, 5, 8, 9, 1000, 1001, math.MaxInt32} {
		add(func(r *bookingpb.CreateBookingRequest) { r.PartySize = party })
	}
	for _, text := range textSeeds(255) {
		add(func(r *bookingpb.CreateBookingRequest) { r.CustomerName = text })
	}
	for _, text := range textSeeds(50) {
		add(func(r *bookingpb.CreateBookingRequest) { r.CustomerPhone = text })
	}
	for _, text := range textSeeds(2000) {
		add(func(r *bookingpb.CreateBookingRequest) { r.Comment = text })
	}
	for _, text := range textSeeds(36) {
		add(func(r *bookingpb.CreateBookingRequest) { r.AdminId = text })
	}
	for _, text := range textSeeds(128) {
		add(func(r *bookingpb.CreateBookingRequest) { r.IdempotencyKey = text })
	}
	return seeds
}
