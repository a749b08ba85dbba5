//go:build integration

// Package service tests the built binary as its neighbours and operators use it: over TCP, as a
// process of its own, with a real PostgreSQL, Redis and Kafka and the demo venue around it.
package service

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// binary is the service, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "booking-svc-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "booking-svc")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/booking-svc")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// stack is what a service under test stands on: a database of its own, shared Redis and Kafka, and a
// venue of its own that knows one venue id.
type stack struct {
	dbURL string
	pool  *pgxpool.Pool
	venue *venue
}

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{dbURL: testenv.PostgresURL(t), venue: newVenue(t)}
	pool, err := pgxpool.New(context.Background(), s.dbURL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s.pool = pool
	return s
}

// process is a running booking-svc.
type process struct {
	*exec.Cmd
	t        *testing.T
	port     int
	http     string
	log      *logBuffer
	exited   chan struct{}
	exitErr  error
	bookings bookingpb.BookingServiceClient
	conn     *grpc.ClientConn
}

// launch starts the service with the stack's settings and those given, `NAME=value` each.
func (s *stack) launch(t *testing.T, settings ...string) *process {
	t.Helper()
	p := &process{t: t, port: testenv.FreePort(t), log: &logBuffer{}, exited: make(chan struct{})}
	metricsPort := testenv.FreePort(t)
	p.http = fmt.Sprintf("http://127.0.0.1:%d", metricsPort)
	p.Cmd = exec.Command(binary, "serve")
	p.Env = append(append(s.launchEnv(t), fmt.Sprintf("PORT=%d", p.port), fmt.Sprintf("METRICS_PORT=%d", metricsPort)), settings...)
	p.Stdout, p.Stderr = p.log, p.log
	require.NoError(t, p.Start())
	go func() {
		p.exitErr = p.Wait()
		close(p.exited)
	}()
	var err error
	p.conn, err = grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", p.port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	p.bookings = bookingpb.NewBookingServiceClient(p.conn)
	t.Cleanup(func() {
		_ = p.conn.Close()
		p.kill()
		if t.Failed() {
			t.Logf("log of the service:\n%s", p.log.tail(6000))
		}
	})
	return p
}

// launchEnv are the settings of the stack.
func (s *stack) launchEnv(t *testing.T) []string {
	t.Helper()
	db, err := url.Parse(s.dbURL)
	require.NoError(t, err)
	password, _ := db.User.Password()
	return []string{
		"ENV=production", "LOG_LEVEL=debug",
		"POSTGRES_HOST=" + db.Hostname(), "POSTGRES_PORT=" + db.Port(), "POSTGRES_DB=" + strings.TrimPrefix(db.Path, "/"),
		"POSTGRES_USER=" + db.User.Username(), "POSTGRES_PASSWORD=" + password,
		"REDIS_ADDR=" + testenv.RedisAddr(t), "KAFKA_BROKERS=" + strings.Join(testenv.KafkaBrokers(t), ","),
		"GRPC_VENUE_ADDR=" + s.venue.Addr(),
	}
}

// start launches the service and waits until it is ready. The venue asks it from then on.
func (s *stack) start(t *testing.T, settings ...string) *process {
	t.Helper()
	p := s.launch(t, settings...)
	require.Eventually(t, func() bool {
		status, _ := p.get("/readyz")
		return status == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond, "the service does not become ready")
	require.NoError(t, s.venue.SetBookingAddr(fmt.Sprintf("127.0.0.1:%d", p.port)))
	return p
}

// get answers the status, 0 when nobody listens, and the body.
func (p *process) get(path string) (int, string) {
	resp, err := http.Get(p.http + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return resp.StatusCode, string(body)
}

// kill ends the process at once, as a crash does.
func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.exited
}

// stop asks the process to end and answers its exit code.
func (p *process) stop(limit time.Duration) int {
	p.t.Helper()
	require.NoError(p.t, p.Process.Signal(syscall.SIGTERM))
	return p.exitCode(limit)
}

func (p *process) exitCode(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		p.t.Fatalf("the service does not stop within %v", limit)
	}
	return p.ProcessState.ExitCode()
}

// logBuffer takes what a process writes while a test reads.
type logBuffer struct{ testenv.Buffer }

func (b *logBuffer) tail(n int) string {
	s := b.String()
	return s[max(0, len(s)-n):]
}
