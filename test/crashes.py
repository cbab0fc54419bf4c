"""kill -9 of a server, or of one of its processes, and what the server is afterwards."""
import contextlib
import ctypes
import os
import pathlib
import random
import signal

import pytest

from servers import wait_for

PR_SET_CHILD_SUBREAPER = 36


def parent_of(pid):
    """The parent of a process, or None if it is gone."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def children_of(parent):
    pids = [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if parent_of(pid) == parent]


@pytest.fixture(scope="module")
def heir():
    """Orphans become children of this process, which need not wait for init to notice that they are dead."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)


def bury(pid):
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def kill_server(server):
    """kill -9 of the postmaster and every process of it, none of which gets to do anything about it."""
    postmaster = int((server.data / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGSTOP)
    processes = [postmaster, *children_of(postmaster)]
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    for pid in processes:
        bury(pid)


def kill_process(server, pid):
    """kill -9 of one process, upon which the postmaster ends the others and starts anew."""
    started = server.value("SELECT pg_postmaster_start_time()")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: parent_of(pid) is None)
    wait_for(lambda: restarted(server))
    assert server.value("SELECT pg_postmaster_start_time()") == started


def kill_one_of(server, processes):
    """The same of one of those that a query names, of which one may have ended by itself meanwhile."""
    def is_killed():
        pids = [pid for pid, in server.run(processes)]
        with contextlib.suppress(ProcessLookupError):
            if pids:
                kill_process(server, random.choice(pids))
                return True
        return False
    wait_for(is_killed)


def restarted(server):
    try:
        return server.value("SELECT NOT pg_is_in_recovery()")
    except Exception:  # pylint: disable=broad-except
        return False
