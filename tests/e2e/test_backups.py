# SPDX-License-Identifier: BSD-2-Clause
"""How far a base backup is, how fast and for how long yet: held against pg_stat_progress_basebackup."""

import contextlib
import glob
import os
import shutil
import time

import installation
from cluster import Server
from live import LiveTest, once, recording, space, walsender_pids
from processes import wait_for

RATE = 4 << 20  # what --max-rate lets through a second


@once
def server():
    """One with a tablespace of its own beside the two that every server has as one."""
    made = Server(space(), "backups", {"summarize_wal": "on"} if installation.selected().major >= 17 else None)
    made.create().start()
    made.tablespace = space().folder("backups_space", made.user)
    made.sql(f"create tablespace elsewhere location '{made.tablespace}'")
    made.sql("create table filler (t text) tablespace elsewhere;"
             "insert into filler select repeat('f', 1000) from generate_series(1, 8000)")
    made.sql("checkpoint")
    return made


def progress(pid):
    """(time, phase, total, streamed, tablespaces, streamed ones) of a backup; total None: not known."""
    before = time.time()
    rows = server().sql("select phase, backup_total, backup_streamed, tablespaces_total, tablespaces_streamed "
                        f"from pg_stat_progress_basebackup where pid = {pid}")
    if not rows:
        return None
    phase, *numbers = rows[0]
    return ((before + time.time()) / 2, phase, *(int(value) if value else None for value in numbers))


@contextlib.contextmanager
def streaming(application, *options):
    """A recording of a backup that streams for some seconds: (record, pid, progress at its begin and end)."""
    made = server()
    with recording(made) as record:
        process = made.basebackup(application, "-Ft", "--max-rate", f"{RATE >> 10}k", *options)
        try:
            pid = wait_for("the backup", lambda: [pid for pid in walsender_pids(made, application)
                                                  if progress(pid)])[0]
            first = wait_for("it to stream", lambda: [now for now in [progress(pid)] if now and now[3]])[0]
            last = wait_for("it to have streamed for a while", lambda: [
                now for now in [progress(pid)] if now and now[0] > first[0] + 3])[0]
            record.end()
        finally:
            process.stop()
    shutil.rmtree(process.folder, ignore_errors=True)
    yield record, pid, first, last


class Backups(LiveTest):
    def test_progress_is_what_the_server_says(self):
        with streaming("b_rate", "-X", "none") as (record, pid, first, last):
            seen = record.session(pid)["backup"]
        self.assertEqual(seen["total_bytes"], last[2])
        self.assertEqual(seen["tablespaces"], 2)
        self.assertEqual(seen["tablespaces"], last[4])
        self.assertEqual(seen["tablespaces_streamed"], last[5])
        self.assertGreater(seen["streamed_bytes"], first[3])
        rate = (last[3] - first[3]) / (last[0] - first[0])
        self.assertLess(abs(seen["bytes_per_second"] - rate), 0.3 * rate, (seen, first, last))
        # The server throttles in steps of an eighth of a second.
        self.assertGreaterEqual(seen["streamed_bytes"], last[3] - RATE, (seen, last))
        self.assertLessEqual(seen["streamed_bytes"], last[3] + 2 * RATE, (seen, last))
        left = (last[2] - last[3]) / rate
        self.assertLess(abs(seen["left_ns"] / 1e9 - left), 0.3 * left + 1, (seen, first, last))
        details = [entry["detail"] for entry in record.timeline(pid) if entry["detail"]]
        self.assertTrue(any(f"tablespace {last[5] + 1} of 2" in detail and "/s" in detail and "left" in detail
                            for detail in details), details[-3:])
        self.explained(record, pid, "rate", "left", "backup_total")

    def test_without_an_estimate_there_is_a_rate_and_no_total(self):
        with streaming("b_unknown", "-X", "none", "--no-estimate-size") as (record, pid, first, last):
            seen = record.session(pid)["backup"]
        self.assertIsNone(last[2])
        self.assertIsNone(seen["total_bytes"])
        self.assertIsNone(seen["left_ns"])
        rate = (last[3] - first[3]) / (last[0] - first[0])
        self.assertLess(abs(seen["bytes_per_second"] - rate), 0.3 * rate, (seen, first, last))
        entry = self.explained(record, pid, "rate")
        self.assertIn("--no-estimate-size", entry["text"])

    def explained(self, record, pid, *facts):
        entry = [entry for entry in record.view("explain")
                 if entry["scope"] == "session" and entry["pid"] == pid][0]
        self.assertEqual(entry["verdict"], "backup_throttled", entry)
        self.assertLessEqual(set(facts), {fact["fact"] for fact in entry["evidence"]}, entry)
        return entry

    def test_wal_that_a_backup_fetches_counts_as_such(self):
        made = server()
        with recording(made) as record:
            copy = os.path.join(made.dir, "b_fetch.space")
            backup = made.basebackup("b_fetch", "-X", "fetch", f"--tablespace-mapping={made.tablespace}={copy}")
            pid = wait_for("the backup", lambda: walsender_pids(made, "b_fetch"))[0]
            backup.expect()
        segments = [os.path.getsize(path) for path in glob.glob(f"{backup.folder}/pg_wal/0*")
                    if "." not in os.path.basename(path)]
        seen = record.session(pid)["backup"]
        self.assertTrue(segments)
        # With a header of 512 bytes each, and behind the last one the two blocks that end a tar file.
        self.assertGreaterEqual(seen["wal_bytes"], sum(segments))
        self.assertLessEqual(seen["wal_bytes"], sum(segments) + 64 * 1024)
        # Those of a piece that the client did not take at once are counted where it waited.
        timeline = record.timeline(pid)
        self.assertEqual(sum(entry["bytes"] or 0 for entry in timeline), record.session(pid)["backup_bytes"])
        if made.major >= 17:
            self.incremental(f"{backup.folder}/backup_manifest")

    def incremental(self, manifest):
        """17 and later: the manifest of the backup before is uploaded first."""
        made = server()
        made.write_wal(1)
        with recording(made) as record:
            backup = made.basebackup("b_increment", "-X", "none", "-Ft", f"--incremental={manifest}")
            pid = wait_for("the backup", lambda: walsender_pids(made, "b_increment"))[0]
            backup.expect()
        seen = record.session(pid)["backup"]
        self.assertEqual(seen["manifest_uploaded_bytes"], os.path.getsize(manifest))
        uploads = [entry for entry in record.history(pid) if entry["kind"] == "UPLOAD_MANIFEST"]
        self.assertEqual([entry["outcome"] for entry in uploads], ["ok"])
        self.assertTrue([entry for entry in record.timeline(pid) if entry["state"] == "backup_manifest"
                         and "upload" in (entry["detail"] or "")])
