# SPDX-License-Identifier: BSD-2-Clause
"""Builds walscope in every variant and runs every test. Called by scripts/check."""

import argparse
import concurrent.futures
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import installation  # noqa: E402
import processes  # noqa: E402
from traces import kernel_objects, pinned_objects  # noqa: E402

# s; a limit is for what hangs: what takes its time on a slow machine does not fail for that.
BUILD_TIMEOUT = 1800
UNIT_TIMEOUT = 600
LIVE_TIMEOUT = 3600

# Beside the host's PostgreSQL: another major, of another Debian with another C library, and the tests that
# tell most: commands and errors with their places, waiting against being blocked, positions. 17 rather than 13,
# which is as cheap: its suite will be in the archive for longer. All groups on all majors: make matrix.
SECOND_MAJORS = (17, 15)
SECOND_TESTS = ("commands.*", "errors.*", "positions.*", "states.a_caught_up_*", "states.a_standby_at_rest_*",
                "states.a_stopped_*", "states.a_base_backup_*", "states.pg_stat_activity_cannot_*",
                "states.nothing_is_unknown_*", "import.a_log_*")


class Tally:
    """Counts and prints results, a line each."""

    def __init__(self):
        self.passed = self.failed = 0
        self.failures, self.not_run = [], []
        self.began = time.monotonic()

    def heading(self, text):
        print(f"\n== {text} ({time.monotonic() - self.began:.0f} s)", flush=True)

    def add(self, name, passed, failed, seconds, details=""):
        self.passed += passed
        self.failed += failed
        cases = passed + failed
        count = f"{cases} cases" if cases != 1 else ""
        verdict = "ok" if failed == 0 else "FAILED"
        if failed and cases > 1:
            count = f"{failed} of {count}"
        print(f"{verdict:<7}{name:<66} {count:>14} {seconds:8.2f} s", flush=True)
        if failed:
            self.failures.append(name)
            for line in details.strip().splitlines()[-60:]:
                print(f"       | {line}", flush=True)

    def add_not_run(self, name, reason):
        """Neither passed nor failed: what a test needs is not on this machine."""
        print(f"{'-':<7}{name}: not run: {reason}", flush=True)
        self.not_run.append(f"{name}: {reason}")

    def finish(self):
        print(f"\ntotal {time.monotonic() - self.began:.0f} s")
        for entry in self.not_run:
            print(f"not run: {entry}")
        for name in self.failures:
            print(f"FAILED {name}")
        if self.passed + self.failed == 0:
            print("no test ran")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 0 if self.failed == 0 and self.passed > 0 else 1


