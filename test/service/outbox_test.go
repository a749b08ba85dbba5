//go:build integration

package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// notTaken is how long the relay may need to give an event up: four tries with waits between them.
const notTaken = 60 * time.Second

// outbox runs an outbox command of the binary, without a terminal.
func (s *stack) outbox(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"outbox"}, args...)...)
	cmd.Env = s.launchEnv(t)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	require.NotNil(t, cmd.ProcessState, "%v", err)
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// spoilTopic makes events of a type go to a topic that Kafka refuses for ever, until mendTopic: the
// relay gives them up, as it does with any fault of a record.
func (s *stack) spoilTopic(t *testing.T, topic string) {
	t.Helper()
	_, err := s.pool.Exec(context.Background(), `
		CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN NEW.topic := 'no topic at all'; RETURN NEW; END $$;
		CREATE TRIGGER spoil BEFORE INSERT ON outbox FOR EACH ROW WHEN (NEW.topic = '`+topic+`') EXECUTE FUNCTION spoil()`)
	require.NoError(t, err)
}

func (s *stack) mendTopic(t *testing.T, topic string) {
	t.Helper()
	_, err := s.pool.Exec(context.Background(), `DROP TRIGGER spoil ON outbox`)
	require.NoError(t, err)
	_, err = s.pool.Exec(context.Background(), `UPDATE outbox SET topic = $1 WHERE topic = 'no topic at all'`, topic)
	require.NoError(t, err)
}

// dlqIDs waits until a booking has n events that were given up, and answers their ids.
func (s *stack) dlqIDs(t *testing.T, bookingID string, n int) []string {
	t.Helper()
	var list []struct {
		ID int64 `json:"id"`
	}
	require.Eventually(t, func() bool {
		code, stdout, stderr := s.outbox(t, "list", "--status", "dlq", "--booking", bookingID, "--json")
		return code == 0 && stderr == "" && json.Unmarshal([]byte(stdout), &list) == nil && len(list) == n
	}, notTaken, 200*time.Millisecond, "%d events are given up", n)
	ids := make([]string, n)
	for i, e := range list {
		ids[i] = strconv.FormatInt(e.ID, 10)
	}
	return ids
}

func (s *stack) outboxStatus(t *testing.T, id string) (status string) {
	t.Helper()
	require.NoError(t, s.pool.QueryRow(context.Background(),
		`SELECT coalesce((SELECT status FROM outbox WHERE id = $1::bigint), '')`, id).Scan(&status))
	return status
}

// A night on call: events are given up, the operator sees which and why, mends the cause, retries
// one, discards another, and what was retried arrives, after its booking's later event.
func TestOutboxCommands(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	p := s.start(t, "OUTBOX_RETRY_AFTER=200ms")
	s.spoilTopic(t, "booking.held")
	ctx := context10s(t)
	create := func(start string) string {
		b, err := p.bookings.CreateBooking(ctx, s.request(s.venue.table2, start, 2))
		require.NoError(t, err)
		return b.Id
	}
	retried, discarded := create("17:00"), create("20:00")
	_, err := p.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: retried})
	require.NoError(t, err)
	toRetry, toDiscard := s.dlqIDs(t, retried, 1)[0], s.dlqIDs(t, discarded, 1)[0]

	var everything strings.Builder
	outbox := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := s.outbox(t, args...)
		require.Zero(t, code, stderr)
		everything.WriteString(stdout + stderr)
		return stdout
	}
	list := outbox("list", "--status", "dlq")
	require.Regexp(t, `(?m)^`+toRetry+` +dlq +no topic at all +`+retried+` +1 +\S+ +4 +record rejected: INVALID_TOPIC_EXCEPTION`, list)
	require.Contains(t, list, discarded)
	require.Regexp(t, `(?m)^last error +record rejected: INVALID_TOPIC_EXCEPTION: `, outbox("show", toRetry))
	require.NotContains(t, everything.String(), "Lovelace")
	_, payload, _ := s.outbox(t, "show", toRetry, "--payload")
	require.Contains(t, payload, `"Ada Lovelace"`)
	// The confirmation did not wait for the event that was given up.
	require.Eventually(t, func() bool {
		return strings.Contains(outbox("stats"), "\nbooking.confirmed  0        0    1\n")
	}, 20*time.Second, 100*time.Millisecond)
	stats := outbox("stats")
	require.Regexp(t, `(?m)^dlq +2 +\S+$`, stats)
	require.Contains(t, stats, "Every one of the 64 shards has a living relay.")

	s.mendTopic(t, "booking.held")
	code, _, stderr := s.outbox(t, "retry", toRetry)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "give --yes")
	require.Equal(t, "dlq", s.outboxStatus(t, toRetry))
	require.Equal(t, "retried 1 event: "+toRetry+"\n", outbox("retry", toRetry, "--yes"))
	told := regexp.MustCompile(`^discarded event ` + toDiscard + `: booking\.held, booking ` + discarded +
		`, version 1, event id (\S+)\ndiscarded 1 event\n$`).FindStringSubmatch(outbox("discard", "--booking", discarded, "--yes"))
	require.Len(t, told, 2)
	require.Equal(t, []string{"booking.held", "booking.confirmed"}, topics(readEvents(t, retried, 2)))
	require.Eventually(t, func() bool { return s.outboxStatus(t, toRetry) == "sent" }, 20*time.Second, 50*time.Millisecond)

	require.Empty(t, s.outboxStatus(t, toDiscard))
	var kept int
	require.NoError(t, s.pool.QueryRow(context.Background(),
		`SELECT count(*) FROM booking_events WHERE id = $1 AND booking_id = $2 AND type = 'booking.held'`, told[1], discarded).Scan(&kept))
	require.Equal(t, 1, kept, "the audit log still has the event")
	require.Equal(t, "no such events (pending,dlq)\n", outbox("list"))
	code, _, stderr = s.outbox(t, "retry", toRetry, toDiscard, "--yes")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "event "+toRetry+" is sent")
	require.Contains(t, stderr, "event "+toDiscard+" is not in the outbox")
	require.NotContains(t, everything.String(), "Lovelace")
}

