-- What a proposed quota or budget would have denied: cases computed by hand.
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE DATABASE rg_replay;
\c rg_replay
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION relay_guard;

-- A ledger as told: rows of March 2031, put in behind the triggers' backs.
CREATE TABLE march PARTITION OF relay_guard.usage_ledger FOR VALUES FROM ('2031-03-01 UTC') TO ('2031-04-01 UTC');
CREATE FUNCTION at(day_and_time text) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT ('2031-03-' || day_and_time || ' UTC')::timestamptz $$;
CREATE PROCEDURE take(day_and_time text, who text, units bigint DEFAULT 1, policy text DEFAULT 'anon_hour', workspace text DEFAULT NULL)
LANGUAGE sql AS $$
    INSERT INTO relay_guard.usage_ledger (id, xid, epoch, recorded_at, reserved_at, kind, policy, value, units,
        user_id, workspace_id, reserved, spent)
    SELECT nextval('relay_guard.usage_ledger_id_seq'), pg_current_xact_id(), 0, at(day_and_time), at(day_and_time), 'take', p.id, who, take.units, who, workspace, 0, 0
    FROM relay_guard.quota_policy p WHERE p.name = take.policy
$$;
-- reserved: what is held more or less from then on; spent: what is charged
CREATE PROCEDURE entry(day_and_time text, kind text, reservation int, reserved bigint, spent bigint, who text DEFAULT 'alice', made text DEFAULT NULL)
LANGUAGE sql AS $$
    INSERT INTO relay_guard.usage_ledger (id, xid, epoch, recorded_at, reserved_at, kind, reservation, units,
        usage, model, reserved, spent, user_id, lease_until)
    SELECT nextval('relay_guard.usage_ledger_id_seq'), pg_current_xact_id(), 0, at(day_and_time), at(coalesce(made, day_and_time)), kind, lpad(reservation::text, 32, '0')::uuid, 0, 'llm', 'm', reserved, spent, who,
        CASE WHEN kind IN ('reserve', 'extend') THEN at(day_and_time) + interval '10 min' END
$$;
CREATE PROCEDURE charge(day_and_time text, spent bigint, who text DEFAULT 'alice')
LANGUAGE sql AS $$
    INSERT INTO relay_guard.usage_ledger (id, xid, epoch, recorded_at, reserved_at, kind, units, usage, model,
        reserved, spent, user_id)
    SELECT nextval('relay_guard.usage_ledger_id_seq'), pg_current_xact_id(), 0, at(day_and_time), at(day_and_time), 'charge', 0, 'llm', 'm', 0, spent, who
$$;
SET session_replication_role = replica;

-- a take that does not fit takes nothing, a smaller one after it may fit
CALL take('01 10:00', 'anon:1');
CALL take('01 10:10', 'anon:1');
CALL take('01 10:20', 'anon:1', 2);
CALL take('01 10:30', 'anon:1');
CALL take('01 10:59:59.999', 'anon:1');
CALL take('01 11:00', 'anon:1');
CALL take('01 10:05', 'anon:2', workspace => 'w');
CALL take('01 10:06', 'anon:1', 50, 'anon_lifetime');
SELECT * FROM relay_guard.quota_replay('{"policy": "anon_hour", "cap": 3}', '-infinity');

-- what came before since is counted and not judged
SELECT * FROM relay_guard.quota_replay('{"policy": "anon_hour", "cap": 3}', at('01 10:15'));
SELECT * FROM relay_guard.quota_replay('{"policy": "anon_hour", "cap": 1}', at('01 10:20'));

-- what is left out is the policy's own, and under that nothing is denied
SELECT * FROM relay_guard.quota_replay('{"policy": "anon_hour"}', '-infinity');

-- other windows and scopes; who has no workspace is not bound by workspaces
SELECT window_start, window_end, units_asked, units_denied, first_denied_at
FROM relay_guard.quota_replay('{"policy": "anon_hour", "window": "day", "cap": 5}', '-infinity');
SELECT window_start, window_end, units_asked, units_denied, first_denied_at
FROM relay_guard.quota_replay('{"policy": "anon_hour", "window": "month", "cap": 6}', '-infinity');
SELECT window_start, window_end, units_asked, units_denied, first_denied_at
FROM relay_guard.quota_replay('{"policy": "anon_hour", "window": "lifetime", "cap": 6}', at('01 10:30'));
SELECT value, window_start, units_asked, units_denied, first_denied_at
FROM relay_guard.quota_replay('{"policy": "anon_hour", "scope": "global", "cap": 4}', '-infinity');
SELECT value, window_start, units_asked, units_denied, first_denied_at
FROM relay_guard.quota_replay('{"policy": "anon_hour", "scope": "workspace", "cap": 0}', '-infinity');
SELECT value, units_asked, units_denied FROM relay_guard.quota_replay('{"policy": "anon_lifetime", "scope": "user", "cap": 49}', '-infinity');

