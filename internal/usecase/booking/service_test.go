package booking

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/mocks"
)

// now is when the tests run.
var now = time.Date(2027, 6, 1, 12, 0, 0, 0, time.UTC)

// counts is what the use cases counted.
type counts struct {
	mu                         sync.Mutex
	lost, fallbacks, committed int
	changes                    map[string]int
	overdue                    time.Duration
}

func (c *counts) HoldLost()      { c.mu.Lock(); c.lost++; c.mu.Unlock() }
func (c *counts) RedisFallback() { c.mu.Lock(); c.fallbacks++; c.mu.Unlock() }
func (c *counts) SetHoldsOverdue(longest time.Duration) {
	c.mu.Lock()
	c.overdue = longest
	c.mu.Unlock()
}
func (c *counts) BookingChanged(status string) {
	c.mu.Lock()
	c.changes[status]++
	c.mu.Unlock()
}

// fixture is a service on doubles: a repository and holds in memory, a mocked venue.
type fixture struct {
	*Service
	repo   *bookingtest.MemoryRepository
	holds  *bookingtest.Holds
	venue  *mocks.MockVenueClient
	counts *counts
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{
		repo: bookingtest.NewMemoryRepository(), holds: bookingtest.NewHolds(),
		venue:  mocks.NewMockVenueClient(gomock.NewController(t)),
		counts: &counts{changes: make(map[string]int)},
	}
	f.repo.Advance(time.Until(now))
	f.Service = f.on(f.repo, f.holds)
	return f
}

// on answers the fixture's service on other ports.
func (f *fixture) on(repo dom.Repository, holds dom.HoldRepository) *Service {
	committed := func(string) { f.counts.mu.Lock(); f.counts.committed++; f.counts.mu.Unlock() }
	s := NewService(repo, holds, f.venue, f.counts, committed, Config{
		HoldTTL: 15 * time.Minute, MaxAdvance: 730 * 24 * time.Hour,
		ExpiryInterval: time.Second, KeyRetention: 24 * time.Hour,
	})
	s.now = func() time.Time { return now }
	return s
}

// offers makes the venue give these tables, in Berlin.
func (f *fixture) offers(offers ...dom.TableOffer) {
	f.venue.EXPECT().TimeZone(gomock.Any(), "v").Return("Europe/Berlin", nil).AnyTimes()
	f.venue.EXPECT().CheckAvailability(gomock.Any(), "v", gomock.Any(), gomock.Any()).Return(offers, nil).AnyTimes()
}

func table(id string) dom.TableOffer {
	return dom.TableOffer{Table: dom.TableRef{RoomID: "room", TableID: id}, Available: true}
}

func pair(id, partner string) dom.TableOffer {
	o := table(id)
	o.Joined = &dom.TableRef{RoomID: "room", TableID: partner}
	return o
}

func command(tableID string) CreateCommand {
	return CreateCommand{
		VenueID: "v", Table: &TableInput{TableID: tableID},
		Slot:      &SlotInput{Date: "2027-06-05", StartTime: "19:30"},
		PartySize: 4, CustomerName: " Grace Hopper ", CustomerPhone: "+1 555", Comment: "birthday", AdminID: "host-1",
	}
}

