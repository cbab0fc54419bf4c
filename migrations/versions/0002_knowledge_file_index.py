"""The index of a user's files, newest first

Built without a lock on writers.  A build that was cancelled or lost its
connection leaves an INVALID index of the same name behind; it is dropped first,
and a valid one is kept, so running the migration again is always right.

Revision ID: 0002
Revises: 0001
"""
from alembic import op

revision = "0002"
down_revision = "0001"

INDEX = "relay.knowledge_file_user_id_created_at_id"


def invalid_is_there():
    return op.get_bind().exec_driver_sql(
        f"SELECT NOT indisvalid FROM pg_index "
        f"WHERE indexrelid = to_regclass('{INDEX}')").scalar()


def upgrade():
    with op.get_context().autocommit_block():
        if not op.get_context().as_sql and invalid_is_there():
            op.execute(f"DROP INDEX CONCURRENTLY {INDEX}")
        op.execute(f"""
            CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX.split('.')[1]}
            ON relay.knowledge_file (user_id, created_at DESC, id DESC)
        """)


def downgrade():
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
