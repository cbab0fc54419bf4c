-- The same million rows in the application's own table; as superuser, whom
-- row-level security does not bind
INSERT INTO relay.knowledge_file (user_id, name, content_type, metadata, created_at)
SELECT (1 + (n * 7919) % 1000)::text, 'file-' || n || '.pdf', 'application/pdf',
	   jsonb_build_object('size_bytes', (n * 31) % 1000000),
	   timestamptz '2026-01-01' + n * interval '1 second'
FROM generate_series(1::bigint, 1000000) AS n;

VACUUM (ANALYZE, FREEZE) relay.knowledge_file;
CHECKPOINT;
