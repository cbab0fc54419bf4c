-- audit(), audit_stop(): what they take and refuse, and what they leave in the catalog.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE TABLE rg_thing (id int, part int, secret text, body bytea, PRIMARY KEY (part, id));
-- refused, and nothing done
\set VERBOSITY terse
SELECT relay_guard.audit(NULL);
SELECT relay_guard.audit('rg_thing', '');
SELECT relay_guard.audit('rg_thing', repeat('x', 256));
SELECT relay_guard.audit('rg_thing', key => '{nope}');
SELECT relay_guard.audit('rg_thing', key => '{id,id}');
SELECT relay_guard.audit('rg_thing', key => '{ctid}');
SELECT relay_guard.audit('rg_thing', key => '{}');
SELECT relay_guard.audit('rg_thing', key => '{NULL}');
SELECT relay_guard.audit('rg_thing', key => '{{id},{part}}');
SELECT relay_guard.audit('rg_thing', redact => '{nope}');
SELECT relay_guard.audit('rg_thing', redact => NULL);
SELECT relay_guard.audit('rg_thing', omit => '{secret,secret}');
SELECT relay_guard.audit('rg_thing', omit => '{id}');
SELECT relay_guard.audit('rg_thing', redact => '{part}');
SELECT relay_guard.audit('rg_thing', redact => '{secret}', omit => '{secret}');
CREATE TABLE rg_keyless (id int);
SELECT relay_guard.audit('rg_keyless');
CREATE VIEW rg_view AS SELECT * FROM rg_thing;
SELECT relay_guard.audit('rg_view', key => '{id}');
SELECT relay_guard.audit('rg_thing_pkey', key => '{id}');
CREATE MATERIALIZED VIEW rg_matview AS SELECT * FROM rg_thing;
SELECT relay_guard.audit('rg_matview', key => '{id}');
CREATE FOREIGN DATA WRAPPER rg_wrapper; CREATE SERVER rg_server FOREIGN DATA WRAPPER rg_wrapper;
CREATE FOREIGN TABLE rg_far (id int) SERVER rg_server;
SELECT relay_guard.audit('rg_far', key => '{id}');
CREATE TEMPORARY TABLE rg_passing (id int PRIMARY KEY);
SELECT relay_guard.audit('rg_passing');
CREATE UNLOGGED TABLE rg_lossy (id int PRIMARY KEY);
SELECT relay_guard.audit('rg_lossy');
SELECT relay_guard.audit('pg_class', key => '{oid}');
SELECT relay_guard.audit('information_schema.sql_features', key => '{feature_id}');
SELECT relay_guard.audit('relay_guard.route', key => '{path}');
SELECT relay_guard.audit('relay_guard.audit_log', key => '{id}');
CREATE TABLE rg_ruled (id int PRIMARY KEY);
CREATE RULE rg_rule AS ON UPDATE TO rg_ruled DO INSTEAD NOTHING;
SELECT relay_guard.audit('rg_ruled');
CREATE TABLE rg_mixed (id int, a int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE rg_mixed_far PARTITION OF rg_mixed FOR VALUES FROM (0) TO (10) SERVER rg_server;
SELECT relay_guard.audit('rg_mixed', key => '{id}');
DROP FOREIGN TABLE rg_mixed_far;
CREATE TABLE rg_mixed_near PARTITION OF rg_mixed FOR VALUES FROM (0) TO (10);
SELECT relay_guard.audit('rg_mixed_near', key => '{id}');
CREATE TABLE rg_mother (id int PRIMARY KEY); CREATE TABLE rg_father (id int PRIMARY KEY);
CREATE TABLE rg_child () INHERITS (rg_mother, rg_father);
SELECT relay_guard.audit('rg_mother');
SELECT relay_guard.audit('rg_child', key => '{id}');
DROP VIEW rg_view; DROP MATERIALIZED VIEW rg_matview;
SELECT relay_guard.encrypt_column('rg_thing', 'body', '{part,id}') \g /dev/null
SELECT relay_guard.audit('rg_thing', key => '{id,body}');
SELECT relay_guard.audit_stop('rg_thing');
SELECT relay_guard.audit_stop(0);
SELECT relay_guard.audit_stop(NULL);
SELECT relay_guard.audit_install('rg_far', 'x', '{id}', '{}', '{}');
SELECT count(*) FROM relay_guard.read_audited_tables();
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'relay\_guard\_audit%';

-- what it makes
SELECT relay_guard.audit('rg_thing', redact => '{secret}', omit => '{body}');
SELECT pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE tgrelid = 'rg_thing'::regclass AND tgname LIKE 'relay\_guard\_audit%'
ORDER BY tgname \g (format=unaligned tuples_only=on)
SELECT * FROM relay_guard.audited_table;
-- again is the same, or with other columns
SELECT relay_guard.audit('rg_thing', redact => '{secret}', omit => '{body}');
SELECT relay_guard.audit('rg_thing', 'stuff', '{id}', '{part}');
SELECT * FROM relay_guard.audited_table;
SELECT count(*), count(DISTINCT tgargs) FROM pg_trigger WHERE tgfoid = 'relay_guard.audit_change()'::regprocedure;
SELECT relay_guard.audit_stop('rg_thing');
SELECT relay_guard.audit_stop('rg_thing');
SELECT count(*) FROM relay_guard.audited_table;

-- odd and long names
CREATE SCHEMA "rg Odd""schema";
CREATE TABLE "rg Odd""schema"."it's, {a} ""table\ of a name that leaves no room for any other wo" (
	"Key, {one}" int, "k\000ey ""two""" text, "é '$$" text, PRIMARY KEY ("Key, {one}", "k\000ey ""two"""));
SELECT c.oid::regclass AS odd FROM pg_class c WHERE relname LIKE 'it''s, %' AND relkind = 'r' \gset
SELECT relay_guard.audit(:'odd', redact => ARRAY['é ''$$']);
SELECT relation = :'odd'::regclass AS found, resource_type, key, redact FROM relay_guard.audited_table \g (format=unaligned)
INSERT INTO :odd VALUES (1, 'x', 'hidden'), (2, 'y', 'hidden');
UPDATE :odd SET "é '$$" = 'seen?' WHERE "Key, {one}" = 2;
SELECT action, resource_type, resource_id, old, new FROM relay_guard.audit_log WHERE resource_type LIKE 'it%' AND source = 'trigger'
ORDER BY id \g (format=unaligned)
-- renames: the table's and the schema's change nothing
ALTER SCHEMA "rg Odd""schema" RENAME TO rg_plain;
ALTER TABLE rg_plain."it's, {a} ""table\ of a name that leaves no room for any other wo" RENAME TO rg_odd;
DELETE FROM rg_plain.rg_odd WHERE "Key, {one}" = 1;
SELECT action, resource_id FROM relay_guard.audit_log WHERE resource_type LIKE 'it%' ORDER BY id DESC LIMIT 1;
-- a column that is named no more: what was to be redacted must not be shown
ALTER TABLE rg_plain.rg_odd RENAME "é '$$" TO bare;
UPDATE rg_plain.rg_odd SET bare = 'shown?';
SELECT relay_guard.audit('rg_plain.rg_odd', redact => '{bare}');
UPDATE rg_plain.rg_odd SET bare = 'shown?';
SELECT action, new FROM relay_guard.audit_log WHERE resource_type = 'rg_odd' AND source = 'trigger' ORDER BY id DESC LIMIT 1;
ALTER TABLE rg_plain.rg_odd DROP COLUMN bare;
UPDATE rg_plain.rg_odd SET "Key, {one}" = 3;
SELECT relay_guard.audit('rg_plain.rg_odd');
UPDATE rg_plain.rg_odd SET "Key, {one}" = 3;

-- dropped and renamed columns are told, whatever took them
SELECT action, resource_type, resource_id, details FROM relay_guard.audit_log WHERE action = 'audit.alter' AND resource_id = 'rg_plain.rg_odd' ORDER BY id;
CREATE TYPE rg_mood AS ENUM ('glad', 'sad');
ALTER TABLE rg_mixed ADD PRIMARY KEY (id), ADD mood rg_mood, ADD other_mood rg_mood;
SELECT relay_guard.audit('rg_mixed');
ALTER TABLE rg_mixed RENAME a TO b;
ALTER TABLE rg_mixed DROP b, ADD b int DEFAULT 7;
DROP TYPE rg_mood CASCADE;
ALTER TABLE rg_mixed RENAME TO rg_still_mixed;
ALTER TABLE rg_still_mixed RENAME CONSTRAINT rg_mixed_pkey TO rg_pkey;
ALTER TABLE rg_still_mixed RENAME TO rg_mixed;
SELECT resource_id, details FROM relay_guard.audit_log WHERE action = 'audit.alter' AND resource_type LIKE 'rg_mixed%' ORDER BY resource_id, details::text COLLATE "C";
-- by the commands for views and types as well: three renames exchange two columns
CREATE TYPE rg_plain.rg_pair AS (id int, price int);
CREATE TABLE rg_plain.rg_typed OF rg_plain.rg_pair (PRIMARY KEY (id));
CREATE TABLE rg_plain.rg_swapped (id int PRIMARY KEY, price int, tip int);
SELECT relay_guard.audit('rg_plain.rg_typed'), relay_guard.audit('rg_plain.rg_swapped');
ALTER VIEW rg_plain.rg_swapped RENAME COLUMN price TO other;
ALTER MATERIALIZED VIEW rg_plain.rg_swapped RENAME COLUMN tip TO price;
ALTER TYPE rg_plain.rg_swapped RENAME ATTRIBUTE other TO tip;
ALTER TYPE rg_plain.rg_pair RENAME ATTRIBUTE price TO cost CASCADE;
SELECT resource_id, details FROM relay_guard.audit_log WHERE action = 'audit.alter' AND resource_type IN ('rg_swapped', 'rg_typed') ORDER BY id;
DROP TABLE rg_plain.rg_typed, rg_plain.rg_swapped;
DROP TYPE rg_plain.rg_pair;

-- pain: the log has no partition for now
BEGIN;
DO $$
DECLARE p regclass;
BEGIN
	FOR p IN SELECT partition FROM relay_guard.audit_partitions() LOOP
		EXECUTE format('ALTER TABLE relay_guard.audit_log DETACH PARTITION %s', p);
		EXECUTE format('ALTER TABLE %s SET SCHEMA rg_plain', p);
	END LOOP;
END
$$;
SELECT severity, code, object, fix, detail FROM relay_guard.lint() WHERE code LIKE 'audit%';
SELECT relay_guard.audit('rg_thing');
SELECT count(*) FROM relay_guard.audit_partitions();
SELECT count(*) FROM relay_guard.lint() WHERE code LIKE 'audit%';
ROLLBACK;

DROP SCHEMA rg_plain CASCADE;
DROP TABLE rg_thing, rg_keyless, rg_lossy, rg_ruled, rg_mixed, rg_mother, rg_father, rg_child CASCADE;
DROP FOREIGN DATA WRAPPER rg_wrapper CASCADE;
