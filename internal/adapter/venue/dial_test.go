package venue

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// freeAddr answers an address that nothing listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func TestVenueServiceThatComesBackIsFoundQuickly(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	conn := dial(t, addr)
	c := NewClient(conn, relaxed)
	z := &zoned{zone: "Europe/Berlin"}

	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		start := time.Now()
		_, err := c.TimeZone(t.Context(), "venue-1")
		requireVenueAway(t, err)
		require.Less(t, time.Since(start), 2*time.Second, "calls fail at once")
	}
	require.Error(t, Check(t.Context(), conn))

	_, server := serve(t, addr, z.fake())
	require.Eventually(t, func() bool {
		_, err := c.TimeZone(context.Background(), "venue-1")
		return err == nil
	}, 3*time.Second, 20*time.Millisecond)
	require.NoError(t, Check(t.Context(), conn))

	server.Stop()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		return Check(ctx, conn) != nil
	}, 3*time.Second, 20*time.Millisecond)
}

func TestCheckWaitsForTheConnection(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, "127.0.0.1:0", &fake{})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, Check(ctx, dial(t, addr)))
}

func TestCheckEndsWithItsContext(t *testing.T) {
	t.Parallel()
	// A listener that never speaks keeps the connection from being ready.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, Check(ctx, dial(t, listener.Addr().String())), context.DeadlineExceeded)
}

func TestCheckAfterClose(t *testing.T) {
	t.Parallel()
	conn, err := Dial(freeAddr(t), nil)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.Error(t, Check(t.Context(), conn))
}

func TestDialTargets(t *testing.T) {
	t.Parallel()
	for addr, target := range map[string]string{
		"venue-svc:50051":             "passthrough:///venue-svc:50051",
		"[::1]:50051":                 "passthrough:///[::1]:50051",
		"dns:///venue-svc:50051":      "dns:///venue-svc:50051",
		"passthrough:///10.0.0.1:443": "passthrough:///10.0.0.1:443",
	} {
		require.Equal(t, target, dial(t, addr).Target())
	}
}