-- nothing recorded: a total of nothing
SELECT * FROM relay_guard.quota_replay('{"policy": "anon_hour", "cap": 0}', at('02 00:00'));
SELECT * FROM relay_guard.quota_replay('{"policy": "anon_hour", "cap": 0}', 'infinity');

-- A budget: at 12:02 the second finds 60 held, and is denied; at 12:05 40 are spent.
-- Of what was denied neither the extension nor the settlement counts.
CALL entry('05 12:00', 'reserve', 1, 60, 0);
CALL entry('05 12:02', 'reserve', 2, 60, 0);
CALL entry('05 12:03', 'extend', 2, 10, 0, made => '05 12:02');
CALL entry('05 12:04', 'settle', 1, -60, 40, made => '05 12:00');
CALL entry('05 12:05', 'reserve', 3, 60, 0);
CALL entry('05 12:06', 'settle', 2, -70, 65, made => '05 12:02');
CALL entry('05 12:07', 'settle', 3, -60, 60, made => '05 12:05');
CALL entry('05 12:08', 'reserve', 4, 1, 0);
CALL entry('05 12:09', 'release', 4, -1, 0, made => '05 12:08');
SELECT value, asked, admitted, denied, amount_asked, amount_admitted, amount_denied, spent, would_spend, first_denied_at, first_warned_at
FROM relay_guard.budget_replay('{"scope": "user", "window": "day", "hard": 100, "warn": 60}', '-infinity');

-- a charge is never denied, and uses up the day; a lease that ran out costs what it held
CALL entry('06 00:00', 'reserve', 11, 30, 0, 'bob');
CALL charge('06 00:01', 90, 'bob');
CALL entry('06 00:02', 'reserve', 12, 1, 0, 'bob');
CALL entry('06 00:03', 'expire', 11, -30, 30, 'bob', made => '06 00:00');
CALL entry('06 00:04', 'settle', 12, -1, 1, 'bob', made => '06 00:02');
SELECT asked, denied, amount_denied, spent, would_spend, first_denied_at
FROM relay_guard.budget_replay('{"scope": "user", "window": "day", "hard": 100}', at('06 00:00')) WHERE value = 'bob';

-- an extension that is denied ends the reservation: it is charged what was used, at most what it holds
CALL entry('07 08:00', 'reserve', 21, 50, 0);
CALL entry('07 08:01', 'extend', 21, 50, 0, made => '07 08:00');
CALL entry('07 08:02', 'extend', 21, 20, 0, made => '07 08:00');
CALL entry('07 08:03', 'extend', 21, 1, 0, made => '07 08:00');
CALL entry('07 08:04', 'settle', 21, -121, 121, made => '07 08:00');
CALL entry('07 08:05', 'reserve', 22, 1, 0);
SELECT asked, admitted, denied, amount_denied, spent, would_spend, first_denied_at
FROM relay_guard.budget_replay('{"scope": "user", "window": "day", "hard": 100}', at('07 00:00')) WHERE value = 'alice';

-- what comes in over the reservation is charged, and the next finds it
CALL entry('08 08:00', 'reserve', 31, 50, 0);
CALL entry('08 08:01', 'settle', 31, -50, 101, made => '08 08:00');
CALL entry('08 08:02', 'reserve', 32, 1, 0);
CALL entry('08 08:03', 'release', 32, -1, 0, made => '08 08:02');
SELECT asked, admitted, denied, spent, would_spend, first_denied_at
FROM relay_guard.budget_replay('{"scope": "user", "window": "day", "hard": 100}', at('08 00:00')) WHERE value = 'alice';

-- over midnight: settled into the day that took it
CALL entry('09 23:59', 'reserve', 41, 80, 0);
CALL entry('10 00:01', 'reserve', 42, 90, 0);
CALL entry('10 00:02', 'settle', 41, -80, 70, made => '09 23:59');
CALL entry('10 00:03', 'settle', 42, -90, 90, made => '10 00:01');
SELECT window_start, asked, denied, spent, would_spend
FROM relay_guard.budget_replay('{"scope": "user", "window": "day", "hard": 100}', at('09 00:00'));
SELECT window_start, asked, denied, spent, would_spend, first_denied_at
FROM relay_guard.budget_replay('{"scope": "user", "window": "month", "hard": 400}', at('09 00:00')) WHERE value = 'alice';

-- a reservation made before since is held, not judged, and its settlement counts
SELECT asked, denied, amount_denied, spent, would_spend, first_denied_at
FROM relay_guard.budget_replay('{"scope": "user", "window": "day", "hard": 80}', at('10 00:02'));
SELECT asked, denied, amount_asked, amount_denied, spent, would_spend, first_denied_at
FROM relay_guard.budget_replay('{"scope": "user", "window": "day", "hard": 70}', at('05 12:03'))  WHERE value = 'alice' AND window_start = at('05 00:00');

