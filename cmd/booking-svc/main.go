// Command booking-svc manages table bookings of restaurants. `booking-svc --help` lists its commands
// and settings.
package main

import (
	"os"

	"github.com/mattn/go-isatty"

	"github.com/bookingcontrol/booker-booking-svc/internal/command"
)

func main() {
	os.Exit(command.Main(os.Args[1:], command.Env{
		Environ:      os.Environ(),
		Stdin:        os.Stdin,
		Terminal:     isatty.IsTerminal(os.Stdin.Fd()),
		Stdout:       os.Stdout,
		Stderr:       os.Stderr,
		StartMetrics: startMetricsServer,
	}))
}
