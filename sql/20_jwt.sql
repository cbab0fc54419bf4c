
-- Issuers of tokens, their keys, and tokens of our own.

-- Rows stay when their issuer goes: another one must not come into its users.
CREATE TABLE subject_prefix (
    prefix text PRIMARY KEY CHECK (prefix = '' OR prefix ~ '[|:/]$'),
    iss    text NOT NULL,
    since  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE subject_prefix IS 'Which issuer a prefix of user ids belongs to, for ever; a row is made with the issuer.';

CREATE TABLE issuer (
    iss            text PRIMARY KEY CHECK (iss <> '' AND iss <> 'relay_guard'),
    aud            text NOT NULL CHECK (aud <> ''),
    subject_prefix text NOT NULL UNIQUE REFERENCES subject_prefix,
    roles          text[] NOT NULL DEFAULT '{user}' CHECK (array_position(roles, NULL) IS NULL),
    leeway         int NOT NULL DEFAULT 30 CHECK (leeway BETWEEN 0 AND 300),
    created_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE issuer IS 'Issuers whose tokens authenticate() accepts; issuer_add() registers one.';
COMMENT ON COLUMN issuer.aud IS 'The audience that a token must name.';
COMMENT ON COLUMN issuer.subject_prefix IS 'Stands before the subject in user_id(), so that no two issuers share a user.';
COMMENT ON COLUMN issuer.roles IS 'Roles that its tokens may claim; any other becomes user.';
COMMENT ON COLUMN issuer.leeway IS 'Seconds by which clocks may differ.';

CREATE TABLE jwt_key (
    iss        text NOT NULL REFERENCES issuer ON DELETE CASCADE,
    kid        text NOT NULL CHECK (octet_length(kid) BETWEEN 1 AND 255),
    alg        text NOT NULL CHECK (alg IN ('HS256', 'RS256', 'ES256', 'EdDSA')),
    secret     bytea CHECK ((secret IS NOT NULL) = (alg = 'HS256')),
    public_key jsonb CHECK (public_key ->> 'kty' IS NOT DISTINCT FROM
                            CASE alg WHEN 'RS256' THEN 'RSA' WHEN 'ES256' THEN 'EC' WHEN 'EdDSA' THEN 'OKP' END),
    source     text NOT NULL DEFAULT 'added' CHECK (source IN ('added', 'jwks')),
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    PRIMARY KEY (iss, kid),
    CHECK ((public_key IS NULL) = (alg = 'HS256')),
    CHECK (source = 'added' OR alg <> 'HS256')
);
COMMENT ON TABLE jwt_key IS 'Keys that verify tokens; jwt_key_add(), jwt_public_key_add() and jwks_import() register them.';
COMMENT ON COLUMN jwt_key.alg IS 'The one algorithm that the key verifies, whatever a token says.';
COMMENT ON COLUMN jwt_key.secret IS 'Of HS256: sealed under the key ring, bound to this row.';
COMMENT ON COLUMN jwt_key.public_key IS 'Of all others: a JSON Web Key, the required members alone.';
COMMENT ON COLUMN jwt_key.source IS 'added by hand, or imported with the issuer''s key set (jwks), which the next import replaces.';
COMMENT ON COLUMN jwt_key.retired_at IS 'Since when the key verifies nothing any more.';

SELECT pg_catalog.pg_extension_config_dump('subject_prefix', '');
SELECT pg_catalog.pg_extension_config_dump('issuer', '');
SELECT pg_catalog.pg_extension_config_dump('jwt_key', '');

CREATE FUNCTION issuer_prefix() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder text;
BEGIN
    INSERT INTO relay_guard.subject_prefix (prefix, iss) VALUES (NEW.subject_prefix, NEW.iss)
    ON CONFLICT DO NOTHING;
    SELECT p.iss INTO holder FROM relay_guard.subject_prefix p WHERE p.prefix = NEW.subject_prefix;
    IF holder <> NEW.iss THEN
        RAISE EXCEPTION USING ERRCODE = 'unique_violation',
            MESSAGE = format('the subject prefix "%s" belongs to issuer "%s"', NEW.subject_prefix, holder),
            HINT = 'Choose another; only who deletes its row of relay_guard.subject_prefix gives those users away.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION issuer_prefix() IS 'Trigger of issuer: a prefix that was one issuer''s is no other''s.';

CREATE TRIGGER issuer_prefix BEFORE INSERT OR UPDATE ON issuer
FOR EACH ROW EXECUTE FUNCTION issuer_prefix();
ALTER TABLE issuer ENABLE ALWAYS TRIGGER issuer_prefix;

CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON issuer
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON issuer
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON jwt_key
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON jwt_key
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE issuer ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE issuer ENABLE ALWAYS TRIGGER config_truncated;
ALTER TABLE jwt_key ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE jwt_key ENABLE ALWAYS TRIGGER config_truncated;

CREATE FUNCTION issuer_add(iss text, aud text, subject_prefix text DEFAULT NULL,
                           roles text[] DEFAULT '{user}', leeway interval DEFAULT '30 s')
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO issuer (iss, aud, subject_prefix, roles, leeway)
    VALUES ($1, $2,
            coalesce($3, (SELECT p.prefix FROM subject_prefix p WHERE p.iss = $1 ORDER BY p.since DESC LIMIT 1),
                     CASE WHEN EXISTS (SELECT FROM subject_prefix) THEN $1 || '|' ELSE '' END),
            $4, extract(epoch FROM $5)::int);
END;
COMMENT ON FUNCTION issuer_add(text, text, text, text[], interval) IS
'Registers an issuer of tokens. The first one''s subjects are user ids as they are; later ones get the prefix iss| unless another is given, and one that comes back gets its former one.';

CREATE FUNCTION jwt_key_add(iss text, kid text, secret text) RETURNS void
LANGUAGE C STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_jwt_key_add';
COMMENT ON FUNCTION jwt_key_add(text, text, text) IS
'Registers an HS256 secret of an issuer, sealed under the key ring.';

CREATE FUNCTION jwks_keys(jwks jsonb) RETURNS TABLE (kid text, alg text, public_key jsonb)
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'relay_guard_jwks_keys';
COMMENT ON FUNCTION jwks_keys(jsonb) IS
'The usable keys of a JSON Web Key set (RFC 7517); an error when there is none. A key without kid gets its RFC 7638 thumbprint.';

CREATE FUNCTION jwt_public_key_add(iss text, jwk jsonb, kid text DEFAULT NULL) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO jwt_key (iss, kid, alg, public_key)
    SELECT $1, coalesce($3, k.kid), k.alg, k.public_key
    FROM jwks_keys(jsonb_build_object('keys', jsonb_build_array($2))) k
    RETURNING jwt_key.kid;
END;
COMMENT ON FUNCTION jwt_public_key_add(text, jsonb, text) IS
'Registers a public key of an issuer, a JSON Web Key for RS256, ES256 or EdDSA; returns the kid that it is known by: the one given, its own, or its RFC 7638 thumbprint.';

CREATE FUNCTION jwks_put(iss text, jwks jsonb) RETURNS int
LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    incoming jsonb;
BEGIN
    -- Under an older snapshot, what another import has just done is not seen
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction',
            MESSAGE = 'jwks_import() needs a transaction that is READ COMMITTED',
            HINT = 'Begin it so, or set default_transaction_isolation for the role that imports.';
    END IF;
    incoming := (SELECT jsonb_agg(k) FROM relay_guard.jwks_keys($2) k);
    PERFORM FROM relay_guard.issuer i WHERE i.iss = $1 FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('issuer "%s" is not registered', $1),
            HINT = 'Register it with relay_guard.issuer_add().';
    END IF;

    DELETE FROM relay_guard.jwt_key old
    WHERE old.iss = $1 AND old.source = 'jwks' AND old.retired_at IS NULL
      AND NOT EXISTS (SELECT FROM jsonb_to_recordset(incoming) AS new (kid text) WHERE new.kid = old.kid);
    UPDATE relay_guard.jwt_key old SET alg = new.alg, public_key = new.public_key
    FROM jsonb_to_recordset(incoming) AS new (kid text, alg text, public_key jsonb)
    WHERE old.iss = $1 AND old.kid = new.kid AND old.source = 'jwks' AND old.retired_at IS NULL
      AND (old.alg, old.public_key) IS DISTINCT FROM (new.alg, new.public_key);
    INSERT INTO relay_guard.jwt_key (iss, kid, alg, public_key, source)
    SELECT $1, new.kid, new.alg, new.public_key, 'jwks'
    FROM jsonb_to_recordset(incoming) AS new (kid text, alg text, public_key jsonb)
    WHERE NOT EXISTS (SELECT FROM relay_guard.jwt_key old WHERE old.iss = $1 AND old.kid = new.kid);

    IF NOT EXISTS (SELECT FROM relay_guard.jwt_key k
                   WHERE k.iss = $1 AND k.retired_at IS NULL
                     AND k.kid IN (SELECT new.kid FROM jsonb_to_recordset(incoming) AS new (kid text))) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('all keys of the set are retired for issuer "%s"', $1),
            HINT = 'Delete a row of relay_guard.jwt_key to let its key be imported again.';
    END IF;
    RETURN (SELECT count(*) FROM relay_guard.jwt_key k WHERE k.iss = $1 AND k.retired_at IS NULL);
END
$$;
COMMENT ON FUNCTION jwks_put(text, jsonb) IS 'What jwks_import() does.';

CREATE FUNCTION jwks_import(iss text, jwks jsonb) RETURNS int
LANGUAGE C STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_jwks_import';
COMMENT ON FUNCTION jwks_import(text, jsonb) IS
'Replaces the keys that an issuer publishes (its JSON Web Key set) and returns how many live keys it has. Keys added by hand are left alone, retired ones stay retired; a set without a usable key is an error that changes nothing.';

CREATE FUNCTION jwt_key_retire(iss text, kid text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH retired AS (
        UPDATE jwt_key AS k SET retired_at = now()
        WHERE k.iss = $1 AND k.kid = $2 AND k.retired_at IS NULL
        RETURNING 1)
    SELECT EXISTS (SELECT FROM retired);
END;
COMMENT ON FUNCTION jwt_key_retire(text, text) IS
'Ends the use of a key from the next transaction on; false when there was no such live key.';

CREATE FUNCTION authenticate(token text, request_id text DEFAULT NULL, client_ip inet DEFAULT NULL)
RETURNS text
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_authenticate';
COMMENT ON FUNCTION authenticate(text, text, inet) IS
'Verifies a token and gives the transaction its identity; returns the user id, error RG401 for a token that is not valid.';

CREATE FUNCTION issue_token(subject text, workspace text DEFAULT NULL, role text DEFAULT 'user',
                            scopes text[] DEFAULT '{}', ttl interval DEFAULT '1 hour')
RETURNS text
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_issue_token';
COMMENT ON FUNCTION issue_token(text, text, text, text[], interval) IS
'Makes a token of the built-in issuer; for roles of grant_role(''trusted'').';
