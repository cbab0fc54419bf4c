-- What DDL cannot do to an audited table and to the log.  The owner here is what
-- an application often logs in as: no superuser, but allowed to call audit().
SET client_min_messages = warning;
\set VERBOSITY terse
CREATE ROLE rg_owner; CREATE ROLE rg_other;
SELECT relay_guard.grant_role('admin', 'rg_owner') \g /dev/null
GRANT SET ON PARAMETER session_replication_role TO rg_owner;
CREATE SCHEMA rg_shop AUTHORIZATION rg_owner;
SELECT format('GRANT CREATE ON DATABASE %I TO rg_owner', current_database()) \gexec
SET search_path = rg_shop;
CREATE VIEW rg_log AS SELECT action, resource_type, resource_id, old, new, details FROM relay_guard.audit_log
	WHERE xid = pg_current_xact_id() OR action LIKE 'audit.%' AND resource_id LIKE 'rg_shop.%' ORDER BY id;
CREATE VIEW rg_whole AS SELECT t.relation::regclass, t.part, t.complete FROM relay_guard.read_audited_tables() t ORDER BY 1;
GRANT SELECT ON rg_log, rg_whole TO rg_owner;
GRANT SELECT ON relay_guard.audit_log TO rg_owner;
SET SESSION AUTHORIZATION rg_owner;
SET search_path = rg_shop;
CREATE TABLE rg_account (id int PRIMARY KEY, amount int, note text);
CREATE TABLE rg_parted (id int PRIMARY KEY, amount int) PARTITION BY RANGE (id);
CREATE TABLE rg_low PARTITION OF rg_parted FOR VALUES FROM (0) TO (10);
CREATE TABLE rg_base (id int PRIMARY KEY);
CREATE TABLE rg_kid () INHERITS (rg_base);
CREATE TABLE rg_aside (id int NOT NULL, amount int);
SELECT relay_guard.audit('rg_account', redact => '{note}'), relay_guard.audit('rg_parted'), relay_guard.audit('rg_base') \g /dev/null
INSERT INTO rg_account VALUES (1, 100, 'x');

-- its own triggers
ALTER TABLE rg_account DISABLE TRIGGER relay_guard_audit_update;
ALTER TABLE rg_account DISABLE TRIGGER USER;
ALTER TABLE rg_account DISABLE TRIGGER ALL;
ALTER TABLE rg_account ENABLE ALWAYS TRIGGER relay_guard_audit_insert;
ALTER TABLE rg_account ENABLE TRIGGER relay_guard_audit_row;
ALTER TABLE rg_parted DISABLE TRIGGER relay_guard_audit_insert;
ALTER TABLE ONLY rg_parted DISABLE TRIGGER relay_guard_audit_insert;
ALTER TABLE rg_low DISABLE TRIGGER relay_guard_audit_row;
DROP TRIGGER relay_guard_audit_update ON rg_account;
ALTER TRIGGER relay_guard_audit_update ON rg_account RENAME TO rg_harmless;
CREATE FUNCTION rg_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE OR REPLACE TRIGGER relay_guard_audit_update AFTER UPDATE ON rg_account
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rg_nothing();
CREATE OR REPLACE TRIGGER relay_guard_audit_update AFTER UPDATE ON rg_account
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (false)
	EXECUTE FUNCTION relay_guard.audit_change('rg_account', '{id}', '{note}', '{}');
CREATE OR REPLACE TRIGGER relay_guard_audit_update AFTER UPDATE ON rg_account
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
	EXECUTE FUNCTION relay_guard.audit_change('rg_account', '{id}', '{note}', '{amount}');
CREATE OR REPLACE TRIGGER relay_guard_audit_row AFTER INSERT OR UPDATE OR DELETE ON rg_account FOR EACH ROW
	EXECUTE FUNCTION relay_guard.audit_change('rg_account', '{id}', '{note}', '{}');
