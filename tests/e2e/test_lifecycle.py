# SPDX-License-Identifier: BSD-2-Clause
"""Sessions from their start to their end, across restarts. How they end: test_ends.py."""

import os
import resource
import signal
import subprocess
import time

import walscope
from clients import clients
from cluster import Server
from live import (LiveTest, hold, once, primary, recording, space, standby, wait_caught_up, wait_disconnected,
                  walsender_pids)
from processes import Failure, wait_for


@once
def victim():
    """A server of its own for what would hurt the tests that share the primary."""
    return Server(space(), "victim").create()


def running_victim():
    server = victim()
    if server.process is None or not server.process.running:
        server.start()
    return server


class Lifecycle(LiveTest):
    # -- beginnings

    def test_a_walsender_that_ran_before_has_its_identity_and_command(self):
        server = primary()
        server.sql("select pg_create_physical_replication_slot('l_slot')")
        receiver = server.receivewal("l_ran_before", "-S", "l_slot")
        pid = int(server.wait_walsender("l_ran_before")["pid"])
        name = walscope.session_id(pid)
        with recording(server) as record:
            server.write_wal(1)
        receiver.stop()
        wait_disconnected(server, pid)
        server.sql("select pg_drop_replication_slot('l_slot')")
        connection = next(line for line in server.log() if line.pid == pid
                          and line.message.startswith("disconnection:"))
        words = dict(word.split("=", 1) for word in connection.message.split() if "=" in word)
        session = record.session(pid)
        self.assertEqual(
            {field: session[field] for field in ("session", "kind", "user", "application_name", "client",
                                                 "slot", "end")},
            {"session": name, "kind": "physical", "user": "postgres", "application_name": "l_ran_before",
             "client": f"{words['host']}:{words['port']}", "slot": "l_slot", "end": None})
        self.assertIs(session["was_running"], True)
        self.assertGreater(session["observed_from"], session["start"])
        entry, = record.history(pid)
        self.assertEqual((entry["command"], entry["outcome"]),
                         (server.logged_commands(pid)[-1][1], "running"))

    def test_a_scan_that_fails_ends_neither_the_recording_nor_a_session(self):
        server = primary()
        receiver = server.receivewal("l_scan")
        pid = int(server.wait_walsender("l_scan")["pid"])
        with recording(server) as record:
            recorder = record.process.pid
            soft, hard = resource.prlimit(recorder, resource.RLIMIT_NOFILE)
            resource.prlimit(recorder, resource.RLIMIT_NOFILE, (3, hard))  # /proc cannot be opened
            time.sleep(2.5)
            resource.prlimit(recorder, resource.RLIMIT_NOFILE, (soft, hard))
            self.assertTrue(record.process.running)
        receiver.stop()
        wait_disconnected(server, pid)
        self.assertIsNone(record.session(pid)["end"])
        entry, = record.history(pid)
        self.assertEqual(entry["outcome"], "running")

    def test_an_idle_walsender_that_ran_before_is_idle(self):
        server = primary()
        psql = server.start_program(
            ["psql", "-X", "-q", "-d", server.conninfo(application="l_idle", replication="database",
                                                       database="postgres")],
            name="l_idle", stdin=subprocess.PIPE)
        psql.popen.stdin.write(b"IDENTIFY_SYSTEM;\n")
        psql.popen.stdin.flush()
        wait_for("psql's answer", lambda: "systemid" in psql.out)
        pid, = walsender_pids(server, "l_idle")
        with recording(server) as record:
            window = hold(pid, 0.5)
            psql.popen.stdin.write(b"SHOW wal_segment_size;\n")
            psql.popen.stdin.close()
            psql.expect()
        self.assert_mostly(record, pid, window, "idle")
        self.assertEqual([(entry["command"], entry["outcome"]) for entry in record.history(pid)],
                         [("SHOW wal_segment_size;", "ok")])

    def test_a_walsender_that_ran_sql_before_is_in_sql(self):
        server = primary()
        psql = server.start_program(
            ["psql", "-X", "-q", "-d", server.conninfo(application="l_sql", replication="database",
                                                       database="postgres"),
             "-c", "select pg_sleep(60)"], name="l_sql")
        pid, = wait_for("the statement", lambda: [int(row[0]) for row in server.sql(
            "select pid from pg_stat_activity where application_name = 'l_sql' "
            "and wait_event = 'PgSleep'")])
        with recording(server) as record:
            window = hold(pid, 0.5)
            server.sql(f"select pg_cancel_backend({pid})")
            psql.wait()
            wait_disconnected(server, pid)
        self.assert_mostly(record, pid, window, "sql")
        self.assertEqual(record.session(pid)["kind"], "sql")
        self.assertEqual([(entry["command"], entry["kind"], entry["sqlstate"])
                          for entry in record.history(pid)],
                         [("select pg_sleep(60)", "SQL", "57014")])

    def test_a_session_begins_when_its_process_does(self):
        seen = clients()
        pid = seen.pid("c_receivewal")
        session = seen.record.session(pid)
        times = [line.time for line in seen.server.log() if line.pid == pid]
        # The log's times are cut to ms.
        self.assertGreaterEqual(walscope.seconds(session["start"]), seen.receiver.started_wall)
        self.assertLess(walscope.seconds(session["start"]), min(times) + 0.001)
        self.assertGreaterEqual(walscope.seconds(session["end"]), max(times))
        self.assertLessEqual(walscope.seconds(session["end"]), seen.marks["receiver_gone"])

    def test_ordinary_backends_and_other_servers_are_no_sessions(self):
        seen = clients()
        walsenders = {line.pid for line in seen.server.log() if line.backend_type == "walsender"}
        strangers = [entry for entry in seen.record.view("sessions") if entry["pid"] not in walsenders]
        self.assertEqual(strangers, [])

    def test_without_a_filter_every_server_is_followed(self):
        server, other = primary(), running_victim()
        file = space().file("all.wst")
        process = walscope.start_record(space(), file, name="record-all")
        try:
            walscope.wait_attached(process, server.pid, other.pid)
            server.replication_psql(["IDENTIFY_SYSTEM"], application="l_all")
            other.replication_psql(["IDENTIFY_SYSTEM"], application="l_all")
            process.signal(signal.SIGINT)
            process.expect(0)
        finally:
            process.close()
        pids = walsender_pids(server, "l_all") + walsender_pids(other, "l_all")
        seen = [entry["pid"] for entry in walscope.view(space(), "sessions", file)
                if entry["application_name"] == "l_all"]
        self.assertEqual(sorted(seen), sorted(pids))

    def test_a_filter_keeps_the_walsenders_of_another_server_out(self):
        server, other = primary(), running_victim()
        with recording(server) as record:
            other.replication_psql(["IDENTIFY_SYSTEM"], application="l_other")
            server.replication_psql(["IDENTIFY_SYSTEM"], application="l_mine")
        names = [entry["application_name"] for entry in record.view("sessions")]
        self.assertIn("l_mine", names)
        self.assertNotIn("l_other", names)

    # -- servers that come and go

    def test_a_server_that_restarts_while_recording(self):
        server = running_victim()
        with recording(server, follow=server.data) as record:
            server.receivewal("l_before_restart")
            before = int(server.wait_walsender("l_before_restart")["pid"])
            server.restart()
            walscope.wait_followed(space(), record.file, server.pid)
            server.receivewal("l_after_restart")
            after = int(server.wait_walsender("l_after_restart")["pid"])
        self.assertEqual(record.session(before)["exit"]["reason"], "shutdown")
        self.assertEqual([(entry["command"], entry["outcome"]) for entry in record.history(after)],
                         [(text, "running" if text.startswith("START") else "ok")
                          for _, text in server.logged_commands(after)])

    def test_a_server_started_after_walscope(self):
        server = Server(space(), "late").create()
        with recording(server, follow=server.data, attach=False) as record:
            wait_for("the recording to begin", lambda: os.path.exists(record.file))
            server.start()
            walscope.wait_attached(record.process, server.pid)
            server.replication_psql(["IDENTIFY_SYSTEM", "TIMELINE_HISTORY 7"], application="l_late")
        pid, = walsender_pids(server, "l_late")
        server.stop()
        self.assertEqual([(entry["command"], entry["outcome"]) for entry in record.history(pid)],
                         [("IDENTIFY_SYSTEM", "ok"), ("TIMELINE_HISTORY 7", "error")])

    def test_a_walsender_of_a_server_started_later_is_found_running(self):
        """A standby connects before probes can be planted: it is picked up from its memory."""
        server = Server(space(), "late2").create()
        with recording(server, follow=server.data, attach=False) as record:
            wait_for("the recording to begin", lambda: os.path.exists(record.file))
            server.start()
            server.receivewal("l_early_bird")
            pid = int(server.wait_walsender("l_early_bird")["pid"])
            walscope.wait_attached(record.process, server.pid)
            server.write_wal(1)
        server.stop(signal.SIGQUIT)
        session = record.session(pid)
        self.assertEqual((session["application_name"], session["kind"]), ("l_early_bird", "physical"))
        self.assertEqual(record.history(pid)[-1]["command"], server.logged_commands(pid)[-1][1])

    def test_a_standby_survives_the_recording(self):
        server = primary()
        standby()
        pid = server.wait_walsender("standby")["pid"]
        with recording(server):
            server.write_wal(1)
        wait_caught_up(server, "standby")
        if server.wait_walsender("standby")["pid"] != pid:
            raise Failure("the standby's walsender is another one than before")
