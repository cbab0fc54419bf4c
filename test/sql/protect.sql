-- protect(): one call, and a row is seen by its owner only.
\set VERBOSITY terse
CREATE ROLE rg_app;
CREATE TABLE rg_note (id int PRIMARY KEY, user_id text NOT NULL DEFAULT relay_guard.user_id(), body text);
INSERT INTO rg_note VALUES (1, 'alice', 'hers'), (2, 'bob', 'his');
SELECT relay_guard.protect('rg_note', grant_to => 'rg_app');
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'rg_note'::regclass;
SELECT polname, pg_get_expr(polqual, polrelid) AS qual FROM pg_policy WHERE polrelid = 'rg_note'::regclass;
SELECT indexdef FROM pg_indexes WHERE tablename = 'rg_note' ORDER BY 1;

SET ROLE rg_app;
SELECT count(*) AS without_identity FROM rg_note;
INSERT INTO rg_note VALUES (3, 'alice', 'x');
BEGIN;
SELECT relay_guard.user_id();
RESET ROLE; SELECT relay_guard.assume('alice'); SET LOCAL ROLE rg_app;
SELECT * FROM rg_note;
UPDATE rg_note SET body = 'x' WHERE id = 2;
DELETE FROM rg_note WHERE id = 2;
INSERT INTO rg_note (id, body) VALUES (4, 'mine');
SELECT * FROM rg_note ORDER BY id;
SAVEPOINT s;
INSERT INTO rg_note VALUES (5, 'bob', 'forged');
ROLLBACK TO s;
UPDATE rg_note SET user_id = 'bob' WHERE id = 1;
ROLLBACK TO s;
TRUNCATE rg_note;
ROLLBACK;
RESET ROLE;
SELECT * FROM rg_note ORDER BY id;

-- again, with the tenant: the policy is replaced, the index made once
ALTER TABLE rg_note ADD workspace uuid;
SELECT relay_guard.protect('rg_note', tenant => 'workspace');
SELECT relay_guard.protect('rg_note', tenant => 'workspace');
SELECT polname, pg_get_expr(polqual, polrelid) AS qual FROM pg_policy WHERE polrelid = 'rg_note'::regclass;
SELECT indexdef FROM pg_indexes WHERE tablename = 'rg_note' ORDER BY 1;

-- columns that cannot hold an identity
SELECT relay_guard.protect('rg_note', owner => 'nope');
SELECT relay_guard.protect('rg_note', owner => 'id');
SELECT relay_guard.protect('rg_note', tenant => 'id');

SELECT relay_guard.unprotect('rg_note');
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'rg_note'::regclass;
SELECT relay_guard.unprotect('rg_note');

-- numbers and uuids as owners
CREATE TABLE rg_number (user_id bigint); INSERT INTO rg_number VALUES (7), (8);
CREATE TABLE rg_uuid (user_id uuid); INSERT INTO rg_uuid VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), (gen_random_uuid());
SELECT relay_guard.protect('rg_number', grant_to => 'rg_app'), relay_guard.protect('rg_uuid', grant_to => 'rg_app');
BEGIN; SELECT relay_guard.assume('7'); SET LOCAL ROLE rg_app; SELECT * FROM rg_number; COMMIT;
BEGIN; SELECT relay_guard.assume('007'); SET LOCAL ROLE rg_app; SELECT * FROM rg_number; COMMIT;
BEGIN; SELECT relay_guard.assume('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'); SET LOCAL ROLE rg_app; SELECT * FROM rg_uuid; COMMIT;

-- what would show or take more than the policy says
CREATE TABLE rg_open (user_id text);
ALTER TABLE rg_open ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON rg_open USING (true);
GRANT ALL ON rg_open TO rg_app;
SELECT relay_guard.protect('rg_open');
DROP POLICY everybody ON rg_open;
SELECT relay_guard.protect('rg_open', grant_to => 'rg_app');
SELECT privilege, has_table_privilege('rg_app', 'rg_open', privilege)
FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) privilege;
CREATE COLLATION rg_nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE rg_collated (user_id text COLLATE rg_nocase);
SELECT relay_guard.protect('rg_collated');
DROP TABLE rg_open, rg_collated;
DROP COLLATION rg_nocase;

-- odd names
CREATE TABLE "rg ""odd""" ("user ""id""" text);
SELECT relay_guard.protect('"rg ""odd"""', owner => 'user "id"');
SELECT pg_get_expr(polqual, polrelid) AS qual FROM pg_policy WHERE polrelid = '"rg ""odd"""'::regclass;

DROP TABLE rg_note, rg_number, rg_uuid, "rg ""odd""";
DROP ROLE rg_app;
