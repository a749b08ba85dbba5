//go:build integration

package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// operator uses the commands on a database of the test's own.
type operator struct {
	t    *testing.T
	env  []string
	pool *pgxpool.Pool
}

func newOperator(t *testing.T, address string) *operator {
	t.Helper()
	db, err := url.Parse(address)
	require.NoError(t, err)
	password, _ := db.User.Password()
	pool, err := pgxpool.New(context.Background(), address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &operator{t: t, pool: pool, env: []string{
		"POSTGRES_HOST=" + db.Hostname(), "POSTGRES_PORT=" + db.Port(), "POSTGRES_DB=" + strings.TrimPrefix(db.Path, "/"),
		"POSTGRES_USER=" + db.User.Username(), "POSTGRES_PASSWORD=" + password, "POSTGRES_SSLMODE=disable",
	}}
}

// guest is in every payload, and must be in no output but that of show --payload.
const guest = "Ada Lovelace"

// add puts an event, created an hour ago, into the outbox.
func (o *operator) add(status, topic, booking string, version int) (id int64) {
	o.t.Helper()
	require.NoError(o.t, o.pool.QueryRow(context.Background(), `
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, status, retry_count, last_error, created_at)
		VALUES (1, $2, $3::varchar, $5, $6, $4, $1::varchar, CASE WHEN $1 = 'dlq' THEN 4 ELSE 0 END,
			CASE WHEN $1 = 'dlq' THEN E'record rejected:\n\tMESSAGE_TOO_LARGE' ELSE '' END, now() - interval '1 hour')
		RETURNING id`,
		status, topic, booking, version, []byte(`{"customer_name":"`+guest+`","booking_id":"`+booking+`"}`),
		fmt.Sprintf("e-%s-%d", booking, version)).Scan(&id))
	return id
}

// minutes hides those that a busy machine adds to the age of an event.
func minutes(text string) string {
	return regexp.MustCompile(`(\dh)\dm`).ReplaceAllString(text, "${1}0m")
}

// statuses answers the state of each event that is there.
func (o *operator) statuses() map[int64]string {
	o.t.Helper()
	rows, err := o.pool.Query(context.Background(), `SELECT id, status FROM outbox`)
	require.NoError(o.t, err)
	defer rows.Close()
	all := make(map[int64]string)
	for rows.Next() {
		var id int64
		var status string
		require.NoError(o.t, rows.Scan(&id, &status))
		all[id] = status
	}
	require.NoError(o.t, rows.Err())
	return all
}

// run runs an outbox command; stdin, when not nil, is a terminal.
func (o *operator) run(stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	var out, errOut bytes.Buffer
	code = run(o.t.Context(), append([]string{"outbox"}, args...), Env{
		Environ: o.env, Stdin: stdin, Terminal: stdin != nil, Stdout: &out, Stderr: &errOut,
	})
	if args[len(args)-1] != "--payload" {
		require.NotContains(o.t, out.String()+errOut.String(), guest)
	}
	return code, out.String(), errOut.String()
}

// ok runs a command of a script that must succeed without complaint.
func (o *operator) ok(args ...string) (stdout string) {
	o.t.Helper()
	code, stdout, stderr := o.run(nil, args...)
	require.Zero(o.t, code, stderr)
	require.Empty(o.t, stderr)
	return stdout
}

func TestOutboxListAndShow(t *testing.T) {
	t.Parallel()
	o := newOperator(t, testenv.PostgresURL(t))
	require.Equal(t, "no such events (pending,dlq)\n", o.ok("list"))
	require.JSONEq(t, "[]", o.ok("list", "--json"))
	pending := o.add("pending", "booking.held", "b1", 1)
	dlq := o.add("dlq", "booking.seated", "b2", 3)
	sent := o.add("sent", "booking.held", "b2", 1)

	require.Equal(t, fmt.Sprintf(""+
		"ID  STATUS   TOPIC           BOOKING  VERSION  AGE   RETRIES  LAST ERROR\n"+
		"%d   pending  booking.held    b1       1        1h0m  0        -\n"+
		"%d   dlq      booking.seated  b2       3        1h0m  4        record rejected: MESSAGE_TOO_LARGE\n", pending, dlq), minutes(o.ok("list")))
	ids := func(args ...string) (ids []int64) {
		var list []map[string]any
		require.NoError(t, json.Unmarshal([]byte(o.ok(append([]string{"list", "--json"}, args...)...)), &list))
		for _, e := range list {
			ids = append(ids, int64(e["id"].(float64)))
		}
		return ids
	}
	require.Equal(t, []int64{pending, dlq}, ids())
	require.Equal(t, []int64{dlq}, ids("--status", "dlq"))
	require.Equal(t, []int64{pending, dlq, sent}, ids("--status", "sent,pending,dlq"))
	require.Equal(t, []int64{pending}, ids("--topic", "booking.held"))
	require.Equal(t, []int64{dlq}, ids("--booking", "b2"))
	require.Equal(t, []int64{pending, dlq}, ids("--older-than", "59m"))
	require.Empty(t, ids("--older-than", "2h"))
	code, stdout, stderr := o.run(nil, "list", "--limit", "1")
	require.Zero(t, code)
	require.Equal(t, 2, strings.Count(stdout, "\n"), stdout)
	require.Equal(t, "1 shown, there are more: --limit shows more.\n", stderr)
	o.ok("list", "--limit", "2")
	o.ok("list", "--limit", "9223372036854775807")

	var list []map[string]any
	require.NoError(t, json.Unmarshal([]byte(o.ok("list", "--json", "--status", "dlq")), &list))
	require.InDelta(t, 3600, list[0]["age_seconds"], 600)
	delete(list[0], "age_seconds")
	require.Regexp(t, `Z$`, list[0]["created_at"])
	delete(list[0], "created_at")
	require.Equal(t, map[string]any{
		"id": float64(dlq), "status": "dlq", "topic": "booking.seated", "booking_id": "b2", "booking_version": 3.0,
		"event_id": "e-b2-3", "retry_count": 4.0, "last_error": "record rejected:\n\tMESSAGE_TOO_LARGE",
	}, list[0])

	show := minutes(o.ok("show", fmt.Sprint(dlq)))
	for _, line := range []string{
		`status +dlq`, `topic +booking\.seated`, `booking +b2`, `version +3`, `event id +e-b2-3`, `shard +1`,
		`created +\S+Z \(1h0m ago\)`, `retries +4`, `last error +record rejected: MESSAGE_TOO_LARGE`, `payload +50 bytes, a guest's data: --payload shows it`,
	} {
		require.Regexp(t, `(?m)^`+line+`$`, show)
	}
	_, show, _ = o.run(nil, "show", fmt.Sprint(dlq), "--payload")
	require.Contains(t, show, "\n{\n  \"customer_name\": \""+guest+"\",\n")
	var details map[string]any
	require.NoError(t, json.Unmarshal([]byte(o.ok("show", "--json", fmt.Sprint(dlq))), &details))
	require.NotContains(t, details, "payload")
	_, show, _ = o.run(nil, "show", "--json", fmt.Sprint(dlq), "--payload")
	require.NoError(t, json.Unmarshal([]byte(show), &details))
	require.Equal(t, map[string]any{"customer_name": guest, "booking_id": "b2"}, details["payload"])

	code, _, stderr = o.run(nil, "show", "4711")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "event 4711 is not in the outbox")
}

