# SPDX-License-Identifier: BSD-2-Clause
"""Benchmarks. Machines are noisy: compare ratios, and figures of one run with each other only."""

import argparse
import glob
import json
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
from cluster import Server  # noqa: E402
from processes import Failure, wait_for  # noqa: E402
from walscope import binary, start_record, wait_attached  # noqa: E402

GOAL = {"attach, nothing cached": 1.5, "attach, symbols cached": 0.2, "detach": 0.5,
        "resolve, CPU of all": 1.0, "resolve, cached": 0.01}
RESOLVE_MEMORY_MB = 200


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


def traced_transactions(space, server, level, seconds):
    """The same while a recording at this level runs; level 0 is none."""
    if level == 0:
        return transactions(server, seconds)
    record = start_record(space, space.file("load.wst"), "--postmaster", str(server.pid), "--level", str(level),
                          name="load-record")
    wait_attached(record, server.pid)
    seen = transactions(server, seconds)
    record.signal(signal.SIGINT)
    record.expect(0)
    return seen


def load(space, server, rounds, seconds):
    """Transactions per second of pgbench without and with a recording, in another order each round: a
    server gets faster while it warms up, and slower while its tables grow."""
    levels = [0, 2, 3]
    seen = {level: [] for level in levels}
    transactions(server, seconds)
    for number in range(rounds):
        turn = number % len(levels)
        for level in levels[turn:] + levels[:turn]:
            seen[level].append(traced_transactions(space, server, level, seconds))
    base = statistics.median(seen[0])
    print(f"{'not traced':<28} {base:10.0f} tps   from {min(seen[0]):.0f} to {max(seen[0]):.0f}")
    for level in levels[1:]:
        middle = statistics.median(seen[level])
        print(f"{f'level {level}':<28} {middle:10.0f} tps   from {min(seen[level]):.0f} to "
              f"{max(seen[level]):.0f}   {middle / base:.3f} of not traced", flush=True)


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


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=4, help="length of a run of pgbench")
    options = parser.parse_args()
    processes.raise_on_signals()
    try:
        with processes.Space("walscope-bench-") as space:
            server = Server(space, "primary").create().start()
            server.pgbench_init(10)
            standby = Server(space, "standby").copy_of(server).start()
            server.wait_walsender("standby")
            heading(f"attach and detach ({options.rounds} rounds, a running server with a standby)")
            attach_and_detach(space, server, options.rounds)
            size = os.path.getsize(server.program) / 1e6
            heading(f"symbols of a server of {size:.0f} MB ({options.rounds} rounds)")
            resolution(server.program, space.folder("symbols"), options.rounds)
            heading(f"load: pgbench -N -c 4, {options.seconds} s, with a streaming standby")
            load(space, server, options.rounds, options.seconds)
            standby.stop()
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
