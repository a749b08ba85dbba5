#!/usr/bin/env bash
# A rolling upgrade under load, from the last release before this commit, see docs/upgrade.md:
# scripts/upgrade.sh [REV]. Installs what is missing, as with-servers.sh does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# As long as there is no release: the last commit with the schema before the newest migrations.
unreleased=bac41139c3fd707988bcb192db3395f6300e1215

# The versions before this one have to be known: a clone without them cannot tell what to upgrade from.
if [[ $(git rev-parse --is-shallow-repository) == true ]]; then
	git fetch -q --unshallow --tags || { echo "upgrade: this clone is shallow and its history cannot be fetched" >&2; exit 1; }
fi
rev=${1:-$(git describe --tags --abbrev=0 HEAD^ 2>/dev/null || echo "$unreleased")}
git cat-file -e "$rev^{commit}" 2>/dev/null || git fetch -q origin "$rev" ||
	{ echo "upgrade: this clone has no commit $rev, from which to upgrade, and it cannot be fetched" >&2; exit 1; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/source"
git archive "$rev" | tar -x -C "$dir/source"
go -C "$dir/source" build -o "$dir/before" ./cmd/booking-svc
echo "upgrade: from $(git log -1 --format='%h %s' "$rev")"
scripts/with-servers.sh go run ./test/upgrade -before "$dir/before"
