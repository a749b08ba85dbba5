# What is built, for scripts/build.sh: VERSION, COMMIT and DATE, from the repository unless they are set.
# Sourced. A date of the commit, not of the build, so that building again gives the same.
: "${VERSION:=$(git describe --tags --always --dirty)}"
: "${COMMIT:=$(git rev-parse HEAD)$(git diff-index --quiet HEAD -- || echo +dirty)}"
: "${DATE:=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)}"
export VERSION COMMIT DATE
