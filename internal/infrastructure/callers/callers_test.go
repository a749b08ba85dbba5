package callers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

const secret = "a secret of thirty-two bytes, or more"

// good are the claims of a token that is taken.
func good() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": "https://issuer", "aud": "booking-svc", "sub": "host-1", "exp": time.Now().Add(time.Hour).Unix(),
		"scope": "openid booking:read booking:operate book",
	}
}

func signed(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(method, claims).SignedString(key)
	require.NoError(t, err)
	return text
}

func hmacTokens(t *testing.T) *Tokens {
	t.Helper()
	tokens, err := NewTokens(TokenOptions{Secret: secret, Issuer: "https://issuer", Audience: "booking-svc"})
	require.NoError(t, err)
	return tokens
}

func TestToken(t *testing.T) {
	caller, err := hmacTokens(t).Caller(signed(t, jwt.SigningMethodHS256, []byte(secret), good()))
	require.NoError(t, err)
	require.Equal(t, &Caller{Name: "host-1", Permissions: []Permission{Read, Operate}}, caller)
	require.True(t, caller.May(Read))
	require.False(t, caller.May(Book))
	require.True(t, caller.For("any"))
	require.True(t, caller.For(""), "a list over all venues")
}

func TestTokenForVenues(t *testing.T) {
	tokens := hmacTokens(t)
	claims := good()
	claims["venues"] = []string{"v1", "v2"}
	caller, err := tokens.Caller(signed(t, jwt.SigningMethodHS512, []byte(secret), claims))
	require.NoError(t, err)
	require.True(t, caller.For("v2"))
	require.False(t, caller.For("v3"))
	require.False(t, caller.For(""))

	claims["venues"] = nil
	_, err = tokens.Caller(signed(t, jwt.SigningMethodHS256, []byte(secret), claims))
	require.ErrorContains(t, err, "null", "what an empty list of Go is written as")
	claims["venues"] = []string{}
	caller, err = tokens.Caller(signed(t, jwt.SigningMethodHS256, []byte(secret), claims))
	require.NoError(t, err)
	require.False(t, caller.For("v1"), "for no venue is not for all")
}

func TestWrongTokens(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	with := func(name string, value any) string {
		claims := good()
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
		return signed(t, jwt.SigningMethodHS256, []byte(secret), claims)
	}
	for name, token := range map[string]string{
		"nonsense":             "nonsense",
		"another secret":       signed(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), good()),
		"not signed":           signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good()),
		"a key instead":        signed(t, jwt.SigningMethodES256, key, good()),
		"expired":              with("exp", time.Now().Add(-time.Minute).Unix()),
		"for ever":             with("exp", nil),
		"not yet":              with("nbf", time.Now().Add(time.Minute).Unix()),
		"another issuer":       with("iss", "https://other"),
		"no issuer":            with("iss", nil),
		"another audience":     with("aud", "another"),
		"no audience":          with("aud", nil),
		"nobody":               with("sub", nil),
		"a name with a zero":   with("sub", "a\x00b"),
		"a name too long":      with("sub", strings.Repeat("x", 256)),
		"venues that are none": with("venues", "all"),
		"too long":             with("filler", strings.Repeat("x", maxToken)),
		"too many venues":      with("venues", make([]string, maxVenues+1)),
	} {
		caller, err := hmacTokens(t).Caller(token)
		require.Error(t, err, name)
		require.Nil(t, caller, name)
		require.NotContains(t, err.Error(), token, name)
	}
}

// writeKey writes the public key as a set of one.
func writeKey(t *testing.T, path, id string, key *ecdsa.PrivateKey) {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	text := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": id, "x": text(point[1:33]), "y": text(point[33:]),
	}}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, set, 0o600))
}

func TestKeySet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	one, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	two, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	writeKey(t, path, "one", one)
	set := &keySet{path: path}
	require.NoError(t, set.load())
	tokens := &Tokens{keys: set.key, parser: jwt.NewParser()}
	token := func(id string, key *ecdsa.PrivateKey) string {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, good())
		token.Header["kid"] = id
		text, err := token.SignedString(key)
		require.NoError(t, err)
		return text
	}
	check := func(id string, key *ecdsa.PrivateKey) error {
		_, err := tokens.Caller(token(id, key))
		return err
	}
	require.NoError(t, check("one", one))
	require.Error(t, check("one", two))
	require.Error(t, check("two", two))

	// The keys change; a file that is half written changes nothing.
	writeKey(t, path, "two", two)
	later := time.Now().Add(time.Minute)
	require.NoError(t, os.Chtimes(path, later, later))
	require.Error(t, check("two", two), "not looked at so soon")
	set.looked = time.Time{}
	require.NoError(t, check("two", two))
	require.NoError(t, os.WriteFile(path, []byte(`{"keys":`), 0o600))
	set.looked = time.Time{}
	require.NoError(t, check("two", two))

	// A shared secret is never made of a public key.
	strict, err := NewTokens(TokenOptions{Keys: pathOf(t, two), Issuer: "https://issuer", Audience: "booking-svc"})
	require.NoError(t, err)
	public, err := os.ReadFile(pathOf(t, two))
	require.NoError(t, err)
	_, err = strict.Caller(signed(t, jwt.SigningMethodHS256, public, good()))
	require.ErrorContains(t, err, "signing method HS256 is invalid")
	caller, err := strict.Caller(token("two", two))
	require.NoError(t, err)
	require.Equal(t, "host-1", caller.Name)
}

