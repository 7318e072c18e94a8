# SPDX-License-Identifier: BSD-2-Clause
"""What the scenarios of the fault laboratory share.

A scenario starts servers and clients, causes one fault from outside, and has `walscope record` look on.
What it knows of its own doing, and nothing that walscope says, decides what has to come out: the verdict on
a session, a group of sessions or a server, verdicts that must not come up, not even as a remark, and an
account that holds all of the time. LAB_KEEP=FOLDER keeps the recordings, under the names of their tests.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import walscope
from cluster import Server, lsn
from live import LiveTest, Recording, Window, once, space, walsender_pids
from processes import stat_fields, wait_for
from replication_client import offer_tls_and_unix

HEALTHY = ("healthy_idle", "healthy_streaming")
NETWORK = ("network_slow", "connection_dead")
RECEIVER = ("receiver_not_reading", "receiver_slow", "receiver_silent")
STANDBY = ("standby_flush_slow", "standby_apply_paused", "standby_apply_delayed", "standby_apply_slow",
           "consumer_not_confirming")
OWN_WORK = ("cpu_starved", "wal_read_slow", "large_transaction", "spilling", "decode_bound",
            "output_plugin_slow")
ENDS = ("timeout_loop", "reconnect_loop", "wal_removed", "slot_invalidated")
CLUSTER = ("sync_standby_missing", "shutdown_waits_for_standby")
# The account: how far it may be off, and how much of it may be unknown.
SHARE = 0.005
# ... but for a session of a few milliseconds, of which the clocks of two observers tell no more.
SLACK_NS = 2_000_000


def lab_server(name, **settings):
    """A server with a certificate and a Unix socket, and connections of the tests' own, not yet started."""
    return offer_tls_and_unix(Server(space(), name, settings).create())


@once
def primary():
    """The server of all scenarios that do nothing to the server itself."""
    server = lab_server("lab_primary").start()
    server.sql("create table filler (t text)")
    return server


def write(server, megabytes):
    """Writes about this much WAL; returns its end as a number."""
    server.sql(f"insert into filler select repeat('w', 1000) from generate_series(1, {megabytes * 1000})")
    return lsn(server.value("select pg_current_wal_flush_lsn()"))


def fill(server, application):
    """Writes more WAL than fits into a client's socket, and lets it be full for a while."""
    write(server, 40)
    wait_for("the socket to be full", lambda: server.sql(
        "select 1 from pg_stat_replication where sent_lsn < pg_current_wal_flush_lsn() and "
        f"application_name = '{application}' and state in ('catchup', 'streaming')"))
    time.sleep(2)


def caught_up(server, application, column="write_lsn"):
    """Waits until a client has said that it has all there is."""
    wait_for(f"{application} to have all WAL", lambda: server.sql(
        f"select 1 from pg_stat_replication where application_name = '{application}' and "
        f"{column} >= pg_current_wal_flush_lsn()"))


def end_of_wal(server):
    return server.value("select pg_current_wal_flush_lsn()")


def synchronous_receivewal(server, application, folder=None, **options):
    """A pg_receivewal that flushes, and says so at once."""
    process = server.start_program(
        ["pg_receivewal", "-D", folder or server.space.folder(f"{application}.wal", server.user), "-d",
         server.conninfo(application=application), "--no-loop", "--synchronous"], name=application,
        stop=signal.SIGINT, **options)
    server.wait_walsender(application)
    return process


def drop_slot(server, slot):
    """Drops a slot whose client has left, or leaves."""
    wait_for(f"slot {slot} to be free", lambda: server.sql(
        f"select 1 from pg_replication_slots where slot_name = '{slot}' and not active"))
    server.sql(f"select pg_drop_replication_slot('{slot}')")


@contextlib.contextmanager
def synchronous(server, names):
    """Commits wait for these while the body runs."""
    server.sql(f"alter system set synchronous_standby_names = '{names}'")
    server.sql("select pg_reload_conf()")
    try:
        yield
    finally:
        server.sql("alter system reset synchronous_standby_names")
        server.sql("select pg_reload_conf()")


