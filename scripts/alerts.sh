#!/usr/bin/env bash
# Checks the dashboard and the alert rules: that what they ask for is there (tools/watch), that Prometheus
# can read them, and that each alert fires when it should and at no other time. Installs what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v promtool >/dev/null || scripts/apt-install.sh prometheus
go -C tools/watch test -count=1 ./...
promtool check config deploy/prometheus/prometheus.yml
promtool test rules deploy/prometheus/tests/*_test.yml
