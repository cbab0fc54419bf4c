
-- Totals of the ledger, so that an account is counted from few rows.
--
-- usage_round says for each epoch which rows the totals cover: those of transactions
-- that its snapshot shows as over.  Ids would not do, for they do not commit in
-- order.  Whoever reads totals, rounds and ledger in one snapshot counts every row
-- once.  A dump has all three, so this holds after it is restored, too: there the
-- snapshot is one of another cluster's, as are the rows.

CREATE TABLE usage_round (
    epoch     integer PRIMARY KEY,
    snap      pg_snapshot NOT NULL,
    rolled_at timestamptz NOT NULL
);
COMMENT ON TABLE usage_round IS 'Which rows of usage_ledger are counted in usage_total.';
COMMENT ON COLUMN usage_round.epoch IS 'The cluster and database that wrote the rows.';
COMMENT ON COLUMN usage_round.snap IS 'Counted are rows of transactions that were over then.';
COMMENT ON COLUMN usage_round.rolled_at IS 'When.';

CREATE TABLE usage_total (
    scope    text COLLATE "C" NOT NULL CHECK (scope IN ('quota', 'global', 'workspace', 'user', 'api_key')),
    policy   integer NOT NULL,
    value    text COLLATE "C" NOT NULL,
    daily    boolean NOT NULL,
    bucket   timestamptz NOT NULL,
    used     bigint NOT NULL,
    reserved bigint NOT NULL,
    PRIMARY KEY (scope, policy, value, daily, bucket)
) WITH (fillfactor = 70);
COMMENT ON TABLE usage_total IS 'Sums of usage_ledger.';
COMMENT ON COLUMN usage_total.scope IS 'quota, or the dimension of budgets that value is of.';
COMMENT ON COLUMN usage_total.policy IS 'The quota''s id in quota_policy; 0 for budgets.';
COMMENT ON COLUMN usage_total.value IS 'Whose; * where it is everybody''s.';
COMMENT ON COLUMN usage_total.daily IS 'Of a day of UTC; otherwise of 15 minutes.';
COMMENT ON COLUMN usage_total.bucket IS 'When these begin. A row counts where its reserved_at is.';
COMMENT ON COLUMN usage_total.used IS 'Units of a quota; of budgets micro-USD spent.';
COMMENT ON COLUMN usage_total.reserved IS 'Micro-USD held.';

CREATE TABLE open_reservation (
    reservation uuid PRIMARY KEY,
    reserved_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);
CREATE INDEX open_reservation_lease_idx ON open_reservation (lease_until);
COMMENT ON TABLE open_reservation IS 'Reservations that had no end yet when usage_roll() last looked.';
COMMENT ON COLUMN open_reservation.reservation IS 'Which one, as budget_reserve() named it.';
COMMENT ON COLUMN open_reservation.reserved_at IS 'When it was made.';
COMMENT ON COLUMN open_reservation.lease_until IS 'When it expires unless it is settled, released or extended.';

SELECT pg_catalog.pg_extension_config_dump('usage_round', '');
SELECT pg_catalog.pg_extension_config_dump('usage_total', '');
SELECT pg_catalog.pg_extension_config_dump('open_reservation', '');

CREATE FUNCTION usage_epoch() RETURNS integer
LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_usage_epoch';
COMMENT ON FUNCTION usage_epoch() IS 'What rows that are written here have in the column epoch.';

-- A dump has the partitions' triggers restored last: until then rows may be missing.
CREATE FUNCTION usage_is_whole() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
SELECT EXISTS (SELECT FROM relay_guard.month_partitions('relay_guard.usage_ledger'))
   AND NOT EXISTS (SELECT FROM relay_guard.unfinished_partitions('relay_guard.usage_ledger', 'usage_refuse'))
$$;
COMMENT ON FUNCTION usage_is_whole() IS 'Whether the ledger has partitions, and is not being restored.';

-- In whose accounts a row counts.
CREATE FUNCTION usage_shares(row_policy integer, row_value text, row_units bigint, row_workspace text, row_user text,
    row_api_key text, row_spent bigint, row_reserved bigint)