def run(argv, timeout, env=None):
    """(exit status, output, seconds). The whole process group is ended when the time is over."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                                 stderr=subprocess.STDOUT, start_new_session=True,
                                 env={**os.environ, **(env or {})})
        try:
            status = child.wait(timeout)
            note = ""
        except subprocess.TimeoutExpired:
            status, note = None, f"\nended after {timeout} s\n"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        output.seek(0)
        text = output.read().decode(errors="replace") + note
    return status, text, time.monotonic() - began


def processors():
    return len(os.sched_getaffinity(0))


# -- formatting and building


def check_format(tally):
    files = sorted(path for pattern in ("src/**/*.[ch]", "bpf/*.[ch]", "tests/**/*.[ch]")
                   for path in glob.glob(os.path.join(ROOT, pattern), recursive=True))
    files = [os.path.relpath(path, ROOT) for path in files]
    status, text, seconds = run(["clang-format", "--dry-run", "-Werror", *files], BUILD_TIMEOUT)
    tally.add(f"clang-format of {len(files)} files", int(status == 0), int(status != 0), seconds, text)


def check_scripts(tally):
    """Python compiles, shell parses."""
    began = time.monotonic()
    problems = []
    for folder, _, names in list(os.walk(f"{ROOT}/scripts")) + list(os.walk(f"{ROOT}/tests")):
        for path in (os.path.join(folder, name) for name in names):
            with open(path, "rb") as file:
                source = file.read()
            first = source.split(b"\n", 1)[0]
            if path.endswith(".py") or first.endswith(b"python3") or first.endswith(b"python3 -B"):
                try:
                    compile(source, path, "exec")
                except SyntaxError as error:
                    problems.append(f"{path}: {error}")
            elif first.endswith(b"/bash") or first.endswith(b"/sh"):
                status, text, _ = run([first[2:].decode(), "-n", path], 30)
                if status != 0:
                    problems.append(text)
    tally.add("scripts parse", int(not problems), int(bool(problems)), time.monotonic() - began,
              "\n".join(problems))


def check_build(tally, name, *variables):
    status, text, seconds = run(["make", "-k", "-j", str(processors()), *variables, "all", "tests"], BUILD_TIMEOUT)
    warned = re.search(r"warning:", text) is not None
    good = status == 0 and not warned
    text = "\n".join(line for line in text.splitlines() if not re.match(r"  [A-Z]+ +\S+$", line))
    tally.add(f"build with {name}", int(good), int(not good), seconds, text)


# -- programs of tests


def count_cmocka(status, text):
    """(passed, failed) by the case, out of what a cmocka program prints."""
    declared = sum(int(n) for n in re.findall(r"^\[=+\] Running (\d+) test", text, re.M))
    passed = len(re.findall(r"^\[ +OK \] ", text, re.M))
    failed = max(declared - passed, 0)
    if failed == 0 and (status != 0 or declared == 0):
        failed = 1
    return passed, failed


def check_cmocka(tally, folder, build, env=None, jobs=1):
    """Every tests/FOLDER/**/*_test.c is a program below the build folder; cases are counted, as many programs
    run at once as jobs says. Returns how many programs there are."""
    sources = sorted(glob.glob(f"{ROOT}/tests/{folder}/**/*_test.c", recursive=True))
    names = [os.path.relpath(source, ROOT)[:-len(".c")] for source in sources]

    def outcome(name):
        program = os.path.join(build, name)
        if not os.path.exists(os.path.join(ROOT, program)):
            return None, f"{program} was not built", 0
        return run([program], UNIT_TIMEOUT, {"BUILD": build, **(env or {})})

    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        for name, (status, text, seconds) in zip(names, pool.map(outcome, names)):
            passed, failed = count_cmocka(status, text)
            tally.add(name[len("tests/"):], passed, failed, seconds,
                      text if status == 0 else f"{text}\nexit status {status}")
    finally:  # without waiting: who interrupts ends the programs afterwards
        pool.shutdown(wait=False, cancel_futures=True)
    return len(sources)


def count_gdb(status, text):
    """(passed, failed, [(name of what was not run, why)]), out of the lines that tests/gdb/run ends with."""
    passed, failed = map(int, (re.findall(r"^(\d+) passed, (\d+) failed$", text, re.M) or [(0, 0)])[-1])
    if failed == 0 and (status != 0 or passed == 0):
        failed = 1
    return passed, failed, re.findall(r"^not run: (\w+): (.*)$", text, re.M)


def check_gdb(tally):
    """What of scripts/gdb knows nothing of gdb."""
    status, text, seconds = run(["/usr/bin/python3", "-B", "tests/gdb/run"], UNIT_TIMEOUT)
    passed, failed, not_run = count_gdb(status, text)
    tally.add("gdb/pure", passed, failed, seconds, text)
    for name, reason in not_run:
        tally.add_not_run(f"gdb/{name}", reason)


def second_major():
    """The first that is not the host's."""
    here = installation.installed()
    return next(major for major in SECOND_MAJORS if not here or major != here.major)


def fetch_major(tally, major):
    """Debian's packages of a major into the build folder; False if they cannot be had."""
    began = time.monotonic()
    os.environ["WALSCOPE_MATRIX_CACHE"] = os.path.join(ROOT, "build", "majors")
    problem = ""
    try:
        installation.packaged(major)
    except processes.Failure as failure:
        problem = str(failure)
    tally.add(f"PostgreSQL {major} as Debian packages it", int(not problem), int(bool(problem)),
              time.monotonic() - began, problem)
    return not problem


def check_second_major(tally, build):
    major = second_major()
    if fetch_major(tally, major):
        check_live(tally, build, f"live tests with PostgreSQL {major}", SECOND_TESTS,
                   {"WALSCOPE_TEST_MAJOR": str(major)})


