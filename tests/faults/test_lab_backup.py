# SPDX-License-Identifier: BSD-2-Clause
"""Base backups that wait: for a checkpoint, their rate, their client, the archive."""

import contextlib
import os
import signal

import installation
import lab
from lab import LabTest, Stop, lab_server, scene
from live import once, wait_backup_stuck
from processes import wait_for
from talkers import server_process

NOT_THE_BACKUP = (*lab.NETWORK, *lab.STANDBY, *lab.OWN_WORK, *lab.HEALTHY)
BACKUP = ("backup_waits_for_checkpoint", "backup_throttled", "backup_client_slow", "backup_waits_for_archive",
          "backup_waits_for_summary")


@once
def server():
    """With 60 MB to copy, and an archive that takes nothing while a file says so."""
    made = lab_server("l_backup")
    made.hold_archive = os.path.join(made.dir, "hold_archive")
    with open(os.path.join(made.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
        conf.write(f"archive_mode = on\narchive_command = 'test ! -e {made.hold_archive}'\n"
                   "checkpoint_completion_target = 0.9\n")
    made.start()
    made.sql("create table filler (t text)")
    lab.write(made, 40)
    made.sql("checkpoint")
    return made


@once
def summarizing():
    """Knows what has changed since a full backup: `manifest` (17 and later)."""
    made = lab_server("l_summary", summarize_wal="on").start()
    made.sql("create table filler (t text)")
    made.run(["pg_basebackup", "-D", os.path.join(made.dir, "full"), "-d", made.conninfo(application="l_full"),
              "-c", "fast", "--no-sync"], timeout=120)
    made.manifest = os.path.join(made.dir, "full", "backup_manifest")
    return made


@contextlib.contextmanager
def backup(application, *options, made=None):
    """pg_basebackup, ended with the body however far it has come."""
    made = made or server()
    process = made.start_program(
        ["pg_basebackup", "-D", os.path.join(made.dir, f"{application}.backup"), "-d",
         made.conninfo(application=application), "--no-sync", "-Ft", *options], name=application,
        stop=signal.SIGTERM)
    try:
        yield process
    finally:
        process.stop()


def phase(pid):
    rows = server().sql(f"select phase from pg_stat_progress_basebackup where pid = {pid}")
    return rows[0][0] if rows else None


class Backup(LabTest):
    def check(self, seen, pid, verdict, state, share=0.9):
        self.assert_session(seen, pid, verdict, (*NOT_THE_BACKUP, *(code for code in BACKUP if code != verdict)),
                            state, share)

    def test_a_max_rate_is_backup_throttled(self):
        with scene(server()) as seen, backup("l_rate", "-c", "fast", "-X", "none", "--max-rate", "4M"):
            pid = seen.pid("l_rate")
            wait_for("it to stream", lambda: phase(pid) == "streaming database files")
            seen.hold(7, pid)
            self.assertEqual(phase(pid), "streaming database files")
            seen.record.end()
        self.check(seen, pid, "backup_throttled", "backup_throttled", 0.8)

    def test_a_checkpoint_that_takes_its_time_is_backup_waits_for_checkpoint(self):
        lab.write(server(), 40)
        with scene(server()) as seen, backup("l_spread", "-c", "spread", "-X", "none"):
            pid = seen.pid("l_spread")
            wait_for("it to wait", lambda: phase(pid) == "waiting for checkpoint to finish")
            seen.hold(7, pid)
            self.assertEqual(phase(pid), "waiting for checkpoint to finish")
            seen.record.end()
            server().sql("checkpoint")
        self.check(seen, pid, "backup_waits_for_checkpoint", "backup_checkpoint")

    if installation.selected().major >= 17:
        def test_a_wal_summarizer_that_is_stopped_is_backup_waits_for_summary(self):
            made = summarizing()
            lab.write(made, 20)
            with Stop(server_process(made, "walsummarizer")), scene(made) as seen, \
                    backup("l_behind", "-c", "fast", "-X", "none", "-i", made.manifest, made=made):
                pid = seen.pid("l_behind")
                wait_for("it to wait", lambda: made.wait_event(pid) == "WalSummaryReady")
                seen.hold(7, pid)
                self.assertEqual(made.wait_event(pid), "WalSummaryReady")
                seen.record.end()
            self.check(seen, pid, "backup_waits_for_summary", "backup_manifest")

    def test_a_stopped_client_is_backup_client_slow(self):
        with scene(server()) as seen, backup("l_client", "-c", "fast", "-X", "none") as client:
            pid = seen.pid("l_client")
            wait_for("it to stream", lambda: phase(pid) == "streaming database files", every=0.002)
            with Stop(client.pid):
                wait_backup_stuck(server(), pid)
                seen.hold(7, pid)
                seen.record.end()
        self.check(seen, pid, "backup_client_slow", "send_blocked")

    def test_an_archive_that_takes_nothing_is_backup_waits_for_archive(self):
        with open(server().hold_archive, "wb"):
            pass
        try:
            with scene(server()) as seen, backup("l_archive", "-c", "fast", "-X", "none"):
                pid = seen.pid("l_archive")
                wait_for("it to wait", lambda: phase(pid) == "waiting for wal archiving to finish")
                seen.hold(8, pid)
                seen.record.end()
        finally:
            os.unlink(server().hold_archive)
        self.check(seen, pid, "backup_waits_for_archive", "backup_wait_archive")
