# SPDX-License-Identifier: BSD-2-Clause
"""Recordings made of a server's logs and of trace's JSON lines, beside what was recorded at the same time, and the
reconstruction of a session. What the clients did says what has to be in all of them."""

import contextlib
import os
import shutil
import signal

import protocol
import replication_client
import walscope
from cluster import Server
from live import LiveTest, once, recording, space, wait_disconnected
from processes import wait_for

DATABASE = {"replication": "database", "database": "postgres", "options": "-c log_statement=all"}


class Stage:
    """A server that logs in each format it has, recorded while sessions of each kind come and go."""

    def __init__(self):
        self.server = Server(space(), "imported", installation="installation-imported")
        logs = "stderr,csvlog" + (",jsonlog" if self.server.major >= 15 else "")
        self.server.settings["log_destination"] = f"'{logs}'"
        self.server.create().start()
        self.pids, self.expected, self.reasons = {}, {}, {}
        # What took the last command of a session with it.
        self.ends = {"ended": {"57P01"}, "silent": {"00000"}, "gone": {"08P01", "08006"}}
        self.server.sql("select pg_create_physical_replication_slot('i_slot')")
        self.server.create_logical_slot("i_logical")
        with recording(self.server) as self.record:
            self.play()
        self.folder = space().folder("imported.logs")
        self.logs = {}
        self.server.log()  # until all is written
        for kind, suffix in (("csvlog", "csv"), ("jsonlog", "json")):
            source = os.path.join(self.server.log_dir, f"server.{suffix}")
            if os.path.exists(source):
                self.logs[kind] = shutil.copy(source, self.folder)

    def session(self, name, commands, reason, **how):
        """A session of these commands: (text, sqlstate or None, function of the error)."""
        client = replication_client.connect(self.server, application=f"i_{name}", **how)
        self.pids[name], self.expected[name], self.reasons[name] = client.pid, commands, reason
        for text, sqlstate, _ in commands:
            try:
                if text.startswith("START_REPLICATION") and sqlstate is None:
                    client.start(text)
                else:
                    client.query(text)
            except protocol.ServerError as error:
                if error.fields["sqlstate"] != sqlstate:
                    raise
        return client

    def leave(self, client):
        client.leave()
        wait_disconnected(self.server, client.pid)

    def play(self):
        def stream():
            lsn = self.server.value("select pg_current_wal_flush_lsn()")
            return f"START_REPLICATION SLOT i_slot PHYSICAL {lsn}", None, None

        self.leave(self.session("idle", [("IDENTIFY_SYSTEM", None, None)], "client_terminated"))
        physical = self.session("physical", [
            ("IDENTIFY_SYSTEM", None, None), ("TIMELINE_HISTORY 9", "58P01", "SendTimeLineHistory"), stream()],
            "client_terminated")
        self.server.wait_walsender("i_physical")
        self.leave(physical)
        self.leave(self.session("logical", [
            ("START_REPLICATION SLOT \"no_such\" LOGICAL 0/0", "42704", "ReplicationSlotAcquire"),
            ("IDENTIFY\n SYSTEM", "42601", None),
            ("START_REPLICATION SLOT i_logical LOGICAL 0/0", None, None)], "client_terminated", **DATABASE))
        self.leave(self.session("sql", [
            ("select 'a \"quote\"',\n 'and, a line'", None, None), ("select 1/0", "22012", "int4div"),
            ("SHOW wal_level", None, None)], "client_terminated", **DATABASE))
        self.leave(self.session("backup", [(self.server.base_backup("i"), None, None)], "client_terminated"))
        ended = self.session("ended", [("IDENTIFY_SYSTEM", None, None), stream()], "admin_terminated")
        self.server.sql(f"select pg_terminate_backend({ended.pid})")
        wait_disconnected(self.server, ended.pid)
        ended.close()
        gone = self.session("gone", [stream()], "client_eof connection_lost")
        gone.close()
        wait_disconnected(self.server, gone.pid)
        silent = self.session("silent", [stream()], "replication_timeout",
                              options="-c wal_sender_timeout=1s")
        wait_disconnected(self.server, silent.pid)
        silent.close()
        with contextlib.suppress(protocol.ServerError):
            replication_client.connect(self.server, application="i_refused", replication="database",
                                       database="i_nosuch")


@once
def stage():
    return Stage()


@once
def imports():
    """A recording of each log, by format."""
    made = {}
    for kind, log in stage().logs.items():
        made[kind] = space().file(f"{kind}.wst")
        space().run([walscope.binary(), "import", log, "-o", made[kind]], name=f"import-{kind}")
    return made


