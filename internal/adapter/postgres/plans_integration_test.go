//go:build integration

package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

// season fills the tables as years of bookings do: ended ones, two days of confirmed ones, and their
// events, sent.
const season = `
WITH b AS (
	INSERT INTO bookings (id, venue_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone,
		party_size, customer_name, status, version)
	SELECT gen_random_uuid(), 'venue-' || n % 50, 'table-' || n / 50 % 20, s::date, s::time, (s + interval '2 hours')::time,
		s AT TIME ZONE 'UTC', (s + interval '2 hours') AT TIME ZONE 'UTC', 'UTC', 2, 'Ada',
		CASE WHEN n >= 58000 THEN 'confirmed' ELSE 'finished' END, 1
	FROM generate_series(0, 59999) n, LATERAL (SELECT timestamp '2024-01-01' + n / 1000 * interval '2 hours') AS t(s)
	RETURNING *
), o AS (
	INSERT INTO table_occupancies (booking_id, venue_id, table_id, during)
	SELECT id, venue_id, table_id, tstzrange(starts_at, ends_at) FROM b WHERE status = 'confirmed'
), k AS (
	INSERT INTO idempotency_keys (venue_id, key, request_hash, booking_id) SELECT venue_id, id, '', id FROM b
), e AS (
	INSERT INTO booking_events (id, booking_id, version, type, payload_json)
	SELECT gen_random_uuid(), id, 1, 'booking.held', '{}' FROM b
)
INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, status, sent_at)
SELECT ('x' || substr(id, 1, 2))::bit(8)::int % 64, 'booking.held', id, '{}', gen_random_uuid(), 1, 'sent', now() FROM b`

// No statement of a call, of the relay or of a sweep reads a large table from end to end.
func TestNoTableIsScanned(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var url string
	pool := configuredPool(t, func(cfg *pgxpool.Config) { url = cfg.ConnString() })
	admin, err := pgxpool.New(ctx, url)
	require.NoError(t, err)
	defer admin.Close()
	before := scans(t, url)
	// Planned while the tables are empty, run when they are full, and planned anew.
	for _, prepare := range []string{`SELECT`, season, `VACUUM ANALYZE`} {
		_, err = admin.Exec(ctx, prepare)
		require.NoError(t, err)
		useRepository(t, newRepository(pool))
		useOutbox(t, NewEventRepository(pool, metrics.New(prometheus.NewRegistry())))
		useRetention(t, NewGuestData(pool))
	}
	pool.Close() // a session tells its counts when it ends
	require.Equal(t, before, scans(t, url))
}

// scans counts how often each table was read from end to end, by sessions that have ended.
func scans(t *testing.T, url string) map[string]int64 {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	require.NoError(t, err)
	defer pool.Close()
	time.Sleep(200 * time.Millisecond) // a backend outlives its connection for a moment
	counts := make(map[string]int64)
	for _, table := range []string{"bookings", "table_occupancies", "idempotency_keys", "booking_events", "outbox"} {
		var n int64
		require.NoError(t, pool.QueryRow(context.Background(),
			`SELECT seq_scan FROM pg_stat_user_tables WHERE relname = $1`, table).Scan(&n))
		counts[table] = n
	}
	return counts
}

func useRepository(t *testing.T, repo *Repository) {
	t.Helper()
	ctx := context.Background()
	var sitting time.Time
	create := func(table string, hold time.Duration) *dom.Booking {
		n := bookingtest.New("venue-7", table, 0)
		n.HoldTTL, n.IdempotencyKey, n.RequestHash, sitting = hold, "key-"+n.Booking.ID, []byte{1}, n.Booking.Sitting.Start
		_, err := repo.CreateBooking(ctx, n)
		require.NoError(t, err)
		return n.Booking
	}
	b := create("table-a", time.Hour)
	_, err := repo.CreateBooking(ctx, bookingtest.New("venue-7", "table-a", 0))
	require.ErrorIs(t, err, dom.ErrSlotTaken)
	create("table-late", 0)
	create("table-late", 0) // in the place of an overdue one

	_, err = repo.GetBooking(ctx, b.ID)
	require.NoError(t, err)
	_, _, err = repo.FindByKey(ctx, "venue-7", "key-"+b.ID)
	require.NoError(t, err)
	for _, f := range []dom.BookingFilters{
		{VenueID: "venue-7", Date: sitting, Limit: 50},
		{VenueID: "venue-7", Date: sitting, Status: dom.StatusHeld, Limit: 50},
		{TableID: "table-3", Date: sitting, Limit: 50},
		{Status: dom.StatusHeld, Limit: 50},
	} {
		_, _, err = repo.ListBookings(ctx, f)
		require.NoError(t, err)
	}
	_, err = repo.TakenTables(ctx, "venue-7", []string{"table-a", "table-b", "table-c"}, b.Sitting)
	require.NoError(t, err)
	_, err = repo.VenueZone(ctx, "venue-7")
	require.NoError(t, err)
	for _, to := range []dom.Status{dom.StatusConfirmed, dom.StatusSeated, dom.StatusFinished} {
		_, changed, err := repo.ChangeBooking(ctx, b.ID, dom.Change{To: to})
		require.NoError(t, err)
		require.True(t, changed)
	}
	overdue, err := repo.LongestOverdue(ctx)
	require.NoError(t, err)
	require.Positive(t, overdue)
	expired, err := repo.ExpireHolds(ctx, 100, dom.Origin{})
	require.NoError(t, err)
	require.NotEmpty(t, expired)
	_, err = repo.DeleteOldKeys(ctx, time.Hour, 100)
	require.NoError(t, err)
}

func useRetention(t *testing.T, guests *GuestData) {
	t.Helper()
	for _, age := range []time.Duration{0, time.Hour} {
		_, err := guests.EraseDue(context.Background(), age, 10)
		require.NoError(t, err)
		_, _, err = guests.EraseDueEvents(context.Background(), age, 0, 100)
		require.NoError(t, err)
		_, err = guests.CountUnended(context.Background(), age)
		require.NoError(t, err)
	}
}

func useOutbox(t *testing.T, outbox *EventRepository) {
	t.Helper()
	ctx := context.Background()
	leases, err := outbox.LeaseShards(ctx, "relay", time.Minute)
	require.NoError(t, err)
	shards := make([]int16, len(leases))
	for i, l := range leases {
		shards[i] = l.Shard
	}
	waiting, err := outbox.GetPendingOutbox(ctx, shards, 100, nil)
	require.NoError(t, err)
	require.NotEmpty(t, waiting)
	var ids []int64
	for _, m := range waiting[1:] {
		ids = append(ids, m.ID)
	}
	_, err = outbox.MarkSent(ctx, "relay", leases, ids)
	require.NoError(t, err)
	for _, l := range leases {
		if l.Shard == waiting[0].Shard {
			require.NoError(t, outbox.MarkFailed(ctx, "relay", l, waiting[0].ID, 4, dom.OutboxDLQ, "too large"))
		}
	}
	_, err = outbox.OutboxStats(ctx)
	require.NoError(t, err)
	_, _, err = outbox.DeleteSent(ctx, time.Hour, 0, 500)
	require.NoError(t, err)
}
