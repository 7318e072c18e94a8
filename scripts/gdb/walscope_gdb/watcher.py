# SPDX-License-Identifier: BSD-2-Clause
"""Stops the next walsender of a server, for gdb to attach to: the part of `walsender wait` beside gdb.

A new child of the postmaster becomes a walsender when ProcessStartupPacket has read so (postmaster.c; from 17 on
backend_startup.c); some tens of microseconds later it is in PostgresMain. That is seen by reading its memory again and again,
which touches nobody, and then a SIGSTOP holds it where it is, until a line comes, or the end, of standard input: gdb has it
then, or is gone.

usage: watcher.py; on standard input a line of JSON (wait.py makes it). On standard error lines for gdb: "up", and the
walsender's pid.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from walscope_gdb import server, text, tracer  # noqa: E402

EVERY = 0.0002  # s between looks for new children
CLOSELY = 0.00002  # s between looks at what the new ones are; on a single processor they need that to become something
LOOKS = 20  # of those between two looks at titles, and for more children


def children(postmaster):
    """By the kernel's own list where it keeps one (CONFIG_PROC_CHILDREN), else by looking at all processes."""
    try:
        with open(f"/proc/{postmaster}/task/{postmaster}/children", encoding="ascii") as file:
            return set(map(int, file.read().split()))
    except FileNotFoundError:
        return {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent(pid) == postmaster}


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


def title(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


class Child:
    """A new one, until it is known what it is."""

    def __init__(self, pid, config):
        self._pid, self._app = pid, config["app"]
        self._first_title = title(config["postmaster"])
        self._server = server.Server(tracer.Memory(pid, config["variables"], config["fields"]))

    def _is_wanted(self):
        return self._server.flag("am_walsender") and self._app in (None, self._server.of_port("application_name"))

    def decide(self, by_title):
        """True if it is wanted, False if it is something else, None if it is not known yet. It gets a title of its own behind the
        start-up packet (init_ps_display in ps_status.c)."""
        try:
            if self._is_wanted():
                return True
            return self._is_wanted() if by_title and title(self._pid) != self._first_title else None
        except OSError:
            return False  # it is gone


class Watch:
    """Of a postmaster's children, those there are already left out."""

    def __init__(self, config):
        self._config = config
        self._listed = set()
        self._begun = {}  # ticks by pid of all that were ever listed
        self._new = {}
        self._look_for_more()
        self._new.clear()

    def _look_for_more(self):
        """A pid may come again, and the kernel's list may lack one while others end."""
        before, self._listed = self._listed, children(self._config["postmaster"])
        for pid in self._listed - before:
            with contextlib.suppress(OSError):
                ticks = text.start_ticks(pid)
                if self._begun.get(pid) != ticks:
                    self._begun[pid] = ticks
                    self._new[pid] = Child(pid, self._config)

    def look(self):
        """The pid of one that is wanted, None if there is none yet."""
        self._look_for_more()
        for i in range(LOOKS if self._new else 0):
            time.sleep(CLOSELY)
            for pid, child in list(self._new.items()):
                decided = child.decide(by_title=i == LOOKS - 1)
                if decided:
                    return pid
                if decided is False:
                    del self._new[pid]
        return None

    @property
    def pause(self):
        """s until the next look."""
        return 0 if self._new else EVERY


def hold(pid, stdin):
    """Keeps it standing until gdb has it, or is gone. gdb's attaching would be confused by a SIGCONT."""
    os.kill(pid, signal.SIGSTOP)
    try:
        tracer.tell(pid)
        stdin.readline()
    finally:
        os.kill(pid, signal.SIGCONT)


def main():
    stdin = open(0, "rb", buffering=0)
    watch = Watch(json.loads(stdin.readline()))
    with contextlib.suppress(PermissionError):  # not to be kept waiting by who else computes on this host
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    tracer.tell("up")
    while not select.select([stdin], [], [], watch.pause)[0]:
        pid = watch.look()
        if pid is not None:
            hold(pid, stdin)
            return


if __name__ == "__main__":
    main()
