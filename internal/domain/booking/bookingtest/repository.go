// Package bookingtest holds, for each port of the domain, a suite of tests that every
// implementation must pass, and a double in memory that passes it too.
package bookingtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// Repository is a repository under test.
type Repository struct {
	dom.Repository
	// Advance lets d pass for every booking and key that is stored.
	Advance func(d time.Duration)
	// Events answers the types and versions of a booking's events in the outbox, in order, as
	// `booking.held/1`.
	Events func(bookingID string) []string
}

// RepositorySuite tests what the port promises. open answers an empty repository.
func RepositorySuite(t *testing.T, open func(t *testing.T) Repository) {
	tests := map[string]func(*testing.T, Repository){
		"a created booking reads back whole":               createReadsBack,
		"an overlapping sitting is refused":                overlapRefused,
		"neighbours in time and in place are not":          neighboursFit,
		"joined tables block and are blocked":              joinedTables,
		"joined tables leave nothing behind when refused":  joinedRefusedLeavesNothing,
		"the same booking id again answers the booking":    createAgain,
		"an idempotency key is used once in a venue":       keyOnce,
		"old keys are removed":                             oldKeys,
		"an overdue hold gives way":                        overdueGivesWay,
		"an overdue hold stays when the create fails":      overdueStaysOnFailure,
		"a booking lives its life, an event each":          lifeCycle,
		"a change is refused in the wrong state":           wrongState,
		"an overdue hold is expired by a confirm":          confirmOverdue,
		"an ended booking frees its table":                 endFrees,
		"overdue holds are expired in batches":             expireBatches,
		"lists filter, page and count":                     lists,
		"a venue's zone is that of its latest sitting":     venueZone,
		"64 creators of one slot have one winner":          raceOneSlot,
		"creators of overlapping sittings never overlap":   raceOverlapping,
		"pairs and single tables never share a table":      racePairs,
		"64 changers of one booking make one change":       raceChange,
		"64 creators in the place of an overdue hold":      raceOverdue,
		"the same key from 64 creators makes one booking":  raceKey,
		"a confirm and a sweep at expiry have one outcome": raceExpiry,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// start is when the first sitting of the suite begins.
var start = time.Date(2031, 3, 1, 18, 0, 0, 0, time.UTC)

// New answers a new hold on a table, from hours after the suite's start, two hours long.
func New(venueID, tableID string, hours float64, joined ...string) dom.NewBooking {
	at := start.Add(time.Duration(hours * float64(time.Hour)))
	b := &dom.Booking{
		ID: dom.NewID(), VenueID: venueID, Table: dom.TableRef{RoomID: "room-1", TableID: tableID},
		Slot: dom.Slot{
			Date:     time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC),
			Start:    time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute,
			Duration: 2 * time.Hour,
		},
		Sitting: dom.Sitting{Start: at, End: at.Add(2 * time.Hour)}, TimeZone: "UTC",
		PartySize: 4, CustomerName: "Ada Lovelace", CustomerPhone: "+44 20 7946 0000",
		Status: dom.StatusHeld, Comment: "by the window, \"quiet\" \\ 🪟", AdminID: "admin-1", Version: 1,
	}
	for _, id := range joined {
		b.Joined = append(b.Joined, dom.TableRef{RoomID: "room-2", TableID: id})
	}
	return dom.NewBooking{Booking: b, HoldTTL: 15 * time.Minute, Origin: origin()}
}

func origin() dom.Origin {
	return dom.Origin{
		Time: time.Now(), TraceID: "0af7651916cd43dd8448eb211c80319c",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

func change(to dom.Status) dom.Change {
	return dom.Change{To: to, AdminID: "admin-2", Reason: "guest called", Origin: origin()}
}

func mustCreate(t *testing.T, r Repository, n dom.NewBooking) *dom.Booking {
	t.Helper()
	_, err := r.CreateBooking(context.Background(), n)
	require.NoError(t, err)
	return n.Booking
}

// same compares bookings whose times may have another location or precision.
func same(t require.TestingT, want, got *dom.Booking) {
	norm := func(b dom.Booking) dom.Booking {
		for _, at := range []*time.Time{&b.CreatedAt, &b.UpdatedAt, &b.ExpiresAt, &b.Sitting.Start, &b.Sitting.End, &b.Slot.Date} {
			if !at.IsZero() {
				*at = at.UTC().Truncate(time.Microsecond)
			}
		}
		return b
	}
	require.Equal(t, norm(*want), norm(*got))
}

func createReadsBack(t *testing.T, r Repository) {
	ctx := context.Background()
	n := New("v", "t1", 5.5, "t2")
	expired, err := r.CreateBooking(ctx, n)
	require.NoError(t, err)
	require.Empty(t, expired)
	require.WithinDuration(t, time.Now(), n.Booking.CreatedAt, 5*time.Second)
	require.Equal(t, 15*time.Minute, n.Booking.ExpiresAt.Sub(n.Booking.CreatedAt))
	got, err := r.GetBooking(ctx, n.Booking.ID)
	require.NoError(t, err)
	same(t, n.Booking, got)
	require.Equal(t, []string{"booking.held/1"}, r.Events(n.Booking.ID))

	_, err = r.GetBooking(ctx, "nobody")
	require.ErrorIs(t, err, dom.ErrNotFound)
}

func overlapRefused(t *testing.T, r Repository) {
	mustCreate(t, r, New("v", "t1", 0))
	for _, hours := range []float64{-1.75, -1, 0, 0.5, 1.75} {
		n := New("v", "t1", hours)
		_, err := r.CreateBooking(context.Background(), n)
		require.ErrorIs(t, err, dom.ErrSlotTaken, "%v hours later", hours)
		_, err = r.GetBooking(context.Background(), n.Booking.ID)
		require.ErrorIs(t, err, dom.ErrNotFound)
		require.Empty(t, r.Events(n.Booking.ID))
	}
}

func neighboursFit(t *testing.T, r Repository) {
	mustCreate(t, r, New("v", "t1", 0))
	mustCreate(t, r, New("v", "t1", 2))
	mustCreate(t, r, New("v", "t1", -2))
	mustCreate(t, r, New("v", "t2", 0))
	mustCreate(t, r, New("w", "t1", 0))

	during := New("v", "t1", 1).Booking.Sitting
	taken, err := r.TakenTables(context.Background(), "v", []string{"t3", "t2", "t1"}, during)
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"t1": true, "t2": true}, taken)
	after := New("v", "t1", 4).Booking.Sitting
	taken, err = r.TakenTables(context.Background(), "v", []string{"t1", "t2"}, after)
	require.NoError(t, err)
	require.Empty(t, taken)
}

func joinedTables(t *testing.T, r Repository) {
	ctx := context.Background()
	mustCreate(t, r, New("v", "t2", 0, "t1"))
	for _, id := range []string{"t1", "t2"} {
		_, err := r.CreateBooking(ctx, New("v", id, 1))
		require.ErrorIs(t, err, dom.ErrSlotTaken)
		list, total, err := r.ListBookings(ctx, dom.BookingFilters{VenueID: "v", TableID: id, Limit: 10})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, 1, total)
	}
	taken, err := r.TakenTables(ctx, "v", []string{"t1", "t2", "t3"}, New("v", "t1", 1).Booking.Sitting)
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"t1": true, "t2": true}, taken)
}

