package load

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Machine says in a line what the figures were measured on.
func Machine(ctx context.Context, db *pgxpool.Pool) string {
	var version, fsync, commit string
	err := db.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')`).
		Scan(&version, &fsync, &commit)
	if err != nil {
		version = err.Error()
	}
	return fmt.Sprintf("%d processors, %s; PostgreSQL %s, fsync %s, synchronous_commit %s; %s",
		runtime.NumCPU(), runtime.Version(), version, fsync, commit, time.Now().Format(time.DateOnly))
}
