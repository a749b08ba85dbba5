//go:build integration

package postgres

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// changed is what a change answered.
type changed struct {
	booking *dom.Booking
	changed bool
	err     error
}

// confirmTogether confirms bookings at the same time, in one batch.
func confirmTogether(t *testing.T, repo *Repository, ids []string) []changed {
	t.Helper()
	release := blockPool(t, repo.pool)
	answers := make([]changed, len(ids))
	var working sync.WaitGroup
	for i, id := range ids {
		working.Go(func() {
			a := &answers[i]
			a.booking, a.changed, a.err = repo.ChangeBooking(context.Background(), id, dom.Change{To: dom.StatusConfirmed, AdminID: fmt.Sprint("admin-", i)})
		})
	}
	requireQueued(t, repo.changes, len(ids))
	release()
	working.Wait()
	return answers
}

// Each of a batch of changes is judged and answered for itself.
func TestGatheredChanges(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	create := func(table string) string {
		n := bookingtest.New("v", table, 0)
		_, err := repo.CreateBooking(ctx, n)
		require.NoError(t, err)
		return n.Booking.ID
	}
	held, twice, overdue, over, done := create("t1"), create("t2"), create("t3"), create("t4"), create("t5")
	_, err := pool.Exec(ctx, `UPDATE bookings SET expires_at = now() - interval '1 minute' WHERE id = $1`, overdue)
	require.NoError(t, err)
	_, _, err = repo.ChangeBooking(ctx, over, dom.Change{To: dom.StatusCancelled})
	require.NoError(t, err)
	_, _, err = repo.ChangeBooking(ctx, done, dom.Change{To: dom.StatusConfirmed})
	require.NoError(t, err)

	answers := confirmTogether(t, repo, []string{held, twice, twice, overdue, over, done, "nobody"})
	require.NoError(t, answers[0].err)
	require.True(t, answers[0].changed)
	require.Equal(t, held, answers[0].booking.ID)
	require.Equal(t, dom.StatusConfirmed, answers[0].booking.Status)
	// Of two that ask the same, one changes the booking, and both are answered it.
	require.NoError(t, answers[1].err)
	require.NoError(t, answers[2].err)
	require.NotEqual(t, answers[1].changed, answers[2].changed)
	require.Equal(t, 2, answers[1].booking.Version)
	require.Equal(t, 2, answers[2].booking.Version)
	var refused *dom.TransitionError
	require.ErrorAs(t, answers[3].err, &refused)
	require.Equal(t, dom.StatusExpired, answers[3].booking.Status, "it is expired on the way")
	require.ErrorAs(t, answers[4].err, &refused)
	require.Equal(t, dom.StatusCancelled, refused.From)
	require.NoError(t, answers[5].err)
	require.False(t, answers[5].changed)
	require.ErrorIs(t, answers[6].err, dom.ErrNotFound)

	require.Equal(t, []string{"booking.held/1", "booking.confirmed/2"}, outboxEvents(t, pool, held))
	require.Equal(t, []string{"booking.held/1", "booking.confirmed/2"}, outboxEvents(t, pool, twice))
	require.Equal(t, []string{"booking.held/1", "booking.expired/2"}, outboxEvents(t, pool, overdue))
	require.Equal(t, []string{"booking.held/1", "booking.cancelled/2"}, outboxEvents(t, pool, over))
	testenv.RequireConsistent(t, pool)
}

// A change that cannot be written fails alone.
func TestPoisonedChange(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	ids := createDistinct(t, repo, 8)
	_, err := pool.Exec(ctx, `ALTER TABLE bookings ADD CONSTRAINT poison CHECK (status = 'held' OR id <> '`+ids[3]+`')`)
	require.NoError(t, err)
	for i, a := range confirmTogether(t, repo, ids) {
		if i == 3 {
			require.Error(t, a.err)
			continue
		}
		require.NoError(t, a.err)
		require.True(t, a.changed)
		require.Len(t, outboxEvents(t, pool, ids[i]), 2)
	}
	require.Len(t, outboxEvents(t, pool, ids[3]), 1)
	testenv.RequireConsistent(t, pool)
}

// A booking that somebody locks for long delays those who want to change it, and nobody else.
func TestLockedBookingDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := configuredPool(t, func(cfg *pgxpool.Config) {
		cfg.MaxConns = 16
		cfg.ConnConfig.RuntimeParams["lock_timeout"] = "60s"
	})
	repo := newRepository(pool)
	ids := createDistinct(t, repo, 8)
	locker, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = locker.Rollback(ctx) }()
	_, err = locker.Exec(ctx, `SELECT FROM bookings WHERE id = $1 FOR UPDATE`, ids[0])
	require.NoError(t, err)

	waits := make(chan error, 1)
	begin := time.Now()
	var others sync.WaitGroup
	for i, id := range ids {
		confirm := func() error {
			_, _, err := repo.ChangeBooking(ctx, id, dom.Change{To: dom.StatusConfirmed})
			return err
		}
		if i == 0 {
			go func() { waits <- confirm() }()
			continue
		}
		others.Go(func() {
			if err := confirm(); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	others.Wait()
	t.Logf("the others took %v", time.Since(begin))
	require.Less(t, time.Since(begin), 4*time.Second)
	require.Empty(t, waits)
	require.NoError(t, locker.Rollback(ctx))
	require.NoError(t, <-waits)
	testenv.RequireConsistent(t, pool)
}

// A change whose answer was lost, and that is tried again when the booking has already been changed further, is
// answered what the first attempt came to.
func TestRepeatedChangeIsAnsweredByItsFirstAttempt(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	n := bookingtest.New("v", "t1", 0)
	_, err := repo.CreateBooking(ctx, n)
	require.NoError(t, err)
	for _, to := range []dom.Status{dom.StatusConfirmed, dom.StatusSeated} {
		_, _, err = repo.ChangeBooking(ctx, n.Booking.ID, dom.Change{To: to})
		require.NoError(t, err)
	}
	var event string
	require.NoError(t, pool.QueryRow(ctx, `SELECT id FROM booking_events WHERE version = 2`).Scan(&event))
	repeat := func(tried string, refusal *dom.TransitionError) *changing {
		c := &changing{id: n.Booking.ID, change: dom.Change{To: dom.StatusConfirmed}, tried: tried, refusal: refusal}
		require.NoError(t, pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
			return inTx(ctx, conn, func(tx *transaction) error { return repo.changeTogether(ctx, tx, []*changing{c}) })
		}))
		return c
	}
	c := repeat(event, nil)
	require.True(t, c.changed)
	require.Nil(t, c.refused)
	require.Equal(t, dom.StatusSeated, c.booking.Status)

	refusal := &dom.TransitionError{From: dom.StatusHeld, To: dom.StatusConfirmed}
	c = repeat(event, refusal)
	require.False(t, c.changed)
	require.Equal(t, refusal, c.refused)

	c = repeat("of a transaction that was rolled back", nil)
	require.False(t, c.changed)
	require.NotNil(t, c.refused)
	require.Len(t, outboxEvents(t, pool, n.Booking.ID), 3)
}