func TestCreateBooking(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.offers(table("t1"))
	b, err := f.CreateBooking(ctx, command("t1"))
	require.NoError(t, err)
	require.Equal(t, dom.StatusHeld, b.Status)
	require.Equal(t, "Grace Hopper", b.CustomerName)
	require.Equal(t, dom.TableRef{RoomID: "room", TableID: "t1"}, b.Table, "the room is the venue's")
	require.Equal(t, int32(120), b.Slot.Minutes())
	require.Equal(t, "2027-06-05T17:30:00Z", b.Sitting.Start.UTC().Format(time.RFC3339))
	require.Equal(t, "Europe/Berlin", b.TimeZone)
	owner, err := f.holds.GetHold(ctx, "hold:v:t1:2027-06-05:19:30")
	require.NoError(t, err)
	require.Equal(t, b.ID, owner)
	require.Equal(t, 1, f.counts.committed)
	require.Equal(t, map[string]int{"held": 1}, f.counts.changes)

	// The same start, another client: refused by the hold. Another start: by the database.
	_, err = f.CreateBooking(ctx, command("t1"))
	require.ErrorIs(t, err, dom.ErrSlotTaken)
	require.Zero(t, f.counts.lost)
	later := command("t1")
	later.Slot.StartTime = "20:00"
	_, err = f.CreateBooking(ctx, later)
	require.ErrorIs(t, err, dom.ErrSlotTaken)
	require.Equal(t, 1, f.counts.lost)
	owner, err = f.holds.GetHold(ctx, "hold:v:t1:2027-06-05:20:00")
	require.NoError(t, err)
	require.Empty(t, owner, "the loser's own hold is released")

	_, err = f.ConfirmBooking(ctx, ChangeCommand{ID: b.ID})
	require.NoError(t, err)
	owner, err = f.holds.GetHold(ctx, "hold:v:t1:2027-06-05:19:30")
	require.NoError(t, err)
	require.Empty(t, owner, "a confirmed booking needs no hold")
	_, err = f.CreateBooking(ctx, command("t1"))
	require.ErrorIs(t, err, dom.ErrSlotTaken)
}

// A repeated request finds its booking, whatever its caller is called by then.
func TestCallerIsTheAdminOfARequestThatNamesNone(t *testing.T) {
	f := newFixture(t)
	f.offers(table("t1"))
	c := command("t1")
	c.AdminID, c.IdempotencyKey = "", "key"
	first, err := f.CreateBooking(WithCaller(t.Context(), "gateway-1"), c)
	require.NoError(t, err)
	require.Equal(t, "gateway-1", first.AdminID)
	for _, caller := range []string{"", "gateway-2", strings.Repeat("x", 37)} {
		again, err := f.CreateBooking(WithCaller(t.Context(), caller), c)
		require.NoError(t, err)
		require.Equal(t, first.ID, again.ID)
		require.Equal(t, "gateway-1", again.AdminID)
	}
	confirmed, err := f.ConfirmBooking(WithCaller(t.Context(), strings.Repeat("x", 37)), ChangeCommand{ID: first.ID})
	require.NoError(t, err)
	events := f.repo.Events(confirmed.ID)
	require.Equal(t, "gateway-1", events[0].Origin.Caller)
	require.Equal(t, strings.Repeat("x", 37), events[1].Origin.Caller)
	require.Empty(t, events[1].AdminID, "too long for an admin")
}

func TestCreateKeepsTheClientsRoom(t *testing.T) {
	f := newFixture(t)
	f.offers(table("t1"))
	c := command("t1")
	c.Table.VenueID, c.Table.RoomID = "v", "terrace"
	b, err := f.CreateBooking(context.Background(), c)
	require.NoError(t, err)
	require.Equal(t, "terrace", b.Table.RoomID)
}

