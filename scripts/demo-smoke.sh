#!/usr/bin/env bash
# A short run of `booking-svc dev` with `booking-svc demo` against it, on free ports and a data
# directory of its own: the demo must pass, a port in use must be named, and Ctrl-C must leave no
# process behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make -s build
work=$(mktemp -d "${TMPDIR:-/tmp}/booking-demo.XXXXXX")
dev=
finish() {
	[[ -z $dev ]] || kill -KILL "$dev" 2>/dev/null || true
	# Run by root, PostgreSQL keeps its data elsewhere, under a hash of the directory (internal/devstack).
	[[ $(id -u) -ne 0 ]] ||
		rm -rf "/var/lib/booking-svc-dev/$(printf %s "$(realpath "$work/dev" 2>/dev/null)" | sha256sum | cut -c1-16)"
	rm -rf "$work"
}
trap finish EXIT

# Six ports below those that the kernel gives to clients, where no listener is.
ports=()
for port in $(shuf -i 20000-32000 -n 200); do
	[[ ${#ports[@]} -lt 6 ]] || break
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || ports+=("$port")
done
flags=(--port "${ports[0]}" --kafka-port "${ports[1]}" --postgres-port "${ports[2]}")
all=("${flags[@]}" --redis-port "${ports[3]}" --venue-port "${ports[4]}" --metrics-port "${ports[5]}" --data "$work/dev")

bin/booking-svc dev "${all[@]}" >"$work/log" 2>&1 &
dev=$!
for _ in $(seq 600); do
	! grep -q '^booking-svc is ready' "$work/log" || break
	kill -0 "$dev" 2>/dev/null || { cat "$work/log"; echo "dev ended before it was ready"; exit 1; }
	sleep 0.2
done
grep -q '^booking-svc is ready' "$work/log" || { cat "$work/log"; echo "dev is not ready after two minutes"; exit 1; }

if second=$(bin/booking-svc dev "${all[@]}" --data "$work/second" 2>&1); then
	echo "a second dev on the same ports started"
	exit 1
fi
grep -q -- "port ${ports[0]}.*--port" <<<"$second" || { echo "a port in use is not named: $second"; exit 1; }

bin/booking-svc demo "${flags[@]}" >"$work/demo" || { cat "$work/demo"; tail -n 50 "$work/log"; echo "the demo failed"; exit 1; }
tail -n 3 "$work/demo"

# descendants PID prints the processes below it, by /proc alone: a bare machine has neither ps nor pgrep.
descendants() {
	local child
	for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		echo "$child"
		descendants "$child"
	done
}
below=$(descendants "$dev")
[[ -n $below ]] || { echo "no process of PostgreSQL is found below dev"; exit 1; }
kill -INT "$dev"
for _ in $(seq 300); do
	kill -0 "$dev" 2>/dev/null || break
	sleep 0.1
done
! kill -0 "$dev" 2>/dev/null || { tail -n 50 "$work/log"; echo "dev does not stop within 30 seconds"; exit 1; }
status=0
wait "$dev" || status=$?
dev=
[[ $status -eq 0 ]] || { tail -n 50 "$work/log"; echo "dev ended with status $status"; exit 1; }
for pid in $below; do
	! kill -0 "$pid" 2>/dev/null || { echo "process $pid is left behind"; exit 1; }
done
echo "dev stopped and left no process"
