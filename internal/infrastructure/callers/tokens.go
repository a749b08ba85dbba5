package callers

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
)

const (
	// leeway is how far the clocks of the issuer and of this machine may differ.
	leeway = 30 * time.Second
	// keysAge is how old what is known of a key set's file may be.
	keysAge = 10 * time.Second
	// maxVenues bounds what a token may name, so that each call stays cheap.
	maxVenues = 1000
)

// Tokens checks bearer tokens (JSON Web Tokens, RFC 7519). Make it with NewTokens.
type Tokens struct {
	parser *jwt.Parser
	keys   jwt.Keyfunc
}

// TokenOptions say which tokens are good.
type TokenOptions struct {
	// Secret signs them by HMAC; empty if Keys, the path of a JSON Web Key Set, has the public keys.
	Secret string
	Keys   string
	// Issuer and Audience are what they must name.
	Issuer, Audience string
	// Logger is told when the key set cannot be read again.
	Logger zerolog.Logger
}

// claims are those of a token that decide. Scope is that of RFC 8693, section 4.2: names with spaces
// between, of which booking:read, booking:book and booking:operate count. Venues, which is this service's
// own, are the ids of the venues that the token is for; without it, it is for all.
type claims struct {
	jwt.RegisteredClaims
	Scope  string    `json:"scope"`
	Venues *[]string `json:"venues"`
}

// NewTokens makes a check of tokens.
//
// Errors: a key set that cannot be read.
func NewTokens(o TokenOptions) (*Tokens, error) {
	methods := []string{"HS256", "HS384", "HS512"}
	keys := func(*jwt.Token) (any, error) { return []byte(o.Secret), nil }
	if o.Keys != "" {
		set := &keySet{path: o.Keys, log: o.Logger}
		if err := set.load(); err != nil {
			return nil, err
		}
		// Never those of a shared secret: a public key is no secret.
		methods, keys = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}, set.key
	}
	return &Tokens{keys: keys, parser: jwt.NewParser(
		jwt.WithValidMethods(methods), jwt.WithIssuer(o.Issuer), jwt.WithAudience(o.Audience),
		jwt.WithExpirationRequired(), jwt.WithLeeway(leeway),
	)}, nil
}

// Caller answers whose token it is.
//
// Errors: what is wrong with it, without the token itself.
func (t *Tokens) Caller(token string) (*Caller, error) {
	var c claims
	if _, err := t.parser.ParseWithClaims(token, &c, t.keys); err != nil {
		return nil, fmt.Errorf("bearer token: %w", err)
	}
	caller := &Caller{Name: c.Subject, Permissions: parse(strings.Fields(c.Scope))}
	if c.Venues != nil {
		caller.Venues = append([]string{}, *c.Venues...) // Not nil, which is all, if it names none.
	}
	if len(caller.Venues) > maxVenues {
		return nil, fmt.Errorf("bearer token: names more than %d venues", maxVenues)
	}
	if err := check(c.Subject); err != nil {
		return nil, fmt.Errorf("bearer token: %w", err)
	}
	return caller, nil
}

// keySet are the keys in a file, which is read again when it changes.
type keySet struct {
	path string
	log  zerolog.Logger

	mu      sync.Mutex
	looked  time.Time
	changed time.Time
	keys    keyfunc.Keyfunc
}

// key is the jwt.Keyfunc. While the file is wrong, the keys are those that it had before.
func (s *keySet) key(token *jwt.Token) (any, error) {
	s.mu.Lock()
	if time.Since(s.looked) > keysAge {
		s.looked = time.Now()
		if stat, err := os.Stat(s.path); err == nil && !stat.ModTime().Equal(s.changed) {
			if err := s.load(); err != nil {
				s.log.Error().Err(err).Msg("Failed to read the keys of tokens again: those from before count")
			}
		}
	}
	keys := s.keys
	s.mu.Unlock()
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
	var known struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &known); err != nil || len(known.Keys) == 0 {
		return fmt.Errorf("key set: %s is no JSON Web Key Set with keys in it", s.path)
	}
	keys, err := keyfunc.NewJWKSetJSON(content)
	if err != nil {
		return fmt.Errorf("key set: %s: %w", s.path, err)
	}
	s.keys, s.changed, s.looked = keys, stat.ModTime(), time.Now()
	return nil
}