func TestCreateOnJoinedTables(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.offers(pair("t2", "t1"), pair("t1", "t3"), pair("t4", "t5"))
	// The asked table may be either side, and partners are tried in the order listed.
	b, err := f.CreateBooking(ctx, command("t1"))
	require.NoError(t, err)
	require.Equal(t, "t1", b.Table.TableID)
	require.Equal(t, []dom.TableRef{{RoomID: "room", TableID: "t2"}}, b.Joined)
	for _, key := range b.HoldKeys() {
		owner, err := f.holds.GetHold(ctx, key)
		require.NoError(t, err)
		require.Equal(t, b.ID, owner)
	}
	_, err = f.CreateBooking(ctx, command("t2"))
	require.ErrorIs(t, err, dom.ErrSlotTaken)

	// t3's only partner is taken.
	_, err = f.CreateBooking(ctx, command("t3"))
	require.ErrorIs(t, err, dom.ErrSlotTaken)
	owner, err := f.holds.GetHold(ctx, "hold:v:t3:2027-06-05:19:30")
	require.NoError(t, err)
	require.Empty(t, owner)

	_, err = f.CancelBooking(ctx, ChangeCommand{ID: b.ID})
	require.NoError(t, err)
	for _, key := range b.HoldKeys() {
		owner, err := f.holds.GetHold(ctx, key)
		require.NoError(t, err)
		require.Empty(t, owner)
	}
	taken := command("t2")
	_, err = f.CreateBooking(ctx, taken) // t2 with t1
	require.NoError(t, err)
	_, err = f.CreateBooking(ctx, command("t1")) // t2 is gone, and t1 with it
	require.ErrorIs(t, err, dom.ErrSlotTaken)
}

func TestCreateTriesTheNextPartner(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.offers(pair("t1", "t2"), pair("t1", "t3"), table("t2"))
	_, err := f.CreateBooking(ctx, command("t2"))
	require.NoError(t, err)
	b, err := f.CreateBooking(ctx, command("t1"))
	require.NoError(t, err)
	require.Equal(t, "t3", b.Joined[0].TableID)
}

func TestCreateWhenTheVenueDoesNotOfferTheTable(t *testing.T) {
	ctx := context.Background()
	for what, offers := range map[string][]dom.TableOffer{
		"nothing":      nil,
		"others":       {table("t2"), pair("t2", "t3")},
		"not this one": {{Table: dom.TableRef{TableID: "t1"}, Reason: "reserved for staff"}},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.offers(offers...)
			_, err := f.CreateBooking(ctx, command("t1"))
			var unavailable *dom.TableUnavailableError
			require.ErrorAs(t, err, &unavailable)
			if what == "not this one" {
				require.Equal(t, "reserved for staff", unavailable.Reason)
			}
			// Once a booking of ours is why, the answer is another.
			n := bookingtest.New("v", "t1", 0)
			n.Booking.Sitting.Start = time.Date(2027, 6, 5, 18, 0, 0, 0, time.UTC)
			n.Booking.Sitting.End = n.Booking.Sitting.Start.Add(time.Hour)
			_, err = f.repo.CreateBooking(ctx, n)
			require.NoError(t, err)
			_, err = f.CreateBooking(ctx, command("t1"))
			require.ErrorIs(t, err, dom.ErrSlotTaken)
		})
	}
}

func TestCreateOfAnUnknownVenue(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.venue.EXPECT().TimeZone(gomock.Any(), "v").Return("", dom.ErrVenueUnknown).Times(2)
	f.venue.EXPECT().CheckAvailability(gomock.Any(), "v", gomock.Any(), gomock.Any()).Return(nil, nil)
	_, err := f.CreateBooking(ctx, command("t1"))
	var unavailable *dom.TableUnavailableError
	require.ErrorAs(t, err, &unavailable)

	// A venue that is not known but offers tables talks nonsense.
	f.venue.EXPECT().CheckAvailability(gomock.Any(), "v", gomock.Any(), gomock.Any()).Return([]dom.TableOffer{table("t1")}, nil)
	_, err = f.CreateBooking(ctx, command("t1"))
	var away *dom.UnavailableError
	require.ErrorAs(t, err, &away)
	require.Equal(t, dom.Venue, away.Dependency)
}

