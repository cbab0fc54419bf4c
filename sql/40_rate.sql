-- Rate limits.

-- Secret of this installation: counters are found by hashes under its key.
CREATE TABLE installation (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	hash_key uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE installation IS
'The key that counters are hashed under: one row, made at CREATE EXTENSION, never dumped.';
INSERT INTO installation DEFAULT VALUES;

CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON installation
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON installation
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE installation ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE installation ENABLE ALWAYS TRIGGER config_truncated;

-- What policies and their overrides have in common.
CREATE DOMAIN rate_quota AS bigint CHECK (VALUE BETWEEN 0 AND 1000000000000000);
COMMENT ON DOMAIN rate_quota IS 'What a window of a rate limit admits; 0 denies everything.';
CREATE DOMAIN rate_burst AS bigint CHECK (VALUE BETWEEN 1 AND 1000000000000000);
COMMENT ON DOMAIN rate_burst IS 'What a full token bucket holds.';
CREATE DOMAIN rate_window AS interval CONSTRAINT window_is_a_length_of_time CHECK
	(extract(year FROM VALUE) = 0 AND extract(month FROM VALUE) = 0
		AND VALUE > interval '0' AND VALUE <= interval '3660 days');
COMMENT ON DOMAIN rate_window IS
'The window of a rate limit, up to ten years; days are 24 hours, months are refused.';

-- Its columns are read by position in src/rate_policy.c.
CREATE TABLE rate_policy (
	id int GENERATED ALWAYS AS IDENTITY (START WITH 1000 MINVALUE 1) PRIMARY KEY,
	name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9_.-]{1,63}$'),
	identify_by text NOT NULL CHECK
		(identify_by IN ('ip', 'user', 'workspace', 'api_key', 'anonymous', 'global')),
	quota rate_quota NOT NULL,
	"window" rate_window NOT NULL,
	algorithm text NOT NULL DEFAULT 'sliding_window' CHECK
		(algorithm IN ('sliding_window', 'fixed_window', 'token_bucket')),
	burst rate_burst,
	shadow boolean NOT NULL DEFAULT false,
	shipped boolean NOT NULL DEFAULT false,
	enabled boolean NOT NULL DEFAULT true,
	CONSTRAINT burst_is_of_token_bucket CHECK (burst IS NULL OR algorithm = 'token_bucket'),
	CONSTRAINT bucket_fills_within_ten_years CHECK (algorithm <> 'token_bucket' OR quota = 0
		OR coalesce(burst, quota) * extract(epoch FROM "window") / quota <= 3660 * 86400)
);
COMMENT ON TABLE rate_policy IS
'Rate limits: at most quota for each window, counted apart for each key. An INSERT of a shipped policy''s name replaces it, and drops its overrides.';
COMMENT ON COLUMN rate_policy.id IS 'Never used again; below 1000 for policies that come with relay_guard.';
COMMENT ON COLUMN rate_policy.name IS 'What rate_take() and routes call it; clients see it in RateLimit-Policy.';
COMMENT ON COLUMN rate_policy.identify_by IS
'What has a counter of its own: ip (IPv6 by /64), user, workspace, api_key, anonymous (users without an account; others are free), or global (one counter for all).';
COMMENT ON COLUMN rate_policy.quota IS 'What a window admits; 0 denies everything.';
COMMENT ON COLUMN rate_policy."window" IS 'Its length, up to ten years; days are 24 hours, months are refused.';
COMMENT ON COLUMN rate_policy.algorithm IS
'sliding_window: begins with a key''s first hit, and the window before counts by its remaining share; fixed_window: begins at multiples of its length since 1970 UTC, so that up to twice the quota may pass around its edge; token_bucket: burst at once, then quota a window, evenly.';
COMMENT ON COLUMN rate_policy.burst IS 'What a full token bucket holds; NULL: the quota.';
COMMENT ON COLUMN rate_policy.shadow IS 'Decides and is counted, in counter.denied too, but refuses nothing: to try a policy.';
COMMENT ON COLUMN rate_policy.enabled IS 'If not, it binds nobody: whoever takes it is free of it.';
COMMENT ON COLUMN rate_policy.shipped IS 'Comes with relay_guard, unchanged; not dumped.';

