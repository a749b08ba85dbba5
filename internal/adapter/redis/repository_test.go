package redis

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newMini starts a miniredis whose clock runs.
func newMini(t *testing.T) *miniredis.Miniredis {
	t.Helper()
	mini := miniredis.RunT(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		const tick = 10 * time.Millisecond
		for {
			select {
			case <-stop:
				return
			case <-time.After(tick):
				mini.FastForward(tick)
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	return mini
}

func newClient(t *testing.T, o *redis.Options) *redis.Client {
	t.Helper()
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.PoolTimeout, o.DialTimeout = time.Minute, time.Minute
	client := redis.NewClient(o)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

func newRepo(client redis.UniversalClient) *HoldRepository {
	return NewHoldRepository(client, metrics.New(prometheus.NewRegistry()))
}

// newPatientRepo is for what a repository answers, not for how long it waits: on a busy machine 64
// calls at once may take longer than a booking would wait for.
func newPatientRepo(client redis.UniversalClient) *HoldRepository {
	repo := newRepo(client)
	repo.timeout = time.Minute
	return repo
}

func TestHoldRepositoryContract(t *testing.T) {
	t.Parallel()
	bookingtest.TestHoldRepository(t, func(t *testing.T) dom.HoldRepository {
		return newPatientRepo(newClient(t, &redis.Options{Addr: newMini(t).Addr()}))
	})
}

// Each key must have a time to live, and the smallest that Redis knows is a millisecond.
func TestEveryKeyEnds(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t) // its clock stands still
	repo := newRepo(newClient(t, &redis.Options{Addr: mini.Addr()}))
	for ttl, want := range map[time.Duration]time.Duration{
		-time.Second:                   time.Millisecond,
		0:                              time.Millisecond,
		time.Nanosecond:                time.Millisecond,
		1500 * time.Millisecond:        1500 * time.Millisecond,
		15 * time.Minute:               15 * time.Minute,
		time.Second + time.Microsecond: time.Second,
	} {
		set, replaced := "set:"+ttl.String(), "replaced:"+ttl.String()
		ok, err := repo.SetHold(t.Context(), set, "a", ttl)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, mini.TTL(set), "%s", ttl)
		ok, err = repo.ReplaceHold(t.Context(), replaced, "", "a", ttl)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, mini.TTL(replaced), "%s", ttl)
	}
}

func TestOperationsAreCounted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	repo := NewHoldRepository(newClient(t, &redis.Options{Addr: newMini(t).Addr()}), metrics.New(reg))
	_, _ = repo.SetHold(t.Context(), "k", "a", time.Minute)
	_, _ = repo.GetHold(t.Context(), "k")
	_, _ = repo.ReplaceHold(t.Context(), "k", "a", "b", time.Minute)
	_, _ = repo.DeleteHold(t.Context(), "k", "b")
	_ = repo.DeleteHolds(t.Context(), []dom.Hold{{Key: "k", BookingID: "b"}, {Key: "l", BookingID: "b"}})
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP redis_operations_total Operations on Redis.
# TYPE redis_operations_total counter
redis_operations_total{operation="delete_hold",service="booking-svc"} 1
redis_operations_total{operation="delete_holds",service="booking-svc"} 1
redis_operations_total{operation="get_hold",service="booking-svc"} 1
redis_operations_total{operation="replace_hold",service="booking-svc"} 1
redis_operations_total{operation="set_hold",service="booking-svc"} 1
`), "redis_operations_total"))
}

// A server that answers with an error is not asked less often for it.
func TestRefusalIsUnavailableAndAskedAgain(t *testing.T) {
	t.Parallel()
	mini := newMini(t)
	repo := newRepo(newClient(t, &redis.Options{Addr: mini.Addr()}))
	mini.SetError("OOM command not allowed when used memory > 'maxmemory'")
	_, err := repo.SetHold(t.Context(), "k", "a", time.Minute)
	requireRedisAway(t, err)
	mini.SetError("")
	ok, err := repo.SetHold(t.Context(), "k", "a", time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
}

// blackHole is a network that can lose all packets: dials then hang for as long as the driver lets
// them, which goes on dialling after the call has ended.
type blackHole struct {
	closed  atomic.Bool
	testEnd chan struct{}
}

func newBlackHole(t *testing.T) *blackHole {
	t.Helper()
	b := &blackHole{testEnd: make(chan struct{})}
	b.closed.Store(true)
	t.Cleanup(func() { close(b.testEnd) })
	return b
}

func (b *blackHole) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if b.closed.Load() {
		select {
		case <-ctx.Done():
		case <-b.testEnd:
		}
		return nil, errors.New("no route to host")
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

func TestBlackHoleCostsLittle(t *testing.T) {
	t.Parallel()
	hole := newBlackHole(t)
	var log bytes.Buffer
	ctx := zerolog.New(&log).WithContext(t.Context())
	repo := newRepo(newClient(t, &redis.Options{Addr: newMini(t).Addr(), Dialer: hole.dial}))

	start := time.Now()
	_, err := repo.SetHold(ctx, "k", "a", time.Minute)
	requireRedisAway(t, err)
	require.Less(t, time.Since(start), 10*callTimeout, "far less than a dial")

	start = time.Now()
	for range 100 {
		_, err = repo.GetHold(ctx, "k")
		requireRedisAway(t, err)
		require.ErrorIs(t, err, errBreakerOpen)
	}
	require.Less(t, time.Since(start), 10*callTimeout, "one that waits for each takes ten times that")

	hole.closed.Store(false)
	require.Eventually(t, func() bool {
		ok, err := repo.SetHold(ctx, "k", "a", time.Minute)
		return err == nil && ok
	}, 10*time.Second, 20*time.Millisecond, "does not come back")
	require.Equal(t, 1, strings.Count(log.String(), `"level":"warn"`), "an outage is logged once a while: %s", &log)
	require.Contains(t, log.String(), `"operation":"set_hold"`)
}

func TestServerThatIsGone(t *testing.T) {
	t.Parallel()
	mini := newMini(t)
	repo := newRepo(newClient(t, &redis.Options{Addr: mini.Addr()}))
	ok, err := repo.SetHold(t.Context(), "k", "a", time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
	mini.Close()
	for _, call := range []func() error{
		func() error { _, err := repo.SetHold(t.Context(), "k", "a", time.Minute); return err },
		func() error { _, err := repo.GetHold(t.Context(), "k"); return err },
		func() error { _, err := repo.ReplaceHold(t.Context(), "k", "a", "b", time.Minute); return err },
		func() error { _, err := repo.DeleteHold(t.Context(), "k", "a"); return err },
		func() error { return repo.DeleteHolds(t.Context(), []dom.Hold{{Key: "k", BookingID: "a"}}) },
	} {
		repo.breaker.succeeded() // so that each is really tried
		err := call()
		requireRedisAway(t, err)
		require.NotErrorIs(t, err, errBreakerOpen)
	}
}

// A request that ends while Redis is slow says nothing about Redis.
func TestRequestThatEndsDoesNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	hole := newBlackHole(t)
	repo := newRepo(newClient(t, &redis.Options{Addr: newMini(t).Addr(), Dialer: hole.dial}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := repo.SetHold(ctx, "k", "a", time.Minute)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var away *dom.UnavailableError
	require.NotErrorAs(t, err, &away)
	hole.closed.Store(false)
	require.True(t, repo.breaker.allow())
}

func TestBreakerLetsOneTry(t *testing.T) {
	t.Parallel()
	b := breaker{pause: 30 * time.Millisecond}
	require.True(t, b.allow())
	require.True(t, b.allow())
	b.failed()
	require.False(t, b.allow())
	time.Sleep(40 * time.Millisecond)
	require.True(t, b.allow(), "one call tries after the pause")
	require.False(t, b.allow(), "the others wait for it")
	b.succeeded()
	require.True(t, b.allow())
	require.True(t, b.allow())
}

func requireRedisAway(t *testing.T, err error) {
	t.Helper()
	var away *dom.UnavailableError
	require.ErrorAs(t, err, &away)
	require.Equal(t, dom.Redis, away.Dependency)
}
