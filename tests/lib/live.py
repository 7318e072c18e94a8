# SPDX-License-Identifier: BSD-2-Clause
"""What the live tests share: one primary with a standby, recordings, and a base class.

A live test takes its expectation from the workload, the clients, the server's log and views, /proc and
bpftool, never from walscope's own output.
"""

import contextlib
import functools
import os
import signal
import time
import unittest

import walscope
from cluster import Server
from processes import Failure, Space, alive, start_ticks, stat_fields, wait_for

STATES = set("""starting idle command sql wait_wal read_wal decode output_plugin send send_blocked
    recv_blocked wait_standby wait_copydone wait_lock reply backup_checkpoint backup_estimate backup_read
    backup_send backup_throttled backup_wait_archive backup_wal backup_manifest stopping exiting off_cpu
    stopped lost unknown""".split())
REASONS = set("""client_terminated client_eof connection_lost replication_timeout admin_terminated
    slot_released slot_invalidated shutdown crash_restart postmaster_death fatal refused killed
    unknown""".split())


def once(function):
    """Runs a function of no arguments once; every caller gets its result, or its exception."""
    seen = []

    @functools.wraps(function)
    def call():
        if not seen:
            try:
                seen.append((function(), None))
            except BaseException as error:
                seen.append((None, error))
                raise
        result, error = seen[0]
        if error is not None:
            raise Failure(f"{function.__name__} failed before: {error}") from error
        return result

    return call


class _Shared:
    """Made when the first test asks for it; the runner closes it."""

    space = None

    def open(self):
        if self.space is None:
            self.space = Space("walscope-live-")
            # What walscope learns of a server is kept for the other tests, not on the host.
            os.environ["XDG_CACHE_HOME"] = self.space.folder("cache")
        return self.space

    def close(self):
        if self.space is not None:
            self.space.close()


SHARED = _Shared()


def space():
    return SHARED.open()


@once
def primary():
    """The server most tests look at. Nothing that would crash or stop it may be done to it."""
    server = Server(space(), "primary").create().start()
    server.pgbench_init(2)
    return server


@once
def standby():
    """A standby that streams from the primary for as long as the tests run."""
    server = Server(space(), "standby").copy_of(primary()).start()
    primary().wait_walsender("standby")
    return server


class Recording:
    """A `walscope record` that runs, and afterwards its file."""

    def __init__(self, process, file):
        self.process, self.file = process, file
        self._views = {}

    def end(self, how=signal.SIGINT, status=0):
        self.process.signal(how)
        return self.process.expect(status)

    def view(self, command, *options, status=0):
        key = (command, *options)
        if key not in self._views:
            self._views[key] = walscope.view(space(), command, self.file, *options, status=status)
        return self._views[key]

    def sessions(self, pid):
        return [entry for entry in self.view("sessions") if entry["pid"] == pid]

    def session(self, pid):
        """The only session of this walsender."""
        found = self.sessions(pid)
        if len(found) != 1:
            raise Failure(f"{len(found)} sessions with pid {pid}, expected 1; seen: " + ", ".join(
                f"{entry['session']} {entry['application_name']}" for entry in self.view("sessions")))
        return found[0]

    def history(self, pid):
        return sorted((entry for entry in self.view("history") if entry["pid"] == pid),
                      key=lambda entry: entry["seq"])

    def timeline(self, pid):
        return [entry for entry in self.view("timeline") if entry["pid"] == pid]

    def hist(self, pid, metric):
        found = [entry for entry in self.view("hist")
                 if entry["pid"] == pid and entry["metric"] == metric]
        if len(found) != 1:
            raise Failure(f"{len(found)} histograms {metric} of pid {pid}, expected 1")
        return found[0]

    def time_in(self, pid, begin, end):
        """Seconds by state within [begin, end) (seconds since the epoch)."""
        found = {}
        for entry in self.timeline(pid):
            start = walscope.seconds(entry["start"])
            length = min(end, start + entry["duration_ns"] / 1e9) - max(begin, start)
            if length > 0:
                found[entry["state"]] = found.get(entry["state"], 0) + length
        return found