CREATE OR REPLACE TRIGGER relay_guard_audit_truncate BEFORE TRUNCATE ON rg_account FOR EACH STATEMENT
	EXECUTE FUNCTION relay_guard.audit_change('rg_account', '{id}', '{note}', '{}');
CREATE TRIGGER rg_second AFTER INSERT ON rg_account REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
	EXECUTE FUNCTION relay_guard.audit_change('rg_account', '{id}', '{note}', '{}');
CREATE TABLE rg_empty (id int PRIMARY KEY) PARTITION BY RANGE (id);
SELECT relay_guard.audit('rg_empty') \g /dev/null
CREATE TRIGGER relay_guard_audit_row AFTER INSERT OR UPDATE OR DELETE ON rg_empty FOR EACH ROW
	EXECUTE FUNCTION relay_guard.audit_change('rg_empty', '{id}', '{}', '{}');
CREATE TRIGGER relay_guard_audit_other AFTER INSERT ON rg_aside EXECUTE FUNCTION rg_nothing();
-- this one comes after a restore of data, and leaves them as they were
ALTER TABLE rg_account ENABLE TRIGGER ALL;
ALTER TABLE rg_parted ENABLE TRIGGER USER;
SELECT * FROM rg_whole;
-- those of others may come and go
CREATE TRIGGER rg_mine AFTER INSERT ON rg_account EXECUTE FUNCTION rg_nothing();
ALTER TABLE rg_account DISABLE TRIGGER rg_mine;
ALTER TABLE rg_account ENABLE ALWAYS TRIGGER rg_mine;
ALTER TRIGGER rg_mine ON rg_account RENAME TO rg_yours;
DROP TRIGGER rg_yours ON rg_account;

-- values
ALTER TABLE rg_account ALTER amount TYPE bigint USING amount * 1000;
ALTER TABLE rg_account ALTER amount TYPE int USING amount * 1000;
ALTER TABLE rg_parted ALTER amount TYPE bigint;
\set VERBOSITY sqlstate
ALTER TABLE rg_low ALTER amount TYPE bigint;
\set VERBOSITY terse
CREATE TYPE rg_kind AS (id int, amount int);
CREATE TABLE rg_typed OF rg_kind (PRIMARY KEY (id));
SELECT relay_guard.audit('rg_typed') \g /dev/null
ALTER TYPE rg_kind ALTER ATTRIBUTE amount TYPE bigint CASCADE;
ALTER TABLE rg_account SET UNLOGGED;
CREATE RULE rg_rule AS ON UPDATE TO rg_account DO INSTEAD NOTHING;
CREATE RULE rg_rule AS ON INSERT TO rg_low DO ALSO NOTHING;
-- what changes no value
ALTER TABLE rg_account ALTER note TYPE varchar, ALTER note SET NOT NULL, ADD CHECK (amount > 0), ADD made timestamptz DEFAULT now();
ALTER TABLE rg_account RENAME TO rg_konto; ALTER TABLE rg_konto RENAME TO rg_account;

-- rows that would come or go with a table
CREATE TABLE rg_high (LIKE rg_parted INCLUDING ALL);
ALTER TABLE rg_parted ATTACH PARTITION rg_high FOR VALUES FROM (10) TO (20);
ALTER TABLE rg_parted DETACH PARTITION rg_low;
ALTER TABLE rg_parted DETACH PARTITION rg_low CONCURRENTLY;
SELECT inhrelid::regclass, inhdetachpending FROM pg_inherits WHERE inhparent = 'rg_parted'::regclass;
ALTER TABLE rg_aside INHERIT rg_base;
ALTER TABLE rg_kid NO INHERIT rg_base;
CREATE TABLE rg_top (id int NOT NULL, amount int, note varchar, made timestamptz);
ALTER TABLE rg_account INHERIT rg_top;
CREATE TABLE rg_tops (LIKE rg_account) PARTITION BY LIST (id);
ALTER TABLE rg_tops ATTACH PARTITION rg_account FOR VALUES IN (1);
DROP TABLE rg_low;
DROP TABLE rg_account;
DROP TABLE rg_kid;
DROP SCHEMA rg_shop CASCADE;

