"""Gateways that send webhooks: whom they trust, how they end, and several at once."""
import collections
import contextlib
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

import psycopg2
import pytest

from conftest import clean_environment, gateway_binary, wait_until
from upstream_app import add_upstream
from webhook_receiver import Receiver, failures, make_certificate, nothing_waits, outbox, receiver  # noqa: F401


ROUNDS = 60 if os.environ.get("RG_LONG") else 4


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    certificate, key = make_certificate(tmp_path_factory.mktemp("webhooks"), "DNS:localhost," + ",".join(f"DNS:{name}.example" for name in NameService.ANSWERS))
    receiver = Receiver(certificate, key, address="")
    receiver.ca_file = certificate
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


def test_no_network_of_his_own_has_a_metadata_service(secure_sender, outbox):
    sender = secure_sender(WEBHOOK_ALLOW_NETWORKS="100.64.0.0/10, 64:ff9b::/96")
    names = [outbox.endpoint(url, timeout="1 s")[0] for url in ("https://100.100.100.200/", "https://[64:ff9b::a9fe:a9fe]/")]
    outbox.send(24, via=sender)
    wait_until(outbox.is_over, what="the attempts' end")
    assert all("is not a public address" in outbox.delivery(name)[3] for name in names)


def test_a_certificate_of_nobody_is_not_trusted(secure_sender, outbox, secure):
    sender = secure_sender(WEBHOOK_CA_FILE="")
    name, _ = outbox.endpoint(secure.url(host="localhost"))
    outbox.send(8, via=sender)
    wait_until(outbox.is_over, what="the attempt's end")
    assert outbox.delivery(name)[0] == "pending" and "certificate" in outbox.delivery(name)[3] and secure.of(8) == []
    assert failures(sender)[0]["outcome"] == "retry"


class NameService(threading.Thread):
    """Says of a name what its first label says: a first answer, and another to whoever asks again."""

    ANSWERS = {"rebinds": [["127.0.0.2"], ["127.0.0.1"]], "inside": [["127.0.0.1"], ["127.0.0.2"]],
               "mixed": [["127.0.0.1", "127.0.0.2"]], "outside": [["127.0.0.2"]]}

    def __init__(self):
        super().__init__(daemon=True)
        self.asked = []
        self.address = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.53"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.address, 53))
        self.start()

    def run(self):
        while True:
            query, client = self.socket.recvfrom(512)
            length = query[12]
            name, end = query[13:13 + length].decode(), query.index(0, 12) + 5
            answers = []
            if query[end - 4:end - 2] == b"\0\1":      # A
                self.asked.append(name)
                turns = self.ANSWERS[name]
                answers = turns[min(self.asked.count(name), len(turns)) - 1]
            self.socket.sendto(query[:2] + b"\x81\x80\0\1" + len(answers).to_bytes(2, "big") + bytes(4) + query[12:end] + b"".join(
                b"\xc0\x0c\0\1\0\1" + bytes(4) + b"\0\4" + socket.inet_aton(address) for address in answers), client)


