"""Metadata of knowledge files are encrypted

relay.knowledge_file holds envelopes, each bound to the column, the user and the
file; relay.decrypted_knowledge_file is what routes read and write.  A file whose
metadata do not open is not there.

That metadata are an object was a CHECK, which cannot look into an envelope: now
the schema of POST says so, and who writes to the view by SQL answers for it.

The table is rewritten under an exclusive lock.  Its old pages are gone with the
transaction; WAL and backups from before hold what was in clear until they go.

Revision ID: 0005
Revises: 0004
"""
from alembic import op

revision = "0005"
down_revision = "0004"

TABLE = "relay.knowledge_file"
VIEW = "relay.decrypted_knowledge_file"


def point_routes(old, new):
    op.execute(f"""
        UPDATE relay_guard.route SET query = replace(query, '{old}', '{new}')
        WHERE path IN ('/api/v1/knowledge/files', '/api/v1/knowledge/files/{{id}}')
    """)


def upgrade():
    op.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT knowledge_file_metadata_object")
    op.execute(f"SELECT relay_guard.encrypt_column('{TABLE}', 'metadata', '{{user_id,id}}')")
    point_routes(TABLE, VIEW)


def downgrade():
    op.execute(f"SELECT relay_guard.encrypt_column_stop('{TABLE}', 'metadata')")
    op.execute(f"""
        ALTER TABLE {TABLE} ADD CONSTRAINT knowledge_file_metadata_object
        CHECK (jsonb_typeof(metadata) = 'object')
    """)
    point_routes(VIEW, TABLE)
