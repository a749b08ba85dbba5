//go:build integration

package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// sweep expires holds again and again, as several replicas do, until the test ends or stop is called.
func sweep(t *testing.T, repo *Repository, replicas int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var sweeping sync.WaitGroup
	for range replicas {
		sweeping.Go(func() {
			for ctx.Err() == nil {
				if _, err := repo.ExpireHolds(context.Background(), 50, dom.Origin{Time: time.Now()}); err != nil {
					t.Errorf("sweep: %v", err)
					return
				}
			}
		})
	}
	stop = func() { cancel(); sweeping.Wait() }
	t.Cleanup(stop)
	return stop
}

// A confirm at the very moment of expiry: one of the two wins, and the events tell which.
func TestConfirmAtTheMomentOfExpiry(t *testing.T) {
	t.Parallel()
	const tries, clients = 1000, 8
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	sweep(t, repo, 2)

	// The holds last about as long as a confirm takes to come here, on this machine, just now: a hold
	// that ran out makes the next one longer, one that was confirmed makes it shorter.
	var lasts atomic.Int64
	lasts.Store(int64(5 * time.Millisecond))
	var confirmed, expired, swept atomic.Int64
	var working sync.WaitGroup
	var next atomic.Int64
	for range clients {
		working.Go(func() {
			for i := next.Add(1); i <= tries; i = next.Add(1) {
				n := bookingtest.New("v", fmt.Sprint("t", i), 0)
				n.HoldTTL = time.Duration(lasts.Load())
				if _, err := repo.CreateBooking(ctx, n); err != nil {
					t.Errorf("create: %v", err)
					return
				}
				b, changed, err := repo.ChangeBooking(ctx, n.Booking.ID, dom.Change{To: dom.StatusConfirmed, AdminID: "host"})
				var refused *dom.TransitionError
				want := "booking.confirmed/2"
				switch {
				case err == nil && changed && b.Status == dom.StatusConfirmed:
					confirmed.Add(1)
					lasts.Add(-int64(200 * time.Microsecond))
				case errors.As(err, &refused) && refused.HoldExpired:
					want = "booking.expired/2"
					expired.Add(1)
					if b == nil {
						swept.Add(1)
					}
					lasts.Add(int64(200 * time.Microsecond))
				default:
					t.Errorf("confirm: %+v, %v, %v", b, changed, err)
					return
				}
				if got := outboxEvents(t, pool, n.Booking.ID); len(got) != 2 || got[0] != "booking.held/1" || got[1] != want {
					t.Errorf("the answer says %s, the events %v", want, got)
				}
			}
		})
	}
	working.Wait()
	t.Logf("%d confirmed, %d expired, of these %d by the sweep", confirmed.Load(), expired.Load(), swept.Load())
	require.EqualValues(t, tries, confirmed.Load()+expired.Load())
	require.Positive(t, confirmed.Load())
	require.Positive(t, expired.Load())
	testenv.RequireConsistent(t, pool)
	// Whoever looks later finds the winner.
	var wrong int
	require.NoError(t, pool.QueryRow(ctx, `
		SELECT count(*) FROM bookings b JOIN outbox o ON o.key = b.id AND o.booking_version = 2
		WHERE o.topic <> 'booking.' || b.status`).Scan(&wrong))
	require.Zero(t, wrong)
}

// Of the sweeps of several replicas one works at a time, and the others do not wait for it.
func TestOneSweepAtATime(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	_, err := repo.CreateBooking(ctx, bookingtest.New("v", "t1", 0))
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `UPDATE bookings SET expires_at = now() - interval '1 minute'`)
	require.NoError(t, err)

	other, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = other.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, sweepLock)
	require.NoError(t, err)
	expired, err := repo.ExpireHolds(ctx, 10, dom.Origin{Time: time.Now()})
	require.NoError(t, err)
	require.Empty(t, expired)
	require.NoError(t, other.Rollback(ctx))
	expired, err = repo.ExpireHolds(ctx, 10, dom.Origin{Time: time.Now()})
	require.NoError(t, err)
	require.Len(t, expired, 1)
}

// Creates race for the places of overdue holds, with each other, with sweeps, and with confirms that
// come too late. In each place one of them wins, and none is refused but for the winner.
func TestCreatesInThePlacesOfOverdueHolds(t *testing.T) {
	t.Parallel()
	const places, rivals = 60, 8
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	var late []string
	for i := range places {
		// One hold on two tables reaches into the place from before, another from after it.
		for _, hours := range []float64{-1, 1} {
			n := bookingtest.New(fmt.Sprint("v", i), "t1", hours, "t2")
			_, err := repo.CreateBooking(ctx, n)
			require.NoError(t, err)
			late = append(late, n.Booking.ID)
		}
	}
	_, err := pool.Exec(ctx, `UPDATE bookings SET expires_at = now() - interval '1 minute'`)
	require.NoError(t, err)

	stop := sweep(t, repo, 3)
	var working sync.WaitGroup
	for _, id := range late {
		working.Go(func() {
			_, _, err := repo.ChangeBooking(ctx, id, dom.Change{To: dom.StatusConfirmed})
			var refused *dom.TransitionError
			if !errors.As(err, &refused) || !refused.HoldExpired {
				t.Errorf("a confirm that is too late: %v", err)
			}
		})
	}
	wins := make([]atomic.Int64, places)
	for i := range places {
		for r := range rivals {
			working.Go(func() {
				venue := fmt.Sprint("v", i)
				// Alone or with the neighbour, at the same time or half an hour later.
				n := bookingtest.New(venue, "t1", float64(r%2)/2)
				if r%4 < 2 {
					n = bookingtest.New(venue, "t1", float64(r%2)/2, "t2")
				}
				_, err := repo.CreateBooking(ctx, n)
				switch {
				case err == nil:
					wins[i].Add(1)
				case errors.Is(err, dom.ErrSlotTaken):
					taken, err := repo.TakenTables(ctx, venue, []string{"t1"}, n.Booking.Sitting)
					if err != nil || !taken["t1"] {
						t.Errorf("place %d: refused, but nothing that counts is there: %v", i, err)
					}
				default:
					t.Errorf("place %d: %v", i, err)
				}
			})
		}
	}
	working.Wait()
	stop()
	for i := range wins {
		require.EqualValues(t, 1, wins[i].Load(), "winners of place %d", i)
	}
	for _, id := range late {
		require.Equal(t, []string{"booking.held/1", "booking.expired/2"}, outboxEvents(t, pool, id))
	}
	testenv.RequireConsistent(t, pool)
}
