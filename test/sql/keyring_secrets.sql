-- rekey_secrets(): what it touches, what it refuses.
\set VERBOSITY terse
CREATE ROLE rg_admin;
SELECT relay_guard.grant_role('admin', 'rg_admin');
SELECT relay_guard.issuer_add('https://id.example', 'app');
SELECT relay_guard.jwt_key_add('https://id.example', 'k1', '0123456789abcdef0123456789abcdef');
SELECT relay_guard.jwt_key_add('https://id.example', 'k2', 'fedcba9876543210fedcba9876543210');
SELECT relay_guard.jwt_public_key_add('https://id.example', '{"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}');
SELECT count(*) FROM relay_guard.api_key_create('one');
CREATE TABLE rg_before AS SELECT kid, secret FROM relay_guard.jwt_key;

-- all under the primary key: nothing is written
SET ROLE rg_admin;
SELECT relay_guard.rekey_secrets();
RESET ROLE;
SELECT kid, j.secret IS NOT DISTINCT FROM b.secret AS untouched FROM relay_guard.jwt_key j JOIN rg_before b USING (kid) ORDER BY 1;

-- the tables whose secrets it knows; one more is one more line in src/secret_rekey.c
SELECT a.attrelid::regclass AS holds_secrets FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'relay_guard'::regnamespace AND c.relkind = 'r' AND a.attname = 'secret' AND a.atttypid = 'bytea'::regtype
ORDER BY c.relname;

-- a secret that does not open: the row is named
UPDATE relay_guard.jwt_key SET secret = overlay(secret PLACING '\x00000063' FROM 2) WHERE kid = 'k2';
\set VERBOSITY default
SELECT relay_guard.rekey_secrets();
UPDATE relay_guard.jwt_key SET secret = 'noise' WHERE kid = 'k2';
SELECT relay_guard.rekey_secrets();
\set VERBOSITY terse
DELETE FROM relay_guard.jwt_key WHERE kid = 'k2';
SELECT relay_guard.rekey_secrets();

-- under a snapshot of before it could miss one
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT relay_guard.rekey_secrets();
ROLLBACK;

DROP TABLE rg_before;
DELETE FROM relay_guard.issuer;
TRUNCATE relay_guard.api_key, relay_guard.api_key_pepper;
DROP OWNED BY rg_admin; DROP ROLE rg_admin;