func TestVenueAway(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	gone := &dom.UnavailableError{Dependency: dom.Venue, Err: errors.New("connection refused")}
	f.venue.EXPECT().TimeZone(gomock.Any(), "v").Return("", gone).AnyTimes()
	f.venue.EXPECT().CheckAvailability(gomock.Any(), gomock.Any(), gomock.Any(), gomock.Any()).Return(nil, gone).AnyTimes()
	_, err := f.CreateBooking(ctx, command("t1"))
	require.ErrorIs(t, err, gone)

	// A venue without bookings is free; else its zone is that of its bookings.
	query := AvailabilityQuery{VenueID: "v", TableIDs: []string{"t1"}, Slot: &SlotInput{Date: "2031-03-01", StartTime: "19:30"}}
	list, err := f.CheckTableAvailability(ctx, query)
	require.NoError(t, err)
	require.Equal(t, []TableAvailability{{TableID: "t1", Available: true}}, list)
	_, err = f.repo.CreateBooking(ctx, bookingtest.New("v", "t1", 0)) // 18:00 to 20:00 UTC
	require.NoError(t, err)
	list, err = f.CheckTableAvailability(ctx, query)
	require.NoError(t, err)
	require.Equal(t, []TableAvailability{{TableID: "t1", Reason: ReasonTaken}}, list)
	_, err = f.CreateBooking(ctx, command("t1"))
	require.ErrorIs(t, err, gone)
}

func TestStartInThePastAndTooFarAhead(t *testing.T) {
	f := newFixture(t)
	f.offers(table("t1"))
	try := func(date, start string) error {
		c := command("t1")
		c.Slot = &SlotInput{Date: date, StartTime: start}
		_, err := f.CreateBooking(context.Background(), c)
		return err
	}
	// It is 14:00 in Berlin.
	requireViolations(t, try("2027-06-01", "13:29"), "slot.start_time")
	require.NoError(t, try("2027-06-01", "13:30"))
	require.NoError(t, try("2029-05-31", "14:00"))
	requireViolations(t, try("2029-05-31", "14:01"), "slot.date")
	requireViolations(t, try("2028-03-26", "02:30"), "slot.start_time") // in the gap
}

func TestIdempotency(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.offers(table("t1"), table("t2"))
	c := command("t1")
	c.IdempotencyKey = "key 1"
	first, err := f.CreateBooking(ctx, c)
	require.NoError(t, err)

	// Again, normalised: another spelling of the same request.
	c.CustomerName, c.Slot.DurationMinutes, c.Table.VenueID = "Grace Hopper", 120, "v"
	again, err := f.CreateBooking(ctx, c)
	require.NoError(t, err)
	require.Equal(t, first, again)

	// When the booking has moved on, and when its start is long past.
	_, err = f.ConfirmBooking(ctx, ChangeCommand{ID: first.ID})
	require.NoError(t, err)
	f.now = func() time.Time { return now.AddDate(0, 0, 20) }
	again, err = f.CreateBooking(ctx, c)
	require.NoError(t, err)
	require.Equal(t, dom.StatusConfirmed, again.Status)
	require.Equal(t, first.ID, again.ID)
	require.Len(t, f.repo.Events(first.ID), 2)
	f.now = func() time.Time { return now }

	for what, change := range map[string]func(*CreateCommand){
		"table": func(c *CreateCommand) { c.Table = &TableInput{TableID: "t2"} },
		"room":  func(c *CreateCommand) { c.Table = &TableInput{TableID: "t1", RoomID: "r"} },
		"date":  func(c *CreateCommand) { c.Slot = &SlotInput{Date: "2027-06-06", StartTime: "19:30"} },
		"duration": func(c *CreateCommand) {
			c.Slot = &SlotInput{Date: "2027-06-05", StartTime: "19:30", DurationMinutes: 90}
		},
		"party":   func(c *CreateCommand) { c.PartySize++ },
		"name":    func(c *CreateCommand) { c.CustomerName += "x" },
		"phone":   func(c *CreateCommand) { c.CustomerPhone += "1" },
		"comment": func(c *CreateCommand) { c.Comment = "" },
		"admin":   func(c *CreateCommand) { c.AdminID = "host-2" },
		"shifted": func(c *CreateCommand) { c.CustomerPhone, c.Comment = "+1 555birthday", "" },
	} {
		other := c
		change(&other)
		_, err = f.CreateBooking(ctx, other)
		require.ErrorIs(t, err, dom.ErrKeyReused, what)
	}
}

