
-- encrypt_column(): a column that holds envelopes only, and the view that opens them.

-- What the views call.  STABLE, not VOLATILE as try_decrypt_...(): a query on the
-- view is planned as one on the table, so that its indexes give the order and
-- FOR UPDATE reads the value that it has locked.
CREATE FUNCTION opened_text(ciphertext bytea, aad bytea) RETURNS text
LANGUAGE C STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'relay_guard_try_decrypt_text';
COMMENT ON FUNCTION opened_text(bytea, bytea) IS 'As try_decrypt_text(), in views that encrypt_column() makes.';

CREATE FUNCTION opened_bytea(ciphertext bytea, aad bytea) RETURNS bytea
LANGUAGE C STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'relay_guard_try_decrypt_bytea';
COMMENT ON FUNCTION opened_bytea(bytea, bytea) IS 'As try_decrypt_bytea(), in views that encrypt_column() makes.';

CREATE FUNCTION opened_jsonb(ciphertext bytea, aad bytea) RETURNS jsonb
LANGUAGE C STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'relay_guard_try_decrypt_jsonb';
COMMENT ON FUNCTION opened_jsonb(bytea, bytea) IS 'As try_decrypt_jsonb(), in views that encrypt_column() makes.';

CREATE FUNCTION opens_support(internal) RETURNS internal
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'relay_guard_opens_support';
COMMENT ON FUNCTION opens_support(internal) IS 'Tells the planner that nearly all values open.';

CREATE FUNCTION opens(ciphertext bytea, aad bytea) RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE COST 100 SUPPORT opens_support AS 'MODULE_PATHNAME', 'relay_guard_opens';
COMMENT ON FUNCTION opens(bytea, bytea) IS
'Whether a value opens with that AAD, or is NULL: rows for which it is false are not there for the views that encrypt_column() makes.';

CREATE FUNCTION encrypted_guard() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_encrypted_guard';
COMMENT ON FUNCTION encrypted_guard() IS
'Trigger of an encrypted column: refuses a value that does not open in its row. Its columns are the encrypted one and those of the AAD, its arguments the label and the type of plaintext.';

CREATE FUNCTION encrypted_write() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_encrypted_write';
COMMENT ON FUNCTION encrypted_write() IS
'Trigger of a view that decrypts: encrypts what is written and writes it to the table.';

CREATE FUNCTION decrypted_view("table" regclass) RETURNS regclass
LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
    SELECT r.ev_class::regclass
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> "table"
    JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.ev_class
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = "table"
      AND t.tgfoid = 'relay_guard.encrypted_write()'::pg_catalog.regprocedure
    ORDER BY r.ev_class LIMIT 1;
END;
COMMENT ON FUNCTION decrypted_view(regclass) IS 'The view that decrypts a table, whatever it is called by now.';

CREATE VIEW encrypted_column AS
SELECT t.tgrelid::regclass AS relation,
       a.attname AS column_name,
       convert_from(substring(t.tgargs, 1, position('\x00'::bytea IN t.tgargs) - 1), getdatabaseencoding()) AS label,
       CASE substring(t.tgargs, position('\x00'::bytea IN t.tgargs) + 1)
           WHEN 'text\000' THEN 'text'::regtype
           WHEN 'bytea\000' THEN 'bytea'::regtype
           ELSE 'jsonb'::regtype END AS plaintext,
       ARRAY(SELECT b.attname FROM unnest(t.tgattr::int2[]) WITH ORDINALITY k (attnum, place)
             JOIN pg_attribute b ON b.attrelid = t.tgrelid AND b.attnum = k.attnum
             WHERE k.place > 1 ORDER BY k.place) AS aad,
       decrypted_view(t.tgrelid) AS decrypted_view
FROM pg_trigger t
JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = t.tgattr[0]
WHERE t.tgfoid = 'relay_guard.encrypted_guard()'::regprocedure AND t.tgparentid = 0 AND t.tgnargs = 2
  -- What whoever may create triggers said of other columns is no definition
  AND a.atttypid = 'bytea'::regtype
  AND substring(t.tgargs, position('\x00'::bytea IN t.tgargs) + 1) IN ('text\000', 'bytea\000', 'jsonb\000');
COMMENT ON VIEW encrypted_column IS
'The encrypted columns of this database, read from their guard triggers: what each is bound to, as what it is decrypted, and the view that does it.';

-- The checks

