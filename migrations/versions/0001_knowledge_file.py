"""Knowledge files: what a user has uploaded, seen by nobody else

Revision ID: 0001
Revises:
"""
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("GRANT USAGE ON SCHEMA relay TO relay_app")
    op.execute("""
        CREATE TABLE relay.knowledge_file (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id text COLLATE "C" NOT NULL DEFAULT relay_guard.user_id(),
            name text NOT NULL
                CONSTRAINT knowledge_file_name_length
                CHECK (char_length(name) BETWEEN 1 AND 255),
            content_type text NOT NULL
                CONSTRAINT knowledge_file_content_type_form
                CHECK (content_type ~ '^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *;[ -~]*)?$'
                       AND char_length(content_type) <= 127),
            metadata jsonb NOT NULL DEFAULT '{}'
                CONSTRAINT knowledge_file_metadata_object
                CHECK (jsonb_typeof(metadata) = 'object'),
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    # the index comes with 0002, CONCURRENTLY
    op.execute("""
        SELECT relay_guard.protect('relay.knowledge_file',
                                   grant_to => 'relay_app',
                                   build_index => false)
    """)


def downgrade():
    op.execute("DROP TABLE relay.knowledge_file")
    op.execute("REVOKE USAGE ON SCHEMA relay FROM relay_app")
