
-- The identity of the transaction: readers, and assume() for trusted roles.

CREATE FUNCTION user_id() RETURNS text
LANGUAGE C STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_user_id';
COMMENT ON FUNCTION user_id() IS
'The verified user of this transaction; NULL without an identity.';

CREATE FUNCTION user_uuid() RETURNS uuid
LANGUAGE C STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_user_uuid';
COMMENT ON FUNCTION user_uuid() IS
'The user id where it is a uuid in canonical form and not of version 5, else the version 5 uuid of it.';

CREATE FUNCTION user_bigint() RETURNS bigint
LANGUAGE C STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_user_bigint';
COMMENT ON FUNCTION user_bigint() IS
'The user id where it is a whole number in canonical form, else NULL.';

CREATE FUNCTION workspace_id() RETURNS text
LANGUAGE C STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_workspace_id';
COMMENT ON FUNCTION workspace_id() IS
'The workspace (tenant) of this transaction''s identity, or NULL.';

CREATE FUNCTION workspace_uuid() RETURNS uuid
LANGUAGE C STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_workspace_uuid';
COMMENT ON FUNCTION workspace_uuid() IS
'The workspace where it is a uuid in canonical form and not of version 5, else the version 5 uuid of it.';

CREATE FUNCTION role() RETURNS text
LANGUAGE C STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_role';
COMMENT ON FUNCTION role() IS
'The role of this transaction''s identity: user, anonymous, admin, ...';

CREATE FUNCTION via() RETURNS text
LANGUAGE C STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_via';
COMMENT ON FUNCTION via() IS
'How the identity came: token, api_key or session (verified here), or assume (said by trusted code).';

CREATE FUNCTION request_id() RETURNS text
LANGUAGE C STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_request_id';
COMMENT ON FUNCTION request_id() IS
'The request that this transaction serves, or NULL.';

CREATE FUNCTION client_ip() RETURNS inet
LANGUAGE C STABLE PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_client_ip';
COMMENT ON FUNCTION client_ip() IS
'The address that the request came from, or NULL.';

CREATE FUNCTION has_scope(scope text) RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'relay_guard_has_scope';
COMMENT ON FUNCTION has_scope(text) IS
'Whether the token of this transaction grants that scope.';

CREATE FUNCTION claims() RETURNS jsonb
LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_claims';
COMMENT ON FUNCTION claims() IS
'All claims of the verified token; NULL when the identity was assumed.';

CREATE FUNCTION assume(user_id text, workspace_id text DEFAULT NULL, role text DEFAULT 'user',
                       request_id text DEFAULT NULL, client_ip inet DEFAULT NULL) RETURNS void
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_assume';
COMMENT ON FUNCTION assume(text, text, text, text, inet) IS
'Gives the transaction an identity without a token; for roles of grant_role(''trusted'').';
