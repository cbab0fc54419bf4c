
-- Quotas: so many units for each user, address, ... in a window of the calendar.

CREATE FUNCTION quota_take(policy text, n bigint DEFAULT 1,
	OUT allowed boolean, OUT "limit" bigint, OUT used bigint, OUT remaining bigint, OUT resets_at timestamptz)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_quota_take';
COMMENT ON FUNCTION quota_take(text, bigint) IS
'Takes n units from a quota for the current identity, if they fit; a rollback gives them back. resets_at is NULL for one that does not come back.';

CREATE FUNCTION quota_require(policy text, n bigint DEFAULT 1,
	OUT allowed boolean, OUT "limit" bigint, OUT used bigint, OUT remaining bigint, OUT resets_at timestamptz)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_quota_require';
COMMENT ON FUNCTION quota_require(text, bigint) IS
'Like quota_take(), but a refusal is error RG429.';

CREATE FUNCTION quota_status(policy text,
	OUT allowed boolean, OUT "limit" bigint, OUT used bigint, OUT remaining bigint, OUT resets_at timestamptz)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_quota_status';
COMMENT ON FUNCTION quota_status(text) IS
'What a quota holds for the current identity, and whether one unit more fits; takes nothing.';
