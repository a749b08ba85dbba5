package load

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Main runs a load in a directory of its own, which is removed after it, until it ends or is interrupted, and
// ends the process with 1 when it fails.
func Main(name string, run func(ctx context.Context, dir string) error) {
	// What the load itself costs is not what is measured.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := inDirectory(ctx, name, run); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

func inDirectory(ctx context.Context, name string, run func(ctx context.Context, dir string) error) error {
	dir, err := os.MkdirTemp("", "booking-"+name+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return run(ctx, dir)
}
