"""Gateways that send webhooks: whom they trust, how they end, and several at once."""
import os
import signal
import statistics
import subprocess
import time

import pytest

from conftest import clean_environment, gateway_binary, wait_until
from test_tls import make_certificate
from webhook_receiver import Receiver, failures, nothing_waits, outbox, receiver  # noqa: F401


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("webhooks")
    receiver = Receiver(*make_certificate(folder, "receiver"))
    receiver.ca_file = folder / "receiver.pem"
    receiver.ca_file.chmod(0o644)
    yield receiver
    receiver.close()


@pytest.fixture
def secure_sender(start, secure):
    def start_sender(**settings):
        return start(**{"WEBHOOKS": "on", "WORKERS": 1, "ENVIRONMENT": "test", "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8, ::1",
                        "WEBHOOK_CA_FILE": secure.ca_file, **settings})
    return start_sender


def test_an_operator_lets_it_reach_a_network_of_his_own(secure_sender, outbox, secure, receiver):
    sender = secure_sender()
    name, secret = outbox.endpoint(secure.url(host="localhost"))
    stranger, _ = outbox.endpoint(secure.url(host="other.localhost"))      # not in the certificate
    outbox.send(7, via=sender)
    wait_until(outbox.is_over, what="the attempts' end")
    message, = secure.of(7)
    message.check(secret)
    assert outbox.delivery(name)[0] == "delivered"
    assert outbox.delivery(stranger)[0] == "pending" and "certificate" in outbox.delivery(stranger)[3]


def test_a_certificate_of_nobody_is_not_trusted(secure_sender, outbox, secure):
    sender = secure_sender(WEBHOOK_CA_FILE="")
    name, _ = outbox.endpoint(secure.url(host="localhost"))
    outbox.send(8, via=sender)
    wait_until(outbox.is_over, what="the attempt's end")
    assert outbox.delivery(name)[0] == "pending" and "certificate" in outbox.delivery(name)[3] and secure.of(8) == []
    assert failures(sender)[0]["outcome"] == "retry"


def test_in_production_there_is_no_plain_http(secure_sender, outbox, receiver):
    sender = secure_sender(ENVIRONMENT="production", ready=False)
    name, _ = outbox.endpoint(receiver.url())
    outbox.send(9)
    wait_until(outbox.is_over, what="the attempt's end")
    assert "the URL is not https://" in outbox.delivery(name)[3] and receiver.of(9) == []


def test_a_receiver_that_hangs_holds_up_nobody(start, outbox, receiver, postgres):
    sender = start(WEBHOOKS="on", WORKERS=1, WEBHOOK_LIMIT=16)
    slow, _ = outbox.endpoint(receiver.url("/hang"), timeout="20 s")
    quick, _ = outbox.endpoint(receiver.url())
    for number in range(200, 220):
        outbox.send(number, via=sender)
    wait_until(lambda: all(row[0] == "delivered" for row in outbox.deliveries(quick)), what="the quick one's deliveries")
    waits = []
    for _ in range(100):
        begun = time.monotonic()
        assert sender.get("/test/echo/a").status == 200
        waits.append(time.monotonic() - begun)
    assert statistics.median(waits) < 0.05, waits
    states = [row[0] for row in outbox.deliveries(slow)]
    assert states == ["pending"] * 20
    assert outbox.sql(f"SELECT count(*) FROM relay_guard.webhook_history WHERE endpoint = '{slow}' AND leased_until > now()") == [(8,)]
    receiver.go_on.set()
    wait_until(lambda: all(row[0] == "delivered" for row in outbox.deliveries(slow)), what="the slow one's deliveries")
    receiver.go_on.clear()


def test_a_worker_that_is_killed_loses_nothing(start, outbox, receiver):
    sender = start(WEBHOOKS="on", WORKERS=1)
    name, secret = outbox.endpoint(receiver.url("/hang"))
    id = outbox.send(17, via=sender)
    wait_until(lambda: receiver.of(17), what="the first attempt")
    for worker in sender.workers():
        os.kill(worker, signal.SIGKILL)
    time.sleep(1.5)
    assert len(receiver.of(17)) == 1      # the lease goes on
    receiver.go_on.set()
    outbox.lose_leases()
    wait_until(lambda: outbox.delivery(name)[0] == "delivered", what="delivery")
    receiver.go_on.clear()
    first, second = receiver.of(17)
    assert first.id == second.id == id and outbox.delivery(name)[1] == 2
    second.check(secret)


