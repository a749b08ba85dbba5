package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// labelSet are the names of labels.
type labelSet map[string]bool

func labelNames(names ...string) labelSet {
	s := make(labelSet)
	for _, n := range names {
		s[n] = true
	}
	return s
}

func (s labelSet) with(names ...string) labelSet {
	all := labelNames(names...)
	for n := range s {
		all[n] = true
	}
	return all
}

func (s labelSet) without(names ...string) labelSet {
	rest := make(labelSet)
	drop := labelNames(names...)
	for n := range s {
		if !drop[n] {
			rest[n] = true
		}
	}
	return rest
}

var listed = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| ([^|]*) \\| ")

// readList answers what docs/metrics.md lists: the series that Prometheus has of it, each with its labels.
// TestMetricsAreListed of internal/app keeps it true.
func readList(t *testing.T) map[string]labelSet {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	// What Prometheus itself writes about its targets and alerts.
	series := map[string]labelSet{
		"up":     labelNames("job", "instance"),
		"ALERTS": labelNames("alertname", "alertstate", "severity", "job", "instance"),
	}
	for _, line := range listed.FindAllStringSubmatch(string(page), -1) {
		name, kind := line[1], line[2]
		of := labelNames("job", "instance")
		for _, l := range strings.Split(line[3], ", ") {
			if l != "" {
				of[l] = true
			}
		}
		switch kind {
		case "histogram":
			series[name+"_bucket"] = of.with("le")
			series[name+"_sum"], series[name+"_count"] = of, of
		case "summary":
			series[name] = of
			series[name+"_sum"], series[name+"_count"] = of.without("quantile"), of.without("quantile")
		default:
			series[name] = of
		}
	}
	require.Greater(t, len(series), 60, "docs/metrics.md cannot be read")
	return series
}
