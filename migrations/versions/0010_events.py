"""A feed of events that anybody may follow

The application appends to it: SELECT relay_guard.event_append('events', 'name', 'data').
Without Last-Event-ID and ?after= a client gets what comes from then on.

Revision ID: 0010
Revises: 0009
"""
from alembic import op

from routes import add_route, drop_route

revision = "0010"
down_revision = "0009"

PARAMETERS = [{
    "name": "after", "in": "query",
    "description": "The id of the last event received; -1: all that are kept.",
    "schema": {"type": "integer", "minimum": -1},
}]


def upgrade():
    op.execute("SELECT relay_guard.event_open('events')")
    add_route("GET", "/v1/events", """
        SELECT 'events' AS stream, coalesce(request.after, relay_guard.event_last('events')) AS after
    """, auth="none", rate=("api",), result="stream", parameters=PARAMETERS, run_as="relay_app",
              summary="Follow the feed of events",
              description="Server-sent events. Last-Event-ID or after resume it; without them it begins with what comes next.")


def downgrade():
    drop_route("GET", "/v1/events")
    op.execute("SELECT relay_guard.event_end('events')")
