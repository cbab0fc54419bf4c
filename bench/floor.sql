\set user random(1, 1000)
\startpipeline
SELECT id, name, content_type, metadata, created_at FROM relay.knowledge_file WHERE user_id = CAST(:user AS text) AND (created_at, id) < (timestamptz 'infinity', uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY created_at DESC, id DESC LIMIT 50;
SELECT id, name, content_type, metadata, created_at FROM relay.knowledge_file WHERE user_id = CAST(:user AS text) AND (created_at, id) < (timestamptz 'infinity', uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY created_at DESC, id DESC LIMIT 50;
SELECT id, name, content_type, metadata, created_at FROM relay.knowledge_file WHERE user_id = CAST(:user AS text) AND (created_at, id) < (timestamptz 'infinity', uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY created_at DESC, id DESC LIMIT 50;
SELECT id, name, content_type, metadata, created_at FROM relay.knowledge_file WHERE user_id = CAST(:user AS text) AND (created_at, id) < (timestamptz 'infinity', uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY created_at DESC, id DESC LIMIT 50;
\endpipeline
