-- What PUBLIC may do, and what each kind of role gets.
\set VERBOSITY terse
CREATE ROLE rg_nobody; CREATE ROLE rg_gate; CREATE ROLE rg_app; CREATE ROLE rg_trust; CREATE ROLE rg_admin;
CREATE ROLE rg_bypass BYPASSRLS;
SELECT relay_guard.grant_role('gateway', 'rg_gate'), relay_guard.grant_role('app', 'rg_app'),
       relay_guard.grant_role('trusted', 'rg_trust'), relay_guard.grant_role('admin', 'rg_admin');
SELECT relay_guard.grant_role('gateway', 'rg_bypass');
SELECT relay_guard.grant_role('king', 'rg_gate');

CREATE FUNCTION rg_may(who name) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT p.oid::regprocedure::text FROM pg_proc p
    WHERE p.pronamespace = 'relay_guard'::regnamespace AND has_function_privilege(who, p.oid, 'EXECUTE')
      AND p.proname NOT LIKE 'lint\_%' -- parts of lint(), below
    ORDER BY p.oid::regprocedure::text COLLATE "C"
$$;
SELECT rg_may AS public_may FROM rg_may('rg_nobody');
SELECT rg_may AS gateway_may FROM rg_may('rg_gate') EXCEPT SELECT rg_may('rg_nobody') ORDER BY 1;
SELECT rg_may AS app_may FROM rg_may('rg_app') EXCEPT SELECT rg_may('rg_nobody') ORDER BY 1;
SELECT rg_may AS trusted_may FROM rg_may('rg_trust') EXCEPT SELECT rg_may('rg_app') ORDER BY 1;
SELECT rg_may AS admin_may FROM rg_may('rg_admin') EXCEPT SELECT rg_may('rg_nobody') ORDER BY 1;
-- with lint() its parts, which ask nothing but the catalogs
SELECT r.who, bool_and(has_function_privilege(r.who, p.oid, 'EXECUTE')) AS all_of_lint,
       bool_or(has_function_privilege(r.who, p.oid, 'EXECUTE')) AS any_of_lint, bool_or(p.prosecdef) AS definer
FROM (VALUES ('rg_nobody'), ('rg_gate'), ('rg_app'), ('rg_trust'), ('rg_admin')) r (who), pg_proc p
WHERE p.pronamespace = 'relay_guard'::regnamespace AND p.proname ~ '^lint(_|$)' GROUP BY 1 ORDER BY 1;

SELECT r.who, c.relname, p.privilege
FROM (VALUES ('rg_nobody'), ('rg_gate'), ('rg_app'), ('rg_trust'), ('rg_admin')) r (who)
CROSS JOIN pg_class c
CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) p (privilege)
WHERE c.relnamespace = 'relay_guard'::regnamespace AND c.relkind IN ('r', 'p', 'v')
  AND has_table_privilege(r.who, c.oid, p.privilege)
ORDER BY 1, 2, 3;
SET ROLE rg_admin;
SELECT secret FROM relay_guard.jwt_key;
SELECT iss, kid, alg, retired_at FROM relay_guard.jwt_key;
SELECT count(*) FROM relay_guard.counter WHERE name = 'nobody';
SELECT preloaded FROM relay_guard.counter_status;
RESET ROLE;

-- every public function, table and view says what it is for
SELECT p.oid::regprocedure::text AS undocumented FROM pg_proc p
WHERE p.pronamespace = 'relay_guard'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relnamespace = 'relay_guard'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') IS NULL;
-- and every one with rights of its own has its search_path pinned
SELECT p.oid::regprocedure AS unpinned FROM pg_proc p
WHERE p.pronamespace = 'relay_guard'::regnamespace AND p.prosecdef
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=pg_catalog, pg_temp');

-- who fetches key sets may import them, and reach nothing else
CREATE ROLE rg_keys;
SELECT relay_guard.grant_role('keys', 'rg_keys');
SELECT rg_may AS keys_may FROM rg_may('rg_keys') EXCEPT SELECT rg_may('rg_nobody') ORDER BY 1;
SELECT count(*) AS tables FROM pg_class c
WHERE c.relnamespace = 'relay_guard'::regnamespace AND c.relkind IN ('r', 'p', 'v')
  AND has_any_column_privilege('rg_keys', c.oid, 'SELECT, INSERT, UPDATE');
DROP OWNED BY rg_keys; DROP ROLE rg_keys;

-- who reads the audit log verifies it, and does nothing else
CREATE ROLE rg_auditor;
SELECT relay_guard.grant_role('auditor', 'rg_auditor');
SELECT rg_may AS auditor_may FROM rg_may('rg_auditor') EXCEPT SELECT rg_may('rg_nobody') ORDER BY 1;
SELECT c.relname, p.privilege
FROM pg_class c CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p (privilege)
WHERE c.relnamespace = 'relay_guard'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege('rg_auditor', c.oid, p.privilege)
ORDER BY 1, 2;
DROP OWNED BY rg_auditor; DROP ROLE rg_auditor;

DROP FUNCTION rg_may(name);
DROP OWNED BY rg_gate, rg_app, rg_trust, rg_admin;
DROP ROLE rg_nobody, rg_gate, rg_app, rg_trust, rg_admin, rg_bypass;