@contextlib.contextmanager
def pulse(server, every=0.1, megabytes=None, clients=1):
    """Small transactions, or large ones, as long as the body runs."""
    rows = int((megabytes or 0.01) * 1000)
    script = space().file(f"pulse.{server.name}.sql")
    with open(script, "w", encoding="ascii") as file:
        file.write(f"insert into filler select repeat('w', 1000) from generate_series(1, {rows});\n")
    os.chmod(script, 0o644)
    bench = server.start_program(
        ["pgbench", "-n", "-c", str(clients), "-T", "3600", "-R", str(1 / every), "-f", script, "-d",
         server.conninfo(application="pulse", database="postgres")], name="pulse")
    try:
        yield bench
        if not bench.running:
            raise AssertionError(f"{bench.describe()} ended")
    finally:
        bench.stop(signal.SIGTERM)


class OpenTransaction:
    """A transaction that has evaluated an expression and stays open until end(), or for the body."""

    def __init__(self, server, expression):
        self._psql = server.start_program(
            ["psql", "-X", "-q", "-t", "-A", "-d", server.conninfo(application="holder", database="postgres")],
            name="holder", stdin=subprocess.PIPE)
        self._say(f"begin isolation level repeatable read; select pg_backend_pid(), {expression};")
        line = wait_for("the open transaction", lambda: self._psql.out.strip())
        self.pid, self.value = line.split("|")
        self.pid = int(self.pid)

    def _say(self, text):
        self._psql.popen.stdin.write(text.encode() + b"\n")
        self._psql.popen.stdin.flush()

    def end(self):
        if self._psql.running:
            self._say("rollback;")
            self._psql.popen.stdin.close()
            self._psql.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.end()


class Stop:
    """SIGSTOP of a process from now on, SIGCONT with the end of the body whatever happens."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        wait_for(f"{self.pid} to stop", lambda: stat_fields(self.pid)[0] in "Tt")
        return self

    def __exit__(self, *_exc):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)


class Scene:
    """What is recorded, and the stretches of it in which the fault was there."""

    def __init__(self, server):
        self.server = server
        self.begin = self.attached = time.time()
        self.record = None
        self.windows = []  # (pid, Window)

    def pid(self, application, timeout=30):
        """The walsender of a client, once the server's log has it."""
        return wait_for(f"a walsender of {application}",
                        lambda: walsender_pids(self.server, application), timeout)[-1]

    def pids(self, application):
        return walsender_pids(self.server, application, self.begin)

    def hold(self, seconds, *pids):
        """Leaves it all as it is for so long."""
        windows = [(pid, Window(pid)) for pid in pids]
        time.sleep(seconds)
        for _, window in windows:
            window.close()
        self.windows += windows

    def explained(self, *options):
        return self.record.view("explain", *options)

    def session(self, pid, *options):
        found = [entry for entry in self.explained(*options) if entry["scope"] == "session" and entry["pid"] == pid]
        if len(found) != 1:
            raise AssertionError(f"explain has {len(found)} accounts of {pid}, expected 1")
        return found[0]

    def other(self, scope, session_pids=()):
        """The accounts of groups, or of the server, that these sessions belong to."""
        wanted = {entry["session"] for pid in session_pids for entry in self.record.sessions(pid)}
        return [entry for entry in self.explained() if entry["scope"] == scope and
                wanted <= set(entry["sessions"] or ())]


@contextlib.contextmanager
def scene(server, *options, level=2):
    """Records a server while the body runs."""
    seen = Scene(server)
    file = space().file(f"scene{time.monotonic_ns()}.wst")
    process = walscope.start_record(space(), file, "--postmaster", str(server.pid), "--level", str(level),
                                    *options)
    try:
        walscope.wait_attached(process, server.pid)
        seen.record = Recording(process, file)
        seen.attached = time.time()
        yield seen
        if process.running:
            seen.record.end()
        else:
            process.expect(0)
    finally:
        process.close()


def figures(entry):
    """An account, short, for whoever reads that a test has failed."""
    states = sorted(((ns, name) for name, ns in entry["states"].items() if ns), reverse=True)
    return "\n".join([
        f"{entry['scope']} {entry['session']}: {entry['verdict']}, also {entry['also']}, "
        f"confidence {entry['confidence']}", entry["text"],
        ", ".join(f"{name} {ns / 1e9:.3f} s" for ns, name in states),
        *(json.dumps(fact) for fact in entry["evidence"])])