-- all together
SELECT value, asked, denied, amount_asked, amount_denied, spent, would_spend
FROM relay_guard.budget_replay('{"scope": "global", "window": "month", "hard": 300}', '-infinity');
SELECT value, asked, denied, first_warned_at FROM relay_guard.budget_replay('{"policy": "global_daily", "hard": null, "warn": 50}', at('07 00:00'));
SELECT value, asked, denied, first_warned_at FROM relay_guard.budget_replay('{"policy": "global_daily"}', '-infinity') WHERE value IS NULL;
SELECT value, asked, denied, first_denied_at, first_warned_at FROM relay_guard.budget_replay('{"policy": "global_daily", "hard": 60}', at('10 00:00'));
SELECT * FROM relay_guard.budget_replay('{"scope": "api_key", "window": "day", "hard": 0}', '-infinity');

-- what is no policy
CREATE PROCEDURE refused(policy jsonb, since timestamptz DEFAULT '-infinity') LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint text;
BEGIN
    BEGIN
        IF policy ? 'budget' THEN
            PERFORM relay_guard.budget_replay(policy - 'budget', since);
        ELSE
            PERFORM relay_guard.quota_replay(policy, since);
        END IF;
        RAISE WARNING 'accepted: %', policy;
    EXCEPTION WHEN invalid_parameter_value THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
        RAISE NOTICE '% (%)', message, hint;
    END;
END
$$;
CALL refused(NULL);
CALL refused('null');
CALL refused('[]');
CALL refused('"anon_hour"');
CALL refused('{"policy": "anon_hour"}', NULL);
CALL refused('{}');
CALL refused('{"policy": null}');
CALL refused('{"policy": 1}');
CALL refused('{"policy": "anon_minute"}');
CALL refused('{"policy": "anon_hour", "caps": 1}');
CALL refused('{"policy": "anon_hour", "Cap": 1, "": 2}');
CALL refused('{"policy": "anon_hour", "cap": null}');
CALL refused('{"policy": "anon_hour", "cap": "10"}');
CALL refused('{"policy": "anon_hour", "cap": -1}');
CALL refused('{"policy": "anon_hour", "cap": 1.5}');
CALL refused('{"policy": "anon_hour", "cap": 1e400}');
CALL refused('{"policy": "anon_hour", "cap": 1000000000000001}');
CALL refused('{"policy": "anon_hour", "cap": [1]}');
CALL refused('{"policy": "anon_hour", "scope": "role"}');
CALL refused('{"policy": "anon_hour", "scope": null}');
CALL refused('{"policy": "anon_hour", "scope": "ip"}');
CALL refused('{"policy": "anon_hour", "window": "week"}');
CALL refused('{"policy": "anon_hour", "window": {"hour": 1}}');
CALL refused('{"budget": true}');
CALL refused('{"budget": true, "scope": "user", "window": "day"}');
CALL refused('{"budget": true, "scope": "user", "window": "day", "hard": null}');
CALL refused('{"budget": true, "scope": "user", "hard": 1}');
CALL refused('{"budget": true, "window": "day", "hard": 1}');
CALL refused('{"budget": true, "scope": "anonymous", "window": "day", "hard": 1}');
CALL refused('{"budget": true, "scope": "user", "window": "hour", "hard": 1}');
CALL refused('{"budget": true, "scope": "user", "window": "day", "hard": 1000000000000001}');
CALL refused('{"budget": true, "scope": "user", "window": "day", "hard": 0.5}');
CALL refused('{"budget": true, "scope": "user", "window": "day", "hard": "NaN"}');
CALL refused('{"budget": true, "scope": "user", "window": "day", "warn": -1}');
CALL refused('{"budget": true, "scope": "user", "window": "day", "cap": 1}');
CALL refused('{"budget": true, "scope": "user", "window": "day", "warn": 11, "hard": 10}');
CALL refused('{"budget": true, "policy": "global_daily", "warn": 50000001}');
CALL refused('{"budget": true, "policy": "anon_hour"}');
CALL refused('{"budget": true, "policy": null, "hard": 1}');
SELECT count(*) > 0 AS whole_numbers_are_taken FROM relay_guard.quota_replay('{"policy": "anon_hour", "cap": 1e1}', '-infinity');

-- admins replay, nobody else
CREATE ROLE rg_replayer;
SELECT relay_guard.grant_role('app', 'rg_replayer');
SET ROLE rg_replayer;
SELECT count(*) FROM relay_guard.quota_replay('{"policy": "anon_hour"}', '-infinity');
SELECT count(*) FROM relay_guard.budget_replay('{"policy": "global_daily"}', '-infinity');
RESET ROLE;
SELECT relay_guard.grant_role('admin', 'rg_replayer');
SET ROLE rg_replayer;
SELECT asked FROM relay_guard.quota_replay('{"policy": "anon_hour"}', '-infinity') WHERE value IS NULL;
SELECT asked FROM relay_guard.budget_replay('{"policy": "global_daily"}', '-infinity') WHERE value IS NULL;
SELECT * FROM relay_guard.quota_decisions('{"policy": "anon_hour"}', '-infinity');
RESET ROLE;

\c contrib_regression
DROP DATABASE rg_replay;
DROP ROLE rg_replayer;
