package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// server is a process that can be killed and started again with the same data.
type server struct {
	name string
	// command makes the process anew for each start.
	command func() *exec.Cmd
	// ready answers nil once the process serves.
	ready func(context.Context) error
	log   *os.File

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// readyTimeout is how long a server may take to come up.
const readyTimeout = 60 * time.Second

// launch starts the process and does not wait for it.
func (s *server) launch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := s.command()
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A process group of its own: Ctrl-C ends the harness, which then ends the servers. Should the
	// harness be killed, the kernel kills them.
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	exited := make(chan struct{})
	s.cmd, s.exited = cmd, exited
	go func() {
		_ = cmd.Wait() // its exit code is asked for where it matters
		close(exited)
	}()
	return nil
}

// start launches the process and waits until it serves.
func (s *server) start() error {
	if err := s.launch(); err != nil {
		return err
	}
	return s.awaitReady()
}

func (s *server) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w", s.name, readyTimeout, err)
		case <-s.exited:
			return fmt.Errorf("%s ended before it was ready, see %s", s.name, s.log.Name())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// signal sends a signal to the process alone.
func (s *server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return fmt.Errorf("signal %s: not started", s.name)
	}
	return s.cmd.Process.Signal(sig)
}

// end sends a signal that ends the process and waits for that. It answers the exit code, -1 when a
// signal ended it.
func (s *server) end(sig syscall.Signal, limit time.Duration) (int, error) {
	if err := s.signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-time.After(limit):
		return 0, fmt.Errorf("%s does not end within %v of %v", s.name, limit, sig)
	}
}

// stop ends what was started; the data is thrown away afterwards.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.signal(syscall.SIGCONT)
	sig := syscall.SIGKILL
	if s.name == "postgres" {
		sig = syscall.SIGQUIT // its children hear it too
	}
	if _, err := s.end(sig, 5*time.Second); err != nil {
		_, _ = s.end(syscall.SIGKILL, 5*time.Second)
	}
}

// freePort answers a port that nothing listens on, below the range that Linux gives to outgoing
// connections, so that none of those takes it while its server is away.
func freePort() (int, error) {
	for range 200 {
		port := 20000 + rand.IntN(12000)
		listener, err := net.Listen("tcp", address(port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no free port found")
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// accepts answers nil when something listens on a port.
func accepts(ctx context.Context, port int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address(port))
	if err != nil {
		return err
	}
	return conn.Close()
}
