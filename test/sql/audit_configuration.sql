-- Changes of relay_guard's own configuration in the audit log: all tables that say who may do
-- what, by row, without secrets.
SET client_min_messages = warning;
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT relay_guard.audit_maintain() >= 0 AS partitions;
CREATE TABLE rg_seen (id bigint);
INSERT INTO rg_seen SELECT coalesce(max(id), 0) FROM relay_guard.audit_log;
-- What was logged since it was asked last; what differs from run to run is only told to be there
CREATE FUNCTION rg_shown(value jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_object_agg(key, CASE WHEN key IN ('id', 'version', 'since', 'revoked_at', 'retired_at', 'created_at', 'expires_at', 'before', 'timeline', 'confirmed_at')
        AND v <> 'null' THEN to_jsonb('...'::text) ELSE v END) FROM jsonb_each(value) e (key, v) $$;
CREATE FUNCTION rg_logged() RETURNS TABLE (action text, resource_type text, resource_id text, old jsonb, new jsonb) LANGUAGE plpgsql AS $$
DECLARE
    last CONSTANT bigint := (SELECT max(s.id) FROM rg_seen s);
BEGIN
    INSERT INTO rg_seen SELECT max(l.id) FROM relay_guard.audit_log l;
    RETURN QUERY SELECT l.action, replace(l.resource_type, 'relay_guard.', '~'),
        regexp_replace(l.resource_id, '[0-9a-f]{8}-[0-9a-f-]{27}', '...'), rg_shown(l.old), rg_shown(l.new)
        FROM relay_guard.audit_log l WHERE l.id > last AND l.resource_type LIKE 'relay\_guard.%' ORDER BY l.id;
END $$;

-- which tables; each records always, by row and when it is emptied
SELECT c.relname, t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgfoid = 'relay_guard.audit_configuration'::regproc ORDER BY c.relname, t.tgname;
-- of those that backends keep copies of none is forgotten
SELECT c.relname AS forgotten FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgname = 'config_changed' AND NOT EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = c.oid AND o.tgname = 'audit_configuration');
-- application tables are what audit() was told of
SELECT count(*) FROM relay_guard.audited_table WHERE relation::text LIKE 'relay_guard.%';
SELECT code, object FROM relay_guard.lint() WHERE object LIKE 'relay_guard.%';

-- where requests go
CREATE ROLE rg_serves;
SELECT relay_guard.grant_role('app', 'rg_serves') \g /dev/null
INSERT INTO relay_guard.upstream (name, url) VALUES ('shop', 'http://10.0.0.1:8000');
UPDATE relay_guard.upstream SET url = 'http://10.6.6.6:8000', cookies = true WHERE name = 'shop';
SELECT * FROM rg_logged() \gx
INSERT INTO relay_guard.route (method, path, query, run_as) VALUES ('GET', '/rg/audited', 'SELECT 1 AS one', 'rg_serves');
UPDATE relay_guard.route SET auth = 'none', rate = '{ip}' WHERE path = '/rg/audited';
SELECT action, resource_type, resource_id, old, new FROM rg_logged() \gx
-- what stays as it is
UPDATE relay_guard.route SET auth = auth, rate = rate WHERE path = '/rg/audited';
UPDATE relay_guard.upstream SET url = url;
SELECT * FROM rg_logged();
-- what is rolled back, wholly or in part, or refused
BEGIN;
UPDATE relay_guard.route SET auth = 'user' WHERE path = '/rg/audited';
ROLLBACK;
BEGIN;
UPDATE relay_guard.upstream SET url = 'http://10.0.0.2:8000' WHERE name = 'shop';
SAVEPOINT s;
UPDATE relay_guard.upstream SET url = 'http://10.0.0.3:8000' WHERE name = 'shop';
ROLLBACK TO s;
COMMIT;
UPDATE relay_guard.route SET query = 'SELECT nothing FROM nowhere' WHERE path = '/rg/audited';
SELECT action, resource_type, old, new FROM rg_logged();
DELETE FROM relay_guard.route WHERE path = '/rg/audited';
DELETE FROM relay_guard.upstream WHERE name = 'shop';
SELECT action, resource_type, resource_id, old ->> 'auth' AS auth, old ->> 'url' AS url, new FROM rg_logged();
DROP OWNED BY rg_serves; DROP ROLE rg_serves;

