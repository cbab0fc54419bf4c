"""Accounts with a password, and sessions of browsers

relay.app_user is out of every role's reach but its owner's: routes come to it
through the functions here.  What changes what a user may do, or his password,
ends his sessions.

Revision ID: 0008
Revises: 0007
"""
from alembic import op

from routes import add_route, drop_route

revision = "0008"
down_revision = "0007"

AUTH = "/api/auth/"
DEMO = "/api/dev/demo/login"

APP_USER = """
    CREATE TABLE relay.app_user (
        id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        email         text NOT NULL UNIQUE CHECK (email ~ '^[^[:space:]@]+@[^[:space:]@]+$' AND octet_length(email) <= 1024),
        password_hash text NOT NULL,
        role          text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
        workspace     text CHECK (octet_length(workspace) BETWEEN 1 AND 255),
        disabled      boolean NOT NULL DEFAULT false,
        created_at    timestamptz NOT NULL DEFAULT now()
    )
"""

COMMENTS = """
    COMMENT ON TABLE relay.app_user IS 'Who can sign in with a password; user_id() of a session is the id.';
    COMMENT ON COLUMN relay.app_user.email IS 'As relay.canonical_email() makes it.';
    COMMENT ON COLUMN relay.app_user.password_hash IS 'relay_guard.password_hash(); what is none lets nobody in.';
    COMMENT ON COLUMN relay.app_user.role IS 'role() of sessions from now on.';
    COMMENT ON COLUMN relay.app_user.workspace IS 'workspace_id() of sessions from now on, or NULL.';
    COMMENT ON COLUMN relay.app_user.disabled IS 'Cannot sign in; is told the same as whoever has no account.';
"""

END_SESSIONS = """
    CREATE FUNCTION relay.app_user_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        PERFORM relay_guard.revoke(user_id => OLD.id::text);
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER changed AFTER UPDATE ON relay.app_user
    FOR EACH ROW WHEN ((OLD.id, OLD.role, OLD.workspace, OLD.disabled, OLD.password_hash)
        IS DISTINCT FROM (NEW.id, NEW.role, NEW.workspace, NEW.disabled, NEW.password_hash))
    EXECUTE FUNCTION relay.app_user_changed();
    CREATE TRIGGER removed AFTER DELETE ON relay.app_user
    FOR EACH ROW EXECUTE FUNCTION relay.app_user_changed()
"""

# Two spellings that look alike are one address
CANONICAL_EMAIL = """
    CREATE FUNCTION relay.canonical_email(email text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT lower(normalize(email, NFKC)) $$
"""

# What is long enough and still no secret
PASSWORD_WEAKNESS = """
    CREATE FUNCTION relay.password_weakness(email text, pass text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE
        WHEN char_length(pass) < 10 THEN 'has fewer than 10 characters'
        WHEN (SELECT count(DISTINCT c) FROM regexp_split_to_table(pass, '') c) < 5 THEN 'has fewer than 5 different characters'
        WHEN strpos(lower(pass), split_part(email, '@', 1)) > 0 AND char_length(split_part(email, '@', 1)) >= 3
            THEN 'contains the name in the e-mail address'
        WHEN strpos('abcdefghijklmnopqrstuvwxyzabcdefghij', lower(pass)) > 0 OR strpos('0123456789012345678901234567890', pass) > 0
            OR strpos('9876543210987654321098765432109', pass) > 0 THEN 'is a run of letters or digits'
        WHEN char_length(regexp_replace(lower(pass),
            '(p[a@][s5][s5]w[o0]rd|qwertz|qwerty|uiop|asdfgh|zxcvbn|letmein|welcome|iloveyou|admin|login|secret|changeme|monkey|dragon|football|baseball|sunshine|princess|master|[0-9]|[[:punct:]]|[[:space:]])', '', 'g')) < 3
            THEN 'is made of words and digits that everybody tries'
    END
    $$
"""

