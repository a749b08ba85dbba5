//go:build integration

package command

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

const guestPhone = "+49 (30) 123-456"

// book puts a booking of the guest into the database.
func (o *operator) book(id, status string) {
	o.t.Helper()
	_, err := o.pool.Exec(context.Background(), `
		INSERT INTO bookings (id, venue_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone, party_size,
			customer_name, customer_phone, status)
		VALUES ($1, 'v', 't', '2030-01-05', '19:00', '21:00', '2030-01-05 18:00Z', '2030-01-05 20:00Z', 'UTC', 2, $2, $3, $4)`,
		id, guest, guestPhone, status)
	require.NoError(o.t, err)
}

// guests runs a guests command; stdin, when not nil, is a terminal.
func (o *operator) guests(stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	var out, errOut bytes.Buffer
	code = run(o.t.Context(), append([]string{"guests"}, args...), Env{
		Environ: o.env, Stdin: stdin, Terminal: stdin != nil, Stdout: &out, Stderr: &errOut,
	})
	for _, told := range []string{guest, guestPhone, "30 123456", "4930123456"} {
		require.NotContains(o.t, out.String()+errOut.String(), told)
	}
	return code, out.String(), errOut.String()
}

func (o *operator) telling() (ids []string) {
	o.t.Helper()
	require.NoError(o.t, o.pool.QueryRow(context.Background(),
		`SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM bookings WHERE customer_name <> ''`).Scan(&ids))
	return ids
}

func TestGuestsErase(t *testing.T) {
	t.Parallel()
	o := newOperator(t, testenv.PostgresURL(t))
	code, stdout, stderr := o.guests(nil, "erase", "--yes", "--phone", guestPhone)
	require.Zero(t, code, stderr)
	require.Equal(t, "nothing to erase\n", stdout)
	o.book("b1", "cancelled")
	o.book("b2", "finished")
	o.book("b3", "confirmed")
	o.book("b4", "no_show")
	id := o.add("dlq", "booking.held", "b1", 1)

	code, _, stderr = o.guests(nil, "erase", "--phone", guestPhone)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "give --yes")
	code, _, stderr = o.guests(strings.NewReader("n\n"), "erase", "--booking", "b1")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "erase the guest's data of 1 booking? [y/N]")
	require.Contains(t, stderr, "nothing was erased")
	require.Len(t, o.telling(), 4)

	code, stdout, stderr = o.guests(strings.NewReader("y\n"), "erase", "--booking", "b1")
	require.Zero(t, code, stderr)
	require.Equal(t, "erased the guest's data of booking b1\nerased the guest's data of 1 booking\n", stdout)
	require.Equal(t, []string{"b2", "b3", "b4"}, o.telling())
	var payload string
	require.NoError(t, o.pool.QueryRow(t.Context(), `SELECT convert_from(payload, 'UTF8') FROM outbox WHERE id = $1`, id).Scan(&payload))
	require.JSONEq(t, `{"booking_id": "b1"}`, payload)

	// What is not over is named, and is a failure; the others are erased all the same.
	code, stdout, stderr = o.guests(nil, "erase", "--phone", "+4930123456", "--yes")
	require.Equal(t, 1, code)
	require.NotContains(t, stdout, "already erased", "a number that was erased is found no more")
	require.Contains(t, stdout, "erased the guest's data of 2 bookings\n")
	require.Contains(t, stderr, "1 booking is not over")
	require.Regexp(t, `(?m)^b3 +confirmed +v +2030-01-05$`, stderr)
	require.Contains(t, stderr, "booking-svc: guests erase: the guest's data of 1 booking was not erased\n")
	require.Equal(t, []string{"b3"}, o.telling())

	code, stdout, stderr = o.guests(nil, "erase", "--booking", "b1", "--yes")
	require.Zero(t, code, stderr)
	require.Equal(t, "already erased: 1 booking\nnothing to erase\n", stdout)
	code, _, stderr = o.guests(nil, "erase", "--booking", "b9", "--yes")
	require.Equal(t, 1, code)
	require.Equal(t, "booking-svc: guests erase: there is no booking b9\n", stderr)
}
