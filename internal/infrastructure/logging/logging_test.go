package logging

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, false, NewLevel(zerolog.InfoLevel))
	log.Debug().Msg("hidden")
	before := time.Now().Unix()
	log.Info().Str("booking_id", "b1").Msg("Booking confirmed")

	var line struct {
		Level     string `json:"level"`
		Service   string `json:"service"`
		Time      int64  `json:"time"`
		Message   string `json:"message"`
		BookingID string `json:"booking_id"`
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &line), out.String())
	require.Equal(t, "info", line.Level)
	require.Equal(t, "booking-svc", line.Service)
	require.Equal(t, "Booking confirmed", line.Message)
	require.Equal(t, "b1", line.BookingID)
	require.GreaterOrEqual(t, line.Time, before)
	require.LessOrEqual(t, line.Time, time.Now().Unix())
}

func TestConsole(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, true, NewLevel(zerolog.DebugLevel))
	log.Debug().Str("booking_id", "b1").Msg("Booking confirmed")
	require.Regexp(t, `^\d\d:\d\d:\d\d DBG Booking confirmed booking_id=b1 service=booking-svc\n$`, out.String(),
		"text for people, without colours where there is no terminal")
}
