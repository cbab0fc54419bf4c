-- encrypt_column(): what it makes, what it refuses, what renames and rebuilds keep.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE TABLE rg_note (id int PRIMARY KEY, owner_id text NOT NULL, body text NOT NULL DEFAULT 'empty', "Odd ""name" jsonb, n int);
INSERT INTO rg_note VALUES (1, 'a', 'first', '{"k": 1}', 1), (2, 'b', 'second', NULL, 2);

-- refused, and nothing done
SELECT relay_guard.encrypt_column('rg_note', 'nope', '{id}');
SELECT relay_guard.encrypt_column('rg_note', 'n', '{id}');
SELECT relay_guard.encrypt_column('rg_note', 'body', '{nope}');
SELECT relay_guard.encrypt_column('rg_note', 'body', '{body,id}');
SELECT relay_guard.encrypt_column('rg_note', 'body', '{id,id}');
SELECT relay_guard.encrypt_column('rg_note', 'body', '{NULL}');
SELECT relay_guard.encrypt_column('rg_note', 'body', '{{id},{owner_id}}');
SELECT relay_guard.encrypt_column('rg_note', 'body', NULL);
SELECT relay_guard.encrypt_column('rg_note', 'body', '{"Odd \"name"}');
SELECT relay_guard.encrypt_column('rg_note', 'body', '{id}', '');
SELECT relay_guard.encrypt_column('rg_note', 'body', '{id}', plaintext => 'text');
SELECT relay_guard.encrypt_column('rg_note', 'body', '{id}', plaintext => 'int');
CREATE TABLE rg_case (id int PRIMARY KEY, price numeric, at timestamptz, g text GENERATED ALWAYS AS ('x') STORED,
	made text GENERATED ALWAYS AS ('x') STORED, secret text CHECK (secret <> ''), code text UNIQUE, body text);
SELECT relay_guard.encrypt_column('rg_case', 'body', '{price}');
SELECT relay_guard.encrypt_column('rg_case', 'body', '{at}');
SELECT relay_guard.encrypt_column('rg_case', 'body', '{g}');
SELECT relay_guard.encrypt_column('rg_case', 'g', '{id}');
SELECT relay_guard.encrypt_column('rg_case', 'secret', '{id}');
SELECT relay_guard.encrypt_column('rg_case', 'code', '{id}');
CREATE TABLE rg_keyless (id int, body text);
SELECT relay_guard.encrypt_column('rg_keyless', 'body', '{id}');
CREATE VIEW rg_view AS SELECT * FROM rg_keyless;
SELECT relay_guard.encrypt_column('rg_view', 'body', '{id}');
CREATE TEMP TABLE rg_temporary (id int PRIMARY KEY, body text);
SELECT relay_guard.encrypt_column('rg_temporary', 'body', '{id}');
CREATE TABLE rg_child () INHERITS (rg_keyless);
ALTER TABLE rg_keyless ADD PRIMARY KEY (id);
SELECT relay_guard.encrypt_column('rg_keyless', 'body', '{id}');
CREATE TABLE rg_a_name_that_leaves_no_room_for_what_stands_before_it_ (id int PRIMARY KEY, body text);
SELECT relay_guard.encrypt_column('rg_a_name_that_leaves_no_room_for_what_stands_before_it_', 'body', '{id}');
CREATE TABLE decrypted_rg_note ();
SELECT relay_guard.encrypt_column('rg_note', 'body', '{id}');
DROP TABLE decrypted_rg_note;
SELECT * FROM rg_note ORDER BY id;

-- two columns with an AAD each
SELECT relay_guard.encrypt_column('rg_note', 'body', '{owner_id,id}');
SELECT relay_guard.encrypt_column('rg_note', 'Odd "name', '{id}', 'odd');
\d rg_note
\d decrypted_rg_note
-- PostgreSQL 15 says rg_note.id where later ones say id
SELECT reloptions, regexp_replace(pg_get_viewdef(oid, true), '(?<!\.)\mrg_note\.', '', 'g') FROM pg_class WHERE relname = 'decrypted_rg_note' \g (format=unaligned tuples_only=on)
SELECT * FROM relay_guard.encrypted_column;
SELECT * FROM decrypted_rg_note ORDER BY id;
SELECT bool_and(relay_guard.is_envelope(body)) FROM rg_note;
SELECT relay_guard.encrypt_column('rg_note', 'body', '{id}');
SELECT relay_guard.encrypt_column('rg_case', 'body', '{id}', 'odd');
SELECT relay_guard.encrypt_column('rg_note', 'owner_id', '{id}');
-- values can be exchanged where the AAD is no key
SET client_min_messages = notice;
SELECT relay_guard.encrypt_column('rg_case', 'body', '{made}');
ALTER TABLE rg_case ADD short varchar(3), ADD owner_id text;
SELECT relay_guard.encrypt_column('rg_case', 'short', '{owner_id}');
SELECT relay_guard.encrypt_column('rg_case', 'body', '{}');
INSERT INTO decrypted_rg_case (id, body, short) VALUES (1, 'x', 'long enough') RETURNING id, body, short;
SET client_min_messages = warning;

