# SPDX-License-Identifier: BSD-2-Clause
"""Replication connections that a test can bring into any situation, and end in any way."""

import ctypes
import os
import signal
import socket
import struct
import subprocess
import threading

from processes import wait_for

_libc = ctypes.CDLL(None, use_errno=True)


class Relay:
    """Passes one connection on to a server, and can end it towards the server as a lost client would."""

    def __init__(self, server):
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._client = self._upstream = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        try:
            self._client, _ = self._listener.accept()
            self._upstream = socket.create_connection(("127.0.0.1", self._server.port))
        except OSError:
            return
        threading.Thread(target=self._pump, args=(self._upstream, self._client), daemon=True).start()
        self._pump(self._client, self._upstream)

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass

    def half_close(self):
        """FIN, then the rest: what a kernel does for a client that ends without a goodbye."""
        self._upstream.shutdown(socket.SHUT_WR)
        self._close()

    def reset(self):
        """RST, as from a host that has lost its memory of the connection. A close with SO_LINGER 0 would
        wait for the thread that reads the socket; connecting it to AF_UNSPEC resets it at once."""
        if _libc.connect(self._upstream.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16) != 0:
            raise OSError(ctypes.get_errno(), "connect(AF_UNSPEC)")
        self._close()

    def _close(self):
        for end in (self._client, self._upstream, self._listener):
            end.close()


class Talker:
    """A psql on a replication=database connection, fed line by line."""

    def __init__(self, server, application, port=None, **conninfo):
        self.server, self.application = server, application
        self.process = server.start_program(
            ["psql", "-X", "-q", "-v", "VERBOSITY=verbose", "-d",
             server.conninfo(application=application, replication="database", database="postgres",
                             **({"port": port} if port else {}), **conninfo)],
            name=application, stdin=subprocess.PIPE)
        self.say("IDENTIFY_SYSTEM;")
        wait_for(f"psql's answer to {application}", lambda: "systemid" in self.process.out)
        self.pid = walsender_of(server, application)

    def say(self, line):
        self.process.popen.stdin.write(line.encode() + b"\n")
        self.process.popen.stdin.flush()

    def until(self, condition):
        """Waits until pg_stat_activity says this of its walsender."""
        wait_for(f"{self.application}: {condition}", lambda: self.server.sql(
            f"select 1 from pg_stat_activity where pid = {self.pid} and {condition}"))
        return self

    def sleeping(self, seconds=60):
        self.say(f"select pg_sleep({seconds}), 1;")
        return self.until("wait_event = 'PgSleep'")

    def kill(self):
        self.process.stop(signal.SIGKILL)

    def quit(self):
        self.process.popen.stdin.close()
        self.process.wait()


def walsender_of(server, application):
    """The pid of the only walsender of this name."""
    pid, = wait_for(f"a walsender of {application}", lambda: [int(row[0]) for row in server.sql(
        f"select pid from pg_stat_activity where application_name = '{application}' "
        "and backend_type = 'walsender'")])
    return pid


def server_process(server, kind):
    """The pid of a server's checkpointer, walwriter, ..."""
    return int(server.value(f"select pid from pg_stat_activity where backend_type = '{kind}'"))


class Stopped:
    """SIGSTOP while a body runs; SIGCONT whatever happens."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        return self

    def go_on(self):
        os.kill(self.pid, signal.SIGCONT)

    def __exit__(self, *_exc):
        try:
            self.go_on()
        except ProcessLookupError:
            pass
