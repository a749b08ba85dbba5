//go:build integration

package app

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// A service that is told to erases what is due soon after its start, and says so.
func TestGuestDataRetention(t *testing.T) {
	t.Parallel()
	url := testenv.PostgresURL(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), `
		INSERT INTO bookings (id, venue_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone, party_size,
			customer_name, status, updated_at)
		SELECT 'b' || days, 'v', 't', '2020-01-05', '19:00', '21:00', '2020-01-05 18:00Z', '2020-01-05 20:00Z', 'UTC', 2, 'Ada', 'finished',
			now() - days * interval '1 day' FROM unnest(ARRAY[2, 40]) AS days`)
	require.NoError(t, err)
	i := start(t, url, "GUEST_DATA_RETENTION=720h")
	i.awaitReady(t)
	require.Eventually(t, func() bool { return strings.Contains(i.log.String(), "Guests' data erased") }, 10*time.Second, 10*time.Millisecond)
	var kept string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT string_agg(id, ',') FROM bookings WHERE customer_name <> ''`).Scan(&kept))
	require.Equal(t, "b2", kept)
	i.stop()
	require.NoError(t, <-i.stopped)
}