func joinedRefusedLeavesNothing(t *testing.T, r Repository) {
	ctx := context.Background()
	mustCreate(t, r, New("v", "t2", 0))
	_, err := r.CreateBooking(ctx, New("v", "t1", 0, "t2"))
	require.ErrorIs(t, err, dom.ErrSlotTaken)
	_, err = r.CreateBooking(ctx, New("v", "t3", 0, "t2"))
	require.ErrorIs(t, err, dom.ErrSlotTaken)
	mustCreate(t, r, New("v", "t1", 0))
	mustCreate(t, r, New("v", "t3", 0))
}

func createAgain(t *testing.T, r Repository) {
	ctx := context.Background()
	for _, n := range []dom.NewBooking{New("v", "t1", 0), New("v", "t2", 0, "t3")} {
		n.IdempotencyKey, n.RequestHash = "key-"+n.Booking.Table.TableID, []byte("hash")
		first := *mustCreate(t, r, n)
		again := n
		b := *n.Booking
		b.CreatedAt, b.ExpiresAt = time.Time{}, time.Time{}
		again.Booking = &b
		_, err := r.CreateBooking(ctx, again)
		if err != nil {
			// A used key may be seen first; the key then leads to the booking.
			require.ErrorIs(t, err, dom.ErrKeyReused)
			found, _, err := r.FindByKey(ctx, "v", n.IdempotencyKey)
			require.NoError(t, err)
			b = *found
		}
		same(t, &first, &b)
		require.Equal(t, []string{"booking.held/1"}, r.Events(first.ID))
	}
}

