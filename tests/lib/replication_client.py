# SPDX-License-Identifier: BSD-2-Clause
"""What a replication client receives, counted: messages, and bytes of the protocol; and a relay that counts
bytes of TCP whatever they are.
"""

import contextlib
import os
import select
import socket
import struct
import threading
import time

import protocol


class Client(protocol.Connection):
    """A replication connection that counts what comes in."""

    def __init__(self, host, port, timeout=20.0):
        self.bytes = 0  # of messages, below TLS
        self.data_messages = 0  # XLogData
        self.copied = 0  # bytes of CopyData
        self.position = 0  # up to which a physical stream has come
        super().__init__(host, port, timeout)

    def _exactly(self, count):
        data = super()._exactly(count)
        self.bytes += len(data)
        return data

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def start(self, command):
        """START_REPLICATION, up to CopyBothResponse."""
        self.send("Q", command.encode() + b"\0")
        self.receive_until("W")
        return self

    def begin(self, command):
        """A command whose answer is read later."""
        self.send("Q", command.encode() + b"\0")

    def take(self):
        """One message of a stream; its type, of CopyData the inner one."""
        kind, body = self.receive()
        if kind != "d":
            return kind
        self.copied += len(body)
        inner = chr(body[0])
        if inner == "w":
            self.data_messages += 1
            self.position = struct.unpack("!Q", body[1:9])[0] + len(body) - 25
        return inner

    def readable(self, seconds=0.0):
        pending = getattr(self.socket, "pending", lambda: 0)
        return bool(pending()) or bool(select.select([self.socket], [], [], seconds)[0])

    def take_until_quiet(self, quiet=0.4):
        """All there is, until nothing has come for a while."""
        while self.readable(quiet):
            self.take()

    def take_until(self, position):
        """All of a physical stream up to there."""
        while self.position < position:
            self.take()

    def reply(self, lsn):
        """A standby status update: all of it written, flushed and applied."""
        micros = int((time.time() - 946684800) * 1e6)
        self.send("d", b"r" + struct.pack("!QQQQB", lsn, lsn, lsn, micros, 0))

    def leave(self):
        """Terminate, and whatever comes before the server closes the connection."""
        self.send("X")
        with contextlib.suppress(EOFError, ConnectionError, OSError):
            while True:
                with contextlib.suppress(protocol.ServerError):
                    self.take()
        self.close()


def connect(server, replication="true", application=None, host="127.0.0.1", port=None, tls=False,
            **parameters):
    """A replication connection to a test's server, ready for commands."""
    client = Client(host, port or server.port)
    try:
        if tls:
            client.start_tls()
        words = {"user": "postgres", "replication": replication, "application_name": application,
                 **parameters}
        return client.log_in(server.password,
                             **{key: value for key, value in words.items() if value is not None})
    except BaseException:
        client.close()
        raise


def offer_tls_and_unix(server):
    """Gives a server that is not yet started a certificate of its own and a Unix socket (in server.dir)."""
    key, certificate = os.path.join(server.dir, "key.pem"), os.path.join(server.dir, "certificate.pem")
    server.space.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                      "/CN=localhost", "-keyout", key, "-out", certificate], user=server.user,
                     name="certificate")
    os.chmod(key, 0o600)
    with open(os.path.join(server.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
        conf.write(f"ssl = on\nssl_key_file = '{key}'\nssl_cert_file = '{certificate}'\n"
                   f"unix_socket_directories = '{server.dir}'\n")
    return server


class Relay:
    """Passes one TCP connection on to a server and counts the bytes that come from there."""

    def __init__(self, port):
        self.received = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            ways = {client: server, server: client}
            while server in ways:
                for source in select.select(list(ways), [], [])[0]:
                    try:
                        data = source.recv(65536)
                    except ConnectionError:
                        data = b""
                    if source is server:
                        self.received += len(data)
                    if not data:
                        del ways[source]
                    with contextlib.suppress(OSError):
                        if data:
                            (server if source is client else client).sendall(data)
                        elif source is client:
                            server.shutdown(socket.SHUT_WR)

    def wait(self, timeout=20.0):
        """Waits until the server has closed the connection; returns the bytes it sent."""
        self._thread.join(timeout)
        self._listener.close()
        if self._thread.is_alive():
            raise protocol.Failure("the server did not close the relayed connection")
        return self.received
