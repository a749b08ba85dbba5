package bookingtest

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// requireExpired takes note that exactly these holds have been expired.
func (m *machine) requireExpired(t *rapid.T, want []*modelBooking, got []*dom.Booking) {
	require.Len(t, got, len(want))
	for _, b := range want {
		i := slices.IndexFunc(got, func(g *dom.Booking) bool { return g.ID == b.stored.ID })
		require.GreaterOrEqual(t, i, 0, "%s was not expired", b.stored.ID)
		b.become("expired")
		m.follow(t, b, got[i])
		m.checkBooking(t, b)
	}
}

// follow takes over what a change made of a booking: its state, version and time, and nothing else.
func (m *machine) follow(t *rapid.T, b *modelBooking, got *dom.Booking) {
	require.NotNil(t, got)
	require.False(t, got.UpdatedAt.Before(b.stored.UpdatedAt))
	b.stored.Status, b.stored.Version, b.stored.UpdatedAt, b.stored.ExpiresAt = b.status, b.version, got.UpdatedAt, time.Time{}
	same(t, &b.stored, got)
}

// requireStored compares a booking that was read with what must be stored.
func (m *machine) requireStored(t *rapid.T, b *modelBooking, got *dom.Booking) {
	require.NotNil(t, got)
	require.Equal(t, b.status == "held", !got.ExpiresAt.IsZero())
	read := *got
	read.ExpiresAt = b.stored.ExpiresAt
	same(t, &b.stored, &read)
}

func (m *machine) checkBooking(t *rapid.T, b *modelBooking) {
	got, err := m.repo.GetBooking(context.Background(), b.stored.ID)
	require.NoError(t, err)
	m.requireStored(t, b, got)
	require.Equal(t, b.events, m.repo.Events(b.stored.ID))
}

func (m *machine) checkAll(t *rapid.T) {
	for _, b := range m.model.bookings {
		m.checkBooking(t, b)
	}
}
