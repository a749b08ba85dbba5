#!/usr/bin/env bash
# Runs a command with a real PostgreSQL, Redis and Apache Kafka around it:
#
#	scripts/with-servers.sh go test -tags=integration ./...
#
# Starts the servers on free ports with empty data in a temporary directory, tells the command where
# they are (TEST_POSTGRES_URL, TEST_REDIS_ADDR, TEST_KAFKA_BROKERS; TEST_KAFKA_SECURE, which takes only TLS
# with the authority in TEST_KAFKA_CA and the user booking with TEST_KAFKA_PASSWORD), stops exactly these servers when
# it ends, and exits with its status. A variable that is set already means a server that is there:
# it is used, and none is started in its place. What is missing is installed (scripts/apt-install.sh),
# Kafka by Maven (test/kafka/pom.xml). TEST_FSYNC=on makes PostgreSQL write to the disk as in
# production, for measurements.
set -euo pipefail

if [[ $# -eq 0 ]]; then
	echo "usage: scripts/with-servers.sh COMMAND [ARGUMENT...]" >&2
	exit 2
fi

. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"
limit=60 # Seconds that a server may take to come up.

want_postgres=${TEST_POSTGRES_URL:+no}
want_redis=${TEST_REDIS_ADDR:+no}
want_kafka=${TEST_KAFKA_BROKERS:+no}

# free_port prints a port that nothing listens on, below the range that Linux gives to outgoing
# connections, so that none of those takes it before the server does.
free_port() {
	local port
	while :; do
		port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
}

dir=
postgres_pid=
redis_pid=
kafka_pid=

# Each server is started as the leader of a process group of its own, so that Ctrl-C reaches the
# command first, and so that ending the group ends all of a server, even while it is being set up.
signal() { kill "-$1" -- "-$2" 2>/dev/null || kill "-$1" "$2" 2>/dev/null || true; }

# stop ends the servers that this script started, and nothing else. Their data is thrown away, so
# nothing needs an orderly end.
stop() {
	local status=$? pid
	trap - EXIT
	trap '' INT TERM HUP
	exec 2>/dev/null # Bash reports each process that a signal ended.
	for pid in $redis_pid $kafka_pid; do signal KILL "$pid"; done
	if [[ -n $postgres_pid ]]; then
		# PostgreSQL's word for "at once", which its children hear too; they have left the group.
		signal QUIT "$postgres_pid"
		for _ in {1..50}; do
			kill -0 "$postgres_pid" 2>/dev/null || break
			sleep 0.1
		done
		signal KILL "$postgres_pid"
	fi
	for pid in $postgres_pid $redis_pid $kafka_pid; do wait "$pid" 2>/dev/null || true; done
	[[ -z $dir ]] || rm -rf "$dir"
	exit "$status"
}

start_postgres() {
	local bin as=()
	bin=$(postgres_bin)
	postgres_port=$(free_port)
	password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	mkdir "$dir/postgres"
	printf '%s\n' "$password" >"$dir/postgres/password"
	if [[ $(id -u) -eq 0 ]]; then # PostgreSQL refuses to run as root.
		as=(setpriv --reuid=postgres --regid=postgres --init-groups)
		chown -R postgres "$dir/postgres"
	fi
	# The password guards against other users of this machine; md5 because scram costs each of the
	# many connections of a test run milliseconds. A time zone with a half hour and summer time is no
	# harm to code that leaves nothing to the server's zone.
	# shellcheck disable=SC2016 # Expanded by the inner shell.
	setsid "${as[@]}" bash -euc '
		cd "$1"
		"$2/initdb" -D data -U postgres -A md5 --pwfile=password --locale=C.UTF-8 --encoding=UTF8 --no-sync
		exec "$2/postgres" -D data -p "$3" -k "$1" -c listen_addresses=127.0.0.1 -c max_connections=400 \
			-c fsync="$4" -c full_page_writes="$4" -c TimeZone=America/St_Johns
	' start-postgres "$dir/postgres" "$bin" "$postgres_port" "${TEST_FSYNC:-off}" >"$dir/postgres.log" 2>&1 </dev/null &
	postgres_pid=$!
	export TEST_POSTGRES_URL="postgres://postgres:$password@127.0.0.1:$postgres_port/postgres?sslmode=disable"
}

start_redis() {
	redis_port=$(free_port)
	mkdir "$dir/redis"
	setsid redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$dir/redis" --save '' --appendonly no \
		>"$dir/redis.log" 2>&1 </dev/null &
	redis_pid=$!
	export TEST_REDIS_ADDR="127.0.0.1:$redis_port"
}

start_kafka() {
	local broker controller
	broker=$(free_port)
	controller=$(free_port)
	while [[ $controller == "$broker" ]]; do controller=$(free_port); done
	secure=$(free_port)
	while [[ $secure == "$broker" || $secure == "$controller" ]]; do secure=$(free_port); done
	TEST_KAFKA_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$dir/kafka-key.pem" -out "$dir/kafka-ca.pem" 2>/dev/null
	cat "$dir/kafka-key.pem" "$dir/kafka-ca.pem" >"$dir/kafka-keystore.pem"
	cat "$root/test/kafka/broker.properties" - >"$dir/kafka.properties" <<END
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$broker,SECURE://127.0.0.1:$secure,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$broker,SECURE://127.0.0.1:$secure
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location=$dir/kafka-keystore.pem
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_booking="$TEST_KAFKA_PASSWORD";
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=$dir/kafka
# A test may forbid something on a topic of its own; everything else is allowed.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
group.initial.rebalance.delay.ms=0
END
	# shellcheck disable=SC2016 # Expanded by the inner shell.
	setsid bash -euc '
		quick="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"
		java $quick -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$1/*" \
			kafka.tools.StorageTool format -t "$(od -An -N16 -tx1 /dev/urandom | tr -d " \n" | cut -c1-22)" -c "$2" \
			--add-scram "SCRAM-SHA-256=[name=booking,password=$3]" --add-scram "SCRAM-SHA-512=[name=booking,password=$3]"
		exec java $quick -Xms128m -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
			-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info -cp "$1/*" kafka.Kafka "$2"
	' start-kafka "$kafka_jars" "$dir/kafka.properties" "$TEST_KAFKA_PASSWORD" >"$dir/kafka.log" 2>&1 </dev/null &
	kafka_pid=$!
	export TEST_KAFKA_BROKERS="127.0.0.1:$broker" TEST_KAFKA_SECURE="127.0.0.1:$secure"
	export TEST_KAFKA_CA="$dir/kafka-ca.pem" TEST_KAFKA_PASSWORD
}

postgres_ready() { "$(postgres_bin)/pg_isready" -q -h 127.0.0.1 -p "$postgres_port"; }
redis_ready() {
	local answer
	{ exec 3<>"/dev/tcp/127.0.0.1/$redis_port"; } 2>/dev/null || return 1
	printf 'PING\r\n' >&3
	read -r -t 1 answer <&3 || answer=
	exec 3>&-
	[[ $answer == +PONG* ]]
}
kafka_ready() { grep -qs 'Kafka Server started' "$dir/kafka.log"; }

# wait_for SERVER PID returns when it is ready, and fails with the end of its log if it is not in time.
wait_for() {
	local deadline=$((SECONDS + limit))
	until "$1_ready"; do
		if ! kill -0 "$2" 2>/dev/null || ((SECONDS > deadline)); then
			say "$1 did not come up. The end of its log:"
			tail -n 30 "$dir/$1.log" >&2
			exit 1
		fi
		sleep 0.1
	done
}

install_missing
[[ $want_kafka == no ]] || fetch_kafka

trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
begin=$EPOCHREALTIME
dir=$(mktemp -d /tmp/booking-test.XXXXXX) # Not in TMPDIR, which may be closed to the user postgres.
chmod 711 "$dir"
[[ $want_kafka == no ]] || start_kafka
[[ $want_postgres == no ]] || start_postgres
[[ $want_redis == no ]] || start_redis
[[ $want_postgres == no ]] || wait_for postgres "$postgres_pid"
[[ $want_redis == no ]] || wait_for redis "$redis_pid"
[[ $want_kafka == no ]] || wait_for kafka "$kafka_pid"
say "ready in $(((${EPOCHREALTIME/./} - ${begin/./}) / 1000)) ms"

status=0
"$@" || status=$?
exit "$status"