// On a terminal the binary asks, and does what is answered.
func TestOutboxAsksOnATerminal(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var id string
	require.NoError(t, s.pool.QueryRow(context.Background(), `
		INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, status)
		VALUES (1, 'booking.held', 'b', '', 'e', 1, 'dlq') RETURNING id::text`).Scan(&id))
	answer := func(answer string) (code int, screen string) {
		// script gives the command a terminal of its own.
		cmd := exec.Command("script", "-qec", binary+" outbox retry "+id, "/dev/null")
		cmd.Env = append(s.launchEnv(t), "TERM=dumb")
		cmd.Stdin = strings.NewReader(answer)
		out, err := cmd.CombinedOutput()
		require.NotNil(t, cmd.ProcessState, "%v", err)
		return cmd.ProcessState.ExitCode(), string(out)
	}
	code, screen := answer("n\n")
	require.Equal(t, 1, code, screen)
	require.Contains(t, screen, "retry 1 event? [y/N] ")
	require.Contains(t, screen, "nothing was changed")
	require.Equal(t, "dlq", s.outboxStatus(t, id))
	code, screen = answer("y\n")
	require.Zero(t, code, screen)
	require.Contains(t, screen, "retried 1 event: "+id)
	require.Equal(t, "pending", s.outboxStatus(t, id))
}

// The specification's own SQL, word for word but for the id that the operator puts in.
func TestOutboxByHand(t *testing.T) {
	t.Parallel()
	const (
		pendingEvents = `SELECT * FROM outbox WHERE status = 'pending' ORDER BY created_at DESC LIMIT 10;`
		dlqEvents     = `SELECT * FROM outbox WHERE status = 'dlq' ORDER BY created_at DESC LIMIT 10;`
		retryEvent    = `UPDATE outbox SET status = 'pending', retry_count = 0 WHERE id = '...';`
	)
	s := newStack(t)
	rows := func(statement string) (list []map[string]any) {
		t.Helper()
		result, err := s.pool.Query(context.Background(), statement)
		require.NoError(t, err)
		list, err = pgx.CollectRows(result, pgx.RowToMap)
		require.NoError(t, err)
		return list
	}
	s.spoilTopic(t, "booking.held")
	p := s.start(t, "OUTBOX_RETRY_AFTER=200ms")
	b, err := p.bookings.CreateBooking(context10s(t), s.request(s.venue.table2, "19:30", 2))
	require.NoError(t, err)
	id := s.dlqIDs(t, b.Id, 1)[0]
	dlq := rows(dlqEvents)
	require.Len(t, dlq, 1)
	require.Equal(t, id, fmt.Sprint(dlq[0]["id"]))
	require.Equal(t, b.Id, dlq[0]["key"])
	require.Empty(t, rows(pendingEvents))

	require.Zero(t, p.stop(20*time.Second))
	s.mendTopic(t, "booking.held")
	tag, err := s.pool.Exec(context.Background(), strings.Replace(retryEvent, "...", id, 1))
	require.NoError(t, err)
	require.Equal(t, int64(1), tag.RowsAffected())
	require.Empty(t, rows(dlqEvents))
	pending := rows(pendingEvents)
	require.Len(t, pending, 1)
	require.Equal(t, id, fmt.Sprint(pending[0]["id"]))

	s.start(t, "OUTBOX_RETRY_AFTER=200ms")
	require.Equal(t, []string{"booking.held"}, topics(readEvents(t, b.Id, 1)))
	require.Eventually(t, func() bool { return s.outboxStatus(t, id) == "sent" }, 20*time.Second, 50*time.Millisecond)
}
