//go:build integration

package app

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// asking makes requests, and remembers which of their fields are bad. Lists that are drawn from begin
// with what should come most often.
type asking struct {
	*rapid.T
	spoilt bool
	bad    []string
}

// ask begins a request. One in a few is spoilt: some of its fields may then be bad.
func ask(t *rapid.T) *asking {
	return &asking{T: t, spoilt: rapid.SampledFrom([]bool{false, false, false, false, false, true}).Draw(t, "spoilt")}
}

// spoil tells whether the field shall be bad.
func (a *asking) spoil(field string) bool {
	if !a.spoilt || !rapid.SampledFrom([]bool{false, false, true}).Draw(a.T, field+" is bad") {
		return false
	}
	a.bad = append(a.bad, field)
	return true
}

// draw answers one of the good values, or of the bad ones if the field shall be bad.
func draw[V any](a *asking, field string, good, bad []V) V {
	if a.spoil(field) {
		good = bad
	}
	return rapid.SampledFrom(good).Draw(a.T, field)
}

var (
	badIDs     = []string{"", "a b", "t/1", "стол", "a\x00", strings.Repeat("x", 37)}
	badTexts   = []string{"a\x00b", "line\nbreak", "\u0085"}
	badDates   = []string{"", "2031-02-30", "31-1-1", "2031-01-01T00:00", "0000-01-01", "0001-01-01", "2031-13-01", "today"}
	badTimes   = []string{"", "24:00", "9:30", "12:60", "12:30:00", "-1:00", "١٢:٠٠"}
	badMinutes = []int32{-1, 1, 4, 1441, math.MaxInt32, math.MinInt32}
)

func tooLong(limit int) []string { return append([]string{strings.Repeat("ü", limit+1)}, badTexts...) }

// slot draws a slot around the run's night, of which one hour may come twice or not at all.
func (a *asking) slot(night time.Time) *commonpb.Slot {
	if a.spoil("slot") {
		return nil
	}
	at := night.Add(-2*time.Hour + 15*time.Minute*time.Duration(rapid.IntRange(0, 4*6).Draw(a.T, "quarter")))
	return &commonpb.Slot{
		Date:            draw(a, "slot.date", []string{at.Format(time.DateOnly)}, badDates),
		StartTime:       draw(a, "slot.start_time", []string{at.Format("15:04")}, badTimes),
		DurationMinutes: draw(a, "slot.duration_minutes", []int32{60, 0, 15, 90, 240, 5, 1440}, badMinutes),
	}
}

func (m *clientMachine) drawCreate(t *rapid.T) (*bookingpb.CreateBookingRequest, []string) {
	a := ask(t)
	r := &bookingpb.CreateBookingRequest{
		VenueId:        draw(a, "venue_id", append(slices.Repeat([]string{m.venueID}, 15), "nowhere"), badIDs),
		Slot:           a.slot(m.night),
		PartySize:      draw(a, "party_size", []int32{2, 8, 4, 7, 1, 8, 2, 7, 4, 8, 3, 6, 9, 1000}, []int32{0, -1, 1001, math.MaxInt32}),
		CustomerName:   draw(a, "customer_name", []string{guestName, " " + guestName + "\n", strings.Repeat("ü", 255)}, append(tooLong(255), "", " \t")),
		CustomerPhone:  draw(a, "customer_phone", []string{guestPhone, "", strings.Repeat("☎", 50)}, tooLong(50)),
		Comment:        draw(a, "comment", []string{"", guestComment, strings.Repeat("🪟", 2000)}, tooLong(2000)),
		AdminId:        draw(a, "admin_id", []string{"host-1", "", strings.Repeat("é", 36)}, tooLong(36)),
		IdempotencyKey: draw(a, "idempotency_key", []string{"", "", dom.NewID(), dom.NewID(), "k1", strings.Repeat("~", 128)}, []string{strings.Repeat("k", 129), "é", "\t", "\x7f"}),
	}
	if !a.spoil("table") {
		r.Table = &commonpb.TableRef{
			TableId: draw(a, "table.table_id", []string{"t4a", "t4b", "t4c", "t4a", "t4b", "t4c", "t6", "t2", "none"}, badIDs),
			RoomId:  draw(a, "table.room_id", []string{"", "window"}, badIDs[1:]),
			VenueId: draw(a, "table.venue_id", []string{"", r.VenueId}, []string{"another"}),
		}
	}
	if r.Slot != nil && !slices.Contains(a.bad, "slot.date") {
		r.Slot.Date = rapid.SampledFrom(append(slices.Repeat([]string{r.Slot.Date}, 18), "2020-02-29", "2199-12-31")).Draw(t, "date")
	}
	return r, a.bad
}

