# SPDX-License-Identifier: BSD-2-Clause
"""Waits beside gdb for its death, and disarms what a killed gdb leaves in the process that it traced.

A gdb that is killed by SIGKILL takes no breakpoint out, and the kernel takes none out for it: debug registers stay set
(ptrace_disable in arch/x86/kernel/ptrace.c clears only single-stepping), an int3 stays in the text. The next process that
runs into one dies of SIGTRAP, and its postmaster restarts the whole server. This is a process of its own at the other end of a pipe. When
the pipe ends without the word that all is well, it becomes the tracer as soon as the kernel lets it, clears the debug
registers, puts the bytes of the text back, keeps back a SIGTRAP that is on its way, and lets go.

What is hit between the death of gdb and that moment, about a millisecond, kills all the same.

usage: guard.py PID STARTTICKS, on standard input lines ADDRESS=HEX (the text as it was where a breakpoint goes into memory) and,
when all is out, DONE
"""

import ctypes
import os
import signal
import sys
import time

# sys/ptrace.h
PTRACE_POKEUSER, PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 6, 17, 0x4206, 0x4207
DEBUG_REGISTERS = 848  # offsetof(struct user, u_debugreg) in sys/user.h of x86-64; number 7 arms the others
PATIENCE = 5.0  # s that a dying gdb may take to let go

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def start_ticks(pid):
    """Field 22 of /proc/PID/stat; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except OSError:
        return None


def parse(words):
    """{address: bytes} of words ADDRESS=HEX."""
    found = {}
    for word in words:
        address, equals, was = word.partition("=")
        if equals and was:
            found[int(address, 16)] = bytes.fromhex(was)
    return found


def mend(pid, code):
    """Puts back what the text had."""
    if not code:
        return
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    for address, was in code.items():
        os.pwrite(memory, was, address)
    os.close(memory)


def seize(pid, ticks):
    """Becomes the tracer as soon as there is no other; False when the process is gone."""
    until = time.monotonic() + PATIENCE
    while start_ticks(pid) == ticks and time.monotonic() < until:
        if _libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0:
            return True
        time.sleep(0.0001)
    return False


def disarm(pid):
    """Clears the debug registers of a process that this one traces, and lets it go on."""
    _libc.ptrace(PTRACE_INTERRUPT, pid, None, None)
    _, status = os.waitpid(pid, 0x40000000)  # __WALL
    if not os.WIFSTOPPED(status):
        return
    for number in (7, 0, 1, 2, 3):
        _libc.ptrace(PTRACE_POKEUSER, pid, DEBUG_REGISTERS + 8 * number, None)
    stopped_by = os.WSTOPSIG(status)
    # A stop by PTRACE_INTERRUPT carries an event; a SIGTRAP without one is a breakpoint's.
    keep = status >> 16 or stopped_by == signal.SIGTRAP
    _libc.ptrace(PTRACE_DETACH, pid, None, 0 if keep else stopped_by)


def main():
    pid, ticks = int(sys.argv[1]), int(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # are for gdb
        signal.signal(number, signal.SIG_IGN)
    print("ready", flush=True)
    lines = sys.stdin.read().split()
    if "DONE" in lines:
        return
    try:
        mend(pid, parse(lines))
        if os.uname().machine == "x86_64" and seize(pid, ticks):
            disarm(pid)
    except OSError:
        pass  # it is gone


if __name__ == "__main__":
    main()
