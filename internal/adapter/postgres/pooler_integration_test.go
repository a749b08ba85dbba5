//go:build integration

package postgres

import (
	"context"
	"net/url"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// pooled answers a pool that reaches a database through pgbouncer in transaction mode, as the service
// makes it.
func pooled(t *testing.T, database string) *pgxpool.Pool {
	t.Helper()
	u, err := url.Parse(testenv.Pgbouncer(t, database))
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	pool, err := postgres.NewPool(context.Background(), postgres.Options{
		Host: u.Hostname(), Port: port, Database: u.Path[1:], User: u.User.Username(), SSLMode: "disable",
		MaxConns: 16, Pooled: true,
	})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func TestRepositorySuiteThroughAPooler(t *testing.T) {
	bookingtest.RepositorySuite(t, func(t *testing.T) bookingtest.Repository {
		pool := pooled(t, testenv.PostgresURL(t))
		t.Cleanup(func() { testenv.RequireConsistent(t, pool) })
		return underTest(t, pool)
	})
}

func TestEventRepositoryThroughAPooler(t *testing.T) {
	bookingtest.EventRepositorySuite(t, func(t *testing.T) bookingtest.EventRepository {
		return outboxUnderTest(t, pooled(t, testenv.PostgresURL(t)))
	})
}
