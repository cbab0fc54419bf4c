-- What the peers serve: a million rows of a thousand users, forced row-level
-- security on current_setting, the composite index; as a careful team has it
CREATE ROLE app LOGIN;

CREATE TABLE knowledge_files (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id bigint NOT NULL,
	name text NOT NULL,
	mime text NOT NULL,
	size_bytes bigint NOT NULL,
	status text NOT NULL,
	created_at timestamptz NOT NULL
);

INSERT INTO knowledge_files (user_id, name, mime, size_bytes, status, created_at)
SELECT 1 + (n * 7919) % 1000, 'file-' || n || '.pdf', 'application/pdf',
	   (n * 31) % 1000000, 'ready', timestamptz '2026-01-01' + n * interval '1 second'
FROM generate_series(1::bigint, 1000000) AS n;

CREATE INDEX ON knowledge_files (user_id, created_at DESC, id DESC);

ALTER TABLE knowledge_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE knowledge_files FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON knowledge_files TO app
	USING (user_id = (SELECT current_setting('app.user_id', true)::bigint))
	WITH CHECK (user_id = (SELECT current_setting('app.user_id', true)::bigint));
GRANT SELECT, INSERT ON knowledge_files TO app;

VACUUM (ANALYZE, FREEZE) knowledge_files;
CHECKPOINT;
