#!/usr/bin/env bash
# Shows that a release can be built again: scripts/release-check.sh builds it twice, the second time in another
# directory, and compares every byte. PLATFORMS narrows it, as for release.sh; COLD=1 gives the second build an
# empty build cache (minutes).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

. scripts/version.sh
scripts/release.sh "$work/first"
# What is there, committed or not, in another place, without a repository and with another umask.
umask 077
mkdir "$work/elsewhere"
git ls-files -z --cached --others --exclude-standard | xargs -0 tar -cf - -- |
	tar -C "$work/elsewhere" --no-same-permissions -xf -
ln -s "$PWD/.bin" "$work/elsewhere/.bin"
[[ ${COLD:-} != 1 ]] || export GOCACHE=$work/cache
"$work/elsewhere/scripts/release.sh" "$work/second" >/dev/null

diff -r "$work/first" "$work/second" || { echo "built twice, but not the same"; exit 1; }
(cd "$work/second" && sha256sum --check --quiet SHA256SUMS)
echo "built twice, byte for byte the same"
