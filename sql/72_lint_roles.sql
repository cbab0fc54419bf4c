
-- lint(): the checks of roles, server and routes, and lint() itself.

-- What to revoke so that a role is no member of another any more: the step
-- that leads out of the roles of clients.
CREATE FUNCTION lint_revocation(role oid, target oid) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT string_agg(format('REVOKE %I FROM %I', pg_get_userbyid(m.roleid), pg_get_userbyid(m.member)), '; ' ORDER BY m.roleid, m.member)
    FROM pg_auth_members m
    WHERE pg_has_role(m.roleid, $2, 'MEMBER') AND pg_has_role($1, m.member, 'MEMBER')
      AND m.member IN (SELECT a.role FROM lint_roles() a)
      AND (m.roleid = $2 OR m.roleid NOT IN (SELECT a.role FROM lint_roles() a));
END;
COMMENT ON FUNCTION lint_revocation(oid, oid) IS 'lint(): the statement that ends a membership.';

-- Membership counts as much as the attribute itself: SET ROLE is one statement away.
CREATE FUNCTION lint_role_bypasses() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'role_bypasses', a.name,
           format('HTTP clients reach it, and it is %s%s.',
                  CASE WHEN r.oid = a.role THEN 'a ' ELSE format('a member of %I, a ', r.rolname) END,
                  CASE WHEN r.rolsuper THEN 'superuser' ELSE 'role with BYPASSRLS' END),
           CASE WHEN r.oid = a.role THEN format('ALTER ROLE %s NOSUPERUSER NOBYPASSRLS', a.name)
                ELSE lint_revocation(a.role, r.oid) END
    FROM lint_roles() a
    JOIN pg_roles own ON own.oid = a.role
    JOIN pg_roles r ON r.rolsuper OR r.rolbypassrls
    WHERE r.oid = a.role OR NOT own.rolsuper AND pg_has_role(a.role, r.oid, 'MEMBER');
END;
COMMENT ON FUNCTION lint_role_bypasses() IS 'lint(): roles of clients that no policy binds.';

CREATE FUNCTION lint_role_powers() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'role_powers', a.name,
           format('HTTP clients reach it, and it is a member of %I.', r.rolname), lint_revocation(a.role, r.oid)
    FROM lint_roles() a
    JOIN pg_roles own ON own.oid = a.role AND NOT own.rolsuper
    JOIN pg_roles r ON r.rolname IN ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
                                     'pg_execute_server_program', 'pg_create_subscription', 'pg_maintain')
    WHERE pg_has_role(a.role, r.oid, 'MEMBER')
    UNION ALL
    SELECT 'error', 'role_powers', a.name, format('HTTP clients reach it, and it has %s.', p.power),
           format('ALTER ROLE %s NO%s', a.name, p.power)
    FROM lint_roles() a
    JOIN pg_roles r ON r.oid = a.role
    CROSS JOIN LATERAL (VALUES (r.rolcreaterole, 'CREATEROLE'), (r.rolreplication, 'REPLICATION')) p (held, power)
    WHERE p.held;
END;
COMMENT ON FUNCTION lint_role_powers() IS 'lint(): roles of clients that can read everything or make roles.';

-- An owner switches policies and triggers off.
CREATE FUNCTION lint_role_owns() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'role_owns', r.name,
           format('HTTP clients reach role %s, which owns it%s and can switch off %s.', a.name,
                  CASE WHEN r.owner = a.role THEN '' ELSE format(' as a member of %I', pg_get_userbyid(r.owner)) END,
                  CASE WHEN r.protected THEN 'its policies and triggers' ELSE 'its triggers' END),
           CASE WHEN r.owner <> a.role THEN lint_revocation(a.role, r.owner)
                ELSE format('ALTER TABLE %s OWNER TO %I', r.name, pg_get_userbyid(lint_steward(a.role)))
                     || CASE WHEN a.serves THEN '' ELSE format('; GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %s', r.name, a.name) END END
    FROM lint_roles() a
    JOIN pg_roles own ON own.oid = a.role AND NOT own.rolsuper
    JOIN lint_relations() r ON pg_has_role(a.role, r.owner, 'MEMBER')
    WHERE r.kind IN ('r', 'p')
      AND (r.protected OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.rel AND NOT t.tgisinternal));
