package callers

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
)

// keysAge is how old what is known of a key set's file may be.
const keysAge = 10 * time.Second

// keySet are the keys in a file, a JSON Web Key Set (RFC 7517), which is read again when it changes.
type keySet struct {
	path string
	log  zerolog.Logger

	mu      sync.Mutex
	looked  time.Time
	changed time.Time
	keys    keyfunc.Keyfunc
	// only is the one key of a set that has no more, whose id a token need not name.
	only *jwk
}

// jwk is what decides about a key before it is parsed.
type jwk struct {
	Type      string `json:"kty"`
	Use       string `json:"use"`
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
}

// key is the jwt.Keyfunc. While the file is wrong or away, the keys are those that it had before.
func (s *keySet) key(token *jwt.Token) (any, error) {
	s.mu.Lock()
	if time.Since(s.looked) > keysAge {
		s.looked = time.Now()
		stat, err := os.Stat(s.path)
		if err == nil && !stat.ModTime().Equal(s.changed) {
			err = s.load()
		}
		if err != nil {
			s.log.Error().Err(err).Msg("Failed to read the keys of tokens again: those from before count")
		}
	}
	keys, only := s.keys, s.only
	s.mu.Unlock()
	if _, named := token.Header["kid"]; !named {
		switch {
		case only == nil:
			return nil, errors.New("it does not name its key, and there are several")
		case only.Algorithm != "" && only.Algorithm != token.Method.Alg():
			return nil, errors.New("its algorithm is not the key's")
		}
	}
	return keys.Keyfunc(token)
}

func (s *keySet) load() error {
	stat, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("key set: %w", err)
	}
	content, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("key set: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil || len(set.Keys) == 0 {
		return fmt.Errorf("key set: %s is no JSON Web Key Set with keys in it", s.path)
	}
	var only *jwk
	set.Keys = slices.DeleteFunc(set.Keys, func(raw json.RawMessage) bool {
		k, err := usable(raw)
		if err != nil {
			s.log.Warn().Err(err).Str("kid", k.ID).Str("path", s.path).Msg("A key of the set is left out")
			return true
		}
		only = &k
		return false
	})
	if len(set.Keys) != 1 {
		only = nil
	}
	if len(set.Keys) == 0 {
		return fmt.Errorf("key set: %s has no public key that signs", s.path)
	}
	content, err = json.Marshal(set)
	if err != nil {
		return fmt.Errorf("key set: %s: %w", s.path, err)
	}
	keys, err := keyfunc.NewJWKSetJSON(content)
	if err != nil {
		return fmt.Errorf("key set: %s: %w", s.path, err)
	}
	s.keys, s.only, s.changed, s.looked = keys, only, stat.ModTime(), time.Now()
	return nil
}

// usable tells whether a key is public, signs, and is of a kind that is known: all others are to be ignored
// (RFC 7517, section 5).
func usable(raw json.RawMessage) (k jwk, err error) {
	if err := json.Unmarshal(raw, &k); err != nil {
		return k, errors.New("it cannot be read")
	}
	switch {
	case !slices.Contains([]string{"RSA", "EC", "OKP"}, k.Type):
		return k, fmt.Errorf("its type %q is none that tokens are signed with here", k.Type)
	case k.Use != "" && k.Use != "sig":
		return k, fmt.Errorf("it is for %q, and not for signatures", k.Use)
	}
	one, err := json.Marshal(map[string][]json.RawMessage{"keys": {raw}})
	if err == nil {
		_, err = keyfunc.NewJWKSetJSON(one)
	}
	return k, err
}