func keyOnce(t *testing.T, r Repository) {
	ctx := context.Background()
	first := New("v", "t1", 0)
	first.IdempotencyKey, first.RequestHash = "key", []byte("hash 1")
	mustCreate(t, r, first)
	second := New("v", "t2", 0)
	second.IdempotencyKey, second.RequestHash = "key", []byte("hash 2")
	_, err := r.CreateBooking(ctx, second)
	require.ErrorIs(t, err, dom.ErrKeyReused)
	_, err = r.GetBooking(ctx, second.Booking.ID)
	require.ErrorIs(t, err, dom.ErrNotFound)
	mustCreate(t, r, New("v", "t2", 0))

	other := New("w", "t1", 0)
	other.IdempotencyKey, other.RequestHash = "key", []byte("hash 1")
	mustCreate(t, r, other)

	b, hash, err := r.FindByKey(ctx, "v", "key")
	require.NoError(t, err)
	require.Equal(t, []byte("hash 1"), hash)
	same(t, first.Booking, b)
	_, _, err = r.FindByKey(ctx, "v", "other")
	require.ErrorIs(t, err, dom.ErrNotFound)
}

func oldKeys(t *testing.T, r Repository) {
	ctx := context.Background()
	for i := range 5 {
		n := New("v", fmt.Sprint("t", i), 0)
		n.IdempotencyKey, n.RequestHash = fmt.Sprint("key-", i), []byte("hash")
		mustCreate(t, r, n)
	}
	deleted, err := r.DeleteOldKeys(ctx, time.Hour, 10)
	require.NoError(t, err)
	require.Zero(t, deleted)
	r.Advance(2 * time.Hour)
	deleted, err = r.DeleteOldKeys(ctx, time.Hour, 3)
	require.NoError(t, err)
	require.Equal(t, 3, deleted)
	deleted, err = r.DeleteOldKeys(ctx, time.Hour, 10)
	require.NoError(t, err)
	require.Equal(t, 2, deleted)
}

func overdueGivesWay(t *testing.T, r Repository) {
	ctx := context.Background()
	old := mustCreate(t, r, New("v", "t1", 0))
	old2 := mustCreate(t, r, New("v", "t1", 2, "t2"))
	r.Advance(16 * time.Minute)
	taken, err := r.TakenTables(ctx, "v", []string{"t1", "t2"}, old2.Sitting)
	require.NoError(t, err)
	require.Empty(t, taken)

	expired, err := r.CreateBooking(ctx, New("v", "t1", 1))
	require.NoError(t, err)
	require.Len(t, expired, 2)
	for _, id := range []string{old.ID, old2.ID} {
		b, err := r.GetBooking(ctx, id)
		require.NoError(t, err)
		require.Equal(t, dom.StatusExpired, b.Status)
		require.True(t, b.ExpiresAt.IsZero())
		require.Equal(t, []string{"booking.held/1", "booking.expired/2"}, r.Events(id))
	}
	mustCreate(t, r, New("v", "t2", 2.5))
}

func overdueStaysOnFailure(t *testing.T, r Repository) {
	ctx := context.Background()
	old := mustCreate(t, r, New("v", "t1", 0))
	r.Advance(16 * time.Minute)
	mustCreate(t, r, New("v", "t2", 0))
	_, err := r.CreateBooking(ctx, New("v", "t1", 0, "t2"))
	require.ErrorIs(t, err, dom.ErrSlotTaken)
	b, err := r.GetBooking(ctx, old.ID)
	require.NoError(t, err)
	require.Equal(t, dom.StatusHeld, b.Status)
}

func lifeCycle(t *testing.T, r Repository) {
	ctx := context.Background()
	b := mustCreate(t, r, New("v", "t1", 0))
	for i, to := range []dom.Status{dom.StatusConfirmed, dom.StatusSeated, dom.StatusFinished} {
		for range 2 {
			// The second time it is already there.
			got, changed, err := r.ChangeBooking(ctx, b.ID, change(to))
			require.NoError(t, err)
			require.Equal(t, to, got.Status)
			require.Equal(t, i+2, got.Version)
			require.Equal(t, got.Version > b.Version, changed)
			b = got
		}
		stored, err := r.GetBooking(ctx, b.ID)
		require.NoError(t, err)
		same(t, b, stored)
	}
	require.Equal(t, []string{"booking.held/1", "booking.confirmed/2", "booking.seated/3", "booking.finished/4"}, r.Events(b.ID))
}

