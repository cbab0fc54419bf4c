-- INSERT ... ON CONFLICT through the view that decrypts; test/crypto/test_upsert.py
-- compares many more statements with what they do on a plain table
CREATE SCHEMA upsert;
SET search_path = upsert;
CREATE TABLE card (gone int, id bigint PRIMARY KEY, user_id bigint NOT NULL DEFAULT 7, number text NOT NULL, data jsonb, hits int DEFAULT 1);
ALTER TABLE card DROP COLUMN gone;
SELECT relay_guard.encrypt_column('card', 'number', '{user_id,id}');
SELECT relay_guard.encrypt_column('card', 'data', '{id}');
CREATE VIEW opens AS SELECT id, relay_guard.decrypt_text(number, relay_guard.aad('upsert.card.number', user_id::text, id::text)) AS number FROM card;

INSERT INTO decrypted_card (id, number) VALUES (1, 'one') ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO decrypted_card (id, number) VALUES (1, 'other') ON CONFLICT DO NOTHING RETURNING *;
INSERT INTO decrypted_card AS c (id, number, data) VALUES (1, 'uno', '{"a": 1}'), (2, 'dos', DEFAULT)
ON CONFLICT (id) DO UPDATE SET number = EXCLUDED.number || ' was ' || c.number, data = EXCLUDED.data, hits = c.hits + 1
WHERE c.number <> EXCLUDED.number RETURNING *;
-- it is encrypted, and for the row it is in
SELECT * FROM opens ORDER BY id;
-- another owner: what is not set is encrypted anew
INSERT INTO decrypted_card (id, user_id, number) VALUES (1, 8, 'x') ON CONFLICT (id) DO UPDATE SET user_id = EXCLUDED.user_id RETURNING number;
INSERT INTO decrypted_card (id, user_id, number) VALUES (1, 8, 'x') ON CONFLICT (id) DO UPDATE SET (id, user_id) = (SELECT EXCLUDED.id + 2, 9) RETURNING number, data;
SELECT * FROM opens ORDER BY id;
INSERT INTO decrypted_card (id, number) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET user_id = random();
INSERT INTO decrypted_card (id, number) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET user_id = (SELECT 1);
-- parts of a value
INSERT INTO decrypted_card (id, number) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET data['b'] = '2' RETURNING data;
INSERT INTO decrypted_card (id, number) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET data['b'] = '2', data['c'] = '3';

-- what PostgreSQL looks for on the view itself is not there
INSERT INTO decrypted_card (id, number) VALUES (1, 'x') ON CONFLICT ON CONSTRAINT card_pkey DO NOTHING;
INSERT INTO decrypted_card (id, number) VALUES (1, 'x') ON CONFLICT (number) DO NOTHING;

-- a value that was put in another's place is not taken for none
ALTER TABLE card DISABLE TRIGGER USER;
UPDATE card SET data = relay_guard.encrypt('"moved"'::jsonb, 'elsewhere') WHERE id = 3;
ALTER TABLE card ENABLE TRIGGER USER;
INSERT INTO decrypted_card AS c (id, number) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET data = c.data || '{}';
INSERT INTO decrypted_card AS c (id, number) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET data = EXCLUDED.data RETURNING *;

-- WITH, functions, prepared statements, EXPLAIN, COPY, CREATE TABLE AS
WITH source AS (SELECT 4 AS id, 'four' AS number), written AS (
	INSERT INTO decrypted_card (id, number) SELECT id, number FROM source ON CONFLICT (id) DO NOTHING RETURNING *)
