-- Rows as JSON: what serve() answers is what json_agg() makes of the same
-- statement.
CREATE ROLE json_out_app;
CREATE TYPE json_out_mood AS ENUM ('calm', 'b "q"');
CREATE DOMAIN json_out_count AS int CHECK (VALUE > 0);
CREATE DOMAIN json_out_list AS int[];
CREATE TYPE json_out_pair AS (a int, b text);
CREATE TABLE json_out_dropped (a int, b int, c text);
ALTER TABLE json_out_dropped DROP COLUMN b;
INSERT INTO json_out_dropped VALUES (1, 'x');
CREATE TABLE json_out_toast (id int, a text, b text, j jsonb, js json, n numeric);
ALTER TABLE json_out_toast ALTER a SET STORAGE EXTERNAL, ALTER j SET STORAGE EXTERNAL;
INSERT INTO json_out_toast
SELECT g, repeat(md5(g::text) || E'"\\\n', 1000), repeat(E'a"\t', 10000),
	jsonb_build_object('k', repeat(md5(g::text), 500)), json_build_object('k', repeat('é"', 3000)),
	(repeat('123456789', g * 20) || '.5')::numeric
FROM generate_series(1, 5) AS g;
GRANT SELECT ON json_out_dropped, json_out_toast TO json_out_app;

-- A type that to_json() renders through its cast to json
CREATE TYPE json_out_point AS ENUM ('origin');
CREATE FUNCTION json_out_point_json(json_out_point) RETURNS json
LANGUAGE sql IMMUTABLE AS $$ SELECT '{"x": 0}'::json $$;
CREATE CAST (json_out_point AS json) WITH FUNCTION json_out_point_json(json_out_point);

-- Serves a statement, then asks json_agg() for the same
CREATE FUNCTION json_out_body(statement text, result text DEFAULT 'rows', max_response int DEFAULT 8388608)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer record;
BEGIN
	DELETE FROM relay_guard.route WHERE path = '/json_out';
	INSERT INTO relay_guard.route (method, path, query, auth, result, result_key, max_response, run_as, search_path)
	VALUES ('GET', '/json_out', statement, 'none', result, 'items', max_response, 'json_out_app', 'pg_catalog, public, pg_temp');
	SELECT * INTO answer FROM relay_guard.serve('GET', '/json_out', client_ip => '192.0.2.1');
	RETURN convert_from(answer.body, 'UTF8');
