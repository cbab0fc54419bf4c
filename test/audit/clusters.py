"""Servers of another cluster than make_server() makes: with a system identifier of their own."""
import pytest

from servers import BINDIR, Server, as_server, own_folder


@pytest.fixture(scope="session")
def other_template(home):
    """What initdb makes has another system identifier than the template that the other servers are copies of."""
    as_server(BINDIR / "initdb", "-D", home / "other_template", "-U", "postgres", "--auth=trust", "--no-sync",
              "--encoding=UTF8", "--locale=C.UTF-8")
    return home / "other_template"


@pytest.fixture(scope="module")
def make_other(home, other_template):
    """make_other(ring, {setting: value}) starts one with this ring, which lives as long as the file's tests."""
    servers = []

    def make(ring, options=(), started=True):
        servers.append(Server(other_template, own_folder(home), options))
        servers[-1].write_ring(ring)
        return servers[-1].start() if started else servers[-1]

    yield make
    for server in servers:
        server.stop("immediate")
