package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// checker knows the series that there are, by their names.
type checker map[string]labelSet

// check answers what a query's result is labelled with, or which metric or label it asks for in vain. It
// also finds two sides of an operator that never meet, since their labels differ.
func (c checker) check(query string) (labelSet, error) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return nil, err
	}
	return c.labelsOf(expr)
}

func (c checker) labelsOf(expr parser.Expr) (labelSet, error) {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return c.selected(e)
	case *parser.MatrixSelector:
		return c.labelsOf(e.VectorSelector)
	case *parser.SubqueryExpr:
		return c.labelsOf(e.Expr)
	case *parser.ParenExpr:
		return c.labelsOf(e.Expr)
	case *parser.UnaryExpr:
		return c.labelsOf(e.Expr)
	case *parser.NumberLiteral, *parser.StringLiteral:
		return labelNames(), nil
	case *parser.AggregateExpr:
		return c.aggregated(e)
	case *parser.Call:
		return c.called(e)
	case *parser.BinaryExpr:
		return c.joined(e)
	}
	return nil, fmt.Errorf("%s is not known here", expr)
}

func (c checker) selected(e *parser.VectorSelector) (labelSet, error) {
	of, known := c[e.Name]
	if !known {
		return nil, fmt.Errorf("no metric %q", e.Name)
	}
	for _, m := range e.LabelMatchers {
		if m.Name != "__name__" && !of[m.Name] {
			return nil, fmt.Errorf("%s has no label %q", e.Name, m.Name)
		}
	}
	return of, nil
}

func (c checker) aggregated(e *parser.AggregateExpr) (labelSet, error) {
	of, err := c.labelsOf(e.Expr)
	if err != nil {
		return nil, err
	}
	for _, name := range e.Grouping {
		if !of[name] {
			return nil, fmt.Errorf("%s has no label %q", e.Expr, name)
		}
	}
	if e.Without {
		return of.without(e.Grouping...), nil
	}
	return labelNames(e.Grouping...), nil
}

func (c checker) called(e *parser.Call) (labelSet, error) {
	result := labelNames()
	for _, arg := range e.Args {
		of, err := c.labelsOf(arg)
		if err != nil {
			return nil, err
		}
		if t := arg.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			result = of
		}
	}
	switch e.Func.Name {
	case "histogram_quantile":
		if !result["le"] {
			return nil, fmt.Errorf("%s needs the label le", e)
		}
		result = result.without("le")
	case "label_replace", "label_join":
		return nil, fmt.Errorf("%s is not known here", e.Func.Name)
	}
	return result, nil
}

func (c checker) joined(e *parser.BinaryExpr) (labelSet, error) {
	left, err := c.labelsOf(e.LHS)
	if err != nil {
		return nil, err
	}
	right, err := c.labelsOf(e.RHS)
	if err != nil {
		return nil, err
	}
	switch {
	case e.LHS.Type() == parser.ValueTypeScalar:
		return right, nil
	case e.RHS.Type() == parser.ValueTypeScalar:
		return left, nil
	case e.Op == parser.LOR:
		return left.with(slices.Collect(maps.Keys(right))...), nil
	}
	if m := e.VectorMatching; m.On {
		for _, name := range m.MatchingLabels {
			if !left[name] || !right[name] {
				return nil, fmt.Errorf("%s: a side has no label %q", e, name)
			}
		}
	} else if !maps.Equal(left.without(m.MatchingLabels...), right.without(m.MatchingLabels...)) {
		return nil, fmt.Errorf("%s: the labels of its sides differ", e)
	}
	return left, nil
}

// The checker finds what it is there for.
func TestCheckerFindsMistakes(t *testing.T) {
	c := checker(readList(t))
	for query, want := range map[string]string{
		`sum(rate(grpc_server_request_total[5m]))`:                                          `no metric "grpc_server_request_total"`,
		`outbox_dlq{topic="x"}`:                                                             `outbox_dlq has no label "topic"`,
		`sum by (code) (rate(grpc_server_requests_total[5m]))`:                              `has no label "code"`,
		`sum by (method) (sum by (status) (rate(grpc_server_requests_total[5m])))`:          `has no label "method"`,
		`histogram_quantile(0.9, sum(rate(database_query_duration_seconds_bucket[5m])))`:    `needs the label le`,
		`outbox_dlq / on (pool) outbox_pending`:                                             `has no label "pool"`,
		`sum by (method) (rate(grpc_server_requests_total[5m])) / sum(up)`:                  `the labels of its sides differ`,
		`booking_create_batch_size`:                                                         `no metric "booking_create_batch_size"`,
		`sum(up`:                                                                            `parse error`,
		`label_replace(up, "a", "b", "c", "d")`:                                             `label_replace is not known here`,
		`sum by (le) (rate(database_query_duration_seconds_count[5m]))`:                     `has no label "le"`,
		`count(booking_dependency_up{neighbour="redis"} == 0)`:                              `has no label "neighbour"`,
		`max(outbox_pending) or max(outbox_pendings)`:                                       `no metric "outbox_pendings"`,
		`absent(nothing)`:                                                                   `no metric "nothing"`,
		`sum by (pool) (rate(database_pool_waits_total[5m])) and on (operation) outbox_dlq`: `has no label "operation"`,
	} {
		_, err := c.check(query)
		require.ErrorContains(t, err, want, query)
	}
	got, err := c.check(`histogram_quantile(0.9, sum by (le, method) (rate(grpc_server_request_duration_seconds_bucket{status!="ok"}[5m])))`)
	require.NoError(t, err)
	require.Equal(t, labelNames("method"), got)
}

// Grafana's variables, as Prometheus gets them.
var variable = strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*")

func TestDashboardAsksForWhatThereIs(t *testing.T) {
	c := checker(readList(t))
	for _, r := range readRules(t) {
		if r.Record != "" {
			c[r.Record] = labelNames() // TestRulesAskForWhatThereIs looks closer
		}
	}
	var errs []error
	for _, row := range rows() {
		for _, p := range row.panels {
			for _, q := range p.queries {
				of, err := c.check(variable.Replace(q.expr))
				if err != nil {
					errs = append(errs, fmt.Errorf("%s, %s: %w", row.title, p.title, err))
				}
				for _, l := range legendLabel.FindAllStringSubmatch(q.legend, -1) {
					if err == nil && !of[l[1]] {
						errs = append(errs, fmt.Errorf("%s, %s: the legend names %q, which %s has not", row.title, p.title, l[1], q.expr))
					}
				}
			}
		}
	}
	require.NoError(t, errors.Join(errs...))
	_, err := c.check(variable.Replace(strings.TrimSuffix(strings.TrimPrefix(instances, "label_values("), ", instance)")))
	require.NoError(t, err)
}
