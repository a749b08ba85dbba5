package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	"github.com/bookingcontrol/booker-booking-svc/test/process"
)

// stack is the servers that scripts/with-servers.sh has started, the demo venue, and the built binary.
type stack struct {
	dir, binary string
	admin       *url.URL // PostgreSQL
	redisAddr   string
	brokers     []string
	venue       *devstack.Venue
	// postgres and redis are the servers' process ids, for what they cost.
	postgres, redis int
	services        []*service
	// settings are those that differ from a service's defaults.
	settings []string
}

// newStack builds the binary if none is given.
func newStack(ctx context.Context, dir, binary string) (s *stack, err error) {
	s = &stack{dir: dir, binary: binary}
	if binary == "" {
		s.binary = filepath.Join(dir, "booking-svc")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", s.binary, "./cmd/booking-svc")
		if out, err := build.CombinedOutput(); err != nil {
			return s, fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	if s.admin, err = url.Parse(os.Getenv("TEST_POSTGRES_URL")); err != nil {
		return s, err
	}
	s.redisAddr, s.brokers = os.Getenv("TEST_REDIS_ADDR"), strings.Split(os.Getenv("TEST_KAFKA_BROKERS"), ",")
	if s.postgres, err = postmaster(ctx, s.admin.String()); err != nil {
		return s, err
	}
	if s.redis, err = redisProcess(ctx, s.redisAddr); err != nil {
		return s, err
	}
	s.venue, err = devstack.NewVenue(devstack.VenueOptions{Places: places()})
	return s, err
}

func (s *stack) stop() {
	for _, svc := range s.services {
		svc.stop()
	}
	if s.venue != nil {
		s.venue.Stop()
	}
}

// database makes an empty database with a binary's schema, and a pool of connections to it.
func (s *stack) database(ctx context.Context, binary, name string) (*pgxpool.Pool, error) {
	admin, err := pgxpool.New(ctx, s.admin.String())
	if err != nil {
		return nil, err
	}
	_, err = admin.Exec(ctx, "CREATE DATABASE "+name)
	admin.Close()
	if err != nil {
		return nil, err
	}
	migrate := exec.CommandContext(ctx, binary, "migrate", "up")
	migrate.Env = s.environ(name)
	if out, err := migrate.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("migrate up: %w\n%s", err, out)
	}
	return pgxpool.New(ctx, s.databaseURL(name))
}

func (s *stack) databaseURL(name string) string {
	u := *s.admin
	u.Path = "/" + name
	return u.String()
}

// environ is what a service must be told; all else is left at its default.
func (s *stack) environ(database string) []string {
	password, _ := s.admin.User.Password()
	return []string{
		"POSTGRES_HOST=" + s.admin.Hostname(), "POSTGRES_PORT=" + s.admin.Port(), "POSTGRES_DB=" + database,
		"POSTGRES_USER=" + s.admin.User.Username(), "POSTGRES_PASSWORD=" + password, "POSTGRES_SSLMODE=disable",
		"REDIS_ADDR=" + s.redisAddr, "KAFKA_BROKERS=" + strings.Join(s.brokers, ","), "GRPC_VENUE_ADDR=" + s.venue.Addr(),
	}
}

// service is a running booking-svc, and the connections that the load comes through.
type service struct {
	process.Server
	http     string
	addr     string
	conns    []*grpc.ClientConn
	bookings []bookingpb.BookingServiceClient
	// startup is the time from the start of the process until it was ready.
	startup time.Duration
}

// connections of a load: those of a gateway with a few replicas.
const connections = 4

// start runs a binary of the service on a database and waits until it is ready.
func (s *stack) start(binary, database string) (*service, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	metrics, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "booking-svc.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	svc := &service{addr: process.Address(port), http: "http://" + process.Address(metrics)}
	svc.Server = process.Server{
		Name: "booking-svc", Log: log, StopSignal: syscall.SIGTERM,
		Ready: func(ctx context.Context) error { return process.AnswersOK(ctx, svc.http+"/readyz") },
		Command: func() *exec.Cmd {
			cmd := exec.Command(binary, "serve") //nolint:noctx // stopped by stop
			cmd.Env = append(append(s.environ(database), fmt.Sprintf("PORT=%d", port), fmt.Sprintf("METRICS_PORT=%d", metrics)), s.settings...)
			return cmd
		},
	}
	s.services = append(s.services, svc)
	began := time.Now()
	if err := svc.Start(); err != nil {
		return nil, err
	}
	svc.startup = time.Since(began)
	for range connections {
		conn, err := grpc.NewClient(svc.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		svc.conns = append(svc.conns, conn)
		svc.bookings = append(svc.bookings, bookingpb.NewBookingServiceClient(conn))
	}
	return svc, s.venue.SetBookingAddr(svc.addr)
}

// stop ends the service in good order.
func (s *service) stop() {
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.Stop()
}
