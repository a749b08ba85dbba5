#!/usr/bin/env bash
# What calls allocate now, against the last commit (or REV): scripts/allocations.sh [REV]. Allocations do not
# depend on the machine; times do, so each side runs six times.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make -s .bin/benchstat
dir=$(mktemp -d)
trap 'git worktree remove --force "$dir/before" 2>/dev/null || true; rm -rf "$dir"' EXIT
git worktree add --quiet --detach "$dir/before" "${1:-HEAD}"

measure() { (cd "$1" && go test -run '^$' -bench Calls -benchtime 1000x -count 6 ./internal/adapter/grpc); }
measure "$dir/before" >"$dir/before.txt" || true # The benchmark may not be there yet.
measure . >"$dir/after.txt"
.bin/benchstat before="$dir/before.txt" after="$dir/after.txt"
