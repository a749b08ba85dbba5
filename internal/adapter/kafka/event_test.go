package kafka

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

func sampleEvent(kind dom.EventType) *dom.Event {
	return &dom.Event{
		ID: dom.NewID(), Type: kind, AdminID: "admin-1", Reason: "rain",
		Booking: dom.Booking{
			ID: "0192f0c1-0000-7000-8000-000000000001", VenueID: "venue-1",
			Table:  dom.TableRef{RoomID: "room-1", TableID: "t-1"},
			Joined: []dom.TableRef{{RoomID: "room-1", TableID: "t-2"}, {TableID: "t-3"}},
			Slot: dom.Slot{
				Date: time.Date(2026, 12, 5, 0, 0, 0, 0, time.UTC), Start: 19*time.Hour + 30*time.Minute,
				Duration: 2 * time.Hour,
			},
			PartySize: 6, CustomerName: "Анна \"Nan\" <b>", CustomerPhone: "+7 900", Comment: "window",
			ExpiresAt: time.Unix(1796500000, 0),
		},
		Origin: dom.Origin{Time: time.Unix(1796499100, 0), TraceID: "0af7651916cd43dd8448eb211c80319c"},
	}
}

func TestEncodeEvent(t *testing.T) {
	payloads := map[dom.EventType]string{
		"booking.held":      `"held": {"expires_at": "1796500000"}`,
		"booking.confirmed": `"confirmed": {"admin_id": "admin-1"}`,
		"booking.cancelled": `"cancelled": {"admin_id": "admin-1", "reason": "rain"}`,
		"booking.expired":   `"expired": {"reason": "rain"}`,
		"booking.seated":    `"seated": {"admin_id": "admin-1"}`,
		"booking.finished":  `"finished": {"admin_id": "admin-1"}`,
		"booking.no_show":   `"no_show": {"admin_id": "admin-1"}`,
	}
	require.Len(t, dom.EventTypes(), len(payloads))
	for _, kind := range dom.EventTypes() {
		t.Run(string(kind), func(t *testing.T) {
			got, err := EncodeEvent(sampleEvent(kind))
			require.NoError(t, err)
			require.JSONEq(t, `{
				"headers": {
					"trace_id": "0af7651916cd43dd8448eb211c80319c", "timestamp": "1796499100", "source": "booking-svc"
				},
				"booking_id": "0192f0c1-0000-7000-8000-000000000001",
				"table": {"venue_id": "venue-1", "room_id": "room-1", "table_id": "t-1"},
				"joined_tables": [
					{"venue_id": "venue-1", "room_id": "room-1", "table_id": "t-2"},
					{"venue_id": "venue-1", "table_id": "t-3"}
				],
				"slot": {"date": "2026-12-05", "start_time": "19:30", "duration_minutes": 120},
				"party_size": 6, "customer_name": "Анна \"Nan\" <b>", "customer_phone": "+7 900",
				`+payloads[kind]+`}`, string(got))
		})
	}
}

func TestEncodeHeldWithoutExpiry(t *testing.T) {
	e := sampleEvent("booking.held")
	e.Booking.ExpiresAt = time.Time{}
	got, err := EncodeEvent(e)
	require.NoError(t, err)
	var value struct {
		Held map[string]any `json:"held"`
	}
	require.NoError(t, json.Unmarshal(got, &value))
	require.NotNil(t, value.Held, "the repository fills it in")
	require.Empty(t, value.Held)
}

func TestEncodeEventErrors(t *testing.T) {
	_, err := EncodeEvent(sampleEvent("booking.moved"))
	require.ErrorContains(t, err, "booking.moved")

	e := sampleEvent("booking.held")
	e.Booking.CustomerName = "Anna \xff"
	_, err = EncodeEvent(e)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "Anna", "an error names no customer")
}
