# SPDX-License-Identifier: BSD-2-Clause
"""Benchmarks. Machines are noisy: compare ratios, and figures of one run with each other only."""

import argparse
import bisect
import contextlib
import glob
import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import processes  # noqa: E402
from cluster import Server, lsn  # noqa: E402
from processes import Failure, wait_for  # noqa: E402
from walscope import binary, start_record, wait_attached  # noqa: E402

GOAL = {"attach, nothing cached": 1.5, "attach, symbols cached": 0.2, "detach": 0.5,
        "resolve, CPU of all": 1.0, "resolve, cached": 0.01}
RESOLVE_MEMORY_MB = 200
PARTS = ["attach", "symbols", "load", "decoding", "programs"]
LEVELS = [1, 2, 3]
DECODED = 100000


def heading(text):
    print(f"\n== {text}", flush=True)


def row(name, times, goal=None):
    middle, low, high = statistics.median(times), min(times), max(times)
    line = f"{name:<28} median {middle * 1000:8.1f} ms   from {low * 1000:8.1f} to {high * 1000:8.1f} ms"
    if goal:
        line += f"   goal {goal * 1000:.0f} ms: {'met' if middle <= goal else 'MISSED'}"
    print(line, flush=True)


def attach_and_detach(space, server, rounds):
    """Seconds from the start of `record` until it says that it is attached, and from SIGINT to its end."""
    cache = space.folder("cache")
    cold, warm, detach = [], [], []
    for number in range(rounds):
        for times, is_cold in ((cold, True), (warm, False)):
            if is_cold:
                shutil.rmtree(os.path.join(cache, "walscope"), ignore_errors=True)
            record = start_record(space, space.file("bench.wst"), "-v", "--postmaster", str(server.pid),
                                  name=f"bench-record-{number}-{is_cold}", env={"XDG_CACHE_HOME": cache})
            wait_for("walscope to attach", lambda: "attached to" in record.err or not record.running, 30,
                     every=0.002)
            times.append(time.monotonic() - record.started)
            wait_attached(record, server.pid)
            before = time.monotonic()
            record.signal(signal.SIGINT)
            record.expect(0)
            detach.append(time.monotonic() - before)
    row("attach, nothing cached", cold, GOAL["attach, nothing cached"])
    row("attach, symbols cached", warm, GOAL["attach, symbols cached"])
    row("detach", detach, GOAL["detach"])


def resolution(program, cache, rounds):
    """What finding the symbols of a server binary takes: CPU and memory of the whole program with nothing
    cached, and the search alone, by its own clock, with the answers of the run before."""
    command = [binary(), "symbols", program, "--json"]
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    cold, warm, memory = [], [], []
    for _ in range(rounds):
        shutil.rmtree(os.path.join(cache, "walscope"), ignore_errors=True)
        with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        cold.append(usage.ru_utime + usage.ru_stime)
        memory.append(usage.ru_maxrss / 1024)
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        entry = json.loads(done.stdout)
        if process.returncode or not entry["cached"]:
            raise Failure(f"{' '.join(command)}: exit status {process.returncode}, cached {entry['cached']}")
        warm.append(entry["resolve_ms"] / 1000)
    row("resolve, CPU of all", cold, GOAL["resolve, CPU of all"])
    row("resolve, cached", warm, GOAL["resolve, cached"])
    print(f"{'resolve, memory':<28} most {max(memory):.0f} MB   goal {RESOLVE_MEMORY_MB} MB: "
          f"{'met' if max(memory) <= RESOLVE_MEMORY_MB else 'MISSED'}", flush=True)


def transactions(server, seconds):
    text = server.pgbench(seconds, 4).expect(timeout=seconds + 60).out
    return float(re.search(r"^tps = ([0-9.]+)", text, re.M)[1])


