#!/usr/bin/env bash
# Installs Debian packages: scripts/apt-install.sh PACKAGE...
# As root or through sudo. Services that come with a package are not started: the tests start
# servers of their own, on ports of their own.
set -euo pipefail

if ! command -v apt-get >/dev/null; then
	echo "missing: $* (Debian's names). This system has no apt-get: install them by hand." >&2
	exit 1
fi
sudo=()
if [[ $(id -u) -ne 0 ]]; then
	command -v sudo >/dev/null || { echo "missing: $*. Install them as root, or install sudo." >&2; exit 1; }
	sudo=(sudo)
fi

# Debian starts a service as soon as it is installed, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
	"${sudo[@]}" chmod 755 "$policy"
	trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi

apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
log=$(mktemp)
echo "installing $*" >&2
if ! { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
	tail -n 30 "$log" >&2
	echo "could not install: $*" >&2
	rm -f "$log"
	exit 1
fi
rm -f "$log"
