//go:build integration

package service

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// The example consumer follows the life of a booking on two tables, and Ctrl-C ends it.
func TestExampleConsumer(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "consumer")
	build, err := exec.Command("go", "build", "-o", program, "../../examples/consumer").CombinedOutput()
	require.NoError(t, err, string(build))
	ctx := context10s(t)
	s := newStack(t)
	p := s.start(t)
	req := s.request(s.venue.joinable, "19:30", s.venue.jointParty)
	req.CustomerName, req.CustomerPhone = "Zaphod Beeblebrox", "+42 4242 4242"
	b, err := p.bookings.CreateBooking(ctx, req)
	require.NoError(t, err)
	_, err = p.bookings.ConfirmBooking(ctx, &bookingpb.ConfirmBookingRequest{Id: b.Id})
	require.NoError(t, err)

	var out, report testenv.Buffer
	consumer := exec.Command(program, "--brokers", strings.Join(testenv.KafkaBrokers(t), ","), "--group", b.Id)
	consumer.Stdout, consumer.Stderr = &out, &report
	require.NoError(t, consumer.Start())
	exited := make(chan error, 1)
	go func() { exited <- consumer.Wait() }()
	defer func() { _ = consumer.Process.Kill() }()
	type line struct {
		Topic     string   `json:"topic"`
		BookingID string   `json:"booking_id"`
		Version   int      `json:"version"`
		EventID   string   `json:"event_id"`
		Tables    []string `json:"tables"`
	}
	// lines answers what is written about the booking; other tests have theirs in the topics.
	lines := func() (list []line) {
		for text := range strings.Lines(out.String()) {
			if strings.Contains(text, b.Id) && strings.HasSuffix(text, "\n") {
				var l line
				require.NoError(t, json.Unmarshal([]byte(text), &l))
				list = append(list, l)
			}
		}
		return list
	}
	require.Eventually(t, func() bool { return len(lines()) == 2 }, 30*time.Second, 20*time.Millisecond)

	ctx = context10s(t)
	_, err = p.bookings.MarkSeated(ctx, &bookingpb.MarkSeatedRequest{Id: b.Id})
	require.NoError(t, err)
	_, err = p.bookings.MarkFinished(ctx, &bookingpb.MarkFinishedRequest{Id: b.Id})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(lines()) == 4 }, 30*time.Second, 20*time.Millisecond, report.String())
	for i, e := range readEvents(t, b.Id, 4) {
		require.Equal(t, line{e.topic, b.Id, i + 1, e.id, []string{s.venue.joinable, b.JoinedTables[0].TableId}}, lines()[i])
	}
	require.NoError(t, consumer.Process.Signal(syscall.SIGINT))
	select {
	case err := <-exited:
		require.NoError(t, err, "exit 0")
	case <-time.After(20 * time.Second):
		t.Fatal("the consumer does not end")
	}
	// With the blank: ids are hexadecimal, and now and then one has these digits.
	for _, secret := range []string{"Zaphod", "4242 4242"} {
		require.NotContains(t, out.String()+report.String(), secret)
	}
}
