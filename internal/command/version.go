package command

import (
	"context"
	"fmt"
	"runtime"

	"github.com/bookingcontrol/booker-booking-svc/internal/app"
)

// runVersion prints what the binary was built from.
func runVersion(_ context.Context, env Env, args []string) error {
	if err := noArguments("version", args); err != nil {
		return err
	}
	b := app.ThisBuild()
	_, err := fmt.Fprintf(env.Stdout, "booking-svc %s\ncommit %s\ndate %s\n%s %s/%s\n",
		b.Version, b.Commit, b.Date, b.Go, runtime.GOOS, runtime.GOARCH)
	return err
}
