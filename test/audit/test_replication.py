"""A log that is replicated logically, rows and seals, verifies at the subscriber, who adds nothing to it."""
import pytest
from journal import Journal, audited, check_seals, problems, run, whole
from sealing import seal
from servers import wait_for

ROWS = """SELECT epoch, xid::text, id, occurred_at::text, resource_id, old::text, new::text, encode(mac, 'hex')
          FROM relay_guard.audit_log ORDER BY 1, 2, 3"""
SEALS = "SELECT seal_id, snap::text, rows, ids::text, encode(root, 'hex') FROM relay_guard.audit_seal ORDER BY 1"
# Each names what it publishes of the log: the whole under its own name, or partition by partition
PUBLICATIONS = {
    "as_one_table": "FOR TABLE relay_guard.audit_log, relay_guard.audit_seal WITH (publish = 'insert', publish_via_partition_root = true)",
    "by_partition": "FOR TABLE relay_guard.audit_log, relay_guard.audit_seal WITH (publish = 'insert')",
}


@pytest.fixture(scope="module")
def publisher(make_server):
    server = make_server({"wal_level": "logical", "max_replication_slots": 20, "max_wal_senders": 20,
                          "relay_guard.audit_seal_interval": 0})
    server.run("CREATE DATABASE shop")
    audited(server, "shop")
    yield server
    server.stop("immediate")


@pytest.fixture(scope="module")
def subscriber(publisher, make_other):
    """Another cluster, with the ring."""
    return make_other(publisher.keyring.read_text(), {
        "max_logical_replication_workers": 20, "max_sync_workers_per_subscription": 8, "max_worker_processes": 40,
        "wal_retrieve_retry_interval": "100ms"})


def changes(server, count=20):
    server.run(f"""INSERT INTO app.entry SELECT gen_random_uuid()::text, i FROM generate_series(1, {count}) AS i;
                   UPDATE app.account SET tag = 'changed ' || random()""", database="shop")


def subscribed(publisher, subscriber, name):
    """A database of this name that follows the publication of this name."""
    publisher.run(f"CREATE PUBLICATION {name} {PUBLICATIONS[name]}", database="shop")
    subscriber.run(f"CREATE DATABASE {name}")
    subscriber.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()", database=name)
    subscriber.run(f"CREATE SUBSCRIPTION {name} CONNECTION 'host={publisher.folder} dbname=shop user=postgres' PUBLICATION {name}",
                   database=name)


def follows(publisher, subscriber, name):
    """The log and the seals are the publisher's."""
    wait_for(lambda: subscriber.run(SEALS, database=name) == publisher.run(SEALS, database="shop")
             and subscriber.run(ROWS, database=name) == publisher.run(ROWS, database="shop"))


@pytest.mark.parametrize("name", PUBLICATIONS)
def test_the_copy_verifies_and_adds_no_seal(publisher, subscriber, name):
    changes(publisher)
    seal(publisher, "shop")
    changes(publisher)
    subscribed(publisher, subscriber, name)
    follows(publisher, subscriber, name)
    whole(subscriber, name)
    for _ in range(3):
        changes(publisher)
        seal(publisher, "shop")
    changes(publisher)
    follows(publisher, subscriber, name)
    assert check_seals(subscriber, name) == check_seals(publisher, "shop") > 0
    assert problems(subscriber, name) == problems(publisher, "shop") == []
    assert subscriber.value("SELECT relay_guard.audit_seal()", database=name) == 0
    assert subscriber.run(SEALS, database=name) == publisher.run(SEALS, database="shop")
    tampering_is_found(subscriber, name)
    subscriber.run(f"DROP SUBSCRIPTION {name}", database=name)


def tampering_is_found(subscriber, name):
    connection = subscriber.connect(name, autocommit=False)
    (row,), = run(connection, "SELECT min(id) FROM relay_guard.audit_log")
    run(connection, "SET session_replication_role = replica")
    run(connection, "UPDATE relay_guard.audit_log SET actor = 'nobody' WHERE id = %s", row)
    assert ("row_changed", row) in run(connection, "SELECT problem, id FROM relay_guard.audit_verify()")
    run(connection, "DELETE FROM relay_guard.audit_log WHERE id = %s", row)
    assert ("row_missing", row) in run(connection, "SELECT problem, id FROM relay_guard.audit_verify()")
    connection.close()


def test_the_copy_verifies_at_any_moment(publisher, subscriber):
    """Under load, with lag: rows that came before their seal are not taken for forged, nor seals for ones without rows."""
    name = "under_load"
    PUBLICATIONS[name] = PUBLICATIONS["as_one_table"]
    subscribed(publisher, subscriber, name)
    follows(publisher, subscriber, name)
    journal = Journal()
    journal.start(publisher, 3, database="shop")
    for _ in range(5):
        assert problems(subscriber, name) == []
    journal.stop()
    follows(publisher, subscriber, name)
    whole(subscriber, name)
    subscriber.run(f"DROP SUBSCRIPTION {name}", database=name)


def test_the_copy_can_become_the_log(publisher, subscriber):
    """When the subscription is gone its database seals again, from the publisher's last seal on."""
    name = "as_one_table"
    subscriber.run("SELECT relay_guard.audit_seal()", database=name)
    assert whole(subscriber, name) == 0
    subscriber.run("SELECT relay_guard.audit_event('took.over', 'shop')", database=name)
    seal(subscriber, name)
    assert whole(subscriber, name) == 0
    assert subscriber.value("SELECT count(DISTINCT epoch) FROM relay_guard.audit_log", database=name) == 2
