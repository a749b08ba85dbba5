package tlsfiles

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// refresh is how old what is known of files may be.
const refresh = 10 * time.Second

// fresh is what some files hold. They are read again by a handshake that finds it too old: what changes needs
// no watching, and costs nothing while nobody connects.
type fresh[T any] struct {
	read func() (T, error)
	age  time.Duration
	log  zerolog.Logger

	mu     sync.Mutex
	looked time.Time
	value  T
}

func newFresh[T any](f Files, read func() (T, error)) (*fresh[T], error) {
	value, err := read()
	if f.Refresh == 0 {
		f.Refresh = refresh
	}
	return &fresh[T]{read: read, age: f.Refresh, log: f.Logger, looked: time.Now(), value: value}, err
}

// current answers what the files hold, or held when they could be read for the last time: one that is being
// written, or a certificate whose key is not there yet, is no reason to turn everybody away.
func (f *fresh[T]) current() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < f.age {
		return f.value
	}
	f.looked = time.Now()
	value, err := f.read()
	if err != nil {
		f.log.Error().Err(err).Msg("Failed to read a certificate again: the one from before goes on")
		return f.value
	}
	f.value = value
	return value
}
