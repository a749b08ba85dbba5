package bookingtest

import "testing"

func TestMemoryOutbox(t *testing.T) {
	EventRepositorySuite(t, func(*testing.T) EventRepository {
		o := NewMemoryOutbox()
		return EventRepository{EventRepository: o, Add: o.Add, Advance: o.Advance}
	})
}
