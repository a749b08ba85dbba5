//go:build integration

package service

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// kill -9 while 32 clients create: what was acknowledged is there after the restart, and its events
// arrive.
func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	p := s.start(t)
	killed, kill := context.WithCancel(context.Background())
	defer kill()
	var mu sync.Mutex
	acknowledged := map[string]int{}
	var wg sync.WaitGroup
	for client := range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; ; i++ {
				req := s.request(s.venue.table2, "19:30", 2)
				d, err := time.Parse("2006-01-02", day)
				if err != nil {
					t.Error(err)
					return
				}
				// Each client has its own Saturdays and slots, so that most creates succeed.
				req.Slot.Date = d.AddDate(0, 0, 7*(client+32*(i/8)%64)).Format("2006-01-02")
				req.Slot.StartTime = fmt.Sprintf("%02d:%02d", 18+i%8/2, 30*(i%2))
				req.Slot.DurationMinutes = 30
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				b, err := p.bookings.CreateBooking(ctx, req)
				cancel()
				switch {
				case err == nil:
					mu.Lock()
					acknowledged[b.Id] = 1
					mu.Unlock()
				case killed.Err() != nil:
					return
				case status.Code(err) == codes.Unavailable: // a busy machine
					time.Sleep(10 * time.Millisecond)
				}
			}
		}()
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) >= 100
	}, 30*time.Second, 5*time.Millisecond)
	p.kill()
	kill()
	wg.Wait()

	s.start(t)
	for id := range acknowledged {
		var n int
		require.NoError(t, s.pool.QueryRow(context.Background(), `SELECT count(*) FROM bookings WHERE id = $1`, id).Scan(&n))
		require.Equal(t, 1, n, "booking %s was acknowledged and is lost", id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	events := consume(ctx, t, acknowledged)
	t.Logf("%d bookings acknowledged before the kill, events of %d arrived", len(acknowledged), len(events))
}

// SIGTERM: health says so, calls in flight are answered, the outbox is flushed, and the exit is 0.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	// A Kafka on a busy machine takes seconds for a producer's first events; a quarter of this is theirs.
	p := s.start(t, "SHUTDOWN_TIMEOUT=60s")
	s.venue.slow(700 * time.Millisecond)
	type answer struct {
		b   *bookingpb.Booking
		err error
	}
	answers := make(chan answer)
	go func() {
		b, err := p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
		answers <- answer{b, err}
	}()
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	got := <-answers
	require.NoError(t, got.err, "a call in flight is answered")
	require.Zero(t, p.exitCode(70*time.Second))
	readEvents(t, got.b.Id, 1)
	var pending int
	require.NoError(t, s.pool.QueryRow(context.Background(), `SELECT count(*) FROM outbox WHERE status <> 'sent'`).Scan(&pending))
	require.Zero(t, pending)
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	p := s.start(t)
	s.venue.slow(5 * time.Second)
	go func() {
		_, _ = p.bookings.CreateBooking(context.Background(), s.request(s.venue.table2, "19:30", 2))
	}()
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.NotZero(t, p.exitCode(time.Second))
}

// specified are the specification's metrics, each with exactly its labels.
var specified = map[string][]string{
	"grpc_server_requests_total":           {"method", "service", "status"},
	"grpc_server_request_duration_seconds": {"method", "service", "status"},
	"database_queries_total":               {"operation", "service"},
	"database_query_duration_seconds":      {"operation", "service"},
	"kafka_messages_published_total":       {"service", "topic"},
	"kafka_publish_errors_total":           {"service", "topic"},
	"redis_operations_total":               {"operation", "service"},
	"redis_operation_duration_seconds":     {"operation", "service"},
}

