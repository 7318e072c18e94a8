# SPDX-License-Identifier: BSD-2-Clause
"""Filters, on running servers with sessions of every kind and on a recording: what each lets through is known
from the clients, and what those asked for from the servers' logs."""

import os
import signal
import time

import replication_client
import walscope
from cluster import Server
from live import LiveTest, Recording, once, recording, space, wait_disconnected
from processes import alive, start_ticks, wait_for

DATABASE = {"replication": "database", "database": "postgres", "options": "-c log_statement=all"}


class Stage:
    """Two servers of a binary each; two sessions on the first one are there all the time."""

    def __init__(self):
        self.first = Server(space(), "filter1", installation="installation-filter1").create().start()
        self.second = Server(space(), "filter2", installation="installation-filter2").create().start()
        self.first.sql("select pg_create_physical_replication_slot('l_found_slot'), "
                       "pg_create_physical_replication_slot('l_slot')")
        self.first.create_logical_slot("l_logical")
        self.found = replication_client.connect(self.first, application="l_found")
        self.found_idle = replication_client.connect(self.first, application="l_found_idle")
        self.stream(self.found, "SLOT l_found_slot PHYSICAL")
        self.found_idle.query("IDENTIFY_SYSTEM")

    def stream(self, client, how):
        client.start(f"START_REPLICATION {how} {self.first.value('select pg_current_wal_flush_lsn()')}")

    def play(self):
        """A session of each kind, one after the other; the pids of all by name."""
        pids = {"found": self.found.pid, "found_idle": self.found_idle.pid}

        def session(name, what, server=self.first, application=None, **how):
            client = replication_client.connect(server, application=application or f"l_{name}", **how)
            pids[name] = client.pid
            what(client)
            client.leave()
            wait_disconnected(server, client.pid)

        def backup(client):
            client.begin(self.first.base_backup("l"))
            client.receive_until("Z")

        def identify(client):
            client.query("IDENTIFY_SYSTEM")

        def sql(client):
            client.query("select 1")
            client.query("SHOW port")

        session("physical", lambda client: self.stream(client, "SLOT l_slot PHYSICAL"))
        session("logical", lambda client: self.stream(client, "SLOT l_logical LOGICAL"), **DATABASE)
        session("backup", backup)
        session("sql", sql, **DATABASE)
        session("idle", identify)
        session("other_idle", identify, server=self.second, application="l_idle")
        return pids

    def logged(self, pid):
        return [text for server in (self.first, self.second) for _, text in server.logged_commands(pid)]


@once
def stage():
    return Stage()


class Watcher:
    """`walscope record` and `walscope trace --json` with the same filter."""

    def __init__(self, number, options):
        self.file = space().file(f"filter{number}.wst")
        self.record = walscope.start_record(space(), self.file, *options, name=f"filter-record{number}")
        self.trace = space().start([walscope.binary(), "trace", "--json", *options],
                                   name=f"filter-trace{number}", stop=signal.SIGINT)

    def wait_attached(self, *pids):
        for process in (self.record, self.trace):
            walscope.wait_attached(process, *pids)

    def end(self):
        for process in (self.record, self.trace):
            process.signal(signal.SIGINT)
        for process in (self.record, self.trace):
            process.expect(0)
        return Recording(self.record, self.file), walscope.parse_lines(self.trace.out, "trace")


