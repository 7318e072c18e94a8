# SPDX-License-Identifier: BSD-2-Clause
"""gdb with walscope's commands on servers of tests."""

import os
import re
import signal

import walscope
from processes import Failure, wait_for

SCRIPT = os.path.join(walscope.ROOT, "scripts", "gdb", "walscope.py")


def symbol_file(space, program):
    """What `walscope symbols --elf` writes of a server."""
    path = space.file("gdb symbols.elf")
    if not os.path.exists(path):
        space.run([walscope.binary(), "symbols", program, "--elf", path])
    return path


def _argv(target, symbols, commands):
    words = ["gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off", *target, "-ex", f"source {SCRIPT}"]
    for command in ([f'walsender symbols "{symbols}"'] if symbols else []) + list(commands):
        words += ["-ex", command]
    return words


def gdb(space, target, symbols, *commands):
    """What gdb printed for commands on a process ("-p", PID) or a core (PROGRAM, CORE)."""
    process = start(space, target, symbols, *commands)
    process.wait(60)
    return process.out, process.err


def start(space, target, symbols, *commands):
    """The same, while it runs."""
    return space.start(_argv([str(word) for word in target], symbols, commands), name="gdb")


def shown(out):
    """{name: value} of lines "NAME: VALUE"."""
    return dict(re.findall(r"^([a-z_]+): +(.*)$", out, re.M))


def start_trace(space, pid, symbols, file, *options):
    """`walsender trace`, once its breakpoints are armed."""
    process = space.start(_argv(["-p", str(pid)], symbols, [f"walsender trace -o {file} {' '.join(options)}"]),
                          name="gdb-trace", stop=signal.SIGINT, grace=20)

    def begun():
        if not process.running:
            raise Failure(f"{process.describe()}\n{process.out}")
        return "walsender trace: traces" in process.err
    wait_for("gdb to trace", begun, 30)
    return process
