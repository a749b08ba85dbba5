package command

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Nothing of this reaches a database: the settings name none that is there, and would end with 1.
func TestOutboxCommandLine(t *testing.T) {
	t.Parallel()
	const which = "say which events: their ids, --topic, --booking, --older-than, or --all"
	const either = "takes either ids, or filters, or --all"
	for _, test := range []struct {
		args   string
		stderr string
	}{
		{"", "outbox takes one of stats, list, show, retry, discard"},
		{"empty", `outbox takes one of stats, list, show, retry, discard, not "empty"`},
		{"stats now", `outbox stats takes no arguments, got "now"`},
		{"stats --unknown", "outbox stats: flag provided but not defined: -unknown"},
		{"list 17", `outbox list takes no arguments, got "17"`},
		{"list --status lost", `--status takes pending, dlq and sent, with commas, not "lost"`},
		{"list --status dlq,", `--status takes pending, dlq and sent, with commas, not ""`},
		{"list --limit 0", "--limit must be at least 1"},
		{"list --limit many", "invalid value"},
		{"list --older-than yesterday", "invalid value"},
		{"list --older-than -1s", "outbox list: --older-than must not be negative"},
		{"list --topic=", "outbox list: --topic must not be empty"},
		{"show", "outbox show takes the id of one event"},
		{"show 1 2", "outbox show takes the id of one event"},
		{"show first", `an event's id is a number, as ` + "`outbox list`" + ` shows it, not "first"`},
		{"show 0", "an event's id is a number"},
		{"show 9223372036854775808", "an event's id is a number"},
		{"retry", "outbox retry: " + which},
		{"retry --yes", "outbox retry: " + which},
		{"discard --yes", "outbox discard: " + which},
		{"discard --older-than=0s --yes", "outbox discard: " + which},
		{"retry 17 x --yes", "an event's id is a number"},
		{"retry 17 --all --yes", "outbox retry " + either},
		{"retry --all 17 --yes", "outbox retry " + either},
		{"retry 17 --topic booking.held --yes", "outbox retry " + either},
		{"discard --all --older-than 1h --yes", "outbox discard " + either},
		{"retry --status pending --yes", "--status can only be dlq: a pending event is being relayed"},
		{"discard --status dlq --booking= --yes", "outbox discard: --booking must not be empty"},
		{"retry --status= --yes", "outbox retry: --status must not be empty"},
		{"retry 17", "no terminal to ask: nothing was changed; give --yes"},
		{"discard --all", "no terminal to ask: nothing was changed; give --yes"},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t, []string{"POSTGRES_PORT=1"}, append([]string{"outbox"}, strings.Fields(test.args)...)...)
			require.Equal(t, 2, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, test.stderr)
			require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
		})
	}
}

func TestOutboxHelp(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"help", "-h", "--help"} {
		code, stdout, stderr := execute(t, nil, "outbox", flag)
		require.Zero(t, code)
		require.Empty(t, stderr)
		for _, c := range outboxCommands() {
			require.Contains(t, stdout, "booking-svc outbox "+c.name)
			require.Contains(t, stdout, c.meaning)
		}
	}
	flags := map[string][]string{
		"stats": {"-json"}, "list": {"-status", "-topic", "-booking", "-older-than", "-limit", "-json"},
		"show": {"-payload", "-json"}, "retry": {"-all", "-topic", "-booking", "-older-than", "-yes"},
	}
	flags["discard"] = flags["retry"]
	for _, c := range outboxCommands() {
		code, stdout, stderr := execute(t, nil, "outbox", c.name, "--help")
		require.Zero(t, code)
		require.Empty(t, stderr)
		for _, flag := range flags[c.name] {
			require.Contains(t, stdout, "\n  "+flag)
		}
	}
	_, show, _ := execute(t, nil, "outbox", "show", "--help")
	require.Contains(t, show, "guest's name and phone")
}

