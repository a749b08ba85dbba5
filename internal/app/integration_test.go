//go:build integration

package app

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/logging"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// instance is a service that runs in the test's process, on real servers.
type instance struct {
	cfg     *config.Config
	log     testenv.Buffer
	ready   chan struct{}
	stop    context.CancelFunc
	stopped chan error
	conn    *grpc.ClientConn
}

func start(t *testing.T, databaseURL string, more ...string) *instance {
	t.Helper()
	db, err := pgx.ParseConfig(databaseURL)
	require.NoError(t, err)
	i := &instance{ready: make(chan struct{}), stopped: make(chan error, 1)}
	i.cfg = settings(t, append([]string{
		"POSTGRES_HOST=" + db.Host, "POSTGRES_PORT=" + strconv.Itoa(int(db.Port)), "POSTGRES_DB=" + db.Database,
		"POSTGRES_USER=" + db.User, "POSTGRES_PASSWORD=" + db.Password, "POSTGRES_MAX_CONNS=8",
		"REDIS_ADDR=" + testenv.RedisAddr(t), "KAFKA_BROKERS=" + strings.Join(testenv.KafkaBrokers(t), ","),
	}, more...)...)
	ctx, cancel := context.WithCancel(t.Context())
	i.stop = cancel
	go func() {
		i.stopped <- Serve(ctx, i.cfg, zerolog.New(&i.log), logging.NewLevel(zerolog.DebugLevel), operators, func() { close(i.ready) })
	}()
	i.conn, err = grpc.NewClient("127.0.0.1:"+strconv.Itoa(i.cfg.Port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = i.conn.Close() })
	return i
}

func (i *instance) awaitReady(t *testing.T) {
	t.Helper()
	select {
	case <-i.ready:
	case err := <-i.stopped:
		require.Fail(t, "the service has stopped", "%v", err)
	case <-time.After(30 * time.Second):
		require.Fail(t, "the service is not ready", i.log.String())
	}
}

// get answers a page of the operators' endpoints, status 0 when nobody serves it.
func (i *instance) get(path string) (code int, body string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://127.0.0.1:" + strconv.Itoa(i.cfg.MetricsPort) + path)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(content)
}

func (i *instance) health(t *testing.T) healthpb.HealthCheckResponse_ServingStatus {
	t.Helper()
	answer, err := healthpb.NewHealthClient(i.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "booking.BookingService"}, grpc.WaitForReady(true))
	require.NoError(t, err)
	return answer.Status
}

func TestOldSchemaIsWaitedFor(t *testing.T) {
	t.Parallel()
	url := testenv.EmptyPostgresURL(t)
	i := start(t, url, "STARTUP_TIMEOUT=1s")
	require.Eventually(t, func() bool {
		code, body := i.get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "booking-svc migrate up") &&
			strings.Contains(body, `"postgres":"ok"`)
	}, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, i.health(t))
	time.Sleep(time.Second) // the schema is waited for beyond STARTUP_TIMEOUT
	require.Empty(t, i.stopped)

	_, err := postgres.MigrateUp(t.Context(), PostgresOptions(i.cfg))
	require.NoError(t, err)
	i.awaitReady(t)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, i.health(t))
	code, body := i.get("/readyz")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, `"schema":"ok"`)
	require.Contains(t, body, `"venue":"degraded"`, "the venue service is not needed")
	_, body = i.get("/metrics")
	for _, name := range []string{"database_pool_max_connections", "redis_pool_connections", "outbox_pending", "go_goroutines"} {
		require.Contains(t, body, "\n"+name)
	}

	i.stop()
	require.NoError(t, <-i.stopped)
	code, _ = i.get("/healthz")
	require.Zero(t, code, "the metrics server has stopped")
}

// slowVenue offers a table, once it is let.
type slowVenue struct {
	venuepb.UnimplementedVenueServiceServer
	asked, answer chan struct{}
}

func (v *slowVenue) GetVenue(_ context.Context, r *venuepb.GetVenueRequest) (*venuepb.Venue, error) {
	return &venuepb.Venue{Id: r.Id, Timezone: "Europe/Berlin"}, nil
}

