"""/docs in Chromium: all endpoints, by keyboard alone, under the gateway's own policy; what the document says is text."""
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script> [a](javascript:alert(1)) **b**'
COUNT = "return document.querySelectorAll(arguments[0]).length"


@pytest.fixture(scope="module")
def docs(chromium, gateway, postgres):
    """The page, with a route whose words are out to do harm."""
    postgres.sql("INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, summary, description) "
                 f"VALUES ('GET', '/test/hostile', 'SELECT 1', 'none', 'value', 'relay_app', $h${HOSTILE}$h$, $h${HOSTILE}$h$)",
                 user="relay_owner")
    chromium.console()
    chromium.open(f"http://127.0.0.1:{gateway.port}/docs")
    WebDriverWait(chromium.driver, 60).until(lambda _: chromium.run(COUNT, "details.operation"))
    yield chromium
    postgres.sql("DELETE FROM relay_guard.route WHERE path = '/test/hostile'", user="relay_owner")


def open_operation(docs, name):
    docs.run("location.hash = arguments[0]", name)
    WebDriverWait(docs.driver, 60).until(lambda _: docs.run(COUNT, f"#{name} .body > *"))
    return docs.driver.find_element(By.ID, name)


def test_every_endpoint_is_there_and_nothing_is_refused_by_the_policy(docs, gateway):
    listed = sum(len(item) for item in gateway.get("/openapi.json").json()["paths"].values())
    assert docs.run(COUNT, "details.operation") == docs.run(COUNT, "nav li") == listed > 20
    for view in docs.driver.find_elements(By.CSS_SELECTOR, "details.operation"):
        docs.run("arguments[0].open = true", view)
    WebDriverWait(docs.driver, 60).until(lambda _: docs.run(COUNT, "details.operation > .body > ul.chips") == listed)
    assert "[object" not in docs.run("return document.body.textContent") and "undefined" not in docs.run("return document.body.textContent")
    assert not [line for line in docs.console() if "Content Security" in line or "Uncaught" in line]


def test_hostile_words_are_text(docs):
    view = open_operation(docs, "get_test_hostile")
    assert "<script>" in view.text and "<img" in view.text
    assert docs.run(COUNT, "#get_test_hostile img, #get_test_hostile script, main img") == 0
    assert not docs.run("return [...document.links].some(link => /^javascript:/i.test(link.href))")
    assert docs.driver.title.endswith("API reference")


def test_the_keyboard_is_enough(docs):
    body = docs.driver.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    focused = docs.driver.switch_to.active_element
    assert focused.get_attribute("id") == "filter"
    focused.send_keys("delete file")
    assert docs.run("return [...document.querySelectorAll('nav li:not([hidden]) a')].map(a => a.hash)") == \
        ["#delete_api_v1_knowledge_files_by_id"]
    focused.send_keys(Keys.TAB)
    link = docs.driver.switch_to.active_element
    if link.tag_name == "summary":      # the menu's, where it is shown
        link.send_keys(Keys.TAB)
        link = docs.driver.switch_to.active_element
    link.send_keys(Keys.ENTER)
    WebDriverWait(docs.driver, 60).until(lambda _: docs.run("return document.activeElement.tagName") == "SUMMARY")
    summary = docs.driver.switch_to.active_element
    view = docs.driver.find_element(By.ID, "delete_api_v1_knowledge_files_by_id")
    assert view.get_attribute("open")
    summary.send_keys(Keys.SPACE)
    assert not view.get_attribute("open")
    docs.run("document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'))")


def test_a_request_is_sent_and_its_answer_shown(docs):
    docs.driver.find_element(By.ID, "anonymous").click()
    WebDriverWait(docs.driver, 60).until(lambda _: docs.run("return document.getElementById('token').value"))
    view = open_operation(docs, "post_api_v1_knowledge_files")
    docs.run("arguments[0].querySelector('form').closest('details').open = true", view)
    docs.run("arguments[0].querySelector('form').requestSubmit()", view)
    WebDriverWait(docs.driver, 60).until(lambda _: "after" in view.find_element(By.CSS_SELECTOR, "form [aria-live]").text)
    answer = view.find_element(By.CSS_SELECTOR, "form [aria-live]").text
    assert answer.startswith("201") and '"created_at"' in answer
