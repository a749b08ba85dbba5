#!/usr/bin/env bash
# Runs all tests: the unit tests, then the integration tests on real servers, then those that use
# PostgreSQL once more on the newest PostgreSQL. Installs what is missing. RACE=1 runs the unit tests
# with the race detector (CI does).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/steps.sh

unit() {
	local race=()
	if [[ ${RACE:-} == 1 ]]; then
		race=(-race)
		export CGO_ENABLED=1
		# The race detector is linked by a C compiler.
		command -v "${CC:-gcc}" >/dev/null || scripts/apt-install.sh gcc libc6-dev
	fi
	go test -count=1 -timeout=5m "${race[@]}" ./...
}

# More tests at once than there are cores: they wait for servers most of the time.
integration=(go test -count=1 -timeout=10m -parallel=8 -tags=integration)

on_servers() { "${integration[@]}" ./...; }

on_newest_postgres() {
	local packages
	mapfile -t packages < <(grep -rlE --include='*_test.go' 'testenv\.(Empty)?PostgresURL\(' . | xargs -rn1 dirname | sort -u)
	[[ ${#packages[@]} -gt 0 ]] || { echo "no test uses PostgreSQL"; return 1; }
	go run ./scripts/postgres18 "${integration[@]}" "${packages[@]}"
}

if [[ ${1:-} == --on-servers ]]; then
	step "integration tests" on_servers
	step "integration tests on PostgreSQL 18" on_newest_postgres
	verdict
fi

step "unit tests" unit
step "dashboard and alerts" scripts/alerts.sh
step "tests on servers" scripts/with-servers.sh scripts/test.sh --on-servers
verdict "make test"
