package devstack

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// lockWait is how long a new server waits for the one before it to be gone.
	lockWait = 20 * time.Second
	// stopWait is how long a stop may take before the server is killed. It writes a checkpoint.
	stopWait = 20 * time.Second
)

// PostgresOptions say which PostgreSQL to start.
type PostgresOptions struct {
	// Dir is the directory that keeps the data. Run by root, PostgreSQL runs as another user,
	// which may not reach Dir; see PostgresHome for where the data is then.
	Dir string
	// Port is the TCP port on 127.0.0.1; 0 for a free one.
	Port int
	// User is the superuser of the server. It, Password and Database are of letters, digits and
	// underscores. Changing them later has no effect on data that is there.
	User     string
	Password string
	// Database is created with the data.
	Database string
	// Settings are passed to the server, as max_connections.
	Settings map[string]string
	// Progress is told what takes long; may be nil.
	Progress func(message string)
}

// Postgres is a running server. Its processes end with this one, however this one ends.
type Postgres struct {
	// URL is the server's address, with user, password and database.
	URL  string
	Port int

	stdin io.Closer
	cmd   *exec.Cmd
	data  string
	done  chan struct{}
	once  sync.Once
}

// StartPostgres starts a PostgreSQL 18 and waits until it answers. The binaries are fetched when
// this machine does not have them yet. Data in the directory is kept; after a crash the server
// recovers it.
//
// The server is run by a supervisor, which is this very program started again: main, or a test's
// TestMain, must call MaybeSupervise first.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	if !supervisable {
		return nil, errors.New("start PostgreSQL: this program does not call devstack.MaybeSupervise")
	}
	owner, err := postgresOwner()
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	home, cache, err := makePostgresDirs(o.Dir, owner)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := settle(ctx, home); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := give(home, owner); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if o.Port == 0 {
		if o.Port, err = freePort(); err != nil {
			return nil, fmt.Errorf("start PostgreSQL: %w", err)
		}
	}
	order := supervisorOrder{
		Home: home, Cache: cache, Port: o.Port, User: o.User, Password: o.Password,
		Database: o.Database, Settings: o.Settings,
	}
	p := &Postgres{Port: o.Port, URL: order.url(), data: dataDir(home), done: make(chan struct{})}
	if err := p.launch(ctx, order, owner, o.Progress); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return p, nil
}

// launch starts the supervisor and waits for its word that the server answers.
func (p *Postgres) launch(ctx context.Context, order supervisorOrder, owner *owner, progress func(string)) error {
	exe, err := supervisorExe(order.Home, owner)
	if err != nil {
		return err
	}
	// Not CommandContext: the server outlives the start's context and is stopped by Stop.
	p.cmd = exec.Command(exe, superviseArg) //nolint:noctx // this very program
	p.cmd.Args[0] = os.Args[0]              // as a list of processes shows it
	p.cmd.Dir = order.Home
	p.cmd.Env = append(os.Environ(), "HOME="+order.Home, "TMPDIR="+filepath.Join(order.Home, "tmp"))
	p.cmd.Stderr = os.Stderr
	// Its own process group: Ctrl-C in a terminal is for this process, which still needs the
	// database while it drains.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: owner.credential()}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	ready := make(chan error, 1)
	go p.follow(stdout, ready, progress)
	if err := json.NewEncoder(stdin).Encode(order); err != nil {
		return errors.Join(fmt.Errorf("instruct the supervisor: %w", err), p.Stop())
	}
	select {
	case err := <-ready:
		if err != nil {
			return errors.Join(err, p.Stop())
		}
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.Stop())
	}
}

// follow reads what the supervisor says until it is gone.
func (p *Postgres) follow(stdout io.Reader, ready chan<- error, progress func(string)) {
	defer close(p.done)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var said supervisorWord
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			continue
		}
		switch {
		case said.Ready:
			ready <- nil
		case said.Error != "":
			ready <- errors.New(said.Error)
		case progress != nil:
			progress(said.Progress)
		}
	}
	// Wait closes the pipe, so it comes after the last line.
	err := p.cmd.Wait()
	select {
	case ready <- fmt.Errorf("the supervisor ended early: %v", err):
	default:
	}
}

// Done is closed when the server is gone, asked to or not.
func (p *Postgres) Done() <-chan struct{} { return p.done }

// Stop ends the server's sessions, lets it write its checkpoint, and waits until its processes are
// gone. It may be called again.
func (p *Postgres) Stop() error {
	var err error
	p.once.Do(func() {
		_ = p.stdin.Close() // already closed when the supervisor is gone
		select {
		case <-p.done:
		case <-time.After(stopWait + 10*time.Second):
			err = errors.Join(errors.New("PostgreSQL did not stop in time and was killed"), p.cmd.Process.Kill())
			<-p.done
		}
		// Only a killed supervisor leaves anything.
		ctx, cancel := context.WithTimeout(context.Background(), stopWait)
		defer cancel()
		err = errors.Join(err, stopOrphans(ctx, p.data))
	})
	return err
}

// supervisorOrder is what the supervisor is told to run.
type supervisorOrder struct {
	Home     string
	Cache    string
	Port     int
	User     string
	Password string
	Database string
	Settings map[string]string
}

func (o supervisorOrder) url() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(o.User, o.Password),
		Host: "127.0.0.1:" + strconv.Itoa(o.Port), Path: "/" + o.Database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// supervisorWord is one line of what the supervisor says.
type supervisorWord struct {
	Progress string `json:",omitempty"`
	Ready    bool   `json:",omitempty"`
	Error    string `json:",omitempty"`
}

// supervisorExe answers a path of this program that the owner may execute.
func supervisorExe(home string, owner *owner) (string, error) {
	exe, err := selfExe()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	info, err := os.Stat(exe)
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	if owner == nil || info.Mode()&0o001 != 0 {
		return exe, nil
	}
	// Built under a strict umask: nobody but root may execute it, so give the owner a copy.
	to := filepath.Join(home, "supervisor")
	if err := copyFile(exe, to, 0o755); err != nil {
		return "", fmt.Errorf("copy this program for the user of PostgreSQL: %w", err)
	}
	return to, nil
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	// A copy that is being executed cannot be written to, but it can be replaced.
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return errors.Join(out.Close(), os.Chmod(to, mode))
}

// lastLines answers the end of a file, for a message; empty when there is none.
func lastLines(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