class Window:
    """A stretch of time in which a process is held in one situation, and what it did not sleep of it: while
    it runs, or waits for a processor, it may be at something else for a moment, and for as long as the host
    keeps it from going on."""

    def __init__(self, pid):
        self._pid, self._awake = pid, self._awake_now(pid)
        self.begin = time.time()
        self.end = self.awake = None

    @staticmethod
    def _awake_now(pid):
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            running, runnable, _ = map(int, file.read().split())
        return (running + runnable) / 1e9  # the time of others' processes, and of other machines on this host

    def close(self):
        self.end = time.time()
        self.awake = self._awake_now(self._pid) - self._awake
        return self

    @property
    def seconds(self):
        return self.end - self.begin


def hold(pid, seconds):
    """Leaves a process in what it is in for so long."""
    window = Window(pid)
    time.sleep(seconds)
    return window.close()


@contextlib.contextmanager
def no_wal_of_its_own(server):
    """The server writes no WAL by itself while the body runs: otherwise its background writer logs the
    transactions that run, at any time up to 15 s behind whatever was written before."""
    pid = int(server.value("select pid from pg_stat_activity where backend_type = 'background writer'"))
    pid = getattr(server, "host_pid", int)(pid)  # in a namespace of its own
    ticks = start_ticks(pid)
    if stat_fields(pid)[0] == "T":  # whoever stopped it lets it go on
        yield
        return
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for("the background writer to stop", lambda: stat_fields(pid)[0] == "T")
        yield
    finally:
        if alive(pid, ticks):
            os.kill(pid, signal.SIGCONT)


_numbers = iter(range(1, 1000))


@contextlib.contextmanager
def recording(server, *options, follow=None, attach=True):
    """Records the walsenders of a server while the body runs; it ends with SIGINT and exit status 0.

    `follow` is the argument of --postmaster: the server's pid unless told otherwise.
    """
    file = space().file(f"recording{next(_numbers)}.wst")
    process = walscope.start_record(space(), file, "--postmaster", str(follow or server.pid), *options)
    try:
        if attach:
            walscope.wait_attached(process, server.pid)
        record = Recording(process, file)
        yield record
        if process.running:
            record.end()
        elif process.wait() != 0:
            raise Failure(f"{process.describe()}: exit status {process.wait()}")
    finally:
        process.close()


def walsender_pids(server, application, since=0.0):
    """Pids of the walsenders a client had, in order of their start, by the server's log."""
    found = []
    for line in server.log():
        if (line.backend_type == "walsender" and line.time >= since and line.pid not in found
                and f"application_name={application}" in line.message.split()):
            found.append(line.pid)
    return found


def wait_disconnected(server, pid):
    """Waits until the server's log says that this backend ended, and it has: behind its last words it still
    has things to put away."""
    ticks = backend_ticks(server, pid)
    wait_for(f"the end of {pid} in the log of {server.name}",
             lambda: any(line.pid == pid and line.message.startswith("disconnection:")
                         for line in server.log()))
    wait_gone(pid, ticks)


def backend_ticks(server, pid):
    """When a backend began. None if it has ended, or its pid is one of the server's own namespace."""
    fields = stat_fields(pid)
    return start_ticks(pid) if fields is not None and int(fields[1]) == server.pid else None


def wait_gone(pid, ticks):
    """Waits for the end of a process that began at these ticks; None: it had ended already."""
    wait_for(f"the end of {pid}", lambda: ticks is None or not alive(pid, ticks))


def wait_caught_up(server, application):
    """Waits until a client has confirmed all WAL there is; returns the position."""

    def caught_up():
        rows = server.sql("select write_lsn, pg_current_wal_flush_lsn(), sent_lsn from pg_stat_replication "
                          f"where application_name = '{application}' and state = 'streaming'")
        return rows and rows[0][0] == rows[0][1] == rows[0][2] and rows[0][0]

    return wait_for(f"{application} to catch up on {server.name}", caught_up)


