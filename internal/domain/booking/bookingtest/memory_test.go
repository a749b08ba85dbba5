package bookingtest

import (
	"fmt"
	"testing"
)

func TestMemoryRepository(t *testing.T) {
	RepositorySuite(t, func(*testing.T) Repository {
		m := NewMemoryRepository()
		return Repository{Repository: m, Advance: m.Advance, Events: func(id string) []string {
			var list []string
			for _, e := range m.Events(id) {
				list = append(list, fmt.Sprintf("%s/%d", e.Type, e.Booking.Version))
			}
			return list
		}}
	})
}
