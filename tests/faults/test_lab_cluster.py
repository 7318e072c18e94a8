# SPDX-License-Identifier: BSD-2-Clause
"""Commits that wait for nobody, and servers that cannot be stopped."""

import contextlib
import os
import signal
import time

import lab
import walscope
from cluster import Server
from lab import LabTest, Stop, lab_server, scene, synchronous
from live import once, space, wait_stuck
from players import Player
from processes import wait_for
from slow_standby import library
from talkers import server_process


@once
def served():
    """A server that may be stopped, and its standby."""
    server = lab_server("l_served").start()
    server.sql("create table filler (t text)")
    standby = Server(space(), "l_servant", {"wal_receiver_status_interval": "'1s'"}).copy_of(server)
    return server, standby


class Cluster(LabTest):
    def setUp(self):
        self.server, self.standby = served()
        if not self.server.process.running:
            self.server.start()

    def commits(self, count):
        """Clients whose commits wait for a standby."""
        clients = [self.server.start_program(
            ["psql", "-X", "-q", "-d", self.server.conninfo(application="committer", database="postgres"),
             "-c", "insert into filler values ('')"], name="committer", stop=signal.SIGTERM)
            for _ in range(count)]
        wait_for("the commits to wait", lambda: len(self.server.sql(
            "select 1 from pg_stat_activity where wait_event = 'SyncRep'")) == count)
        return clients

    def check_waiting(self, names, application, verdict, stop=False):
        """Commits of which a client of this name has to confirm each, and which wait."""
        client = lab.synchronous_receivewal(self.server, application)
        clients = []
        try:
            with scene(self.server) as seen, synchronous(self.server, names):
                pid = seen.pid(application)
                with Stop(client.pid) if stop else contextlib.nullcontext():
                    clients = self.commits(2)
                    seen.hold(7, pid)
                    seen.record.end()
            for committer in clients:
                committer.expect()
        finally:
            for process in (client, *clients):
                process.stop()
        self.assert_account(seen, pid)
        return seen, pid, self.assert_other(seen, "cluster", verdict, [pid], ("shutdown_waits_for_standby",))

    def test_names_that_nobody_has_are_sync_standby_missing(self):
        seen, pid, _ = self.check_waiting("nobody", "l_other", "sync_standby_missing")
        self.assert_says(seen.session(pid), lab.HEALTHY)

    def test_a_quorum_of_which_one_is_not_there_is_sync_standby_missing(self):
        _, _, entry = self.check_waiting("ANY 2 (l_there, l_gone)", "l_there", "sync_standby_missing")
        self.assertIn("1 of the 2", entry["text"])

    def test_commits_that_wait_for_a_stopped_standby_say_for_which(self):
        # Nobody pings it: half of wal_sender_timeout is longer than this takes.
        _, pid, entry = self.check_waiting("l_held", "l_held", "receiver_silent", stop=True)
        self.assertIn(f"synchronous standby l_held (walsender {pid})", entry["text"])

    def test_commits_that_a_standby_confirms_are_not_sync_standby_missing(self):
        client = lab.synchronous_receivewal(self.server, "l_sync")
        try:
            with scene(self.server) as seen, synchronous(self.server, "l_sync"), lab.pulse(self.server, 0.05):
                pid = seen.pid("l_sync")
                seen.hold(7, pid)
                seen.record.end()
        finally:
            client.stop()
        self.assert_healthy(seen, pid)

    def test_commits_of_which_a_client_syncs_each_slowly_say_for_which(self):
        """It says that it has written something when that is flushed, too."""
        delay = space().file("l_slow.ms")
        with open(delay, "w", encoding="ascii") as file:
            file.write("300")
        os.chmod(delay, 0o644)
        folder = os.path.join(space().folder("l_slow", self.server.user), "pg_wal")
        os.mkdir(folder)
        if self.server.user:
            os.chown(folder, self.server.user.pw_uid, self.server.user.pw_gid)
        client = lab.synchronous_receivewal(self.server, "l_slow", folder,
                                            env={"LD_PRELOAD": library(), "SLOW_SYNC_FILE": delay})
        try:
            with synchronous(self.server, "l_slow"), lab.pulse(self.server, 0.05, clients=3):
                time.sleep(1)
                with scene(self.server) as seen:
                    pid = seen.pid("l_slow")
                    seen.hold(8, pid)
                    seen.record.end()
        finally:
            client.stop()
        self.assert_account(seen, pid)
        entry = self.assert_other(seen, "cluster", "standby_flush_slow", [pid])
        self.assertIn(f"synchronous standby l_slow (walsender {pid}), which confirms one after the other",
                      entry["text"])

    def phase(self):
        """Of a shutdown: is the server's checkpoint behind it?"""
        state, = (line for line in self.server.run(["pg_controldata", self.server.data]).out.splitlines()
                  if line.startswith("Database cluster state:"))
        return "after" if state.split(":")[1].strip() == "shut down" else "before"

    def check_shutdown(self, seen, pid, phase):
        self.assert_account(seen, pid)
        entry = self.assert_other(seen, "cluster", "shutdown_waits_for_standby", [pid], ("sync_standby_missing",))
        self.assertIn(phase + " the shutdown checkpoint", entry["text"] + str(entry["evidence"]),
                      lab.figures(entry))
        self.assertIn(str(pid), entry["text"] + str(entry["evidence"]), lab.figures(entry))

    def shut_down(self):
        self.server.process.signal(signal.SIGINT)
        wait_for("the shutdown to begin", lambda: any(
            line.message == "received fast shutdown request" for line in self.server.log()[-200:]))

    def test_a_stopped_standby_keeps_a_fast_shutdown_waiting_behind_the_checkpoint(self):
        self.standby.start()
        self.server.wait_walsender("l_servant")
        receiver = int(self.standby.value("select pid from pg_stat_wal_receiver"))
        with scene(self.server) as seen, Stop(receiver):
            pid = seen.pid("l_servant")
            time.sleep(1)
            self.shut_down()
            time.sleep(1)
            seen.hold(6, pid)
            self.assertTrue(self.server.process.running)
            self.assertEqual(self.phase(), "after")
            seen.record.end()
        self.assertEqual(self.server.process.wait(30), 0)
        self.standby.stop()
        self.check_shutdown(seen, pid, "after")

    def test_a_shutdown_that_is_at_its_checkpoint_waits_for_no_standby(self):
        checkpointer = server_process(self.server, "checkpointer")
        client = lab.synchronous_receivewal(self.server, "l_blameless")
        try:
            with scene(self.server) as seen:
                pid = seen.pid("l_blameless")
                with Stop(checkpointer):
                    self.shut_down()
                    seen.hold(6, pid)
                    self.assertTrue(self.server.process.running)
                    seen.record.end()
            self.assertEqual(self.server.process.wait(30), 0)
        finally:
            client.stop()
        self.assert_healthy(seen, pid)

    def test_a_smart_shutdown_that_a_client_holds_up_waits_for_no_standby(self):
        client = lab.synchronous_receivewal(self.server, "l_smart")
        try:
            with lab.OpenTransaction(self.server, "1"), scene(self.server) as seen:
                pid = seen.pid("l_smart")
                self.server.process.signal(signal.SIGTERM)
                seen.hold(6, pid)
                self.assertTrue(self.server.process.running)
                seen.record.end()
            self.assertEqual(self.server.process.wait(30), 0)
        finally:
            client.stop()
        self.assert_healthy(seen, pid)

    def test_a_smart_shutdown_waits_for_a_logical_client_that_is_stopped(self):
        """Nothing but that its walsender turns without rest shows that it was told to stop."""
        self.server.sql("select pg_create_logical_replication_slot('l_consumer', 'test_decoding')")
        client = self.server.recvlogical("l_consumer", "-s", "1", application="l_consumer")
        try:
            self.server.wait_walsender("l_consumer")
            with scene(self.server) as seen, Stop(client.pid):
                pid = seen.pid("l_consumer")
                lab.write(self.server, 1)
                time.sleep(1)
                self.server.process.signal(signal.SIGTERM)
                seen.hold(6, pid)
                self.assertTrue(self.server.process.running)
                seen.record.end()
            self.assertEqual(self.server.process.wait(30), 0)
        finally:
            client.stop()
        self.server.start()
        lab.drop_slot(self.server, "l_consumer")
        self.assert_account(seen, pid)
        entry = self.assert_other(seen, "cluster", "shutdown_waits_for_standby", [pid])
        self.assertIn(f"walsender {pid} (l_consumer)", entry["text"], lab.figures(entry))

    def test_what_a_shutdown_waited_for_is_told_of_a_recording_that_has_its_end_too(self):
        client = lab.synchronous_receivewal(self.server, "l_late")
        try:
            with scene(self.server) as seen, Stop(client.pid):
                pid = seen.pid("l_late")
                self.shut_down()
                time.sleep(5)
                self.assertTrue(self.server.process.running)
                waited = walscope.rfc3339(time.time())
                os.kill(client.pid, signal.SIGCONT)
                self.assertEqual(self.server.process.wait(30), 0)
        finally:
            client.stop()
        self.keep(seen)
        reason = seen.record.session(pid)["exit"]["reason"]
        self.assertEqual(reason, "shutdown")
        self.assertFalse([entry for entry in seen.explained() if entry["scope"] == "cluster"])
        entry, = [entry for entry in seen.explained(f"--to={waited}") if entry["scope"] == "cluster"]
        self.assert_says(entry, "shutdown_waits_for_standby")
        self.assertIn(str(pid), entry["text"], lab.figures(entry))

    def test_a_full_socket_keeps_a_fast_shutdown_waiting(self):
        # Before the checkpoint, as it does not hear of it; but for a kernel that takes some more just then.
        client = self.server.receivewal("l_full")
        try:
            self.server.wait_walsender("l_full")
            with scene(self.server) as seen, Stop(client.pid):
                lab.write(self.server, 40)
                pid = wait_stuck(self.server, "l_full")
                self.shut_down()
                time.sleep(1)
                seen.hold(6, pid)
                self.assertTrue(self.server.process.running)
                phase = self.phase()
                seen.record.end()
            self.assertEqual(self.server.process.wait(30), 0)
        finally:
            client.stop()
        self.check_shutdown(seen, pid, phase)

    def test_a_shutdown_that_hung_before_one_looked_waits_for_a_full_socket(self):
        """Neither that it was asked for was seen, nor does the walsender hear of it."""
        client = self.server.receivewal("l_hung")
        try:
            self.server.wait_walsender("l_hung")
            with Stop(client.pid):
                lab.write(self.server, 40)
                pid = wait_stuck(self.server, "l_hung")
                self.shut_down()
                with scene(self.server) as seen:
                    seen.hold(6, pid)
                    self.assertTrue(self.server.process.running)
                    seen.record.end()
                phase = self.phase()
            self.assertEqual(self.server.process.wait(30), 0)
        finally:
            client.stop()
        self.check_shutdown(seen, pid, phase)

    def test_a_slow_client_keeps_a_fast_shutdown_waiting_for_all_that_it_has_not_got(self):
        start = lab.end_of_wal(self.server)
        lab.write(self.server, 60)
        with scene(self.server) as seen, \
                Player(self.server, "slow", f"START_REPLICATION {start}", "l_slow_reader", rate=2 << 20) as client:
            pid = seen.pid("l_slow_reader")
            time.sleep(2)
            self.shut_down()
            time.sleep(1)
            seen.hold(6, pid)
            self.assertTrue(self.server.process.running)
            phase = self.phase()
            seen.record.end()
            client.process.stop(signal.SIGKILL)
            self.assertEqual(self.server.process.wait(30), 0)
        self.check_shutdown(seen, pid, phase)
        entry = self.assert_other(seen, "cluster", "shutdown_waits_for_standby", [pid])
        self.assertRegex(entry["text"], "sent up to [0-9A-F/]+, [0-9.]+ MB short of the end at ")
        self.assertEqual(seen.session(pid)["verdict"], "receiver_slow")
