package main

import (
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A slim image has no time zones: they must be in the binary.
func TestTimeZonesAreInTheBinary(t *testing.T) {
	packages, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.Contains(t, strings.Fields(string(packages)), "time/tzdata")
}

func TestMetricsServer(t *testing.T) {
	free, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port

	_, err = startMetricsServer(port, http.NotFoundHandler())
	require.ErrorContains(t, err, "METRICS_PORT: port "+strconv.Itoa(port)+" is in use")
	require.NoError(t, free.Close())

	stop, err := startMetricsServer(port, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "here")
	}))
	require.NoError(t, err)
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	answer, err := http.Get(url)
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, "here", string(body))

	require.NoError(t, stop(t.Context()))
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	require.NoError(t, err, "the port is free again")
	require.NoError(t, listener.Close())
}
