"""Headless Chromium, pages of other origins, and the gateways of test/http."""
import contextlib
import http.server
import importlib.util
import json
import pathlib
import shutil
import sys
import tempfile
import threading

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

HERE = pathlib.Path(__file__).resolve().parent

# The fixtures of test/http/conftest.py, under a name that is not taken
_spec = importlib.util.spec_from_file_location("relays", HERE.parent / "http/conftest.py")
relays = importlib.util.module_from_spec(_spec)
sys.modules["relays"] = relays
_spec.loader.exec_module(relays)
postgres, gateway, start = relays.postgres, relays.gateway, relays.start

# fetch() as pages use it; what a page may not read is an error of its
FETCH = """
    const [url, options, done] = arguments;
    fetch(url, options).then(async answer => done({
        status: answer.status, type: answer.type, redirected: answer.redirected,
        headers: Object.fromEntries(answer.headers), body: await answer.text(),
    })).catch(error => done({error: String(error)}));
"""


class Browser:
    """A Chromium with one window, of which every test has a new, empty profile's worth."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rg_browser."))
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        # a sandbox needs rights that root has no use for and containers do not give
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                         "--no-first-run", "--disable-extensions", "--disable-background-networking",
                         "--no-proxy-server", "--host-resolver-rules=MAP *.test 127.0.0.1", f"--user-data-dir={self.dir}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.set_capability("acceptInsecureCerts", True)
        self.driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
        self.driver.set_script_timeout(60)
        self.driver.set_page_load_timeout(60)

    def open(self, url):
        self.driver.get(url)

    def fetch(self, url, **options):
        """What fetch(url, options) gives to the page that is open: status, type, headers and body, or error."""
        return self.driver.execute_async_script(FETCH, url, options)

    def json(self, url, **options):
        return json.loads(self.fetch(url, **options)["body"])

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def console(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def close(self):
        with contextlib.suppress(Exception):
            self.driver.quit()
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="session")
def chromium():
    browser = Browser()
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture
def browser(chromium):
    """Chromium without cookies, at an empty page."""
    chromium.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.open("about:blank")
    yield chromium


class Page(http.server.BaseHTTPRequestHandler):
    """The same page under every path."""

    def do_GET(self):
        body = b"<!doctype html><title>page</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def site():
    """A server of such pages; its origin."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def page():
    """The origin of a page that is elsewhere than the gateway."""
    with site() as origin:
        yield origin


@pytest.fixture(scope="session")
def stranger():
    """One that no gateway knows."""
    with site() as origin:
        yield origin
