# SPDX-License-Identifier: BSD-2-Clause
"""SIGKILL of a recording at random moments, from its very start on, and what the server has of it."""

import contextlib
import os
import random
import re
import signal
import time

import books
import walscope
from live import LiveTest, once, primary, space
from processes import Failure, descendants, wait_for
from traces import bpf_objects, breakpoints, living_bpf

KILLS = 50
SEED = 20261121


def held(pid):
    """Ids of programs, links and maps that a process holds."""
    try:
        found = bpf_objects(pid)
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {(key, number) for key, ids in found.items() for number in ids}


def planting(pid):
    """Is it in bpf(BPF_LINK_CREATE), or waiting for a process that is?"""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            if file.read().strip():
                return True
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            return file.read().startswith("321 0x1c ")
    except OSError:
        return False


class Pace:
    """Transactions per second of a server, over several stretches of time."""

    def __init__(self, server):
        self.server, self.transactions, self.seconds = server, 0, 0.0

    @contextlib.contextmanager
    def counted(self):
        before, begin = self._transactions(), time.monotonic()
        yield
        self.seconds += time.monotonic() - begin
        self.transactions += self._transactions() - before

    def _transactions(self):
        """Those that write, as the load's all do. Exact at any moment, unlike the statistics."""
        return int(self.server.value("select pg_snapshot_xmax(pg_current_snapshot())"))

    def rate(self):
        return self.transactions / self.seconds


class Killed:
    def __init__(self):
        self.files, self.left, self.begun = [], [], 0


def record_for(server, seconds, how, number):
    """A recording that gets this signal so long after its start: its file, and the kernel objects it had."""
    file = space().file(f"killed{number}.wst")
    process = walscope.start_record(space(), file, "--postmaster", str(server.pid), name="killed")
    until = time.monotonic() + seconds
    objects = set()
    while time.monotonic() < until:
        objects |= held(process.pid)
        time.sleep(min(0.1, max(0.0, until - time.monotonic())))
    os.kill(process.pid, how)
    process.wait()
    return file, objects


@once
def killed():
    server = primary()
    chance = random.Random(SEED)
    clients = [server.receivewal("kills_receivewal"), server.receivewal("kills_other", "-s", "1")]
    for client in ("kills_receivewal", "kills_other"):
        server.wait_walsender(client)
    load = server.pgbench(600, 4)
    seen = Killed()
    alone, with_kills, with_ends = Pace(server), Pace(server), Pace(server)
    try:
        time.sleep(2)
        with alone.counted():
            time.sleep(10)
        for number in range(KILLS):
            # Half of them while it starts, which takes about that long.
            seconds = chance.uniform(0, 0.6 if number % 2 else 2.5)
            with with_kills.counted():
                file, objects = record_for(server, seconds, signal.SIGKILL, number)
            seen.files.append(file)
            seen.begun += bool(objects)
            seen.left += left_behind(number, objects, server.pid)
            if number % 4 < 2:
                with with_ends.counted():
                    record_for(server, seconds, signal.SIGINT, "ended")
        with alone.counted():
            time.sleep(10)
    finally:
        for client in [load, *clients]:
            client.stop()
    seen.ratio = with_kills.rate() / with_ends.rate()
    print(f"        transactions/s: {with_kills.rate():.0f} while {KILLS} recordings were started and killed, "
          f"{with_ends.rate():.0f} while others were ended by SIGINT, {alone.rate():.0f} without", flush=True)
    return seen


def left_behind(number, objects, postmaster):
    """What a killed recording left: given a moment, since the kernel frees programs after a grace period."""
    found = []

    def gone():
        found[:] = [f"kill {number}: {key} {name}" for key, name in sorted(objects & living_bpf())]
        for pid in [postmaster, *descendants(postmaster)]:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.extend(f"kill {number}: breakpoint at {place:#x} of {pid}" for place in breakpoints(pid))
        return not found

    try:
        wait_for("nothing to be left", gone, timeout=3)
    except Failure:
        return list(found)
    return []


class Kills(LiveTest):
    limit_s = 600

    def test_nothing_is_left_in_the_kernel_or_in_the_server(self):
        seen = killed()
        self.assertEqual(seen.left, [])
        self.assertGreater(seen.begun, KILLS // 3)

    def test_a_kill_in_the_middle_of_planting_leaves_nothing(self):
        """The kernel cannot take off a probe in the context of a process that is being killed."""
        server, chance, met = primary(), random.Random(SEED), 0
        for number in range(20):
            process = walscope.start_record(space(), space().file("planting.wst"), "--postmaster",
                                            str(server.pid), name="planting")
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and not planting(process.pid):
                pass
            if number % 2:
                time.sleep(chance.uniform(0, 0.004))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            met += time.monotonic() < deadline
            self.assertEqual(left_behind(number, set(), server.pid), [])
        self.assertGreater(met, 10)

    def test_a_kill_costs_the_server_no_more_than_an_orderly_end(self):
        """What both share is the work of starting a recording, on the same few processors as the server."""
        self.assertGreater(killed().ratio, 0.8)

    def test_each_recording_opens_and_is_sound(self):
        opened = 0
        for file in killed().files:
            # Killed before tracing had begun: nothing was to be recorded.
            if not os.path.exists(file) or not os.path.getsize(file):
                continue
            process = space().start([walscope.binary(), "trace", file, "--json"], name="killed-trace")
            self.assertIn(process.wait(60), (0, 3), process.err)
            events = walscope.parse_lines(process.out, file)
            self.assertEqual(books.sequences(events), [], file)
            self.assertLessEqual(len(process.err.splitlines()), 1, process.err)
            self.assertFalse(re.search("damage", process.err), process.err)
            opened += 1
        print(f"        {opened} of {KILLS} recordings had begun", flush=True)
        self.assertGreater(opened, KILLS // 3)
