# SPDX-License-Identifier: BSD-2-Clause
"""What gdb's commands share that leave their work to a process beside gdb."""

import argparse
import contextlib
import json
import select
import subprocess
import sys
import time

import gdb

PYTHON = "/usr/bin/python3"  # gdb's own may be no program
LOOK = 0.2  # s after which gdb looks whether it was interrupted


class Parser(argparse.ArgumentParser):
    """Of a command's words; refuses in gdb's way."""

    def __init__(self, command):
        super().__init__(prog=command, add_help=False, allow_abbrev=False)

    def error(self, message):
        raise gdb.GdbError(f"{self.prog}: {message}; see `help {self.prog}`")


class Process:
    """A module of this package as a program, in a session of its own: a Ctrl-C is for gdb. A context; it ends with that."""

    def __init__(self, command, module, words):
        self._command = command
        self._process = subprocess.Popen([PYTHON, "-I", "-B", module.__file__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.PIPE, bufsize=0, start_new_session=True)
        try:
            self.send(json.dumps(words))
            self.expect("up")
        except BaseException:
            self.__exit__()
            raise

    def send(self, line):
        self._process.stdin.write(line.encode() + b"\n")

    def line(self, until=None):
        """Its next line, None at its end or when it is that late. A readline() that has begun would not be interrupted."""
        while not select.select([self._process.stderr], [], [], LOOK)[0]:
            if until is not None and time.monotonic() > until:
                return None
        return self._process.stderr.readline().decode("utf-8", "replace").rstrip("\n") or None

    def expect(self, word):
        line = self.line()
        if line != word:
            raise gdb.GdbError(f"{self._command}: {line or 'the process beside gdb did not start'}")

    def say(self, line):
        print(f"{self._command}: {line}", file=sys.stderr, flush=True)

    def pass_on(self):
        """Says what it says, until its end."""
        line = self.line()
        while line is not None:
            self.say(line)
            line = self.line()

    def end(self):
        """Tells it to end. The end of the pipe comes late where gdb has forked a process of its own (linux_mntns_get_helper)."""
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended, or was told already
            self.send("end")
        self._process.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.end()
        self._process.stderr.close()
        self._process.wait()
