package kafka

import (
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
)

// quietFor is how long a message that was logged is not logged again.
const quietFor = 30 * time.Second

// logger hands the client's warnings to zerolog. While brokers are away the client repeats itself
// many times a second, so each message comes once in quietFor, with the count of those in between.
type logger struct {
	log zerolog.Logger
	now func() time.Time

	mu   sync.Mutex
	seen map[string]*seen
}

type seen struct {
	last    time.Time
	skipped int
}

func newLogger(log zerolog.Logger) *logger {
	return &logger{log: log.With().Str("component", "kafka").Logger(), now: time.Now, seen: make(map[string]*seen)}
}

// Level says which messages the client need not make at all.
func (l *logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log takes a message of the client.
func (l *logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	skipped, ok := l.admit(msg)
	if !ok {
		return
	}
	// An error of the client is still not one of the service: what is not delivered is sent again.
	e := l.log.Warn()
	if level > kgo.LogLevelWarn {
		e = l.log.Debug()
	}
	for i := 0; i+1 < len(keyvals); i += 2 {
		e = e.Str(fmt.Sprint(keyvals[i]), fmt.Sprint(keyvals[i+1]))
	}
	if skipped > 0 {
		e = e.Int("repeated", skipped)
	}
	e.Msg(msg)
}

func (l *logger) admit(msg string) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, known := l.seen[msg]
	if !known {
		s = &seen{}
		l.seen[msg] = s
	} else if l.now().Sub(s.last) < quietFor {
		s.skipped++
		return 0, false
	}
	s.last = l.now()
	skipped, s.skipped = s.skipped, 0
	return skipped, true
}
