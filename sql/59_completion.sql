
-- Completions: what gateways and routes need beside serve(), which reserves what a
-- call of a model costs and tells the gateway what to ask.

CREATE FUNCTION completion_open(reservation uuid) RETURNS text
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
INSERT INTO relay_guard.event_stream (name) VALUES ('completion/' || reservation)
RETURNING json_build_object('number', number, 'token', token)::text
$$;
COMMENT ON FUNCTION completion_open(uuid) IS 'Called by serve(): the stream of events of a completion of shape events.';

-- Whoever follows the stream of a completion that nobody goes on with is not left waiting.
CREATE FUNCTION completion_abandon(reservation uuid) RETURNS void
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH abandoned AS (
    UPDATE relay_guard.event_stream SET last_id = last_id + 1, changed_at = clock_timestamp(), ended_at = clock_timestamp()
    WHERE name = 'completion/' || reservation AND ended_at IS NULL RETURNING number, last_id
), told AS (
    INSERT INTO relay_guard.event (stream, id, event, data)
    SELECT number, last_id, 'error', '{"code":"upstream_failed","message":"the answer was broken off"}' FROM abandoned
)
SELECT relay_guard.event_note(number) FROM abandoned
$$;
COMMENT ON FUNCTION completion_abandon(uuid) IS
'Called by the worker that ends reservations: ends the stream of events of a completion that went on, with an event error.';

-- For gateways.

CREATE FUNCTION completion_settle(reservation uuid, input_tokens bigint, output_tokens bigint) RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_completion_settle';
COMMENT ON FUNCTION completion_settle(uuid, bigint, bigint) IS
'Charges what a completion has used in place of what was held, to whoever asked for it: settled. Once: already_settled, already_released and expired change nothing.';

CREATE FUNCTION completion_release(reservation uuid) RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_completion_release';
COMMENT ON FUNCTION completion_release(uuid) IS
'Gives back what was held for a completion of which nothing came: released. Once, as completion_settle().';

CREATE FUNCTION completion_extend(reservation uuid, ttl interval) RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_completion_extend';
COMMENT ON FUNCTION completion_extend(uuid, interval) IS
'Makes the lease of a completion as long as ttl from now, whatever the budgets have left: extended, or how it has ended.';

-- With after, events that an earlier call has appended, whose answer was lost, are not
-- appended again.
CREATE FUNCTION completion_events(number bigint, token uuid, events text[], ended boolean, after bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place record;
    count CONSTANT int := coalesce(cardinality(events), 0) / 2;
    known int := 0;
BEGIN
    SELECT s.last_id, s.ended_at INTO place FROM relay_guard.event_stream s
    WHERE s.number = $1 AND s.token = $2 AND s.name LIKE 'completion/%' FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM relay_guard.fail(404, 'not_found', 'there is no such stream', 'Use the number and the token of the order.');
    END IF;
    IF after IS NOT NULL THEN
        known := least(place.last_id - after, count);
    END IF;
    IF known < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('the last event of the stream is %s, not %s', place.last_id, after);
    END IF;
    IF place.ended_at IS NOT NULL THEN
        IF known < count THEN
            PERFORM relay_guard.fail(409, 'stream_ended', 'the stream has ended', 'Append to a new one.');
        END IF;
        RETURN place.last_id;
    END IF;
    UPDATE relay_guard.event_stream s SET last_id = s.last_id + count - known, changed_at = clock_timestamp(),
        ended_at = CASE WHEN ended THEN clock_timestamp() END
    WHERE s.number = $1;
    INSERT INTO relay_guard.event (stream, id, event, data)
    SELECT $1, place.last_id + n - known, events[2 * n - 1], events[2 * n] FROM generate_series(known + 1, count) n;
    PERFORM relay_guard.event_note(number);
    RETURN place.last_id + count - known;
END $$;
COMMENT ON FUNCTION completion_events(bigint, uuid, text[], boolean, bigint) IS
'Appends events, {name, data, name, data, ...}, to the stream of a completion, which ends with them or not; returns the id of the last. after: the id that the one before them has; those that are there already are not appended again.';

-- For applications.

CREATE FUNCTION completion_stream(reservation uuid) RETURNS text
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_completion_stream';
COMMENT ON FUNCTION completion_stream(uuid) IS
'The name of the stream of a completion that the current identity has asked for; NULL for that of anybody else.';

CREATE FUNCTION completion_models(OUT name text, OUT provider text, OUT since timestamptz) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT m.name, m.provider, m.since FROM model m JOIN upstream u ON u.name = m.provider
    WHERE m.enabled AND m.max_output_tokens > 0 ORDER BY m.name COLLATE "C";
END;
COMMENT ON FUNCTION completion_models() IS 'The models that a completion may name.';
