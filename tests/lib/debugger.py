# SPDX-License-Identifier: BSD-2-Clause
"""gdb with walscope's commands on servers of tests."""

import os
import re
import signal

import walscope
from processes import Failure, wait_for

SCRIPT = os.path.join(walscope.ROOT, "scripts", "gdb", "walscope.py")
MARK = "=== "


def symbol_file(space, program):
    """What `walscope symbols --elf` writes of a server."""
    path = space.file("gdb symbols.elf")
    if not os.path.exists(path):
        space.run([walscope.binary(), "symbols", program, "--elf", path])
    return path


def start(space, target, symbols, *commands, **options):
    """gdb, which runs commands on a process ("-p", PID) or a core (PROGRAM, CORE) and quits. What each printed, errors as well,
    is on standard output behind a line of its own."""
    words = ["gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off", *map(str, target), "-ex", f"source {SCRIPT}"]
    for command in ([f'walsender symbols "{symbols}"'] if symbols else []) + list(commands):
        words += ["-ex", f"echo {MARK}{command}\\n", "-ex", command]
    return space.start(words, name="gdb", **options)


def finish(process):
    """{command: what it printed}; what it refused is in the order of the commands under "refused"."""
    process.wait(90)
    pieces = re.split(rf"^{MARK}(.*)\n", process.out, flags=re.M)
    return {**dict(zip(pieces[1::2], pieces[2::2])), "refused": process.err.splitlines()}


def look(space, target, symbols, *commands):
    return finish(start(space, target, symbols, *commands))


def shown(out):
    """{name: value} of lines "NAME: VALUE"."""
    return dict(re.findall(r"^([a-z_]+): +(.*)$", out, re.M))


def rows(out):
    """The words of each line of `walsender list`."""
    return [line.split() for line in out.splitlines() if re.match(r" +\d+ ", line)]


def wait_said(process, what, timeout=60):
    """Waits until gdb has said this on standard error."""

    def said():
        if what in process.err:
            return True
        if not process.running:
            raise Failure(f"{process.describe()}\n{process.out}")
        return False

    wait_for(f"gdb to say {what}", said, timeout)


def start_trace(space, pid, symbols, file, *options):
    """`walsender trace`, once its breakpoints are armed."""
    process = start(space, ("-p", pid), symbols, f"walsender trace -o {file} {' '.join(options)}", stop=signal.SIGINT, grace=20)
    wait_said(process, "walsender trace: traces")
    return process