END;
COMMENT ON FUNCTION lint_role_owns() IS 'lint(): roles of clients that own tables with policies or triggers.';

CREATE FUNCTION lint_gateway_privileges() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'gateway_privileges', r.name,
           format('The gateway''s role %s has %s on it; it needs serve() only.', g.grantee_name,
                  string_agg(DISTINCT g.privilege, ', ')),
           format('REVOKE ALL ON %s FROM %s', r.name, g.grantee_name)
    FROM lint_roles() a
    JOIN lint_grants() g ON g.grantee = a.role
    JOIN lint_relations() r ON r.rel = g.rel AND r.protected
    WHERE a.serves
    GROUP BY r.rel, r.name, g.grantee_name;
END;
COMMENT ON FUNCTION lint_gateway_privileges() IS 'lint(): protected tables that the gateway''s role may use itself.';

-- Who may say who they are, or whose signature counts, needs no token; who
-- writes routes, no rights.
CREATE FUNCTION lint_role_trusted() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN g.kind = 'f' AND g.grantee <> 0 AND NOT bool_or(a.serves) THEN 'warning' ELSE 'error' END,
           'role_trusted', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
           format('%s may %s.', coalesce('HTTP clients reach ' || string_agg(DISTINCT a.name, ', ' ORDER BY a.name) || ', and', 'Everybody'),
                  CASE WHEN g.kind = 'f' AND g.object ~ 'api_key' THEN format('call %s: they can be admins', g.object)
                       WHEN g.kind = 'f' THEN format('call %s: they can be anybody', g.object)
                       ELSE format('write %s: they decide what is served to whom', g.object) END),
           format('REVOKE %s %s FROM %s', CASE g.kind WHEN 'f' THEN 'EXECUTE ON FUNCTION' ELSE 'ALL ON' END, g.object,
                  CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END)
    FROM (SELECT 'f', p.oid::regprocedure::text, x.grantee
          FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
          WHERE x.grantee <> p.proowner
            AND p.oid IN ('assume(text, text, text, text, inet)'::regprocedure,
                          'issue_token(text, text, text, text[], interval)'::regprocedure,
                          'jwt_key_add(text, text, text)'::regprocedure,
                          'jwt_public_key_add(text, jsonb, text)'::regprocedure,
                          'jwks_import(text, jsonb)'::regprocedure,
                          'api_key_create(text, text, text[], text[], timestamptz, text)'::regprocedure,
                          'api_key_set(text, text, text)'::regprocedure)
          UNION
          SELECT 't', c.oid::regclass::text, x.grantee
          FROM pg_class c, aclexplode(c.relacl) x
          WHERE x.grantee <> c.relowner AND x.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
            AND c.oid IN ('route'::regclass, 'rate_policy'::regclass, 'issuer'::regclass, 'jwt_key'::regclass)) g (kind, object, grantee)
    LEFT JOIN (SELECT b.role, b.name, b.serves FROM lint_roles() b JOIN pg_roles own ON own.oid = b.role AND NOT own.rolsuper) a
        ON g.grantee <> 0 AND pg_has_role(a.role, g.grantee, 'USAGE')
    WHERE a.role IS NOT NULL OR g.grantee = 0
    GROUP BY g.kind, g.object, g.grantee;
END;
COMMENT ON FUNCTION lint_role_trusted() IS 'lint(): roles of clients that may assume identities, issue tokens, register keys or write configuration.';

CREATE FUNCTION lint_not_preloaded() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN EXISTS (SELECT FROM lint_routes() r WHERE r.rate <> '{}') THEN 'error' ELSE 'warning' END,
           'not_preloaded', 'relay_guard', 'The server did not load the library at its start: rate limits cannot count.',
           'Add relay_guard to shared_preload_libraries in postgresql.conf, and restart the server'
    WHERE ready() ->> 'counters' = 'false';
END;
COMMENT ON FUNCTION lint_not_preloaded() IS 'lint(): whether the server loads relay_guard at its start.';

CREATE FUNCTION lint_keys_stored() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF has_column_privilege('relay_guard.jwt_key', 'kid', 'SELECT') THEN
        RETURN EXISTS (SELECT kid FROM relay_guard.jwt_key);
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION lint_keys_stored() IS 'lint(): whether the caller sees keys that were sealed under the key ring.';

