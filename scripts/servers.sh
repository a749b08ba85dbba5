# What scripts that run real servers share: where their programs are, and how they get there.
# Sourced. want_postgres, want_redis and want_kafka are `no` for a server that is not needed.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { echo "$(basename "$0" .sh): $*" >&2; }

# postgres_bin prints the directory of PostgreSQL's programs: of version 15, the oldest that the
# service supports, if it is there, else of the newest.
postgres_bin() {
	local dir
	for dir in /usr/lib/postgresql/15/bin $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr); do
		if [[ -x $dir/initdb && -x $dir/postgres ]]; then
			echo "$dir"
			return
		fi
	done
	if command -v pg_config >/dev/null && [[ -x $(pg_config --bindir)/initdb ]]; then
		pg_config --bindir
	fi
}

install_missing() {
	local packages=()
	[[ ${want_postgres:-} == no || -n $(postgres_bin) ]] || packages+=(postgresql) # pgbench is in it
	[[ ${want_postgres:-} == no ]] || command -v pgbouncer >/dev/null || packages+=(pgbouncer) # for a test of its own
	[[ ${want_postgres:-} == no ]] || command -v prometheus >/dev/null || packages+=(prometheus) # the same
	[[ ${want_redis:-} == no ]] || command -v redis-server >/dev/null || packages+=(redis-server)
	if [[ ${want_kafka:-} != no ]]; then
		command -v openssl >/dev/null || packages+=(openssl) # for the listener that takes only TLS
		command -v java >/dev/null || packages+=(default-jre-headless)
		[[ -d $kafka_jars ]] || command -v mvn >/dev/null || packages+=(maven)
	fi
	[[ ${#packages[@]} -eq 0 ]] || "$root/scripts/apt-install.sh" "${packages[@]}"
}

# The jars are kept by what is in the pom, so a new version is fetched beside the old one.
kafka_jars=$root/.cache/kafka/$(sha256sum <"$root/test/kafka/pom.xml" | cut -c1-12)

fetch_kafka() {
	[[ ! -d $kafka_jars ]] || return 0
	say "fetching Apache Kafka"
	mkdir -p "$root/.cache/kafka"
	local part try
	part=$(mktemp -d "$root/.cache/kafka/part.XXXXXX")
	for try in 1 2 3; do # A registry now and then breaks a connection off.
		if mvn -B -q -f "$root/test/kafka/pom.xml" dependency:copy-dependencies \
			-DincludeScope=runtime -DoutputDirectory="$part/jars" </dev/null >"$part/log" 2>&1; then
			# Whoever else fetched it meanwhile has the same.
			mv -T "$part/jars" "$kafka_jars" 2>/dev/null || [[ -d $kafka_jars ]]
			rm -rf "$part"
			return 0
		fi
		sleep $((try * 2))
	done
	cat "$part/log" >&2
	rm -rf "$part"
	say "could not fetch Apache Kafka"
	exit 1
}