class Filters(LiveTest):
    def watch(self, filters):
        """`filters`: options, servers' processes that are to be traced, names of the sessions wanted."""
        on = stage()
        watchers = [Watcher(number, options) for number, (options, _, _) in enumerate(filters)]
        try:
            for watcher, (_, servers, _) in zip(watchers, filters):
                watcher.wait_attached(*servers)
            pids = on.play()
            seen = [watcher.end() for watcher in watchers]
        finally:
            for watcher in watchers:
                watcher.record.close()
                watcher.trace.close()
        for (options, _, names), (record, trace) in zip(filters, seen):
            with self.subTest(options=options):
                self.expect_only(pids, names, record, trace)

    def expect_only(self, pids, names, record, trace):
        # Servers of other tests may have sessions that the filter wants, too.
        here = set(pids.values())
        wanted = {pids[name] for name in names}
        self.assertEqual({entry["pid"] for entry in record.view("sessions")} & here, wanted, "sessions")
        self.assertEqual({entry["pid"] for entry in trace if entry["session"]} & here, wanted, "trace")
        self.assertEqual({entry["pid"] for entry in record.view("trace") if entry["session"]} & here, wanted,
                         "trace of the recording")
        for name in names:
            # Of one found between two commands there is none, of one found in a command that one.
            logged = {"found": stage().logged(pids[name])[-1:], "found_idle": []}.get(
                name, stage().logged(pids[name]))
            self.assertTrue(logged or name == "found_idle", name)
            self.assertEqual([entry["command"] for entry in record.history(pids[name])], logged, name)
            self.assertEqual(len([entry for entry in trace if entry["pid"] == pids[name]
                                  and entry["event"] == "command"]), len(logged), name)

    def test_by_server(self):
        on = stage()
        first = ("found", "found_idle", "physical", "logical", "backup", "sql", "idle")
        link = space().file("filter-link")
        if not os.path.lexists(link):
            os.symlink(on.first.data, link)
        self.watch([(("--postmaster", str(on.first.pid)), [on.first.pid], first),
                    (("--postmaster", on.first.data), [on.first.pid], first),
                    (("--postmaster", link), [on.first.pid], first),
                    (("--postgres", on.second.program), [on.second.pid], ("other_idle",))])

    def test_by_session(self):
        on = stage()
        both = [on.first.pid, on.second.pid]
        self.watch([(("--pid", str(on.found.pid)), [on.first.pid], ("found",)),
                    (("--app", "l_idle"), both, ("idle", "other_idle")),
                    (("--slot", "l_slot"), both, ("physical",)),
                    (("--app", "l_idle", "--postmaster", str(on.second.pid)), [on.second.pid],
                     ("other_idle",))])

    def test_by_kind(self):
        on = stage()
        both = [on.first.pid, on.second.pid]
        self.watch([(("--kind", kind), both, names) for kind, names in (
            ("physical", ("found", "physical")), ("logical", ("logical",)), ("backup", ("backup",)),
            ("sql", ("sql",)))])

    def test_by_id_and_time_on_a_recording(self):
        on = stage()
        server = on.first
        pids, names, marks = [], [], []

        def mark():
            """A moment in which no session begins or ends, by a tick of the kernel's clock and more."""
            before = time.time()
            wait_for("a while to pass", lambda: time.time() > before + 0.03)
            marks.append(walscope.rfc3339(time.time()))
            after = time.time()
            wait_for("a while to pass", lambda: time.time() > after + 0.03)

        with recording(server) as record:
            mark()
            for number in range(3):
                client = replication_client.connect(server, application=f"l_time{number}")
                ticks = start_ticks(client.pid)
                pids.append(client.pid)
                names.append(walscope.session_id(client.pid))
                client.query("IDENTIFY_SYSTEM")
                client.leave()
                wait_for("the walsender to end", lambda: not alive(client.pid, ticks))
                mark()
        here = set(pids)
        for options, wanted in (
                (("--session", names[1]), pids[1:2]),
                (("--from", marks[1], "--to", marks[2]), pids[1:2]),
                (("--from", marks[1]), pids[1:]),
                (("--to", marks[1]), pids[:1]),
                (("--from", marks[3]), []),
                (("--to", marks[0]), []),
                (("--from", "-1h"), pids),
                (("--from", marks[1], "--session", names[0]), [])):
            for view in ("sessions", "history", "timeline", "trace"):
                with self.subTest(view=view, options=options):
                    self.assertEqual({entry["pid"] for entry in record.view(view, *options)} & here,
                                     set(wanted))
