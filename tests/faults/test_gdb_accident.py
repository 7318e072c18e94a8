# SPDX-License-Identifier: BSD-2-Clause
"""gdb on a walsender that ends carelessly takes the whole server through crash recovery; walscope's trace does not."""

import concurrent.futures
import itertools
import os
import re
import signal
import time

import debug_registers
import replication_client
from cluster import Server
from debugger import start, start_trace, symbol_file, wait_said
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
        wait_for("the walsender to go on with it", lambda: self.status("State")[0] not in "tT")
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
        wait_for("all tracers to let go", lambda: self.tracer() == 0)
        self.write_some()
        self.assertEqual(crashes()[self.before:], [])
        self.assertEqual(int(server().wait_walsender(self.name)["pid"]), self.pid)
        self.assertEqual(self.tracer(), 0)

    def status(self, name):
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as status:
            return re.search(rf"^{name}:\t(.+)$", status.read(), re.M)[1]

    def tracer(self):
        return int(self.status("TracerPid"))

    def trace(self, hits=1):
        """gdb that traces, and has seen so many calls of XLogSendPhysical."""
        file = space().file("accident.jsonl")
        process = start_trace(space(), self.pid, self.symbols, file)

        def seen():
            with open(file, encoding="utf-8") as events:
                return events.read().count('"event": "turn"') >= hits
        server().write_wal(1)
        wait_for("turns", seen)
        return process

    def wait_sent(self):
        wait_for("all to be sent", lambda: server().value(
            f"select sent_lsn = pg_current_wal_flush_lsn() from pg_stat_replication where pid = {self.pid}") == "t")

    def end_by(self, number, hits=1):
        process = self.trace(hits)
        os.kill(process.pid, number)
        return process.wait(20)

    def test_a_killed_gdb_with_software_breakpoints_takes_the_server_with_it(self):
        self.by_hand("break").stop(signal.SIGKILL)
        self.write_some()
        self.assert_accident()

    def test_a_killed_gdb_with_hardware_breakpoints_takes_the_server_with_it(self):
        debug_registers.need(self)
        self.by_hand("hbreak").stop(signal.SIGKILL)
        self.write_some()
        self.assert_accident()

    def test_a_trace_harms_nobody_whatever_gdb_gets(self):
        debug_registers.need(self)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV, signal.SIGKILL):
            with self.subTest(number.name):
                self.end_by(number)
                self.assert_unharmed()

    def test_a_trace_under_load_harms_nobody_whatever_gdb_gets(self):
        debug_registers.need(self)
        server().pgbench_init()
        load = server().pgbench(120, 2)
        self.addCleanup(load.stop)
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
            with self.subTest(number.name):
                self.end_by(number, hits=500)
                self.assert_unharmed()
        self.assertTrue(load.running, "there was load all the time")

    def test_a_trace_of_a_walsender_at_rest_ends_at_once(self):
        debug_registers.need(self)
        with no_wal_of_its_own(server()):
            process = self.trace()
            self.wait_sent()
            begin = time.monotonic()
            os.kill(process.pid, signal.SIGINT)
            self.assertEqual(process.wait(20), 0)
            self.assertLess(time.monotonic() - begin, 10)  # its wait for WAL is much longer
        self.assert_unharmed()

    def test_a_gdb_that_is_stopped_holds_nobody_up(self):
        debug_registers.need(self)
        process = self.trace()
        os.kill(process.pid, signal.SIGSTOP)
        server().write_wal(1)
        self.wait_sent()
        os.kill(process.pid, signal.SIGCONT)
        self.assertEqual(process.stop(signal.SIGINT), 0)
        self.assert_unharmed()

    def test_a_tracer_that_is_killed_while_the_walsender_rests_harms_nobody(self):
        debug_registers.need(self)
        with no_wal_of_its_own(server()):
            process = self.trace()
            self.wait_sent()
            os.kill(self.tracer(), signal.SIGKILL)
            wait_for("its guard", lambda: self.tracer() == 0)
            process.wait(20)
        self.assert_unharmed()

    def test_a_gdb_that_is_killed_while_it_looks_harms_nobody(self):
        process = start(space(), ("-p", self.pid), self.symbols, "walsender status", "shell touch looked; sleep 100", stop=None)
        wait_for("gdb to have looked", lambda: os.path.exists(space().file("looked")))
        self.assertEqual(self.tracer(), process.pid)
        process.stop(signal.SIGKILL)
        self.assert_unharmed()

    def test_a_gdb_that_is_killed_while_it_waits_or_has_just_attached_harms_nobody(self):
        for attached in (False, True):
            with self.subTest(attached=attached):
                name = f"{self.name}_{attached}"
                waiting = start(space(), (server().program,), self.symbols,
                                f"walsender wait --postmaster {server().pid} --app {name}", "shell sleep 100", stop=None)
                wait_said(waiting, "waits for a walsender")
                if attached:
                    with concurrent.futures.ThreadPoolExecutor() as pool:  # it answers once it is let go
                        connecting = pool.submit(replication_client.connect, server(), application=name)
                        wait_said(waiting, "walsender wait: attached to")
                        waiting.stop(signal.SIGKILL)
                        client = connecting.result()
                else:
                    waiting.stop(signal.SIGKILL)
                    client = replication_client.connect(server(), application=name)
                client.query("IDENTIFY_SYSTEM")
                client.close()
        self.assert_unharmed()

    def test_the_death_of_the_walsender_ends_a_trace(self):
        debug_registers.need(self)
        process = self.trace()
        server().sql(f"select pg_terminate_backend({self.pid})")
        self.assertEqual(process.wait(20), 0)
        self.assertIn("the walsender has ended", process.err)
        self.assertEqual(crashes()[self.before:], [])
