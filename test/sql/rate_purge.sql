-- What is dropped keeps no counters.
SELECT used_by_identities AS before FROM relay_guard.counter_status \gset
SELECT :'DBNAME' AS home \gset
CREATE DATABASE rg_purge;
\c rg_purge
CREATE EXTENSION relay_guard;
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('long', 'user', 5, '3660 days');
SELECT count(*) AS taken FROM (SELECT (relay_guard.rate_take_key('long', i::text)).allowed FROM generate_series(1, 100) AS i OFFSET 0) AS hits;
SELECT used_by_identities - :before AS more FROM relay_guard.counter_status;

-- A drop that is undone frees nothing
BEGIN; DROP EXTENSION relay_guard CASCADE; ROLLBACK;
BEGIN; SAVEPOINT s; DROP EXTENSION relay_guard CASCADE; ROLLBACK TO s; COMMIT;
SELECT count(*), max(used) AS used FROM relay_guard.counter WHERE policy = 'long';
SELECT admitted FROM relay_guard.rate_status WHERE policy = 'long';

DROP EXTENSION relay_guard CASCADE;
CREATE EXTENSION relay_guard;
SELECT used_by_identities - :before AS more FROM relay_guard.counter_status;
SELECT sum(admitted) AS admitted FROM relay_guard.rate_status;

-- So with a database
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('long', 'user', 5, '3660 days');
SELECT count(*) FROM (SELECT (relay_guard.rate_take_key('long', i::text)).allowed FROM generate_series(1, 100) AS i OFFSET 0) AS hits;
\c :home
SELECT used_by_identities - :before AS more FROM relay_guard.counter_status;
DROP DATABASE rg_purge;
SELECT used_by_identities - :before AS more FROM relay_guard.counter_status;
