# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of command, by a client that says each byte itself: text, kind, outcome, error and duration
are what that client sent, was told and measured."""

import contextlib
import os
import re
import signal
import time

import walscope
from cluster import LogKept, Server
from histories import LOG_SLACK, differences, missing
from live import LiveTest, once, primary, recording, space, wait_disconnected
from processes import wait_for
from protocol import ServerError, connect

# The server logs the SQL of these sessions, and how long it took.
LOGGED = "-c log_statement=all -c log_duration=on"
DURATION_SLACK = 0.02  # s
COPY_ROWS = 60_000
RAISE = "do $$ begin raise exception 'own %', 'words' using errcode = 'WS001'; end $$"
LINES = "do $$ begin raise exception E'one\n\ttwo \u00e4\r\nthree'; end $$"
COPY_OUT = "copy k_big to stdout"
COPY_IN = "copy k_big from stdin"

# On a database connection: the command, and its kind as walscope has to tell it.
DATABASE_COMMANDS = (
    ("IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM"),
    ("SHOW wal_segment_size", "SHOW"),
    ("show wal_segment_size", "SQL"),
    ("SHOW nosuch_setting", "SHOW"),
    ("CREATE_REPLICATION_SLOT k_phys PHYSICAL", "CREATE_REPLICATION_SLOT"),
    ("CREATE_REPLICATION_SLOT k_phys PHYSICAL", "CREATE_REPLICATION_SLOT"),
    ("CREATE_REPLICATION_SLOT K-BAD PHYSICAL", "CREATE_REPLICATION_SLOT"),
    ('CREATE_REPLICATION_SLOT "k bad" PHYSICAL', "CREATE_REPLICATION_SLOT"),
    ("CREATE_REPLICATION_SLOT k_res PHYSICAL (RESERVE_WAL)", "CREATE_REPLICATION_SLOT"),
    ("CREATE_REPLICATION_SLOT k_tmp TEMPORARY PHYSICAL", "CREATE_REPLICATION_SLOT"),
    ("CREATE_REPLICATION_SLOT k_log LOGICAL test_decoding (SNAPSHOT 'nothing')", "CREATE_REPLICATION_SLOT"),
    ("CREATE_REPLICATION_SLOT k_exp LOGICAL test_decoding (SNAPSHOT 'export')", "CREATE_REPLICATION_SLOT"),
    ("CREATE_REPLICATION_SLOT k_two LOGICAL test_decoding (SNAPSHOT 'nothing', TWO_PHASE)",
     "CREATE_REPLICATION_SLOT"),
    ("CREATE_REPLICATION_SLOT k_out LOGICAL test_decoding (SNAPSHOT 'use')", "CREATE_REPLICATION_SLOT"),
    ("CREATE_REPLICATION_SLOT k_out LOGICAL nosuch_plugin", "CREATE_REPLICATION_SLOT"),
    ("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ", "SQL"),
    ("CREATE_REPLICATION_SLOT k_use LOGICAL test_decoding (SNAPSHOT 'use')", "CREATE_REPLICATION_SLOT"),
    ("COMMIT", "SQL"),
    ("READ_REPLICATION_SLOT k_res", "READ_REPLICATION_SLOT"),
    ("READ_REPLICATION_SLOT k_nosuch", "READ_REPLICATION_SLOT"),
    ("READ_REPLICATION_SLOT k_log", "READ_REPLICATION_SLOT"),
    ("START_REPLICATION SLOT k_nosuch LOGICAL 0/0", "START_REPLICATION"),
    ("START_REPLICATION SLOT k_phys LOGICAL 0/0", "START_REPLICATION"),
    ("START_REPLICATION SLOT k_log LOGICAL 0/0 (\"nosuch\" 'x')", "START_REPLICATION"),
    ("START_REPLICATION FFFF/0 TIMELINE 1", "START_REPLICATION"),
    ("START_REPLICATION 0/1000000 TIMELINE 9", "START_REPLICATION"),
    ("DROP_REPLICATION_SLOT k_phys", "DROP_REPLICATION_SLOT"),
    ("DROP_REPLICATION_SLOT k_res WAIT", "DROP_REPLICATION_SLOT"),
    ("DROP_REPLICATION_SLOT k_tmp", "DROP_REPLICATION_SLOT"),
    ("DROP_REPLICATION_SLOT k_log WAIT", "DROP_REPLICATION_SLOT"),
    ("DROP_REPLICATION_SLOT k_exp", "DROP_REPLICATION_SLOT"),
    ("DROP_REPLICATION_SLOT k_two", "DROP_REPLICATION_SLOT"),
    ("DROP_REPLICATION_SLOT k_use", "DROP_REPLICATION_SLOT"),
    ("DROP_REPLICATION_SLOT k_nosuch", "DROP_REPLICATION_SLOT"),
    ("TIMELINE_HISTORY 9", "TIMELINE_HISTORY"),
    ("IDENTIFY_SYSTEM with more", "IDENTIFY_SYSTEM"),
    ("BASE_BACKUP (NOSUCH)", "BASE_BACKUP"),
    ("BASE_BACKUP (TARGET 'nosuch')", "BASE_BACKUP"),
    ("BASE_BACKUP (LABEL 'k', TARGET 'blackhole', CHECKPOINT 'fast', WAIT 0)", "BASE_BACKUP"),
    ("BASE_BACKUP (LABEL 'k', TARGET 'server', TARGET_DETAIL '/nonexistent/k', CHECKPOINT 'fast')",
     "BASE_BACKUP"),
    ("BASE_BACKUP FAST NOWAIT", "BASE_BACKUP"),
    ("", "SQL"),
    (" ; ", "SQL"),
    ("-- nothing but a comment", "SQL"),
    ("select 1; select 2; select pg_sleep(0.2)", "SQL"),
    ("select 1; select 1 / 0; select 2", "SQL"),
    ("select pg_sleep(0.3)", "SQL"),
    ("select nosuch_column", "SQL"),
    ("select 'x'::int", "SQL"),
    ("selec 1", "SQL"),
    (RAISE, "SQL"),
    (LINES, "SQL"),
    ("insert into k_unique values (1, E'two\\nlines'), (2, E'two\\nlines')", "SQL"),
    ("select 'gr\u00fc\u00dfe \u4e16\u754c'::date", "SQL"),
    ("copy nosuch_table to stdout", "SQL"),
    (COPY_OUT, "SQL"),
    (COPY_IN, "SQL"),
    ("IDENTIFY_SYSTEM;", "IDENTIFY_SYSTEM"),
)
# On a physical connection.
PHYSICAL_COMMANDS = (
    ("select 1", "SELECT"),
    ("show wal_segment_size", "SHOW"),
    ("SHOW wal_segment_size", "SHOW"),
    ("CREATE_REPLICATION_SLOT k_x LOGICAL test_decoding", "CREATE_REPLICATION_SLOT"),
    ("START_REPLICATION SLOT k_nosuch 0/1000000 TIMELINE 1", "START_REPLICATION"),
    ("IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM"),
)


class Told:
    """What the client knows of a command."""

    def __init__(self, text, kind):
        self.text, self.kind, self.error = text, kind, None
        self.begin = self.end = self.elapsed = None


@contextlib.contextmanager
def timed(told):
    """The body sends a command and reads all of the answer."""
    told.begin, clock = time.time(), time.monotonic()
    try:
        yield told
    except ServerError as error:
        told.error = error
    told.elapsed, told.end = time.monotonic() - clock, time.time()


def copy_in(connection):
    """COPY FROM STDIN of what COPY TO wrote, by and by: it lasts, however fast the machine is."""
    connection.send("Q", COPY_IN.encode() + b"\0")
    connection.receive_until("G")
    time.sleep(5 * DURATION_SLACK)
    row = b"%d\t" + b"x" * 80 + b"\n"
    for first in range(0, COPY_ROWS, 1000):
        connection.send("d", b"".join(row % i for i in range(first, first + 1000)))
    connection.send("c")
    connection.receive_until("Z")


def run(connection, commands, major):
    told = []
    for text, kind in commands:
        if text.startswith("READ_REPLICATION_SLOT") and major < 15:
            kind = "SQL"  # an unknown first word, which such a server takes for SQL
        told.append(Told(text, kind))
        with timed(told[-1]):
            if text == COPY_IN:
                copy_in(connection)
            else:
                connection.query(text)
    return told


def to_server(server):
    return (f"BASE_BACKUP (LABEL 'k', CHECKPOINT 'fast', WAIT 0, TARGET 'server', TARGET_DETAIL "
            f"'{os.path.join(server.dir, 'k_target')}', COMPRESSION 'gzip')")


class Seen:
    def __init__(self, server, record):
        self.server, self.record = server, record
        self.begin, self.end = time.time(), None
        self.pids, self.told = {}, {}


def leave(seen, connection):
    """The client goes in good order, and its walsender with it."""
    connection.terminate()
    wait_disconnected(seen.server, connection.pid)


def stream(connection, command):
    """START_REPLICATION up to its CopyBothResponse."""
    connection.send("Q", command.encode() + b"\0")
    connection.receive_until("W")


def cancelled(seen, name, connection, command, begun):
    """A command that pg_cancel_backend ends; then the session goes on."""
    seen.pids[name] = connection.pid
    kind = "SQL" if command.startswith("select") else command.split()[0]
    first, second = Told(command, kind), Told("IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM")
    with timed(first):
        connection.send("Q", command.encode() + b"\0")
        wait_for(f"{command} to run", begun)
        seen.server.sql(f"select pg_cancel_backend({connection.pid})")
        connection.receive_until("Z")
    connection.receive_until("Z")
    with timed(second):
        connection.query(second.text)
    seen.told[name] = [first, second]
    leave(seen, connection)


def copy_done(seen):
    """The client ends a stream by CopyDone and goes on in the same session."""
    server = seen.server
    start = f"START_REPLICATION {server.value('select pg_current_wal_flush_lsn()')} TIMELINE 1"
    with connect(server, application="k_copydone") as connection:
        seen.pids["copydone"] = connection.pid
        told = [Told(start, "START_REPLICATION"), Told("IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM"),
                Told(start, "START_REPLICATION"), Told("SHOW port", "SHOW")]
        for entry in told:
            with timed(entry):
                if entry.text != start:
                    connection.query(entry.text)
                    continue
                stream(connection, start)
                time.sleep(0.2)
                connection.send("c")
                connection.receive_until("Z")
        seen.told["copydone"] = told
        leave(seen, connection)


def slow_backup(server, wait=True):
    return server.base_backup("k", wait=wait, rate=1024)


def aborted_backup(seen):
    """The client of a base backup goes away in the middle of it."""
    with connect(seen.server, application="k_abort") as connection:
        seen.pids["abort"] = connection.pid
        connection.send("Q", f"{slow_backup(seen.server, wait=False)}\0".encode())
        connection.receive_until("H")
        seen.aborted = time.time()
    wait_disconnected(seen.server, seen.pids["abort"])


@once
def kinds():
    server = primary()
    server.sql(f"create table k_big as select i, repeat('x', 80) t from generate_series(1, {COPY_ROWS}) i;"
               "create table k_unique (i int, t text unique)")
    with recording(server) as record:
        seen = Seen(server, record)
        for name, commands, how in (
                ("database", (*DATABASE_COMMANDS, (to_server(server), "BASE_BACKUP")), {"replication": "database", "database": "postgres"}),
                ("physical", PHYSICAL_COMMANDS, {"replication": "true"})):
            with connect(server, application=f"k_{name}", options=LOGGED, **how) as connection:
                seen.pids[name] = connection.pid
                seen.told[name] = run(connection, commands, server.major)
                leave(seen, connection)
        copy_done(seen)
        aborted_backup(seen)

        def active(connection):
            return lambda: server.sql("select 1 from pg_stat_activity where "
                                      f"pid = {connection.pid} and state = 'active'")

        def streaming(connection, state):
            return lambda: server.sql("select 1 from pg_stat_replication where "
                                      f"pid = {connection.pid} and state = '{state}'")

        with connect(server, "database", "k_cancel_sql", database="postgres", options=LOGGED) as connection:
            cancelled(seen, "cancel_sql", connection, "select pg_sleep(60)", active(connection))
        with connect(server, application="k_cancel_stream") as connection:
            start = f"START_REPLICATION {server.value('select pg_current_wal_flush_lsn()')} TIMELINE 1"
            cancelled(seen, "cancel_stream", connection, start, streaming(connection, "streaming"))
        with connect(server, application="k_cancel_backup") as connection:
            cancelled(seen, "cancel_backup", connection,
                      slow_backup(server),
                      streaming(connection, "backup"))
        seen.end = time.time()
    seen.server = LogKept(server)
    server.sql("drop table k_big, k_unique")
    return seen


class CommandKinds(LiveTest):
    def entries(self, name):
        seen = kinds()
        return seen.record.history(seen.pids[name])

    def check(self, name):
        """History against what the client sent, was told, and measured."""
        told, entries = kinds().told[name], self.entries(name)
        self.assertEqual([entry["command"] for entry in entries], [each.text for each in told])
        self.assertEqual([entry["kind"] for entry in entries], [each.kind for each in told])
        self.assertEqual([entry["seq"] for entry in entries], list(range(1, len(told) + 1)))
        expected = [(each.error.fields["sqlstate"], each.error.fields["message"], each.error.location)
                    if each.error else (None, None, None) for each in told]
        self.assertEqual([(entry["sqlstate"], entry["message"], entry["location"]) for entry in entries],
                         expected)
        self.assertEqual([entry["outcome"] for entry in entries],
                         ["error" if each.error else "ok" for each in told])
        for entry, each in zip(entries, told):
            start = walscope.seconds(entry["start"])
            self.assertLessEqual(entry["duration_ns"] / 1e9, each.elapsed, each.text)
            self.assertGreaterEqual(start, each.begin - LOG_SLACK, each.text)
            self.assertLessEqual(start + entry["duration_ns"] / 1e9, each.end + LOG_SLACK, each.text)
        return entries, told

    def by_text(self, name, text):
        return [entry for entry in self.entries(name) if entry["command"] == text]

    def test_each_command_of_a_database_walsender(self):
        entries, told = self.check("database")
        errors = [each.error for each in told if each.error]
        # The battery is what it is meant to be: errors of many places, some of them in libraries.
        places = {error.location for error in errors}
        self.assertGreaterEqual(len(places), 15, places)
        files = {error.fields["file"] for error in errors}
        self.assertLessEqual({"pl_exec.c", "slot.c", "scan.l", "nbtinsert.c"}, files)
        if primary().major >= 15:  # the grammar is not older: neither the backup nor the logical slot can be
            self.assertEqual([each.error for each in told if each.text == to_server(kinds().server)], [None])
            self.assertIn("test_decoding.c", files)
        self.assertIn("gr\u00fc\u00dfe", next(
            entry["message"] for entry in entries if entry["sqlstate"] == "22007"))
        self.assertIn("one\n\ttwo \u00e4\r\nthree", [entry["message"] for entry in entries])

    def test_each_command_of_a_physical_walsender(self):
        self.check("physical")

    def test_sql_lasts_as_long_as_it_runs(self):
        entry, = self.by_text("database", "select pg_sleep(0.3)")
        self.assertGreaterEqual(entry["duration_ns"], 300_000_000)
        entry, = self.by_text("database", "select 1; select 2; select pg_sleep(0.2)")
        self.assertGreaterEqual(entry["duration_ns"], 200_000_000)

    def test_sql_and_copy_last_as_long_as_the_server_says(self):
        seen = kinds()
        logged = [float(line.message.split()[1]) / 1e3 for line in seen.server.log()
                  if line.pid == seen.pids["database"] and re.match(r"duration: [0-9.]+ ms$", line.message)]
        whole = zip(self.entries("database"), seen.told["database"], strict=True)
        entries, told = zip(*((entry, each) for entry, each in whole
                              if entry["kind"] == "SQL" and entry["outcome"] == "ok"))
        self.assertEqual(len(entries), len(logged), "by the server's log")
        for entry, each, seconds in zip(entries, told, logged):
            # What the server does behind its own measuring may take long on a busy host: the client waits.
            self.assertAlmostEqual(entry["duration_ns"] / 1e9, seconds, msg=entry["command"],
                                   delta=max(DURATION_SLACK, each.elapsed - seconds))
        self.assertGreater(max(seconds for entry, seconds in zip(entries, logged)
                               if entry["command"] == COPY_IN), 2 * DURATION_SLACK, "a COPY too short")

    def test_a_stream_that_its_client_ends_by_copydone(self):
        entries, told = self.check("copydone")
        for entry, each in zip(entries, told):
            if each.kind == "START_REPLICATION":
                self.assertGreaterEqual(entry["duration_ns"], 200_000_000)

    def test_a_cancelled_command(self):
        for name in ("cancel_sql", "cancel_stream", "cancel_backup"):
            with self.subTest(name):
                entries, _ = self.check(name)
                self.assertEqual([entry["sqlstate"] for entry in entries], ["57014", None])

    def test_a_base_backup_whose_client_went_away(self):
        seen = kinds()
        entries = self.entries("abort")
        # 13 reports what failed and that the client is gone, later ones the latter alone.
        self.assertEqual(len(entries), 1 if primary().major >= 14 else 2, entries)
        entry = entries[-1]
        logged = [(line.sqlstate, line.message, line.location) for line in seen.server.log()
                  if line.pid == seen.pids["abort"] and line.severity in ("ERROR", "FATAL")]
        self.assertEqual(entry["outcome"], "error")
        self.assertIn((entry["sqlstate"], entry["message"], entry["location"]), logged)
        self.assertGreaterEqual(walscope.seconds(entry["start"]) + entry["duration_ns"] / 1e9, seen.aborted)

    def test_kind_and_slot_of_each_session(self):
        seen = kinds()
        for name, kind, slot in (("copydone", "physical", None), ("abort", "backup", None),
                                 ("cancel_sql", "sql", None), ("cancel_stream", "physical", None),
                                 ("cancel_backup", "backup", None)):
            session = seen.record.session(seen.pids[name])
            self.assertEqual((session["kind"], session["slot"]), (kind, slot), name)
        session = seen.record.session(seen.pids["physical"])
        self.assertEqual(session["slot"], None, "none of its commands had one")

    def test_histories_are_those_of_the_servers_log(self):
        seen = kinds()
        self.assertEqual(missing(seen.server, seen.record, seen.begin, seen.end), [])
        self.assertEqual(differences(seen.server, seen.record), [])

    def test_the_comparison_with_the_log_sees_what_is_wrong(self):
        seen = kinds()
        first = self.entries("database")[0]

        def tampered(change):
            class Record:
                @staticmethod
                def view(name):
                    entries = [dict(entry) for entry in seen.record.view(name)]
                    return change(name, entries)
            return differences(seen.server, Record)

        def each(what):
            def change(name, entries):
                for entry in entries:
                    if name == "history" and (entry["session"], entry["seq"]) == (first["session"], first["seq"]):
                        what(entry)
                return entries
            return tampered(change)

        self.assertEqual(tampered(lambda _, entries: entries), [])
        self.assertNotEqual(tampered(lambda name, entries: [
            entry for entry in entries if name != "history" or entry != first]), [])
        self.assertNotEqual(tampered(lambda name, entries: entries + [
            {**first, "seq": first["seq"] + 99}] if name == "history" else entries), [])
        self.assertNotEqual(each(lambda entry: entry.update(command="IDENTIFY_SYSTEMS")), [])
        self.assertNotEqual(each(lambda entry: entry.update(duration_ns=3600 * 10**9)), [])
        self.assertNotEqual(each(lambda entry: entry.update(sqlstate="XX000", outcome="error")), [])
        self.assertNotEqual(each(lambda entry: entry.update(start="2020-01-01T00:00:00.000000000+00:00")), [])
        self.assertEqual(missing(seen.server, seen.record, seen.begin, seen.end), [])

    # -- on servers of their own

    def test_a_command_of_a_walsender_that_is_killed(self):
        server = Server(space(), "killed").create().start()
        with recording(server) as record:
            with connect(server, "database", "k_killed", database="postgres") as connection:
                pid = connection.pid
                connection.send("Q", b"select pg_sleep(60)\0")
                wait_for("the command to run", lambda: server.wait_event(pid) == "PgSleep")
                killed = time.time()
                os.kill(pid, signal.SIGKILL)
                with self.assertRaises((EOFError, ConnectionError)):
                    connection.receive_until("Z")
            server.wait_ready()
        server.stop()
        entry, = record.history(pid)
        self.assertEqual((entry["command"], entry["kind"], entry["outcome"], entry["sqlstate"]),
                         ("select pg_sleep(60)", "SQL", "error", None))
        self.assertIn("SIGKILL", entry["message"])
        end = walscope.seconds(entry["start"]) + entry["duration_ns"] / 1e9
        self.assertAlmostEqual(end, killed, delta=1.0)

    def test_a_stream_that_the_server_ends_with_its_timeline(self):
        """On a promoted standby the old timeline ends; the client goes on with the new one."""
        server = Server(space(), "promoted").copy_of(primary()).start()
        old = primary().value("select pg_current_wal_flush_lsn()")
        end = primary().write_wal(1)
        wait_for("the WAL to arrive", lambda: server.value(f"select pg_last_wal_receive_lsn() >= '{end}'") == "t")
        server.sql("select pg_promote()")
        wait_for("the promotion", lambda: server.value("select pg_is_in_recovery()") == "f")
        server.sql("checkpoint")
        with recording(server) as record:
            with connect(server, application="k_timeline") as connection:
                told = [Told(f"START_REPLICATION {old} TIMELINE 1", "START_REPLICATION"),
                        Told("TIMELINE_HISTORY 2", "TIMELINE_HISTORY"),
                        Told(f"START_REPLICATION {server.value('select pg_current_wal_flush_lsn()')} "
                             "TIMELINE 2", "START_REPLICATION"),
                        Told("IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM")]
                for each in told:
                    with timed(each):
                        if each.kind != "START_REPLICATION":
                            connection.query(each.text)
                            continue
                        stream(connection, each.text)
                        if each.text.endswith("TIMELINE 1"):
                            connection.receive_until("c")
                        connection.send("c")
                        connection.receive_until("Z")
                pid = connection.pid
                connection.terminate()
            wait_disconnected(server, pid)
        server.stop()
        self.assertEqual([(entry["command"], entry["kind"], entry["outcome"]) for entry in record.history(pid)],
                         [(each.text, each.kind, "ok") for each in told])
        for entry, each in zip(record.history(pid), told):
            self.assertLessEqual(entry["duration_ns"] / 1e9, each.elapsed, each.text)
        self.assertEqual(differences(server, record), [])
