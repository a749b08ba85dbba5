//go:build integration

package service

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// day is a date well ahead on which the venue is open, a Saturday.
var day = func() string {
	d := time.Now().AddDate(0, 0, 14)
	for d.Weekday() != time.Saturday {
		d = d.AddDate(0, 0, 1)
	}
	return d.Format("2006-01-02")
}()

// request asks as the gateway does: no venue and room in the table, no duration, no key.
func (s *stack) request(tableID, start string, party int32) *bookingpb.CreateBookingRequest {
	return &bookingpb.CreateBookingRequest{
		VenueId: s.venue.id, Table: &commonpb.TableRef{TableId: tableID},
		Slot: &commonpb.Slot{Date: day, StartTime: start}, PartySize: party,
		CustomerName: "Ada Lovelace", AdminId: "host-1",
	}
}

// reason is the code and the ErrorInfo reason of an error, as `ALREADY_EXISTS SLOT_TAKEN`.
func reason(err error) string {
	st := status.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return st.Code().String() + " " + info.GetReason()
		}
	}
	return st.Code().String()
}

func context10s(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestLifeOfABooking(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	p := s.start(t)
	b, err := p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
	require.NoError(t, err)
	require.Equal(t, "held", b.Status)
	require.Equal(t, int32(120), b.Slot.DurationMinutes)
	require.Equal(t, s.venue.id, b.Table.VenueId)
	require.NotEmpty(t, b.Table.RoomId, "the room is the venue's")
	require.InDelta(t, time.Now().Add(15*time.Minute).Unix(), b.ExpiresAt, 5)

	available := func(want bool) {
		t.Helper()
		got, err := p.bookings.CheckTableAvailability(ctx, &bookingpb.CheckTableAvailabilityRequest{
			VenueId: s.venue.id, TableIds: []string{s.venue.table2}, Slot: &commonpb.Slot{Date: day, StartTime: "21:00"},
		})
		require.NoError(t, err)
		require.Len(t, got.Tables, 1)
		require.Equal(t, want, got.Tables[0].Available)
		if !want {
			require.Equal(t, "Table is already booked for this time slot", got.Tables[0].Reason)
		}
	}
	available(false)
	_, err = p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "20:00", 2))
	require.Equal(t, "AlreadyExists SLOT_TAKEN", reason(err))

	b, err = p.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: b.Id, AdminId: "host-2"})
	require.NoError(t, err)
	require.Equal(t, "confirmed", b.Status)
	require.Zero(t, b.ExpiresAt)
	_, err = p.bookings.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: b.Id})
	require.Equal(t, "FailedPrecondition INVALID_TRANSITION", reason(err))
	b, err = p.bookings.MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: b.Id, AdminId: "host-2"})
	require.NoError(t, err)
	available(false)
	b, err = p.bookings.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: b.Id, AdminId: "host-2"})
	require.NoError(t, err)
	require.Equal(t, "finished", b.Status)
	available(true)

	got, err := p.bookings.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: b.Id})
	require.NoError(t, err)
	require.Equal(t, b.String(), got.String())
	_, err = p.bookings.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: "nobody"})
	require.Equal(t, "NotFound BOOKING_NOT_FOUND", reason(err))

	other, err := p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
	require.NoError(t, err)
	other, err = p.bookings.CancelBooking(ctx, &bookingpb.CancelBookingRequest{Id: other.Id, Reason: "ill"})
	require.NoError(t, err)
	third, err := p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
	require.NoError(t, err)
	_, err = p.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: third.Id})
	require.NoError(t, err)
	_, err = p.bookings.MarkNoShow(ctx, &bookingpb.MarkNoShowRequest{Id: third.Id})
	require.NoError(t, err)

	list, err := p.bookings.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: s.venue.id, Date: day})
	require.NoError(t, err)
	require.Equal(t, int32(3), list.Total)
	list, err = p.bookings.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: s.venue.id, Status: "cancelled"})
	require.NoError(t, err)
	require.Equal(t, other.Id, list.Bookings[0].Id)

	events := readEvents(t, b.Id, 4)
	require.Equal(t, []string{"booking.held", "booking.confirmed", "booking.seated", "booking.finished"}, topics(events))
	require.Equal(t, []string{"booking.held", "booking.cancelled"}, topics(readEvents(t, other.Id, 2)))
	require.Equal(t, []string{"booking.held", "booking.confirmed", "booking.no_show"}, topics(readEvents(t, third.Id, 3)))
	require.Equal(t, "ill", readEvents(t, other.Id, 2)[1].event.GetCancelled().GetReason())
	require.Equal(t, "host-2", events[1].event.GetConfirmed().GetAdminId())
	for _, e := range events {
		require.Equal(t, "booking-svc", e.event.Headers.Source)
		require.Len(t, e.event.Headers.TraceId, 32)
		require.Equal(t, b.CustomerName, e.event.CustomerName)
		require.Equal(t, b.Slot.String(), e.event.Slot.String())
		require.Equal(t, b.Table.String(), e.event.Table.String())
	}
}