-- how much
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('rg_rate', 'user', 5, '1 min');
INSERT INTO relay_guard.rate_override VALUES ('rg_rate', 'role', 'admin', 500, '1 min');
UPDATE relay_guard.rate_override SET quota = 5000 WHERE policy = 'rg_rate';
UPDATE relay_guard.rate_policy SET enabled = false WHERE name = 'rg_rate';
DELETE FROM relay_guard.rate_policy WHERE name = 'rg_rate';
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('rg_quota', 'user', 5, 'day');
UPDATE relay_guard.quota_policy SET cap = 50 WHERE name = 'rg_quota';
DELETE FROM relay_guard.quota_policy WHERE name = 'rg_quota';
INSERT INTO relay_guard.budget_policy (name, scope, "window", hard) VALUES ('rg_budget', 'user', 'day', 5);
UPDATE relay_guard.budget_policy SET hard = NULL WHERE name = 'rg_budget';
DELETE FROM relay_guard.budget_policy WHERE name = 'rg_budget';
INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens) VALUES ('rg-model', 'p', 1, 2, 3, 4);
UPDATE relay_guard.model SET input_price = 0 WHERE name = 'rg-model';
DELETE FROM relay_guard.model WHERE name = 'rg-model';
SELECT * FROM rg_logged();
-- a shipped policy that an own one replaces
BEGIN;
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('exec', 'user', 5, '1 min');
SELECT action, resource_id, old -> 'quota' AS old, new -> 'quota' AS new FROM rg_logged();
ROLLBACK;
-- counting is no change
SELECT allowed FROM relay_guard.rate_take_key('api', '192.0.2.1');
SELECT * FROM rg_logged();

-- whose credentials
SELECT relay_guard.issuer_add('https://rg.example', 'app', 'rg|') \g /dev/null
UPDATE relay_guard.issuer SET roles = '{user,admin}' WHERE iss = 'https://rg.example';
SELECT relay_guard.jwt_key_add('https://rg.example', 'k1', '3fd0e5c79ba1462d8c0be47a15f69d28') \g /dev/null
SELECT relay_guard.jwt_public_key_add('https://rg.example', '{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}', 'k2') \g /dev/null
SELECT relay_guard.jwt_key_retire('https://rg.example', 'k1');
SELECT relay_guard.revoke(jti => 'rg-token') \g /dev/null
SELECT relay_guard.revoke(user_id => 'rg-user', before => '2026-01-01') \g /dev/null
SELECT relay_guard.revoke(user_id => 'rg-user') \g /dev/null
SELECT relay_guard.revoke(user_id => 'rg-user', before => '2026-01-01') \g /dev/null
DELETE FROM relay_guard.revocation WHERE value LIKE 'rg-%';
DELETE FROM relay_guard.issuer WHERE iss = 'https://rg.example';
DELETE FROM relay_guard.subject_prefix WHERE prefix = 'rg|';
SELECT * FROM rg_logged();
SELECT id AS key_id, key AS api_key FROM relay_guard.api_key_create('rg key', scopes => '{read}') \gset
SELECT relay_guard.api_key_revoke(:'key_id');
SELECT relay_guard.api_key_set('rg set', 'rgk_5d0a1f7b93c84e62b0f7d91c3a58e46f7720c1d9', 'api_key'), relay_guard.api_key_unset('rg set');
DELETE FROM relay_guard.api_key WHERE name = 'rg key';
SELECT * FROM rg_logged() WHERE resource_type = '~api_key';
BEGIN;
UPDATE relay_guard.api_key_pepper SET secret = secret || '\x00';
UPDATE relay_guard.installation SET hash_key = gen_random_uuid();
DELETE FROM relay_guard.usage_timeline;
SELECT relay_guard.usage_confirm_promotion();
SELECT action, resource_type, old, new FROM rg_logged();
ROLLBACK;