// The same request at once, from 32 callers: one booking, 32 answers.
func TestIdempotencyAtOnce(t *testing.T) {
	f := newFixture(t)
	f.offers(table("t1"))
	var wg sync.WaitGroup
	ids := make([]string, 32)
	for i := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := command("t1")
			c.IdempotencyKey = "key"
			if b, err := f.CreateBooking(context.Background(), c); err == nil {
				ids[i] = b.ID
			}
		}()
	}
	wg.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	require.Len(t, f.repo.Events(ids[0]), 1)
}

// A refusal that comes while the same request wins elsewhere is not the answer.
func TestRefusalReadsTheKeyAgain(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	c := command("t1")
	c.IdempotencyKey = "key"
	var winner *dom.Booking
	f.venue.EXPECT().TimeZone(gomock.Any(), "v").Return("Europe/Berlin", nil).AnyTimes()
	f.venue.EXPECT().CheckAvailability(gomock.Any(), "v", gomock.Any(), gomock.Any()).DoAndReturn(
		func(context.Context, string, dom.Slot, int) ([]dom.TableOffer, error) {
			b, err := c.validate()
			require.NoError(t, err)
			n := bookingtest.New("v", "t1", 0)
			n.IdempotencyKey, n.RequestHash = "key", requestHash(b)
			_, err = f.repo.CreateBooking(ctx, n)
			winner = n.Booking
			return nil, err
		})
	got, err := f.CreateBooking(ctx, c)
	require.NoError(t, err)
	require.Equal(t, winner.ID, got.ID)
}

// Whether the same request has won meanwhile must be known before it is refused.
func TestRefusalThatCannotReadTheKeyAgainIsNone(t *testing.T) {
	ctx := context.Background()
	gone := &dom.UnavailableError{Dependency: dom.Postgres, Err: errors.New("connection reset")}
	for _, refusal := range []error{dom.ErrSlotTaken, dom.ErrKeyReused} {
		f := newFixture(t)
		f.offers(table("t1"))
		repo := mocks.NewMockRepository(gomock.NewController(t))
		gomock.InOrder(
			repo.EXPECT().FindByKey(gomock.Any(), "v", "key").Return(nil, nil, dom.ErrNotFound),
			repo.EXPECT().CreateBooking(gomock.Any(), gomock.Any()).Return(nil, refusal),
			repo.EXPECT().FindByKey(gomock.Any(), "v", "key").Return(nil, nil, gone),
		)
		c := command("t1")
		c.IdempotencyKey = "key"
		_, err := f.on(repo, f.holds).CreateBooking(ctx, c)
		require.ErrorIs(t, err, gone)
		require.NotErrorIs(t, err, refusal)
	}
}

// A process whose clock is behind, or ahead, decides as the database does.
func TestTheDatabasesClockDecidesWhoseHoldIsOverdue(t *testing.T) {
	ctx := context.Background()
	for _, behind := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		f := newFixture(t)
		f.offers(table("t1"))
		first, err := f.CreateBooking(ctx, command("t1"))
		require.NoError(t, err)
		f.now = func() time.Time { return now.Add(-behind) }
		f.repo.Advance(14 * time.Minute)
		_, err = f.CreateBooking(ctx, command("t1"))
		require.ErrorIs(t, err, dom.ErrSlotTaken, "not yet overdue")
		f.repo.Advance(2 * time.Minute)
		second, err := f.CreateBooking(ctx, command("t1"))
		require.NoError(t, err, "overdue")
		require.NotEqual(t, first.ID, second.ID)
	}
}

