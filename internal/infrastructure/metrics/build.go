package metrics

import "github.com/prometheus/client_golang/prometheus"

// RegisterBuild adds booking_build_info, always 1, whose labels say what the binary was built from: a
// graph shows a rollout by it, and a query joins it to other metrics.
func RegisterBuild(reg prometheus.Registerer, version, commit, goVersion string) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "booking_build_info", Help: "What the running binary was built from.",
		ConstLabels: prometheus.Labels{"service": Service, "version": version, "commit": commit, "go_version": goVersion},
	})
	g.Set(1)
	reg.MustRegister(g)
}