-- where messages go, and what signs them
INSERT INTO relay_guard.webhook_endpoint (name, url) VALUES ('rg', 'https://a.example/hook');
SELECT relay_guard.webhook_endpoint_secret_set('rg', 'whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGY=') \g /dev/null
SELECT relay_guard.webhook_endpoint_secret_set('rg') IS NOT NULL AS rotated;
UPDATE relay_guard.webhook_endpoint SET url = 'https://evil.example/' WHERE name = 'rg';
SELECT * FROM rg_logged();
-- sending changes nothing, unless the endpoint asks for no more
SELECT relay_guard.webhook_send('rg.sent', '{}') IS NOT NULL AS sent;
SELECT relay_guard.webhook_done(c.delivery, c.attempt, 500, NULL, NULL) FROM relay_guard.webhook_claim(1) c;
SELECT * FROM rg_logged();
UPDATE relay_guard.webhook_delivery SET next_at = now() - interval '1 s' WHERE state = 'pending';
SELECT relay_guard.webhook_done(c.delivery, c.attempt, 410, NULL, NULL) FROM relay_guard.webhook_claim(1) c;
SELECT relay_guard.webhook_enable('rg');
SELECT action, resource_type, resource_id, old - 'disabled_at' AS old, new - 'disabled_at' AS new FROM rg_logged();
DELETE FROM relay_guard.webhook_endpoint WHERE name = 'rg';
DELETE FROM relay_guard.webhook_message;
SELECT action, resource_type, resource_id, old, new FROM rg_logged();

-- who stays away from triggers, or empties a table, is found as well
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE relay_guard.budget_policy SET hard = NULL WHERE name = 'global_daily';
TRUNCATE relay_guard.revocation, relay_guard.rate_override;
SELECT * FROM rg_logged();
ROLLBACK;

-- no secret, sealed or hashed, is anywhere in it
SELECT bool_and(s.value = '[redacted]') AS redacted, count(s.value) > 6 AS there FROM relay_guard.audit_log l, jsonb_each_text(coalesce(l.old, '{}') || coalesce(l.new, '{}')) s
WHERE l.resource_type LIKE 'relay\_guard.%' AND s.key IN ('secret', 'hash', 'hash_key');
SELECT count(*) FROM relay_guard.audit_log l
WHERE concat(l.old, l.new, l.details, l.resource_id) ~ ('\\x|' || :'api_key' || '|3fd0e5c79ba1462d|5d0a1f7b93c84e62|q1HPm3uaNAP0svHB') AND l.resource_type LIKE 'relay\_guard.%';

-- an admin who is no superuser: whoever it is, is named, and stops none of it
CREATE ROLE rg_admin;
SELECT relay_guard.grant_role('admin', 'rg_admin'), relay_guard.grant_role('trusted', 'rg_admin') \g /dev/null
BEGIN;
SET LOCAL ROLE rg_admin;
SELECT relay_guard.assume('rg-ann', 'rg-w', 'admin', 'rg-request', '192.0.2.7') \g /dev/null
UPDATE relay_guard.budget_policy SET hard = 90000000 WHERE name = 'global_daily';
RESET ROLE;
SELECT actor, via, workspace_id, request_id, client_ip, session_role = session_user AS session, source, status, resource_id, old -> 'hard' AS old, new -> 'hard' AS new
FROM relay_guard.audit_log WHERE xid = pg_current_xact_id();
ROLLBACK;
SET ROLE rg_admin;
ALTER TABLE relay_guard.route DISABLE TRIGGER audit_configuration;
DROP TRIGGER audit_configuration ON relay_guard.route;
RESET ROLE;
-- not even as a table's owner
BEGIN;
ALTER TABLE relay_guard.upstream OWNER TO rg_admin;
SET LOCAL ROLE rg_admin;
SAVEPOINT s;
ALTER TABLE relay_guard.upstream DISABLE TRIGGER audit_configuration;
ROLLBACK TO s;
ALTER TABLE relay_guard.upstream DISABLE TRIGGER USER;
ROLLBACK TO s;
DROP TRIGGER audit_configuration ON relay_guard.upstream;
ROLLBACK TO s;
ALTER TRIGGER audit_configuration ON relay_guard.upstream RENAME TO rg_other;
ROLLBACK;
DROP OWNED BY rg_admin; DROP ROLE rg_admin;
-- a superuser can, and lint() tells while it lasts
ALTER TABLE relay_guard.upstream ENABLE TRIGGER audit_configuration;
SELECT severity, code, object, fix FROM relay_guard.lint() WHERE code = 'config_trigger';
SELECT fix FROM relay_guard.lint() WHERE code = 'config_trigger' \gexec
SELECT count(*) FROM relay_guard.lint() WHERE code = 'config_trigger';
SELECT * FROM relay_guard.audit_verify();
DROP FUNCTION rg_logged(); DROP FUNCTION rg_shown(jsonb); DROP TABLE rg_seen;
