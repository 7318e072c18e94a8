# SPDX-License-Identifier: BSD-2-Clause
"""Walsenders that have work and no processor to do it on."""

import contextlib
import os

import lab
from lab import LabTest, lab_server, scene
from live import once, space
from processes import wait_for
from test_lab_logical import recvlogical, slot

NEVER = (*lab.RECEIVER, *lab.NETWORK, *lab.STANDBY, *lab.HEALTHY)
CPU = "/sys/fs/cgroup/cpu"


@once
def server():
    """One with much to decode."""
    made = lab_server("l_cpu", logical_decoding_work_mem="'256MB'").start()
    made.sql("create table small (i bigint)")
    return made


@contextlib.contextmanager
def busy(cpu, count):
    """Processes that would each like to have all of one processor. Each is of a session of its own, and that
    is a scheduling group of its own."""
    burners = [space().start(["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"], name="burner")
               for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.stop()


@contextlib.contextmanager
def throttled(pid, percent):
    """A control group that gets so much of one processor, as a container's does."""
    folder = f"{CPU}/walscope-lab-{os.getpid()}"
    os.mkdir(folder)

    def put(group, name, value):
        with open(f"{group}/{name}", "w", encoding="ascii") as file:
            file.write(str(value))

    try:
        put(folder, "cpu.cfs_period_us", 100000)
        put(folder, "cpu.cfs_quota_us", percent * 1000)
        put(folder, "cgroup.procs", pid)
        yield os.path.basename(folder)
    finally:
        with contextlib.suppress(OSError):
            put(CPU, "cgroup.procs", pid)
        wait_for("the control group to be empty", lambda: not open(f"{folder}/cgroup.procs").read())
        os.rmdir(folder)


class Cpu(LabTest):
    def decode(self, name, starve, level=3):
        """A consumer with many transactions to decode, one after another."""
        made = server()
        script = space().file("cpu.sql")
        with open(script, "w", encoding="ascii") as file:
            file.write("insert into small select generate_series(1, 2000);\n")
        os.chmod(script, 0o644)
        with slot(made, name):
            made.run(["pgbench", "-n", "-c", "1", "-t", "1500", "-f", script, "-d",
                      made.conninfo(database="postgres")], name="fill")
            with scene(made, level=level) as seen, recvlogical(made, name):
                pid = seen.pid(name)
                with starve(pid):
                    seen.hold(7, pid)
                    self.assertTrue(made.sql("select 1 from pg_stat_replication where "
                                             f"application_name = '{name}' and sent_lsn < "
                                             "pg_current_wal_flush_lsn()"), "it had too little to do")
                    seen.record.end()
        return seen, pid

    def test_a_processor_shared_with_many_is_cpu_starved(self):
        @contextlib.contextmanager
        def starve(pid):
            os.sched_setaffinity(pid, {1})
            with busy(1, 4):
                yield

        seen, pid = self.decode("l_shared", starve)
        self.assert_session(seen, pid, "cpu_starved", NEVER)

    def test_a_control_group_with_a_quota_is_cpu_starved_and_named(self):
        seen, pid = self.decode("l_quota", lambda pid: throttled(pid, 15))
        entry = self.assert_session(seen, pid, "cpu_starved", NEVER)
        self.assertIn("walscope-lab", entry["text"] + str(entry["evidence"]), lab.figures(entry))
