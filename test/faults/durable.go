package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// acknowledged is what the clients were told.
type acknowledged struct{ creates, changes int }

// checkAcknowledged answers what was acknowledged and is not in the database, or is there twice, or
// otherwise than asked for.
func checkAcknowledged(h *history, s *store) (told acknowledged, problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, o := range h.operations {
		switch {
		case o.Kind == create:
			b := s.byKey[o.Key]
			if o.Twin != "" && (b == nil || b.ID != o.Twin) {
				say("create %s was answered booking %s when it was sent at the same time once more, its key has another", o.Key, o.Twin)
			}
			switch {
			case !o.ok():
				if o.last().clear() && b != nil && b.Events[0].At < o.last().Start-statementLimit {
					say("create %s was refused %s, although it had made booking %s before", o.Key, o.last().Reason, b.ID)
				}
				continue
			case b == nil || b.ID != o.BookingID:
				say("create %s was answered booking %s, which its key does not have", o.Key, o.BookingID)
			case !slices.Equal(b.tables(), o.Tables) || b.Date != o.Date || b.From != o.From || b.Minutes != o.Minutes || b.Party != o.Party:
				say("booking %s is not what was asked for: %+v", b.ID, *b)
			}
			told.creates++
		case o.Kind == change && o.ok():
			b := s.bookings[o.BookingID]
			if b == nil || !slices.ContainsFunc(b.Events, func(e stampedEvent) bool { return e.becomes() == o.To }) {
				say("booking %s was answered to be %s, which it never was", o.BookingID, o.To)
			}
			told.changes++
		}
	}
	return told, problems
}

// checkLives answers the bookings whose audit log tells no life that there can be.
func checkLives(s *store) (problems []string) {
	for _, b := range s.bookings {
		say := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf("booking %s: ", b.ID)+fmt.Sprintf(format, args...))
		}
		if len(b.Events) == 0 {
			say("no event tells of it")
			continue
		}
		before := byte(absent)
		for i, e := range b.Events {
			to := states[e.becomes()]
			switch {
			case e.Version != i+1:
				say("event %d has version %d", i+1, e.Version)
			case i == 0 && to != 'h', i > 0 && !strings.Contains(allowed[string(to)], string(before)):
				say("version %d made it %s, after state %c", e.Version, e.becomes(), before)
			case to == 'x' && e.At+statementLimit < b.Expires:
				say("expired %v before its time", b.Expires-e.At)
			// The transaction may have begun a little before the hold ran out, never after it.
			case to == 'c' && e.At > b.Expires+time.Second:
				say("confirmed %v after its hold had run out", e.At-b.Expires)
			}
			before = to
		}
		if last := b.Events[len(b.Events)-1]; last.becomes() != b.Status || last.Version != b.Version {
			say("it is %s in version %d, its last event says %s in %d", b.Status, b.Version, last.becomes(), last.Version)
		}
	}
	return problems
}

// invariants are counts that must be zero, in SQL.
var invariants = map[string]string{
	"pairs of bookings overlap on a table": `
		SELECT count(*) FROM bookings a JOIN bookings b ON a.id < b.id AND a.date = b.date AND a.venue_id = b.venue_id
		WHERE a.status IN ('held', 'confirmed', 'seated') AND b.status IN ('held', 'confirmed', 'seated')
		  AND tstzrange(a.starts_at, a.ends_at) && tstzrange(b.starts_at, b.ends_at)
		  AND (a.table_id || a.joined_table_ids) && (b.table_id || b.joined_table_ids)`,
	"bookings disagree with table_occupancies": `
		SELECT count(*) FROM (
			SELECT id, t, starts_at, ends_at FROM bookings, unnest(table_id || joined_table_ids) t
			WHERE status IN ('held', 'confirmed', 'seated')
		) b FULL JOIN table_occupancies o ON o.booking_id = b.id AND o.table_id = b.t
			AND o.during = tstzrange(b.starts_at, b.ends_at)
		WHERE b.id IS NULL OR o.booking_id IS NULL`,
	"events of the audit log are not in the outbox, or the other way round": `
		SELECT count(*) FROM booking_events e FULL JOIN outbox o
			ON o.event_id = e.id AND o.key = e.booking_id AND o.booking_version = e.version AND o.topic = e.type
		WHERE e.id IS NULL OR o.id IS NULL`,
	"events of a booking have ids in another order than their versions": `
		SELECT count(*) FROM outbox a JOIN outbox b ON a.key = b.key AND a.booking_version < b.booking_version AND a.id > b.id`,
}

// checkInvariants answers those that do not hold.
func checkInvariants(ctx context.Context, db *pgxpool.Pool) (problems []string, err error) {
	for what, statement := range invariants {
		var n int
		if err := db.QueryRow(ctx, statement).Scan(&n); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		if n > 0 {
			problems = append(problems, fmt.Sprintf("%d %s", n, what))
		}
	}
	return problems, nil
}
