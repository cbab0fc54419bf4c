\set user random(1, 1000)
\startpipeline
SELECT id, name, mime, size_bytes, status, created_at FROM bench.knowledge_files WHERE user_id = :user AND (created_at, id) < (timestamptz 'infinity', 9223372036854775807) ORDER BY created_at DESC, id DESC LIMIT 50;
SELECT id, name, mime, size_bytes, status, created_at FROM bench.knowledge_files WHERE user_id = :user AND (created_at, id) < (timestamptz 'infinity', 9223372036854775807) ORDER BY created_at DESC, id DESC LIMIT 50;
SELECT id, name, mime, size_bytes, status, created_at FROM bench.knowledge_files WHERE user_id = :user AND (created_at, id) < (timestamptz 'infinity', 9223372036854775807) ORDER BY created_at DESC, id DESC LIMIT 50;
SELECT id, name, mime, size_bytes, status, created_at FROM bench.knowledge_files WHERE user_id = :user AND (created_at, id) < (timestamptz 'infinity', 9223372036854775807) ORDER BY created_at DESC, id DESC LIMIT 50;
\endpipeline
