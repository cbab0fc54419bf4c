-- Parallel workers see the identity, and its absence.
CREATE TABLE rg_many AS SELECT g AS id, CASE WHEN g % 4 = 0 THEN 'alice' ELSE 'bob' END AS user_id
FROM generate_series(1, 4000) g;
ANALYZE rg_many;
SELECT relay_guard.protect('rg_many', build_index => false);
CREATE ROLE rg_reader;
GRANT SELECT ON rg_many TO rg_reader;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off;

CREATE FUNCTION rg_workers(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        IF line ~ 'Workers Launched' THEN RETURN NEXT trim(line); END IF;
    END LOOP;
END $$;

BEGIN;
SELECT relay_guard.assume('alice');
SET LOCAL ROLE rg_reader;
SELECT rg_workers('SELECT count(*) FROM rg_many');
SELECT count(*), min(user_id), max(user_id) FROM rg_many;
SELECT rg_workers('SELECT count(*) FROM rg_many WHERE relay_guard.user_id() = user_id');
SELECT count(*) FROM rg_many WHERE relay_guard.user_id() = user_id;
COMMIT;

BEGIN;
SELECT relay_guard.assume('bob', 'w9', 'user', 'r1', '10.0.0.1');
SELECT count(*) AS rows_of_bob FROM rg_many
WHERE relay_guard.user_id() = user_id AND relay_guard.workspace_id() = 'w9'
  AND relay_guard.client_ip() = '10.0.0.1' AND relay_guard.request_id() = 'r1';
COMMIT;

BEGIN;
SET LOCAL ROLE rg_reader;
SELECT count(*) AS without_identity FROM rg_many;
COMMIT;

-- a worker gets no identity of its own, though a function promises to be safe
CREATE FUNCTION rg_safe(id int) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN PERFORM relay_guard.assume('mallory'); RETURN relay_guard.user_id(); END $$;
SELECT rg_workers('SELECT count(*) FROM rg_many WHERE id < 0 AND rg_safe(id) IS NULL');
\set VERBOSITY terse
SELECT count(*) FROM rg_many WHERE rg_safe(id) IS NULL;
SELECT relay_guard.user_id() IS NULL AS nobody;
DROP FUNCTION rg_safe(int);
DROP TABLE rg_many;
DROP FUNCTION rg_workers(text);
DROP ROLE rg_reader;