def check_live(tally, build, label="live tests", names=(), env=None):
    """tests/e2e/run prints its own lines and leaves its results in a file."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="walscope-results-") as folder:
        results = os.path.join(folder, "results")
        child = subprocess.Popen(
            ["/usr/bin/python3", "-B", "tests/e2e/run", "--results", results, *names], cwd=ROOT,
            stdin=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "WALSCOPE": os.path.join(ROOT, build, "walscope"), **(env or {})})
        note = ""
        try:
            status = child.wait(LIVE_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            status, note = None, f"ended after {LIVE_TIMEOUT} s"
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
        seen = []
        if os.path.exists(results):
            with open(results, encoding="utf-8") as file:
                seen = [json.loads(line) for line in file]
    passed = [entry["name"] for entry in seen if entry["passed"]]
    failed = [entry["name"] for entry in seen if not entry["passed"] and not entry["not_run"]]
    extra = int(not failed and (status != 0 or not passed))
    tally.add(label, len(passed), len(failed) + extra, time.monotonic() - began, "\n".join([*failed, note]))
    for entry in seen:
        if entry["not_run"]:
            tally.add_not_run(entry["name"], entry["not_run"])


# -- what tests leave behind


class Traces:
    """The state of the machine that must be the same before and after."""

    def __init__(self):
        self.programs, self.links = kernel_objects()
        self.pins = pinned_objects()
        with open("/proc/self/mounts", encoding="utf-8") as file:
            self.mounts = sorted(file)
        self.files = set()
        for folder, folders, names in os.walk(ROOT):
            if folder == ROOT:
                folders[:] = [name for name in folders if name not in ("build", ".git")]
            folders[:] = [name for name in folders if name != "__pycache__"]
            self.files.update(os.path.join(folder, name) for name in names)


def check_traces(tally, before, temporary):
    """Processes, probes, mounts and files. What other programs of this machine hold is not ours."""
    began = time.monotonic()
    problems = {"process": [], "probe": [], "mount": [], "file": []}
    for pid in processes.descendants(os.getpid()):
        problems["process"].append(f"{pid} {processes.command_line(pid)}")
        os.kill(pid, signal.SIGKILL)

    def new_objects():
        after = Traces()
        return [f"{kind} {text}" for kind, old, new in (("program", before.programs, after.programs),
                                                        ("link", before.links, after.links))
                for key, text in new.items() if key not in old], after

    left, after = new_objects()
    deadline = time.monotonic() + 10
    while left and time.monotonic() < deadline:
        time.sleep(0.2)
        left, after = new_objects()
    problems["probe"] += left + sorted(after.pins - before.pins)
    problems["mount"] += [line for line in after.mounts if line not in before.mounts]
    problems["file"] += sorted(after.files - before.files)
    for name in os.listdir(temporary):
        problems["file"].append(os.path.join(temporary, name))
    seconds = time.monotonic() - began
    for kind, found in problems.items():
        tally.add(f"no {kind} left behind", int(not found), int(bool(found)), seconds, "\n".join(found))
        seconds = 0


def main():
    parser = argparse.ArgumentParser(prog="scripts/check", description="Builds and tests walscope.")
    parser.add_argument("--no-live", action="store_true", help="count the live tests as failed, but do "
                        "not run them (for machines where BPF is not allowed)")
    options = parser.parse_args()

    os.chdir(ROOT)
    os.umask(0o022)  # servers run as another user
    processes.raise_on_signals()
    processes.become_subreaper()
    temporary = tempfile.mkdtemp(prefix="walscope-check-")
    os.chmod(temporary, 0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = temporary
    os.environ["XDG_CACHE_HOME"] = os.path.join(temporary, "cache")
    os.mkdir(os.environ["XDG_CACHE_HOME"])
    os.environ.pop("CMOCKA_MESSAGE_OUTPUT", None)
    tally = Tally()
    try:
        before = Traces()
        tally.heading("source")
        check_format(tally)
        check_scripts(tally)
        tally.heading("build")
        check_build(tally, "gcc")
        check_build(tally, "clang", "BUILD=build/clang", "CC=clang")
        check_build(tally, "gcc, ASan and UBSan", "BUILD=build/san", "SAN=1")
        tally.heading("unit tests")
        if check_cmocka(tally, "unit", "build", jobs=processors()) == 0:
            tally.add("unit tests", 0, 1, 0, "there are none")
        check_gdb(tally)
        tally.heading("unit tests under ASan and UBSan")
        check_cmocka(tally, "unit", "build/san", {"ASAN_OPTIONS": "detect_leaks=1"}, jobs=processors())
        tally.heading("live tests")
        if options.no_live:
            for label in ("live tests", f"live tests with PostgreSQL {second_major()}"):
                tally.add(label, 0, 1, 0, "not run, as asked")
        else:
            check_cmocka(tally, "e2e", "build")
            check_live(tally, "build")
            tally.heading(f"live tests with PostgreSQL {second_major()}")
            check_second_major(tally, "build")
        shutil.rmtree(os.path.join(temporary, "cache"), ignore_errors=True)
        tally.heading("what is left")
        check_traces(tally, before, temporary)
    except processes.Interrupted as interrupt:
        print(f"interrupted by {interrupt}", file=sys.stderr)
        tally.finish()
        return interrupt.status
    finally:
        for pid in processes.descendants(os.getpid()):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(temporary, ignore_errors=True)
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
