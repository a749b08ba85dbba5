//go:build integration

package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// BenchmarkCreateBatch tells what a create costs in batches of several sizes, one batch at a time:
//
//	TEST_FSYNC=on scripts/with-servers.sh go test -tags=integration -run '^$' -bench CreateBatch ./internal/adapter/postgres
func BenchmarkCreateBatch(b *testing.B) {
	pool, err := pgxpool.New(context.Background(), testenv.PostgresURL(b))
	require.NoError(b, err)
	defer pool.Close()
	repo, tables := newRepository(pool), 0
	for _, size := range []int{1, 2, 5, 16, 64} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			conn, err := pool.Acquire(context.Background())
			require.NoError(b, err)
			defer conn.Release()
			for done := 0; done < b.N; done += size {
				batch := make([]*member[newRow], size)
				for i := range batch {
					tables++
					n := bookingtest.New(fmt.Sprintf("venue-%d", tables%50), fmt.Sprintf("table-%d", tables), 0)
					args, err := repo.createArgs(n)
					require.NoError(b, err)
					batch[i] = &member[newRow]{work: newRow{n.Booking, args}}
				}
				written, err := createBatch(context.Background(), conn, batch)
				require.NoError(b, err)
				require.Len(b, written, size)
			}
		})
	}
}
