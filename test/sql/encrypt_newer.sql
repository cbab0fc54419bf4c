-- What PostgreSQL 18 has brought: RETURNING OLD and NEW, virtual columns, keys without overlaps
SELECT current_setting('server_version_num')::int < 180000 AS older \gset
\if :older
\quit
\endif
SET client_min_messages = warning;
CREATE SCHEMA newer;
SET search_path = newer;
CREATE TABLE card (id int PRIMARY KEY, owner int DEFAULT 7, note text, hits int DEFAULT 0, twice int GENERATED ALWAYS AS (hits * 2));
SELECT relay_guard.encrypt_column('card', 'note', '{id,owner}');

-- rows written by the view's trigger
INSERT INTO decrypted_card (id, note) VALUES (1, 'one') RETURNING old.note, new.note, twice;
UPDATE decrypted_card SET note = 'uno', hits = 4 RETURNING old.note, new.note, old.twice, new.twice;
MERGE INTO decrypted_card c USING (VALUES (1, 'merged'), (2, 'made')) v (id, note) ON c.id = v.id
	WHEN MATCHED THEN UPDATE SET note = v.note WHEN NOT MATCHED THEN INSERT (id, note) VALUES (v.id, v.note)
	RETURNING merge_action(), old.note, new.note;
DELETE FROM decrypted_card WHERE id = 2 RETURNING old.note, new.note, new IS NULL AS gone;
UPDATE decrypted_card SET twice = 1;
INSERT INTO decrypted_card (id, twice) VALUES (2, 1);

-- and by ON CONFLICT, where the AAD of the old row is the old one
INSERT INTO decrypted_card AS c (id, note, hits) VALUES (1, 'x', 9), (3, 'three', 9)
	ON CONFLICT (id) DO UPDATE SET note = c.note || c.twice || EXCLUDED.twice, owner = c.owner + 1 WHERE c.twice <> EXCLUDED.twice
	RETURNING WITH (OLD AS o, NEW AS n) o, n, o IS NULL AS inserted, o.note, n.note;
PREPARE put AS INSERT INTO decrypted_card (id, note) VALUES ($1, $2)
	ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note RETURNING old.note, new.note;
SET plan_cache_mode = force_generic_plan;
EXECUTE put (1, 'put');
EXECUTE put (4, 'four');
RESET plan_cache_mode;
INSERT INTO decrypted_card (id, twice) VALUES (1, 1) ON CONFLICT DO NOTHING;
INSERT INTO decrypted_card (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET twice = 1;
SELECT * FROM decrypted_card ORDER BY id;

-- a virtual column has no value when its row is encrypted
CREATE TABLE part (id int PRIMARY KEY, n int, g text GENERATED ALWAYS AS ('n' || n::text) VIRTUAL, note text);
\set SHOW_CONTEXT never
SELECT relay_guard.encrypt_column('part', 'note', '{id,g}');
SELECT relay_guard.encrypt_column('part', 'g', '{id}');
\set SHOW_CONTEXT errors

-- a key whose index is no B-tree
CREATE TABLE stay (room int4range, at daterange, guest int, note text, PRIMARY KEY (room, at WITHOUT OVERLAPS));
SELECT relay_guard.encrypt_column('stay', 'note', '{guest}');
INSERT INTO decrypted_stay SELECT '[1,2)', daterange(d, d + 1), 7, d::text FROM generate_series(date '2026-01-01', '2026-01-03', '1 day') t (t), date(t) d;
UPDATE decrypted_stay SET note = 'moved', at = '[2026-02-01,2026-02-02)' WHERE at @> date '2026-01-02' RETURNING old.at, new.at, new.note;
DELETE FROM decrypted_stay WHERE at @> date '2026-01-03' RETURNING note;
SELECT * FROM decrypted_stay ORDER BY at;

DROP SCHEMA newer CASCADE;
