package devstack

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/jackc/pgx/v5"
)

// superviseArg makes this program a supervisor.
const superviseArg = "supervise-postgres"

// startWait is how long a server may take to answer. After a crash it recovers its data first.
const startWait = 90 * time.Second

// supervisable says that this program can be started again as a supervisor.
var supervisable bool

// MaybeSupervise makes this process the supervisor of a PostgreSQL server when StartPostgres
// started it as one, and does not return then. Otherwise it does nothing. Every program that calls
// StartPostgres calls this first in main, before it reads its arguments.
func MaybeSupervise() {
	if len(os.Args) != 2 || os.Args[1] != superviseArg {
		supervisable = true
		return
	}
	// Whoever started this process decides when it ends, by closing stdin. Signals that are sent
	// to all processes of a name or a terminal must not stop the database before its users.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	s := &supervisor{out: json.NewEncoder(os.Stdout)}
	if err := s.run(os.Stdin); err != nil {
		s.say(supervisorWord{Error: err.Error()})
		os.Exit(1)
	}
	os.Exit(0)
}

// supervisor runs one server, until its stdin ends.
type supervisor struct {
	mu    sync.Mutex
	out   *json.Encoder
	order supervisorOrder
}

func (s *supervisor) say(w supervisorWord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(w) // nobody may be listening any more
}

func (s *supervisor) run(stdin io.Reader) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	if err := json.Unmarshal(line, &s.order); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // ends with the process that started this one
		cancel()
	}()

	unlock, err := lock(ctx, filepath.Join(s.order.Home, "lock"), lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.serve(ctx)
}

// newDataDir is where data is made, before it gets its place.
func newDataDir(home string) string { return dataDir(home) + ".new" }

func (s *supervisor) binaries() string {
	return filepath.Join(s.order.Cache, "postgresql-"+string(postgresVersion)+"-"+runtime.GOARCH)
}

// prepare fetches the binaries and makes the data, when they are not there. Both get their final
// name when they are complete, so that an interrupted start leaves nothing half made.
func (s *supervisor) prepare(ctx context.Context) error {
	binaries, data := s.binaries(), dataDir(s.order.Home)
	if exists(binaries) && exists(data) {
		return nil
	}
	// One at a time fetches into the cache. The library cannot be interrupted, so a stop ends
	// this whole process group, without waiting for a download.
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-done:
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.Background(), stopWait)
			defer cancel()
			_ = stopOrphans(late, newDataDir(s.order.Home)) // the next start tries again
			_ = syscall.Kill(0, syscall.SIGKILL)
		}
	}()
	unlock, err := lock(ctx, filepath.Join(s.order.Cache, "lock"), 5*time.Minute)
	if err != nil {
		return err
	}
	defer unlock()
	into := binaries
	if !exists(binaries) {
		half := filepath.Join(s.order.Cache, "new")
		if err := os.RemoveAll(half); err != nil {
			return err
		}
		into = filepath.Join(half, filepath.Base(binaries))
	}
	fresh := newDataDir(s.order.Home)
	for attempt := 1; ; attempt++ {
		if err := os.RemoveAll(fresh); err != nil {
			return err
		}
		err := s.make(into, fresh)
		if err == nil {
			break
		}
		if attempt == 3 || exists(filepath.Join(into, "bin", "pg_ctl")) {
			return err
		}
		s.say(supervisorWord{Progress: "fetching PostgreSQL failed, trying again: " + err.Error()})
		time.Sleep(time.Duration(attempt) * time.Second)
	}
	if into != binaries {
		if err := os.Rename(into, binaries); err != nil {
			return err
		}
	}
	if exists(data) {
		// Only the binaries were missing; the library makes data as well.
		return os.RemoveAll(fresh)
	}
	return os.Rename(fresh, data)
}

// make lets the library fetch the binaries, if need be, and make a data directory.
func (s *supervisor) make(binaries, data string) error {
	if !exists(filepath.Join(binaries, "bin", "pg_ctl")) {
		s.say(supervisorWord{Progress: "fetching PostgreSQL " + string(postgresVersion) + ", once for this machine"})
	} else {
		s.say(supervisorWord{Progress: "making a new database"})
	}
	// A port of its own: the server is started again with all its settings.
	port, err := freePort()
	if err != nil {
		return err
	}
	scratch := filepath.Join(s.order.Home, "tmp", "make")
	defer os.RemoveAll(scratch) //nolint:errcheck // emptied by the next start, if not now
	pg := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(postgresVersion).Port(uint32(port)).
		Username(s.order.User).Password(s.order.Password).Database(s.order.Database).
		Locale("C").Encoding("UTF8").
		CachePath(scratch + ".archive").RuntimePath(scratch).BinariesPath(binaries).DataPath(data).
		StartParameters(map[string]string{"unix_socket_directories": ""}).
		StartTimeout(startWait / 3).Logger(io.Discard))
	defer os.RemoveAll(scratch + ".archive") //nolint:errcheck // as above
	if err := pg.Start(); err != nil {
		return err
	}
	return pg.Stop()
}

// serve runs the server until ctx is done. It runs it as its own child, so that the kernel ends the
// server should this process be killed.
func (s *supervisor) serve(ctx context.Context) error {
	// The kernel looks at the thread that started the child.
	runtime.LockOSThread()
	logPath := filepath.Join(s.order.Home, "postgres.log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{
		"-D", dataDir(s.order.Home), "-p", fmt.Sprint(s.order.Port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
	}
	for name, value := range s.order.Settings {
		args = append(args, "-c", name+"="+value)
	}
	// Not CommandContext, which would kill it.
	cmd := exec.Command(filepath.Join(s.binaries(), "bin", "postgres"), args...) //nolint:noctx // fetched above
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr, syscall.SIGINT)
	if err := cmd.Start(); err != nil {
		return err
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()

	if err := s.await(ctx, gone); err != nil {
		return errors.Join(fmt.Errorf("%w; the end of its log:\n%s", err, lastLines(logPath, 8)), stopServer(cmd, gone))
	}
	s.say(supervisorWord{Ready: true})
	select {
	case <-ctx.Done():
		return stopServer(cmd, gone)
	case err := <-gone:
		return fmt.Errorf("PostgreSQL ended by itself: %v; the end of its log:\n%s", err, lastLines(logPath, 8))
	}
}

// await waits until the server answers. What is read from gone is put back.
func (s *supervisor) await(ctx context.Context, gone chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for {
		err := s.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case ended := <-gone:
			gone <- ended
			return fmt.Errorf("PostgreSQL does not start: %v", ended)
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ping asks the server for its data directory: on a port in use, another server may answer.
func (s *supervisor) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.order.url())
	if err != nil {
		return err
	}
	var dir string
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&dir); err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	if dir != dataDir(s.order.Home) {
		return errors.Join(errors.New("another server answers on the port"), conn.Close(ctx))
	}
	return conn.Close(ctx)
}

// stopServer ends the server's sessions and waits for its checkpoint.
func stopServer(cmd *exec.Cmd, gone <-chan error) error {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		_ = cmd.Process.Signal(signal) // it may be gone already
		select {
		case <-gone: //nolint:errcheck // how it ended is known: it was told to
			return nil
		case <-time.After(stopWait / 2):
		}
	}
	return errors.New("PostgreSQL cannot be killed")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