-- renames
ALTER TABLE rg_note RENAME TO rg_paper;
ALTER TABLE rg_paper RENAME body TO content;
ALTER TABLE rg_paper RENAME owner_id TO user_id;
ALTER VIEW decrypted_rg_note RENAME TO rg_open_paper;
CREATE SCHEMA rg_shelf;
ALTER TABLE rg_paper SET SCHEMA rg_shelf;
INSERT INTO rg_open_paper VALUES (3, 'c', 'third', '[3]', 3) RETURNING *;
ALTER VIEW rg_open_paper SET SCHEMA rg_shelf;
ALTER SCHEMA rg_shelf RENAME TO rg_attic;
INSERT INTO rg_attic.rg_open_paper VALUES (4, 'd', 'fourth', '[4]', 4) RETURNING *;
ALTER SCHEMA rg_attic RENAME TO rg_cellar;
INSERT INTO rg_cellar.rg_open_paper VALUES (7, 'g', 'seventh', '[7]', 7) RETURNING *;
DELETE FROM rg_cellar.rg_open_paper WHERE id = 7 RETURNING *;
ALTER SCHEMA rg_cellar RENAME TO rg_attic;
UPDATE rg_attic.rg_open_paper SET body = 'FIRST', owner_id = 'z' WHERE id = 1 RETURNING *;
SELECT * FROM relay_guard.encrypted_column WHERE label ~ 'rg_note|odd' ORDER BY 2;
-- a new column, a dropped one, a new default
ALTER TABLE rg_attic.rg_paper ADD added int DEFAULT 7;
ALTER TABLE rg_attic.rg_paper ALTER n SET DEFAULT 9;
ALTER TABLE rg_attic.rg_paper DROP n;
INSERT INTO rg_attic.rg_open_paper (id, owner_id) VALUES (5, 'e') RETURNING *;
SELECT added FROM rg_attic.rg_paper WHERE id = 5;
GRANT SELECT, INSERT (id, body) ON rg_attic.rg_open_paper TO PUBLIC;
COMMENT ON VIEW rg_attic.rg_open_paper IS 'mine';
BEGIN;
ALTER TABLE rg_attic.rg_paper DROP n CASCADE;
SELECT relay_guard.encrypt_column_refresh('rg_attic.rg_paper');
SELECT * FROM rg_attic.decrypted_rg_paper ORDER BY 1;
ROLLBACK;
SELECT relay_guard.encrypt_column_refresh('rg_attic.rg_paper');
SELECT * FROM rg_attic.rg_open_paper ORDER BY id;
INSERT INTO rg_attic.rg_open_paper (id, user_id) VALUES (6, 'f') RETURNING *;
SELECT relacl IS NOT NULL AS kept, obj_description(oid) FROM pg_class WHERE relname = 'rg_open_paper';
SELECT attname, attacl FROM pg_attribute WHERE attrelid = 'rg_attic.rg_open_paper'::regclass AND attacl IS NOT NULL ORDER BY 1;
SELECT relay_guard.encrypt_column_refresh('rg_keyless');
-- what depends on the view is not dropped
CREATE VIEW rg_dependent AS SELECT id FROM rg_attic.rg_open_paper;
SELECT relay_guard.encrypt_column_refresh('rg_attic.rg_paper');
ALTER TABLE rg_attic.rg_paper RENAME n TO number;
SELECT relay_guard.encrypt_column_refresh('rg_attic.rg_paper');
DROP VIEW rg_dependent;

-- the same column again, after it was renamed: a name for the trigger is found
ALTER TABLE rg_attic.rg_paper ADD body text;
SELECT relay_guard.encrypt_column('rg_attic.rg_paper', 'body', '{id}');
UPDATE rg_attic.rg_open_paper SET body = 'third body' WHERE id = 3 RETURNING *;

