-- Tokens from outside: what is accepted, and one reason for each refusal.
-- The tokens are HS256 under the secret below; exp is in the year 2100.
\set good 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.FAIBRHnnygpVMhBt-muGvkMqvh0qHAwqqwWcFAHxUws'
\set bob 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJib2IiLCJleHAiOjQxMDI0NDQ4MDB9.6qO_6VQ5TSHuukRgxK01BidlZpRxOmDy2T2ZPnUOkPc'
\set expired 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6MTcwMDAwMDAwMH0.rA_AVo9PatAOJjE_B0au4SQtvVkeuQnI9OJfkDogVeg'
\set other_iss 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2V2aWwuZXhhbXBsZSIsImF1ZCI6ImFwcCIsInN1YiI6ImFsaWNlIiwiZXhwIjo0MTAyNDQ0ODAwfQ.zGwa4hxap4ObCz8f2XTqkFDopEK8keoRFmMFNXpq0Po'
\set other_aud 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJvdGhlciIsInN1YiI6ImFsaWNlIiwiZXhwIjo0MTAyNDQ0ODAwfQ.thqgJ8oQHH6T_d2_Y3Ybt6_Rd4QHL6zDoVHN1QkW95w'
\set no_aud 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.y_WMGqkzwz5fp_uvc-yqenHcEShUW0xxRw4t9MulIxs'
\set no_exp 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSJ9.OV_D3QxnTdzoGzmvB8VIEW2Ypc9KWqQpMq2lUHwd2CY'
\set none 'eyJhbGciOiJub25lIn0.eyJpc3MiOiAiaHR0cHM6Ly9pZC5leGFtcGxlIiwgImF1ZCI6ICJhcHAiLCAic3ViIjogImFsaWNlIiwgImV4cCI6IDQxMDI0NDQ4MDB9.'
\set other_key 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.0mpm0_trotPo9MQsVQiZ7gI-187iZkQn6J5bctLJNXY'
\set rs 'eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.grHb5IDeHDxO5GkFtzUT1h-ikUI5RmruEBtx6WxdAng'
\set nbf 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwibmJmIjo0MTAyNDQ0MDAwfQ.BtV4PLIflDhFF_E_9o0c_sfVmy3-zb6rY4WBXwlhfEs'
\set kid 'eyJhbGciOiJIUzI1NiIsImtpZCI6ImsyIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.m0ZzVbp0nBRySncsvpC6-04wUaQXKdYZ9P08nlslwhw'
\set kid1 'eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.pjHxMDA-L_5ZxZwcznXqQA_Ub5Nu0m08bPQHvq8Dr_8'
\set admin 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwicm9sZSI6ImFkbWluIn0.xekWekMju3dRAAAX0iaw0aDrPkN4xgl69JmU9QjwAMY'
\set anon 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbm9uOjEyMyIsImV4cCI6NDEwMjQ0NDgwMH0.61lAHhDM7oNzFnE_rBxBhZ-23yqFI3nhzVlGpjaM2TM'
\set two 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL3R3by5leGFtcGxlIiwiYXVkIjoiYXBwIiwic3ViIjoiYWxpY2UiLCJleHAiOjQxMDI0NDQ4MDAsIndvcmtzcGFjZV9pZCI6IncxIiwicm9sZSI6ImFkbWluIn0.I6Tfkj2oTric8oOWXt4Efkxal06vZKvFdLOdMezhpkM'
\set reaching 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwid29ya3NwYWNlX2lkIjoiaHR0cHM6Ly90d28uZXhhbXBsZXx3MSJ9.MdedbijFS_3_7YubMRDpl1TH7PkwrnjWo78-t98Nvhc'
\set modest 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwicm9sZSI6ImFub255bW91cyJ9.QBO4ez27zbvNQW0bZEP7Y-cgRdVoWXj5mn8qyx4_CHU'
\set scoped 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwid29ya3NwYWNlX2lkIjoidzEiLCJzY29wZSI6InJlYWQgd3JpdGUifQ.KX8tkj05uNK7vTH8fM_pphTIq3Q-it0I7UzCx-o0rOw'
\set secret 0123456789abcdef0123456789abcdef

SELECT relay_guard.issuer_add('https://id.example', 'app');
SELECT relay_guard.jwt_key_add('https://id.example', 'k1', :'secret');
SELECT iss, aud, subject_prefix, roles FROM relay_guard.issuer;
SELECT kid, alg, position(:'secret'::bytea IN secret) AS in_clear, retired_at FROM relay_guard.jwt_key;

