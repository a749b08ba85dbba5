//go:build integration

package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// prometheus is a running Prometheus, at a URL.
type prometheus string

// startPrometheus lets one look at a service each second, and at its alert rules.
func startPrometheus(t *testing.T, target string) prometheus {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	require.NoError(t, err, "Prometheus is missing: scripts/apt-install.sh prometheus")
	rules, err := filepath.Abs("../../deploy/prometheus/rules/*.yml")
	require.NoError(t, err)
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: booking-svc
    static_configs: [{targets: [%q]}]
`, rules, target), 0o600))
	address := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	testenv.Run(t, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	p := prometheus("http://" + address)
	require.Eventually(t, func() bool {
		resp, err := http.Get(string(p) + "/-/ready")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond, "Prometheus does not come up")
	return p
}

// get reads an answer of its API.
func (p prometheus) get(path string, into any) error {
	resp, err := http.Get(string(p) + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// query answers the values that a query has now.
func (p prometheus) query(expr string) (values []string, err error) {
	var answer struct {
		Result []struct{ Value [2]any }
	}
	err = p.get("/api/v1/query?query="+url.QueryEscape(expr), &answer)
	for _, series := range answer.Result {
		values = append(values, fmt.Sprint(series.Value[1]))
	}
	return values, err
}

// promRule is a rule as Prometheus sees it.
type promRule struct{ Name, Health, LastError, State string }

func (p prometheus) rules(t require.TestingT) map[string]promRule {
	var answer struct{ Groups []struct{ Rules []promRule } }
	require.NoError(t, p.get("/api/v1/rules", &answer))
	all := make(map[string]promRule)
	for _, g := range answer.Groups {
		for _, r := range g.Rules {
			all[r.Name] = r
		}
	}
	return all
}
