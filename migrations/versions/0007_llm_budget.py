"""What language models may cost: reservations, one's own usage, the day's budget

Whoever calls a model for a user reserves what it costs at most, extends it while an
answer gets longer, and settles it with what it has cost, or gives it up.  A
reservation is one message of the quotas for anonymous users.

The day's budget is for admins alone, and its route runs as relay_auditor: routes of
relay_app cannot read what others have spent, whatever their statements.

Revision ID: 0007
Revises: 0006
"""
from alembic import op

from routes import add_route, drop_route

revision = "0007"
down_revision = "0006"

BUDGET = "/v1/admin/llm-budget"
USAGE = "/api/v1/usage"
RESERVATIONS = "/api/v1/llm/reservations"
RESERVATION = RESERVATIONS + "/{id}"
COMMON = dict(auth="anonymous", rate=("ip", "user"), run_as="relay_app")

FUNCTIONS = (
    "relay.llm_budget_refused(text, timestamptz)",
    "relay.llm_over(text)",
    "relay.llm_reserve(text, bigint, bigint, bigint)",
    "relay.llm_extend(uuid, bigint, bigint)",
    "relay.llm_settle(uuid, bigint, bigint)",
    "relay.llm_release(uuid)",
)

BUDGET_REFUSED = """
    CREATE FUNCTION relay.llm_budget_refused(policy text, resets_at timestamptz) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT relay_guard.fail(429, 'insufficient_quota',
        format('the budget %s has no room for this until %s', policy,
               to_char(resets_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
        'Ask for fewer tokens, wait until then, or ask for a larger budget.')
    $$
"""

# How a reservation has ended that cannot be used any more; "already_" is for those
# who want to end it
OVER = """
    CREATE FUNCTION relay.llm_over(outcome text) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT relay_guard.fail(409, 'reservation_' || ended,
        CASE ended WHEN 'expired' THEN 'the reservation has run out, and is charged as it was reserved'
                   ELSE format('the reservation has been %s', ended) END,
        'Make a new reservation.')
    FROM (SELECT replace(outcome, 'already_', '') AS ended) o
    $$
"""

RESERVE = """
    CREATE FUNCTION relay.llm_reserve(
        model text, input_tokens bigint, max_output_tokens bigint, ttl_seconds bigint,
        OUT id uuid, OUT amount_usd numeric, OUT warning text, OUT expires_at timestamptz)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        r record;
    BEGIN
        SELECT * INTO r FROM relay_guard.budget_reserve(model, input_tokens, max_output_tokens,
                                                        ttl_seconds * interval '1 second');
        IF NOT r.allowed THEN
            PERFORM relay.llm_budget_refused(r.blocked_by, r.resets_at);
        END IF;
        id := r.reservation;
        amount_usd := relay_guard.usd(r.amount);
        warning := r.warning;
        expires_at := r.expires_at;
    END
    $$
"""

EXTEND = """
    CREATE FUNCTION relay.llm_extend(
        INOUT id uuid, tokens bigint, ttl_seconds bigint,
        OUT amount_usd numeric, OUT warning text, OUT expires_at timestamptz)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        r record;
    BEGIN
        SELECT * INTO r FROM relay_guard.budget_extend(id, tokens, ttl_seconds * interval '1 second');
        IF r.outcome = 'blocked' THEN
            PERFORM relay.llm_budget_refused(r.blocked_by, r.resets_at);
        ELSIF r.outcome <> 'extended' THEN
            PERFORM relay.llm_over(r.outcome);
        END IF;
        amount_usd := relay_guard.usd(r.amount);
        warning := r.warning;
        expires_at := r.expires_at;
    END
    $$
"""