func TestJoinedTables(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	p := s.start(t)
	b, err := p.bookings.CreateBooking(ctx, s.request(s.venue.joinable, "19:30", s.venue.jointParty))
	require.NoError(t, err)
	require.Len(t, b.JoinedTables, 1)
	partner := b.JoinedTables[0]
	require.Equal(t, s.venue.id, partner.VenueId)
	for _, id := range []string{s.venue.joinable, partner.TableId} {
		list, err := p.bookings.ListBookings(ctx, &bookingpb.ListBookingsRequest{VenueId: s.venue.id, TableId: id})
		require.NoError(t, err)
		require.Equal(t, int32(1), list.Total)
		require.Equal(t, partner.String(), list.Bookings[0].JoinedTables[0].String())
		_, err = p.bookings.CreateBooking(ctx, s.request(id, "20:30", 2))
		require.Equal(t, "AlreadyExists SLOT_TAKEN", reason(err))
	}
	event := readEvents(t, b.Id, 1)[0].event
	require.Equal(t, partner.String(), event.JoinedTables[0].String())
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	p := s.start(t)

	_, err := p.bookings.CreateBooking(ctx, s.request("no-such-table", "19:30", 2))
	require.Equal(t, "FailedPrecondition TABLE_UNAVAILABLE", reason(err))
	unknown := s.request(s.venue.table2, "19:30", 2)
	unknown.VenueId = "no-such-venue"
	_, err = p.bookings.CreateBooking(ctx, unknown)
	require.Equal(t, "FailedPrecondition TABLE_UNAVAILABLE", reason(err))

	bad := s.request("t/1", "25:00", 0)
	bad.CustomerName = strings.Repeat("x", 1<<20)
	bad.Comment = "a\x00b"
	_, err = p.bookings.CreateBooking(ctx, bad)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	var fields []string
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.FieldViolations {
				fields = append(fields, v.Field)
			}
		}
	}
	require.Equal(t, []string{"table.table_id", "slot.start_time", "party_size", "customer_name", "comment"}, fields)

	keyed := s.request(s.venue.table2, "19:30", 2)
	keyed.IdempotencyKey = "key"
	first, err := p.bookings.CreateBooking(ctx, keyed)
	require.NoError(t, err)
	again, err := p.bookings.CreateBooking(ctx, keyed)
	require.NoError(t, err)
	require.Equal(t, first.Id, again.Id)
	keyed.PartySize = 1
	_, err = p.bookings.CreateBooking(ctx, keyed)
	require.Equal(t, "InvalidArgument IDEMPOTENCY_KEY_REUSED", reason(err))

	_, err = s.pool.Exec(ctx, `UPDATE bookings SET expires_at = now() WHERE id = $1`, first.Id)
	require.NoError(t, err)
	_, err = p.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: first.Id})
	require.Equal(t, "FailedPrecondition HOLD_EXPIRED", reason(err))
	require.Equal(t, []string{"booking.held", "booking.expired"}, topics(readEvents(t, first.Id, 2)))
}

