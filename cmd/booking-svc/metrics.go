package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// startMetricsServer serves handler (/metrics, /healthz, /readyz) on port, on all interfaces, until
// the answered function is called. That the port is taken is an error that names METRICS_PORT.
func startMetricsServer(port int, handler http.Handler) (stop func(context.Context) error, err error) {
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("METRICS_PORT: port %d is in use; set METRICS_PORT to a free one", port)
	}
	if err != nil {
		return nil, fmt.Errorf("METRICS_PORT: %w", err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return func(ctx context.Context) error {
		if err := server.Shutdown(ctx); err != nil {
			return errors.Join(err, server.Close())
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("metrics server: %w", err)
		}
		return nil
	}, nil
}
