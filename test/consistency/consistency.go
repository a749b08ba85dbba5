// Package consistency tells whether a database of bookings agrees with itself. Tests ask it, and the
// fault harness.
package consistency

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
)

// violations are counts that are zero after any run, as long as no event has been removed.
var violations = map[string]string{
	"active bookings that overlap on a table": `
		SELECT count(*) FROM (
			SELECT starts_at, max(ends_at) OVER (
				PARTITION BY venue_id, t ORDER BY starts_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS taken_until
			FROM bookings, unnest(table_id || joined_table_ids) t WHERE status IN ('held', 'confirmed', 'seated')
		) b WHERE starts_at < taken_until`,
	"tables occupied for no active booking, or not occupied for one": `
		SELECT count(*) FROM (
			SELECT id, venue_id, unnest(table_id || joined_table_ids) AS table_id, tstzrange(starts_at, ends_at) AS during
			FROM bookings WHERE status IN ('held', 'confirmed', 'seated')
		) b FULL JOIN table_occupancies o ON o.booking_id = b.id AND o.venue_id = b.venue_id
			AND o.table_id = b.table_id AND o.during = b.during
		WHERE b.id IS NULL OR o.booking_id IS NULL`,
	"bookings whose versions are not each in the audit log": `
		SELECT count(*) FROM bookings b WHERE (SELECT array_agg(version ORDER BY version) FROM booking_events WHERE booking_id = b.id)
			IS DISTINCT FROM (SELECT array_agg(v) FROM generate_series(1, version) v)`,
	"bookings whose state is not that of their last event": `
		SELECT count(*) FROM bookings b JOIN booking_events e ON e.booking_id = b.id AND e.version = b.version
		WHERE e.type <> 'booking.' || b.status`,
	"events that are not in both the audit log and the outbox, or differ": `
		SELECT count(*) FROM booking_events e FULL JOIN outbox o ON o.event_id = e.id
		WHERE e.id IS NULL OR o.id IS NULL OR o.key <> e.booking_id OR o.booking_version <> e.version
			OR o.topic <> e.type OR convert_from(o.payload, 'UTF8')::jsonb <> e.payload_json`,
	"events that are in the outbox twice or not in the order of their versions": `
		SELECT count(*) FROM (
			SELECT booking_version, lag(booking_version, 1, 0) OVER (PARTITION BY key ORDER BY id) AS before FROM outbox
		) o WHERE booking_version <> before + 1`,
}

// Violations answers what does not hold in a database of bookings whose events are all still there: no
// two bookings overlap on a table, tables are occupied exactly by the active bookings, the audit log and
// the outbox tell of each change once, without gaps and in order. An error means that it could not be
// found out.
func Violations(ctx context.Context, db *pgxpool.Pool) (found []string, err error) {
	for _, what := range slices.Sorted(maps.Keys(violations)) {
		var n int
		if err := db.QueryRow(ctx, violations[what]).Scan(&n); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		if n > 0 {
			found = append(found, fmt.Sprintf("%d %s", n, what))
		}
	}
	return found, nil
}
