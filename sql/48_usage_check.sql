
-- check_ledger(): whether accounts, totals and reservations are what the ledger says.

CREATE TYPE ledger_problem AS (problem text, kind text, policy text, value text,
    window_start timestamptz, counter bigint, ledger bigint);
COMMENT ON TYPE ledger_problem IS 'A row of check_ledger().';

-- An account shows at most 64 bytes of its value.
CREATE FUNCTION account_values(a account) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    condition CONSTANT text := CASE
        WHEN a.kind = 'quota' THEN 'l.value ^@ $1 AND l.policy = $2'
        ELSE format('l.%I ^@ $1 AND l.policy IS NULL', CASE a.scope WHEN 'api_key' THEN 'api_key' ELSE a.scope || '_id' END) END;
    found text[];
BEGIN
    IF octet_length(a.value) < 61 OR a.scope = 'global' THEN
        RETURN ARRAY[a.value];
    END IF;
    EXECUTE format('SELECT array_agg(DISTINCT %s) FROM relay_guard.usage_ledger l WHERE %s',
                   split_part(condition, ' ', 1), condition) INTO found USING a.value, a.policy_id;
    RETURN coalesce(found, ARRAY[a.value]);
END
$$;
COMMENT ON FUNCTION account_values(account) IS 'Whose an account may be: it shows the beginning of a long value.';

