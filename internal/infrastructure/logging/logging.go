// Package logging makes the service's logger.
package logging

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

// Times are Unix seconds in every logger of the process. zerolog keeps this in a global that must
// not change while something logs.
func init() { zerolog.TimeFieldFormat = zerolog.TimeFormatUnix }

// New answers a logger that writes lines of at least level, as it is at the time of the line, to w: JSON with
// Unix time, or text for people when console is true. Each line has the field `service`.
func New(w io.Writer, console bool, level *Level) zerolog.Logger {
	if console {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}
	}
	return zerolog.New(w).Level(zerolog.DebugLevel).Sample(level).With().Timestamp().Str("service", metrics.Service).Logger()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
