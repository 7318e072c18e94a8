# SPDX-License-Identifier: BSD-2-Clause
"""What a server or a client says never reaches a terminal as more than text, and JSON stays JSON."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import termios
import threading
import unicodedata

import walscope
from cluster import Server
from libpq import Connection
from live import LiveTest, once, recording, space, wait_disconnected
from processes import wait_for

# What terminals obey: colours, titles, cursor, erasing, C1 codes as UTF-8, bidirectional controls,
# characters without width, a line's end in the middle.
ODD = "\x1b[31m\x1b]0;t\x07\x1bc\r\b\x7f\u009b2J\u202e\u2066\u200b\u061c\ufeff\u2028\u00ad"
USER = "o'dd\\" + ODD
DATABASE = "db" + ODD
COMMANDS = (
    f"select '{ODD}\n\t\"quoted\" \\ {{}}'",
    f"select '{ODD}'::int",
    f'select "{ODD}"',
    f'DROP_REPLICATION_SLOT "{ODD}"',
    f"START_REPLICATION SLOT \"{ODD}\" LOGICAL 0/0 (a '{ODD}')",
    f"TIMELINE_HISTORY {ODD}",
    f"{ODD}",
    f"do $$begin raise exception '{ODD}'; end$$",
)
SGR = re.compile(r"\x1b\[[0-9;]*m")


@once
def odd_server():
    return Server(space(), "escapes").create().start()


class Seen:
    def __init__(self):
        server = odd_server()
        quoted = {name: '"' + name.replace('"', '""') + '"' for name in (USER, DATABASE)}
        server.sql(f"create role {quoted[USER]} superuser replication login password '{server.password}'")
        server.sql(f"create database {quoted[DATABASE]}")
        with recording(server) as self.record:
            with Connection(host="127.0.0.1", port=server.port, user=USER, password=server.password,
                            dbname=DATABASE, replication="database", application_name="app" + ODD) as client:
                self.pid = client.pid
                self.answers = [client.run(text.encode())[0] for text in COMMANDS]
                self.application = client.run(b"select current_setting('application_name')")[1].decode()
            wait_disconnected(server, self.pid)


@once
def seen():
    return Seen()


def strange(text):
    """Characters that are no text: control, format and line separators."""
    return sorted({f"U+{ord(c):04X}" for c in text
                   if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Co", "Cn")})


def in_terminal(argv):
    """What a program writes to a terminal."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    mode = termios.tcgetattr(other)
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(other, termios.TCSANOW, mode)
    chunks = []

    def read():
        while True:
            try:
                data = os.read(main, 65536)
            except OSError:
                return
            if not data:
                return
            chunks.append(data)

    pid = os.fork()
    if pid == 0:
        try:
            for number in (0, 1, 2):
                os.dup2(other, number)
            os.execve(argv[0], argv, {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"})
        finally:
            os._exit(127)
    os.close(other)
    reader = threading.Thread(target=read)
    reader.start()
    status = os.waitpid(pid, 0)[1]
    reader.join(20)
    os.close(main)
    return os.waitstatus_to_exitcode(status), b"".join(chunks).decode()


class Escapes(LiveTest):
    def check(self, text, what):
        self.assertEqual(strange(text), [], what)

    def test_in_no_text_view_of_a_recording(self):
        file = seen().record.file
        for command in ("sessions", "history", "timeline", "hist", "trace"):
            for options in ((), ("-v",)):
                process = space().run([walscope.binary(), command, file, *options], name=f"odd-{command}")
                self.check(process.out, f"{command} {options}")
                self.check(process.err, f"{command} {options}")
                if command in ("history", "trace"):
                    self.assertIn("\\x1b[31m", process.out, f"{command} {options}")

    def test_in_no_view_on_a_terminal(self):
        file = seen().record.file
        for command in ("sessions", "history", "timeline", "hist", "trace"):
            for options in ((), ("-v",)):
                status, text = in_terminal([walscope.binary(), command, file, *options])
                self.assertEqual(status, 0, text)
                # walscope's own are colours alone.
                self.check(SGR.sub("", text), f"{command} {options}")
                self.assertIn("\x1b[", text, "there are colours")

    def test_in_no_live_trace(self):
        server = odd_server()
        seen()
        process = space().start([walscope.binary(), "trace", "-v", "--postmaster", str(server.pid)],
                                name="odd-live", stop=signal.SIGINT)
        walscope.wait_attached(process, server.pid)
        with Connection(host="127.0.0.1", port=server.port, user=USER, password=server.password,
                        dbname=DATABASE, replication="database", application_name="live") as client:
            for text in COMMANDS:
                client.run(text.encode())
        wait_for("the end of the session", lambda: f"{client.pid}  exit" in process.out)
        process.signal(signal.SIGINT)
        process.expect()
        self.check(process.out, "trace")
        self.check(process.err, "trace")

    def test_in_no_view_of_a_session_that_already_ran(self):
        server = odd_server()
        seen()
        with Connection(host="127.0.0.1", port=server.port, user=USER, password=server.password,
                        dbname=DATABASE, replication="database", application_name="running") as client:
            client.send(f"select pg_sleep(600), '{ODD}'".encode())
            wait_for("the statement to run", lambda: server.wait_event(client.pid) == "PgSleep")
            with recording(server) as record:
                pass
            server.sql(f"select pg_cancel_backend({client.pid})")
            client.run(b"select 1")
        entry, = record.history(client.pid)
        self.assertEqual(entry["command"], f"select pg_sleep(600), '{ODD}'")
        session = record.session(client.pid)
        self.assertEqual((session["user"], session["database"]), (USER, DATABASE))
        for command in ("sessions", "history", "trace"):
            out = space().run([walscope.binary(), command, record.file, "-v"], name=f"odd-running-{command}").out
            self.check(out, command)

    def test_are_in_json_what_they_were(self):
        for command in ("sessions", "history", "timeline", "hist", "trace"):
            out = space().run([walscope.binary(), command, seen().record.file, "--json"],
                              name=f"odd-json-{command}").out
            self.assertTrue(out.isascii(), command)
            self.check(out, command)
            for line in out.splitlines():
                json.loads(line)
        session = seen().record.session(seen().pid)
        self.assertEqual((session["user"], session["database"]), (USER, DATABASE))
        # The server cleans this one itself.
        self.assertEqual(session["application_name"], seen().application)
        entries = seen().record.history(seen().pid)
        for entry, text, answer in zip(entries, COMMANDS, seen().answers):
            self.assertEqual(entry["command"], text)
            self.assertEqual(entry["message"], answer and answer[1].decode())
