-- Keys of issuers: public ones, sets of them, and what becomes of a key that is
-- retired, replaced or broken. The tokens are good until the year 2100; nobody
-- has the private keys any more.
\set rs '{"kty":"RSA","n":"rcrtHvyVPB0rjJ1E_zuwpYOWMO74-YOZOzxbUqee0aoDL0VkLQgeqeJks7_AulVDy5V3KgwCyOYlAbYW6h1bTueSLrFbgoBRcM1tUfvDxMGr_jlHIxU4pYcWCepndNGTrBQEda2mb00RDLnwm5wyQ1EPt203Fpn5vRXVY-PuncsmWyDYlB1cAXmRhctTOvd6H603nRZA8OJfytnJdkSbumfREDWFLrG946uF06aX3GZI84bvfQ6yis1hLQzqgYDdPSF280PntlSrvzbY0uwVMDZeDphsQoPVkiv0ExuZ_mGlIj0A_bXJ7vvgkFn0agm8XnRsFkTaDKxG00ZaVvA9yQ","e":"AQAB","kid":"rs","use":"sig","alg":"RS256"}'
\set es '{"kty":"EC","crv":"P-256","x":"g1al6e1R7PBFFRn68iCu4EjxkyReDeGHLgvVUbuIGrU","y":"4bj-279cWs6di28_QVyQq7S0MTTdQsOpNzaliHgP2f8","kid":"es","key_ops":["verify"]}'
\set ed '{"kty":"OKP","crv":"Ed25519","x":"HlXx1BBQrlL18msYzv9AW6A8Hv6E5Uhjh4LbzoNcumY","kid":"ed"}'
\set rs_new '{"kty":"RSA","n":"zb_Kb55-C2YE7eFEnaXqoiOtTV5MbJ65uySfOV4kXwIAb_4FCM5Qo0LwLLCePpVTa_Ab81ZE7E_ES3NnkK7oNOeZ-xwuPWz6Btz8uCuoAflMtSYJL_GVQH-xM-HmizsLhIHl5qAPl1qkwMoWEKjT-Pfz6OtO0tKXd2uvyxKIJCGOZ8ARwxd0Xm-ougisd4WTIPeAO21ne_NAz9dsbNq2gm9hacOlRPEpLPSzaVb0Zuh4cZTel9fIRTP6lNBNPHk9vnq2yyad5M7Wq-RdbfJ1TJmgeMq39Pj78QHPgWy2gITiUh9h8mudwJocMwCqc3e_2Q_fj_jcL1PBgB87Ihp6fw","e":"AQAB","kid":"rs"}'
\set unnamed '{"kty":"RSA","n":"zb_Kb55-C2YE7eFEnaXqoiOtTV5MbJ65uySfOV4kXwIAb_4FCM5Qo0LwLLCePpVTa_Ab81ZE7E_ES3NnkK7oNOeZ-xwuPWz6Btz8uCuoAflMtSYJL_GVQH-xM-HmizsLhIHl5qAPl1qkwMoWEKjT-Pfz6OtO0tKXd2uvyxKIJCGOZ8ARwxd0Xm-ougisd4WTIPeAO21ne_NAz9dsbNq2gm9hacOlRPEpLPSzaVb0Zuh4cZTel9fIRTP6lNBNPHk9vnq2yyad5M7Wq-RdbfJ1TJmgeMq39Pj78QHPgWy2gITiUh9h8mudwJocMwCqc3e_2Q_fj_jcL1PBgB87Ihp6fw","e":"AQAB"}'
\set weak '{"kty":"RSA","n":"uNvMns6RB8d718Y6_Do_SHQrWBK7zqBwPPdCwW8pBhMisSK3a540YNUSw0w4Z6OFirn0aj7GznnKgzQ_esZpeqSmoyBmzgvKJQVAP-8n3xkneoqMupHmShKfiOkRgPXsbyI0c9YIqhw0NzGPj6uhCj2M3vmHRbI6L1zqukrVuVs","e":"AQAB","kid":"weak"}'
\set rs_kid 'eyJhbGciOiJSUzI1NiIsImtpZCI6InJzIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.cwhfOSE9ULNnKmgBi4zqXpmWid9fpLE7SfBCVczBbfhTHCS7OeHVslikhV9h59u8WpfYlnsA8ZySHDcjNCFL_xsBsX8zK5Sitt4lIfNfocUu8FgMMkxyUAIDtXqOaHyuzJd1Ngp-ZalYMA9YrUPj1m0bAKwtjHWHyhkX-jpt9Wfp9medOWmv-Ia7vc-iQ105OoCDr5kbJfcYFtyEQbvI24yi98SiR0EiuIRYWvO5iZhlce8TuonWYTFMf2_3V0RvcR6GT0WrA932RLw7tl67RZBM97SC-lV0eRFAROffRWga8dS9TkG3Mz9-X8C682fxFkKn7pRxGvsROtXpmIy88w'
\set rs_nokid 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.HK2BUmN1AGhjV0c-qAug02re8Uy0VZLpFA2nwo4sJXX5qw3dgovIQazXkokcw5Fh6TA1VtzarPlCNHozZGReya1s0q2uGIQHycie8odWdoXUIGf3JYvsnpDsrK55T5dc7xJVuomqLuvui730yX4f3zvBowTnV0GXmxV6qDq5R2X7eQWSe4LA_Hj3_GajPhBe3tClSMkA-9JwsCFX-sJKLCY8l7Zte5JGgfA_oRDaI63iXMT-iKZV12ztIv8XWcmduwuc9fO4hs85CJAiN0KFtER5L_tgdIuE3HSNFvEx9Za5EdacAoYkllkQCM6L4yQH7k_yAHsoRyeFL2LGZz8oQg'
\set es_kid 'eyJhbGciOiJFUzI1NiIsImtpZCI6ImVzIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.txBKC8glvGSG-YDp3tiPhm5zadxUGkCftRdgM2lAeTn2BoRBCeocbnSnO2L880aRGEZin-v0SYLPAR_Bz_7t4Q'
\set es_nokid 'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.WCOWs5wbAUCVdA1PQNaNExZMOpttXjS8Y7dtwwaZUcC8kIwWoj9MnOvYluGPZTJY3NPkLglouUp5mAw0VIjnEQ'
\set ed_kid 'eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.uqjqi6c8jU3fOElsy-XyC5cFThsUfM2eD39y_EC7kqMjfjfm3HXCcMu0EPAipLSc6LvbvrNilWo6PEW2IWQ_DA'
\set ed_nokid 'eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0._Rnhv5Eprl7tRA3XFrXtla4cB8FfBOsfltGEQqxFAjpHBrq9u4dPm7P2114GxeTQ40I_2lby7IVlh9PEMCEwCQ'
\set rs_new_kid 'eyJhbGciOiJSUzI1NiIsImtpZCI6InJzIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.HD-gBCa4o4gPsKUO3aCzeJK2LAeVhyyPhaCgXaZkyZlHhsIunlfD7gHYaQRGDk4cDSOFWq6dalDJ9CrfL1C6kOiAWLm5snXeuIwPTS4WENHLUD744pytZ3QRt17mcfPNhJ8CcoBitVppMgsZiAVXwT73wAWDyiDWdLSAaNADXAfQyM51XaLccRc5q0s2xy-ZypbRh2J1qolyXaDYCZ0tPoIfiPoJ35ZMHZ3JKwOY_nJt8GrEuuS5hLIYcezPJy_ngPuHL-nkM32U6HlAXnAkIc4kDKY1Aw3Z50-0oMKx5ocxs7tIsa2SFlxcmdDR5tiazCWMzHoy8cIUZGgEJfoKaQ'
\set unnamed_kid 'eyJhbGciOiJSUzI1NiIsImtpZCI6InVUZGJSdTlwYXM3MUNVa2Z5b0ZpSWVnVF8wdzRkdHlqYi1oVkt0b3poajAifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.ZooMHINESvwwlqXX2E1KY9RFTjxN3tgeQL2DVk1JJCC9Ve7hsQHFvjRwzxBJck1EwESV7k1aCnweH4MmZtI2g8kNn-6MoxlCSDc_T11KBrryIM7R5xczfbIe8Q2hi3l8lEYoCKYxgnjU9sxrRrZ1F7ixLkOx76Vm-4TeJBeuEGlhWKnpH9HSXzS_m5IfKXGQ4m1VWuF-sTZZTLs7NrO9CRxJqIt8QsyYTiaqb1sT7dN31RIMO7b1IlrfmTv4WYRtTSpcGYa3iC_Rrg3K0e9KpufTTXCk4MjG0PHFTK934SOw1cC7L3GyalC5N6gDUjnNAOhvoEZqPUAROVylRqVpEA'
\set hs_kid 'eyJhbGciOiJIUzI1NiIsImtpZCI6ImhzIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.uJ6QPRUiNjrYSfalirGRFjm-1TAEJvlULK3-6OMWd44'
\set hs_nokid 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.OFY9Q4ok6CRaWe7_OvU-NEMlnKjgOdb1PgO4M-zRpuo'
\set secret 0123456789abcdef0123456789abcdef
\set VERBOSITY terse

