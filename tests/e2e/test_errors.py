# SPDX-License-Identifier: BSD-2-Clause
"""Errors: SQLSTATE, message and location as psql and the server's log print them."""

from clients import clients, psql_errors
from live import LiveTest, primary, recording, walsender_pids
from processes import wait_for


def told(entries):
    return [(entry["sqlstate"], entry["message"], entry["location"]) for entry in entries
            if entry["outcome"] == "error"]


class Errors(LiveTest):
    def test_of_a_database_walsender_are_those_psql_shows(self):
        seen = clients()
        expected = psql_errors(seen.psql)
        self.assertEqual([state for state, _, _ in expected],
                         ["58P01", "42704", "42601", "22012", "42601"], "psql's own output")
        self.assertEqual(told(seen.record.history(seen.pid("c_psql"))), expected)

    def test_of_a_physical_walsender_are_those_psql_shows(self):
        seen = clients()
        expected = psql_errors(seen.physical)
        self.assertEqual([state for state, _, _ in expected], ["0A000"], "psql's own output")
        self.assertEqual(told(seen.record.history(seen.pid("c_physical"))), expected)

    def test_are_those_of_the_server_log(self):
        seen = clients()
        for application in ("c_psql", "c_physical"):
            pid = seen.pid(application)
            self.assertEqual(told(seen.record.history(pid)), seen.errors(pid), application)

    def test_of_an_output_plugin_has_its_location(self):
        server = primary()
        server.create_logical_slot("e_plugin")
        with recording(server) as record:
            psql = server.replication_psql(
                ["START_REPLICATION SLOT e_plugin LOGICAL 0/0 (nosuch 'option')"], application="e_plugin")
        server.sql("select pg_drop_replication_slot('e_plugin')")
        (state, message, location), = psql_errors(psql)
        self.assertIn("test_decoding.c", location)
        entry = record.history(walsender_pids(server, "e_plugin")[-1])[-1]
        self.assertEqual((entry["sqlstate"], entry["message"], entry["location"]),
                         (state, message, location))

    def test_a_cancelled_base_backup_ends_with_57014(self):
        server = primary()
        with recording(server) as record:
            backup = server.basebackup("e_cancel", "--max-rate", "1M", "-X", "none")
            pid = int(wait_for("the base backup to run", lambda: [
                row["pid"] for row in server.walsenders("e_cancel") if row["state"] == "backup"])[0])
            server.sql(f"select pg_cancel_backend({pid})")
            backup.wait()
        logged = [(line.sqlstate, line.message, line.location) for line in server.log()
                  if line.pid == pid and line.severity == "ERROR"]
        self.assertEqual([state for state, _, _ in logged], ["57014"], "the server's log")
        entries = record.history(pid)
        self.assertEqual(told(entries), logged)
        self.assertTrue(entries[-1]["command"].startswith("BASE_BACKUP"), entries[-1]["command"])
        self.assertEqual(entries[-1]["outcome"], "error")

    def test_a_session_goes_on_after_an_error(self):
        seen = clients()
        entries = seen.record.history(seen.pid("c_psql"))
        after = entries[3:7]
        self.assertEqual([entry["outcome"] for entry in after], ["error", "error", "error", "ok"])
        times = [(entry["start"], entry["duration_ns"]) for entry in entries]
        self.assertEqual(times, sorted(times), "in order")

    def test_a_refused_connection_names_its_reason(self):
        """replication=2 is refused before the session begins; it may be told as a refused session."""
        server = primary()
        with recording(server) as record:
            psql = server.start_program(
                ["psql", "-X", "-d", server.conninfo(application="e_refused", database="nosuchdb",
                                                     replication="database"), "-c", "IDENTIFY_SYSTEM"],
                name="e_refused")
            psql.expect(2)
        pid = next(line.pid for line in server.log()
                   if line.severity == "FATAL" and "nosuchdb" in line.message)
        session = record.session(pid)
        self.assertEqual(session["exit"]["reason"], "refused")
        self.assertEqual(session["commands"], 0)
        self.assertEqual(walsender_pids(server, "e_refused"), [pid])
