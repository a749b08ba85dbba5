package command

import (
	"context"
	"fmt"

	"github.com/bookingcontrol/booker-booking-svc/internal/app"
)

// runVersion prints the version of the binary.
func runVersion(_ context.Context, env Env, args []string) error {
	if err := noArguments("version", args); err != nil {
		return err
	}
	_, err := fmt.Fprintf(env.Stdout, "booking-svc %s\n", app.Version())
	return err
}
