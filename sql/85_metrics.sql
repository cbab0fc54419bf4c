-- What a monitoring system reads; each part of the extension adds its own.

CREATE FUNCTION metrics(OUT name text, OUT type text, OUT help text,
	OUT labels jsonb, OUT value float8)
RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT name, type, help, labels, value FROM relay_guard.rate_metrics()
UNION ALL SELECT name, type, help, labels, value FROM relay_guard.decrypt_metrics()
UNION ALL SELECT name, type, help, labels, value FROM relay_guard.audit_metrics()
UNION ALL SELECT name, type, help, labels, value FROM relay_guard.usage_metrics()
UNION ALL SELECT name, type, help, labels, value FROM relay_guard.webhook_metrics()
ORDER BY name, labels
$$;
COMMENT ON FUNCTION metrics() IS
'Samples for Prometheus: name, type (counter or gauge), help, labels and value; rows of one name stand together.';
