// Package migrations holds the database schema as goose migrations.
package migrations

import "embed"

// FS holds the migrations, one SQL file each, named by version.
//
//go:embed *.sql
var FS embed.FS

// Latest is the version of the newest migration, which this binary needs the database to have.
const Latest = 5
