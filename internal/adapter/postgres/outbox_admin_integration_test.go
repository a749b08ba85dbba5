//go:build integration

package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	infra "github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// putEvents adds n events of a state, of one booking, and answers their ids.
func putEvents(t *testing.T, pool *pgxpool.Pool, n int, status dom.OutboxStatus, topic, booking string, age time.Duration) []int64 {
	t.Helper()
	rows, err := pool.Query(context.Background(), `
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, status, retry_count, last_error, created_at, sent_at)
		SELECT $6::smallint, $3::varchar, $4::varchar, convert_to('{"customer_name": "Ada Lovelace"}', 'UTF8'), 'event-' || n, n,
			$2::varchar, CASE WHEN $2 = 'dlq' THEN 4 ELSE 0 END, CASE WHEN $2 = 'dlq' THEN 'too large' ELSE '' END,
			now() - $5::interval, CASE WHEN $2 = 'sent' THEN now() END
		FROM generate_series(1, $1::int) n RETURNING id`, n, string(status), topic, booking, age, dom.Shard(booking))
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	return ids
}

func idsOf(events []OutboxEvent) []int64 {
	ids := make([]int64, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	return ids
}

func TestOutboxAdminLists(t *testing.T) {
	t.Parallel()
	_, pool := openOutbox(t)
	ctx := context.Background()
	a := NewOutboxAdmin(pool)
	dlq := putEvents(t, pool, 2, dom.OutboxDLQ, "booking.held", "b1", 3*time.Hour)
	pending := putEvents(t, pool, 2, dom.OutboxPending, "booking.held", "b2", time.Hour)
	sent := putEvents(t, pool, 1, dom.OutboxSent, "booking.seated", "b1", 0)
	later := putEvents(t, pool, 1, dom.OutboxDLQ, "booking.seated", "b2", 0)

	waiting := []dom.OutboxStatus{dom.OutboxPending, dom.OutboxDLQ}
	given := []dom.OutboxStatus{dom.OutboxDLQ}
	for name, test := range map[string]struct {
		statuses []dom.OutboxStatus
		f        OutboxFilter
		limit    int
		want     []int64
	}{
		"two states":       {waiting, OutboxFilter{}, 0, slices.Concat(dlq, pending, later)},
		"one state":        {given, OutboxFilter{}, 0, slices.Concat(dlq, later)},
		"sent":             {[]dom.OutboxStatus{dom.OutboxSent}, OutboxFilter{}, 0, sent},
		"topic":            {waiting, OutboxFilter{Topic: "booking.seated"}, 0, later},
		"booking":          {waiting, OutboxFilter{BookingID: "b2"}, 0, slices.Concat(pending, later)},
		"age":              {waiting, OutboxFilter{OlderThan: 90 * time.Minute}, 0, dlq},
		"all of them":      {waiting, OutboxFilter{Topic: "booking.held", BookingID: "b2", OlderThan: time.Minute}, 0, pending},
		"limit":            {waiting, OutboxFilter{}, 3, slices.Concat(dlq, pending)[:3]},
		"nothing is so":    {given, OutboxFilter{Topic: "booking"}, 0, []int64{}},
		"text, not syntax": {given, OutboxFilter{BookingID: "' OR 1=1 --"}, 0, []int64{}},
	} {
		events, err := a.List(ctx, test.statuses, test.f, test.limit)
		require.NoError(t, err, name)
		require.Equal(t, test.want, idsOf(events), name)
	}

	found, err := a.Find(ctx, []int64{sent[0], dlq[1], 1 << 60})
	require.NoError(t, err)
	require.Equal(t, []int64{dlq[1], sent[0]}, idsOf(found))
	e := found[0]
	require.InDelta(t, 3*time.Hour, e.Age, float64(10*time.Minute))
	require.WithinDuration(t, time.Now().Add(-3*time.Hour), e.CreatedAt, 10*time.Minute)
	e.Age, e.CreatedAt = 0, time.Time{}
	require.Equal(t, OutboxEvent{
		ID: dlq[1], EventID: "event-2", Shard: dom.Shard("b1"), Topic: "booking.held", BookingID: "b1", BookingVersion: 2,
		Status: dom.OutboxDLQ, RetryCount: 4, LastError: "too large", PayloadSize: 33,
	}, e)
	require.WithinDuration(t, time.Now(), found[1].SentAt, 10*time.Minute)

	payload, err := a.Payload(ctx, dlq[0])
	require.NoError(t, err)
	require.JSONEq(t, `{"customer_name": "Ada Lovelace"}`, string(payload))
	payload, err = a.Payload(ctx, 1<<60)
	require.NoError(t, err)
	require.Nil(t, payload)
}

// Beside many sent events the few that were given up are found by their index.
func TestOutboxAdminFindsDLQByIndex(t *testing.T) {
	t.Parallel()
	// The commands' sessions plan a statement with its values.
	pool := configuredPool(t, func(cfg *pgxpool.Config) {
		for name := range infra.Planning {
			delete(cfg.ConnConfig.RuntimeParams, name)
		}
	})
	ctx := context.Background()
	putEvents(t, pool, 20_000, dom.OutboxSent, "booking.held", "b1", 0)
	ids := putEvents(t, pool, 3, dom.OutboxDLQ, "booking.held", "b2", 0)
	scans := func() (scanned, fetched int64) {
		require.NoError(t, pool.QueryRow(ctx, `
			SELECT seq_tup_read, coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'outbox'`,
		).Scan(&scanned, &fetched))
		return scanned, fetched
	}
	events, err := NewOutboxAdmin(pool).List(ctx, []dom.OutboxStatus{dom.OutboxDLQ}, OutboxFilter{}, 51)
	require.NoError(t, err)
	require.Equal(t, ids, idsOf(events))
	pool.Reset() // A connection that ends tells the server its counters.
	require.Eventually(t, func() bool { scanned, fetched := scans(); return scanned+fetched > 0 }, 10*time.Second, 20*time.Millisecond)
	scanned, fetched := scans()
	require.Zero(t, scanned, "rows read by scanning the table")
	require.Less(t, fetched, int64(100), "rows fetched by index")
}

func TestOutboxOverview(t *testing.T) {
	t.Parallel()
	r, pool := openOutbox(t)
	ctx := context.Background()
	a := NewOutboxAdmin(pool)
	o, err := a.Overview(ctx)
	require.NoError(t, err)
	require.Empty(t, o.Groups)
	require.Empty(t, o.Relays)
	require.Len(t, o.Unowned, dom.Shards)

	putEvents(t, pool, 3, dom.OutboxPending, "booking.held", "b1", time.Minute)
	putEvents(t, pool, 1, dom.OutboxPending, "booking.held", "b2", 2*time.Hour)
	putEvents(t, pool, 2, dom.OutboxDLQ, "booking.seated", "b1", 3*time.Hour)
	putEvents(t, pool, 5, dom.OutboxSent, "booking.held", "b1", time.Hour)
	// Two relays share the shards; then the lease of one shard of "b" lapses, and "c" was killed.
	for _, owner := range []string{"a", "b", "a"} {
		_, err := r.LeaseShards(ctx, owner, time.Minute)
		require.NoError(t, err)
	}
	leases, err := r.LeaseShards(ctx, "b", time.Minute)
	require.NoError(t, err)
	require.Len(t, leases, dom.Shards/2)
	lapsed := leases[0].Shard
	_, err = pool.Exec(ctx, `UPDATE outbox_leases SET leased_until = now() - interval '1 second' WHERE shard = $1`, lapsed)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `INSERT INTO outbox_relays (owner, alive_until) VALUES ('c', now() - interval '20 seconds')`)
	require.NoError(t, err)

	o, err = a.Overview(ctx)
	require.NoError(t, err)
	ages := make([]time.Duration, len(o.Groups))
	for i := range o.Groups {
		ages[i], o.Groups[i].Oldest = o.Groups[i].Oldest, 0
	}
	require.Equal(t, []OutboxGroup{
		{Topic: "booking.held", Status: dom.OutboxPending, Count: 4},
		{Topic: "booking.held", Status: dom.OutboxSent, Count: 5},
		{Topic: "booking.seated", Status: dom.OutboxDLQ, Count: 2},
	}, o.Groups)
	for i, want := range []time.Duration{2 * time.Hour, time.Hour, 3 * time.Hour} {
		require.InDelta(t, want, ages[i], float64(10*time.Minute))
	}
	require.Len(t, o.Relays, 3)
	require.Equal(t, []OutboxRelay{{Owner: "a", Shards: 32}, {Owner: "b", Shards: 31}}, o.Relays[:2])
	require.Equal(t, "c", o.Relays[2].Owner)
	require.GreaterOrEqual(t, o.Relays[2].Gone, 20*time.Second)
	require.Equal(t, []int16{lapsed}, o.Unowned)
}

