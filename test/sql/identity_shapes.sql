-- Whatever a value looks like, it comes back as it was and stays in its field.
-- The tokens are HS256 under the secret below; exp is in the year 2100.
\set VERBOSITY terse
\set forged 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6ImFsaWNlIiwidmlhIjoiYXNzdW1lIiwicmVxdWVzdF9pZCI6InIiLCJ1c2VyX2lkIjoiYm9iIiwiY2xpZW50X2lwIjoiMTAuMC4wLjEifQ.1iEyt2CpefOsXu00DW3-PSJtztWX02eOwjX2aQC0fig'
\set shaped 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6IjU6YWxpY2UtNTphZG1pbiIsIndvcmtzcGFjZV9pZCI6Ii0iLCJzY29wZSI6IjA6IC0ifQ.E7me1AM9rZZr97GjSJ3UWmmSAKZ0TzpQrC7UBKnLvGE'
\set nul 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6ImFsaVx1MDAwMGNlIn0.3OGeOKZB85BcGAPOw5YIyp8pa69iQtxMFd4138ly_dA'
\set claim_nul 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6ImFsaWNlIiwieCI6Ilx1MDAwMCJ9.iLQp-Mj2OlTLKdhqUW6JUBShzTEV3jpopsAXRVQNm1M'
\set bad_utf8 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6ImFsaf9jZSJ9.AHfxb1w5YNsTmyA3EQn36L1Jr2ZDbeO6gMGS6tiwaKY'
\set overlong 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6ImFsacCvY2UifQ.tGUY9tVKcIYCjm6Qt8SNNcxNlexJzWJZJ14Cl1NGIPk'
\set surrogate 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6ImFsaVx1ZDgwMGNlIn0.Kx4YzbHy6ZR_CdxBtG36fnB5Fo-C3U5slEwptpRJaoI'
\set twice 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6ImFsaWNlIiwic3ViIjoiYm9iIn0.5P-WQNi11km_4KrSFQWSk8nTYHw8YP-L25sTUZSg3Ow'
\set secret 0123456789abcdef0123456789abcdef

-- values in the shape of the setting's own encoding, and worse
CREATE PROCEDURE rg_round_all() LANGUAGE plpgsql AS $$
DECLARE
    shapes CONSTANT text[] := ARRAY['-', '--------', '5:abc', '0:', '1:x-', '5:alice-4:user6:assume----',
        '99999999999999999999:x', '-1:x', ':', '', E'\n', E'\t\r\x01\x7f', ' ', '''; DROP TABLE x; --', '%s%n$1',
        'ü€😀', repeat('x', 1000), repeat('1:', 100000), NULL];
    i int; j int; bad int := 0; tried int := 0;
BEGIN
    FOR i IN 1 .. array_length(shapes, 1) LOOP
        FOR j IN 1 .. array_length(shapes, 1) LOOP
            CONTINUE WHEN coalesce(shapes[i], '') = '';
            PERFORM relay_guard.assume(shapes[i], shapes[j], shapes[i], shapes[j], '2001:db8::1/64');
            IF relay_guard.user_id() <> shapes[i] OR relay_guard.role() <> shapes[i]
                OR relay_guard.workspace_id() IS DISTINCT FROM shapes[j]
                OR relay_guard.request_id() IS DISTINCT FROM shapes[j]
                OR relay_guard.client_ip() <> '2001:db8::1/64' OR relay_guard.via() <> 'assume'
                OR relay_guard.claims() IS NOT NULL OR relay_guard.has_scope(shapes[i]) THEN
                bad := bad + 1;
            END IF;
            tried := tried + 1;
            COMMIT;
        END LOOP;
    END LOOP;
    RAISE NOTICE '% tried, % came back changed', tried, bad;
END $$;
CALL rg_round_all();

-- two identities that would be one if their fields were only put side by side
BEGIN; SELECT relay_guard.assume('a', 'b'); SELECT relay_guard.assume('a1:b'); ROLLBACK;
BEGIN; SELECT relay_guard.assume('a'); SELECT relay_guard.assume('a', ''); ROLLBACK;
BEGIN; SELECT relay_guard.assume('a', NULL, 'r', 'x'); SELECT relay_guard.assume('a', 'x', 'r'); ROLLBACK;
BEGIN; SELECT relay_guard.assume('a', client_ip => '10.0.0.1'); SELECT relay_guard.assume('a', client_ip => '::a00:1'); ROLLBACK;
BEGIN; SELECT relay_guard.assume('a', client_ip => '10.0.0.1'); SELECT relay_guard.assume('a', client_ip => '10.0.0.1/24'); ROLLBACK;
BEGIN; SELECT relay_guard.assume('Alice'); SELECT relay_guard.assume('alice'); ROLLBACK;

-- tokens: how it came cannot be claimed, nor can anything that is no claim of ours
SELECT relay_guard.issuer_add('https://id.example', 'app');
SELECT relay_guard.jwt_key_add('https://id.example', 'k1', :'secret');
CREATE FUNCTION rg_try(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE reason text;
BEGIN
    RETURN relay_guard.authenticate(token);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS reason = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || reason;
END $$;
\pset null NULL
BEGIN; SELECT rg_try(:'forged') AS forged_via;
SELECT relay_guard.user_id(), relay_guard.via(), relay_guard.request_id(), relay_guard.client_ip(), relay_guard.claims() ->> 'via' AS claimed; COMMIT;
BEGIN; SELECT rg_try(:'shaped') AS shaped;
SELECT relay_guard.user_id(), relay_guard.workspace_id(), relay_guard.role(), relay_guard.via(), relay_guard.has_scope('-'), relay_guard.has_scope('0:'); COMMIT;
SELECT rg_try(:'nul') AS nul, rg_try(:'claim_nul') AS nul_in_another_claim;
SELECT rg_try(:'bad_utf8') AS bad_utf8, rg_try(:'overlong') AS overlong, rg_try(:'surrogate') AS surrogate;
SELECT rg_try(:'twice') AS claimed_twice;
SELECT rg_try(relay_guard.issue_token('ali' || chr(1) || 'ce')) = 'ali' || chr(1) || 'ce' AS control_character;

-- as large as a token gets, and larger
BEGIN; SELECT length(rg_try(relay_guard.issue_token('alice', scopes => ARRAY[repeat('s', 1500)]))), relay_guard.has_scope(repeat('s', 1500)), relay_guard.has_scope(repeat('s', 1499)); COMMIT;
SELECT relay_guard.issue_token('alice', scopes => ARRAY[repeat('s', 8000)]);
BEGIN; SELECT relay_guard.assume(repeat('x', 1000000), repeat('y', 1000000)); SELECT length(relay_guard.user_id()), relay_guard.workspace_id() = repeat('y', 1000000) AS whole; COMMIT;

DELETE FROM relay_guard.issuer;
DROP PROCEDURE rg_round_all();
DROP FUNCTION rg_try(text);
