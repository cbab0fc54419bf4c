-- Attacks on tokens: each is 401, with one reason. What needs no private key is
-- made here, with an HMAC of its own; the other tokens are good until the year
-- 2100, and nobody has their private keys any more.
\set rs '{"kty":"RSA","n":"rcrtHvyVPB0rjJ1E_zuwpYOWMO74-YOZOzxbUqee0aoDL0VkLQgeqeJks7_AulVDy5V3KgwCyOYlAbYW6h1bTueSLrFbgoBRcM1tUfvDxMGr_jlHIxU4pYcWCepndNGTrBQEda2mb00RDLnwm5wyQ1EPt203Fpn5vRXVY-PuncsmWyDYlB1cAXmRhctTOvd6H603nRZA8OJfytnJdkSbumfREDWFLrG946uF06aX3GZI84bvfQ6yis1hLQzqgYDdPSF280PntlSrvzbY0uwVMDZeDphsQoPVkiv0ExuZ_mGlIj0A_bXJ7vvgkFn0agm8XnRsFkTaDKxG00ZaVvA9yQ","e":"AQAB","kid":"rs","use":"sig","alg":"RS256"}'
\set es '{"kty":"EC","crv":"P-256","x":"g1al6e1R7PBFFRn68iCu4EjxkyReDeGHLgvVUbuIGrU","y":"4bj-279cWs6di28_QVyQq7S0MTTdQsOpNzaliHgP2f8","kid":"es","key_ops":["verify"]}'
\set ed '{"kty":"OKP","crv":"Ed25519","x":"HlXx1BBQrlL18msYzv9AW6A8Hv6E5Uhjh4LbzoNcumY","kid":"ed"}'
\set rs_kid 'eyJhbGciOiJSUzI1NiIsImtpZCI6InJzIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.cwhfOSE9ULNnKmgBi4zqXpmWid9fpLE7SfBCVczBbfhTHCS7OeHVslikhV9h59u8WpfYlnsA8ZySHDcjNCFL_xsBsX8zK5Sitt4lIfNfocUu8FgMMkxyUAIDtXqOaHyuzJd1Ngp-ZalYMA9YrUPj1m0bAKwtjHWHyhkX-jpt9Wfp9medOWmv-Ia7vc-iQ105OoCDr5kbJfcYFtyEQbvI24yi98SiR0EiuIRYWvO5iZhlce8TuonWYTFMf2_3V0RvcR6GT0WrA932RLw7tl67RZBM97SC-lV0eRFAROffRWga8dS9TkG3Mz9-X8C682fxFkKn7pRxGvsROtXpmIy88w'
\set es_kid 'eyJhbGciOiJFUzI1NiIsImtpZCI6ImVzIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.txBKC8glvGSG-YDp3tiPhm5zadxUGkCftRdgM2lAeTn2BoRBCeocbnSnO2L880aRGEZin-v0SYLPAR_Bz_7t4Q'
\set ed_kid 'eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.uqjqi6c8jU3fOElsy-XyC5cFThsUfM2eD39y_EC7kqMjfjfm3HXCcMu0EPAipLSc6LvbvrNilWo6PEW2IWQ_DA'
\set es_der 'eyJhbGciOiJFUzI1NiIsImtpZCI6ImVzIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.MEUCIQCWbsoXIHZe8Mze7Ym_UUYVp-lzMX1fMSSC7z7xgTyY-gIgG-PQn3EF0Q9xPTjxV4LKgW0QMBtS0CXbvkNfwBg6eT0'
\set ed_plus_order 'eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.uqjqi6c8jU3fOElsy-XyC5cFThsUfM2eD39y_EC7kqMQUi1D99jUyKFRCJMBnpOx6LvbvrNilWo6PEW2IWQ_HA'
\set es_negated 'eyJhbGciOiJFUzI1NiIsImtpZCI6ImVzIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhcHAiLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.txBKC8glvGSG-YDp3tiPhm5zadxUGkCftRdgM2lAeTkJ-Xu99hXjkotYxJ0DDLlupKCYDbsjVQIkuKsBLGQ3cA'
\set rs_pem '-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArcrtHvyVPB0rjJ1E/zuw\npYOWMO74+YOZOzxbUqee0aoDL0VkLQgeqeJks7/AulVDy5V3KgwCyOYlAbYW6h1b\nTueSLrFbgoBRcM1tUfvDxMGr/jlHIxU4pYcWCepndNGTrBQEda2mb00RDLnwm5wy\nQ1EPt203Fpn5vRXVY+PuncsmWyDYlB1cAXmRhctTOvd6H603nRZA8OJfytnJdkSb\numfREDWFLrG946uF06aX3GZI84bvfQ6yis1hLQzqgYDdPSF280PntlSrvzbY0uwV\nMDZeDphsQoPVkiv0ExuZ/mGlIj0A/bXJ7vvgkFn0agm8XnRsFkTaDKxG00ZaVvA9\nyQIDAQAB\n-----END PUBLIC KEY-----\n'
\set secret 0123456789abcdef0123456789abcdef
\set claims '{"iss":"https://id.example","aud":"app","sub":"alice","exp":4102444800}'

