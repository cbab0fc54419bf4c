
-- Streams of events, which clients of routes of result stream follow.

-- One row a stream.  Whoever appends holds its row's lock until he commits, so ids have
-- no gaps, and no id becomes visible before a smaller one.  A gateway shows the token
-- that serve() gave it: its login alone reads no stream.
CREATE TABLE event_stream (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CONSTRAINT event_stream_name UNIQUE CHECK (octet_length(name) BETWEEN 1 AND 255),
    token      uuid NOT NULL DEFAULT gen_random_uuid(),
    first_id   bigint NOT NULL DEFAULT 0,
    last_id    bigint NOT NULL DEFAULT -1,
    permanent  boolean NOT NULL DEFAULT false,
    ended_at   timestamptz,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (first_id BETWEEN 0 AND last_id + 1)
) WITH (fillfactor = 50);
COMMENT ON TABLE event_stream IS 'Streams of events; event_append() makes them, event_end() ends them.';
COMMENT ON COLUMN event_stream.token IS 'What a gateway has to show to read the stream.';
COMMENT ON COLUMN event_stream.first_id IS 'The oldest event that is kept: who has seen less than the one before has missed some.';
COMMENT ON COLUMN event_stream.last_id IS 'The newest event; -1: none yet.';
COMMENT ON COLUMN event_stream.permanent IS 'Whether it stays though nothing is appended to it: event_open().';
COMMENT ON COLUMN event_stream.ended_at IS 'From when on nothing can be appended; NULL: it goes on.';

CREATE TABLE event (
    stream bigint NOT NULL,
    id     bigint NOT NULL CHECK (id >= 0),
    event  text CHECK (event <> '' AND octet_length(event) <= 255 AND event !~ '[\r\n]'),
    data   text NOT NULL CHECK (octet_length(data) <= 65536),
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, id)
);
CREATE INDEX event_at ON event (at);
COMMENT ON TABLE event IS 'Events of streams, kept for an hour.';
COMMENT ON COLUMN event.stream IS 'event_stream.number.';
COMMENT ON COLUMN event.id IS 'From 0 in each stream, without gaps; the client''s Last-Event-ID.';
COMMENT ON COLUMN event.event IS 'The field event:; NULL: none, which clients take for message.';
COMMENT ON COLUMN event.data IS 'The field data:, a line of it for each line.';

-- Tells gateways, when this transaction has committed, that a stream has news.
CREATE FUNCTION event_note(number bigint) RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_event_note';
COMMENT ON FUNCTION event_note(bigint) IS 'Called by event_append() and event_end(): tells the gateways of a stream when this transaction has committed.';

CREATE FUNCTION event_open(stream text) RETURNS void
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
INSERT INTO relay_guard.event_stream (name, permanent) VALUES (stream, true)
ON CONFLICT (name) DO UPDATE SET permanent = true WHERE NOT event_stream.permanent
$$;
COMMENT ON FUNCTION event_open(text) IS
'Makes a stream, or makes one that is there permanent: it stays however long nothing is appended.';

