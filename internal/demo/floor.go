package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
	bookingpb "github.com/bookingcontrol/booker-booking-svc/proto/booking"
)

// marks show what a table is like.
var marks = map[string]string{"held": "?", "confirmed": "o", "seated": "*"}

// floor draws the rooms at a time of the evening, HH:MM: for each table its number, its seats, and
// who has it, by a mark and the size of the party. Tables of one party have the same one.
func floor(place devstack.Place, bookings []*bookingpb.Booking, at string) string {
	cells := make(map[string]string)
	for _, b := range bookings {
		mark, occupies := marks[b.GetStatus()]
		if !occupies || !during(b, at) {
			continue
		}
		cell := fmt.Sprintf("%s%d", mark, b.GetPartySize())
		if len(b.GetJoinedTables()) > 0 {
			cell += "+"
		}
		cells[b.GetTable().GetTableId()] = cell
		for _, t := range b.GetJoinedTables() {
			cells[t.GetTableId()] = cell
		}
	}
	var rooms []string
	lines := make(map[string]string)
	for i, t := range place.Tables {
		if lines[t.RoomID] == "" {
			rooms = append(rooms, t.RoomID)
		}
		cell := cells[t.ID]
		if cell == "" {
			cell = "."
		}
		lines[t.RoomID] += fmt.Sprintf(" | %2d/%d %-4s", i+1, t.Capacity, cell)
	}
	text := &strings.Builder{}
	fmt.Fprintf(text, "  at %s   (table/seats: . free, ? held, o expected, * seated, + joined)", at)
	for _, room := range rooms {
		fmt.Fprintf(text, "\n  %-8s%s |", room, lines[room])
	}
	return text.String()
}

// during tells whether a sitting of the evening goes on at a time of day.
func during(b *bookingpb.Booking, at string) bool {
	start, err := time.Parse("15:04", b.GetSlot().GetStartTime())
	if err != nil {
		return false
	}
	now, err := time.Parse("15:04", at)
	if err != nil {
		return false
	}
	end := start.Add(time.Duration(b.GetSlot().GetDurationMinutes()) * time.Minute)
	return !now.Before(start) && now.Before(end)
}
