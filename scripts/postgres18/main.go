// Command postgres18 runs a command with TEST_POSTGRES_URL set to a new PostgreSQL 18, which the
// binaries of the embedded stack provide, and exits with the command's code.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
)

func main() {
	devstack.MaybeSupervise()
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: postgres18 COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	err := run(os.Args[1:])
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.ExitCode() > 0: // What went wrong is in its own output.
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "postgres18:", err)
		os.Exit(1)
	}
}

func run(command []string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "booking-test-pg18-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	home, err := devstack.PostgresHome(dir) // For root it is elsewhere.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	server, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{
		Dir: dir, User: "postgres", Password: "postgres", Database: "postgres",
		Settings: map[string]string{
			"max_connections":  "400",
			"fsync":            "off", // The data is thrown away.
			"full_page_writes": "off",
			"TimeZone":         "America/St_Johns", // As in scripts/with-servers.sh.
		},
		Progress: func(message string) { fmt.Fprintln(os.Stderr, "postgres18:", message) },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	// Asked first, so that `go test` ends its tests too.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Env = append(os.Environ(), "TEST_POSTGRES_URL="+server.URL)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
