
-- lint(): what in this database gets around row-level security.  What the
-- checks look at, and those of tables, policies, indexes and views.  STRICT keeps
-- the planner from inlining what every check begins with: planning would take
-- longer than running.

CREATE TYPE lint_finding AS (severity text, code text, object text, detail text, fix text);
COMMENT ON TYPE lint_finding IS 'A row of lint().';

-- The application's: nobody else's schemas, extensions or temporary tables.
-- The array is made once and probed as a hash; an anti-join here makes the
-- planner expect a single row, and loop over thousands.
CREATE FUNCTION lint_relations()
RETURNS TABLE (rel oid, name text, kind "char", owner oid, protected boolean, forced boolean,
               is_partition boolean, options text[])
LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
    SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind, c.relowner,
           c.relrowsecurity, c.relforcerowsecurity, c.relispartition, c.reloptions
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
      AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'relay_guard')
      AND c.oid <> ALL (ARRAY(SELECT d.objid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e'));
END;
COMMENT ON FUNCTION lint_relations() IS 'lint(): tables and views of the application.';

-- Grants on them, of the table or a column, to others than the owner; PUBLIC is 0.
CREATE FUNCTION lint_grants() RETURNS TABLE (rel oid, grantee oid, grantee_name text, privilege text)
LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
    SELECT r.rel, g.grantee, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
           g.privilege_type
    FROM lint_relations() r
    JOIN (SELECT c.oid, a.grantee, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
          UNION
          SELECT c.attrelid, a.grantee, a.privilege_type FROM pg_attribute c, aclexplode(c.attacl) a) g ON g.oid = r.rel
    WHERE g.grantee <> r.owner;
END;
COMMENT ON FUNCTION lint_grants() IS 'lint(): who besides the owner may do what with a table.';

-- A login role that inherits serve() serves too; the owner of the extension
-- and superusers hold it without having been given it.
CREATE FUNCTION lint_holders(function regprocedure) RETURNS TABLE (role oid)
LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
    SELECT r.oid
    FROM pg_proc p, aclexplode(p.proacl) a, pg_roles r
    WHERE p.oid = $1 AND a.grantee <> p.proowner AND a.grantee <> 0 AND r.oid <> p.proowner
      AND (r.oid = a.grantee OR r.rolcanlogin AND NOT r.rolsuper AND pg_has_role(r.oid, a.grantee, 'USAGE'))
    GROUP BY r.oid;
END;
COMMENT ON FUNCTION lint_holders(regprocedure) IS 'lint(): roles that were given a function, themselves or by inheritance.';

-- The rows of route that the caller may read: the gateway's role, none.
CREATE FUNCTION lint_routes() RETURNS SETOF route
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF has_table_privilege('relay_guard.route', 'SELECT') THEN
        RETURN QUERY SELECT * FROM relay_guard.route;
    END IF;
END
$$;
COMMENT ON FUNCTION lint_routes() IS 'lint(): the routes that the caller may read.';

-- Those that HTTP clients reach: what the gateway logs in as, and what routes
-- run as.  The latter are known without the table by what grant_role('app')
-- gave them; trusted roles have that too, and assume() beside it.
CREATE FUNCTION lint_roles() RETURNS TABLE (role oid, name text, serves boolean)
LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
    SELECT r.oid, quote_ident(r.rolname), bool_or(k.serves)
    FROM (SELECT h.role, true AS serves FROM lint_holders('serve(bytea)') h
          UNION ALL
          SELECT a.grantee, false FROM pg_proc p, aclexplode(p.proacl) a
          WHERE p.oid = 'fail(int, text, text, text)'::regprocedure AND a.grantee <> p.proowner
            AND NOT EXISTS (SELECT FROM lint_holders('assume(text, text, text, text, inet)') t WHERE t.role = a.grantee)
          UNION ALL
          SELECT t.run_as::oid, false FROM lint_routes() t) k
    JOIN pg_roles r ON r.oid = k.role
    GROUP BY r.oid, r.rolname;
END;
COMMENT ON FUNCTION lint_roles() IS 'lint(): the roles of the gateway (serves) and of routes.';

-- Who may own what clients use: by the names of ops/roles.sql, else the owner
-- of the database, else the first superuser.
CREATE FUNCTION lint_steward(beside oid) RETURNS oid
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.oid FROM pg_roles r
    WHERE r.oid <> $1
      AND (r.rolname = 'relay_owner' OR r.oid = 10
           OR r.oid = (SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()))
    ORDER BY r.rolname <> 'relay_owner', r.oid = 10 LIMIT 1;
END;
COMMENT ON FUNCTION lint_steward(oid) IS 'lint(): a role to own what another one should not.';

-- Columns that say whose a row is.  A name may be read as the user's or as the
-- tenant's; the first of each kind counts.
CREATE FUNCTION lint_tenant_columns() RETURNS TABLE (rel oid, owner name, tenant name)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.attrelid, (array_agg(a.attname ORDER BY k.place) FILTER (WHERE k.kind = 'user'))[1],
           (array_agg(a.attname ORDER BY k.place) FILTER (WHERE k.kind = 'workspace'))[1]
    FROM (VALUES (1, 'user_id', 'user'), (2, 'owner_id', 'user'),
                 (3, 'workspace_id', 'workspace'), (4, 'tenant_id', 'workspace'), (5, 'organization_id', 'workspace'),
                 (6, 'organisation_id', 'workspace'), (7, 'org_id', 'workspace'), (8, 'account_id', 'workspace')
         ) k (place, attname, kind)
    JOIN pg_attribute a ON a.attname = k.attname
    WHERE a.attnum > 0 AND NOT a.attisdropped
      AND a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'uuid'::regtype, 'bigint'::regtype, 'int'::regtype)
    GROUP BY a.attrelid;
END;
COMMENT ON FUNCTION lint_tenant_columns() IS 'lint(): tables with columns such as user_id and workspace_id.';

CREATE FUNCTION lint_match(rel oid, attname name, part text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT format(CASE WHEN a.atttypid IN ('text'::regtype, 'varchar'::regtype) THEN '%1$I = (SELECT relay_guard.%2$s_id())'
                       WHEN a.atttypid = 'uuid'::regtype THEN '%1$I = (SELECT relay_guard.%2$s_uuid())'
                       ELSE '%1$I = (SELECT relay_guard.%2$s_id()::%3$s)' END,
                  a.attname, $3, format_type(a.atttypid, NULL))
    FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2;
END;
COMMENT ON FUNCTION lint_match(oid, name, text) IS 'lint(): a condition on a column that holds the identity''s user or workspace.';

-- protect() where it can, else what it would do.
CREATE FUNCTION lint_protection(rel oid, name text, owner name, tenant name) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN bool_and(a.atttypid <> 'int'::regtype AND (a.atttypid <> 'bigint'::regtype OR a.attname = $3)) AND $3 IS NOT NULL
        THEN format('SELECT relay_guard.protect(%L, owner => %L%s)', $2, $3, ', tenant => ' || quote_literal($4))
        ELSE format('ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY identity ON %1$s USING (%2$s); '
                    'REVOKE ALL ON %1$s FROM PUBLIC; SELECT relay_guard.revoke_beyond_policies(%1$L); CREATE INDEX ON %1$s (%3$s)', $2,
                    concat_ws(' AND ', lint_match($1, $3, 'user'), lint_match($1, $4, 'workspace')),
                    concat_ws(', ', quote_ident($4), quote_ident($3))) END
    FROM pg_attribute a
    WHERE a.attrelid = $1 AND a.attname IN ($3, $4);
END;
COMMENT ON FUNCTION lint_protection(oid, text, name, name) IS 'lint(): the statement that protects a table.';

CREATE FUNCTION lint_rls_missing() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN reader.name IS NULL THEN 'warning' ELSE 'error' END, 'rls_missing', r.name,
           format('It has the column %I and no row-level security: %s.', coalesce(k.owner, k.tenant),
                  coalesce('role ' || reader.name, 'whoever is granted it') || ' reads or writes the rows of all'),
           lint_protection(r.rel, r.name, k.owner, k.tenant)
    FROM lint_relations() r
    JOIN lint_tenant_columns() k ON k.rel = r.rel
    LEFT JOIN LATERAL (
        SELECT min(a.name) AS name FROM lint_roles() a
        WHERE has_any_column_privilege(a.role, r.rel, 'SELECT, INSERT, UPDATE') OR has_table_privilege(a.role, r.rel, 'DELETE, TRUNCATE')) reader ON true
    WHERE r.kind IN ('r', 'p') AND NOT r.protected AND NOT r.is_partition
      AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = r.rel);
END;
COMMENT ON FUNCTION lint_rls_missing() IS 'lint(): tables that say whose a row is, and show it to all.';

CREATE FUNCTION lint_policy_without_rls() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'policy_without_rls', r.name,
           format('It has policies (%s), but row-level security is not enabled: they do nothing.',
                  (SELECT string_agg(p.polname, ', ' ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = r.rel)),
           format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', r.name)
    FROM lint_relations() r
    WHERE NOT r.protected AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = r.rel);
END;
COMMENT ON FUNCTION lint_policy_without_rls() IS 'lint(): policies that do nothing.';

CREATE FUNCTION lint_rls_not_forced() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN o.rolcanlogin OR EXISTS (SELECT FROM lint_roles() a WHERE a.role = o.oid) THEN 'error' ELSE 'warning' END,
           'rls_not_forced', r.name,
           format('Its owner %I is not bound by its policies%s.', o.rolname,
                  CASE WHEN o.rolcanlogin THEN ', and may log in' ELSE '' END),
           format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', r.name)
    FROM lint_relations() r JOIN pg_roles o ON o.oid = r.owner
    WHERE r.protected AND NOT r.forced;
END;
COMMENT ON FUNCTION lint_rls_not_forced() IS 'lint(): protected tables whose owner sees everything.';

-- Policies of a parent bind those who name the parent, nobody else.
CREATE FUNCTION lint_child_without_rls() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN EXISTS (SELECT FROM lint_grants() g WHERE g.rel = c.rel) THEN 'error' ELSE 'warning' END,
           'child_without_rls', c.name,
           format('It holds rows of %s, which is protected, and has no row-level security itself: a query that names it reads them all.', min(p.name)),
           CASE WHEN c.kind <> 'f' THEN format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', c.name)
                WHEN c.is_partition THEN format('ALTER TABLE %s DETACH PARTITION %s', min(p.name), c.name)
                ELSE format('ALTER FOREIGN TABLE %s NO INHERIT %s', c.name, min(p.name)) END
    FROM pg_inherits i
    JOIN lint_relations() p ON p.rel = i.inhparent AND p.protected
    JOIN lint_relations() c ON c.rel = i.inhrelid AND NOT c.protected
    GROUP BY c.rel, c.name, c.kind, c.is_partition;
END;
COMMENT ON FUNCTION lint_child_without_rls() IS 'lint(): partitions and children that go around their parent''s policies.';

CREATE FUNCTION lint_foreign_table() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'foreign_table', r.name,
           format('It has the column %I, is granted to %s, and foreign tables have no row-level security.',
                  min(coalesce(k.owner, k.tenant)), string_agg(DISTINCT g.grantee_name, ', ')),
           format('REVOKE ALL ON %s FROM %s', r.name, string_agg(DISTINCT g.grantee_name, ', '))
    FROM lint_relations() r
    JOIN lint_tenant_columns() k ON k.rel = r.rel
    JOIN lint_grants() g ON g.rel = r.rel
    WHERE r.kind = 'f'
    GROUP BY r.rel, r.name;
END;
COMMENT ON FUNCTION lint_foreign_table() IS 'lint(): foreign tables with the rows of many, granted to others.';

CREATE FUNCTION lint_public_privileges() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'public_privileges', r.name,
           format('PUBLIC has %s on a protected table: every role of this database.', string_agg(DISTINCT g.privilege, ', ')),
           format('REVOKE ALL ON %s FROM PUBLIC', r.name)
    FROM lint_relations() r JOIN lint_grants() g ON g.rel = r.rel
    WHERE r.protected AND g.grantee = 0
    GROUP BY r.rel, r.name;
END;
COMMENT ON FUNCTION lint_public_privileges() IS 'lint(): protected tables that PUBLIC may use.';

CREATE FUNCTION lint_beyond_policies() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN bool_or(g.privilege = 'TRUNCATE') THEN 'error' ELSE 'warning' END, 'beyond_policies', r.name,
           format('%s has %s, which no policy limits.', g.grantee_name, string_agg(g.privilege, ', ' ORDER BY g.privilege)),
           format('REVOKE TRUNCATE, REFERENCES, TRIGGER ON %s FROM %s', r.name, g.grantee_name)
    FROM lint_relations() r JOIN lint_grants() g ON g.rel = r.rel
    WHERE r.protected AND g.privilege IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
    GROUP BY r.rel, r.name, g.grantee, g.grantee_name;
END;
COMMENT ON FUNCTION lint_beyond_policies() IS 'lint(): TRUNCATE, REFERENCES and TRIGGER on protected tables.';

CREATE FUNCTION lint_published() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'notice', 'published', r.name,
           format('Publication %I sends the rows of all: its subscribers are to be trusted like this server.', p.pubname),
           CASE WHEN p.puballtables THEN format('DROP PUBLICATION %I', p.pubname)
                WHEN x.prrelid IS NOT NULL THEN format('ALTER PUBLICATION %I DROP TABLE ONLY %s', p.pubname, r.name)
                ELSE format('ALTER PUBLICATION %I DROP TABLES IN SCHEMA %I', p.pubname, s.nspname) END
    FROM lint_relations() r
    JOIN pg_class c ON c.oid = r.rel
    JOIN pg_namespace s ON s.oid = c.relnamespace
    CROSS JOIN pg_publication p
    LEFT JOIN pg_publication_rel x ON x.prpubid = p.oid AND x.prrelid = r.rel
    LEFT JOIN pg_publication_namespace n ON n.pnpubid = p.oid AND n.pnnspid = c.relnamespace
    WHERE r.protected AND (p.puballtables OR x.prrelid IS NOT NULL OR n.pnnspid IS NOT NULL);
END;
COMMENT ON FUNCTION lint_published() IS 'lint(): protected tables that logical replication sends away.';

CREATE FUNCTION lint_trigger_disabled() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'trigger_disabled', r.name,
           format('Triggers are disabled: %s.', string_agg(t.tgname, ', ' ORDER BY t.tgname)),
           format('ALTER TABLE %s %s', r.name,
                  string_agg(format('ENABLE TRIGGER %I', t.tgname), ', ' ORDER BY t.tgname))
    FROM lint_relations() r JOIN pg_trigger t ON t.tgrelid = r.rel
    WHERE r.protected AND t.tgenabled = 'D'
    GROUP BY r.rel, r.name;
END;
COMMENT ON FUNCTION lint_trigger_disabled() IS 'lint(): protected tables with disabled triggers.';

-- Triggers and foreign keys can also be switched off for a whole session.
CREATE FUNCTION lint_triggers_off() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'triggers_off', coalesce(s.role, s.database, 'ALL'),
           'Its sessions begin with session_replication_role = replica: triggers and foreign keys do nothing in them.',
           CASE WHEN s.role IS NULL AND s.database IS NOT NULL THEN format('ALTER DATABASE %s', s.database)
                ELSE format('ALTER ROLE %s', coalesce(s.role, 'ALL')) || coalesce(' IN DATABASE ' || s.database, '') END
           || ' RESET session_replication_role'
    FROM (SELECT quote_ident(r.rolname) AS role, quote_ident(d.datname) AS database
          FROM pg_db_role_setting x
          LEFT JOIN pg_roles r ON r.oid = x.setrole
          LEFT JOIN pg_database d ON d.oid = x.setdatabase
          WHERE 'session_replication_role=replica' = ANY (x.setconfig)
            AND (x.setdatabase = 0 OR d.datname = current_database())
            AND (x.setrole = 0 OR x.setrole IN (SELECT a.role FROM lint_roles() a))) s;
END;
COMMENT ON FUNCTION lint_triggers_off() IS 'lint(): sessions that begin without triggers.';

-- Without them backends go on with retired keys and old routes, and nobody learns who changed them.
CREATE FUNCTION lint_config_trigger() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'config_trigger', format('relay_guard.%I', c.relname),
           format('Trigger %I does not fire always: changes go unchecked, unrecorded, or unseen by backends that run.', t.tgname),
           format('ALTER TABLE relay_guard.%I ENABLE ALWAYS TRIGGER %I', c.relname, t.tgname)
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE c.relnamespace = 'relay_guard'::regnamespace AND NOT t.tgisinternal
      AND (t.tgenabled = 'D' OR t.tgenabled <> 'A' AND p.proname IN ('config_changed', 'route_check', 'audit_configuration')
           AND p.pronamespace = c.relnamespace);
END;
COMMENT ON FUNCTION lint_config_trigger() IS 'lint(): triggers of relay_guard''s tables that were switched off.';

-- Under row-level security only leakproof operators become index conditions.
-- Patterns become ranges by a support function of LIKE, which is not leakproof
-- whatever the ranges are.  Constraints need their indexes all the same.
CREATE FUNCTION lint_index_demoted() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'index_demoted', format('%I.%I', n.nspname, x.relname),
           format('Queries bound by row-level security on %s cannot use it: no %s is leakproof.', r.name,
                  CASE WHEN i.indkey[0] = 0 THEN 'expression it begins with'
                       ELSE format('operator of %s on %s', m.amname, format_type(o.opcintype, NULL)) END),
           format('DROP INDEX %I.%I', n.nspname, x.relname)
    FROM lint_relations() r
    JOIN pg_index i ON i.indrelid = r.rel
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = x.relnamespace
    JOIN pg_opclass o ON o.oid = i.indclass[0]
    JOIN pg_opfamily f ON f.oid = o.opcfamily
    JOIN pg_am m ON m.oid = f.opfmethod
    WHERE r.protected AND NOT x.relispartition AND NOT i.indisunique AND NOT i.indisexclusion
      AND (f.opfname LIKE '%pattern\_ops'
           OR NOT EXISTS (SELECT FROM pg_amop a
                          JOIN pg_operator p ON p.oid = a.amopopr JOIN pg_proc c ON c.oid = p.oprcode
                          WHERE a.amopfamily = f.oid AND a.amoppurpose = 's' AND c.proleakproof
                            AND a.amoplefttype = o.opcintype)
           OR i.indkey[0] = 0 AND EXISTS (
                SELECT FROM regexp_matches(i.indexprs::text, ':(?:op)?funcid (\d+)', 'g') u
                JOIN pg_proc c ON c.oid = u[1]::oid WHERE NOT c.proleakproof));
END;
COMMENT ON FUNCTION lint_index_demoted() IS 'lint(): indexes that row-level security keeps from being used.';

-- A view reads with its owner's rights; since 15 it can read with the caller's.
CREATE FUNCTION lint_view_of_protected() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN bool_or(o.rolsuper OR o.rolbypassrls OR NOT t.forced AND pg_has_role(o.oid, t.owner, 'USAGE'))
                THEN 'error' ELSE 'warning' END,
           'view_not_invoker', v.name,
           format('It reads %s as its owner %I%s, not as who asks.', string_agg(DISTINCT t.name, ', '), o.rolname,
                  CASE WHEN bool_or(o.rolsuper OR o.rolbypassrls OR NOT t.forced AND pg_has_role(o.oid, t.owner, 'USAGE'))
                       THEN ', whom no policy binds' ELSE '' END),
           format('ALTER VIEW %s SET (security_invoker = true)', v.name)
    FROM lint_relations() v
    JOIN pg_roles o ON o.oid = v.owner
    JOIN pg_rewrite w ON w.ev_class = v.rel
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
    JOIN lint_relations() t ON t.rel = d.refobjid AND t.protected
    WHERE v.kind = 'v' AND NOT EXISTS (
        SELECT FROM unnest(v.options) u WHERE u ~* '^security_invoker=(t|tr|tru|true|on|y|ye|yes|1)$')
    GROUP BY v.rel, v.name, o.rolname;
END;
COMMENT ON FUNCTION lint_view_of_protected() IS 'lint(): views that read protected tables with other rights than the caller''s.';

CREATE FUNCTION lint_matview_of_protected() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE uses AS (
        SELECT w.ev_class AS matview, d.refobjid AS rel
        FROM lint_relations() m
        JOIN pg_rewrite w ON w.ev_class = m.rel
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
        WHERE m.kind = 'm'
        UNION
        SELECT u.matview, d.refobjid
        FROM uses u
        JOIN pg_rewrite w ON w.ev_class = u.rel
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass)
    SELECT 'error', 'matview_of_protected', m.name,
           format('It keeps rows of %s as whoever refreshed it saw them, and has no row-level security.', string_agg(DISTINCT t.name, ', ')),
           format('DROP MATERIALIZED VIEW %1$s; CREATE VIEW %1$s WITH (security_invoker = true) AS %2$s', m.name,
                  rtrim(pg_get_viewdef(m.rel), ';'))
    FROM uses u
    JOIN lint_relations() m ON m.rel = u.matview
    JOIN lint_relations() t ON t.rel = u.rel AND t.protected
    GROUP BY m.rel, m.name;
END;
COMMENT ON FUNCTION lint_matview_of_protected() IS 'lint(): materialized views of protected tables.';