class LabTest(LiveTest):
    # Of the fault and all that it needs 40 s; more where others keep the host busy.
    limit_s = 150

    def keep(self, seen):
        folder = os.environ.get("LAB_KEEP")
        if folder and seen.record:
            shutil.copy(seen.record.file, os.path.join(folder, self.id().split(".", 1)[1] + ".wst"))

    def assert_account(self, seen, *pids):
        """The states of each stretch, and of each session, are all of its time."""
        self.keep(seen)
        for pid, window in seen.windows:
            times = seen.record.time_in(pid, window.begin, window.end)
            self.assertAlmostEqual(sum(times.values()), window.seconds, delta=SHARE * window.seconds,
                                   msg=f"{pid}: {times}")
            self.assertLessEqual(times.get("unknown", 0), SHARE * window.seconds, f"{pid}: {times}")
        for pid in pids:
            for entry in seen.record.sessions(pid):
                times = {}
                stretches = [stretch for stretch in seen.record.timeline(pid)
                             if stretch["session"] == entry["session"]]
                for stretch in stretches:
                    state = stretch["state"]
                    times[state] = times.get(state, 0) + stretch["duration_ns"]
                whole, text = entry["duration_ns"], f"{entry['session']}: {times}"
                if walscope.seconds(entry["start"]) < seen.attached:  # of what was before, nothing is known
                    whole -= walscope.nanoseconds(stretches[0]["start"]) - walscope.nanoseconds(entry["start"])
                self.assertAlmostEqual(sum(times.values()), whole, delta=max(SHARE * whole, SLACK_NS), msg=text)
                self.assertLessEqual(times.get("unknown", 0), max(SHARE * whole, SLACK_NS), text)
                self.assertEqual(times.get("lost", 0), 0, text)

    def assert_explained(self, seen, pid, *options):
        """The account that a verdict was made of is whole, too."""
        entry = seen.session(pid, *options)
        self.assert_whole(entry)
        return entry

    def assert_whole(self, entry):
        wall = entry["wall_ns"]
        for name, value in (("accounted_ns", entry["accounted_ns"]),
                            ("its states", sum(entry["states"].values()))):
            self.assertAlmostEqual(value, wall, delta=max(SHARE * wall, SLACK_NS), msg=f"{name}\n{figures(entry)}")
        self.assertLessEqual(entry["states"].get("unknown", 0), max(SHARE * wall, SLACK_NS), figures(entry))

    def assert_says(self, entry, verdict, never=()):
        self.assertIn(entry["verdict"], (verdict,) if isinstance(verdict, str) else verdict, figures(entry))
        for code in never:
            self.assertNotIn(code, (entry["verdict"], *entry["also"]), figures(entry))
        self.assertTrue(entry["text"], figures(entry))
        if entry["verdict"] not in HEALTHY:
            self.assertTrue(entry["evidence"], figures(entry))
            self.assertTrue(entry["advice"], figures(entry))

    def assert_session(self, seen, pid, verdict, never=(), state=None, share=0.9, cut=5):
        """A session's verdict, what it was doing while the fault was there, and its account. The last `cut`
        seconds, in the midst of the fault, have to be enough for the same verdict."""
        self.assert_account(seen, pid)
        if state:
            for of, window in seen.windows:
                if of == pid:
                    self.assert_mostly(seen.record, pid, window, state, share)
        entry = self.assert_explained(seen, pid)
        self.assert_says(entry, verdict, never)
        if cut:
            self.assert_says(self.assert_explained(seen, pid, f"--from=-{cut}s"), verdict, never)
        return entry

    def assert_other(self, seen, scope, verdict, pids=(), never=()):
        """The verdict on a group, or the server, of these sessions."""
        found = seen.other(scope, pids)
        self.assertTrue(found, f"no account of a {scope} with the sessions of {pids}:\n" + "\n".join(
            figures(entry) for entry in seen.explained()))
        matching = [entry for entry in found if entry["verdict"] == verdict]
        self.assertTrue(matching, f"no {verdict} in\n" + "\n".join(map(figures, found)))
        for entry in found:
            for code in never:
                self.assertNotIn(code, (entry["verdict"], *entry["also"]), figures(entry))
        return matching[0]

    def assert_healthy(self, seen, *pids, verdict=HEALTHY):
        """Nothing is wrong with these sessions, nor with what they belong to."""
        self.assert_account(seen, *pids)
        for pid in pids:
            entry = self.assert_explained(seen, pid)
            self.assert_says(entry, verdict)
            self.assertLessEqual(set(entry["also"]), set(HEALTHY), figures(entry))
        for entry in seen.explained():
            if entry["scope"] != "session":
                self.assertIn(entry["verdict"], HEALTHY, figures(entry))
