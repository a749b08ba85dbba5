package testenv

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/test/consistency"
)

// RequireConsistent checks what holds after any run in a database of bookings whose events are all
// still there (consistency.Violations), and that no deadlock came to pass.
func RequireConsistent(t require.TestingT, db *pgxpool.Pool) {
	ctx := context.Background()
	violations, err := consistency.Violations(ctx, db)
	require.NoError(t, err)
	require.Empty(t, violations)
	var deadlocks int
	require.NoError(t, db.QueryRow(ctx, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks))
	require.Zero(t, deadlocks, "deadlocks")
}
