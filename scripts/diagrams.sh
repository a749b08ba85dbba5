#!/usr/bin/env bash
# Checks that the Mermaid diagrams in the documentation can be read. Installs what is missing: Node from Debian,
# Mermaid into .cache/diagrams.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
[[ ${#missing[@]} -eq 0 ]] || scripts/apt-install.sh "${missing[@]}"

tree=.cache/diagrams
mkdir -p "$tree"
cp tools/diagrams/* "$tree/"
made_for=$(node --version; cat "$tree/package-lock.json")
if [[ ! -e $tree/node_modules/made-for || $(cat "$tree/node_modules/made-for") != "$made_for" ]]; then
	(cd "$tree" && npm ci --silent --ignore-scripts --no-audit --no-fund)
	printf %s "$made_for" >"$tree/node_modules/made-for"
fi
mapfile -t pages < <(grep -rl '^```mermaid' --include='*.md' docs README.md README.ru.md)
node "$tree/check.js" "${pages[@]}"
