//go:build integration

package devstack

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// childArg makes the test binary start a server and wait, so that it can be killed.
const childArg = "start-postgres-and-wait"

func TestMain(m *testing.M) {
	MaybeSupervise()
	if len(os.Args) == 3 && os.Args[1] == childArg {
		p, err := StartPostgres(context.Background(), options(os.Args[2]))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(p.URL)
		select {}
	}
	os.Exit(m.Run())
}

func options(dir string) PostgresOptions {
	return PostgresOptions{Dir: dir, User: "someone", Password: "some_pass", Database: "some_db"}
}

// dir answers a directory for a server, and removes what root's server keeps elsewhere.
func dir(t *testing.T) (dir, data string) {
	t.Helper()
	dir = t.TempDir()
	home, err := PostgresHome(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(home)) })
	return dir, dataDir(home)
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(ctx)) }()
	var answer string
	require.NoError(t, conn.QueryRow(ctx, sql).Scan(&answer))
	return answer
}

func requireNoProcess(t *testing.T, data string) {
	t.Helper()
	require.Eventually(t, func() bool {
		pids, err := processesIn(data)
		return err == nil && len(pids) == 0
	}, 20*time.Second, 50*time.Millisecond, "a PostgreSQL is left")
}

func TestPostgresKeepsItsData(t *testing.T) {
	t.Parallel()
	dir, data := dir(t)
	o := options(dir)
	o.Settings = map[string]string{"max_connections": "17"}

	p, err := StartPostgres(t.Context(), o)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(query(t, p.URL, `SELECT version()`), "PostgreSQL 18."))
	require.Equal(t, "17", query(t, p.URL, `SHOW max_connections`))
	require.Equal(t, "UTF8", query(t, p.URL, `SHOW server_encoding`))
	require.Equal(t, "some_db", query(t, p.URL, `SELECT current_database()`))
	execute(t, p.URL, `CREATE EXTENSION btree_gist`, `CREATE TABLE kept (x int)`)
	require.NoError(t, p.Stop())
	require.NoError(t, p.Stop(), "a second stop")
	<-p.Done()
	requireNoProcess(t, data)

	p, err = StartPostgres(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, "0", query(t, p.URL, `SELECT count(*)::text FROM kept`))
	require.NoError(t, p.Stop())
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	for _, s := range statements {
		_, err := conn.Exec(t.Context(), s)
		require.NoError(t, err)
	}
}

func TestPostgresEndsWithAKilledParent(t *testing.T) {
	t.Parallel()
	dir, data := dir(t)
	child := startChild(t, dir)
	execute(t, child.url, `CREATE TABLE kept (x int)`)
	require.NoError(t, child.cmd.Process.Kill())
	_ = child.cmd.Wait()
	requireNoProcess(t, data)

	p, err := StartPostgres(t.Context(), options(dir))
	require.NoError(t, err)
	require.Equal(t, "0", query(t, p.URL, `SELECT count(*)::text FROM kept`))
	require.NoError(t, p.Stop())
}

// After everything was killed at once, postmaster included, the next start recovers, also when the
// process id in the lock file has another owner by then.
func TestPostgresComesUpAfterAllWasKilled(t *testing.T) {
	t.Parallel()
	dir, data := dir(t)
	child := startChild(t, dir)
	execute(t, child.url, `CREATE TABLE kept (x int)`)
	pids, err := processesIn(data)
	require.NoError(t, err)
	require.NotEmpty(t, pids)
	require.NoError(t, child.cmd.Process.Kill())
	for _, pid := range pids {
		if proc, err := os.FindProcess(pid); err == nil {
			_ = proc.Kill()
		}
	}
	_ = child.cmd.Wait()
	requireNoProcess(t, data)
	pidFile := data + "/postmaster.pid"
	b, err := os.ReadFile(pidFile)
	require.NoError(t, err, "a killed postmaster leaves its lock file")
	_, rest, _ := strings.Cut(string(b), "\n")
	require.NoError(t, os.WriteFile(pidFile, []byte(fmt.Sprintf("%d\n%s", os.Getpid(), rest)), 0o600))

	p, err := StartPostgres(t.Context(), options(dir))
	require.NoError(t, err)
	require.Equal(t, "0", query(t, p.URL, `SELECT count(*)::text FROM kept`))
	require.NoError(t, p.Stop())
}

// A server whose supervisor was killed is stopped with it, and its user learns of it.
func TestPostgresTellsWhenItIsGone(t *testing.T) {
	t.Parallel()
	dir, data := dir(t)
	p, err := StartPostgres(t.Context(), options(dir))
	require.NoError(t, err)
	require.NoError(t, p.cmd.Process.Kill())
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("Done was not closed")
	}
	require.NoError(t, p.Stop())
	requireNoProcess(t, data)
}

func TestPostgresReportsAPortInUse(t *testing.T) {
	t.Parallel()
	dir1, _ := dir(t)
	first, err := StartPostgres(t.Context(), options(dir1))
	require.NoError(t, err)
	dir2, data := dir(t)
	o := options(dir2)
	o.Port = first.Port
	_, err = StartPostgres(t.Context(), o)
	require.ErrorContains(t, err, "PostgreSQL does not start")
	require.ErrorContains(t, err, "Address already in use")
	requireNoProcess(t, data)
	require.NoError(t, first.Stop())
}

type child struct {
	cmd *exec.Cmd
	url string
}

func startChild(t *testing.T, dir string) child {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, childArg, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	url, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return child{cmd: cmd, url: strings.TrimSpace(url)}
}
