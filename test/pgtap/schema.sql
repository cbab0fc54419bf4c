-- The extension's public face: functions with their properties, and tables
-- whose rows go through pg_dump.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT plan(69);

-- readers: STABLE, never IMMUTABLE (a folded reader shows another tenant's rows)
SELECT volatility_is('relay_guard', f, ARRAY[]::name[], 'stable', f || '() is stable')
FROM unnest('{user_id,user_uuid,user_bigint,workspace_id,workspace_uuid,role,request_id,client_ip,claims}'::name[]) f;
SELECT is(proparallel, 's', proname || ' is parallel safe')
FROM pg_proc WHERE pronamespace = 'relay_guard'::regnamespace
  AND proname IN ('user_id', 'user_uuid', 'user_bigint', 'workspace_id', 'workspace_uuid', 'role', 'request_id', 'client_ip', 'has_scope', 'claims')
ORDER BY proname;
SELECT function_returns('relay_guard', f, ARRAY[]::name[], t, f || '() returns ' || t)
FROM (VALUES ('user_id'::name, 'text'), ('user_uuid', 'uuid'), ('user_bigint', 'bigint'), ('workspace_uuid', 'uuid'),
             ('client_ip', 'inet'), ('claims', 'jsonb')) v (f, t);
SELECT volatility_is('relay_guard', 'authenticate', '{text,text,inet}'::name[], 'volatile', 'authenticate() is volatile');
SELECT volatility_is('relay_guard', 'serve', '{bytea}'::name[], 'volatile', 'serve() is volatile');
SELECT is(proparallel, 'u', p.oid::regprocedure || ' is parallel unsafe')
FROM pg_proc p WHERE pronamespace = 'relay_guard'::regnamespace AND proname IN ('authenticate', 'authenticate_api_key', 'assume', 'serve', 'issue_token')
ORDER BY p.oid::regprocedure::text;

-- settings: what binds a caller is not the caller's to set, and the identity is no setting to look at
SELECT is((SELECT context FROM pg_settings WHERE name = 'relay_guard.strict'), 'superuser', 'relay_guard.strict is set by superusers');
SELECT is((SELECT boot_val FROM pg_settings WHERE name = 'relay_guard.strict'), 'off', 'relay_guard.strict is off unless set');
SELECT is_empty($$SELECT FROM pg_settings WHERE name = 'relay_guard.context'$$, 'the identity is not listed among settings');

-- what pg_dump keeps, and what it must not
SELECT set_eq($$SELECT c.oid::regclass::text FROM pg_extension e, unnest(e.extconfig) o JOIN pg_class c ON c.oid = o
                WHERE e.extname = 'relay_guard' AND c.relkind = 'r'$$,
              '{relay_guard.api_key,relay_guard.api_key_pepper,relay_guard.audit_seal,relay_guard.budget_alert,relay_guard.budget_policy,relay_guard.idempotency_key,relay_guard.issuer,relay_guard.jwt_key,relay_guard.model,relay_guard.model_version,relay_guard.open_reservation,relay_guard.quota_policy,relay_guard.rate_override,relay_guard.rate_policy,relay_guard.revocation,relay_guard.route,relay_guard.subject_prefix,relay_guard.upstream,relay_guard.usage_round,relay_guard.usage_total,relay_guard.webhook_delivery,relay_guard.webhook_endpoint,relay_guard.webhook_message,relay_guard.webhook_secret}'::text[],
              'configuration tables, seals, answers kept for repetitions and webhooks are dumped, and no others');
SELECT is(relpersistence, 'u', relname || ' is unlogged') FROM pg_class
WHERE relname IN ('rate_counter', 'quota_counter', 'budget_counter') AND relnamespace = 'relay_guard'::regnamespace ORDER BY relname;

-- quotas and budgets: nothing of them is planned away, folded or run by a parallel worker
SELECT is(provolatile::text || proparallel::text, 'vu', proname || '() is volatile and parallel unsafe')
FROM pg_proc WHERE pronamespace = 'relay_guard'::regnamespace
  AND proname IN ('quota_take', 'quota_require', 'quota_status', 'budget_reserve', 'budget_extend', 'budget_settle', 'budget_release',
                  'budget_charge', 'budget_expire', 'budget_status', 'usage_rebuild')
ORDER BY proname;
SELECT is(proisstrict, false, proname || '() is asked with NULL, too, and refuses it')
FROM pg_proc WHERE pronamespace = 'relay_guard'::regnamespace
  AND proname IN ('quota_take', 'quota_require', 'quota_status', 'budget_reserve', 'budget_extend', 'budget_settle', 'budget_release', 'budget_charge', 'budget_expire')
ORDER BY proname;
SELECT is(string_agg(DISTINCT relpersistence::text, ''), 'p', 'usage_ledger and its partitions are logged')
FROM pg_class c, pg_partition_tree('relay_guard.usage_ledger') t WHERE c.oid = t.relid;
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
                  WHERE c.relnamespace = 'relay_guard'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0
                    AND relname ~ '^(usage|budget|quota|model|open_reservation)' AND atttypid IN ('float4'::regtype, 'float8'::regtype, 'numeric'::regtype, 'money'::regtype)$$,
                'no table of quotas and budgets has a float');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p, unnest(coalesce(proallargtypes, proargtypes)) t
                  WHERE pronamespace = 'relay_guard'::regnamespace AND proname ~ '^(budget|quota)_(take|require|status|reserve|extend|settle|release|charge|expire)'
                    AND t IN ('float4'::regtype, 'float8'::regtype, 'numeric'::regtype, 'money'::regtype)$$,
                'no function of them takes or returns one');
SELECT domain_type_is('relay_guard', 'micro_usd', 'pg_catalog', 'bigint', 'money is a bigint of micro-USD');
SELECT results_eq($$SELECT name, scope, cap, "window", unit FROM relay_guard.quota_policy WHERE shipped ORDER BY id$$,
                  $$VALUES ('anon_hour', 'anonymous', 20::bigint, 'hour', 'message'), ('anon_lifetime', 'anonymous', 100, 'lifetime', 'message')$$,
                  'two quotas are shipped');
SELECT results_eq($$SELECT name, scope, "window", warn::bigint, hard::bigint FROM relay_guard.budget_policy WHERE shipped ORDER BY id$$,
                  $$VALUES ('global_daily', 'global', 'day', 20000000::bigint, 50000000::bigint)$$, 'one budget is shipped');
SELECT is_empty($$SELECT FROM relay_guard.model$$, 'no prices are shipped');
SELECT is((SELECT context FROM pg_settings WHERE name = 'relay_guard.timezone'), 'postmaster', 'windows are the same for all sessions');
SELECT is(count(*), 0::bigint, 'the extension makes no roles')
FROM pg_roles WHERE rolname LIKE 'relay%';

SELECT * FROM finish();
ROLLBACK;
