# `booking-svc dev` for other scripts, on free ports and a data directory of its own. Sourced, in the root of
# the repository. start_dev sets:
#
#   dev        its process
#   dev_work   a directory for the script, removed at its end; dev writes to log in it
#   dev_port   the port of the service
#   dev_flags  the flags that tell `booking-svc demo` where dev is
#   dev_all    all flags that dev was given

dev=
dev_work=$(mktemp -d "${TMPDIR:-/tmp}/booking-dev.XXXXXX")

finish_dev() {
	[[ -z $dev ]] || kill -KILL "$dev" 2>/dev/null || true
	# Run by root, PostgreSQL keeps its data elsewhere, under a hash of the directory (internal/devstack).
	[[ $(id -u) -ne 0 ]] ||
		rm -rf "/var/lib/booking-svc-dev/$(printf %s "$(realpath "$dev_work/dev" 2>/dev/null)" | sha256sum | cut -c1-16)"
	rm -rf "$dev_work"
}
trap finish_dev EXIT

start_dev() {
	# Six ports below those that the kernel gives to clients, where no listener is.
	local port ports=()
	for port in $(shuf -i 20000-32000 -n 200); do
		[[ ${#ports[@]} -lt 6 ]] || break
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || ports+=("$port")
	done
	dev_port=${ports[0]}
	dev_flags=(--port "$dev_port" --kafka-port "${ports[1]}" --postgres-port "${ports[2]}")
	dev_all=("${dev_flags[@]}" --redis-port "${ports[3]}" --venue-port "${ports[4]}" --metrics-port "${ports[5]}" --data "$dev_work/dev")

	make -s build
	bin/booking-svc dev "${dev_all[@]}" >"$dev_work/log" 2>&1 &
	dev=$!
	for _ in $(seq 600); do
		! grep -q '^booking-svc is ready' "$dev_work/log" || return 0
		kill -0 "$dev" 2>/dev/null || { cat "$dev_work/log"; echo "dev ended before it was ready"; exit 1; }
		sleep 0.2
	done
	cat "$dev_work/log"
	echo "dev is not ready after two minutes"
	exit 1
}

# stop_dev stops it as Ctrl-C does, and fails when it does not end in good order.
stop_dev() {
	local status=0
	kill -INT "$dev"
	for _ in $(seq 300); do
		kill -0 "$dev" 2>/dev/null || break
		sleep 0.1
	done
	! kill -0 "$dev" 2>/dev/null || { tail -n 50 "$dev_work/log"; echo "dev does not stop within 30 seconds"; exit 1; }
	wait "$dev" || status=$?
	dev=
	[[ $status -eq 0 ]] || { tail -n 50 "$dev_work/log"; echo "dev ended with status $status"; exit 1; }
}
