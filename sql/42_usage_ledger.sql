
-- The ledger of quotas and budgets: what was taken, reserved and spent.

CREATE SEQUENCE usage_ledger_id_seq AS bigint;
COMMENT ON SEQUENCE usage_ledger_id_seq IS 'Numbers the rows of usage_ledger.';
SELECT pg_catalog.pg_extension_config_dump('usage_ledger_id_seq', '');

CREATE TABLE usage_ledger (
    id            bigint NOT NULL,
    xid           xid8 NOT NULL,
    epoch         integer NOT NULL,
    recorded_at   timestamptz NOT NULL,
    reserved_at   timestamptz NOT NULL,
    kind          text COLLATE "C" NOT NULL CHECK (kind IN ('take', 'reserve', 'extend', 'settle', 'release', 'expire', 'charge')),
    reservation   uuid,
    policy        integer,
    value         text COLLATE "C",
    units         bigint NOT NULL CHECK (units >= 0),
    user_id       text COLLATE "C",
    workspace_id  text COLLATE "C",
    api_key       text COLLATE "C",
    usage         text COLLATE "C" CHECK (usage IN ('llm', 'embedding')),
    model         text COLLATE "C",
    model_version integer,
    input_price   bigint CHECK (input_price >= 0),
    output_price  bigint CHECK (output_price >= 0),
    input_tokens  bigint CHECK (input_tokens >= 0),
    output_tokens bigint CHECK (output_tokens >= 0),
    reserved      bigint NOT NULL,
    spent         bigint NOT NULL CHECK (spent >= 0),
    lease_until   timestamptz,
    request_id    text COLLATE "C",
    CHECK ((kind = 'take') = (policy IS NOT NULL) AND (policy IS NULL) = (value IS NULL)),
    CHECK (kind IN ('take', 'charge') = (reservation IS NULL)),
    CHECK (kind IN ('reserve', 'extend') = (lease_until IS NOT NULL)),
    CHECK ((kind = 'take') = (model IS NULL) AND (model IS NULL) = (usage IS NULL))
) PARTITION BY RANGE (reserved_at);
COMMENT ON TABLE usage_ledger IS 'What quotas and budgets are counted from, one partition a month. Only relay_guard writes it.';
COMMENT ON COLUMN usage_ledger.id IS 'From a sequence: neither without gaps nor in the order of commits.';
COMMENT ON COLUMN usage_ledger.xid IS 'The transaction; ids of another database have another epoch.';
COMMENT ON COLUMN usage_ledger.epoch IS 'The database that wrote it, as a number.';
COMMENT ON COLUMN usage_ledger.recorded_at IS 'When it was written, by the clock of the server.';
COMMENT ON COLUMN usage_ledger.reserved_at IS 'In whose windows it counts: when it was taken, or for all rows of a reservation when that was made.';
COMMENT ON COLUMN usage_ledger.kind IS 'take of a quota; reserve, extend, then settle, release or expire of a reservation; charge without one.';
COMMENT ON COLUMN usage_ledger.reservation IS 'Which one, as budget_reserve() named it.';
COMMENT ON COLUMN usage_ledger.policy IS 'The quota''s id in quota_policy.';
COMMENT ON COLUMN usage_ledger.value IS 'Whose quota: a user, a workspace, an address.';
COMMENT ON COLUMN usage_ledger.units IS 'How much was taken of the quota.';
COMMENT ON COLUMN usage_ledger.user_id IS 'The verified user.';
COMMENT ON COLUMN usage_ledger.workspace_id IS 'The user''s tenant.';
COMMENT ON COLUMN usage_ledger.api_key IS 'The API key that was used.';
COMMENT ON COLUMN usage_ledger.usage IS 'llm or embedding.';
COMMENT ON COLUMN usage_ledger.model IS 'The model''s name.';
COMMENT ON COLUMN usage_ledger.model_version IS 'Which version of its prices.';
COMMENT ON COLUMN usage_ledger.input_price IS 'Micro-USD for 1,000,000 tokens of input, which of embeddings is all.';
COMMENT ON COLUMN usage_ledger.output_price IS 'Micro-USD for 1,000,000 tokens of output.';
COMMENT ON COLUMN usage_ledger.input_tokens IS 'Estimated by reserve, used by settle and charge.';
COMMENT ON COLUMN usage_ledger.output_tokens IS 'The same; what extend adds.';
COMMENT ON COLUMN usage_ledger.reserved IS 'By how much it changes what is held, in micro-USD.';
COMMENT ON COLUMN usage_ledger.spent IS 'By how much it changes what is spent, in micro-USD.';
COMMENT ON COLUMN usage_ledger.lease_until IS 'When the reservation expires unless it is settled, released or extended.';
COMMENT ON COLUMN usage_ledger.request_id IS 'The request, as in logs and answers.';

