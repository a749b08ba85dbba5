//go:build integration

package postgres

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// cutter is the way to PostgreSQL, which loses an answer: what was asked for is done, and the connection
// breaks before its answer arrives.
type cutter struct {
	net.Listener
	upstream string
	// left counts the answers until the one that is lost; 0 for none.
	left atomic.Int32
	lost atomic.Int32
}

func newCutter(t *testing.T, upstream string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{Listener: l, upstream: upstream}
	t.Cleanup(func() { _ = l.Close() })
	go c.accept()
	return c
}

func (c *cutter) accept() {
	for {
		client, err := c.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.upstream)
		if err != nil {
			_ = client.Close()
			continue
		}
		go func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		}()
		go c.answers(client, server)
	}
}

func (c *cutter) answers(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if c.left.Load() > 0 && c.left.Add(-1) == 0 {
			c.lost.Add(1)
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Whichever answer of the server is lost, that of the COMMIT included: a change is written once, and
// its caller hears of it.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var way *cutter
	pool := configuredPool(t, func(cfg *pgxpool.Config) {
		way = newCutter(t, net.JoinHostPort(cfg.ConnConfig.Host, fmt.Sprint(cfg.ConnConfig.Port)))
		cfg.ConnConfig.Host, cfg.ConnConfig.Port = "127.0.0.1", uint16(way.Addr().(*net.TCPAddr).Port)
		// A new connection for each write would prepare its statements, in answers of their own.
		cfg.MaxConns = 1
	})
	repo := newRepository(pool)

	// prepared makes a booking, so that the next one's statements are known on the connection.
	slot := 0.0
	next := func(joined ...string) dom.NewBooking {
		slot += 3
		return bookingtest.New("v", "t", slot, joined...)
	}
	prepared := func() {
		n := next("u")
		_, err := repo.CreateBooking(ctx, n)
		require.NoError(t, err)
		_, _, err = repo.ChangeBooking(ctx, n.Booking.ID, dom.Change{To: dom.StatusConfirmed})
		require.NoError(t, err)
		_, err = repo.CreateBooking(ctx, next())
		require.NoError(t, err)
	}
	// eachLost makes writes, of which one answer after the other is lost, until there is none to lose: more
	// than least. try prepares a write and answers it, with what checks its outcome.
	eachLost := func(least int32, try func(answer int32) (write, check func())) {
		for answer := int32(1); ; answer++ {
			prepared()
			write, check := try(answer)
			before := way.lost.Load()
			way.left.Store(answer)
			write()
			way.left.Store(0)
			lost := way.lost.Load() > before
			check()
			if !lost {
				require.Greater(t, answer, least)
				return
			}
		}
	}
	requireHeld := func(n dom.NewBooking) {
		require.False(t, n.Booking.ExpiresAt.IsZero())
		require.Equal(t, []string{"booking.held/1"}, outboxEvents(t, pool, n.Booking.ID))
	}
	for _, joined := range [][]string{nil, {"u"}} {
		eachLost(1, func(answer int32) (write, check func()) {
			n := next(joined...)
			return func() {
				_, err := repo.CreateBooking(ctx, n)
				require.NoError(t, err, "answer %d", answer)
			}, func() { requireHeld(n) }
		})
	}
	// The same for creates in one batch: each of them hears that it is written.
	eachLost(1, func(answer int32) (write, check func()) {
		news := []dom.NewBooking{next(), next(), next()}
		return func() {
				for _, err := range createTogether(t, repo, news) {
					require.NoError(t, err, "answer %d", answer)
				}
			}, func() {
				for _, n := range news {
					requireHeld(n)
				}
			}
	})
	// Two answers: begin with read, write with commit.
	eachLost(2, func(answer int32) (write, check func()) {
		n := next()
		_, err := repo.CreateBooking(ctx, n)
		require.NoError(t, err)
		return func() {
				b, changed, err := repo.ChangeBooking(ctx, n.Booking.ID, dom.Change{To: dom.StatusConfirmed})
				require.NoError(t, err, "answer %d", answer)
				require.True(t, changed, "answer %d: the caller made the change, whoever heard of it", answer)
				require.Equal(t, 2, b.Version)
			}, func() {
				require.Equal(t, []string{"booking.held/1", "booking.confirmed/2"}, outboxEvents(t, pool, n.Booking.ID))
			}
	})
	testenv.RequireConsistent(t, pool)
}
