"""Servers whose wall clock a test sets, by libfaketime, of Debian's package faketime."""
import datetime
import glob
import os

import pytest

from servers import write

LIBRARY = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
UTC = datetime.timezone.utc
needs_faketime = pytest.mark.skipif(not LIBRARY or "ASAN_OPTIONS" in os.environ, reason="no package faketime, or a sanitizer in its way")


class Clock:
    """The clock of one server, which goes on from whatever it is set to."""

    def __init__(self, server):
        self.server = server
        self.file = server.folder / "clock"
        self.ahead = 0.0

    def set(self, at):
        """To this time."""
        self.ahead = (at - datetime.datetime.now(UTC)).total_seconds()
        write(self.file.with_suffix(".new"), f"{self.ahead:+.3f}\n", 0o644).rename(self.file)

    def step(self, seconds):
        self.set(self.now() + datetime.timedelta(seconds=seconds))

    def now(self):
        return datetime.datetime.now(UTC) + datetime.timedelta(seconds=self.ahead)

    def start(self):
        """Starts the server under this clock."""
        self.server.start(LD_PRELOAD=LIBRARY[0], FAKETIME_TIMESTAMP_FILE=self.file, FAKETIME_NO_CACHE=1,
                          FAKETIME_DONT_FAKE_MONOTONIC=1)
        assert abs((self.server.value("SELECT clock_timestamp()") - self.now()).total_seconds()) < 5
