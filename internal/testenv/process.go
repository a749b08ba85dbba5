package testenv

import (
	"bytes"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Buffer takes what a running service logs while a test reads it. Its zero value is empty.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String answers all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Reset empties it.
func (b *Buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Reset()
}

// Run starts a program for this test alone, kills it when the test ends, and answers what it says.
func Run(t testing.TB, program string, args ...string) *Buffer {
	t.Helper()
	said := &Buffer{}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("what %s said:\n%s", program, said)
		}
	})
	return said
}

// given are the ports that FreePort has answered.
var given sync.Map

// FreePort answers a port that was free a moment ago, on all interfaces, and that it has not answered
// before in this process: the system may offer the same one twice in a row.
func FreePort(t testing.TB) int {
	t.Helper()
	for {
		listener, err := net.Listen("tcp", ":0") //nolint:noctx // binds at once
		require.NoError(t, err)
		port := listener.Addr().(*net.TCPAddr).Port
		require.NoError(t, listener.Close())
		if _, taken := given.LoadOrStore(port, true); !taken {
			return port
		}
	}
}
