# SPDX-License-Identifier: BSD-2-Clause
"""Positions: what was sent and confirmed agrees with the server's views and with what clients received."""

import contextlib
import os
import re
import signal

import walscope
from clients import clients
from cluster import lsn
from live import (LiveTest, no_wal_of_its_own, primary, recording, space, standby, wait_caught_up,
                  wait_disconnected)
from processes import Failure, wait_for


def at_rest(server, applications):
    """Rows of pg_stat_replication by application, once all of them are caught up."""
    for application in applications:
        wait_caught_up(server, application)
    return {row["application_name"]: row for row in server.walsenders()}


class Positions(LiveTest):
    def test_sent_position_agrees_with_the_view_at_rest(self):
        server = primary()
        standby()
        with recording(server) as record, no_wal_of_its_own(server):
            receiver = server.receivewal("p_receivewal", "-s", "1")
            server.wait_walsender("p_receivewal")
            server.write_wal(5)
            before = at_rest(server, ["p_receivewal", "standby"])
            record.end()
            after = {row["application_name"]: row for row in server.walsenders()}
            receiver.stop()
        for application in ("p_receivewal", "standby"):
            self.assertEqual(before[application]["sent_lsn"], after[application]["sent_lsn"],
                             "the server was not at rest")
            known = [entry["lsn_to"] for entry in record.timeline(int(before[application]["pid"]))
                     if entry["lsn_to"] is not None]
            self.assertTrue(known, f"no position of {application}")
            self.assertEqual(known[-1], before[application]["sent_lsn"], application)

    def test_wal_bytes_are_the_distance_streamed(self):
        """From the position START_REPLICATION asked for (the server's log) to the one the view shows."""
        seen = clients()
        pid = seen.pid("c_receivewal")
        self.assertEqual(seen.record.session(pid)["wal_bytes"],
                         lsn(seen.received_to) - seen.start_lsn["c_receivewal"])

    def test_wal_bytes_are_what_pg_receivewal_wrote(self):
        seen = clients()
        pid = seen.pid("c_receivewal")
        folder = seen.receiver.folder
        size = 16 << 20
        complete = [name for name in os.listdir(folder) if re.fullmatch("[0-9A-F]{24}", name)]
        partial = [name for name in os.listdir(folder) if name.endswith(".partial")]
        self.assertEqual(len(partial), 1, os.listdir(folder))
        with open(os.path.join(folder, partial[0]), "rb") as file:
            filled = len(file.read().rstrip(b"\0"))
        self.assertGreater(filled, 0)
        written = len(complete) * size + filled
        # The last record may end in zeros: WAL is aligned to 8 bytes, a page header is 24.
        self.assertAlmostEqual(seen.record.session(pid)["wal_bytes"], written, delta=8192)

    def test_bytes_of_the_timeline_add_up_to_those_of_the_session(self):
        seen = clients()
        pid = seen.pid("c_receivewal")
        total = sum(entry["bytes"] or 0 for entry in seen.record.timeline(pid))
        self.assertEqual(total, seen.record.session(pid)["wal_bytes"])

    def test_the_positions_of_a_stretch_are_as_far_apart_as_its_bytes(self):
        seen = clients()
        moved = 0
        for entry in seen.record.timeline(seen.pid("c_receivewal")):
            begin, end = walscope.position(entry, "lsn_from"), walscope.position(entry, "lsn_to")
            if begin is not None and end is not None:
                self.assertEqual(end - begin, entry["bytes"] or 0, entry)
                moved += end - begin
        self.assertEqual(moved, lsn(seen.received_to) - seen.start_lsn["c_receivewal"])

    def test_positions_of_a_session_never_go_back(self):
        seen = clients()
        for application in ("c_receivewal", "c_endpos"):
            last = 0
            for entry in seen.record.timeline(seen.pid(application)):
                for field in ("lsn_from", "lsn_to"):
                    now = walscope.position(entry, field)
                    if now is not None:
                        self.assertGreaterEqual(now, last, f"{application} {entry}")
                        last = now

    def test_a_session_that_already_ran_counts_from_where_it_was(self):
        server = primary()
        receiver = server.receivewal("p_ran", "-s", "1")
        pid = int(server.wait_walsender("p_ran")["pid"])
        server.write_wal(1)
        with no_wal_of_its_own(server):
            before = lsn(wait_caught_up(server, "p_ran"))
            with recording(server) as record:
                server.write_wal(3)
                after = lsn(wait_caught_up(server, "p_ran"))
        receiver.stop()
        self.assertEqual(record.session(pid)["wal_bytes"], after - before)

    def test_replies_are_those_of_the_view(self):
        server = primary()
        standby()
        trace = space().start([walscope.binary(), "trace", "--json", "--postmaster", str(server.pid)],
                              name="trace", stop=signal.SIGINT)
        rest = contextlib.ExitStack()
        try:
            walscope.wait_attached(trace, server.pid)
            rest.enter_context(no_wal_of_its_own(server))
            server.write_wal(2)
            row = at_rest(server, ["standby"])["standby"]

            def replayed():
                rows = server.walsenders("standby")
                return rows and rows[0]["replay_lsn"] == rows[0]["sent_lsn"] and rows[0]

            row = wait_for("the standby to replay everything", replayed)

            def last_reply():
                replies = [entry for entry in walscope.parse_lines(
                    trace.out[:trace.out.rfind("\n") + 1], "walscope trace")
                    if entry["pid"] == int(row["pid"]) and entry.get("flush_lsn") is not None]
                return replies and replies[-1]

            def agrees():
                reply = last_reply()
                return reply and (reply["write_lsn"], reply["flush_lsn"], reply["apply_lsn"]) == (
                    row["write_lsn"], row["flush_lsn"], row["replay_lsn"])

            try:
                wait_for("the reply", agrees)
            except Failure:
                self.fail(f"expected the positions of {row}, the last reply seen is {last_reply()}")
            trace.signal(signal.SIGINT)
            trace.expect(0)
        finally:
            rest.close()
            trace.close()

    def test_a_base_backup_reports_the_bytes_it_streamed(self):
        seen = clients()
        pid = next(pid for pid in seen.pids("c_basebackup") if seen.record.session(pid)["kind"] == "backup")
        # On a busy host the client may not take it at once.
        streamed = sum(entry["bytes"] or 0 for entry in seen.record.timeline(pid)
                       if entry["state"].startswith("backup_") or entry["state"] == "send_blocked")
        written = sum(os.path.getsize(os.path.join(folder, name))
                      for folder, _, names in os.walk(seen.backup_folder) for name in names
                      if "pg_wal" not in folder)
        # tar adds headers, and pads each file to 512 bytes.
        self.assertGreaterEqual(streamed, written)
        self.assertLessEqual(streamed, written * 1.3)

    def test_the_logical_stream_ends_where_its_client_was_told_to(self):
        seen = clients()
        pid = seen.pid("c_endpos")
        wait_disconnected(seen.server, pid)
        last = [walscope.position(entry, "lsn_to") for entry in seen.record.timeline(pid)
                if entry["lsn_to"] is not None][-1]
        self.assertGreaterEqual(last, lsn(seen.endpos))
