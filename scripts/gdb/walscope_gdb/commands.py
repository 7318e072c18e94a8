# SPDX-License-Identifier: BSD-2-Clause
"""The command `walsender` and its parts."""

import gdb

from . import inferior, printers, server, text, trace, wait
from .inferior import INFERIOR, SERVER


class Walsender(gdb.Command):
    """What a PostgreSQL walsender does: symbols, status, list, session, trace, wait."""

    def __init__(self):
        super().__init__("walsender", gdb.COMMAND_DATA, prefix=True)


class Part(gdb.Command):
    """A command below `walsender`; its own class's docstring is its help."""

    name = ""

    def __init__(self):
        super().__init__(f"walsender {self.name}", gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        words = gdb.string_to_argv(argument)
        try:
            self.run(words)
        except server.Error as error:
            raise gdb.GdbError(str(error)) from None
        except OSError as error:
            raise gdb.GdbError(f"walsender {self.name}: {error}") from None

    def run(self, words):
        raise NotImplementedError


def no_operand(words):
    if words:
        raise gdb.GdbError(f"no operand is taken: '{words[0]}'")


def show(name, value):
    if isinstance(value, list):
        value = "; ".join(f"{e['sqlstate']} {e['message']} ({e['function']})" for e in value) or "none"
    print(f"{name + ':':<18}{'-' if value is None else text.printable(str(value))}")


class Symbols(Part):
    """walsender symbols FILE
    Takes names and layout from FILE, which `walscope symbols POSTGRES --elf FILE` wrote. Needed once for each program
    without debug information, which gdb has to have by then."""

    name = "symbols"

    def run(self, words):
        if len(words) != 1:
            raise gdb.GdbError("usage: walsender symbols FILE")
        INFERIOR.take(words[0])


class Status(Part):
    """walsender status
    State and positions of this process's WalSnd, its command, slot and output that waits for the socket."""

    name = "status"
    shown = ("pid", "state", "sent_lsn", "write_lsn", "flush_lsn", "apply_lsn", "command", "slot",
             "pending_bytes")

    def run(self, words):
        no_operand(words)
        if SERVER.my_walsnd() is None:
            raise gdb.GdbError("this process is no walsender: MyWalSnd is null; `walsender list` has those there are")
        known = SERVER.session()
        for name in self.shown:
            show(name, known[name])


class List(Part):
    """walsender list
    All walsenders of the server, from the array in shared memory: in any of its processes and cores."""

    name = "list"

    def run(self, words):
        no_operand(words)
        row = "{:>8} {:<10} {:<15} {:<15} {:<15} {:<15} {:>4}"
        print(row.format("PID", "STATE", "SENT", "WRITE", "FLUSH", "APPLY", "SYNC"))
        for w in SERVER.walsnds():
            print(row.format(w.pid, w.state or "-", w.sent or "-", w.write or "-", w.flush or "-",
                             w.apply or "-", w.sync_priority))


class Session(Part):
    """walsender session
    Who the client of this process is, and all that its memory tells of what it does."""

    name = "session"

    def run(self, words):
        no_operand(words)
        if SERVER.is_postmaster():
            raise gdb.GdbError("this is the postmaster: `walsender list` has the walsenders")
        show("session", inferior.process_session())
        for name, value in SERVER.session().items():
            show(name, value)


class Trace(Part):
    """walsender trace -o FILE [--no-turns]
    Follows this walsender by breakpoints that go on at once, and writes events as JSON lines to FILE, for `walscope import`;
    ends at Ctrl-C or with the process. gdb detaches for it: a process beside it is the tracer, so that gdb may be ended
    in any way. --no-turns leaves out XLogSendPhysical, which runs up to thousands of times a second."""

    name = "trace"

    def run(self, words):
        trace.run(trace.options(words))


class Wait(Part):
    """walsender wait --postmaster PID [--app NAME] [--timeout SECONDS]
    Waits for the next walsender of a server, of the application of this name, and attaches to it alone, mostly before
    PostgresMain. The postmaster and its other children are neither stopped nor attached to."""

    name = "wait"

    def run(self, words):
        wait.run(wait.options(words))


def register():
    Walsender()
    for part in (Symbols, Status, List, Session, Trace, Wait):
        part()
    printers.register()
