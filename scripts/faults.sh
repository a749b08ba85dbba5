#!/usr/bin/env bash
# The service under faults: scripts/faults.sh [-seed N] [-short] [-kills N] [-sabotage NAME] …, see
# test/faults. Installs what is missing, as with-servers.sh does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/servers.sh

install_missing
fetch_kafka
exec go run ./test/faults -postgres "$(postgres_bin)" -kafka "$kafka_jars" "$@"
