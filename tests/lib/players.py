# SPDX-License-Identifier: BSD-2-Clause
"""Clients of the laboratory that are not as they should be: they read slowly, answer nothing, or stop in the
midst of a message. Each is a process of its own: what one does must not wait for this one's other work.

    players.py slow|silent|mute|half|stuck  CONNECTION  (as JSON, see Player)
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import protocol  # noqa: E402
import replication_client  # noqa: E402


def _reply(client, write, flush=None, apply=None):
    flush = write if flush is None else flush
    apply = flush if apply is None else apply
    micros = int((time.time() - 946684800) * 1e6)
    client.send("d", b"r" + struct.pack("!QQQQB", write, flush, apply, micros, 0))


def _read(client, until, each=None, rate=None):
    """Takes what comes until that time, at so many bytes a second; `each` is called now and then."""
    begun, taken = time.monotonic(), client.bytes
    called = 0.0
    while time.monotonic() < until:
        now = time.monotonic()
        if each and now - called >= 0.5:
            each()
            called = now
        if rate and client.bytes - taken > rate * (now - begun):
            time.sleep(0.01)
            continue
        if client.readable(0.05):
            client.take()
            if client.ended:
                return


class Client(replication_client.Client):
    """Knows how far a stream has come, logical ones too, and when the server has had enough."""

    ended = False

    def take(self):
        kind, body = self.receive()
        if kind in "cC":
            self.ended = True
        if kind != "d":
            return kind
        if body[:1] == b"w":
            start = struct.unpack("!Q", body[1:9])[0]
            self.position = max(self.position, start + (0 if self.logical else len(body) - 25))
        elif body[:1] == b"k":
            self.position = max(self.position, struct.unpack("!Q", body[1:9])[0])
        return chr(body[0])


FOREVER = 3600


def slow(client, options):
    """Reads so many bytes a second, and says what it has."""
    _read(client, time.monotonic() + FOREVER, lambda: _reply(client, client.position), options["rate"])


def stuck(client, _options):
    """Reads nothing."""
    time.sleep(FOREVER)


def silent(client, options):
    """A good client for some seconds; from then on it reads, and says nothing any more."""
    _read(client, time.monotonic() + options["good_s"], lambda: _reply(client, client.position))
    print("silent", flush=True)
    _read(client, time.monotonic() + FOREVER)


def greedy(client, options):
    """Says what it has got, and never that it is safe beyond the position it began at."""
    begun = max(options["flush"], 1)
    _read(client, time.monotonic() + FOREVER, lambda: _reply(client, client.position, begun))


def half(client, options):
    """A good client for some seconds, then it sends the head of a message and not its rest."""
    _read(client, time.monotonic() + options["good_s"], lambda: _reply(client, client.position))
    client.socket.sendall(b"d" + struct.pack("!I", 4 + 34) + b"r" + b"\0" * 7)
    print("half", flush=True)
    _read(client, time.monotonic() + FOREVER)


def copydone(client, _options):
    """Takes all up to the server's CopyDone and does not answer that."""
    _read(client, time.monotonic() + FOREVER, lambda: _reply(client, client.position))
    print("copydone", flush=True)
    time.sleep(FOREVER)


PLAYS = {function.__name__: function for function in (slow, stuck, silent, greedy, half, copydone)}


def _connect(options):
    Client.logical = options["logical"]
    client = Client(options["host"], options["port"], timeout=FOREVER)
    if options.get("buffer"):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["buffer"])
    if options["tls"]:
        client.start_tls()
    return client.log_in(options["password"], **options["words"])


def _play(name, options):
    end = time.monotonic() + FOREVER
    for _ in range(options.get("times", 1)):
        with contextlib.suppress(protocol.ServerError, EOFError, ConnectionError):
            with _connect(options) as client:
                print(client.pid, flush=True)
                for command in options["commands"]:
                    client.query(command)
                client.start(options["start"])
                PLAYS[name](client, options)
        if time.monotonic() > end:
            return
        time.sleep(options.get("pause", 0.3))
    print("done", flush=True)
    select.select([], [], [], FOREVER)


class Player:
    """A client that plays one of these; `start` is its START_REPLICATION."""

    def __init__(self, server, play, start, application, *, host="127.0.0.1", port=None, tls=False, enter=(),
                 logical=False, session="", commands=(), **more):
        words = {"user": "postgres", "replication": "database" if logical else "true",
                 "application_name": application, "options": session}
        if logical:
            words["database"] = "postgres"
        options = {"host": host, "port": port or server.port, "tls": tls, "password": server.password,
                   "logical": logical, "words": {key: value for key, value in words.items() if value},
                   "commands": commands, "start": start, **more}
        self.application = application
        self.process = server.space.start(
            [*enter, sys.executable, "-B", os.path.abspath(__file__), play], name=application,
            env={"PLAYER": json.dumps(options)}, stop=signal.SIGKILL)

    def said(self, word):
        return word in self.process.out.split()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.process.stop(signal.SIGKILL)


if __name__ == "__main__":
    _play(sys.argv[1], json.loads(os.environ["PLAYER"]))
