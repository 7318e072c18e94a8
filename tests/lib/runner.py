# SPDX-License-Identifier: BSD-2-Clause
"""Runs the live tests of a folder against real servers, a line for each.

Needs root and a built walscope (or WALSCOPE=file).
"""

import argparse
import fnmatch
import json
import os
import sys
import time
import traceback
import unittest

import cluster
import debug_registers
import live
import processes
import walscope

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


# Printed before the name of each test that does not run with the host's own PostgreSQL.
MAJOR = os.environ.get("WALSCOPE_TEST_MAJOR")


def name_of(test):
    """errors.psql_shows_the_same_location: module and method without their prefixes."""
    module, _, method = test.id().rpartition(".")
    return f"{module.split('.')[0].removeprefix('test_')}.{method.removeprefix('test_')}"


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


class Result(unittest.TestResult):
    """A line for each test; details of the failures right below, and why it was not run."""

    def __init__(self, results):
        super().__init__()
        self.results = results
        self.passed = self.not_run = 0
        self.failed = []
        self.began = 0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.problems = []
        self.reasons = []

    def _problem(self, error):
        kind, value, trace = error
        if issubclass(kind, (processes.Failure, AssertionError)):
            text = str(value)
            frames = [frame for frame in traceback.extract_tb(trace) if TESTS in frame.filename]
            text += "".join(f"\n  at {os.path.basename(frame.filename)}:{frame.lineno} {frame.line}"
                            for frame in frames[-2:])
        else:
            text = "".join(traceback.format_exception(*error))
        self.problems.append(text)

    def addError(self, test, err):
        if not isinstance(test, unittest.TestCase):
            self.failed.append(str(test))
        self._problem(err)

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._problem(err)
            self.problems[-1] = f"{subtest.params and dict(subtest.params)}: {self.problems[-1]}"

    def addSkip(self, test, reason):
        if reason in debug_registers.REASONS:
            self.reasons.append(reason)
        else:
            self.problems.append(f"skipped: {reason}")

    def addExpectedFailure(self, test, err):
        self.problems.append("marked as expected to fail")

    def stopTest(self, test):
        super().stopTest(test)
        if isinstance(sys.exc_info()[1], KeyboardInterrupt):
            return  # it has not come to its end
        name, seconds = name_of(test), time.monotonic() - self.began
        if MAJOR:
            name = f"{MAJOR}: {name}"
        not_run = "" if self.problems else "; ".join(self.reasons)
        good = not self.problems and not not_run
        verdict = "ok" if good else "-" if not_run else "FAILED"
        print(f"{verdict:<7}{name:<81} {seconds:8.2f} s", flush=True)
        for note in self.problems or [f"not run: {reason}" for reason in self.reasons]:
            for line in note.splitlines()[:80]:
                print(f"       | {line}", flush=True)
        if good:
            self.passed += 1
        elif not_run:
            self.not_run += 1
        else:
            self.failed.append(name)
        if self.results:
            self.results.write(json.dumps({"name": name, "passed": good, "not_run": not_run, "seconds": seconds}) + "\n")
            self.results.flush()


def main(folder):
    """Runs tests/FOLDER/test_*.py as the command line asks; returns the exit status."""
    parser = argparse.ArgumentParser(prog=f"tests/{folder}/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="run only these (shell patterns)")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--results", help="write a JSON line per test into this file")
    options = parser.parse_args()

    tests = list(flatten(unittest.defaultTestLoader.discover(os.path.join(TESTS, folder), pattern="test_*.py")))
    if options.names:
        meant = {pattern: fnmatch.filter(map(name_of, tests), pattern) for pattern in options.names}
        nobody = [pattern for pattern, names in meant.items() if not names]
        if nobody:
            print(f"no test has such a name: {' '.join(nobody)}", file=sys.stderr)
            return 2
        tests = [test for test in tests if any(name_of(test) in names for names in meant.values())]
    if options.list:
        print("\n".join(map(name_of, tests)))
        return 0

    try:
        walscope.binary()
        cluster.find_server()
    except processes.Failure as failure:
        print(f"no live test can run: {failure}", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        print("no live test can run: tracing needs root", file=sys.stderr)
        return 1

    processes.raise_on_signals()
    result = Result(None)
    try:
        if options.results:
            result.results = open(options.results, "w", encoding="utf-8")
        for test in tests:
            test.run(result)
    except processes.Interrupted as interrupt:
        print(f"interrupted by {interrupt}", file=sys.stderr)
        return interrupt.status
    finally:
        live.SHARED.close()
        if result.results:
            result.results.close()
    if result.not_run:
        print(f"{result.not_run} not run", flush=True)
    print(f"{result.passed} passed, {len(result.failed)} failed", flush=True)
    return 0 if not result.failed else 1

