//go:build integration

package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// traffic counts what goes to the server on the connections of a pool.
type traffic struct {
	statements, roundTrips atomic.Int64
}

// countedConn counts a round trip when it writes for the first time since it read.
type countedConn struct {
	net.Conn
	traffic *traffic
	asking  atomic.Bool
}

func (c *countedConn) Write(p []byte) (int, error) {
	if !c.asking.Swap(true) {
		c.traffic.roundTrips.Add(1)
	}
	return c.Conn.Write(p)
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.asking.Store(false)
	}
	return n, err
}

func (*traffic) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (*traffic) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (t *traffic) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	t.statements.Add(1)
	return ctx
}

func (t *traffic) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (t *traffic) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {
	t.statements.Add(1)
}

// What a call costs, once its statements are known on the connection. Statements count begin, commit
// and settings too.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var seen traffic
	pool := configuredPool(t, func(cfg *pgxpool.Config) {
		cfg.MaxConns = 1
		// No question whether the connection is alive, however slow this machine is.
		cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
		cfg.ConnConfig.Tracer = &seen
		cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return &countedConn{Conn: conn, traffic: &seen}, err
		}
	})
	repo := newRepository(pool)

	slot := 0.0
	next := func(joined ...string) dom.NewBooking {
		slot += 3
		return bookingtest.New("v", "t1", slot, joined...)
	}
	create := func(n dom.NewBooking) dom.NewBooking {
		_, err := repo.CreateBooking(ctx, n)
		require.NoError(t, err)
		return n
	}
	overdue := func(n dom.NewBooking) dom.NewBooking {
		_, err := pool.Exec(ctx, `UPDATE bookings SET expires_at = now() - interval '1 minute' WHERE id = $1`, create(n).Booking.ID)
		require.NoError(t, err)
		return n
	}
	confirm := func(id string, changes bool) {
		_, changed, err := repo.ChangeBooking(ctx, id, dom.Change{To: dom.StatusConfirmed})
		require.NoError(t, err)
		require.Equal(t, changes, changed)
	}
	for _, test := range []struct {
		call                   string
		statements, roundTrips int64
		// prepare does what comes before, and answers the call.
		prepare func() (call func())
	}{
		{"create", 2, 1, func() func() {
			n := next()
			return func() { create(n) }
		}},
		{"sixteen creates at once", 2, 1, func() func() {
			var news []dom.NewBooking
			for range 16 {
				news = append(news, next())
			}
			release := blockPool(t, pool)
			errs := startTogether(t, repo, news)
			return func() {
				release()
				require.NoError(t, errors.Join(errs()...))
			}
		}},
		{"create in a place that is taken", 3, 2, func() func() {
			n := create(next())
			rival := bookingtest.New("v", "t1", slot)
			return func() {
				_, err := repo.CreateBooking(ctx, rival)
				require.ErrorIs(t, err, dom.ErrSlotTaken, n.Booking.ID)
			}
		}},
		{"create on joined tables", 5, 3, func() func() {
			n := next("t2")
			return func() { create(n) }
		}},
		{"create in the place of an overdue hold", 9, 5, func() func() {
			overdue(next())
			n := bookingtest.New("v", "t1", slot)
			return func() { create(n) }
		}},
		{"get", 1, 1, func() func() {
			id := create(next()).Booking.ID
			return func() {
				_, err := repo.GetBooking(ctx, id)
				require.NoError(t, err)
			}
		}},
		{"list", 2, 1, func() func() {
			return func() {
				_, _, err := repo.ListBookings(ctx, dom.BookingFilters{VenueID: "v", Limit: 10})
				require.NoError(t, err)
			}
		}},
		{"availability", 1, 1, func() func() {
			return func() {
				_, err := repo.TakenTables(ctx, "v", []string{"t1", "t2"}, next().Booking.Sitting)
				require.NoError(t, err)
			}
		}},
		{"confirm", 5, 2, func() func() {
			id := create(next()).Booking.ID
			return func() { confirm(id, true) }
		}},
		{"sixteen confirms at once", 5, 2, func() func() {
			var ids []string
			for range 16 {
				ids = append(ids, create(next()).Booking.ID)
			}
			return func() {
				for _, a := range confirmTogether(t, repo, ids) {
					require.NoError(t, a.err)
				}
			}
		}},
		{"confirm once more", 4, 2, func() func() {
			id := create(next()).Booking.ID
			confirm(id, true)
			return func() { confirm(id, false) }
		}},
		{"confirm of nothing", 4, 2, func() func() {
			return func() {
				_, _, err := repo.ChangeBooking(ctx, "nobody", dom.Change{To: dom.StatusConfirmed})
				require.ErrorIs(t, err, dom.ErrNotFound)
			}
		}},
		{"sweep", 4, 2, func() func() {
			overdue(next())
			return func() {
				expired, err := repo.ExpireHolds(ctx, 10, dom.Origin{})
				require.NoError(t, err)
				require.Len(t, expired, 1)
			}
		}},
	} {
		test.prepare()() // The first time the statements are prepared.
		call := test.prepare()
		statements, roundTrips := seen.statements.Load(), seen.roundTrips.Load()
		call()
		statements, roundTrips = seen.statements.Load()-statements, seen.roundTrips.Load()-roundTrips
		t.Logf("%s: %d statements in %d round trips", test.call, statements, roundTrips)
		require.Equal(t, test.statements, statements, test.call)
		require.Equal(t, test.roundTrips, roundTrips, test.call)
	}
	testenv.RequireConsistent(t, pool)
}
