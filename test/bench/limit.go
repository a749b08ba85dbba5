package main

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/test/load"
)

//go:embed limit/*.sql
var scripts embed.FS

// script is a transaction of pgbench: a file of limit/, or several one after another.
func script(names ...string) (text string) {
	for _, name := range names {
		file, status, _ := strings.Cut(name, ":")
		body, err := scripts.ReadFile("limit/" + file + ".sql")
		if err != nil {
			panic(err) // a name that is written in this program
		}
		text += strings.ReplaceAll(string(body), "STATUS", status)
	}
	return text
}

// pgbench is the yardstick: the same rows straight into PostgreSQL, by its own load generator.
type pgbench struct {
	program string
	stack   *load.Stack
	// next is the first sitting that no run has used.
	next int
}

// run lets clients, a connection each, repeat a script for a while, in whole seconds, or for longer, until
// there is something to tell: on a busy machine it may take a second to connect.
func (p *pgbench) run(ctx context.Context, database, text string, clients int, d time.Duration) (r result, err error) {
	for ; d < time.Minute; d *= 2 {
		if r, err = p.once(ctx, database, text, clients, d); err != nil || r.calls > 0 {
			return r, err
		}
	}
	return r, errors.New("pgbench: no transaction within half a minute")
}

func (p *pgbench) once(ctx context.Context, database, text string, clients int, d time.Duration) (r result, err error) {
	dir, err := os.MkdirTemp(p.stack.Dir, "pgbench-")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "script.sql")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, p.program, "--no-vacuum", "--protocol=prepared", "--file="+file,
		"--client="+strconv.Itoa(clients), "--jobs="+strconv.Itoa(min(clients, 2)),
		"--time="+strconv.Itoa(int(d.Seconds())), "--log", "--log-prefix="+filepath.Join(dir, "log"),
		"--define=n=0", "--define=base="+strconv.Itoa(p.next), "--define=clients="+strconv.Itoa(clients),
		"--define=day="+firstDay.Format(time.DateOnly), database)
	password, _ := p.stack.Admin.User.Password()
	cmd.Env = append(os.Environ(), "PGHOST="+p.stack.Admin.Hostname(), "PGPORT="+p.stack.Admin.Port(),
		"PGUSER="+p.stack.Admin.User.Username(), "PGPASSWORD="+password, "PGTZ="+zone, "PGOPTIONS=-c plan_cache_mode=force_generic_plan")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	if r, err = readLogs(dir); err != nil || r.calls == 0 {
		return r, err
	}
	_, tps, _ := strings.Cut(string(out), "tps = ")
	rate, err := strconv.ParseFloat(strings.Fields(tps + " ?")[0], 64)
	if err != nil || !strings.Contains(string(out), "number of failed transactions: 0 ") {
		return r, fmt.Errorf("pgbench: unexpected answer:\n%s", out)
	}
	r.elapsed = time.Duration(float64(r.calls) / rate * float64(time.Second))
	// Clients take sittings in turn, and some are faster than others.
	p.next += 4*r.calls + 100*clients
	return r, err
}

// readLogs reads the latencies of all transactions: in microseconds, the third word of a line.
func readLogs(dir string) (r result, err error) {
	logs, err := filepath.Glob(filepath.Join(dir, "log*"))
	if err != nil {
		return r, err
	}
	for _, path := range logs {
		f, err := os.Open(path)
		if err != nil {
			return r, err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			us, err := strconv.Atoi(strings.Fields(lines.Text())[2])
			if err != nil {
				return r, err
			}
			r.latencies = append(r.latencies, time.Duration(us)*time.Microsecond)
		}
	}
	r.calls = len(r.latencies)
	return r, nil
}
