
-- Cached answers: the gateway keeps them, and these end them.

CREATE FUNCTION cache_invalidate(pattern text) RETURNS void
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_cache_invalidate';
COMMENT ON FUNCTION cache_invalidate(text) IS
'Ends the cached answers of routes under a tag of cache_tags, or under all that begin as in files:*, when the transaction commits, on all gateways.';