CREATE FUNCTION rg_try(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; reason text;
BEGIN
    RETURN relay_guard.authenticate(token);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = PG_EXCEPTION_DETAIL;
    RETURN state || ' ' || reason;
END $$;

BEGIN; SELECT rg_try(:'good') AS good; SELECT relay_guard.user_id(), relay_guard.role(), relay_guard.via(), relay_guard.claims(); COMMIT;
BEGIN; SELECT rg_try(:'scoped') AS scoped; SELECT relay_guard.workspace_id(), relay_guard.has_scope('read'), relay_guard.has_scope('rea'), relay_guard.has_scope('read write'); COMMIT;
BEGIN; SELECT rg_try(:'admin') AS claims_admin; SELECT relay_guard.role(); COMMIT;
SELECT rg_try(:'kid1') AS kid_named;
SELECT rg_try(:'expired') AS expired;
SELECT rg_try(:'other_iss') AS other_iss;
SELECT rg_try(:'other_aud') AS other_aud;
SELECT rg_try(:'no_aud') AS no_aud;
SELECT rg_try(:'no_exp') AS no_exp;
SELECT rg_try(:'none') AS alg_none;
SELECT rg_try(:'other_key') AS other_key;
SELECT rg_try(:'rs') AS other_algorithm;
SELECT rg_try(:'nbf') AS not_yet;
SELECT rg_try(:'kid') AS unknown_kid;
SELECT rg_try(:'anon') AS reserved_subject;
SELECT rg_try(left(:'good', -5)) AS truncated;
SELECT rg_try(:'good' || 'A') AS trailing;
SELECT rg_try(repeat('a', 3000)) AS three_kb;
SELECT rg_try(repeat('a', 100000)) AS hundred_kb;
SELECT rg_try($$'; DROP TABLE users; --$$) AS sql;
SELECT rg_try('') AS empty;
SELECT rg_try(NULL) AS missing;

-- the second identity of a transaction is refused, the same again is not
BEGIN; SELECT rg_try(:'good'); SELECT rg_try(:'good'); SELECT rg_try(:'bob'); SELECT relay_guard.user_id(); ROLLBACK;

-- a cached verdict does not outlive the key, nor a second key the need of a kid
SELECT relay_guard.jwt_key_add('https://id.example', 'k2', reverse(:'secret'));
SELECT rg_try(:'good') AS two_keys_no_kid, rg_try(:'kid1') AS two_keys_kid;
SELECT relay_guard.jwt_key_retire('https://id.example', 'k2');
SELECT rg_try(:'good') AS one_key_again;
BEGIN;
SELECT relay_guard.jwt_key_retire('https://id.example', 'k1');
SELECT rg_try(:'good') AS retired_here;
ROLLBACK;
SELECT rg_try(:'good') AS rolled_back;
SELECT relay_guard.jwt_key_retire('https://id.example', 'k1');
SELECT rg_try(:'good') AS retired;
SELECT relay_guard.jwt_key_retire('https://id.example', 'k1') AS again;

-- a subject never falls into another issuer's users
SELECT relay_guard.issuer_add('https://two.example', 'app', roles => '{user,admin}');
SELECT relay_guard.jwt_key_add('https://two.example', 'k', :'secret');
SELECT iss, subject_prefix FROM relay_guard.issuer ORDER BY created_at, iss;
\set VERBOSITY terse
SELECT relay_guard.issuer_add('https://three.example', 'app', '');
SELECT relay_guard.issuer_add('https://three.example', 'app', 'u');

-- also when that issuer is gone; who comes back gets his own
BEGIN;
DELETE FROM relay_guard.issuer;
SELECT relay_guard.issuer_add('https://three.example', 'app');
SAVEPOINT before; SELECT relay_guard.issuer_add('https://four.example', 'app', ''); ROLLBACK TO before;
SAVEPOINT before; UPDATE relay_guard.issuer SET subject_prefix = 'https://two.example|'; ROLLBACK TO before;
SELECT relay_guard.issuer_add('https://id.example', 'app');
SELECT iss, subject_prefix FROM relay_guard.issuer ORDER BY iss;
ROLLBACK;

-- nor does its workspace; and whoever says anonymous is that
SELECT relay_guard.jwt_key_add('https://id.example', 'k4', :'secret');
BEGIN; SELECT rg_try(:'two') AS two; SELECT relay_guard.user_id(), relay_guard.workspace_id(), relay_guard.role(); COMMIT;
SELECT rg_try(:'reaching') AS reaching_workspace;
BEGIN; SELECT rg_try(:'modest') AS modest; SELECT relay_guard.role(); COMMIT;

-- what is refused at registration
SELECT relay_guard.issuer_add('relay_guard', 'x');
SELECT relay_guard.jwt_key_add('https://id.example', 'k3', 'secret');
SELECT relay_guard.jwt_key_add('https://id.example', 'k3', repeat('ab', 32));
SELECT relay_guard.jwt_key_add('https://nobody.example', 'k3', :'secret');

-- tokens of our own
BEGIN; SELECT rg_try(relay_guard.issue_token('alice', 'w1', 'admin', '{a,b}')) AS own;
SELECT relay_guard.user_id(), relay_guard.workspace_id(), relay_guard.role(), relay_guard.has_scope('b'), relay_guard.claims() ->> 'iss' AS iss; COMMIT;
SELECT relay_guard.issue_token('');
SELECT relay_guard.issue_token('a', ttl => '0');
SELECT relay_guard.issue_token('a', ttl => '2 years');
SELECT relay_guard.issue_token('a', scopes => '{"a b"}');

DELETE FROM relay_guard.issuer;
SELECT count(*) AS keys_left FROM relay_guard.jwt_key;
DROP FUNCTION rg_try(text);