# Settling again says what was charged; settling what was given up or has run out is
# a conflict, for it is not charged as the caller says
SETTLE = """
    CREATE FUNCTION relay.llm_settle(
        INOUT id uuid, input_tokens bigint, output_tokens bigint,
        OUT outcome text, OUT amount_usd numeric, OUT held_usd numeric)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        r record;
    BEGIN
        SELECT * INTO r FROM relay_guard.budget_settle(id, input_tokens, output_tokens);
        IF r.outcome NOT IN ('settled', 'already_settled') THEN
            PERFORM relay.llm_over(r.outcome);
        END IF;
        outcome := r.outcome;
        amount_usd := relay_guard.usd(r.amount);
        held_usd := relay_guard.usd(r.held);
    END
    $$
"""

RELEASE = """
    CREATE FUNCTION relay.llm_release(INOUT id uuid, OUT outcome text)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        outcome := (SELECT r.outcome FROM relay_guard.budget_release(id) r);
        IF outcome NOT IN ('released', 'already_released') THEN
            PERFORM relay.llm_over(outcome);
        END IF;
    END
    $$
"""

ID = [{
    "name": "id", "in": "path", "required": True,
    "schema": {"type": "string", "format": "uuid"},
}]


def tokens(minimum=0):
    return {"type": "integer", "minimum": minimum, "maximum": 100000000}


def seconds(**schema):
    return {"type": "integer", "minimum": 1, "maximum": 86400, **schema}


def body(required, **properties):
    return {"type": "object", "required": required, "additionalProperties": False,
            "properties": properties}


NEW_RESERVATION = body(
    ["model", "input_tokens", "max_output_tokens"],
    model={"type": "string", "minLength": 1, "maxLength": 255},
    input_tokens=tokens(), max_output_tokens=tokens(), ttl_seconds=seconds(default=600))


def upgrade():
    for function in BUDGET_REFUSED, OVER, RESERVE, EXTEND, SETTLE, RELEASE:
        op.execute(function)
    for name in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {name} TO relay_app")
    add_route("GET", BUDGET, """
        SELECT date, llm_spend_usd, embedding_spend_usd, total_spend_usd, warning_threshold_usd,
               hard_limit_usd, at_warning, blocked
        FROM relay_guard.budget_report()
        """, auth="admin", rate=("ip", "api"), result="row", run_as="relay_auditor",
        summary="What language models have cost today, of all users together")
    add_route("GET", USAGE, "SELECT relay_guard.usage_own()", result="value",
        summary="One's own usage: today's and this month's, quotas and budgets", **COMMON)
    add_route("POST", RESERVATIONS, """
        SELECT id, amount_usd, warning, expires_at
        FROM relay.llm_reserve(request.model, request.input_tokens, request.max_output_tokens,
                               request.ttl_seconds)
        """, request_body=NEW_RESERVATION, quota=("anon_hour", "anon_lifetime"), budget="all",
        result="row", status=201, summary="Reserve what a call of a model costs at most",
        description="It counts as one message. What is not settled before expires_at is charged as reserved.",
        **COMMON)
    add_route("POST", RESERVATION + "/extend", """
        SELECT id, amount_usd, warning, expires_at
        FROM relay.llm_extend(request.id, request.tokens, request.ttl_seconds)
        """, parameters=ID,
        request_body=body(["tokens"], tokens=tokens(), ttl_seconds=seconds()),
        result="row", summary="Reserve more output tokens, and more time", **COMMON)
    add_route("POST", RESERVATION + "/settle", """
        SELECT id, outcome, amount_usd, held_usd
        FROM relay.llm_settle(request.id, request.input_tokens, request.output_tokens)
        """, parameters=ID,
        request_body=body(["input_tokens", "output_tokens"], input_tokens=tokens(), output_tokens=tokens()),
        result="row", summary="Charge what the call has cost", **COMMON)
    add_route("DELETE", RESERVATION, "SELECT outcome FROM relay.llm_release(request.id)",
        parameters=ID, result="row", status=204, summary="Give a reservation up", **COMMON)


def downgrade():
    drop_route("DELETE", RESERVATION)
    for path in RESERVATION + "/settle", RESERVATION + "/extend", RESERVATIONS:
        drop_route("POST", path)
    drop_route("GET", USAGE)
    drop_route("GET", BUDGET)
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
