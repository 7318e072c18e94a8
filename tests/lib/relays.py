# SPDX-License-Identifier: BSD-2-Clause
"""A relay between a client and its server that lets only so much pass."""

import contextlib
import select
import socket
import threading
import time


class Throttle:
    """Passes one connection on; of what the server sends, `rate` bytes a second. A thread: it sleeps most of
    the time."""

    BUFFER = 65536

    def __init__(self, port, rate):
        self._target, self._rate = port, rate
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def open(self):
        """From now on all passes."""
        self._rate = None

    def _accept(self):
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                return self._listener.accept()[0]
        return None

    def _run(self):
        client = self._accept()
        if client is None:
            return
        server = socket.socket()
        for end in (client, server):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.BUFFER)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.BUFFER)
        server.connect(("127.0.0.1", self._target))
        with client, server, contextlib.suppress(OSError):
            self._pump(client, server)

    def _pump(self, client, server):
        begun, passed = time.monotonic(), 0
        while not self._stop.is_set():
            late = self._rate and passed > self._rate * (time.monotonic() - begun)
            if late:
                time.sleep(0.005)
            for source in select.select([client] if late else [client, server], [], [], 0 if late else 0.1)[0]:
                data = source.recv(16384)
                if not data:
                    return
                if source is server:
                    passed += len(data)
                (server if source is client else client).sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._stop.set()
        self._thread.join()
        self._listener.close()