CREATE FUNCTION event_append(stream text, event text, data text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    place record;
BEGIN
    FOR i IN 1 .. 2 LOOP
        UPDATE relay_guard.event_stream SET last_id = last_id + 1, changed_at = clock_timestamp()
        WHERE name = $1 AND ended_at IS NULL
        RETURNING number, last_id INTO place;
        EXIT WHEN FOUND;
        IF i = 2 THEN
            PERFORM relay_guard.fail(409, 'stream_ended', 'the stream has ended', 'Append to a new one.');
        END IF;
        INSERT INTO relay_guard.event_stream (name) VALUES ($1) ON CONFLICT (name) DO NOTHING;
    END LOOP;
    INSERT INTO relay_guard.event (stream, id, event, data) VALUES (place.number, place.last_id, $2, $3);
    PERFORM relay_guard.event_note(place.number);
    RETURN place.last_id;
END $$;
COMMENT ON FUNCTION event_append(text, text, text) IS
'Appends an event (its name, or NULL, and its data) to a stream, which it makes if need be; returns its id. Others append to that stream when this transaction has ended.';

CREATE FUNCTION event_end(stream text) RETURNS void
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH ended AS (
    UPDATE relay_guard.event_stream SET ended_at = clock_timestamp() WHERE name = stream AND ended_at IS NULL RETURNING number
)
SELECT relay_guard.event_note(number) FROM ended
$$;
COMMENT ON FUNCTION event_end(text) IS
'Ends a stream: who has all of its events is told that there are no more. Again, or of a stream that is not there, it does nothing.';

CREATE FUNCTION event_last(stream text) RETURNS bigint
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT last_id FROM relay_guard.event_stream WHERE name = stream
$$;
COMMENT ON FUNCTION event_last(text) IS
'The id of a stream''s newest event, -1 before the first; as "after" of a route of result stream: what comes from now on. NULL: no such stream.';

-- For gateways.

CREATE FUNCTION event_read(number bigint, token uuid, after bigint, rows int,
    OUT first_id bigint, OUT last_id bigint, OUT ended boolean, OUT id bigint, OUT event text, OUT data text)
RETURNS SETOF record
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT s.first_id, s.last_id, s.ended_at IS NOT NULL, e.id, e.event, e.data
FROM relay_guard.event_stream s
LEFT JOIN LATERAL (
    SELECT e.id, e.event, e.data FROM relay_guard.event e
    WHERE e.stream = s.number AND e.id > after ORDER BY e.id LIMIT rows
) e ON true
WHERE s.number = $1 AND s.token = $2
ORDER BY e.id
$$;
COMMENT ON FUNCTION event_read(bigint, uuid, bigint, int) IS
'The state of a stream and its events after an id, at most so many; one row without an event where there is none, no row where there is no such stream.';

CREATE FUNCTION event_state(numbers bigint[], OUT number bigint, OUT last_id bigint, OUT ended boolean)
RETURNS SETOF record
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT n, s.last_id, s.number IS NULL OR s.ended_at IS NOT NULL
FROM unnest(numbers) n LEFT JOIN relay_guard.event_stream s ON s.number = n
$$;
COMMENT ON FUNCTION event_state(bigint[]) IS 'How far streams are; those that are not there have ended, at no id.';

CREATE FUNCTION event_wait(seen bigint, OUT seen bigint, OUT streams bigint[], OUT everything boolean)
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_event_wait';
COMMENT ON FUNCTION event_wait(bigint) IS
'Waits up to 5 s for streams of this database to have news; seen is what the call before returned, 0 for the first. everything: look at all streams, for this does not know.';

-- In each stream the oldest first; a stream that is being appended to is left for the next time.
-- A completion takes an hour at most: one that has said nothing for longer, and has not ended,
-- is of a gateway that died when it had settled, and nobody else would tell who follows it.
CREATE FUNCTION event_expire(rows int DEFAULT 1000) RETURNS int
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    events int;
    streams int;
    broken int;
BEGIN
    PERFORM relay_guard.completion_abandon(substr(s.name, 12)::uuid) FROM relay_guard.event_stream s
    WHERE s.ended_at IS NULL AND s.name ~ '^completion/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      AND s.changed_at < clock_timestamp() - interval '70 minutes' LIMIT rows;
    GET DIAGNOSTICS broken = ROW_COUNT;
    WITH old AS (
        SELECT o.stream, max(o.id) AS id
        FROM (SELECT e.stream, e.id FROM relay_guard.event e
              WHERE e.at < clock_timestamp() - interval '1 hour' ORDER BY e.at LIMIT rows) o
        GROUP BY o.stream
    ), held AS (
        SELECT s.number, old.id FROM relay_guard.event_stream s JOIN old ON old.stream = s.number FOR UPDATE OF s SKIP LOCKED
    ), moved AS (
        UPDATE relay_guard.event_stream s SET first_id = greatest(s.first_id, held.id + 1)
        FROM held WHERE s.number = held.number RETURNING s.number, s.first_id
    ), gone AS (
        DELETE FROM relay_guard.event e USING moved WHERE e.stream = moved.number AND e.id < moved.first_id RETURNING 1
    )
    SELECT count(*) INTO events FROM gone;
    WITH old AS (
        SELECT s.number FROM relay_guard.event_stream s
        WHERE s.first_id > s.last_id AND (NOT s.permanent OR s.ended_at IS NOT NULL)
          AND greatest(s.ended_at, s.changed_at) < clock_timestamp() - interval '24 hours'
        LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM relay_guard.event_stream s USING old WHERE s.number = old.number RETURNING 1
    )
    SELECT count(*) INTO streams FROM gone;
    RETURN greatest(events, streams, broken);
END $$;
COMMENT ON FUNCTION event_expire(int) IS
'Deletes events older than an hour, and streams that ended or had none for a day; returns how many there were, about as many as it may at most. A worker calls it where relay_guard.databases names the database.';
