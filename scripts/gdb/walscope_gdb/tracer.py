# SPDX-License-Identifier: BSD-2-Clause
"""Follows one walsender by breakpoints, and writes what it does as JSON lines: the part of `walsender trace` beside gdb.

gdb is not the tracer itself. A gdb that is killed leaves its breakpoints armed, and takes ten milliseconds to die, in which the
walsender runs into one of them and dies of SIGTRAP. This process sees the end of gdb, whatever kind of end it is, by the end
of a pipe, takes its breakpoints out and lets go. Should it be killed itself, its parent, which does nothing else, does that.

usage: tracer.py; on standard input a line of JSON (trace.py makes it), then, once the walsender stands still by SIGSTOP and
nobody traces it, "go"; the trace ends with another line, or with standard input. The events go to the file that the JSON names.
On standard error lines for gdb: "up", or why there will be no trace, "ready", and what is to be told at the end.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from walscope_gdb import events, ptrace, server, text  # noqa: E402

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMAND, STREAM, SEND, FOURTH = range(ptrace.SLOTS)
PATIENCE = 5.0  # s that a dying tracer may take to let go
NOTHING_STOPS = ("this machine's debug registers can be set, but stop no process, as on some virtual machines: a trace would see "
                 "nothing; use `walscope record`, which needs none")


class Memory:
    """A process as a source of server.Server."""

    def __init__(self, pid, variables, fields):
        self.address, self.field, self.has = variables.get, fields.__getitem__, fields.__contains__
        self._file = open(f"/proc/{pid}/mem", "rb", buffering=0)

    def read(self, where, size):
        data = os.pread(self._file.fileno(), size, where) if where < 1 << 63 else b""
        if len(data) < size:
            raise OSError(f"nothing to read at {where:#x}")
        return data


class Cost:
    """How often the walsender was held up, and for how long by this process's clock."""

    def __init__(self):
        self.hits = self.total = self.longest = 0
        self.begin = time.monotonic_ns()

    def add(self, since):
        took = time.monotonic_ns() - since
        self.hits += 1
        self.total += took
        self.longest = max(self.longest, took)

    def __str__(self):
        seconds = (time.monotonic_ns() - self.begin) / 1e9
        if not self.hits:
            return f"0 stops in {seconds:.1f} s"
        return (f"{self.hits} stops in {seconds:.1f} s, {self.hits / seconds:.0f} a second; of "
                f"{self.total / self.hits / 1e3:.0f} us on average, {self.longest / 1e3:.0f} us at most, and what the kernel "
                "takes to change over")


