
-- protect(): row-level security on the identity, in one call.

-- The comparison of a column with the identity, by the column's type.  The
-- sub-select keeps the planner from folding one tenant's value into a plan
-- that serves all.
CREATE FUNCTION identity_match(rel regclass, attname name, part text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    coltype regtype;
    deterministic boolean;
    reader text;
BEGIN
    SELECT a.atttypid::regtype, coalesce(c.collisdeterministic, true) INTO coltype, deterministic
    FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation
    WHERE a.attrelid = rel AND a.attname = identity_match.attname
      AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_column',
            MESSAGE = format('table %s has no column %I', rel, attname),
            HINT = 'Name the column that holds the owner or the tenant.';
    END IF;
    IF NOT deterministic THEN
        RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column %I has a nondeterministic collation', attname),
            HINT = 'It would take different users for one: use COLLATE "C".';
    END IF;
    reader := CASE WHEN coltype IN ('text'::regtype, 'varchar'::regtype) THEN part || '_id'
                   WHEN coltype = 'uuid'::regtype THEN part || '_uuid'
                   WHEN coltype = 'bigint'::regtype AND part = 'user' THEN 'user_bigint' END;
    IF reader IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column %I of type %s cannot hold the %s', attname, coltype, part),
            HINT = 'Use text or uuid, or bigint for an owner with numeric user ids.';
    END IF;
    RETURN format('%I = (SELECT relay_guard.%I())', attname, reader);
END
$$;
COMMENT ON FUNCTION identity_match(regclass, name, text) IS
'The condition under which a row belongs to the identity; part is user or workspace.';

-- Whether some valid index starts with these columns, in any order.
CREATE FUNCTION has_leading_index(rel regclass, columns name[]) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_index i
        WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL
          AND (SELECT count(*) FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
               WHERE k.place <= pg_catalog.cardinality($2) AND a.attname = ANY ($2)) = pg_catalog.cardinality($2));
END;
COMMENT ON FUNCTION has_leading_index(regclass, name[]) IS
'Whether a policy on these columns is served by an index.';

-- Builds an index on the policy's columns, then the primary key's, if none serves.
CREATE FUNCTION ensure_leading_index(rel regclass, columns name[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key name[];
BEGIN
    IF relay_guard.has_leading_index(rel, columns) THEN
        RETURN;
    END IF;
    SELECT coalesce(array_agg(a.attname ORDER BY k.place), '{}') INTO key
    FROM pg_index i
    CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = rel AND i.indisprimary AND a.attname <> ALL (columns);
    EXECUTE format('CREATE INDEX ON %s (%s)', rel,
                   (SELECT string_agg(quote_ident(c), ', ' ORDER BY place)
                    FROM unnest(columns || key) WITH ORDINALITY u (c, place)));
END
$$;
COMMENT ON FUNCTION ensure_leading_index(regclass, name[]) IS
'Builds the composite index that a policy on these columns needs, unless there is one.';

-- Privileges that know no policies, from everybody but the owner.
CREATE FUNCTION revoke_beyond_policies(rel regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = rel AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE TRUNCATE, REFERENCES, TRIGGER ON %s FROM %s', rel, grantee);
    END LOOP;
END
$$;
COMMENT ON FUNCTION revoke_beyond_policies(regclass) IS
'Revokes TRUNCATE, REFERENCES and TRIGGER on a table from everybody but its owner.';

CREATE FUNCTION protect("table" regclass, owner name DEFAULT 'user_id', tenant name DEFAULT NULL,
                        grant_to regrole DEFAULT NULL, build_index boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rel CONSTANT regclass := "table";
    condition text := relay_guard.identity_match(rel, owner, 'user');
    other name := (SELECT polname FROM pg_policy
                   WHERE polrelid = rel AND polpermissive AND polname <> 'relay_guard' LIMIT 1);
BEGIN
    IF other IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table %s has a permissive policy %I already', rel, other),
            HINT = 'Permissive policies add up: drop it, make it RESTRICTIVE, or create it after protect() if it is meant to show more.';
    END IF;
    IF tenant IS NOT NULL THEN
        condition := condition || ' AND ' || relay_guard.identity_match(rel, tenant, 'workspace');
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', rel);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', rel);
    IF EXISTS (SELECT FROM pg_policy WHERE polrelid = rel AND polname = 'relay_guard') THEN
        EXECUTE format('DROP POLICY relay_guard ON %s', rel);
    END IF;
    EXECUTE format('CREATE POLICY relay_guard ON %s USING (%s) WITH CHECK (%2$s)', rel, condition);
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', rel);
    PERFORM relay_guard.revoke_beyond_policies(rel);
    IF grant_to IS NOT NULL THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %s', rel, grant_to);
    END IF;
    IF build_index THEN
        PERFORM relay_guard.ensure_leading_index(rel, array_remove(ARRAY[tenant, owner], NULL));
    END IF;
END
$$;
COMMENT ON FUNCTION protect(regclass, name, name, regrole, boolean) IS
'Shows and takes only rows of this transaction''s identity: forced row-level security, one policy, grants to grant_to and the index the policy needs. Again with other columns: replaces the policy.';

CREATE FUNCTION unprotect("table" regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rel CONSTANT regclass := "table";
BEGIN
    IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = rel AND polname = 'relay_guard') THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('table %s is not protected', rel),
            HINT = 'Only what relay_guard.protect() did can be undone.';
    END IF;
    EXECUTE format('DROP POLICY relay_guard ON %s', rel);
    -- Other policies go on being enforced
    IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = rel) THEN
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', rel);
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', rel);
    END IF;
END
$$;
COMMENT ON FUNCTION unprotect(regclass) IS
'Takes away the policy of protect(), and row-level security where no other policy is left. Grants and the index stay.';
