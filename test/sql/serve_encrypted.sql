-- To a route's client a value that does not open is a row that is not there.
\set SHOW_CONTEXT never
CREATE ROLE rg_app;
CREATE TABLE rg_hidden_value (id int, value bytea);
INSERT INTO rg_hidden_value VALUES (1, relay_guard.encrypt('one', relay_guard.aad('1'))), (2, relay_guard.encrypt('two', relay_guard.aad('1')));
GRANT SELECT ON rg_hidden_value TO rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
CREATE FUNCTION rg_catches(id int, value bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text;
BEGIN
    RETURN relay_guard.decrypt_text(value, relay_guard.aad(id::text));
EXCEPTION WHEN SQLSTATE 'RG404' THEN
    GET STACKED DIAGNOSTICS code = PG_EXCEPTION_DETAIL;
    RETURN code;
END $$;
INSERT INTO relay_guard.route (method, path, query, auth, result, parameters, run_as)
SELECT 'GET', path || '/{id}', query, 'none', 'row',
	'[{"name":"id","in":"path","required":true,"schema":{"type":"integer"}}]', 'rg_app'
FROM (VALUES
	('/opened', 'SELECT relay_guard.decrypt_text(value, relay_guard.aad(id::text)) AS v FROM public.rg_hidden_value WHERE id = request.id'),
	('/caught', 'SELECT public.rg_catches(id, value) AS v FROM public.rg_hidden_value WHERE id = request.id'),
	('/failed', 'SELECT relay_guard.fail(404, ''value_of_mine'', ''mine'', ''Ask.'') WHERE request.id > 0'),
	('/keyless', 'SELECT relay_guard.decrypt_text(set_byte(value, 4, 99), ''x'') AS v FROM public.rg_hidden_value WHERE id = request.id')
) AS r (path, query);
CREATE FUNCTION rg_fetch(path text) RETURNS text LANGUAGE sql AS
$$ SELECT status || ' ' || convert_from(body, 'UTF8') FROM relay_guard.serve('GET', path) $$;

SELECT rg_fetch('/opened/1');
-- the same words, whichever way it is not there
SELECT rg_fetch('/opened/3');
SELECT rg_fetch('/opened/2');
-- a route may tell the two apart, and have refusals of its own
SELECT rg_fetch('/caught/2');
SELECT rg_fetch('/failed/1');
-- a key that is missing is nothing for clients: no code
SELECT rg_fetch('/keyless/1');
-- the session goes on
SELECT rg_fetch('/opened/1');
DROP TABLE rg_hidden_value;
DROP FUNCTION rg_fetch(text), rg_catches(int, bytea);
DELETE FROM relay_guard.route;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
