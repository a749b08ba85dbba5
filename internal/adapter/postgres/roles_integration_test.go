//go:build integration

package postgres

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	infra "github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
	"github.com/bookingcontrol/booker-booking-svc/migrations"
)

// roles are the two that deploy/postgres/roles.sql makes, for a test alone.
type roles struct{ url, owner, service, password string }

func newRoles(t *testing.T) roles {
	t.Helper()
	name := "booking_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	r := roles{owner: name + "_owner", service: name + "_service", password: uuid.NewString()}
	t.Cleanup(func() { // After the database, and with it what they own, is gone.
		r.asAdmin(t, testenv.EmptyPostgresURL(t), `DROP ROLE IF EXISTS `+r.owner+`, `+r.service)
	})
	r.url = testenv.EmptyPostgresURL(t)
	return r
}

func (r roles) asAdmin(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), statement)
	require.NoError(t, err)
}

// script runs roles.sql as the servers' superuser.
func (r roles) script(t *testing.T) {
	t.Helper()
	cmd := exec.Command("psql", "-X", "-q", "-v", "owner="+r.owner, "-v", "service="+r.service, "-f", "../../../deploy/postgres/roles.sql", r.url)
	cmd.Env = append(os.Environ(), "OWNER_PASSWORD="+r.password, "SERVICE_PASSWORD="+r.password)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), r.password)
}

func (r roles) options(t *testing.T, user string) infra.Options {
	t.Helper()
	cfg, err := pgx.ParseConfig(r.url)
	require.NoError(t, err)
	return infra.Options{
		Host: cfg.Host, Port: int(cfg.Port), Database: cfg.Database, User: user, Password: r.password, SSLMode: "disable",
	}
}

// On a new database, and on one whose tables the service's role made itself.
func TestRoles(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*testing.T, roles){
		"new": func(*testing.T, roles) {},
		"in use": func(t *testing.T, r roles) {
			db := r.options(t, "").Database
			r.asAdmin(t, r.url, `CREATE ROLE `+r.service+` LOGIN PASSWORD '`+r.password+`'`)
			r.asAdmin(t, r.url, `ALTER DATABASE `+db+` OWNER TO `+r.service)
			_, err := infra.MigrateUp(t.Context(), r.options(t, r.service))
			require.NoError(t, err)
			// And what it was given besides, or has as everybody.
			r.asAdmin(t, r.url, `CREATE ROLE `+r.owner)
			r.asAdmin(t, r.url, `GRANT `+r.owner+` TO `+r.service)
			r.asAdmin(t, r.url, `GRANT ALL ON ALL TABLES IN SCHEMA public TO `+r.service+`, PUBLIC`)
			r.asAdmin(t, r.url, `GRANT CREATE ON DATABASE `+db+` TO PUBLIC`)
		},
		"migrated by an administrator": func(t *testing.T, r roles) {
			cfg, err := pgx.ParseConfig(r.url)
			require.NoError(t, err)
			o := r.options(t, cfg.User)
			o.Password = cfg.Password
			_, err = infra.MigrateUp(t.Context(), o)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoles(t)
			before(t, r)
			r.script(t)
			_, err := infra.MigrateUp(t.Context(), r.options(t, r.owner))
			require.NoError(t, err)
			r.script(t)
			requireLeastPrivilege(t, r)
		})
	}
}

func requireLeastPrivilege(t *testing.T, r roles) {
	t.Helper()
	ctx := context.Background()
	o := r.options(t, r.service)
	cfg, err := pgxpool.ParseConfig(r.url)
	require.NoError(t, err)
	cfg.ConnConfig.User, cfg.ConnConfig.Password = o.User, o.Password
	maps.Copy(cfg.ConnConfig.RuntimeParams, infra.Planning)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	defer pool.Close()

	// What the service does: each statement of its calls, of the relay, of sweeps and of erasures.
	version, err := infra.SchemaVersion(ctx, pool)
	require.NoError(t, err)
	require.EqualValues(t, migrations.Latest, version)
	useRepository(t, newRepository(pool))
	useOutbox(t, NewEventRepository(pool, metrics.New(prometheus.NewRegistry())))
	guests := NewGuestData(pool)
	found, err := guests.FindByPhone(ctx, "442079460000")
	require.NoError(t, err)
	require.NotEmpty(t, found)
	for _, b := range found {
		_, err = guests.Erase(ctx, []string{b.ID})
		require.NoError(t, err)
	}
	for _, age := range []time.Duration{0, time.Hour} {
		_, err = guests.EraseDue(ctx, age, 100)
		require.NoError(t, err)
		_, _, err = guests.EraseDueEvents(ctx, age, 0, 100)
		require.NoError(t, err)
	}
	_, err = NewOutboxAdmin(pool).Overview(ctx)
	require.NoError(t, err)

	for _, statement := range []string{
		`DROP TABLE outbox`, `TRUNCATE outbox`, `TRUNCATE bookings CASCADE`, `ALTER TABLE bookings ADD COLUMN extra text`,
		`ALTER TABLE table_occupancies DROP CONSTRAINT table_occupancies_no_overlap`, `DROP INDEX idx_bookings_status`,
		`CREATE TABLE extra ()`, `CREATE TEMPORARY TABLE extra ()`, `CREATE SCHEMA extra`, `CREATE INDEX ON bookings (comment)`,
		`CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS 'SELECT 1'`, `DROP SCHEMA public CASCADE`, `DROP EXTENSION btree_gist CASCADE`,
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`, `DELETE FROM guest_erasures`, `UPDATE guest_erasures SET reason = 'request'`,
		`CREATE ROLE extra`, `ALTER ROLE ` + r.service + ` CREATEROLE`, `SET ROLE ` + r.owner, `DROP DATABASE ` + o.Database,
	} {
		_, err := pool.Exec(ctx, statement)
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused, statement)
		require.Equal(t, "42501", refused.Code, "%s: %v", statement, err)
	}
	_, err = infra.MigrateDown(ctx, o)
	require.Error(t, err)

	// A table of a later migration is the service's to write as well.
	owner, err := infra.NewPool(ctx, r.options(t, r.owner))
	require.NoError(t, err)
	defer owner.Close()
	_, err = owner.Exec(ctx, `CREATE TABLE later (id BIGINT GENERATED ALWAYS AS IDENTITY, what TEXT)`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `INSERT INTO later (what) VALUES ('x')`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `DELETE FROM later WHERE what = 'x'`)
	require.NoError(t, err)
}
