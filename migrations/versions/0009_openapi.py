"""GET /openapi.json, and what it needs to know of the routes there are

Descriptions of parameters and members, schemas of answers, and the problems that
statements raise.  Nothing of it changes what a route does.

Revision ID: 0009
Revises: 0008
"""
import json

from alembic import op

from routes import add_route, change_route, drop_route

revision = "0009"
down_revision = "0008"

FILES = "/api/v1/knowledge/files"
RESERVATIONS = "/api/v1/llm/reservations"
AUDIT = "/api/v1/audit"
AUTH = "/api/auth/"


def text(**schema):
    return {"type": "string", **schema}


def or_null(schema):
    return {**schema, "type": [schema["type"], "null"]}


def record(**properties):
    """An object with all of these members."""
    return {"type": "object", "required": list(properties), "properties": properties}


def array(items):
    return {"type": "array", "items": items}


ID = text(format="uuid")
MOMENT = text(format="date-time")
USD = {"type": "number", "minimum": 0, "description": "US dollars, exactly: read it as a decimal."}
COUNT = {"type": "integer", "minimum": 0}
YES = {"type": "boolean"}

# A statement that always returns its row
NEVER_MISSING = {"404": None}
# Nothing that another row could contradict
NEVER_IN_CONFLICT = {"409": None}

FILE = record(
    id=ID, name=text(minLength=1, maxLength=255), content_type=text(maxLength=127),
    metadata={"type": "object"}, created_at=MOMENT)

EVENT = record(
    id={"type": "integer"}, occurred_at=MOMENT, action=text(), resource_type=or_null(text()),
    resource_id=or_null(text()), status=text(enum=["ok", "denied", "error"]), source=text(),
    actor=or_null(text()), via=or_null(text()), workspace_id=or_null(text()), api_key_id=or_null(text()),
    session_id=or_null(text()), session_role=or_null(text()), request_id=or_null(text()),
    client_ip=or_null(text()), old={"description": "The row before."}, new={"description": "The row after."},
    details={"description": "What else is known."},
    omitted_bytes=or_null({"type": "integer", "description": "How large old, new and details are, where they are too large to be shown."}))

EVENTS = record(
    events=array(EVENT),
    next=or_null(text(description="Send it as after for the page behind this one; null: there is none.")))

HEAD = record(seal_id={"type": "integer"}, root=text(pattern="^[0-9a-f]+$"), sealed_at=MOMENT)

VERDICT = record(
    verified=YES, since=MOMENT,
    problems=array(record(problem=text(), id=or_null({"type": "integer"}), detail=or_null(text()))),
    more={**YES, "description": "Whether there are problems that are not shown."})

BUDGET = record(
    date=text(format="date"), llm_spend_usd=USD, embedding_spend_usd=USD, total_spend_usd=USD,
    warning_threshold_usd=or_null(USD), hard_limit_usd=or_null(USD), at_warning=YES, blocked=YES)

SPENT = {"from": text(format="date-time"), "spend_usd": USD, "input_tokens": COUNT, "output_tokens": COUNT}
SPAN = record(**SPENT, models=array(record(
    model=text(), usage=text(enum=["llm", "embedding"]), calls=COUNT, input_tokens=COUNT, output_tokens=COUNT,
    spend_usd=USD)))
USAGE = record(
    today=SPAN, this_month=SPAN,
    quotas=array(record(
        policy=text(), scope=text(), window=text(), unit=text(), limit=COUNT, used=COUNT, remaining=COUNT,
        resets_at=or_null(MOMENT))),
    budgets=array(record(
        policy=text(), scope=text(), window=text(), spent_usd=USD, reserved_usd=USD,
        remaining_usd={"type": "number"}, warning_threshold_usd=or_null(USD), hard_limit_usd=USD,
        resets_at=or_null(MOMENT), at_warning=YES, blocked=YES)),
    blocked={**YES, "description": "Whether a budget is used up, be it one of everybody."})

RESERVATION = record(
    id=ID, amount_usd={**USD, "description": "What is held in all, in US dollars."},
    warning=or_null(text(description="The budget that is beyond its warning threshold.")), expires_at=MOMENT)

SETTLED = record(
    id=ID, outcome=text(enum=["settled", "already_settled"]),
    amount_usd={**USD, "description": "What was charged, in US dollars."},
    held_usd={**USD, "description": "What had been held, in US dollars."})

DOCUMENT = record(openapi=text(const="3.1.0"), info={"type": "object"}, servers=array({"type": "object"}),
                  tags=array({"type": "object"}), paths={"type": "object"}, components={"type": "object"})

