"""Routes of result file: bytes as they are, in parts, from memory, and nothing that a browser would run."""
import gzip

import pytest

BYTES = bytes(range(256)) * 40
ROUTES = """
    CREATE TABLE relay.test_file (name text PRIMARY KEY, content bytea NOT NULL, content_type text, modified timestamptz);
    GRANT SELECT ON relay.test_file TO relay_app;
    INSERT INTO relay.test_file VALUES
        ('bytes', decode('%s', 'hex'), 'application/octet-stream', '2026-01-31 13:45:07Z'),
        ('Bericht ä.txt', convert_to(repeat('text ', 1000), 'UTF8'), 'text/plain; charset=utf-8', '2026-01-31 13:45:07Z'),
        ('page.html', '<script>alert(1)</script>', 'text/html', NULL), ('empty', '', NULL, NULL);
    INSERT INTO relay_guard.route (method, path, query, auth, result, parameters, run_as, cache_seconds, cache_tags)
    SELECT 'GET', path, 'SELECT content, content_type, name AS file_name, modified FROM relay.test_file WHERE name = request.name', 'none', 'file',
        '[{"name": "name", "in": "query", "required": true, "schema": {"type": "string"}}]', 'relay_app', seconds, tags
    FROM (VALUES ('/test/file', NULL::int, '{}'::text[]), ('/test/kept', 3600, '{files}'), ('/v1/models/file', NULL, '{}')) r(path, seconds, tags);
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as)
    VALUES ('POST', '/test/file', 'SELECT ''made''::bytea AS content', 'none', 'file', 'relay_app');
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, cache_seconds) VALUES ('GET', '/test/clock',
        'SELECT convert_to(clock_timestamp()::text, ''UTF8'') AS content, ''clock'' AS file_name, ''text/plain'' AS content_type', 'none', 'file', 'relay_app', 3600);
"""
MODIFIED = "Sat, 31 Jan 2026 13:45:07 GMT"


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql(ROUTES % BYTES.hex(), user="relay_owner")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE result = 'file'; DROP TABLE relay.test_file", user="relay_owner")


def get(gateway, name, path="/test/file", method="GET", **headers):
    return gateway.ask(method, f"{path}?name={name}", {key.replace("_", "-"): value for key, value in headers.items()})


def all_of(answer, name):
    return [value for key, value in answer.headers if key == name.lower()]


@pytest.mark.parametrize("path", ["/test/file", "/test/kept"])
def test_a_file_comes_as_it_is(gateway, path):
    for _ in range(2):
        answer = get(gateway, "bytes", path)
        assert answer.status == 200 and answer.body == BYTES
        assert answer.header("Content-Type") == "application/octet-stream"
        assert answer.header("Content-Disposition") == 'attachment; filename="bytes"'
        assert answer.header("Last-Modified") == MODIFIED and answer.header("Accept-Ranges") == "bytes"
        head = get(gateway, "bytes", path, "HEAD")
        assert head.status == 200 and head.body == b"" and head.header("Content-Length") == str(len(BYTES))
    assert get(gateway, "nothing", path).status == 404
    empty = get(gateway, "empty", path)
    assert (empty.status, empty.body, empty.header("Content-Length")) == (200, b"", "0")


@pytest.mark.parametrize("path", ["/test/file", "/test/kept"])
def test_no_page_of_a_file_runs_here(gateway, path):
    for _ in range(2):
        answer = get(gateway, "page.html", path)
        assert answer.header("Content-Disposition") == 'attachment; filename="page.html"'
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert "default-src 'none'; sandbox" in all_of(answer, "Content-Security-Policy")


def test_a_name_in_any_script(gateway):
    answer = get(gateway, "Bericht%20%C3%A4.txt")
    assert answer.header("Content-Disposition") == 'inline; filename="Bericht _.txt"; filename*=UTF-8\'\'Bericht%20%C3%A4.txt'


@pytest.mark.parametrize("path", ["/test/file", "/test/kept"])
@pytest.mark.parametrize("asked, first, last", [("bytes=0-0", 0, 0), ("bytes=100-199", 100, 199), ("bytes=10000-", 10000, 10239),
                                                ("bytes=-40", 10200, 10239), ("bytes=10239-99999", 10239, 10239)])
def test_a_range_is_answered_by_its_bytes(gateway, path, asked, first, last):
    answer = get(gateway, "bytes", path, Range=asked)
    assert answer.status == 206 and answer.body == BYTES[first:last + 1]
    assert answer.header("Content-Range") == f"bytes {first}-{last}/10240"
    assert answer.header("Content-Length") == str(last - first + 1)
    assert answer.header("Last-Modified") == MODIFIED and answer.header("Content-Disposition")


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "bytes=5-1", "lines=1-2", "bytes=a-", "bytes"])
def test_what_is_no_single_range_gets_all_of_it(gateway, asked):
    assert (answer := get(gateway, "bytes", Range=asked)).status == 200 and answer.body == BYTES