RETURNS TABLE (scope text, value text, used bigint, reserved bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT 'quota', row_value, row_units, 0::bigint WHERE row_policy IS NOT NULL
    UNION ALL
    SELECT s.scope, s.value, row_spent, row_reserved
    FROM (VALUES ('global', '*'), ('workspace', row_workspace), ('user', row_user), ('api_key', row_api_key)) s (scope, value)
    WHERE row_policy IS NULL AND s.value IS NOT NULL;
END;
COMMENT ON FUNCTION usage_shares(integer, text, bigint, text, text, text, bigint, bigint) IS 'What a row of usage_ledger adds to which accounts.';

CREATE FUNCTION usage_buckets(at timestamptz) RETURNS TABLE (daily boolean, bucket timestamptz)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT false, pg_catalog.date_bin('15 minutes', at, '2000-01-01 00:00:00+00'::timestamptz)
    UNION ALL
    SELECT true, pg_catalog.date_bin('1 day', at, '2000-01-01 00:00:00+00'::timestamptz);
END;
COMMENT ON FUNCTION usage_buckets(timestamptz) IS 'The totals of which times a row of usage_ledger adds to.';

-- Counts in the totals what rows of an epoch the round before did not cover; how many.
-- One statement, so that all of it is of one snapshot.
CREATE FUNCTION usage_fold(epoch integer, before pg_snapshot) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    uncounted CONSTANT text := CASE
        WHEN before IS NULL THEN 'SELECT l.* FROM relay_guard.usage_ledger l WHERE l.epoch = $1'
        ELSE 'SELECT l.* FROM relay_guard.usage_ledger l
              WHERE l.epoch = $1 AND l.xid = ANY (ARRAY(SELECT pg_snapshot_xip($2)))
              UNION ALL
              SELECT l.* FROM relay_guard.usage_ledger l
              WHERE l.epoch = $1 AND l.xid >= pg_snapshot_xmax($2)' END;
    rows bigint;
BEGIN
    EXECUTE 'WITH fresh AS MATERIALIZED (' || uncounted || '),
        counted AS (
            INSERT INTO relay_guard.usage_total AS t (scope, policy, value, daily, bucket, used, reserved)
            SELECT s.scope, coalesce(f.policy, 0), s.value, b.daily, b.bucket, sum(s.used), sum(s.reserved)
            FROM fresh f
            CROSS JOIN LATERAL relay_guard.usage_shares(f.policy, f.value, f.units, f.workspace_id, f.user_id, f.api_key, f.spent, f.reserved) s
            CROSS JOIN LATERAL relay_guard.usage_buckets(f.reserved_at) b
            GROUP BY 1, 2, 3, 4, 5
            ON CONFLICT (scope, policy, value, daily, bucket) DO UPDATE
            SET used = t.used + excluded.used, reserved = t.reserved + excluded.reserved),
        ended AS (
            SELECT f.reservation FROM fresh f WHERE f.kind IN (''settle'', ''release'', ''expire'')),
        closed AS (
            DELETE FROM relay_guard.open_reservation o USING ended e WHERE o.reservation = e.reservation),
        opened AS (
            INSERT INTO relay_guard.open_reservation AS o (reservation, reserved_at, lease_until)
            SELECT f.reservation, min(f.reserved_at), max(f.lease_until)
            FROM fresh f
            WHERE f.kind IN (''reserve'', ''extend'') AND f.reservation NOT IN (SELECT e.reservation FROM ended e)
            GROUP BY f.reservation
            ON CONFLICT (reservation) DO UPDATE SET lease_until = greatest(o.lease_until, excluded.lease_until)),
        round AS (
            INSERT INTO relay_guard.usage_round (epoch, snap, rolled_at)
            SELECT $1, CASE WHEN $1 = relay_guard.usage_epoch() THEN pg_current_snapshot()
                       ELSE relay_guard.usage_end((SELECT max(f.xid::text::bigint) FROM fresh f), $2) END, clock_timestamp()
            WHERE EXISTS (SELECT FROM fresh)
            ON CONFLICT (epoch) DO UPDATE SET snap = excluded.snap, rolled_at = excluded.rolled_at)
        SELECT count(*) FROM fresh' INTO rows USING epoch, before;
    RETURN rows;
END
$$;
COMMENT ON FUNCTION usage_fold(integer, pg_snapshot) IS 'Counts in the totals what rows of an epoch are not, and says how many.';

-- Nothing of another cluster's is under way here.
CREATE FUNCTION usage_end(last bigint, before pg_snapshot) RETURNS pg_snapshot
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT format('%1$s:%1$s:', greatest(last + 1, pg_snapshot_xmax(before)::text::bigint))::pg_snapshot $$;
COMMENT ON FUNCTION usage_end(bigint, pg_snapshot) IS 'A snapshot that shows that transaction, and those of the one before, as over.';

CREATE FUNCTION usage_epochs() RETURNS SETOF integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_sort = off
AS $$
DECLARE
    e integer := (SELECT l.epoch FROM relay_guard.usage_ledger l ORDER BY l.epoch LIMIT 1);
BEGIN
    WHILE e IS NOT NULL LOOP
        RETURN NEXT e;
        e := (SELECT l.epoch FROM relay_guard.usage_ledger l WHERE l.epoch > e ORDER BY l.epoch LIMIT 1);
    END LOOP;
END
$$;
COMMENT ON FUNCTION usage_epochs() IS 'The epochs that the ledger has rows of.';

-- While the ledger is restored, or a subscription brings it, rows of another epoch
-- may yet come that belong to transactions before those that are there.
CREATE FUNCTION usage_roll() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own CONSTANT integer := relay_guard.usage_epoch();
    e integer;
    rows bigint;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction',
            MESSAGE = 'usage_roll() must come before anything that its transaction writes',
            HINT = 'Call it in a transaction of its own.';
    END IF;
    LOCK TABLE relay_guard.usage_round IN SHARE ROW EXCLUSIVE MODE;
    IF NOT relay_guard.usage_is_whole() THEN
        RETURN 0;
    END IF;
    rows := relay_guard.usage_fold(own, (SELECT r.snap FROM relay_guard.usage_round r WHERE r.epoch = own));
    IF EXISTS (SELECT FROM pg_subscription_rel r JOIN pg_inherits i ON r.srrelid IN (i.inhrelid, i.inhparent)
               WHERE i.inhparent = 'relay_guard.usage_ledger'::regclass) THEN
        RETURN rows;
    END IF;
    FOR e IN SELECT o FROM relay_guard.usage_epochs() o WHERE o <> own LOOP
        rows := rows + relay_guard.usage_fold(e, (SELECT r.snap FROM relay_guard.usage_round r WHERE r.epoch = e));
    END LOOP;
    RETURN rows;
END
$$;
COMMENT ON FUNCTION usage_roll() IS
'Brings the totals of the ledger up to date, and says how many rows it counted; a background worker does it. It comes first in its transaction.';

CREATE FUNCTION usage_sum(scope text, policy integer, value text, since timestamptz, until timestamptz,
    OUT used bigint, OUT reserved bigint) RETURNS record
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_usage_sum';
COMMENT ON FUNCTION usage_sum(text, integer, text, timestamptz, timestamptz) IS
'What the ledger says of a scope of usage_total (and the quota''s id) for a value, from since on and before until: by what is committed now, whatever the isolation level.';