CREATE FUNCTION check_encryptable_table(rel regclass) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class := (SELECT c FROM pg_class c WHERE c.oid = rel);
BEGIN
    IF class.relkind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION USING ERRCODE = 'wrong_object_type',
            MESSAGE = format('%s is not a table', rel),
            HINT = 'Columns of tables and of partitioned tables can be encrypted.';
    ELSIF class.relispartition THEN
        RAISE EXCEPTION USING ERRCODE = 'wrong_object_type',
            MESSAGE = format('table %s is a partition', rel),
            HINT = 'Encrypt the column of the partitioned table; its partitions follow.';
    ELSIF EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                  WHERE rel IN (i.inhrelid, i.inhparent) AND NOT c.relispartition) THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = format('table %s has a parent or children by inheritance', rel),
            HINT = 'Triggers are not inherited: use a partitioned table.';
    ELSIF class.relpersistence = 't' THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = format('table %s is temporary', rel),
            HINT = 'Use relay_guard.encrypt() in the statements that fill it.';
    ELSIF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = rel AND indisprimary AND indisvalid AND indimmediate) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table %s has no primary key', rel),
            HINT = 'Add one: the view that decrypts finds rows by it.';
    ELSIF octet_length('decrypted_' || class.relname) > 63 THEN
        RAISE EXCEPTION USING ERRCODE = 'name_too_long',
            MESSAGE = format('a view "decrypted_%s" would have too long a name', class.relname),
            HINT = 'Rename the table to at most 53 bytes; the view may be renamed afterwards.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_encryptable_table(regclass) IS 'Raises an error when no column of the table can be encrypted.';

-- Indexes, CHECKs and the like that were made for the plaintext.
CREATE FUNCTION check_plaintext_unused(rel regclass, attribute pg_attribute) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used_by text;
BEGIN
    SELECT CASE WHEN d.classid = 'pg_class'::regclass THEN format('index %s', d.objid::regclass)
                ELSE format('constraint %I', c.conname) END INTO used_by
    FROM pg_depend d
    LEFT JOIN pg_class i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid AND i.relkind IN ('i', 'I')
    LEFT JOIN pg_constraint c ON d.classid = 'pg_constraint'::regclass AND c.oid = d.objid AND c.contype <> 'n'
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = rel AND d.refobjsubid = attribute.attnum
      AND (i.oid IS NOT NULL OR c.oid IS NOT NULL)
    ORDER BY c.conname, i.relname LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist',
            MESSAGE = format('%s uses column %I, whose values cannot be compared any more once they are encrypted', used_by, attribute.attname),
            HINT = 'Drop it first; what it checked can be checked by whoever writes, or by a domain of a column that stays readable.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_plaintext_unused(regclass, pg_attribute) IS 'Raises an error when an index or a constraint needs the column in clear.';

