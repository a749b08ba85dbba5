package bookingtest

import (
	"slices"
	"time"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
)

// model is what the Repository port promises, as plainly as it can be written: a list of bookings that
// is searched from end to end, and a clock that counts whole hours. It has its own table of
// transitions and its own arithmetic, so that it repeats no mistake of the domain or of the double.
type model struct {
	hour     int
	bookings []*modelBooking
	keys     map[modelKey]*modelUse
}

// modelBooking is a booking of the model.
type modelBooking struct {
	// stored is what the repository must answer, but for the end of a hold, which time moves.
	stored dom.Booking
	venue  string
	tables []string
	// from and to are in minutes since the suite's start; expires is in hours of the model's clock.
	from, to, expires int
	status            dom.Status
	version           int
	// events are those in the outbox, as `booking.held/1`.
	events []string
}

type modelKey struct{ venue, key string }

type modelUse struct {
	booking *modelBooking
	hash    string
	// hour is when the key was used.
	hour int
}

// modelMoves are the changes that a caller can ask for.
var modelMoves = [][2]dom.Status{
	{"held", "confirmed"}, {"held", "cancelled"},
	{"confirmed", "cancelled"}, {"confirmed", "seated"}, {"confirmed", "no_show"},
	{"seated", "finished"}, {"seated", "no_show"},
}

// active tells whether the booking takes its tables in the store: also a hold that is overdue but
// not yet expired does.
func (b *modelBooking) active() bool {
	return b.status == "held" || b.status == "confirmed" || b.status == "seated"
}

func (m *model) overdue(b *modelBooking) bool { return b.status == "held" && b.expires <= m.hour }

func (m *model) allOverdue() []*modelBooking {
	return slices.DeleteFunc(slices.Clone(m.bookings), func(b *modelBooking) bool { return !m.overdue(b) })
}

// inTheWay answers the bookings that take one of the tables at some minute of the sitting.
func (m *model) inTheWay(venue string, tables []string, from, to int) []*modelBooking {
	var list []*modelBooking
	for _, b := range m.bookings {
		if !b.active() || b.venue != venue || to <= b.from || b.to <= from {
			continue
		}
		for _, t := range b.tables {
			if slices.Contains(tables, t) {
				list = append(list, b)
				break
			}
		}
	}
	return list
}

func (b *modelBooking) become(to dom.Status) {
	b.status = to
	b.version++
	b.events = append(b.events, event(to, b.version))
}

// change answers what a change makes of the booking: whether it is changed as asked, whether it is
// refused, whether that is because its hold ran out, and whether the change expires it on the way.
func (m *model) change(b *modelBooking, to dom.Status) (changed, refused, holdExpired, expires bool) {
	ends := to == "confirmed" || to == "cancelled"
	switch {
	case ends && m.overdue(b):
		return false, true, true, true
	case b.status == to && to != "held" && to != "expired":
		return false, false, false, false
	case slices.Contains(modelMoves, [2]dom.Status{b.status, to}):
		return true, false, false, false
	}
	return false, true, ends && b.status == "expired", false
}

// list answers the bookings that match, in order.
func (m *model) list(f dom.BookingFilters) []*modelBooking {
	var list []*modelBooking
	for _, b := range m.bookings {
		date := start.Add(time.Duration(b.from) * time.Minute).Format(time.DateOnly)
		if f.VenueID != "" && f.VenueID != b.venue || f.Status != "" && f.Status != b.status ||
			f.TableID != "" && !slices.Contains(b.tables, f.TableID) ||
			!f.Date.IsZero() && f.Date.Format(time.DateOnly) != date {
			continue
		}
		at := 0
		for at < len(list) && (list[at].from < b.from || list[at].from == b.from && list[at].stored.ID < b.stored.ID) {
			at++
		}
		list = slices.Insert(list, at, b)
	}
	return list
}

// zones answers the zones that a venue may be said to have: those of its latest sittings.
func (m *model) zones(venue string) []string {
	latest, zones := 0, []string(nil)
	for _, b := range m.bookings {
		switch {
		case b.venue != venue:
		case zones == nil || b.from > latest:
			latest, zones = b.from, []string{b.stored.TimeZone}
		case b.from == latest:
			zones = append(zones, b.stored.TimeZone)
		}
	}
	return zones
}
