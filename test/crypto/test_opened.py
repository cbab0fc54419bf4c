"""A value that was opened a moment ago is not given out when its key is gone meanwhile."""
import base64

import psycopg2
import pytest

from servers import key_line, run


def test_a_key_that_retires_in_a_transaction_closes_what_was_opened(make_server):
    server = make_server()
    server.run("CREATE EXTENSION relay_guard")
    server.run("CREATE TABLE place AS SELECT relay_guard.encrypt('here', relay_guard.aad('a')) AS value")
    key = base64.b64decode(server.keyring.read_text().split()[1])
    connection = server.connect(autocommit=False)
    assert run(connection, "SELECT relay_guard.opens(value, relay_guard.aad('a')) FROM place") == [(True,)]
    server.write_ring(key_line(1, "retired", key) + key_line(2, "primary"))
    server.reload()
    with pytest.raises(psycopg2.Error, match="key 1 is retired") as refused:
        run(connection, "SELECT relay_guard.opened_text(value, relay_guard.aad('a')) FROM place")
    assert refused.value.pgcode == "RG503"
    connection.close()
