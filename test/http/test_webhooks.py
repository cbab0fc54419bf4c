"""Webhooks on their way from the outbox to their receivers."""
import datetime
import json
import re
import statistics
import time
import urllib.request

import pytest

from conftest import free_port, running, wait_until
from webhook_receiver import failures, nothing_waits, outbox, receiver  # noqa: F401


@pytest.fixture(scope="module")
def sender(postgres, outbox):
    with running(postgres.url("relay_gateway"), WEBHOOKS="on", METRICS_LISTEN=f"127.0.0.1:{free_port()}", HTTPS_PROXY="http://127.0.0.1:9",
                 http_proxy="http://127.0.0.1:9", ALL_PROXY="http://127.0.0.1:9") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def metric(gateway, name):
    page = urllib.request.urlopen(f"http://{gateway.environment['METRICS_LISTEN']}/metrics").read().decode()
    found = re.search(f"^{re.escape(name)} (.*)$", page, re.M)
    return float(found[1])


def test_a_message_arrives_and_can_be_verified(sender, outbox, receiver):
    name, secret = outbox.endpoint(receiver.url("/ok/hook?a=b"))
    id = outbox.send(1, via=sender)
    wait_until(lambda: receiver.of(1) and outbox.is_over(name), what="delivery")
    message, = receiver.of(1)
    message.check(secret)
    assert message.path == "/ok/hook?a=b" and message.id == id and id.startswith("msg_")
    sent = json.loads(message.body)
    assert sent["type"] == "test.sent" and sent["data"] == {"n": 1} and datetime.datetime.fromisoformat(sent["timestamp"].replace("Z", "+00:00"))
    assert message.header("content-type") == "application/json" and message.header("user-agent")
    assert {key.lower() for key, value in message.headers} <= {
        "host", "accept", "content-type", "content-length", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature", "x-signature", "x-request-id"}
    assert outbox.delivery(name)[:4] == ("delivered", 1, 200, None)
    for part in ({"webhook_id": "msg_2"}, {"webhook_timestamp": str(int(message.header("webhook-timestamp")) + 1)}, {"body": message.body + b" "},
                 {"webhook_signature": "v1,"}, {"webhook_timestamp": str(int(message.header("webhook-timestamp")) - 301)}):
        with pytest.raises(ValueError):
            message.check(secret, **part)


def test_it_is_sent_when_the_request_has_committed(sender, outbox, receiver):
    """Not at the next second: the answer to the request brings it on its way."""
    outbox.endpoint(receiver.url())
    waits = []
    for number in range(100, 109):
        begun = time.time()
        outbox.send(number, via=sender)
        wait_until(lambda: receiver.of(number), what="arrival")
        waits.append(receiver.of(number)[0].at - begun)
        assert receiver.of(number)[0].header("x-request-id") == f"r{number}"
    assert statistics.median(waits) < 0.25, waits


def test_better_auth_8844_a_retry_has_its_own_timestamp_and_the_same_id(sender, outbox, receiver):
    name, secret = outbox.endpoint(receiver.url("/next"))
    receiver.answers = [(500,), (302, {"Location": "/ok"}), (200,)]
    id = outbox.send(2, via=sender)
    for attempt in (1, 2, 3):
        wait_until(lambda: len(receiver.of(2)) == attempt and outbox.is_over(name, attempt), what=f"attempt {attempt}")
        if attempt < 3:
            state, attempts, status, error, wait = outbox.delivery(name)
            assert state == "pending" and attempts == attempt and status in (500, 302) and 3 < wait < 400
        time.sleep(1.1)
        outbox.hurry()
    messages = receiver.of(2)
    assert [message.id for message in messages] == [id] * 3 and len({message.body for message in messages}) == 1
    stamps = [int(message.header("webhook-timestamp")) for message in messages]
    assert stamps == sorted(set(stamps)) and all(abs(stamp - message.at) < 3 for stamp, message in zip(stamps, messages))
    assert len({message.header("webhook-signature") for message in messages}) == 3
    for message in messages:
        message.check(secret)
    assert outbox.delivery(name)[0] == "delivered"


def test_pagespace_2199_the_id_is_signed(sender, outbox, receiver, postgres):
    """A receiver that drops what it has seen can be sent nothing again under another id."""
    name, secret = outbox.endpoint(receiver.url())
    outbox.send(3, via=sender)
    wait_until(lambda: receiver.of(3), what="delivery")
    message, = receiver.of(3)
    message.check(secret)
    for id in ("msg_another", "", message.id + "." + message.header("webhook-timestamp")):
        with pytest.raises(ValueError):
            message.check(secret, webhook_id=id)


def test_thirdweb_7103_the_timestamp_is_a_number(sender, outbox, receiver):
    name, secret = outbox.endpoint(receiver.url())
    outbox.send(4, via=sender)
    wait_until(lambda: receiver.of(4), what="delivery")
    message, = receiver.of(4)
    assert re.fullmatch("[1-9][0-9]{9}", message.header("webhook-timestamp"))
    for timestamp in ("NaN", "nan", "Infinity", "-1", "1e10", "", "\u0661\u0662"):
        with pytest.raises(ValueError):
            message.check(secret, webhook_timestamp=timestamp)


# Each with an endpoint of its own, all at once

REFUSED = {
    "plain": ("http://192.0.2.1/", "refused_url"),
    "plain_name": ("http://example.invalid/", "refused_url"),
    "metadata": ("https://169.254.169.254/latest/meta-data/", "refused_address"),
    "metadata_v6": ("https://[fd00:ec2::254]/", "refused_address"),
    "metadata_mapped": ("https://[::ffff:169.254.169.254]/", "refused_address"),
    "metadata_nat64": ("https://[64:ff9b::a9fe:a9fe]/", "refused_address"),
    "alibaba": ("https://100.100.100.200/", "refused_address"),
    "azure": ("https://168.63.129.16/", "refused_address"),
    "loopback": ("https://127.0.0.1:{port}/", "refused_address"),
    "loopback_v6": ("https://[::1]:{port}/", "refused_address"),
    "loopback_name": ("https://localhost:{port}/", "refused_address"),
    "loopback_below": ("https://a.localhost:{port}/", "refused_address"),
    "hexadecimal": ("https://0x7f.1:{port}/", "refused_address"),
    "octal": ("https://0177.0.0.1:{port}/", "refused_address"),
    "one_number": ("https://2130706433:{port}/", "refused_address"),
    "short": ("https://127.1:{port}/", "refused_address"),
    "nowhere": ("https://0.0.0.0:{port}/", "refused_address"),
    "zero": ("https://0:{port}/", "refused_address"),
    "private": ("https://10.0.0.1/", "refused_address"),
    "private_2": ("https://192.168.1.1/", "refused_address"),
    "private_3": ("https://172.31.255.255/", "refused_address"),
    "unique_local": ("https://[fc00::1]/", "refused_address"),
    "link_local": ("https://[fe80::1]/", "refused_address"),
    "broadcast": ("https://255.255.255.255/", "refused_address"),
    "documentation": ("https://203.0.113.5/", "refused_address"),
    "six_to_four": ("https://[2002:7f00:1::]/", "refused_address"),
    "teredo": ("https://[2001:0:7f00:1::]/", "refused_address"),
}


def test_logtide_242_no_url_reaches_the_own_network(sender, outbox, receiver):
    names = {kind: outbox.endpoint(url.format(port=receiver.port))[0] for kind, (url, result) in REFUSED.items()}
    before = {result: metric(sender, f'relay_webhook_attempts_total{{result="{result}"}}') for result in ("refused_address", "refused_url")}
    seen = len(receiver.messages)
    outbox.send(5, via=sender)
    wait_until(outbox.is_over, what="the end of all attempts")
    for kind, name in names.items():
        state, attempts, status, error, wait = outbox.delivery(name)
        expected = "is not a public address" if REFUSED[kind][1] == "refused_address" else "the URL is not https://"
        assert (state, status) == ("pending", None) and expected in error, (kind, error)
    for result, count in before.items():
        now = metric(sender, f'relay_webhook_attempts_total{{result="{result}"}}')
        assert now - count == sum(kind[1] == result for kind in REFUSED.values())
    assert len(receiver.messages) == seen


ODD = ["https://user:pass@example.com/", "https://user@127.0.0.1/", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1:5432/",
       "https://example.com\\@127.0.0.1/", "//example.com/", "https://[::1%25lo]/", "HTTP://192.168.0.1/", "example.com", "https://a b/"]


def test_odd_urls_are_refused_whoever_has_written_them(sender, outbox, postgres):
    """The table refuses them as well; what a gateway does must not rest on that."""
    table = "relay_guard.webhook_endpoint"
    checks = postgres.sql(f"""SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
                              WHERE conrelid = '{table}'::regclass AND pg_get_constraintdef(oid) LIKE '%url%'""")
    names = [outbox.endpoint("https://127.0.0.1/")[0] for url in ODD]
    for name, _ in checks:
        postgres.sql(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    try:
        for url, name in zip(ODD, names):
            postgres.sql(f"UPDATE {table} SET url = '{url}' WHERE name = '{name}'")
        outbox.send(6, via=sender)
        wait_until(outbox.is_over, what="the attempts' end")
        for url, name in zip(ODD, names):
            state, attempts, status, error, wait = outbox.delivery(name)
            assert state == "pending" and status is None and ("the URL is not https://" in error or "not a public address" in error), (url, error)
    finally:
        outbox.clear()
        for name, text in checks:
            postgres.sql(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {text}')


def test_many_messages_to_one_receiver_do_not_wait_for_seconds(sender, outbox, receiver):
    """Eight are under way; when they are through, the next ones are asked for at once."""
    name, _ = outbox.endpoint(receiver.url())
    outbox.sql("SELECT relay_guard.webhook_send('test.sent', jsonb_build_object('n', 400 + g)) FROM generate_series(1, 80) AS g")
    begun = time.monotonic()
    wait_until(lambda: all(row[0] == "delivered" for row in outbox.deliveries(name)), what="delivery")
    assert time.monotonic() - begun < 6      # and not ten


def test_failures_are_logged_once_without_what_was_sent(sender, outbox, receiver):
    name, secret = outbox.endpoint(receiver.url("/status/500?token=tokentoken"))
    before = len(failures(sender))
    outbox.send(10, ', "private": "privateprivate"', via=sender)
    wait_until(lambda: outbox.is_over(name) and len(failures(sender)) > before, what="a failure")
    line, = failures(sender)[before:]
    assert line["delivery"].isdigit() and line["attempt"] == "1" and line["outcome"] == "retry" and line["reason"] == "the answer is HTTP 500"
    assert not any(word in sender.errors() for word in ("tokentoken", "privateprivate", secret.removeprefix("whsec_")))


def test_410_ends_it(sender, outbox, receiver):
    name, _ = outbox.endpoint(receiver.url("/status/410"))
    counted = 'relay_webhook_attempts_total{result="gone"}'
    before = metric(sender, counted)
    outbox.send(11, via=sender)
    wait_until(lambda: outbox.delivery(name)[0] == "failed", what="the end")
    assert metric(sender, counted) == before + 1
    outbox.hurry()
    assert outbox.send(12) is None and outbox.sql(f"SELECT disabled_at IS NOT NULL FROM relay_guard.webhook_endpoint WHERE name = '{name}'") == [(True,)]


def test_retry_after_is_kept_to(sender, outbox, receiver):
    later = time.strftime("%a,_%d_%b_%Y_%H:%M:%S_GMT", time.gmtime(time.time() + 7200))
    date, _ = outbox.endpoint(receiver.url(f"/retry/{later}"))
    seconds, _ = outbox.endpoint(receiver.url("/retry/3600"))
    soon, _ = outbox.endpoint(receiver.url("/retry/1"))
    ages, _ = outbox.endpoint(receiver.url("/retry/99999999999999"))
    nonsense, _ = outbox.endpoint(receiver.url("/retry/never"))
    outbox.send(13, via=sender)
    wait_until(outbox.is_over, what="the attempts' end")
    waits = {name: outbox.delivery(name)[4] for name in (date, seconds, soon, ages, nonsense)}
    assert 7190 < waits[date] <= 7201 and 3590 < waits[seconds] <= 3600 and 86300 < waits[ages] <= 86400
    assert 3 < waits[soon] < 6 and 3 < waits[nonsense] < 6, waits


def test_redirects_are_not_followed(sender, outbox, receiver):
    name, _ = outbox.endpoint(receiver.url("/redirect"))
    outbox.send(14, via=sender)
    wait_until(lambda: outbox.is_over(name), what="the attempt's end")
    assert [message.path for message in receiver.of(14)] == ["/redirect"] and receiver.gets == []
    assert outbox.delivery(name)[:4] == ("pending", 1, 307, "the answer is HTTP 307, and redirects are not followed")


def test_what_an_answer_says_behind_its_head_is_not_waited_for(sender, outbox, receiver):
    flood, _ = outbox.endpoint(receiver.url("/flood"))
    cut, _ = outbox.endpoint(receiver.url("/cut"))
    outbox.send(15, via=sender)
    wait_until(outbox.is_over, what="the attempts' end")
    assert outbox.delivery(flood)[0] == outbox.delivery(cut)[0] == "delivered"
    wait_until(lambda: receiver.flood_ended, what="the flood's end")
    assert receiver.flooded < 32 << 20      # what sockets hold, and not what it would send


def test_what_is_no_answer_is_tried_again(sender, outbox, receiver):
    garbage, _ = outbox.endpoint(receiver.url("/garbage"))
    headers, _ = outbox.endpoint(receiver.url("/headers"))
    nobody, _ = outbox.endpoint(f"http://127.0.0.1:{free_port()}/")
    slow, _ = outbox.endpoint(receiver.url("/hang"), timeout="1 s")
    outbox.send(16, via=sender)
    wait_until(outbox.is_over, what="the attempts' end")
    receiver.go_on.set()
    receiver.go_on.clear()
    for name in (garbage, headers, nobody, slow):
        state, attempts, status, error, wait = outbox.delivery(name)
        assert state == "pending" and status is None and error, (name, state, status)
    assert "too long" in outbox.delivery(headers)[3] and "timed out" in outbox.delivery(slow)[3].lower()


def test_an_endpoint_without_secret_is_sent_nothing(sender, outbox, receiver):
    bare, _ = outbox.endpoint(receiver.url("/bare"), secret=False)
    other, _ = outbox.endpoint(receiver.url("/other"))
    outbox.send(21, via=sender)
    wait_until(lambda: outbox.delivery(other)[0] == "delivered", what="the other's delivery")
    assert outbox.delivery(bare)[:2] == ("pending", 0)
    assert [message.path for message in receiver.of(21)] == ["/other"]


def test_it_is_measured(sender, outbox, receiver):
    name = 'relay_webhook_attempts_total{result="delivered"}'
    before, count = metric(sender, name), metric(sender, "webhook_duration_seconds_count")
    outbox.endpoint(receiver.url())
    outbox.send(23, via=sender)
    wait_until(lambda: receiver.of(23) and outbox.is_over(), what="delivery")
    assert metric(sender, name) == before + 1 and metric(sender, "webhook_duration_seconds_count") == count + 1


