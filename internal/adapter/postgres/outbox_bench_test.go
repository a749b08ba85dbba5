//go:build integration

package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/kafka"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// The outbox of a busy day, in minutes: so many events, so many of them a second, kept for so long.
const (
	busyEvents = 1_000_000
	busyRate   = 5000
	busyKept   = time.Minute
)

// BenchmarkOutboxBloat writes a million events, marks them as sent and removes them, as the service
// does, and tells how large the outbox becomes meanwhile: with the settings of autovacuum that the
// migrations give it, and with the server's. A day has become a minute, so the server is told to look
// every second, and not every minute, whether there is something to vacuum. It takes ten minutes:
//
//	TEST_FSYNC=on scripts/with-servers.sh go test -tags=integration -run '^$' -bench OutboxBloat -benchtime 1x -v ./internal/adapter/postgres
func BenchmarkOutboxBloat(b *testing.B) {
	admin, err := pgxpool.New(context.Background(), testenv.PostgresURL(b))
	require.NoError(b, err)
	defer admin.Close()
	set := func(statement string) {
		for _, s := range []string{statement, `SELECT pg_reload_conf()`} {
			_, err := admin.Exec(context.Background(), s)
			require.NoError(b, err)
		}
	}
	set(`ALTER SYSTEM SET autovacuum_naptime = '1s'`)
	defer set(`ALTER SYSTEM RESET autovacuum_naptime`)
	for name, statement := range map[string]string{
		"migrated": `SELECT 1`,
		"server's": `ALTER TABLE outbox RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
			autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold,
			autovacuum_analyze_scale_factor, autovacuum_analyze_threshold, autovacuum_vacuum_cost_delay)`,
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				busyDay(b, statement)
			}
		})
	}
}

type outboxSize struct{ Table, Key, Pending, Rows, Dead, Vacuums int64 }

func (s outboxSize) total() int64 { return s.Table + s.Key + s.Pending }

func sizeOfOutbox(b *testing.B, pool *pgxpool.Pool) (s outboxSize) {
	b.Helper()
	require.NoError(b, pool.QueryRow(context.Background(), `
		SELECT pg_table_size('outbox'), pg_relation_size('outbox_pkey'), pg_relation_size('idx_outbox_pending'),
			n_live_tup, n_dead_tup, autovacuum_count
		FROM pg_stat_user_tables WHERE relname = 'outbox'`,
	).Scan(&s.Table, &s.Key, &s.Pending, &s.Rows, &s.Dead, &s.Vacuums))
	return s
}

func busyDay(b *testing.B, statement string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pool, err := pgxpool.New(ctx, testenv.PostgresURL(b))
	require.NoError(b, err)
	defer pool.Close()
	_, err = pool.Exec(ctx, statement)
	require.NoError(b, err)
	repo := NewEventRepository(pool, metrics.New(prometheus.NewRegistry()))
	leases, err := repo.LeaseShards(ctx, "relay", time.Hour)
	require.NoError(b, err)
	n := bookingtest.New("venue-1", "table-1", 0)
	payload, err := kafka.EncodeEvent(n.Booking.Held(n.Origin))
	require.NoError(b, err)

	var working sync.WaitGroup
	var written, sent, deleted atomic.Int64
	fail := func(err error) bool {
		if err != nil {
			b.Error(err)
			cancel()
		}
		return err != nil
	}
	began := time.Now()
	const writers, batch = 4, 50
	for range writers {
		working.Go(func() {
			for next := time.Now(); written.Add(batch) <= busyEvents; {
				_, err := pool.Exec(ctx, `
					INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version)
					SELECT n % 64, 'booking.held', gen_random_uuid()::text, $1, gen_random_uuid()::text, 1
					FROM generate_series(1, $2::int) n`, payload, batch)
				if fail(err) {
					return
				}
				next = next.Add(time.Second * batch * writers / busyRate)
				time.Sleep(time.Until(next))
			}
		})
	}
	const relays = 4
	for part := range relays {
		working.Go(func() {
			var own []dom.Lease
			var shards []int16
			for _, l := range leases {
				if int(l.Shard)%relays == part {
					own, shards = append(own, l), append(shards, l.Shard)
				}
			}
			for sent.Load() < busyEvents {
				messages, err := repo.GetPendingOutbox(ctx, shards, 31, nil)
				if fail(err) {
					return
				}
				ids := make([]int64, len(messages))
				for i, m := range messages {
					ids[i] = m.ID
				}
				marked, err := repo.MarkSent(ctx, "relay", own, ids)
				if fail(err) {
					return
				}
				sent.Add(int64(marked))
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	working.Go(func() {
		for deleted.Load() < busyEvents {
			for after := int64(0); ; {
				gone, next, err := repo.DeleteSent(ctx, busyKept, after, 1000)
				if fail(err) {
					return
				}
				deleted.Add(int64(gone))
				time.Sleep(20 * time.Millisecond)
				if after = next; next == 0 {
					break
				}
			}
			time.Sleep(time.Second)
		}
	})
	done := make(chan struct{})
	go func() { working.Wait(); close(done) }()
	var largest outboxSize
	for looking := true; looking; {
		select {
		case <-done:
			looking = false
		case <-time.After(10 * time.Second):
		}
		s := sizeOfOutbox(b, pool)
		if s.total() > largest.total() {
			largest = s
		}
		b.Logf("%4.0f s: written %7d, removed %7d, table %d MB, primary key %d MB, pending index %d MB, dead %d, vacuums %d",
			time.Since(began).Seconds(), min(written.Load(), busyEvents), deleted.Load(), s.Table>>20, s.Key>>20, s.Pending>>20, s.Dead, s.Vacuums)
	}
	b.ReportMetric(float64(largest.Table>>20), "table-MB")
	b.ReportMetric(float64(largest.Key>>20), "key-MB")
	b.ReportMetric(float64(largest.Pending>>20), "pending-MB")
	b.ReportMetric(busyEvents/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}
