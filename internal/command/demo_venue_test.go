package command

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

// The demo venue answers calls, and health asks it as it asks the service.
func TestDemoVenueAndItsHealth(t *testing.T) {
	port, metricsPort := testenv.FreePort(t), testenv.FreePort(t)
	environ := []string{"METRICS_PORT=" + strconv.Itoa(metricsPort)}
	code, stdout, stderr := execute(t, environ, "health")
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "booking-svc: health: no answer at METRICS_PORT "+strconv.Itoa(metricsPort)+": ")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var printed testenv.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"demo-venue", "--port", strconv.Itoa(port)}, Env{
			Environ: environ, Stdout: &printed, Stderr: &printed,
			StartMetrics: func(port int, handler http.Handler) (func(context.Context) error, error) {
				listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
				if err != nil {
					return nil, err
				}
				server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
				go func() { _ = server.Serve(listener) }()
				return server.Shutdown, nil
			},
		})
	}()
	require.Eventually(t, func() bool {
		code, stdout, stderr = execute(t, environ, "health")
		return code == 0
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, "ready\n", stdout)
	require.Empty(t, stderr)

	conn, err := grpc.NewClient("127.0.0.1:"+strconv.Itoa(port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	venue, err := venuepb.NewVenueServiceClient(conn).GetVenue(ctx, &venuepb.GetVenueRequest{Id: "venue-1"})
	require.NoError(t, err)
	require.Equal(t, "Europe/Berlin", venue.GetTimezone())

	cancel()
	require.Equal(t, 0, <-done, printed.String())
}
