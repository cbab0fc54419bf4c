-- Passwords: Argon2id with a salt each, and an answer for hashes that are none.
\set VERBOSITY terse
SELECT relay_guard.password_hash('correct horse') AS hash \gset
SELECT regexp_replace(:'hash', '\$[^$]+\$[^$]+$', '') AS form, :'hash' <> relay_guard.password_hash('correct horse') AS salted;
SELECT relay_guard.password_verify('correct horse', :'hash') AS same, relay_guard.password_verify('correct horsE', :'hash') AS other,
       relay_guard.password_verify('', :'hash') AS empty, relay_guard.password_verify(NULL, :'hash') AS "null";
SELECT left(h, 60) AS hash, relay_guard.password_verify('correct horse', h) FROM unnest(ARRAY[NULL, '', '!', 'plain', '$2b$12$abcdefghijklmnopqrstuv', '$argon2id$v=19$m=19456,t=2,p=1$'
    , '$argon2id$v=19$m=4000000000,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaA', '$argon2id$v=19$m=19456,t=100000,p=1$c2FsdHNhbHRzYWx0$aGFzaA', repeat('x', 1000)]) h;
-- one that asks for more effort than any of ours is none: nothing is done for it
SELECT clock_timestamp() AS began, replace(:'hash', 't=2', 't=1000') AS long, replace(:'hash', 'm=19456', 'm=4000000') AS large \gset
SELECT relay_guard.password_verify('correct horse', :'long') AS long, relay_guard.password_verify('correct horse', :'large') AS large,
       clock_timestamp() - :'began' < '5 s' AS soon;
-- what only looks alike is another password, unless the application makes it one
SELECT relay_guard.password_verify(U&'caf\00E9', relay_guard.password_hash(U&'caf\00E9')) AS same,
       relay_guard.password_verify(U&'cafe\0301', relay_guard.password_hash(U&'caf\00E9')) AS composed;
-- its length has bounds, and counts to the end
SELECT relay_guard.password_hash('');
SELECT relay_guard.password_hash(repeat('x', 4097));
SELECT relay_guard.password_hash(repeat('x', 4096)) AS long \gset
SELECT relay_guard.password_verify(repeat('x', 4096), :'long') AS same, relay_guard.password_verify(repeat('x', 4095) || 'y', :'long') AS last_differs,
       relay_guard.password_verify(repeat('x', 4097), :'long') AS longer;
SELECT relay_guard.password_hash(NULL) IS NULL AS "null";
