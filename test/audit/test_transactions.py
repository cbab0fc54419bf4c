"""What is committed is in the log and nothing else, each under its own request:
thousands of transactions with savepoints, errors and rollbacks from many clients."""
import collections
import os
import random
import threading

import psycopg2
import pytest

from changes import Log, install, leaks
from journal import problems
from servers import run, sqlstate

CLIENTS = 16
TRANSACTIONS = 10_000 if os.environ.get("RG_LONG") else 2_000
ERRORS = ["SELECT 1 / 0", "INSERT INTO account (id, owner) VALUES (-1, 'x')", "INSERT INTO account (id, owner) VALUES (1, NULL)",
          "UPDATE account SET amount = 'x'", "SELECT relay_guard.audit_event('', '')"]


@pytest.fixture(scope="module")
def audited(make_server):
    server = make_server({"max_prepared_transactions": 20, "max_connections": 40})
    install(server)
    server.run("""CREATE TABLE account (id int PRIMARY KEY CHECK (id > 0), owner text NOT NULL, amount int NOT NULL DEFAULT 0);
                  SELECT relay_guard.audit('account')""")
    yield server
    assert leaks(server) == []
    assert problems(server) == []
    server.stop("immediate")


class Client(threading.Thread):
    """Changes rows of its own, one it shares with everybody, and knows what it committed."""

    def __init__(self, server, number, transactions):
        super().__init__()
        self.connection = server.connect(autocommit=False)
        self.number = number
        self.transactions = transactions
        self.random = random.Random(number)
        self.committed = {}     # of each request, what the log must hold in order
        self.rows = {}
        self.failure = None

    def run(self):
        try:
            for n in range(self.transactions):
                self.transaction(f"c{self.number}-{n}")
        except BaseException as failure:
            self.failure = failure
        finally:
            self.connection.close()

    def transaction(self, request):
        run(self.connection, "SELECT relay_guard.assume(%s, 'w', 'user', %s, '192.0.2.1')", f"client {self.number}", request)
        rows, changes = dict(self.rows), []
        for _ in range(self.random.randint(1, 3)):
            self.step(rows, changes)
        end = self.random.random()
        if end < .1:
            self.fail()
            self.connection.rollback()
            return
        if end < .2:
            self.connection.rollback()
            return
        self.commit(request, end)
        self.rows, self.committed[request] = rows, changes

    def commit(self, request, end):
        if end > .95:
            run(self.connection, "PREPARE TRANSACTION %s", request)
            self.connection.commit()
            self.connection.autocommit = True
            run(self.connection, "COMMIT PREPARED %s", request)
            self.connection.autocommit = False
        else:
            self.connection.commit()

    def step(self, rows, changes):
        kind = self.random.random()
        if kind < .2:
            self.undone_in_a_savepoint(rows)
        elif kind < .3:
            self.in_a_block(rows, changes)
        else:
            self.change(rows, changes)

    def undone_in_a_savepoint(self, rows):
        undone = dict(rows)
        run(self.connection, "SAVEPOINT s")
        self.change(undone, [])
        if self.random.random() < .5:
            run(self.connection, "SAVEPOINT s2")
            self.change(undone, [])
            run(self.connection, "RELEASE s2")
        if self.random.random() < .5:
            self.fail()
        run(self.connection, "ROLLBACK TO s")

    def fail(self):
        with pytest.raises(psycopg2.Error):
            run(self.connection, self.random.choice(ERRORS))

    def in_a_block(self, rows, changes):
        """Of two subtransactions of PL/pgSQL, the second fails after its change."""
        id = self.new_id(rows)
        run(self.connection, f"""DO $$ BEGIN
            BEGIN INSERT INTO account VALUES ({id}, 'block', 1); EXCEPTION WHEN division_by_zero THEN NULL; END;
            BEGIN UPDATE account SET amount = 2 WHERE id = {id}; PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END;
            END $$""")
        rows[id] = {"id": id, "owner": "block", "amount": 1}
        changes.append(("INSERT", id, None, dict(rows[id])))

    def new_id(self, rows):
        return next(id for id in iter(lambda: 10_000 * self.number + self.random.randint(1, 9_999), None) if id not in rows)

    def change(self, rows, changes):
        kind = self.random.random()
        if not rows or kind < .4:
            self.insert(rows, changes)
        elif kind < .8:
            self.update(rows, changes)
        else:
            self.delete(rows, changes)

    def insert(self, rows, changes):
        many = {}
        for _ in range(self.random.choice([1, 1, 1, 3, 9])):
            id = self.new_id({**rows, **many})
            many[id] = {"id": id, "owner": f"client {self.number}", "amount": self.random.randint(0, 9)}
        values = ", ".join(f"({r['id']}, '{r['owner']}', {r['amount']})" for r in many.values())
        run(self.connection, f"INSERT INTO account VALUES {values}")
        rows.update(many)
        changes += [("INSERT", id, None, dict(row)) for id, row in many.items()]

    def update(self, rows, changes):
        amount = self.random.randint(0, 9)
        ids = self.random.sample(sorted(rows), min(len(rows), self.random.choice([1, 1, 4])))
        for id, in run(self.connection, "UPDATE account SET amount = %s WHERE id = ANY (%s) RETURNING id", amount, ids):
            if rows[id]["amount"] != amount:
                changes.append(("UPDATE", id, {"amount": rows[id]["amount"]}, {"amount": amount}))
            rows[id] = {**rows[id], "amount": amount}

    def delete(self, rows, changes):
        id = self.random.choice(sorted(rows))
        run(self.connection, "DELETE FROM account WHERE id = %s", id)
        changes.append(("DELETE", id, rows.pop(id), None))


