
-- The key ring, with what rekey() saw of each key.

-- A key's rows are not known (NULL) until a pass over every encrypted column
-- that began after the present primary key was made primary: a table that was
-- empty before may hold values of an older key since.
CREATE VIEW keyring_status AS
WITH ring AS MATERIALIZED (SELECT * FROM read_keyring()),
     passed AS (
         SELECT s.seen_target, s.seen_ids, s.seen_rows
         FROM encrypted_column c
         JOIN pg_attribute a ON a.attrelid = c.relation AND a.attname = c.column_name
         LEFT JOIN rekey_state s ON s.relation = c.relation AND s.attnum = a.attnum),
     seen AS (
         SELECT k.id, k.rows FROM passed CROSS JOIN unnest(passed.seen_ids, passed.seen_rows) k (id, rows)
         UNION ALL SELECT key_id(secret), 1 FROM jwt_key
         UNION ALL SELECT key_id(secret), 1 FROM api_key_pepper
         UNION ALL SELECT key_id(secret), 1 FROM webhook_secret)
SELECT ring.key_id, ring.state, ring.locked, ring.created,
       CASE WHEN (SELECT bool_and(seen_target IS NOT DISTINCT FROM (SELECT key_id FROM ring WHERE state = 'primary'))
                  FROM passed) IS NOT FALSE
            THEN (SELECT coalesce(sum(seen.rows), 0)::bigint FROM seen WHERE seen.id = ring.key_id)
       END AS rows_seen
FROM ring;
COMMENT ON VIEW keyring_status IS
'The key ring as this session has it, and never a byte of a key; no rows where the server has none.';
COMMENT ON COLUMN keyring_status.state IS
'primary: makes new values; active: opens old ones; retired: refused.';
COMMENT ON COLUMN keyring_status.locked IS
'Whether the session''s copy of the ring is kept out of swap; RLIMIT_MEMLOCK of the server may forbid it.';
COMMENT ON COLUMN keyring_status.created IS 'When the key was made, where its line says so.';
COMMENT ON COLUMN keyring_status.rows_seen IS
'How many values of encrypted columns the last pass of rekey() met under that key, and how many stored secrets (HS256 keys, pepper, webhook secrets) are under it now; NULL while some column had no pass since the present key is primary. 0 means that the key may be retired as far as this database goes: it says nothing of other databases, nor of what was encrypted by hand.';
