package demo

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

func TestRunWithoutAService(t *testing.T) {
	t.Parallel()
	err := Run(t.Context(), Options{GRPCAddr: "127.0.0.1:1", Out: io.Discard})
	require.ErrorContains(t, err, "no booking service at 127.0.0.1:1")
	require.ErrorContains(t, err, "booking-svc dev")
}

func TestFloor(t *testing.T) {
	t.Parallel()
	at := func(table, start, status string, minutes, size int32, joined ...string) *bookingpb.Booking {
		b := &bookingpb.Booking{
			Table: &commonpb.TableRef{TableId: table}, Status: status, PartySize: size,
			Slot: &commonpb.Slot{StartTime: start, DurationMinutes: minutes},
		}
		for _, j := range joined {
			b.JoinedTables = append(b.JoinedTables, &commonpb.TableRef{TableId: j})
		}
		return b
	}
	text := floor(devstack.DemoPlace(), []*bookingpb.Booking{
		at("table-1", "19:00", "seated", 120, 2),
		at("table-2", "17:00", "confirmed", 120, 2), // over by now
		at("table-3", "19:00", "cancelled", 120, 1),
		at("table-4", "18:00", "held", 61, 3),
		at("table-10", "19:00", "confirmed", 120, 10, "table-11"),
		at("table-12", "19:01", "confirmed", 120, 8), // not yet
	}, "19:00")
	require.Equal(t, strings.Join([]string{
		"  at 19:00   (table/seats: . free, ? held, o expected, * seated, + joined)",
		"  main     |  1/2 *2   |  2/2 .    |  3/2 .    |  4/4 ?3   |  5/4 .    |  6/4 .    |  7/6 .    |",
		"  terrace  |  8/2 .    |  9/2 .    | 10/4 o10+ | 11/6 o10+ | 12/8 .    |",
	}, "\n"), text)
}

// record is a right event of a party at table 4, changed by edit.
func record(t *testing.T, topic, version string, edit func(*kgo.Record, *commonpb.BookingEvent)) *kgo.Record {
	t.Helper()
	told := &commonpb.BookingEvent{
		Headers:   &commonpb.EventHeaders{TraceId: strings.Repeat("a", 32), Timestamp: 1, Source: "booking-svc"},
		BookingId: "id", Table: &commonpb.TableRef{VenueId: "venue-1", RoomId: "main", TableId: "table-4"},
		Slot:      &commonpb.Slot{Date: "2026-12-05", StartTime: "19:00", DurationMinutes: 120},
		PartySize: 4, CustomerName: "Ada",
	}
	switch topic {
	case "booking.held":
		told.Payload = &commonpb.BookingEvent_Held{Held: &commonpb.BookingHeld{ExpiresAt: 2}}
	case "booking.cancelled":
		told.Payload = &commonpb.BookingEvent_Cancelled{Cancelled: &commonpb.BookingCancelled{Reason: "rain"}}
	}
	r := &kgo.Record{
		Topic: topic, Key: []byte("id"), Timestamp: time.Unix(100, 0),
		Headers: []kgo.RecordHeader{
			{Key: "event_id", Value: []byte("event " + version)}, {Key: "booking_version", Value: []byte(version)},
		},
	}
	if edit != nil {
		edit(r, told)
	}
	if r.Value == nil {
		value, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(told)
		require.NoError(t, err)
		r.Value = value
	}
	return r
}