func TestOutboxStats(t *testing.T) {
	t.Parallel()
	o := newOperator(t, testenv.PostgresURL(t))
	require.Equal(t, ""+
		"STATUS   EVENTS  OLDEST\n"+
		"pending  0       -\n"+
		"dlq      0       -\n"+
		"sent     0       -\n\n"+
		"No shard has a living relay: nothing is sent. Is a booking-svc running, and ready?\n", o.ok("stats"))
	o.add("pending", "booking.held", "b1", 1)
	o.add("dlq", "booking.held", "b2", 1)
	o.add("dlq", "booking.seated", "b2", 3)
	o.add("sent", "booking.held", "b3", 1)
	for _, statement := range []string{
		`UPDATE outbox SET created_at = now() - interval '26 hours' WHERE topic = 'booking.seated'`,
		`INSERT INTO outbox_relays (owner, alive_until) VALUES ('relay-1', now() + interval '1 hour'), ('relay-2', now() - interval '130 seconds')`,
		`UPDATE outbox_leases SET owner = 'relay-1', leased_until = now() + interval '1 hour' WHERE shard NOT IN (3, 4, 63)`,
	} {
		_, err := o.pool.Exec(context.Background(), statement)
		require.NoError(t, err)
	}
	require.Regexp(t, `^`+
		"STATUS   EVENTS  OLDEST\n"+
		"pending  1       1h0m\n"+
		"dlq      2       26h0m\n"+
		"sent     1       1h0m\n\n"+
		"TOPIC           PENDING  DLQ  SENT\n"+
		"booking.held    1        1    1\n"+
		"booking.seated  0        1    0\n\n"+
		"RELAY    SHARDS  ALIVE\n"+
		"relay-1  61      yes\n"+
		`relay-2  0       no, for \d+m\d+s`+"\n\n"+
		`Shards without a living relay, whose events wait: 3 of 64 \(3-4, 63\)`+"\n$", minutes(o.ok("stats")))

	var stats map[string]any
	require.NoError(t, json.Unmarshal([]byte(o.ok("stats", "--json")), &stats))
	require.Equal(t, []any{3.0, 4.0, 63.0}, stats["unowned_shards"])
	dlq := stats["events"].(map[string]any)["dlq"].(map[string]any)
	require.InDelta(t, 2, dlq["count"], 0)
	require.InDelta(t, 26*3600, dlq["oldest_age_seconds"], 600)
	require.Equal(t, []any{
		map[string]any{"topic": "booking.held", "pending": 1.0, "dlq": 1.0, "sent": 1.0},
		map[string]any{"topic": "booking.seated", "pending": 0.0, "dlq": 1.0, "sent": 0.0},
	}, stats["topics"])
	require.Equal(t, map[string]any{"id": "relay-1", "shards": 61.0, "alive": true}, stats["relays"].([]any)[0])
}

