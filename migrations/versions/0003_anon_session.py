"""POST /api/v1/anon_session: a token for whoever has none, for seven days

Revision ID: 0003
Revises: 0002
"""
from alembic import op

from routes import add_route, drop_route

revision = "0003"
down_revision = "0002"


def upgrade():
    # SECURITY DEFINER: relay_owner may issue tokens, relay_app may not.
    # expires_at is taken before the token's own exp, so it never promises more.
    op.execute("""
        CREATE FUNCTION relay.anon_session(
            OUT token text, OUT user_id text, OUT expires_at timestamptz)
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
            ttl CONSTANT interval := '7 days';
        BEGIN
            user_id := 'anon:' || gen_random_uuid();
            expires_at := date_trunc('second', clock_timestamp()) + ttl;
            token := relay_guard.issue_token(user_id, role => 'anonymous', ttl => ttl);
        END
        $$
    """)
    op.execute("REVOKE ALL ON FUNCTION relay.anon_session() FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION relay.anon_session() TO relay_app")
    add_route(
        "POST", "/api/v1/anon_session",
        "SELECT token, user_id, expires_at FROM relay.anon_session()",
        auth="none", rate=("ip", "anon_session"), result="row", status=201,
        run_as="relay_app", summary="Open an anonymous session",
        description="A new anonymous user and a token for it, which is good for seven days.")


def downgrade():
    drop_route("POST", "/api/v1/anon_session")
    op.execute("DROP FUNCTION relay.anon_session()")
