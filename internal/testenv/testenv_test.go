//go:build integration

package testenv_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	"github.com/bookingcontrol/booker-booking-svc/migrations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Many tests begin at once, the first of them with no template there.
func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	const tests = 8
	urls := make([]string, tests)
	t.Run("databases", func(t *testing.T) {
		for i := range urls {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				urls[i] = testenv.PostgresURL(t)
				conn := connect(t, urls[i])
				var version int64
				require.NoError(t, conn.QueryRow(t.Context(), "SELECT max(version_id) FROM goose_db_version").Scan(&version))
				require.EqualValues(t, migrations.Latest, version)
				var rows int
				require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM outbox_relays").Scan(&rows))
				require.Zero(t, rows, "a row of another test is in this database")
				_, err := conn.Exec(t.Context(), "INSERT INTO outbox_relays VALUES ('only here', now())")
				require.NoError(t, err)
			})
		}
	})
	for _, own := range urls {
		_, err := pgx.Connect(t.Context(), own)
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "3D000", refused.Code, "the database is still there after its test")
	}
}

func TestEmptyDatabase(t *testing.T) {
	t.Parallel()
	conn := connect(t, testenv.EmptyPostgresURL(t))
	var tables int
	require.NoError(t, conn.QueryRow(t.Context(),
		"SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").Scan(&tables))
	require.Zero(t, tables)
	_, err := conn.Exec(t.Context(), "CREATE EXTENSION btree_gist")
	require.NoError(t, err)
}

// Whoever is still connected when the test ends does not keep its database.
func TestDropsADatabaseInUse(t *testing.T) {
	t.Parallel()
	var own string
	var left *pgx.Conn
	t.Run("test that leaves a connection", func(t *testing.T) {
		own = testenv.EmptyPostgresURL(t)
		var err error
		left, err = pgx.Connect(t.Context(), own)
		require.NoError(t, err)
	})
	require.Error(t, left.Ping(t.Context()))
	parsed, err := url.Parse(own)
	require.NoError(t, err)
	admin := connect(t, testenv.EmptyPostgresURL(t))
	var found bool
	require.NoError(t, admin.QueryRow(t.Context(),
		"SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", parsed.Path[1:]).Scan(&found))
	require.False(t, found)
}

func TestServersAnswer(t *testing.T) {
	t.Parallel()
	store := redis.NewClient(&redis.Options{Addr: testenv.RedisAddr(t)})
	defer func() { require.NoError(t, store.Close()) }()
	require.NoError(t, store.Ping(t.Context()).Err())

	kafka, err := kgo.NewClient(kgo.SeedBrokers(testenv.KafkaBrokers(t)...))
	require.NoError(t, err)
	defer kafka.Close()
	require.NoError(t, kafka.Ping(t.Context()))
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