func wrongState(t *testing.T, r Repository) {
	ctx := context.Background()
	b := mustCreate(t, r, New("v", "t1", 0))
	_, changed, err := r.ChangeBooking(ctx, b.ID, change(dom.StatusSeated))
	var refused *dom.TransitionError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, dom.TransitionError{BookingID: b.ID, From: dom.StatusHeld, To: dom.StatusSeated}, *refused)
	require.False(t, changed)
	_, _, err = r.ChangeBooking(ctx, "nobody", change(dom.StatusSeated))
	require.ErrorIs(t, err, dom.ErrNotFound)
	require.Equal(t, []string{"booking.held/1"}, r.Events(b.ID))
}

func confirmOverdue(t *testing.T, r Repository) {
	ctx := context.Background()
	for _, to := range []dom.Status{dom.StatusConfirmed, dom.StatusCancelled} {
		b := mustCreate(t, r, New("v", "t1", 0))
		r.Advance(16 * time.Minute)
		got, changed, err := r.ChangeBooking(ctx, b.ID, change(to))
		var refused *dom.TransitionError
		require.ErrorAs(t, err, &refused)
		require.True(t, refused.HoldExpired)
		require.False(t, changed)
		require.Equal(t, dom.StatusExpired, got.Status)
		require.Equal(t, []string{"booking.held/1", "booking.expired/2"}, r.Events(b.ID))
		// Once more: still refused for the same reason, and nothing written.
		got, _, err = r.ChangeBooking(ctx, b.ID, change(to))
		require.ErrorAs(t, err, &refused)
		require.True(t, refused.HoldExpired)
		require.Nil(t, got)
		require.Len(t, r.Events(b.ID), 2)
	}
}

func endFrees(t *testing.T, r Repository) {
	ctx := context.Background()
	for _, path := range [][]dom.Status{
		{dom.StatusCancelled},
		{dom.StatusConfirmed, dom.StatusCancelled},
		{dom.StatusConfirmed, dom.StatusNoShow},
		{dom.StatusConfirmed, dom.StatusSeated, dom.StatusNoShow},
		{dom.StatusConfirmed, dom.StatusSeated, dom.StatusFinished},
	} {
		b := mustCreate(t, r, New("v", "t1", 0, "t2"))
		for _, to := range path {
			_, err := r.CreateBooking(ctx, New("v", "t2", 0))
			require.ErrorIs(t, err, dom.ErrSlotTaken)
			_, _, err = r.ChangeBooking(ctx, b.ID, change(to))
			require.NoError(t, err)
		}
	}
	mustCreate(t, r, New("v", "t1", 0))
	mustCreate(t, r, New("v", "t2", 0))
}

func expireBatches(t *testing.T, r Repository) {
	ctx := context.Background()
	for i := range 5 {
		mustCreate(t, r, New("v", fmt.Sprint("t", i), 0))
	}
	firm := mustCreate(t, r, New("v", "t5", 0))
	_, _, err := r.ChangeBooking(ctx, firm.ID, change(dom.StatusConfirmed))
	require.NoError(t, err)
	requireOverdue(t, r, 0)
	r.Advance(16 * time.Minute)
	mustCreate(t, r, New("v", "t6", 0))
	requireOverdue(t, r, time.Minute)
	seen := make(map[string]bool)
	for _, want := range []int{3, 2, 0} {
		expired, err := r.ExpireHolds(ctx, 3, origin())
		require.NoError(t, err)
		require.Len(t, expired, want)
		for _, b := range expired {
			seen[b.ID] = true
			require.Equal(t, dom.StatusExpired, b.Status)
			require.Equal(t, []string{"booking.held/1", "booking.expired/2"}, r.Events(b.ID))
		}
	}
	require.Len(t, seen, 5)
	requireOverdue(t, r, 0)
	mustCreate(t, r, New("v", "t0", 0))
}

