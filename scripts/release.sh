#!/usr/bin/env bash
# Builds a release into dist/: scripts/release.sh [DIR]. For each platform an archive with the binary, and over
# all a bill of materials (CycloneDX) and SHA256SUMS. The same commit and Go version give the same bytes
# (scripts/release-check.sh).
#
# VERSION is the tag of the commit unless it is given; PLATFORMS narrows what is built, as linux/amd64.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dist=$(mkdir -p "${1:-$root/dist}" && cd "${1:-$root/dist}" && pwd)
cd "$root"
# shellcheck source=scripts/version.sh
. scripts/version.sh

make -s .bin/cyclonedx-gomod
rm -f "$dist"/booking-svc_* "$dist/SHA256SUMS"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for platform in ${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}; do
	name=booking-svc_${VERSION#v}_${platform/\//_}
	mkdir "$work/$name"
	GOOS=${platform%/*} GOARCH=${platform#*/} scripts/build.sh "$work/$name/booking-svc"
	cp README.md CHANGELOG.md .env.example "$work/$name/"
	# Names, times, owners and order are all that an archive adds to the files.
	tar -C "$work" --sort=name --mtime="$DATE" --owner=0 --group=0 --numeric-owner --mode='u+rw,go=rX' -cf - "$name" |
		gzip -9n >"$dist/$name.tar.gz"
	# Linux's has all that others have, and what only it needs to tell of its process.
	[[ $platform != linux/* && -n ${binary:-} ]] || binary=$work/$name/booking-svc
done

# What is in the binary, by its own word. Of the platforms, Linux has most.
.bin/cyclonedx-gomod bin -json -std -noserial -notimestamp -version "$VERSION" -output "$dist/booking-svc_${VERSION#v}.cdx.json" "$binary"

(cd "$dist" && sha256sum -- booking-svc_* >SHA256SUMS)
cat "$dist/SHA256SUMS"
