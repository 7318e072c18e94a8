# SPDX-License-Identifier: BSD-2-Clause
"""What walscope leaves behind: nothing, however it ends; and servers do not notice."""

import os
import signal
import stat
import time

import walscope
from live import LiveTest, primary, recording, space, standby, wait_caught_up
from processes import wait_for
from test_lifecycle import running_victim
from traces import bpf_objects, breakpoints, living_objects


class Untouched(LiveTest):
    def assert_gone(self, held, server):
        """The kernel has none of these programs and links any more, and the server's code is its own."""

        def gone():
            programs, links = living_objects()
            return not (held["prog_id"] & programs or held["link_id"] & links)

        wait_for(lambda: f"the kernel to drop {held}; left: {living_objects()}", gone, every=0.1)
        self.assertEqual(breakpoints(server.pid), [], "breakpoints left in the server")

    def attached(self, server, process):
        """What walscope holds while attached; something must be there, or the test proves nothing."""
        held = bpf_objects(process.pid)
        self.assertTrue(held["prog_id"], "walscope holds no program while attached")
        self.assertTrue(breakpoints(server.pid), "no probe in the server while attached")
        return held

    def test_sigkill_leaves_no_probe_and_the_load_goes_on(self):
        server = primary()
        standby()
        before = server.wait_walsender("standby")["pid"]
        load = server.pgbench(300)
        with recording(server) as record:
            held = self.attached(server, record.process)
            os.kill(record.process.pid, signal.SIGKILL)
            self.assertEqual(record.process.wait(), -signal.SIGKILL)
            self.assert_gone(held, server)
            self.assertTrue(load.running, "the load ended before walscope did")
            load.signal(signal.SIGALRM)  # as if its time were over
            load.expect(0)
            self.assertIn("number of failed transactions: 0 ", load.out)
            self.assertEqual(server.wait_walsender("standby")["pid"], before)
            wait_caught_up(server, "standby")
            record.process.wait = lambda *_: 0  # it ended as it had to

    def test_a_recording_cut_by_sigkill_is_readable_with_status_3(self):
        server = primary()
        standby()
        file = space().file("killed.wst")
        process = walscope.start_record(space(), file, "--postmaster", str(server.pid), name="record-killed")
        walscope.wait_attached(process, server.pid)
        psql = server.replication_psql(["IDENTIFY_SYSTEM"], application="u_before_kill")
        psql.expect()
        size = os.path.getsize(file)
        wait_for("a block to be written", lambda: os.path.getsize(file) > size)
        # One more block, so that the command is in a whole one whatever was open when it ran.
        size = os.path.getsize(file)
        server.write_wal(1)
        wait_for("another block to be written", lambda: os.path.getsize(file) > size)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        view = space().start([walscope.binary(), "history", file, "--json"], name="view-killed")
        self.assertEqual(view.wait(), 3, view.err)
        self.assertEqual(len(view.err.splitlines()), 1, view.err)
        commands = [entry["command"] for entry in walscope.parse_lines(view.out, "history")]
        self.assertIn("IDENTIFY_SYSTEM", commands)

    def check_clean_end(self, how):
        server = primary()
        standby()
        before = server.wait_walsender("standby")["pid"]
        with recording(server) as record:
            held = self.attached(server, record.process)
            server.write_wal(1)
            record.end(how)
        self.assert_gone(held, server)
        for command in ("sessions", "history", "timeline", "hist"):
            self.assertTrue(record.view(command), f"{command} shows nothing")
        self.assertEqual(stat.S_IMODE(os.stat(record.file).st_mode), 0o600)
        self.assertEqual(server.wait_walsender("standby")["pid"], before)

    def test_sigint_ends_a_recording_in_good_order(self):
        self.check_clean_end(signal.SIGINT)

    def test_sigterm_ends_a_recording_in_good_order(self):
        self.check_clean_end(signal.SIGTERM)

    def test_duration_ends_a_recording_in_good_order(self):
        server = primary()
        standby()
        file = space().file("duration.wst")
        process = walscope.start_record(space(), file, "--postmaster", str(server.pid), "--duration", "3",
                                        name="record-duration")
        walscope.wait_attached(process, server.pid)
        held = self.attached(server, process)
        process.expect(0)
        self.assertGreaterEqual(time.monotonic() - process.started, 3)
        self.assert_gone(held, server)
        self.assertTrue(walscope.view(space(), "sessions", file))

    def test_level_3_leaves_nothing_either(self):
        server = primary()
        standby()
        with recording(server, "--level", "3") as record:
            held = self.attached(server, record.process)
            server.write_wal(1)
            wait_caught_up(server, "standby")
        self.assert_gone(held, server)
        self.assertTrue(record.view("hist"))

    def test_doctor_attaches_nothing(self):
        server = primary()
        doctor = space().start([walscope.binary(), "doctor", "--pid", str(server.pid), "--json"],
                               name="doctor-untouched")
        while doctor.running:
            self.assertEqual(breakpoints(server.pid), [])
        self.assertEqual(doctor.wait(), 0, doctor.err)

    def test_a_crash_of_the_server_does_not_end_the_recording(self):
        """Covered in full by lifecycle; here: walscope itself goes on and ends well."""
        server = running_victim()
        with recording(server, follow=server.data) as record:
            server.stop(signal.SIGQUIT)
            self.assertTrue(record.process.running)