// requireOverdue takes the moment for right that the test itself has needed.
func requireOverdue(t *testing.T, r Repository, want time.Duration) {
	t.Helper()
	longest, err := r.LongestOverdue(context.Background())
	require.NoError(t, err)
	if want == 0 {
		require.Zero(t, longest)
		return
	}
	require.InDelta(t, want.Seconds(), longest.Seconds(), 30)
}

func lists(t *testing.T, r Repository) {
	ctx := context.Background()
	var ids []string
	for i := range 6 {
		// Every second hour, all on one table but the last, in a shuffled order of making.
		ids = append(ids, mustCreate(t, r, New("v", "t1", float64([]int{4, 0, 2, 8, 6, 10}[i]))).ID)
	}
	inOrder := []string{ids[1], ids[2], ids[0], ids[4], ids[3], ids[5]}
	other := mustCreate(t, r, New("w", "t1", 0))
	_, _, err := r.ChangeBooking(ctx, ids[2], change(dom.StatusConfirmed))
	require.NoError(t, err)

	list := func(f dom.BookingFilters) ([]string, int) {
		if f.Limit == 0 {
			f.Limit = 100
		}
		page, total, err := r.ListBookings(ctx, f)
		require.NoError(t, err)
		got := []string{}
		for _, b := range page {
			got = append(got, b.ID)
		}
		return got, total
	}
	check := func(wantTotal int, want []string, f dom.BookingFilters) {
		t.Helper()
		got, total := list(f)
		require.Equal(t, want, got)
		require.Equal(t, wantTotal, total)
	}
	check(6, inOrder, dom.BookingFilters{VenueID: "v"})
	check(6, inOrder[1:3], dom.BookingFilters{VenueID: "v", Limit: 2, Offset: 1})
	check(6, []string{}, dom.BookingFilters{VenueID: "v", Offset: 6})
	check(1, []string{ids[2]}, dom.BookingFilters{VenueID: "v", Status: dom.StatusConfirmed})
	check(0, []string{}, dom.BookingFilters{VenueID: "v", TableID: "t2"})
	// 18:00 + 6 hours and more is the next day.
	check(3, inOrder[3:], dom.BookingFilters{VenueID: "v", Date: time.Date(2031, 3, 2, 0, 0, 0, 0, time.UTC)})
	check(1, []string{other.ID}, dom.BookingFilters{VenueID: "w", TableID: "t1"})
	got, total := list(dom.BookingFilters{Date: time.Date(2031, 3, 1, 0, 0, 0, 0, time.UTC)})
	require.Equal(t, 4, total)
	require.Contains(t, got, other.ID)
	_, total = list(dom.BookingFilters{TableID: "t1"})
	require.Equal(t, 7, total)
}

func venueZone(t *testing.T, r Repository) {
	ctx := context.Background()
	_, err := r.VenueZone(ctx, "v")
	require.ErrorIs(t, err, dom.ErrNotFound)
	for i, zone := range []string{"Europe/Berlin", "America/New_York", "Asia/Tokyo"} {
		n := New("v", "t1", float64([]int{0, 24, 2}[i]))
		n.Booking.TimeZone = zone
		mustCreate(t, r, n)
	}
	zone, err := r.VenueZone(ctx, "v")
	require.NoError(t, err)
	require.Equal(t, "America/New_York", zone)
}

// together runs fn n times at once and answers the errors.
func together(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	ready.Add(1)
	for i := range n {
		done.Add(1)
		go func() {
			defer done.Done()
			ready.Wait()
			errs[i] = fn(i)
		}()
	}
	ready.Done()
	done.Wait()
	return errs
}

// requireOneWinner fails unless one error is nil and all others are want.
func requireOneWinner(t *testing.T, errs []error, want error) {
	t.Helper()
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		require.ErrorIs(t, err, want)
	}
	require.Equal(t, 1, winners)
}

func raceOneSlot(t *testing.T, r Repository) {
	for round := range 3 {
		errs := together(64, func(int) error {
			_, err := r.CreateBooking(context.Background(), New("v", "t1", float64(round*2)))
			return err
		})
		requireOneWinner(t, errs, dom.ErrSlotTaken)
	}
}

