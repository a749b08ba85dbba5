package main

import "encoding/json"

// row is a part of the dashboard with a heading.
type row struct {
	title  string
	panels []panel
}

// panel is a graph, or a number when stat is set.
type panel struct {
	title, unit string
	// about says how the panel is read.
	about   string
	stat    bool
	queries []query
}

type query struct {
	// expr is PromQL; $instance and $__rate_interval are Grafana's.
	expr string
	// legend names each series, with its labels in {{}}.
	legend string
}

// Sizes in units of Grafana's grid, which is 24 wide.
const (
	gridWidth   = 24
	graphWidth  = 8
	graphHeight = 8
	statWidth   = 3
	statHeight  = 4
)

// source is the data source that is chosen at the top of the dashboard.
var source = map[string]any{"type": "prometheus", "uid": "${datasource}"}

// dashboardJSON answers the dashboard as Grafana provisions it.
func dashboardJSON() ([]byte, error) {
	b, err := json.MarshalIndent(map[string]any{
		"uid": "booking-svc", "title": "booking-svc", "tags": []string{"booking-svc"},
		"description":   "Made by tools/watch: change it there.",
		"schemaVersion": 39, "editable": true, "graphTooltip": 1,
		"time": map[string]any{"from": "now-1h", "to": "now"}, "refresh": "30s", "timezone": "browser",
		"templating": map[string]any{"list": variables()},
		"links": []any{map[string]any{
			"type": "link", "title": "What to do about alerts", "icon": "doc", "targetBlank": true,
			"url": "https://github.com/bookingcontrol/booker-booking-svc/blob/main/docs/operations.md",
		}},
		"panels": layout(rows()),
	}, "", "  ")
	return append(b, '\n'), err
}

func variables() []any {
	return []any{
		map[string]any{
			"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
			"current": map[string]any{}, "hide": 0,
		},
		map[string]any{
			"name": "instance", "label": "Replica", "type": "query", "datasource": source,
			"query":      map[string]any{"query": instances, "refId": "instances"},
			"definition": instances, "refresh": 2, "sort": 1,
			"multi": true, "includeAll": true, "allValue": ".*",
			"current": map[string]any{"text": "All", "value": "$__all"},
		},
	}
}

// instances is the query of the replicas that can be chosen.
const instances = `label_values(up{job="booking-svc"}, instance)`

// layout places rows below each other and the panels of a row from left to right.
func layout(rows []row) []any {
	var all []any
	y := 0
	for _, r := range rows {
		all = append(all, map[string]any{
			"id": len(all) + 1, "type": "row", "title": r.title, "collapsed": false, "panels": []any{},
			"gridPos": position(0, y, gridWidth, 1),
		})
		y++
		x, height := 0, 0
		for _, p := range r.panels {
			width := graphWidth
			height = graphHeight
			if p.stat {
				width, height = statWidth, statHeight
			}
			if x+width > gridWidth {
				x, y = 0, y+height
			}
			all = append(all, p.model(len(all)+1, position(x, y, width, height)))
			x += width
		}
		y += height
	}
	return all
}

func position(x, y, w, h int) map[string]int { return map[string]int{"x": x, "y": y, "w": w, "h": h} }

func (p panel) model(id int, position map[string]int) map[string]any {
	targets := make([]any, len(p.queries))
	for i, q := range p.queries {
		targets[i] = map[string]any{
			"refId": string(rune('A' + i)), "datasource": source, "expr": q.expr, "legendFormat": q.legend,
			"range": !p.stat, "instant": p.stat,
		}
	}
	m := map[string]any{
		"id": id, "type": "timeseries", "title": p.title, "description": p.about, "datasource": source,
		"gridPos": position, "targets": targets,
		"fieldConfig": map[string]any{
			"defaults": map[string]any{
				"unit": p.unit, "min": 0,
				"custom": map[string]any{"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": false},
			},
			"overrides": []any{},
		},
		"options": map[string]any{
			"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		},
	}
	if p.stat {
		m["type"] = "stat"
		m["fieldConfig"] = map[string]any{"defaults": map[string]any{"unit": p.unit}, "overrides": []any{}}
		m["options"] = map[string]any{
			"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}}, "graphMode": "none", "colorMode": "value",
		}
	}
	return m
}