func (v *slowVenue) CheckAvailability(ctx context.Context, r *venuepb.CheckAvailabilityRequest) (*venuepb.CheckAvailabilityResponse, error) {
	close(v.asked)
	select {
	case <-v.answer:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	table := &commonpb.TableRef{VenueId: r.VenueId, TableId: "t1"}
	return &venuepb.CheckAvailabilityResponse{Tables: []*venuepb.TableAvailability{{Table: table, Available: true}}}, nil
}

// A call in flight when the stop is asked for gets its answer, and its event reaches Kafka before
// the process ends; new calls are refused meanwhile.
func TestStopInGoodOrder(t *testing.T) {
	t.Parallel()
	venue := &slowVenue{asked: make(chan struct{}), answer: make(chan struct{})}
	server := grpc.NewServer()
	venuepb.RegisterVenueServiceServer(server, venue)
	port := testenv.FreePort(t)
	listener, err := listen(port, 0)
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	i := start(t, testenv.PostgresURL(t), "GRPC_VENUE_ADDR=127.0.0.1:"+strconv.Itoa(port),
		"REQUEST_TIMEOUT=10s", "VENUE_TIMEOUT=8s", "SHUTDOWN_TIMEOUT=60s")
	i.awaitReady(t)

	type result struct {
		booking *bookingpb.Booking
		err     error
	}
	created := make(chan result, 1)
	go func() {
		b, err := bookingpb.NewBookingServiceClient(i.conn).CreateBooking(t.Context(), &bookingpb.CreateBookingRequest{
			VenueId: "v-stop", Table: &commonpb.TableRef{TableId: "t1"}, PartySize: 2, CustomerName: "Anna Karenina",
			Slot: &commonpb.Slot{Date: time.Now().AddDate(0, 1, 0).Format(time.DateOnly), StartTime: "19:00"},
		})
		created <- result{b, err}
	}()
	<-venue.asked
	i.stop()
	require.Eventually(t, func() bool {
		code, body := i.get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "stopping")
	}, 5*time.Second, 10*time.Millisecond)
	late, err := grpc.NewClient("127.0.0.1:"+strconv.Itoa(i.cfg.Port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer late.Close()
	_, err = bookingpb.NewBookingServiceClient(late).GetBooking(t.Context(), &bookingpb.GetBookingRequest{Id: "b1"})
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Empty(t, i.stopped, "the call in flight is waited for")

	close(venue.answer)
	got := <-created
	require.NoError(t, got.err)
	require.Equal(t, "held", got.booking.Status)
	require.NoError(t, <-i.stopped)
	require.NotContains(t, i.log.String(), "Karenina")

	pool, err := postgres.NewPool(t.Context(), PostgresOptions(i.cfg))
	require.NoError(t, err)
	defer pool.Close()
	var outbox string
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT status FROM outbox WHERE key = $1", got.booking.Id).Scan(&outbox))
	require.Equal(t, "sent", outbox, i.log.String())
}

// A sweep of overdue holds that is under way when the stop is asked for commits events, which reach
// Kafka before the process ends.
func TestEventsOfTheLastSweepAreSent(t *testing.T) {
	t.Parallel()
	url := testenv.PostgresURL(t)
	db, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer db.Close(context.Background())
	_, err = db.Exec(t.Context(), `
		INSERT INTO bookings (id, venue_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone,
			party_size, customer_name, status, expires_at)
		SELECT gen_random_uuid(), 'v-sweep', 't' || n, '2030-01-01', '19:00', '21:00',
			'2030-01-01 19:00Z', '2030-01-01 21:00Z', 'UTC', 2, 'Ada', 'held', now()
		FROM generate_series(1, 50) n`)
	require.NoError(t, err)
	tx, err := db.Begin(t.Context())
	require.NoError(t, err)
	// The sweep reads the holds, then waits here.
	_, err = tx.Exec(t.Context(), `LOCK TABLE booking_events IN EXCLUSIVE MODE`)
	require.NoError(t, err)

	i := start(t, url)
	i.awaitReady(t)
	watch, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer watch.Close(context.Background())
	require.Eventually(t, func() bool {
		var waits bool
		require.NoError(t, watch.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'booking_events'::regclass)`).Scan(&waits))
		return waits
	}, 10*time.Second, 10*time.Millisecond)
	i.stop()
	select {
	case err := <-i.stopped:
		require.Fail(t, "the sweep is not waited for", "%v", err)
	case <-time.After(time.Second):
	}
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-i.stopped)
	var sent int
	require.NoError(t, watch.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE status = 'sent' AND topic = 'booking.expired'`).Scan(&sent))
	require.Equal(t, 50, sent, i.log.String())
}

// Behind a pooler the service works as ever, and says which limits its sessions lack.
func TestBehindAPooler(t *testing.T) {
	t.Parallel()
	url := testenv.PostgresURL(t)
	direct, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer direct.Close(context.Background())
	for _, limits := range []bool{false, true} {
		i := start(t, testenv.Pgbouncer(t, url), "POSTGRES_POOLER=transaction")
		i.awaitReady(t)
		i.stop()
		require.NoError(t, <-i.stopped)
		require.Equal(t, limits, !strings.Contains(i.log.String(), "SET lock_timeout = '3s'"), i.log.String())
		for _, limit := range []string{"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"} {
			_, err = direct.Exec(t.Context(), "ALTER DATABASE "+i.cfg.PostgresDB+" SET "+limit+" = '3s'")
			require.NoError(t, err)
		}
	}
}

// Two services in one process, as in `booking-svc dev` and in tests, do not get in each other's way.
func TestTwoInOneProcess(t *testing.T) {
	t.Parallel()
	url := testenv.PostgresURL(t)
	first, second := start(t, url), start(t, url)
	first.awaitReady(t)
	second.awaitReady(t)
	first.stop()
	require.NoError(t, <-first.stopped)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, second.health(t))
	second.stop()
	require.NoError(t, <-second.stopped)
}
