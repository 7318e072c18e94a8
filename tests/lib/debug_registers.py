# SPDX-License-Identifier: BSD-2-Clause
"""Whether debug registers stop a process on this machine, by a program that has nothing of walscope's. Those of some virtual
machines can be set, and nothing comes of it; what needs more is not run there, and that is said."""

import functools
import os
import platform
import subprocess
import tempfile

PROGRAM = r"""
#include <err.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int calls;
__attribute__((noinline)) static void called(void) { calls++; }
static void set(pid_t pid, int number, long value)
{
	if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[number]), value))
		err(2, "debug register %d cannot be set", number);
}
int main(void)
{
	int status;
	pid_t pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		called();
		_exit(calls);
	}
	waitpid(pid, &status, 0);
	set(pid, 0, (long)called);
	set(pid, 7, 1);
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, &status, 0);
	if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP)
		puts("stopped");
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		puts("came by");
	else
		errx(2, "the child's status is %#x", status);
	kill(pid, SIGKILL);
	return 0;
}
"""


ELSEWHERE, NONE_STOPS, SOME_STOP = REASONS = (
    "the tracer is for x86-64", "this machine's debug registers stop no process",
    "this machine's debug registers do stop a process")


@functools.lru_cache(None)
def stop_a_process():
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "debug_registers")
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-x", "c", "-", "-o", program], input=PROGRAM, text=True, check=True)
        out = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {"stopped\n": True, "came by\n": False}[out]


def need(test, that_stop=True):
    """Only where they do, or only where they do not, the test goes on."""
    if platform.machine() != "x86_64":
        test.skipTest(ELSEWHERE)
    if stop_a_process() != that_stop:
        test.skipTest(NONE_STOPS if that_stop else SOME_STOP)
