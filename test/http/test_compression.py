"""ETag, If-None-Match and gzip."""
import gzip
import re

import pytest

from conftest import running, wait_until

GZIP = {"Accept-Encoding": "gzip"}


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql("""
        INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, cache_seconds, parameters)
        SELECT method, path, query, 'none', 'value', 'relay_app', seconds,
               '[{"name": "n", "in": "query", "schema": {"type": "integer", "default": 2000}}]'
        FROM (VALUES ('GET', '/etag/kept', 'SELECT repeat(''x'', request.n::int)', 60),
                     ('GET', '/etag/changing', 'SELECT clock_timestamp() || repeat(''x'', request.n::int)', 60),
                     ('GET', '/etag/plain', 'SELECT repeat(''x'', request.n::int)', NULL),
                     ('GET', '/etag/random', $q$SELECT string_agg(md5(i::text) || md5(i::text || 'x'), '') FROM generate_series(1, request.n) i$q$, NULL),
                     ('GET', '/etag/missing', 'SELECT 1 WHERE request.n < 0', 60),
                     ('POST', '/etag/write', 'SELECT repeat(''x'', request.n::int)', NULL)) r (method, path, query, seconds)
        """, user="relay_owner")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/etag/%'", user="relay_owner")


@pytest.fixture(scope="module", params=["16M", "0"], ids=["cache", "no-cache"])
def one(request, postgres):
    with running(postgres.url("relay_gateway"), WORKERS=1, RESPONSE_CACHE=request.param) as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def body_of(answer):
    return gzip.decompress(answer.body) if answer.header("content-encoding") == "gzip" else answer.body


def is_compressed(answer):
    return answer.header("content-encoding") == "gzip"


def test_cacheable_answers_have_an_etag_and_are_the_clients_own(one):
    answer = one.get("/etag/kept")
    assert re.fullmatch(r'"[0-9a-f]{32}"', answer.header("etag"))
    assert answer.header("cache-control") == "private, no-cache"
    assert one.get("/etag/kept").header("etag") == answer.header("etag")
    other = one.get("/etag/kept?n=1999")
    assert other.header("etag") != answer.header("etag")


def test_others_have_none(one):
    for method, path, status in (("GET", "/etag/plain", 200), ("GET", "/etag/missing", 404), ("POST", "/etag/write", 200)):
        answer = one.ask(method, path, body=b"" if method == "POST" else None)
        assert answer.status == status
        assert answer.header("etag") is None and answer.header("cache-control") == "no-store"


@pytest.mark.parametrize("form", ["{0}", "W/{0}", '"x", {0}', '"x",W/{0} , "y"', "*", "  {0}  "])
def test_what_the_client_has_is_not_sent_again(one, form):
    etag = one.get("/etag/kept").header("etag")
    answer = one.get("/etag/kept", {"If-None-Match": form.format(etag)})
    assert (answer.status, answer.body, answer.header("etag")) == (304, b"", etag)
    assert answer.header("cache-control") == "private, no-cache" and answer.header("content-length") is None
    assert one.ask("HEAD", "/etag/kept", {"If-None-Match": form.format(etag)}).status == 304


@pytest.mark.parametrize("form", ['"x"', "{1}", "W/{1}", "{0}x", "", ",", '"'])
def test_anything_else_is_answered(one, form):
    etag = one.get("/etag/kept").header("etag")
    answer = one.get("/etag/kept", {"If-None-Match": form.format(etag, etag.strip('"'))})
    assert answer.status == 200 and len(answer.body) == 2002


def test_an_etag_changes_with_the_bytes(one, postgres):
    etag = one.get("/etag/changing").header("etag")
    postgres.sql("SELECT relay_guard.cache_invalidate('*')")
    answer = one.get("/etag/changing", {"If-None-Match": etag})
    assert answer.status == 200 and answer.header("etag") != etag


