
-- Requests that name themselves by the header Idempotency-Key: what they were
-- answered, for whoever sends them again.

-- serve() writes and reads it without a plan.  Answers hold what tenants may see, and
-- values that are encrypted elsewhere: nobody is granted this table, and where the server
-- has a key ring they are sealed, which leaves nothing to compress.
CREATE TABLE idempotency_key (
    scope       bytea PRIMARY KEY CHECK (octet_length(scope) = 32),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    principal   text NOT NULL,
    method      text NOT NULL,
    route       text NOT NULL,
    status      int NOT NULL CHECK (status BETWEEN 200 AND 599),
    sealed      boolean NOT NULL,
    answer      bytea,
    created_at  timestamptz NOT NULL
);
ALTER TABLE idempotency_key ALTER COLUMN answer SET STORAGE EXTERNAL;
CREATE INDEX idempotency_key_created_at ON idempotency_key (created_at);
COMMENT ON TABLE idempotency_key IS
'Answers to requests with an Idempotency-Key, written by the transactions that made them; a row counts for 24 hours, then a worker deletes it.';
COMMENT ON COLUMN idempotency_key.scope IS 'SHA-256 of user, workspace, method, route and key, or of the address where there is no user.';
COMMENT ON COLUMN idempotency_key.fingerprint IS 'SHA-256 of path, query, role and body: another request under the same key is refused.';
COMMENT ON COLUMN idempotency_key.principal IS 'The user id, or the address (IPv6: its /64) of a client without credentials.';
COMMENT ON COLUMN idempotency_key.route IS 'The template, route.path.';
COMMENT ON COLUMN idempotency_key.sealed IS 'Whether the answer is sealed under the key ring.';
COMMENT ON COLUMN idempotency_key.answer IS 'Content type, header lines and body; NULL: they had more than 256 kB.';

SELECT pg_catalog.pg_extension_config_dump('idempotency_key', '');

-- In the order in which they were made, and past whatever a request is replacing just now.
CREATE FUNCTION idempotency_expire(rows int DEFAULT 1000) RETURNS int
LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
WITH old AS (
    SELECT ctid AS place FROM relay_guard.idempotency_key
    WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at LIMIT rows FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM relay_guard.idempotency_key k USING old WHERE k.ctid = old.place RETURNING 1
)
SELECT count(*)::int FROM gone
$$;
COMMENT ON FUNCTION idempotency_expire(int) IS
'Deletes answers older than 24 hours, at most so many; returns how many there were. A worker calls it where relay_guard.databases names the database.';
