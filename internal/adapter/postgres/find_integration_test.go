//go:build integration

package postgres

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// Bookings that are looked for at the same time are read together; each caller gets its own.
func TestGatheredReads(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	ids := createDistinct(t, repo, 5)
	ids = append(ids, ids[0], "nobody")
	release := blockPool(t, pool)
	found, errs := make([]*dom.Booking, len(ids)), make([]error, len(ids))
	var working sync.WaitGroup
	for i, id := range ids {
		working.Go(func() { found[i], errs[i] = repo.GetBooking(ctx, id) })
	}
	requireQueued(t, repo.finds, len(ids))
	before := pool.Stat().AcquireCount()
	release()
	working.Wait()
	require.LessOrEqual(t, pool.Stat().AcquireCount()-before, int64(batchesAtOnce))
	for i, id := range ids[:6] {
		require.NoError(t, errs[i])
		require.Equal(t, id, found[i].ID)
	}
	require.Equal(t, found[0], found[5])
	require.NotSame(t, found[0], found[5])
	require.ErrorIs(t, errs[6], dom.ErrNotFound)
}

// Who has no more time is answered at once, although the batch goes on for another.
func TestReaderLeavesABatchThatRuns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	n := distinct(1)[0]
	_, err := repo.CreateBooking(ctx, n)
	require.NoError(t, err)
	locker, err := pgx.Connect(ctx, pool.Config().ConnString())
	require.NoError(t, err)
	defer locker.Close(ctx)
	_, err = locker.Exec(ctx, `BEGIN; LOCK TABLE bookings`)
	require.NoError(t, err)

	release := blockPool(t, pool)
	stays := make(chan error, 1)
	go func() { _, err := repo.GetBooking(ctx, n.Booking.ID); stays <- err }()
	leaving, leave := context.WithCancel(ctx)
	left := make(chan error, 1)
	go func() { _, err := repo.GetBooking(leaving, n.Booking.ID); left <- err }()
	requireQueued(t, repo.finds, 2)
	release()
	requireQueued(t, repo.finds, 0)
	leave()
	begin := time.Now()
	require.ErrorIs(t, <-left, context.Canceled)
	require.Less(t, time.Since(begin), 2*time.Second)
	require.Empty(t, stays)
	require.NoError(t, locker.Close(ctx))
	require.NoError(t, <-stays)
}
