package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	"github.com/bookingcontrol/booker-booking-svc/test/process"
)

// requestTimeout is REQUEST_TIMEOUT of the replicas: no call takes longer, whatever its client asks.
const requestTimeout = 5 * time.Second

// holdTTL is HOLD_TTL_MINUTES of the replicas, the shortest there is, so that holds run out during a run.
const holdTTL = time.Minute

// replica is a booking-svc process.
type replica struct {
	*process.Server
	index         int
	port, metrics int
	conn          *grpc.ClientConn
	bookings      bookingpb.BookingServiceClient
	// routed tells whether calls are sent to it, as a load balancer that looks at its health decides.
	routed atomic.Bool
	// clock is how far its clock is ahead, for its next start.
	clock time.Duration
	// freshGoroutines is how many goroutines it had soon after its last start.
	freshGoroutines int
}

// newReplica makes a replica; environ holds its settings but for the ports.
func newReplica(binary string, index int, environ []string, log *os.File) (*replica, error) {
	r := &replica{index: index}
	var err error
	if r.port, err = process.FreePort(); err != nil {
		return nil, err
	}
	if r.metrics, err = process.FreePort(); err != nil {
		return nil, err
	}
	r.Server = &process.Server{Name: fmt.Sprintf("replica-%d", index), Log: log}
	r.Command = func() *exec.Cmd {
		cmd := exec.Command(binary, "serve") //nolint:noctx // the harness's own
		cmd.Env = append([]string{
			fmt.Sprintf("PORT=%d", r.port), fmt.Sprintf("METRICS_PORT=%d", r.metrics),
			"BOOKING_CLOCK_AHEAD=" + r.clock.String(),
		}, environ...)
		return cmd
	}
	r.Ready = func(ctx context.Context) error {
		return process.AnswersOK(ctx, fmt.Sprintf("http://%s/readyz", process.Address(r.metrics)))
	}
	r.conn, err = grpc.NewClient(process.Address(r.port),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}))
	if err != nil {
		return nil, err
	}
	r.bookings = bookingpb.NewBookingServiceClient(r.conn)
	return r, nil
}

// Start launches the replica, waits until it is ready and has calls sent to it.
func (r *replica) Start() error {
	if err := r.Server.Start(); err != nil {
		return err
	}
	r.routed.Store(true)
	return nil
}

// detection is how long a load balancer goes on sending calls to a replica that has gone.
const detection = time.Second

// gone takes the replica out of the routing, as late as a load balancer notices.
func (r *replica) gone() {
	exited := r.Exited()
	time.AfterFunc(detection, func() {
		if r.Exited() == exited { // it has not been started again since
			r.routed.Store(false)
		}
	})
}

// kill ends the replica as a crash does.
func (r *replica) kill() error {
	r.gone()
	_, err := r.End(syscall.SIGKILL, 5*time.Second)
	return err
}

// terminate asks the replica to end in good order, as an orchestrator does in a rolling restart: it is
// first taken out of the routing.
func (r *replica) terminate() error {
	r.routed.Store(false)
	code, err := r.End(syscall.SIGTERM, 20*time.Second)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s ended with code %d after SIGTERM", r.Name, code)
	}
	return err
}

// routing picks a replica for a call.
type routing struct{ replicas []*replica }

// pick answers a replica that calls are sent to, or any when there is none.
func (r routing) pick(rnd func(n int) int) *replica {
	first := rnd(len(r.replicas))
	for i := range r.replicas {
		if candidate := r.replicas[(first+i)%len(r.replicas)]; candidate.routed.Load() {
			return candidate
		}
	}
	return r.replicas[first]
}

// callback is where the venue asks which tables are taken: a load balancer before the replicas, which
// tries another one when a replica has just gone.
type callback struct {
	bookingpb.UnimplementedBookingServiceServer
	routing
	server *grpc.Server
}

// CheckTableAvailability passes the question on to a replica.
func (c *callback) CheckTableAvailability(
	ctx context.Context, req *bookingpb.CheckTableAvailabilityRequest,
) (*bookingpb.CheckTableAvailabilityResponse, error) {
	var last error
	for range 2 {
		answer, err := c.pick(rand.IntN).bookings.CheckTableAvailability(ctx, req)
		if status.Code(err) != codes.Unavailable {
			return answer, err
		}
		last = err
	}
	return nil, last
}
