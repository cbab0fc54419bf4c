-- The extension's public face: functions with their properties, and tables
-- whose rows go through pg_dump.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT plan(41);

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
              '{relay_guard.api_key,relay_guard.api_key_pepper,relay_guard.audit_seal,relay_guard.budget_alert,relay_guard.budget_policy,relay_guard.issuer,relay_guard.jwt_key,relay_guard.model,relay_guard.model_version,relay_guard.open_reservation,relay_guard.quota_policy,relay_guard.rate_override,relay_guard.rate_policy,relay_guard.revocation,relay_guard.route,relay_guard.subject_prefix,relay_guard.usage_round,relay_guard.usage_total,relay_guard.webhook_secret}'::text[],
              'configuration tables and seals are dumped, and no others');
SELECT is(relpersistence, 'u', relname || ' is unlogged') FROM pg_class
WHERE relname IN ('rate_counter', 'quota_counter', 'budget_counter') AND relnamespace = 'relay_guard'::regnamespace ORDER BY relname;
SELECT is(count(*), 0::bigint, 'the extension makes no roles')
FROM pg_roles WHERE rolname LIKE 'relay%';

SELECT * FROM finish();
ROLLBACK;
