#!/usr/bin/env bash
# Builds the binary of releases and images: scripts/build.sh FILE, for GOOS and GOARCH. It is static, and the
# same sources, Go version and words below give the same bytes, wherever and whenever it is built.
#
# VERSION, COMMIT and DATE say what is built, and are in `booking-svc version` and in a metric. TAGS=nodev leaves
# out the commands dev and demo, and the servers that they embed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

app=github.com/bookingcontrol/booker-booking-svc/internal/app
# -buildvcs=false: an image is built without the repository, and must be the same binary.
# The build id would be the one thing that differs.
CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags "${TAGS:-}" \
	-ldflags "-s -w -buildid= -X $app.version=${VERSION:-} -X $app.commit=${COMMIT:-} -X $app.date=${DATE:-}" \
	-o "$1" ./cmd/booking-svc
