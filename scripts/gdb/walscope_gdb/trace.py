# SPDX-License-Identifier: BSD-2-Clause
"""`walsender trace`: breakpoints that go on at once and tell what they saw.

Debug registers hold four. exec_replication_command, WalSndLoop and XLogSendPhysical take three. The fourth is on PostgresMain of
a process that has not come there yet, and from the first command on at the place that exec_replication_command returns to.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys

import gdb

from . import ending, events, guard, server

COST = ("walsender trace: each call traced stops the walsender for about 1 ms; a SIGKILL of gdb meanwhile may "
        "end the walsender, and the server then restarts (docs/GDB.md)")


def options(words):
    parser = argparse.ArgumentParser(prog="walsender trace", exit_on_error=False, add_help=False)
    parser.add_argument("-o", dest="file")
    parser.add_argument("--no-turns", action="store_true")
    parser.add_argument("--software", action="store_true")
    try:
        chosen, rest = parser.parse_known_args(words)
        if rest:
            raise gdb.GdbError(f"unknown operand: '{rest[0]}'")
        return chosen
    except (argparse.ArgumentError, SystemExit):
        raise gdb.GdbError("usage: walsender trace [-o FILE] [--no-turns] [--software]") from None


class Point(gdb.Breakpoint):
    """Calls seen() at each hit; where that returns true, `continue` ends, else the process goes on at once."""

    def __init__(self, where, seen, end, software):
        super().__init__(f"*{where:#x}", gdb.BP_BREAKPOINT if software else gdb.BP_HARDWARE_BREAKPOINT,
                         internal=True)
        self.silent = True
        self.seen, self.end = seen, end

    def stop(self):
        return bool(self.seen() or self.end.asked)


class Trace:
    """One process, from begin() to the end of run()."""

    def __init__(self, chosen, out, end, its_guard):
        self.chosen, self.end, self.guard = chosen, end, its_guard
        self.writer = events.Writer(out, server.process_session())
        self.points = {}
        self.returns_to = None
        self.wanted = None  # where the fourth is to be from now on

    def frames(self):
        """{name: where its caller goes on} of the functions that are being executed."""
        found, frame = {}, gdb.newest_frame()
        while frame is not None:
            older = frame.older()
            found.setdefault(frame.name(), older.pc() if older is not None else None)
            frame = older
        return found

    def begin(self):
        frames = self.frames()
        known = server.session()
        started = "PostgresMain" in frames
        self.returns_to = frames.get("exec_replication_command")
        self.writer.begin(known, self.found(known, frames) if started else None)
        self.place("command", server.address("exec_replication_command"), self.on_command)
        self.place("stream", server.address("WalSndLoop"), self.on_stream)
        if not self.chosen.no_turns:
            self.place("send", server.address("XLogSendPhysical"), self.on_send)
        if not started:
            self.place("fourth", server.address("PostgresMain"), self.on_start)
        elif self.returns_to:
            self.place("fourth", self.returns_to, self.on_return)

    @staticmethod
    def found(known, frames):
        if "exec_replication_command" not in frames:
            return "idle"
        if "WalSndLoop" not in frames:
            return "command"
        if known["pending_bytes"]:
            return "stream_socket"
        waits = any(name and name.startswith(("WaitEventSetWait", "epoll_wait", "__epoll")) for name in frames)
        return "stream_wal" if waits else "stream_busy"

    def place(self, name, where, seen):
        if where is None:
            raise gdb.GdbError(f"a function to trace is not known ({name}): write a symbol file with `walscope symbols "
                               f"{server.program()} --elf FILE`, then `walsender symbols FILE`")
        if self.chosen.software:
            self.guard.text(where)
        self.points[name] = Point(where, seen, self.end, self.chosen.software)

    # -- at a hit: reads only; breakpoints must not be made or deleted here (gdb's manual, Breakpoints In Python)

    def on_start(self):
        self.wanted = ()
        return True

    def on_command(self):
        self.writer.command(server.string(register("rdi")) or "")
        if self.returns_to is None:
            self.returns_to = server.number(register("rsp"))
            self.wanted = (self.returns_to, self.on_return)
            return True
        return False

    def on_return(self):
        self.writer.command_end(bool(register("rax") & 0xff), *position())
        return False

    def on_stream(self):
        slot = server.session()["slot"]
        self.writer.stream(register("rdi") == server.address("XLogSendLogical"), position()[1], slot)
        return False

    def on_send(self):
        self.writer.send(*position(), server.flag("WalSndCaughtUp"))
        return False

    # -- between hits

    def move_fourth(self):
        if self.wanted is None:
            return False
        if "fourth" in self.points:
            self.points.pop("fourth").delete()
        if self.wanted:
            self.place("fourth", *self.wanted)
        self.wanted = None
        return True

    def run(self):
        """Until something else stops the process than a breakpoint of this: a signal to gdb, its end."""
        while not self.end.asked:
            self.end.running(True)
            try:
                gdb.execute("continue", to_string=True)
            finally:
                self.end.running(False)
            if not self.move_fourth():
                return

    def clear(self):
        for point in self.points.values():
            if point.is_valid():
                point.delete()
        self.points.clear()


def register(name):
    return int(gdb.newest_frame().read_register(name)) & 0xFFFFFFFFFFFFFFFF


def position():
    walsnd = server.my_walsnd()
    return (walsnd.state, walsnd.sent) if walsnd else (None, None)


class Guard:
    """guard.py beside it, as a context: without an exception all breakpoints are out at its end."""

    def __init__(self, pid):
        # gdb's own Python may be no program: the system's.
        self._process = subprocess.Popen(
            ["/usr/bin/python3", "-I", guard.__file__, str(pid), str(guard.start_ticks(pid))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def text(self, where):
        """A breakpoint is about to go into memory there."""
        self._tell(f"{where:x}={server.read(where, 1).hex()}")

    def _tell(self, line):
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def __enter__(self):
        if self._process.stdout.readline() != b"ready\n":
            raise gdb.GdbError("the guard against a SIGKILL of gdb did not start: nothing is traced")
        return self

    def __exit__(self, kind, *_rest):
        if kind is None:
            self._tell("DONE")
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def refuse():
    if os.uname().machine != "x86_64":
        raise gdb.GdbError("registers and the guard are those of x86-64: nothing is traced elsewhere")
    if server.is_postmaster():
        raise gdb.GdbError("this is the postmaster, and a stop of it stops the server: `walsender wait` attaches to its "
                           "next walsender alone")
    if not server.flag("am_walsender"):
        raise gdb.GdbError("this process is no walsender")
    if server.process_session() is None:
        raise gdb.GdbError("there is no process to trace: this is a core")
    if gdb.breakpoints():
        raise gdb.GdbError("there are other breakpoints: delete them first, as they would stay behind")


def run(chosen):
    refuse()
    print(COST, file=sys.stderr, flush=True)
    if chosen.software:
        print("walsender trace: --software writes breakpoints into the server's text", file=sys.stderr, flush=True)
    for setting in ("pagination off", "confirm off", "breakpoint pending off"):
        gdb.execute(f"set {setting}")
    # What the server sends its own: neither a stop nor a message.
    for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGTERM", "SIGURG", "SIGPIPE", "SIGALRM"):
        gdb.execute(f"handle {name} nostop noprint pass", to_string=True)
    # noprint would imply nostop.
    gdb.execute("handle SIGCHLD stop print nopass", to_string=True)
    codes = []

    def exited(event):
        codes.append(getattr(event, "exit_code", None))

    pid = gdb.selected_inferior().pid
    with open(chosen.file or "/dev/stdout", "w", encoding="utf-8", buffering=1) as out, ending.Ending(pid) as end, \
            Guard(pid) as its_guard, server.same_process():
        trace = Trace(chosen, out, end, its_guard)
        gdb.events.exited.connect(exited)
        try:
            trace.begin()
            print("walsender trace: traces; Ctrl-C ends it", file=sys.stderr, flush=True)
            trace.run()
        except KeyboardInterrupt:
            pass
        finally:
            gdb.events.exited.disconnect(exited)
            settle(trace)
        if codes:
            trace.writer.exit(codes[0] or 0)
        trace.writer.end()
    if end.asked in (signal.SIGTERM, signal.SIGHUP):
        gdb.execute("quit")


def settle(trace):
    """Takes the breakpoints out of the stopped process and lets it go."""
    thread = gdb.selected_thread()
    if thread is not None and thread.is_valid() and thread.is_running():
        gdb.execute("interrupt")
    trace.clear()
    if gdb.selected_inferior().pid:
        with contextlib.suppress(gdb.error):  # what is not known of the last turn stays unknown
            trace.writer.settle(*position(), server.flag("WalSndCaughtUp"))
        gdb.execute("detach", to_string=True)
