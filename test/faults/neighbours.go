package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/bookingcontrol/booker-booking-svc/test/process"
)

// programs says where the neighbours' programs are; scripts/faults.sh finds or fetches them.
type programs struct {
	// postgres is the directory of initdb and postgres.
	postgres string
	// kafka is the directory of Apache Kafka's jars.
	kafka string
}

// postgresUser is who PostgreSQL runs as when the harness is root's, which PostgreSQL refuses.
const postgresUser = "postgres"

// newPostgres sets a PostgreSQL up, with fsync on and a time zone that is no harm to code that leaves
// nothing to the server's zone.
func newPostgres(p programs, dir string, port int, log *os.File) (*process.Server, error) {
	home := filepath.Join(dir, "postgres")
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	as := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		u, err := user.Lookup(postgresUser)
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(home, uid, gid); err != nil {
			return nil, err
		}
	}
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(p.postgres, name), args...) //nolint:noctx // the harness's own
		attr := *as
		cmd.Dir, cmd.SysProcAttr = home, &attr
		return cmd
	}
	initdb := run("initdb", "-D", "data", "-U", postgresUser, "-A", "trust", "--locale=C.UTF-8", "--encoding=UTF8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	s := &process.Server{Name: "postgres", Log: log, StopSignal: syscall.SIGQUIT} // its children hear that too
	s.Command = func() *exec.Cmd {
		return run("postgres", "-D", "data", "-p", strconv.Itoa(port), "-k", home,
			"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "TimeZone=America/St_Johns")
	}
	s.Ready = func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, postgresURL(port, postgresUser))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}
	return s, s.Start()
}

func postgresURL(port int, database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", postgresUser, process.Address(port), database)
}

// newRedis sets a Redis up that forgets everything when it is started again.
func newRedis(dir string, port int, log *os.File) (*process.Server, error) {
	s := &process.Server{Name: "redis", Log: log}
	s.Command = func() *exec.Cmd {
		return exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), //nolint:noctx // the harness's own
			"--dir", dir, "--save", "", "--appendonly", "no")
	}
	s.Ready = func(ctx context.Context) error {
		client := redis.NewClient(&redis.Options{Addr: process.Address(port)})
		defer client.Close()
		return client.Ping(ctx).Err()
	}
	return s, s.Start()
}

// kafkaPorts are those of one broker. The service reaches it through a proxy, whose address the
// broker tells it; the harness goes there directly.
type kafkaPorts struct{ service, proxied, direct, controller int }

// newKafka sets an Apache Kafka up, in KRaft mode. Its records have the time of their arrival, so that
// the order in which events of different topics first arrived can be told.
func newKafka(p programs, dir string, ports kafkaPorts, log *os.File) (*process.Server, error) {
	common, err := os.ReadFile("test/kafka/broker.properties")
	if err != nil {
		return nil, err
	}
	settings := string(common) + fmt.Sprintf(`controller.quorum.voters=1@127.0.0.1:%[4]d
listeners=SERVICE://127.0.0.1:%[1]d,DIRECT://127.0.0.1:%[3]d,CONTROLLER://127.0.0.1:%[4]d
advertised.listeners=SERVICE://127.0.0.1:%[2]d,DIRECT://127.0.0.1:%[3]d
listener.security.protocol.map=SERVICE:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=DIRECT
log.dirs=%[5]s
log.message.timestamp.type=LogAppendTime
`, ports.service, ports.proxied, ports.direct, ports.controller, filepath.Join(dir, "kafka"))
	file := filepath.Join(dir, "kafka.properties")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	java := func(args ...string) *exec.Cmd {
		all := append([]string{
			"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xms128m", "-Xmx512m",
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(p.kafka, "*"),
		}, args...)
		return exec.Command("java", all...) //nolint:noctx // the harness's own
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // It never fails.
	format := java("kafka.tools.StorageTool", "format", "-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", file)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's storage: %w\n%s", err, out)
	}
	s := &process.Server{Name: "kafka", Log: log}
	s.Command = func() *exec.Cmd { return java("kafka.Kafka", file) }
	s.Ready = func(ctx context.Context) error { return process.Accepts(ctx, ports.direct) }
	return s, s.Start()
}
