package devstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// postgresVersion is what is fetched. A new major version starts with new data.
const postgresVersion = embeddedpostgres.V18

// rootHome is where root's servers live: PostgreSQL does not run as root, and another user does
// not reach a clone below root's home.
const rootHome = "/var/lib/booking-svc-dev"

// owner is the user that PostgreSQL runs as; nil for the present one.
type owner struct {
	uid, gid int
}

// postgresOwner answers nobody in particular for an ordinary user; for root the user postgres, or
// else nobody.
func postgresOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &owner{uid: uid, gid: gid}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

func (o *owner) credential() *syscall.Credential {
	if o == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
}

// PostgresHome answers where StartPostgres keeps the data of a directory: in the directory itself,
// or, for root, below /var/lib under a hash of its path.
func PostgresHome(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	// PostgreSQL reports its directory without links; processesIn compares them.
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	if os.Geteuid() != 0 {
		return filepath.Join(abs, "postgres"), nil
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Join(rootHome, hex.EncodeToString(sum[:8])), nil
}

// makePostgresDirs makes the home of a server and the cache of binaries, which all servers share.
func makePostgresDirs(dir string, owner *owner) (home, cache string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	if home, err = PostgresHome(dir); err != nil {
		return "", "", err
	}
	if owner != nil {
		cache = filepath.Join(rootHome, "cache-"+strconv.Itoa(owner.uid))
		// Root's umask may close what its server's user has to pass through.
		if err := os.MkdirAll(rootHome, 0o755); err != nil {
			return "", "", err
		}
		if err := os.Chmod(rootHome, 0o755); err != nil {
			return "", "", err
		}
	} else if base, err := os.UserCacheDir(); err == nil {
		cache = filepath.Join(base, "booking-svc-dev")
	} else {
		cache = filepath.Join(home, "cache")
	}
	for _, d := range []string{cache, home, filepath.Join(home, "tmp")} {
		if exists(d) {
			continue
		}
		if err := os.MkdirAll(d, 0o700); err != nil {
			return "", "", err
		}
		if owner == nil {
			continue
		}
		if err := os.Chown(d, owner.uid, owner.gid); err != nil {
			return "", "", err
		}
	}
	return home, cache, nil
}

// give makes a home the owner's, with all that is in it. It was another's when root started servers
// before there was a user postgres.
func give(home string, owner *owner) error {
	info, err := os.Stat(home)
	if err != nil {
		return err
	}
	if owner == nil || info.Sys().(*syscall.Stat_t).Uid == uint32(owner.uid) {
		return nil
	}
	err = filepath.WalkDir(home, func(path string, _ os.DirEntry, err error) error {
		if err != nil || path == home {
			return err
		}
		return os.Lchown(path, owner.uid, owner.gid)
	})
	if err != nil {
		return err
	}
	return os.Lchown(home, owner.uid, owner.gid) // last, as it says that all is done
}

// dataDir is PostgreSQL's own directory in a home.
func dataDir(home string) string {
	major, _, _ := strings.Cut(string(postgresVersion), ".")
	return filepath.Join(home, "data-"+major)
}

// settle waits until the supervisor of an earlier server is gone, and stops what it left when it
// was killed.
func settle(ctx context.Context, home string) error {
	unlock, err := lock(ctx, filepath.Join(home, "lock"), lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	return errors.Join(stopOrphans(ctx, dataDir(home)), stopOrphans(ctx, newDataDir(home)))
}

// lock takes the lock of a file, which ends with the process. The file is made when missing, open to
// root and its server's user alike when they share its directory.
func lock(ctx context.Context, path string, wait time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, rootHome) && os.Geteuid() == 0 {
		if err := f.Chmod(0o666); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	for end := time.Now().Add(wait); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) || ctx.Err() != nil {
			_ = f.Close()
			return nil, fmt.Errorf("%s is in use by another process: %w", filepath.Dir(path), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stopOrphans stops a server that has lost its supervisor, and removes its lock file once no
// process is left: its process id may have another owner by now, and a new server would take that
// for the old one. The caller has the lock of the home.
func stopOrphans(ctx context.Context, data string) error {
	pidFile := filepath.Join(data, "postmaster.pid")
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL}
	for _, signal := range signals {
		for end := time.Now().Add(stopWait / 4); ; time.Sleep(50 * time.Millisecond) {
			pids, err := processesIn(data)
			if err != nil {
				return err
			}
			if len(pids) == 0 {
				return removeStale(pidFile)
			}
			if time.Now().After(end) || ctx.Err() != nil {
				break
			}
			if signal != 0 {
				// The postmaster tells its children. Children without one end by themselves,
				// or at the latest by the last signal, which all of them get.
				postmaster := readPID(pidFile)
				for _, pid := range pids {
					if pid == postmaster || signal == syscall.SIGKILL {
						_ = syscall.Kill(pid, signal) // it may be gone by now
					}
				}
				signal = 0
			}
		}
	}
	return fmt.Errorf("processes of an earlier PostgreSQL do not end; they work in %s", data)
}

// removeStale removes a lock file. Where processes cannot be listed, PostgreSQL itself decides
// whether the file is stale.
func removeStale(pidFile string) error {
	if !canListProcesses {
		return nil
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// readPID reads the process id from the first line of a lock file, 0 when there is none.
func readPID(pidFile string) int {
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return 0
	}
	return pid
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binds at once
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
