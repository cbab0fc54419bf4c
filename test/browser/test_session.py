"""Signing in, writing and signing out in a browser: from a page of this site, and not from another's."""
import json

import pytest
from relays import running, wait_until
from selenium.webdriver.common.by import By

FILES = "/api/v1/knowledge/files"
PASSWORD = "four words, never together"


@pytest.fixture(scope="module")
def relay(postgres):
    with running(postgres.url("relay_gateway"), WORKERS=1, ALLOW_DEV_ROUTES=1) as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield f"http://localhost:{gateway.port}"


def post(browser, path, body=None, **headers):
    return browser.fetch(path, method="POST", headers={"Content-Type": "application/json", **headers},
                         body=json.dumps(body) if body is not None else None)


def write(browser, token):
    return post(browser, FILES, {"name": "a.txt", "content_type": "text/plain"}, **({"X-CSRF-Token": token} if token else {}))


def element(browser, name):
    return browser.driver.find_element(By.ID, name)


def is_shown(browser, name):
    """Also while the page is being replaced."""
    return browser.run("const found = document.getElementById(arguments[0]); return found !== null && !found.hidden", name)


def press(browser, value):
    browser.driver.find_element(By.CSS_SELECTOR, f"button[value={value}]").click()


def cookies(browser):
    return {cookie["name"]: cookie for cookie in browser.driver.get_cookies()}


def test_a_page_signs_in_writes_and_signs_out(browser, relay):
    browser.open(relay + "/login.html")
    account = {"email": "page@sessions.example", "password": PASSWORD}
    assert post(browser, "/api/auth/register", account)["status"] == 201
    login = post(browser, "/api/auth/login", account)
    assert login["status"] == 200 and "set-cookie" not in login["headers"]
    cookie = cookies(browser)["relay_sid"]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax" and cookie["path"] == "/" and cookie["domain"] == "localhost"
    assert browser.run("return document.cookie") == ""
    refused = write(browser, None)
    assert refused["status"] == 403 and '"csrf_failed"' in refused["body"]
    token = browser.json("/api/auth/csrf")["csrfToken"]
    assert write(browser, token)["status"] == 201
    assert write(browser, json.loads(login["body"])["csrfToken"])["status"] == 201
    assert len(browser.json(FILES)["files"]) == 2
    assert post(browser, "/api/auth/logout")["status"] == 204
    assert cookies(browser) == {} and browser.fetch("/api/auth/me")["status"] == 401
    assert post(browser, "/api/auth/logout")["status"] == 204


def test_the_login_page(browser, relay):
    browser.open(relay + "/login.html")
    wait_until(lambda: is_shown(browser, "credentials"), what="the form")
    browser.console()
    element(browser, "email").send_keys("person@sessions.example")
    element(browser, "password").send_keys("short")
    press(browser, "register")
    wait_until(lambda: "fewer than 10 characters" in element(browser, "said").text, what="the refusal")
    element(browser, "password").clear()
    element(browser, "password").send_keys(PASSWORD)
    press(browser, "register")
    wait_until(lambda: is_shown(browser, "account"), what="signing in")
    assert element(browser, "who").text == "person@sessions.example"
    browser.open(relay + "/login.html")
    wait_until(lambda: is_shown(browser, "account"), what="the account")
    element(browser, "logout").submit()
    wait_until(lambda: browser.driver.current_url == relay + "/", what="the way to /")
    assert cookies(browser) == {}
    # what the page is not allowed to do, such as scripts and styles of its own text, would stand here
    assert [line for line in browser.console() if "Content Security Policy" in line] == []


def test_another_site_can_neither_sign_in_nor_write_nor_sign_out(browser, relay, stranger):
    browser.open(relay + "/login.html")
    assert post(browser, "/api/dev/demo/login")["status"] == 200
    cookie = cookies(browser)["relay_sid"]["value"]
    # 127.0.0.1 is another site than localhost
    browser.open(stranger)
    for path in ("/api/auth/logout", "/api/dev/demo/login", FILES):
        browser.fetch(relay + path, method="POST", mode="no-cors", credentials="include")
        browser.run("""
            const form = document.createElement("form");
            form.method = "post"; form.action = arguments[0];
            document.body.append(form); form.submit();
        """, relay + path)
        wait_until(lambda: browser.driver.current_url == relay + path, what="the form's way")
        assert "403" in browser.driver.page_source or "401" in browser.driver.page_source
        browser.open(stranger)
    browser.open(relay + "/login.html")
    assert cookies(browser)["relay_sid"]["value"] == cookie
    assert browser.json("/api/auth/me")["email"] == "demo@example.invalid"