func TestStaleHolds(t *testing.T) {
	ctx := context.Background()
	const key = "hold:v:t1:2027-06-05:19:30"
	f := newFixture(t)
	f.offers(table("t1"))
	first, err := f.CreateBooking(ctx, command("t1"))
	require.NoError(t, err)
	_, err = f.CancelBooking(ctx, ChangeCommand{ID: first.ID})
	require.NoError(t, err)

	// The key of a booking that has ended is taken over, and said so.
	_, err = f.holds.SetHold(ctx, key, first.ID, time.Hour)
	require.NoError(t, err)
	var out bytes.Buffer
	second, err := f.CreateBooking(zerolog.New(&out).WithContext(ctx), command("t1"))
	require.NoError(t, err)
	require.Contains(t, out.String(), "Clearing stale hold for inactive booking")
	owner, err := f.holds.GetHold(ctx, key)
	require.NoError(t, err)
	require.Equal(t, second.ID, owner)
	_, err = f.CancelBooking(ctx, ChangeCommand{ID: second.ID})
	require.NoError(t, err)

	// The key of a process that died before it wrote its booking does not keep anybody out.
	_, err = f.holds.SetHold(ctx, key, "nobody", time.Hour)
	require.NoError(t, err)
	third, err := f.CreateBooking(ctx, command("t1"))
	require.NoError(t, err)
	owner, err = f.holds.GetHold(ctx, key)
	require.NoError(t, err)
	require.Equal(t, third.ID, owner)
}

func TestCreateInThePlaceOfAnOverdueHold(t *testing.T) {
	ctx := context.Background()
	for _, start := range []string{"19:30", "20:00"} {
		f := newFixture(t)
		f.offers(table("t1"))
		c := command("t1")
		first, err := f.CreateBooking(ctx, c)
		require.NoError(t, err)
		f.repo.Advance(16 * time.Minute)
		f.now = func() time.Time { return now.Add(16 * time.Minute) }
		c.Slot.StartTime = start
		second, err := f.CreateBooking(ctx, c)
		require.NoError(t, err)
		got, err := f.GetBooking(ctx, first.ID)
		require.NoError(t, err)
		require.Equal(t, dom.StatusExpired, got.Status)
		owner, err := f.holds.GetHold(ctx, second.HoldKeys()[0])
		require.NoError(t, err)
		require.Equal(t, second.ID, owner)
		if start != "19:30" {
			owner, err = f.holds.GetHold(ctx, first.HoldKeys()[0])
			require.NoError(t, err)
			require.Empty(t, owner, "the expired hold's key is released")
		}
	}
}

func TestRedisAway(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.offers(table("t1"))
	gone := &dom.UnavailableError{Dependency: dom.Redis, Err: errors.New("connection refused")}
	holds := mocks.NewMockHoldRepository(gomock.NewController(t))
	holds.EXPECT().SetHold(gomock.Any(), gomock.Any(), gomock.Any(), gomock.Any()).Return(false, gone).AnyTimes()
	holds.EXPECT().ReplaceHold(gomock.Any(), gomock.Any(), gomock.Any(), gomock.Any(), gomock.Any()).Return(false, gone).AnyTimes()
	holds.EXPECT().DeleteHold(gomock.Any(), gomock.Any(), gomock.Any()).Return(false, gone).AnyTimes()
	s := f.on(f.repo, holds)
	b, err := s.CreateBooking(ctx, command("t1"))
	require.NoError(t, err)
	_, err = s.CreateBooking(ctx, command("t1"))
	require.ErrorIs(t, err, dom.ErrSlotTaken)
	_, err = s.ConfirmBooking(ctx, ChangeCommand{ID: b.ID})
	require.NoError(t, err)
	require.Positive(t, f.counts.fallbacks)
}