func (m *clientMachine) drawAvailability(t *rapid.T) (*bookingpb.CheckTableAvailabilityRequest, []string) {
	a := ask(t)
	r := &bookingpb.CheckTableAvailabilityRequest{
		VenueId: draw(a, "venue_id", []string{m.venueID, m.venueID, m.venueID, "nowhere"}, badIDs),
		Slot:    a.slot(m.night),
	}
	if a.spoil("table_ids") {
		r.TableIds = slices.Repeat([]string{"t2"}, 1001)
		return r, a.bad
	}
	for i := range rapid.IntRange(0, 7).Draw(t, "tables") {
		r.TableIds = append(r.TableIds, draw(a, fmt.Sprintf("table_ids[%d]", i), []string{"t4a", "t4b", "t4c", "t2", "t6", "none"}, badIDs))
	}
	return r, a.bad
}

func (m *clientMachine) drawList(t *rapid.T) (*bookingpb.ListBookingsRequest, []string) {
	a := ask(t)
	evening, morning := m.night.Add(-time.Hour).Format(time.DateOnly), m.night.Format(time.DateOnly)
	r := &bookingpb.ListBookingsRequest{
		VenueId: draw(a, "venue_id", []string{m.venueID, "", "nowhere"}, badIDs[1:]),
		Limit:   draw(a, "limit", []int32{0, 1, 2, 3, 500, math.MaxInt32}, []int32{-1, math.MinInt32}),
		Offset:  draw(a, "offset", []int32{0, 1, 2, math.MaxInt32}, []int32{-1, math.MinInt32}),
	}
	if a.spoilt || rapid.Bool().Draw(t, "by date") {
		r.Date = draw(a, "date", []string{evening, morning, "", "2020-02-29", "9999-12-31"}, badDates[1:])
	}
	if a.spoilt || rapid.Bool().Draw(t, "by status") {
		r.Status = draw(a, "status",
			[]string{"held", "confirmed", "expired", "cancelled", "seated", "finished", "no_show", "requested", "rejected"},
			[]string{"HELD", "gone", "held ", "\x00"})
	}
	if a.spoilt || rapid.Bool().Draw(t, "by table") {
		r.TableId = draw(a, "table_id", []string{"t4a", "t4b", "t2", "none", ""}, badIDs[1:])
	}
	return r, a.bad
}

// drawChange draws a method of those that change a booking, and its request. A booking that the
// method can change is drawn more often than others.
func (m *clientMachine) drawChange(t *rapid.T) (to string, r *bookingpb.CancelBookingRequest, bad []string) {
	a := ask(t)
	to = rapid.SampledFrom([]string{"confirmed", "seated", "cancelled", "finished", "no_show"}).Draw(t, "to")
	var ids []string
	for _, b := range m.model.bookings {
		if slices.Contains(moves, [2]string{b.want.Status, to}) {
			ids = append(ids, b.want.Id)
		}
	}
	if len(ids) == 0 || rapid.SampledFrom([]bool{false, false, true}).Draw(t, "any") {
		ids = nil
		for _, b := range m.model.bookings {
			ids = append(ids, b.want.Id)
		}
		ids = append(ids, "nobody")
	}
	r = &bookingpb.CancelBookingRequest{
		Id:      draw(a, "id", ids, badIDs),
		AdminId: draw(a, "admin_id", []string{"host-2", "", strings.Repeat("é", 36)}, tooLong(36)),
	}
	if to == "cancelled" {
		r.Reason = draw(a, "reason", []string{"", "ill", strings.Repeat("🪟", 2000)}, tooLong(2000))
	}
	return to, r, a.bad
}
