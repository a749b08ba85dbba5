package testenv

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Pgbouncer starts a pgbouncer in transaction mode before the database of a URL, for this test alone,
// and answers the URL that leads through it. Few connections serve all sessions, so that a statement
// that counts on its session being the same one again fails.
func Pgbouncer(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	password, _ := u.User.Password()
	name := strings.TrimPrefix(u.Path, "/")
	port := FreePort(t)
	// Not in t.TempDir, which is closed to the user that a root's pgbouncer becomes.
	dir, err := os.MkdirTemp("/tmp", "pgbouncer-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	file := filepath.Join(dir, "pgbouncer.ini")
	settings := fmt.Sprintf(`[databases]
%[1]s = host=%[2]s port=%[3]s dbname=%[1]s user=%[4]s password=%[5]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[6]d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
`, name, u.Hostname(), u.Port(), u.User.Username(), password, port)
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o644))
	args := []string{file}
	if os.Getuid() == 0 { // It refuses to run as root.
		args = append([]string{"-u", "nobody"}, args...)
	}
	var log Buffer
	cmd := exec.Command("pgbouncer", args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	u.Host = fmt.Sprintf("127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, u.String())
		if err != nil {
			return false
		}
		return conn.Close(ctx) == nil
	}, 30*time.Second, 20*time.Millisecond, "pgbouncer does not come up")
	return u.String()
}
