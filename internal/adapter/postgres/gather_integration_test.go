//go:build integration

package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/kafka"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// blockPool takes every connection of a pool until it is told to give them back.
func blockPool(t *testing.T, pool *pgxpool.Pool) (release func()) {
	t.Helper()
	conns := make([]*pgxpool.Conn, pool.Config().MaxConns)
	for i := range conns {
		conn, err := pool.Acquire(context.Background())
		require.NoError(t, err)
		conns[i] = conn
	}
	release = func() {
		for _, conn := range conns {
			conn.Release()
		}
	}
	t.Cleanup(release)
	return release
}

// createTogether creates bookings of one table each at the same time, in as few batches as possible,
// and answers what each create answered.
func createTogether(t *testing.T, repo *Repository, news []dom.NewBooking) []error {
	t.Helper()
	release := blockPool(t, repo.pool)
	errs := startTogether(t, repo, news)
	release()
	return errs()
}

// startTogether begins creates, and returns when they wait for a connection; errs waits for their end.
func startTogether(t *testing.T, repo *Repository, news []dom.NewBooking) (errs func() []error) {
	t.Helper()
	answers := make([]error, len(news))
	var working sync.WaitGroup
	for i, n := range news {
		working.Go(func() { _, answers[i] = repo.CreateBooking(context.Background(), n) })
	}
	requireQueued(t, repo.creates, len(news))
	return func() []error {
		working.Wait()
		return answers
	}
}

func requireQueued[W any](t *testing.T, g *gatherer[W], n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.queue) == n
	}, 20*time.Second, time.Millisecond)
}

func distinct(n int) []dom.NewBooking {
	var news []dom.NewBooking
	for i := range n {
		news = append(news, bookingtest.New("v", fmt.Sprintf("t%02d", n-i), 0))
	}
	return news
}

// createDistinct creates bookings on tables of their own, and answers their ids.
func createDistinct(t *testing.T, repo *Repository, n int) (ids []string) {
	t.Helper()
	for _, n := range distinct(n) {
		_, err := repo.CreateBooking(context.Background(), n)
		require.NoError(t, err)
		ids = append(ids, n.Booking.ID)
	}
	return ids
}

func inUTC(b dom.Booking) dom.Booking {
	for _, at := range []*time.Time{&b.CreatedAt, &b.UpdatedAt, &b.ExpiresAt, &b.Sitting.Start, &b.Sitting.End, &b.Slot.Date} {
		*at = at.UTC()
	}
	return b
}

// Each of a batch is written as it would be alone.
func TestGatheredCreatesAreWrittenWhole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	registry := prometheus.NewRegistry()
	repo := NewRepository(pool, kafka.EncodeEvent, metrics.New(registry))
	news := distinct(batchSize)
	for i := range news {
		n := &news[i]
		n.Booking.CustomerName = fmt.Sprint(`"expires_at":"0" \ 🪟 `, i)
		n.Booking.PartySize = 1 + i
		n.HoldTTL = time.Duration(1+i) * time.Minute
		n.Origin.TraceParent = fmt.Sprint("trace-", i)
		if i%2 == 0 {
			n.IdempotencyKey, n.RequestHash = fmt.Sprint("key-", i), []byte{byte(i)}
		}
	}
	for _, err := range createTogether(t, repo, news) {
		require.NoError(t, err)
	}
	for i, n := range news {
		stored, err := repo.GetBooking(ctx, n.Booking.ID)
		require.NoError(t, err)
		require.Equal(t, inUTC(*n.Booking), inUTC(*stored))
		require.Equal(t, n.HoldTTL, n.Booking.ExpiresAt.Sub(n.Booking.CreatedAt))
		var name, trace string
		var expires int64
		var shard int16
		require.NoError(t, pool.QueryRow(ctx, `
			SELECT payload_json->>'customer_name', (payload_json->'held'->>'expires_at')::bigint, traceparent, shard
			FROM booking_events e JOIN outbox ON event_id = e.id WHERE key = $1`, n.Booking.ID).Scan(&name, &expires, &trace, &shard))
		require.Equal(t, n.Booking.CustomerName, name)
		require.Equal(t, n.Booking.ExpiresAt.Unix(), expires)
		require.Equal(t, n.Origin.TraceParent, trace)
		require.Equal(t, dom.Shard(n.Booking.ID), shard)
		b, hash, err := repo.FindByKey(ctx, "v", fmt.Sprint("key-", i))
		if i%2 != 0 {
			require.ErrorIs(t, err, dom.ErrNotFound)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, n.Booking.ID, b.ID)
		require.Equal(t, n.RequestHash, hash)
	}
	testenv.RequireConsistent(t, pool)

	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "booking_create_batch_size" {
			require.Equal(t, uint64(1), f.Metric[0].Histogram.GetSampleCount())
			require.InDelta(t, batchSize, f.Metric[0].Histogram.GetSampleSum(), 0)
			return
		}
	}
	t.Fatal("no metric of batches")
}

