-- What the audit log says of a change: values of every type, keys, columns that
-- come and go, and what is hidden.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET TimeZone = 'Asia/Kathmandu';
CREATE SCHEMA rg_changes;
SET search_path = rg_changes, public;
SELECT relay_guard.audit_maintain() >= 0 AS partitions;

-- What was logged since it was asked last
CREATE TABLE seen (id bigint);
CREATE FUNCTION logged() RETURNS TABLE (action text, resource_id text, old jsonb, new jsonb) LANGUAGE plpgsql AS $$
DECLARE
	last CONSTANT bigint := (SELECT max(s.id) FROM seen s);
BEGIN
	RETURN QUERY SELECT l.action, l.resource_id, l.old, l.new FROM relay_guard.audit_log l
		WHERE l.source = 'trigger' AND l.id > last ORDER BY l.id;
	INSERT INTO seen SELECT max(l.id) FROM relay_guard.audit_log l;
END $$;
-- Rows of a table whose values the log shows otherwise than to_jsonb() does
CREATE FUNCTION differing(rel regclass) RETURNS TABLE (column_name text, shown jsonb, expected jsonb)
LANGUAGE plpgsql SET TimeZone = 'UTC' SET extra_float_digits = 1 SET DateStyle = 'ISO' SET IntervalStyle = 'postgres' SET bytea_output = 'hex' AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT e.key, l.new -> e.key, e.value FROM %s source, to_jsonb(source) whole, jsonb_each(whole) e, relay_guard.audit_log l
		WHERE l.resource_type = %L AND l.action = ''INSERT'' AND l.resource_id = source.id::text
		  AND (l.new -> e.key)::text IS DISTINCT FROM e.value::text ORDER BY source.id, e.key', rel, (SELECT relname FROM pg_class WHERE oid = rel));
END $$;
INSERT INTO seen SELECT coalesce(max(id), 0) FROM relay_guard.audit_log;

-- every kind of type, as to_jsonb() shows it
CREATE TYPE pair AS (n int, note text);
CREATE TYPE nested AS (first pair, many pair[], at timestamptz);
CREATE TYPE mood AS ENUM ('well', 'so ''so''');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN pair_domain AS pair;
CREATE DOMAIN texts AS text[];
CREATE TYPE price_range AS RANGE (subtype = numeric);
CREATE TYPE as_json AS ENUM ('a', 'b');
CREATE FUNCTION to_json(as_json) RETURNS json LANGUAGE sql AS $$SELECT json_build_object('which', $1::text)$$;
CREATE CAST (as_json AS json) WITH FUNCTION to_json(as_json);
CREATE TABLE kinds (id int PRIMARY KEY, b bool, c "char", i2 int2, i8 int8, n numeric, n2 numeric(10, 2), f4 float4, f8 float8, m money,
	t text, v varchar(9), ch char(5), nm name, by bytea, d date, tm time, tz timetz, ts timestamp, tsz timestamptz, iv interval, u uuid,
	ip inet, net cidr, mac macaddr, bits bit(4), vbits varbit, pt point, bx box, j json, jb jsonb, tv tsvector, tq tsquery,
	o oid, rc regclass, rt regtype, l pg_lsn, s pg_snapshot, x8 xid8, ia int[], ta text[], tsa timestamptz[], ja jsonb[], pr pair, ps pair[], ne nested,
	mo mood, mos mood[], po positive, pd pair_domain, tx texts, ir int4range, tr tstzrange, dr daterange, imr int4multirange, prr price_range, aj as_json);
SELECT relay_guard.audit('kinds');
INSERT INTO kinds (id) VALUES (1);
INSERT INTO kinds VALUES (2, true, 'x', -32768, 9223372036854775807, 12345678901234567890.123456789000, 1, 1e-5, 0.1, 12.50, 'text', 'v', 'ch', 'name',
	'\x00ff', '2026-11-21', '12:34:56.789', '12:34:56+05:45', '2026-11-21 12:34:56.000001', '2026-11-21 12:34:56.5+00', '1 year -2 days 03:04:05.6',
	'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '192.0.2.1/24', '2001:db8::/32', '08:00:2b:01:02:03', B'1010', B'101', '(1,2)', '(1,2),(3,4)',
	'{"b": 1,  "a": [1, 2.50, "x"]}', '{"b": 1, "a": [1, 2.50, "x"]}', 'a:1 b:2', 'a & b', 4294967295, NULL, NULL,
	'16/B374D848', '10:20:10,14,15', '18446744073709551615', '{1,NULL,3}', '{"a,b",NULL,"\"q\""}', '{"2026-11-21 00:00:00+00",infinity}',
	ARRAY['{"a": 1}', NULL, '1.10']::jsonb[], '(1,"a ""b""")', ARRAY['(1,a)', NULL, '(,)']::pair[], ROW(ROW(1, 'x'), ARRAY[ROW(2, NULL)]::pair[], '2026-11-21 00:00Z')::nested,
	'so ''so''', '{well}', 7, '(9,z)', '{a,b}', '[1,5)', '["2026-11-21 00:00Z",)', '(,2026-11-21]', '{[1,3),[5,7)}', '[1.50,2.00)', 'b');
