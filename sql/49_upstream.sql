
-- Upstreams: applications behind the gateway, which routes of result proxy hand requests on to.

-- Its first nine columns are read by position in src/upstream.c.
CREATE TABLE upstream (
    name             text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    url              text NOT NULL CHECK (url ~ '^https?://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&''()*+,;=:@-]+)*$'
                                          AND url !~ '/\.\.?(;|/|$)' AND octet_length(url) <= 1024),
    strip_prefix     text NOT NULL DEFAULT '' CHECK (strip_prefix ~ '^(/[A-Za-z0-9._~!$&''()*+,;=:@-]+)*$'),
    connect_timeout  interval NOT NULL DEFAULT '2 seconds',
    answer_timeout   interval NOT NULL DEFAULT '30 seconds',
    idle_timeout     interval NOT NULL DEFAULT '60 seconds',
    max_response     bigint CHECK (max_response > 0),
    cookies          boolean NOT NULL DEFAULT false,
    auth             text NOT NULL DEFAULT 'signature' CHECK (auth IN ('signature', 'bearer')),
    fail_mode        text NOT NULL DEFAULT 'closed' CHECK (fail_mode IN ('closed', 'open')),
    open_rate        float8 NOT NULL DEFAULT 1 CHECK (open_rate BETWEEN 0.001 AND 10000),
    open_burst       int NOT NULL DEFAULT 10 CHECK (open_burst BETWEEN 1 AND 100000),
    open_methods     text[] NOT NULL DEFAULT '{GET,HEAD}' CHECK (open_methods <@ '{GET,HEAD,POST,PUT,PATCH,DELETE}'
                                                                 AND array_position(open_methods, NULL) IS NULL),
    open_protected   boolean NOT NULL DEFAULT false,
    CHECK (connect_timeout >= '1 millisecond' AND connect_timeout <= '1 hour'),
    CHECK (answer_timeout >= '1 millisecond' AND answer_timeout <= '1 hour'),
    CHECK (idle_timeout >= '1 millisecond' AND idle_timeout <= '1 day')
);
COMMENT ON TABLE upstream IS 'Applications that routes of result proxy hand requests on to, and providers of language models.';
COMMENT ON COLUMN upstream.name IS 'What route.upstream or model.provider names; upstream_secret_set() makes its secret.';
COMMENT ON COLUMN upstream.url IS 'Where it listens: scheme, host, port and a base path that no request leaves.';
COMMENT ON COLUMN upstream.strip_prefix IS 'What the paths of its routes start with here and not there, such as /app.';
COMMENT ON COLUMN upstream.connect_timeout IS 'For the name, the connection and TLS; 502 after it.';
COMMENT ON COLUMN upstream.answer_timeout IS 'Until the head of the answer has come; 504 after it.';
COMMENT ON COLUMN upstream.idle_timeout IS 'How long nothing may come within an answer; it is cut off after it.';
COMMENT ON COLUMN upstream.max_response IS 'Largest body of an answer in bytes; NULL for any, for none is held in memory.';
COMMENT ON COLUMN upstream.cookies IS 'Whether cookies pass, in both directions; never those of the gateway''s own sessions.';
COMMENT ON COLUMN upstream.auth IS 'signature: requests carry who asks, signed with its secret; bearer: they carry the secret itself, as Authorization: Bearer, and nothing of who asks.';
COMMENT ON COLUMN upstream.fail_mode IS 'While the database is away: closed, 503; open, requests pass without an identity, limited by address.';
COMMENT ON COLUMN upstream.open_rate IS 'Requests a second that then pass from an address (IPv6: a /64) through a gateway.';
COMMENT ON COLUMN upstream.open_burst IS 'How many of them at once.';
COMMENT ON COLUMN upstream.open_methods IS 'The methods that then pass.';
COMMENT ON COLUMN upstream.open_protected IS 'Whether then also requests to routes that need credentials pass, of anybody: only where the upstream refuses what has no signature.';

SELECT pg_catalog.pg_extension_config_dump('upstream', '');

CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON upstream
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON upstream
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE upstream ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE upstream ENABLE ALWAYS TRIGGER config_truncated;

CREATE FUNCTION upstream_secret_set(name text, secret text DEFAULT NULL, keep_old interval DEFAULT '1 day')
RETURNS text
LANGUAGE C SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_upstream_secret_set';
COMMENT ON FUNCTION upstream_secret_set(text, text, interval) IS
'Stores what requests to that upstream are signed with, or of auth bearer the key that it gave, sealed under the key ring. Without one it makes 256 random bits as text and returns them this once, otherwise NULL; a bearer''s has to be given. Those it replaces sign as well for keep_old; of a bearer only the current one is sent.';

CREATE FUNCTION upstream_secret_drop() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.name, OLD.auth) = (NEW.name, NEW.auth) THEN
        RETURN NULL;
    END IF;
    DELETE FROM relay_guard.webhook_secret s WHERE s.name = 'upstream/' || OLD.name;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION upstream_secret_drop() IS 'Trigger of upstream: its secrets go with it, with its name and with what they are for.';
CREATE TRIGGER upstream_secret_drop AFTER DELETE OR UPDATE OF name, auth ON upstream
FOR EACH ROW EXECUTE FUNCTION upstream_secret_drop();