CREATE FUNCTION rg_try(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; reason text;
BEGIN
    RETURN relay_guard.authenticate(token);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = PG_EXCEPTION_DETAIL;
    RETURN state || ' ' || reason;
END $$;
CREATE FUNCTION rg_set(VARIADIC keys jsonb[]) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('keys', to_jsonb(keys)) $$;
CREATE VIEW rg_keys AS SELECT kid, alg, source, retired_at IS NOT NULL AS retired FROM relay_guard.jwt_key ORDER BY kid COLLATE "C";
SELECT relay_guard.issuer_add('https://id.example', 'app');

-- one public key by hand; a kid given, its own, or its thumbprint
SELECT relay_guard.jwt_public_key_add('https://id.example', :'rs');
SELECT relay_guard.jwt_public_key_add('https://id.example', :'es', 'es');
SELECT relay_guard.jwt_public_key_add('https://id.example', :'unnamed');
SELECT relay_guard.jwt_public_key_add('https://id.example', :'rs');
SELECT * FROM rg_keys;
SELECT secret IS NULL AS no_secret, public_key = :'rs'::jsonb - '{kid,use,alg}'::text[] AS required_members FROM relay_guard.jwt_key WHERE kid = 'rs';
SELECT rg_try(:'rs_kid') AS rs256, rg_try(:'es_kid') AS es256, rg_try(:'unnamed_kid') AS by_thumbprint;
DELETE FROM relay_guard.jwt_key;

-- a set: every key verifies, with kid, and without as the only one of its algorithm
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'rs', :'es', :'ed'));
SELECT * FROM rg_keys;
SELECT rg_try(:'rs_kid') AS rs256, rg_try(:'es_kid') AS es256, rg_try(:'ed_kid') AS eddsa;
SELECT rg_try(:'rs_nokid') AS rs256, rg_try(:'es_nokid') AS es256, rg_try(:'ed_nokid') AS eddsa;

