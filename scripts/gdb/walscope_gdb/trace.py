# SPDX-License-Identifier: BSD-2-Clause
"""`walsender trace`: hands the walsender over from gdb to tracer.py, and waits beside it."""

import contextlib
import ctypes
import os
import signal

import gdb

from . import beside, inferior, server, tracer
from .inferior import INFERIOR, SERVER

PLACES = ("PostgresMain", "InitWalSender", "exec_replication_command", "WalSndLoop", "XLogSendPhysical", "XLogSendLogical")
COST = ("each call traced stops the walsender for 0.05 ms or more; gdb may be ended in any way meanwhile, but a SIGKILL of "
        "the tracer beside it may end the walsender, and the server then restarts (docs/GDB.md)")


def options(words):
    parser = beside.Parser("walsender trace")
    parser.add_argument("-o", dest="file", metavar="FILE", required=True)
    parser.add_argument("--no-turns", dest="turns", action="store_false")
    return parser.parse_args(words)


def what_it_does(calls):
    """`found` of the record `session` (docs/EVENTS.md); None before PostgresMain."""
    if "PostgresMain" not in calls:
        return None if "main" in calls else "unknown"  # where the stack cannot be followed to its end
    if SERVER.flag("ClientAuthInProgress"):
        return "starting"
    if "exec_replication_command" not in calls:
        return "idle"
    if "WalSndLoop" not in calls:
        return "command"
    if SERVER.pending_bytes():
        return "stream_socket"
    waits = any(name and name.startswith(("WaitEventSetWait", "epoll_wait", "__epoll")) for name in calls)
    return "stream_wal" if waits else "stream_busy"


def refuse():
    if os.uname().machine != "x86_64":
        raise gdb.GdbError("the tracer knows the registers of x86-64 alone: nothing is traced elsewhere")
    if SERVER.is_postmaster():
        raise gdb.GdbError("this is the postmaster, and a stop of it stops the server: `walsender wait` attaches to its "
                           "next walsender alone")
    if not SERVER.flag("am_walsender"):
        raise gdb.GdbError("this process is no walsender")
    if inferior.process_session() is None:
        raise gdb.GdbError("there is no process to trace: this is a core")


def config(calls, chosen):
    """What tracer.py needs to know; all of it is looked up in gdb."""
    places = {name: INFERIOR.address(name) for name in PLACES}
    unknown = [name for name, where in places.items() if where is None]
    if unknown:
        raise gdb.GdbError(f"{', '.join(unknown)}: not known where; write a symbol file with `walscope symbols "
                           f"{inferior.program()} --elf FILE`, then `walsender symbols FILE`")
    session = inferior.process_session()
    pid, ticks = map(int, session.split("."))
    return {"pid": pid, "ticks": ticks, "session": session, "places": places, "turns": chosen.turns,
            "found": what_it_does(calls), "file": output(chosen.file),
            "returns_to": calls.get("exec_replication_command"),
            "variables": {name: INFERIOR.address(name) for name in server.VARIABLES},
            "fields": {name: INFERIOR.field(name) for name in server.FIELDS if INFERIOR.has(name)}}


def output(path):
    """The whole name of a file, which is there or not; a terminal or a pipe that takes no more would hold the walsender up."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise gdb.GdbError(f"{path} is no regular file: what holds up who reads it would hold up the walsender")
    return os.path.abspath(path)


@contextlib.contextmanager
def hangup_ends_gdb():
    """As long as gdb runs Python its handler of SIGHUP only takes note. It has no process then that could be harmed."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    before = libc.signal(signal.SIGHUP, None)
    try:
        yield
    finally:
        libc.signal(signal.SIGHUP, before)


def run(chosen):
    refuse()
    words = config(inferior.calls(), chosen)
    with beside.Process("walsender trace", tracer, words) as its:
        its.say(COST)
        os.kill(words["pid"], signal.SIGSTOP)  # it stands until the tracer has it
        gdb.execute("detach", to_string=True)
        its.send("go")
        its.expect("ready")
        its.say("its start is traced" if words["found"] is None else "its start is over, and not in the trace")
        its.say("traces; Ctrl-C ends it")
        with hangup_ends_gdb():
            try:
                its.pass_on()
            except KeyboardInterrupt:  # SIGTERM comes to this, too, and gdb ends itself later
                its.end()
                its.pass_on()
