package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// healthTimeout bounds AskHealth; container engines wait some seconds longer.
const healthTimeout = 3 * time.Second

// AskHealth asks the service that runs on this machine whether it is ready, and answers what it said in one
// line, an error when it is not. It asks /readyz and not gRPC health: the operators' port stays plain HTTP
// whatever the gRPC port asks of its callers, and it says what is missing.
func AskHealth(ctx context.Context, metricsPort int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(metricsPort))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return "", err
	}
	// No proxy of the environment, and no connection kept.
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", fmt.Errorf("no answer at METRICS_PORT %d within %v", metricsPort, healthTimeout)
	}
	if err != nil {
		return "", fmt.Errorf("no answer at METRICS_PORT %d: %w", metricsPort, err)
	}
	defer answer.Body.Close()
	var report readinessReport
	if err := json.NewDecoder(answer.Body).Decode(&report); err != nil || report.Status == "" {
		return "", fmt.Errorf("what answers at METRICS_PORT %d is not booking-svc", metricsPort)
	}
	line := report.line()
	if answer.StatusCode != http.StatusOK {
		return "", errors.New(line)
	}
	return line, nil
}

// line writes a report as one line.
func (r readinessReport) line() string {
	var states []string
	for _, name := range slices.Sorted(maps.Keys(r.Dependencies)) {
		states = append(states, name+" "+r.Dependencies[name])
	}
	line := r.Status
	if len(states) > 0 {
		line += ": " + strings.Join(states, ", ")
	}
	if r.Advice != "" {
		line += "; " + r.Advice
	}
	return line
}
