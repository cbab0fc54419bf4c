
-- The audit log: who did what on which request, and the seals over it.

CREATE SEQUENCE audit_log_id_seq AS bigint;
COMMENT ON SEQUENCE audit_log_id_seq IS 'Numbers the rows of audit_log.';

CREATE TABLE audit_log (
    id            bigint NOT NULL,
    xid           xid8 NOT NULL,
    occurred_at   timestamptz NOT NULL,
    epoch         integer NOT NULL,
    key_id        integer NOT NULL,
    action        text COLLATE "C" NOT NULL,
    resource_type text COLLATE "C" NOT NULL,
    resource_id   text COLLATE "C",
    actor         text COLLATE "C",
    via           text COLLATE "C",
    session_role  text COLLATE "C" NOT NULL,
    workspace_id  text COLLATE "C",
    api_key_id    uuid,
    session_id    text COLLATE "C",
    request_id    text COLLATE "C",
    client_ip     inet,
    source        text COLLATE "C" NOT NULL CHECK (source IN ('trigger', 'event', 'system')),
    status        text COLLATE "C" NOT NULL CHECK (status IN ('ok', 'denied', 'error')),
    old           jsonb,
    new           jsonb,
    details       jsonb,
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32)
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE audit_log IS 'What was done to audited tables and to relay_guard''s configuration, and what audit_event() recorded, one partition a month. Only relay_guard writes it.';
COMMENT ON COLUMN audit_log.id IS 'From a sequence: neither without gaps nor in the order of commits.';
COMMENT ON COLUMN audit_log.xid IS 'The transaction; ids of another cluster have another epoch.';
COMMENT ON COLUMN audit_log.occurred_at IS 'When the statement wrote it, by the clock of the server.';
COMMENT ON COLUMN audit_log.epoch IS 'The cluster and database that wrote it, as a number.';
COMMENT ON COLUMN audit_log.key_id IS 'The key of the ring whose subkey made the MAC.';
COMMENT ON COLUMN audit_log.action IS 'INSERT, UPDATE, DELETE, TRUNCATE, or what audit_event() was told.';
COMMENT ON COLUMN audit_log.resource_type IS 'What kind of thing it was done to, as audit() was told; relay_guard.route and its like are relay_guard''s own.';
COMMENT ON COLUMN audit_log.resource_id IS 'Which one: the text of its key column, or a JSON array of several; before the change.';
COMMENT ON COLUMN audit_log.actor IS 'The verified user id; NULL where the transaction had no identity.';
COMMENT ON COLUMN audit_log.via IS 'How the identity was established: token, api_key, session or assume.';
COMMENT ON COLUMN audit_log.session_role IS 'The role that the session logged in as.';
COMMENT ON COLUMN audit_log.workspace_id IS 'The tenant of the identity.';
COMMENT ON COLUMN audit_log.api_key_id IS 'The API key that established it.';
COMMENT ON COLUMN audit_log.session_id IS 'The session that the token belongs to.';
COMMENT ON COLUMN audit_log.request_id IS 'The request, as in logs and answers.';
COMMENT ON COLUMN audit_log.client_ip IS 'Where the request came from, or else the connection.';
COMMENT ON COLUMN audit_log.source IS 'trigger: an audited table, or the configuration; event: audit_event(); system: relay_guard itself.';
COMMENT ON COLUMN audit_log.status IS 'ok, denied or error.';
COMMENT ON COLUMN audit_log.old IS 'The values before, of changed columns only.';
COMMENT ON COLUMN audit_log.new IS 'The values after, of changed columns only.';
COMMENT ON COLUMN audit_log.details IS 'What an event said beside.';
COMMENT ON COLUMN audit_log.mac IS 'BLAKE2b-256 of all other columns, keyed from the key ring: docs/formats.md.';

CREATE TABLE audit_seal (
    seal_id     bigint PRIMARY KEY CHECK (seal_id > 0),
    epoch       integer NOT NULL,
    row_epoch   integer NOT NULL,
    snap        pg_snapshot NOT NULL,
    month       date NOT NULL,
    rows        bigint NOT NULL,
    ids         int8multirange NOT NULL,
    digest      bytea NOT NULL CHECK (octet_length(digest) = 32),
    unwitnessed bigint NOT NULL,
    findings    jsonb,
    sealed_at   timestamptz NOT NULL,
    previous    bytea CHECK (octet_length(previous) = 32),
    root        bytea NOT NULL CHECK (octet_length(root) = 32),
    key_id      integer NOT NULL,
    mac         bytea NOT NULL CHECK (octet_length(mac) = 32),
    step        bigint,
    proof       bytea CHECK (octet_length(proof) = 32)
);
CREATE INDEX audit_seal_step_idx ON audit_seal (seal_id) WHERE step IS NOT NULL;
COMMENT ON TABLE audit_seal IS 'Seals over rows of audit_log, each linked to the one before. Only relay_guard writes it.';
COMMENT ON COLUMN audit_seal.seal_id IS 'Its place in the chain, from 1 and without gaps.';
COMMENT ON COLUMN audit_seal.epoch IS 'The cluster and database that sealed.';
COMMENT ON COLUMN audit_seal.row_epoch IS 'The one that wrote the rows; another where a restored or copied log was taken over.';
COMMENT ON COLUMN audit_seal.snap IS 'The snapshot: sealed are the rows that it sees and the one before did not.';
COMMENT ON COLUMN audit_seal.month IS 'The partition that the rows are in, by its first day.';
COMMENT ON COLUMN audit_seal.rows IS 'How many rows it covers.';
COMMENT ON COLUMN audit_seal.ids IS 'Their ids.';
COMMENT ON COLUMN audit_seal.digest IS 'BLAKE2b-256 of their MACs in order of (xid, id).';
COMMENT ON COLUMN audit_seal.unwitnessed IS 'How many of their transactions nobody counted before they committed: after a crash, or without preloading.';
COMMENT ON COLUMN audit_seal.findings IS 'Transactions whose rows were not all there any more.';
COMMENT ON COLUMN audit_seal.sealed_at IS 'When.';
COMMENT ON COLUMN audit_seal.previous IS 'The root of the seal before.';
COMMENT ON COLUMN audit_seal.root IS 'BLAKE2b-256 of the columns before it, key_id and step.';
COMMENT ON COLUMN audit_seal.key_id IS 'The key of the ring whose subkey made the MAC.';
COMMENT ON COLUMN audit_seal.mac IS 'Of the root, keyed from the key ring.';
COMMENT ON COLUMN audit_seal.step IS 'How often the key of the proof had been ratcheted.';
COMMENT ON COLUMN audit_seal.proof IS 'Of the root, keyed by the ratchet.';

SELECT pg_catalog.pg_extension_config_dump('audit_seal', '');
SELECT pg_catalog.pg_extension_config_dump('audit_log_id_seq', '');

CREATE FUNCTION audit_event(action text, resource_type text, resource_id text DEFAULT NULL,
    details jsonb DEFAULT NULL, status text DEFAULT 'ok') RETURNS bigint
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'relay_guard_audit_event';
COMMENT ON FUNCTION audit_event(text, text, text, jsonb, text) IS
'Records an event of the application in the audit log, in the name of the identity; the id of its row.';

CREATE FUNCTION audit_change() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_audit_change';
COMMENT ON FUNCTION audit_change() IS
'Trigger of an audited table, made by audit(). Its arguments are the type of the resource and the columns that are its key, redacted and omitted.';
