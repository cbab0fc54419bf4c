-- Nobody writes the audit log in SQL, superusers included.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\set VERBOSITY terse
SELECT relay_guard.audit_maintain() \g /dev/null
SELECT relay_guard.audit_event('test', 'thing', '1') > 0 AS recorded;
-- the month is not always this one
SELECT l.tableoid::regclass AS partition, c.relname FROM relay_guard.audit_log l JOIN pg_class c ON c.oid = l.tableoid LIMIT 1 \gset
ALTER TABLE :partition RENAME TO audit_log_now;
\set partition relay_guard.audit_log_now
INSERT INTO relay_guard.audit_log SELECT * FROM relay_guard.audit_log;
INSERT INTO relay_guard.audit_log SELECT * FROM relay_guard.audit_log WHERE false;
UPDATE relay_guard.audit_log SET actor = 'somebody';
DELETE FROM relay_guard.audit_log;
DELETE FROM relay_guard.audit_log WHERE false;
TRUNCATE relay_guard.audit_log;
TRUNCATE relay_guard.audit_log CASCADE;
MERGE INTO relay_guard.audit_log l USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE;
COPY relay_guard.audit_log FROM stdin;
\.
-- its partitions one by one
DO $$
DECLARE
	command text;
	refused int := 0;
BEGIN
	FOR command IN
		SELECT format(c, p.partition) FROM relay_guard.audit_partitions() p,
			unnest(ARRAY['INSERT INTO %1$s SELECT * FROM %1$s', 'UPDATE %s SET actor = NULL', 'DELETE FROM %s', 'TRUNCATE %s']) c
	LOOP
		BEGIN
			EXECUTE command;
			RAISE WARNING 'passed: %', command;
		EXCEPTION WHEN insufficient_privilege THEN
			refused := refused + 1;
		END;
	END LOOP;
	RAISE WARNING 'refused: %', refused;
END
$$;
-- seals: a dump is restored by INSERT
UPDATE relay_guard.audit_seal SET rows = 0;
DELETE FROM relay_guard.audit_seal;
TRUNCATE relay_guard.audit_seal;
-- nor do policies or grants of its partitions show them to others
SELECT bool_and(c.relrowsecurity) AS row_security, bool_and(c.relacl IS NULL) AS granted_to_nobody
FROM relay_guard.audit_partitions() p JOIN pg_class c ON c.oid = p.partition;
CREATE ROLE rg_reader;
SET ROLE rg_reader;
SELECT count(*) FROM :partition;
INSERT INTO relay_guard.audit_log SELECT * FROM relay_guard.audit_log;
RESET ROLE;
DROP ROLE rg_reader;
-- what lint() says when it is not so
BEGIN;
ALTER TABLE relay_guard.audit_seal DISABLE TRIGGER audit_refuse;
DROP TRIGGER audit_refuse ON :partition;
SELECT severity, code, object, fix
FROM relay_guard.lint() WHERE code = 'audit_writable';
SELECT fix FROM relay_guard.lint() WHERE code = 'audit_writable' \gexec
SELECT count(*) FROM relay_guard.lint() WHERE code = 'audit_writable';
UPDATE relay_guard.audit_seal SET rows = 0;
ROLLBACK;
ALTER TABLE :partition RENAME TO :relname;
