# SPDX-License-Identifier: BSD-2-Clause
"""Choosing the pid of a server process.

/proc/sys/kernel/ns_last_pid is what the kernel's next pid follows. A client first connects to a relay
here; when all its own processes are there, the pid is set and the relay connects to the server, which forks.
"""

import os
import select
import socket
import threading

from processes import wait_for


class PidRelay:
    """Passes one connection on to a server's port; the backend is to have this pid."""

    def __init__(self, port, pid):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._target, self._pid = port, pid
        self._stop = threading.Event()
        # Before the pid is chosen: a thread takes one, too.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        self._listener.settimeout(0.1)
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
                break
            except TimeoutError:
                continue
        else:
            return
        server = socket.socket()
        last = os.open("/proc/sys/kernel/ns_last_pid", os.O_WRONLY)
        os.write(last, str(self._pid - 1).encode())
        server.connect(("127.0.0.1", self._target))
        os.close(last)
        ends = {client: server, server: client}
        with client, server:
            while not self._stop.is_set():
                for end in select.select(list(ends), [], [], 0.1)[0]:
                    piece = end.recv(65536)
                    if not piece:
                        return
                    ends[end].sendall(piece)

    def close(self):
        self._stop.set()
        self._thread.join()
        self._listener.close()


def connect_with_pid(server, pid, connect, found, timeout=60):
    """Calls connect(port), which starts a client on this port and waits for its end, until found() says
    that the server had a backend of this pid. Others on this host may be faster: then once more."""

    def once():
        relay = PidRelay(server.port, pid)
        try:
            connect(relay.port)
        finally:
            relay.close()
        return found()

    return wait_for(f"a backend with pid {pid}", once, timeout)