def commands_of(file, pid):
    found = [entry for entry in walscope.view(space(), "history", file) if entry["pid"] == pid]
    return sorted(found, key=lambda entry: entry["seq"])


def told(entry):
    return entry["command"], entry["outcome"], entry["sqlstate"], entry["message"], entry["location"]


class Import(LiveTest):
    def test_a_log_has_the_commands_and_errors_of_the_clients(self):
        seen = stage()
        self.assertIn("csvlog", imports())
        for kind, file in imports().items():
            for name, expected in seen.expected.items():
                entries = commands_of(file, seen.pids[name])
                self.assertEqual([entry["command"] for entry in entries], [text for text, _, _ in expected],
                                 f"{kind} {name}")
                states = [{state} for _, state, _ in expected]
                if name in seen.ends:
                    states[-1] = seen.ends[name]
                for entry, state in zip(entries, states):
                    self.assertIn(entry["sqlstate"], state, (kind, name, entry))
                for entry, (_, _, function) in zip(entries, expected):
                    if function:
                        # Up to 13 ReplicationSlotAcquireInternal.
                        self.assertTrue(entry["location"].startswith(function), (kind, name, entry))

    def test_a_log_tells_what_was_recorded(self):
        seen = stage()
        for kind, file in imports().items():
            for name, pid in seen.pids.items():
                logged, recorded = commands_of(file, pid), seen.record.history(pid)
                self.assertEqual([told(entry) for entry in logged], [told(entry) for entry in recorded],
                                 f"{kind} {name}")

    def test_a_log_tells_who_it_was_and_why_it_ended(self):
        seen = stage()
        for kind, file in imports().items():
            sessions = walscope.view(space(), "sessions", file)
            for name, pid in seen.pids.items():
                entry, = [entry for entry in sessions if entry["pid"] == pid]
                recorded = seen.record.session(pid)
                for field in ("application_name", "user", "database", "client", "kind", "replication", "commands",
                              "tls"):
                    self.assertEqual(entry[field], recorded[field], f"{kind} {name} {field}")
                self.assertEqual(entry["application_name"], f"i_{name}")
                # Whether a command that failed came to use its slot no line says.
                failed = name in seen.ends
                self.assertEqual(entry["slot"], None if failed else recorded["slot"], f"{kind} {name}")
                self.assertIn(entry["exit"]["reason"], seen.reasons[name].split(), f"{kind} {name}")
                self.assertEqual(entry["exit"]["code"], recorded["exit"]["code"], f"{kind} {name}")
                self.assertLess(abs(walscope.seconds(entry["end"]) - walscope.seconds(recorded["end"])), 1.0)
            refused = [entry for entry in sessions if entry["exit"]["reason"] == "refused"]
            self.assertEqual([entry["exit"]["sqlstate"] for entry in refused], ["3D000"], kind)

    def test_a_log_claims_no_duration_and_no_state(self):
        seen = stage()
        for file in imports().values():
            entry = commands_of(file, seen.pids["backup"])[0]
            self.assertEqual((entry["outcome"], entry["duration_ns"]), ("ok", None))
            states = {entry["state"] for entry in walscope.view(space(), "timeline", file)}
            self.assertLessEqual(states, {"starting", "unknown", "exiting"})

    def test_a_log_that_was_rotated_is_one_log(self):
        """Its files are those of days of the week: their names are in another order than they are."""
        for kind, log in stage().logs.items():
            with open(log, encoding="utf-8", newline="") as file:
                lines = file.readlines()
            # An entry of a csvlog has as many lines as its texts; a file of it ends with a whole one.
            whole = [at for at in range(len(lines) + 1) if "".join(lines[:at]).count('"') % 2 == 0 or kind == "jsonlog"]
            cuts = [0, whole[len(whole) // 3], whole[2 * len(whole) // 3], len(lines)]
            parts = []
            for name, first, last in zip(("Mon", "Tue", "Fri"), cuts, cuts[1:]):
                parts.append(space().file(f"rotated-{kind}-{name}.log"))
                with open(parts[-1], "w", encoding="utf-8", newline="") as file:
                    file.writelines(lines[first:last])
            made = space().file(f"rotated-{kind}.wst")
            space().run([walscope.binary(), "import", *sorted(parts), "-o", made], name="import-rotated")
            for view in ("sessions", "history"):
                self.assertEqual(walscope.view(space(), view, made), walscope.view(space(), view, imports()[kind]),
                                 f"{kind} {view}")

    def test_bad_lines_are_named_and_the_rest_is_taken(self):
        bad = space().file("bad.csv")
        shutil.copy(stage().logs["csvlog"], bad)
        with open(bad, "a", encoding="ascii") as file:
            file.write("no entry of any log\n")
        with open(bad, encoding="utf-8") as file:
            last = sum(1 for _ in file)
        made = space().file("bad.wst")
        process = space().run([walscope.binary(), "import", stage().logs["csvlog"], bad, "-o", made, "-q"], status=3,
                              name="import-bad")
        told, total = process.err.splitlines()
        self.assertIn(f"{bad}:{last}: ", told)
        self.assertIn("1 entries could not be understood", total)
        self.assertEqual({entry["pid"] for entry in walscope.view(space(), "sessions", made, status=3)} >=
                         set(stage().pids.values()), True)
        none = space().file("none.wst")
        self.assertIn("nothing in it is understood", self.refused(["import", "/etc/passwd", "-o", none]))
        self.assertFalse(os.path.exists(none))

    def test_events_come_back_as_they_were(self):
        seen = stage()
        file = space().file("events.wst")
        lines = space().file("events.jsonl")
        original = seen.record.view("trace")
        text = space().run([walscope.binary(), "trace", seen.record.file, "--json"], name="trace-json").out
        with open(lines, "w", encoding="ascii") as out:
            out.write(text)
        space().run([walscope.binary(), "import", lines, "-o", file], name="import-events")
        self.assertEqual(walscope.view(space(), "trace", file), original)
        for view in ("sessions", "history", "timeline", "hist"):
            self.assertEqual(walscope.view(space(), view, file), seen.record.view(view), view)


class Show(LiveTest):
    def show(self, name, *options):
        seen = stage()
        session = seen.record.session(seen.pids[name])["session"]
        entry, = walscope.view(space(), "show", seen.record.file, "--session", session, *options)
        return entry

    def test_a_session_is_told_from_its_start_to_its_end(self):
        seen = stage()
        entry = self.show("physical")
        self.assertEqual([command["command"] for command in entry["commands"]],
                         [text for text, _, _ in seen.expected["physical"]])
        self.assertEqual(entry["commands"][1]["sqlstate"], "58P01")
        stream, = entry["streams"]
        self.assertEqual((stream["kind"], stream["slot"]), ("physical", "i_slot"))
        self.assertEqual(stream["lsn"], seen.expected["physical"][-1][0].split()[-1])
        self.assertIsNotNone(stream["caught_up"])
        self.assertEqual(sum(entry["states"].values()), entry["duration_ns"])
        self.assertEqual(sum(span["duration_ns"] for span in entry["sequence"]), entry["duration_ns"])
        self.assertEqual(entry["last_events"][-1]["event"], "exit")
        self.assertIsNone(entry["memory"])
        self.assertIsNone(entry["backtrace"])

    def test_the_end_of_a_silent_client_is_told(self):
        entry = self.show("silent")
        self.assertEqual(entry["exit"]["reason"], "replication_timeout")
        self.assertTrue(entry["last"]["keepalive"]["request_reply"], "the walsender had asked for an answer")
        self.assertIsNone(entry["last"]["reply"], "the client never sent one")
        self.assertIn("error", [event["event"] for event in entry["last_events"]])

    def test_a_moment_is_told_by_its_neighbourhood(self):
        entry = self.show("silent")
        stream = entry["streams"][0]["start"]
        around = self.show("silent", "--around", stream)["around"]
        self.assertEqual(around["time"], stream)
        self.assertEqual(around["commands"], [1], "START_REPLICATION runs")

    def test_text_names_what_the_client_did(self):
        seen = stage()
        session = seen.record.session(seen.pids["logical"])["session"]
        text = space().run([walscope.binary(), "show", seen.record.file, "--session", session],
                           name="show").out
        self.assertIn("i_logical", text)
        self.assertIn("ERROR:  42704: ", text)
        self.assertIn("client_terminated", text)

    def test_a_session_that_is_not_there_is_one_line(self):
        process = space().run([walscope.binary(), "show", stage().record.file, "--session", "1.1"], status=1,
                              name="show-none")
        self.assertEqual(process.err.count("\n"), 1)
        self.assertIn("walscope sessions", process.err)
        process = space().run([walscope.binary(), "show", stage().record.file], status=2, name="show-which")
        self.assertIn("--session", process.err)