func TestOutboxSelection(t *testing.T) {
	t.Parallel()
	retry := outboxCommand{name: "retry"}
	s, yes, err := retry.selection(Env{Stdout: io.Discard}, strings.Fields("30 --yes 4 30"))
	require.NoError(t, err)
	require.True(t, yes)
	require.Equal(t, []int64{4, 30}, s.ids, "flags may stand anywhere; an id counts once")

	s, yes, err = retry.selection(Env{Stdout: io.Discard}, strings.Fields("--topic booking.held --booking b --older-than 90s"))
	require.NoError(t, err)
	require.False(t, yes)
	require.Empty(t, s.ids)
	require.Equal(t, "booking.held", s.filter.Topic)
	require.Equal(t, "b", s.filter.BookingID)
	require.Equal(t, 90*time.Second, s.filter.OlderThan)
}

// A database that is away is one line without the password, and no wait.
func TestOutboxWithoutADatabase(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"stats", "list", "show 1", "retry --all --yes", "discard 1 --yes"} {
		code, stdout, stderr := execute(t, []string{
			"POSTGRES_HOST=127.0.0.1", "POSTGRES_PORT=1", "POSTGRES_PASSWORD=hush",
		}, append([]string{"outbox"}, strings.Fields(args)...)...)
		require.Equal(t, 1, code)
		require.Empty(t, stdout)
		name, _, _ := strings.Cut(args, " ")
		require.Contains(t, stderr, "booking-svc: outbox "+name+": PostgreSQL at 127.0.0.1:1 cannot be used: ")
		require.Contains(t, stderr, "connection refused")
		require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
		require.NotContains(t, stderr, "hush")
	}
	code, _, stderr := execute(t, []string{"POSTGRES_PORT=x"}, "outbox", "stats")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "POSTGRES_PORT must be")
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{
		"y\n": true, "Y\n": true, "yes\r\n": true, " yes \n": true,
		"\n": false, "n\n": false, "no\n": false, "yy\n": false, "y": false, "": false,
	} {
		out := &bytes.Buffer{}
		require.Equal(t, want, confirm(t.Context(), Env{Stdin: strings.NewReader(answer), Stderr: out}, "retry 3 events?"), "%q", answer)
		require.Equal(t, "retry 3 events? [y/N] ", strings.TrimSuffix(out.String(), "\n"))
	}
}

// A signal is a no, although nothing was typed.
func TestConfirmIsBrokenOff(t *testing.T) {
	t.Parallel()
	nothing, write := io.Pipe()
	defer write.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, confirm(ctx, Env{Stdin: nothing, Stderr: io.Discard}, "discard?"))
}

func TestShortAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m0s", time.Hour - 1: "59m59s",
		time.Hour: "1h0m", 47*time.Hour + 59*time.Minute: "47h59m", 48 * time.Hour: "2d0h", 75 * time.Hour: "3d3h",
	} {
		require.Equal(t, want, shortAge(d))
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0-3, 7, 62-63", ranges([]int16{0, 1, 2, 3, 7, 62, 63}))
	require.Equal(t, "5", ranges([]int16{5}))
	require.Contains(t, unowned(make([]int16, 64)), "nothing is sent")
	require.Contains(t, unowned([]int16{4, 5}), "2 of 64 (4-5)")
	require.Contains(t, unowned(nil), "Every one of the 64 shards")
}

// What a broker or a guest wrote must neither break a table nor command the terminal.
func TestCell(t *testing.T) {
	t.Parallel()
	require.Equal(t, "two lines ?[31mred?", cell("two\n\tlines \x1b[31mred\u009b", 60))
	require.Equal(t, "отказ…", cell("отказано", 6))
	require.Equal(t, "отказано", cell("отказано", 8))
	require.Equal(t, []string{"{", `  "customer_name": "A?da"`, "}"},
		strings.Split(prettyPayload([]byte("{\"customer_name\" : \"A\u009bda\"}")), "\n"))
	require.Equal(t, `(no JSON) "\xff\x1b"`, prettyPayload([]byte("\xff\x1b")))
}
