package command

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
)

// runHelp prints the commands and every setting.
func runHelp(_ context.Context, env Env, _ []string) error {
	w := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "booking-svc manages table bookings of restaurants.\n\nUsage: booking-svc [command]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %s\t%s\n", c.name, c.meaning)
	}
	fmt.Fprint(w, "\nSettings, from the environment (an empty variable counts as not set):\n")
	for _, s := range config.Settings() {
		def := s.Default
		if def == "" {
			def = "(empty)"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", s.Name, def, s.Meaning)
	}
	return w.Flush()
}