def cpu_of(pid):
    """Nanoseconds a process has run."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


@contextlib.contextmanager
def recording(space, server, level):
    record = start_record(space, space.file("load.wst"), "--postmaster", str(server.pid), "--level", str(level),
                          name="load-record")
    wait_attached(record, server.pid)
    yield record
    record.signal(signal.SIGINT)
    record.expect(0)


def traced(space, server, level, work):
    """What work() returns while a recording at this level runs; level 0 is none."""
    if level == 0:
        return work()
    with recording(space, server, level):
        return work()


def cpu_of_host():
    """Nanoseconds all its processors have run (man 5 proc_stat: in ticks; what it waits for the disk is idle)."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) * 10**9 // os.sysconf("SC_CLK_TCK")


def in_pairs(space, server, options, work):
    """work() with a recording and without one, beside each other and in another order each time: machines
    get slower and faster meanwhile, and a server with them. Returns pairs (without, with) by level."""
    levels = sorted(set(options.level or LEVELS))
    pairs = {level: [] for level in levels}
    for number in range(options.rounds):
        turn = number % len(levels)
        for level in levels[turn:] + levels[:turn]:
            order = (0, level) if (number + level) % 2 else (level, 0)
            seen = {which: traced(space, server, which, work) for which in order}
            pairs[level].append((seen[0], seen[level]))
    return pairs


