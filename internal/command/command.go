// Package command holds the commands of the booking-svc binary.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/bookingcontrol/booker-booking-svc/internal/app"
	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
)

// Exit codes of the process.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitKilled is what a shell makes of a process that was ended by SIGINT.
	exitKilled = 130
)

// Env is what a command knows of the process that it runs in.
type Env struct {
	// Environ holds the settings, each as `NAME=value`.
	Environ []string
	// Stdin gives the answers to questions.
	Stdin io.Reader
	// Terminal tells whether Stdin is a terminal, where somebody can be asked.
	Terminal bool
	// Stdout takes what the command was asked for.
	Stdout io.Writer
	// Stderr takes the log and what went wrong.
	Stderr io.Writer
	// StartMetrics serves the operators' HTTP endpoints.
	StartMetrics app.StartMetrics
}

// command is one of the binary's commands. run gets the arguments after the command's name and
// returns when ctx is done, at the latest after a tidy stop.
type command struct {
	name, meaning string
	// hasFlags: the command prints its own help.
	hasFlags bool
	run      func(ctx context.Context, env Env, args []string) error
}

func commands() []command {
	list := []command{
		{"serve", "run the service (also without any command)", false, runServe},
		{"migrate", "up, down or status: the database schema", false, runMigrate},
		{"outbox", "stats, list, show, retry or discard: events on their way to Kafka", true, runOutbox},
		{"guests", "erase: what a guest told of themselves", true, runGuests},
		{"demo-venue", "run a venue service of one restaurant, for a stack without the real one", true, runDemoVenue},
		{"health", "ask the service that runs on this machine whether it is ready (exit code 0 or 1)", false, runHealth},
		{"version", "print the version, its commit and date, and Go's version", false, runVersion},
		{"help", "print the commands and settings (also --help)", false, runHelp},
	}
	return append(list, developersCommands()...)
}

// usageError says that the command line is wrong.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// usageErrorf makes an error that ends the process with code 2 and a hint at --help.
func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// Main runs the command that args name and answers the process's exit code: 0, 1 after an error,
// 2 for a wrong command line. The first SIGINT or SIGTERM asks the command to stop, a second one
// ends the process at once.
func Main(args []string, env Env) int {
	devstack.MaybeSupervise()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		<-signals
		os.Exit(exitKilled)
	}()
	return run(ctx, args, env)
}

// run is Main without its signals.
func run(ctx context.Context, args []string, env Env) int {
	name, rest := "serve", args
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	if asksForHelp(name) {
		name = "help"
	}
	for _, c := range commands() {
		if c.name == name && len(rest) == 1 && asksForHelp(rest[0]) && !c.hasFlags {
			return report(env, runHelp(ctx, env, nil))
		}
		if c.name == name {
			return report(env, c.run(ctx, env, rest))
		}
	}
	return report(env, usageErrorf("unknown command %q", name))
}

func asksForHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

// report prints err as one line and answers the exit code.
func report(env Env, err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(env.Stderr, "booking-svc: %s; see booking-svc --help\n", app.OneLine(err))
		return exitUsage
	default:
		fmt.Fprintf(env.Stderr, "booking-svc: %s\n", app.OneLine(err))
		return exitFailed
	}
}

// noArguments refuses arguments of a command that takes none.
func noArguments(name string, args []string) error {
	if len(args) > 0 {
		return usageErrorf("%s takes no arguments, got %q", name, args[0])
	}
	return nil
}
