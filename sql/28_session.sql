
-- Sessions: a browser's cookie stands for a row.

-- Its columns are read by position in src/session.c.  Not dumped: a restored
-- row would bring back a session that its user has ended since.
CREATE TABLE session (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    hash         bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    user_id      text NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 255 AND user_id !~ '^(anon|key):'),
    workspace_id text CHECK (octet_length(workspace_id) BETWEEN 1 AND 255),
    role         text NOT NULL CHECK (role ~ '^[a-z][a-z0-9_-]{0,62}$' AND role <> 'anonymous'),
    idle         interval NOT NULL CHECK (idle > interval '0'),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL CHECK (expires_at > created_at),
    seen_at      timestamptz NOT NULL,
    ended_at     timestamptz
) WITH (fillfactor = 80);
CREATE INDEX session_expires_at ON session (expires_at);
COMMENT ON TABLE session IS 'Sessions of browsers; session_start() makes one. A row is removed when it has expired.';
COMMENT ON COLUMN session.id IS 'session_id in audit rows, and what revoke(session => ...) takes.';
COMMENT ON COLUMN session.hash IS 'BLAKE2b-256 of the cookie''s 256 random bits.';
COMMENT ON COLUMN session.user_id IS 'user_id() of the session.';
COMMENT ON COLUMN session.workspace_id IS 'workspace_id() of the session, or NULL.';
COMMENT ON COLUMN session.role IS 'role() of the session: user, admin, ...';
COMMENT ON COLUMN session.idle IS 'It ends when it was not used for so long.';
COMMENT ON COLUMN session.expires_at IS 'It ends then in any case.';
COMMENT ON COLUMN session.seen_at IS 'When it was last used, as exact as a sixteenth of idle.';
COMMENT ON COLUMN session.ended_at IS 'When its user signed out, or session_revoke() ended it.';

CREATE FUNCTION session_start(user_id text, workspace_id text DEFAULT NULL, role text DEFAULT 'user',
                              lifetime interval DEFAULT '14 days', idle interval DEFAULT '1 day') RETURNS uuid
LANGUAGE C VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_session_start';
COMMENT ON FUNCTION session_start(text, text, text, interval, interval) IS
'In a route: begins a session of that user and sets its cookie; one that the request had ends. Returns its id.';

CREATE FUNCTION session_rotate(role text DEFAULT NULL, workspace_id text DEFAULT NULL) RETURNS uuid
LANGUAGE C VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_session_rotate';
COMMENT ON FUNCTION session_rotate(text, text) IS
'In a route: gives the request''s session a new cookie, and another role or workspace where they are given; the former cookie is worthless. Error RG401 without a session.';

CREATE FUNCTION session_end(return_to text DEFAULT NULL) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_session_end';
COMMENT ON FUNCTION session_end(text) IS
'In a route: ends the request''s session, if it has one, and removes the cookie and what the browser keeps of this site. A browser''s form is sent on to that path by 303.';

CREATE FUNCTION session_revoke(id uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH ended AS (
        UPDATE session AS s SET ended_at = clock_timestamp()
        WHERE s.id = $1 AND s.ended_at IS NULL
        RETURNING 1)
    SELECT EXISTS (SELECT FROM ended);
END;
COMMENT ON FUNCTION session_revoke(uuid) IS
'Ends a session from the next request on, on every gateway; false when there was no such live session. revoke(user_id => ...) ends all of a user.';

CREATE FUNCTION session_expire(batch int DEFAULT 1000) RETURNS int
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM session AS s
        WHERE s.id IN (SELECT o.id FROM session o WHERE o.expires_at < clock_timestamp()
                       ORDER BY o.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*)::int FROM gone;
END;
COMMENT ON FUNCTION session_expire(int) IS
'Deletes that many of the sessions that have expired, the oldest first, and says how many it were; a worker calls it, and session_start() for twenty.';

CREATE FUNCTION csrf_token() RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_csrf_token';
COMMENT ON FUNCTION csrf_token() IS
'In a route: a token that X-CSRF-Token needs where a session''s cookie authenticates a write. NULL elsewhere.';

CREATE FUNCTION require_own_site() RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_require_own_site';
COMMENT ON FUNCTION require_own_site() IS
'In a route: error RG403 when a browser says that a page of another origin made the request.';

CREATE FUNCTION login_refused(user_id text) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_login_refused';
COMMENT ON FUNCTION login_refused(text) IS
'Error RG401 invalid_credentials, noted for the audit log; user_id is whose account it was, or NULL, and nothing of it is told.';
