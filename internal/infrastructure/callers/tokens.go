package callers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
)

const (
	// leeway is how far the clocks of the issuer and of this machine may differ.
	leeway = 30 * time.Second
	// maxToken is the longest token that is looked at, in bytes: what is in it is read before its signature.
	maxToken = 16 << 10
	// maxVenues bounds what a token may name, so that each call stays cheap.
	maxVenues = 1000
	// scopePrefix marks this service's permissions among other scopes.
	scopePrefix = "booking:"
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
	// Logger is told when the key set cannot be read again, and which of its keys are left out.
	Logger zerolog.Logger
}

// claims are those of a token that decide. Scope is that of RFC 8693, section 4.2: names with spaces
// between, of which booking:read, booking:book and booking:operate count.
type claims struct {
	jwt.RegisteredClaims
	Scope  string `json:"scope"`
	Venues venues `json:"venues"`
}

// venues, which are this service's own claim, are the ids of those that the token is for; without it, it is
// for all. One that is there and null is none of both, and refused: an empty list may be written so.
type venues struct {
	named bool
	ids   []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *venues) UnmarshalJSON(text []byte) error {
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return errors.New("venues must be a list, not null")
	}
	v.named = true
	return json.Unmarshal(text, &v.ids)
}

// NewTokens makes a check of tokens.
//
// Errors: a key set that cannot be read, or has no key that signs.
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
	if len(token) > maxToken {
		return nil, fmt.Errorf("bearer token: longer than %d bytes", maxToken)
	}
	var c claims
	if _, err := t.parser.ParseWithClaims(token, &c, t.keys); err != nil {
		return nil, fmt.Errorf("bearer token: %w", err)
	}
	if len(c.Venues.ids) > maxVenues {
		return nil, fmt.Errorf("bearer token: names more than %d venues", maxVenues)
	}
	if err := check(c.Subject); err != nil {
		return nil, fmt.Errorf("bearer token: %w", err)
	}
	caller := &Caller{Name: c.Subject, Permissions: known(strings.Fields(c.Scope), scopePrefix)}
	if c.Venues.named {
		caller.Venues = append([]string{}, c.Venues.ids...) // Not nil, which is all, if it names none.
	}
	return caller, nil
}