// A create whose outcome nobody knows keeps its hold: the booking may be there.
func TestUnknownOutcomeKeepsTheHold(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.offers(table("t1"))
	gone := &dom.UnavailableError{Dependency: dom.Postgres, Err: errors.New("connection reset")}
	repo := mocks.NewMockRepository(gomock.NewController(t))
	repo.EXPECT().CreateBooking(gomock.Any(), gomock.Any()).Return(nil, gone)
	_, err := f.on(repo, f.holds).CreateBooking(ctx, command("t1"))
	require.ErrorIs(t, err, gone)
	owner, err := f.holds.GetHold(ctx, "hold:v:t1:2027-06-05:19:30")
	require.NoError(t, err)
	require.NotEmpty(t, owner)
}

func TestChanges(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.offers(table("t1"))
	b, err := f.CreateBooking(ctx, command("t1"))
	require.NoError(t, err)
	for _, step := range []struct {
		do   func(context.Context, ChangeCommand) (*dom.Booking, error)
		want dom.Status
	}{
		{f.ConfirmBooking, dom.StatusConfirmed}, {f.ConfirmBooking, dom.StatusConfirmed},
		{f.MarkSeated, dom.StatusSeated}, {f.MarkFinished, dom.StatusFinished},
	} {
		got, err := step.do(ctx, ChangeCommand{ID: b.ID, AdminID: "host-2"})
		require.NoError(t, err)
		require.Equal(t, step.want, got.Status)
	}
	require.Equal(t, map[string]int{"held": 1, "confirmed": 1, "seated": 1, "finished": 1}, f.counts.changes)
	require.Equal(t, 4, f.counts.committed)
	var refused *dom.TransitionError
	_, err = f.MarkNoShow(ctx, ChangeCommand{ID: b.ID})
	require.ErrorAs(t, err, &refused)
	_, err = f.CancelBooking(ctx, ChangeCommand{ID: b.ID, Reason: "late"})
	require.ErrorAs(t, err, &refused)
	_, err = f.MarkSeated(ctx, ChangeCommand{ID: "nobody"})
	require.ErrorIs(t, err, dom.ErrNotFound)
	events := f.repo.Events(b.ID)
	require.Equal(t, "host-2", events[1].AdminID)
	require.Equal(t, now, events[1].Origin.Time)
}

func TestConfirmOfAnOverdueHoldReleasesItsKey(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.offers(table("t1"))
	b, err := f.CreateBooking(ctx, command("t1"))
	require.NoError(t, err)
	f.repo.Advance(16 * time.Minute)
	_, err = f.ConfirmBooking(ctx, ChangeCommand{ID: b.ID})
	var refused *dom.TransitionError
	require.ErrorAs(t, err, &refused)
	require.True(t, refused.HoldExpired)
	owner, err := f.holds.GetHold(ctx, b.HoldKeys()[0])
	require.NoError(t, err)
	require.Empty(t, owner)
	require.Equal(t, 1, f.counts.changes["expired"])
}

func TestKeyCleanupKeepsKeysForTheirTime(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	f := newFixture(t)
	keys := keyBatch + 10 // More than one batch.
	for i := range keys + 1 {
		if i == keys {
			f.repo.Advance(f.cfg.KeyRetention + time.Minute)
		}
		n := bookingtest.New("v", "t"+strconv.Itoa(i), 0)
		n.IdempotencyKey, n.RequestHash = strconv.Itoa(i), []byte("hash")
		_, err := f.repo.CreateBooking(ctx, n)
		require.NoError(t, err)
	}
	done := make(chan struct{})
	go func() { f.StartKeyCleanup(ctx); close(done) }()
	kept := func(i int) bool {
		_, _, err := f.repo.FindByKey(ctx, "v", strconv.Itoa(i))
		return err == nil
	}
	require.Eventually(t, func() bool {
		for i := range keys {
			if kept(i) {
				return false
			}
		}
		return true
	}, within, time.Millisecond)
	require.True(t, kept(keys), "a young key stays")
	cancel()
	<-done
}

