package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/bookingcontrol/booker-booking-svc/test/process"
)

// clockTicks is how many a second Linux counts a process's time in.
const clockTicks = 100

// cpuSeconds is the processor time that a process and its children, running and ended, have used.
func cpuSeconds(pid int) float64 {
	ticks, _ := processTicks(pid, true)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if own, parent := processTicks(child, false); parent == pid {
			ticks += own
		}
	}
	return float64(ticks) / clockTicks
}

// ownSeconds is the processor time that this process has used.
func ownSeconds() float64 {
	ticks, _ := processTicks(os.Getpid(), false)
	return float64(ticks) / clockTicks
}

// machineSeconds is the processor time that the machine has not been idle.
func machineSeconds() float64 {
	data, _ := os.ReadFile("/proc/stat")
	total, _, _ := strings.Cut(string(data), "\n")
	var busy float64
	for i, field := range strings.Fields(total) {
		ticks, _ := strconv.ParseFloat(field, 64)
		// cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are in user.
		if i > 0 && i < 8 && i != 4 && i != 5 {
			busy += ticks
		}
	}
	return busy / clockTicks
}

// processTicks reads a process's own time, with that of its ended children if asked, and its parent.
func processTicks(pid int, ended bool) (ticks, parent int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0 // it has ended
	}
	// The name, in brackets, may hold anything. Behind it: state, parent, …, utime is the 12th.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	parent, _ = strconv.Atoi(fields[1])
	last := 13
	if ended {
		last = 15
	}
	for _, f := range fields[11:last] {
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return ticks, parent
}

// resident is the memory of a process in MiB.
func resident(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kib) / 1024
		}
	}
	return 0
}

// postmaster answers the process id of PostgreSQL's first process: the parent of the one that serves.
func postmaster(ctx context.Context, url string) (int, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	_, parent := processTicks(int(conn.PgConn().PID()), false)
	return parent, conn.Close(ctx)
}

func redisProcess(ctx context.Context, addr string) (int, error) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	info, err := client.InfoMap(ctx, "server").Result()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(info["Server"]["process_id"])
}

// startProfile begins to write a profile of the service's processor time, in whole seconds, if profiles
// are asked for. The function waits for its end.
func (b *bench) startProfile(ctx context.Context, name string, d time.Duration) (wait func()) {
	if b.profile == "" {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := download(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", b.service.HTTP, int(d.Seconds())),
			filepath.Join(b.profile, strings.ReplaceAll(name, " ", "-")+".pprof")); err != nil {
			fmt.Println("no profile:", err)
		}
	}()
	return func() { <-done }
}

func download(ctx context.Context, url, path string) error {
	status, body, err := process.Get(ctx, url)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers %d: %s", url, status, body)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o644)
}
