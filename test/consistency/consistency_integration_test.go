//go:build integration

package consistency_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	"github.com/bookingcontrol/booker-booking-svc/test/consistency"
)

// sound is a confirmed booking from seven to nine, as the service leaves it.
const sound = `
	WITH b AS (
		INSERT INTO bookings (id, venue_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone,
			party_size, customer_name, status, version)
		VALUES ('b1', 'v', 't1', '2031-03-01', '19:00', '21:00', '2031-03-01 19:00Z', '2031-03-01 21:00Z', 'UTC', 2, 'Ada', 'confirmed', 2)
	), o AS (
		INSERT INTO table_occupancies VALUES ('b1', 'v', 't1', '[2031-03-01 19:00Z, 2031-03-01 21:00Z)')
	), e AS (
		INSERT INTO booking_events (id, booking_id, version, type, payload_json)
		VALUES ('e1', 'b1', 1, 'booking.held', '{}'), ('e2', 'b1', 2, 'booking.confirmed', '{}')
	)
	INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version)
	VALUES (1, 'booking.held', 'b1', '{}', 'e1', 1), (1, 'booking.confirmed', 'b1', '{}', 'e2', 2)`

// Each violation is found, and nothing is wrong before.
func TestViolationsAreFound(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const (
		overlap = "1 active bookings that overlap on a table"
		tables  = "1 tables occupied for no active booking, or not occupied for one"
		log     = "1 bookings whose versions are not each in the audit log"
		state   = "1 bookings whose state is not that of their last event"
		events  = "1 events that are not in both the audit log and the outbox, or differ"
		order   = "1 events that are in the outbox twice or not in the order of their versions"
	)
	for statement, want := range map[string][]string{
		`SELECT`: nil,
		// Another one from half past eight on, whose second table is the first one's.
		`INSERT INTO bookings (id, venue_id, table_id, joined_table_ids, joined_room_ids, date, start_time, end_time, starts_at, ends_at,
			time_zone, party_size, customer_name, status)
		SELECT 'b2', venue_id, 't0', '{t1}', '{r}', date, start_time, end_time, starts_at + interval '90 minutes',
			ends_at + interval '90 minutes', time_zone, party_size, customer_name, 'seated' FROM bookings`: {
			overlap, log, "2 tables occupied for no active booking, or not occupied for one",
		},
		// The next one, which begins when the first one ends.
		`INSERT INTO bookings (id, venue_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone, party_size, customer_name, status)
		SELECT 'b2', venue_id, table_id, date, start_time, end_time, ends_at, ends_at + interval '1 hour', time_zone, party_size,
			customer_name, 'seated' FROM bookings`: {log, tables},
		`DELETE FROM table_occupancies`:                                {tables},
		`UPDATE bookings SET version = 3`:                              {log},
		`UPDATE bookings SET status = 'seated'`:                        {state},
		`DELETE FROM outbox WHERE event_id = 'e2'`:                     {events},
		`UPDATE outbox SET payload = '{"a": 1}' WHERE event_id = 'e1'`: {events},
		`UPDATE outbox SET id = DEFAULT WHERE event_id = 'e1'`:         {"2 events that are in the outbox twice or not in the order of their versions"},
		`UPDATE outbox SET booking_version = 3 WHERE event_id = 'e2'`:  {events, order},
	} {
		pool, err := pgxpool.New(ctx, testenv.PostgresURL(t))
		require.NoError(t, err)
		defer pool.Close()
		_, err = pool.Exec(ctx, sound)
		require.NoError(t, err)
		_, err = pool.Exec(ctx, statement)
		require.NoError(t, err, statement)
		found, err := consistency.Violations(ctx, pool)
		require.NoError(t, err)
		require.ElementsMatch(t, want, found, statement)
	}
}
