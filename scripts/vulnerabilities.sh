#!/usr/bin/env bash
# Looks for known vulnerabilities in what the service calls (govulncheck). Where the database of them cannot be
# reached nothing is known: that is said loudly, and is no failure of this code.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
make -s .bin/govulncheck
status=0
output=$(.bin/govulncheck ./... 2>&1) || status=$?
printf '%s\n' "$output"
if [[ $status -ne 0 && $output == *"fetching vulnerabilities"* ]]; then
	cat <<'END'

  ***********************************************************************
  **  NOT CHECKED: the database of vulnerabilities cannot be reached.  **
  **  Run `make vulnerabilities` where it can before a release.        **
  ***********************************************************************
END
	exit 0
fi
exit "$status"
