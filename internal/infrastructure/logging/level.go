package logging

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// levels are those that may be chosen.
var levels = []string{"debug", "info", "warn", "error"}

// ParseLevel answers a level by its name: debug, info, warn or error.
func ParseLevel(name string) (zerolog.Level, error) {
	if !slices.Contains(levels, name) {
		return zerolog.NoLevel, fmt.Errorf("must be one of %s, not %q", strings.Join(levels, ", "), name)
	}
	return zerolog.ParseLevel(name)
}

// Level is the least level that a logger writes. It may be changed while the process runs; make it with
// NewLevel. zerolog asks it as a sampler, before a line is begun.
type Level struct{ least atomic.Int32 }

// NewLevel answers a level.
func NewLevel(least zerolog.Level) *Level {
	l := &Level{}
	l.least.Store(int32(least))
	return l
}

// Sample tells whether a line of this level is written.
func (l *Level) Sample(level zerolog.Level) bool { return level >= l.current() }

func (l *Level) current() zerolog.Level { return zerolog.Level(l.least.Load()) }

// maxBody is more than the longest name of a level, in bytes.
const maxBody = 16

// Handler tells the level, and sets it to the one that the body of a PUT names. Each change is a line of
// log, whatever the levels before and after are.
func (l *Level) Handler(log zerolog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodPut:
			level, err := readLevel(w, r)
			if err != nil {
				http.Error(w, "the level "+err.Error(), http.StatusBadRequest)
				return
			}
			before := zerolog.Level(l.least.Swap(int32(level)))
			log.Log().Str(zerolog.LevelFieldName, zerolog.LevelInfoValue).Stringer("from", before).Stringer("to", level).
				Str("remote_addr", r.RemoteAddr).Msg("Log level changed")
		default:
			w.Header().Set("Allow", "GET, HEAD, PUT")
			http.Error(w, "only GET and PUT", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, l.current())
	})
}

// readLevel reads the name of a level, with spaces around it or not.
func readLevel(w http.ResponseWriter, r *http.Request) (zerolog.Level, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return zerolog.NoLevel, fmt.Errorf("must be one of %s", strings.Join(levels, ", "))
	case err != nil:
		return zerolog.NoLevel, fmt.Errorf("could not be read: %w", err)
	}
	return ParseLevel(strings.TrimSpace(string(body)))
}
