-- A route's plan does not depend on which tenant came first.
CREATE ROLE rg_app;
CREATE TABLE rg_row (id int PRIMARY KEY, user_id text COLLATE "C" NOT NULL, body text NOT NULL);
INSERT INTO rg_row SELECT g, CASE WHEN g <= 18000 THEN 'whale' ELSE 'u' || g / 2 END, repeat('x', 50)
FROM generate_series(1, 20000) g;
SELECT relay_guard.protect('rg_row', grant_to => 'rg_app');
VACUUM ANALYZE rg_row;
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) VALUES
('GET', '/bodies', 'SELECT count(body) AS n FROM public.rg_row', 'user', 'value', 'rg_app');

CREATE FUNCTION rg_count(who text) RETURNS text LANGUAGE sql AS $$
    SELECT convert_from(body, 'UTF8') FROM relay_guard.serve('GET', '/bodies', '',
        ARRAY['authorization', 'Bearer ' || relay_guard.issue_token(who)])
$$;
-- index scans by the policy's index, and sequential scans, since the last call
CREATE TABLE rg_seen AS SELECT 0::bigint AS seq, 0::bigint AS idx;
CREATE FUNCTION rg_scans() RETURNS TABLE (seq_scans bigint, index_scans bigint) LANGUAGE sql AS $$
    WITH now AS (SELECT seq_scan AS seq, coalesce(idx_scan, 0) AS idx FROM pg_stat_user_tables WHERE relname = 'rg_row'),
         old AS (SELECT * FROM rg_seen),
         put AS (UPDATE rg_seen SET (seq, idx) = (SELECT seq, idx FROM now))
    SELECT now.seq - old.seq, now.idx - old.idx FROM now, old
$$;
SELECT pg_stat_force_next_flush();
SELECT count(*) FROM rg_scans();

\c -
SELECT rg_count('whale') AS whale_first, rg_count('u9500') AS small_second;
SELECT pg_stat_force_next_flush();
SELECT * FROM rg_scans();
\c -
SELECT rg_count('u9500') AS small_first, rg_count('whale') AS whale_second;
SELECT pg_stat_force_next_flush();
SELECT * FROM rg_scans();

DELETE FROM relay_guard.route;
DROP TABLE rg_row, rg_seen;
DROP FUNCTION rg_count, rg_scans;
DROP ROLE rg_app;