def logged(server):
    """What the log holds of each request, in order, and who it says did it."""
    of_requests, actors = collections.defaultdict(list), {}
    for request, actor, action, id, old, new in server.run("""SELECT request_id, actor, action, resource_id::int, old, new
            FROM relay_guard.audit_log WHERE resource_type = 'account' AND source = 'trigger' ORDER BY id"""):
        of_requests[request].append((action, id, old, new))
        assert actors.setdefault(request, actor) == actor
    return of_requests, actors


def test_of_thousands_of_transactions_what_was_committed_is_logged_exactly(audited):
    clients = [Client(audited, n, TRANSACTIONS // CLIENTS) for n in range(1, CLIENTS + 1)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert [c.failure for c in clients if c.failure] == []
    committed = {request: changes for c in clients for request, changes in c.committed.items() if changes}
    of_requests, actors = logged(audited)
    assert of_requests == committed
    assert len(committed) > TRANSACTIONS / 2
    for request, actor in actors.items():
        assert actor == f"client {request[1:].split('-')[0]}"
    table = {id: {"id": id, "owner": owner, "amount": amount} for id, owner, amount in audited.run("SELECT * FROM account")}
    assert table == {id: row for c in clients for id, row in c.rows.items()}
    assert replayed(of_requests) == table


def replayed(of_requests):
    """The table as the log alone tells it; each old value must be the one that was there."""
    rows = {}
    for action, id, old, new in (change for changes in of_requests.values() for change in changes):
        row = rows.pop(id, {})
        assert {name: row[name] for name in old or {}} == (old or {})
        if action != "DELETE":
            rows[id] = {**row, **new}
    return rows


@pytest.fixture
def connection(audited):
    connection = audited.connect()
    yield connection
    connection.close()


def make_table(connection, name, definition):
    run(connection, f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (id int PRIMARY KEY, {definition}); SELECT relay_guard.audit('{name}')")
    return Log(connection)


def seen(log):
    return [(action, id, new) for _, action, id, _, new in log.rows()]


def test_a_procedure_that_commits_logs_under_each_of_its_transactions(connection):
    log = make_table(connection, "step", "n int")
    run(connection, """CREATE OR REPLACE PROCEDURE work() LANGUAGE plpgsql AS $$ BEGIN
        FOR i IN 1..6 LOOP
            PERFORM relay_guard.assume('user ' || i);
            INSERT INTO step VALUES (i, i);
            IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
        END LOOP; END $$""")
    run(connection, "CALL work()")
    assert [row[2] for row in log.rows()] == ["2", "4", "6"]
    assert run(connection, """SELECT array_agg(actor ORDER BY id), count(DISTINCT xid) FROM relay_guard.audit_log
        WHERE resource_type = 'step' AND source = 'trigger'""") == [(["user 2", "user 4", "user 6"], 3)]


def test_deferred_triggers_and_constraints_are_logged_at_commit(connection):
    log = make_table(connection, "late", "n int, UNIQUE (n) DEFERRABLE INITIALLY DEFERRED")
    run(connection, """CREATE OR REPLACE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE late SET n = n + 100 WHERE id = NEW.id; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER later AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION later();
        BEGIN; INSERT INTO late VALUES (1, 1), (2, 2)""")
    assert seen(log) == [("INSERT", "1", '{"n": 1, "id": 1}'), ("INSERT", "2", '{"n": 2, "id": 2}')]
    run(connection, "COMMIT")
    assert seen(log) == [("UPDATE", "1", '{"n": 101}'), ("UPDATE", "2", '{"n": 102}')]
    assert sqlstate(connection, "BEGIN; UPDATE late SET n = 7; COMMIT") == "23505"
    run(connection, "ROLLBACK")
    assert seen(log) == []


def test_where_current_of_a_cursor_is_a_change_like_any(connection):
    log = make_table(connection, "row", "n int")
    run(connection, "INSERT INTO row SELECT i, i FROM generate_series(1, 5) i")
    log.skip()
    run(connection, """BEGIN; DECLARE c CURSOR FOR SELECT * FROM row ORDER BY id FOR UPDATE; FETCH 2 FROM c;
        UPDATE row SET n = 20 WHERE CURRENT OF c; FETCH 1 FROM c; DELETE FROM row WHERE CURRENT OF c; COMMIT""")
    assert seen(log) == [("UPDATE", "2", '{"n": 20}'), ("DELETE", "3", None)]


def test_a_prepared_transaction_is_logged_when_it_is_committed(connection):
    log = make_table(connection, "two", "n int")
    run(connection, "BEGIN; SELECT relay_guard.assume('who prepared'); INSERT INTO two VALUES (1, 1); PREPARE TRANSACTION 'first'")
    run(connection, "BEGIN; INSERT INTO two VALUES (2, 2); PREPARE TRANSACTION 'second'")
    assert seen(log) == []
    run(connection, "COMMIT PREPARED 'first'")
    run(connection, "ROLLBACK PREPARED 'second'")
    assert seen(log) == [("INSERT", "1", '{"n": 1, "id": 1}')]
    assert run(connection, "SELECT actor FROM relay_guard.audit_log WHERE resource_type = 'two' AND source = 'trigger'") == [("who prepared",)]


def test_an_audited_table_may_be_written_by_triggers_of_another(connection):
    inner = make_table(connection, "inner_one", "n int")
    make_table(connection, "outer_one", "n int")
    run(connection, """CREATE OR REPLACE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO inner_one VALUES (NEW.id * 10, NEW.n), (NEW.id * 10 + 1, NEW.n);
            IF NEW.n < 0 THEN RAISE division_by_zero; END IF;
            RETURN NEW; END $$;
        CREATE TRIGGER pass_on BEFORE INSERT ON outer_one FOR EACH ROW EXECUTE FUNCTION pass_on()""")
    run(connection, "INSERT INTO outer_one VALUES (1, 1), (2, 2)")
    assert sqlstate(connection, "INSERT INTO outer_one VALUES (3, 3), (4, -1)") == "22012"
    assert [(kind, id) for kind, _, id, _, _ in inner.rows()] == [
        ("inner_one", "10"), ("inner_one", "11"), ("inner_one", "20"), ("inner_one", "21"), ("outer_one", "1"), ("outer_one", "2")]


ODD = """
DROP TABLE IF EXISTS odd; DROP TYPE IF EXISTS odd_value CASCADE;
CREATE TYPE odd_value AS ENUM ('good', 'bad', 'writes');
CREATE FUNCTION odd_json(odd_value) RETURNS json LANGUAGE plpgsql AS $$ BEGIN
    IF $1 = 'bad' THEN RAISE division_by_zero; END IF;
    IF $1 = 'writes' THEN INSERT INTO written SELECT coalesce(max(id), 0) + 1 FROM written; END IF;
    RETURN to_json($1::text); END $$;
CREATE CAST (odd_value AS json) WITH FUNCTION odd_json(odd_value)
"""


def test_a_batch_that_a_subtransaction_gives_up_in_the_middle_leaves_nothing(connection):
    """The value of row 2500 cannot be printed: what was written of the batch before it goes with it."""
    run(connection, ODD)
    log = make_table(connection, "odd", "value odd_value")
    run(connection, """DO $$ BEGIN
        INSERT INTO odd VALUES (0, 'good');
        BEGIN
            INSERT INTO odd SELECT i, CASE WHEN i = 2500 THEN 'bad' ELSE 'good' END::odd_value FROM generate_series(1, 3000) i;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
        INSERT INTO odd VALUES (1, 'good');
        END $$""")
    assert [id for _, id, _ in seen(log)] == ["0", "1"]
    assert sqlstate(connection, "INSERT INTO odd SELECT i, CASE WHEN i = 2500 THEN 'bad' ELSE 'good' END::odd_value "
                                "FROM generate_series(2, 3000) i") == "22012"
    assert seen(log) == []


def test_printing_a_value_may_itself_change_an_audited_table(connection):
    run(connection, ODD)
    make_table(connection, "written", "n int")
    log = make_table(connection, "odd", "value odd_value")
    run(connection, "INSERT INTO odd SELECT i, CASE WHEN i % 3 = 0 THEN 'writes' ELSE 'good' END::odd_value FROM generate_series(1, 9) i")
    kinds = collections.Counter(kind for kind, *_ in log.rows())
    assert kinds == {"odd": 9, "written": 3}
    assert run(connection, "SELECT count(*), count(DISTINCT id) FROM relay_guard.audit_log WHERE xid = (SELECT max(xid) FROM relay_guard.audit_log)") == [(12, 12)]


def test_loops_with_a_subtransaction_for_each_row(connection):
    log = make_table(connection, "looped", "n int")
    run(connection, """DO $$ BEGIN FOR i IN 1..500 LOOP
        BEGIN
            INSERT INTO looped VALUES (i, i);
            UPDATE looped SET n = n + 1 WHERE id = i;
            IF i % 2 = 0 THEN RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN INSERT INTO looped VALUES (-i, 0);
        END; END LOOP; END $$""")
    expected = []
    for i in range(1, 501):
        expected += [("INSERT", f"-{i}")] if i % 2 == 0 else [("INSERT", str(i)), ("UPDATE", str(i))]
    assert [(action, id) for action, id, _ in seen(log)] == expected


def test_savepoints_of_one_transaction_keep_their_order(connection):
    log = make_table(connection, "saved", "n int")
    run(connection, """BEGIN; INSERT INTO saved VALUES (1, 1); SAVEPOINT a; INSERT INTO saved VALUES (2, 2); SAVEPOINT b;
        UPDATE saved SET n = 0; ROLLBACK TO b; DELETE FROM saved WHERE id = 1; RELEASE a; SAVEPOINT c; DELETE FROM saved;
        ROLLBACK TO c; ROLLBACK TO c; INSERT INTO saved VALUES (3, 3); COMMIT""")
    assert [(action, id) for action, id, _ in seen(log)] == [("INSERT", "1"), ("INSERT", "2"), ("DELETE", "1"), ("INSERT", "3")]


def test_what_clients_do_to_one_row_at_a_time_is_one_chain(audited):
    """Each old value is the new one of the change before, whoever waited for whose lock."""
    audited.run("""DROP TABLE IF EXISTS counter; CREATE TABLE counter (id int PRIMARY KEY, n int); SELECT relay_guard.audit('counter');
                   INSERT INTO counter VALUES (1, 0)""")

    def add():
        connection = audited.connect()
        for i in range(60):
            run(connection, "UPDATE counter SET n = n + 1" if i % 3 else "INSERT INTO counter VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET n = counter.n + 1")
        connection.close()

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    steps = audited.run("""SELECT (old ->> 'n')::int, (new ->> 'n')::int FROM relay_guard.audit_log
        WHERE resource_type = 'counter' AND action = 'UPDATE' ORDER BY 1""")
    assert steps == [(n, n + 1) for n in range(480)]


def test_whoever_may_write_the_table_is_logged_as_who_logged_in(audited, connection):
    make_table(connection, "open_table", "n int")
    run(connection, """DROP ROLE IF EXISTS writer; DROP ROLE IF EXISTS worn; CREATE ROLE writer LOGIN; CREATE ROLE worn; GRANT worn TO writer;
        GRANT INSERT, UPDATE (n), SELECT, DELETE ON open_table TO worn;
        CREATE OR REPLACE FUNCTION insert_as_owner() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO open_table VALUES (9, 9)'""")
    writer = audited.connect(user="writer")
    run(writer, "SET ROLE worn; INSERT INTO open_table VALUES (1, 1); UPDATE open_table SET n = 2; DELETE FROM open_table; SELECT insert_as_owner()")
    assert run(connection, """SELECT session_role, count(*) FROM relay_guard.audit_log
        WHERE resource_type = 'open_table' AND source = 'trigger' GROUP BY 1""") == [("writer", 4)]
    for statement in ("SELECT * FROM relay_guard.audit_log", "INSERT INTO relay_guard.audit_log (id) VALUES (1)",
                      "SELECT nextval('relay_guard.audit_log_id_seq')"):
        assert sqlstate(writer, statement) == "42501", statement
    writer.close()
    run(connection, "DROP TABLE open_table")