SET client_min_messages = error;
CREATE FUNCTION rg_try(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; reason text;
BEGIN
    RETURN relay_guard.authenticate(token);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = PG_EXCEPTION_DETAIL;
    RETURN state || ' ' || reason;
END $$;
CREATE FUNCTION rg_base64url(bytes bytea) RETURNS text LANGUAGE sql AS
$$ SELECT rtrim(translate(encode(bytes, 'base64'), E'+/\n', '-_'), '=') $$;
CREATE FUNCTION rg_xor(bytes bytea, pad int) RETURNS bytea LANGUAGE sql AS
$$ SELECT decode(string_agg(lpad(to_hex(get_byte(bytes, i) # pad), 2, '0'), '' ORDER BY i), 'hex') FROM generate_series(0, 63) i $$;
CREATE FUNCTION rg_hmac(key bytea, message bytea) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
    IF length(key) > 64 THEN key := sha256(key); END IF;
    key := key || decode(repeat('00', 64 - length(key)), 'hex');
    RETURN sha256(rg_xor(key, 92) || sha256(rg_xor(key, 54) || message));
END $$;
-- a token of that header and those claims, signed with HMAC under any secret
CREATE FUNCTION rg_sign(header bytea, claims bytea, secret bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE input text := rg_base64url(header) || '.' || rg_base64url(claims);
BEGIN
    RETURN input || '.' || rg_base64url(rg_hmac(secret, convert_to(input, 'UTF8')));
END $$;
CREATE FUNCTION rg_header(header text) RETURNS text LANGUAGE sql AS
$$ SELECT rg_try(rg_sign(convert_to(header, 'UTF8'), '{"iss":"https://id.example","aud":"app","sub":"alice","exp":4102444800}', '0123456789abcdef0123456789abcdef')) $$;
CREATE FUNCTION rg_claim(claim text) RETURNS text LANGUAGE sql AS
$$ SELECT rg_try(rg_sign('{"alg":"HS256","kid":"hs"}', convert_to('{"iss":"https://id.example","aud":"app","sub":"alice",' || claim || '}', 'UTF8'), '0123456789abcdef0123456789abcdef')) $$;

SELECT relay_guard.issuer_add('https://id.example', 'app');
SELECT relay_guard.jwt_key_add('https://id.example', 'hs', :'secret');
SELECT relay_guard.jwks_import('https://id.example', jsonb_build_object('keys', jsonb_build_array(:'rs'::jsonb, :'es'::jsonb, :'ed'::jsonb)));
SELECT rg_header('{"alg":"HS256","kid":"hs"}') AS hs256, rg_try(:'rs_kid') AS rs256, rg_try(:'es_kid') AS es256, rg_try(:'ed_kid') AS eddsa;

-- a key verifies its own algorithm and no other, whatever the header says
SELECT kid, alg, rg_header(format('{"alg":"%s","kid":"%s"}', alg, kid))
FROM unnest('{hs,rs,es,ed}'::text[]) WITH ORDINALITY k (kid, n)
CROSS JOIN unnest('{HS256,RS256,ES256,EdDSA,HS512,PS256,ES512,none,None,NONE,nOnE,hs256}'::text[]) WITH ORDINALITY a (alg, m)
WHERE (n, m) <> (1, 1)
ORDER BY n, m;
SELECT alg, rg_header(format('{"alg":"%s"}', alg)) AS without_kid
FROM unnest('{HS256,RS256,ES256,EdDSA,PS256,none}'::text[]) alg;

-- the public key as an HMAC secret
SELECT form, rg_try(rg_sign('{"alg":"HS256","kid":"rs"}', convert_to(:'claims', 'UTF8'), secret)) AS under_the_kid_of_the_key,
       rg_try(rg_sign('{"alg":"RS256","kid":"rs"}', convert_to(:'claims', 'UTF8'), secret)) AS as_rs256,
       rg_try(rg_sign('{"alg":"HS256"}', convert_to(:'claims', 'UTF8'), secret)) AS without_kid
FROM (VALUES (1, 'PEM', convert_to(:'rs_pem', 'UTF8')), (2, 'PEM without newline', convert_to(rtrim(:'rs_pem', E'\n'), 'UTF8')),
             (3, 'DER', decode(regexp_replace(:'rs_pem', '-----[A-Z ]+-----|\n', '', 'g'), 'base64')),
             (4, 'JWK', convert_to(:'rs', 'UTF8')), (5, 'JWK as stored', (SELECT convert_to(public_key::text, 'UTF8') FROM relay_guard.jwt_key WHERE kid = 'rs')),
             (6, 'modulus', decode(translate(:'rs'::jsonb ->> 'n', '-_', '+/') || '==', 'base64'))) f (n, form, secret)
ORDER BY n;

-- headers that bring a key of their own, or rules
SELECT header, rg_header(format('{"alg":"HS256","kid":"hs",%s}', header))
FROM unnest(ARRAY['"jwk":{"kty":"oct","k":"AAAA"}', '"jku":"https://evil.example/jwks"', '"x5u":"https://evil.example/crt"',
                  '"x5c":["MIIB"]', '"crit":["exp"]', '"crit":[]', '"b64":false', '"jwk":null',
                  '"typ":"JWT"', '"x5t":"AAAA"']) header;
-- kids that are something else
SELECT left(kid, 40) AS kid, rg_header(format('{"alg":"HS256","kid":%s}', to_json(kid)))
FROM unnest(ARRAY['''; DROP TABLE relay_guard.jwt_key; --', ''' OR 1=1 --', 'hs'' UNION SELECT ''x', '../../../../dev/null', '/dev/null', 'HS', 'hs ', ' hs', 'hs/', '',
                  repeat('k', 255), repeat('k', 256), repeat('k', 10000)]) kid;
SELECT kid, rg_header(format('{"alg":"HS256","kid":%s}', kid)) FROM unnest(ARRAY['5', 'null', 'true', '["hs"]', '{}', '"hs\u0000"']) kid;
SELECT count(*) AS keys_left FROM relay_guard.jwt_key;

-- members said twice, and headers that are none
SELECT header, rg_header(header)
FROM unnest(ARRAY['{"alg":"HS256","alg":"none"}', '{"alg":"none","alg":"HS256"}', '{"alg":"HS256","\u0061lg":"none"}', '{"alg":"HS256","kid":"hs","kid":"rs"}',
                  '{}', '[]', '"HS256"', 'null', '', '{"alg":null}', '{"alg":["HS256"]}', '{"alg":""}', '{"alg":"HS256"', '{"alg":"HS256"} x']) header;
SELECT rg_try(rg_sign('\x7b22616c67223a224853323536222c226b6964223a22ff227d', convert_to(:'claims', 'UTF8'), :'secret')) AS header_is_no_utf8,
       rg_try(rg_sign('{"alg":"HS256"}', '\x7b22737562223a22ff227d', :'secret')) AS claims_are_no_utf8;

-- times that are none
SELECT claim, rg_claim(claim)
FROM unnest(ARRAY['"exp":"4102444800"', '"exp":null', '"exp":true', '"exp":[4102444800]', '"exp":-1', '"exp":-4102444800', '"exp":1e300', '"exp":1e400', '"exp":99999999999999999999',
                  '"exp":9223372036854775807', '"exp":NaN', '"exp":Infinity', '"exp":0', '"exp":1.5', '"exp":4102444800,"exp":1', '"exp":4102444800,"nbf":"x"', '"exp":4102444800,"nbf":4102444800',
                  '"exp":4102444800,"iat":4102444800', '"exp":4102444800,"iat":-1']) claim;
SELECT rg_claim('"exp":4102444800.5') AS a_fraction;
SELECT rg_claim('"exp":4102444800,"nbf":0') AS since_ever;

-- shapes: parts, padding, letters, trailing bytes, last letters with stray bits
SELECT shape, rg_try(token)
FROM (SELECT split_part(good, '.', 1) AS h, split_part(good, '.', 2) AS c, split_part(good, '.', 3) AS s, good
      FROM (SELECT rg_sign('{"alg":"HS256","kid":"hs"}', convert_to(:'claims', 'UTF8'), :'secret') AS good) t) g,
LATERAL (VALUES (1, 'good', good), (2, 'five parts (JWE)', h || '.' || c || '.' || s || '.' || c || '.' || s), (3, 'four parts', good || '.' || s),
    (4, 'two parts', h || '.' || c), (5, 'one part', h), (6, 'no signature', h || '.' || c || '.'), (7, 'no claims', h || '..' || s), (8, 'no header', '.' || c || '.' || s),
    (9, 'only dots', '..'), (10, 'padded header', h || '=.' || c || '.' || s), (11, 'padded signature', good || '='), (12, 'plus', h || '.' || c || '.+' || substr(s, 2)),
    (13, 'slash', h || '.' || c || './' || substr(s, 2)), (14, 'newline after', good || E'\n'), (15, 'space before', ' ' || good), (16, 'space within', h || '. ' || c || '.' || s),
    (17, 'letter after', good || 'A'), (18, 'letter less', left(good, -1)), (19, 'twice', good || good), (20, 'Bearer', 'Bearer ' || good), (21, 'umlaut', good || 'ä'),
    (22, 'a byte order mark', U&'\FEFF' || good), (23, 'claims of another token', h || '.' || rg_base64url('{"iss":"https://id.example","aud":"app","sub":"bob","exp":4102444800}') || '.' || s),
    (24, 'upper-case signature', h || '.' || c || '.' || upper(s)), (25, 'eight kB and more', h || '.' || repeat('A', 8192) || '.' || s)) v (n, shape, token)
ORDER BY n;
SELECT count(DISTINCT verdict) AS verdicts, min(verdict) AS stray_bits
FROM (SELECT rg_try(left(good, -1) || letter) AS verdict, right(good, 1) AS last, letter
      FROM (SELECT rg_sign('{"alg":"HS256","kid":"hs"}', convert_to(:'claims', 'UTF8'), :'secret') AS good) t
      CROSS JOIN unnest(string_to_array('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', NULL)) letter) v
WHERE letter <> last AND strpos('AEIMQUYcgkosw048', letter) = 0;

-- signatures that are none of theirs
SELECT shape, rg_try(regexp_replace(token, '[^.]*$', '') || rg_base64url(signature))
FROM (VALUES (1, 'psychic: ES256, r = s = 0', :'es_kid', decode(repeat('00', 64), 'hex')),
             (2, 'ES256, r = s = the order', :'es_kid', decode(repeat('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 2), 'hex')),
             (3, 'ES256, empty', :'es_kid', ''), (4, 'ES256, 63 bytes', :'es_kid', decode(repeat('01', 63), 'hex')), (5, 'ES256, 65 bytes', :'es_kid', decode(repeat('01', 65), 'hex')),
             (6, 'ES256, 96 bytes, as ES384', :'es_kid', decode(repeat('01', 96), 'hex')), (7, 'EdDSA, zeros', :'ed_kid', decode(repeat('00', 64), 'hex')),
             (8, 'EdDSA, the neutral element and zero', :'ed_kid', decode('01' || repeat('00', 63), 'hex')), (9, 'EdDSA, 63 bytes', :'ed_kid', decode(repeat('01', 63), 'hex')),
             (10, 'RS256, zeros', :'rs_kid', decode(repeat('00', 256), 'hex')), (11, 'RS256, one', :'rs_kid', decode(repeat('00', 255) || '01', 'hex')), (12, 'RS256, 255 bytes', :'rs_kid', decode(repeat('01', 255), 'hex')),
             (13, 'RS256, 257 bytes', :'rs_kid', decode(repeat('01', 257), 'hex')), (14, 'RS256, all ones', :'rs_kid', decode(repeat('ff', 256), 'hex')), (15, 'RS256, 1024 bytes', :'rs_kid', decode(repeat('01', 1024), 'hex')),
             (16, 'RS256, 1025 bytes', :'rs_kid', decode(repeat('01', 1025), 'hex'))) f (n, shape, token, signature)
ORDER BY n;
SELECT rg_try(:'es_der') AS es256_in_der, rg_try(:'es_kid') AS es256_raw;
-- S of EdDSA has one form; s of ES256 has two, and RFC 7518 knows both
SELECT rg_try(:'ed_plus_order') AS eddsa_s_plus_the_order, rg_try(:'es_negated') AS es256_negated_is_a_signature;

DELETE FROM relay_guard.issuer;
DROP FUNCTION rg_try(text), rg_base64url(bytea), rg_xor(bytea, int), rg_hmac(bytea, bytea), rg_sign(bytea, bytea, bytea), rg_header(text), rg_claim(text);
