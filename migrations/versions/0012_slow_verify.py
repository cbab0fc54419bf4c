"""GET /api/v1/audit/verify takes seconds: it has connections of the slow, and ends when its client leaves

Revision ID: 0012
Revises: 0011
"""
from routes import change_route

revision = "0012"
down_revision = "0011"


def upgrade():
    change_route("GET", "/api/v1/audit/verify", slow=True)


def downgrade():
    change_route("GET", "/api/v1/audit/verify", slow=False)
