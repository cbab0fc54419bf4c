-- API keys: shown once, stored hashed, ended at once.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE FUNCTION rg_try(key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; reason text;
BEGIN
    RETURN relay_guard.authenticate_api_key(key);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = PG_EXCEPTION_DETAIL;
    RETURN state || ' ' || reason;
END $$;

SELECT rg_try('rgk_' || repeat('a', 43)) AS before_the_first;

SELECT id, key FROM relay_guard.api_key_create('deploy', 'admin', '{read,write}', workspace => 'w1') \gset
SELECT :'key' ~ '^rgk_[A-Za-z0-9_-]{43}$' AS shape;
SELECT name, role, workspace, scopes, rate, expires_at, revoked_at FROM relay_guard.api_key;
SELECT position(:'key' IN k::text) > 0 OR position(:'key'::bytea IN hash) > 0 AS stored FROM relay_guard.api_key k;

-- the identity it stands for
BEGIN;
SELECT rg_try(:'key') = 'key:' || :'id' AS key;
SELECT relay_guard.user_id() = 'key:' || :'id' AS user_id, relay_guard.role(), relay_guard.via(),
       relay_guard.workspace_id(), relay_guard.has_scope('write'), relay_guard.has_scope('admin'),
       relay_guard.claims() IS NULL AS no_claims;
COMMIT;

-- nothing else opens
SELECT rg_try(left(:'key', -1)) AS shorter, rg_try(:'key' || 'A') AS longer, rg_try(upper(:'key')) AS upper;
SELECT rg_try('') AS empty, rg_try(NULL) AS missing, rg_try(repeat('x', 100000)) AS huge,
       rg_try($$' OR true --$$) AS sql;
SELECT rg_try(hash::text) AS its_hash, rg_try(id::text) AS its_id, rg_try(name) AS its_name FROM relay_guard.api_key;

-- neither is a token the other thing
SELECT rg_try(relay_guard.issue_token('alice')) AS token_as_key;
SELECT relay_guard.authenticate(:'key');

-- expiry and revocation
SELECT id AS short_id, key AS short FROM relay_guard.api_key_create('short', expires => clock_timestamp() + interval '3 s') \gset
BEGIN; SELECT rg_try(:'short') = 'key:' || :'short_id' AS short; SELECT relay_guard.role(); COMMIT;
SELECT pg_sleep(3.1);
SELECT rg_try(:'short') AS expired;
BEGIN; SELECT relay_guard.api_key_revoke(:'id'); SELECT rg_try(:'key') AS revoked_here; ROLLBACK;
SELECT rg_try(:'key') = 'key:' || :'id' AS rolled_back;
SELECT relay_guard.api_key_revoke(:'id');
SELECT rg_try(:'key') AS revoked;
SELECT relay_guard.api_key_revoke(:'id') AS again, relay_guard.api_key_revoke(gen_random_uuid()) AS unknown;

-- a name may be used again once its key is gone, not before
SELECT name FROM relay_guard.api_key_create('deploy'), LATERAL (SELECT 'made' AS name) n;
\set VERBOSITY sqlstate
SELECT relay_guard.api_key_create('deploy');
\set VERBOSITY terse

-- keys of a configuration
SELECT relay_guard.api_key_set('env', 'a-key-of-the-environment-0123456789', 'admin') AS first;
SELECT relay_guard.api_key_set('env', 'a-key-of-the-environment-0123456789', 'admin') AS same;
BEGIN; SELECT rg_try('a-key-of-the-environment-0123456789') ~ '^key:' AS good; SELECT relay_guard.role(); COMMIT;
SELECT relay_guard.api_key_set('env', 'b-key-of-the-environment-0123456789', 'admin') AS another;
SELECT rg_try('a-key-of-the-environment-0123456789') AS former;
SELECT relay_guard.api_key_revoke(id) FROM relay_guard.api_key WHERE name = 'env';
SELECT relay_guard.api_key_set('env', 'b-key-of-the-environment-0123456789', 'admin') AS revoked_stays_so;
SELECT rg_try('b-key-of-the-environment-0123456789') AS revoked;
SELECT relay_guard.api_key_set('env', 'c-key-of-the-environment-0123456789', 'admin') AS third;
SELECT relay_guard.api_key_unset('env') AS gone, relay_guard.api_key_unset('env') AS again;
SELECT relay_guard.api_key_set('env', 'c-key-of-the-environment-0123456789', 'admin') AS back;
-- a revoked key stays so, and the one that had its place goes as well
SELECT relay_guard.api_key_set('env', 'b-key-of-the-environment-0123456789', 'admin') AS revoked_again;
SELECT rg_try('b-key-of-the-environment-0123456789') AS revoked, rg_try('c-key-of-the-environment-0123456789') AS gone;
SELECT relay_guard.api_key_set('env', 'c-key-of-the-environment-0123456789', 'admin') AS back_again;

-- what is refused
SELECT relay_guard.api_key_set('weak', 'secret', 'admin');
SELECT relay_guard.api_key_set('long', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 10) i), 'admin');
SELECT relay_guard.api_key_create('late', expires => now() - interval '1 s');
SELECT relay_guard.api_key_create('rate', rate => '{no_such}');
SELECT relay_guard.api_key_create('', 'admin');
SELECT relay_guard.api_key_create('anon', 'anonymous');
SELECT relay_guard.api_key_create('scope', scopes => '{"a b\"c"}');

-- nobody else makes, sees or ends keys
CREATE ROLE rg_nobody; CREATE ROLE rg_admin;
SELECT relay_guard.grant_role('admin', 'rg_admin');
SET ROLE rg_nobody;
SELECT relay_guard.api_key_create('mine');
SELECT relay_guard.api_key_hash('0123456789abcdef0123456789abcdef');
SELECT relay_guard.api_key_random();
SELECT name FROM relay_guard.api_key;
SELECT * FROM relay_guard.api_key_pepper;
SET ROLE rg_admin;
SELECT name FROM relay_guard.api_key WHERE revoked_at IS NULL ORDER BY name;
SELECT hash FROM relay_guard.api_key;
INSERT INTO relay_guard.api_key (name, hash, role, scopes, rate) VALUES ('x', '\x00', 'admin', '{}', '{}');
RESET ROLE;
DROP OWNED BY rg_admin; DROP ROLE rg_admin, rg_nobody;

-- without its pepper no key is known; the hash was not of the key alone
CREATE TABLE rg_pepper AS TABLE relay_guard.api_key_pepper;
DELETE FROM relay_guard.api_key_pepper;
SELECT rg_try('c-key-of-the-environment-0123456789') AS no_pepper;
INSERT INTO relay_guard.api_key_pepper TABLE rg_pepper;
SELECT rg_try('c-key-of-the-environment-0123456789') ~ '^key:' AS pepper_back;
-- one from elsewhere does not open
UPDATE relay_guard.api_key_pepper SET secret = set_byte(secret, 40, get_byte(secret, 40) # 1);
SELECT rg_try('c-key-of-the-environment-0123456789') AS other_pepper;

DROP TABLE rg_pepper;
DROP FUNCTION rg_try(text);
TRUNCATE relay_guard.api_key, relay_guard.api_key_pepper;