-- what has not changed is not written
CREATE TEMP TABLE rg_before AS SELECT kid, ctid AS place, xmin AS made, xmax AS ended FROM relay_guard.jwt_key;
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'ed', :'rs', :'es'));
SELECT count(*) AS unwritten FROM rg_before b JOIN relay_guard.jwt_key k USING (kid) WHERE k.ctid = b.place AND k.xmin = b.made AND k.xmax = b.ended;

-- rotation: both verify while both are published, then the old one does not
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'rs', :'unnamed'));
SELECT rg_try(:'rs_kid') AS old, rg_try(:'unnamed_kid') AS new, rg_try(:'rs_nokid') AS which;
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'unnamed'));
SELECT rg_try(:'rs_kid') AS old, rg_try(:'unnamed_kid') AS new;
-- another key under the same kid takes its place
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'rs'));
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'rs_new'));
SELECT rg_try(:'rs_kid') AS old, rg_try(:'rs_new_kid') AS new;
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'ed'::jsonb || '{"kid": "rs"}'));
SELECT * FROM rg_keys;

-- a failure never empties the set
SELECT relay_guard.jwks_import('https://id.example', '{"keys": []}');
SELECT relay_guard.jwks_import('https://id.example', '{}');
SELECT relay_guard.jwks_import('https://id.example', '[]');
SELECT relay_guard.jwks_import('https://id.example', 'null');
SELECT relay_guard.jwks_import('https://id.example', '{"keys": {"kty": "RSA"}}');
SELECT relay_guard.jwks_import('https://id.example', '{"error": "rate limited"}');
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'es'::jsonb || '{"use": "enc"}', :'ed'::jsonb || '{"alg": "ES512"}'));
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'es', :'es'));
SELECT relay_guard.jwks_import('https://id.example', (SELECT rg_set(VARIADIC array_agg(:'ed'::jsonb || jsonb_build_object('kid', i))) FROM generate_series(1, 65) i));
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'ed'::jsonb || jsonb_build_object('x5c', repeat('x', 262144))));
SELECT relay_guard.jwks_import('https://nobody.example', rg_set(:'ed'));
SELECT relay_guard.jwks_import(NULL, rg_set(:'ed')) AS missing;
SELECT * FROM rg_keys;

-- bad keys are left out, and said so; a set of nothing else is refused
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'weak'));
SELECT relay_guard.jwks_import('https://id.example', rg_set('{"kty": "oct", "kid": "hs", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "alg": "HS256"}'));
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'ed', :'es'::jsonb || '{"d": "AAAA"}', :'weak', :'rs'::jsonb || '{"n": "AAAA"}',
    :'es'::jsonb || '{"y": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}', :'ed'::jsonb || '{"kid": 5}', '7'));
\set VERBOSITY terse
SELECT * FROM rg_keys;

