//go:build integration

package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	"github.com/bookingcontrol/booker-booking-svc/migrations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// describe lists every column, constraint, index and setting of a table of the schema.
const describe = `
	SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '')
	FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'goose_db_version'
	UNION ALL
	SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
	WHERE connamespace = 'public'::regnamespace AND conrelid <> 'goose_db_version'::regclass
	UNION ALL
	SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'goose_db_version'
	UNION ALL
	SELECT oid::regclass || ' ' || unnest(reloptions) FROM pg_class WHERE relnamespace = 'public'::regnamespace
	ORDER BY 1`

// fill writes a row into every table that refers to a booking, and the booking.
const fill = `
	INSERT INTO bookings (id, venue_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone,
		party_size, customer_name, status, joined_table_ids, joined_room_ids)
	VALUES ('b1', 'v1', 't1', '2030-01-05', '19:00', '21:00', '2030-01-05 18:00Z', '2030-01-05 20:00Z', 'Europe/Berlin',
		4, 'A Guest', 'confirmed', '{t2}', '{r1}');
	INSERT INTO table_occupancies VALUES ('b1', 'v1', 't1', '[2030-01-05 18:00Z, 2030-01-05 20:00Z)');
	INSERT INTO booking_events (id, booking_id, version, type, payload_json) VALUES ('e1', 'b1', 1, 'booking.held', '{}');
	INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version)
	VALUES (1, 'booking.held', 'b1', '{}', 'e1', 1);
	INSERT INTO outbox_relays VALUES ('relay', now());
	INSERT INTO idempotency_keys (venue_id, key, request_hash, booking_id) VALUES ('v1', 'k1', '\x00', 'b1');
	INSERT INTO guest_erasures (reason, booking_ids) VALUES ('request', '{b1}')`

const exclusionViolation = "23P01"

// Every migration can be applied, taken back with data in its tables, and applied again, and the
// schema is the same afterwards.
func TestUpDownUpOnData(t *testing.T) {
	t.Parallel()
	cfg, err := pgx.ParseConfig(testenv.EmptyPostgresURL(t))
	require.NoError(t, err)
	o := postgres.Options{
		Host: cfg.Host, Port: int(cfg.Port), Database: cfg.Database, User: cfg.User, Password: cfg.Password,
		SSLMode: "prefer", MaxConns: 2,
	}
	pool, err := postgres.NewPool(t.Context(), o)
	require.NoError(t, err)
	defer pool.Close()

	_, err = postgres.MigrateUp(t.Context(), o)
	require.NoError(t, err)
	first := lines(t, pool)
	require.NotEmpty(t, first)
	requireWorks(t, pool)

	for range migrations.Latest {
		_, err = postgres.MigrateDown(t.Context(), o)
		require.NoError(t, err)
	}
	require.Empty(t, lines(t, pool), "nothing is left behind")

	_, err = postgres.MigrateUp(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, first, lines(t, pool))
	requireWorks(t, pool)
}

func lines(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), describe)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

// requireWorks fills every table and tries to sell a table twice.
func requireWorks(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), fill)
	require.NoError(t, err)
	var shards int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM outbox_leases").Scan(&shards))
	require.Equal(t, 64, shards)

	_, err = pool.Exec(t.Context(), `INSERT INTO bookings (id, venue_id, table_id, date, start_time, end_time, starts_at,
			ends_at, time_zone, party_size, customer_name, status)
		SELECT 'b2', venue_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone, party_size,
			customer_name, status FROM bookings WHERE id = 'b1'`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `INSERT INTO table_occupancies VALUES ('b2', 'v1', 't1', '[2030-01-05 19:59Z, 2030-01-05 21:00Z)')`)
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, exclusionViolation, pg.Code)
	_, err = pool.Exec(t.Context(), `INSERT INTO table_occupancies VALUES ('b2', 'v1', 't1', '[2030-01-05 20:00Z, 2030-01-05 21:00Z)')`)
	require.NoError(t, err, "a table is free the moment its guests leave")
}