class Follower:
    """One walsender. At a hit it stands while its memory is read, and runs on while that is written down."""

    def __init__(self, config, tracee, out):
        self.tracee, self.cost = tracee, Cost()
        self.server = server.Server(Memory(tracee.pid, config["variables"], config["fields"]))
        self.writer = events.Writer(out, config["session"], clock=lambda: self.when)
        self.places, self.returns_to = config["places"], config["returns_to"]
        self.seen = {}  # {address: what to call when the process comes there}; that returns what is to be written down
        self.at_fourth = None
        self.now()
        self.begin(config["found"], config["turns"])

    def now(self):
        self.when = time.monotonic_ns(), time.time_ns()

    def begin(self, found, turns):
        """The process stands. `found` as the record `session` has it, None before PostgresMain."""
        self.place(COMMAND, self.places["exec_replication_command"], self.on_command)
        self.place(STREAM, self.places["WalSndLoop"], self.on_stream)
        if turns:
            self.place(SEND, self.places["XLogSendPhysical"], self.on_send)
        if found:
            self.writer.begin(self.server.session(), found)
        if not found:
            self.fourth(self.places["PostgresMain"], self.on_start)
        elif found == "starting":
            self.fourth(self.places["InitWalSender"], self.on_ready)
        elif self.returns_to:
            self.fourth(self.returns_to, self.on_return)

    def place(self, slot, where, seen):
        self.seen[where] = seen
        self.tracee.arm(slot, where)

    def fourth(self, where, seen):
        """Moves the register that has no place of its own."""
        if where != self.at_fourth:
            self.seen.pop(self.at_fourth, None)
            self.at_fourth = where
            self.place(FOURTH, where, seen)

    # -- at a hit, with the registers

    def on_start(self, _registers):
        known = self.server.session()
        self.fourth(self.places["InitWalSender"], self.on_ready)
        return lambda: self.writer.begin(known, None)

    def on_ready(self, _registers):
        return self.writer.ready

    def on_command(self, registers):
        command = self.server.string(registers[ptrace.RDI]) or ""
        self.returns_to = self.server.number(registers[ptrace.RSP])
        self.fourth(self.returns_to, self.on_return)
        return lambda: self.writer.command(command)

    def on_return(self, registers):
        state, lsn = self.server.position()
        is_replication = bool(registers[ptrace.RAX] & 0xFF)
        return lambda: self.writer.command_end(is_replication, state, lsn)

    def on_stream(self, registers):
        is_logical = registers[ptrace.RDI] == self.places["XLogSendLogical"]
        lsn, slot = self.server.position()[1], self.server.slot()
        return lambda: self.writer.stream(is_logical, lsn, slot)

    def on_send(self, _registers):
        state, lsn = self.server.position()
        caught_up = self.server.flag("WalSndCaughtUp")
        return lambda: self.writer.send(state, lsn, caught_up)

    # -- until the end

    def hit(self):
        """True if the process had come to a breakpoint."""
        registers = self.tracee.look()
        if registers is None:
            return False
        self.now()
        write = self.seen[registers[ptrace.RIP]](registers)
        self.tracee.go_on()
        self.cost.add(self.when[0])
        write()
        return True

    def run(self, wakeup):
        """Until something comes on standard input, or its end, or a signal, or the process is gone."""
        while not self.tracee.gone:
            ready = select.select([0, wakeup], [], [])[0]
            if 0 in ready or any(number in ENDING for number in os.read(wakeup, 4096)):
                return
            while self.hit():
                pass

    def end(self):
        """The process is let go, or gone."""
        self.tracee.stop()
        self.now()
        if self.tracee.gone:
            self.writer.exit(self.tracee.exit_status)
        else:
            self.writer.settle(*self.server.position(), self.server.flag("WalSndCaughtUp"))
            self.tracee.let_go()
        self.writer.end()


def tell(line):
    os.write(2, f"{line}\n".encode())


def wakeup_pipe():
    """Numbers of the signals that come can be read from it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (*ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return reader


def prepare(path):
    """The file for the events, which is as it was if there can be no trace."""
    try:
        if not ptrace.registers_stop_a_process():
            raise server.Error(NOTHING_STOPS)
    except OSError as error:
        raise server.Error(f"this machine's debug registers cannot be tried: {error.strerror}") from None
    return open(path, "w", encoding="utf-8", buffering=1)


def trace(config, stdin, out):
    """Returns the exit status: 0 if the walsender was let go."""
    wakeup = wakeup_pipe()
    tell("up")
    if stdin.readline() != b"go\n":
        return 1
    tracee = None
    try:
        tracee = ptrace.Tracee(config["pid"])
        tracee.stop()
        with out:
            follower = Follower(config, tracee, out)
            os.kill(tracee.pid, signal.SIGCONT)
            tracee.go_on()
            tell("ready")
            follower.run(wakeup)
            follower.end()
            tell(f"the walsender {'has ended' if tracee.gone else 'runs on'}; {follower.cost}")
    except (OSError, server.Error) as error:
        tell(f"ends: {error}")
        return 1
    finally:
        if tracee is not None:
            tracee.let_go()
    return 0


def mend(pid, ticks):
    """Lets go a process whose tracer is dead or dying, as soon as the kernel lets another one take it."""
    until = time.monotonic() + PATIENCE
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is gone
        while text.start_ticks(pid) == ticks and time.monotonic() < until:
            with contextlib.suppress(PermissionError):  # it still has a tracer
                ptrace.Tracee(pid).let_go()
                break
            time.sleep(0.0001)
        if text.start_ticks(pid) == ticks:
            os.kill(pid, signal.SIGCONT)


def main():
    stdin = open(0, "rb", buffering=0)
    config = json.loads(stdin.readline())
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    try:
        out = prepare(config["file"])
    except (OSError, server.Error) as error:
        tell(error)
        sys.exit(1)
    child = os.fork()
    if child == 0:
        os._exit(trace(config, stdin, out))
    if os.waitpid(child, 0)[1]:
        mend(config["pid"], config["ticks"])


if __name__ == "__main__":
    main()
