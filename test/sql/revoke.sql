-- revoke(): one token, a session, or a user's tokens of before a time, from
-- the next transaction on.  The tokens are HS256 under the secret below.
\set alice 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMCwic3ViIjoiYWxpY2UiLCJqdGkiOiJqMSIsInNlc3Npb25faWQiOiJzMSJ9.LAvwYM2OOCY-sAyMqiWK3I5eosU-wgOVl5bmDLtJR5o'
\set alice2 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMCwic3ViIjoiYWxpY2UiLCJqdGkiOiJqMiIsInNpZCI6InMyIn0._ez-dCLS2Kk9zAuz0kAMpWlX25hTVF1avK887c3gK3c'
\set alice3 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMCwic3ViIjoiYWxpY2UiLCJqdGkiOiJqMyIsInNlc3Npb25faWQiOiJzMiJ9.bBkTZKFcv2P6vpwTkcisXbWqu7Z0P0o_OCeWY_U6O08'
\set bob 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMCwic3ViIjoiYm9iIiwianRpIjoiajQiLCJzZXNzaW9uX2lkIjoiczQifQ.Vzid1xAZKgpveezfLBVU5b27-FXSp41-plMo22x3hF8'
\set later 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMSwic3ViIjoiYWxpY2UiLCJqdGkiOiJqNSJ9.MUsngYcyqLa0-GOKzZimG5jDr8c0UEUGzFWi6dWnIWM'
\set undated 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6ImFsaWNlIiwianRpIjoiajcifQ.c9KsdwTJcUbpOKYQLCjJCOhjr2rOntIkiYWg4iUPWNM'
\set other 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL3R3by5leGFtcGxlIiwiYXVkIjoiYXBwIiwiZXhwIjo0MTAyNDQ0ODAwLCJpYXQiOjE3MDAwMDAwMDAsInN1YiI6ImFsaWNlIiwianRpIjoiajEiLCJzZXNzaW9uX2lkIjoiczEifQ.dHMMFSWEVB-YwXX73Hf2KWBZfKace3qR7NACPiP2nK0'
\set secret 0123456789abcdef0123456789abcdef
\set VERBOSITY terse
SET client_min_messages = warning;

SELECT relay_guard.issuer_add('https://id.example', 'app');
SELECT relay_guard.jwt_key_add('https://id.example', 'k1', :'secret');
SELECT relay_guard.issuer_add('https://two.example', 'app');
SELECT relay_guard.jwt_key_add('https://two.example', 'k1', :'secret');

CREATE FUNCTION rg_try(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; reason text;
BEGIN
    RETURN relay_guard.authenticate(token);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = PG_EXCEPTION_DETAIL;
    RETURN state || ' ' || reason;
END $$;
CREATE VIEW rg_revoked AS
SELECT kind, value, before FROM relay_guard.revocation ORDER BY kind, value;

-- all are good, and remembered as verified
SELECT rg_try(:'alice') AS alice; SELECT rg_try(:'alice2') AS alice2;
SELECT rg_try(:'alice3') AS alice3; SELECT rg_try(:'bob') AS bob;
SELECT rg_try(:'later') AS later; SELECT rg_try(:'other') AS other;

-- one token: the jti of another issuer's is another
SELECT relay_guard.revoke(jti => 'j1');
SELECT rg_try(:'alice') AS alice; SELECT rg_try(:'alice') AS alice_again;
SELECT rg_try(:'alice2') AS alice2; SELECT rg_try(:'other') AS other;
SELECT relay_guard.revoke(jti => 'https://two.example|j1');
SELECT rg_try(:'other') AS other;

-- a session, by either claim
SELECT relay_guard.revoke(session => 's2');
SELECT rg_try(:'alice2') AS alice2; SELECT rg_try(:'alice3') AS alice3;
SELECT rg_try(:'bob') AS bob;

-- a user's tokens of before a time; those that do not say are of before
SELECT rg_try(:'undated') AS undated;
SELECT relay_guard.revoke(user_id => 'alice', before => '2023-11-14 22:13:21+00');
SELECT rg_try(:'undated') AS undated; SELECT rg_try(:'later') AS later;
SELECT relay_guard.revoke(user_id => 'alice', before => '2000-01-01');
SELECT rg_try(:'undated') AS not_undone;
SELECT relay_guard.revoke(user_id => 'alice', before => '2023-11-14 22:13:22+00');
SELECT rg_try(:'later') AS later;
SELECT rg_try(:'bob') AS bob;
SET TIME ZONE 'UTC';
TABLE rg_revoked;
RESET TIME ZONE;

-- what is issued afterwards is good; by default all of before now go
SELECT relay_guard.issue_token('dora') AS dora \gset
SELECT rg_try(:'dora') AS dora;
SELECT relay_guard.revoke(user_id => 'dora', before => date_trunc('second', clock_timestamp()) + interval '1 s');
SELECT rg_try(:'dora') AS dora;
SELECT pg_sleep(1.2);
SELECT relay_guard.issue_token('dora') AS dora2 \gset
SELECT rg_try(:'dora2') AS dora_again;
SELECT relay_guard.revoke(user_id => 'dora');
SELECT rg_try(:'dora2') AS dora_again;

-- rolled back is not revoked; taken back is good again
BEGIN; SELECT relay_guard.revoke(jti => 'j4'); SELECT rg_try(:'bob') AS bob_here; ROLLBACK;
SELECT rg_try(:'bob') AS bob;
DELETE FROM relay_guard.revocation WHERE value = 'j1';
SELECT rg_try(:'alice') AS alice_is_older;
DELETE FROM relay_guard.revocation WHERE kind = 'user';
SELECT rg_try(:'alice') AS alice;

-- the transaction that runs keeps its identity
BEGIN;
SELECT rg_try(:'bob') AS bob;
SELECT relay_guard.revoke(jti => 'j4');
SELECT relay_guard.user_id();
COMMIT;
SELECT rg_try(:'bob') AS bob;

-- what makes no sense
SELECT relay_guard.revoke();
SELECT relay_guard.revoke(jti => 'a', session => 'b');
SELECT relay_guard.revoke(jti => 'a', before => now());
SELECT relay_guard.revoke(jti => '');
SELECT relay_guard.revoke(user_id => 'key:098217f6-968a-47ed-a538-071922204bbc');
CREATE ROLE rg_nobody;
SET ROLE rg_nobody;
SELECT relay_guard.revoke(jti => 'a');
SELECT count(*) FROM relay_guard.revocation;
RESET ROLE;

DROP ROLE rg_nobody;
DROP VIEW rg_revoked;
DROP FUNCTION rg_try(text);
TRUNCATE relay_guard.revocation;
DELETE FROM relay_guard.issuer;
