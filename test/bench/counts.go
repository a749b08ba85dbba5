package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// large are the tables that grow with the bookings.
var large = []string{"bookings", "table_occupancies", "booking_events", "outbox"}

// scans answers how often each large table was read from end to end, by what PostgreSQL has counted.
func (s *size) scans(ctx context.Context) (map[string]int64, error) {
	rows, err := s.db.Query(ctx, `SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY ($1)`, large)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int64)
	var table string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&table, &n}, func() error {
		counts[table] = n
		return nil
	})
	return counts, err
}

// scansClaim says how often the service has read a large table from end to end.
func (s *size) scansClaim(ctx context.Context) (claim, error) {
	time.Sleep(settle) // a session, which tells its counts when it ends, outlives its connection for a moment
	now, err := s.scans(ctx)
	var counts []string
	met := len(now) == len(large)
	for _, table := range large {
		n := now[table] - s.filled[table]
		counts = append(counts, fmt.Sprintf("%s %d", table, n))
		met = met && n == 0
	}
	return claim{
		name:     fmt.Sprintf("tables read from end to end, %d bookings", s.bookings),
		measured: strings.Join(counts, ", "), goal: "none", met: met,
	}, err
}

// removal is how many sent events went away while the service was measured.
type removal struct {
	rows, elapsed float64
	// measurements is how many there were, and during how many of them events were removed.
	measurements, during int
}

// removed answers how many events have been removed from the outbox.
func (s *size) removed(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'outbox'`).Scan(&n)
	return n, err
}

// awaitRemoval waits until the service has begun to remove events, which it looks for every minute.
func (s *size) awaitRemoval(ctx context.Context) error {
	before, err := s.removed(ctx)
	for deadline := time.Now().Add(90 * time.Second); err == nil && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var now int64
		if now, err = s.removed(ctx); now > before {
			break
		}
	}
	return err
}

// watch notes how many events are removed during a measurement.
func (s *size) watch(ctx context.Context, measure func() error) error {
	before, err := s.removed(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := measure(); err != nil {
		return err
	}
	after, err := s.removed(ctx)
	s.removal.rows += float64(after - before)
	s.removal.elapsed += time.Since(began).Seconds()
	s.removal.measurements++
	if after > before {
		s.removal.during++
	}
	return err
}

func (r removal) claim(sent int) claim {
	return claim{
		name:     fmt.Sprintf("sent events of %d removed meanwhile", sent),
		measured: fmt.Sprintf("%.0f/s, during %d of %d measurements", r.rows/r.elapsed, r.during, r.measurements),
		goal:     "during each", met: r.during == r.measurements,
	}
}