END
$$;
CREATE FUNCTION json_out_compare(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	served jsonb := json_out_body(statement)::jsonb -> 'items';
	wanted jsonb;
BEGIN
	EXECUTE format('SELECT coalesce(json_agg(row_of), ''[]'')::jsonb FROM (%s) AS row_of', statement) INTO wanted;
	RETURN CASE WHEN served = wanted THEN 'same' ELSE format('%s instead of %s', left(served::text, 200), left(wanted::text, 200)) END;
END
$$;

SELECT what, json_out_compare(statement) FROM (VALUES
	('integers', $$SELECT g::int2 AS a, -g::int4 AS b, (-9223372036854775808)::int8 AS c, (-32768)::int2 AS d, NULL::int AS e FROM generate_series(1, 3) AS g$$),
	('booleans', $$SELECT true AS a, false AS b, NULL::bool AS c$$),
	('every character', $$SELECT chr(g) AS a, repeat(chr(g), 9) || '"\' || chr(g) AS b FROM generate_series(1, 65535) AS g WHERE g NOT BETWEEN 55296 AND 57343$$),
	('text at every length', $$SELECT repeat('abcdefg', g) || chr(g % 32 + 1) || repeat('x', g) AS a, 'é"\' || repeat('ü', g) AS b FROM generate_series(1, 200) AS g$$),
	('nothing but escapes', $$SELECT repeat(chr(1), g) AS a, repeat('"', g) AS b FROM generate_series(1, 3000, 7) AS g$$),
	('kinds of text', $$SELECT 'ab'::varchar(10) AS a, 'ab'::char(5) AS b, 'nm'::name AS c, 'x'::"char" AS d$$),
	('floats', $$SELECT 1.5::float8 AS a, 'NaN'::float8 AS b, 'Infinity'::float8 AS c, '-Infinity'::float4 AS d, 1e300::float8 AS e, 1e-300::float8 AS f, 0.1::float4 AS g, -0.0::float8 AS h, 'NaN'::float4 AS i$$),
	('numerics', $$SELECT 1.50 AS a, 'NaN'::numeric AS b, 'Infinity'::numeric AS c, '-Infinity'::numeric AS d, 1e-30 AS e, 123456789012345678901234567890.5 AS f, -0.5 AS g, 0::numeric AS h$$),
	('uuid', $$SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS a$$),
	('json', $$SELECT '{"a": [1, 2, {"b": null}], "c": "\u00e9\n"}'::jsonb AS a, 'null'::jsonb AS b, '"s"'::jsonb AS c, '{"k": 1}'::json AS d, '3'::jsonb AS e$$),
	('arrays', $$SELECT array[1, 2] AS a, array['x"y', NULL] AS b, array[[1, 2], [3, 4]] AS c, '{}'::int[] AS d, array['{"a": 1}'::jsonb] AS e, array[date '2026-01-01'] AS f$$),
	('composites', $$SELECT row(1, 'x"')::json_out_pair AS a, array[row(1, 'y')::json_out_pair] AS b, row(1, 2) AS c, row(1, row(2, 'z')::json_out_pair) AS d$$),
	('a dropped column', $$SELECT * FROM json_out_dropped$$),
	('a dropped column in a row', $$SELECT json_out_dropped AS r FROM json_out_dropped$$),
	('domains and enums', $$SELECT 5::json_out_count AS a, 'b "q"'::json_out_mood AS b, '{1,2}'::json_out_list AS c, array['calm'::json_out_mood] AS d$$),
	('a cast to json', $$SELECT 'origin'::json_out_point AS a, array['origin'::json_out_point] AS b, NULL::json_out_point AS c$$),
	('bytea', $$SELECT '\xdeadbeef'::bytea AS a$$),
	('dates and times', $$SELECT date '2026-01-02' AS a, timestamp '2026-01-02 03:04:05.123' AS b, time '03:04' AS c, interval '1 day 2h' AS d, timetz '03:04+02' AS e$$),
	('odd dates', $$SELECT 'infinity'::date AS a, '-infinity'::timestamp AS b, date '0044-03-15 BC' AS c, date '9999-12-31' AS d, date '10000-01-01' AS e, timestamp '0001-01-01' AS f, timestamp '9999-12-31 23:59:59.999999' AS g, timestamp '0001-12-31 BC' AS h$$),
	('dates of all years', $$SELECT d::date AS a, d + interval '12:34:56.7' AS b FROM generate_series(timestamp '0001-01-01', '9999-12-31', interval '997 days 5 hours') AS d$$),
	('other types', $$SELECT '1.2.3.4'::inet AS a, point(1, 2) AS b, int4range(1, 5) AS c, 'a'::tsvector AS d, 42::oid AS e, 'pg_class'::regclass AS f, b'101' AS g, int4multirange(int4range(1, 2)) AS h$$),
	('long and stored apart', $$SELECT * FROM json_out_toast ORDER BY id$$),
	('no rows', $$SELECT 1 AS a WHERE false$$),
	('no columns', $$SELECT FROM generate_series(1, 3)$$),
	('odd names', $$SELECT 1 AS "a""b\c", 2 AS "é", 3 AS "?column?"$$)
) AS cases (what, statement);

-- timestamptz is always in UTC
SET timezone = 'Asia/Kolkata';
SELECT json_out_body($$SELECT timestamptz '2026-01-02 03:04:05.12+00' AS a, timestamptz '1969-12-31 23:59:59.5+00' AS b,
	timestamptz '2000-02-29 23:59:59.999999+00' AS c, timestamptz '0001-01-01 00:00+00' AS d,
	timestamptz '9999-12-31 23:59:59+00' AS e, timestamptz '10000-01-01 00:00+00' AS f,
	timestamptz 'infinity' AS g, timestamptz '-infinity' AS h$$);
SELECT count(*), bool_and(extract(epoch FROM (item ->> 'iso')::timestamptz) = (item ->> 'epoch')::numeric AND item ->> 'iso' LIKE '%Z') AS all_right
FROM jsonb_array_elements(json_out_body($$SELECT t AS iso, extract(epoch FROM t) AS epoch
	FROM generate_series(timestamptz '0001-01-02 00:00+00', '9999-12-30 00:00+00', interval '613 days 7:11:13.000123') AS t$$)::jsonb -> 'items') AS item;
RESET timezone;

-- The other results
SELECT json_out_body($$SELECT 1 AS a, 'x' AS b$$, 'row'), json_out_body($$SELECT 'a"b'$$, 'value'),
	json_out_body($$SELECT NULL::int$$, 'value'), json_out_body($$SELECT '{"a": [1]}'::jsonb$$, 'value');
\set VERBOSITY terse
SELECT json_out_body('SELECT g FROM generate_series(1, 2) AS g', 'row');
SELECT json_out_body('SELECT g FROM generate_series(1, 2) AS g', 'value');

-- Two columns of one name are refused when the route is made
SELECT json_out_body('SELECT 1 AS a, 2 AS a');

-- No answer grows beyond max_response, whatever it consists of
\set VERBOSITY sqlstate
SELECT length(json_out_body($$SELECT 1 AS a$$, 'rows', 7));
SELECT json_out_body($$SELECT 1 AS a$$, 'rows', 6);
SELECT json_out_body($$SELECT repeat('x', 100000) AS a$$, 'rows', 1000);
SELECT json_out_body('SELECT b FROM json_out_toast', 'rows', 1000);
SELECT json_out_body('SELECT j FROM json_out_toast', 'rows', 1000);
SELECT json_out_body('SELECT js FROM json_out_toast', 'rows', 1000);
SELECT json_out_body('SELECT array_agg(g) AS a FROM generate_series(1, 1000) AS g', 'rows', 1000);
SELECT json_out_body('SELECT g FROM generate_series(1, 100000000) AS g', 'rows', 1000);
\set VERBOSITY default

DELETE FROM relay_guard.route WHERE path = '/json_out';
DROP FUNCTION json_out_compare, json_out_body;
DROP TABLE json_out_dropped, json_out_toast;
DROP CAST (json_out_point AS json);
DROP FUNCTION json_out_point_json;
DROP TYPE json_out_point, json_out_pair, json_out_mood;
DROP DOMAIN json_out_count, json_out_list;
DROP ROLE json_out_app;
