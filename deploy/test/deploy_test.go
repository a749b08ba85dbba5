// Package deploy checks what runs the service elsewhere: the Dockerfile, the Compose file and the manifests of
// Kubernetes, with the libraries that read them there, and against the service's own binary and settings. It is
// a module of its own, so that these libraries are none of the service's.
package deploy

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// binary is the service, built as the Dockerfile does, from what .dockerignore lets through.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "booking-svc-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "booking-svc")
	code := 1
	if err := buildFromContext(filepath.Join(dir, "context"), binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// buildFromContext copies the context of the image to dir and builds the service from it.
func buildFromContext(dir, to string) error {
	ignored, err := os.Open(root + "/.dockerignore")
	if err != nil {
		return err
	}
	defer ignored.Close()
	patterns, err := ignorefile.ReadAll(ignored)
	if err != nil {
		return err
	}
	list, err := exec.Command("git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		out, err := patternmatcher.MatchesOrParentMatches(name, patterns)
		if err != nil {
			return err
		}
		if out {
			continue
		}
		if err := copyFile(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	build := exec.Command(dir+"/scripts/build.sh", to)
	build.Env = append(os.Environ(), "TAGS=nodev")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/build.sh with the image's context: %w\n%s", err, out)
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil // deleted, and not committed yet
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode())
}

// run runs the service's binary with nothing but environ in its environment.
func run(t *testing.T, environ []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut strings.Builder
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environ, &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// defaults answers the service's settings with their defaults; a test of the service keeps .env.example true.
func defaults(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(root + "/.env.example")
	require.NoError(t, err)
	found := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^([A-Z][A-Z0-9_]*)=(.*)$`).FindAllStringSubmatch(string(data), -1) {
		found[m[1]] = m[2]
	}
	require.Contains(t, found, "SHUTDOWN_TIMEOUT")
	return found
}

// requireSettings checks that the service knows every variable of environ, and takes its value.
func requireSettings(t *testing.T, environ map[string]string) {
	t.Helper()
	known := defaults(t)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		require.Contains(t, known, name, "no setting of the service")
		list = append(list, name+"="+environ[name])
	}
	// health reads all settings first; nobody answers it here.
	_, stderr, _ := run(t, list, "health")
	require.NotContains(t, stderr, " must ", "the service refuses a setting")
}

// requireCommand checks that the service has the command that args begin with.
func requireCommand(t *testing.T, args []string) {
	t.Helper()
	help, _, err := run(t, nil, "--help")
	require.NoError(t, err)
	require.NotEmpty(t, args)
	require.Regexp(t, `(?m)^  `+regexp.QuoteMeta(args[0])+` `, help)
}

// shutdownTimeout is that of the environment, or the default.
func shutdownTimeout(t *testing.T, environ map[string]string) time.Duration {
	t.Helper()
	value := environ["SHUTDOWN_TIMEOUT"]
	if value == "" {
		value = defaults(t)["SHUTDOWN_TIMEOUT"]
	}
	d, err := time.ParseDuration(value)
	require.NoError(t, err)
	return d
}

// A setting that is unknown, or has a value that the service refuses, is found.
func TestWrongSettingsAreFound(t *testing.T) {
	_, stderr, err := run(t, []string{"POSTGRES_SSLMODE=maybe"}, "health")
	require.Error(t, err)
	require.Contains(t, stderr, "POSTGRES_SSLMODE must ")
	require.NotContains(t, defaults(t), "POSTGRES_PASS")
}