def test_a_worker_that_stops_finishes_first(start, outbox, receiver):
    sender = start(WEBHOOKS="on", WORKERS=1, DRAIN_TIMEOUT="10s")
    name, _ = outbox.endpoint(receiver.url("/hang"))
    outbox.send(18, via=sender)
    wait_until(lambda: receiver.of(18), what="the attempt")
    sender.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert sender.process.poll() is None
    receiver.go_on.set()
    assert sender.process.wait(5) == 0
    receiver.go_on.clear()
    assert outbox.delivery(name)[0] == "delivered"


def test_a_worker_that_stops_does_not_wait_for_ever(start, outbox, receiver):
    sender = start(WEBHOOKS="on", WORKERS=1, DRAIN_TIMEOUT="500ms")
    name, _ = outbox.endpoint(receiver.url("/hang"))
    outbox.send(19, via=sender)
    wait_until(lambda: receiver.of(19), what="the attempt")
    begun = time.monotonic()
    sender.process.send_signal(signal.SIGTERM)
    assert sender.process.wait(5) == 0 and time.monotonic() - begun < 3
    receiver.go_on.set()
    receiver.go_on.clear()
    assert outbox.delivery(name)[0] == "pending"


def test_three_gateways_deliver_each_message_once(start, outbox, receiver):
    senders = [start(WEBHOOKS="on", WORKERS=2) for _ in range(3)]
    for _ in range(4):
        outbox.endpoint(receiver.url())
    seen = len(receiver.messages)
    for number in range(300, 360):
        outbox.send(number, via=senders[number % 3])
    wait_until(lambda: all(row[0] == "delivered" for row in outbox.deliveries()), what="all deliveries")
    assert len(outbox.deliveries()) == 240 and len(receiver.messages) - seen == 240
    assert all(len({id(message) for message in receiver.of(number)}) == 4 for number in range(300, 360))
    assert all(row[1] == 1 for row in outbox.deliveries())


def test_a_report_waits_for_the_database(start, outbox, receiver, postgres):
    """What was delivered is not delivered again because the database was away for a moment."""
    sender = start(WEBHOOKS="on", WORKERS=1)
    name, _ = outbox.endpoint(receiver.url("/hang"))
    outbox.send(20, via=sender)
    wait_until(lambda: receiver.of(20), what="the attempt")
    postgres.stop("fast")
    receiver.go_on.set()
    time.sleep(0.5)
    receiver.go_on.clear()
    postgres.start()
    wait_until(lambda: outbox.delivery(name)[0] == "delivered", what="the report")
    assert len(receiver.of(20)) == 1 and outbox.delivery(name)[1] == 1


def test_it_can_be_turned_off(start, outbox, receiver):
    start(WEBHOOKS="off")
    outbox.endpoint(receiver.url())
    outbox.send(22)
    time.sleep(1.5)
    assert receiver.of(22) == []


@pytest.mark.parametrize("value", ["10.0.0.0/33", "intranet", "169.254.0.0/16", "0.0.0.0/0", "::/0", "fd00::/8"])
def test_networks_that_must_not_be_allowed(value):
    done = subprocess.run([gateway_binary(), "--check"], env=clean_environment(WEBHOOK_ALLOW_NETWORKS=value), capture_output=True, text=True)
    assert done.returncode != 0 and "WEBHOOK_ALLOW_NETWORKS" in done.stderr


def test_the_authorities_must_be_there():
    done = subprocess.run([gateway_binary(), "--check"], env=clean_environment(WEBHOOK_CA_FILE="/nowhere"), capture_output=True, text=True)
    assert done.returncode != 0 and "WEBHOOK_CA_FILE names /nowhere" in done.stderr