-- new ones are audited at once
CREATE TABLE rg_middle PARTITION OF rg_parted FOR VALUES FROM (20) TO (30) PARTITION BY RANGE (id);
CREATE TABLE rg_center PARTITION OF rg_middle FOR VALUES FROM (20) TO (30);
CREATE TABLE rg_other_kid (name text) INHERITS (rg_base);
CREATE TABLE rg_bastard () INHERITS (rg_base, rg_top);
CREATE UNLOGGED TABLE rg_lossy PARTITION OF rg_parted FOR VALUES FROM (30) TO (40);
CREATE TEMPORARY TABLE rg_passing () INHERITS (rg_base);
CREATE SCHEMA rg_annex CREATE TABLE rg_annexed () INHERITS (rg_shop.rg_base);
SELECT * FROM rg_whole;
SELECT tgenabled, count(*) FROM pg_trigger WHERE tgrelid = 'rg_center'::regclass GROUP BY 1 ORDER BY 1;

-- DML that names a part, or comes as changes from elsewhere do, is recorded
BEGIN;
INSERT INTO rg_low VALUES (1, 1);
INSERT INTO rg_center VALUES (20, 1);
UPDATE rg_middle SET amount = 2;
UPDATE rg_parted SET id = 22 WHERE id = 1;
INSERT INTO rg_other_kid VALUES (7, 'x');
TRUNCATE rg_center;
SET session_replication_role = replica;
INSERT INTO rg_parted VALUES (2, 2);
INSERT INTO rg_low VALUES (3, 3);
UPDATE rg_parted SET id = 21 WHERE id = 3;
DELETE FROM rg_base;
TRUNCATE rg_low;
RESET session_replication_role;
SELECT action, resource_type, resource_id, old, new FROM rg_log WHERE action NOT LIKE 'audit.%';
ROLLBACK;
-- the guards stand in that mode, too
SET session_replication_role = replica;
ALTER TABLE rg_account DISABLE TRIGGER relay_guard_audit_update;
RESET session_replication_role;

-- an owner who may not even call audit()
RESET SESSION AUTHORIZATION;
CREATE TABLE rg_theirs (id int PRIMARY KEY) PARTITION BY RANGE (id);
ALTER TABLE rg_theirs OWNER TO rg_other;
GRANT ALL ON SCHEMA rg_shop TO rg_other;
SELECT relay_guard.audit('rg_theirs');
SET SESSION AUTHORIZATION rg_other;
CREATE TABLE rg_theirs_1 PARTITION OF rg_theirs FOR VALUES FROM (0) TO (9);
ALTER TABLE rg_theirs DISABLE TRIGGER ALL;
SELECT relay_guard.audit_stop('rg_theirs');
SELECT relay_guard.audit_install('rg_theirs', 'x', '{id}', '{}', '{}');
DROP TABLE rg_theirs;
DROP OWNED BY rg_other;
SET SESSION AUTHORIZATION rg_owner;
SELECT relay_guard.audit('rg_theirs');
SELECT relay_guard.audit_stop('rg_theirs');
RESET SESSION AUTHORIZATION;
SELECT * FROM rg_whole WHERE relation::text LIKE 'rg_theirs%';
DROP OWNED BY rg_other;
SET SESSION AUTHORIZATION rg_owner;

-- audit_stop() is the way, and leaves a row
SELECT relay_guard.audit_stop('rg_low');
SELECT relay_guard.audit_stop('rg_parted');
SELECT relay_guard.audit_stop('rg_aside');
ALTER TABLE rg_parted DETACH PARTITION rg_low;
DROP TABLE rg_low;
SELECT relay_guard.audit('rg_parted', 'thing');
SELECT action, resource_type, resource_id, details FROM rg_log;

