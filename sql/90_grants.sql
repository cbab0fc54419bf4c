
-- Who may do what.  PUBLIC gets the readers and authenticate(), nothing else.

CREATE FUNCTION grant_role(kind text, role regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee CONSTANT text := role::text;
    lint CONSTANT text := (SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc
                           WHERE pronamespace = 'relay_guard'::regnamespace AND proname ~ '^lint(_|$)');
    -- What encrypt_column() calls in its caller's name
    encrypting CONSTANT text := (SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc
                                 WHERE pronamespace = 'relay_guard'::regnamespace
                                   AND (proname ~ '^(check_encrypt|decrypted_view|decrypting|create_decrypted|drop_decrypted|encrypted_|set_view_)'
                                        OR proname = ANY ('{aad_expression,check_aad_columns,check_plaintext_unused,encrypt_values,envelope_check,grants_for,guard_column,has_unique_index_within,replace_decrypted_view,require_opening,stored_column}')));
BEGIN
    CASE kind
    WHEN 'gateway' THEN
        IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE oid = role) THEN
            RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
                MESSAGE = format('role %s is a superuser or bypasses row-level security', grantee),
                HINT = 'Give the gateway a role of its own that can do nothing but log in.';
        END IF;
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.serve(bytea), relay_guard.proxy_fallback(), relay_guard.ready(), relay_guard.metrics(),
            relay_guard.webhook_claim(int, interval), relay_guard.webhook_done(bigint, int, int, text, int),
            relay_guard.completion_settle(uuid, bigint, bigint), relay_guard.completion_release(uuid), relay_guard.completion_extend(uuid, interval),
            relay_guard.completion_events(bigint, uuid, text[], boolean, bigint),
            relay_guard.event_wait(bigint), relay_guard.event_read(bigint, uuid, bigint, int), relay_guard.event_state(bigint[]),
            relay_guard.has_leading_index(regclass, name[]), relay_guard.read_audited_tables(),
            relay_guard.audit_partitions(), relay_guard.month_partitions(regclass), relay_guard.audit_head(), %s TO %s', lint, grantee);
    WHEN 'app' THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.fail(int, text, text, text), relay_guard.openapi(jsonb), relay_guard.session_end(text), relay_guard.csrf_token(),
            relay_guard.require_own_site(), relay_guard.response_header(text, text), relay_guard.gateway_flag(text), relay_guard.audit_event(text, text, text, jsonb, text),
            relay_guard.rate_take(text, int), relay_guard.rate_take_all(text[]),
            relay_guard.rate_peek(text), relay_guard.rate_require(text, int),
            relay_guard.quota_take(text, bigint), relay_guard.quota_require(text, bigint), relay_guard.quota_status(text),
            relay_guard.budget_reserve(text, bigint, bigint, interval), relay_guard.budget_extend(uuid, bigint, interval),
            relay_guard.budget_settle(uuid, bigint, bigint), relay_guard.budget_release(uuid),
            relay_guard.budget_charge(text, bigint, bigint, bigint), relay_guard.budget_status(text),
            relay_guard.usage_own(), relay_guard.usd(bigint), relay_guard.cache_invalidate(text),
            relay_guard.event_open(text), relay_guard.event_append(text, text, text), relay_guard.event_end(text), relay_guard.event_last(text),
            relay_guard.completion_stream(uuid), relay_guard.completion_models(),
            relay_guard.encrypt(text, bytea), relay_guard.encrypt(bytea, bytea), relay_guard.encrypt(jsonb, bytea),
            relay_guard.decrypt_text(bytea, bytea), relay_guard.decrypt_bytea(bytea, bytea),
            relay_guard.decrypt_jsonb(bytea, bytea), relay_guard.try_decrypt_text(bytea, bytea),
            relay_guard.try_decrypt_bytea(bytea, bytea), relay_guard.try_decrypt_jsonb(bytea, bytea),
            relay_guard.opened_text(bytea, bytea), relay_guard.opened_bytea(bytea, bytea),
            relay_guard.opened_jsonb(bytea, bytea), relay_guard.opens(bytea, bytea),
            relay_guard.webhook_sign(text, text, bytea, timestamptz),
            relay_guard.webhook_verify(text, text, text, text, bytea, interval),
            relay_guard.webhook_verify_body(text, text, bytea),
            relay_guard.webhook_verify_slack(text, text, text, bytea, interval) TO %s', grantee);
    WHEN 'trusted' THEN
        PERFORM relay_guard.grant_role('app', role);
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.assume(text, text, text, text, inet),
            relay_guard.issue_token(text, text, text, text[], interval),
            relay_guard.session_start(text, text, text, interval, interval), relay_guard.session_rotate(text, text),
            relay_guard.session_revoke(uuid), relay_guard.login_refused(text),
            relay_guard.password_hash(text), relay_guard.password_verify(text, text),
            relay_guard.revoke(text, text, text, timestamptz),
            relay_guard.rate_take_key(text, text, int),
            relay_guard.serve(text, text, text, text[], bytea, inet, text) TO %s', grantee);
    WHEN 'admin' THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.issuer_add(text, text, text, text[], interval),
            relay_guard.jwt_key_add(text, text, text), relay_guard.jwt_key_retire(text, text),
            relay_guard.revoke(text, text, text, timestamptz),
            relay_guard.api_key_create(text, text, text[], text[], timestamptz, text),
            relay_guard.api_key_revoke(uuid), relay_guard.session_revoke(uuid), relay_guard.session_expire(int), relay_guard.api_key_set(text, text, text),
            relay_guard.api_key_unset(text), relay_guard.reencrypt(bytea, bytea),
            relay_guard.quota_replay(jsonb, timestamptz), relay_guard.budget_replay(jsonb, timestamptz),
            relay_guard.usage_rebuild(), relay_guard.usage_confirm_promotion(),
            relay_guard.webhook_secret_set(text, text, interval), relay_guard.webhook_secret_drop(text),
            relay_guard.jwt_public_key_add(text, jsonb, text), relay_guard.jwks_import(text, jsonb),
            relay_guard.protect(regclass, name, name, regrole, boolean), relay_guard.unprotect(regclass),
            relay_guard.identity_match(regclass, name, text), relay_guard.revoke_beyond_policies(regclass),
            relay_guard.has_leading_index(regclass, name[]),
            relay_guard.ensure_leading_index(regclass, name[]), relay_guard.ready(),
            relay_guard.read_counters(), relay_guard.read_counter_status(),
            relay_guard.read_accounts(), relay_guard.read_usage_status(),
            relay_guard.read_rate_totals(), relay_guard.rate_address(text), relay_guard.metrics(),
            relay_guard.read_keyring(), relay_guard.rekey_secrets(), %s TO %s', lint, grantee);
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.audit_seal(), relay_guard.audit_head(), relay_guard.usage_maintain(),
            relay_guard.usage_roll(), relay_guard.usage_day(timestamptz), relay_guard.check_ledger(), relay_guard.check_ledger(boolean) TO %s', grantee);
        EXECUTE format('GRANT SELECT ON relay_guard.usage_ledger, relay_guard.usage_total, relay_guard.usage_round, relay_guard.open_reservation,
            relay_guard.usage_by_day, relay_guard.usage_by_workspace, relay_guard.usage_by_user, relay_guard.usage_by_model TO %s', grantee);
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.encrypt_column(regclass, name, name[], text, regtype),
            relay_guard.encrypt_column_stop(regclass, name), relay_guard.encrypt_column_refresh(regclass), %s,
            relay_guard.encrypt(text, bytea), relay_guard.encrypt(bytea, bytea), relay_guard.encrypt(jsonb, bytea),
            relay_guard.decrypt_text(bytea, bytea), relay_guard.decrypt_bytea(bytea, bytea),
            relay_guard.decrypt_jsonb(bytea, bytea), relay_guard.opens(bytea, bytea) TO %s', encrypting, grantee);
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.audit(regclass, text, name[], name[], name[]),
            relay_guard.audit_stop(regclass), relay_guard.audit_maintain(), relay_guard.audit_partitions(), relay_guard.month_partitions(regclass),
            relay_guard.audit_install(regclass, text, name[], name[], name[]), relay_guard.audit_change(),
            relay_guard.primary_key(regclass), relay_guard.check_audit_columns(regclass, name[], text),
            relay_guard.check_audit_key(regclass, name[], name[], name[]),
            relay_guard.read_audited_tables() TO %s', grantee);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON relay_guard.route, relay_guard.rate_policy,
            relay_guard.rate_override TO %s', grantee);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON relay_guard.quota_policy, relay_guard.budget_policy,
            relay_guard.model TO %s', grantee);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON relay_guard.upstream TO %s', grantee);
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.upstream_secret_set(text, text, interval) TO %s', grantee);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON relay_guard.webhook_endpoint TO %s', grantee);
        EXECUTE format('GRANT SELECT ON relay_guard.webhook_history TO %s', grantee);
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.webhook_endpoint_secret_set(text, text, interval), relay_guard.webhook_send(text, jsonb, text),
            relay_guard.webhook_replay(bigint), relay_guard.webhook_replay_failed(text, timestamptz), relay_guard.webhook_enable(text),
            relay_guard.webhook_status() TO %s', grantee);
        EXECUTE format('GRANT SELECT ON relay_guard.model_version TO %s', grantee);
        EXECUTE format('GRANT SELECT, UPDATE, DELETE ON relay_guard.issuer TO %s', grantee);
        EXECUTE format('GRANT SELECT (id, name, role, workspace, scopes, rate, created_at, expires_at, revoked_at) ON relay_guard.api_key TO %s', grantee);
        EXECUTE format('GRANT SELECT, DELETE ON relay_guard.revocation TO %s', grantee);
        EXECUTE format('GRANT SELECT (id, user_id, workspace_id, role, idle, created_at, expires_at, seen_at, ended_at) ON relay_guard.session TO %s', grantee);
        EXECUTE format('GRANT SELECT (iss, kid, alg, public_key, source, created_at, retired_at), DELETE ON relay_guard.jwt_key TO %s', grantee);
        EXECUTE format('GRANT SELECT (name, version, created_at, expires_at) ON relay_guard.webhook_secret TO %s', grantee);
        EXECUTE format('GRANT SELECT ON relay_guard.account, relay_guard.budget_alert, relay_guard.usage_status TO %s', grantee);
        EXECUTE format('GRANT SELECT ON relay_guard.counter, relay_guard.counter_status, relay_guard.rate_status,
            relay_guard.keyring_status, relay_guard.encrypted_column, relay_guard.rekey_progress,
            relay_guard.audited_table TO %s', grantee);
        EXECUTE format('GRANT EXECUTE ON PROCEDURE relay_guard.rekey(regclass, name, integer), relay_guard.rekey_all(integer),
            relay_guard.audit_retire(timestamptz) TO %s', grantee);
        PERFORM relay_guard.grant_role('auditor', role);
    WHEN 'auditor' THEN
        EXECUTE format('GRANT SELECT ON relay_guard.audit_log, relay_guard.audit_seal TO %s', grantee);
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.audit_head(), relay_guard.budget_report(),
            relay_guard.audit_verify(timestamptz, timestamptz) TO %s', grantee);
    WHEN 'keys' THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION relay_guard.jwks_import(text, jsonb) TO %s', grantee);
    ELSE
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('there is no kind of role "%s"', kind),
            HINT = 'Kinds are gateway, app, trusted, admin, auditor and keys.';
    END CASE;
END
$$;
COMMENT ON FUNCTION grant_role(text, regrole) IS
'Gives a role what its kind needs: gateway (serve), app (what routes run as), trusted (assume, issue_token), admin (routes, policies, issuers, protect), auditor (reads the audit log as its identity may, verifies it, and sees what language models have cost), keys (jwks_import alone: whoever fetches the key sets).';

-- From everybody: ALTER DEFAULT PRIVILEGES may have granted to anyone
DO $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('REVOKE ALL ON %s %s FROM %s', o.kind, o.name,
                      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
        FROM (SELECT 'ROUTINE' AS kind, p.oid::regprocedure::text AS name, p.proowner AS owner,
                     coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
              FROM pg_proc p WHERE p.pronamespace = 'relay_guard'::regnamespace
              UNION ALL
              SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text, c.relowner, c.relacl
              FROM pg_class c WHERE c.relnamespace = 'relay_guard'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')) o,
             aclexplode(o.acl) a
        WHERE a.grantee <> o.owner
        GROUP BY o.kind, o.name, a.grantee
    LOOP
        EXECUTE command;
    END LOOP;
END
$$;
GRANT USAGE ON SCHEMA relay_guard TO PUBLIC;
GRANT EXECUTE ON FUNCTION user_id(), user_uuid(), user_bigint(), workspace_id(), workspace_uuid(),
    role(), via(), request_id(), client_ip(), has_scope(text), claims(),
    aad(text[]), is_envelope(bytea), key_id(bytea), usage_window(text, timestamptz),
    authenticate(text, text, inet), authenticate_api_key(text, text, inet) TO PUBLIC;
