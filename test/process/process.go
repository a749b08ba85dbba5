// Package process runs the servers that the fault harness and the bench are made of: each a process that
// can be stopped and started again, and that ends with its parent.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Server is a process that can be killed and started again with the same data.
type Server struct {
	Name string
	// Command makes the process anew for each start.
	Command func() *exec.Cmd
	// Ready answers nil once the process serves.
	Ready func(context.Context) error
	// Log takes what the process writes.
	Log *os.File
	// StopSignal is what Stop sends, SIGKILL by default.
	StopSignal syscall.Signal

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

const (
	// readyTimeout is how long a server may take to come up, and readyPoll how often it is asked meanwhile.
	readyTimeout = 60 * time.Second
	readyPoll    = 5 * time.Millisecond
	// stopTimeout is how long a server may take to end.
	stopTimeout = 20 * time.Second
)

// launch starts the process and does not wait for it.
func (s *Server) launch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := s.Command()
	cmd.Stdout, cmd.Stderr = s.Log, s.Log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A process group of its own: Ctrl-C ends the harness, which then ends the servers. Should the
	// harness be killed, the kernel kills them.
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	exited := make(chan struct{})
	s.cmd, s.exited = cmd, exited
	go func() {
		_ = cmd.Wait() // its exit code is asked for where it matters
		close(exited)
	}()
	return nil
}

// Start launches the process and waits until it serves.
func (s *Server) Start() error {
	if err := s.launch(); err != nil {
		return err
	}
	return s.AwaitReady()
}

// AwaitReady waits until the process serves.
func (s *Server) AwaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	for {
		err := s.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w", s.Name, readyTimeout, err)
		case <-s.exited:
			return fmt.Errorf("%s ended before it was ready, see %s", s.Name, s.Log.Name())
		case <-time.After(readyPoll):
		}
	}
}

// PID is the id of the process that was started last.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Exited is closed when the process that was started last has ended.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Signal sends a signal to the process alone.
func (s *Server) Signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return fmt.Errorf("signal %s: not started", s.Name)
	}
	return s.cmd.Process.Signal(sig)
}

// End sends a signal that ends the process and waits for that. It answers the exit code, -1 when a
// signal ended it.
func (s *Server) End(sig syscall.Signal, limit time.Duration) (int, error) {
	if err := s.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-time.After(limit):
		return 0, fmt.Errorf("%s does not end within %v of %v", s.Name, limit, sig)
	}
}

// Stop ends what was started; the data is thrown away afterwards.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.Signal(syscall.SIGCONT)
	sig := s.StopSignal
	if sig == 0 {
		sig = syscall.SIGKILL
	}
	if _, err := s.End(sig, stopTimeout); err != nil {
		_, _ = s.End(syscall.SIGKILL, stopTimeout)
	}
}

// FreePort answers a port that nothing listens on, below the range that Linux gives to outgoing
// connections, so that none of those takes it while its server is away.
func FreePort() (int, error) {
	for range 200 {
		port := 20000 + rand.IntN(12000)
		listener, err := net.Listen("tcp", Address(port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no free port found")
}

// Address is where a port of this machine is.
func Address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// Get reads what a server answers over HTTP.
func Get(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, errors.Join(err, resp.Body.Close())
}

// AnswersOK answers nil when a server answers 200 over HTTP.
func AnswersOK(ctx context.Context, url string) error {
	status, _, err := Get(ctx, url)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers %d", url, status)
	}
	return err
}

// Accepts answers nil when something listens on a port.
func Accepts(ctx context.Context, port int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", Address(port))
	if err != nil {
		return err
	}
	return conn.Close()
}
