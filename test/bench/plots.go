package main

import (
	"maps"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// plots draws creates over clients, the ratio of each operation, and the relay's drain if it was measured,
// as SVG.
func (r *report) plots(dir string) error {
	var limit, rate, limitP99, p99 plotter.XYs
	var names []string
	var ratios plotter.Values
	for _, f := range r.figures {
		if f.Clients == 16 {
			names, ratios = append(names, f.Name), append(ratios, median(f.Ratio))
		}
		if f.Name != "create" {
			continue
		}
		x := float64(f.Clients)
		limit = append(limit, plotter.XY{X: x, Y: median(f.Limit)})
		rate = append(rate, plotter.XY{X: x, Y: median(f.Service)})
		limitP99 = append(limitP99, plotter.XY{X: x, Y: milliseconds(f.LimitTimes.percentile(99))})
		p99 = append(p99, plotter.XY{X: x, Y: milliseconds(f.Times.percentile(99))})
	}
	if err := lines(filepath.Join(dir, "creates.svg"), "Creates", "a second", limit, rate); err != nil {
		return err
	}
	if err := lines(filepath.Join(dir, "latency.svg"), "Creates, p99", "ms", limitP99, p99); err != nil {
		return err
	}
	if err := bars(filepath.Join(dir, "ratios.svg"), names, ratios); err != nil {
		return err
	}
	if len(r.waiting) == 0 {
		return nil
	}
	return drained(filepath.Join(dir, "drain.svg"), r.waiting)
}

// drained draws how many events wait over time, and with it the rate at which they go.
func drained(path string, waiting plotter.XYs) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = "100,000 events at once, beside 16 clients' creates", "seconds", "waiting"
	if err := plotutil.AddLinePoints(p, waiting); err != nil {
		return err
	}
	p.Y.Min = 0
	return p.Save(width, height, path)
}

const width, height = 16 * vg.Centimeter, 9 * vg.Centimeter

// lines draws the limit and the service over the number of clients.
func lines(path, title, unit string, limit, service plotter.XYs) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "clients", unit
	p.Y.Min, p.Legend.Top, p.Legend.Left = 0, true, true
	if err := plotutil.AddLinePoints(p, "PostgreSQL alone", limit, "booking-svc", service); err != nil {
		return err
	}
	return p.Save(width, height, path)
}

// keptOverSize draws which part of their speed operations keep, over the number of bookings.
func keptOverSize(path string, kept map[string]plotter.XYs) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = "More bookings, 16 clients", "bookings", "part of the speed with the fewest"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	var series []any
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		series = append(series, name, kept[name])
	}
	if err := plotutil.AddLinePoints(p, series...); err != nil {
		return err
	}
	p.Y.Min = 0
	return p.Save(width, height, path)
}

// bars draws how near each operation comes to its limit.
func bars(path string, names []string, ratios plotter.Values) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = "16 clients, parts of what PostgreSQL alone does", "ratio"
	bars, err := plotter.NewBarChart(ratios, 0.6*vg.Centimeter)
	if err != nil {
		return err
	}
	bars.Horizontal, bars.Color = true, plotutil.Color(2)
	p.Add(bars)
	p.NominalY(names...)
	return p.Save(width, height, path)
}
