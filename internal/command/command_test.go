package command

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
)

// execute runs a command line and answers its exit code and what it printed.
func execute(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(t.Context(), args, Env{
		Environ: environ, Stdout: &out, Stderr: &errOut,
		StartMetrics: func(int, http.Handler) (func(context.Context) error, error) {
			t.Error("the metrics server must not be started")
			return nil, context.Canceled
		},
	})
	return code, out.String(), errOut.String()
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"help", 0, "Usage: booking-svc [command]", ""},
		{"--help", 0, "Usage: booking-svc [command]", ""},
		{"-h", 0, "Usage: booking-svc [command]", ""},
		{"serve --help", 0, "Usage: booking-svc [command]", ""},
		{"migrate -h", 0, "Usage: booking-svc [command]", ""},
		{"version", 0, "booking-svc ", ""},
		{"version now", 2, "", `version takes no arguments, got "now"`},
		{"health now", 2, "", `health takes no arguments, got "now"`},
		{"serve now", 2, "", `serve takes no arguments, got "now"`},
		{"start", 2, "", `unknown command "start"; see booking-svc --help`},
		{"--port", 2, "", `unknown command "--port"; see booking-svc --help`},
		{"migrate", 2, "", "migrate takes one of up, down, status"},
		{"migrate sideways", 2, "", `migrate takes one of up, down, status, not "sideways"`},
		{"migrate up down", 2, "", "migrate takes one of up, down, status"},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := execute(t, nil, strings.Fields(test.args)...)
			require.Equal(t, test.code, code)
			require.Contains(t, stdout, test.stdout)
			require.Contains(t, stderr, test.stderr)
			if test.code != 0 {
				require.Empty(t, stdout)
				require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
			} else {
				require.Empty(t, stderr)
			}
		})
	}
}

func TestHelpListsEverything(t *testing.T) {
	_, help, _ := execute(t, []string{"PORT=wrong"}, "--help")
	for _, c := range commands() {
		require.Regexp(t, `(?m)^  `+c.name+` +`, help)
	}
	lines := strings.Split(help, "\n")
	for _, s := range config.Settings() {
		def := s.Default
		if def == "" {
			def = "(empty)"
		}
		found := false
		for _, line := range lines {
			fields := strings.Fields(line)
			if len(fields) > 2 && fields[0] == s.Name {
				found = true
				require.Equal(t, def, fields[1], s.Name)
				require.Contains(t, line, s.Meaning)
			}
		}
		require.True(t, found, s.Name)
	}
}

func TestWrongSettingsAreReportedAtOnce(t *testing.T) {
	for _, args := range [][]string{nil, {"serve"}, {"migrate", "up"}} {
		code, stdout, stderr := execute(t, []string{"PORT=x", "POSTGRES_PORT=y", "POSTGRES_PASSWORD=hush"}, args...)
		require.Equal(t, 1, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "PORT must be")
		require.Contains(t, stderr, "POSTGRES_PORT must be")
		require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
		require.NotContains(t, stderr, "hush")
	}
}

func TestMigrateGoesPastAPooler(t *testing.T) {
	code, _, stderr := execute(t, []string{"POSTGRES_HOST=127.0.0.1", "POSTGRES_PORT=1", "POSTGRES_POOLER=transaction"}, "migrate", "up")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "POSTGRES_POOLER=none")
}

// A database that is away is one line without the password, whatever the driver says about it.
func TestMigrateWithoutADatabase(t *testing.T) {
	for _, direction := range []string{"up", "down", "status"} {
		code, _, stderr := execute(t, []string{
			"POSTGRES_HOST=127.0.0.1", "POSTGRES_PORT=1", "POSTGRES_PASSWORD=hush", "POSTGRES_SSLMODE=prefer",
		}, "migrate", direction)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "booking-svc: migrate "+direction+": ")
		require.Contains(t, stderr, "connection refused")
		require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
		require.NotContains(t, stderr, "hush")
	}
}