CREATE FUNCTION account_sums(a account, OUT used bigint, OUT reserved bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    whose CONSTANT text[] := relay_guard.account_values(a);
BEGIN
    IF cardinality(whose) = 1 THEN
        SELECT s.used, s.reserved INTO used, reserved
        FROM relay_guard.usage_sum(CASE a.kind WHEN 'quota' THEN 'quota' ELSE a.scope END, a.policy_id, whose[1],
                                   a.window_start, a.window_end) s;
    END IF;
END
$$;
COMMENT ON FUNCTION account_sums(account) IS 'What the ledger says of an account; NULL where its value does not tell whose it is.';

CREATE FUNCTION account_problems(a account, used bigint, reserved bigint) RETURNS SETOF ledger_problem
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT p.problem, (a).kind, (a).policy, (a).value, (a).window_start, p.counter, p.ledger
    FROM (VALUES ('account_used', (a).used, used), ('account_reserved', (a).reserved, reserved)) p (problem, counter, ledger)
    WHERE p.counter <> p.ledger;
END;
COMMENT ON FUNCTION account_problems(account, bigint, bigint) IS 'How an account differs from what the ledger says.';

-- An account can be compared that nobody was changing when it was read, and that had
-- not changed when the ledger had been read, too.  Others are tried again for a while.
CREATE FUNCTION check_accounts() RETURNS SETOF ledger_problem
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before relay_guard.account[] := ARRAY(SELECT a FROM relay_guard.account a WHERE a.seeded);
    after relay_guard.account[];
    moving relay_guard.account[];
    a relay_guard.account;
    sums record;
    used bigint[];
    reserved bigint[];
BEGIN
    FOR attempt IN 1..20 LOOP
        used := '{}';
        reserved := '{}';
        moving := '{}';
        FOREACH a IN ARRAY before LOOP
            sums := relay_guard.account_sums(a);
            used := used || sums.used;
            reserved := reserved || sums.reserved;
        END LOOP;
        after := ARRAY(SELECT DISTINCT ON (b.ordinality) n
                       FROM unnest(before) WITH ORDINALITY b
                       LEFT JOIN relay_guard.account n USING (kind, policy_id, value, window_start)
                       ORDER BY b.ordinality);
        FOR i IN 1..cardinality(before) LOOP
            IF (after[i]).changes = (before[i]).changes AND (before[i]).pending = 0 AND (after[i]).pending = 0 THEN
                RETURN QUERY SELECT * FROM relay_guard.account_problems(before[i], used[i], reserved[i]);
            ELSIF (after[i]).seeded THEN
                moving := moving || after[i];
            END IF;
        END LOOP;
        EXIT WHEN cardinality(moving) = 0;
        before := moving;
        PERFORM pg_sleep(attempt * 0.01);
    END LOOP;
    RETURN QUERY SELECT 'account_in_use', m.kind, m.policy, m.value, m.window_start, NULL::bigint, NULL::bigint FROM unnest(moving) m;
END
$$;
COMMENT ON FUNCTION check_accounts() IS 'The part of check_ledger() that compares accounts with the ledger.';

-- What the ledger does not hold any more stays in the totals.
CREATE FUNCTION check_totals() RETURNS SETOF ledger_problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
WITH actual AS MATERIALIZED (
    SELECT s.scope, coalesce(l.policy, 0) AS policy, s.value, b.daily, b.bucket,
           sum(s.used) AS used, sum(s.reserved) AS reserved
    FROM relay_guard.usage_ledger l
    JOIN relay_guard.usage_round r ON r.epoch = l.epoch AND pg_visible_in_snapshot(l.xid, r.snap)
    CROSS JOIN LATERAL relay_guard.usage_shares(l.policy, l.value, l.units, l.workspace_id, l.user_id, l.api_key, l.spent, l.reserved) s
    CROSS JOIN LATERAL relay_guard.usage_buckets(l.reserved_at) b
    GROUP BY 1, 2, 3, 4, 5),
kept AS (
    SELECT * FROM relay_guard.usage_total t
    WHERE t.bucket >= (SELECT min(p.lower) FROM relay_guard.month_partitions('relay_guard.usage_ledger') p)),
total AS (
    SELECT scope, policy, value, bucket, coalesce(k.used, 0) AS used, coalesce(k.reserved, 0) AS reserved,
           coalesce(a.used, 0)::bigint AS actually_used, coalesce(a.reserved, 0)::bigint AS actually_reserved
    FROM kept k FULL JOIN actual a USING (scope, policy, value, daily, bucket))
SELECT p.problem, CASE t.scope WHEN 'quota' THEN 'quota' ELSE 'budget' END,
       CASE t.scope WHEN 'quota' THEN coalesce(q.name, t.policy::text) ELSE t.scope END, t.value, t.bucket, p.counter, p.ledger
FROM total t LEFT JOIN relay_guard.quota_policy q ON t.scope = 'quota' AND q.id = t.policy
CROSS JOIN LATERAL (VALUES ('total_used', t.used, t.actually_used),
                           ('total_reserved', t.reserved, t.actually_reserved)) p (problem, counter, ledger)
WHERE p.counter <> p.ledger
$$;
COMMENT ON FUNCTION check_totals() IS 'The part of check_ledger() that compares totals with the rows that they cover.';

CREATE FUNCTION check_reservations() RETURNS SETOF ledger_problem
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
WITH row AS (
    SELECT l.reservation, l.reserved_at, l.reserved, l.kind = 'reserve' AS start,
           l.kind IN ('settle', 'release', 'expire') AS final,
           coalesce(pg_visible_in_snapshot(l.xid, r.snap), false) AS covered
    FROM relay_guard.usage_ledger l LEFT JOIN relay_guard.usage_round r ON r.epoch = l.epoch
    WHERE l.reservation IS NOT NULL),
whole AS (
    SELECT reservation, min(reserved_at) AS reserved_at, count(*) FILTER (WHERE start) AS starts,
           count(*) FILTER (WHERE final) AS ends, sum(reserved)::bigint AS held,
           (bool_or(covered) AND NOT bool_or(covered AND final))::int AS open
    FROM row GROUP BY reservation),
known AS (
    SELECT w.*, (o.reservation IS NOT NULL)::int AS listed, reservation AS id
    FROM whole w FULL JOIN relay_guard.open_reservation o USING (reservation))
SELECT p.problem, 'budget', NULL, k.id::text, k.reserved_at, p.counter, p.ledger
FROM known k
CROSS JOIN LATERAL (VALUES ('reservation_starts', coalesce(k.starts, 0), 1::bigint),
                           ('reservation_ends', greatest(k.ends, 1), 1),
                           ('reservation_held', CASE WHEN k.ends > 0 THEN k.held ELSE 0 END, 0),
                           ('reservation_listed', k.listed, coalesce(k.open, 0))) p (problem, counter, ledger)
WHERE p.counter <> p.ledger
$$;
COMMENT ON FUNCTION check_reservations() IS
'The part of check_ledger() that looks for reservations that did not begin once, ended twice, hold something after their end, or are not in open_reservation as they should be.';

-- Whoever writes the ledger holds a lock on it until the accounts are right.
CREATE FUNCTION check_ledger("exclusive" boolean) RETURNS SETOF ledger_problem
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF "exclusive" THEN
        LOCK TABLE ONLY relay_guard.usage_ledger IN SHARE ROW EXCLUSIVE MODE;
    END IF;
    RETURN QUERY SELECT * FROM relay_guard.check_accounts();
    RETURN QUERY SELECT * FROM relay_guard.check_totals();
    RETURN QUERY SELECT * FROM relay_guard.check_reservations();
END
$$;
COMMENT ON FUNCTION check_ledger(boolean) IS
'As check_ledger(); when true, it waits for whoever uses quotas and budgets to be done, and lets nobody begin meanwhile, so that no account is in use.';

CREATE FUNCTION check_ledger() RETURNS SETOF ledger_problem
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM relay_guard.check_ledger(false) $$;
COMMENT ON FUNCTION check_ledger() IS
'Where live accounts, totals and reservations differ from the ledger: no rows where nothing does. counter is what they say, ledger what it should be. Accounts that somebody uses all the time cannot be compared and are told as account_in_use.';