@pytest.mark.parametrize("path", ["/test/file", "/test/kept"])
def test_a_range_behind_the_end_is_416_and_no_file(gateway, path):
    for _ in range(2):
        answer = get(gateway, "Bericht%20%C3%A4.txt", path, Range="bytes=5000-")
        assert (answer.status, answer.json()["code"]) == (416, "range_not_satisfiable")
        assert answer.header("Content-Range") == "bytes */5000" and answer.header("Cache-Control") == "no-store"
        assert answer.header("Content-Disposition") is None and answer.header("Content-Type") == "application/problem+json"
        assert answer.header("ETag") is None and answer.header("Accept-Ranges") is None
    answer = get(gateway, "empty", "/v1/models/file", Range="bytes=0-")
    assert answer.status == 416 and answer.json()["error"]["code"] == "range_not_satisfiable"


def test_head_and_post_know_no_ranges(gateway):
    assert get(gateway, "bytes", method="HEAD", Range="bytes=0-1").status == 200
    answer = gateway.ask("POST", "/test/file", {"Range": "bytes=0-1"})
    assert (answer.status, answer.body) == (200, b"made")
    assert gateway.get("/test/large/10", {"Range": "bytes=0-1"}).status == 200, "nor do other routes"


def test_if_range_counts_while_the_file_is_the_same(gateway):
    etag = get(gateway, "bytes", "/test/kept").header("ETag")
    for path, validator, status in [("/test/file", MODIFIED, 206), ("/test/kept", MODIFIED, 206), ("/test/kept", etag, 206),
                                    ("/test/file", "Sat, 31 Jan 2026 13:45:08 GMT", 200), ("/test/file", etag, 200),
                                    ("/test/kept", f"W/{etag}", 200), ("/test/kept", '"other"', 200), ("/test/kept", "", 200)]:
        assert get(gateway, "bytes", path, Range="bytes=0-9", If_Range=validator).status == status, (path, validator)
    assert get(gateway, "page.html", Range="bytes=0-9", If_Range=MODIFIED).status == 200


def test_a_kept_file_is_304_and_new_when_it_has_changed(gateway, postgres):
    first = get(gateway, "page.html", "/test/kept")
    again = get(gateway, "page.html", "/test/kept", If_None_Match=first.header("ETag"), Range="bytes=0-1")
    assert again.status == 304 and again.body == b"" and again.header("ETag") == first.header("ETag")
    postgres.sql("UPDATE relay.test_file SET content = 'new', content_type = 'text/plain' WHERE name = 'page.html';"
                 "SELECT relay_guard.cache_invalidate('files')")
    try:
        new = get(gateway, "page.html", "/test/kept", If_None_Match=first.header("ETag"))
        assert (new.status, new.body, new.header("Content-Type")) == (200, b"new", "text/plain")
        assert new.header("Content-Disposition") == 'inline; filename="page.html"'
    finally:
        postgres.sql("UPDATE relay.test_file SET content = '<script>alert(1)</script>', content_type = 'text/html' WHERE name = 'page.html';"
                     "SELECT relay_guard.cache_invalidate('files')")


@pytest.mark.parametrize("path", ["/test/file", "/test/kept"])
def test_text_is_compressed_but_not_in_parts(gateway, path):
    for _ in range(2):
        answer = get(gateway, "Bericht%20%C3%A4.txt", path, Accept_Encoding="gzip")
        assert answer.header("Content-Encoding") == "gzip" and gzip.decompress(answer.body) == b"text " * 1000
        assert answer.header("Vary") == "Accept-Encoding" or "Accept-Encoding" in all_of(answer, "Vary")
        part = get(gateway, "Bericht%20%C3%A4.txt", path, Accept_Encoding="gzip", Range="bytes=5-9")
        assert part.status == 206 and part.body == b"text " and part.header("Content-Encoding") is None


def test_a_kept_file_and_what_is_said_of_it_come_without_the_statement(start):
    gateway = start(WORKERS=1)
    answers = [gateway.get("/test/clock") for _ in range(3)]
    assert len({answer.body for answer in answers}) == 1
    assert {answer.header("Content-Disposition") for answer in answers} == {'inline; filename="clock"'}
    assert gateway.get("/test/clock", {"Range": "bytes=0-3"}).body == answers[0].body[:4]
    assert len({tuple(sorted(name for name, _ in answer.headers)) for answer in answers}) == 1
