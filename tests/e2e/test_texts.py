# SPDX-License-Identifier: BSD-2-Clause
"""Texts of commands and errors: whole up to 1 MiB, beyond that the beginning, true length and hash."""

import codecs
import time

import xxhash

import books
import walscope
from cluster import Server
from libpq import Connection
from live import LiveTest, once, recording, space
from processes import start_ticks, wait_for

KIB, MIB = 1024, 1024 * 1024
LIMIT = MIB
# Characters of 1 to 4 bytes, what a terminal acts on (control characters, escape sequences, C1 codes,
# bidirectional controls), and what JSON and shells treat in a special way.
MIXED = ("a\u00e9\u20ac\U0001f418\x1b[31mred\x1b]0;title\x07\x01\x7f\t\r\n\u009b31m\u202e\u2066\\ \"%s {}"
         "\u00ff\ufffd\u2028").encode()
SIZES = (200, 8 * KIB, 100 * KIB, MIB - 1, MIB, MIB + 1, 2 * MIB, 40 * MIB)


def sql_of(size):
    """A statement of exactly this many bytes that the server runs. Padded by one byte at a time, so that
    some character lies across any bound of 16 kiB."""
    head, tail = b"select length('" + b"x" * (size % 7), b"')"
    room = size - len(head) - len(tail)
    return head + MIXED * (room // len(MIXED)) + b"y" * (room % len(MIXED)) + tail


def command_of(size):
    """A replication command of this many bytes, which the server refuses: no name is that long."""
    head, tail = b"CREATE_REPLICATION_SLOT texts PHYSICAL (nosuch '", b"')"
    room = size - len(head) - len(tail)
    return head + MIXED * (room // len(MIXED)) + b"y" * (room % len(MIXED)) + tail


codecs.register_error("each", lambda error: ("\ufffd" * (error.end - error.start), error.end))


def shown(data):
    """Bytes as JSON has them: each that is no UTF-8, so of a character cut in two, is replaced."""
    return data.decode("utf-8", "each")


def kept(text):
    """What is kept of a text: 1 MiB, without a character that this cuts."""
    return text if len(text) <= LIMIT else text[:LIMIT].decode("utf-8", "ignore").encode()


def connect(server, application, database="postgres", **more):
    return Connection(host="127.0.0.1", port=server.port, user="postgres", password=server.password,
                      dbname=database, replication="database", application_name=application, **more)


@once
def quiet_server():
    """A server that does not log what it is sent: these texts would make its log hard to read."""
    return Server(space(), "texts", {"log_min_messages": "fatal", "log_min_error_statement": "panic",
                                     "log_replication_commands": "off"}).create().start()


def wait_gone(pid):
    wait_for(f"the end of {pid}", lambda: start_ticks(pid) is None)


class Sent:
    """What one client sent, and what the server answered."""

    def __init__(self, level):
        server = quiet_server()
        self.texts, self.answers, self.seconds = [], [], []
        with recording(server, "--level", str(level)) as self.record:
            with connect(server, f"texts{level}") as client:
                self.pid = client.pid
                for size in SIZES:
                    for text in (sql_of(size), command_of(size)):
                        assert len(text) == size
                        began = time.time()
                        self.answers.append(client.run(text))
                        self.seconds.append((began, time.time()))
                        self.texts.append(text)
            wait_gone(self.pid)


@once
def sent_at_level_1():
    return Sent(1)


@once
def sent_at_level_2():
    return Sent(2)


@once
def sent_at_level_3():
    return Sent(3)


class Texts(LiveTest):
    def check_history(self, sent):
        entries = sent.record.history(sent.pid)
        self.assertEqual(len(entries), len(sent.texts))
        for entry, text, (error, value), times in zip(entries, sent.texts, sent.answers, sent.seconds):
            with self.subTest(size=len(text), command=text[:10]):
                same = entry["command"] == kept(text).decode()
                self.assertTrue(same, f"text differs: {entry['command'][-40:]!r}")
                cut = len(text) > LIMIT
                self.assertEqual(entry["truncated"], cut)
                self.assertEqual(entry["text_bytes"], len(text))
                self.assertEqual(entry["text_xxh64"], xxhash.xxh64(text).hexdigest() if cut else None)
                self.assertEqual(entry["outcome"], "error" if error else "ok")
                self.assertEqual(entry["sqlstate"], error and error[0])
                if value:
                    self.assertEqual(int(value), len(text[15:-2].decode()), "psql's own count")
                # Its start and its end are within what the client saw.
                start = walscope.seconds(entry["start"])
                self.assertGreaterEqual(start, times[0] - 0.01)
                self.assertLessEqual(start + entry["duration_ns"] / 1e9, times[1] + 0.01)

    def test_at_level_1_are_what_was_sent(self):
        self.check_history(sent_at_level_1())

    def test_at_level_2_are_what_was_sent(self):
        self.check_history(sent_at_level_2())

    def test_at_level_3_are_what_was_sent(self):
        self.check_history(sent_at_level_3())

    def test_in_the_trace_are_what_was_sent(self):
        sent = sent_at_level_1()
        events = [event for event in sent.record.view("trace") if event["pid"] == sent.pid]
        numbers = [event["seq"] for event in events if event["event"] not in books.UNNUMBERED]
        self.assertEqual(numbers, list(range(len(numbers))))
        found, sums = [], []
        for event in events:
            if event["event"] == "command":
                found.append([])
                sums.append(None)
            elif event["event"] == "text" and event["of"] == "command":
                found[-1].append((event["offset_bytes"], event["text"]))
            elif event["event"] == "text_sum" and event["of"] == "command":
                sums[-1] = (event["text_bytes"], event["xxh64"])
        for text, pieces, measured in zip(sent.texts, found, sums, strict=True):
            with self.subTest(size=len(text)):
                ends = [offset for offset, _ in pieces[1:]] + [min(len(text), LIMIT)]
                for (offset, piece), end in zip(pieces, ends):
                    self.assertTrue(piece == shown(text[offset:end]), f"piece at {offset}")
                self.assertEqual(measured, (len(text), xxhash.xxh64(text).hexdigest())
                                 if len(text) > LIMIT else None)

    def test_beyond_the_limit_have_length_and_hash_in_the_text_view(self):
        sent = sent_at_level_1()
        out = space().run([walscope.binary(), "history", sent.record.file], name="history-text").out
        lines = [line for line in out.splitlines() if "length(" in line]
        self.assertEqual(len(lines), len(SIZES))
        for line, text in zip(lines, sent.texts[::2]):
            hashed = f"xxh64 {xxhash.xxh64(text).hexdigest()})"
            self.assertEqual(line.endswith(hashed), len(text) > LIMIT, f"{len(text)}: {line[-60:]}")
            self.assertEqual("..." in line[-60:], len(text) > LIMIT)

    def test_of_a_database_without_an_encoding_may_be_any_bytes(self):
        server = quiet_server()
        server.sql("create database texts_ascii encoding 'SQL_ASCII' template template0")
        raw = bytes(range(1, 256)).replace(b"'", b"")
        texts = [b"select length('" + raw * times + b"')" for times in (1, 100, 8000)]
        with recording(server) as record:
            with connect(server, "texts_ascii", "texts_ascii") as client:
                for text in texts:
                    self.assertEqual(client.run(text), (None, str(len(text) - 17).encode()))
                pid = client.pid
            wait_gone(pid)
        for entry, text in zip(record.history(pid), texts, strict=True):
            # What is no UTF-8 cannot be in JSON: each such byte is a replacement character.
            self.assertEqual(entry["text_bytes"], len(text))
            self.assertEqual(entry["truncated"], len(text) > LIMIT)
            self.assertTrue(shown(text[:LIMIT]).startswith(entry["command"]))
            self.assertLessEqual(len(shown(text[:LIMIT])) - len(entry["command"]), 3)
            self.assertEqual(entry["text_xxh64"],
                             xxhash.xxh64(text).hexdigest() if len(text) > LIMIT else None)

    def test_of_errors_are_whole_or_cut_in_the_same_way(self):
        server = quiet_server()
        with recording(server) as record:
            with connect(server, "texts_error") as client:
                answers = [client.run(b"select '" + MIXED * (size // len(MIXED)) + b"'::int")
                           for size in (300, 300 * KIB, 3 * MIB)]
                pid = client.pid
            wait_gone(pid)
        for entry, (error, _) in zip(record.history(pid), answers, strict=True):
            state, message, location = error
            self.assertEqual(entry["sqlstate"], state)
            self.assertTrue(entry["message"] == kept(message).decode(), entry["message"][-60:])
            cut = len(message) > LIMIT
            self.assertEqual((entry["message_truncated"], entry["message_bytes"]), (cut, len(message)))
            self.assertEqual(entry["message_xxh64"], xxhash.xxh64(message).hexdigest() if cut else None)
            self.assertEqual(entry["location"], location)

    def test_of_a_command_that_already_ran_has_length_and_hash(self):
        server = quiet_server()
        text = b"select pg_sleep(60), length('" + MIXED * (3 * MIB // len(MIXED)) + b"')"
        with connect(server, "texts_running") as client:
            client.send(text)
            wait_for("the statement to run", lambda: server.wait_event(client.pid) == "PgSleep")
            with recording(server) as record:
                pass
            server.sql(f"select pg_terminate_backend({client.pid})")
            entry, = record.history(client.pid)
        self.assertTrue(entry["command"] == kept(text).decode(), entry["command"][-60:])
        self.assertEqual((entry["text_bytes"], entry["text_xxh64"]),
                         (len(text), xxhash.xxh64(text).hexdigest()))
        self.assertEqual(entry["outcome"], "running")

    def test_of_several_walsenders_at_a_time_are_not_mixed_up(self):
        server = quiet_server()
        clients, texts = [], []
        with recording(server) as record:
            for number in range(4):
                clients.append(connect(server, "texts_many"))
                texts.append([b"select length('%d" % number + b"z" * (size + number) + b"')"
                              for size in (2 * MIB, 3 * MIB, 5 * MIB)])
            for turn in range(3):
                for client, mine in zip(clients, texts):
                    client.send(mine[turn])
                for client in clients:
                    client.run(b"select 1")  # takes what is left of the answer first
            for client in clients:
                client.close()
            for client in clients:
                wait_gone(client.pid)
        for client, mine in zip(clients, texts):
            long = [entry for entry in record.history(client.pid) if entry["truncated"]]
            self.assertEqual([(entry["text_bytes"], entry["text_xxh64"]) for entry in long],
                             [(len(text), xxhash.xxh64(text).hexdigest()) for text in mine])
