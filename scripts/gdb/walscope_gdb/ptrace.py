# SPDX-License-Identifier: BSD-2-Clause
"""A process with breakpoints in its debug registers, by ptrace(2), on x86-64. Nothing is written into its text.

The kernel takes nothing back when a tracer goes: registers that are armed stay armed (ptrace_disable in arch/x86/kernel/ptrace.c
clears only single-stepping), and the next hit ends the process by SIGTRAP. So whoever arms them must let_go().
"""

import contextlib
import ctypes
import os
import signal
import struct

# sys/ptrace.h
PTRACE_POKEUSER, PTRACE_CONT, PTRACE_GETREGS, PTRACE_DETACH = 6, 7, 12, 17
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_LISTEN = 0x4206, 0x4207, 0x4208
PTRACE_EVENT_STOP = 128
WALL = 0x40000000  # wait.h: __WALL
# sys/user.h of x86-64: where struct user has the debug registers, number 7 arms the others; members of user_regs_struct
DEBUG_REGISTERS = 848
REGISTERS = struct.Struct("27Q")
RAX, RDI, RIP, RSP = 10, 14, 16, 19
SLOTS = 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def registers_stop_a_process():
    """Whether the debug registers of this machine do that: those of some virtual machines can be set, and nothing comes of it.
    It is tried on a child, which outlives neither the answer nor this process."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(writer)
            if os.read(reader, 1):  # it is armed
                _libc.getppid()
        finally:
            os._exit(0)
    tracee = None
    try:
        tracee = Tracee(child)
        tracee.stop()
        tracee.arm(0, ctypes.cast(_libc.getppid, ctypes.c_void_p).value)
        tracee.go_on()
        os.write(writer, b".")
        while not tracee.gone:
            os.waitid(os.P_PID, child, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            if tracee.look():
                return True
        return False
    finally:
        os.close(reader)
        os.close(writer)
        if tracee is None or not tracee.gone:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, WALL)


def _request(what, pid, address=None, data=None):
    if _libc.ptrace(what, pid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace({what}) of process {pid}: {os.strerror(number)}")


class Tracee:
    """A process that this one is the tracer of, from the construction to let_go(). It runs on meanwhile but for its stops."""

    def __init__(self, pid):
        self.pid = pid
        self.exit_status = None  # as os.wait() has it, once it has ended
        self._armed = [None] * SLOTS
        self._held = None  # the signal to go on with while it stands; None while it runs
        self._registers = ctypes.create_string_buffer(REGISTERS.size)
        _request(PTRACE_SEIZE, pid)

    @property
    def gone(self):
        return self.exit_status is not None

    def stop(self):
        """Has it stand, if it is not gone; what it was about to be told by a signal it is told when it goes on."""
        if self._held is None and not self.gone:
            with contextlib.suppress(ProcessLookupError):  # it ends
                _request(PTRACE_INTERRUPT, self.pid)
            self._take(os.waitpid(self.pid, WALL)[1])

    def arm(self, slot, address):
        """A breakpoint there, or None; it has to stand."""
        self._armed[slot] = address
        enabled = sum(1 << 2 * i for i, where in enumerate(self._armed) if where is not None)
        self._poke(7, 0)
        self._poke(slot, address or 0)
        self._poke(7, enabled)

    def _poke(self, number, value):
        _request(PTRACE_POKEUSER, self.pid, DEBUG_REGISTERS + 8 * number, value)

    def look(self):
        """Its registers if it has come to a breakpoint, where it stands then; None if not, where all else that it was stopped for
        is dealt with."""
        if self.gone:
            return None
        pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
        if not pid:
            return None
        event = self._take(status)
        if self.gone:
            return None
        if self._held == signal.SIGTRAP and not event:
            registers = self.registers()
            if registers[RIP] in self._armed:
                self._held = 0
                return registers
        if event and os.WSTOPSIG(status) != signal.SIGTRAP:
            self._go(PTRACE_LISTEN, 0)  # stopped by SIGSTOP and the like: it stays so
        else:
            self.go_on()
        return None

    def _take(self, status):
        """Notes what it was stopped for, or that it is gone; returns the event."""
        if not os.WIFSTOPPED(status):
            self.exit_status = status
            return 0
        event = status >> 16
        self._held = 0 if event else os.WSTOPSIG(status)
        return event

    def registers(self):
        _request(PTRACE_GETREGS, self.pid, None, ctypes.addressof(self._registers))
        return REGISTERS.unpack(self._registers)

    def go_on(self):
        self._go(PTRACE_CONT, self._held)

    def _go(self, how, number):
        self._held = None
        with contextlib.suppress(ProcessLookupError):  # it was killed where it stood
            _request(how, self.pid, None, number)

    def let_go(self):
        """No breakpoint is left, and no tracer. A SIGTRAP on its way was a breakpoint's, and is kept back."""
        self.stop()
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it was killed where it stood
            for number in (7, *range(SLOTS)):
                self._poke(number, 0)
            while self._has_trap_pending():  # it came to a breakpoint when it was told to stop
                self._go(PTRACE_CONT, self._held)
                self._take(os.waitpid(self.pid, WALL)[1])
            _request(PTRACE_DETACH, self.pid, None, 0 if self._held == signal.SIGTRAP else self._held)

    def _has_trap_pending(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8", errors="replace") as file:
            pending = next(int(line.split()[1], 16) for line in file if line.startswith("SigPnd:"))
        return bool(pending >> (signal.SIGTRAP - 1) & 1)
