package devstack

import (
	"errors"
	"fmt"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
	venuepb "github.com/bookingcontrol/booker-booking-svc/proto/venue"
)

const day = 24 * time.Hour

// Place is a venue: a restaurant with its tables.
type Place struct {
	ID   string
	Name string
	// TimeZone is an IANA zone.
	TimeZone string
	Tables   []Table
	// Hours are when it is open; none means that every time is.
	Hours []Hours
}

// Table is a table of a venue.
type Table struct {
	ID     string
	RoomID string
	Name   string
	// Capacity is how many guests it seats.
	Capacity int
	// CanMerge says that it can be joined with another of its room.
	CanMerge bool
}

// Hours are a venue's opening hours of one weekday, in its local time.
type Hours struct {
	Weekday time.Weekday
	// Open and Close are times of day, HH:MM. A close that is not after the open is the next day's.
	Open, Close string
}

// DemoPlace is the venue of the development stack: a dozen tables in two rooms, in Berlin.
func DemoPlace() Place {
	p := Place{ID: "venue-1", Name: "Zur Linde", TimeZone: "Europe/Berlin"}
	for _, t := range []struct {
		room     string
		capacity int
		merge    bool
	}{
		{"main", 2, true}, {"main", 2, true}, {"main", 2, false}, {"main", 4, true},
		{"main", 4, true}, {"main", 4, false}, {"main", 6, true},
		{"terrace", 2, true}, {"terrace", 2, true}, {"terrace", 4, true},
		{"terrace", 6, true}, {"terrace", 8, false},
	} {
		n := len(p.Tables) + 1
		p.Tables = append(p.Tables, Table{
			ID: fmt.Sprintf("table-%d", n), RoomID: t.room, Name: fmt.Sprintf("Table %d", n),
			Capacity: t.capacity, CanMerge: t.merge,
		})
	}
	for d := time.Sunday; d <= time.Saturday; d++ {
		hours := Hours{Weekday: d, Open: "10:00", Close: "00:00"}
		if d == time.Friday || d == time.Saturday {
			hours.Close = "02:00"
		}
		p.Hours = append(p.Hours, hours)
	}
	return p
}

func (p *Place) check() error {
	if p.ID == "" {
		return errors.New("it has no id")
	}
	for _, h := range p.Hours {
		if _, _, err := h.span(); err != nil {
			return err
		}
	}
	return nil
}

// span answers the open time since midnight of its day.
func (h Hours) span() (from, to time.Duration, err error) {
	if from, err = booking.ParseTime(h.Open); err != nil {
		return 0, 0, fmt.Errorf("open time: %w", err)
	}
	if to, err = booking.ParseTime(h.Close); err != nil {
		return 0, 0, fmt.Errorf("close time: %w", err)
	}
	if to <= from {
		to += day
	}
	return from, to, nil
}

// open tells whether the venue is open for a whole sitting. Hours and slot are both local times, so
// that no zone is needed.
func (p *Place) open(slot *commonpb.Slot) (bool, error) {
	date, err := booking.ParseDate(slot.GetDate())
	if err != nil {
		return false, fmt.Errorf("date: %w", err)
	}
	start, err := booking.ParseTime(slot.GetStartTime())
	if err != nil {
		return false, fmt.Errorf("start time: %w", err)
	}
	duration, err := booking.ParseDuration(slot.GetDurationMinutes())
	if err != nil {
		return false, fmt.Errorf("duration: %w", err)
	}
	if len(p.Hours) == 0 {
		return true, nil
	}
	for _, h := range p.Hours {
		from, to, err := h.span()
		if err != nil {
			return false, err
		}
		// A sitting after midnight belongs to the evening before.
		for _, back := range []int{0, 1} {
			begin := start + time.Duration(back)*day
			if date.AddDate(0, 0, -back).Weekday() == h.Weekday && from <= begin && begin+duration <= to {
				return true, nil
			}
		}
	}
	return false, nil
}

// offers lists the free tables that are large enough for a party. When the venue has no single
// table of that size it lists pairs instead.
func (p *Place) offers(party int, taken map[string]bool) []*venuepb.TableAvailability {
	var offers []*venuepb.TableAvailability
	single := false
	for _, t := range p.Tables {
		if t.Capacity < party {
			continue
		}
		single = true
		if !taken[t.ID] {
			offers = append(offers, &venuepb.TableAvailability{Table: p.ref(t), Available: true})
		}
	}
	if single {
		return offers
	}
	for i, a := range p.Tables {
		for _, b := range p.Tables[i+1:] {
			fits := a.CanMerge && b.CanMerge && a.RoomID == b.RoomID && a.Capacity+b.Capacity >= party
			if fits && !taken[a.ID] && !taken[b.ID] {
				offers = append(offers, &venuepb.TableAvailability{
					Table: p.ref(a), Available: true, MergedWithTable: p.ref(b),
				})
			}
		}
	}
	return offers
}

func (p *Place) ref(t Table) *commonpb.TableRef {
	return &commonpb.TableRef{VenueId: p.ID, RoomId: t.RoomID, TableId: t.ID}
}

func (t Table) message(since time.Time) *venuepb.Table {
	return &venuepb.Table{
		Id: t.ID, RoomId: t.RoomID, Name: t.Name, Capacity: int32(t.Capacity),
		CanMerge: t.CanMerge, Zone: t.RoomID, CreatedAt: since.Unix(), UpdatedAt: since.Unix(),
	}
}
