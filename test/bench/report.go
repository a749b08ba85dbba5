package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot/plotter"
)

// report is everything that a run has measured.
type report struct {
	machine, command string
	elapsed          time.Duration
	calls            int64
	figures          []figure
	claims           []claim
	// memory is what the service kept resident, in MiB, after each figure.
	memory []float64
	// waiting are the events that the relay had still to send, over the seconds since they were there.
	waiting plotter.XYs
}

const (
	mark = "yes"
	miss = "**no**"
)

func verdict(goal string, met bool) string {
	switch {
	case goal == "":
		return ""
	case met:
		return mark
	}
	return miss
}

// line writes a figure as a row of the table.
func (f figure) line() string {
	times := func(r result) string {
		return fmt.Sprintf("%.1f / %.1f / %.1f", milliseconds(r.percentile(50)), milliseconds(r.percentile(99)), milliseconds(r.percentile(99.9)))
	}
	return fmt.Sprintf("| %s | %d | %.0f | %.0f | %s | %s | %s | %s | %s |", f.Name, f.Clients, median(f.Limit), median(f.Service),
		spread(f.Ratio, "%.2f"), times(f.LimitTimes), times(f.Times), f.Goal, verdict(f.Goal, f.Met))
}

func (c claim) line() string {
	return fmt.Sprintf("| %s | %s | %s | %s |", c.name, c.measured, c.goal, verdict(c.goal, c.met))
}

// table writes all of it in Markdown.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, `%s`, %.0f s, %d calls.\n", r.machine, r.command, r.elapsed.Seconds(), r.calls)
	if len(r.figures) > 0 {
		b.WriteString(`
| operation | clients | limit/s | service/s | ratio, least / median / largest | limit p50 / p99 / p99.9, ms | service p50 / p99 / p99.9, ms | goal | met |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
`)
		for _, f := range r.figures {
			fmt.Fprintln(&b, f.line())
		}
	}
	if len(r.claims) > 0 {
		b.WriteString("\n| figure | measured | goal | met |\n| --- | --- | --- | --- |\n")
		for _, c := range r.claims {
			fmt.Fprintln(&b, c.line())
		}
	}
	if len(r.figures) > 0 {
		b.WriteString(`
| processor milliseconds for one | clients | service | PostgreSQL | Redis | load and venue | rest |
| --- | --- | --- | --- | --- | --- | --- |
`)
		for _, f := range r.figures {
			per := 1000 / float64(f.cost.calls)
			fmt.Fprintf(&b, "| %s | %d | %.2f | %.2f | %.2f | %.2f | %.2f |\n", f.Name, f.Clients,
				f.cost.service*per, f.cost.postgres*per, f.cost.redis*per, f.cost.load*per, f.cost.rest*per)
		}
	}
	if len(r.memory) > 0 {
		fmt.Fprintf(&b, "\nThe service's resident memory was %.0f MiB after the first row, %.0f at most, %.0f after the last.\n",
			r.memory[0], slices.Max(r.memory), r.memory[len(r.memory)-1])
	}
	return b.String()
}

// write writes the table and the plots into a directory.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.md"), []byte("# Results of `make bench`\n\n"+r.table()), 0o644); err != nil {
		return err
	}
	return r.plots(dir)
}
