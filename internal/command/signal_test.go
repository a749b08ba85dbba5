package command

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asService makes the test binary run Main, with a stop of the metrics server that takes as long as
// the variable says.
const asService = "TEST_BOOKING_SVC_STOP"

func TestMain(m *testing.M) {
	stopTakes, err := time.ParseDuration(os.Getenv(asService))
	if err != nil {
		os.Exit(m.Run())
	}
	os.Exit(Main([]string{"serve"}, Env{
		Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr,
		StartMetrics: func(int, http.Handler) (func(context.Context) error, error) {
			return func(context.Context) error { time.Sleep(stopTakes); return nil }, nil
		},
	}))
}

// startService starts the service as a process of its own, without any neighbour.
func startService(t *testing.T, stopTakes time.Duration) (process *exec.Cmd, awaitLine func(part string)) {
	t.Helper()
	free, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())

	process = exec.Command(os.Args[0])
	process.Env = []string{
		asService + "=" + stopTakes.String(), "PORT=" + strconv.Itoa(port),
		"POSTGRES_HOST=127.0.0.1", "POSTGRES_PORT=1", "REDIS_ADDR=127.0.0.1:1", "KAFKA_BROKERS=127.0.0.1:1",
		"GRPC_VENUE_ADDR=127.0.0.1:1", "STARTUP_TIMEOUT=1m",
	}
	stderr, err := process.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	t.Cleanup(func() { _ = process.Process.Kill() })
	lines := bufio.NewScanner(stderr)
	return process, func(part string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), part) {
				return
			}
		}
		require.Fail(t, "the process has ended", "before it logged %q", part)
	}
}

func TestFirstSignalStopsInGoodOrder(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		process, awaitLine := startService(t, 0)
		awaitLine("Service started")
		require.NoError(t, process.Process.Signal(signal))
		awaitLine("Service stopped")
		require.NoError(t, process.Wait(), "exit code 0")
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	process, awaitLine := startService(t, time.Minute)
	awaitLine("Service started")
	require.NoError(t, process.Process.Signal(syscall.SIGTERM))
	awaitLine("Service stopped") // the metrics server goes on for a minute
	require.NoError(t, process.Process.Signal(syscall.SIGTERM))
	start := time.Now()
	require.Error(t, process.Wait())
	require.Equal(t, exitKilled, process.ProcessState.ExitCode())
	require.Less(t, time.Since(start), 10*time.Second)
}
