
-- Tokens that are refused before their time.

-- Found by its primary key in src/revocation.c, and compared byte by byte.
CREATE TABLE revocation (
    kind       text COLLATE "C" NOT NULL CHECK (kind IN ('jti', 'session', 'user')),
    value      text COLLATE "C" NOT NULL CHECK (value <> ''),
    before     timestamptz CHECK ((kind = 'user') = (before IS NOT NULL)),
    revoked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, value)
);
COMMENT ON TABLE revocation IS 'What revoke() has ended. A row may be deleted once the tokens it means have expired.';
COMMENT ON COLUMN revocation.kind IS 'jti, session, or user.';
COMMENT ON COLUMN revocation.value IS 'The token''s claim after its issuer''s subject_prefix; a user as user_id() says it.';
COMMENT ON COLUMN revocation.before IS 'Of a user: tokens issued before this are refused.';

SELECT pg_catalog.pg_extension_config_dump('revocation', '');

CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON revocation
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON revocation
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE revocation ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE revocation ENABLE ALWAYS TRIGGER config_truncated;

CREATE FUNCTION revoke(jti text DEFAULT NULL, session text DEFAULT NULL, user_id text DEFAULT NULL,
                       before timestamptz DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF num_nonnulls(jti, session, user_id) <> 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'exactly one of jti, session and user_id must be given';
    END IF;
    IF before IS NOT NULL AND user_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'before is for tokens of a user',
            HINT = 'A jti or a session is revoked as a whole.';
    END IF;
    IF starts_with(user_id, 'key:') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'an API key is not ended by revoke()',
            HINT = 'Call relay_guard.api_key_revoke() with its id.';
    END IF;
    INSERT INTO relay_guard.revocation AS r (kind, value, before)
    VALUES (CASE WHEN jti IS NOT NULL THEN 'jti' WHEN session IS NOT NULL THEN 'session' ELSE 'user' END,
            coalesce(jti, session, user_id),
            CASE WHEN user_id IS NOT NULL THEN coalesce(before, clock_timestamp()) END)
    ON CONFLICT (kind, value) DO UPDATE SET before = excluded.before
    WHERE r.before < excluded.before;
END
$$;
COMMENT ON FUNCTION revoke(text, text, text, timestamptz) IS
'Ends one token (jti), all of a session (session_id or sid), or all of a user issued before a time (now), from the next transaction on. Values are the claims after their issuer''s subject_prefix.';
