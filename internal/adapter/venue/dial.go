package venue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// maxAnswer is the largest answer taken, in bytes: a venue of a thousand tables may list each
	// pair of them.
	maxAnswer = 64 << 20
	// pingAfter is how long a connection with a call on it may be silent before it is pinged.
	// Pinging more often, or without a call, is what servers by default hang up for.
	pingAfter = 5 * time.Minute
	// pingTimeout is how long the answer may take, and how long the other side may leave any data
	// unacknowledged (TCP_USER_TIMEOUT) before the connection is given up for a new one.
	pingTimeout = 5 * time.Second
	// connectTimeout bounds one attempt to connect, and maxBackoff the pause after one that failed,
	// so that a venue service that comes back is found at once.
	connectTimeout = time.Second
	minBackoff     = 100 * time.Millisecond
	maxBackoff     = time.Second
)

// Dial makes a connection to the venue service, nil credentials mean plaintext. It connects in the background;
// calls fail at once while it is away. addr is host:port, or a target of gRPC as dns:///host:port.
func Dial(addr string, creds credentials.TransportCredentials) (*grpc.ClientConn, error) {
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	if !strings.Contains(addr, "/") {
		// gRPC's own resolver asks for a name anew after 30 seconds at the earliest. Without it
		// the name is looked up for each attempt to connect.
		addr = "passthrough:///" + addr
	}
	conn, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(creds),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxBackoff},
			MinConnectTimeout: connectTimeout,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("venue service at %q: %w", addr, err)
	}
	conn.Connect()
	return conn, nil
}

// Check tells whether the venue service is connected, nil for yes. A connection that rests is woken,
// and one that is being made is waited for until ctx ends.
func Check(ctx context.Context, conn *grpc.ClientConn) error {
	for {
		switch state := conn.GetState(); state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure:
			return errors.New("venue service cannot be connected to")
		case connectivity.Shutdown:
			return errors.New("connection to the venue service is closed")
		default:
			conn.Connect()
			if !conn.WaitForStateChange(ctx, state) {
				return fmt.Errorf("venue service is not connected: %w", ctx.Err())
			}
		}
	}
}
