# SPDX-License-Identifier: BSD-2-Clause
"""tracer.py on a program that runs into its breakpoint when it is told to, or all the time, and on a machine where it would
not stop there."""

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
import unittest

import debug_registers
from walscope_gdb import text, tracer

PROGRAM = r"""
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static volatile sig_atomic_t calls;
__attribute__((noinline)) void called(void) { calls++; }
static void call(int number) { (void)number; called(); }
int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = call};
	sigset_t usr1, none;
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	sigaction(SIGUSR1, &action, NULL);
	printf("%p %p\n", (void *)called, (void *)main);
	fflush(stdout);
	for (;;)
		if (argc > 1 && !strcmp(argv[1], "busy"))
			called();
		else if (sigsuspend(&none))
			putchar('.'), fflush(stdout);
}
"""


# tracer.py, whose proof that debug registers stop a process has another outcome.
STAND_IN = f"""
import sys
sys.path.insert(0, {os.path.dirname(os.path.dirname(tracer.__file__))!r})
from walscope_gdb import ptrace, tracer
def outcome():
    %s
ptrace.registers_stop_a_process = outcome
tracer.main()
"""


def setUpModule():
    global FOLDER, BINARY
    FOLDER = tempfile.TemporaryDirectory()
    BINARY = os.path.join(FOLDER.name, "program")
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-x", "c", "-", "-o", BINARY], input=PROGRAM, text=True, check=True)


def tearDownModule():
    FOLDER.cleanup()


def wait_for(what, probe):
    until = time.monotonic() + 20
    while not probe():
        if time.monotonic() > until:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.005)


def status(pid):
    """(state, pid of the tracer)"""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    return fields["State"][0], int(fields["TracerPid"])


class TracerTest(unittest.TestCase):
    """The program, and a tracer of it."""

    def prepare(self, *arguments, out=None, outcome=None):
        """A tracer that is about to begin and writes to `out`, else to a file for events()."""
        self.busy = "busy" in arguments
        self.program = subprocess.Popen([BINARY, *arguments], stdout=subprocess.PIPE, bufsize=0)
        self.addCleanup(self.finish, self.program)
        called, other = (int(word, 16) for word in self.program.stdout.readline().split())
        self.pid = self.program.pid
        ticks = text.start_ticks(self.pid)
        places = {name: other for name in ("PostgresMain", "InitWalSender", "exec_replication_command", "WalSndLoop",
                                           "XLogSendLogical")}
        self.out = tempfile.NamedTemporaryFile(dir=FOLDER.name)
        self.addCleanup(self.out.close)
        words = {"pid": self.pid, "ticks": ticks, "session": f"{self.pid}.{ticks}", "turns": True, "found": "idle",
                 "places": {**places, "XLogSendPhysical": called}, "returns_to": None, "variables": {}, "fields": {},
                 "file": out or self.out.name}
        what = [tracer.__file__] if outcome is None else ["-c", STAND_IN % outcome]
        self.guard = subprocess.Popen(["/usr/bin/python3", "-I", "-B", *what], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, bufsize=0)
        self.addCleanup(self.finish, self.guard)
        self.guard.stdin.write(json.dumps(words).encode() + b"\n")

    def start(self, *arguments, out=None):
        """One that has begun."""
        self.prepare(*arguments, out=out)
        self.assertEqual(self.guard.stderr.readline(), b"up\n")
        os.kill(self.pid, signal.SIGSTOP)
        wait_for("it to stand still", lambda: status(self.pid)[0] == "T")

    def go(self):
        self.guard.stdin.write(b"go\n")
        self.assertEqual(self.guard.stderr.readline(), b"ready\n")
        self.tracer = status(self.pid)[1]
        self.assertNotIn(self.tracer, (0, self.guard.pid))

    @staticmethod
    def finish(process):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    def events(self, kind):
        with open(self.out.name, encoding="utf-8") as file:
            whole = file.read().rpartition("\n")[0]  # of the last line there may be a piece
        return [entry for entry in map(json.loads, whole.splitlines()) if entry["event"] == kind]

    def call(self):
        os.kill(self.pid, signal.SIGUSR1)
        self.assert_called()

    def assert_called(self):
        self.assertTrue(select.select([self.program.stdout], [], [], 20)[0], "waited in vain for the signal to be taken")
        self.assertEqual(self.program.stdout.read(1), b".")

    def assert_unharmed(self):
        """Nobody traces it, and it runs over the place of the breakpoint."""
        wait_for("the tracer to let go", lambda: status(self.pid)[1] == 0)
        self.guard.wait(20)
        if self.busy:
            time.sleep(0.02)
        else:
            self.call()
        self.assertIsNone(self.program.poll())
        self.assertIn(status(self.pid)[0], "SR")