INSERT INTO kinds (id, b, n, n2, f4, f8, t, by, d, ts, tsz, iv, ia, ta, j, jb, ch, tr, imr) VALUES
	(3, false, 'NaN', 'NaN', 'NaN', '-Infinity', '', '', 'infinity', '-infinity', 'infinity', '0', '{}', '{}', 'null', 'null', '', 'empty', '{}'),
	(4, NULL, 'Infinity', 0.00, '-0', '-0', E'q"b\\s/\b\f\n\r\t\x01\x1f\x7f', 'plain', '4713-01-01 BC', '294276-12-31 23:59:59.999999', '0044-03-15 00:00Z BC',
	 '-178000000 years', '[2:3]={5,6}', '{{a,b},{c,NULL}}', '"s"', '"s"', 'äé', '(,)', '{(,)}'),
	(5, NULL, '-Infinity', -1, 3.4e38, 5e-324, U&'\+01F600 \00E4 \FFFD \2028', '\xdeadbeef', '0001-01-01', '2026-01-01 00:00', '2026-03-29 01:30:00Z',
	 '1 mon -1 day +00:00:01', '{{{1}}}', '{"","null"}', '[1e5, 1.0, -0.0, 0.00001]', '[1e5, 1.0, -0.0, 0.00001]', '     ', NULL, NULL),
	(6, NULL, 0, 99999999.99, 0, 1e308, repeat('x', 100000), decode(repeat('ab', 3000), 'hex'), '10000-01-01', NULL, NULL, NULL, NULL, NULL,
	 ' [ ] ', '[]', NULL, NULL, NULL),
	(7, NULL, ('1' || repeat('0', 5000) || '.' || repeat('0', 5000) || '1')::numeric, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
	 ARRAY(SELECT generate_series(1, 5000)), NULL, '{}', ('{"long": "' || repeat('y', 100000) || '"}')::jsonb, NULL, NULL, NULL);
-- one of each value by itself, in a row that is otherwise NULL
INSERT INTO kinds (id, rc, rt) VALUES (8, 'kinds', 'pair');
SELECT * FROM differing('kinds');
SELECT new - '{id,rc,rt}'::text[] = (SELECT jsonb_object_agg(key, NULL) - '{id,rc,rt}'::text[] FROM jsonb_object_keys(new) key) AS nulls,
	new -> 'rc' AS rc, new -> 'rt' AS rt FROM relay_guard.audit_log WHERE resource_type = 'kinds' AND resource_id = '8';

-- what the session has set changes nothing
CREATE TABLE printed (id int PRIMARY KEY, f4 float4, f8 float8, by bytea, d date, ts timestamp, tsz timestamptz, iv interval, tsa timestamptz[],
	dr daterange, fr float8[], ne nested, rc regclass);
