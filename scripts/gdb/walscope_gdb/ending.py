# SPDX-License-Identifier: BSD-2-Clause
"""How a trace ends at SIGINT, SIGTERM and SIGHUP: the process stops, and only then gdb does what else is to be done.

gdb's own handling of SIGTERM and SIGHUP detaches while the process runs, and leaves the debug registers armed: the process dies
at the next hit (seen with gdb 13.1). Its Ctrl-C is lost while it runs Python, and it hands SIGINT on to the process, where it
cancels the command if it comes late. So SIGINT is blocked here and taken by a thread; of the others, which gdb's worker
threads do not block, Python has the handlers, and notes their number in a pipe to the thread.

That stops the process by SIGCHLD, which gdb is told to stop at and to keep to itself. Backends do not block it, and leave it at its
default (PostgresMain in postgres.c), which is to ignore it: one that arrives after all does nothing.
"""

import os
import select
import signal
import threading

HANDLED = (signal.SIGTERM, signal.SIGHUP)
AGAIN = 0.05  # s until the process is asked to stop once more


class Ending:
    """A context; `asked` is the signal that came, None before."""

    def __init__(self, pid):
        self.pid = pid
        self.asked = None
        self._running = False
        self._lock = threading.Lock()
        self._over = threading.Event()

    def running(self, runs):
        """The process runs from now on, or stands: it is asked to stop only while it runs."""
        with self._lock:
            self._running = runs

    def _came(self):
        """The signal that has come, None after a while."""
        if select.select([self._reader], [], [], AGAIN)[0]:
            number = os.read(self._reader, 1)[0]
            return number if number in HANDLED else None
        taken = signal.sigtimedwait({signal.SIGINT}, 0)
        return taken.si_signo if taken else None

    def _wait(self):
        while not self._over.is_set():
            self.asked = self._came() or self.asked
            with self._lock:
                if self.asked and self._running:
                    os.kill(self.pid, signal.SIGCHLD)

    def __enter__(self):
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the thread inherits it
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in HANDLED}
        return self

    def __exit__(self, *_exc):
        self.running(False)
        self._over.set()
        signal.set_wakeup_fd(self._wakeup)
        self._thread.join()
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        os.close(self._reader)
        os.close(self._writer)
