#!/usr/bin/env bash
# The service against what PostgreSQL alone does for the same rows: scripts/bench.sh [-short] [-only ROW]
# [-rounds N] [-seconds N] [-docs DIR] [-against BINARY | -growth [-scale N]], see test/bench. Installs what
# is missing, as with-servers.sh does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/servers.sh

install_missing
export TEST_FSYNC=on
exec scripts/with-servers.sh go run ./test/bench -pgbench "$(postgres_bin)/pgbench" "$@"