-- added by hand: untouched, whatever is published under its kid
SELECT relay_guard.jwt_key_add('https://id.example', 'es', :'secret');
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'es', :'ed', :'rs'));
SELECT * FROM rg_keys;
SELECT rg_try(:'es_kid') AS published_under_a_taken_kid;
-- retired by hand: stays so while it is published, and after it was not
SELECT relay_guard.jwt_key_retire('https://id.example', 'ed');
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'ed', :'rs'));
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'rs'));
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'ed', :'rs'));
SELECT * FROM rg_keys;
SELECT rg_try(:'ed_kid') AS retired;
SELECT relay_guard.jwks_import('https://id.example', rg_set(:'ed'));
SELECT rg_try(:'rs_kid') AS still_there;
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT relay_guard.jwks_import('https://id.example', rg_set(:'rs')); ROLLBACK;

-- one issuer's set is not another's
SELECT relay_guard.issuer_add('https://two.example', 'app');
SELECT relay_guard.jwks_import('https://two.example', rg_set(:'es'));
SELECT rg_try(:'rs_kid') AS still_there;
DELETE FROM relay_guard.issuer WHERE iss = 'https://two.example';

-- a row that cannot be used stands in nobody's way: sealed elsewhere, or changed by hand
DELETE FROM relay_guard.jwt_key;
SELECT relay_guard.jwt_key_add('https://id.example', 'hs', :'secret'), relay_guard.jwt_public_key_add('https://id.example', :'rs');
UPDATE relay_guard.jwt_key SET secret = overlay(secret PLACING '\x00000063' FROM 2) WHERE kid = 'hs';
INSERT INTO relay_guard.jwt_key (iss, kid, alg, secret) VALUES ('https://id.example', 'noise', 'HS256', 'noise');
INSERT INTO relay_guard.jwt_key (iss, kid, alg, public_key) VALUES ('https://id.example', 'es', 'ES256', '{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}');
SELECT rg_try(:'rs_kid') AS named, rg_try(:'rs_nokid') AS unnamed;
SELECT relay_guard.authenticate(:'es_kid');
SELECT relay_guard.authenticate(:'hs_kid');
SELECT relay_guard.authenticate(:'hs_nokid');
SELECT relay_guard.jwt_key_add('https://id.example', 'hs2', :'secret');
SELECT rg_try(:'hs_nokid') AS the_one_that_can_be_used;
DELETE FROM relay_guard.jwt_key WHERE kid <> 'hs';
SELECT relay_guard.authenticate(:'hs_nokid');

-- what the table itself refuses
INSERT INTO relay_guard.jwt_key (iss, kid, alg) VALUES ('https://id.example', 'x', 'HS256');
INSERT INTO relay_guard.jwt_key (iss, kid, alg) VALUES ('https://id.example', 'x', 'RS256');
INSERT INTO relay_guard.jwt_key (iss, kid, alg, secret, public_key) VALUES ('https://id.example', 'x', 'RS256', 'x', :'rs');
INSERT INTO relay_guard.jwt_key (iss, kid, alg, secret, public_key) VALUES ('https://id.example', 'x', 'HS256', 'x', :'rs');
INSERT INTO relay_guard.jwt_key (iss, kid, alg, public_key) VALUES ('https://id.example', 'x', 'ES256', :'rs');
INSERT INTO relay_guard.jwt_key (iss, kid, alg, public_key) VALUES ('https://id.example', 'x', 'RS256', 'null');
INSERT INTO relay_guard.jwt_key (iss, kid, alg, secret, source) VALUES ('https://id.example', 'x', 'HS256', 'x', 'jwks');
INSERT INTO relay_guard.jwt_key (iss, kid, alg, secret) VALUES ('https://id.example', repeat('x', 256), 'HS256', 'x');
INSERT INTO relay_guard.jwt_key (iss, kid, alg, secret) VALUES ('https://id.example', 'x', 'none', 'x');

-- secret "secret", and its like
SELECT relay_guard.jwt_key_add('https://id.example', 'w', 'secret');
SELECT relay_guard.jwt_key_add('https://id.example', 'w', 'changeme-changeme-changeme-changeme');
SELECT relay_guard.jwt_key_add('https://id.example', 'w', 'abcdefghijklmnopqrstuvwxyz0123456789');
SELECT relay_guard.jwt_key_add('https://id.example', 'w', 'super_secret_password_please_change_me');
SELECT relay_guard.jwt_key_add('https://id.example', 'w', :'rs');

DELETE FROM relay_guard.issuer;
DROP VIEW rg_keys;
DROP FUNCTION rg_try(text), rg_set(jsonb[]);
