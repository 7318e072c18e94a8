# SPDX-License-Identifier: BSD-2-Clause
"""gdb on a walsender that ends carelessly takes the whole server through crash recovery; walscope's trace does not."""

import itertools
import os
import signal
import time

from cluster import Server
from debugger import start_trace, symbol_file
from live import LiveTest, no_wal_of_its_own, once, space
from processes import wait_for


_numbers = itertools.count(1)


@once
def server():
    return Server(space(), "accident", installation="installation-accident").create().start()


def crashes():
    """What the postmaster said of processes that died."""
    return [line.message for line in server().log(everything=True) if "terminated by signal" in line.message]


class Accident(LiveTest):
    def setUp(self):
        self.name = f"a{next(_numbers)}"
        self.client = server().receivewal(self.name, "-s", "0", "--no-loop")
        self.addCleanup(self.client.stop)
        self.pid = int(server().wait_walsender(self.name)["pid"])
        self.before = len(crashes())
        self.symbols = symbol_file(space(), server().program)

    def by_hand(self, kind):
        """A breakpoint that goes on at once, as people write it."""
        process = space().start(["gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off", "-p", str(self.pid),
                                 "-ex", f'add-symbol-file "{self.symbols}" -o {self.load_offset():#x}',
                                 "-ex", f"{kind} XLogSendPhysical", "-ex", "commands\nsilent\ncontinue\nend",
                                 "-ex", "echo armed\\n", "-ex", "continue"], name="gdb-by-hand", stop=signal.SIGKILL)
        wait_for("gdb by hand", lambda: "armed" in process.out, 30)
        time.sleep(0.5)
        return process

    def load_offset(self):
        with open(f"/proc/{self.pid}/maps", encoding="ascii", errors="replace") as maps:
            return int(next(line for line in maps if line.rstrip().endswith("/postgres")).split("-")[0], 16)

    def write_some(self):
        """The walsender comes by its breakpoint, if there is one."""
        try:
            server().write_wal(1)
        except Exception:  # pylint: disable=broad-except
            pass  # the server may be on its way down
        time.sleep(0.5)

    def assert_accident(self):
        self.client.stop()
        wait_for("the accident", lambda: len(crashes()) > self.before, 30)
        self.assertIn(f"(PID {self.pid}) was terminated by signal 5", crashes()[-1])
        wait_for("crash recovery", lambda: any(
            "was not properly shut down; automatic recovery" in line.message for line in server().log(everything=True)))
        server().wait_ready()

    def assert_unharmed(self):
        self.write_some()
        self.assertEqual(crashes()[self.before:], [])
        self.assertEqual(int(server().wait_walsender(self.name)["pid"]), self.pid)
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as status:
            self.assertIn("TracerPid:\t0\n", status.read())

    def trace(self, *options):
        process = start_trace(space(), self.pid, self.symbols, space().file("accident.jsonl"), *options)
        server().write_wal(1)  # it is hit
        return process

    def ended_by(self, number, *options):
        process = self.trace(*options)
        os.kill(process.pid, number)
        process.wait(20)
        self.assert_unharmed()

    def test_a_killed_gdb_with_software_breakpoints_takes_the_server_with_it(self):
        self.by_hand("break").stop(signal.SIGKILL)
        self.write_some()
        self.assert_accident()

    def test_a_killed_gdb_with_hardware_breakpoints_takes_the_server_with_it(self):
        self.by_hand("hbreak").stop(signal.SIGKILL)
        self.write_some()
        self.assert_accident()

    def test_a_trace_that_is_interrupted_harms_nobody(self):
        self.ended_by(signal.SIGINT)

    def test_a_trace_of_a_walsender_at_rest_ends_at_once(self):
        with no_wal_of_its_own(server()):
            process = self.trace()
            time.sleep(1)  # until all is sent
            begin = time.monotonic()
            os.kill(process.pid, signal.SIGINT)
            self.assertEqual(process.wait(20), 0)
            self.assertLess(time.monotonic() - begin, 3)
        self.assert_unharmed()

    def test_a_trace_that_is_terminated_harms_nobody(self):
        self.ended_by(signal.SIGTERM)

    def test_a_trace_whose_terminal_is_gone_harms_nobody(self):
        self.ended_by(signal.SIGHUP)

    def test_a_trace_in_memory_that_is_terminated_harms_nobody(self):
        self.ended_by(signal.SIGTERM, "--software")

    def test_a_trace_that_is_terminated_under_load_harms_nobody(self):
        process = self.trace()
        server().pgbench_init()
        load = server().pgbench(6, 2)
        self.addCleanup(load.stop)
        time.sleep(2)
        os.kill(process.pid, signal.SIGTERM)
        process.wait(20)
        load.wait(30)
        self.assert_unharmed()

    def test_a_trace_that_is_killed_while_the_walsender_rests_harms_nobody(self):
        for options in ((), ("--software",)):
            with self.subTest(options=options), no_wal_of_its_own(server()):
                process = self.trace(*options)
                time.sleep(1)  # until all is sent
                os.kill(process.pid, signal.SIGKILL)
                process.wait(20)
                time.sleep(1)
            self.assert_unharmed()

    def test_the_death_of_the_walsender_ends_a_trace(self):
        process = self.trace()
        server().sql(f"select pg_terminate_backend({self.pid})")
        self.assertEqual(process.wait(20), 0)
        self.assertEqual(crashes()[self.before:], [])
