package booking

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// requireViolations fails unless err names exactly these fields.
func requireViolations(t *testing.T, err error, fields ...string) {
	t.Helper()
	var invalid *dom.ValidationError
	require.ErrorAs(t, err, &invalid)
	var got []string
	for _, v := range invalid.Violations {
		got = append(got, v.Field)
		require.NotEmpty(t, v.Description)
	}
	require.Equal(t, fields, got)
}

func TestEveryBadFieldIsNamedAtOnce(t *testing.T) {
	_, err := newFixture(t).CreateBooking(context.Background(), CreateCommand{
		VenueID: "a b", Table: &TableInput{VenueID: "x", RoomID: "?", TableID: ""},
		Slot:      &SlotInput{Date: "tomorrow", StartTime: "7pm", DurationMinutes: 3},
		PartySize: 0, CustomerName: "  ", CustomerPhone: strings.Repeat("1", 51),
		Comment: "a\x00b", AdminID: strings.Repeat("a", 37), IdempotencyKey: "ключ",
	})
	requireViolations(t, err, "venue_id", "table.venue_id", "table.room_id", "table.table_id",
		"slot.date", "slot.start_time", "slot.duration_minutes", "party_size", "customer_name",
		"customer_phone", "comment", "admin_id", "idempotency_key")
	_, err = newFixture(t).CreateBooking(context.Background(), CreateCommand{})
	requireViolations(t, err, "venue_id", "table", "slot", "party_size", "customer_name")
}

func TestLimitsOfCreate(t *testing.T) {
	f := newFixture(t)
	f.offers(table("t1"))
	for _, c := range []struct {
		field  string
		set    func(*CreateCommand)
		refuse bool
	}{
		{"venue_id", func(c *CreateCommand) { c.VenueID = strings.Repeat("v", 37) }, true},
		{"table.table_id", func(c *CreateCommand) { c.Table.TableID = "t/1" }, true},
		{"table.venue_id", func(c *CreateCommand) { c.Table.VenueID = "w" }, true},
		{"table.room_id", func(c *CreateCommand) { c.Table.RoomID = "Az09._-" }, false},
		{"customer_name", func(c *CreateCommand) { c.CustomerName = strings.Repeat("ж", 255) }, false},
		{"customer_name", func(c *CreateCommand) { c.CustomerName = strings.Repeat("ж", 256) }, true},
		{"customer_name", func(c *CreateCommand) { c.CustomerName = strings.Repeat("n", 1<<20) }, true},
		{"customer_name", func(c *CreateCommand) { c.CustomerName = "Robert\tTables" }, true},
		{"customer_name", func(c *CreateCommand) { c.CustomerName = "a\u0085b" }, true},
		{"customer_name", func(c *CreateCommand) { c.CustomerName = "\xff" }, true},
		{"customer_phone", func(c *CreateCommand) { c.CustomerPhone = "" }, false},
		{"customer_phone", func(c *CreateCommand) { c.CustomerPhone = strings.Repeat("1", 50) }, false},
		{"comment", func(c *CreateCommand) { c.Comment = strings.Repeat("é", 2000) }, false},
		{"comment", func(c *CreateCommand) { c.Comment = strings.Repeat("é", 2001) }, true},
		{"comment", func(c *CreateCommand) { c.Comment = "two\nlines" }, true},
		{"admin_id", func(c *CreateCommand) { c.AdminID = strings.Repeat("й", 36) }, false},
		{"party_size", func(c *CreateCommand) { c.PartySize = 1000 }, false},
		{"party_size", func(c *CreateCommand) { c.PartySize = 1001 }, true},
		{"party_size", func(c *CreateCommand) { c.PartySize = -1 }, true},
		{"slot.duration_minutes", func(c *CreateCommand) { c.Slot.DurationMinutes = 5 }, false},
		{"slot.duration_minutes", func(c *CreateCommand) { c.Slot.DurationMinutes = 1441 }, true},
		{"idempotency_key", func(c *CreateCommand) { c.IdempotencyKey = strings.Repeat("~", 128) }, false},
		{"idempotency_key", func(c *CreateCommand) { c.IdempotencyKey = strings.Repeat("k", 129) }, true},
		{"idempotency_key", func(c *CreateCommand) { c.IdempotencyKey = "a\x7f" }, true},
	} {
		create := command("t1")
		c.set(&create)
		b, err := create.validate()
		if c.refuse {
			requireViolations(t, err, c.field)
			require.NotContains(t, err.Error(), "Robert", "the value is not repeated")
			continue
		}
		require.NoError(t, err, c.field)
		require.NotEmpty(t, b.ID)
	}
}

func TestLimitsOfTheOtherRequests(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	_, err := f.GetBooking(ctx, "")
	requireViolations(t, err, "id")
	_, err = f.CancelBooking(ctx, ChangeCommand{ID: "a\x00", AdminID: "a\nb", Reason: strings.Repeat("r", 2001)})
	requireViolations(t, err, "id", "admin_id", "reason")

	_, _, err = f.ListBookings(ctx, ListQuery{VenueID: "%", TableID: "'", Date: "2027", Status: "HELD", Limit: -1, Offset: -1})
	requireViolations(t, err, "venue_id", "table_id", "date", "status", "limit", "offset")
	for asked, want := range map[int32]int{0: 50, 1: 1, 500: 500, 501: 500, 1 << 30: 500} {
		filters, err := ListQuery{Limit: asked, Status: "rejected"}.validate()
		require.NoError(t, err)
		require.Equal(t, want, filters.Limit)
	}

	ids := make([]string, 1001)
	for i := range ids {
		ids[i] = fmt.Sprint("t", i)
	}
	_, err = f.CheckTableAvailability(ctx, AvailabilityQuery{VenueID: "v", TableIDs: ids, Slot: &SlotInput{Date: "2027-06-05", StartTime: "19:30"}})
	requireViolations(t, err, "table_ids")
	_, err = f.CheckTableAvailability(ctx, AvailabilityQuery{TableIDs: []string{"t1", ""}})
	requireViolations(t, err, "venue_id", "table_ids[1]", "slot")
}
