package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/test/process"
)

// settleTime is how long after the last fault nothing may be left behind any more.
const settleTime = 30 * time.Second

// What must be gone then.
const (
	leftEvents = `SELECT count(*) FROM outbox WHERE status <> 'sent'`
	leftHolds  = `SELECT count(*) FROM bookings WHERE status = 'held' AND expires_at < now() - interval '5 seconds'`
)

// awaitSettled waits until the outbox is drained and no hold is overdue.
func awaitSettled(ctx context.Context, c *cluster) (after time.Duration, problems []string, err error) {
	began := time.Now()
	for {
		var waiting, overdue int
		err := c.db.QueryRow(ctx, `SELECT (`+leftEvents+`), (`+leftHolds+`)`).Scan(&waiting, &overdue)
		if err != nil {
			return 0, nil, err
		}
		after = time.Since(began)
		if waiting+overdue == 0 {
			return after, nil, nil
		}
		if after > settleTime {
			return after, []string{fmt.Sprintf("after %v %d events wait and %d holds are overdue", settleTime, waiting, overdue)}, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// checkRedis answers the keys that outlive what they stand for: each must run out by itself.
func checkRedis(ctx context.Context, c *cluster) (keys int, problems []string, err error) {
	client := c.redisClient()
	defer func() { err = errors.Join(err, client.Close()) }()
	all := client.Scan(ctx, 0, "*", 1000).Iterator()
	for all.Next(ctx) {
		keys++
		ttl, err := client.PTTL(ctx, all.Val()).Result()
		if err != nil {
			return 0, nil, err
		}
		if ttl == -1 || ttl > holdTTL {
			problems = append(problems, fmt.Sprintf("key %s runs out in %v", all.Val(), ttl))
		}
	}
	return keys, problems, all.Err()
}

const (
	// goroutineSlack is how many more goroutines than soon after its start a replica may have: those of
	// its clients' connections, and of its pools'.
	goroutineSlack = 60
	// maxConns is POSTGRES_MAX_CONNS by default.
	maxConns = 16
)

// checkLeaks answers the replicas that hold on to goroutines or connections.
func checkLeaks(ctx context.Context, c *cluster) (problems []string, err error) {
	for _, r := range c.replicas {
		now, err := r.goroutines(ctx)
		if err != nil {
			return nil, err
		}
		if now > r.freshGoroutines+goroutineSlack {
			problems = append(problems, fmt.Sprintf("%s has %d goroutines, at its start it had %d", r.Name, now, r.freshGoroutines))
		}
	}
	var connections int
	err = c.db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'booking-svc'`).Scan(&connections)
	if connections > maxConns*len(c.replicas) {
		problems = append(problems, fmt.Sprintf("%d connections to PostgreSQL are open", connections))
	}
	return problems, err
}

// goroutines asks a replica how many it has.
func (r *replica) goroutines(ctx context.Context) (n int, err error) {
	_, body, err := process.Get(ctx, fmt.Sprintf("http://%s/metrics", process.Address(r.metrics)))
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			return strconv.Atoi(value)
		}
	}
	return 0, errors.Join(lines.Err(), errors.New("go_goroutines is not among the metrics"))
}
