-- What the measures inside the database need; as superuser, once
CREATE TABLE bench.scanned (
	owner text NOT NULL,
	owner_uuid uuid NOT NULL
);
INSERT INTO bench.scanned SELECT id, id::uuid
FROM generate_series(1, 400000) AS n,
	 format('00000000-0000-4000-8000-%s', lpad((n % 100)::text, 12, '0')) AS id;
ALTER TABLE bench.scanned ENABLE ROW LEVEL SECURITY;

-- A page of fifty in a hundred users' rows, and the policy of protect() for
-- one role only, beside which the peers' policies have theirs
CREATE TABLE bench.paged (LIKE bench.knowledge_files);
INSERT INTO bench.paged SELECT * FROM bench.knowledge_files WHERE user_id <= 100;
CREATE INDEX ON bench.paged (user_id, created_at DESC, id DESC);
SELECT relay_guard.protect('bench.paged') \g /dev/null
CREATE ROLE bench_protect;
ALTER POLICY relay_guard ON bench.paged TO bench_protect;

-- What Supabase has its policies call
CREATE SCHEMA auth;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
	SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
					nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

CREATE TABLE bench.token (kind text NOT NULL, token text NOT NULL);
CREATE TABLE bench.frame (kind text NOT NULL, frame bytea NOT NULL);

INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window")
VALUES ('bench', 'user', 1000000000, '1 hour');

-- A rate limiter in a table, the peer
CREATE UNLOGGED TABLE bench.upserted (
	key text PRIMARY KEY,
	started_at timestamptz NOT NULL,
	used bigint NOT NULL
) WITH (fillfactor = 50);

-- Routes that do next to nothing, with and without guards
INSERT INTO relay_guard.route (method, path, query, auth, rate, result, run_as)
SELECT 'GET', '/bench/' || name, 'SELECT 1', auth, rate, 'value', 'relay_app'
FROM (VALUES ('open', 'none', '{}'::text[]),
			 ('known', 'user', '{}'),
			 ('guarded', 'user', '{api,ip,user}')) AS route (name, auth, rate);
