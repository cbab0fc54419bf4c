-- The peers' million rows, column for column, and the list route on them; as
-- superuser, whom row-level security does not bind
CREATE SCHEMA bench;
GRANT USAGE ON SCHEMA bench TO relay_app;

CREATE TABLE bench.knowledge_files (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id bigint NOT NULL,
	name text NOT NULL,
	mime text NOT NULL,
	size_bytes bigint NOT NULL,
	status text NOT NULL,
	created_at timestamptz NOT NULL
);

INSERT INTO bench.knowledge_files (user_id, name, mime, size_bytes, status, created_at)
SELECT 1 + (n * 7919) % 1000, 'file-' || n || '.pdf', 'application/pdf',
	   (n * 31) % 1000000, 'ready', timestamptz '2026-01-01' + n * interval '1 second'
FROM generate_series(1::bigint, 1000000) AS n;

CREATE INDEX ON bench.knowledge_files (user_id, created_at DESC, id DESC);
SELECT relay_guard.protect('bench.knowledge_files', grant_to => 'relay_app') \g /dev/null

UPDATE relay_guard.route
SET query = 'SELECT id, name, mime, size_bytes, status, created_at
FROM bench.knowledge_files
WHERE (created_at, id) < (request.after_created_at, request.after_id)
ORDER BY created_at DESC, id DESC
LIMIT request.limit',
	keyset_start = '{infinity,9223372036854775807}'
WHERE method = 'GET' AND path = '/api/v1/knowledge/files';

VACUUM (ANALYZE, FREEZE) bench.knowledge_files;
CHECKPOINT;
