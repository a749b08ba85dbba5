# Steps for other scripts: each is announced, timed and remembered, and all of them run, so that one
# look at the end shows everything that is wrong.

steps_failed=()

# step NAME COMMAND [ARGUMENT...] runs the command, which may be a function.
step() {
	local name=$1 begin=$SECONDS status=0
	shift
	printf '\n=== %s\n' "$name"
	# A shell of its own, with -e: inside `if` or before `||` a function would go on after a failure.
	set +e
	(set -e; "$@")
	status=$?
	set -e
	if [[ $status -eq 0 ]]; then
		printf -- '--- %s: ok, %d s\n' "$name" $((SECONDS - begin))
	else
		printf -- '--- %s: FAILED with status %d, %d s\n' "$name" "$status" $((SECONDS - begin))
		steps_failed+=("$name")
	fi
	# Stopped by hand or from outside: the steps that are left are not wanted.
	if [[ $status -eq 130 || $status -eq 143 ]]; then exit "$status"; fi
}

# verdict [NAME] ends the script. With a name it says what the whole came to.
verdict() {
	if [[ ${#steps_failed[@]} -gt 0 ]]; then
		[[ -z ${1:-} ]] || printf '\n%s: FAILED in %d s:%s\n' "$1" "$SECONDS" "$(printf ' %s,' "${steps_failed[@]}" | sed 's/,$//')"
		exit 1
	fi
	[[ -z ${1:-} ]] || printf '\n%s: passed in %d s\n' "$1" "$SECONDS"
	exit 0
}