ANEW = "Make a new reservation."
OVER = {
    "reservation_settled": {"detail": "the reservation has been settled", "suggestion": ANEW},
    "reservation_released": {"detail": "the reservation has been released", "suggestion": ANEW},
    "reservation_expired": {"detail": "the reservation has run out, and is charged as it was reserved",
                            "suggestion": ANEW},
}
NO_RESERVATION = {"404": {"reservation_not_found": {}, "not_found": None}}


def over(*but):
    return {"409": {"conflict": None,
                    **{code: words for code, words in OVER.items() if code not in but}}}


ANON_SESSION = record(token=text(), user_id=text(pattern="^anon:"), expires_at=MOMENT)

EMAIL = text(minLength=3, maxLength=254)
SIGNED_IN = record(id=ID, email=EMAIL, role=text(enum=["user", "admin"]), workspace_id=or_null(text()), csrfToken=text())
ME = record(id=text(), email=or_null(EMAIL), role=text(), workspace_id=or_null(text()),
            via=text(enum=["token", "api_key", "session"]))
CREDENTIALS = {"email": "the e-mail address", "password": "the password"}
OTHER_SITE = {"403": {"csrf_failed": {}}}

TOKENS = {"input_tokens": "tokens that the model was given", "output_tokens": "tokens that it has produced"}
FILTERS = {
    "status": "what became of it", "actor": "who did it: exactly that user",
    "action": "exactly that action, such as INSERT", "resource_type": "exactly that type, such as knowledge_file",
    "resource_id": "exactly that one", "request_id": "the request that did it",
}
ONE_FILE = {"id": "the id of the file"}
ONE_RESERVATION = {"id": "the id of the reservation"}

# Method and path; what its parameters are, the members of its body, its answers, itself
ROUTES = [
    ("POST", "/api/v1/anon_session", {}, {}, {"201": ANON_SESSION, **NEVER_MISSING, **NEVER_IN_CONFLICT}, None),
    ("POST", AUTH + "register", {}, CREDENTIALS, {
        "201": record(id=ID, email=EMAIL), **NEVER_MISSING, **OTHER_SITE,
        "409": {"conflict": None, "email_taken": {
            "detail": "there is an account with this e-mail address already",
            "suggestion": "Sign in, or use another address."}},
        "422": {"weak_password": {
            "detail": "the password has fewer than 10 characters, or is one that everybody tries",
            "suggestion": "Choose a longer one, such as four words that do not belong together."}},
    }, None),
    ("POST", AUTH + "login", {}, CREDENTIALS, {
        "200": SIGNED_IN, "401": {"invalid_credentials": {}}, **NEVER_MISSING, **NEVER_IN_CONFLICT, **OTHER_SITE,
        "429": {"login_throttled": {
            "detail": "too many attempts to sign in to this account",
            "suggestion": "Wait as long as Retry-After says."}},
    }, "The same answer, after the same time, for a wrong password and for nobody's address."),
    ("POST", AUTH + "logout", {}, {}, {"303": "See Other: a browser's form goes on to /", **NEVER_IN_CONFLICT}, None),
    ("GET", AUTH + "csrf", {}, {}, {"200": record(csrfToken=text()), **NEVER_MISSING}, "Bound to the session."),
    ("GET", AUTH + "me", {}, {}, {"200": ME, **NEVER_MISSING}, "By whichever credential."),
    ("POST", "/api/dev/demo/login", {}, {}, {
        "200": SIGNED_IN, "404": {"route_not_found": {}, "not_found": None}, **NEVER_IN_CONFLICT, **OTHER_SITE},
     "404 everywhere else."),
    ("GET", FILES, {}, {}, {"200": FILE}, "The files of whoever asks, page by page."),
    ("POST", FILES, {}, {
        "name": "what to call it", "content_type": "its media type", "metadata": "what else to keep, encrypted",
    }, {"201": FILE, **NEVER_MISSING, **NEVER_IN_CONFLICT}, "It belongs to whoever adds it, and nobody else sees it."),
    ("GET", FILES + "/{id}", ONE_FILE, {}, {"200": FILE}, "One's own; somebody else's is not there."),
    ("DELETE", FILES + "/{id}", ONE_FILE, {}, {}, "For good. What is not there cannot be deleted."),
    ("GET", "/audit", FILTERS, {}, {"200": EVENTS, **NEVER_MISSING}, None),
    ("GET", AUDIT, FILTERS, {}, {"200": EVENTS, **NEVER_MISSING}, None),
    ("GET", AUDIT + "/head", {}, {}, {"200": HEAD},
     "Kept on another machine, it shows later that nothing before it was changed. 404 before the first seal."),
    ("GET", AUDIT + "/verify", {}, {}, {
        "200": VERDICT, **NEVER_MISSING,
        "409": {"already_verifying": {"detail": "the audit log is being verified",
                                      "suggestion": "Try again when the other request is answered."}},
        "422": {"too_many_rows": {
            "detail": "more than 500000 rows are too many for a request",
            "suggestion": "Verify a later month, or all of it in psql or with ops/audit-verify."}},
    }, None),
    ("GET", "/v1/admin/llm-budget", {}, {}, {"200": BUDGET, **NEVER_MISSING},
     "The day is that of the budgets' time zone; what is held in reservations is in no spend."),
    ("GET", "/api/v1/usage", {}, {}, {"200": USAGE, **NEVER_MISSING}, "Nobody else's, and of budgets of everybody only whether they are used up."),
    ("POST", RESERVATIONS, {}, {
        "model": "the name of the language model", "input_tokens": "tokens that it is given",
        "max_output_tokens": "tokens that it may produce", "ttl_seconds": "how long the reservation lasts",
    }, {
        "201": RESERVATION, **NEVER_MISSING, **NEVER_IN_CONFLICT,
        "422": {"model_not_allowed": {}, "too_many_tokens": {}},
    }, None),
    ("POST", RESERVATIONS + "/{id}/extend", ONE_RESERVATION, {
        "tokens": "output tokens more", "ttl_seconds": "how long it lasts from now on",
    }, {"200": RESERVATION, **NO_RESERVATION, **over(), "429": {"insufficient_quota": {}}},
     "For an answer that gets longer than was thought."),
    ("POST", RESERVATIONS + "/{id}/settle", ONE_RESERVATION, TOKENS,
     {"200": SETTLED, **NO_RESERVATION, **over("reservation_settled")},
     "In place of what was held. Once more, it says what was charged."),
    ("DELETE", RESERVATIONS + "/{id}", ONE_RESERVATION, {}, {**NO_RESERVATION, **over("reservation_released")},
     "For a call that was not made. Once more, it does nothing."),
]


