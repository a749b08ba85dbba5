// Command watch writes the dashboard of booking-svc for Grafana. Its tests check that what the dashboard and
// the alert rules ask Prometheus for is there.
//
//	go run . ../../deploy/grafana/dashboards/booking-svc.json
//
// It is a module of its own, so that Prometheus' parser does not decide what the service is built with.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: watch FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		os.Exit(1)
	}
}

func write(file string) error {
	b, err := dashboardJSON()
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
