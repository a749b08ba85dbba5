// Package postgres connects to PostgreSQL and keeps its schema.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/rs/zerolog"
)

// connectTimeout limits one attempt to connect: a call must not spend its own limit on a host that
// swallows packets.
const connectTimeout = 2 * time.Second

// sessionLimits are set on each connection of a pool, so that nothing waits in the database for
// longer than its caller does, and a process that stops in the middle of a transaction (SIGSTOP, a
// lost network) gives its locks back.
var sessionLimits = map[string]string{
	"lock_timeout":                        "3s",
	"statement_timeout":                   "5s",
	"idle_in_transaction_session_timeout": "5s",
}

// readOnly is the SQLSTATE of a server that does not write.
const readOnly = "25006"

// Options say where the database is.
type Options struct {
	// Host is a host name, an address, or the directory of a socket.
	Host     string
	Port     int
	Database string
	User     string
	// Password may be empty. It is in no error and no span.
	Password string
	// SSLMode is one of libpq's: disable, allow, prefer, require, verify-ca, verify-full.
	SSLMode string
	// RootCert is the path of the authorities that the server's certificate must come from; empty for the
	// system's.
	RootCert string
	// MaxConns is the size of a pool; 0 leaves it to the driver.
	MaxConns int
	// Pooled says that connections come from a pooler that gives one out for each transaction, as
	// pgbouncer does: nothing that belongs to a session can be counted on.
	Pooled bool
	// PlanOnce is for a process that runs the same statements again and again, see Planning. A pooler's
	// sessions cannot have it.
	PlanOnce bool
	// SlowQuery is from when on a statement is logged as slow, to Logger; 0: never.
	SlowQuery time.Duration
	Logger    zerolog.Logger
}

// connString writes what the driver's parser needs to choose its way of connecting; the password is
// set afterwards, so that no error of the parser can show it.
func (o Options) connString() string {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var b strings.Builder
	for _, kv := range [][2]string{
		{"host", o.Host}, {"port", strconv.Itoa(o.Port)}, {"dbname", o.Database},
		{"user", o.User}, {"sslmode", o.SSLMode},
		{"sslrootcert", o.RootCert},
	} {
		if kv[1] != "" {
			fmt.Fprintf(&b, "%s='%s' ", kv[0], quote.Replace(kv[1]))
		}
	}
	return b.String()
}

// named tells which setting is the only one that can be wrong by what is in a file.
func (o Options) named() string {
	if o.RootCert == "" {
		return ""
	}
	return " (POSTGRES_SSLROOTCERT " + o.RootCert + ")"
}

func (o Options) apply(c *pgx.ConnConfig) {
	if o.Password != "" {
		c.Password = o.Password
	}
	c.ConnectTimeout = connectTimeout
	c.RuntimeParams["application_name"] = "booking-svc"
	c.RuntimeParams["timezone"] = "UTC"
}

// Planning makes a session plan each statement once. PostgreSQL by itself plans that of a change anew each
// time, as it takes arrays of one element for cheaper than arrays of unknown length: that was 30 % of its
// work. No statement of a call or of a worker needs another plan for some values than for others (the status
// in a list is part of its text); but one that is planned while a table is small must not read it from end to
// end when it has grown. Compiling a plan takes longer than running it. Commands of operators, which run a
// statement once, do without.
var Planning = map[string]string{
	"plan_cache_mode": "force_generic_plan",
	"enable_seqscan":  "off",
	"jit":             "off",
}

// NewPool makes a pool. It connects when it is first used, so a database that is away is no error
// here; a host or certificate that cannot be made sense of is.
func NewPool(ctx context.Context, o Options) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(o.connString())
	if err != nil {
		return nil, fmt.Errorf("postgres settings%s: %w", o.named(), err)
	}
	o.apply(cfg.ConnConfig)
	if o.Pooled {
		// Statements are described once and sent whole each time: prepared ones are the session's. Its
		// limits are the database's, since the pooler takes none.
		cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	} else {
		maps.Copy(cfg.ConnConfig.RuntimeParams, sessionLimits)
		if o.PlanOnce {
			maps.Copy(cfg.ConnConfig.RuntimeParams, Planning)
		}
	}
	onError := cfg.ConnConfig.OnPgError
	cfg.ConnConfig.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		// After a switch to a standby, the old server reads on: the next connection may reach the new one.
		return err.Code != readOnly && onError(conn, err)
	}
	// The statements are constants of this program. Their parameters are customers' data and stay
	// out of the spans.
	spans := otelpgx.NewTracer()
	cfg.ConnConfig.Tracer = spans
	if o.SlowQuery > 0 {
		cfg.ConnConfig.Tracer = &slowTracer{Tracer: spans, threshold: o.SlowQuery, log: o.Logger}
	}
	if o.MaxConns > 0 {
		cfg.MaxConns = int32(o.MaxConns)
	}
	cfg.MaxConnLifetimeJitter = 10 * time.Minute
	cfg.PingTimeout = connectTimeout
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("postgres pool: %w", err)
	}
	return pool, nil
}

// openDB connects for migrations: without limits, since a migration may rewrite a table.
func openDB(o Options) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(o.connString())
	if err != nil {
		return nil, fmt.Errorf("postgres settings%s: %w", o.named(), err)
	}
	o.apply(cfg)
	return stdlib.OpenDB(*cfg), nil
}

// MissingLimits answers the limits of waiting in the database that a session of the pool does not have,
// as `lock_timeout = '3s'` each. Only those of a pooler may lack them: there they are the database's.
func MissingLimits(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	names := slices.Sorted(maps.Keys(sessionLimits))
	rows, err := pool.Query(ctx, `SELECT name FROM unnest($1::text[]) AS name WHERE current_setting(name) = '0'`, names)
	if err != nil {
		return nil, fmt.Errorf("read the limits of a session: %w", err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the limits of a session: %w", err)
	}
	for i, name := range missing {
		missing[i] = fmt.Sprintf("%s = '%s'", name, sessionLimits[name])
	}
	return missing, nil
}

// undefinedTable is the SQLSTATE of a table that is not there.
const undefinedTable = "42P01"

// SchemaVersion reads the version of the database's schema: that of the newest migration, 0 when
// there is none.
func SchemaVersion(ctx context.Context, pool *pgxpool.Pool) (int64, error) {
	var version int64
	err := pool.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&version)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == undefinedTable {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the schema version: %w", err)
	}
	return version, nil
}
