
-- Webhooks: secrets that never leave the database, signing and verifying.

-- Its columns are read by position in src/webhook.c.
CREATE TABLE webhook_secret (
    name       text COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 255),
    version    int NOT NULL CHECK (version > 0),
    secret     bytea NOT NULL CHECK (is_envelope(secret)),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (name, version)
);
CREATE UNIQUE INDEX webhook_secret_current ON webhook_secret (name) WHERE expires_at IS NULL;
COMMENT ON TABLE webhook_secret IS 'Secrets of webhooks that are sent or received; webhook_secret_set() stores one.';
COMMENT ON COLUMN webhook_secret.name IS 'Whose webhooks it is for: what webhook_sign() and webhook_verify() name.';
COMMENT ON COLUMN webhook_secret.version IS 'Counts the secrets of a name.';
COMMENT ON COLUMN webhook_secret.secret IS 'The secret''s text, sealed under the key ring, bound to the name.';
COMMENT ON COLUMN webhook_secret.expires_at IS 'Until when a secret that was replaced still signs and verifies; NULL for the current one.';

SELECT pg_catalog.pg_extension_config_dump('webhook_secret', '');

CREATE FUNCTION webhook_secret_put(name text, secret bytea, keep_old interval) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT int := 4;
    live int;
BEGIN
    IF $3 < interval '0' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'keep_old must be an interval of zero or more';
    END IF;
    -- Before the table's CHECK, which would quote it
    IF NOT relay_guard.is_envelope($2) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the secret is not sealed',
            HINT = 'Call relay_guard.webhook_secret_set(name, secret), which seals it.';
    END IF;
    -- One at a time for each name; who signs or verifies does not wait
    LOCK TABLE relay_guard.webhook_secret IN SHARE ROW EXCLUSIVE MODE;
    UPDATE relay_guard.webhook_secret s SET expires_at = least(s.expires_at, clock_timestamp() + $3)
    WHERE s.name = $1 AND (s.expires_at IS NOT NULL OR $2 IS NOT NULL);
    IF $2 IS NOT NULL THEN
        INSERT INTO relay_guard.webhook_secret (name, version, secret)
        SELECT $1, coalesce(max(s.version), 0) + 1, $2 FROM relay_guard.webhook_secret s WHERE s.name = $1;
    END IF;
    DELETE FROM relay_guard.webhook_secret s WHERE s.name = $1 AND s.expires_at <= clock_timestamp();

    SELECT count(*) INTO live FROM relay_guard.webhook_secret s WHERE s.name = $1;
    IF live > most THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('webhook "%s" would have %s secrets at once', $1, live),
            DETAIL = format('At most %s may be valid: the current one and those it replaces.', most),
            HINT = 'Pass keep_old => ''0'' to end the former ones now.';
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_secret_put(text, bytea, interval) IS
'What webhook_secret_set() does with the sealed secret, or with NULL when it is the current one already.';

CREATE FUNCTION webhook_secret_set(name text, secret text DEFAULT NULL, keep_old interval DEFAULT '1 day')
RETURNS text
LANGUAGE C SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_webhook_secret_set';
COMMENT ON FUNCTION webhook_secret_set(text, text, interval) IS
'Stores the secret of webhooks of that name, sealed under the key ring. Without one it makes 256 random bits in the form of Standard Webhooks (whsec_...) and returns them this once, otherwise NULL. Those it replaces stay valid for keep_old; the same secret again replaces nothing.';

CREATE FUNCTION webhook_secret_drop(name text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH gone AS (DELETE FROM webhook_secret AS s WHERE s.name = $1 RETURNING 1)
    SELECT EXISTS (SELECT FROM gone);
END;
COMMENT ON FUNCTION webhook_secret_drop(text) IS
'Removes the secrets of webhooks of that name, former ones too; false when there were none.';

CREATE FUNCTION webhook_sign(name text, id text, body bytea, "timestamp" timestamptz DEFAULT clock_timestamp(),
                             OUT "webhook-id" text, OUT "webhook-timestamp" text,
                             OUT "webhook-signature" text, OUT "x-signature" text)
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_webhook_sign';
COMMENT ON FUNCTION webhook_sign(text, text, bytea, timestamptz) IS
'The headers for sending that body: Standard Webhooks'' three, with a signature by every valid secret (NULL when none starts with whsec_), and x-signature, sha256= and the hexadecimal HMAC of the body under the current secret''s text. Call it anew for every attempt, with the same id. Nothing is sent: whoever does so must let no address point into the own network.';

CREATE FUNCTION webhook_verify(name text, id text, "timestamp" text, signature text, body bytea,
                               tolerance interval DEFAULT '5 minutes')
RETURNS boolean
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_webhook_verify';
COMMENT ON FUNCTION webhook_verify(text, text, text, text, bytea, interval) IS
'Whether the headers webhook-id, webhook-timestamp and webhook-signature (Standard Webhooks) are of one who knows the secret, and now; never NULL. Error RG503 when there is no such secret. The id is the one by which to notice that a message came twice.';

CREATE FUNCTION webhook_verify_body(name text, signature text, body bytea) RETURNS boolean
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_webhook_verify_body';
COMMENT ON FUNCTION webhook_verify_body(text, text, bytea) IS
'Whether sha256=<hex> (X-Hub-Signature-256 of GitHub, X-Signature) is the body''s under the secret''s text; never NULL. It says nothing about when: what came before may come again.';

CREATE FUNCTION webhook_verify_slack(name text, "timestamp" text, signature text, body bytea,
                                     tolerance interval DEFAULT '5 minutes')
RETURNS boolean
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_webhook_verify_slack';
COMMENT ON FUNCTION webhook_verify_slack(text, text, text, bytea, interval) IS
'Whether X-Slack-Request-Timestamp and X-Slack-Signature (v0=<hex>) are of one who knows the signing secret, and now; never NULL.';

CREATE FUNCTION read_webhook_failures() RETURNS bigint
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'relay_guard_read_webhook_failures';
COMMENT ON FUNCTION read_webhook_failures() IS
'How often webhook_verify() and its like answered false in this database since the server started; NULL where shared_preload_libraries does not name relay_guard.';
