# SPDX-License-Identifier: BSD-2-Clause
"""Walsenders whose WAL is not in memory any more, on a disk that gives it slowly."""

import contextlib
import os
import time

import lab
from lab import LabTest, lab_server, scene
from live import once
from players import Player
from processes import wait_for

BLKIO = "/sys/fs/cgroup/blkio"


@once
def server():
    made = lab_server("l_disk").start()
    made.sql("create table filler (t text)")
    return made


def _put(group, name, value):
    with open(f"{group}/{name}", "w", encoding="ascii") as file:
        file.write(str(value))


def _whole_disk(path):
    """Limits are of disks, not of their partitions."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    folder = os.path.realpath(f"/sys/dev/block/{number}")
    if os.path.exists(f"{folder}/partition"):
        with open(f"{os.path.dirname(folder)}/dev", encoding="ascii") as file:
            number = file.read().strip()
    return number


@contextlib.contextmanager
def slow_disk(made, bytes_per_second):
    """For a server and what it starts from now on."""
    folder = f"{BLKIO}/walscope-lab-{os.getpid()}"
    os.mkdir(folder)
    try:
        _put(folder, "blkio.throttle.read_bps_device", f"{_whole_disk(made.data)} {bytes_per_second}")
        _put(folder, "cgroup.procs", made.pid)
        yield
    finally:
        for pid in open(f"{folder}/cgroup.procs", encoding="ascii").read().split():
            with contextlib.suppress(OSError):
                _put(BLKIO, "cgroup.procs", pid)
        wait_for("the control group to be empty", lambda: not open(f"{folder}/cgroup.procs").read())
        os.rmdir(folder)


def forget(made):
    """No WAL of a server is in the page cache any more."""
    folder = os.path.join(made.data, "pg_wal")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            file = os.open(path, os.O_RDONLY)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


class Disk(LabTest):
    def check(self, application, level, state=None):
        """At level 2 reading is a part of sending."""
        made = server()
        start = lab.end_of_wal(made)
        lab.write(made, 60)
        made.sql("checkpoint")
        forget(made)
        with slow_disk(made, 4 << 20), scene(made, level=level) as seen, \
                Player(made, "slow", f"START_REPLICATION {start}", application, rate=1 << 30):
            pid = seen.pid(application)
            made.wait_walsender(application, "catchup")
            time.sleep(0.5)
            seen.hold(8, pid)
            self.assertEqual(made.walsenders(application)[0]["state"], "catchup", "the disk was too fast")
            seen.record.end()
        self.assert_session(seen, pid, "wal_read_slow", (*lab.RECEIVER, *lab.NETWORK, *lab.HEALTHY), state=state,
                            share=0.8)

    def test_wal_that_comes_slowly_from_disk_is_wal_read_slow(self):
        self.check("l_read", 2)

    def test_wal_that_comes_slowly_from_disk_is_wal_read_slow_at_level_3(self):
        self.check("l_read3", 3, "read_wal")
