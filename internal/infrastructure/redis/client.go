// Package redis connects to Redis.
package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options say where Redis is.
type Options struct {
	// Addrs has one address, those of a cluster, or those of the sentinels of Master.
	Addrs []string
	// User may be empty, for Redis's default one.
	User     string
	Password string
	// Master is the name that the sentinels know; empty without them.
	Master string
	// Cluster says that Addrs is a cluster even if it is one address.
	Cluster bool
	// TLS is for the connections to Redis and to its sentinels; nil for none.
	TLS *tls.Config
}

// silence drops what the driver would print: each of its errors reaches the caller as well.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(silence{}) }

// NewClient makes a client. It connects when it is first used. Its limits are short and nothing is
// tried twice: Redis is only the fast path, and PostgreSQL answers without it.
func NewClient(o Options) (redis.UniversalClient, error) {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:                 o.Addrs,
		Username:              o.User,
		Password:              o.Password,
		SentinelPassword:      o.Password,
		MasterName:            o.Master,
		IsClusterMode:         o.Cluster,
		TLSConfig:             o.TLS,
		ClientName:            "booking-svc",
		DialTimeout:           500 * time.Millisecond,
		DialerRetries:         1,
		ReadTimeout:           300 * time.Millisecond,
		WriteTimeout:          300 * time.Millisecond,
		PoolTimeout:           300 * time.Millisecond,
		MaxRetries:            -1,
		ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	})
	// Statements hold keys and booking ids; the command's name is enough for a span.
	err := redisotel.InstrumentTracing(client,
		redisotel.WithDBStatement(false), redisotel.WithCallerEnabled(false), redisotel.WithDialFilter(true))
	if err != nil {
		return nil, fmt.Errorf("redis tracing: %w", err)
	}
	return client, nil
}
