package redis

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Spans name the command and hold neither keys nor values.
func TestSpansHoldNoStatements(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))
	defer otel.SetTracerProvider(before)

	server := miniredis.RunT(t)
	server.RequireAuth("hush")
	client, err := NewClient(Options{Addrs: []string{server.Addr()}, Password: "hush"})
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.Set(t.Context(), "hold:v1:t1", "booking-1", time.Minute).Err())
	require.Equal(t, "booking-1", client.Get(t.Context(), "hold:v1:t1").Val())

	named := false
	for _, span := range recorder.Ended() {
		named = named || span.Name() == "set"
		texts := []string{span.Name()}
		for _, a := range span.Attributes() {
			texts = append(texts, a.Value.String())
		}
		for _, text := range texts {
			require.NotContains(t, text, "hold:v1")
			require.NotContains(t, text, "booking-1")
			require.NotContains(t, text, "hush")
		}
	}
	require.True(t, named)
}

// A Redis that accepts connections and never answers costs a call one read timeout: one attempt.
func TestSilentRedisCostsLittle(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	client, err := NewClient(Options{Addrs: []string{listener.Addr().String()}})
	require.NoError(t, err)
	defer client.Close()
	start := time.Now()
	require.Error(t, client.Get(t.Context(), "k").Err())
	require.Less(t, time.Since(start), time.Second)
}

// Nothing is tried twice: a refused connection is told at once.
func TestNoRetries(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var accepted atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			_ = conn.Close()
		}
	}()
	client, err := NewClient(Options{Addrs: []string{listener.Addr().String()}})
	require.NoError(t, err)
	require.Error(t, client.Get(t.Context(), "k").Err())
	require.NoError(t, client.Close())
	require.NoError(t, listener.Close())
	<-done
	require.Equal(t, int32(1), accepted.Load())
}

func TestSeveralAddressesAreACluster(t *testing.T) {
	for _, test := range []struct {
		options Options
		want    string
	}{
		{Options{Addrs: []string{"127.0.0.1:1"}}, "*redis.Client"},
		{Options{Addrs: []string{"127.0.0.1:1", "127.0.0.1:2"}}, "*redis.ClusterClient"},
		{Options{Addrs: []string{"127.0.0.1:1"}, Cluster: true}, "*redis.ClusterClient"},
		{Options{Addrs: []string{"127.0.0.1:1"}, Master: "main"}, "*redis.Client"},
	} {
		client, err := NewClient(test.options)
		require.NoError(t, err)
		require.Equal(t, test.want, fmt.Sprintf("%T", client))
		require.NoError(t, client.Close())
	}
}
