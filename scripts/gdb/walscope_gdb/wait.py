# SPDX-License-Identifier: BSD-2-Clause
"""Waits for a new walsender of a server without touching its postmaster."""

import argparse
import os
import sys
import time

import gdb


def children(postmaster):
    """The processes whose parent the postmaster is."""
    found = set()
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                if name.isdigit() and file.read().rpartition(")")[2].split()[1] == str(postmaster):
                    found.add(int(name))
        except (OSError, IndexError):
            continue
    return found


def is_walsender(pid):
    """Its title says so from 10 on (ps_status.c): once the client is authenticated."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"walsender" in file.read()
    except OSError:
        return False


def run(words):
    parser = argparse.ArgumentParser(prog="walsender wait", exit_on_error=False, add_help=False)
    parser.add_argument("--postmaster", type=int, required=True)
    parser.add_argument("--timeout", type=float, default=0)
    try:
        options = parser.parse_args(words)
    except (argparse.ArgumentError, SystemExit):
        raise gdb.GdbError("usage: walsender wait --postmaster PID [--timeout SECONDS]") from None
    if not os.path.exists(f"/proc/{options.postmaster}"):
        raise gdb.GdbError(f"there is no process {options.postmaster}")
    before = {pid for pid in children(options.postmaster) if is_walsender(pid)}
    print(f"walsender wait: waits for a walsender of {options.postmaster}", file=sys.stderr, flush=True)
    until = time.monotonic() + options.timeout if options.timeout else None
    while True:
        new = [pid for pid in children(options.postmaster) - before if is_walsender(pid)]
        if new:
            gdb.execute(f"attach {new[0]}")
            return
        if until is not None and time.monotonic() > until:
            raise gdb.GdbError(f"no new walsender in {options.timeout:g} s")
        time.sleep(0.01)
