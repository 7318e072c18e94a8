# SPDX-License-Identifier: BSD-2-Clause
"""Commands: each once, in order, with duration and outcome, compared with the server's log."""

import subprocess

import walscope
from clients import PHYSICAL_COMMANDS, PSQL_COMMANDS, clients
from histories import differences, missing
from live import LiveTest, primary, recording, standby, walsender_pids
from processes import wait_for

LOG_SLACK = 0.05  # s; the log's times have milliseconds, and the machine may be busy


class Commands(LiveTest):
    def check_against_log(self, application, session_kinds):
        """Every session of a client: its commands are those of the server's log, once and in order."""
        seen = clients()
        pids = seen.pids(application)
        kinds = [seen.record.session(pid)["kind"] for pid in pids]
        self.assertEqual(sorted(kinds), sorted(session_kinds))
        for pid in pids:
            logged = seen.server.logged_commands(pid)
            self.assertTrue(logged, f"nothing logged for {pid}")
            entries = seen.record.history(pid)
            self.assertEqual([entry["command"] for entry in entries], [text for _, text in logged])
            self.assertEqual([entry["seq"] for entry in entries], list(range(1, len(entries) + 1)))
            self.assertEqual(seen.record.session(pid)["commands"], len(logged))
            self.check_times(seen, pid, entries, logged)
            for entry in entries:
                self.assertEqual((entry["outcome"], entry["sqlstate"], entry["message"],
                                  entry["location"], entry["truncated"]), ("ok", None, None, None, False),
                                 entry["command"])
        return pids

    def check_times(self, seen, pid, entries, logged):
        """A command starts before the server logs it, and ends before the server logs what follows."""
        after = {line.time for line in seen.server.log() if line.pid == pid}
        last = max(after)
        ends = [moment for moment, _ in logged[1:]] + [last]
        for entry, (moment, text), next_moment in zip(entries, logged, ends):
            start = walscope.seconds(entry["start"])
            end = start + entry["duration_ns"] / 1e9
            self.assertLessEqual(start, moment + LOG_SLACK, f"start of {text}")
            self.assertGreaterEqual(start, moment - 0.5, f"start of {text}")
            self.assertLessEqual(end, next_moment + LOG_SLACK, f"end of {text}")

    def test_of_pg_receivewal(self):
        self.check_against_log("c_receivewal", ["physical"])

    def test_of_pg_recvlogical(self):
        self.check_against_log("c_endpos", ["logical"])

    def test_of_pg_basebackup_and_its_wal_stream(self):
        self.check_against_log("c_basebackup", ["backup", "physical"])

    def test_of_psql_on_a_database_walsender_with_plain_sql(self):
        seen = clients()
        pid = seen.pid("c_psql")
        entries = seen.record.history(pid)
        self.assertEqual([entry["command"] for entry in entries], list(PSQL_COMMANDS))
        failing = {2, 3, 4, 5, 9}
        self.assertEqual([entry["outcome"] for entry in entries],
                         ["error" if i in failing else "ok" for i in range(len(PSQL_COMMANDS))])
        self.assertEqual([entry["kind"] for entry in entries],
                         ["IDENTIFY_SYSTEM", "SHOW", "TIMELINE_HISTORY", "DROP_REPLICATION_SLOT",
                          "SQL", "SQL", "SQL", "CREATE_REPLICATION_SLOT", "DROP_REPLICATION_SLOT",
                          "START_REPLICATION"])

    def test_of_psql_on_a_physical_walsender(self):
        seen = clients()
        entries = seen.record.history(seen.pid("c_physical"))
        self.assertEqual([(entry["command"], entry["outcome"]) for entry in entries],
                         list(zip(PHYSICAL_COMMANDS, ("ok", "error"))))

    def test_of_all_sessions_are_those_of_the_servers_log(self):
        seen = clients()
        self.assertEqual(missing(seen.server, seen.record, seen.marks["begin"], seen.marks["end"]), [])
        self.assertEqual(differences(seen.server, seen.record), [])

    def test_stream_of_pg_receivewal_lasts_until_it_is_stopped(self):
        seen = clients()
        pid = seen.pid("c_receivewal")
        began = seen.server.logged_commands(pid)[-1][0]
        entry = seen.record.history(pid)[-1]
        self.assertGreaterEqual(entry["duration_ns"] / 1e9,
                                seen.marks["receiver_stops"] - began - LOG_SLACK)

    def test_base_backup_lasts_at_least_as_long_as_it_was_seen_to_stream(self):
        seen = clients()
        pid = next(pid for pid in seen.pids("c_basebackup")
                   if any(text.startswith("BASE_BACKUP") for _, text in seen.server.logged_commands(pid)))
        entry = seen.record.history(pid)[-1]
        self.assertTrue(entry["command"].startswith("BASE_BACKUP"), entry["command"])
        self.assertIn("backup_still_streams", seen.marks, "the backup was too short for this test")
        self.assertGreaterEqual(entry["duration_ns"] / 1e9,
                                seen.marks["backup_still_streams"] - seen.marks["backup_streams"])
        self.assertLessEqual(entry["duration_ns"] / 1e9, seen.backup_seconds)

    def test_of_a_standby_are_still_running_when_the_recording_ends(self):
        server = primary()
        standby()
        with recording(server) as record:
            before = server.wait_walsender("standby")
            server.sql(f"select pg_terminate_backend({before['pid']})")

            def came_back():
                rows = server.walsenders("standby")
                return [row for row in rows if row["state"] == "streaming" and row["pid"] != before["pid"]]

            pid = int(wait_for("the standby to come back", came_back)[0]["pid"])
        logged = server.logged_commands(pid)
        self.assertEqual([(entry["command"], entry["outcome"]) for entry in record.history(pid)],
                         [(text, "running" if text.startswith("START_REPLICATION") else "ok")
                          for _, text in logged])
        self.assertEqual(record.session(pid)["application_name"], "standby")
        self.assertEqual(record.session(pid)["kind"], "physical")

    def test_identity_of_each_client_is_what_the_server_logged(self):
        seen = clients()
        for application in ("c_receivewal", "c_endpos", "c_basebackup", "c_psql", "c_physical"):
            for pid in seen.pids(application):
                line = next(line for line in seen.server.log()
                            if line.pid == pid and line.message.startswith("disconnection:"))
                words = dict(word.split("=", 1) for word in line.message.split() if "=" in word)
                session = seen.record.session(pid)
                with self.subTest(application=application):
                    self.assertEqual(session["user"], words["user"])
                    self.assertEqual(session["database"] or "", words["database"])
                    self.assertEqual(session["application_name"], application)
                    self.assertEqual(session["client"], f"{words['host']}:{words['port']}")

    def test_slot_of_a_session_is_the_one_in_its_command(self):
        seen = clients()
        self.assertEqual(seen.record.session(seen.pid("c_endpos"))["slot"], "c_slot")
        self.assertIsNone(seen.record.session(seen.pid("c_receivewal"))["slot"])

    def test_a_very_long_command_is_kept_whole(self):
        server = primary()
        text = "select '" + "x" * 300_000 + "'"
        with recording(server) as record:
            # An argument may not be that long: psql reads the statement from its input.
            psql = server.start_program(
                ["psql", "-X", "-q", "-A", "-t", "-d", server.conninfo(
                    application="long_command", replication="database", database="postgres")],
                name="long_command", stdin=subprocess.PIPE)
            psql.popen.stdin.write(text.encode() + b";\n")
            psql.popen.stdin.close()
            psql.expect()
        pid, = walsender_pids(server, "long_command")
        entry, = record.history(pid)
        self.assertEqual(entry["command"].rstrip(";"), text)
        self.assertFalse(entry["truncated"])