REGISTER = """
    CREATE FUNCTION relay.password_register(INOUT email text, pass text, OUT id uuid)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    #variable_conflict use_column
    DECLARE
        address CONSTANT text := relay.canonical_email(email);
        given CONSTANT text := normalize(pass, NFKC);
        weakness CONSTANT text := relay.password_weakness(address, given);
    BEGIN
        PERFORM relay_guard.require_own_site();
        IF weakness IS NOT NULL THEN
            PERFORM relay_guard.fail(422, 'weak_password', 'the password ' || weakness,
                                     'Choose a longer one, such as four words that do not belong together.');
        END IF;
        INSERT INTO relay.app_user AS u (email, password_hash)
        VALUES (address, relay_guard.password_hash(given))
        ON CONFLICT DO NOTHING
        RETURNING u.id, u.email INTO id, email;
        IF id IS NULL THEN
            PERFORM relay_guard.fail(409, 'email_taken', 'there is an account with this e-mail address already',
                                     'Sign in, or use another address.');
        END IF;
    END
    $$
"""

# The throttle counts every attempt, before anything is looked up, so that it
# tells nothing of who has an account, and attempts in parallel do not get past it
THROTTLE = """
    CREATE FUNCTION relay.login_throttle(address text) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        taken record;
    BEGIN
        SELECT * INTO taken FROM relay_guard.rate_take_key('login', address);
        IF NOT taken.allowed THEN
            RAISE EXCEPTION USING ERRCODE = 'RG429', DETAIL = 'login_throttled',
                MESSAGE = 'too many attempts to sign in to this account',
                HINT = 'Wait as long as Retry-After says.',
                CONSTRAINT = 'retry_after=' || ceil(taken.retry_after);
        END IF;
    END
    $$
"""

# The row is read again under a lock: whoever changes it meanwhile ends the
# sessions that are there, and this one is not there yet
LOGIN = """
    CREATE FUNCTION relay.password_login(
        INOUT email text, pass text, OUT id uuid, OUT role text, OUT workspace_id text, OUT "csrfToken" text)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    #variable_conflict use_column
    DECLARE
        address CONSTANT text := relay.canonical_email(email);
        found_id uuid;
        found_hash text;
    BEGIN
        PERFORM relay_guard.require_own_site();
        PERFORM relay.login_throttle(address);
        SELECT u.id, u.password_hash INTO found_id, found_hash FROM relay.app_user u WHERE u.email = address;
        IF relay_guard.password_verify(normalize(pass, NFKC), found_hash) THEN
            SELECT u.id, u.email, u.role, u.workspace INTO id, email, role, workspace_id FROM relay.app_user u
            WHERE u.id = found_id AND u.password_hash = found_hash AND NOT u.disabled
            FOR SHARE;
        END IF;
        IF id IS NULL THEN
            PERFORM relay_guard.login_refused(found_id::text);
        END IF;
        PERFORM relay_guard.session_start(id::text, workspace_id, role);
        "csrfToken" := relay_guard.csrf_token();
    END
    $$
"""

DEMO_LOGIN = """
    CREATE FUNCTION relay.demo_login(
        OUT email text, OUT id uuid, OUT role text, OUT workspace_id text, OUT "csrfToken" text)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    #variable_conflict use_column
    BEGIN
        IF NOT relay_guard.gateway_flag('dev') THEN
            PERFORM relay_guard.fail(404, 'route_not_found', 'there is no such path');
        END IF;
        PERFORM relay_guard.require_own_site();
        INSERT INTO relay.app_user (email, password_hash, workspace) VALUES ('demo@example.invalid', '!', 'demo')
        ON CONFLICT DO NOTHING;
        SELECT u.id, u.email, u.role, u.workspace INTO id, email, role, workspace_id
        FROM relay.app_user u WHERE u.email = 'demo@example.invalid' FOR SHARE;
        PERFORM relay_guard.session_start(id::text, workspace_id, role);
        "csrfToken" := relay_guard.csrf_token();
    END
    $$
"""

# A token's user need not have an account here
ME = """
    CREATE FUNCTION relay.me(
        OUT id text, OUT email text, OUT role text, OUT workspace_id text, OUT via text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT relay_guard.user_id(), (SELECT u.email FROM relay.app_user u WHERE u.id::text = relay_guard.user_id()),
           relay_guard.role(), relay_guard.workspace_id(), relay_guard.via()
    $$
"""

