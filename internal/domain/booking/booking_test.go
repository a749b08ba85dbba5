package booking

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2031, 3, 1, 12, 0, 0, 0, time.UTC)

func in(status Status) *Booking {
	b := &Booking{ID: "b-1", VenueID: "v", Table: TableRef{TableID: "t"}, Status: status, Version: 3}
	if status == StatusHeld {
		b.ExpiresAt = noon.Add(time.Minute)
	}
	return b
}

// The whole table: every state against every change, and what becomes of it.
func TestTransitions(t *testing.T) {
	allowed := map[Status]map[Status]bool{
		StatusHeld:      {StatusConfirmed: true, StatusCancelled: true},
		StatusConfirmed: {StatusCancelled: true, StatusSeated: true, StatusNoShow: true},
		StatusSeated:    {StatusFinished: true, StatusNoShow: true},
	}
	asked := []Status{StatusConfirmed, StatusCancelled, StatusSeated, StatusFinished, StatusNoShow}
	from := []Status{StatusHeld, StatusConfirmed, StatusSeated, StatusFinished, StatusCancelled, StatusExpired, StatusNoShow}
	for _, from := range from {
		for _, to := range asked {
			t.Run(string(from)+" to "+string(to), func(t *testing.T) {
				b := in(from)
				event, err := b.Apply(Change{To: to, AdminID: "a", Reason: "r", Origin: Origin{TraceID: "trace"}}, noon)
				switch {
				case from == to:
					require.NoError(t, err)
					require.Nil(t, event)
					require.Equal(t, in(from), b, "nothing changes")
				case allowed[from][to]:
					require.NoError(t, err)
					require.Equal(t, to, b.Status)
					require.Equal(t, 4, b.Version)
					require.Equal(t, noon, b.UpdatedAt)
					require.True(t, b.ExpiresAt.IsZero())
					require.Equal(t, EventType("booking."+string(to)), event.Type)
					require.Equal(t, *b, event.Booking)
					require.Equal(t, []string{"a", "r", "trace"}, []string{event.AdminID, event.Reason, event.Origin.TraceID})
					require.NotEmpty(t, event.ID)
				default:
					expired := from == StatusExpired && (to == StatusConfirmed || to == StatusCancelled)
					require.Equal(t, &TransitionError{BookingID: "b-1", From: from, To: to, HoldExpired: expired}, err)
					require.ErrorContains(t, err, string(from))
					require.ErrorContains(t, err, string(to))
					require.Nil(t, event)
					require.Equal(t, in(from), b, "nothing changes")
				}
			})
		}
	}
}

func TestOverdueHold(t *testing.T) {
	for _, to := range []Status{StatusConfirmed, StatusCancelled} {
		b := in(StatusHeld)
		// The instant of expiry itself is too late.
		event, err := b.Apply(Change{To: to}, b.ExpiresAt)
		require.Equal(t, &TransitionError{BookingID: "b-1", From: StatusHeld, To: to, HoldExpired: true}, err)
		require.Equal(t, EventType("booking.expired"), event.Type)
		require.Equal(t, ReasonHoldExpired, event.Reason)
		require.Equal(t, StatusExpired, b.Status)
		require.Equal(t, 4, b.Version)
	}
	b := in(StatusHeld)
	event, err := b.Apply(Change{To: StatusConfirmed}, b.ExpiresAt.Add(-time.Nanosecond))
	require.NoError(t, err)
	require.Equal(t, EventType("booking.confirmed"), event.Type)

	// A seating does not end a hold, so it does not expire it either.
	b = in(StatusHeld)
	event, err = b.Apply(Change{To: StatusSeated}, noon.Add(time.Hour))
	require.Equal(t, &TransitionError{BookingID: "b-1", From: StatusHeld, To: StatusSeated}, err)
	require.Nil(t, event)
}

func TestExpire(t *testing.T) {
	for _, status := range Statuses() {
		b := in(status)
		event := b.Expire(noon.Add(time.Hour), Origin{})
		require.Equal(t, status == StatusHeld, event != nil, status)
	}
	require.Nil(t, in(StatusHeld).Expire(noon, Origin{}), "not yet overdue")
}

func TestNobodyAsksForTheStatesThatCannotBeAskedFor(t *testing.T) {
	for _, to := range []Status{StatusHeld, StatusExpired, StatusRequested, StatusRejected} {
		for from := range eventTypes {
			event, err := in(from).Apply(Change{To: to}, noon)
			require.Error(t, err)
			require.Nil(t, event)
		}
	}
}

func TestEveryStateOfALifeHasAnEvent(t *testing.T) {
	types := map[EventType]bool{}
	for _, et := range EventTypes() {
		types[et] = true
	}
	require.Len(t, types, 7)
	for status, et := range eventTypes {
		require.True(t, types[et], status)
	}
	require.Len(t, eventTypes, 7)
}

func TestHoldKeys(t *testing.T) {
	b := in(StatusHeld)
	b.Joined = []TableRef{{TableID: "u"}}
	b.Slot = Slot{Date: time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC), Start: 12 * time.Hour, Duration: time.Hour}
	require.Equal(t, []string{"hold:v:t:2024-12-01:12:00", "hold:v:u:2024-12-01:12:00"}, b.HoldKeys())
}

func TestShardsAreSpreadAndFixed(t *testing.T) {
	seen := map[int16]bool{}
	for range 2000 {
		s := Shard(NewID())
		require.GreaterOrEqual(t, s, int16(0))
		require.Less(t, s, int16(Shards))
		seen[s] = true
	}
	require.Len(t, seen, Shards)
	// Rows in the outbox carry their shard: it must never be computed otherwise.
	require.Equal(t, int16(25), Shard("0190d1a0-0000-7000-8000-000000000001"))
}
