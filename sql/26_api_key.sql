
-- API keys.

-- Its columns are read by position in src/api_key.c.
CREATE TABLE api_key (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL CHECK (name <> ''),
    hash       bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    role       text NOT NULL CHECK (role ~ '^[a-z][a-z0-9_-]{0,62}$' AND role <> 'anonymous'),
    workspace  text CHECK (octet_length(workspace) BETWEEN 1 AND 255),
    scopes     text[] NOT NULL CHECK (array_position(scopes, NULL) IS NULL AND cardinality(scopes) <= 64
                             AND array_to_string(scopes, ' ') ~ '^([!#-[\]-~]+ ?)*$'),
    rate       text[] NOT NULL CHECK (array_position(rate, NULL) IS NULL AND cardinality(rate) <= 4),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE UNIQUE INDEX api_key_live_name ON api_key (name) WHERE revoked_at IS NULL;
COMMENT ON TABLE api_key IS 'API keys; api_key_create() makes one, and is the only one ever to show it.';
COMMENT ON COLUMN api_key.id IS 'user_id() of the key is key:<id>.';
COMMENT ON COLUMN api_key.name IS 'What people call it; no two live keys have the same.';
COMMENT ON COLUMN api_key.hash IS 'BLAKE2b-256 of the key under the pepper.';
COMMENT ON COLUMN api_key.role IS 'role() of the key: api_key, admin, ...';
COMMENT ON COLUMN api_key.workspace IS 'workspace_id() of the key, or NULL.';
COMMENT ON COLUMN api_key.scopes IS 'What the key may do.';
COMMENT ON COLUMN api_key.rate IS 'Rate policies that bind this key besides those of the route.';

CREATE TABLE api_key_pepper (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    secret    bytea NOT NULL
);
COMMENT ON TABLE api_key_pepper IS 'The key that API keys are hashed under, sealed under the key ring; made with the first API key.';

SELECT pg_catalog.pg_extension_config_dump('api_key', '');
SELECT pg_catalog.pg_extension_config_dump('api_key_pepper', '');

CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON api_key_pepper
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON api_key_pepper
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE api_key_pepper ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE api_key_pepper ENABLE ALWAYS TRIGGER config_truncated;

CREATE FUNCTION api_key_random() RETURNS text
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_api_key_random';
COMMENT ON FUNCTION api_key_random() IS 'A new key, 256 random bits; for api_key_create().';

CREATE FUNCTION api_key_hash(key text) RETURNS bytea
LANGUAGE C STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_api_key_hash';
COMMENT ON FUNCTION api_key_hash(text) IS 'The hash of a key under the pepper; refuses weak keys. For the functions that register keys.';

CREATE FUNCTION api_key_create(name text, role text DEFAULT 'api_key', scopes text[] DEFAULT '{}',
                               rate text[] DEFAULT '{}', expires timestamptz DEFAULT NULL,
                               workspace text DEFAULT NULL, OUT id uuid, OUT key text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    missing text;
BEGIN
    SELECT p INTO missing FROM unnest(api_key_create.rate) p
    WHERE NOT EXISTS (SELECT FROM relay_guard.rate_policy WHERE rate_policy.name = p);
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('rate policy "%s" does not exist', missing);
    END IF;
    IF expires <= clock_timestamp() THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'expires must be in the future';
    END IF;
    key := relay_guard.api_key_random();
    INSERT INTO relay_guard.api_key (name, hash, role, workspace, scopes, rate, expires_at)
    VALUES (api_key_create.name, relay_guard.api_key_hash(api_key_create.key), api_key_create.role,
            api_key_create.workspace, api_key_create.scopes, api_key_create.rate, expires)
    RETURNING api_key.id INTO id;
END
$$;
COMMENT ON FUNCTION api_key_create(text, text, text[], text[], timestamptz, text) IS
'Makes an API key and shows it this once; only its hash is stored.';

CREATE FUNCTION api_key_revoke(id uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH revoked AS (
        UPDATE api_key AS k SET revoked_at = now()
        WHERE k.id = $1 AND k.revoked_at IS NULL
        RETURNING 1)
    SELECT EXISTS (SELECT FROM revoked);
END;
COMMENT ON FUNCTION api_key_revoke(uuid) IS
'Ends the use of an API key from the next transaction on; false when there was no such live key.';

CREATE FUNCTION api_key_unset(name text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH gone AS (DELETE FROM api_key AS k WHERE k.name = $1 AND k.revoked_at IS NULL RETURNING 1)
    SELECT EXISTS (SELECT FROM gone);
END;
COMMENT ON FUNCTION api_key_unset(text) IS
'Removes the live API key of that name; for keys that come from a configuration.';

CREATE FUNCTION api_key_put(name text, hash bytea, role text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM relay_guard.api_key k WHERE k.hash = $2 AND k.revoked_at IS NOT NULL) THEN
        RETURN relay_guard.api_key_unset($1);
    ELSIF EXISTS (SELECT FROM relay_guard.api_key k WHERE k.hash = $2 AND k.name = $1 AND k.role = $3) THEN
        RETURN false;
    END IF;
    PERFORM relay_guard.api_key_unset($1);
    INSERT INTO relay_guard.api_key (name, hash, role, scopes, rate) VALUES ($1, $2, $3, '{}', '{}');
    RETURN true;
END
$$;
COMMENT ON FUNCTION api_key_put(text, bytea, text) IS 'What api_key_set() does with the hash of a key.';

CREATE FUNCTION api_key_set(name text, key text, role text) RETURNS boolean
LANGUAGE C STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_api_key_set';
COMMENT ON FUNCTION api_key_set(text, text, text) IS
'Registers a key that comes from a configuration, in place of the live one of that name; false when nothing changed. One that was revoked stays so.';

CREATE FUNCTION authenticate_api_key(key text, request_id text DEFAULT NULL, client_ip inet DEFAULT NULL)
RETURNS text
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_authenticate_api_key';
COMMENT ON FUNCTION authenticate_api_key(text, text, inet) IS
'Gives the transaction the identity of an API key; returns the user id, error RG401 for a key that is not valid.';
