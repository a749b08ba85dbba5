#!/usr/bin/env bash
# A short run of `booking-svc dev` with `booking-svc demo` against it, on free ports and a data
# directory of its own: the demo must pass, a port in use must be named, and Ctrl-C must leave no
# process behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/dev-stack.sh
start_dev

if second=$(bin/booking-svc dev "${dev_all[@]}" --data "$dev_work/second" 2>&1); then
	echo "a second dev on the same ports started"
	exit 1
fi
grep -q -- "port $dev_port.*--port" <<<"$second" || { echo "a port in use is not named: $second"; exit 1; }

bin/booking-svc demo "${dev_flags[@]}" >"$dev_work/demo" || { cat "$dev_work/demo"; tail -n 50 "$dev_work/log"; echo "the demo failed"; exit 1; }
tail -n 3 "$dev_work/demo"

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
stop_dev
for pid in $below; do
	! kill -0 "$pid" 2>/dev/null || { echo "process $pid is left behind"; exit 1; }
done
echo "dev stopped and left no process"
