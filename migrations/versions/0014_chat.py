"""Language models answer: chat completions as OpenAI has them, one reply, a stream of events

Whoever asks may not say what it costs: serve() reserves it, and the gateway settles it
with what the provider has counted.  The reservations of 0007 believe the numbers that
they are told, so from here on they are for admins: services that call models
themselves.

Revision ID: 0014
Revises: 0013
"""
from routes import add_route, change_route, drop_route

revision = "0014"
down_revision = "0013"

CHAT = "/v1/chat"
COMPLETIONS = "/v1/chat/completions"
STREAM = "/api/v1/stream"
STREAM_AGAIN = STREAM + "/{id}"
MODELS = "/v1/models"
RESERVATIONS = "/api/v1/llm/reservations"

MESSAGE_QUOTAS = ("anon_hour", "anon_lifetime")
COMMON = dict(rate=("ip", "user"), run_as="relay_app")
ASKS = dict(result="completion", quota=MESSAGE_QUOTAS, budget="all", **COMMON)


def text(**schema):
    return {"type": "string", **schema}


def whole(**schema):
    return {"type": "integer", **schema}


def or_null(schema):
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*types, "null"]}


def described(words, schema):
    return {**schema, "description": words}


def array(items, **schema):
    return {"type": "array", "items": items, **schema}


def anything(*required, **properties):
    """An object with at least these members."""
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": True}


def exactly(required, **properties):
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


NUMBER = {"type": "number"}
YES = {"type": "boolean"}
OBJECT = {"type": "object"}
NEVER_MISSING = {"404": None}

MODEL = described("which of GET /v1/models; without it the one whose output costs least",
                  or_null(text(minLength=1, maxLength=128)))
ROLES = ["system", "developer", "user", "assistant", "tool", "function"]
MESSAGES = array(anything("role", role=text(enum=ROLES), content={"type": ["string", "array", "null"], "items": OBJECT}),
                 minItems=1, maxItems=2000)

# What has no price of its own: no service tiers, no searches, no audio
OPTIONS = {
    "max_completion_tokens": ("tokens that each answer may have; at most, and by default, what the model may",
                              whole(minimum=1, maximum=1000000000)),
    "max_tokens": ("the former name of max_completion_tokens", whole(minimum=1, maximum=1000000000)),
    "n": ("how many answers", whole(minimum=1, maximum=128)),
    "stream": ("whether the answer comes as server-sent events", YES),
    "stream_options": ("include_usage: whether the last chunk but [DONE] tells the usage", OBJECT),
    "temperature": ("how much chance there is in it", {**NUMBER, "minimum": 0, "maximum": 2}),
    "top_p": ("from how much of the likeliest it is drawn", {**NUMBER, "minimum": 0, "maximum": 1}),
    "stop": ("where it stops: a text, or up to four", {"type": ["string", "array"], "items": text(), "maxItems": 4}),
    "presence_penalty": ("against what was there before", {**NUMBER, "minimum": -2, "maximum": 2}),
    "frequency_penalty": ("against what was there often", {**NUMBER, "minimum": -2, "maximum": 2}),
    "logit_bias": ("how likely single tokens are", OBJECT),
    "logprobs": ("whether the answer tells how likely its tokens were", YES),
    "top_logprobs": ("of how many other tokens as well", whole(minimum=0, maximum=20)),
    "seed": ("the same one may give the same answer", whole()),
    "response_format": ("text, or JSON of a schema", OBJECT),
    "tools": ("functions that the model may ask to be called", array(OBJECT, maxItems=128)),
    "tool_choice": ("which of them it must, or may", {"type": ["string", "object"]}),
    "parallel_tool_calls": ("whether it may ask for several at once", YES),
    "functions": ("the former form of tools", array(OBJECT, maxItems=128)),
    "function_call": ("the former form of tool_choice", {"type": ["string", "object"]}),
    "reasoning_effort": ("how long it thinks", text(maxLength=16)),
    "verbosity": ("how much it says", text(maxLength=16)),
    "user": ("not passed on: the provider is told a name that stands for the caller", text(maxLength=255)),
    "safety_identifier": ("not passed on, as user", text(maxLength=255)),
}

COMPLETION = exactly(
    ["messages"], model=MODEL, messages=described("the conversation, oldest first", MESSAGES),
    **{name: described(words, or_null(schema)) for name, (words, schema) in OPTIONS.items()})

