package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
)

// runDemoVenue runs dev's venue service alone, on all interfaces, until ctx is done. Its health is asked for
// as the service's own is, by booking-svc health.
func runDemoVenue(ctx context.Context, env Env, args []string) error {
	var port int
	var bookingAddr string
	flags := flag.NewFlagSet("demo-venue", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	flags.IntVar(&port, "port", 50051, "port of the venue service")
	flags.StringVar(&bookingAddr, "booking", "booking-svc:50052", "address of the booking service, which is asked for free tables")
	if err := parse(flags, args); err != nil {
		return err
	}
	cfg, err := config.Load(env.Environ)
	if err != nil {
		return err
	}
	v, err := devstack.NewVenue(devstack.VenueOptions{Addr: net.JoinHostPort("", strconv.Itoa(port)), BookingAddr: bookingAddr})
	if err != nil {
		return fmt.Errorf("demo-venue: %w", err)
	}
	defer v.Stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"ready"}`) // An error here means that the caller has gone.
	})
	stop, err := env.StartMetrics(cfg.MetricsPort, mux)
	if err != nil {
		return err
	}
	place := devstack.DemoPlace()
	fmt.Fprintf(env.Stderr, "demo-venue: %s with %d tables, venue service at %s\n", place.ID, len(place.Tables), v.Addr())
	<-ctx.Done()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return stop(limit)
}
