package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const (
	rulesFile     = "../../deploy/prometheus/rules/booking-svc.yml"
	casesFile     = "../../deploy/prometheus/tests/booking-svc_test.yml"
	dashboardFile = "../../deploy/grafana/dashboards/booking-svc.json"
	runbookFile   = "../../docs/operations.md"
	// runbook is where readers of an alert find that file.
	runbook = "https://github.com/bookingcontrol/booker-booking-svc/blob/main/docs/operations.md#"
)

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into), file)
}

func readRules(t *testing.T) (rules []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	readYAML(t, rulesFile, &file)
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	require.NotEmpty(t, rules)
	return rules
}

func TestRulesAskForWhatThereIs(t *testing.T) {
	c := checker(readList(t))
	for _, r := range readRules(t) {
		of, err := c.check(r.Expr)
		require.NoError(t, err, r.Record+r.Alert)
		if r.Record != "" {
			c[r.Record] = of
			require.Empty(t, of, "%s: the dashboard takes it for one series", r.Record)
		}
	}
}

// anchors are those that the headings of a page make.
func anchors(t *testing.T, file string) (all []string) {
	t.Helper()
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(page), -1) {
		text := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		all = append(all, strings.ReplaceAll(text, " ", "-"))
	}
	return all
}

func TestAlertsSayWhatToDo(t *testing.T) {
	sections := anchors(t, runbookFile)
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		anchor, found := strings.CutPrefix(r.Annotations["runbook_url"], runbook)
		require.True(t, found, "%s: runbook_url %q", r.Alert, r.Annotations["runbook_url"])
		require.Contains(t, sections, anchor, "%s: docs/operations.md has no such section", r.Alert)
	}
}

// Each alert is seen to fire, and not to, in a group of its name.
func TestAlertsHaveCases(t *testing.T) {
	var file struct {
		Tests []struct {
			Name            string
			PromqlExprTests []struct {
				ExpSamples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	readYAML(t, casesFile, &file)
	fires, silent := make(map[string]bool), make(map[string]bool)
	for _, group := range file.Tests {
		for _, c := range group.PromqlExprTests {
			fired := false
			for _, s := range c.ExpSamples {
				fired = fired || s.Labels == fmt.Sprintf("{alertname=%q}", group.Name)
			}
			fires[group.Name] = fires[group.Name] || fired
			silent[group.Name] = silent[group.Name] || !fired
		}
	}
	var alerts []string
	for _, r := range readRules(t) {
		if r.Alert != "" {
			alerts = append(alerts, r.Alert)
			require.True(t, fires[r.Alert], "%s fires in no case", r.Alert)
			require.True(t, silent[r.Alert], "%s fires in each case", r.Alert)
		}
	}
	for name := range fires {
		require.True(t, slices.Contains(alerts, name), "cases of %q, which is no alert", name)
	}
}

func TestDashboardIsWritten(t *testing.T) {
	want, err := dashboardJSON()
	require.NoError(t, err)
	got, err := os.ReadFile(dashboardFile)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "the dashboard is not what panels.go says: make generate")
}
