package devstack

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpenData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "here")
	d, err := OpenData(t.Context(), dir, false)
	require.NoError(t, err)
	home, err := PostgresHome(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(home)) })

	_, err = OpenData(t.Context(), dir, true)
	require.ErrorContains(t, err, "in use by another process", "not even a reset may touch it now")
	kept := filepath.Join(dir, "kafka", "kept")
	require.NoError(t, os.MkdirAll(kept, 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(home, "data"), 0o755))
	d.Close()

	d, err = OpenData(t.Context(), dir, false)
	require.NoError(t, err)
	d.Close()
	require.DirExists(t, kept)
	require.DirExists(t, filepath.Join(home, "data"))

	d, err = OpenData(t.Context(), dir, true)
	require.NoError(t, err)
	d.Close()
	require.NoDirExists(t, kept)
	require.NoDirExists(t, filepath.Join(home, "data"))
	require.FileExists(t, filepath.Join(dir, markerName), "it can be reset again")
}

func TestOpenDataLeavesStrangersAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "thesis.tex")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, reset := range []bool{false, true} {
		_, err := OpenData(t.Context(), dir, reset)
		require.ErrorContains(t, err, "choose another with --data")
	}
	require.FileExists(t, file)
}

func TestCheckPorts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	free, err := freePort()
	require.NoError(t, err)

	require.NoError(t, CheckPorts([]PortUse{{Port: free, For: "Redis", Option: "--redis-port"}}))
	for _, everywhere := range []bool{false, true} {
		err = CheckPorts([]PortUse{{Port: port, For: "Kafka", Option: "--kafka-port", Everywhere: everywhere}})
		require.ErrorContains(t, err, "wanted for Kafka, cannot be used (address already in use): choose another with --kafka-port")
	}
	err = CheckPorts([]PortUse{{Port: free, For: "Kafka", Option: "--kafka-port"}, {Port: free, For: "Redis", Option: "--redis-port"}})
	require.ErrorContains(t, err, "wanted for Kafka and for Redis")
}
