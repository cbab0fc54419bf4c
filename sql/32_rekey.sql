
-- Encrypted columns under the primary key: rekey(), and what shows how far it is.

-- Written by src/rekey_state.c alone.  Not dumped: of another database it says nothing.
CREATE TABLE rekey_state (
    relation    oid NOT NULL,
    attnum      smallint NOT NULL,
    target_key  integer NOT NULL,
    phase       text NOT NULL CHECK (phase IN ('rekeying', 'waiting', 'done', 'incomplete')),
    started_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    rows_done   bigint NOT NULL,
    pass        integer NOT NULL CHECK (pass > 0),
    settled     boolean NOT NULL,
    key_columns text,
    place       text[],
    pass_done   bigint NOT NULL,
    rows_seen   bigint NOT NULL,
    rows_failed bigint NOT NULL,
    rows_locked bigint NOT NULL,
    key_ids     integer[] NOT NULL,
    key_rows    bigint[] NOT NULL CHECK (cardinality(key_rows) = cardinality(key_ids)),
    failures    text[] NOT NULL,
    seen_target integer,
    seen_ids    integer[],
    seen_rows   bigint[],
    PRIMARY KEY (relation, attnum)
) WITH (fillfactor = 50);
COMMENT ON TABLE rekey_state IS
'How far rekey() came with each encrypted column, for the next CALL to go on from; the view rekey_progress shows it.';
COMMENT ON COLUMN rekey_state.settled IS 'Whether the pass began after those transactions that may have written under an older key.';
COMMENT ON COLUMN rekey_state.key_columns IS 'Names and types of the primary key that place is of.';
COMMENT ON COLUMN rekey_state.place IS 'Primary key of the last row that the pass has read; NULL before the first.';
COMMENT ON COLUMN rekey_state.key_ids IS 'Keys that the pass met, with key_rows how many values under each.';
COMMENT ON COLUMN rekey_state.failures IS 'Rows whose values could not be re-encrypted by the pass, up to 20 of them, and why.';
COMMENT ON COLUMN rekey_state.seen_ids IS 'What the last pass that counts has met, under the primary key seen_target, with seen_rows.';

CREATE PROCEDURE rekey("table" regclass, "column" name, batch integer DEFAULT 1000)
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_rekey';
COMMENT ON PROCEDURE rekey(regclass, name, integer) IS
'Re-encrypts an encrypted column under the primary key beside its users; for the table''s owner. It commits after every batch of so many rows, or a second, so CALL it by itself, not in a transaction block; broken off, the next CALL goes on. Rows that others have locked come last; transactions that were writing the table when it began are waited for. UPDATE triggers of the table fire, as its owner and with search_path pg_catalog. Transactions with an older snapshot may read values of the old key after it is done. See rekey_progress.';

CREATE PROCEDURE rekey_all(batch integer DEFAULT 1000)
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_rekey_all';
COMMENT ON PROCEDURE rekey_all(integer) IS
'rekey() of every encrypted column of this database whose table you own, then rekey_secrets().';

-- The lock's class is LOCK_CLASS of src/rekey.c
CREATE VIEW rekey_progress AS
SELECT s.relation::regclass AS relation, a.attname AS column_name, s.target_key,
       CASE WHEN s.phase IN ('done', 'incomplete') OR l.pid IS NOT NULL THEN s.phase ELSE 'interrupted' END AS phase,
       s.pass, s.rows_done, s.rows_seen, s.rows_failed, s.rows_locked,
       greatest(s.rows_seen, (SELECT sum(greatest(c.reltuples, 0))::bigint FROM pg_class c
                              WHERE c.relkind = 'r'
                                AND (c.oid = s.relation OR c.oid IN (SELECT relid FROM pg_partition_tree(s.relation))))
       ) AS rows_total,
       s.failures, s.started_at, s.updated_at, l.pid
FROM rekey_state s
JOIN pg_attribute a ON a.attrelid = s.relation AND a.attnum = s.attnum AND NOT a.attisdropped
LEFT JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.classid = s.relation
                    AND l.objid = s.attnum::integer::oid AND l.objsubid = 21063
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database());
COMMENT ON VIEW rekey_progress IS
'The last or running rekey() of each encrypted column, as of its last batch.';
COMMENT ON COLUMN rekey_progress.phase IS
'rekeying; waiting: for rows that others have locked, or for transactions that were writing the table, see pg_blocking_pids(pid); interrupted: CALL rekey() again; incomplete: ended, but rows_failed values could not be re-encrypted; done.';
COMMENT ON COLUMN rekey_progress.pass IS 'At least two: the last one is begun when all who wrote under an older key have ended, and finds nothing.';
COMMENT ON COLUMN rekey_progress.rows_done IS 'Values re-encrypted, in all passes.';
COMMENT ON COLUMN rekey_progress.rows_seen IS 'Rows that this pass has read.';
COMMENT ON COLUMN rekey_progress.rows_failed IS 'Rows of this pass that keep their value: it does not open, its key is gone, or a trigger keeps it.';
COMMENT ON COLUMN rekey_progress.rows_locked IS 'Rows that this pass left to the next, since others had them locked or were changing them.';
COMMENT ON COLUMN rekey_progress.rows_total IS 'Rows of the table, as statistics estimate it.';
COMMENT ON COLUMN rekey_progress.failures IS 'Up to 20 of the rows that failed, and why.';
COMMENT ON COLUMN rekey_progress.pid IS 'The backend that is at it.';