SELECT relay_guard.audit('printed');
\set row '1.23456789, 0.1234567890123456789, \'\\\\x5c00\', \'2026-11-21\', \'2026-11-21 01:02\', \'2026-11-21 01:02Z\', \'1 mon -2 days\', \'{2026-11-21 01:02Z}\', \'[2026-11-21,)\', \'{0.1234567890123456789}\', ROW(NULL, NULL, \'2026-11-21 01:02Z\'), \'kinds\''
INSERT INTO printed VALUES (1, :row);
SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'; SET extra_float_digits = -15; SET bytea_output = 'escape'; SET TimeZone = 'America/Caracas';
SET search_path = pg_catalog;
INSERT INTO rg_changes.printed SELECT 2, f4, f8, by, d, ts, tsz, iv, tsa, dr, fr, ne, rc FROM rg_changes.printed;
SHOW DateStyle; SHOW TimeZone; SHOW extra_float_digits; SHOW search_path;
RESET DateStyle; RESET IntervalStyle; RESET extra_float_digits; RESET bytea_output;
SET TimeZone = 'Asia/Kathmandu'; SET search_path = rg_changes, public;
SELECT count(*), count(DISTINCT (new - 'id')::text) FROM relay_guard.audit_log WHERE resource_type = 'printed' AND source = 'trigger';
SELECT new FROM relay_guard.audit_log WHERE resource_type = 'printed' AND resource_id = '2';
BEGIN;
SET LOCAL DateStyle = 'German'; SET LOCAL extra_float_digits = 0; SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL bytea_output = 'escape';
UPDATE printed SET d = d + 1, rc = 'seen';
SELECT name, setting FROM pg_settings WHERE name IN ('DateStyle', 'extra_float_digits', 'IntervalStyle', 'bytea_output', 'TimeZone', 'search_path') ORDER BY name;
ROLLBACK;
-- nor do they an update, in which nothing but the last digit changes
SET extra_float_digits = -15;
UPDATE printed SET f8 = 0.12345678901234568 WHERE id = 1;
UPDATE printed SET f8 = 0.1234567890123457 WHERE id = 1;
RESET extra_float_digits;
TRUNCATE seen; INSERT INTO seen SELECT max(id) - 2 FROM relay_guard.audit_log;
SELECT old, new FROM logged();

-- json that jsonb does not take is shown as text
CREATE TABLE odd_json (id int PRIMARY KEY, j json);
SELECT relay_guard.audit('odd_json');
INSERT INTO odd_json VALUES (1, '{"a": "\u0000"}'), (2, '"\ud83d"'), (3, '1e999999'), (4, '{"a": 1, "a": 2}'), (5, '"\ud83d\ude00 \u00e9"');
UPDATE odd_json SET j = '"plain"' WHERE id < 3;
SELECT action, resource_id, old -> 'j' AS old, new -> 'j' AS new FROM logged();

-- half a character is one value of "char"
CREATE TABLE half (id int PRIMARY KEY, c "char", many "char"[]);
SELECT relay_guard.audit('half');
INSERT INTO half VALUES (1, 'é', NULL), (2, '', '{a}');
SELECT new FROM logged();

-- changed columns only, compared as bytes
CREATE TABLE item (gone text DEFAULT 'x', id int PRIMARY KEY, n numeric DEFAULT 1.5, t text DEFAULT 'text', a int[], f float8, j json,
	twice numeric GENERATED ALWAYS AS (n * 2) STORED, counter int GENERATED BY DEFAULT AS IDENTITY);
SELECT relay_guard.audit('item', 'thing');
ALTER TABLE item DROP gone;
INSERT INTO item (id) VALUES (1);
INSERT INTO item (id, t, n) VALUES (2, NULL, NULL), (3, '', 0);
SELECT * FROM logged();
UPDATE item SET t = t;
UPDATE item SET n = 1.50 WHERE id = 1;
UPDATE item SET n = 3, t = NULL, a = '{1}' WHERE id = 1;
UPDATE item SET a = '{1}', f = 0, j = '{"a":1}' WHERE id = 1;
UPDATE item SET f = '-0', j = '{"a": 1}' WHERE id = 1;
UPDATE item SET t = 'both' WHERE id > 1;
UPDATE item SET id = id + 10 WHERE id > 1;
SELECT * FROM logged();
ALTER TABLE item ADD fast int DEFAULT 7, ADD "quoted ""name""" text DEFAULT 'q', ADD lang text DEFAULT 'ä';
UPDATE item SET t = 'with new ones' WHERE id = 1;
UPDATE item SET fast = 8 WHERE id = 12;
ALTER TABLE item RENAME t TO renamed;
DELETE FROM item WHERE id IN (1, 12);
ALTER TABLE item DROP lang;
DELETE FROM item;
SELECT * FROM logged();
-- also in one transaction
BEGIN;
INSERT INTO item (id) VALUES (20);
ALTER TABLE item DROP fast, ALTER n SET DEFAULT 4, ADD late int DEFAULT 9;
UPDATE item SET late = 10 WHERE id = 20;
ALTER TABLE item DROP late;
DELETE FROM item;
COMMIT;
SELECT * FROM logged();
-- and by statements that were prepared before
PREPARE put AS INSERT INTO item (id) VALUES ($1) RETURNING id;
PREPARE change AS UPDATE item SET n = n + 1 WHERE id = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE put (30);
EXECUTE change (30);
ALTER TABLE item ADD again int DEFAULT 3;
EXECUTE put (31);
EXECUTE change (31);
ALTER TABLE item RENAME n TO amount;
ALTER TABLE item RENAME amount TO n;
ALTER TABLE item DROP renamed, ALTER again TYPE text;
EXECUTE put (32);
EXECUTE change (32);
RESET plan_cache_mode;
SELECT * FROM logged();

