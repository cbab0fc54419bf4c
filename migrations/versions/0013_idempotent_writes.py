"""Idempotency-Key where a request that is sent twice would do its work twice

Revision ID: 0013
Revises: 0012
"""
from routes import change_route

revision = "0013"
down_revision = "0012"

PATHS = "/api/v1/knowledge/files", "/api/v1/llm/reservations"


def upgrade():
    for path in PATHS:
        change_route("POST", path, idempotency="optional")


def downgrade():
    for path in PATHS:
        change_route("POST", path, idempotency="none")
