# SPDX-License-Identifier: BSD-2-Clause
"""Two walscopes on one server, and walscope beside bpftrace and perf on the same functions."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import time

import walscope
from cluster import Server
from live import LiveTest, Recording, once, space, wait_caught_up, wait_disconnected, walsender_pids
from processes import Failure, wait_for
from traces import breakpoints


NUMBERS = itertools.count()


@once
def watched():
    server = Server(space(), "watched", installation="installation-watched").create().start()
    server.pgbench_init(1)
    return server


def needed(program):
    if not shutil.which(program):
        raise Failure(f"{program} is not installed: run scripts/setup faults")
    return program


def with_tracefs(argv):
    """In a mount namespace of its own, so that tracefs is mounted for nobody else."""
    script = 'mount -t tracefs tracefs /sys/kernel/tracing && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", *argv]


def start_record(server, name):
    file = os.path.join(space().dir, f"{name}{next(NUMBERS)}.wst")
    process = walscope.start_record(space(), file, "--postmaster", str(server.pid), name=name)
    walscope.wait_attached(process, server.pid)
    return Recording(process, file)


class Workload:
    """Walsender sessions with two commands each, and ordinary connections."""

    def __init__(self, server):
        self.server, self.sessions, self.others = server, 0, 0
        self.before = len(self.backends())

    def backends(self):
        """Of which the server says that they got as far as to be authorized: all ran PostgresMain."""
        return [line for line in self.server.log()
                if re.match(r"(replication )?connection authorized", line.message)]

    def run(self, times=10):
        for _ in range(times):
            self.server.replication_psql(["IDENTIFY_SYSTEM", "SHOW port"], application="b_psql")
            self.server.sql("select 1")

    def count(self):
        return len(self.backends()) - self.before


@contextlib.contextmanager
def bpftrace(server, functions):
    """Counts the entries of these functions; the body gets a function that ends it and tells."""
    program = " ".join(f"uprobe:{server.program}:{name} {{ @{name} = count(); }}" for name in functions)
    before = set(breakpoints(server.pid))
    process = space().start(with_tracefs([needed("bpftrace"), "-e", program]), name="bpftrace",
                            stop=signal.SIGINT)
    try:
        wait_for("bpftrace to attach", lambda: "Attaching" in process.out and (
            before or len(breakpoints(server.pid)) >= len(functions)), 60)
        time.sleep(1)  # where walscope's probes are at the same places, nothing tells

        def finish():
            process.signal(signal.SIGINT)
            process.wait(30)
            found = dict(re.findall(r"@(\w+): (\d+)", process.out))
            return {name: int(found.get(name, 0)) for name in functions}

        yield finish
    finally:
        process.close()


def file_offset(program, function):
    """Where a function begins in the file, by readelf."""
    symbols = space().run(["readelf", "-W", "--dyn-syms", program], name="readelf").out
    address, = {int(value, 16) for value in re.findall(rf"^ *\d+: ([0-9a-f]+) .* {function}$", symbols, re.M)}
    segments = space().run(["readelf", "-W", "-l", program], name="readelf").out
    for offset, begin, _, size in re.findall(r"LOAD +(0x\w+) (0x\w+) (0x\w+) (0x\w+)", segments):
        if int(begin, 16) <= address < int(begin, 16) + int(size, 16):
            return address - int(begin, 16) + int(offset, 16)
    raise Failure(f"{program}: {function} is in no segment")


def change_probes(lines):
    script = 'printf "%s\\n" "$1" >>/sys/kernel/tracing/uprobe_events'
    space().run(with_tracefs(["/bin/sh", "-c", script, "sh", "\n".join(lines)]), name="uprobe_events")


@contextlib.contextmanager
def perf(server, functions):
    """The same with probes of tracefs and perf stat."""
    needed("perf")
    group = f"walscope_test_{os.getpid()}_{next(NUMBERS)}"
    output = space().file(f"{group}.csv")
    offsets = {name: file_offset(server.program, name) for name in functions}
    change_probes(f"p:{group}/{name} {server.program}:{offset:#x}" for name, offset in offsets.items())
    try:
        process = space().start(
            with_tracefs(["perf", "stat", "-x", ",", "-o", output, "-a", "-e",
                          ",".join(f"{group}:{name}" for name in functions)]),
            name="perf-stat", stop=signal.SIGINT)
        wait_for("perf to start", lambda: os.path.exists(output), 30)
        time.sleep(1)

        def finish():
            process.signal(signal.SIGINT)
            process.wait(30)
            with open(output, encoding="utf-8") as file:
                rows = [line.split(",") for line in file if "," in line]
            return {row[2].partition(":")[2]: int(row[0]) for row in rows}

        try:
            yield finish
        finally:
            process.close()
    finally:
        change_probes(f"-:{group}/{name}" for name in functions)


class Beside(LiveTest):
    limit_s = 240
    FUNCTIONS = ("PostgresMain", "exec_replication_command")

    def whole(self, record, server, pids):
        for pid in pids:
            session = record.session(pid)
            self.assertEqual((session["exit"]["reason"], session["lost"]), ("client_terminated", 0))
            self.assertEqual([(entry["command"], entry["outcome"]) for entry in record.history(pid)],
                             [(text, "ok") for _, text in server.logged_commands(pid)])

    def test_two_walscopes_see_the_same(self):
        server = watched()
        first, second = start_record(server, "first"), start_record(server, "second")
        receiver = server.receivewal("b_receiver")
        bench = server.pgbench(5)
        for _ in range(10):
            server.replication_psql(["IDENTIFY_SYSTEM", "SHOW port"], application="b_two")
        bench.expect(0)
        wait_caught_up(server, "b_receiver")
        row, = server.walsenders("b_receiver")
        receiver.stop()
        wait_disconnected(server, int(row["pid"]))
        both = walsender_pids(server, "b_two")
        first.end()
        # The other one goes on, its probes are in place.
        self.assertTrue(breakpoints(server.pid))
        server.replication_psql(["IDENTIFY_SYSTEM"], application="b_second")
        last, = walsender_pids(server, "b_second")
        wait_disconnected(server, last)
        second.end()
        self.assertEqual(breakpoints(server.pid), [])
        for record in (first, second):
            self.whole(record, server, both)
        self.whole(second, server, [last])
        self.assertEqual(first.sessions(last), [])
        one, two = (record.session(int(row["pid"])) for record in (first, second))
        self.assertEqual(one["wal_bytes"], two["wal_bytes"])
        self.assertGreater(one["wal_bytes"], 0)
        self.assertEqual((one["lost"], two["lost"]), (0, 0))
        sends = [record.hist(int(row["pid"]), "send_bytes")["count"] for record in (first, second)]
        self.assertEqual(sends[0], sends[1])

    def beside(self, other, other_first):
        server = watched()
        work = Workload(server)
        since = time.time()
        with contextlib.ExitStack() as stack:
            if other_first:
                finish = stack.enter_context(other(server, self.FUNCTIONS))
                record = start_record(server, "beside")
                stack.callback(record.process.close)
            else:
                record = start_record(server, "beside")
                stack.callback(record.process.close)
                finish = stack.enter_context(other(server, self.FUNCTIONS))
            work.before = len(work.backends())
            work.run()
            pids = walsender_pids(server, "b_psql", since)
            for pid in pids:
                wait_disconnected(server, pid)
            if other_first:
                counts = finish()
                record.end()
            else:
                record.end()
                counts = finish()
        commands = sum(len(server.logged_commands(pid)) for pid in pids)
        self.assertEqual(len(pids), 10)
        self.whole(record, server, pids)
        return counts, {"PostgresMain": work.count(), "exec_replication_command": commands}

    def test_bpftrace_first(self):
        counts, expected = self.beside(bpftrace, True)
        self.assertEqual(counts, expected)

    def test_bpftrace_second(self):
        counts, expected = self.beside(bpftrace, False)
        self.assertEqual(counts, expected)

    def test_perf_first(self):
        counts, expected = self.beside(perf, True)
        self.assertEqual(counts, expected)

    def test_perf_second(self):
        counts, expected = self.beside(perf, False)
        self.assertEqual(counts, expected)

    def tearDown(self):
        self.assertEqual(breakpoints(watched().pid), [], "probes that were left behind")
