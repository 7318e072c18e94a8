# SPDX-License-Identifier: BSD-2-Clause
"""Processes and folders of a test or a demonstration that must not outlive it.

A `Space` is a temporary folder together with everything started in it. Leaving it, also by a failure or a
signal, ends each process by its own pid, last one first, and removes the folder. Should this program be
killed the hard way, the kernel ends the processes it started (PR_SET_PDEATHSIG).
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Failure(Exception):
    """Something did not happen as it had to; the text says what was expected and what was seen."""


class Interrupted(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP arrived. (Of exceptions, unittest lets only KeyboardInterrupt through.)"""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def raise_on_signals():
    """Turns the signals that end a program into an exception, so that everything is cleaned up."""

    def handler(number, _frame):
        raise Interrupted(number)

    for number in _ENDING:
        signal.signal(number, handler)


def become_subreaper():
    """From now on orphans among the descendants become children of this process."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def wait_for(what, probe, timeout=60.0, every=0.02):
    """Calls probe() until it returns something true, and returns that. `what` may be a function."""
    deadline = time.monotonic() + timeout
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise Failure(f"waited {timeout:g} s in vain for {what() if callable(what) else what}")
        time.sleep(every)


def stat_fields(pid):
    """Fields 3 and up of /proc/PID/stat, or None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_ticks(pid):
    """Field 22 of /proc/PID/stat."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else None


def alive(pid, ticks):
    """Is this very process there, and no zombie?"""
    fields = stat_fields(pid)
    return fields is not None and fields[0] != "Z" and int(fields[19]) == ticks


def parents():
    """Parent pid by pid, of all processes; zombies left out."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(name)
            if fields and fields[0] != "Z":
                found[int(name)] = int(fields[1])
    return found


def descendants(root):
    """Pids of all living descendants of a process."""
    tree = parents()
    found, grew = set(), True
    while grew:
        grew = False
        for pid, parent in tree.items():
            if pid not in found and (parent == root or parent in found):
                found.add(pid)
                grew = True
    return sorted(found)


def command_line(pid):
    """Arguments of a process joined by blanks, its name where it has none."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            text = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        if text:
            return text
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"[{file.read().strip()}]"
    return "(gone)"


def _mount(source, target, flags):
    if _libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None) != 0:
        raise OSError(ctypes.get_errno(), f"mount on {target}")


def enter_root(root, shared):
    """Makes a folder this process's root, in a mount namespace of its own, which ends with it and its
    children. The `shared` folders and files of the host appear in it under their own names."""
    if _libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("none", "/", _MS_REC | _MS_PRIVATE)
    for path in shared:
        _mount(path, root + path, _MS_BIND | _MS_REC)
    os.chroot(root)


class Process:
    """One started program. Its output goes to files; `out` and `err` read what has come so far. `root`: the
    arguments of enter_root(), for a program in a root of its own."""

    def __init__(self, argv, folder, name, *, user=None, env=None, stdin=None, cwd=None,
                 stop=signal.SIGTERM, grace=10.0, root=None):
        self.argv = [str(word) for word in argv]
        self.name = name
        self.stop_signal = stop
        self.grace = grace
        self.out_path = os.path.join(folder, name + ".out")
        self.err_path = os.path.join(folder, name + ".err")
        as_user = {} if user is None or root else {
            "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        environment.update(LC_ALL="C.UTF-8", PGTZ="UTC", **(env or {}))
        if user is not None:
            environment["HOME"] = folder

        def in_root():
            enter_root(*root)
            os.chdir(cwd or folder)
            if user is not None:
                os.setgroups([])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)

        def in_child():
            if root:
                in_root()
            _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL if stop is None else stop), 0, 0, 0)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)

        self.started = time.monotonic()
        self.started_wall = time.time()
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(
                self.argv, stdin=stdin or subprocess.DEVNULL, stdout=out, stderr=err,
                cwd=cwd or folder, env=environment, start_new_session=True, preexec_fn=in_child,
                **as_user)
        self.pid = self.popen.pid

    @property
    def out(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def err(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running:
            os.kill(self.pid, number)

    def wait(self, timeout=60.0):
        """Waits for the end and returns the exit status, negative for a signal."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.describe()} did not end within {timeout:g} s") from None

    def expect(self, status=0, timeout=60.0):
        """Waits for the end; anything but this exit status is a failure."""
        seen = self.wait(timeout)
        if seen != status:
            raise Failure(f"{self.describe()}: exit status {seen}, expected {status}")
        return self

    def stop(self, number=None, grace=None):
        """Ends it by signal, and by SIGKILL if that takes too long, and waits until what it started is
        gone too. Returns the exit status."""
        if not self.running:
            return self.popen.wait()
        grace = self.grace if grace is None else grace
        children = [(pid, start_ticks(pid)) for pid in descendants(self.pid)]
        os.kill(self.pid, number or self.stop_signal or signal.SIGKILL)
        os.kill(self.pid, signal.SIGCONT)
        try:
            status = self.popen.wait(grace)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            status = self.popen.wait()

        def left():
            return [pid for pid, ticks in children if alive(pid, ticks)]

        deadline = time.monotonic() + grace
        while left() and time.monotonic() < deadline:
            time.sleep(0.01)
        for pid in left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return status

    def close(self):
        self.stop()
        if self.popen.stdin and not self.popen.stdin.closed:
            with contextlib.suppress(OSError):
                self.popen.stdin.close()

    def describe(self):
        last = (self.err.strip() or self.out.strip()).splitlines()[-5:]
        text = f"{self.name} ({' '.join(self.argv)})"
        return text + "".join(f"\n    {line}" for line in last)


class Space:
    """A temporary folder and the processes started in it."""

    def __init__(self, prefix="walscope-", keep=False):
        self.dir = tempfile.mkdtemp(prefix=prefix)
        os.chmod(self.dir, 0o711)
        self.keep = keep
        self._processes = []
        self._numbers = {}

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def folder(self, name, user=None, mode=0o755):
        path = os.path.join(self.dir, name)
        os.mkdir(path, mode)
        if user is not None and os.geteuid() == 0:
            os.chown(path, user.pw_uid, user.pw_gid)
        return path

    def file(self, name):
        return os.path.join(self.dir, name)

    def start(self, argv, name=None, **options):
        """Starts a program; it is ended with the space at the latest."""
        name = name or os.path.basename(str(argv[0]))
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        if number > 1:
            name = f"{name}.{number}"
        # No signal may come between the start and the note that there is something to end.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            process = Process(argv, self.dir, name, **options)
            self._processes.append(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process

    def run(self, argv, status=0, timeout=60.0, **options):
        """Starts a program and waits for its end, which has to have this status."""
        process = self.start(argv, **options)
        try:
            return process.expect(status, timeout)
        finally:
            process.close()
            self._processes.remove(process)

    def close(self):
        previous = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
        try:
            while self._processes:
                self._processes.pop().close()
            if not self.keep:
                shutil.rmtree(self.dir, ignore_errors=True)
                if os.path.exists(self.dir):
                    print(f"cannot remove {self.dir}", file=sys.stderr)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