func TestOutboxAsksFirst(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"retry", "discard"} {
		o := newOperator(t, testenv.PostgresURL(t))
		first, second := o.add("dlq", "booking.held", "b1", 1), o.add("dlq", "booking.held", "b2", 1)
		both := map[int64]string{first: "dlq", second: "dlq"}

		code, stdout, stderr := o.run(nil, name, "--all")
		require.Equal(t, 2, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "give --yes")
		require.Equal(t, both, o.statuses())

		for _, no := range []string{"n\n", "\n", ""} {
			code, stdout, stderr = o.run(strings.NewReader(no), name, "--all")
			require.Equal(t, 1, code)
			require.Empty(t, stdout)
			require.Regexp(t, fmt.Sprintf(`(?m)^%d +dlq +booking\.held +b1 `, first), stderr, "shows what is chosen")
			require.Regexp(t, fmt.Sprintf(`(?m)^%d +dlq +booking\.held +b2 `, second), stderr)
			require.Contains(t, stderr, name+" 2 events? [y/N] ")
			require.Contains(t, stderr, "nothing was changed")
			require.Equal(t, both, o.statuses())
		}

		code, stdout, stderr = o.run(strings.NewReader("y\n"), name, "--booking", "b2")
		require.Zero(t, code, stderr)
		require.Contains(t, stderr, name+" 1 event? [y/N] ")
		if name == "retry" {
			require.Equal(t, fmt.Sprintf("retried 1 event: %d\n", second), stdout)
			require.Equal(t, map[int64]string{first: "dlq", second: "pending"}, o.statuses())
		} else {
			require.Equal(t, fmt.Sprintf("discarded event %d: booking.held, booking b2, version 1, event id e-b2-1\n"+
				"discarded 1 event\n", second), stdout)
			require.Equal(t, map[int64]string{first: "dlq"}, o.statuses())
		}
	}
}

func TestOutboxChangesWhatIsChosen(t *testing.T) {
	t.Parallel()
	o := newOperator(t, testenv.PostgresURL(t))
	var ids []int64
	for i := range 5 {
		ids = append(ids, o.add("dlq", "booking.held", fmt.Sprint("b", i), 1))
	}
	other := o.add("dlq", "booking.seated", "b0", 2)
	pending := o.add("pending", "booking.held", "b0", 3)
	_, err := o.pool.Exec(context.Background(), `UPDATE outbox SET created_at = now() WHERE id = ANY ($1)`, ids)
	require.NoError(t, err)

	require.Equal(t, fmt.Sprintf("retried 1 event: %d\n", other), o.ok("retry", "--older-than", "30m", "--yes"))
	require.Contains(t, o.ok("discard", "--topic", "booking.seated", "--yes"), "no dlq event is chosen by that")
	require.Equal(t, fmt.Sprintf("retried 2 events: %d, %d\n", ids[0], ids[1]), o.ok("retry", fmt.Sprint(ids[1]), "--yes", fmt.Sprint(ids[0])))
	require.Contains(t, o.ok("discard", "--topic", "booking.held", "--booking", "b2", "--status", "dlq", "--yes"), "discarded 1 event\n")
	require.Equal(t, fmt.Sprintf("retried 2 events: %d, %d\n", ids[3], ids[4]), o.ok("retry", "--all", "--yes"))
	require.Equal(t, map[int64]string{
		ids[0]: "pending", ids[1]: "pending", ids[3]: "pending", ids[4]: "pending", other: "pending", pending: "pending",
	}, o.statuses())
}