// additional are metrics that the service has besides.
var additional = []string{
	"booking_changes_total", "booking_create_batch_size", "booking_holds_lost_total", "booking_redis_fallbacks_total",
	"booking_holds_overdue_seconds", "booking_dependency_up", "outbox_pending", "outbox_oldest_pending_age_seconds", "outbox_dlq",
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	p := s.start(t)
	b, err := p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
	require.NoError(t, err)
	_, err = p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
	require.Equal(t, codes.AlreadyExists, status.Code(err))
	_, err = p.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: b.Id})
	require.NoError(t, err)
	readEvents(t, b.Id, 2)
	// Kafka refuses a name with a space.
	_, err = s.pool.Exec(ctx, `INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version)
		VALUES (0, 'no topic', $1, '{}', $1, 9)`, b.Id)
	require.NoError(t, err)

	var families map[string]map[string]bool
	values := map[string]float64{}
	scrape := func() {
		_, body := p.get("/metrics")
		parser := expfmt.NewTextParser(model.UTF8Validation)
		parsed, err := parser.TextToMetricFamilies(strings.NewReader(body))
		require.NoError(t, err)
		families = map[string]map[string]bool{}
		for name, family := range parsed {
			families[name] = map[string]bool{}
			for _, m := range family.Metric {
				var labels, pairs []string
				for _, l := range m.Label {
					labels = append(labels, l.GetName())
					pairs = append(pairs, l.GetName()+"="+l.GetValue())
				}
				sort.Strings(labels)
				sort.Strings(pairs)
				families[name][strings.Join(labels, ",")] = true
				values[name+" "+strings.Join(pairs, " ")] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	require.Eventually(t, func() bool {
		scrape()
		return values["kafka_messages_published_total service=booking-svc topic=booking.confirmed"] == 1 &&
			values["kafka_publish_errors_total service=booking-svc topic=no topic"] > 0
	}, 15*time.Second, 50*time.Millisecond)
	for name, labels := range specified {
		require.Equal(t, map[string]bool{strings.Join(labels, ","): true}, families[name], name)
	}
	for _, name := range additional {
		require.Contains(t, families, name)
	}
	for series, want := range map[string]float64{
		"grpc_server_requests_total method=CreateBooking service=booking-svc status=ok":             1,
		"grpc_server_requests_total method=CreateBooking service=booking-svc status=already_exists": 1,
		"grpc_server_request_duration_seconds method=ConfirmBooking service=booking-svc status=ok":  1,
		"kafka_messages_published_total service=booking-svc topic=booking.held":                     1,
		"booking_changes_total service=booking-svc status=held":                                     1,
	} {
		require.InDelta(t, want, values[series], 0, series)
	}
	for _, series := range []string{
		"database_queries_total operation=create_booking service=booking-svc",
		"database_query_duration_seconds operation=change_booking service=booking-svc",
		"redis_operations_total operation=set_hold service=booking-svc",
		"redis_operation_duration_seconds operation=delete_hold service=booking-svc",
	} {
		require.Positive(t, values[series], series)
	}
}

// The log of a whole life tells ids and states, and never who the guests are, nor a password.
func TestLogs(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	p := s.start(t, "REDIS_PASSWORD=s3cr3t-redis-pass")
	const requestID = "req-0123456789"
	traced := metadata.AppendToOutgoingContext(ctx,
		"x-request-id", requestID, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	req := s.request(s.venue.table2, "19:30", 2)
	req.CustomerName, req.CustomerPhone, req.Comment = "Zaphod Beeblebrox", "+42 4242 4242", "allergic to pan-galactic gargle blasters"
	b, err := p.bookings.CreateBooking(traced, req)
	require.NoError(t, err)
	_, err = p.bookings.CreateBooking(traced, req)
	require.Error(t, err)
	bad := s.request(s.venue.table2, "19:30", 2)
	bad.CustomerName, bad.CustomerPhone = "Zaphod\x00Beeblebrox", strings.Repeat("+42 4242 4242", 10)
	_, err = p.bookings.CreateBooking(traced, bad)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "Zaphod")
	// A database that refuses the write must not put the row into the log.
	_, err = s.pool.Exec(ctx, `ALTER TABLE bookings ADD CONSTRAINT refuse_all CHECK (comment = '') NOT VALID`)
	require.NoError(t, err)
	refused := s.request(s.venue.table2, "22:00", 2)
	refused.CustomerName, refused.Comment = req.CustomerName, req.Comment
	_, err = p.bookings.CreateBooking(traced, refused)
	require.Equal(t, codes.Internal, status.Code(err))
	require.NotContains(t, err.Error(), "refuse_all", "the cause is for the log")
	_, err = s.pool.Exec(ctx, `ALTER TABLE bookings DROP CONSTRAINT refuse_all`)
	require.NoError(t, err)
	_, err = p.bookings.ConfirmBooking(traced, &bookingpb.ConfirmBookingRequest{Id: b.Id, AdminId: "host-7"})
	require.NoError(t, err)
	_, err = p.bookings.CancelBooking(traced, &bookingpb.CancelBookingRequest{Id: b.Id, Reason: "Beeblebrox is ill"})
	require.NoError(t, err)
	events := readEvents(t, b.Id, 3)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", events[0].event.Headers.TraceId)
	require.True(t, strings.HasPrefix(events[2].headers["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-"))
	require.Zero(t, p.stop(20*time.Second))

	out := p.log.String()
	// With the blank: ids are hexadecimal, and now and then one has these digits.
	for _, secret := range []string{"Zaphod", "Beeblebrox", "4242 4242", "gargle", "s3cr3t"} {
		require.NotContains(t, out, secret)
	}
	changes, requests := map[string]bool{}, 0
	scanner := bufio.NewScanner(strings.NewReader(out))
	for scanner.Scan() {
		var line map[string]any
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &line), "not JSON: %s", scanner.Text())
		at, ok := line["time"].(float64)
		require.True(t, ok, "Unix time: %s", scanner.Text())
		require.InDelta(t, time.Now().Unix(), at, 120)
		if line["request_id"] == requestID {
			requests++
			require.Equal(t, "0af7651916cd43dd8448eb211c80319c", line["trace_id"], scanner.Text())
		}
		if line["booking_id"] == b.Id && line["level"] == "info" && line["request_id"] == requestID {
			message := line["message"].(string)
			if strings.HasPrefix(message, "Booking ") {
				changes[message] = true
				require.Equal(t, s.venue.id, line["venue_id"])
				require.Equal(t, s.venue.table2, line["table_id"])
				require.NotEmpty(t, line["status"])
			}
		}
	}
	require.Equal(t, map[string]bool{"Booking held": true, "Booking confirmed": true, "Booking cancelled": true}, changes)
	require.Greater(t, requests, 6)
	require.Contains(t, out, "refuse_all", "the cause of an INTERNAL is in the log")
}

// Redis, Kafka and the venue away: ready all the same, and said; what needs them says so or waits.
func TestDependenciesAway(t *testing.T) {
	t.Parallel()
	ctx := context10s(t)
	s := newStack(t)
	gone := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	p := s.start(t, "REDIS_ADDR="+gone, "KAFKA_BROKERS="+gone)
	b, err := p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
	require.NoError(t, err)
	_, err = p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2))
	require.Equal(t, "AlreadyExists SLOT_TAKEN", reason(err))
	require.Eventually(t, func() bool {
		code, body := p.get("/readyz")
		return code == http.StatusOK && strings.Contains(body, "degraded") && strings.Contains(body, "redis") && strings.Contains(body, "kafka")
	}, 10*time.Second, 50*time.Millisecond)

	s.venue.Stop()
	_, err = p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "22:00", 2))
	require.Equal(t, "Unavailable DEPENDENCY_UNAVAILABLE", reason(err))
	list, err := p.bookings.CheckTableAvailability(ctx, &bookingpb.CheckTableAvailabilityRequest{
		VenueId: s.venue.id, TableIds: []string{s.venue.table2}, Slot: b.Slot,
	})
	require.NoError(t, err)
	require.False(t, list.Tables[0].Available)
	_, err = p.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: b.Id})
	require.NoError(t, err)
	require.Zero(t, p.stop(20*time.Second))

	// With Kafka back, what waited arrives.
	s.start(t)
	require.Equal(t, []string{"booking.held", "booking.confirmed"}, topics(readEvents(t, b.Id, 2)))
}

