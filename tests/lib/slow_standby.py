# SPDX-License-Identifier: BSD-2-Clause
"""A standby whose WAL takes long to get to its disk, when a test wants that."""

import contextlib
import os
import signal
import subprocess

import walscope
from cluster import Server
from live import once, space


@once
def library():
    source = os.path.join(walscope.ROOT, "tests", "lib", "preload", "slow_sync.c")
    library = space().file("slow_sync.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", library, source], check=True)
    return library


class SlowStandby(Server):
    """With fsync=on: a walreceiver asks for no sync without. What pg_basebackup copies is not synced."""

    SETTINGS = {**Server.SETTINGS, "fsync": "on", "wal_receiver_status_interval": "'1s'",
                "max_standby_streaming_delay": "-1", "hot_standby_feedback": "off"}

    def launch(self):
        return self.space.start(
            [self.program, "-D", self.data], name=self.name, user=self.user, cwd=self.dir, stop=signal.SIGQUIT,
            root=self.root, env={"LD_PRELOAD": library(), "SLOW_SYNC_FILE": self._delay})

    @property
    def _delay(self):
        return os.path.join(self.dir, "slow_sync")

    @contextlib.contextmanager
    def slow_sync(self, ms):
        """Each sync of WAL takes so much longer while the body runs."""
        with open(self._delay + ".new", "w", encoding="ascii") as file:
            file.write(f"{ms}\n")
        os.chmod(self._delay + ".new", 0o644)
        os.rename(self._delay + ".new", self._delay)
        try:
            yield
        finally:
            os.unlink(self._delay)

    @contextlib.contextmanager
    def set(self, name, value):
        """A setting, while the body runs."""
        self.sql(f"alter system set {name} = '{value}'")
        self.sql("select pg_reload_conf()")
        try:
            yield
        finally:
            self.sql(f"alter system reset {name}")
            self.sql("select pg_reload_conf()")