-- and back
SELECT relay_guard.encrypt_column_stop('rg_attic.rg_paper', 'body');
SELECT relay_guard.encrypt_column_stop('rg_attic.rg_paper', 'content');
SELECT relay_guard.encrypt_column_stop('rg_attic.rg_paper', 'content');
SELECT * FROM rg_attic.rg_open_paper ORDER BY id;
SELECT relay_guard.encrypt_column_stop('rg_attic.rg_paper', 'Odd "name');
\d rg_attic.rg_paper
SELECT * FROM rg_attic.rg_paper ORDER BY id;
-- not while a value does not open
SELECT relay_guard.encrypt_column('rg_attic.rg_paper', 'content', '{id}', 'again');
ALTER TABLE rg_attic.rg_paper DISABLE TRIGGER USER;
UPDATE rg_attic.rg_paper SET content = (SELECT content FROM rg_attic.rg_paper WHERE id = 1) WHERE id = 2;
SELECT relay_guard.encrypt_column_stop('rg_attic.rg_paper', 'content');

-- a column that holds envelopes already
CREATE TABLE rg_sealed (id int PRIMARY KEY, body bytea);
INSERT INTO rg_sealed VALUES (1, relay_guard.encrypt('one'::text, relay_guard.aad('here', '1'))), (2, NULL);
SELECT relay_guard.encrypt_column('rg_sealed', 'body', '{id}', 'there', 'text');
SELECT relay_guard.encrypt_column('rg_sealed', 'body', '{id}', 'here', 'text');
SELECT * FROM decrypted_rg_sealed ORDER BY id;

-- each column's text form is that of the view, whatever the type
CREATE DOMAIN rg_number AS int;
CREATE DOMAIN rg_word AS varchar(9);
CREATE TABLE rg_types (id uuid PRIMARY KEY, s smallint, i rg_number, l bigint, t text, v rg_word, b boolean, n name, body text, raw bytea);
SELECT relay_guard.encrypt_column('rg_types', 'body', '{id,s,i,l,t,v,b,n}');
SELECT relay_guard.encrypt_column('rg_types', 'raw', '{id}');
INSERT INTO decrypted_rg_types VALUES
	('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', -1, 2, 9223372036854775807, 'häl', 'v', true, 'n', 'all', '\x00ff'),
	('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'none', NULL),
	('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a13', 0, 0, 0, '', '', false, '', 'empty', '');
SELECT b, body, raw FROM decrypted_rg_types ORDER BY id;

-- nothing of the plaintext is left in statistics
CREATE TABLE rg_known (id int PRIMARY KEY, body text, n int);
INSERT INTO rg_known SELECT i, 'known ' || i % 3, i % 3 FROM generate_series(1, 100) i;
CREATE STATISTICS rg_known_body (mcv) ON body, n FROM rg_known;
ANALYZE rg_known;
SELECT count(*) FROM pg_stats WHERE tablename = 'rg_known' AND attname = 'body' AND most_common_vals::text LIKE '%known%';
SELECT relay_guard.encrypt_column('rg_known', 'body', '{id}');
SELECT count(*) FROM pg_stats WHERE tablename = 'rg_known' AND attname = 'body';
SELECT count(*) FROM pg_stats_ext WHERE tablename = 'rg_known' AND most_common_vals IS NOT NULL;
-- the longest names
CREATE TABLE "rg a name of fifty-three bytes is as long as can be.." (id int PRIMARY KEY,
	"a column of sixty-three bytes, as long as names are in all no 1" text,
	"a column of sixty-three bytes, as long as names are in all no 2" text);
SELECT octet_length(relname), octet_length(attname) FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
WHERE relname ~ '^rg a name' AND attnum > 1 AND relkind = 'r';
SELECT relay_guard.encrypt_column('"rg a name of fifty-three bytes is as long as can be.."', attname, '{id}')
FROM pg_attribute WHERE attrelid = '"rg a name of fifty-three bytes is as long as can be.."'::regclass AND attnum > 1;
INSERT INTO "decrypted_rg a name of fifty-three bytes is as long as can be.." VALUES (1, 'x', 'y');
SELECT * FROM "decrypted_rg a name of fifty-three bytes is as long as can be..";
SELECT tgname FROM pg_trigger WHERE tgrelid = '"rg a name of fifty-three bytes is as long as can be.."'::regclass ORDER BY 1;
DROP TABLE rg_case, rg_keyless, rg_sealed, rg_types, rg_known, "rg a name of fifty-three bytes is as long as can be..",
	rg_a_name_that_leaves_no_room_for_what_stands_before_it_ CASCADE;
DROP DOMAIN rg_number, rg_word;
DROP SCHEMA rg_attic CASCADE;