func TestVerifyEvents(t *testing.T) {
	t.Parallel()
	type edit = func(*kgo.Record, *commonpb.BookingEvent)
	first := func(e edit) []*kgo.Record {
		return []*kgo.Record{record(t, "booking.held", "1", e), record(t, "booking.cancelled", "2", nil)}
	}
	right := first(nil)
	tests := []struct {
		name    string
		records []*kgo.Record
		want    string
	}{
		{"as it should be", right, ""},
		{"read in another order", []*kgo.Record{right[1], right[0]}, ""},
		{"delivered again", []*kgo.Record{right[0], right[1], right[0]}, ""},
		{"one is missing", right[:1], "booking.cancelled, version 2, did not come"},
		{"one too many", append(first(nil), record(t, "booking.held", "3", nil)), "version 3, should not be there"},
		{"a version twice", append(first(nil), record(t, "booking.held", "2", func(r *kgo.Record, _ *commonpb.BookingEvent) {
			r.Headers[0].Value = []byte("another")
		})), "two events of version 2"},
		{"in another topic", []*kgo.Record{right[0], record(t, "booking.held", "2", nil)}, "but should be in booking.cancelled"},
		{"sent before the one before it", first(func(r *kgo.Record, _ *commonpb.BookingEvent) {
			r.Timestamp = r.Timestamp.Add(time.Second)
		}), "booking.cancelled was sent before booking.held"},
		{"another payload", first(func(_ *kgo.Record, b *commonpb.BookingEvent) { b.Payload = nil }), "tells of nothing"},
		{"another table", first(func(_ *kgo.Record, b *commonpb.BookingEvent) { b.Table.RoomId = "" }), "names other tables"},
		{"joined", first(func(_ *kgo.Record, b *commonpb.BookingEvent) {
			b.JoinedTables = []*commonpb.TableRef{{TableId: "table-5"}}
		}), "names other tables"},
		{"another slot", first(func(_ *kgo.Record, b *commonpb.BookingEvent) { b.Slot.DurationMinutes = 0 }), "names another slot"},
		{"another party", first(func(_ *kgo.Record, b *commonpb.BookingEvent) { b.PartySize = 5 }), "names another party"},
		{"no trace", first(func(_ *kgo.Record, b *commonpb.BookingEvent) { b.Headers.TraceId = "" }), "headers of booking.held"},
		{"no headers", first(func(r *kgo.Record, _ *commonpb.BookingEvent) { r.Headers = nil }), "lack event_id"},
		{"no event", first(func(r *kgo.Record, _ *commonpb.BookingEvent) { r.Value = []byte("{") }), "is no event"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &watcher{bookings: make(map[string][]event), seen: make(map[string]bool)}
			for _, r := range tt.records {
				w.add(string(r.Key), parseEvent(r))
			}
			e := &evening{story: &story{out: io.Discard}, place: devstack.DemoPlace(), date: "2026-12-05"}
			e.verifyEvents(&party{
				name: "Ada", size: 4, table: "table-4", start: "19:00",
				events: []string{"booking.held", "booking.cancelled"},
			}, w.of("id"))
			if tt.want == "" {
				require.NoError(t, e.differences())
				return
			}
			var differs *DifferencesError
			require.ErrorAs(t, e.differences(), &differs)
			require.Contains(t, strings.Join(differs.Differences, "\n"), tt.want)
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	right := func() *bookingpb.Booking {
		return &bookingpb.Booking{
			Id: "id", VenueId: "venue-1", Status: "confirmed", PartySize: 10, CustomerName: "Ada",
			Table:        &commonpb.TableRef{VenueId: "venue-1", RoomId: "terrace", TableId: "table-10"},
			JoinedTables: []*commonpb.TableRef{{VenueId: "venue-1", RoomId: "terrace", TableId: "table-11"}},
			Slot:         &commonpb.Slot{Date: "2026-12-05", StartTime: "19:00", DurationMinutes: 120},
		}
	}
	tests := []struct {
		want string
		edit func(*bookingpb.Booking)
	}{
		{"", func(*bookingpb.Booking) {}},
		{"id is", func(b *bookingpb.Booking) { b.Id = "" }},
		{"status is", func(b *bookingpb.Booking) { b.Status = "held" }},
		{"table is", func(b *bookingpb.Booking) { b.Table.TableId = "table-11" }},
		{"room is", func(b *bookingpb.Booking) { b.Table.RoomId = "" }},
		{"joined tables is", func(b *bookingpb.Booking) { b.JoinedTables = nil }},
		{"slot is", func(b *bookingpb.Booking) { b.Slot.DurationMinutes = 0 }},
		{"party is", func(b *bookingpb.Booking) { b.PartySize = 9 }},
		{"expires_at is", func(b *bookingpb.Booking) { b.ExpiresAt = 1 }},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			e := &evening{story: &story{out: io.Discard}, place: devstack.DemoPlace(), date: "2026-12-05"}
			b := right()
			tt.edit(b)
			e.compare(&party{
				id: "id", name: "Ada", size: 10, table: "table-10", joined: "table-11", start: "19:00", status: "confirmed",
			}, b, "test")
			if tt.want == "" {
				require.Empty(t, e.differs)
				return
			}
			require.Contains(t, strings.Join(e.differs, "\n"), tt.want)
		})
	}
}
