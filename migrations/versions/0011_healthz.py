"""Health for browsers, GET /api/healthz, as an endpoint like any other

What /health says without the database, this says with it and under the policy api:
pages ask it, so that whoever asks too often is told so.  Probes have /health and
/ready, which nothing limits.

Revision ID: 0011
Revises: 0010
"""
from routes import add_route, drop_route

revision = "0011"
down_revision = "0010"

HEALTHZ = "/api/healthz"

HEALTH = {
    "type": "object", "required": ["status", "ok", "timestamp", "version"],
    "properties": {"status": {"type": "string", "const": "ok"}, "ok": {"type": "boolean", "const": True},
                   "timestamp": {"type": "string", "format": "date-time"}, "version": {"type": "string"}}}


def upgrade():
    add_route("GET", HEALTHZ, """
        SELECT 'ok' AS status, true AS ok,
               to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
               extversion AS version
        FROM pg_catalog.pg_extension WHERE extname = 'relay_guard'
        """, auth="none", rate=("api",), result="row", run_as="relay_app",
        summary="Is the service alive, and its database?",
        responses={"200": HEALTH, "404": None, "409": None},
        description="100 times a minute from an address; GET /health asks the gateway alone, and has no limit.")


def downgrade():
    drop_route("GET", HEALTHZ)
