package main

import (
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // Without it healthCheckConfig does nothing.
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

//go:embed service_config.json
var serviceConfig string

// dial makes a connection to every address that the name has. It connects in the background.
func dial(address string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("dns:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// A replica that is gone without a word is noticed while a call waits for it.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 5 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("booking service at %q: %w", address, err)
	}
	return conn, nil
}

const (
	// patience is how long a create is tried for. A guest does not wait longer.
	patience = 20 * time.Second
	// firstBackoff is the wait after the first attempt that failed, doubled each time up to maxBackoff.
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// client creates bookings so that an answer that was lost does no harm.
type client struct {
	service bookingpb.BookingServiceClient
}

// create holds a table and tries again until the answer is clear, or patience is over. gRPC's own retries are
// off for this method (service_config.json): they know neither whether there is a key nor what RetryInfo says.
func (c *client) create(ctx context.Context, req *bookingpb.CreateBookingRequest) (*bookingpb.Booking, error) {
	if req.GetIdempotencyKey() == "" {
		return nil, fmt.Errorf("a create without an idempotency key cannot be tried again")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for backoff := firstBackoff; ; backoff = min(2*backoff, maxBackoff) {
		booking, err := c.service.CreateBooking(ctx, req) // Each attempt has its own limit, by the service config.
		if err == nil || !again(err) {
			return booking, err
		}
		wait := backoff/2 + rand.N(backoff) // Not all clients at the same moment.
		if asked := retryDelay(err); asked > 0 {
			wait = asked + rand.N(asked/2)
		}
		if limit, _ := ctx.Deadline(); time.Until(limit) < wait {
			return nil, err // The outcome may be unknown: ask later, with the same key.
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// again tells whether the same call may succeed in a moment: the service asks for it, or nobody knows what came of it.
func again(err error) bool {
	s := status.Convert(err)
	return s.Code() == codes.Unavailable || s.Code() == codes.DeadlineExceeded || retryDelay(err) > 0
}

// retryDelay is how long the service asks to wait, 0 if it does not.
func retryDelay(err error) time.Duration {
	if info := detail[*errdetails.RetryInfo](err); info != nil {
		return info.GetRetryDelay().AsDuration()
	}
	return 0
}

// describe tells what is wrong in one line: the code, the reason, and the fields. Programs decide by code and reason; the
// message is for people and may change.
func describe(err error) string {
	s := status.Convert(err)
	if bad := detail[*errdetails.BadRequest](err); bad != nil {
		fields := make([]string, len(bad.GetFieldViolations()))
		for i, v := range bad.GetFieldViolations() {
			fields[i] = v.GetField() + " " + v.GetDescription()
		}
		return fmt.Sprintf("%s: %s", name(s.Code()), strings.Join(fields, "; "))
	}
	reason := detail[*errdetails.ErrorInfo](err).GetReason()
	return fmt.Sprintf("%s %s: %s", name(s.Code()), reason, s.Message())
}

// name writes a code as gRPC's documents do: ALREADY_EXISTS.
func name(c codes.Code) string {
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && r >= 'A' && r <= 'Z' && c != codes.OK {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// detail answers the detail of that type that came with an error, the zero value if none did.
func detail[T any](err error) (none T) {
	for _, d := range status.Convert(err).Details() {
		if found, ok := d.(T); ok {
			return found
		}
	}
	return none
}