func TestRetryAndDiscardChangeOnlyDLQ(t *testing.T) {
	t.Parallel()
	_, pool := openOutbox(t)
	ctx := context.Background()
	a := NewOutboxAdmin(pool)
	retried := putEvents(t, pool, changePage+1, dom.OutboxDLQ, "booking.held", "b1", time.Hour)
	discarded := putEvents(t, pool, changePage+1, dom.OutboxDLQ, "booking.held", "b2", time.Hour)
	pending := putEvents(t, pool, 2, dom.OutboxPending, "booking.held", "b3", time.Hour)
	sent := putEvents(t, pool, 2, dom.OutboxSent, "booking.held", "b3", time.Hour)
	others := slices.Concat(pending, sent, []int64{1 << 60})

	changed, err := a.Retry(ctx, slices.Concat(retried, others))
	require.NoError(t, err)
	require.Equal(t, retried, changed)
	changed, err = a.Discard(ctx, slices.Concat(discarded, retried, others))
	require.NoError(t, err)
	require.Equal(t, discarded, changed)

	events, err := a.List(ctx, []dom.OutboxStatus{dom.OutboxPending, dom.OutboxDLQ, dom.OutboxSent}, OutboxFilter{}, 0)
	require.NoError(t, err)
	require.Equal(t, slices.Concat(retried, pending, sent), idsOf(events), "what is discarded is gone, and nothing else")
	for _, e := range events[:len(retried)] {
		require.Equal(t, dom.OutboxPending, e.Status)
		require.Zero(t, e.RetryCount)
		require.Equal(t, "too large", e.LastError, "what it failed of before is kept")
	}
	for _, e := range events[len(retried)+len(pending):] {
		require.Equal(t, dom.OutboxSent, e.Status)
	}
}