OPEN_TO_ROUTES = ("relay.password_register(text, text)", "relay.password_login(text, text)", "relay.demo_login()", "relay.me()")
INNER = ("relay.login_throttle(text)", "relay.password_weakness(text, text)", "relay.canonical_email(text)",
         "relay.app_user_changed()")

CREDENTIALS = {
    "type": "object", "required": ["email", "password"], "additionalProperties": False,
    "properties": {
        "email": {"type": "string", "minLength": 3, "maxLength": 254, "pattern": "^[^ @]+@[^ @]+$"},
        "password": {"type": "string", "minLength": 1, "maxLength": 1024},
    },
}


def add_functions():
    for function in (CANONICAL_EMAIL, PASSWORD_WEAKNESS, REGISTER, THROTTLE, LOGIN, DEMO_LOGIN, ME):
        op.execute(function)
    for name in INNER + OPEN_TO_ROUTES:
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
    for name in OPEN_TO_ROUTES:
        op.execute(f"GRANT EXECUTE ON FUNCTION {name} TO relay_app")


def add_routes():
    common = dict(auth="none", max_body=16384, run_as="relay_app")
    add_route("POST", AUTH + "register",
        "SELECT id, email FROM relay.password_register(request.email, request.password)",
        rate=("ip", "anon_session"), request_body=CREDENTIALS, slow=True, result="row", status=201,
        summary="Make an account", description="It does not sign in.", **common)
    add_route("POST", AUTH + "login", """
        SELECT id, email, role, workspace_id, "csrfToken"
        FROM relay.password_login(request.email, request.password)
        """, rate=("ip", "anon_session"), request_body=CREDENTIALS, slow=True, result="row",
        summary="Sign in: sets the cookie of a new session", **common)
    # Nobody is to be kept signed in by a limit on others of the same address
    add_route("POST", AUTH + "logout", "SELECT relay_guard.session_end('/')",
        rate=("ip",), result="none", status=204,
        summary="Sign out; succeeds without a session, too",
        description="A browser's form is sent on to / by 303.", **common)
    add_route("GET", AUTH + "csrf", 'SELECT relay_guard.csrf_token() AS "csrfToken"',
        auth="optional", rate=("ip",), result="row", run_as="relay_app",
        summary="A token for X-CSRF-Token, which writes with a session's cookie need")
    add_route("GET", AUTH + "me", "SELECT id, email, role, workspace_id, via FROM relay.me()",
        auth="anonymous", rate=("ip", "user"), result="row", run_as="relay_app",
        summary="Who is signed in")
    add_route("POST", DEMO,
        'SELECT id, email, role, workspace_id, "csrfToken" FROM relay.demo_login()',
        rate=("ip", "anon_session"), result="row",
        summary="Sign in as the demo user, where ALLOW_DEV_ROUTES is 1", **common)


def upgrade():
    op.execute(APP_USER)
    op.execute(COMMENTS)
    op.execute(END_SESSIONS)
    op.execute("SELECT relay_guard.audit('relay.app_user', redact => '{password_hash}')")
    op.execute("""
        INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window")
        SELECT 'login', 'user', 5, '15 min'
        WHERE NOT EXISTS (SELECT FROM relay_guard.rate_policy WHERE name = 'login')
    """)
    add_functions()
    add_routes()


def downgrade():
    for name in "register", "login", "logout":
        drop_route("POST", AUTH + name)
    for name in "csrf", "me":
        drop_route("GET", AUTH + name)
    drop_route("POST", DEMO)
    for name in OPEN_TO_ROUTES + INNER[:-1]:
        op.execute(f"DROP FUNCTION {name}")
    op.execute("SELECT relay_guard.audit_stop('relay.app_user')")
    op.execute("DROP TABLE relay.app_user")
    op.execute("DROP FUNCTION relay.app_user_changed()")
    op.execute("DELETE FROM relay_guard.rate_policy WHERE name = 'login'")
