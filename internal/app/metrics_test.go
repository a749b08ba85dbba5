package app

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsPage = "../../docs/metrics.md"

const metricsHead = `# Metrics

All that a replica tells at ` + "`/metrics`" + ` on ` + "`METRICS_PORT`" + `. Prometheus adds ` + "`job`" + ` and ` + "`instance`" + `; histograms have a label ` + "`le`" + ` and come as
` + "`_bucket`, `_sum` and `_count`" + `. A series with labels is there once what it counts has happened. The dashboard
([deploy/grafana](../deploy/grafana)) and the alerts ([operations.md](operations.md)) are checked against this list, and this list
against the service: ` + "`go test ./internal/app -run TestMetricsAreListed -update`" + ` writes it.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
`

// neverWritten are metrics that Kafka's client registers and, as it is set, never gives a value.
var neverWritten = regexp.MustCompile(`^kafka_client_((buffered_)?fetch_\w+|produce_(batches|records|compressed_bytes)_total)$`)

// docs/metrics.md has every metric of the service, of its pools, of Kafka's client and of Go, with its labels.
func TestMetricsAreListed(t *testing.T) {
	s, err := build(t.Context(), settings(t), zerolog.Nop())
	require.NoError(t, err)
	defer s.close()
	types := typesOf(t, s.registry, observed())

	descriptions := make(chan *prometheus.Desc)
	go func() { s.registry.Describe(descriptions); close(descriptions) }()
	lines := make(map[string]string)
	for desc := range descriptions {
		d := parseDesc(t, desc)
		kind, known := types[d.name]
		switch {
		case neverWritten.MatchString(d.name):
			continue
		case known:
		case strings.HasSuffix(d.name, "_total"):
			kind = "counter"
		case strings.HasPrefix(d.name, "kafka_client_"):
			continue // a histogram of kprom, which is off
		default:
			require.Failf(t, "type is not known", "%s: let observed() set it", d.name)
		}
		if kind == "summary" {
			d.labels = append(d.labels, "quantile")
		}
		lines[d.name] = fmt.Sprintf("| `%s` | %s | %s | %s |\n", d.name, kind, strings.Join(d.labels, ", "), d.help)
	}
	page := metricsHead
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		page += lines[name]
	}
	if *update {
		require.NoError(t, os.WriteFile(metricsPage, []byte(page), 0o644))
	}
	listed, err := os.ReadFile(metricsPage)
	require.NoError(t, err)
	require.Equal(t, page, string(listed), "docs/metrics.md is not true; to write it: go test ./internal/app -run TestMetricsAreListed -update")
}

// observed answers the service's own metrics, each with a value, as those with labels have none before.
func observed() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	m, now := metrics.New(registry), time.Now()
	m.ObserveCall("Method", "ok", now)
	m.ObserveQuery("operation", now)
	m.ObserveRedis("operation", now)
	m.SetDependency("dependency", true)
	m.SetCertificate("certificate", now)
	return registry
}

func typesOf(t *testing.T, registries ...*prometheus.Registry) map[string]string {
	t.Helper()
	types := make(map[string]string)
	for _, r := range registries {
		families, err := r.Gather()
		require.NoError(t, err)
		for _, f := range families {
			types[f.GetName()] = strings.ToLower(f.GetType().String())
		}
	}
	return types
}

type description struct {
	name, help string
	labels     []string
}

// A Desc tells what it is only as a text.
var (
	descText   = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), .*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	constLabel = regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)
)

func parseDesc(t *testing.T, desc *prometheus.Desc) (d description) {
	t.Helper()
	parts := descText.FindStringSubmatch(desc.String())
	require.NotNil(t, parts, desc.String())
	var err error
	d.name, err = strconv.Unquote(parts[1])
	require.NoError(t, err)
	d.help, err = strconv.Unquote(parts[2])
	require.NoError(t, err)
	d.help = strings.Join(strings.Fields(strings.ReplaceAll(d.help, "|", "/")), " ")
	for _, l := range constLabel.FindAllStringSubmatch(parts[3], -1) {
		d.labels = append(d.labels, l[1])
	}
	if parts[4] != "" {
		d.labels = append(d.labels, strings.Split(parts[4], ",")...)
	}
	slices.Sort(d.labels)
	return d
}
