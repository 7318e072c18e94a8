# SPDX-License-Identifier: BSD-2-Clause
"""A disk that is full while recording. The disk is a tmpfs of 1 MiB in a mount namespace of the recording's
own, which is gone with it; the test reaches it through /proc/PID/root."""

import contextlib
import os
import shutil
import signal
import time

import books
import walscope
from live import LiveTest, primary, space, wait_caught_up
from processes import wait_for

SIZE = 1024 * 1024


class Disk:
    """`walscope record` to a file on a small disk of its own."""

    def __init__(self, server, name, prepare='exec "$@"'):
        self.server, self.name = server, name
        self.mount = space().folder(f"{name}.disk")
        script = (f'mount -t tmpfs -o size={SIZE},mode=755 tmpfs "$1" && cd "$1" && shift || exit 99; {prepare}')
        self.file_there = os.path.join(self.mount, "a.wst")
        self.process = space().start(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", self.mount,
             walscope.binary(), "record", "-o", self.file_there, "--postmaster", str(server.pid)],
            name=name, stop=signal.SIGINT, grace=20)

    @property
    def file(self):
        return f"/proc/{self.process.pid}/root{self.file_there}"

    @property
    def filler(self):
        return f"/proc/{self.process.pid}/root{self.mount}/filler"

    def fill(self):
        """Takes all room there is."""
        with open(self.filler, "wb", buffering=0) as out:
            with contextlib.suppress(OSError):
                while out.write(bytes(4096)):
                    pass

    def copy(self, name):
        path = space().file(f"{self.name}.{name}.wst")
        shutil.copy(self.file, path)
        return path

    def client(self, application):
        self.server.replication_psql(["IDENTIFY_SYSTEM", "SHOW port"], application=application)

    def names(self, file, status):
        return {entry["application_name"]
                for entry in walscope.view(space(), "sessions", file, status=status)}

    def lines(self):
        return [line.removeprefix("walscope: ") for line in self.process.err.splitlines()]


class Full(LiveTest):
    def start(self, name):
        disk = Disk(primary(), name)
        walscope.wait_attached(disk.process, disk.server.pid)
        disk.client(f"{name}_before")
        wait_for("a block with it", lambda: f"{name}_before" in disk.names(disk.copy("begun"), 3))
        return disk

    def test_a_full_disk_pauses_the_recording_and_room_resumes_it(self):
        disk = self.start("disk_a")
        server = disk.server
        receiver = server.receivewal("disk_a_receivewal", "-s", "1")
        server.wait_walsender("disk_a_receivewal")
        wait_for("its session in the file", lambda: "disk_a_receivewal" in disk.names(disk.copy("begun"), 3))
        load = server.pgbench(6, 4)
        disk.fill()
        wait_for("the pause", lambda: "recording paused" in disk.process.err)
        disk.client("disk_a_unwritten")
        time.sleep(3)  # its records are in a block, and that was tried
        # What was written can be read all the while.
        meanwhile = disk.copy("meanwhile")
        self.assertIn("disk_a_before", disk.names(meanwhile, 3))
        self.assertNotIn("disk_a_unwritten", disk.names(meanwhile, 3))
        os.unlink(disk.filler)
        wait_for("it to go on", lambda: "recording resumed" in disk.process.err)
        disk.client("disk_a_after")
        load.expect(0)
        # What walsenders do from now on is known again.
        server.write_wal(1)
        wait_caught_up(server, "disk_a_receivewal")
        file = self.end(disk, 3)
        receiver.stop()
        lines = disk.lines()
        self.assertRegex(lines[0], r"^recording paused: .*a\.wst: No space left on device$")
        self.assertRegex(lines[1], r"^recording resumed: .*a\.wst: \d+ records are missing$")
        self.assertEqual(len([line for line in lines if line.startswith("recording ")]), 2, lines)
        said = int(lines[1].split(": ")[-1].split()[0])
        events = walscope.view(space(), "trace", file, status=3)
        gap, = books.gaps(events)
        self.assertEqual((gap["cause"], gap["session"], gap["lost"]), ("unwritten", None, said))
        self.assertEqual(books.sequences(events), [])
        names = disk.names(file, 3)
        self.assertLessEqual({"disk_a_before", "disk_a_after", "disk_a_receivewal"}, names)
        self.assertNotIn("disk_a_unwritten", names)
        # Its walsender is shown as lost in that time, and as at work behind it.
        timeline = [entry for entry in walscope.view(space(), "timeline", file, "--app", "disk_a_receivewal",
                                                     status=3)]
        states = [entry["state"] for entry in timeline]
        self.assertIn("lost", states)
        self.assertIn("wait_wal", states[states.index("lost"):])

    def end(self, disk, status):
        """Ends the recording, and returns a copy of its file: a descriptor keeps the disk."""
        with open(disk.file, "rb") as file:
            disk.process.signal(signal.SIGINT)
            disk.process.expect(status)
            path = space().file(f"{disk.name}.whole.wst")
            with open(path, "wb") as out:
                shutil.copyfileobj(file, out)
        return path

    def test_a_disk_that_stays_full_leaves_a_readable_recording(self):
        disk = self.start("disk_b")
        disk.fill()
        load = disk.server.pgbench(3, 4)
        receiver = disk.server.receivewal("disk_b_receivewal")
        wait_for("the pause", lambda: "recording paused" in disk.process.err)
        load.expect(0)
        receiver.stop()
        file = self.end(disk, 3)
        self.assertIn("disk_b_before", disk.names(file, 3))
        lines = disk.lines()
        self.assertEqual(len([line for line in lines if line.startswith("recording paused")]), 1, lines)
        self.assertTrue(any("were not written" in line for line in lines), lines)

    def test_a_disk_full_from_the_start_is_an_error_and_leaves_no_file(self):
        disk = Disk(primary(), "disk_c", """head -c 2M /dev/zero > filler 2>/dev/null
            "$@"; status=$?; echo left: *; exit $status""")
        self.assertEqual(disk.process.wait(), 1)
        line, = disk.lines()
        self.assertRegex(line, r"^cannot write recording: .*a\.wst: No space left on device")
        self.assertIn("left: filler", disk.process.out)