def test_a_name_that_points_elsewhere_a_moment_later_gains_nothing(secure_sender, outbox, secure, tmp_path):
    """127.0.0.2 stands for the Internet here, 127.0.0.1 for what only the gateway reaches."""
    try:
        names = NameService()
    except PermissionError:
        pytest.skip("only root can be a name service")
    (tmp_path / "resolv.conf").write_text(f"nameserver {names.address}\n")
    (tmp_path / "gateway").write_text(f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec {gateway_binary()}'\n")
    (tmp_path / "gateway").chmod(0o755)
    sender = secure_sender(binary=str(tmp_path / "gateway"), WEBHOOK_ALLOW_NETWORKS="127.0.0.2")
    endpoints = {name: outbox.endpoint(secure.url(host=name + ".example"))[0] for name in NameService.ANSWERS}
    secure.reached.clear()
    outbox.send(30, via=sender)
    wait_until(outbox.is_over, what="the attempts' end")
    assert set(secure.reached) == {"127.0.0.2"}
    assert names.asked.count("rebinds") == 1
    for name, state in {"rebinds": "delivered", "outside": "delivered", "inside": "pending"}.items():
        assert outbox.delivery(endpoints[name])[0] == state, name
    assert outbox.delivery(endpoints["inside"])[3] == "127.0.0.1 is not a public address"
    # one of its addresses may have been tried before the other was looked at
    assert outbox.delivery(endpoints["mixed"])[0] == "delivered" or "not a public address" in outbox.delivery(endpoints["mixed"])[3]


def test_no_connection_of_the_proxy_is_used(secure_sender, outbox, secure, postgres):
    """An upstream is in the own network, and an idle connection to it has passed every check already."""
    add_upstream(postgres, "own", secure.url("", host="localhost"), "/own")
    try:
        sender = secure_sender(WEBHOOK_ALLOW_NETWORKS="", PROXY_CA_FILE=secure.ca_file)
        assert sender.get("/own/a").status == 200      # and the connection stays
        connections = len(secure.reached)
        assert sender.get("/own/b").status == 200 and len(secure.reached) == connections
        name, _ = outbox.endpoint(secure.url(host="localhost"))
        outbox.send(32, via=sender)
        wait_until(outbox.is_over, what="the attempt's end")
        assert outbox.delivery(name)[3] in ("127.0.0.1 is not a public address", "::1 is not a public address")
        assert secure.of(32) == []
    finally:
        postgres.sql("DELETE FROM relay_guard.route WHERE upstream = 'own'; DELETE FROM relay_guard.upstream WHERE name = 'own'")


OWN_MACHINE = """
import sys
sys.path.insert(0, {here!r})
import os, pathlib, subprocess
for command in ("ip link set lo up", "ip address add 93.184.215.14/32 dev lo"):
    subprocess.run(command.split(), check=True)
from conftest import Postgres, running, wait_until
from webhook_receiver import Outbox, Receiver
postgres = Postgres.__new__(Postgres)
postgres.dir = pathlib.Path({directory!r})
outbox = Outbox.__new__(Outbox)
outbox.sql, outbox.count = postgres.sql, {count}
receiver = Receiver({certificate!r}, {key!r}, address="")
with running(postgres.url("relay_gateway"), WEBHOOKS="on", WORKERS=1, WEBHOOK_CA_FILE={certificate!r}, **{settings!r}) as gateway:
    wait_until(gateway.is_ready)
    name, _ = outbox.endpoint(receiver.url(host="93.184.215.14"))
    outbox.send(31, via=gateway)
    wait_until(lambda: outbox.is_over(name))
    print(*outbox.delivery(name)[:4], [m.address for m in receiver.of(31)], sep="; ")
"""


def test_this_machine_is_reached_by_no_address_of_its_own(postgres, outbox, tmp_path):
    """A public address of the machine is one that its firewall does not stand before."""
    certificate, key = make_certificate(tmp_path, "IP:93.184.215.14")
    if subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True).returncode != 0:
        pytest.skip("only root has networks of his own")

    def outcome(settings):
        outbox.count += 100
        script = OWN_MACHINE.format(here=os.path.dirname(__file__), directory=str(postgres.dir), count=outbox.count, certificate=str(certificate),
                                    key=str(key), settings=settings)
        done = subprocess.run(["unshare", "-n", sys.executable, "-B", "-c", script], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert outcome({}) == "pending; 1; None; 93.184.215.14 is an address of this machine; []"
    outbox.clear()
    assert outcome({"WEBHOOK_ALLOW_NETWORKS": "93.184.215.14"}) == "delivered; 1; 200; None; ['93.184.215.14']"


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


def test_a_worker_that_receivers_keep_busy_lets_another_ask(start, outbox, receiver):
    sender = start(WEBHOOKS="on", WORKERS=2, WEBHOOK_LIMIT=4)
    outbox.endpoint(receiver.url("/hang"), timeout="60 s")
    outbox.sql("""SELECT relay_guard.webhook_send('test.sent', '{"n": 70}') FROM generate_series(1, 4)""")
    wait_until(lambda: len(receiver.of(70)) == 4, what="the attempts' begin")
    outbox.sql("UPDATE relay_guard.webhook_endpoint SET types = '{test.sent}'")
    outbox.endpoint(receiver.url())
    outbox.sql("""SELECT relay_guard.webhook_send('other.sent', '{"n": 71}')""")
    try:
        wait_until(lambda: receiver.of(71), what="delivery by the other worker", seconds=12)
    finally:
        receiver.go_on.set()
        wait_until(outbox.is_over, what="the end")
        receiver.go_on.clear()


def test_an_endpoint_that_is_being_deleted_holds_up_nobody(start, outbox, receiver, postgres):
    """That locks its deliveries: what came of them waits, and not what is told or asked behind it."""
    sender = start(WEBHOOKS="on", WORKERS=1)
    gone, _ = outbox.endpoint(receiver.url("/hang"))
    for _ in range(8):
        outbox.send(60, via=sender)
    wait_until(lambda: len(receiver.of(60)) == 8, what="the attempts' begin")
    outbox.sql("UPDATE relay_guard.webhook_endpoint SET types = '{test.sent}'")
    other, _ = outbox.endpoint(receiver.url())
    connection = psycopg2.connect(postgres.url("postgres"))
    try:
        connection.cursor().execute(f"DELETE FROM relay_guard.webhook_endpoint WHERE name = '{gone}'")
        receiver.go_on.set()
        time.sleep(0.5)
        begun = time.monotonic()
        for number in (61, 62, 63):
            outbox.sql(f"""SELECT relay_guard.webhook_send('other.sent', '{{"n": {number}}}')""")
            wait_until(lambda: receiver.of(number), what="delivery")
        assert time.monotonic() - begun < 6
        wait_until(lambda: outbox.is_over(other), what="the reports", seconds=2)
    finally:
        connection.rollback()
        connection.close()
        receiver.go_on.clear()
    wait_until(outbox.is_over, what="the others' reports", seconds=5)
    assert all(row[:2] == ("delivered", 1) for row in outbox.deliveries())
    assert all(len(receiver.of(number)) == 1 for number in (61, 62, 63))


def test_a_worker_that_is_killed_loses_nothing(start, outbox, receiver):
    sender = start(WEBHOOKS="on", WORKERS=1)
    name, secret = outbox.endpoint(receiver.url("/hang"))
    id = outbox.send(17)      # so the worker that dies is the one that asks once a second
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


def test_whatever_dies_each_committed_message_arrives(start, outbox, receiver, postgres):
    """Workers, again and again, and the database once; a message comes once for each attempt at most."""
    senders = [start(WEBHOOKS="on", WORKERS=2) for _ in range(2)]
    name, _ = outbox.endpoint(receiver.url())
    seen, stopped = len(receiver.messages), threading.Event()

    def send(sender, numbers):
        for number in numbers:
            if stopped.is_set():
                return
            with contextlib.suppress(AssertionError, AttributeError, OSError):
                outbox.send(number, via=sender)
            time.sleep(0.02)

    threads = [threading.Thread(target=send, args=(senders[i % 2], range(1000 * i + 1000, 1000 * i + 2000))) for i in range(4)]
    for thread in threads:
        thread.start()
    for round in range(ROUNDS):
        time.sleep(0.4)
        os.kill(sorted(senders[round % 2].workers())[-1], signal.SIGKILL)
        if round == ROUNDS // 2:
            postgres.stop("immediate")
            postgres.start()
    stopped.set()
    for thread in threads:
        thread.join()

    def all_arrived():
        outbox.hurry()
        outbox.lose_leases()
        time.sleep(0.2)
        return all(row[0] == "delivered" for row in outbox.deliveries())
    wait_until(all_arrived, seconds=30, what="all deliveries")
    came = collections.Counter(message.id for message in receiver.messages[seen:])
    attempts = dict(outbox.sql("SELECT message, attempts FROM relay_guard.webhook_history"))
    assert len(attempts) > 20 and set(came) == set(attempts)
    assert all(1 <= count <= attempts[id] for id, count in came.items())


def test_a_database_that_refuses_is_not_asked_again_and_again(start, outbox, receiver, postgres):
    """Such as a standby: each question is a line in its log."""
    right = "EXECUTE ON FUNCTION relay_guard.webhook_claim(int, interval)"
    postgres.sql(f"REVOKE {right} FROM relay_gateway")
    asked = (postgres.dir / "log").read_text().count("permission denied for function webhook_claim")
    try:
        sender = start(WEBHOOKS="on", WORKERS=1)
        name, _ = outbox.endpoint(receiver.url())
        wait_until(lambda: "the database gives no webhooks to be sent" in sender.errors(), what="the first question")
        begun = time.monotonic()
        while time.monotonic() - begun < 2.6:
            outbox.send(500, via=sender)
            time.sleep(0.05)
    finally:
        passed = time.monotonic() - begun
        postgres.sql(f"GRANT {right} TO relay_gateway")
    wait_until(lambda: all(row[0] == "delivered" for row in outbox.deliveries(name)), what="delivery")
    asked = (postgres.dir / "log").read_text().count("permission denied for function webhook_claim") - asked
    # at 0, 1, 3, 7 seconds
    assert 2 <= asked <= 1 + math.log2(passed + 1.2) and sender.errors().count("webhooks are sent again") == 1


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