func raceOverlapping(t *testing.T, r Repository) {
	errs := together(24, func(i int) error {
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		for range 10 {
			_, err := r.CreateBooking(context.Background(), New("v", "t1", rnd.Float64()*24))
			if err != nil && err != dom.ErrSlotTaken {
				return err
			}
		}
		return nil
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	requireNoOverlap(t, r, "v")
}

func racePairs(t *testing.T, r Repository) {
	errs := together(48, func(i int) error {
		rnd := rand.New(rand.NewPCG(2, uint64(i)))
		for range 6 {
			tables := rnd.Perm(4)
			n := New("v", fmt.Sprint("t", tables[0]), float64(rnd.IntN(6)))
			if i%2 == 0 {
				n = New("v", fmt.Sprint("t", tables[0]), float64(rnd.IntN(6)), fmt.Sprint("t", tables[1]))
			}
			if _, err := r.CreateBooking(context.Background(), n); err != nil && err != dom.ErrSlotTaken {
				return err
			}
		}
		return nil
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	requireNoOverlap(t, r, "v")
}

func requireNoOverlap(t *testing.T, r Repository, venueID string) {
	t.Helper()
	list, _, err := r.ListBookings(context.Background(), dom.BookingFilters{VenueID: venueID, Limit: 500})
	require.NoError(t, err)
	require.NotEmpty(t, list)
	for i, a := range list {
		for _, b := range list[i+1:] {
			if !a.Sitting.Overlaps(b.Sitting) {
				continue
			}
			for _, id := range a.Tables() {
				require.NotContains(t, b.Tables(), id, "%s and %s overlap", a.ID, b.ID)
			}
		}
	}
}

func raceChange(t *testing.T, r Repository) {
	b := mustCreate(t, r, New("v", "t1", 0))
	var mu sync.Mutex
	changes := 0
	errs := together(64, func(int) error {
		_, changed, err := r.ChangeBooking(context.Background(), b.ID, change(dom.StatusConfirmed))
		mu.Lock()
		defer mu.Unlock()
		if changed {
			changes++
		}
		return err
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 1, changes)
	require.Len(t, r.Events(b.ID), 2)
}

func raceOverdue(t *testing.T, r Repository) {
	old := mustCreate(t, r, New("v", "t1", 0))
	r.Advance(16 * time.Minute)
	errs := together(64, func(i int) error {
		if i%8 == 7 {
			// A sweep at the same time must not make a create fail.
			_, err := r.ExpireHolds(context.Background(), 10, origin())
			if err == nil {
				err = dom.ErrSlotTaken
			}
			return err
		}
		_, err := r.CreateBooking(context.Background(), New("v", "t1", 0))
		return err
	})
	requireOneWinner(t, errs, dom.ErrSlotTaken)
	require.Equal(t, []string{"booking.held/1", "booking.expired/2"}, r.Events(old.ID))
}

func raceKey(t *testing.T, r Repository) {
	errs := together(64, func(i int) error {
		n := New("v", fmt.Sprint("t", i), 0)
		n.IdempotencyKey, n.RequestHash = "key", []byte{byte(i)}
		_, err := r.CreateBooking(context.Background(), n)
		return err
	})
	requireOneWinner(t, errs, dom.ErrKeyReused)
	_, total, err := r.ListBookings(context.Background(), dom.BookingFilters{VenueID: "v", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, 1, total)
}

func raceExpiry(t *testing.T, r Repository) {
	for range 20 {
		n := New("v", "t1", 0)
		n.HoldTTL = 10 * time.Millisecond
		b := mustCreate(t, r, n)
		time.Sleep(9 * time.Millisecond)
		errs := together(8, func(i int) error {
			if i%2 == 0 {
				_, err := r.ExpireHolds(context.Background(), 10, origin())
				return err
			}
			_, _, err := r.ChangeBooking(context.Background(), b.ID, change(dom.StatusConfirmed))
			return err
		})
		got, err := r.GetBooking(context.Background(), b.ID)
		require.NoError(t, err)
		for i, err := range errs {
			if i%2 == 0 || got.Status == dom.StatusConfirmed {
				require.NoError(t, err)
				continue
			}
			var refused *dom.TransitionError
			require.ErrorAs(t, err, &refused)
			require.True(t, refused.HoldExpired)
		}
		require.Equal(t, []string{"booking.held/1", "booking." + string(got.Status) + "/2"}, r.Events(b.ID))
		if got.Status == dom.StatusConfirmed {
			_, _, err = r.ChangeBooking(context.Background(), b.ID, change(dom.StatusCancelled))
			require.NoError(t, err)
		}
	}
}