def wait_still(what, look, still=0.4):
    """Waits until look() has returned the same thing, other than None, for this long; returns it."""
    last = [None, 0.0]

    def stands():
        seen = look()
        if seen != last[0]:
            last[:] = [seen, time.monotonic()]
        return seen is not None and time.monotonic() - last[1] > still and seen

    return wait_for(what, stands, every=0.05)


def sleeps(pid):
    """One that would go on, but is not let by a busy host, stands still as well."""
    fields = stat_fields(pid)
    return fields is not None and fields[0] == "S"


def wait_stuck(server, application, still=0.4):
    """Waits until a walsender's sent_lsn stands still, short of the end of WAL; returns its pid."""

    def behind():
        rows = server.sql("select pid, sent_lsn from pg_stat_replication where application_name = "
                          f"'{application}' and sent_lsn < pg_current_wal_flush_lsn()")
        return rows[0] if rows and sleeps(rows[0][0]) else None

    return int(wait_still(f"the walsender of {application} to get stuck", behind, still)[0])


def wait_backup_stuck(server, pid, still=0.4):
    """
    Waits until a base backup's client takes no more. One look at the wait event does not tell: the
    client's kernel takes some more each time its buffer grows.
    """

    def waiting():
        streamed = server.sql(f"select backup_streamed from pg_stat_progress_basebackup where pid = {pid}")
        stuck = streamed and server.wait_event(pid) == "ClientWrite" and sleeps(pid)
        return streamed[0][0] if stuck else None

    wait_still(f"the base backup of {pid} to get stuck", waiting, still)


class LiveTest(unittest.TestCase):
    """A test with a time limit. Differences are shown whole."""

    limit_s = 300
    maxDiff = None
    longMessage = True

    def run(self, result=None):
        def expired(_number, _frame):
            raise Failure(f"the test took longer than {self.limit_s} s")

        before = signal.signal(signal.SIGALRM, expired)
        signal.setitimer(signal.ITIMER_REAL, self.limit_s)
        try:
            return super().run(result)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def assert_mostly(self, record, pid, window, state, share=0.95):
        """Of a window, all that a process slept but for a small share was spent in one state."""
        times = record.time_in(pid, window.begin, window.end)
        self.assertGreaterEqual(
            times.get(state, 0), share * window.seconds - window.awake,
            f"expected {state} for {window.seconds:.3f} s but for {window.awake:.3f} s, seen " +
            ", ".join(f"{name} {length:.3f} s" for name, length in sorted(times.items())))
        self.assertLess(window.awake, 0.5 * window.seconds, "too busy a host to tell anything")

    def assert_one_line(self, process):
        """A refusal: nothing on stdout, one line on stderr."""
        self.assertEqual(process.out, "", "stdout")
        lines = process.err.splitlines()
        self.assertEqual(len(lines), 1, f"expected one line on stderr, seen: {process.err!r}")
        self.assertTrue(lines[0].startswith("walscope: "), lines[0])
        return lines[0]

    def refused(self, argv, status=1, **options):
        """Runs walscope, expects this exit status and one line on stderr, and returns the line."""
        process = space().start([walscope.binary(), *argv], name="refused", **options)
        seen = process.wait(20)
        self.assertEqual(seen, status, f"exit status of {' '.join(map(str, argv))}; stderr: {process.err!r}")
        return self.assert_one_line(process)


def may_run_as_other_user():
    """A copy of the program that any user may run: the clone may be in a folder of root's own."""
    path = space().file("walscope-copy")
    if not os.path.exists(path):
        with open(walscope.binary(), "rb") as source, open(path, "wb") as copy:
            copy.write(source.read())
        os.chmod(path, 0o755)
    return path