-- what is hidden
CREATE TABLE hidden (id int PRIMARY KEY, secret text, noise int DEFAULT 0, shown text);
SELECT relay_guard.audit('hidden', redact => '{secret}', omit => '{noise}');
INSERT INTO hidden VALUES (1, 'hunter2', 1, 'a'), (2, NULL, 2, 'b');
UPDATE hidden SET secret = 'hunter3' WHERE id = 1;
UPDATE hidden SET secret = NULL WHERE id = 1;
UPDATE hidden SET shown = 'c', noise = 3 WHERE id = 1;
UPDATE hidden SET noise = 4 WHERE id = 2;
DELETE FROM hidden;
SELECT * FROM logged();
-- a column that was hidden under another name is not shown, and neither is one dropped
ALTER TABLE hidden RENAME secret TO password;
INSERT INTO hidden VALUES (3, 'hunter2');
SELECT relay_guard.audit('hidden', redact => '{password}', omit => '{noise}');
INSERT INTO hidden VALUES (3, 'hunter2');
ALTER TABLE hidden DROP noise;
UPDATE hidden SET password = 'hunter3';
SELECT relay_guard.audit('hidden', redact => '{password}');
UPDATE hidden SET password = 'hunter4';
SELECT * FROM logged();
SELECT count(*) FROM relay_guard.audit_log l WHERE l::text LIKE '%hunter%';

-- encrypted columns: written directly and through the view, the key's id and the envelope's digest only
CREATE TABLE vault (id int PRIMARY KEY, user_id text, note text, body jsonb);
SELECT relay_guard.encrypt_column('vault', 'note', '{user_id,id}') IS NOT NULL AS encrypted;
SELECT relay_guard.encrypt_column('vault', 'body', '{id}') IS NOT NULL AS encrypted;
SELECT relay_guard.audit('vault');
INSERT INTO decrypted_vault VALUES (1, 'u', 'the plaintext', '{"plain": "text"}'), (2, 'u', NULL, NULL);
UPDATE decrypted_vault SET note = 'other plaintext' WHERE id = 1;
UPDATE decrypted_vault SET user_id = 'v' WHERE id = 1;
INSERT INTO decrypted_vault (id, user_id, note) VALUES (2, 'u', 'upserted plaintext') ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note;
INSERT INTO vault VALUES (3, 'u', relay_guard.encrypt('direct plaintext', relay_guard.aad('rg_changes.vault.note', 'u', '3')), NULL);
DELETE FROM decrypted_vault WHERE id = 2;
SELECT action, resource_id, array(SELECT jsonb_object_keys(old)) AS old, array(SELECT jsonb_object_keys(new)) AS new,
	jsonb_typeof(new -> 'note' -> 'key_id') AS key_id, length(new -> 'note' ->> 'digest') AS digest
FROM logged();
SELECT encode(sha256(note), 'hex') = (SELECT new -> 'note' ->> 'digest' FROM relay_guard.audit_log
	WHERE resource_type = 'vault' AND resource_id = '1' AND new ? 'note' ORDER BY id DESC LIMIT 1) AS digest_of_the_envelope FROM vault WHERE id = 1;
SELECT count(*) FROM relay_guard.audit_log l WHERE resource_type = 'vault' AND l::text ILIKE '%plain%';