func TestExpiredHoldsWorker(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f := newFixture(t)
	f.offers(table("t1"), table("t2"))
	late, err := f.CreateBooking(ctx, command("t1"))
	require.NoError(t, err)
	f.repo.Advance(16 * time.Minute)
	fresh, err := f.CreateBooking(ctx, command("t2"))
	require.NoError(t, err)
	// The late hold's key is another's by now: it is left alone.
	key := late.HoldKeys()[0]
	_, err = f.holds.ReplaceHold(ctx, key, late.ID, "another", time.Hour)
	require.NoError(t, err)

	done := make(chan struct{})
	go func() { f.StartExpiredHoldsWorker(ctx); close(done) }()
	require.Eventually(t, func() bool {
		b, err := f.GetBooking(ctx, late.ID)
		return err == nil && b.Status == dom.StatusExpired
	}, 5*time.Second, 10*time.Millisecond)
	cancel()
	<-done
	b, err := f.GetBooking(context.Background(), fresh.ID)
	require.NoError(t, err)
	require.Equal(t, dom.StatusHeld, b.Status)
	owner, err := f.holds.GetHold(context.Background(), key)
	require.NoError(t, err)
	require.Equal(t, "another", owner)
}

// sweepless is a repository whose sweeps fail.
type sweepless struct{ *bookingtest.MemoryRepository }

func (sweepless) ExpireHolds(context.Context, int, dom.Origin) ([]*dom.Booking, error) {
	return nil, &dom.UnavailableError{Dependency: dom.Postgres}
}

// Sweeps that fail, whoever makes them, show in how long the longest overdue hold is so.
func TestOverdueHoldsAreMeasured(t *testing.T) {
	f := newFixture(t)
	f.offers(table("t1"))
	_, err := f.CreateBooking(context.Background(), command("t1"))
	require.NoError(t, err)
	f.repo.Advance(16 * time.Minute)
	measured := func(s *Service, is func(time.Duration) bool) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { s.StartExpiredHoldsWorker(ctx); close(done) }()
		require.Eventually(t, func() bool {
			f.counts.mu.Lock()
			defer f.counts.mu.Unlock()
			return is(f.counts.overdue)
		}, 5*time.Second, 10*time.Millisecond)
		cancel()
		<-done
	}
	measured(f.on(sweepless{f.repo}, f.holds), func(d time.Duration) bool { return d >= time.Minute && d < 2*time.Minute })
	measured(f.Service, func(d time.Duration) bool { return d == 0 })
}

func TestCheckTableAvailability(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.offers(table("t1"), table("t2"))
	c := command("t2")
	c.Slot.StartTime = "23:30" // until 01:30 of the next day
	_, err := f.CreateBooking(ctx, c)
	require.NoError(t, err)
	check := func(date, start string, tables ...string) []TableAvailability {
		list, err := f.CheckTableAvailability(ctx, AvailabilityQuery{
			VenueID: "v", TableIDs: tables, Slot: &SlotInput{Date: date, StartTime: start, DurationMinutes: 30},
		})
		require.NoError(t, err)
		return list
	}
	free := func(id string) TableAvailability { return TableAvailability{TableID: id, Available: true} }
	taken := func(id string) TableAvailability {
		return TableAvailability{TableID: id, Reason: "Table is already booked for this time slot"}
	}
	require.Equal(t, []TableAvailability{free("t3"), taken("t2"), free("t1")}, check("2027-06-06", "01:00", "t3", "t2", "t1", "t2"))
	require.Equal(t, []TableAvailability{free("t2")}, check("2027-06-06", "01:30", "t2"))
	require.Empty(t, check("2027-06-06", "01:30"))
	_, err = f.CheckTableAvailability(ctx, AvailabilityQuery{
		VenueID: "v", TableIDs: []string{"t1"}, Slot: &SlotInput{Date: "2027-03-28", StartTime: "02:30"},
	})
	requireViolations(t, err, "slot.start_time")
}
