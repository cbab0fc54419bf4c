
-- The view that decrypts a table, and what of it survives when it is made anew.

CREATE FUNCTION aad_expression(label text, aad name[]) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT pg_catalog.format('relay_guard.aad(%s)', pg_catalog.concat_ws(', ', pg_catalog.quote_literal(label),
        (SELECT pg_catalog.string_agg(pg_catalog.format('%I::text', part), ', ' ORDER BY place)
         FROM pg_catalog.unnest(aad) WITH ORDINALITY u (part, place))));
END;
COMMENT ON FUNCTION aad_expression(text, name[]) IS 'The expression for the AAD of an encrypted column, in a statement on its table.';

CREATE FUNCTION decrypting_query(rel regclass) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT pg_catalog.format('SELECT %s FROM %s WHERE %s',
        pg_catalog.string_agg(CASE WHEN e.label IS NULL THEN pg_catalog.quote_ident(a.attname)
            ELSE pg_catalog.format('relay_guard.opened_%s(%I, %s) AS %2$I', e.plaintext, a.attname,
                                   relay_guard.aad_expression(e.label, e.aad)) END, ', ' ORDER BY a.attnum),
        rel,
        pg_catalog.string_agg(pg_catalog.format('relay_guard.opens(%I, %s)', a.attname,
                                   relay_guard.aad_expression(e.label, e.aad)), ' AND ' ORDER BY a.attnum)
            FILTER (WHERE e.label IS NOT NULL))
    FROM pg_catalog.pg_attribute a
    LEFT JOIN relay_guard.encrypted_column e ON e.relation = rel AND e.column_name = a.attname
    WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped;
END;
COMMENT ON FUNCTION decrypting_query(regclass) IS
'The query of the view that decrypts a table; rows of which a value does not open are not there.';

CREATE FUNCTION stored_column(view regclass, number smallint) RETURNS smallint
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'relay_guard_stored_column';
COMMENT ON FUNCTION stored_column(regclass, smallint) IS
'The number that a column of a view that decrypts has in its table, whatever they are called by now.';

-- GRANTs of a relation and its columns, as commands on another.
CREATE FUNCTION grants_for(rel regclass, "table" regclass, target text) RETURNS text[]
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT pg_catalog.array_agg(pg_catalog.format('GRANT %s%s ON %s TO %s%s', a.privilege_type,
                                   ' (' || pg_catalog.quote_ident(o.attname) || ')', target,
                                   CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END,
                                   CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END))
    FROM (SELECT NULL::name AS attname, relacl AS acl, relowner AS owner FROM pg_catalog.pg_class WHERE oid = rel
          UNION ALL
          SELECT coalesce(b.attname, a.attname), a.attacl, c.relowner FROM pg_catalog.pg_attribute a
          JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
          LEFT JOIN pg_catalog.pg_attribute b ON b.attrelid = "table" AND b.attnum = relay_guard.stored_column(rel, a.attnum)
          WHERE a.attrelid = rel AND NOT a.attisdropped) o, pg_catalog.aclexplode(o.acl) a
    WHERE a.grantee <> o.owner AND a.privilege_type = ANY ('{SELECT,INSERT,UPDATE,DELETE}');
END;
COMMENT ON FUNCTION grants_for(regclass, regclass, text) IS
'What may be done with a table, or the view that decrypts it, by others than its owner: as commands that grant it on a new view.';

-- What is said of the view alone; of the one to come, if there is none.
CREATE FUNCTION decrypted_view_state(rel regclass) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    view CONSTANT regclass := relay_guard.decrypted_view(rel);
    class pg_class := (SELECT c FROM pg_class c WHERE c.oid = coalesce(view, rel));
    relname CONSTANT text := CASE WHEN view IS NULL THEN 'decrypted_' ELSE '' END || class.relname;
    target CONSTANT text := format('%s.%I', class.relnamespace::regnamespace, relname);
BEGIN
    RETURN jsonb_build_object('view', target, 'exists', view IS NOT NULL,
        'comment', obj_description(view, 'pg_class'),
        'grants', coalesce(relay_guard.grants_for(coalesce(view, rel), rel, target), '{}'),
        'defaults', (SELECT coalesce(jsonb_object_agg(relay_guard.stored_column(view, d.adnum), pg_get_expr(d.adbin, d.adrelid)), '{}')
                     FROM pg_attrdef d WHERE d.adrelid = view AND relay_guard.stored_column(view, d.adnum) IS NOT NULL));
