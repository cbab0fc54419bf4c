-- The roles around relay_guard; may be run again at any time, as superuser.
-- The extension itself creates none.
SET client_min_messages = warning;

-- relay_owner owns the application's schema; alembic and relay_gateway
-- configure log in as it
SELECT 'CREATE ROLE relay_owner LOGIN'
WHERE to_regrole('relay_owner') IS NULL \gexec

-- relay_app is what routes run as: no login, owns nothing
SELECT 'CREATE ROLE relay_app NOLOGIN'
WHERE to_regrole('relay_app') IS NULL \gexec

-- relay_auditor is what the routes of the audit log and of the day's budget run
-- as: no login, owns nothing, and reads what the identity may
SELECT 'CREATE ROLE relay_auditor NOLOGIN'
WHERE to_regrole('relay_auditor') IS NULL \gexec

-- relay_gateway is what the gateway logs in as; it may call serve() and its
-- few companions, and nothing else
SELECT 'CREATE ROLE relay_gateway LOGIN'
WHERE to_regrole('relay_gateway') IS NULL \gexec

-- relay_backup is for pg_dump, which refuses rows hidden by row-level security
SELECT 'CREATE ROLE relay_backup LOGIN'
WHERE to_regrole('relay_backup') IS NULL \gexec

ALTER ROLE relay_owner NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;
ALTER ROLE relay_app NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;
ALTER ROLE relay_auditor NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;
ALTER ROLE relay_gateway NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;
ALTER ROLE relay_backup NOSUPERUSER BYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;
-- the path that routes pin: serve() then finds it set already
ALTER ROLE relay_gateway SET search_path = pg_catalog, pg_temp;
ALTER ROLE relay_backup SET default_transaction_read_only = on;

-- whoever inserts a route must be a member of the role it runs as
GRANT relay_app, relay_auditor TO relay_owner;
GRANT pg_read_all_data TO relay_backup;