func pathOf(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	writeKey(t, path, "two", key)
	return path
}

func TestKeySetThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	for _, content := range []string{"", "{}", `{"keys":[]}`, `{"keys":[{"kty":"EC"}]}`, `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, "-----BEGIN PUBLIC KEY-----"} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := NewTokens(TokenOptions{Keys: path})
		require.ErrorContains(t, err, path, content)
	}
	_, err := NewTokens(TokenOptions{Keys: path + ".not"})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// What is not known, not public or not for signatures does not keep the rest from counting.
func TestKeysThatAreLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	writeKey(t, path, "good", key)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	encryption := strings.Replace(strings.Replace(string(content), `"sig"`, `"enc"`, 1), `"good"`, `"enc"`, 1)
	one := func(set string) string { return strings.TrimSuffix(strings.TrimPrefix(set, `{"keys":[`), `]}`) }
	require.NoError(t, os.WriteFile(path, []byte(`{"keys":[{"kty":"ML-DSA","kid":"new"},{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},`+
		one(encryption)+","+one(string(content))+`]}`), 0o600))
	tokens, err := NewTokens(TokenOptions{Keys: path, Issuer: "https://issuer", Audience: "booking-svc"})
	require.NoError(t, err)
	check := func(id any) error {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, good())
		if id != nil {
			token.Header["kid"] = id
		}
		text, err := token.SignedString(key)
		require.NoError(t, err)
		_, err = tokens.Caller(text)
		return err
	}
	require.NoError(t, check("good"))
	require.NoError(t, check(nil), "the only key that is left")
	require.Error(t, check("enc"))

	two, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	other := filepath.Join(t.TempDir(), "other.json")
	writeKey(t, other, "other", two)
	more, err := os.ReadFile(other)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(`{"keys":[`+one(string(content))+","+one(string(more))+`]}`), 0o600))
	tokens, err = NewTokens(TokenOptions{Keys: path, Issuer: "https://issuer", Audience: "booking-svc"})
	require.NoError(t, err)
	require.NoError(t, check("good"))
	require.ErrorContains(t, check(nil), "does not name its key")
}

func TestIdentify(t *testing.T) {
	certificate := &x509.Certificate{Subject: pkix.Name{CommonName: "common"}, DNSNames: []string{"admin-gateway"}}
	token := signed(t, jwt.SigningMethodHS256, []byte(secret), good())
	both := &Known{Certificates: map[string][]string{"admin-gateway": {"read", "book"}}, Tokens: hmacTokens(t)}

	caller, err := both.Identify(certificate, "")
	require.NoError(t, err)
	require.Equal(t, &Caller{Name: "admin-gateway", Permissions: []Permission{Read, Book}}, caller)
	caller, err = both.Identify(certificate, token)
	require.NoError(t, err)
	require.Equal(t, "host-1", caller.Name, "the token says more")
	_, err = both.Identify(certificate, "wrong")
	require.Error(t, err, "a wrong token is not made good by a certificate")
	_, err = both.Identify(nil, "")
	require.ErrorIs(t, err, ErrNobody)
	_, err = both.Identify(&x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}}, "")
	require.ErrorIs(t, err, ErrNobody)
	_, err = (&Known{}).Identify(nil, token)
	require.ErrorIs(t, err, ErrUnasked)
}

func TestNameInCertificate(t *testing.T) {
	spiffe, err := url.Parse("spiffe://domain/admin-gateway")
	require.NoError(t, err)
	for _, test := range []struct {
		certificate x509.Certificate
		want        string
	}{
		{x509.Certificate{Subject: pkix.Name{CommonName: "common"}}, "common"},
		{x509.Certificate{Subject: pkix.Name{CommonName: "common"}, DNSNames: []string{"dns", "other"}}, "dns"},
		{x509.Certificate{DNSNames: []string{"dns"}, URIs: []*url.URL{spiffe}}, "spiffe://domain/admin-gateway"},
	} {
		name, err := NameIn(&test.certificate)
		require.NoError(t, err)
		require.Equal(t, test.want, name)
	}
	_, err = NameIn(&x509.Certificate{})
	require.ErrorIs(t, err, ErrName)
	_, err = NameIn(&x509.Certificate{Subject: pkix.Name{CommonName: strings.Repeat("x", 256)}})
	require.ErrorIs(t, err, ErrName)
}
