
-- Quotas and budgets: how much of what, for whom, in which window.

-- Shared memory knows a policy's accounts by its version, so that no number
-- comes twice: the sequence is never dumped, as a restored one could go back.
CREATE SEQUENCE usage_policy_version;
COMMENT ON SEQUENCE usage_policy_version IS 'Versions of quota_policy and budget_policy.';

-- Its columns are read by position in src/usage_policy.c.
CREATE TABLE quota_policy (
	id int GENERATED ALWAYS AS IDENTITY (START WITH 1000 MINVALUE 1) PRIMARY KEY,
	name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9_.-]{1,63}$'),
	scope text NOT NULL CHECK
		(scope IN ('user', 'workspace', 'anonymous', 'api_key', 'ip', 'global')),
	cap bigint NOT NULL CHECK (cap BETWEEN 0 AND 1000000000000000),
	"window" text NOT NULL CHECK ("window" IN ('hour', 'day', 'month', 'lifetime')),
	unit text NOT NULL DEFAULT 'request' CHECK (unit ~ '^[a-z][a-z0-9_-]{0,31}$'),
	shipped boolean NOT NULL DEFAULT false,
	enabled boolean NOT NULL DEFAULT true,
	version bigint NOT NULL UNIQUE
);
COMMENT ON TABLE quota_policy IS
'Quotas: at most cap units for each window, counted apart for each value of the scope. An INSERT of a shipped policy''s name replaces it.';
COMMENT ON COLUMN quota_policy.id IS 'Never used again; below 1000 for policies that come with relay_guard.';
COMMENT ON COLUMN quota_policy.name IS 'What quota_take() and routes call it; clients see it.';
COMMENT ON COLUMN quota_policy.scope IS
'What has an account of its own: user, workspace, anonymous (users without an account; others are free), api_key, ip (IPv6 by /64), or global (one account for all).';
COMMENT ON COLUMN quota_policy.cap IS 'What a window admits; 0 denies everything.';
COMMENT ON COLUMN quota_policy."window" IS
'hour, day or month of relay_guard.timezone, or lifetime: for ever.';
COMMENT ON COLUMN quota_policy.unit IS 'What is counted, for those who read it: request, message, page. What token counts is told in the headers x-ratelimit-*-tokens of paths that speak OpenAI''s API.';
COMMENT ON COLUMN quota_policy.shipped IS 'Comes with relay_guard, unchanged; not dumped.';
COMMENT ON COLUMN quota_policy.enabled IS 'If not, it binds nobody: whoever takes it is free of it.';
COMMENT ON COLUMN quota_policy.version IS 'New at every change, and never used again; whatever is written into it.';

-- Its columns are read by position in src/usage_policy.c.
CREATE TABLE budget_policy (
	id int GENERATED ALWAYS AS IDENTITY (START WITH 1000 MINVALUE 1) PRIMARY KEY,
	name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9_.-]{1,63}$' AND name <> 'all'),
	scope text NOT NULL CHECK (scope IN ('global', 'workspace', 'user', 'api_key')),
	"window" text NOT NULL CHECK ("window" IN ('day', 'month')),
	warn micro_usd,
	hard micro_usd,
	shipped boolean NOT NULL DEFAULT false,
	enabled boolean NOT NULL DEFAULT true,
	version bigint NOT NULL UNIQUE,
	CONSTRAINT warns_before_it_denies CHECK (warn <= hard)
);
COMMENT ON TABLE budget_policy IS
'Budgets of language models, in millionths of a US dollar: what reservations and charges of a window may come to, for each value of the scope. Every policy that is enabled binds. An INSERT of a shipped policy''s name replaces it.';
COMMENT ON COLUMN budget_policy.id IS 'Never used again; below 1000 for policies that come with relay_guard.';
COMMENT ON COLUMN budget_policy.name IS 'What routes call it; clients see it where it blocks them.';
COMMENT ON COLUMN budget_policy.scope IS
'What has an account of its own: workspace, user, api_key, or global (one account for all).';
COMMENT ON COLUMN budget_policy."window" IS 'day or month of relay_guard.timezone.';
COMMENT ON COLUMN budget_policy.warn IS 'From here on a window is said to be at its warning; NULL: never.';
COMMENT ON COLUMN budget_policy.hard IS
'What a window admits; 0 denies everything that costs anything, NULL denies nothing.';
COMMENT ON COLUMN budget_policy.shipped IS 'Comes with relay_guard, unchanged; not dumped.';
COMMENT ON COLUMN budget_policy.enabled IS 'If not, it binds nobody.';
COMMENT ON COLUMN budget_policy.version IS 'New at every change, and never used again; whatever is written into it.';

INSERT INTO quota_policy (id, name, scope, cap, "window", unit, shipped, version)
OVERRIDING SYSTEM VALUE VALUES
	(1, 'anon_hour', 'anonymous', 20, 'hour', 'message', true, nextval('usage_policy_version')),
	(2, 'anon_lifetime', 'anonymous', 100, 'lifetime', 'message', true, nextval('usage_policy_version'));