CREATE FUNCTION check_encryptable_column(rel regclass, attname name, plaintext regtype) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attribute pg_attribute := (SELECT a FROM pg_attribute a WHERE a.attrelid = rel
                               AND a.attname = check_encryptable_column.attname AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
    IF attribute IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_column',
            MESSAGE = format('table %s has no column %I', rel, attname),
            HINT = 'Name the column that is to be encrypted.';
    ELSIF EXISTS (SELECT FROM relay_guard.encrypted_column e WHERE e.relation = rel AND e.column_name = attname) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = format('column %I of %s is encrypted already', attname, rel),
            HINT = 'relay_guard.encrypt_column_stop() decrypts it.';
    ELSIF attribute.attgenerated <> '' OR attribute.attidentity <> '' THEN
        RAISE EXCEPTION USING ERRCODE = 'wrong_object_type',
            MESSAGE = format('column %I of %s is generated', attname, rel),
            HINT = 'Only what is written can be encrypted.';
    ELSIF plaintext IS NULL AND attribute.atttypid <> ALL ('{text,varchar,jsonb,bytea}'::regtype[]::oid[]) THEN
        RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column %I of %s is of type %s', attname, rel, attribute.atttypid::regtype),
            HINT = 'Columns of type text, varchar, jsonb and bytea can be encrypted: change its type first.';
    ELSIF plaintext IS NOT NULL AND plaintext <> ALL ('{text,jsonb,bytea}'::regtype[]) THEN
        RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
            MESSAGE = format('values of type %s cannot be encrypted', plaintext),
            HINT = 'Use text, bytea or jsonb.';
    ELSIF plaintext IS NOT NULL AND (attribute.atttypid <> 'bytea'::regtype OR attribute.atthasdef) THEN
        RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column %I of %s cannot hold encrypted values already', attname, rel),
            HINT = 'With a type of plaintext the column is bytea without a default, and empty or encrypted before. To encrypt what is there, leave the type out.';
    END IF;
    PERFORM relay_guard.check_plaintext_unused(rel, attribute);
END
$$;
COMMENT ON FUNCTION check_encryptable_column(regclass, name, regtype) IS 'Raises an error when that column cannot be encrypted.';

CREATE FUNCTION check_aad_columns(rel regclass, attname name, aad name[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part name;
    attribute pg_attribute;
    base oid;
BEGIN
    IF aad IS NULL OR array_position(aad, NULL) IS NOT NULL OR array_ndims(aad) > 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'the columns of the AAD are not given as a list of names',
            HINT = 'Name columns of the same row, such as ''{user_id,id}''.';
    END IF;
    FOREACH part IN ARRAY aad LOOP
        attribute := (SELECT a FROM pg_attribute a
                      WHERE a.attrelid = rel AND a.attname = part AND a.attnum > 0 AND NOT a.attisdropped);
        IF attribute IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_column',
                MESSAGE = format('table %s has no column %I', rel, part),
                HINT = 'The AAD is made of columns of the same row, such as its owner and its key.';
        ELSIF part = attname OR EXISTS (SELECT FROM relay_guard.encrypted_column e
                                        WHERE e.relation = rel AND e.column_name = part) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('encrypted column %I cannot be part of the AAD', part),
                HINT = 'The AAD is what everybody who decrypts knows: the owner of the row and its key.';
        ELSIF EXISTS (SELECT FROM relay_guard.encrypted_column e WHERE e.relation = rel AND attname = ANY (e.aad)) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('column %I is part of the AAD of another encrypted column', attname),
                HINT = 'The AAD is what everybody who decrypts knows: the owner of the row and its key.';
        ELSIF attribute.attgenerated <> '' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('generated column %I cannot be part of the AAD', part),
                HINT = 'Name the columns that it is generated from.';
        END IF;
        WITH RECURSIVE types AS (
            SELECT attribute.atttypid AS id
            UNION ALL
            SELECT t.typbasetype FROM types JOIN pg_type t ON t.oid = types.id WHERE t.typtype = 'd')
        SELECT id INTO base FROM types JOIN pg_type t ON t.oid = types.id WHERE t.typtype <> 'd';
        IF base <> ALL ('{smallint,integer,bigint,uuid,text,varchar,boolean,name}'::regtype[]::oid[]) THEN
            RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
                MESSAGE = format('column %I of type %s cannot be part of the AAD', part, attribute.atttypid::regtype),
                HINT = 'The text form of its values can change. Use columns of type smallint, integer, bigint, uuid, text, varchar, boolean or name.';
        END IF;
    END LOOP;
    IF cardinality(aad) <> (SELECT count(DISTINCT p) FROM unnest(aad) p) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_column',
            MESSAGE = 'a column stands in the AAD twice',
            HINT = 'Name each column once.';
    ELSIF NOT relay_guard.has_unique_index_within(rel, aad) THEN
        RAISE WARNING USING MESSAGE = format('values of column %I can be exchanged between rows with the same %s', attname, coalesce(nullif(array_to_string(aad, ', '), ''), 'label')),
            HINT = 'Add the primary key''s columns to the AAD.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_aad_columns(regclass, name, name[]) IS
'Raises an error when the AAD of a column cannot be made of those, and a warning when rows can have the same.';

CREATE FUNCTION has_unique_index_within(rel regclass, columns name[]) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_index i
        WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
          AND (SELECT pg_catalog.bool_and(a.attname = ANY ($2) AND a.attnotnull)
               FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
               LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
               WHERE k.place <= i.indnkeyatts));
END;
COMMENT ON FUNCTION has_unique_index_within(regclass, name[]) IS 'Whether no two rows are equal in all of these columns.';

CREATE FUNCTION check_encrypted_label(rel regclass, attname name, label text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    other relay_guard.encrypted_column;
BEGIN
    -- Until the end of the transaction nobody else gives out labels
    PERFORM pg_advisory_xact_lock(hashtextextended('relay_guard.encrypt_column', 0));
    SELECT * INTO other FROM relay_guard.encrypted_column e WHERE e.label = check_encrypted_label.label LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = format('label "%s" is that of column %I of %s', label, other.column_name, other.relation),
            HINT = 'Values of two columns with one label could be exchanged: give another one, label => ''...''.';
    ELSIF label = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the label is empty',
            HINT = 'Leave it out, or give the column a name that no other has.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_encrypted_label(regclass, name, text) IS 'Raises an error when another column has that label.';

-- encrypt_column() and what undoes it

-- Trigger and CHECK of a column have one name.  A renamed column keeps them, so
-- the name may be taken.
CREATE FUNCTION encrypted_name(rel regclass, attname name) RETURNS name
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted CONSTANT text := 'relay_guard_encrypted_' || attname;
    found name := CASE WHEN octet_length(wanted) < 64 THEN wanted
                       ELSE 'relay_guard_encrypted_' || md5(attname) END;
    number int := 1;
BEGIN
    WHILE EXISTS (SELECT FROM pg_trigger WHERE tgrelid = rel AND tgname = found)
          OR EXISTS (SELECT FROM pg_constraint WHERE conrelid = rel AND conname = found) LOOP
        number := number + 1;
        found := format('relay_guard_encrypted_%s_%s', md5(attname), number);
    END LOOP;
    RETURN found;
END
$$;
COMMENT ON FUNCTION encrypted_name(regclass, name) IS 'The name for trigger and CHECK of a column that is about to be encrypted.';

-- Policies do not hide rows from a CHECK, as they would from a SELECT.
CREATE FUNCTION require_opening(rel regclass, attname name, aad text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT relay_guard_encrypted CHECK (relay_guard.opens(%I, %s))', rel, attname, aad);
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT relay_guard_encrypted', rel);
EXCEPTION WHEN check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'check_violation',
        MESSAGE = format('column %I of %s holds a value that does not open in its row', attname, rel),
        HINT = 'Label and AAD must be those that the values were encrypted with. To encrypt plaintext, leave out its type.';
END
$$;
COMMENT ON FUNCTION require_opening(regclass, name, text) IS 'Raises an error when a value of the column does not open.';

CREATE FUNCTION encrypt_values(rel regclass, attname name, kind regtype, aad text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ALTER %I DROP DEFAULT, ALTER %2$I TYPE bytea USING relay_guard.encrypt(%2$I::%s, %s)',
                   rel, attname, kind, aad);
END
$$;
COMMENT ON FUNCTION encrypt_values(regclass, name, regtype, text) IS 'Turns a column into one of encrypted values.';

CREATE FUNCTION guard_column(rel regclass, attname name, aad name[], label text, kind regtype) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    guard CONSTANT name := relay_guard.encrypted_name(rel, attname);
BEGIN
    -- Random bytes: to try to compress them takes time only
    EXECUTE format('ALTER TABLE %s ALTER %I SET STORAGE EXTERNAL, ADD CONSTRAINT %I CHECK (relay_guard.is_envelope(%2$I))',
                   rel, attname, guard);
    EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OF %s ON %s
        FOR EACH ROW EXECUTE FUNCTION relay_guard.encrypted_guard(%L, %L)', guard,
        (SELECT string_agg(quote_ident(c), ', ' ORDER BY place) FROM unnest(attname || aad) WITH ORDINALITY u (c, place)),
        rel, label, kind);
END
$$;
COMMENT ON FUNCTION guard_column(regclass, name, name[], text, regtype) IS
'Lets a column hold encrypted values only that open in their row.';

CREATE FUNCTION encrypt_column("table" regclass, "column" name, aad name[], label text DEFAULT NULL,
                               plaintext regtype DEFAULT NULL) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rel CONSTANT regclass := "table";
    full_label CONSTANT text := coalesce(label, (SELECT format('%s.%s.%s', n.nspname, c.relname, "column")
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = rel));
    aad_of_row text;
    kind regtype := plaintext;
    attribute record;
    state jsonb;
BEGIN
    PERFORM relay_guard.check_encryptable_table(rel);
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', rel);
    PERFORM relay_guard.check_encryptable_column(rel, "column", plaintext);
    PERFORM relay_guard.check_aad_columns(rel, "column", aad);
    PERFORM relay_guard.check_encrypted_label(rel, "column", full_label);
    aad_of_row := relay_guard.aad_expression(full_label, aad);
    SELECT a.attnum, a.atttypid, a.atttypmod, pg_get_expr(d.adbin, d.adrelid) AS "default" INTO attribute
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = rel AND a.attname = "column" AND NOT a.attisdropped;
    state := relay_guard.decrypted_view_state(rel);
    PERFORM relay_guard.drop_decrypted_view(state);
    IF plaintext IS NOT NULL THEN
        PERFORM relay_guard.require_opening(rel, "column", aad_of_row);
    ELSE
        kind := CASE attribute.atttypid WHEN 'varchar'::regtype THEN 'text'::regtype ELSE attribute.atttypid::regtype END;
        state := jsonb_set(state, ARRAY['defaults', attribute.attnum::text], coalesce(to_jsonb(attribute."default"), 'null'));
        PERFORM relay_guard.encrypt_values(rel, "column", kind, aad_of_row);
    END IF;
    IF attribute.atttypmod >= 0 THEN
        RAISE WARNING USING MESSAGE = format('the length of column %I is not limited any more', "column"),
            HINT = 'Check it where values come from.';
    END IF;
    PERFORM relay_guard.guard_column(rel, "column", aad, full_label, kind);
    RETURN relay_guard.create_decrypted_view(rel, state);
END
$$;
COMMENT ON FUNCTION encrypt_column(regclass, name, name[], text, regtype) IS
'Encrypts a column, bound to the columns of its AAD and to the label, and makes the view decrypted_<table> through which it is read and written in clear. With a type of plaintext the column is bytea and empty or encrypted already.';

CREATE FUNCTION encrypt_column_refresh("table" regclass) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rel CONSTANT regclass := "table";
    state CONSTANT jsonb := relay_guard.decrypted_view_state(rel);
BEGIN
    IF NOT EXISTS (SELECT FROM relay_guard.encrypted_column WHERE relation = rel) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('table %s has no encrypted column', rel),
            HINT = 'relay_guard.encrypted_column lists the tables that have.';
    END IF;
    IF relay_guard.replace_decrypted_view(rel, state) THEN
        RETURN state ->> 'view';
    END IF;
    PERFORM relay_guard.drop_decrypted_view(state);
    RETURN relay_guard.create_decrypted_view(rel, state);
END
$$;
COMMENT ON FUNCTION encrypt_column_refresh(regclass) IS
'Makes the view that decrypts a table anew, after ADD COLUMN, RENAME or a changed default. Its name, privileges and comment stay, and the defaults of encrypted columns.';

-- By what it calls: it may have been renamed.
CREATE FUNCTION envelope_check(rel regclass, attname name) RETURNS name
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.conname FROM pg_catalog.pg_constraint c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND d.refobjid = 'relay_guard.is_envelope(bytea)'::pg_catalog.regprocedure
    WHERE c.conrelid = rel AND c.contype = 'c' AND a.attname = $2
    ORDER BY c.conname LIMIT 1;
END;
COMMENT ON FUNCTION envelope_check(regclass, name) IS 'The CHECK that lets a column hold envelopes only.';

CREATE FUNCTION encrypt_column_stop("table" regclass, "column" name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rel CONSTANT regclass := "table";
    state CONSTANT jsonb := relay_guard.decrypted_view_state(rel);
    definition record;
    moved text;
BEGIN
    SELECT e.*, t.tgname, a.attnum INTO definition
    FROM relay_guard.encrypted_column e
    JOIN pg_attribute a ON a.attrelid = rel AND a.attname = e.column_name
    JOIN pg_trigger t ON t.tgrelid = rel AND t.tgattr[0] = a.attnum
      AND t.tgfoid = 'relay_guard.encrypted_guard()'::regprocedure
    WHERE e.relation = rel AND e.column_name = "column";
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('column %I of %s is not encrypted', "column", rel),
            HINT = 'relay_guard.encrypted_column lists the columns that are.';
    END IF;
    PERFORM relay_guard.drop_decrypted_view(state);
    EXECUTE format('DROP TRIGGER %I ON %s', definition.tgname, rel);
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I, ALTER %I TYPE %s USING relay_guard.decrypt_%4$s(%3$I, %5$s)',
                   rel, relay_guard.envelope_check(rel, "column"), "column", definition.plaintext,
                   relay_guard.aad_expression(definition.label, definition.aad));
    moved := state -> 'defaults' ->> definition.attnum::text;
    IF moved IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s ALTER %I SET DEFAULT %s', rel, "column", moved);
    END IF;
    IF EXISTS (SELECT FROM relay_guard.encrypted_column WHERE relation = rel) THEN
        PERFORM relay_guard.create_decrypted_view(rel, state);
    END IF;
END
$$;
COMMENT ON FUNCTION encrypt_column_stop(regclass, name) IS
'Decrypts a column for good, and takes its CHECK, its trigger and, with the last one of a table, the view away. Every value has to open.';