SELECT number, user_id FROM written;
WITH source AS (SELECT 4 AS id, 'vier' AS number)
INSERT INTO decrypted_card (id, number) SELECT id, number FROM source
ON CONFLICT (id) DO UPDATE SET number = (SELECT s.number || '!' FROM source s) RETURNING number;
CREATE FUNCTION put(a_id int, a_number text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE old text;
BEGIN
	INSERT INTO decrypted_card AS c (id, number) VALUES (a_id, a_number)
	ON CONFLICT (id) DO UPDATE SET number = a_number RETURNING number INTO old;
	RETURN old;
END $$;
SELECT put(5, 'five'), put(5, 'fünf');
CREATE FUNCTION put_sql(a_id int, a_number text) RETURNS text LANGUAGE sql AS $$
	INSERT INTO decrypted_card AS c (id, number) VALUES (a_id, a_number) ON CONFLICT (id) DO UPDATE SET number = a_number RETURNING number
$$;
SELECT put_sql(5, 'cinq');
SELECT put_sql(5, 'cinco');
PREPARE put AS INSERT INTO decrypted_card VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET number = EXCLUDED.number RETURNING *;
EXECUTE put (5, 1, 'fem');
ALTER TABLE card ADD COLUMN added int DEFAULT 3;
EXECUTE put (5, 1, 'viisi');
ALTER TABLE card RENAME COLUMN user_id TO owner;
ALTER VIEW decrypted_card RENAME COLUMN number TO digits;
EXECUTE put (5, 1, 'pet');
INSERT INTO decrypted_card (id, digits) VALUES (6, 'six') ON CONFLICT (id) DO UPDATE SET digits = EXCLUDED.digits RETURNING digits;
ALTER VIEW decrypted_card RENAME COLUMN digits TO number;
ALTER TABLE card RENAME COLUMN owner TO user_id;
SET plan_cache_mode = force_generic_plan;
EXECUTE put (5, 1, 'sink');
RESET plan_cache_mode;
EXPLAIN (COSTS OFF) INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET number = EXCLUDED.number;
EXPLAIN (COSTS OFF) EXECUTE put (5, 1, 'x');
COPY (INSERT INTO decrypted_card (id, number) VALUES (5, 'copied') ON CONFLICT (id) DO UPDATE SET number = EXCLUDED.number RETURNING number) TO STDOUT;
CREATE TEMPORARY TABLE made AS WITH w AS (INSERT INTO decrypted_card (id, number) VALUES (5, 'x')
	ON CONFLICT (id) DO UPDATE SET number = 'created' RETURNING number) TABLE w;
TABLE made;
EXPLAIN (COSTS OFF) CREATE TABLE made_too AS WITH w AS (INSERT INTO decrypted_card (id, number) VALUES (5, 'x')
	ON CONFLICT (id) DO UPDATE SET number = 'explained' RETURNING number) TABLE w;
-- the body of such a function is analyzed where no extension is asked
CREATE FUNCTION put_atomic() RETURNS void BEGIN ATOMIC
	INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO NOTHING; END;
\set SHOW_CONTEXT never
SELECT put_atomic();
\set SHOW_CONTEXT errors

-- a default is drawn once a row, not once a use
CREATE SEQUENCE draws;
CREATE TABLE drawn (id int PRIMARY KEY DEFAULT nextval('draws'), owner int DEFAULT currval('draws') * 10, note text DEFAULT 'none');
SELECT relay_guard.encrypt_column('drawn', 'note', '{id,owner}');
INSERT INTO decrypted_drawn DEFAULT VALUES ON CONFLICT DO NOTHING RETURNING *;
INSERT INTO decrypted_drawn (note) VALUES ('a'), (DEFAULT), (NULL) ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO decrypted_drawn (note) SELECT DISTINCT x FROM (VALUES ('b'), ('b'), ('c')) v (x) ORDER BY 1 LIMIT 2 ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO decrypted_drawn (id, note) VALUES (nextval('draws'), 'd') ON CONFLICT (id) DO NOTHING RETURNING *;
WITH x AS (SELECT 'from WITH' AS note) INSERT INTO decrypted_drawn (note) SELECT x.note FROM x ON CONFLICT (id) DO NOTHING RETURNING *;
SELECT count(*), last_value FROM decrypted_drawn, draws GROUP BY 2;

CREATE TABLE numbered (gone int, id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, place int UNIQUE, serial int GENERATED ALWAYS AS IDENTITY, note text);
ALTER TABLE numbered DROP COLUMN gone;
SELECT relay_guard.encrypt_column('numbered', 'note', '{place,id}');
INSERT INTO decrypted_numbered VALUES (DEFAULT, 1, DEFAULT, 'a'), (DEFAULT, 2, DEFAULT, 'b') ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO decrypted_numbered VALUES (DEFAULT, 3, DEFAULT, 'c'), (4, 4, DEFAULT, 'd') ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO decrypted_numbered VALUES (DEFAULT, 3, 9, 'c') ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO decrypted_numbered OVERRIDING USER VALUE VALUES (9, 3, 9, 'c'), (9, 4, DEFAULT, 'd') ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO decrypted_numbered OVERRIDING SYSTEM VALUE SELECT 9, 5, 9, 'e' ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO decrypted_numbered (place) VALUES (1) ON CONFLICT (place) DO UPDATE SET (place) = (SELECT 10) RETURNING *;
INSERT INTO decrypted_numbered (place) VALUES (2) ON CONFLICT (place) DO UPDATE SET id = DEFAULT;
INSERT INTO decrypted_numbered (place) VALUES (2) ON CONFLICT (place) DO UPDATE SET serial = DEFAULT RETURNING *;
INSERT INTO decrypted_numbered (place) VALUES (2) ON CONFLICT (place) DO UPDATE SET serial = 1;

-- rules and triggers of somebody else's on the view are not passed by
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER also INSTEAD OF INSERT ON decrypted_drawn FOR EACH ROW EXECUTE FUNCTION nothing();
INSERT INTO decrypted_drawn (id) VALUES (1) ON CONFLICT (id) DO NOTHING;
DROP TRIGGER also ON decrypted_drawn;
CREATE RULE also AS ON INSERT TO decrypted_drawn DO ALSO NOTIFY written;
INSERT INTO decrypted_drawn (id) VALUES (1) ON CONFLICT (id) DO NOTHING;

-- privileges are asked for on the view and on the table, as PostgreSQL would
CREATE ROLE upsert_writer;
SELECT relay_guard.grant_role('app', 'upsert_writer');
GRANT USAGE ON SCHEMA upsert TO upsert_writer;
GRANT SELECT, INSERT, UPDATE ON decrypted_card TO upsert_writer;
GRANT INSERT, UPDATE (number, hits) ON card TO upsert_writer;
SET ROLE upsert_writer;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT DO NOTHING;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO NOTHING;
RESET ROLE;
GRANT SELECT (id, user_id) ON card TO upsert_writer;
SET ROLE upsert_writer;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET number = 'written', hits = EXCLUDED.user_id;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET number = EXCLUDED.number;
INSERT INTO decrypted_card AS c (id, number) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET hits = 1 WHERE c.number <> '';
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO NOTHING RETURNING number;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET data = NULL;
RESET ROLE;
-- what is encrypted anew is written, too
GRANT UPDATE (user_id) ON card TO upsert_writer;
GRANT SELECT (number) ON card TO upsert_writer;
REVOKE UPDATE (number) ON card FROM upsert_writer;
SET ROLE upsert_writer;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET hits = 3;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET user_id = 3;
RESET ROLE;
REVOKE SELECT (user_id) ON card FROM upsert_writer;
SET ROLE upsert_writer;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET hits = 3 RETURNING id;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET hits = 3 RETURNING number;
RESET ROLE;
REVOKE INSERT ON decrypted_card FROM upsert_writer;
SET ROLE upsert_writer;
INSERT INTO decrypted_card (id, number) VALUES (5, 'x') ON CONFLICT DO NOTHING;
RESET ROLE;

-- another tenant's row: the error that a plain table gives, and the row stays
CREATE TABLE plain (id int PRIMARY KEY, user_id text NOT NULL DEFAULT relay_guard.user_id(), note text);
CREATE TABLE secret (LIKE plain INCLUDING ALL);
SELECT relay_guard.protect(t::regclass, grant_to => 'upsert_writer') FROM unnest('{plain,secret}'::text[]) t;
SELECT relay_guard.encrypt_column('secret', 'note', '{user_id,id}');
GRANT SELECT, INSERT, UPDATE ON decrypted_secret TO upsert_writer;
CREATE SEQUENCE plain_told; CREATE SEQUENCE secret_told; GRANT USAGE ON SEQUENCE plain_told, secret_told TO upsert_writer;
CREATE FUNCTION tell(text, told regclass) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS 'BEGIN PERFORM nextval(told); RETURN true; END';
BEGIN;
SELECT relay_guard.assume('bob');
INSERT INTO plain VALUES (2, DEFAULT, 'his');
INSERT INTO decrypted_secret VALUES (2, DEFAULT, 'his') ON CONFLICT DO NOTHING;
COMMIT;
BEGIN;
SELECT relay_guard.assume('alice');
SET LOCAL ROLE upsert_writer;
INSERT INTO decrypted_secret AS s (id, note) VALUES (1, 'hers') ON CONFLICT (id) DO UPDATE SET note = s.note || EXCLUDED.note RETURNING *;
INSERT INTO decrypted_secret AS s (id, note) VALUES (1, '!') ON CONFLICT (id) DO UPDATE SET note = s.note || EXCLUDED.note RETURNING *;
SAVEPOINT s;
INSERT INTO plain AS s (id, note) VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET note = s.note || EXCLUDED.note RETURNING *;
ROLLBACK TO s;
INSERT INTO decrypted_secret AS s (id, note) VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET note = s.note || EXCLUDED.note RETURNING *;
ROLLBACK TO s;
INSERT INTO plain AS s (id, note) VALUES (2, 'x') ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO decrypted_secret AS s (id, note) VALUES (2, 'x') ON CONFLICT (id) DO NOTHING RETURNING *;
INSERT INTO plain AS s (id, note) VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET note = 'x' WHERE tell(s.note, 'plain_told');
ROLLBACK TO s;
INSERT INTO decrypted_secret AS s (id, note) VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET note = 'x' WHERE tell(s.note, 'secret_told');
ROLLBACK TO s;
-- nor does what is inserted become somebody else's
INSERT INTO decrypted_secret (id, user_id, note) VALUES (3, 'bob', 'forged') ON CONFLICT DO NOTHING;
ROLLBACK TO s;
INSERT INTO decrypted_secret (id, note) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET user_id = 'bob';
ROLLBACK TO s;
SELECT * FROM decrypted_secret;
COMMIT;
SELECT id, user_id, note FROM decrypted_secret ORDER BY id;
-- whether WHERE sees that row before its policy differs between minor releases; the view never shows more than the table
SELECT p.is_called OR NOT s.is_called AS no_more FROM plain_told p, secret_told s;

SET client_min_messages = warning;
DROP SCHEMA upsert CASCADE;
DROP OWNED BY upsert_writer;
DROP ROLE upsert_writer;