def test_errors_and_missing_rows_are_never_304(one):
    assert one.get("/etag/missing", {"If-None-Match": "*"}).status == 404
    assert one.get("/etag/kept?n=x", {"If-None-Match": "*"}).status == 422


@pytest.mark.parametrize("path", ["/etag/kept", "/etag/plain"])
def test_gzip_for_who_takes_it(one, path):
    plain = one.get(path)
    assert not is_compressed(plain) and plain.header("vary") == "Accept-Encoding"
    for accepts in ("gzip", "gzip, deflate, br", "*", "identity;q=0.5, gzip"):
        for _ in range(2):
            answer = one.get(path, {"Accept-Encoding": accepts})
            assert is_compressed(answer) and answer.header("vary") == "Accept-Encoding"
            assert gzip.decompress(answer.body) == plain.body and len(answer.body) < 200
    for refuses in ("gzip;q=0", "identity", "br", "*;q=0", "identity, gzip;q=0.1"):
        assert one.get(path, {"Accept-Encoding": refuses}).body == plain.body


def test_small_answers_are_not_compressed(one):
    answer = one.get("/etag/kept?n=900", GZIP)
    assert not is_compressed(answer) and answer.header("vary") is None
    assert not is_compressed(one.get("/etag/random?n=200000", GZIP))   # 12 MB: nor too large ones
    assert not is_compressed(one.ask("POST", "/etag/write", GZIP, b""))


def test_each_form_has_its_own_etag(one):
    plain, compressed = one.get("/etag/kept"), one.get("/etag/kept", GZIP)
    assert compressed.header("etag") == plain.header("etag")[:-1] + '-gz"'
    for form, headers, match in ((plain, {}, True), (compressed, GZIP, True), (plain, GZIP, True), (compressed, {}, False)):
        answer = one.get("/etag/kept", {"If-None-Match": form.header("etag"), **headers})
        assert answer.status == (304 if match else 200)
        assert not match or answer.header("etag") == form.header("etag")
        assert answer.header("content-encoding") is None


def test_head_is_as_get(one):
    for headers in ({}, GZIP):
        get, head = one.get("/etag/kept", headers), one.ask("HEAD", "/etag/kept", headers)
        assert head.body == b"" and head.status == 200
        for name in ("etag", "content-length", "content-encoding", "vary", "content-type"):
            assert head.header(name) == get.header(name)


@pytest.mark.parametrize("site, compressed", [
    (None, False), ("cross-site", False), ("same-site", False), ("same-origin", True), ("none", True)])
def test_no_other_site_learns_from_lengths(one, site, compressed):
    """BREACH: with cookies, only what the site itself has asked for is compressed."""
    headers = {**GZIP, "Cookie": "session=1", **({"Sec-Fetch-Site": site} if site else {})}
    for path in ("/etag/kept", "/etag/plain"):
        assert is_compressed(one.get(path, headers)) == compressed
    assert is_compressed(one.get("/", headers))     # a page is no secret


def test_pages_are_compressed(one):
    plain, compressed = one.get("/"), one.get("/", GZIP)
    assert gzip.decompress(compressed.body) == plain.body and len(compressed.body) < len(plain.body)
    assert one.get("/", {**GZIP, "If-None-Match": compressed.header("etag")}).status == 304


def test_nothing_is_compressed_where_that_is_off(start):
    gateway = start(GZIP="off", WORKERS=1)
    answer = gateway.get("/etag/kept", GZIP)
    assert not is_compressed(answer) and answer.header("vary") is None and answer.header("etag")


def test_compressing_takes_a_part_of_the_time_only(one):
    """A megabyte of what hardly compresses, again and again: the later ones go as they are."""
    answers = [one.get("/etag/random?n=16000", GZIP) for _ in range(12)]
    assert is_compressed(answers[0]) and not all(map(is_compressed, answers))
    assert len({body_of(answer) for answer in answers}) == 1
