"""What pages of other origins may read, as a browser decides it."""
import pytest
from relays import running, wait_until

ROUTES = """
    INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
    VALUES ('browser_ip', 'ip', 3, '1 h', 'sliding_window');
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, rate)
    VALUES ('PUT', '/browser/limited', 'SELECT 1', 'none', 'value', 'relay_app', '{browser_ip}')
"""


def named(host, origin):
    """That origin under another name, which the browser finds at the same place."""
    return origin.replace("127.0.0.1", host)


@pytest.fixture(scope="module")
def api(postgres, page):
    postgres.sql(ROUTES, user="relay_owner")
    with running(postgres.url("relay_gateway"), WORKERS=1, CORS_ORIGINS=f"https://app.example,{page},{named('app.test', page)}") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield f"http://127.0.0.1:{gateway.port}"
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/browser/%';"
                 "DELETE FROM relay_guard.rate_policy WHERE name = 'browser_ip'", user="relay_owner")


@pytest.mark.parametrize("path, status", [
    ("/test/echo/a", 200), ("/test/whoami", 401), ("/test/divide/0", 500), ("/nothing/here", 404),
    ("/health", 200), ("/style.css", 200), ("/a%00", 400)])
def test_a_page_of_an_allowed_origin_reads_every_answer(browser, api, page, path, status):
    browser.open(page)
    for credentials in "omit", "include":
        answer = browser.fetch(api + path, credentials=credentials)
        assert (answer["status"], answer["type"]) == (status, "cors")
        assert answer["headers"]["x-request-id"]
        if status >= 400:
            assert answer["headers"]["content-type"] == "application/problem+json"
            assert f'"status":{status}' in answer["body"].replace(" ", "")
    assert status != 401 or answer["headers"]["www-authenticate"]


def test_a_preflight_lets_it_send_what_the_api_takes(browser, api, page):
    browser.open(page)
    token = browser.json(api + "/api/v1/anon_session", method="POST")["token"]
    answer = browser.fetch(api + "/test/whoami", headers={
        "Authorization": f"Bearer {token}", "Idempotency-Key": "a", "X-Request-ID": "from-a-page"})
    assert answer["status"] == 200 and answer["headers"]["x-request-id"] == "from-a-page"
    assert "error" in browser.fetch(api + "/test/whoami", headers={"X-Unheard-Of": "a"})


def test_a_429_is_readable_from_the_database_and_from_memory(browser, api, page):
    browser.open(page)
    answers = [browser.fetch(api + "/browser/limited", method="PUT") for _ in range(6)]
    assert [answer["status"] for answer in answers] == [200] * 3 + [429] * 3
    for refused in answers[3:]:
        assert int(refused["headers"]["retry-after"]) > 0 and "ratelimit" in refused["headers"]
        assert '"rate_limited"' in refused["body"]
    # what is refused has been preflighted each time: the preflight is not
    assert "error" not in browser.fetch(api + "/browser/limited", method="PUT", headers={"X-API-Key": "a"})


def test_a_page_of_another_origin_reads_nothing(browser, api, stranger):
    browser.open(stranger)
    for path in "/test/echo/a", "/test/whoami", "/health":
        assert "Failed to fetch" in browser.fetch(api + path)["error"]
    assert any("blocked by CORS policy" in line for line in browser.console())


EVENTS = """
    const [url, count, done] = arguments, seen = [];
    const source = new EventSource(url, {withCredentials: true});
    source.addEventListener("note", event => {
        seen.push([event.lastEventId, event.data]);
        if (seen.length === count) { source.close(); done(seen); }
    });
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) done("refused"); };
"""


def test_events_are_followed_by_the_pages_that_may(browser, api, page, stranger, postgres):
    first, = postgres.sql("SELECT relay_guard.event_last('events')")[0]
    for text in "one", "two":
        postgres.sql(f"SELECT relay_guard.event_append('events', 'note', '{text}')")
    url = f"{api}/v1/events?after={first}"
    browser.open(page)
    assert [text for _, text in browser.driver.execute_async_script(EVENTS, url, 2)] == ["one", "two"]
    browser.open(stranger)
    assert browser.driver.execute_async_script(EVENTS, url, 2) == "refused"


@pytest.mark.parametrize("host, reads", [
    ("app.test", True), ("APP.test", True),     # which the browser writes in lower case
    ("sub.app.test", False), ("app.test.evil.test", False), ("evil-app.test", False),
    ("app_.test", False), ("evil.test", False), ("xn--pp-wia.test", False)])
def test_a_name_that_is_like_an_allowed_one_is_another(browser, api, page, host, reads):
    browser.open(named(host, page))
    assert ("error" not in browser.fetch(api + "/test/echo/a")) == reads


def test_another_port_is_another_origin(browser, api, stranger):
    browser.open(named("app.test", stranger))
    assert "Failed to fetch" in browser.fetch(api + "/test/echo/a")["error"]


def test_a_sandboxed_page_reads_nothing(browser, api):
    browser.open("data:text/html,<title>null</title>")
    assert browser.run("return self.origin") == "null"
    assert "Failed to fetch" in browser.fetch(api + "/test/echo/a")["error"]


def test_the_gateways_own_pages_are_shown_under_their_policy(browser, api):
    browser.open(api + "/")
    assert browser.run("return getComputedStyle(document.body).margin") is not None
    assert not [line for line in browser.console() if "Content Security Policy" in line]
    answer = browser.fetch("/test/echo/a")
    assert (answer["status"], answer["type"]) == (200, "basic")
