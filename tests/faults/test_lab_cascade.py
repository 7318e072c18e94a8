# SPDX-License-Identifier: BSD-2-Clause
"""A standby that feeds another one is promoted in the midst of the stream."""

import time

import lab
import walscope
from cluster import Server
from lab import LabTest, primary, scene
from live import once, space
from processes import wait_for


@once
def middle():
    made = Server(space(), "l_middle").copy_of(primary()).start()
    primary().wait_walsender("l_middle")
    return made


def replayed(server, end):
    wait_for(f"{server.name} to have replayed it",
             lambda: server.value(f"select pg_last_wal_replay_lsn() >= '{end}'") == "t")


class Cascade(LabTest):
    def test_a_promotion_in_midstream_ends_one_time_line_and_begins_the_next_in_the_same_session(self):
        upper = middle()
        lower = Server(space(), "l_lower").copy_of(upper).start()
        upper.wait_walsender("l_lower")
        try:
            with scene(upper) as seen:
                pid = seen.pid("l_lower")
                lab.write(primary(), 4)
                replayed(lower, primary().value("select pg_current_wal_flush_lsn()"))
                seen.hold(4, pid)  # explain looks no shorter than 3 s
                promoted = time.time()
                upper.sql("select pg_promote()")
                wait_for("it to be one", lambda: upper.value("select pg_is_in_recovery()") == "f")
                upper.sql("insert into filler select repeat('w', 1000) from generate_series(1, 2000)")
                replayed(lower, upper.value("select pg_current_wal_flush_lsn()"))
                seen.hold(4, pid)
                self.assertEqual([int(row["pid"]) for row in upper.walsenders("l_lower")], [pid])
                seen.record.end()
        finally:
            lower.stop()
        before, = (entry for entry in seen.record.view("explain", "--to", walscope.rfc3339(promoted))
                   if entry["scope"] == "session" and entry["pid"] == pid)
        self.assertIn("a standby itself", before["text"], lab.figures(before))
        self.assertNotIn("promoted", before["text"], lab.figures(before))
        history = [(entry["kind"], entry["outcome"]) for entry in seen.record.history(pid)]
        self.assertEqual(history[0], ("START_REPLICATION", "ok"))
        self.assertIn(("TIMELINE_HISTORY", "ok"), history)
        self.assertEqual(history[-1], ("START_REPLICATION", "running"))
        self.assertTrue(seen.record.history(pid)[-1]["command"].endswith("TIMELINE 2"))
        entry, = (entry for entry in seen.record.view("explain")
                  if entry["scope"] == "session" and entry["pid"] == pid)
        self.assertIn(entry["verdict"], lab.HEALTHY, lab.figures(entry))
        self.assertEqual(entry["also"], [], lab.figures(entry))
        self.assertEqual(set(entry["states"]) & {"unknown", "lost"}, set(), lab.figures(entry))
        self.assertRegex(entry["text"], "to time line 2 at [0-9A-F]+/[0-9A-F]+\\.", lab.figures(entry))
        self.assertIn("was promoted", entry["text"], lab.figures(entry))
        # The old time line ends with a CopyDone of each side: for a moment, no more.
        self.assertLess(entry["states"].get("wait_copydone", 0), 1e9, lab.figures(entry))
