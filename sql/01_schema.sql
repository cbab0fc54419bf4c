
-- An existing schema is taken as it is, also one that the database's owner made
-- before.  Whoever can put functions into it could have them called in place of
-- these, by everybody.
DO $$
DECLARE
    grantee text;
BEGIN
    IF EXISTS (SELECT FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
               WHERE n.nspname = 'relay_guard' AND NOT r.rolsuper)
       OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'relay_guard'::regnamespace) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema relay_guard exists already and is not an empty one of a superuser',
            HINT = 'Drop it: CREATE EXTENSION makes it.';
    END IF;
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_namespace n, aclexplode(n.nspacl) a
        WHERE n.nspname = 'relay_guard' AND a.grantee <> n.nspowner
    LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA relay_guard FROM %s', grantee);
    END LOOP;
END
$$;
