package bookingtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func openMemory() Repository {
	m := NewMemoryRepository()
	return Repository{Repository: m, Advance: m.Advance, Events: func(id string) []string {
		var list []string
		for _, e := range m.Events(id) {
			list = append(list, fmt.Sprintf("%s/%d", e.Type, e.Booking.Version))
		}
		return list
	}}
}

func TestMemoryRepository(t *testing.T) {
	RepositorySuite(t, func(*testing.T) Repository { return openMemory() })
}

func TestMemoryRepositoryMachine(t *testing.T) {
	RepositoryMachine(t, openMemory, func(require.TestingT) {})
}