def bounds_of_median(numbers):
    """Where the median of all that could be measured lies, at 95 %, whatever their distribution: between two of
    the sorted `numbers` (a sign test). None for fewer than six."""
    count, below = len(numbers), 0.0
    for rank in range(count // 2):
        below += math.comb(count, rank) / 2**count
        if below > 0.025:
            return (numbers[rank - 1], numbers[count - rank]) if rank else None
    return None


def ratios(what, pairs):
    """`pairs` of numbers by level."""
    for level, seen in pairs.items():
        each = sorted(after / before for before, after in seen)
        quarter = len(each) // 4
        bounds = bounds_of_median(each)
        print(f"{f'level {level}, {what}':<44} {statistics.median(each):.3f} of not traced"
              f"{f' ({bounds[0]:.3f} to {bounds[1]:.3f} at 95 %)' if bounds else ''}   half of the pairs "
              f"from {each[quarter]:.3f} to {each[-1 - quarter]:.3f}", flush=True)


class Windows:
    """One run of pgbench that goes on while recordings begin and end: machines get slower and faster meanwhile,
    so what is in a short window with a recording is held against the ones right before and behind it, without."""

    SECONDS = 0.5
    SETTLE = 0.05  # what attaching or detaching left behind

    def __init__(self, space, server, sender):
        self.space, self.server, self.sender = space, server, sender
        self.folder = space.folder("transactions")
        os.chmod(self.folder, 0o777)  # pgbench is another user
        self.taken = []  # level, from, to (wall clock, s), ns of the sender and of the host

    def take(self, level):
        time.sleep(self.SETTLE)
        sender, host, begin = cpu_of(self.sender), cpu_of_host(), time.time()
        time.sleep(self.SECONDS)
        self.taken.append((level, begin, time.time(), cpu_of(self.sender) - sender, cpu_of_host() - host))

    def run(self, levels, count):
        """`count` windows of each level, one of level 0 between two. Returns pairs (without, with) of
        (transactions per second, ns of the sender and of the host for one) by level."""
        pgbench = self.server.pgbench(count * len(levels) * 60, 4, "--log",
                                      "--log-prefix", os.path.join(self.folder, "log"))
        self.take(0)  # warms up
        self.take(0)
        for number in range(count):
            turn = number % len(levels)
            for level in levels[turn:] + levels[:turn]:
                traced(self.space, self.server, level, lambda level=level: self.take(level))
                self.take(0)
        time.sleep(1)  # it writes its log a page at a time
        pgbench.stop()
        return self.pairs(levels)

    def ends(self):
        """When its transactions ended (wall clock, s), in their order."""
        lines = []
        for path in glob.glob(os.path.join(self.folder, "log*")):
            with open(path, encoding="ascii") as file:
                lines += [line.split() for line in file if line.endswith("\n")]
        return sorted(int(fields[4]) + int(fields[5]) / 1e6 for fields in lines)

    def pairs(self, levels):
        ends, seen, pairs = self.ends(), [], {level: [] for level in levels}
        for level, begin, end, sender, host in self.taken[1:]:
            count = bisect.bisect(ends, end) - bisect.bisect(ends, begin)
            if not count:
                raise Failure(f"no transaction ended in {end - begin:.2f} s")
            seen.append((level, (count / (end - begin), sender / count, host / count)))
        for (_, before), (level, during), (_, after) in zip(seen, seen[1:], seen[2:]):
            if level:
                pairs[level].append(([statistics.mean(both) for both in zip(before, after)], during))
        return pairs


def load(space, server, options):
    """pgbench with a synchronous standby: transactions per second, and what its walsender and the host run for
    one. Then what of that is known to be the tracing's."""
    windows = Windows(space, server, int(server.wait_walsender("standby")["pid"]))
    pairs = windows.run(sorted(set(options.level or LEVELS)), options.windows)
    for name, unit, which in (("transactions", "tps", 0), ("CPU of the walsender", "ns a transaction", 1),
                              ("CPU of the host", "ns a transaction", 2)):
        some = {level: [(a[which], b[which]) for a, b in seen] for level, seen in pairs.items()}
        middle = statistics.median(a for seen in some.values() for a, b in seen)
        print(f"{f'not traced, {name}':<44} {middle:.0f} {unit}")
        ratios(name, some)
    parts_of_load(space, server, options, middle)


BPF_STATS = "/proc/sys/kernel/bpf_stats_enabled"
# BPF_PROG_TYPE_KPROBE, _RAW_TRACEPOINT and _TRACING of linux/bpf.h.
TRAPS = 2
PROGRAMS = {TRAPS: "programs at traps", 17: "programs at signals and exits", 26: "programs at switches of processes"}


def runs_of_programs(pid):
    """How often the BPF programs that a process holds have run, and for how many ns, by their type."""
    sums = {kind: [0, 0] for kind in PROGRAMS}
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        with open(path, encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        kind = int(fields.get("prog_type", 0))
        if kind in sums:
            sums[kind][0] += int(fields["run_cnt"])
            sums[kind][1] += int(fields["run_time_ns"])
    return sums


def cost_of_trap():
    """What a hit of an empty program costs here, ns."""
    done = subprocess.run([os.path.join(os.environ["BUILD"], "tests", "bench", "cost"), "-n", "20000"], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    found = re.search(r"^send_physical +(\d+) +(\d+)", done.stdout, re.M)
    if not found:
        raise Failure(f"tests/bench/cost says nothing of send_physical:\n{done.stdout}")
    return int(found[2]) - int(found[1])


@contextlib.contextmanager
def bpf_stats():
    with open(BPF_STATS, encoding="ascii") as file:
        before = file.read()
    try:
        with open(BPF_STATS, "w", encoding="ascii") as file:
            file.write("1\n")
        yield
    finally:
        with open(BPF_STATS, "w", encoding="ascii") as file:
            file.write(before)


def parts_of_load(space, server, options, host):
    """What a transaction needs of traps, programs and the recorder, beside the `host` ns that its host runs for
    it: free of the machine's noise, and blind for what the one does to the caches of the other. The kernel's
    statistics add some 50 ns to each run of a program."""
    trap = cost_of_trap()
    for level in sorted(set(options.level or LEVELS)):
        with bpf_stats(), recording(space, server, level) as record:
            programs, recorder = runs_of_programs(record.pid), cpu_of(record.pid)
            count = transactions(server, options.seconds) * options.seconds
            recorder = (cpu_of(record.pid) - recorder) / count
            each = {kind: [(after - before) / count for before, after in zip(programs[kind], sums)]
                    for kind, sums in runs_of_programs(record.pid).items()}
        lines = [("traps", each[TRAPS][0], each[TRAPS][0] * trap)]
        lines += [(name, *each[kind]) for kind, name in PROGRAMS.items()]
        lines += [("the recorder", 0, recorder)]
        for name, runs, ns in lines:
            print(f"{f'level {level}, {name}':<44} {ns:.0f} ns a transaction"
                  f"{f', {runs:.2f} of {ns / runs:.0f} ns' if runs else ''}", flush=True)
        total = sum(ns for _, _, ns in lines)
        print(f"{f'level {level}, all of these':<44} {total:.0f} ns a transaction, {100 * total / host:.2f} % of the "
              "host's", flush=True)


def decoding(space, server, options):
    """A logical walsender that has much to decode and a client that takes it at once: it always runs, so that
    its throughput is what it runs for a transaction."""
    server.sql("create table one_row (number int)")
    server.create_logical_slot("bench")
    server.sql(f"do $$ begin for i in 1..{DECODED} loop insert into one_row values (i); commit; end loop; end $$")
    end = lsn(server.value("select pg_current_wal_insert_lsn()"))

    def work():
        server.sql("select pg_copy_logical_replication_slot('bench', 'bench_copy')")
        client = server.recvlogical("bench_copy", application="bench_decoding")

        def arrived():
            rows = server.walsenders("bench_decoding")
            return rows and rows[0]["sent_lsn"] and lsn(rows[0]["sent_lsn"]) >= end and int(rows[0]["pid"])

        sender = wait_for("all to be decoded", arrived, every=0.1)
        run = cpu_of(sender)
        client.signal(signal.SIGINT)
        client.expect(0)
        os.unlink(client.output)
        wait_for("the slot to be free", lambda: not server.walsenders("bench_decoding"))
        server.sql("select pg_drop_replication_slot('bench_copy')")
        return run / DECODED

    work()
    pairs = in_pairs(space, server, options, work)
    print(f"{'not traced, CPU of the walsender':<44} "
          f"{statistics.median(a for seen in pairs.values() for a, b in seen):.0f} ns a transaction")
    ratios("CPU of the walsender", pairs)


def programs():
    """Whatever is in tests/bench: each prints its own lines."""
    failed = []
    for source in sorted(glob.glob(f"{ROOT}/tests/bench/*.c")):
        name = os.path.basename(source)[:-2]
        program = os.path.join(os.environ["BUILD"], "tests", "bench", name)
        heading(name)
        if not os.access(program, os.X_OK):
            print(f"{program} is not there: run make bench")
            failed.append(name)
            continue
        done = subprocess.run([program], stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            print(f"exit status {done.returncode}")
            failed.append(name)
    return failed


def servers(options, parts):
    """What takes a server, and a standby of it."""
    with processes.Space("walscope-bench-") as space:
        server = Server(space, "primary").create().start()
        server.pgbench_init(10)
        standby = Server(space, "standby").copy_of(server).start()
        server.wait_walsender("standby")
        if "attach" in parts:
            heading(f"attach and detach ({options.rounds} rounds, a running server with a standby)")
            attach_and_detach(space, server, options.rounds)
        if "symbols" in parts:
            size = os.path.getsize(server.program) / 1e6
            heading(f"symbols of a server of {size:.0f} MB ({options.rounds} rounds)")
            resolution(server.program, space.folder("symbols"), options.rounds)
        if "load" in parts:
            server.sql("alter system set synchronous_standby_names = 'standby'")
            server.sql("select pg_reload_conf()")
            heading(f"load: pgbench -N -c 4 with a synchronous standby, {options.windows} windows of "
                    f"{Windows.SECONDS} s a level")
            load(space, server, options)
            server.sql("alter system reset synchronous_standby_names")
            server.sql("select pg_reload_conf()")
        standby.stop()
        if "decoding" in parts:
            heading(f"logical decoding: {DECODED} transactions of one row, test_decoding to pg_recvlogical")
            decoding(space, server, options)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them unless told")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=4, help="length of a run of pgbench")
    parser.add_argument("--windows", type=int, default=40,
                        help="of load: as many half seconds at each level, and without a recording between them")
    parser.add_argument("--level", type=int, choices=LEVELS, action="append",
                        help="of load and decoding: this level (and others told so), else all")
    options = parser.parse_args()
    parts = options.parts or PARTS
    if not set(parts) <= set(PARTS):
        parser.error(f"no such part: {' '.join(sorted(set(parts) - set(PARTS)))}")
    failed = []
    processes.raise_on_signals()
    try:
        if parts != ["programs"]:
            servers(options, parts)
        if "programs" in parts:
            failed = programs()
    except processes.Interrupted as interrupt:
        return interrupt.status
    except Failure as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
