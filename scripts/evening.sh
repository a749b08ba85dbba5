#!/usr/bin/env bash
# A Saturday evening of 50,000 restaurants against the service: scripts/evening.sh [-minutes N] [-rate N]
# [-venues N] [-seed N], see test/evening. Installs what is missing, as with-servers.sh does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export TEST_FSYNC=on
exec scripts/with-servers.sh go run ./test/evening "$@"
