-- Makes the two roles of booking-svc, in the database that psql is connected to. Run by a superuser, before
-- the first migration or on a database that is in use; again, it changes nothing:
--
--   psql -d booking -f deploy/postgres/roles.sql
--   psql -d booking -v owner=booking_owner -v service=booking_user -f deploy/postgres/roles.sql
--
-- OWNER_PASSWORD and SERVICE_PASSWORD, from the environment, become their passwords. See docs/database-roles.md.
\set ON_ERROR_STOP on
\if :{?owner}
\else
\set owner booking_owner
\endif
\if :{?service}
\else
\set service booking_user
\endif
\getenv owner_password OWNER_PASSWORD
\getenv service_password SERVICE_PASSWORD
SET client_min_messages = warning;
BEGIN;

SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY[:'owner', :'service']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE :"owner" WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE :"service" WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
\if :{?owner_password}
ALTER ROLE :"owner" PASSWORD :'owner_password';
\endif
\if :{?service_password}
ALTER ROLE :"service" PASSWORD :'service_password';
\endif

-- What the service's role owns from before there were two: its tables, perhaps the database.
REASSIGN OWNED BY :"service" TO :"owner";
SELECT current_database() AS database \gset
ALTER DATABASE :"database" OWNER TO :"owner";

-- The owner migrates.
GRANT USAGE, CREATE ON SCHEMA public TO :"owner";
-- The service reads and writes rows.
REVOKE TEMPORARY ON DATABASE :"database" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC, :"service";
REVOKE CREATE, TEMPORARY ON DATABASE :"database" FROM :"service";
GRANT CONNECT ON DATABASE :"database" TO :"service";
GRANT USAGE ON SCHEMA public TO :"service";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"service";
-- Also those that later migrations make.
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public
	GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"service";

COMMIT;
