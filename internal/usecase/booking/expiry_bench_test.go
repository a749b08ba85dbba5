//go:build integration

package booking_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/kafka"
	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/redis"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	usecase "github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
)

const (
	overdue  = 100_000
	creators = 8
	// alone is how long the creates are measured without a sweep beside them.
	alone = 10 * time.Second
)

// anyTable is a venue that has one table, of its own name.
type anyTable struct{}

func (anyTable) TimeZone(context.Context, string) (string, error) { return "UTC", nil }

func (anyTable) CheckAvailability(_ context.Context, venueID string, _ dom.Slot, _ int) ([]dom.TableOffer, error) {
	return []dom.TableOffer{{Table: dom.TableRef{RoomID: "room-1", TableID: venueID}, Available: true}}, nil
}

// writeOverdue writes holds that ran out yesterday, and their keys, as they are when the service was down.
func writeOverdue(b *testing.B, pool *pgxpool.Pool, store *goredis.Client) {
	b.Helper()
	ctx := context.Background()
	_, err := pool.Exec(ctx, `
		INSERT INTO bookings (id, venue_id, room_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone,
			party_size, customer_name, customer_phone, status, comment, admin_id, created_at, updated_at, expires_at)
		SELECT gen_random_uuid()::text, gen_random_uuid()::text, 'room-1', 't1', day, '19:00', '21:00',
			day + interval '19 hours', day + interval '21 hours', 'UTC', 4, 'Ada Lovelace', '+44 20 7946 0000', 'held',
			'by the window', 'admin-1', now() - interval '2 days', now() - interval '2 days',
			now() - interval '1 day' + n * interval '100 ms'
		FROM generate_series(1, $1::int) n, LATERAL (SELECT date '2031-01-01' + n % 365 AS day) d`, overdue)
	require.NoError(b, err)
	_, err = pool.Exec(ctx, `
		INSERT INTO table_occupancies SELECT id, venue_id, table_id, tstzrange(starts_at, ends_at) FROM bookings`)
	require.NoError(b, err)
	_, err = pool.Exec(ctx, `
		INSERT INTO booking_events SELECT gen_random_uuid()::text, id, 1, 'booking.held', '{"held": {}}' FROM bookings`)
	require.NoError(b, err)
	_, err = pool.Exec(ctx, `ANALYZE`)
	require.NoError(b, err)

	rows, err := pool.Query(ctx, `
		SELECT id, 'hold:' || venue_id || ':' || table_id || ':' || to_char(date, 'YYYY-MM-DD') || ':19:00' FROM bookings`)
	require.NoError(b, err)
	defer rows.Close()
	keys := store.Pipeline()
	for rows.Next() {
		var id, key string
		require.NoError(b, rows.Scan(&id, &key))
		keys.Set(ctx, key, id, time.Hour)
		if keys.Len() == 1000 {
			_, err := keys.Exec(ctx)
			require.NoError(b, err)
		}
	}
	require.NoError(b, rows.Err())
	_, err = keys.Exec(ctx)
	require.NoError(b, err)
}

// BenchmarkExpireOverdueHolds measures how fast 100,000 overdue holds are expired, as after a weekend
// without the service, and what is left of the speed of creates meanwhile. Once is enough, on a
// PostgreSQL that writes to its disk:
//
//	TEST_FSYNC=on scripts/with-servers.sh go test -tags=integration -run '^$' -bench ExpireOverdue -benchtime 1x ./internal/usecase/booking
func BenchmarkExpireOverdueHolds(b *testing.B) {
	for _, replicas := range []int{1, 3} {
		b.Run(fmt.Sprintf("replicas=%d", replicas), func(b *testing.B) {
			for range b.N {
				benchmarkExpiry(b, replicas)
			}
		})
	}
}

func benchmarkExpiry(b *testing.B, replicas int) {
	ctx, cancel := context.WithCancel(zerolog.New(io.Discard).WithContext(context.Background()))
	defer cancel()
	url, store := testenv.PostgresURL(b), goredis.NewClient(&goredis.Options{Addr: testenv.RedisAddr(b), ContextTimeoutEnabled: true})
	defer store.Close()
	var services []*usecase.Service
	var pools []*pgxpool.Pool
	for range replicas {
		cfg, err := pgxpool.ParseConfig(url)
		require.NoError(b, err)
		cfg.MaxConns = 16
		pool, err := pgxpool.NewWithConfig(ctx, cfg)
		require.NoError(b, err)
		defer pool.Close()
		m := metrics.New(prometheus.NewRegistry())
		pools = append(pools, pool)
		services = append(services, usecase.NewService(postgres.NewRepository(pool, kafka.EncodeEvent, m),
			redis.NewHoldRepository(store, m), anyTable{}, m, func(string) {}, usecase.Config{
				HoldTTL: time.Hour, MaxAdvance: 10 * 365 * 24 * time.Hour, ExpiryInterval: time.Second,
			}))
	}
	writeOverdue(b, pools[0], store)

	var created, failed atomic.Int64
	var creating, sweeping sync.WaitGroup
	creates, stop := context.WithCancel(ctx)
	defer creating.Wait()
	defer stop()
	for i := range creators {
		creating.Go(func() {
			for n := 0; creates.Err() == nil; n++ {
				venue := dom.NewID()
				_, err := services[i%replicas].CreateBooking(ctx, usecase.CreateCommand{
					VenueID: venue, Table: &usecase.TableInput{TableID: venue},
					Slot:      &usecase.SlotInput{Date: time.Now().AddDate(0, 0, 1+n%300).Format(time.DateOnly), StartTime: "19:00"},
					PartySize: 4, CustomerName: "Grace Hopper", IdempotencyKey: dom.NewID(),
				})
				if err != nil {
					failed.Add(1)
					continue
				}
				created.Add(1)
			}
		})
	}
	time.Sleep(2 * time.Second) // Connections are made and statements prepared.
	began, before := time.Now(), created.Load()
	time.Sleep(alone)
	alone := float64(created.Load()-before) / time.Since(began).Seconds()

	began, before = time.Now(), created.Load()
	for _, s := range services {
		sweeping.Go(func() { s.StartExpiredHoldsWorker(ctx) })
	}
	for left := true; left; {
		time.Sleep(100 * time.Millisecond)
		require.NoError(b, pools[0].QueryRow(ctx,
			`SELECT EXISTS (SELECT FROM bookings WHERE status = 'held' AND expires_at < now())`).Scan(&left))
	}
	took := time.Since(began).Seconds()
	during := float64(created.Load()-before) / took
	stop()
	creating.Wait()
	cancel()
	sweeping.Wait()
	require.Zero(b, failed.Load(), "creates failed")

	b.ReportMetric(overdue/took, "expired/s")
	b.ReportMetric(alone, "creates/s-before")
	b.ReportMetric(during, "creates/s-during")
	b.ReportMetric(during/alone, "of-speed")
	b.ReportMetric(0, "ns/op")
}