CREATE FUNCTION lint_no_keyring() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN lint_keys_stored() THEN 'error' ELSE 'notice' END, 'no_keyring', 'relay_guard',
           CASE WHEN lint_keys_stored() THEN 'Keys are stored, and the server has no key ring to open them: no token is accepted.'
                ELSE 'The server has no key ring: it can keep no secret and issue no token.' END,
           'Make a file with relay_gateway keyring new FILE as the server''s user, or bring the old one back; '
           'name it in relay_guard.keyring_file, and reload the server''s configuration'
    WHERE ready() ->> 'keyring' = 'false';
END;
COMMENT ON FUNCTION lint_no_keyring() IS 'lint(): whether the server has a key ring.';

-- From the release notes: what a minor version fixed that showed or changed
-- rows which policies hide.
CREATE FUNCTION lint_server_outdated(version int DEFAULT current_setting('server_version_num')::int) RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'server_outdated', 'PostgreSQL ' || $1 / 10000 || '.' || $1 % 10000,
           format('%s: %s.', f.cve, f.what),
           format('Install PostgreSQL %s.%s or later, and restart the server', $1 / 10000, f.minor)
    FROM (VALUES
        (15, 3, 'CVE-2023-2455', 'policies of the wrong role apply after a function was inlined'),
        (15, 4, 'CVE-2023-39418', 'MERGE does not enforce UPDATE and SELECT policies'),
        (15, 6, 'CVE-2024-0985', 'REFRESH MATERIALIZED VIEW CONCURRENTLY runs functions of others with the rights of who refreshes'),
        (15, 7, 'CVE-2024-4317', 'pg_stats_ext shows the most common values of other roles'' tables'),
        (16, 3, 'CVE-2024-4317', 'pg_stats_ext shows the most common values of other roles'' tables'),
        (15, 9, 'CVE-2024-10976', 'a reused plan with a sub-query applies the policies of the wrong role'),
        (16, 5, 'CVE-2024-10976', 'a reused plan with a sub-query applies the policies of the wrong role'),
        (17, 1, 'CVE-2024-10976', 'a reused plan with a sub-query applies the policies of the wrong role'),
        (15, 9, 'CVE-2024-10978', 'SET ROLE can be undone to the wrong role'),
        (16, 5, 'CVE-2024-10978', 'SET ROLE can be undone to the wrong role'),
        (17, 1, 'CVE-2024-10978', 'SET ROLE can be undone to the wrong role'),
        (15, 14, 'CVE-2025-8713', 'the planner''s statistics show values of rows that policies hide'),
        (16, 10, 'CVE-2025-8713', 'the planner''s statistics show values of rows that policies hide'),
        (17, 6, 'CVE-2025-8713', 'the planner''s statistics show values of rows that policies hide'),
        (15, 19, 'CVE-2026-14666', 'cached plans keep policies as they were before a role changed'),
        (16, 15, 'CVE-2026-14666', 'cached plans keep policies as they were before a role changed'),
        (17, 11, 'CVE-2026-14666', 'cached plans keep policies as they were before a role changed'),
        (18, 5, 'CVE-2026-14666', 'cached plans keep policies as they were before a role changed')
    ) f (major, minor, cve, what)
    WHERE f.major = $1 / 10000 AND f.minor > $1 % 10000;
END;
COMMENT ON FUNCTION lint_server_outdated(int) IS 'lint(): fixes of row-level security that the server lacks.';

CREATE FUNCTION lint_route_open() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'notice', CASE WHEN r.writes THEN 'route_open_write' ELSE 'route_unlimited' END,
           r.method || ' ' || r.path,
           CASE WHEN r.writes THEN 'Anybody may call it without a token or a limit, and it writes.'
                ELSE 'No rate limit binds it.' END,
           format('UPDATE relay_guard.route SET rate = ''{ip}'' WHERE method = %L AND path = %L', r.method, r.path)
    FROM (SELECT t.*, t.auth IN ('none', 'optional') AND t.query ~* '\m(insert|update|delete|merge)\M' AS writes
          FROM lint_routes() t WHERE t.rate = '{}') r;
END;
COMMENT ON FUNCTION lint_route_open() IS 'lint(): routes that nothing limits.';