// An operator who waits for another's change does not do it once more.
func TestOperatorsLookAgainAfterAWait(t *testing.T) {
	t.Parallel()
	_, pool := openOutbox(t)
	ctx := context.Background()
	for name, change := range map[string]func(context.Context, []int64) ([]int64, error){
		"retry": NewOutboxAdmin(pool).Retry, "discard": NewOutboxAdmin(pool).Discard,
	} {
		ids := putEvents(t, pool, 2, dom.OutboxDLQ, "booking.held", "b1", time.Hour)
		tx, err := pool.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, `UPDATE outbox SET status = 'sent' WHERE id = $1`, ids[0])
		require.NoError(t, err)
		type answer struct {
			changed []int64
			err     error
		}
		answers := make(chan answer, 1)
		go func() {
			changed, err := change(ctx, ids)
			answers <- answer{changed, err}
		}()
		require.Eventually(t, func() bool {
			var waits bool
			err := pool.QueryRow(ctx, `
				SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits)
			return err == nil && waits
		}, 10*time.Second, 10*time.Millisecond)
		require.NoError(t, tx.Commit(ctx))
		got := <-answers
		require.NoError(t, got.err, name)
		require.Equal(t, ids[1:], got.changed, name)
		var status string
		require.NoError(t, pool.QueryRow(ctx, `SELECT status FROM outbox WHERE id = $1`, ids[0]).Scan(&status))
		require.Equal(t, "sent", status, name)
	}
}

// Operators who retry and discard the same events at once, while a relay sends what is pending: each
// event is changed once, by the one who says so.
func TestOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	r, pool := openOutbox(t)
	ctx := context.Background()
	a := NewOutboxAdmin(pool)
	ids := putEvents(t, pool, 2000, dom.OutboxDLQ, "booking.held", "b1", time.Hour)
	leases, err := r.LeaseShards(ctx, "relay", time.Hour)
	require.NoError(t, err)

	var mu sync.Mutex
	doneBy := make(map[int64][]string)
	var operators sync.WaitGroup
	for i := range 6 {
		name, change := fmt.Sprint("retry ", i), a.Retry
		if i%2 == 1 {
			name, change = fmt.Sprint("discard ", i), a.Discard
		}
		mixed := slices.Clone(ids)
		rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		operators.Go(func() {
			for part := range slices.Chunk(mixed, 100) {
				changed, err := change(ctx, part)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				mu.Lock()
				for _, id := range changed {
					doneBy[id] = append(doneBy[id], name)
				}
				mu.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	var relay sync.WaitGroup
	relay.Go(func() {
		for last := false; ; {
			messages, err := r.GetPendingOutbox(ctx, []int16{dom.Shard("b1")}, 100, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if last && len(messages) == 0 {
				return
			}
			sent := make([]int64, len(messages))
			for i, m := range messages {
				sent[i] = m.ID
			}
			if _, err := r.MarkSent(ctx, "relay", leases, sent); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				last = true
			default:
			}
		}
	})
	operators.Wait()
	close(stop)
	relay.Wait()

	left, err := a.List(ctx, []dom.OutboxStatus{dom.OutboxPending, dom.OutboxDLQ, dom.OutboxSent}, OutboxFilter{}, 0)
	require.NoError(t, err)
	status := make(map[int64]dom.OutboxStatus)
	for _, e := range left {
		status[e.ID] = e.Status
	}
	retries := 0
	for _, id := range ids {
		require.Len(t, doneBy[id], 1, "event %d", id)
		if doneBy[id][0][0] == 'r' {
			retries++
			require.Equal(t, dom.OutboxSent, status[id], "event %d was retried", id)
		} else {
			require.Empty(t, status[id], "event %d was discarded", id)
		}
	}
	t.Logf("%d retried, %d discarded", retries, len(ids)-retries)
	require.Len(t, left, retries)
}

func TestOutboxAdminWithoutPostgres(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://nobody@127.0.0.1:1/nothing?connect_timeout=2")
	require.NoError(t, err)
	defer pool.Close()
	a := NewOutboxAdmin(pool)
	_, listErr := a.List(ctx, []dom.OutboxStatus{dom.OutboxDLQ}, OutboxFilter{}, 1)
	_, findErr := a.Find(ctx, []int64{1})
	_, payloadErr := a.Payload(ctx, 1)
	_, overviewErr := a.Overview(ctx)
	_, retryErr := a.Retry(ctx, []int64{1})
	_, discardErr := a.Discard(ctx, []int64{1})
	for name, err := range map[string]error{
		"list": listErr, "find": findErr, "payload": payloadErr, "overview": overviewErr, "retry": retryErr, "discard": discardErr,
	} {
		var away *dom.UnavailableError
		require.ErrorAs(t, err, &away, name)
		require.Equal(t, dom.Postgres, away.Dependency, name)
	}
}

// A count of a long outbox may take longer than a call's statements may.
func TestOutboxAdminReadsForLongerThanACall(t *testing.T) {
	t.Parallel()
	cfg, err := pgxpool.ParseConfig(testenv.PostgresURL(t))
	require.NoError(t, err)
	cfg.ConnConfig.RuntimeParams["statement_timeout"] = "50ms"
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(context.Background(), `SELECT pg_sleep(20)`)
	require.ErrorContains(t, err, "statement timeout")
	// The view takes its time in the place of a table that does.
	for _, statement := range []string{
		`ALTER TABLE outbox RENAME TO outbox_rows`,
		`CREATE VIEW outbox AS SELECT o.* FROM outbox_rows o, (SELECT pg_sleep(0.2) OFFSET 0) slow`,
	} {
		_, err := pool.Exec(context.Background(), statement)
		require.NoError(t, err)
	}
	_, err = NewOutboxAdmin(pool).Overview(context.Background())
	require.NoError(t, err)
}
