#!/usr/bin/env bash
# Runs the example clients in Go, Python and TypeScript against a `booking-svc dev` of their own, and checks what
# they print. Installs what is missing: Python's venv and Node from Debian, the libraries into .cache/examples.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
[[ ${#missing[@]} -eq 0 ]] || scripts/apt-install.sh "${missing[@]}"

# Libraries and generated code stay out of the sources: the examples are copied to a tree of the same shape.
tree=$PWD/.cache/examples
mkdir -p "$tree/examples"
ln -sfn "$PWD/proto" "$tree/proto"
for example in client python typescript; do
	mkdir -p "$tree/examples/$example"
	find "$tree/examples/$example" -mindepth 1 -maxdepth 1 ! -name .venv ! -name node_modules -exec rm -rf {} +
	git ls-files -z --cached --others --exclude-standard "examples/$example" | xargs -0 cp --parents -t "$tree"
done

# once STAMP TEXT COMMAND... runs the command unless it was run for the same text before.
once() {
	local stamp=$1 text=$2
	shift 2
	[[ ! -e $stamp || $(cat "$stamp") != "$text" ]] || return 0
	"$@"
	printf %s "$text" >"$stamp"
}

python_libraries() {
	rm -rf .venv
	python3 -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check --retries 5 -r requirements.txt
}
cd "$tree/examples/python"
once .venv/made-for "$(python3 -VV; cat requirements.txt)" python_libraries
mkdir -p gen
.venv/bin/python -m grpc_tools.protoc -I ../../proto --python_out=gen --pyi_out=gen --grpc_python_out=gen \
	booking/booking.proto common/common.proto

cd "$tree/examples/typescript"
once node_modules/made-for "$(node --version; cat package-lock.json)" npm ci --silent --ignore-scripts --no-audit --no-fund
npm run --silent generate
npm run --silent build

cd "$tree/../.."
go build -o "$tree/client" ./examples/client
. scripts/dev-stack.sh
start_dev

date=$(date -d 'tomorrow' +%F)
failed=0
# try NAME TABLE COMMAND... runs a client and checks its lines.
try() {
	local name=$1 table=$2 out=$dev_work/$1.out id
	shift 2
	if ! timeout 60 "$@" --address "127.0.0.1:$dev_port" --table "$table" --date "$date" --time 19:00 >"$out" 2>&1; then
		echo "$name: the client failed"
	else
		id=$(sed -nE "1s/^held ([0-9a-f-]{36}) $table $date 19:00\$/\1/p" "$out")
		diff "$out" - <<-EXPECTED && [[ -n $id ]] && echo "$name: ok" && return 0
			held $id $table $date 19:00
			same $id
			refused ALREADY_EXISTS SLOT_TAKEN: the table is already booked for this time slot
			refused INVALID_ARGUMENT: slot.start_time must be a time of day HH:MM, 00:00 to 23:59; party_size must be 1 to 1000
			confirmed $id
		EXPECTED
		echo "$name: printed something else than expected (>)"
	fi
	cat "$out"
	failed=1
}
try go table-1 "$tree/client"
try python table-2 env PYTHONPATH="$tree/examples/python/gen" "$tree/examples/python/.venv/bin/python" "$tree/examples/python/client.py"
try typescript table-4 node "$tree/examples/typescript/dist/client.js"
[[ $failed -eq 0 ]] || tail -n 20 "$dev_work/log"
stop_dev
exit "$failed"
