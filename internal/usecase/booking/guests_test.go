package booking

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// dueGuests has so many bookings and pages of events that are due.
type dueGuests struct {
	bookings, pages, unended int
	failure                  error
	age                      time.Duration
}

func (g *dueGuests) EraseDue(_ context.Context, age time.Duration, limit int) (int, error) {
	g.age = age
	erased := min(g.bookings, limit)
	g.bookings -= erased
	return erased, g.failure
}

func (g *dueGuests) EraseDueEvents(_ context.Context, _ time.Duration, after int64, limit int) (int, int64, error) {
	if g.pages--; g.pages == 0 {
		return 1, 0, g.failure
	}
	return 1, after + int64(limit), g.failure
}

func (g *dueGuests) CountUnended(context.Context, time.Duration) (int, error) {
	return g.unended, nil
}

func TestAllThatIsDueIsErased(t *testing.T) {
	t.Parallel()
	var log testenv.Buffer
	ctx := zerolog.New(&log).WithContext(t.Context())
	guests := &dueGuests{bookings: 2*guestBatch + 3, pages: 3, unended: 4}
	eraseDue(ctx, guests, time.Hour)
	require.Zero(t, guests.bookings)
	require.Zero(t, guests.pages)
	require.Equal(t, time.Hour, guests.age)
	require.Contains(t, log.String(), `{"level":"info","bookings":203,"events":3,"message":"Guests' data erased`)
	require.Contains(t, log.String(), `{"level":"warn","bookings":4,"message":"Guests' data is kept for longer`)

	log.Reset()
	eraseDue(ctx, &dueGuests{pages: 1, failure: errors.New("away")}, time.Hour)
	require.Contains(t, log.String(), `"error":"away","message":"Failed to erase guests' data"`)
}

func TestErasureStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	guests := &dueGuests{bookings: 5 * guestBatch, pages: 5}
	StartGuestErasure(ctx, guests, time.Hour)
	require.Equal(t, 4*guestBatch, guests.bookings)
}