-- the log: by ownership somebody may have been given
CREATE TRIGGER rg_t BEFORE INSERT ON relay_guard.audit_log EXECUTE FUNCTION rg_nothing();
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT partition FROM relay_guard.audit_partitions() LIMIT 1 \gset
ALTER TABLE :partition RENAME TO audit_log_now;
\set partition relay_guard.audit_log_now
ALTER TABLE relay_guard.audit_log OWNER TO rg_owner;
ALTER TABLE :partition OWNER TO rg_owner;
ALTER TABLE relay_guard.audit_seal OWNER TO rg_owner;
GRANT CREATE ON SCHEMA relay_guard TO rg_owner;
SET LOCAL ROLE rg_owner;
\set ON_ERROR_ROLLBACK on
ALTER TABLE relay_guard.audit_log DISABLE TRIGGER audit_refuse;
ALTER TABLE relay_guard.audit_seal DISABLE TRIGGER ALL;
\set VERBOSITY sqlstate
ALTER TABLE :partition ALTER details TYPE text;
\set VERBOSITY terse
ALTER TABLE :partition ADD COLUMN x int;
CREATE TRIGGER rg_t BEFORE INSERT ON relay_guard.audit_log EXECUTE FUNCTION rg_shop.rg_nothing();
CREATE RULE rg_r AS ON INSERT TO relay_guard.audit_log DO INSTEAD NOTHING;
ALTER TABLE relay_guard.audit_log DETACH PARTITION :partition;
CREATE TABLE rg_shop.rg_early PARTITION OF relay_guard.audit_log FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
ALTER TABLE relay_guard.audit_log RENAME TO x;
DROP TRIGGER audit_refuse ON :partition;
DROP TABLE :partition;
\set ON_ERROR_ROLLBACK off
ROLLBACK;

-- superusers pass, and leave no part unaudited
\set VERBOSITY default
\set SHOW_CONTEXT never
SET search_path = rg_shop;
ALTER TABLE rg_parted ATTACH PARTITION rg_high FOR VALUES FROM (10) TO (20);
ALTER TABLE rg_parted DETACH PARTITION rg_middle;
ALTER TABLE rg_aside INHERIT rg_base;
SELECT * FROM rg_whole;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'rg_middle'::regclass ORDER BY 1;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'rg_center'::regclass ORDER BY 1;
-- a part that was detached stays audited, and may come back
ALTER TABLE rg_parted ATTACH PARTITION rg_middle FOR VALUES FROM (20) TO (30);
SELECT * FROM rg_whole WHERE relation IN ('rg_middle'::regclass, 'rg_center'::regclass);
ALTER TABLE rg_account INHERIT rg_top;
ALTER TABLE rg_account DISABLE TRIGGER relay_guard_audit_update;
SELECT relation, complete FROM rg_whole WHERE NOT complete;
SELECT severity, code, object, fix FROM relay_guard.lint() WHERE code LIKE 'audit%';
ALTER TABLE rg_account NO INHERIT rg_top;
SELECT relay_guard.audit('rg_account', 'rg_account', '{id}', '{note}', '{}');
SELECT code FROM relay_guard.lint() WHERE code LIKE 'audit%';
ALTER EVENT TRIGGER relay_guard_audit_drop ENABLE;
SELECT severity, code, object, fix FROM relay_guard.lint() WHERE code LIKE 'audit%';
ALTER EVENT TRIGGER relay_guard_audit_drop ENABLE ALWAYS;
ALTER TABLE rg_account ALTER amount TYPE bigint USING amount * 1000;
DROP TABLE rg_account;
DROP FUNCTION rg_nothing CASCADE;
SELECT relay_guard.audit_guard_command();
DROP SCHEMA rg_shop, rg_annex CASCADE;
DROP OWNED BY rg_owner, rg_other;
REVOKE SET ON PARAMETER session_replication_role FROM rg_owner;
DROP ROLE rg_owner, rg_other;