INSERT INTO budget_policy (id, name, scope, "window", warn, hard, shipped, version)
OVERRIDING SYSTEM VALUE VALUES
	(1, 'global_daily', 'global', 'day', 20000000, 50000000, true, nextval('usage_policy_version'));

SELECT pg_catalog.pg_extension_config_dump('quota_policy', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('quota_policy_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('budget_policy', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('budget_policy_id_seq', '');

-- A policy changes while nobody writes the ledger: whoever has written there
-- holds RowExclusiveLock on it until the transaction ends, and whoever writes
-- after sees the policy.  So no account counts by two of its versions.  The
-- lock is the table's owner's to take; who may change policies has no right on
-- the ledger.  While the change waits all other writers wait behind it, so it
-- waits for a forgotten transaction only a while.
CREATE FUNCTION usage_policy_locked() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
BEGIN
	LOCK TABLE ONLY relay_guard.usage_ledger IN SHARE ROW EXCLUSIVE MODE;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION usage_policy_locked() IS
'Trigger: a policy changes while no transaction has rows in the ledger under way.';

-- The version is the extension's alone, also in a dump that is read back.
CREATE FUNCTION usage_policy_versioned() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.version := nextval('relay_guard.usage_policy_version');
	NEW.shipped := false;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION usage_policy_versioned() IS
'Trigger: a policy that is new or was changed has a new version, is the user''s, and dumped.';

-- A policy that the user inserts, or that a dump brings back, replaces the
-- shipped one whose place it takes.
CREATE FUNCTION usage_policy_inserted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_TABLE_NAME = 'quota_policy' THEN
		DELETE FROM relay_guard.quota_policy AS replaced
		WHERE replaced.shipped AND (replaced.name = NEW.name OR replaced.id = NEW.id);
	ELSE
		DELETE FROM relay_guard.budget_policy AS replaced
		WHERE replaced.shipped AND (replaced.name = NEW.name OR replaced.id = NEW.id);
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION usage_policy_inserted() IS 'Trigger: a new policy replaces the shipped one of its name.';

CREATE TRIGGER usage_policy_locked BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON quota_policy
FOR EACH STATEMENT EXECUTE FUNCTION usage_policy_locked();
CREATE TRIGGER usage_policy_inserted BEFORE INSERT ON quota_policy
FOR EACH ROW EXECUTE FUNCTION usage_policy_inserted();
CREATE TRIGGER usage_policy_new BEFORE INSERT ON quota_policy
FOR EACH ROW EXECUTE FUNCTION usage_policy_versioned();
CREATE TRIGGER usage_policy_updated BEFORE UPDATE ON quota_policy
FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION usage_policy_versioned();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON quota_policy
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON quota_policy
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE quota_policy ENABLE ALWAYS TRIGGER usage_policy_locked;
ALTER TABLE quota_policy ENABLE ALWAYS TRIGGER usage_policy_new;
ALTER TABLE quota_policy ENABLE ALWAYS TRIGGER usage_policy_updated;
ALTER TABLE quota_policy ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE quota_policy ENABLE ALWAYS TRIGGER config_truncated;

CREATE TRIGGER usage_policy_locked BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON budget_policy
FOR EACH STATEMENT EXECUTE FUNCTION usage_policy_locked();
CREATE TRIGGER usage_policy_inserted BEFORE INSERT ON budget_policy
FOR EACH ROW EXECUTE FUNCTION usage_policy_inserted();
CREATE TRIGGER usage_policy_new BEFORE INSERT ON budget_policy
FOR EACH ROW EXECUTE FUNCTION usage_policy_versioned();
CREATE TRIGGER usage_policy_updated BEFORE UPDATE ON budget_policy
FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION usage_policy_versioned();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON budget_policy
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON budget_policy
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE budget_policy ENABLE ALWAYS TRIGGER usage_policy_locked;
ALTER TABLE budget_policy ENABLE ALWAYS TRIGGER usage_policy_new;
ALTER TABLE budget_policy ENABLE ALWAYS TRIGGER usage_policy_updated;
ALTER TABLE budget_policy ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE budget_policy ENABLE ALWAYS TRIGGER config_truncated;

CREATE FUNCTION usage_window("window" text, at timestamptz,
	OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_usage_window';
COMMENT ON FUNCTION usage_window(text, timestamptz) IS
'The hour, day or month of relay_guard.timezone that a time lies in, its end exclusive; lifetime: from -infinity to infinity.';

-- Accounts are found by hashes under the installation's key
CREATE TRIGGER usage_policy_locked BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON installation
FOR EACH STATEMENT EXECUTE FUNCTION usage_policy_locked();
ALTER TABLE installation ENABLE ALWAYS TRIGGER usage_policy_locked;
