//go:build integration

package redis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/tlsfiles"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

func TestTLSAndUser(t *testing.T) {
	ca, other := testenv.NewAuthority(t), testenv.NewAuthority(t)
	addr := testenv.SecureRedis(t, ca)
	set := func(caFile, user, password string) error {
		config, err := tlsfiles.ClientConfig(caFile)
		require.NoError(t, err)
		client, err := NewClient(Options{Addrs: []string{addr}, User: user, Password: password, TLS: config})
		require.NoError(t, err)
		defer client.Close()
		return client.Set(t.Context(), "hold:v:t", "b", time.Second).Err()
	}
	require.NoError(t, set(ca.File, testenv.RedisUser, testenv.RedisPassword))
	require.ErrorContains(t, set(other.File, testenv.RedisUser, testenv.RedisPassword), "certificate")
	require.ErrorContains(t, set(ca.File, testenv.RedisUser, "loud"), "WRONGPASS")
	require.Error(t, set(ca.File, "", testenv.RedisPassword), "the default user is off")
}
