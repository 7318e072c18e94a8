#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Replication clients that connect, run commands and leave, as fast as they can, for some seconds.

Speaks the protocol itself (no password: the server has to trust), since a program per connection would be
most of the load. Writes one JSON line for each connection that got through: the walsender's pid (from
BackendKeyData) and, for each command, its text and the SQLSTATE it failed with, null if it did not.

  churn.py PORT WORKERS SECONDS PREFIX [--hold S]
"""

import argparse
import json
import os
import random
import signal
import socket
import struct
import sys
import time

GOOD = ("IDENTIFY_SYSTEM", "SHOW wal_segment_size", "SHOW server_version", "TIMELINE_HISTORY 1")
# With what they fail on a new cluster; the text has no meaning beyond that.
BAD = (("TIMELINE_HISTORY 9", "58P01"), ("DROP_REPLICATION_SLOT nosuch", "42704"),
       ("select 1", "0A000"), ("IDENTIFY SYSTEMS", "42601"))


class Connection:
    def __init__(self, port, application):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        words = ["user", "postgres", "replication", "true", "application_name", application]
        body = struct.pack("!i", 196608) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.pid = None
        self.sqlstate = self.until_ready()

    def message(self):
        while True:
            if len(self.buffer) >= 5:
                size = 1 + struct.unpack_from("!i", self.buffer, 1)[0]
                if len(self.buffer) >= size:
                    found = self.buffer[:1], self.buffer[5:size]
                    self.buffer = self.buffer[size:]
                    return found
            got = self.socket.recv(65536)
            if not got:
                raise EOFError
            self.buffer += got

    def until_ready(self):
        """Reads up to ReadyForQuery; returns the SQLSTATE of an error, None if there was none."""
        sqlstate = None
        while True:
            kind, body = self.message()
            if kind == b"Z":
                return sqlstate
            if kind == b"K":
                self.pid = struct.unpack_from("!i", body)[0]
            elif kind == b"E":
                sqlstate = next(field[1:].decode() for field in body.split(b"\0") if field[:1] == b"C")

    def run(self, command):
        text = command.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(text) + 4) + text)
        return self.until_ready()

    def leave(self):
        self.socket.sendall(b"X" + struct.pack("!i", 4))
        self.socket.close()


def work(options, number, out):
    chance = random.Random(number)
    end = time.monotonic() + options.seconds
    count = 0
    while time.monotonic() < end:
        application = f"{options.prefix}{number}_{count}"
        count += 1
        connection = Connection(options.port, application)
        commands = [chance.choice(GOOD), chance.choice(BAD)[0], chance.choice(GOOD)]
        if count % 2:
            commands[1] = chance.choice(GOOD)
        done = []
        begin = time.monotonic()
        while not done or time.monotonic() < begin + options.hold:
            done += [(command, connection.run(command)) for command in commands]
        connection.leave()
        out.write(json.dumps({"pid": connection.pid, "application": application, "commands": done}) + "\n")
    out.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("workers", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("prefix")
    parser.add_argument("--hold", type=float, default=0.0, help="repeat the commands for so long before leaving")
    options = parser.parse_args()
    children = []
    for number in range(options.workers):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                # A line is short enough for one write: lines of several processes stay whole.
                with open(f"/proc/self/fd/{sys.stdout.fileno()}", "a", buffering=1, encoding="ascii") as out:
                    work(options, number, out)
            except BaseException as error:
                print(f"worker {number}: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        children.append(pid)
    failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