func TestHoldsExpireByThemselves(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	p := s.start(t)
	s.launch(t) // a second replica sweeps too
	b, err := p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
	require.NoError(t, err)
	_, err = s.pool.Exec(ctx, `UPDATE bookings SET expires_at = now() WHERE id = $1`, b.Id)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		got, err := p.bookings.GetBooking(ctx, &bookingpb.GetBookingRequest{Id: b.Id})
		return err == nil && got.Status == "expired"
	}, 5*time.Second, 20*time.Millisecond)
	require.Equal(t, []string{"booking.held", "booking.expired"}, topics(readEvents(t, b.Id, 2)))
	_, err = p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
	require.NoError(t, err)
}

// 64 clients for one slot, 30 rounds: one winner each, and no answer but that the table is gone.
func TestRaceForOneSlot(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	// It is not about time: on a busy machine 64 creates at once may take longer than a call may.
	p := s.start(t, "VENUE_TIMEOUT=30s", "REQUEST_TIMEOUT=40s")
	for round := range 30 {
		// Rounds are days apart; two replicas would do the same.
		req := s.request(s.venue.table2, "19:30", 2)
		d, err := time.Parse("2006-01-02", day)
		require.NoError(t, err)
		req.Slot.Date = d.AddDate(0, 0, 7*round).Format("2006-01-02")
		var wg sync.WaitGroup
		answers := make([]string, 64)
		for i := range answers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_, err := p.bookings.CreateBooking(context.Background(), req)
				answers[i] = reason(err)
			}()
		}
		wg.Wait()
		count := map[string]int{}
		for _, a := range answers {
			count[a]++
		}
		require.Equal(t, 1, count["OK"], count)
		require.Equal(t, 63, count["AlreadyExists SLOT_TAKEN"]+count["FailedPrecondition TABLE_UNAVAILABLE"], count)
	}
}

// 24 clients book randomly overlapping intervals, on single and joined tables: the table of
// occupancies holds no overlap, and every other answer says that the table is gone.
func TestRaceForOverlappingSittings(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newStack(t)
	patient := []string{"VENUE_TIMEOUT=30s", "REQUEST_TIMEOUT=40s"}
	p, q := s.start(t, patient...), s.start(t, patient...)
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for client := range 24 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewPCG(7, uint64(client)))
			for range 15 {
				req := s.request(s.venue.table2, fmt.Sprintf("%02d:%02d", 18+rnd.IntN(5), 5*rnd.IntN(12)), 2)
				if rnd.IntN(3) == 0 {
					req.Table.TableId, req.PartySize = s.venue.joinable, s.venue.jointParty
				}
				req.Slot.DurationMinutes = int32(15 + rnd.IntN(90))
				target := p.bookings
				if rnd.IntN(2) == 0 {
					target = q.bookings
				}
				b, err := target.CreateBooking(ctx, req)
				mu.Lock()
				answers[reason(err)]++
				mu.Unlock()
				if err == nil && rnd.IntN(2) == 0 {
					_, err = target.CancelBooking(ctx, &bookingpb.CancelBookingRequest{Id: b.Id})
					mu.Lock()
					answers["cancel "+reason(err)]++
					mu.Unlock()
				}
			}
		}()
	}
	wg.Wait()
	for a := range answers {
		require.Contains(t, []string{"OK", "cancel OK", "AlreadyExists SLOT_TAKEN", "FailedPrecondition TABLE_UNAVAILABLE"}, a, answers)
	}
	require.Greater(t, answers["OK"], 10)
	var overlaps, wrong int
	require.NoError(t, s.pool.QueryRow(ctx, `
		SELECT count(*) FROM bookings a JOIN bookings b ON a.id < b.id AND a.venue_id = b.venue_id
		WHERE a.status IN ('held', 'confirmed', 'seated') AND b.status IN ('held', 'confirmed', 'seated')
		  AND tstzrange(a.starts_at, a.ends_at) && tstzrange(b.starts_at, b.ends_at)
		  AND (a.table_id || a.joined_table_ids) && (b.table_id || b.joined_table_ids)`).Scan(&overlaps))
	require.Zero(t, overlaps)
	require.NoError(t, s.pool.QueryRow(ctx, `
		SELECT count(*) FROM bookings b WHERE (status IN ('held', 'confirmed', 'seated'))::int * (1 + cardinality(joined_table_ids))
			<> (SELECT count(*) FROM table_occupancies o WHERE o.booking_id = b.id)`).Scan(&wrong))
	require.Zero(t, wrong)
}