func TestGatheredRivals(t *testing.T) {
	t.Parallel()
	const slots, callers = 4, 64
	pool := newPool(t)
	repo := newRepository(pool)
	var news []dom.NewBooking
	for i := range callers {
		news = append(news, bookingtest.New("v", fmt.Sprint("t", i%slots), 0))
	}
	winners := make([]int, slots)
	for i, err := range createTogether(t, repo, news) {
		if err == nil {
			winners[i%slots]++
			continue
		}
		require.ErrorIs(t, err, dom.ErrSlotTaken)
	}
	require.Equal(t, []int{1, 1, 1, 1}, winners)
	testenv.RequireConsistent(t, pool)
}

// A member that the server refuses is refused alone.
func TestPoisonedMembers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	// Refused at the commit, when each statement has had its answer.
	_, err := pool.Exec(ctx, `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused late'; END $$;
		CREATE CONSTRAINT TRIGGER late AFTER INSERT ON bookings DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (NEW.comment = 'refuse late') EXECUTE FUNCTION refuse()`)
	require.NoError(t, err)
	used := bookingtest.New("v", "before", 0)
	used.IdempotencyKey, used.RequestHash = "used", []byte("hash")
	_, err = repo.CreateBooking(ctx, used)
	require.NoError(t, err)
	for code, poison := range map[string]func(*dom.NewBooking){
		"23514": func(n *dom.NewBooking) { n.Booking.PartySize = 0 },
		"22001": func(n *dom.NewBooking) { n.Booking.CustomerName = strings.Repeat("x", 256) },
		"22021": func(n *dom.NewBooking) { n.Booking.CustomerPhone = "\x00" },
		"P0001": func(n *dom.NewBooking) { n.Booking.Comment = "refuse late" },
		"":      func(n *dom.NewBooking) { n.IdempotencyKey, n.RequestHash = "used", []byte("hash") },
	} {
		news := distinct(16)
		for i := range news {
			news[i].Booking.VenueID = "v" + code
		}
		poisoned := &news[5]
		poison(poisoned)
		if code == "" {
			poisoned.Booking.VenueID = "v"
		}
		for i, err := range createTogether(t, repo, news) {
			if i != 5 {
				require.NoError(t, err)
				continue
			}
			if code == "" {
				require.ErrorIs(t, err, dom.ErrKeyReused)
				continue
			}
			var pg *pgconn.PgError
			require.ErrorAs(t, err, &pg)
			require.Equal(t, code, pg.Code)
		}
		_, err = repo.GetBooking(ctx, poisoned.Booking.ID)
		require.ErrorIs(t, err, dom.ErrNotFound)
	}
	testenv.RequireConsistent(t, pool)
}

