"""FastAPI + uvicorn (uvloop, httptools) + asyncpg + redis.asyncio, tuned.

No BaseHTTPMiddleware, no reset query between users of a connection, the JSON
made by PostgreSQL, the limiter one EVALSHA.
"""
import json
import os
import time
import uuid

import asyncpg
import jwt
import redis.asyncio
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel

LIMIT, WINDOW = 1_000_000_000, 60
SECRET = os.environ["SUPABASE_JWT_SECRET"]
ISSUER = os.environ["BENCH_ISSUER"]
AUDIENCE = os.environ["BENCH_AUDIENCE"]
TAKE = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
"""
LIST = """
select coalesce(json_agg(page), '[]')::text from (
    select id, name, mime, size_bytes, status, created_at from knowledge_files
    order by created_at desc, id desc limit $1) page
"""
ADD = "insert into note (user_id, title, body) values ($1, $2, $3) returning id"
TRAIL = """
insert into trail (user_id, action, resource, request_id, ip, details)
values ($1, 'note.create', 'note/' || $2::text, $3, $4, $5)
"""
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"cache-control", b"no-store"),
]


class Connection(asyncpg.Connection):
    def get_reset_query(self):
        return ""


class Headers:
    """Request id, security and limit headers on every answer."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope["request_id"] = uuid.uuid4().hex
        request_id = scope["request_id"].encode()

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                headers = message["headers"]
                headers.append((b"x-request-id", request_id))
                headers.extend(SECURITY)
                headers.extend(scope.get("limits", ()))
            await send(message)

        await self.app(scope, receive, send_with_headers)


app = FastAPI(openapi_url=None)
app.add_middleware(Headers)


@app.on_event("startup")
async def connect():
    app.pool = await asyncpg.create_pool(
        host=os.environ["PGHOST"], port=5432, user="app", database="bench",
        min_size=8, max_size=8, connection_class=Connection)
    app.redis = redis.asyncio.Redis(port=int(os.environ["BENCH_REDIS_PORT"]),
                                    max_connections=300)
    app.take = await app.redis.script_load(TAKE)


async def take(user, scope):
    now = int(time.time())
    window = now // WINDOW
    count = await app.redis.evalsha(app.take, 1, f"rl:{user}:{window}", WINDOW)
    scope["limits"] = [
        (b"x-ratelimit-limit", b"%d" % LIMIT),
        (b"x-ratelimit-remaining", b"%d" % max(0, LIMIT - count)),
        (b"x-ratelimit-reset", b"%d" % ((window + 1) * WINDOW - now)),
    ]
    if count > LIMIT:
        raise HTTPException(429)


async def current_user(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        raise HTTPException(401)
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer=ISSUER,
                            audience=AUDIENCE, options={"require": ["exp", "sub"]})
    except jwt.PyJWTError:
        raise HTTPException(401)
    await take(claims["sub"], request.scope)
    return claims["sub"]


@app.get("/api/v1/knowledge/files")
async def files(limit: int = 50, user: str = Depends(current_user)):
    async with app.pool.acquire() as connection:
        async with connection.transaction():
            await connection.fetchval("select set_config('app.user_id', $1, true)", user)
            page = await connection.fetchval(LIST, min(limit, 100))
    return Response('{"items":' + page + "}", media_type="application/json")


class Note(BaseModel):
    title: str
    body_text: str


@app.post("/api/v1/notes", status_code=201)
async def add_note(note: Note, request: Request, user: str = Depends(current_user)):
    async with app.pool.acquire() as connection:
        async with connection.transaction():
            await connection.fetchval("select set_config('app.user_id', $1, true)", user)
            added = await connection.fetchval(ADD, int(user), note.title, note.body_text)
            await connection.execute(TRAIL, int(user), str(added), request.scope["request_id"],
                                     request.client.host, json.dumps({"title": note.title}))
    return Response('{"id":%d}' % added, 201, media_type="application/json")
