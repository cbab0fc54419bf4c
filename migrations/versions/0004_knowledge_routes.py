"""/api/v1/knowledge/files: list, add, read and delete one's files

Revision ID: 0004
Revises: 0003
"""
from routes import add_route, drop_route

revision = "0004"
down_revision = "0003"

FILES = "/api/v1/knowledge/files"
FILE = FILES + "/{id}"
COLUMNS = "id, name, content_type, metadata, created_at"
COMMON = dict(auth="anonymous", rate=("ip", "user", "knowledge"), run_as="relay_app")

LIMIT = [{
    "name": "limit", "in": "query",
    "description": "how many at most; more than 100 is taken as 100",
    "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50,
               "x-clamp": True},
}]

ID = [{
    "name": "id", "in": "path", "required": True,
    "schema": {"type": "string", "format": "uuid"},
}]

NEW_FILE = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
        "content_type": {"type": "string", "maxLength": 127,
                         "default": "application/octet-stream",
                         "pattern": "^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *;[ -~]*)?$"},
        "metadata": {"type": "object"},
    },
}


def upgrade():
    add_route("GET", FILES, f"""
        SELECT {COLUMNS}
        FROM relay.knowledge_file
        WHERE (created_at, id) < (request.after_created_at, request.after_id)
        ORDER BY created_at DESC, id DESC
        LIMIT request.limit
        """, parameters=LIMIT, result="rows", result_key="files",
        keyset=("created_at", "id"),
        keyset_start=("infinity", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        summary="List one's files, newest first", **COMMON)
    add_route("POST", FILES, f"""
        INSERT INTO relay.knowledge_file (name, content_type, metadata)
        VALUES (request.name, request.content_type, coalesce(request.metadata, '{{}}'))
        RETURNING {COLUMNS}
        """, request_body=NEW_FILE, result="row", status=201,
        summary="Add a file", **COMMON)
    add_route("GET", FILE,
        f"SELECT {COLUMNS} FROM relay.knowledge_file WHERE id = request.id",
        parameters=ID, result="row", summary="Read a file", **COMMON)
    add_route("DELETE", FILE,
        "DELETE FROM relay.knowledge_file WHERE id = request.id RETURNING id",
        parameters=ID, result="row", status=204, summary="Delete a file", **COMMON)


def downgrade():
    drop_route("DELETE", FILE)
    drop_route("GET", FILE)
    drop_route("POST", FILES)
    drop_route("GET", FILES)
