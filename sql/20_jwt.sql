
-- Issuers of tokens, their keys, and tokens of our own.

CREATE TABLE issuer (
    iss            text PRIMARY KEY CHECK (iss <> '' AND iss <> 'relay_guard'),
    aud            text NOT NULL CHECK (aud <> ''),
    subject_prefix text NOT NULL UNIQUE,
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
    kid        text NOT NULL CHECK (kid <> ''),
    alg        text NOT NULL CHECK (alg IN ('HS256')),
    secret     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    PRIMARY KEY (iss, kid)
);
COMMENT ON TABLE jwt_key IS 'Keys that verify tokens; jwt_key_add() registers one.';
COMMENT ON COLUMN jwt_key.secret IS 'Sealed under the key ring, bound to this row.';
COMMENT ON COLUMN jwt_key.retired_at IS 'Since when the key verifies nothing any more.';

SELECT pg_catalog.pg_extension_config_dump('issuer', '');
SELECT pg_catalog.pg_extension_config_dump('jwt_key', '');

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
            coalesce($3, CASE WHEN EXISTS (SELECT FROM issuer) THEN $1 || '|' ELSE '' END),
            $4, extract(epoch FROM $5)::int);
END;
COMMENT ON FUNCTION issuer_add(text, text, text, text[], interval) IS
'Registers an issuer of tokens. The first one''s subjects are user ids as they are; later ones get the prefix iss| unless another is given.';

CREATE FUNCTION jwt_key_add(iss text, kid text, secret text) RETURNS void
LANGUAGE C STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_jwt_key_add';
COMMENT ON FUNCTION jwt_key_add(text, text, text) IS
'Registers an HS256 secret of an issuer, sealed under the key ring.';

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