INSERT INTO rate_policy (id, name, identify_by, quota, "window", algorithm, shipped)
OVERRIDING SYSTEM VALUE VALUES
	(1, 'user', 'user', 30, '30 s', 'sliding_window', true),
	(2, 'ip', 'ip', 60, '30 s', 'sliding_window', true),
	(3, 'anon_session', 'ip', 60, '1 h', 'sliding_window', true),
	(4, 'api', 'ip', 100, '60 s', 'sliding_window', true),
	(5, 'knowledge', 'user', 100, '1 h', 'token_bucket', true),
	(6, 'exec', 'workspace', 60, '1 min', 'fixed_window', true);

SELECT pg_catalog.pg_extension_config_dump('rate_policy', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('rate_policy_id_seq', '');

-- A policy that the user inserts, or that a dump brings back, replaces the
-- shipped one whose place it takes.
CREATE FUNCTION rate_policy_inserted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM relay_guard.rate_policy AS replaced
	WHERE replaced.shipped AND (replaced.name = NEW.name OR replaced.id = NEW.id);
	NEW.shipped := false;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION rate_policy_inserted() IS 'Trigger: a new policy replaces the shipped one of its name.';

CREATE FUNCTION rate_policy_updated() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.shipped := false;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION rate_policy_updated() IS 'Trigger: a shipped policy that was changed is the user''s, and dumped.';

CREATE TRIGGER rate_policy_inserted BEFORE INSERT ON rate_policy
FOR EACH ROW EXECUTE FUNCTION rate_policy_inserted();
CREATE TRIGGER rate_policy_updated BEFORE UPDATE ON rate_policy
FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION rate_policy_updated();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON rate_policy
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON rate_policy
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE rate_policy ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE rate_policy ENABLE ALWAYS TRIGGER config_truncated;

-- Other numbers for some.  Its columns are read by position in
-- src/rate_override.c.
CREATE TABLE rate_override (
	policy text NOT NULL REFERENCES rate_policy (name) ON UPDATE CASCADE ON DELETE CASCADE,
	kind text NOT NULL CHECK (kind IN ('key', 'role')),
	value text NOT NULL CHECK (value <> ''),
	quota rate_quota NOT NULL,
	"window" rate_window NOT NULL,
	burst rate_burst,
	PRIMARY KEY (policy, kind, value),
	CONSTRAINT bucket_fills_within_ten_years CHECK (burst IS NULL OR quota = 0
		OR burst * extract(epoch FROM "window") / quota <= 3660 * 86400)
);
COMMENT ON TABLE rate_override IS
'Other numbers of a rate limit for one key or for a role; an override for the key counts before one for the role.';
COMMENT ON COLUMN rate_override.policy IS 'rate_policy.name.';
COMMENT ON COLUMN rate_override.kind IS
'key: what the policy counts; role: identities of that role, who are counted apart from those of others (not for policies by ip or global).';
COMMENT ON COLUMN rate_override.value IS
'The user id, workspace, API key id, address or IPv6 network (/64), as the policy counts; or the role.';
COMMENT ON COLUMN rate_override.quota IS 'In place of the policy''s; 0 denies everything.';
COMMENT ON COLUMN rate_override."window" IS 'In place of the policy''s.';
COMMENT ON COLUMN rate_override.burst IS 'What a full token bucket holds; NULL: the quota.';

SELECT pg_catalog.pg_extension_config_dump('rate_override', '');

-- An address as policies by ip count it.
CREATE FUNCTION rate_address(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	address CONSTANT inet := value;
	is_mapped CONSTANT boolean := address <<= inet '::ffff:0.0.0.0/96';
	bits CONSTANT int := CASE WHEN family(address) = 4 THEN 32 WHEN is_mapped THEN 128 ELSE 64 END;
BEGIN
	IF masklen(address) < bits THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('"%s" is more than one address', value),
			HINT = 'Limits count single IPv4 addresses and IPv6 networks of 64 bits.';
	END IF;
	IF is_mapped THEN
		RETURN replace(host(address), '::ffff:', '');
	ELSIF family(address) = 4 THEN
		RETURN host(address);
	END IF;
	RETURN host(network(set_masklen(address, 64))) || '/64';
END $$;
COMMENT ON FUNCTION rate_address(text) IS
'An IPv4 address, or the /64 network of an IPv6 address, as policies by ip count it.';

CREATE FUNCTION rate_override_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	bound relay_guard.rate_policy;
BEGIN
	SELECT * INTO bound FROM relay_guard.rate_policy WHERE name = NEW.policy;
	IF NEW.burst IS NOT NULL AND bound.algorithm <> 'token_bucket' THEN
		RAISE EXCEPTION USING ERRCODE = 'check_violation',
			MESSAGE = format('rate limit "%s" is no token bucket and has no burst', NEW.policy);
	END IF;
	IF NEW.kind = 'role' AND bound.identify_by IN ('ip', 'global') THEN
		RAISE EXCEPTION USING ERRCODE = 'check_violation',
			MESSAGE = format('rate limit "%s" knows no roles', NEW.policy),
			DETAIL = 'Limits by ip are asked before anybody is identified, and a global one is the same for all.';
	END IF;
	IF NEW.kind = 'key' AND bound.identify_by = 'ip' THEN
		NEW.value := relay_guard.rate_address(NEW.value);
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION rate_override_changed() IS
'Trigger: an override fits its policy, and an address is spelled as it is counted.';

CREATE TRIGGER rate_override_changed BEFORE INSERT OR UPDATE ON rate_override
FOR EACH ROW EXECUTE FUNCTION rate_override_changed();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON rate_override
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON rate_override
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE rate_override ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE rate_override ENABLE ALWAYS TRIGGER config_truncated;

-- Stored counters.  Rows are updated in place of themselves, so the pages
-- keep room for it.
CREATE UNLOGGED TABLE rate_counter (
	key bytea PRIMARY KEY,
	policy int NOT NULL,
	value text NOT NULL,
	class text NOT NULL,
	algorithm text NOT NULL,
	started_at timestamptz,
	used bigint NOT NULL,
	previous bigint NOT NULL,
	tat timestamptz,
	expires_at timestamptz NOT NULL,
	stored_at timestamptz NOT NULL DEFAULT now(),
	ruled_by text NOT NULL,
	quota bigint NOT NULL,
	"window" interval NOT NULL,
	burst bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE rate_counter IS
'Counters as the worker last stored them, every relay_guard.flush_interval and at shutdown; the view counter is exact.';
COMMENT ON COLUMN rate_counter.key IS 'Keyed hash of database, policy and value.';
COMMENT ON COLUMN rate_counter.policy IS 'rate_policy.id.';
COMMENT ON COLUMN rate_counter.value IS 'What is counted, readable; at most 64 bytes of it.';
COMMENT ON COLUMN rate_counter.class IS 'address, identity or overflow; see counter.';
COMMENT ON COLUMN rate_counter.started_at IS 'Start of the current window; NULL for a token bucket.';
COMMENT ON COLUMN rate_counter.used IS 'Taken in it; of a token bucket: owed beyond an empty one, since its numbers changed.';
COMMENT ON COLUMN rate_counter.previous IS 'Taken in the window before (sliding_window).';
COMMENT ON COLUMN rate_counter.tat IS 'When a token bucket is full again.';
COMMENT ON COLUMN rate_counter.ruled_by IS 'Where the numbers come from that it was last counted by: policy, or the kind of the override.';
COMMENT ON COLUMN rate_counter.quota IS 'Those numbers: see rate_policy.';
COMMENT ON COLUMN rate_counter."window" IS 'See quota.';
COMMENT ON COLUMN rate_counter.burst IS 'See quota; the quota where the algorithm has no burst.';
COMMENT ON COLUMN rate_counter.expires_at IS 'From when on the row is the same as none; it is deleted then.';

CREATE FUNCTION rate_take(policy text, cost int DEFAULT 1,
	OUT allowed boolean, OUT "limit" bigint, OUT remaining bigint,
	OUT reset_after float8, OUT retry_after float8)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_rate_take';
COMMENT ON FUNCTION rate_take(text, int) IS
'Takes cost from a rate limit for the current identity, if it fits; times in seconds. Counted even if the transaction rolls back.';

CREATE FUNCTION rate_take_key(policy text, key text, cost int DEFAULT 1,
	OUT allowed boolean, OUT "limit" bigint, OUT remaining bigint,
	OUT reset_after float8, OUT retry_after float8)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_rate_take_key';
COMMENT ON FUNCTION rate_take_key(text, text, int) IS
'Like rate_take(), for a key of the caller''s; for policies by ip it is an address.';

CREATE FUNCTION rate_take_all(policies text[],
	OUT policy text, OUT allowed boolean, OUT "limit" bigint, OUT remaining bigint,
	OUT reset_after float8, OUT retry_after float8)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 3 AS 'MODULE_PATHNAME', 'relay_guard_rate_take_all';
COMMENT ON FUNCTION rate_take_all(text[]) IS
'Takes 1 from each of up to twelve rate limits or from none: a row for each; taken only if all of them are allowed (bool_and(allowed)).';

CREATE FUNCTION rate_peek(policy text,
	OUT allowed boolean, OUT "limit" bigint, OUT remaining bigint,
	OUT reset_after float8, OUT retry_after float8)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_rate_peek';
COMMENT ON FUNCTION rate_peek(text) IS
'What rate_take(policy) would say; takes nothing.';

CREATE FUNCTION rate_require(policy text, cost int DEFAULT 1,
	OUT allowed boolean, OUT "limit" bigint, OUT remaining bigint,
	OUT reset_after float8, OUT retry_after float8)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_rate_require';
COMMENT ON FUNCTION rate_require(text, int) IS
'Like rate_take(), but a refusal is error RG429, with the seconds to wait in its hint.';

CREATE FUNCTION read_counters(OUT name text, OUT policy text, OUT value text,
	OUT class text, OUT algorithm text, OUT used bigint, OUT "limit" bigint,
	OUT remaining bigint, OUT reset_after float8, OUT denied bigint,
	OUT last_used timestamptz, OUT stored boolean, OUT ruled_by text)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_read_counters';
COMMENT ON FUNCTION read_counters() IS 'Rows of the view counter: those of rate limits.';

CREATE FUNCTION read_counter_status(OUT preloaded boolean, OUT max bigint, OUT used bigint,
	OUT used_by_addresses bigint, OUT used_by_identities bigint, OUT used_by_overflows bigint,
	OUT evictions bigint, OUT overflows bigint,
	OUT stored_at timestamptz, OUT store_pending boolean, OUT store_failures bigint)
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'relay_guard_read_counter_status';
COMMENT ON FUNCTION read_counter_status() IS 'The row of the view counter_status.';

CREATE VIEW counter_status AS SELECT * FROM read_counter_status();
COMMENT ON VIEW counter_status IS
'How full the shared table of counters is, of the whole server; and how this database''s are stored.';
COMMENT ON COLUMN counter_status.preloaded IS 'Whether shared_preload_libraries names relay_guard, which rate limits need.';
COMMENT ON COLUMN counter_status.max IS 'relay_guard.max_counters.';
COMMENT ON COLUMN counter_status.used IS 'Counters in the table; those that are past stay until their place is needed.';
COMMENT ON COLUMN counter_status.evictions IS 'Past counters that gave way to new ones.';
COMMENT ON COLUMN counter_status.overflows IS 'Times a new key found no place and was counted with the others: raise relay_guard.max_counters.';
COMMENT ON COLUMN counter_status.stored_at IS
'When the last round of storing ended well; NULL: none yet, or the database is not one of relay_guard.databases.';
COMMENT ON COLUMN counter_status.store_pending IS 'Whether something moved that is not stored yet; NULL: not stored.';
COMMENT ON COLUMN counter_status.store_failures IS 'Rounds that failed, and workers that could not be started.';

CREATE FUNCTION read_rate_totals(OUT policy int, OUT admitted bigint, OUT denied bigint,
	OUT shadow_denied bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'relay_guard_read_rate_totals';
COMMENT ON FUNCTION read_rate_totals() IS
'What each policy of this database has decided since the server started; NULL: all those of the server for which 2048 places are too few.';

CREATE VIEW rate_status AS
SELECT p.name AS policy, p.enabled, p.shadow,
	coalesce(t.admitted, 0) AS admitted, coalesce(t.denied, 0) AS denied,
	coalesce(t.shadow_denied, 0) AS shadow_denied, coalesce(c.counters, 0) AS counters
FROM rate_policy p
LEFT JOIN read_rate_totals() t ON t.policy = p.id
LEFT JOIN (SELECT policy, count(*) AS counters FROM read_counters() GROUP BY policy) c ON c.policy = p.name;
COMMENT ON VIEW rate_status IS
'What each policy has decided since the server started, in hits; exact, also when counters are gone.';
COMMENT ON COLUMN rate_status.admitted IS 'Hits taken.';
COMMENT ON COLUMN rate_status.denied IS 'Hits refused by this policy; not those that another one of the same call refused.';
COMMENT ON COLUMN rate_status.shadow_denied IS 'Hits that it would have refused, had it not been a shadow.';
COMMENT ON COLUMN rate_status.counters IS 'Counters that are not past.';

-- For monitoring: labels come from these tables alone, never from what clients send.
CREATE FUNCTION rate_metrics(OUT name text, OUT type text, OUT help text,
	OUT labels jsonb, OUT value float8)
RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH status AS (SELECT * FROM relay_guard.read_counter_status()),
totals AS (
	SELECT p.name AS policy, coalesce(t.admitted, 0) AS admitted,
		coalesce(t.denied, 0) AS denied, coalesce(t.shadow_denied, 0) AS shadow_denied
	FROM relay_guard.rate_policy p LEFT JOIN relay_guard.read_rate_totals() t ON t.policy = p.id
	UNION ALL
	SELECT '(other)', t.admitted, t.denied, t.shadow_denied
	FROM relay_guard.read_rate_totals() t WHERE t.policy IS NULL
),
m (name, type, help, labels, value) AS (
	SELECT 'rate_limit_breaches_total', 'counter', 'Hits that a rate limit refused.',
		jsonb_build_object('policy', policy), denied FROM totals
	UNION ALL
	SELECT 'rate_limit_shadow_breaches_total', 'counter', 'Hits that a rate limit in shadow mode would have refused.',
		jsonb_build_object('policy', policy), shadow_denied FROM totals
	UNION ALL
	SELECT 'rate_limit_admitted_total', 'counter', 'Hits that a rate limit admitted.',
		jsonb_build_object('policy', policy), admitted FROM totals
	UNION ALL
	SELECT 'relay_counters', 'gauge', 'Counters in shared memory, of all databases.',
		jsonb_build_object('class', c.class), c.used
	FROM status, LATERAL (VALUES ('address', used_by_addresses), ('identity', used_by_identities),
		('overflow', used_by_overflows)) AS c (class, used)
	UNION ALL
	SELECT s.name, s.type, s.help, '{}', s.value
	FROM status, LATERAL (VALUES
		('relay_counters_max', 'gauge', 'Counters that shared memory has room for.', max),
		('relay_counters_evicted_total', 'counter', 'Past counters that gave way to new ones.', evictions),
		('relay_counters_overflowed_total', 'counter', 'Keys that found no place and were counted with the others.', overflows),
		('relay_counters_stored_timestamp_seconds', 'gauge', 'When this database''s counters were last stored.',
			extract(epoch FROM stored_at)),
		('relay_counters_store_pending', 'gauge', 'Whether counters moved since they were last stored.', store_pending::int),
		('relay_counters_store_failures_total', 'counter', 'Failed rounds of storing counters.', store_failures)
	) AS s (name, type, help, value)
)
SELECT m.name, m.type, m.help, m.labels, m.value FROM m WHERE m.value IS NOT NULL
$$;
COMMENT ON FUNCTION rate_metrics() IS 'The part of metrics() that tells of rate limits and their counters.';
