"""Accounts and sessions as a browser has them; each test comes from addresses and accounts of its own."""
import concurrent.futures
import itertools
import json
import re
import statistics
import subprocess
import threading
import time

import psycopg2
import pytest

from conftest import clean_environment, gateway_binary, running, wait_until

AUTH = "/api/auth/"
FILES = "/api/v1/knowledge/files"
PASSWORD = "four words, never together"
SAME = {"Sec-Fetch-Site": "same-origin"}
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def site(postgres):
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1", ALLOW_DEV_ROUTES=1) as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def new_email():
    return f"user{next(numbers)}@sessions.example"


class Browser:
    """Keeps cookies as a browser does, and comes from an address of its own."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.address = f"2001:db8:{next(numbers):x}::1"
        self.cookie = self.csrf = None

    def ask(self, method, path, headers=(), body=None):
        sent = {"X-Forwarded-For": self.address, **SAME, **dict(headers)}
        if self.cookie:
            sent.setdefault("Cookie", self.cookie)
        if body is not None and not isinstance(body, bytes):
            sent["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        answer = self.gateway.ask(method, path, {name: value for name, value in sent.items() if value is not None}, body)
        cookie = answer.header("Set-Cookie")
        if cookie is not None:
            self.cookie = None if "Max-Age=0" in cookie else cookie.split(";")[0]
        return answer

    def register(self, email, password=PASSWORD):
        return self.ask("POST", AUTH + "register", body={"email": email, "password": password})

    def login(self, email, password=PASSWORD, headers=()):
        answer = self.ask("POST", AUTH + "login", headers, {"email": email, "password": password})
        if answer.status == 200:
            self.csrf = answer.json()["csrfToken"]
        return answer

    def write(self, **headers):
        sent = {"X-CSRF-Token": self.csrf, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.ask("POST", FILES, sent, {"name": "a.txt", "content_type": "text/plain"})

    def me(self):
        return self.ask("GET", AUTH + "me")

    def logout(self, **headers):
        return self.ask("POST", AUTH + "logout", {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
def browser(site):
    return Browser(site)


@pytest.fixture
def alice(site):
    """Signed in."""
    browser = Browser(site)
    browser.email = new_email()
    assert browser.register(browser.email).status == 201
    assert browser.login(browser.email).status == 200
    return browser


def refusal(answer):
    return answer.status, answer.json()["code"], answer.json()["detail"]


def code(answer):
    return answer.status, answer.json()["code"]


# The way through


def test_register_login_write_logout(postgres, browser):
    email = new_email()
    made = browser.register(email.upper())
    assert made.status == 201 and made.json()["email"] == email and browser.cookie is None
    assert browser.me().status == 401
    login = browser.login(email)
    assert login.status == 200 and login.json()["id"] == made.json()["id"] and login.json()["role"] == "user"
    assert login.header("Cache-Control") == "no-store"
    assert browser.me().json() == {"id": made.json()["id"], "email": email, "role": "user", "workspace_id": None, "via": "session"}
    assert browser.write().status == 201
    assert postgres.sql(f"SELECT count(*) FROM relay.knowledge_file WHERE user_id = '{made.json()['id']}'") == [(1,)]
    browser.csrf = browser.ask("GET", AUTH + "csrf").json()["csrfToken"]
    assert browser.write().status == 201
    assert [file["name"] for file in browser.ask("GET", FILES).json()["files"]] == ["a.txt", "a.txt"]
    stolen = browser.cookie
    assert browser.logout().status == 204 and browser.cookie is None
    browser.cookie = stolen
    assert code(browser.me()) == (401, "session_ended")


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(alice, start):
    cookie = alice.ask("POST", "/api/dev/demo/login").header("Set-Cookie")
    assert re.fullmatch(r"relay_sid=[A-Za-z0-9_-]{43}; Path=/; HttpOnly; SameSite=Lax; Max-Age=12096\d\d|"
                        r"relay_sid=[A-Za-z0-9_-]{43}; Path=/; HttpOnly; SameSite=Lax; Max-Age=12095\d\d", cookie)
    secure = Browser(start(TRUSTED_PROXIES="127.0.0.1", COOKIE_SECURE="true", COOKIE_SAMESITE="strict"))
    cookie = secure.login(alice.email).header("Set-Cookie")
    assert re.fullmatch(r"__Host-relay_sid=[A-Za-z0-9_-]{43}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=12095\d\d", cookie)
    assert secure.me().status == 200
    secure.cookie = secure.cookie.replace("__Host-", "")
    assert secure.me().status == 401
    assert "__Host-relay_sid=; Path=/; Secure" in secure.logout().header("Set-Cookie")


def test_https_has_its_own_cookie_in_development_too(alice, site):
    """As a trusted proxy says who speaks https."""
    https = {"X-Forwarded-Proto": "https"}
    assert alice.ask("GET", AUTH + "me", https).status == 401
    browser = Browser(site)
    assert browser.login(alice.email, headers=https).header("Set-Cookie").startswith("__Host-relay_sid=")
    assert browser.ask("GET", AUTH + "me", https).status == 200 and browser.me().status == 401
    token = {"X-CSRF-Token": browser.csrf, "Sec-Fetch-Site": None, **https}
    body = {"name": "b.txt", "content_type": "text/plain"}
    assert browser.ask("POST", FILES, {**token, "Origin": "https://localhost"}, body).status == 201
    assert browser.ask("POST", FILES, {**token, "Referer": "https://localhost/page"}, body).status == 201
    for origin in ("http://localhost", "https://localhost:8443", "https://localhost.evil.example", "https://www.localhost"):
        assert code(browser.ask("POST", FILES, {**token, "Origin": origin}, body)) == (403, "csrf_failed"), origin
        assert code(browser.ask("POST", FILES, {**token, "Referer": origin + "/"}, body)) == (403, "csrf_failed"), origin


def test_pages_of_configured_origins_write_with_a_session_where_browsers_say_no_more(start, alice):
    browser = Browser(start(TRUSTED_PROXIES="127.0.0.1", CORS_ORIGINS="https://spa.example"))
    browser.cookie, browser.csrf = alice.cookie, alice.csrf
    assert browser.write(Sec_Fetch_Site=None, Origin="https://spa.example").status == 201
    assert browser.write(Sec_Fetch_Site=None, Origin="https://spa.example.evil").status == 403
    assert browser.write(Sec_Fetch_Site="cross-site", Origin="https://spa.example").status == 403


def test_row_level_security_sees_the_user_of_the_session(postgres, site, alice):
    bob = Browser(site)
    email = new_email()
    bob.register(email)
    bob.login(email)
    assert alice.write().status == 201
    assert len(alice.ask("GET", FILES).json()["files"]) == 1 and bob.ask("GET", FILES).json()["files"] == []
    token, = postgres.sql(f"SELECT relay_guard.issue_token('{alice.me().json()['id']}')")[0]
    own = Browser(site).ask("GET", FILES, {"Authorization": f"Bearer {token}"}).json()["files"]
    assert own == alice.ask("GET", FILES).json()["files"]


# Signing out


def test_logout_always_succeeds(alice, site):
    stranger = Browser(site)
    assert stranger.logout().status == 204
    for cookie in ("relay_sid=", "relay_sid=abc", "relay_sid=" + "A" * 43, "relay_sid=a; relay_sid=b", "relay_sid=" + "x" * 4000,
                   "relay_sid='; DROP TABLE relay_guard.session; --"):
        stranger.cookie = cookie
        answer = stranger.logout()
        assert answer.status == 204 and "Max-Age=0" in answer.header("Set-Cookie"), cookie
    cookie = alice.cookie
    for _ in range(2):
        alice.cookie = cookie
        answer = alice.logout()
        assert answer.status == 204 and answer.header("Clear-Site-Data") == '"cache", "cookies", "storage"'
    # without anything that browsers say of themselves, as curl does
    assert site.ask("POST", AUTH + "logout", {"X-Forwarded-For": stranger.address}).status == 204


def test_logouts_in_parallel(alice, site):
    def logout(_):
        copy = Browser(site)
        copy.cookie = alice.cookie
        return copy.logout().status
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(logout, range(48))) == {204}
    assert alice.me().status == 401


def test_a_form_is_sent_on(alice):
    cookie = alice.cookie
    answer = alice.ask("POST", AUTH + "logout", {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}, b"")
    assert answer.status == 303 and answer.header("Location") == "/" and answer.body == b""
    alice.cookie = cookie
    assert alice.me().status == 401


# CSRF


def test_writes_need_a_token_of_the_session(alice, site):
    other = Browser(site)
    other.ask("POST", "/api/dev/demo/login")
    others = other.ask("GET", AUTH + "csrf").json()["csrfToken"]
    good = alice.csrf
    forged = good[:60] + ("A" if good[60] != "A" else "B") + good[61:]
    details = set()
    for token in (None, "abc", forged, others):
        status, reason, detail = refusal(alice.write(X_CSRF_Token=token))
        assert (status, reason) == (403, "csrf_failed")
        details.add(detail)
    assert len(details) == 4
    assert alice.write(X_CSRF_Token=good).status == 201
    assert alice.ask("DELETE", FILES + "/1").status == 403
    # nothing was written, and a refusal has its headers
    assert len(alice.ask("GET", FILES).json()["files"]) == 1
    assert alice.write(X_CSRF_Token=None).header("RateLimit") is not None


def test_writes_come_from_a_page_of_this_site(alice):
    details = set()
    for site in ("cross-site", "same-site", "nonsense"):
        status, reason, detail = refusal(alice.write(Sec_Fetch_Site=site))
        assert (status, reason) == (403, "csrf_failed")
        details.add(detail)
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Referer": "https://evil.example/"}, {}):
        status, reason, detail = refusal(alice.write(Sec_Fetch_Site=None, **headers))
        assert (status, reason) == (403, "csrf_failed"), headers
        details.add(detail)
    assert len(details) == 5
    assert alice.write(Sec_Fetch_Site="none").status == 201
    assert alice.ask("GET", FILES, {"Sec-Fetch-Site": "cross-site"}).status == 200


def test_nobody_is_signed_in_or_out_by_another_site(alice, site):
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": None, "Origin": "https://evil.example"},
                    {"Sec-Fetch-Site": None, "Origin": "null"}):
        victim = Browser(site)
        answer = victim.login(alice.email, headers=headers)
        assert code(answer) == (403, "csrf_failed") and answer.header("Set-Cookie") is None
        # nor does it learn whether a password is right, or use up the account's attempts
        assert code(victim.login(alice.email, "wrong", headers)) == (403, "csrf_failed")
        answer = alice.ask("POST", AUTH + "logout", headers)
        assert code(answer) == (403, "csrf_failed") and answer.header("Set-Cookie") is None and answer.header("Clear-Site-Data") is None
        assert code(victim.ask("POST", "/api/dev/demo/login", headers)) == (403, "csrf_failed")
    assert alice.me().status == 200 and alice.login(alice.email).status == 200


def test_what_the_gateway_says_is_not_taken_from_clients(start):
    closed = Browser(start(TRUSTED_PROXIES="127.0.0.1"))
    for name in ("x-relay-flags", "X-Relay-Flags"):
        assert code(closed.ask("POST", "/api/dev/demo/login", {name: "dev"})) == (404, "route_not_found")
    forged = {"Sec-Fetch-Site": None, "Origin": "https://evil.example", "X-Relay-Origin": "https://evil.example", "X-Relay-Cors": "1"}
    assert code(closed.login(new_email(), headers=forged)) == (403, "csrf_failed")


# Fixation, rotation, revocation


def test_a_cookie_from_before_login_is_not_adopted(site):
    victim = Browser(site)
    victim.cookie = planted = "relay_sid=" + "A" * 43
    email = new_email()
    victim.register(email)
    assert victim.login(email).status == 200 and victim.cookie != planted
    attacker = Browser(site)
    attacker.cookie = planted
    assert code(attacker.me()) == (401, "session_unknown")


def test_login_rotates_and_ends_the_session_before(alice, site):
    before, token = alice.cookie, alice.csrf
    assert alice.login(alice.email).status == 200 and alice.cookie != before
    assert code(alice.write(X_CSRF_Token=token)) == (403, "csrf_failed")
    alice.cookie = before
    assert code(alice.me()) == (401, "session_ended")


def test_concurrent_logins_are_sessions_of_their_own(alice, site):
    browsers = [Browser(site) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda browser: browser.login(alice.email).status, browsers)) == {200}
    assert len({browser.cookie for browser in [alice, *browsers]}) == 5
    assert [browser.me().status for browser in [alice, *browsers]] == [200] * 5
    browsers[0].logout()
    assert [browser.me().status for browser in [alice, *browsers[1:]]] == [200] * 4


def test_revocation_binds_on_every_gateway_at_once(postgres, site, start, alice):
    second = Browser(start(TRUSTED_PROXIES="127.0.0.1", WORKERS=1))
    second.cookie = alice.cookie
    assert (alice.me().status, second.me().status) == (200, 200)
    user = alice.me().json()["id"]
    assert postgres.sql(f"SELECT relay_guard.session_revoke(id) FROM relay_guard.session WHERE user_id = '{user}'") == [(True,)]
    assert [code(browser.me()) for browser in (alice, second, alice)] == [(401, "session_ended")] * 3
    alice.login(alice.email)
    second.cookie = alice.cookie
    assert second.me().status == 200
    postgres.sql(f"SELECT relay_guard.revoke(user_id => '{user}')")
    assert [code(browser.me()) for browser in (second, alice)] == [(401, "session_revoked")] * 2
    assert alice.login(alice.email).status == 200 and alice.me().status == 200


@pytest.mark.parametrize("change, then", [("role = 'admin'", 200), ("workspace = 'w'", 200), ("disabled = true", 401),
                                          ("password_hash = '!'", 401)])
def test_a_change_of_rights_ends_sessions(postgres, alice, change, then):
    postgres.sql(f"UPDATE relay.app_user SET {change} WHERE email = '{alice.email}'", user="relay_owner")
    assert code(alice.me()) == (401, "session_revoked")
    assert alice.login(alice.email).status == then


def test_a_change_while_somebody_signs_in_is_not_missed(postgres, alice):
    connection = psycopg2.connect(postgres.url("relay_owner"))
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE relay.app_user SET role = 'admin' WHERE email = %s", (alice.email,))
        waiting = threading.Thread(target=alice.login, args=(alice.email,))
        waiting.start()
        wait_until(lambda: postgres.sql("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")[0][0], what="the wait")
    waiting.join()
    connection.close()
    assert alice.me().json()["role"] == "admin"


def test_expiry(postgres, alice):
    own = f"WHERE user_id = '{alice.me().json()['id']}'"
    postgres.sql(f"UPDATE relay_guard.session SET seen_at = clock_timestamp() - idle * 0.9 {own}")
    assert alice.me().status == 200
    assert postgres.sql(f"SELECT clock_timestamp() - seen_at < '1 min' FROM relay_guard.session {own}") == [(True,)]
    postgres.sql(f"UPDATE relay_guard.session SET seen_at = clock_timestamp() - idle {own}")
    assert code(alice.me()) == (401, "session_expired")
    postgres.sql(f"UPDATE relay_guard.session SET seen_at = now(), created_at = now() - interval '2 days', expires_at = clock_timestamp() {own}")
    assert code(alice.me()) == (401, "session_expired")


def test_a_session_whose_row_is_locked_is_served(postgres, alice):
    own = f"WHERE user_id = '{alice.me().json()['id']}'"
    connection = psycopg2.connect(postgres.url("postgres"))
    with connection, connection.cursor() as cursor:
        cursor.execute(f"UPDATE relay_guard.session SET seen_at = seen_at - idle * 0.9 {own}")
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT FROM relay_guard.session {own} FOR UPDATE")
        assert alice.me().status == 200     # it would be 504
    connection.close()


# Credentials


def test_two_credentials(postgres, alice):
    token, = postgres.sql("SELECT relay_guard.issue_token('carol')")[0]
    for cookie in (alice.cookie, "relay_sid=abc", "relay_sid=" + "A" * 43):
        assert code(alice.ask("GET", FILES, {"Authorization": f"Bearer {token}", "Cookie": cookie})) == (400, "two_credentials")
    assert alice.ask("GET", FILES, {"Authorization": f"Bearer {token}", "Cookie": "theme=dark"}).status == 200


def test_cookies_that_are_none(alice, site):
    value = alice.cookie.split("=")[1]
    for cookie, expected in (("relay_sid=", "session_malformed"), ("relay_sid=abc", "session_malformed"), (f"relay_sid={value}=", "session_malformed"),
                             (f'relay_sid="{value}"', "session_malformed"), ("relay_sid=" + value[:-1] + "+", "session_malformed"),
                             ("relay_sid=" + "x" * 8000, "session_malformed"), (f"relay_sid={value}; relay_sid={value}", "session_duplicate"),
                             (f"relay_sid={value}; relay_sid=x", "session_duplicate"), ("relay_sid=" + value[::-1], None),
                             (f"RELAY_SID={value}", "unauthenticated"), ("relay_sid", "unauthenticated"), (";;;=;", "unauthenticated")):
        answer = alice.ask("GET", AUTH + "me", {"Cookie": cookie})
        assert answer.status == 401 and (expected is None or answer.json()["code"] == expected), cookie
        assert answer.header("Set-Cookie") is None
    twice = site.connect()
    twice.send(f"GET {AUTH}me HTTP/1.1\r\nHost: localhost\r\nCookie: relay_sid={value}\r\nCookie: a=b\r\n\r\n".encode())
    assert twice.read().status == 400
    assert alice.ask("GET", AUTH + "me", {"Cookie": f"a=b; {alice.cookie} ;c=d"}).status == 200
    # where anybody is served a cookie that is over is nobody's, so a page can go on
    assert alice.ask("GET", AUTH + "csrf", {"Cookie": "relay_sid=abc"}).status == 200


# Accounts


def test_register_refuses_duplicates(site, browser):
    email = new_email()
    assert browser.register(email).status == 201
    assert code(browser.register(email.upper())) == (409, "email_taken")
    email = new_email()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: Browser(site).register(email).status, range(4)))
    assert sorted(answers) == [201, 409, 409, 409]


@pytest.mark.parametrize("password", ["short", "password12", "P@ssw0rd2024!", "aaaaaaaaaaaa", "abcdefghijkl", "1234567890", "9876543210",
                                      "qwertyuiop", "weak.user.99", "letmein letmein", "Admin123456!"])
def test_register_refuses_weak_passwords(browser, password):
    answer = browser.register("weak.user@sessions.example", password)
    assert code(answer) == (422, "weak_password") and password not in answer.body.decode()


def test_register_refuses_what_is_no_address(browser):
    for email in ("", "a", "a@", "@b", "a b@c", "a@b c", "a@b@c", "x" * 250 + "@long.example", 7, None, "a\u2003@b", "a\uff20b@c"):
        assert browser.register(email).status == 422, email
    assert browser.ask("POST", AUTH + "register", body={"email": new_email(), "password": PASSWORD, "role": "admin"}).status == 422


def test_unicode_passwords_are_the_same_however_they_are_typed(browser):
    email = new_email()
    assert browser.register(email, "Zür\u0069ch tr\u00e4umt 🐘").status == 201
    assert browser.login(email, "Zu\u0308rich tra\u0308umt 🐘").status == 200
    assert browser.login(email, "Zurich traumt 🐘").status == 401


def test_long_passwords_count_to_the_end_and_have_an_end(browser):
    email = new_email()
    password = "".join(chr(97 + i * i % 26) for i in range(1024))
    assert browser.register(email, password).status == 201
    assert browser.login(email, password).status == 200
    assert browser.login(email, password[:-1] + "!").status == 401
    assert browser.login(email, password + "!").status == 422
    assert browser.login(email, "🐘" * 1024).status == 401
    assert browser.login(email, "x" * 20000).status == 413
    assert browser.login(email, "").status == 422
    assert browser.ask("POST", AUTH + "login", body=b'{"email": "a@b", "password": "a\\u0000b"}',
                       headers={"Content-Type": "application/json"}).status == 400


def test_the_same_answer_for_an_unknown_user(postgres, alice, browser):
    unknown = browser.login("nobody@sessions.example")
    postgres.sql(f"UPDATE relay.app_user SET disabled = true WHERE email = '{alice.email}'", user="relay_owner")
    disabled = browser.login(alice.email)
    wrong = browser.login(alice.email, "not " + PASSWORD)
    problems = [{**answer.json(), "request_id": None} for answer in (unknown, disabled, wrong)]
    assert unknown.status == 401 and unknown.json()["code"] == "invalid_credentials"
    assert problems[0] == problems[1] == problems[2]
    assert [name for name, _ in unknown.headers] == [name for name, _ in wrong.headers]


def test_the_same_time_for_an_unknown_user(postgres, alice, site):
    """Interleaved, and the quicker half of each, so that others on the machine do not decide."""
    connection = psycopg2.connect(postgres.url("relay_owner"))
    connection.autocommit = True
    query = "SELECT relay_guard.password_verify('wrong', (SELECT password_hash FROM relay.app_user WHERE email = %s))"

    def measure(cursor):
        times = {alice.email: [], "nobody@sessions.example": []}
        for _ in range(15):
            for email, taken in times.items():
                begun = time.monotonic()
                cursor.execute(query, (email,))
                assert cursor.fetchone() == (False,)
                taken.append(time.monotonic() - begun)
        return [statistics.median(sorted(taken)[:7]) for taken in times.values()]

    with connection.cursor() as cursor:
        for _ in range(5):      # a difference that a client could use is there each time
            known, unknown = measure(cursor)
            assert min(known, unknown) > 0.01
            if abs(known - unknown) < 0.25 * max(known, unknown):
                break
    connection.close()
    assert abs(known - unknown) < 0.25 * max(known, unknown), (known, unknown)


# Limits


def test_login_is_limited_by_account(site, alice, browser):
    tries = [Browser(site).login(alice.email, "wrong " + str(i)).status for i in range(5)]
    assert tries == [401] * 4 + [429]
    refused = Browser(site).login(alice.email)
    assert code(refused) == (429, "login_throttled") and 0 < int(refused.header("Retry-After")) <= 1800
    assert refused.header("Set-Cookie") is None
    # who has no account is limited alike, in any spelling, and others are not
    nobody = new_email()
    assert [browser.login(nobody.upper() if i % 2 else nobody).status for i in range(6)] == [401] * 5 + [429]
    assert alice.me().status == 200


def test_guesses_in_parallel_do_not_get_past_the_limit(site):
    email = new_email()
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda i: Browser(site).login(email, f"guess {i}").status, range(12)))
    assert sorted(answers) == [401] * 5 + [429] * 7


def test_login_and_register_are_limited_by_address(postgres, browser):
    key = browser.address.rsplit("::", 1)[0] + "::/64"
    postgres.sql("INSERT INTO relay_guard.rate_override (policy, kind, value, quota, \"window\") "
                 f"VALUES ('anon_session', 'key', '{key}', 2, '1 h')", user="relay_owner")
    assert [browser.login(new_email()).status, browser.register(new_email(), "short").status] == [401, 422]
    assert code(browser.login(new_email())) == (429, "rate_limited")
    assert browser.register(new_email()).status == 429
    assert browser.logout().status == 204 and browser.ask("GET", AUTH + "csrf").status == 200


# For development


def test_the_demo_user(postgres, site, start):
    demo = Browser(site)
    answer = demo.ask("POST", "/api/dev/demo/login")
    assert answer.status == 200 and answer.json()["role"] == "user" and demo.me().json()["email"] == "demo@example.invalid"
    assert code(demo.login("demo@example.invalid", "!")) == (401, "invalid_credentials")
    for closed in (start(), start(ALLOW_DEV_ROUTES=0)):
        answer = Browser(closed).ask("POST", "/api/dev/demo/login")
        assert refusal(answer) == (404, "route_not_found", "there is no such path") and answer.header("Set-Cookie") is None


@pytest.mark.parametrize("settings, said", [
    ({"ENVIRONMENT": "production", "ALLOW_DEV_ROUTES": "1"}, "ALLOW_DEV_ROUTES must be 0 in production"),
    ({"ENVIRONMENT": "production", "COOKIE_SECURE": "false"}, "COOKIE_SECURE must not be false in production"),
    ({"COOKIE_SECURE": "false", "COOKIE_SAMESITE": "none"}, "COOKIE_SAMESITE is none"),
    ({"ALLOW_DEV_ROUTES": "maybe"}, 'ALLOW_DEV_ROUTES is "maybe"'), ({"COOKIE_SAMESITE": "loose"}, 'COOKIE_SAMESITE is "loose"')])
def test_settings_that_are_refused(settings, said):
    for arguments in ([], ["--check"]):
        done = subprocess.run([gateway_binary(), *arguments], env=clean_environment(**settings), capture_output=True, text=True)
        assert done.returncode != 0 and said in done.stderr


# What is written down


def test_roles_that_requests_reach_read_neither_accounts_nor_sessions(postgres):
    query = ("SELECT r.rolname, t.t FROM pg_roles r, unnest(ARRAY['relay.app_user', 'relay_guard.session']) AS t (t) "
             "WHERE r.rolname IN ('relay_app', 'relay_gateway', 'relay_auditor') "
             "AND has_any_column_privilege(r.rolname, t.t, 'SELECT, INSERT, UPDATE, REFERENCES')")
    assert postgres.sql(query) == []
    # an admin sees who is signed in, and not by what
    assert postgres.sql("SELECT has_column_privilege('relay_owner', 'relay_guard.session', 'user_id', 'SELECT'), "
                        "has_column_privilege('relay_owner', 'relay_guard.session', 'hash', 'SELECT')") == [(True, False)]


def audit_row(postgres, request_id):
    query = ("SELECT actor, details FROM relay_guard.audit_log WHERE action = 'denied' "
             f"AND request_id = '{request_id}'")
    wait_until(lambda: postgres.sql(query), what="the row of a denial")
    return postgres.sql(query)[0]


def test_accounts_are_audited_without_their_passwords(postgres, browser):
    email = new_email()
    assert browser.register(email).status == 201
    (action, resource, new), = postgres.sql(
        f"SELECT action, resource_type, new FROM relay_guard.audit_log WHERE new->>'email' = '{email}'")
    assert (action, resource) == ("INSERT", "app_user")
    assert "argon2" not in json.dumps(new)


def test_refusals_are_noted(postgres, alice, browser):
    user = alice.me().json()["id"]
    assert alice.write(X_CSRF_Token="abc", X_Request_ID="s-token").status == 403
    assert alice.write(Sec_Fetch_Site="cross-site", X_Request_ID="s-site").status == 403
    assert browser.login(alice.email, "wrong", {"X-Request-ID": "s-login"}).status == 401
    assert browser.login(alice.email, headers={"X-Request-ID": "s-login-csrf", "Sec-Fetch-Site": "cross-site"}).status == 403
    alice.logout()
    alice.cookie = "relay_sid=" + "A" * 43
    assert alice.ask("GET", AUTH + "me", {"X-Request-ID": "s-unknown"}).status == 401
    actor, details = audit_row(postgres, "s-token")
    assert (actor, details["code"], details["http_status"]) == (user, "csrf_token_malformed", 403)
    assert audit_row(postgres, "s-site")[1]["code"] == "csrf_cross_site"
    actor, details = audit_row(postgres, "s-login")
    assert (actor, details["code"]) == (None, "invalid_credentials") and user in json.dumps(details)
    assert audit_row(postgres, "s-login-csrf")[1]["code"] == "csrf_cross_site"
    assert audit_row(postgres, "s-unknown")[1]["code"] == "session_unknown"


def test_passwords_and_cookies_stay_out_of_logs(postgres, start):
    postgres.sql("ALTER ROLE relay_gateway SET log_min_duration_statement = 0; ALTER ROLE relay_gateway SET log_statement = 'all'; "
                 "ALTER ROLE relay_gateway SET log_min_error_statement = 'debug5'; ALTER ROLE relay_gateway SET log_parameter_max_length_on_error = -1")
    try:
        gateway = start(TRUSTED_PROXIES="127.0.0.1")
        browser = Browser(gateway)
        email = new_email()
        browser.register(email, "canary 4711 in a mine")
        browser.register(email, "canary 4711 in a mine")
        browser.login(email, "canary 4711 in a mine")
        browser.login(email, "canary 4711 wrong")
        secret = browser.cookie.split("=")[1]
        browser.write(X_CSRF_Token="abc")
        log = (postgres.dir / "log").read_text(errors="replace") + gateway.errors() + (gateway.dir / "access").read_text()
        assert "relay_guard.serve" in log
        for canary in ("canary 4711", "canary 4711".encode().hex(), secret, browser.csrf, secret.encode().hex()):
            assert canary not in log
    finally:
        postgres.sql("ALTER ROLE relay_gateway RESET log_min_duration_statement; ALTER ROLE relay_gateway RESET log_statement; "
                     "ALTER ROLE relay_gateway RESET log_min_error_statement; ALTER ROLE relay_gateway RESET log_parameter_max_length_on_error")
