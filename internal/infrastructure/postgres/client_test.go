package postgres

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever is in a name reaches the driver as it is, and cannot add settings of its own.
func TestConnStringQuotes(t *testing.T) {
	o := Options{
		Host: "127.0.0.1", Port: 5433, Database: `it's \ sslmode=disable`, User: "o'brien host=elsewhere",
		Password: `p' \ host=elsewhere`, SSLMode: "require",
	}
	require.NotContains(t, o.connString(), "elsewhere\\", "the password is not in the string")
	cfg, err := pgx.ParseConfig(o.connString())
	require.NoError(t, err)
	o.apply(cfg)
	require.Equal(t, "127.0.0.1", cfg.Host)
	require.Equal(t, uint16(5433), cfg.Port)
	require.Equal(t, o.Database, cfg.Database)
	require.Equal(t, o.User, cfg.User)
	require.Equal(t, o.Password, cfg.Password)
	require.NotNil(t, cfg.TLSConfig)
	require.Equal(t, "UTC", cfg.RuntimeParams["timezone"])
}

func TestPoolNeedsNoDatabaseToBeMade(t *testing.T) {
	pool, err := NewPool(t.Context(), Options{Host: "127.0.0.1", Port: 1, User: "u", Database: "d", SSLMode: "disable", Password: "hush"})
	require.NoError(t, err)
	defer pool.Close()
	_, err = SchemaVersion(t.Context(), pool)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hush")
}

// A host that accepts connections and never answers costs a caller no more than connectTimeout.
func TestConnectIsLimited(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	pool, err := NewPool(t.Context(), Options{
		Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, User: "u", Database: "d", SSLMode: "disable",
	})
	require.NoError(t, err)
	defer pool.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	start := time.Now()
	require.Error(t, pool.Ping(ctx))
	require.Less(t, time.Since(start), 2*connectTimeout)
}