// Calls that wait for a lock take connections; events go on, and the service stays ready.
func TestCallsThatWaitKeepNobodyElseWaiting(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newStack(t)
	p := s.start(t, "POSTGRES_MAX_CONNS=8")
	lock, err := s.pool.Begin(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = lock.Rollback(ctx) })
	_, err = lock.Exec(ctx, `LOCK TABLE table_occupancies IN EXCLUSIVE MODE`)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() { _, _ = p.bookings.CreateBooking(ctx, s.request(s.venue.table2, "19:30", 2)) })
	}
	require.Eventually(t, func() bool {
		var waiting int
		err := s.pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'booking-svc' AND wait_event_type = 'Lock'`).Scan(&waiting)
		return err == nil && waiting >= 6
	}, 10*time.Second, 10*time.Millisecond, "the connections of the calls are not all taken")
	id := uuid.NewString()
	_, err = s.pool.Exec(ctx, `INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version)
		VALUES (1, 'booking.held', $1, $2, $1, 1)`, id, []byte(`{"booking_id":"`+id+`"}`))
	require.NoError(t, err)
	readEvents(t, id, 1)
	code, body := p.get("/readyz")
	require.Equal(t, http.StatusOK, code, body)
	require.NoError(t, lock.Rollback(ctx))
	wg.Wait()
	require.NotContains(t, p.log.String(), "Dependency is missing")
	require.NotContains(t, p.log.String(), "Failed to renew the leases")
}

func TestOldSchemaIsNotReady(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	migrate := func(args ...string) {
		t.Helper()
		cmd := exec.Command(binary, append([]string{"migrate"}, args...)...)
		cmd.Env = s.launchEnv(t)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	migrate("down")
	p := s.launch(t)
	health := grpc_health_v1.NewHealthClient(p.conn)
	require.Eventually(t, func() bool {
		code, body := p.get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "migrate up")
	}, 10*time.Second, 50*time.Millisecond)
	for _, name := range []string{"", "booking.BookingService"} {
		got, err := health.Check(context10s(t), &grpc_health_v1.HealthCheckRequest{Service: name})
		require.NoError(t, err)
		require.Equal(t, grpc_health_v1.HealthCheckResponse_NOT_SERVING, got.Status)
	}
	require.Contains(t, p.log.String(), "booking-svc migrate up")
	migrate("up")
	require.Eventually(t, func() bool {
		code, _ := p.get("/readyz")
		return code == http.StatusOK
	}, 10*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		got, err := health.Check(context10s(t), &grpc_health_v1.HealthCheckRequest{Service: "booking.BookingService"})
		return err == nil && got.Status == grpc_health_v1.HealthCheckResponse_SERVING
	}, 5*time.Second, 50*time.Millisecond)
	code, _ := p.get("/healthz")
	require.Equal(t, http.StatusOK, code)
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	l, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	defer l.Close()
	for _, name := range []string{"PORT", "METRICS_PORT"} {
		p := s.launch(t, fmt.Sprintf("%s=%d", name, l.Addr().(*net.TCPAddr).Port))
		require.NotZero(t, p.exitCode(20*time.Second))
		lines := strings.Split(strings.TrimSpace(p.log.String()), "\n")
		require.True(t, slices.ContainsFunc(lines, func(line string) bool {
			return strings.Contains(line, name) && strings.Contains(line, "in use")
		}), p.log.String())
	}
}

func TestDatabaseThatNeverComes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	p := s.launch(t, fmt.Sprintf("POSTGRES_PORT=%d", testenv.FreePort(t)), "STARTUP_TIMEOUT=1s")
	require.NotZero(t, p.exitCode(10*time.Second))
	require.Contains(t, p.log.String(), "PostgreSQL")
}