// Ids that name no dlq event are named with the reason; the others are changed all the same.
func TestOutboxNamesWhatItLeaves(t *testing.T) {
	t.Parallel()
	for name, done := range map[string]string{"retry": "retried", "discard": "discarded"} {
		o := newOperator(t, testenv.PostgresURL(t))
		pending, sent := o.add("pending", "booking.held", "b1", 1), o.add("sent", "booking.held", "b2", 1)
		code, stdout, stderr := o.run(nil, name, "--yes", fmt.Sprint(pending), fmt.Sprint(sent), "4711")
		require.Equal(t, 1, code)
		require.Empty(t, stdout)
		for _, line := range []string{
			fmt.Sprintf("event %d is pending: it is being relayed, and goes out as soon as Kafka takes it; it cannot be %s\n", pending, done),
			fmt.Sprintf("event %d is sent: Kafka has it; it cannot be %s\n", sent, done),
			"event 4711 is not in the outbox: ", "booking-svc: outbox " + name + ": nothing was " + done + "\n",
		} {
			require.Contains(t, stderr, line)
		}
		dlq := o.add("dlq", "booking.held", "b3", 1)
		code, stdout, stderr = o.run(nil, name, "--yes", fmt.Sprint(pending), fmt.Sprint(dlq))
		require.Equal(t, 1, code)
		require.Contains(t, stdout, done+" 1 event")
		require.Contains(t, stderr, "booking-svc: outbox "+name+": 1 event not "+done+"\n")
		statuses := o.statuses()
		require.Equal(t, "pending", statuses[pending])
		require.Equal(t, "sent", statuses[sent])
		require.NotEqual(t, "dlq", statuses[dlq])
	}
}

// meanwhile is an operator who does something else before answering yes.
type meanwhile struct {
	do     func()
	answer *strings.Reader
}

func (m *meanwhile) Read(p []byte) (int, error) {
	if m.do != nil {
		m.do()
		m.do = nil
	}
	return m.answer.Read(p)
}

// What others change while the question stands is not changed once more, and not claimed.
func TestOutboxTellsWhatItReallyChanged(t *testing.T) {
	t.Parallel()
	for name, done := range map[string]string{"retry": "retried", "discard": "discarded"} {
		o := newOperator(t, testenv.PostgresURL(t))
		var ids []int64
		for i := range 4 {
			ids = append(ids, o.add("dlq", "booking.held", fmt.Sprint("b", i), 1))
		}
		var late int64
		stdin := &meanwhile{answer: strings.NewReader("y\n"), do: func() {
			require.Equal(t, fmt.Sprintf("retried 2 events: %d, %d\n", ids[0], ids[1]), o.ok("retry", fmt.Sprint(ids[0]), fmt.Sprint(ids[1]), "--yes"))
			_, err := o.pool.Exec(context.Background(), `UPDATE outbox SET status = 'sent', sent_at = now() WHERE id = $1`, ids[0])
			require.NoError(t, err)
			o.ok("discard", fmt.Sprint(ids[2]), "--yes")
			late = o.add("dlq", "booking.held", "b9", 1)
		}}
		code, stdout, stderr := o.run(stdin, name, "--topic", "booking.held")
		require.Equal(t, 1, code)
		require.Contains(t, stderr, name+" 4 events? [y/N] ")
		require.Contains(t, stderr, fmt.Sprintf("event %d is sent", ids[0]))
		require.Contains(t, stderr, fmt.Sprintf("event %d is pending", ids[1]))
		require.Contains(t, stderr, fmt.Sprintf("event %d is not in the outbox", ids[2]))
		require.Contains(t, stderr, "booking-svc: outbox "+name+": 3 events not "+done+"\n")
		want := map[int64]string{ids[0]: "sent", ids[1]: "pending", late: "dlq"}
		if name == "retry" {
			want[ids[3]] = "pending"
			require.Equal(t, fmt.Sprintf("retried 1 event: %d\n", ids[3]), stdout)
		} else {
			require.Equal(t, fmt.Sprintf("discarded event %d: booking.held, booking b3, version 1, event id e-b3-1\n"+
				"discarded 1 event\n", ids[3]), stdout)
		}
		require.Equal(t, want, o.statuses(), "what was not shown is not changed")
	}
}

// Of very many events the first are shown.
func TestOutboxShowsSomeOfMany(t *testing.T) {
	t.Parallel()
	o := newOperator(t, testenv.PostgresURL(t))
	for i := range maxTold + 5 {
		o.add("dlq", "booking.held", fmt.Sprint("b", i), 1)
	}
	code, stdout, stderr := o.run(strings.NewReader("yes\n"), "retry", "--all")
	require.Zero(t, code)
	require.Equal(t, 1+maxTold, strings.Count(stderr[:strings.Index(stderr, "…")], "\n"), stderr)
	require.Contains(t, stderr, "… and 5 more\nretry 25 events? [y/N] ")
	require.Equal(t, "retried 25 events\n", stdout)
}

func TestOutboxOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	o := newOperator(t, testenv.EmptyPostgresURL(t))
	for _, args := range []string{"stats", "list", "show 1", "retry --all --yes", "discard 1 --yes"} {
		code, stdout, stderr := o.run(nil, strings.Fields(args)...)
		require.Equal(t, 1, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "run booking-svc migrate up")
		require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
	}
}
