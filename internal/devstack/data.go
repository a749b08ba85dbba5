package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// markerName is the file by which a directory is known as made here, so that nothing else is
	// ever emptied.
	markerName = "booking-svc-dev"
	markerText = "Data of `booking-svc dev`, made by it; `booking-svc dev --reset` empties this directory.\n"
	lockName   = "lock"
	// pointerName is the file that tells where PostgreSQL's data is, when it is not in the
	// directory itself.
	pointerName = "postgres-is-in"
	kafkaName   = "kafka"
)

// Data is a directory with the data of a stack, locked for this process.
type Data struct {
	// Dir is its absolute path.
	Dir string

	unlock func()
}

// OpenData makes a data directory, or opens one that was made before, and waits for what a killed
// process left in it to be gone. reset empties it first.
//
// Errors: a directory that was not made by OpenData and has something in it; one that another
// process has open.
func OpenData(ctx context.Context, dir string, reset bool) (*Data, error) {
	d, err := openData(ctx, dir, reset)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return d, nil
}

func openData(ctx context.Context, dir string, reset bool) (*Data, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	marker := filepath.Join(dir, markerName)
	if !exists(marker) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			return nil, errors.New("has something in it that is not of booking-svc dev; choose another with --data")
		}
		if err := os.WriteFile(marker, []byte(markerText), 0o644); err != nil {
			return nil, err
		}
	}
	unlock, err := lock(ctx, filepath.Join(dir, lockName), 2*time.Second)
	if err != nil {
		return nil, fmt.Errorf("%w; is another dev running? choose another directory with --data", err)
	}
	d := &Data{Dir: dir, unlock: unlock}
	if err := d.tidy(ctx, reset); err != nil {
		unlock()
		return nil, err
	}
	return d, nil
}

// Close lets other processes open the directory.
func (d *Data) Close() { d.unlock() }

// tidy waits for an earlier PostgreSQL to be gone, empties the directory if that is asked for, and
// notes where PostgreSQL's data is.
func (d *Data) tidy(ctx context.Context, reset bool) error {
	home, err := PostgresHome(d.Dir)
	if err != nil {
		return err
	}
	if exists(home) {
		if err := settle(ctx, home); err != nil {
			return err
		}
	}
	if reset {
		if err := d.empty(home); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	if filepath.Dir(home) == d.Dir {
		return nil
	}
	return os.WriteFile(filepath.Join(d.Dir, pointerName), []byte(home+"\n"), 0o644)
}

// empty removes all data, PostgreSQL's elsewhere too.
func (d *Data) empty(home string) error {
	gone := []string{home}
	// The directory may have been moved since, or used by root.
	if b, err := os.ReadFile(filepath.Join(d.Dir, pointerName)); err == nil {
		if noted := filepath.Clean(strings.TrimSpace(string(b))); filepath.Dir(noted) == rootHome {
			gone = append(gone, noted)
		}
	}
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != markerName && e.Name() != lockName {
			gone = append(gone, filepath.Join(d.Dir, e.Name()))
		}
	}
	for _, path := range gone {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}
