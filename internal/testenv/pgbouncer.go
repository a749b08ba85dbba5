package testenv

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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
	return startPgbouncer(t, u)
}

// PgbouncerWithTLS is Pgbouncer that takes only TLS, with a certificate of the authority.
func PgbouncerWithTLS(t testing.TB, database string, a *Authority) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	u.RawQuery = "sslmode=require"
	dir := openDir(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.IssueTo(t, "postgres", cert, key)
	require.NoError(t, os.Chmod(cert, 0o644))
	require.NoError(t, os.Chmod(key, 0o644))
	return startPgbouncer(t, u, "client_tls_sslmode = require", "client_tls_cert_file = "+cert, "client_tls_key_file = "+key)
}

// openDir answers a directory that the user may read whom a root's pgbouncer becomes: t.TempDir is closed to it.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgbouncer-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// startPgbouncer starts it before the database of a URL; more are lines of its settings.
func startPgbouncer(t testing.TB, u *url.URL, more ...string) string {
	t.Helper()
	password, _ := u.User.Password()
	name := strings.TrimPrefix(u.Path, "/")
	port := FreePort(t)
	file := filepath.Join(openDir(t), "pgbouncer.ini")
	settings := fmt.Sprintf(`[databases]
%[1]s = host=%[2]s port=%[3]s dbname=%[1]s user=%[4]s password=%[5]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[6]d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
%[7]s
`, name, u.Hostname(), u.Port(), u.User.Username(), password, port, strings.Join(more, "\n"))
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o644))
	args := []string{file}
	if os.Getuid() == 0 { // It refuses to run as root.
		args = append([]string{"-u", "nobody"}, args...)
	}
	Run(t, "pgbouncer", args...)
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