QUESTION = exactly(
    ["message"], message=described("what to answer", text(minLength=1, maxLength=100000)), model=MODEL,
    messages=described("what was said before, oldest first", or_null(array(anything(
        "role", "content", role=text(enum=["system", "user", "assistant"]), content=text()), maxItems=2000))))

QUESTION_AS_REQUEST = """
    SELECT jsonb_build_object('model', request.model, 'messages',
        coalesce(request.messages, '[]') || jsonb_build_object('role', 'user', 'content', request.message)) AS body
"""

COMPLETED = anything("id", "object", "choices", id=text(), object=text(const="chat.completion"), created=whole(),
                     model=text(), choices=array(OBJECT), usage=or_null(OBJECT))

REPLY = {"type": "object", "required": ["reply", "model", "finish_reason", "usage"], "properties": {
    "reply": text(), "model": text(), "finish_reason": or_null(text()),
    "usage": {"type": "object", "required": ["input_tokens", "output_tokens"], "properties": {
        "input_tokens": whole(minimum=0), "output_tokens": whole(minimum=0)}}}}

LIST = {"type": "object", "required": ["object", "data"], "properties": {
    "object": text(const="list"),
    "data": array({"type": "object", "required": ["id", "object", "created", "owned_by"], "properties": {
        "id": text(), "object": text(const="model"), "created": whole(), "owned_by": text()}})}}

ONE_STREAM = [
    {"name": "id", "in": "path", "required": True, "description": "X-Completion-ID of the answer",
     "schema": text(format="uuid")},
    {"name": "after", "in": "query", "description": "The id of the last event received; -1: all that are kept.",
     "schema": whole(minimum=-1)},
]

FOR_SERVICES = ("For services that call models themselves, whose numbers are believed. "
                "What is not settled before expires_at is charged as reserved.")
FORMER = "It counts as one message. What is not settled before expires_at is charged as reserved."


def upgrade():
    add_route("POST", COMPLETIONS, "SELECT request.body AS body", request_body=COMPLETION, shape="openai",
              auth="anonymous", summary="A language model answers, as OpenAI's chat completions do",
              description="Clients of OpenAI take this server's /v1 for their base URL, and a token of its own for the key.",
              responses={"200": COMPLETED, **NEVER_MISSING}, **ASKS)
    add_route("POST", CHAT, QUESTION_AS_REQUEST, request_body=QUESTION, shape="reply", auth="optional",
              summary="A language model answers",
              description="At once and as one object. Without credentials the limits of the address count.",
              responses={"200": REPLY, **NEVER_MISSING}, **ASKS)
    add_route("POST", STREAM, QUESTION_AS_REQUEST, request_body=QUESTION, shape="events", auth="anonymous",
              summary="A language model answers, as events that are kept",
              description="message_chunk, then usage and done, or error. They are kept for an hour.",
              responses=NEVER_MISSING, **ASKS)
    add_route("GET", STREAM_AGAIN, """
        SELECT relay_guard.completion_stream(request.id) AS stream, request.after
        """, parameters=ONE_STREAM, result="stream", auth="anonymous",
              summary="Follow an answer again, from where it was left",
              description="One's own; Last-Event-ID or after say what was received.", **COMMON)
    add_route("GET", MODELS, """
        SELECT json_build_object('object', 'list', 'data', coalesce(json_agg(json_build_object(
            'id', name, 'object', 'model', 'created', extract(epoch FROM since)::bigint, 'owned_by', provider)), '[]'))
        FROM relay_guard.completion_models()
        """, result="value", auth="optional", summary="The language models that there are",
              description="As OpenAI lists them. Any of them may be named as model.",
              responses={"200": LIST, **NEVER_MISSING}, **COMMON)
    for method, path in reservations():
        change_route(method, path, auth="admin")
    change_route("POST", RESERVATIONS, quota=(), description=FOR_SERVICES)


def reservations():
    yield "POST", RESERVATIONS
    yield "POST", RESERVATIONS + "/{id}/extend"
    yield "POST", RESERVATIONS + "/{id}/settle"
    yield "DELETE", RESERVATIONS + "/{id}"


def downgrade():
    change_route("POST", RESERVATIONS, quota=MESSAGE_QUOTAS, description=FORMER)
    for method, path in reservations():
        change_route(method, path, auth="anonymous")
    drop_route("GET", MODELS)
    drop_route("GET", STREAM_AGAIN)
    for path in STREAM, CHAT, COMPLETIONS:
        drop_route("POST", path)
