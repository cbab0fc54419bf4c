DELETE FROM relay_guard.jwt_key WHERE iss = :'iss' AND kid = :'kid';
SELECT relay_guard.jwt_public_key_add(:'iss', :'key', :'kid') \g /dev/null
