
-- What gateways do about upstreams while the database is away.

CREATE FUNCTION proxy_fallback() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- All routes: one that stays closed must not be taken for an open one that fits its path as well
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'method', r.method, 'path', r.path, 'max_body', r.max_body,
        'own', r.method = ANY (u.open_methods), 'head', 'HEAD' = ANY (u.open_methods),
        'rate', u.open_rate, 'burst', u.open_burst,
        'base', substring(u.url FROM '^https?://[^/]+(.*)$'),
        'strip', length(u.strip_prefix) - length(replace(u.strip_prefix, '/', '')),
        'order', CASE WHEN u.name IS NOT NULL THEN '{"kind": "proxy", "cookies": false, "public": false, "headers": ["x-relay-fallback", "1"]}'::jsonb
            || jsonb_build_object('upstream', u.name, 'url', substring(u.url FROM '^https?://[^/]+'), 'prefix', u.strip_prefix,
                'connect_ms', (extract(epoch FROM u.connect_timeout) * 1000)::bigint,
                'answer_ms', (extract(epoch FROM u.answer_timeout) * 1000)::bigint,
                'idle_ms', (extract(epoch FROM u.idle_timeout) * 1000)::bigint,
                'max_response', coalesce(u.max_response, 0)) END))), '[]')::text
    FROM route r
    LEFT JOIN upstream u ON u.name = r.upstream AND u.fail_mode = 'open'
        AND (r.method = ANY (u.open_methods) OR (r.method = 'GET' AND 'HEAD' = ANY (u.open_methods)))
        AND (u.open_protected OR (r.auth IN ('none', 'optional') AND cardinality(r.scopes) = 0))
    WHERE EXISTS (SELECT FROM upstream o WHERE o.fail_mode = 'open');
END;
COMMENT ON FUNCTION proxy_fallback() IS
'All routes, as JSON, with what gateways need of those that stay open while the database is away; an empty list when there are none.';
