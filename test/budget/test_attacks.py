"""What somebody would try who wants more than he is to have."""
import random
import string

import pytest

from accounts import CHARGE, RESERVE, STATUS, TAKE, Client, budget, install, problems, quota, taken_in_ledger
from servers import run, sqlstate


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server({"max_connections": 40})
    install(server)
    server.run("SELECT relay_guard.usage_maintain()")
    yield server
    server.stop("immediate")


def test_a_row_is_found_by_its_indexes_after_a_first_look_at_them_was_broken_off(server):
    """A catalog is locked for a while, as by VACUUM FULL, when a session first writes the ledger."""
    policy = quota(server, 3)
    with Client(server) as client, server.connect(autocommit=False) as vacuum:
        client.call(STATUS, policy)
        run(vacuum, "LOCK TABLE pg_index IN ACCESS EXCLUSIVE MODE")
        client.begin("; SET LOCAL lock_timeout = '100ms'")
        assert sqlstate(client.connection, TAKE, policy, 1) == "55P03"
        client.rollback()
        vacuum.rollback()
        assert [client.take(policy).allowed for _ in range(4)] == [True, True, True, False]
        server.run("SELECT relay_guard.usage_rebuild()")
        assert client.call(STATUS, policy).used == taken_in_ledger(server, policy) == 3
    assert problems(server) == []


def test_a_name_that_the_ledger_takes_fits_the_totals(server):
    """No round would ever end well again, and no lease run out."""
    letters = random.Random(1).choices(string.ascii_letters + string.digits, k=3000)
    outcomes = []
    with budget(server, 100):
        for length in range(2000, 2800, 16):
            with Client(server, "".join(letters[:length])) as client:
                outcomes.append(client.fails(CHARGE, 1, 0))
            server.run("SELECT relay_guard.usage_roll()")
    assert set(outcomes) == {None, "54000"}


def test_a_row_is_found_by_time_in_blocks_that_were_summarized_before_it_came(server):
    policy = quota(server, 100)
    with Client(server) as client:
        client.take(policy)
        partition = server.value("SELECT tableoid::regclass FROM relay_guard.usage_ledger ORDER BY id DESC LIMIT 1")
        server.run("SELECT brin_summarize_new_values(%s)", f"{partition}_reserved_at_idx")
        since = server.value("SELECT date_trunc('milliseconds', clock_timestamp()) FROM pg_sleep(0.005)")  # as reserved_at is cut
        client.take(policy, 7)
    found = server.run("""SET enable_seqscan = off; SET enable_indexscan = off;
        SELECT units FROM relay_guard.usage_ledger WHERE reserved_at >= %s""", since)
    assert found == [(7,)]


def test_who_reserves_nothing_gets_nothing_of_a_budget_that_is_used_up(server):
    """A settlement is never refused: whoever is let in with nothing could settle any amount."""
    with budget(server, 100) as name, Client(server) as client:
        client.call(CHARGE, 100, 0)
        refused = client.call(RESERVE, 0, 0, "1 min")
        assert (refused.allowed, refused.blocked_by) == (False, name)
