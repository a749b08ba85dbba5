// Package callers knows who calls, by client certificate or bearer token, and what they may do.
package callers

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Permission is a group of calls.
type Permission string

// Permissions.
const (
	// Read is to look at bookings and at what is free.
	Read Permission = "read"
	// Book is to create, confirm and cancel bookings.
	Book Permission = "book"
	// Operate is to note what happens at the door: seated, finished, no-show.
	Operate Permission = "operate"
)

// maxName is the longest name, in characters.
const maxName = 255

// Caller is who calls.
type Caller struct {
	// Name is what the certificate or the token calls it.
	Name string
	// Permissions are what it may do.
	Permissions []Permission
	// Venues are the ids of those that it may do it for, nil for all.
	Venues []string
}

// May tells whether the caller has a permission.
func (c *Caller) May(p Permission) bool { return slices.Contains(c.Permissions, p) }

// For tells whether the caller's permissions are for a venue; an empty id asks for all venues.
func (c *Caller) For(venueID string) bool {
	return c.Venues == nil || venueID != "" && slices.Contains(c.Venues, venueID)
}

// Known tells callers apart. One without both is a fault of the one who makes it.
type Known struct {
	// Certificates are the permissions by the name in a certificate. Who is not in it has none.
	Certificates map[string][]string
	// Tokens checks bearer tokens, nil if there are none.
	Tokens *Tokens
}

// Errors of Identify.
var (
	ErrNobody  = errors.New("neither a known certificate nor a bearer token")
	ErrUnasked = errors.New("a bearer token, but none is expected")
	ErrName    = errors.New("the caller's name is not one to 255 characters of text")
)

// Identify answers who shows a certificate, nil for none, or a token, empty for none. The token, which says
// more, goes before the certificate.
//
// Errors: ErrNobody, ErrUnasked, ErrName, or what is wrong with the token. None of them holds the token.
func (k *Known) Identify(certificate *x509.Certificate, token string) (*Caller, error) {
	switch {
	case token != "" && k.Tokens == nil:
		return nil, ErrUnasked
	case token != "":
		return k.Tokens.Caller(token)
	case certificate == nil:
		return nil, ErrNobody
	}
	name, err := NameIn(certificate)
	if err != nil {
		return nil, err
	}
	permissions, ok := k.Certificates[name]
	if !ok {
		return nil, fmt.Errorf("%w: certificate of %q", ErrNobody, name)
	}
	return &Caller{Name: name, Permissions: known(permissions, "")}, nil
}

// NameIn answers what a certificate calls its owner: its first URI, as SPIFFE's, else its first name in DNS,
// else its common name.
//
// Errors: ErrName.
func NameIn(certificate *x509.Certificate) (string, error) {
	name := certificate.Subject.CommonName
	switch {
	case len(certificate.URIs) > 0:
		name = certificate.URIs[0].String()
	case len(certificate.DNSNames) > 0:
		name = certificate.DNSNames[0]
	}
	return name, check(name)
}

// check refuses a name that cannot be kept in the audit log.
func check(name string) error {
	if name == "" || utf8.RuneCountInString(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return ErrName
	}
	return nil
}

// known keeps those of the names that are permissions, behind a prefix.
func known(names []string, prefix string) []Permission {
	var permissions []Permission
	for _, name := range names {
		name, ok := strings.CutPrefix(name, prefix)
		switch p := Permission(name); p {
		case Read, Book, Operate:
			if ok {
				permissions = append(permissions, p)
			}
		}
	}
	return permissions
}
