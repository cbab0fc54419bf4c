
-- lint(): the checks of policies and functions.

-- A node tree without its sub-selects: from the inside out, braces that hold
-- none are a SUBLINK, which goes, or another node, which gets other braces.
CREATE FUNCTION lint_outside_subselects(tree text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    tree := regexp_replace(tree, '\\.', '', 'g'); -- braces in names are escaped
    WHILE tree ~ '\{[^{}]*\}' LOOP
        tree := regexp_replace(tree, '\{SUBLINK [^{}]*\}', '', 'g');
        tree := regexp_replace(tree, '\{([^{}]*)\}', '<\1>', 'g');
    END LOOP;
    RETURN tree;
END
$$;
COMMENT ON FUNCTION lint_outside_subselects(text) IS 'lint(): of an expression''s node tree, what is evaluated for each row.';

CREATE FUNCTION lint_calls(tree text) RETURNS TABLE (function oid)
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT DISTINCT m[1]::oid FROM regexp_matches($1, ':(?:op)?funcid (\d+)', 'g') m;
END;
COMMENT ON FUNCTION lint_calls(text) IS 'lint(): the functions that a node tree calls.';

CREATE FUNCTION lint_readers() RETURNS TABLE (reader oid)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'relay_guard'::regnamespace
      AND p.proname IN ('user_id', 'user_uuid', 'user_bigint', 'workspace_id', 'workspace_uuid', 'role', 'via',
                        'request_id', 'client_ip', 'has_scope', 'claims');
END;
COMMENT ON FUNCTION lint_readers() IS 'lint(): the functions that read the identity.';

CREATE FUNCTION lint_policies()
RETURNS TABLE (rel oid, table_name text, policy oid, name name, permissive boolean, command "char", roles oid[],
               trees text, using_text text, check_text text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.rel, r.name, p.oid, p.polname, p.polpermissive, p.polcmd, p.polroles,
           concat(p.polqual::text, p.polwithcheck::text),
           pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
    FROM lint_relations() r JOIN pg_policy p ON p.polrelid = r.rel;
END;
COMMENT ON FUNCTION lint_policies() IS 'lint(): the application''s policies.';

CREATE FUNCTION lint_alter_policy(name name, table_name text, using_text text, check_text text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT format('ALTER POLICY %I ON %s', $1, $2) || coalesce(' USING (' || $3 || ')', '') || coalesce(' WITH CHECK (' || $4 || ')', '');
END;
COMMENT ON FUNCTION lint_alter_policy(name, text, text, text) IS 'lint(): the statement that gives a policy other expressions.';

-- What functions of the application say, without comments.  A body in the
-- SQL standard's form is kept as a tree.
CREATE FUNCTION lint_functions()
RETURNS TABLE (function oid, name text, schema text, owner oid, definer boolean, config text[],
               volatility "char", result oid, language name, source text, tree text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.oid, format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
           n.nspname, p.proowner, p.prosecdef, p.proconfig, p.provolatile, p.prorettype, l.lanname,
           regexp_replace(regexp_replace(p.prosrc, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g'), p.prosqlbody::text
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'relay_guard')
      AND l.lanname NOT IN ('c', 'internal')
      AND p.oid <> ALL (ARRAY(SELECT d.objid FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'));
END;
COMMENT ON FUNCTION lint_functions() IS 'lint(): functions of the application.';

CREATE FUNCTION lint_names_reader(source text, tree text) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT $1 ~* '\mrelay_guard"?\s*\.\s*"?(user_id|user_uuid|user_bigint|workspace_id|workspace_uuid|role|via|request_id|client_ip|has_scope|claims)\M'
        OR EXISTS (SELECT FROM lint_calls($2) c JOIN lint_readers() r ON r.reader = c.function);
END;
COMMENT ON FUNCTION lint_names_reader(text, text) IS 'lint(): whether a function''s body reads the identity.';

CREATE FUNCTION lint_names_setting(source text, tree text) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT $1 ~* '\mcurrent_setting"?\s*\('
        OR EXISTS (SELECT FROM lint_calls($2) c
                   WHERE c.function IN ('current_setting(text)'::regprocedure, 'current_setting(text, boolean)'::regprocedure));
END;
COMMENT ON FUNCTION lint_names_setting(text, text) IS 'lint(): whether a function''s body reads a setting.';

-- The reader that stands for what a name or a type speaks of.
CREATE FUNCTION lint_reader_for(hint text, type oid) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT format('(SELECT relay_guard.%s_%s())',
                  CASE WHEN $1 ~* 'tenant|workspace|org|account' THEN 'workspace' ELSE 'user' END,
                  CASE WHEN $2 = 'uuid'::regtype THEN 'uuid'
                       WHEN $2 = 'bigint'::regtype AND $1 !~* 'tenant|workspace|org|account' THEN 'bigint' ELSE 'id' END);
END;
COMMENT ON FUNCTION lint_reader_for(text, oid) IS 'lint(): a reader in place of a setting.';

-- Anyone can SET a setting.
CREATE FUNCTION lint_policy_settable() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'policy_settable', p.table_name,
           format('Policy %I believes current_setting(%L), which any role can SET.', p.name, s.setting),
           lint_alter_policy(p.name, p.table_name, regexp_replace(p.using_text, s.call, s.reader, 'g'),
                             regexp_replace(p.check_text, s.call, s.reader, 'g'))
    FROM lint_policies() p
    CROSS JOIN LATERAL (
        SELECT m[1] AS setting, 'current_setting\(''[^'']*''::text(, (true|false))?\)' AS call,
               lint_reader_for(m[1], 'text'::regtype) AS reader
        FROM regexp_match(concat_ws(' ', p.using_text, p.check_text), 'current_setting\(''([^'']*)''') m) s
    WHERE EXISTS (SELECT FROM lint_calls(p.trees) c
                  WHERE c.function IN ('current_setting(text)'::regprocedure, 'current_setting(text, boolean)'::regprocedure));
END;
COMMENT ON FUNCTION lint_policy_settable() IS 'lint(): policies that believe a setting.';

-- The same behind a function, such as auth.uid().
CREATE FUNCTION lint_policy_settable_by_function() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'policy_settable', p.table_name,
           format('Policy %I believes %s, which reads a setting that any role can SET.', p.name, f.name),
           lint_alter_policy(p.name, p.table_name, replace(p.using_text, f.name, lint_reader_for(f.name, f.result)),
                             replace(p.check_text, f.name, lint_reader_for(f.name, f.result)))
    FROM lint_policies() p
    CROSS JOIN LATERAL lint_calls(p.trees) c
    JOIN lint_functions() f ON f.function = c.function
    WHERE lint_names_setting(f.source, f.tree);
END;
COMMENT ON FUNCTION lint_policy_settable_by_function() IS 'lint(): policies that believe a setting by way of a function.';

CREATE FUNCTION lint_policy_bare_reader() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'policy_bare_reader', p.table_name,
           format('Policy %I reads the identity outside a sub-select: plans are made for the first identity that comes, and serve all.', p.name),
           lint_alter_policy(p.name, p.table_name, regexp_replace(p.using_text, x.call, '(SELECT \1)', 'g'),
                             regexp_replace(p.check_text, x.call, '(SELECT \1)', 'g'))
    FROM lint_policies() p
    CROSS JOIN (VALUES ('(?<!SELECT )(relay_guard\.[a-z_]+\((?:''[^'']*''::text)?\))')) x (call)
    WHERE CASE WHEN concat_ws(' ', p.using_text, p.check_text) ~ '(?<!SELECT )relay_guard\.' -- else not worth the work
          THEN EXISTS (SELECT FROM lint_calls(lint_outside_subselects(p.trees)) c JOIN lint_readers() r ON r.reader = c.function)
          END;
END;
COMMENT ON FUNCTION lint_policy_bare_reader() IS 'lint(): policies whose plan depends on who comes first.';

-- The same by way of a function.
CREATE FUNCTION lint_policy_bare_function() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'policy_bare_reader', p.table_name,
           format('Policy %I calls %s outside a sub-select, which reads the identity: plans are made for the first identity that comes, and serve all.',
                  p.name, f.name),
           lint_alter_policy(p.name, p.table_name, replace(p.using_text, f.name, '(SELECT ' || f.name || ')'),
                             replace(p.check_text, f.name, '(SELECT ' || f.name || ')'))
    FROM (SELECT i.function, i.name FROM lint_functions() i WHERE lint_names_reader(i.source, i.tree)) f
    JOIN lint_policies() p ON p.trees ~ format(':(op)?funcid %s\M', f.function)
    WHERE EXISTS (SELECT FROM lint_calls(lint_outside_subselects(p.trees)) c WHERE c.function = f.function);
END;
COMMENT ON FUNCTION lint_policy_bare_function() IS 'lint(): policies whose plan depends on who comes first, by way of a function.';

-- Folded into a cached plan, it shows another tenant's rows.
CREATE FUNCTION lint_immutable_reader() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN f.reads THEN 'error' ELSE 'warning' END, 'immutable_reader', f.name,
           format('It reads %s and says that it is IMMUTABLE: its value is kept in plans, for whoever comes next.',
                  CASE WHEN f.reads THEN 'the identity' ELSE 'a setting' END),
           format('ALTER ROUTINE %s STABLE', f.name)
    FROM (SELECT i.name, lint_names_reader(i.source, i.tree) AS reads, lint_names_setting(i.source, i.tree) AS sets
          FROM lint_functions() i WHERE i.volatility = 'i') f
    WHERE f.reads OR f.sets;
END;
COMMENT ON FUNCTION lint_immutable_reader() IS 'lint(): IMMUTABLE functions that read the identity or a setting.';

-- Among several permissive policies the widest wins.
CREATE FUNCTION lint_policy_allows_all() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'policy_allows_all', p.table_name,
           format('Policy %I lets %s %s the rows of all.', p.name,
                  CASE WHEN 0 = ANY (p.roles) THEN 'everybody' ELSE 'clients' END,
                  CASE WHEN p.using_text = 'true' THEN 'see or change' ELSE 'write' END),
           format('DROP POLICY %I ON %s', p.name, p.table_name)
           || CASE WHEN EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = p.rel AND o.oid <> p.policy AND o.polpermissive) THEN ''
              ELSE '; ' || lint_protection(p.rel, p.table_name, k.owner, k.tenant) END
    FROM lint_policies() p JOIN lint_tenant_columns() k ON k.rel = p.rel
    WHERE p.permissive AND (p.using_text = 'true' OR p.check_text = 'true')
      AND (0 = ANY (p.roles) OR EXISTS (SELECT FROM lint_roles() a, unnest(p.roles) r (role)
                                        WHERE r.role <> 0 AND pg_has_role(a.role, r.role, 'USAGE')));
END;
COMMENT ON FUNCTION lint_policy_allows_all() IS 'lint(): policies that allow everything on tables that say whose a row is.';

CREATE FUNCTION lint_policy_beside_protect() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN x.reads THEN 'notice' ELSE 'warning' END, 'policy_beside_protect', p.table_name,
           format('Policy %I is permissive: it adds rows to those that protect() shows%s.', p.name,
                  CASE WHEN x.reads THEN '' ELSE ', whoever asks' END),
           format('DROP POLICY %1$I ON %2$s; CREATE POLICY %1$I ON %2$s AS RESTRICTIVE FOR %3$s TO %4$s', p.name, p.table_name,
                  CASE p.command WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                  (SELECT string_agg(CASE u WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u)) END, ', ') FROM unnest(p.roles) u))
           || coalesce(' USING (' || p.using_text || ')', '') || coalesce(' WITH CHECK (' || p.check_text || ')', '')
    FROM lint_policies() p
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM lint_calls(p.trees) c JOIN lint_readers() r ON r.reader = c.function) AS reads) x
    WHERE p.permissive AND p.name <> 'relay_guard'
      AND EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = p.rel AND o.polname = 'relay_guard');
END;
COMMENT ON FUNCTION lint_policy_beside_protect() IS 'lint(): permissive policies beside protect()''s.';

-- Columns compared with the identity, as deparsed: without a table before them,
-- unlike those of sub-selects.
CREATE FUNCTION lint_compared(expression text) RETURNS TABLE (attname name, part text)
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT DISTINCT CASE WHEN m[1] LIKE '"%' THEN replace(btrim(m[1], '"'), '""', '"') ELSE m[1] END, m[2]
    FROM regexp_matches($1, '(?<![."\w])("(?:[^"]|"")+"|\w+)\)?(?:::[a-z ]+)? = (?:\( SELECT )?\(?relay_guard\.(user|workspace)_', 'g') m;
END;
COMMENT ON FUNCTION lint_compared(text) IS 'lint(): which columns a policy compares with the identity''s user or workspace.';

-- Those of an OR each need an index.
CREATE FUNCTION lint_policy_not_indexed() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'policy_not_indexed', p.table_name,
           format('No index begins with %s, which policy %I compares with the identity: every query reads the whole table.',
                  array_to_string(k.columns, ', '), p.name),
           format('CREATE INDEX%s ON %s (%s)', CASE r.kind WHEN 'r' THEN ' CONCURRENTLY' ELSE '' END, p.table_name,
                  (SELECT string_agg(quote_ident(u), ', ' ORDER BY place) FROM unnest(k.columns) WITH ORDINALITY u (u, place)))
    FROM lint_policies() p
    JOIN lint_relations() r ON r.rel = p.rel
    CROSS JOIN LATERAL (
        SELECT array_agg(c.attname ORDER BY c.part DESC) AS columns
        FROM lint_compared(p.using_text) c
        JOIN pg_attribute a ON a.attrelid = p.rel AND a.attname = c.attname AND a.attnum > 0
        GROUP BY CASE WHEN p.using_text ~ ' OR ' THEN a.attnum ELSE 0 END) k
    WHERE r.protected AND r.kind IN ('r', 'p') AND NOT has_leading_index(p.rel, k.columns);
END;
COMMENT ON FUNCTION lint_policy_not_indexed() IS 'lint(): policies that no index serves.';

CREATE FUNCTION lint_definer_path() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'definer_path', f.name,
           'It is SECURITY DEFINER without a search_path of its own: the caller chooses which functions and tables it means.',
           format('ALTER ROUTINE %s SET search_path = pg_catalog, %I, pg_temp', f.name, f.schema)
    FROM lint_functions() f
    WHERE f.definer AND f.tree IS NULL
      AND NOT EXISTS (SELECT FROM unnest(f.config) c WHERE c LIKE 'search\_path=%');
END;
COMMENT ON FUNCTION lint_definer_path() IS 'lint(): SECURITY DEFINER functions without search_path.';

-- The schemas of SECURITY DEFINER functions' paths, in order.
CREATE FUNCTION lint_definer_schemas() RETURNS TABLE (function oid, name text, owner oid, place bigint, schema text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT f.function, f.name, f.owner, s.place, btrim(s.schema, ' "')
    FROM lint_functions() f
    CROSS JOIN unnest(f.config) c
    CROSS JOIN LATERAL regexp_split_to_table(substr(c, 13), ',') WITH ORDINALITY s (schema, place)
    WHERE f.definer AND f.tree IS NULL AND c LIKE 'search\_path=%';
END;
COMMENT ON FUNCTION lint_definer_schemas() IS 'lint(): the search paths of SECURITY DEFINER functions.';

-- Not named, the caller's temporary tables come first.  An empty path says
-- that the body qualifies every name.
CREATE FUNCTION lint_definer_temp() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'definer_temp', s.name,
           'It is SECURITY DEFINER and pg_temp is not the last of its search_path: a temporary table of the caller takes a table''s place.',
           format('ALTER ROUTINE %s SET search_path = %s', s.name,
                  concat_ws(', ', string_agg(quote_ident(s.schema), ', ' ORDER BY s.place) FILTER (WHERE s.schema <> 'pg_temp'), 'pg_temp'))
    FROM lint_definer_schemas() s
    GROUP BY s.function, s.name
    HAVING (array_agg(s.schema ORDER BY s.place DESC))[1] NOT IN ('pg_temp', '');
END;
COMMENT ON FUNCTION lint_definer_temp() IS 'lint(): SECURITY DEFINER functions that temporary tables can deceive.';

CREATE FUNCTION lint_definer_writable() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'definer_writable', s.name,
           format('It is SECURITY DEFINER and looks into schema %I, where %s may create what it then calls.', s.schema, g.names),
           format('REVOKE CREATE ON SCHEMA %I FROM %s', s.schema, g.names)
    FROM lint_definer_schemas() s
    JOIN pg_namespace n ON n.nspname = s.schema
    CROSS JOIN LATERAL (
        SELECT string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END, ', ' ORDER BY a.grantee) AS names
        FROM aclexplode(n.nspacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE a.privilege_type = 'CREATE' AND a.grantee NOT IN (s.owner, n.nspowner) AND r.rolsuper IS NOT TRUE) g
    WHERE g.names IS NOT NULL;
END;
COMMENT ON FUNCTION lint_definer_writable() IS 'lint(): SECURITY DEFINER functions that look into schemas of others.';

CREATE FUNCTION lint_definer_public() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'definer_public', f.name,
           format('It is SECURITY DEFINER, and every role may call it with the rights of %I.', pg_get_userbyid(f.owner)),
           format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', f.name)
    FROM lint_functions() f JOIN pg_proc p ON p.oid = f.function
    WHERE f.definer AND f.result NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
      AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0);
END;
COMMENT ON FUNCTION lint_definer_public() IS 'lint(): SECURITY DEFINER functions that PUBLIC may call.';

-- Those whose owner no policy binds, and that name a protected table.
CREATE FUNCTION lint_definer_bypasses() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'warning', 'definer_bypasses', f.name,
           format('It reads %s as %I, whom no policy binds: it alone keeps tenants apart.', string_agg(DISTINCT r.name, ', '), o.rolname),
           coalesce(format('ALTER ROUTINE %s OWNER TO ', f.name) || min(quote_ident(t.rolname)),
                    format('Give %s to a role that policies bind, with what it needs', f.name))
    FROM lint_functions() f
    JOIN pg_roles o ON o.oid = f.owner AND (o.rolsuper OR o.rolbypassrls)
    CROSS JOIN LATERAL (
        SELECT DISTINCT lower(w) AS word FROM regexp_split_to_table(f.source, '\W+') w) w
    JOIN pg_class c ON c.relname = w.word
    JOIN lint_relations() r ON r.rel = c.oid AND r.protected
    LEFT JOIN pg_roles t ON t.oid = r.owner AND NOT t.rolsuper AND NOT t.rolbypassrls
    WHERE f.definer
    GROUP BY f.function, f.name, o.oid, o.rolname;
END;
COMMENT ON FUNCTION lint_definer_bypasses() IS 'lint(): SECURITY DEFINER functions that read protected tables past their policies.';
