
-- What a route's statement may say beside its rows.

CREATE FUNCTION response_header(name text, value text) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_response_header';
COMMENT ON FUNCTION response_header(text, text) IS
'In a route: adds a header line to the answer: Content-Disposition, Content-Language, Deprecation, Last-Modified, Link, Location, Retry-After, Sunset, or a name of the application''s own that begins with X-.';

CREATE FUNCTION gateway_flag(flag text) RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_gateway_flag';
COMMENT ON FUNCTION gateway_flag(text) IS
'In a route: whether the gateway has that flag for the request; dev: ALLOW_DEV_ROUTES is 1. False elsewhere.';
