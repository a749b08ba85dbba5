package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
)

// The page has every setting once, with its default, and is the one that is committed.
func TestPage(t *testing.T) {
	example, err := os.ReadFile("../../../.env.example")
	require.NoError(t, err)
	page, err := render(string(example), config.Settings())
	require.NoError(t, err)
	for _, s := range config.Settings() {
		require.Equal(t, 1, strings.Count(string(page), "\n| `"+s.Name+"` | "), s.Name)
	}
	require.Contains(t, string(page), "## PostgreSQL\n| variable")
	require.Contains(t, string(page), "| `PORT` | `50052` | port of the gRPC server | a whole number from 1 to 65535 |")
	require.Contains(t, string(page), "| `POSTGRES_PASSWORD` | (empty) | password of that user |  |")

	committed, err := os.ReadFile("../../../docs/configuration.md")
	require.NoError(t, err)
	require.Equal(t, string(committed), string(page), "run make generate")
}

func TestASettingWithoutGroupIsRefused(t *testing.T) {
	settings := []config.Setting{{Name: "PORT", Default: "1", Meaning: "a port"}}
	_, err := render("PORT=1\n", settings)
	require.ErrorContains(t, err, "no group")
	_, err = render("PORT=1\n# --- Others\nX=1\n", settings)
	require.ErrorContains(t, err, "PORT is missing")
}