-- What is meant so: "lint: allow rls_missing" in the comment of a table or view.
-- Only what its owner may decide, who writes the comment.
CREATE FUNCTION lint_allowances() RETURNS TABLE (object text, code text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT r.name, m[1]
    FROM pg_description d
    JOIN lint_relations() r ON r.rel = d.objoid
    CROSS JOIN regexp_matches(d.description, '\mlint: allow (\w+)', 'g') m
    WHERE d.classoid = 'pg_class'::regclass AND d.objsubid = 0
      AND r.owner NOT IN (SELECT a.role FROM lint_roles() a)
      AND m[1] IN ('rls_missing', 'foreign_table', 'public_privileges', 'published', 'view_not_invoker', 'matview_of_protected',
                   'policy_allows_all', 'policy_beside_protect', 'policy_bare_reader', 'policy_not_indexed');
END;
COMMENT ON FUNCTION lint_allowances() IS 'lint(): findings that a comment of the table allows.';

-- One large query over small tables: compiling it takes seconds, running it less.
CREATE FUNCTION lint() RETURNS TABLE (severity text, code text, object text, detail text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
BEGIN ATOMIC
    SELECT l.severity, f.code, f.object, f.detail, f.fix
    FROM (SELECT * FROM lint_rls_missing()
          UNION ALL SELECT * FROM lint_policy_without_rls()
          UNION ALL SELECT * FROM lint_rls_not_forced()
          UNION ALL SELECT * FROM lint_child_without_rls()
          UNION ALL SELECT * FROM lint_foreign_table()
          UNION ALL SELECT * FROM lint_public_privileges()
          UNION ALL SELECT * FROM lint_beyond_policies()
          UNION ALL SELECT * FROM lint_published()
          UNION ALL SELECT * FROM lint_trigger_disabled()
          UNION ALL SELECT * FROM lint_triggers_off()
          UNION ALL SELECT * FROM lint_config_trigger()
          UNION ALL SELECT * FROM lint_index_demoted()
          UNION ALL SELECT * FROM lint_view_of_protected()
          UNION ALL SELECT * FROM lint_matview_of_protected()
          UNION ALL SELECT * FROM lint_policy_settable()
          UNION ALL SELECT * FROM lint_policy_settable_by_function()
          UNION ALL SELECT * FROM lint_policy_bare_reader()
          UNION ALL SELECT * FROM lint_policy_bare_function()
          UNION ALL SELECT * FROM lint_immutable_reader()
          UNION ALL SELECT * FROM lint_policy_allows_all()
          UNION ALL SELECT * FROM lint_policy_beside_protect()
          UNION ALL SELECT * FROM lint_policy_not_indexed()
          UNION ALL SELECT * FROM lint_definer_path()
          UNION ALL SELECT * FROM lint_definer_temp()
          UNION ALL SELECT * FROM lint_definer_writable()
          UNION ALL SELECT * FROM lint_definer_public()
          UNION ALL SELECT * FROM lint_definer_bypasses()
          UNION ALL SELECT * FROM lint_role_bypasses()
          UNION ALL SELECT * FROM lint_role_powers()
          UNION ALL SELECT * FROM lint_role_owns()
          UNION ALL SELECT * FROM lint_gateway_privileges()
          UNION ALL SELECT * FROM lint_role_trusted()
          UNION ALL SELECT * FROM lint_audit_partitions()
          UNION ALL SELECT * FROM lint_audit_incomplete()
          UNION ALL SELECT * FROM lint_audit_writable()
          UNION ALL SELECT * FROM lint_audit_guard()
          UNION ALL SELECT * FROM lint_not_preloaded()
          UNION ALL SELECT * FROM lint_no_keyring()
          UNION ALL SELECT * FROM lint_server_outdated()
          UNION ALL SELECT * FROM lint_route_open()) f
    LEFT JOIN lint_allowances() a ON a.object = f.object AND a.code = f.code
    CROSS JOIN LATERAL (VALUES (CASE WHEN a.code IS NULL THEN f.severity ELSE 'notice' END)) l (severity)
    ORDER BY array_position('{error,warning,notice}', l.severity),
             f.code COLLATE "C", f.object COLLATE "C", f.detail COLLATE "C", f.fix COLLATE "C";
END;
COMMENT ON FUNCTION lint() IS
'What gets around row-level security here: each finding with the statement or the steps that mend it. Severities are error, warning and notice; checks the application''s schemas, its roles, and the server. "lint: allow code" in the comment of a table or view makes what is meant so a notice.';