// A table that somebody holds for long delays those who want it, and nobody else.
func TestLockedTableDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := newPool(t, "lock_timeout=60s")
	repo := newRepository(pool)
	locker, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = locker.Rollback(ctx) }()
	var want []dom.NewBooking
	for i := range batchesAtOnce {
		n := bookingtest.New("v", fmt.Sprint("locked", i), 0)
		want = append(want, n)
		_, err = locker.Exec(ctx, `INSERT INTO table_occupancies VALUES ('other', 'v', $1, tstzrange($2, $3))`,
			n.Booking.Table.TableID, n.Booking.Sitting.Start, n.Booking.Sitting.End)
		require.NoError(t, err)
	}
	waits := make(chan error, len(want))
	create := func(n dom.NewBooking) {
		_, err := repo.CreateBooking(ctx, n)
		waits <- err
	}
	// One comes in a batch with others, the rest alone: all that may run at a time would be held up.
	begin := time.Now()
	go create(want[0])
	time.Sleep(10 * time.Millisecond)
	for _, n := range want[1:] {
		go create(n)
	}
	var others sync.WaitGroup
	for _, n := range distinct(10) {
		others.Go(func() {
			if _, err := repo.CreateBooking(ctx, n); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	others.Wait()
	t.Logf("the others took %v", time.Since(begin))
	require.Less(t, time.Since(begin), 4*time.Second)
	require.Empty(t, waits)
	require.NoError(t, locker.Rollback(ctx))
	for range want {
		require.NoError(t, <-waits)
	}
	testenv.RequireConsistent(t, pool)
}

// The limit that a batch sets for itself is gone with it, however it ends.
func TestBatchLeavesTheSessionAsItWas(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := configuredPool(t, func(cfg *pgxpool.Config) {
		cfg.MaxConns = 1
		cfg.ConnConfig.RuntimeParams["lock_timeout"] = "7s"
	})
	repo := newRepository(pool)
	// Within a batch it is there.
	_, err := pool.Exec(ctx, `
		CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS "limit";
		CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO seen SELECT current_setting('lock_timeout'); RETURN NULL; END $$;
		CREATE TRIGGER see AFTER INSERT ON bookings FOR EACH STATEMENT EXECUTE FUNCTION see()`)
	require.NoError(t, err)
	for _, members := range []int{1, 3} {
		for i, name := range []string{"Ada", "\x00"} {
			news := distinct(members)
			for j := range news {
				news[j].Booking.VenueID = fmt.Sprint("v", members, i)
			}
			news[0].Booking.CustomerName = name
			createTogether(t, repo, news)
			var limit string
			require.NoError(t, pool.QueryRow(ctx, `SHOW lock_timeout`).Scan(&limit))
			require.Equal(t, "7s", limit)
		}
	}
	var limits string
	require.NoError(t, pool.QueryRow(ctx, `SELECT string_agg(DISTINCT "limit", ' ' ORDER BY "limit") FROM seen`).Scan(&limits))
	require.Equal(t, "100ms 7s", limits)
}

func TestCancelledInTheQueue(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	repo := newRepository(pool)
	release := blockPool(t, pool)
	ctx, cancel := context.WithCancel(context.Background())
	gone := bookingtest.New("v", "gone", 0)
	left := make(chan error, 1)
	go func() {
		_, err := repo.CreateBooking(ctx, gone)
		left <- err
	}()
	requireQueued(t, repo.creates, 1)
	cancel()
	err := <-left
	require.ErrorIs(t, err, context.Canceled)
	requireQueued(t, repo.creates, 0)
	errs := startTogether(t, repo, distinct(3))
	release()
	for _, err := range errs() {
		require.NoError(t, err)
	}
	_, err = repo.GetBooking(context.Background(), gone.Booking.ID)
	require.ErrorIs(t, err, dom.ErrNotFound)
	testenv.RequireConsistent(t, pool)
}

// Creates of all kinds, cancels and sweeps at once never wait for each other in a circle.
func TestGatheredWithAllOthers(t *testing.T) {
	t.Parallel()
	const callers, tries, tables = 32, 40, 6
	ctx := context.Background()
	pool := newPool(t)
	repo := newRepository(pool)
	stop := sweep(t, repo, 1)
	var working sync.WaitGroup
	for c := range callers {
		working.Go(func() {
			rnd := rand.New(rand.NewPCG(3, uint64(c)))
			for range tries {
				at := rnd.Perm(tables)
				n := bookingtest.New("v", fmt.Sprint("t", at[0]), float64(rnd.IntN(8)))
				if rnd.IntN(4) == 0 {
					n = bookingtest.New("v", fmt.Sprint("t", at[0]), float64(rnd.IntN(8)), fmt.Sprint("t", at[1]))
				}
				if rnd.IntN(2) == 0 {
					n.HoldTTL = time.Duration(rnd.IntN(20)) * time.Millisecond
				}
				if rnd.IntN(2) == 0 {
					n.IdempotencyKey, n.RequestHash = fmt.Sprint("key-", rnd.IntN(callers*tries)), []byte("hash")
				}
				_, err := repo.CreateBooking(ctx, n)
				if err == nil && rnd.IntN(2) == 0 {
					_, _, err = repo.ChangeBooking(ctx, n.Booking.ID, dom.Change{To: dom.StatusCancelled})
				}
				var refused *dom.TransitionError
				if err != nil && !errors.Is(err, dom.ErrSlotTaken) && !errors.Is(err, dom.ErrKeyReused) && !errors.As(err, &refused) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	working.Wait()
	stop()
	testenv.RequireConsistent(t, pool)
}

// The trace of each member tells how long it waited and with how many it was written.
func TestTracesTellOfTheBatch(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	repo := newRepository(pool)
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	release := blockPool(t, pool)
	var working sync.WaitGroup
	for _, n := range distinct(3) {
		working.Go(func() {
			ctx, span := tracer.Start(context.Background(), "CreateBooking")
			defer span.End()
			if _, err := repo.CreateBooking(ctx, n); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	requireQueued(t, repo.creates, 3)
	time.Sleep(20 * time.Millisecond)
	release()
	working.Wait()
	require.Len(t, recorder.Ended(), 3)
	for _, span := range recorder.Ended() {
		attributes := attribute.NewSet(span.Attributes()...)
		among, _ := attributes.Value("batch.size")
		require.Equal(t, int64(3), among.AsInt64())
		waited, _ := attributes.Value("batch.wait_ms")
		require.GreaterOrEqual(t, waited.AsFloat64(), 20.0)
	}
}
