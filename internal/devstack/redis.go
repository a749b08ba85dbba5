package devstack

import (
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// redisTick is how often the server's keys grow older.
const redisTick = 50 * time.Millisecond

// Redis is a server inside this process. It forgets everything when it stops.
type Redis struct {
	// Addr is its address, host:port.
	Addr string

	server *miniredis.Miniredis
	stop   chan struct{}
	done   chan struct{}
}

// StartRedis starts a Redis on a port of 127.0.0.1, 0 for a free one.
func StartRedis(port int) (*Redis, error) {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	r := &Redis{Addr: server.Addr(), server: server, stop: make(chan struct{}), done: make(chan struct{})}
	go r.tick()
	return r, nil
}

// tick lets the keys expire: by itself the server's clock stands still.
func (r *Redis) tick() {
	defer close(r.done)
	ticker := time.NewTicker(redisTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-r.stop:
			return
		case now := <-ticker.C:
			r.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// Stop ends the server and its connections.
func (r *Redis) Stop() {
	close(r.stop)
	<-r.done
	r.server.Close()
}
