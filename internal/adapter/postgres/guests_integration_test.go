//go:build integration

package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// dump writes every row of every table as text, binary columns too.
func dump(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	ctx := context.Background()
	rows, err := pool.Query(ctx, `
		SELECT c.relname, coalesce((SELECT string_agg(format('encode(%I, ''escape'')', attname), ' || ')
			FROM pg_attribute WHERE attrelid = c.oid AND atttypid = 'bytea'::regtype AND NOT attisdropped), '''''')
		FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Name, Binary string }])
	require.NoError(t, err)
	require.Greater(t, len(tables), 7)
	var all strings.Builder
	for _, table := range tables {
		rows, err := pool.Query(ctx, `SELECT row_to_json(r)::text || ' ' || `+table.Binary+` FROM `+table.Name+` r ORDER BY 1`)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		for _, line := range lines {
			all.WriteString(table.Name + " " + line + "\n")
		}
	}
	return all.String()
}

// guestOf has what a guest told, with who in each of it.
func guestOf(who string) []string {
	return []string{who + " Lovelace", "+49 30 " + who, "by the window, says " + who, "ill, says " + who, "hash-" + who}
}

// bookGuest makes a booking of a guest, and takes it through states.
func bookGuest(t *testing.T, repo *Repository, who string, to ...dom.Status) string {
	t.Helper()
	told := guestOf(who)
	n := bookingtest.New("v", "table-"+who, 0)
	n.Booking.CustomerName, n.Booking.CustomerPhone, n.Booking.Comment = told[0], told[1], told[2]
	n.IdempotencyKey, n.RequestHash = "key-"+n.Booking.ID, []byte(told[4])
	_, err := repo.CreateBooking(context.Background(), n)
	require.NoError(t, err)
	for _, status := range to {
		c := dom.Change{To: status}
		if status == dom.StatusCancelled {
			c.Reason = told[3]
		}
		_, changed, err := repo.ChangeBooking(context.Background(), n.Booking.ID, c)
		require.NoError(t, err)
		require.True(t, changed)
	}
	return n.Booking.ID
}

func setStatus(t *testing.T, pool *pgxpool.Pool, status string, id string) {
	t.Helper()
	_, err := pool.Exec(context.Background(), `UPDATE outbox SET status = $1, sent_at = now() WHERE key = $2`, status, id)
	require.NoError(t, err)
}

func requireForgotten(t *testing.T, all, who string) {
	t.Helper()
	for _, told := range guestOf(who) {
		require.NotContains(t, all, told)
	}
}

func requireTold(t *testing.T, all, who string) {
	t.Helper()
	for i, told := range guestOf(who) {
		if i != 3 { // The reason of a cancellation.
			require.Contains(t, all, told)
		}
	}
}

func records(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(context.Background(), `
		SELECT reason || ' ' || array_to_string(booking_ids, ',') FROM guest_erasures
		WHERE erased_at > now() - interval '1 hour' ORDER BY id`)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

func TestEraseLeavesNothingOfTheGuest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo, guests := newRepository(pool), NewGuestData(pool)
	cancelled := bookGuest(t, repo, "1001", dom.StatusCancelled)
	finished := bookGuest(t, repo, "1002", dom.StatusConfirmed, dom.StatusSeated, dom.StatusFinished)
	confirmed := bookGuest(t, repo, "1003", dom.StatusConfirmed)
	other := bookGuest(t, repo, "1004", dom.StatusCancelled)
	setStatus(t, pool, "sent", finished)
	setStatus(t, pool, "dlq", confirmed)
	before := dump(t, pool)
	for _, who := range []string{"1001", "1002", "1003", "1004"} {
		requireTold(t, before, who)
	}

	// However the number is written, its digits are what is looked for.
	for phone, want := range map[string]string{"49301001": cancelled, "49301003": confirmed} {
		found, err := guests.FindByPhone(ctx, phone)
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, want, found[0].ID)
		require.True(t, found[0].Tells)
	}
	found, err := guests.FindByPhone(ctx, "4930100")
	require.NoError(t, err)
	require.Empty(t, found, "a part of a number is none")

	erased, err := guests.Erase(ctx, []string{finished, confirmed, cancelled, "nobody"})
	require.NoError(t, err)
	require.Equal(t, []string{cancelled, finished}, erased)
	after := dump(t, pool)
	requireForgotten(t, after, "1001")
	requireForgotten(t, after, "1002")
	requireTold(t, after, "1003")
	requireTold(t, after, "1004")
	require.Equal(t, []string{"request " + cancelled + "," + finished}, records(t, pool))
	require.Equal(t, []string{"booking.held/1", "booking.confirmed/2", "booking.seated/3", "booking.finished/4"}, outboxEvents(t, pool, finished))
	testenv.RequireConsistent(t, pool)
	b, err := repo.GetBooking(ctx, cancelled)
	require.NoError(t, err)
	require.Equal(t, dom.StatusCancelled, b.Status)
	require.Equal(t, 2, b.Version)
	require.Empty(t, b.CustomerName+b.CustomerPhone+b.Comment)
	// The request that made it is not mistaken for a new one.
	_, hash, err := repo.FindByKey(ctx, "v", "key-"+cancelled)
	require.NoError(t, err)
	require.Empty(t, hash)

	erased, err = guests.Erase(ctx, []string{finished, confirmed, cancelled})
	require.NoError(t, err)
	require.Empty(t, erased)
	require.Equal(t, after, dump(t, pool), "a second run changes nothing")
	found, err = guests.FindByID(ctx, cancelled)
	require.NoError(t, err)
	require.False(t, found[0].Tells)
	require.NotEmpty(t, other)
}

func TestEraseDue(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo, guests := newRepository(pool), NewGuestData(pool)
	old := bookGuest(t, repo, "1001", dom.StatusCancelled)
	young := bookGuest(t, repo, "1002", dom.StatusCancelled)
	active := bookGuest(t, repo, "1003", dom.StatusConfirmed)
	for _, statement := range []string{
		`UPDATE bookings SET updated_at = now() - interval '50 hours', ends_at = now() - interval '50 hours',
			starts_at = now() - interval '52 hours' WHERE id = ANY ($1)`,
		`UPDATE outbox SET created_at = now() - interval '50 hours' WHERE key = ANY ($1)`,
	} {
		_, err := pool.Exec(ctx, statement, []string{old, active})
		require.NoError(t, err)
	}
	const age = 48 * time.Hour
	n, err := guests.EraseDue(ctx, age, 100)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	// A page at a time.
	erased, next := 0, int64(0)
	for range 10 {
		var n int
		n, next, err = guests.EraseDueEvents(ctx, age, next, 1)
		require.NoError(t, err)
		erased += n
		if next == 0 {
			break
		}
	}
	require.Equal(t, 2, erased)
	all := dump(t, pool)
	requireForgotten(t, all, "1001")
	requireTold(t, all, "1002")
	requireTold(t, all, "1003")
	require.Equal(t, []string{"retention " + old}, records(t, pool))
	unended, err := guests.CountUnended(ctx, age)
	require.NoError(t, err)
	require.Equal(t, 1, unended, "nobody has ended "+active)
	require.NotEmpty(t, young)

	n, err = guests.EraseDue(ctx, age, 100)
	require.NoError(t, err)
	require.Zero(t, n)
	erased, _, err = guests.EraseDueEvents(ctx, age, 0, 1000)
	require.NoError(t, err)
	require.Zero(t, erased)
	require.Equal(t, all, dump(t, pool))
}

// Erasures of several replicas and of a command, a relay, and changes, all at once: each event is sent once, in
// its booking's order, and nothing waits for each other in a circle.
func TestEraseWhileEventsAreSent(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo, guests := newRepository(pool), NewGuestData(pool)
	const bookings = 60
	ids := make([]string, bookings)
	for i := range ids {
		ids[i] = bookGuest(t, repo, fmt.Sprint(2000+i), dom.StatusConfirmed)
	}
	events := NewEventRepository(pool, metrics.New(prometheus.NewRegistry()))
	leases, err := events.LeaseShards(ctx, "relay", 10*time.Minute)
	require.NoError(t, err)
	shards := make([]int16, len(leases))
	for i, l := range leases {
		shards[i] = l.Shard
	}

	changed := make(chan struct{})
	var wg sync.WaitGroup
	failures := make(chan error, 1000)
	working := func(work func() error) {
		wg.Go(func() {
			for last := false; !last; {
				select {
				case <-changed:
					last = true
				default:
				}
				if err := work(); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	sent := make(map[string][]int)
	working(func() error {
		messages, err := events.GetPendingOutbox(ctx, shards, 3, nil)
		if err != nil || len(messages) == 0 {
			return err
		}
		marked := make([]int64, len(messages))
		for i, m := range messages {
			sent[m.Key] = append(sent[m.Key], m.BookingVersion)
			marked[i] = m.ID
		}
		_, err = events.MarkSent(ctx, "relay", leases, marked)
		return err
	})
	for range 2 {
		working(func() error {
			if _, err := guests.EraseDue(ctx, 0, 7); err != nil {
				return err
			}
			_, _, err := guests.EraseDueEvents(ctx, 0, 0, 1000)
			return err
		})
	}
	working(func() error {
		_, err := guests.Erase(ctx, ids)
		return err
	})
	for _, id := range ids {
		wg.Go(func() {
			if _, _, err := repo.ChangeBooking(ctx, id, dom.Change{To: dom.StatusCancelled, Reason: "ill"}); err != nil {
				failures <- err
			}
		})
	}
	require.Eventually(t, func() bool {
		var left int
		err := pool.QueryRow(ctx, `SELECT count(*) FROM bookings WHERE status <> 'cancelled'`).Scan(&left)
		return err == nil && left == 0
	}, 30*time.Second, 10*time.Millisecond)
	close(changed)
	wg.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	for left := 1; left > 0; { // What the last rounds have left.
		messages, err := events.GetPendingOutbox(ctx, shards, 100, nil)
		require.NoError(t, err)
		left = len(messages)
		var marked []int64
		for _, m := range messages {
			sent[m.Key] = append(sent[m.Key], m.BookingVersion)
			marked = append(marked, m.ID)
		}
		_, err = events.MarkSent(ctx, "relay", leases, marked)
		require.NoError(t, err)
	}
	_, err = guests.Erase(ctx, ids)
	require.NoError(t, err)
	for _, id := range ids {
		require.Equal(t, []int{1, 2, 3}, sent[id])
	}
	all := dump(t, pool)
	for i := range ids {
		requireForgotten(t, all, fmt.Sprint(2000+i))
	}
	erasures := 0
	for _, record := range records(t, pool) {
		erasures += 1 + strings.Count(record, ",")
	}
	require.Equal(t, bookings, erasures, "each is recorded once")
	testenv.RequireConsistent(t, pool)
}

// Bookings and events that lie pages apart are all found, without the time limit of a call.
func TestEraseInLargeTables(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t, "statement_timeout=1s")
	// 25,000 bookings, of which the first, the last and those at both sides of a page's end are the guest's.
	_, err := pool.Exec(ctx, `
		SET LOCAL statement_timeout = 0;
		WITH b AS (
			INSERT INTO bookings (id, venue_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone, party_size,
				customer_name, customer_phone, status)
			SELECT to_char(n, 'FM00000'), 'v', 't', '2030-01-05', '19:00', '21:00', '2030-01-05 18:00Z', '2030-01-05 20:00Z', 'UTC', 2,
				'Guest ' || n, CASE WHEN n IN (1, 10000, 10001, 25000) THEN '+49 30-777' ELSE n::text END, 'finished'
			FROM generate_series(1, 25000) n RETURNING id, customer_name
		)
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, status)
		SELECT 1, 'booking.held', id, convert_to(jsonb_build_object('customer_name', customer_name)::text, 'UTF8'), id, 1, 'sent' FROM b`)
	require.NoError(t, err)
	guests := NewGuestData(pool)
	found, err := guests.FindByPhone(ctx, "4930777")
	require.NoError(t, err)
	ids := make([]string, len(found))
	for i, b := range found {
		ids[i] = b.ID
	}
	require.Equal(t, []string{"00001", "10000", "10001", "25000"}, ids)
	erased, err := guests.Erase(ctx, ids)
	require.NoError(t, err)
	require.Equal(t, ids, erased)
	var left, others int
	require.NoError(t, pool.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE key = ANY ($1) AND payload <> '{}'), count(*) FILTER (WHERE key <> ALL ($1) AND payload <> '{}')
		FROM outbox`, ids).Scan(&left, &others))
	require.Zero(t, left)
	require.Equal(t, 24_996, others)
}