-- keys
CREATE TABLE several (a int, b text, c timestamptz, n int, PRIMARY KEY (b, a, c));
SELECT relay_guard.audit('several');
INSERT INTO several VALUES (1, 'x"y', '2026-11-21 00:00Z', 0);
UPDATE several SET a = 2, n = 1;
DELETE FROM several;
CREATE TABLE without (a int, b text);
SELECT relay_guard.audit('without');
SELECT relay_guard.audit('without', key => '{b}');
INSERT INTO without VALUES (1, 'one'), (1, 'one'), (2, NULL);
UPDATE without SET a = 3;
DELETE FROM without;
SELECT * FROM logged();
CREATE TABLE long_key (id text PRIMARY KEY, n int);
SELECT relay_guard.audit('long_key');
INSERT INTO long_key VALUES (repeat('k', 1024)), (repeat('k', 1025)), ((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 80) i));
SELECT left(resource_id, 12) AS resource_id, length(resource_id), length(new ->> 'id') FROM logged();
CREATE TABLE key_of_bytes (id bytea, d date, PRIMARY KEY (id, d));
SELECT relay_guard.audit('key_of_bytes');
SET bytea_output = 'escape'; SET DateStyle = 'German';
INSERT INTO key_of_bytes VALUES ('\x00ff', '2026-11-21');
RESET bytea_output; RESET DateStyle;
SELECT resource_id FROM logged();

CREATE TABLE no_columns ();
SELECT relay_guard.audit('no_columns');

-- a table of 1600 columns
DO $$ BEGIN
	EXECUTE (SELECT format('CREATE TABLE wide (id int PRIMARY KEY, %s)', string_agg('c' || i || ' int DEFAULT ' || i, ', ')) FROM generate_series(2, 1600) i);
END $$;
SELECT relay_guard.audit('wide');
INSERT INTO wide VALUES (1);
UPDATE wide SET c1600 = 0, c2 = NULL;
SELECT action, (SELECT count(*) FROM jsonb_object_keys(new)), new ->> 'c1600' AS last, CASE action WHEN 'UPDATE' THEN old END AS old FROM logged();

-- a value of 1 MB: not in the row unless it changes
CREATE TABLE large (id int PRIMARY KEY, big text, n int);
ALTER TABLE large ALTER big SET STORAGE EXTERNAL;
SELECT relay_guard.audit('large');
INSERT INTO large VALUES (1, repeat('z', 1000000), 0);
UPDATE large SET n = 1;
UPDATE large SET big = big;
UPDATE large SET big = big || '';
UPDATE large SET big = big || '!';
DELETE FROM large;
SELECT action, length(old ->> 'big') AS old, length(new ->> 'big') AS new, new -> 'n' AS n FROM logged();

-- TRUNCATE
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
SELECT relay_guard.audit('parent'), relay_guard.audit('child');
INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1, 1), (2, 1), (3, 2);
SELECT count(*) FROM logged();
UPDATE parent SET id = 10 WHERE id = 1;
DELETE FROM parent WHERE id = 2;
TRUNCATE parent CASCADE;
SELECT * FROM logged();

-- a BEFORE trigger that keeps a row from the partition that it was to move to
CREATE TABLE moving (id int, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE moving_1 PARTITION OF moving FOR VALUES IN (1);
CREATE TABLE moving_2 PARTITION OF moving FOR VALUES IN (2);
SELECT relay_guard.audit('moving');
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.id <> 2 THEN NEW END; END $$;
CREATE TRIGGER suppress BEFORE INSERT ON moving_2 FOR EACH ROW EXECUTE FUNCTION suppress();
INSERT INTO moving VALUES (1, 1), (2, 1), (3, 1), (4, 2);
UPDATE moving SET part = 2 WHERE id <> 2;
SELECT * FROM logged();
UPDATE moving SET part = 2;
SELECT * FROM moving ORDER BY id;
SELECT * FROM logged();

-- the trigger's function is of no use to others
CREATE TABLE other (id int);
CREATE TRIGGER t AFTER INSERT ON other FOR EACH STATEMENT EXECUTE FUNCTION relay_guard.audit_change('other', '{id}', '{}', '{}');
INSERT INTO other VALUES (1);
CREATE OR REPLACE TRIGGER t BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION relay_guard.audit_change('other', '{id}', '{}', '{}');
INSERT INTO other VALUES (1);
CREATE OR REPLACE TRIGGER t AFTER INSERT ON other REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION relay_guard.audit_change('other');
INSERT INTO other VALUES (1);
SELECT relay_guard.audit_change();

-- all of it is authentic
SELECT * FROM relay_guard.audit_verify();
SET client_min_messages = error;
DROP SCHEMA rg_changes CASCADE;
