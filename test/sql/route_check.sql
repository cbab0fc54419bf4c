-- What may become a route, and what is refused with a position and a hint.
CREATE ROLE rg_app;
CREATE ROLE rg_author;
CREATE ROLE rg_bypass BYPASSRLS;
CREATE ROLE rg_maker CREATEROLE;
CREATE ROLE rg_files;
GRANT pg_read_server_files TO rg_files;
CREATE ROLE rg_owner;
CREATE TABLE rg_note (id int PRIMARY KEY, user_id text, body text);
ALTER TABLE rg_note OWNER TO rg_owner;
ALTER TABLE rg_note ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON rg_note TO rg_app;
CREATE FUNCTION rg_add(query text, run_as text DEFAULT 'rg_app', result text DEFAULT 'row',
                       parameters jsonb DEFAULT '[{"name":"id","in":"query","schema":{"type":"integer"}}]',
                       keyset name[] DEFAULT '{}', path text DEFAULT '/t', rate text[] DEFAULT '{}',
                       quota text[] DEFAULT '{}', budget text DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO relay_guard.route (method, path, query, auth, run_as, result, result_key, parameters, keyset, rate, quota, budget)
    VALUES ('GET', $6, $1, 'none', $2::regrole, $3, CASE $3 WHEN 'rows' THEN 'items' END, $4, $5, $7, $8, $9)
$$;

-- statements
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT rg_add('SELECT request.nope');
SELECT rg_add('SELEC 1');
SELECT rg_add('SELECT 1 AS a; SELECT 2');
SELECT rg_add('');
\set VERBOSITY terse
SELECT rg_add('CREATE TABLE rg_x (a int)');
SELECT rg_add('SELECT 1 AS a INTO rg_x');
SELECT rg_add('COPY rg_note TO STDOUT');
SELECT rg_add('SET work_mem = ''1GB''');
SELECT rg_add('SELECT request.id FROM public.rg_note request');
SELECT rg_add('WITH request AS (SELECT 1 AS id) SELECT id FROM request');
SELECT rg_add('SELECT 1 AS a, 2 AS a');
SELECT rg_add('DELETE FROM public.rg_note', result => 'row');
SELECT rg_add('SELECT id FROM rg_note');

-- roles
SELECT rg_add('SELECT 1 AS a', current_user);
SELECT rg_add('SELECT 1 AS a', 'rg_bypass');
SELECT rg_add('SELECT 1 AS a', 'rg_maker');
SELECT rg_add('SELECT 1 AS a', 'rg_files');
SELECT rg_add('SELECT 1 AS a', 'rg_owner');
GRANT rg_owner TO rg_app;
SELECT rg_add('SELECT 1 AS a', 'rg_app');
REVOKE rg_owner FROM rg_app;
SELECT relay_guard.grant_role('admin', 'rg_author');
SET ROLE rg_author;
INSERT INTO relay_guard.route (method, path, query, auth, run_as, result) VALUES ('GET', '/t', 'SELECT 1 AS a', 'none', 'rg_app', 'row');
-- nor with the check of statements switched off, as anyone may
SET check_function_bodies = off;
INSERT INTO relay_guard.route (method, path, query, auth, run_as, result) VALUES ('GET', '/t', 'SELECT 1 AS a', 'none', 'rg_app', 'row');
RESET check_function_bodies;
RESET ROLE;
SELECT rg_add('SELECT 1 AS a', 'pg_database_owner');
SELECT rg_add('SELECT 1 AS a', 'pg_read_all_data');

-- declarations
SELECT rg_add('SELECT 1 AS a', parameters => '[{"name":"a","in":"query","schema":{"type":"integer","anyOf":[]}}]');
SELECT rg_add('SELECT 1 AS a', parameters => '[{"name":"id","in":"path","required":true,"schema":{"type":"integer"}}]');
SELECT rg_add('SELECT 1 AS a', path => '/t/{id}', parameters => '[]');
SELECT rg_add('SELECT 1 AS a', path => 't');
SELECT rg_add('SELECT 1 AS a', rate => '{nope}');
SELECT rg_add('SELECT 1 AS a', quota => '{anon_hour,nope}');
SELECT rg_add('SELECT 1 AS a', quota => '{anon_hour,NULL}');
SELECT rg_add('SELECT 1 AS a', quota => '{anon_hour,anon_hour,anon_hour,anon_hour,anon_hour}');
SELECT rg_add('SELECT 1 AS a', budget => 'nope');
SELECT rg_add('SELECT 1 AS a', budget => '');

-- pages
SELECT rg_add('SELECT id FROM public.rg_note', result => 'rows', keyset => '{id}');
\set limit '[{"name":"limit","in":"query","schema":{"type":"integer","default":2}}]'
SELECT rg_add('SELECT id FROM public.rg_note LIMIT request.limit', result => 'rows', keyset => '{id}', parameters => :'limit');
SELECT rg_add('SELECT body FROM public.rg_note WHERE id > request.after_id LIMIT request.limit', result => 'rows', keyset => '{id}', parameters => :'limit');
SELECT rg_add('SELECT id FROM public.rg_note WHERE id > request.after_id::int8 LIMIT request.limit', result => 'rows', keyset => '{id}', parameters => :'limit');
SELECT rg_add('SELECT id FROM public.rg_note WHERE id > request.after_id LIMIT request.limit', result => 'rows', keyset => '{id}', parameters => :'limit');

-- what came in unchecked, as in a restore, is checked at its first use
SET check_function_bodies = off;
SELECT rg_add('SELECT a FROM rg_not_yet', path => '/later');
RESET check_function_bodies;
SELECT status FROM relay_guard.serve('GET', '/later');

SELECT path, query FROM relay_guard.route ORDER BY path;
DELETE FROM relay_guard.route;
DROP FUNCTION rg_add;
DROP TABLE rg_note;
DROP OWNED BY rg_author;
DROP ROLE rg_app, rg_author, rg_bypass, rg_maker, rg_files, rg_owner;
