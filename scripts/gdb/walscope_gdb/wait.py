# SPDX-License-Identifier: BSD-2-Clause
"""`walsender wait`: attaches to a new walsender of a server, and touches nothing else of it."""

import os
import struct
import time

import gdb

from . import beside, inferior, trace, watcher
from .inferior import INFERIOR

AT_ENTRY = 9  # elf.h

VARIABLES = ("am_walsender", "MyProcPort")
FIELDS = ("Port.application_name",)


def options(words):
    parser = beside.Parser("walsender wait")
    parser.add_argument("--postmaster", type=int, metavar="PID", required=True)
    parser.add_argument("--app", metavar="NAME")
    parser.add_argument("--timeout", type=float, metavar="SECONDS")
    return parser.parse_args(words)


def load_offset(pid):
    """How far from the addresses in its file a program is in memory."""
    with open(f"/proc/{pid}/auxv", "rb") as file:
        values = dict(struct.iter_unpack("QQ", file.read()))
    with open(f"/proc/{pid}/exe", "rb") as file:
        return values[AT_ENTRY] - struct.unpack_from("<Q", file.read(64), 24)[0]


def config(chosen):
    """What watcher.py needs to know."""
    if gdb.selected_inferior().pid:
        raise gdb.GdbError("there is a process already: detach first")
    program = f"/proc/{chosen.postmaster}/exe"
    if not os.path.exists(program):
        raise gdb.GdbError(f"there is no process {chosen.postmaster}")
    loaded = gdb.current_progspace().filename
    if loaded is None:
        gdb.execute(f"file {program}", to_string=True)
    elif not os.path.samefile(loaded, program):
        raise gdb.GdbError(f"gdb has another program than process {chosen.postmaster}: `file {program}`")
    offset = load_offset(chosen.postmaster)
    variables = {name: INFERIOR.address(name) for name in VARIABLES}
    if None in variables.values():
        raise gdb.GdbError(f"process {chosen.postmaster} is no PostgreSQL server: it has no {' or no '.join(VARIABLES)}")
    return {"postmaster": chosen.postmaster, "app": chosen.app,
            "variables": {name: where + offset for name, where in variables.items()},
            "fields": {name: INFERIOR.field(name) for name in FIELDS if chosen.app is not None}}


def run(chosen):
    words = config(chosen)
    until = None if chosen.timeout is None else time.monotonic() + chosen.timeout
    with beside.Process("walsender wait", watcher, words) as its:
        of = "" if chosen.app is None else f" of {chosen.app}"
        its.say(f"waits for a walsender{of}; Ctrl-C ends it")
        pid = its.line(until)
        if pid is None:
            raise gdb.GdbError(f"walsender wait: no new walsender{of} in {chosen.timeout:g} s")
        gdb.execute(f"attach {pid}", to_string=True)
        where = "before" if trace.what_it_does(inferior.calls()) is None else "past"
        its.say(f"attached to {pid}, which is {where} the entry of PostgresMain")
