
-- What a proposed limit would have denied, over what the ledger has recorded.
--
-- A proposal is replayed as if it had been made at "since", in the order in which
-- things happened: what its windows had seen before then is counted and not
-- judged, as a new policy's accounts are.  What it denies takes nothing, and of a
-- reservation nothing is asked any more once it was denied something: it is charged
-- what was used, but at most what it holds.

CREATE FUNCTION replay_refuse(message text, hint text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, HINT = hint;
END
$$;
COMMENT ON FUNCTION replay_refuse(text, text) IS 'Raises the error for a proposal that cannot be replayed.';

CREATE FUNCTION replay_check(policy jsonb, keys text[], since timestamptz) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known CONSTANT text := format('Its keys are %s.', array_to_string(keys, ', '));
    unknown text;
BEGIN
    IF since IS NULL THEN
        PERFORM relay_guard.replay_refuse('"since" is missing', 'Say from when on to replay; ''-infinity'' is all of the ledger.');
    ELSIF policy IS NULL OR jsonb_typeof(policy) <> 'object' THEN
        PERFORM relay_guard.replay_refuse('the proposed policy is not a JSON object', known);
    END IF;
    unknown := (SELECT min(k COLLATE "C") FROM jsonb_object_keys(policy) k WHERE k <> ALL (keys));
    IF unknown IS NOT NULL THEN
        PERFORM relay_guard.replay_refuse(format('a proposed policy has no key "%s"', left(unknown, 60)), known);
    END IF;
END
$$;
COMMENT ON FUNCTION replay_check(jsonb, text[], timestamptz) IS 'Raises an error unless a proposal is an object with known keys, and there is a time to begin at.';

CREATE FUNCTION replay_word(policy jsonb, member text, words text[], otherwise text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word CONSTANT text := CASE WHEN policy ? member THEN policy ->> member ELSE otherwise END;
BEGIN
    IF word IS NULL OR word <> ALL (words) THEN
        PERFORM relay_guard.replay_refuse(
            CASE WHEN word IS NULL AND NOT policy ? member THEN format('the proposed policy does not say its "%s"', member)
                 ELSE format('%s is no value for "%s"', left((policy -> member)::text, 60), member) END,
            format('It is one of %s, as a string.', array_to_string(words, ', ')));
    END IF;
    RETURN word;
END
$$;
COMMENT ON FUNCTION replay_word(jsonb, text, text[], text) IS 'One of some words out of a proposal, or what holds otherwise.';

CREATE FUNCTION replay_number(policy jsonb, member text, otherwise bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT bigint := 1000000000000000;
    number numeric;
BEGIN
    IF NOT policy ? member THEN
        RETURN otherwise;
    END IF;
    IF jsonb_typeof(policy -> member) = 'number' THEN
        number := (policy -> member)::numeric;
    END IF;
    IF number IS NULL OR number <> trunc(number) OR number NOT BETWEEN 0 AND most THEN
        PERFORM relay_guard.replay_refuse(format('%s is no value for "%s"', left((policy -> member)::text, 60), member),
                                          format('It is a whole number from 0 to %s.', most));
    END IF;
    RETURN number;
END
$$;
COMMENT ON FUNCTION replay_number(jsonb, text, bigint) IS 'A whole number out of a proposal, or what holds otherwise.';

CREATE FUNCTION replay_begin("window" text, since timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT isfinite(since) THEN
        RETURN since;
    END IF;
    RETURN (SELECT w.window_start FROM relay_guard.usage_window("window", since) w);
END
$$;
COMMENT ON FUNCTION replay_begin(text, timestamptz) IS 'Where the window begins that a replay begins in.';

--
-- Quotas
--

CREATE FUNCTION quota_proposal(policy jsonb, since timestamptz,
    OUT id int, OUT recorded_by text, OUT scope text, OUT "window" text, OUT cap bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    live relay_guard.quota_policy;
BEGIN
    PERFORM relay_guard.replay_check(policy, '{policy,scope,cap,window}', since);
    SELECT p.* INTO live FROM relay_guard.quota_policy p WHERE to_jsonb(p.name) = policy -> 'policy';
    IF NOT FOUND THEN
        PERFORM relay_guard.replay_refuse(
            CASE WHEN policy ? 'policy' THEN format('there is no quota policy %s', left((policy -> 'policy')::text, 60))
                 ELSE 'the proposed policy does not say whose takes to replay' END,
            '"policy" is the name of a row of relay_guard.quota_policy; what else is not said is as it is there.');
    END IF;
    id := live.id;
    recorded_by := live.scope;
    scope := relay_guard.replay_word(policy, 'scope', '{user,workspace,anonymous,api_key,ip,global}', live.scope);
    "window" := relay_guard.replay_word(policy, 'window', '{hour,day,month,lifetime}', live."window");
    cap := relay_guard.replay_number(policy, 'cap', live.cap);
    IF scope = 'ip' AND recorded_by <> 'ip' THEN
        PERFORM relay_guard.replay_refuse(format('the takes of "%s" do not tell addresses', live.name),
                                          'Replay them by user, workspace, anonymous, api_key or global.');
    END IF;
END
$$;
COMMENT ON FUNCTION quota_proposal(jsonb, timestamptz) IS 'A proposal of quota_replay(), checked, with what it leaves to the policy that it names.';

CREATE FUNCTION quota_decisions(policy jsonb, since timestamptz,
    OUT value text, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT at timestamptz, OUT units bigint, OUT allowed boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    proposed CONSTANT record := relay_guard.quota_proposal(policy, since);
    beginning CONSTANT timestamptz := relay_guard.replay_begin(proposed."window", since);
    take record;
    taken bigint;
BEGIN
    FOR take IN
        SELECT k.key, w.window_start, w.window_end, l.reserved_at, l.units
        FROM relay_guard.usage_ledger l
        CROSS JOIN LATERAL (SELECT CASE WHEN proposed.scope = proposed.recorded_by THEN l.value
                                        WHEN proposed.scope = 'global' THEN '*'
                                        WHEN proposed.scope = 'workspace' THEN l.workspace_id
                                        WHEN proposed.scope = 'api_key' THEN l.api_key
                                        WHEN proposed.scope = 'user' OR starts_with(l.user_id, 'anon:') THEN l.user_id
                                   END COLLATE "C" AS key) k
        CROSS JOIN LATERAL relay_guard.usage_window(proposed."window", l.reserved_at) w
        WHERE l.policy = proposed.id AND l.kind = 'take' AND k.key IS NOT NULL
          AND l.reserved_at >= beginning
        ORDER BY k.key, w.window_start, l.reserved_at, l.id
    LOOP
        IF take.key IS DISTINCT FROM value OR take.window_start <> window_start THEN
            taken := 0;
        END IF;
        value := take.key;
        window_start := take.window_start;
        window_end := take.window_end;
        at := take.reserved_at;
        units := take.units;
        allowed := at < since OR units <= proposed.cap - taken;
        taken := taken + CASE WHEN allowed THEN units ELSE 0 END;
        IF at >= since THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION quota_decisions(jsonb, timestamptz) IS 'What a proposed quota would have said to each recorded take.';

CREATE FUNCTION quota_replay(policy jsonb, since timestamptz,
    OUT value text, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT asked bigint, OUT admitted bigint, OUT denied bigint,
    OUT units_asked bigint, OUT units_admitted bigint, OUT units_denied bigint,
    OUT first_denied_at timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.value, d.window_start, CASE WHEN grouping(d.value) = 0 THEN max(d.window_end) END,
           count(*), count(*) FILTER (WHERE d.allowed), count(*) FILTER (WHERE NOT d.allowed),
           coalesce(sum(d.units), 0)::bigint,
           coalesce(sum(d.units) FILTER (WHERE d.allowed), 0)::bigint,
           coalesce(sum(d.units) FILTER (WHERE NOT d.allowed), 0)::bigint,
           min(d.at) FILTER (WHERE NOT d.allowed)
    FROM relay_guard.quota_decisions(policy, since) d
    GROUP BY GROUPING SETS ((d.value, d.window_start), ())
    ORDER BY d.value COLLATE "C" NULLS LAST, d.window_start
$$;
COMMENT ON FUNCTION quota_replay(jsonb, timestamptz) IS
'What a proposed quota would have admitted and denied of the recorded takes of "policy" (others are not told apart), had it been made at since: {"policy": ..., "scope": ..., "cap": ..., "window": ...}; a row for each key and window, and last their total, whose value is NULL. What was refused then is not recorded, so it cannot be judged.';

--
-- Budgets
--

CREATE FUNCTION budget_proposal(policy jsonb, since timestamptz,
    OUT scope text, OUT "window" text, OUT warn bigint, OUT hard bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    live relay_guard.budget_policy;
    -- null stands for no limit, as in the table
    said CONSTANT jsonb := jsonb_strip_nulls(policy);
BEGIN
    PERFORM relay_guard.replay_check(policy, '{policy,scope,window,warn,hard}', since);
    SELECT p.* INTO live FROM relay_guard.budget_policy p WHERE to_jsonb(p.name) = policy -> 'policy';
    IF NOT FOUND AND policy ? 'policy' THEN
        PERFORM relay_guard.replay_refuse(
            format('there is no budget policy %s', left((policy -> 'policy')::text, 60)),
            '"policy" is the name of a row of relay_guard.budget_policy, or left out; what else is not said is as it is there.');
    END IF;
    scope := relay_guard.replay_word(policy, 'scope', '{global,workspace,user,api_key}', live.scope);
    "window" := relay_guard.replay_word(policy, 'window', '{day,month}', live."window");
    warn := relay_guard.replay_number(said, 'warn', CASE WHEN NOT policy ? 'warn' THEN live.warn END);
    hard := relay_guard.replay_number(said, 'hard', CASE WHEN NOT policy ? 'hard' THEN live.hard END);
    IF warn IS NULL AND hard IS NULL THEN
        PERFORM relay_guard.replay_refuse('the proposed policy has no limit',
                                          'Say "hard", "warn" or both, in micro-USD: 1000000 is one dollar.');
    ELSIF warn > hard AND NOT policy ? 'warn' THEN
        warn := NULL;       -- the other policy's own, which would warn of nothing here
    ELSIF warn > hard THEN
        PERFORM relay_guard.replay_refuse(format('"warn" %s is above "hard" %s', warn, hard),
                                          'A budget warns before it denies; null stands for no limit.');
    END IF;
END
$$;
COMMENT ON FUNCTION budget_proposal(jsonb, timestamptz) IS 'A proposal of budget_replay(), checked, with what it leaves to the policy that it names.';

CREATE FUNCTION budget_decisions(policy jsonb, since timestamptz,
    OUT value text, OUT window_start timestamptz, OUT window_end timestamptz, OUT at timestamptz,
    OUT amount bigint, OUT allowed boolean, OUT spent bigint, OUT would_spend bigint, OUT warned boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    proposed CONSTANT record := relay_guard.budget_proposal(policy, since);
    beginning CONSTANT timestamptz := relay_guard.replay_begin(proposed."window", since);
    entry record;
    taken bigint;               -- of the window: what is spent and what is held
    held bigint[] := '{}';      -- by reservations, which are numbered
    ended boolean[] := '{}';
BEGIN
    FOR entry IN
        SELECT k.key, w.window_start, w.window_end, l.kind, l.reserved, l.spent,
               CASE WHEN l.kind = 'reserve' THEN l.reserved_at ELSE l.recorded_at END AS at,
               dense_rank() OVER (ORDER BY l.reservation) AS n
        FROM relay_guard.usage_ledger l
        CROSS JOIN LATERAL (SELECT CASE proposed.scope WHEN 'global' THEN '*'
                                                       WHEN 'workspace' THEN l.workspace_id
                                                       WHEN 'user' THEN l.user_id
                                                       ELSE l.api_key
                                   END COLLATE "C" AS key) k
        CROSS JOIN LATERAL relay_guard.usage_window(proposed."window", l.reserved_at) w
        WHERE l.policy IS NULL AND k.key IS NOT NULL
          AND l.reserved_at >= beginning
        ORDER BY k.key, w.window_start, l.id
    LOOP
        IF entry.key IS DISTINCT FROM value OR entry.window_start <> window_start THEN
            taken := 0;
        END IF;
        value := entry.key;
        window_start := entry.window_start;
        window_end := entry.window_end;
        at := entry.at;
        spent := entry.spent;
        amount := NULL;
        allowed := NULL;
        would_spend := 0;
        IF entry.kind NOT IN ('reserve', 'extend') THEN
            would_spend := CASE WHEN ended[entry.n] THEN least(spent, held[entry.n]) ELSE spent END;
            taken := taken + would_spend - coalesce(held[entry.n], 0);
            held[entry.n] := 0;
        ELSIF ended[entry.n] IS NULL THEN
            amount := entry.reserved;
            allowed := at < since OR proposed.hard IS NULL OR amount <= proposed.hard - taken;
            ended[entry.n] := nullif(NOT allowed, false);
            held[entry.n] := coalesce(held[entry.n], 0) + CASE WHEN allowed THEN amount ELSE 0 END;
            taken := taken + CASE WHEN allowed THEN amount ELSE 0 END;
        END IF;
        warned := taken >= proposed.warn;
        IF at >= since THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION budget_decisions(jsonb, timestamptz) IS
'What a proposed budget would have said to each recorded reservation and extension, and what each charge would have come to.';

CREATE FUNCTION budget_replay(policy jsonb, since timestamptz,
    OUT value text, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT asked bigint, OUT admitted bigint, OUT denied bigint,
    OUT amount_asked bigint, OUT amount_admitted bigint, OUT amount_denied bigint,
    OUT spent bigint, OUT would_spend bigint,
    OUT first_denied_at timestamptz, OUT first_warned_at timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.value, d.window_start, CASE WHEN grouping(d.value) = 0 THEN max(d.window_end) END,
           count(d.allowed), count(*) FILTER (WHERE d.allowed), count(*) FILTER (WHERE NOT d.allowed),
           coalesce(sum(d.amount), 0)::bigint,
           coalesce(sum(d.amount) FILTER (WHERE d.allowed), 0)::bigint,
           coalesce(sum(d.amount) FILTER (WHERE NOT d.allowed), 0)::bigint,
           coalesce(sum(d.spent), 0)::bigint, coalesce(sum(d.would_spend), 0)::bigint,
           min(d.at) FILTER (WHERE NOT d.allowed), min(d.at) FILTER (WHERE d.warned)
    FROM relay_guard.budget_decisions(policy, since) d
    GROUP BY GROUPING SETS ((d.value, d.window_start), ())
    ORDER BY d.value COLLATE "C" NULLS LAST, d.window_start
$$;
COMMENT ON FUNCTION budget_replay(jsonb, timestamptz) IS
'What a proposed budget would have admitted and denied of the recorded reservations and extensions, in micro-USD, had it been made at since: {"scope": ..., "window": ..., "hard": ..., "warn": ...}, or "policy": the name of one to begin with; a row for each key and window, and last their total, whose value is NULL. spent is what was, would_spend what would have been. What was refused then is not recorded, so it cannot be judged.';
