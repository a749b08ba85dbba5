-- Makes the two roles of booking-svc, in the database that psql is connected to. Run by a superuser, or by an
-- administrator who is a member of both roles, before the first migration and after it, or on a database that is in
-- use; again, it changes nothing:
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
-- Whoever uses a table that changes its owner waits for this transaction: it gives up rather than wait itself.
SET LOCAL lock_timeout = '2s';

SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY[:'owner', :'service']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
-- Only a superuser may say so, and only of a role that has any of it is there something to say.
SELECT format('ALTER ROLE %I NOSUPERUSER NOREPLICATION NOBYPASSRLS', rolname) FROM pg_roles
WHERE rolname IN (:'owner', :'service') AND (rolsuper OR rolreplication OR rolbypassrls) \gexec
ALTER ROLE :"owner" WITH LOGIN NOCREATEDB NOCREATEROLE;
ALTER ROLE :"service" WITH LOGIN NOCREATEDB NOCREATEROLE;
\if :{?owner_password}
ALTER ROLE :"owner" PASSWORD :'owner_password';
\endif
\if :{?service_password}
ALTER ROLE :"service" PASSWORD :'service_password';
\endif
-- What the service's role may by another's rights.
SELECT format('REVOKE %I FROM %I', other.rolname, :'service') FROM pg_auth_members m
JOIN pg_roles other ON other.oid = m.roleid JOIN pg_roles own ON own.oid = m.member
WHERE own.rolname = :'service' \gexec

-- What the service's role owns from before there were two: its tables, perhaps the database.
REASSIGN OWNED BY :"service" TO :"owner";
-- What somebody else has made, as an administrator who migrated.
SELECT format('ALTER TABLE public.%I OWNER TO %I', c.relname, :'owner') FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND pg_get_userbyid(c.relowner) <> :'owner'
	AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY c.relname \gexec
SELECT current_database() AS database \gset
ALTER DATABASE :"database" OWNER TO :"owner";

-- The owner migrates.
GRANT USAGE, CREATE ON SCHEMA public TO :"owner";
-- The service reads and writes rows, and has no other right that it was given once.
REVOKE CREATE, TEMPORARY ON DATABASE :"database" FROM PUBLIC, :"service";
REVOKE CREATE ON SCHEMA public FROM PUBLIC, :"service";
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, :"service";
GRANT CONNECT ON DATABASE :"database" TO :"service";
GRANT USAGE ON SCHEMA public TO :"service";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"service";
-- Which migrations were applied, and whose data was erased, is not the service's to rewrite.
SELECT format('REVOKE %s ON %s FROM %I', taken, name, :'service')
FROM (VALUES ('goose_db_version', 'INSERT, UPDATE, DELETE'), ('guest_erasures', 'UPDATE, DELETE')) AS t(name, taken)
WHERE to_regclass('public.' || name) IS NOT NULL \gexec
-- Also those that later migrations make.
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public
	GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"service";

COMMIT;