END
$$;
COMMENT ON FUNCTION decrypted_view_state(regclass) IS
'Name, privileges, defaults and comment of the view that decrypts a table.';

-- Defaults of plain columns are the table's; those of encrypted ones are the view's own.
CREATE FUNCTION set_view_defaults(rel regclass, state jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('ALTER VIEW %s ALTER %I %s', state ->> 'view', a.attname,
                      coalesce('SET DEFAULT ' || CASE WHEN e.label IS NULL THEN pg_get_expr(d.adbin, d.adrelid)
                                                      ELSE state -> 'defaults' ->> a.attnum::text END, 'DROP DEFAULT'))
        FROM pg_attribute a
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
        LEFT JOIN relay_guard.encrypted_column e ON e.relation = rel AND e.column_name = a.attname
        WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped
    LOOP
        EXECUTE command;
    END LOOP;
END
$$;
COMMENT ON FUNCTION set_view_defaults(regclass, jsonb) IS 'Gives the view that decrypts a table its defaults.';

CREATE FUNCTION set_view_grants(view regclass, state jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    command text;
BEGIN
    -- ALTER DEFAULT PRIVILEGES may have granted to anyone
    FOR command IN
        SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', view,
                               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = view AND a.grantee <> c.relowner
        UNION ALL
        SELECT g FROM jsonb_array_elements_text(state -> 'grants') g
    LOOP
        EXECUTE command;
    END LOOP;
END
$$;
COMMENT ON FUNCTION set_view_grants(regclass, jsonb) IS 'Grants on the view that decrypts a table what was granted before, and nothing else.';

CREATE FUNCTION create_decrypted_view(rel regclass, state jsonb) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    view CONSTANT text := state ->> 'view';
    owner CONSTANT regrole := (SELECT relowner FROM pg_class WHERE oid = rel);
BEGIN
    IF to_regclass(view) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_table',
            MESSAGE = format('relation %s exists already', view),
            HINT = 'The view that decrypts the table takes this name: rename the other one. The view may be renamed afterwards.';
    END IF;
    EXECUTE format('CREATE VIEW %s WITH (security_invoker) AS %s', view, relay_guard.decrypting_query(rel));
    EXECUTE format('CREATE TRIGGER relay_guard_encrypted_write INSTEAD OF INSERT OR UPDATE OR DELETE ON %s
        FOR EACH ROW EXECUTE FUNCTION relay_guard.encrypted_write()', view);
    PERFORM relay_guard.set_view_defaults(rel, state);
    EXECUTE format('COMMENT ON VIEW %s IS %L', view, coalesce(state ->> 'comment',
        format('Table %s with its encrypted columns in clear, made by relay_guard.encrypt_column().', rel)));
    IF owner <> current_user::regrole THEN
        EXECUTE format('ALTER VIEW %s OWNER TO %s', view, owner);
    END IF;
    PERFORM relay_guard.set_view_grants(view, state);
    RETURN view;
END
$$;
COMMENT ON FUNCTION create_decrypted_view(regclass, jsonb) IS 'Makes the view that decrypts a table.';

CREATE FUNCTION drop_decrypted_view(state jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (state ->> 'exists')::boolean THEN
        EXECUTE format('DROP VIEW %s', state ->> 'view');
    END IF;
END
$$;
COMMENT ON FUNCTION drop_decrypted_view(jsonb) IS 'Drops the view that decrypts a table, if there is one.';

-- With columns added only, what depends on the view can stay.
CREATE FUNCTION replace_decrypted_view(rel regclass, state jsonb) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT (state ->> 'exists')::boolean THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE OR REPLACE VIEW %s WITH (security_invoker) AS %s', state ->> 'view', relay_guard.decrypting_query(rel));
    PERFORM relay_guard.set_view_defaults(rel, state);
    RETURN true;
EXCEPTION WHEN invalid_table_definition THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION replace_decrypted_view(regclass, jsonb) IS
'Gives the view that decrypts a table its query anew; false when its columns are others.';
