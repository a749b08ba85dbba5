// Package load is what the programs share that put load on the service: the servers around it, the service
// itself, and how latencies are summed up.
package load

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// Stack is the servers that scripts/with-servers.sh has started, the demo venue, and the built binary.
type Stack struct {
	// Dir takes the binary and the service's log.
	Dir, Binary string
	Admin       *url.URL // PostgreSQL
	RedisAddr   string
	Brokers     []string
	Venue       *devstack.Venue
	// Settings are those that differ from a service's defaults.
	Settings []string

	services []*Service
}

// NewStack builds the binary if none is given. The stack is to be stopped also when it fails.
func NewStack(ctx context.Context, dir, binary string, places []devstack.Place) (s *Stack, err error) {
	s = &Stack{Dir: dir, Binary: binary}
	if binary == "" {
		s.Binary = filepath.Join(dir, "booking-svc")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", s.Binary, "./cmd/booking-svc")
		if out, err := build.CombinedOutput(); err != nil {
			return s, fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	if s.Admin, err = url.Parse(os.Getenv("TEST_POSTGRES_URL")); err != nil {
		return s, err
	}
	s.RedisAddr, s.Brokers = os.Getenv("TEST_REDIS_ADDR"), strings.Split(os.Getenv("TEST_KAFKA_BROKERS"), ",")
	s.Venue, err = devstack.NewVenue(devstack.VenueOptions{Places: places})
	return s, err
}

// Stop ends the services and the venue.
func (s *Stack) Stop() {
	for _, svc := range s.services {
		svc.stop()
	}
	if s.Venue != nil {
		s.Venue.Stop()
	}
}

// Database makes an empty database with a binary's schema, and a pool of connections to it.
func (s *Stack) Database(ctx context.Context, binary, name string) (*pgxpool.Pool, error) {
	admin, err := pgxpool.New(ctx, s.Admin.String())
	if err != nil {
		return nil, err
	}
	_, err = admin.Exec(ctx, "CREATE DATABASE "+name)
	admin.Close()
	if err != nil {
		return nil, err
	}
	if err := s.Migrate(ctx, binary, name); err != nil {
		return nil, err
	}
	return pgxpool.New(ctx, s.databaseURL(name))
}

// Migrate brings a database to a binary's schema.
func (s *Stack) Migrate(ctx context.Context, binary, name string) error {
	migrate := exec.CommandContext(ctx, binary, "migrate", "up")
	migrate.Env = s.environ(name)
	if out, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate up: %w\n%s", err, out)
	}
	return nil
}

func (s *Stack) databaseURL(name string) string {
	u := *s.Admin
	u.Path = "/" + name
	return u.String()
}

// environ is what a service must be told; all else is left at its default.
func (s *Stack) environ(database string) []string {
	password, _ := s.Admin.User.Password()
	return []string{
		"POSTGRES_HOST=" + s.Admin.Hostname(), "POSTGRES_PORT=" + s.Admin.Port(), "POSTGRES_DB=" + database,
		"POSTGRES_USER=" + s.Admin.User.Username(), "POSTGRES_PASSWORD=" + password, "POSTGRES_SSLMODE=disable",
		"REDIS_ADDR=" + s.RedisAddr, "KAFKA_BROKERS=" + strings.Join(s.Brokers, ","), "GRPC_VENUE_ADDR=" + s.Venue.Addr(),
	}
}

// Service is a running booking-svc, and the connections that the load comes through.
type Service struct {
	process.Server
	// HTTP is the URL of its metrics and profiles, Addr that of its calls, host:port.
	HTTP, Addr string
	Bookings   []bookingpb.BookingServiceClient
	// Startup is the time from the start of the process until it was ready.
	Startup time.Duration
	// Conns are the connections that Bookings go through.
	Conns []*grpc.ClientConn
}

// connections of a load: those of a gateway with a few replicas.
const connections = 4

// Launch runs a binary of the service on a database and waits until it is ready. No load is connected, and the
// venue does not ask it.
func (s *Stack) Launch(binary, database string) (*Service, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	metrics, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.Dir, "booking-svc.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	svc := &Service{Addr: process.Address(port), HTTP: "http://" + process.Address(metrics)}
	svc.Server = process.Server{
		Name: "booking-svc", Log: log, StopSignal: syscall.SIGTERM,
		Ready: func(ctx context.Context) error { return process.AnswersOK(ctx, svc.HTTP+"/readyz") },
		Command: func() *exec.Cmd {
			cmd := exec.Command(binary, "serve") //nolint:noctx // stopped by stop
			cmd.Env = append(append(s.environ(database), fmt.Sprintf("PORT=%d", port), fmt.Sprintf("METRICS_PORT=%d", metrics)), s.Settings...)
			return cmd
		},
	}
	s.services = append(s.services, svc)
	began := time.Now()
	if err := svc.Start(); err != nil {
		return nil, err
	}
	svc.Startup = time.Since(began)
	return svc, nil
}

// Start launches a service and connects the load and the venue to it.
func (s *Stack) Start(binary, database string) (*Service, error) {
	svc, err := s.Launch(binary, database)
	if err != nil {
		return nil, err
	}
	for range connections {
		conn, err := grpc.NewClient(svc.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		svc.Conns = append(svc.Conns, conn)
		svc.Bookings = append(svc.Bookings, bookingpb.NewBookingServiceClient(conn))
	}
	return svc, s.Venue.SetBookingAddr(svc.Addr)
}

// Drop stops a service and forgets it; the venue then asks the one that was started before it.
func (s *Stack) Drop(svc *Service) error {
	svc.stop()
	s.services = slices.DeleteFunc(s.services, func(other *Service) bool { return other == svc })
	if len(s.services) == 0 {
		return s.Venue.SetBookingAddr("")
	}
	return s.Venue.SetBookingAddr(s.services[len(s.services)-1].Addr)
}

// stop ends the service in good order.
func (s *Service) stop() {
	for _, c := range s.Conns {
		_ = c.Close()
	}
	s.Stop()
}
