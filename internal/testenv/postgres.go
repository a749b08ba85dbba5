package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/bookingcontrol/booker-booking-svc/migrations"
)

const (
	// databasePrefix begins the name of every database made here.
	databasePrefix = "booking_test_"
	// templateLock is the advisory lock under which the template is made. Packages are tested by
	// processes of their own, at the same time.
	templateLock = 0x626f6f6b
	// setupTimeout is how long making or dropping a database may take.
	setupTimeout = time.Minute
)

// PostgresURL makes a database with all migrations applied, for this test alone, and returns its URL,
// whose user is a superuser. It is dropped when the test ends, with whoever is still connected.
func PostgresURL(t testing.TB) string {
	t.Helper()
	admin := variable(t, "TEST_POSTGRES_URL")
	template, err := templateOnce(admin)
	if err != nil {
		t.Fatalf("make the template database: %v", err)
	}
	return newDatabase(t, admin, template)
}

// EmptyPostgresURL makes an empty database for this test alone, as PostgresURL does.
func EmptyPostgresURL(t testing.TB) string {
	t.Helper()
	return newDatabase(t, variable(t, "TEST_POSTGRES_URL"), "template0")
}

func newDatabase(t testing.TB, admin, template string) string {
	t.Helper()
	name := databasePrefix + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := execute(admin, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(admin, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the database %s: %v", name, err)
		}
	})
	own, err := withDatabase(admin, name)
	if err != nil {
		t.Fatalf("TEST_POSTGRES_URL: %v", err)
	}
	return own
}

// execute runs one statement on a connection of its own: none stays open between tests, where a
// check for leaked goroutines would find it.
func execute(url, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

var template struct {
	sync.Mutex
	name string
}

// templateOnce returns the name of the template database, and makes it if this server has none of
// this set of migrations. A failure is not remembered: the next test may do better.
func templateOnce(admin string) (string, error) {
	template.Lock()
	defer template.Unlock()
	if template.name != "" {
		return template.name, nil
	}
	name, err := templateName()
	if err != nil {
		return "", err
	}
	if err := makeTemplate(admin, name); err != nil {
		return "", err
	}
	template.name = name
	return name, nil
}

// templateName names the template after what the migrations say, so that a server that outlives one
// run is never used with an old schema.
func templateName() (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations.FS, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(hash, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the migrations: %w", err)
	}
	return databasePrefix + "template_" + hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// makeTemplate makes the template under another name first: a database with the final name is always
// complete, and nobody is connected to it, as CREATE DATABASE asks of its template.
func makeTemplate(admin, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // Which also gives the lock back.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return err
	}
	var found bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&found)
	if err != nil || found {
		return err
	}
	draft := name + "_draft"
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + draft + " WITH (FORCE)", // Of a run that was killed.
		"CREATE DATABASE " + draft + " TEMPLATE template0",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	url, err := withDatabase(admin, draft)
	if err != nil {
		return err
	}
	if err := migrate(ctx, url); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+draft+" RENAME TO "+name)
	return err
}

func migrate(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	return db.Close()
}

// withDatabase is the URL with another database's name in it.
func withDatabase(admin, name string) (string, error) {
	parsed, err := url.Parse(admin)
	if err != nil || parsed.Scheme == "" {
		// Not with err, which quotes the whole URL and its password.
		return "", fmt.Errorf("not a URL such as postgres://user:password@host:port/database")
	}
	parsed.Path = "/" + name
	return parsed.String(), nil
}
