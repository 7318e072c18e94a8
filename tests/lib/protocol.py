# SPDX-License-Identifier: BSD-2-Clause
"""A client that speaks PostgreSQL's protocol byte by byte, for tests that decide when each message goes.

It does what the test says and no more: nothing is sent, and nothing is read, on its own.
"""

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct

from processes import Failure

PROTOCOL_3 = 196608
SSL_REQUEST = 80877103

# Fields of ErrorResponse and NoticeResponse that tests look at.
ERROR_FIELDS = {"S": "severity", "V": "severity_c", "C": "sqlstate", "M": "message", "F": "file", "L": "line",
                "R": "routine"}


class ServerError(Exception):
    """An ErrorResponse; its fields by name."""

    def __init__(self, fields):
        self.fields = fields
        super().__init__(f"{fields.get('severity')}: {fields.get('sqlstate')}: {fields.get('message')}")

    @property
    def location(self):
        """As psql's VERBOSITY verbose prints it."""
        return "{routine}, {file}:{line}".format(**self.fields)


def error_of(body):
    fields = {}
    for part in body.split(b"\0"):
        if part:
            key = ERROR_FIELDS.get(chr(part[0]))
            if key:
                fields[key] = part[1:].decode("utf-8", "replace")
    return ServerError(fields)


class Connection:
    """One connection. `host` may be a folder: then it goes through the Unix socket in there."""

    def __init__(self, host, port, timeout=20.0):
        if host.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            address = f"{host}/.s.PGSQL.{port}"
        else:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            address = (host, port)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self.pid = None  # of the backend, known from its BackendKeyData on
        self._scram = None

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        """Without a Terminate message: the server sees an end of file."""
        self.socket.close()

    # -- bytes

    def send(self, kind, body=b""):
        self.socket.sendall(kind.encode("ascii") + struct.pack("!I", len(body) + 4) + body)

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise EOFError("the server closed the connection")
            data += piece
        return data

    def receive(self):
        """The next message: (type, body). An ErrorResponse is raised."""
        head = self._exactly(5)
        body = self._exactly(struct.unpack("!I", head[1:])[0] - 4)
        kind = chr(head[0])
        if kind == "E":
            raise error_of(body)
        if kind == "K":
            self.pid = struct.unpack("!I", body[:4])[0]
        return kind, body

    def receive_until(self, wanted):
        """Messages up to the first of this type: the last one's body."""
        while True:
            kind, body = self.receive()
            if kind == wanted:
                return body

    # -- the start

    def start_tls(self):
        """SSLRequest, and the handshake. The server's certificate is not looked at."""
        self.socket.sendall(struct.pack("!II", 8, SSL_REQUEST))
        answer = self._exactly(1)
        if answer != b"S":
            raise Failure(f"the server answered {answer!r} to an SSLRequest")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def startup_packet(self, parameters, version=PROTOCOL_3, end=b"\0"):
        """A start-up packet, its parameters in this order; it may be none that the server takes."""
        body = struct.pack("!I", version)
        for key, value in parameters.items():
            body += key.encode() + b"\0" + str(value).encode() + b"\0"
        body += end
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)

    def startup(self, **parameters):
        self.startup_packet(parameters)

    def wait_password_request(self):
        """Reads the request for a password (SCRAM-SHA-256)."""
        kind, body = self.receive()
        code = struct.unpack("!I", body[:4])[0]
        if kind != "R" or code != 10 or b"SCRAM-SHA-256\0" not in body:
            raise Failure(f"expected a request for SCRAM-SHA-256, seen {kind} {body!r}")

    def answer_password(self, password):
        """Answers it, up to AuthenticationOk."""
        nonce = base64.b64encode(secrets.token_bytes(18)).decode("ascii")
        first = f"n=,r={nonce}"
        data = f"n,,{first}".encode("ascii")
        self.send("p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(data)) + data)
        _, body = self.receive()
        challenge = body[4:].decode("ascii")
        values = dict(part.split("=", 1) for part in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(values["s"]),
                                     int(values["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={values['r']}"
        signature = hmac.digest(hashlib.sha256(key).digest(), f"{first},{challenge},{final}".encode("ascii"),
                                "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode("ascii")
        self.send("p", f"{final},p={proof}".encode("ascii"))
        self.receive()  # AuthenticationSASLFinal
        kind, body = self.receive()
        if kind != "R" or struct.unpack("!I", body[:4])[0] != 0:
            raise Failure(f"expected AuthenticationOk, seen {kind} {body!r}")

    def wait_ready(self):
        """Reads up to ReadyForQuery."""
        self.receive_until("Z")

    def log_in(self, password, **parameters):
        self.startup(**parameters)
        self.wait_password_request()
        self.answer_password(password)
        self.wait_ready()
        return self

    # -- messages

    def query(self, text):
        """A simple query, up to ReadyForQuery."""
        self.send("Q", text.encode() + b"\0")
        error = None
        while True:
            try:
                kind, _ = self.receive()
            except ServerError as seen:
                error = seen
                continue
            if kind == "Z":
                break
        if error:
            raise error

    def terminate(self):
        self.send("X")
        self.close()


def connect(server, replication="true", application=None, **parameters):
    """A replication connection to a test's server, ready for commands."""
    connection = Connection("127.0.0.1", server.port)
    try:
        words = {"user": "postgres", "replication": replication, "application_name": application,
                 **parameters}
        return connection.log_in(server.password,
                                 **{key: value for key, value in words.items() if value is not None})
    except BaseException:
        connection.close()
        raise