-- Not dumped: a restored ledger is another one's until it is written here.
CREATE TABLE usage_origin (id uuid NOT NULL DEFAULT gen_random_uuid());
CREATE UNIQUE INDEX usage_origin_one_row ON usage_origin ((true));
COMMENT ON TABLE usage_origin IS 'What tells this database''s ledger from any other.';
COMMENT ON COLUMN usage_origin.id IS 'Drawn when the extension was created.';
INSERT INTO usage_origin DEFAULT VALUES;

-- Origin-enabled, as audit_refuse
CREATE FUNCTION usage_refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
        MESSAGE = format('%s on %I.%I is refused', tg_op, tg_table_schema, tg_table_name),
        DETAIL = 'Only relay_guard writes the ledger, and nobody changes it.',
        HINT = 'relay_guard.budget_charge() records what was spent.';
END
$$;
COMMENT ON FUNCTION usage_refuse() IS 'Trigger of the ledger: refuses to write it in SQL.';

CREATE TRIGGER usage_refuse BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON usage_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION usage_refuse();

-- (epoch, xid): what the totals do not cover yet.  src/ledger_index.c knows all of these,
-- or a row takes five times as long.
CREATE FUNCTION usage_finish_partition(partition regclass) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
SELECT relay_guard.finish_partition(partition, ARRAY[
    ['_xid_idx', 'INDEX', '(epoch, xid) WITH (deduplicate_items = off)'],
    ['_quota_idx', 'INDEX', '(policy, value, epoch, xid) WITH (deduplicate_items = off) WHERE policy IS NOT NULL'],
    ['_user_idx', 'INDEX', '(user_id, epoch, xid) WITH (deduplicate_items = off) WHERE user_id IS NOT NULL AND policy IS NULL'],
    ['_workspace_idx', 'INDEX', '(workspace_id, epoch, xid) WITH (deduplicate_items = off) WHERE workspace_id IS NOT NULL AND policy IS NULL'],
    ['_api_key_idx', 'INDEX', '(api_key, epoch, xid) WITH (deduplicate_items = off) WHERE api_key IS NOT NULL AND policy IS NULL'],
    ['_reserved_at_idx', 'INDEX', 'USING brin (reserved_at) WITH (autosummarize = on)'],
    ['_reservation_idx', 'INDEX', '(reservation) WHERE reservation IS NOT NULL'],
    ['_final_idx', 'UNIQUE INDEX', '(reservation) WHERE kind IN (''settle'', ''release'', ''expire'')']], 'usage_refuse')
$$;
COMMENT ON FUNCTION usage_finish_partition(regclass) IS 'Gives a partition of usage_ledger what it has beside its columns.';

CREATE FUNCTION usage_maintain() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT relay_guard.maintain_months('relay_guard.usage_ledger', 'relay_guard.usage_finish_partition', 'usage_refuse') $$;
COMMENT ON FUNCTION usage_maintain() IS
'Makes the partitions of usage_ledger for this month and the next twelve, and says how many were missing; finishes those that were made by hand. A worker calls it, and so does whoever finds no partition to write to.';
