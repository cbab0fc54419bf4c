-- Values that do not open are counted, whoever asks for them and however.
CREATE FUNCTION failures() RETURNS float8 LANGUAGE sql AS
$$ SELECT value FROM relay_guard.metrics() WHERE name = 'relay_guard_decrypt_failures_total' $$;
CREATE FUNCTION since(before float8) RETURNS float8 LANGUAGE sql AS $$ SELECT failures() - before $$;
CREATE FUNCTION fails(command text) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN EXECUTE command; RETURN 'no error'; EXCEPTION WHEN OTHERS THEN RETURN sqlstate || ': ' || sqlerrm; END $$;
CREATE TABLE place (id int PRIMARY KEY, value bytea);
INSERT INTO place SELECT i, relay_guard.encrypt('v' || i, relay_guard.aad('place', i::text)) FROM generate_series(1, 5) AS i;

SELECT failures() AS before \gset
-- what opens, and what is NULL
SELECT count(relay_guard.try_decrypt_text(value, relay_guard.aad('place', id::text))) FROM place;
SELECT relay_guard.try_decrypt_text(NULL, relay_guard.aad('place'));
SELECT since(:before);

-- moved: once a value
SELECT count(relay_guard.try_decrypt_text(value, relay_guard.aad('place', (id + 1)::text))) FROM place;
SELECT since(:before);

-- as an error, and no envelope at all
SELECT fails($$SELECT relay_guard.decrypt_text(value, relay_guard.aad('elsewhere')) FROM place WHERE id = 1$$);
SELECT relay_guard.try_decrypt_bytea('plain', relay_guard.aad('place'));
SELECT fails($$SELECT relay_guard.reencrypt(value, relay_guard.aad('elsewhere')) FROM place WHERE id = 1$$);
SELECT since(:before);

-- rolled back, it has happened all the same
BEGIN;
SELECT relay_guard.try_decrypt_jsonb(value, relay_guard.aad('place')) FROM place WHERE id = 1;
ROLLBACK;
SELECT since(:before);

-- a key that the ring does not have, or another version, is no damaged value
SELECT fails($$SELECT relay_guard.try_decrypt_text(set_byte(value, 1, 77), relay_guard.aad('place', '1')) FROM place WHERE id = 1$$);
SELECT fails($$SELECT relay_guard.decrypt_text(set_byte(value, 0, 9), relay_guard.aad('place', '1')) FROM place WHERE id = 1$$);
SELECT since(:before);

-- for whoever reads the metrics; no label tells of rows or users
SELECT name, type, help, labels FROM relay_guard.decrypt_metrics();
SELECT has_function_privilege('public', 'relay_guard.read_decrypt_failures()', 'execute') AS reads,
	has_function_privilege('public', 'relay_guard.decrypt_metrics()', 'execute') AS metrics;
DROP TABLE place;
DROP FUNCTION failures(), since(float8), fails(text);