class Traced(TracerTest):
    def setUp(self):
        debug_registers.need(self)

    def test_what_comes_by_is_written_down_and_goes_on(self):
        self.start()
        self.go()
        for _ in range(3):
            self.call()
        self.guard.stdin.close()
        self.assert_unharmed()
        self.assertEqual(len(self.events("turn")), 3)
        self.assertEqual(len(self.events("stop")), 1)
        self.assertIn(b"3 stops in", self.guard.stderr.read())

    def test_one_that_comes_by_all_the_time_survives_each_end_but_a_kill(self):
        for end in (lambda: self.guard.stdin.close(), lambda: os.kill(self.tracer, signal.SIGTERM),
                    lambda: (self.guard.kill(), self.guard.stdin.close())):
            for _ in range(4):
                self.start("busy")
                self.go()
                wait_for("turns", lambda: self.events("turn"))
                end()
                self.assert_unharmed()
                self.program.kill()

    def test_a_tracer_that_is_killed_while_it_rests_is_mended_by_its_guard(self):
        self.start()
        self.go()
        os.kill(self.tracer, signal.SIGKILL)
        self.guard.wait(20)
        self.assert_unharmed()

    def test_one_that_is_stopped_stays_so_and_goes_on_when_it_is_told(self):
        self.start()
        self.go()
        self.call()
        os.kill(self.pid, signal.SIGSTOP)
        wait_for("the stop", lambda: status(self.pid)[0] in "tT")
        os.kill(self.pid, signal.SIGUSR1)
        time.sleep(0.2)
        self.assertEqual(len(self.events("turn")), 0)
        os.kill(self.pid, signal.SIGCONT)
        self.assert_called()
        wait_for("the turn", lambda: self.events("turn"))
        self.guard.stdin.close()
        self.assert_unharmed()

    def test_a_full_disk_ends_the_trace(self):
        self.start("busy", out="/dev/full")
        self.guard.stdin.write(b"go\n")
        said = self.guard.stderr.read()
        self.assertIn(b"ends: [Errno 28]", said)
        self.assert_unharmed()

    def test_its_end_is_written_down(self):
        self.start()
        self.go()
        os.kill(self.pid, signal.SIGTERM)
        self.guard.wait(20)
        exit_event, = self.events("exit")
        self.assertEqual((exit_event["code"], exit_event["signal"]), (None, signal.SIGTERM))
        self.assertEqual(self.program.wait(20), -signal.SIGTERM)

    def test_without_its_word_the_process_goes_on_untraced(self):
        self.start()
        self.guard.stdin.close()
        self.assert_unharmed()

    def test_a_file_that_cannot_be_made_is_refused_in_a_line(self):
        self.prepare(out=f"{FOLDER.name}/none/file")
        self.assertEqual(self.guard.stderr.read(), f"[Errno 2] No such file or directory: '{FOLDER.name}/none/file'\n".encode())
        self.assert_unharmed()


class Refused(TracerTest):
    NOTHING_STOPS = (b"this machine's debug registers can be set, but stop no process, as on some virtual machines: a trace would "
                     b"see nothing; use `walscope record`, which needs none\n")

    def refused(self, outcome=None):
        """What the tracer says; it has not touched the program, and a file that was there is as it was."""
        self.prepare(outcome=outcome)
        self.out.write(b"of an earlier trace\n")
        self.out.flush()
        said = self.guard.stderr.read()
        self.assertEqual(self.guard.wait(20), 1)
        self.assert_unharmed()
        self.out.seek(0)
        self.assertEqual(self.out.read(), b"of an earlier trace\n")
        return said

    def test_debug_registers_that_stop_nobody_are_refused_in_a_line(self):
        debug_registers.need(self, that_stop=False)
        self.assertEqual(self.refused(), self.NOTHING_STOPS)

    def test_debug_registers_that_stop_nobody_by_a_stand_in_for_the_proof_are_refused_in_a_line(self):
        self.assertEqual(self.refused("return False"), self.NOTHING_STOPS)

    def test_debug_registers_that_cannot_be_set_by_a_stand_in_for_the_proof_are_refused_in_a_line(self):
        self.assertEqual(self.refused("raise OSError(28, 'ptrace(6) of process 7: No space left on device')"),
                         b"this machine's debug registers cannot be tried: ptrace(6) of process 7: No space left on device\n")


if __name__ == "__main__":
    unittest.main()