def describe_list(method, path, descriptions):
    """Adds them to the parameters of those names."""
    op.execute(f"""
        UPDATE relay_guard.route SET parameters = (
            SELECT jsonb_agg(p || CASE WHEN d ? (p ->> 'name') AND NOT p ? 'description'
                             THEN jsonb_build_object('description', d -> (p ->> 'name')) ELSE '{{}}' END ORDER BY place)
            FROM jsonb_array_elements(parameters) WITH ORDINALITY l(p, place))
        FROM (SELECT {quoted(descriptions)}::jsonb) t(d)
        WHERE method = '{method}' AND path = '{path}'
    """)


def describe_members(method, path, descriptions):
    for name, description in descriptions.items():
        op.execute(f"""
            UPDATE relay_guard.route
            SET request_body = jsonb_set(request_body, '{{properties,{name},description}}', {quoted(description)}::jsonb)
            WHERE method = '{method}' AND path = '{path}'
        """)


def quoted(value):
    return "'" + json.dumps(value).replace("'", "''") + "'"


def forget(method, path, parameters, members):
    names = quoted(list(parameters))
    if parameters:
        op.execute(f"""
            UPDATE relay_guard.route SET parameters = (
                SELECT jsonb_agg(CASE WHEN {names}::jsonb ? (p ->> 'name') THEN p - 'description' ELSE p END ORDER BY place)
                FROM jsonb_array_elements(parameters) WITH ORDINALITY l(p, place))
            WHERE method = '{method}' AND path = '{path}'
        """)
    for name in members:
        op.execute(f"""
            UPDATE relay_guard.route SET request_body = request_body #- '{{properties,{name},description}}'
            WHERE method = '{method}' AND path = '{path}'
        """)


def upgrade():
    for method, path, parameters, members, responses, description in ROUTES:
        if parameters:
            describe_list(method, path, parameters)
        describe_members(method, path, members)
        change_route(method, path, responses=responses,
                     **({"description": description} if description else {}))
    add_route("GET", "/openapi.json", "SELECT relay_guard.openapi()", auth="none", rate=("api",),
              result="value", run_as="relay_app", summary="This document",
              description="The routes as they are now, as OpenAPI 3.1; /docs shows it to people.",
              responses={"200": DOCUMENT, **NEVER_MISSING})


def downgrade():
    drop_route("GET", "/openapi.json")
    for method, path, parameters, members, _, description in ROUTES:
        forget(method, path, parameters, members)
        change_route(method, path, responses=None, **({"description": None} if description else {}))
