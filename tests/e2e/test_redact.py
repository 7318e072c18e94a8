# SPDX-License-Identifier: BSD-2-Clause
"""--redact: nothing of a literal reaches a recording, a view or the terminal."""

import json
import signal
import subprocess

import walscope
from cluster import Server
from libpq import Connection
from live import LiveTest, once, recording, space, wait_disconnected
from processes import start_ticks, wait_for

# Each secret is of this form, so that any trace of one shows.
MARK = "Geheim"
# So long that no time or pid holds it by chance.
NUMBER = "471100815471100815"
COMMANDS = (
    (f"select 'Geheim01', {NUMBER}, E'Geheim\\'02', $$Geheim03$$, $x$Geheim$$04$x$, U&'Geh\\0065im05'",
     "select $1, $2, $3, $4, $5, $6"),
    ("select 1 /* Geheim06 */ -- Geheim07\n + 1", "select $1   \n + $2"),
    ("alter role postgres password 'Geheim08'", "alter role postgres password $1"),
    ("select 'Geheim09'::int", "select $1::int"),
    ("select 'Geh'\n'eim10'::int", "select $1::int"),
    ("select 1 'Geheim11'", "select $1 $2"),
    ("select 'Geheim12", "select $1"),
    ("select 'C:\\', 'Geheim13'::int", "select $1"),
    ("create subscription s connection 'host=127.0.0.1 port=1 password=Geheim14' publication p",
     "create subscription s connection $1 publication p"),
    ("create subscription s connection 'postgresql://u:Geheim15@127.0.0.1:1/d' publication p",
     "create subscription s connection $1 publication p"),
    ("create subscription s connection 'Geheim16 host=x' publication p",
     "create subscription s connection $1 publication p"),
    ("do $$ begin raise exception 'Geheim17 is % (Geheim27)', 42; end $$", "do $1"),
    ("do 'begin execute ''select ''''Geheim28''''::int''; end'", "do $1"),
    ("select '{\"a\": Geheim18}'::json", "select $1::json"),
    ("set datestyle = 'Geheim19'", "set datestyle = $1"),
    ("IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM"),
    ("START_REPLICATION SLOT \"nosuch\" LOGICAL 0/1234 (proto_version '1', x 'Geheim20')",
     "START_REPLICATION SLOT \"nosuch\" LOGICAL 0/1234 (proto_version '***', x '***')"),
    ("CREATE_REPLICATION_SLOT r LOGICAL test_decoding (SNAPSHOT 'Geheim21')",
     "CREATE_REPLICATION_SLOT r LOGICAL test_decoding (SNAPSHOT '***')"),
    ("BASE_BACKUP (LABEL 'Geheim22', PROGRESS 'Geheim23')",
     "BASE_BACKUP (LABEL '***', PROGRESS '***')"),
    # In pieces; a secret lies over each of their bounds.
    ("select '" + "Geheim24" * 30_000 + "'::int", "select $1::int"),
    ("select '" + "Geheim25" * 300_000 + "'::int", "select $1"),
    # What is behind 1 MiB is not known, and an error quotes it.
    ("select length('" + "x" * 1_100_000 + "'), 'Geheim26'::int", "select length($1"),
)


@once
def quiet_server():
    return Server(space(), "redact", {"log_min_messages": "log"}).create().start()


def run_commands(server, application):
    """Runs them; returns the pid and what the server answered."""
    with Connection(host="127.0.0.1", port=server.port, user="postgres", password=server.password,
                    dbname="postgres", replication="database", application_name=application) as client:
        answers = [client.run(text.encode())[0] for text, _ in COMMANDS]
        client.run(f"alter role postgres password '{server.password}'".encode())
    return client.pid, answers


class Recorded:
    def __init__(self):
        server = quiet_server()
        with recording(server, "--redact") as self.record:
            self.pid, self.answers = run_commands(server, "redacted")
            wait_disconnected(server, self.pid)


@once
def recorded():
    return Recorded()


class Redact(LiveTest):
    def test_leaves_no_literal_in_any_view(self):
        seen = recorded()
        self.assertTrue(any(MARK in answer[1].decode() for answer in seen.answers if answer),
                        "the server's own errors quote secrets")
        for command in ("history", "sessions", "timeline", "hist", "trace"):
            for options in ((), ("-v",), ("--json",)):
                process = space().run([walscope.binary(), command, seen.record.file, *options],
                                      name=f"redacted-{command}")
                for text in (process.out, process.err):
                    found = [line for line in text.splitlines() if MARK in line or NUMBER in line]
                    self.assertEqual(found, [], f"{command} {options}")

    def test_leaves_no_literal_in_the_file(self):
        """Its blocks are compressed by zstd: each frame is decompressed by zstd's own program."""
        seen = recorded()
        with open(seen.record.file, "rb") as file:
            data = file.read()
        for secret in (MARK.encode(), NUMBER.encode()):
            self.assertNotIn(secret, data)
        frames, at = 0, data.find(b"\x28\xb5\x2f\xfd")
        while at >= 0:
            zstd = subprocess.run(["zstd", "-d", "-c", "-q"], input=data[at:], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, check=False)
            for secret in (MARK.encode(), NUMBER.encode()):
                self.assertNotIn(secret, zstd.stdout)
            frames += bool(zstd.stdout)
            at = data.find(b"\x28\xb5\x2f\xfd", at + 1)
        self.assertGreater(frames, 0)

    def test_keeps_the_form_of_each_command(self):
        seen = recorded()
        entries = seen.record.history(seen.pid)[:len(COMMANDS)]
        self.assertEqual([entry["command"] for entry in entries], [form for _, form in COMMANDS])

    def test_keeps_errors_but_for_the_literals_in_them(self):
        seen = recorded()
        for entry, answer, (text, _) in zip(seen.record.history(seen.pid), seen.answers, COMMANDS):
            with self.subTest(command=text[:60]):
                self.assertEqual(entry["outcome"], "error" if answer else "ok")
                if not answer:
                    continue
                state, message, location = answer
                self.assertEqual((entry["sqlstate"], entry["location"]), (state, location))
                if MARK.encode() not in message:
                    continue
                self.assertIn("***", entry["message"])
                # What of the message is left is in the server's.
                for part in entry["message"].split("***"):
                    self.assertIn(part, message.decode())

    def test_keeps_the_length_of_a_cut_command_and_drops_its_hash(self):
        seen = recorded()
        entries = [entry for entry in seen.record.history(seen.pid) if entry["truncated"]]
        long = [text for text, _ in COMMANDS if len(text) > 1024 * 1024]
        self.assertEqual([(entry["text_bytes"], entry["text_xxh64"]) for entry in entries],
                         [(len(text), None) for text in long])

    def test_loses_no_record_and_says_so(self):
        seen = recorded()
        events = seen.record.view("trace")
        mine = [event for event in events if event["pid"] == seen.pid and event["seq"] is not None]
        self.assertEqual([event["seq"] for event in mine], list(range(len(mine))))
        self.assertEqual([event for event in events if event["event"] == "gap"], [])
        self.assertEqual(seen.record.session(seen.pid)["lost"], 0)
        self.assertTrue(any(event["event"] == "note" and event["text"].startswith("redacted: ")
                            for event in events))
        out = space().run([walscope.binary(), "history", seen.record.file], name="redacted-says").out
        self.assertIn("--redact", out.splitlines()[-1])

    def test_of_a_live_trace_prints_no_literal(self):
        server = quiet_server()
        process = space().start([walscope.binary(), "trace", "--redact", "-v", "--postmaster",
                                 str(server.pid)], name="redacted-trace", stop=signal.SIGINT)
        walscope.wait_attached(process, server.pid)
        pid, _ = run_commands(server, "redacted_live")
        wait_for("the end of the session", lambda: f"{pid}  exit" in process.out)
        process.signal(signal.SIGINT)
        process.expect()
        self.assertIn("alter role postgres password $1", process.out)
        self.assertEqual([line for line in process.out.splitlines() if MARK in line], [])

    def test_of_a_live_history_prints_no_literal(self):
        server = quiet_server()
        process = space().start([walscope.binary(), "history", "--live", "--redact", "--postmaster",
                                 str(server.pid)], name="redacted-history", stop=signal.SIGINT)
        walscope.wait_attached(process, server.pid)
        run_commands(server, "redacted_history")
        process.signal(signal.SIGINT)
        process.expect()
        self.assertIn("alter role postgres password $1", process.out)
        self.assertNotIn(MARK, process.out)

    def test_of_a_command_that_already_ran_leaves_no_literal(self):
        server = quiet_server()
        with Connection(host="127.0.0.1", port=server.port, user="postgres", password=server.password,
                        dbname="postgres", replication="database", application_name="red_run") as client:
            with Connection(host="127.0.0.1", port=server.port, user="postgres", password=server.password,
                            dbname="postgres") as holder:
                holder.run(b"select pg_advisory_lock(30)")
                client.send(b"select pg_advisory_lock(30), 'Geheim30'::text || pg_sleep(0)::text::int")
                wait_for("the statement to wait", lambda: server.wait_event(client.pid) == "advisory")
                with recording(server, "--redact") as record:
                    holder.run(b"select pg_advisory_unlock(30)")
                    client.run(b"select 1")
            entry = record.history(client.pid)[0]
        self.assertEqual(entry["command"], "select pg_advisory_lock($1), $2::text || pg_sleep($3)::text::int")
        self.assertEqual((entry["outcome"], entry["sqlstate"]), ("error", "22P02"))
        trace = space().run([walscope.binary(), "trace", "--json", record.file], name="red-run").out
        self.assertNotIn(MARK, trace)

    def test_leaves_no_literal_where_pieces_are_lost(self):
        """A ring of 16 kB holds no piece of a long text: all but the first are lost."""
        server = quiet_server()
        file = space().file("redacted-ring.wst")
        process = walscope.start_record(space(), file, "--redact", "--ring", "16k", "--postmaster",
                                        str(server.pid))
        walscope.wait_attached(process, server.pid)
        pid, _ = run_commands(server, "redacted_ring")
        wait_for("the end of the session", lambda: start_ticks(pid) is None)
        process.signal(signal.SIGINT)
        process.expect(3)
        process = space().run([walscope.binary(), "trace", "--json", file], status=3, name="ring-trace")
        self.assertNotIn(MARK, process.out)
        events = [json.loads(line) for line in process.out.splitlines()]
        seqs = [event["seq"] for event in events if event["pid"] == pid and event["event"] != "gap"]
        self.assertEqual(seqs, sorted(set(seqs)), "each number once, in order")
        missing = sum(event["lost"] for event in events if event["event"] == "gap")
        self.assertGreater(missing, 0)
        self.assertEqual(len(seqs) + missing, max(seqs) + 1)

    def test_is_refused_for_a_recording(self):
        line = self.refused(["history", "--redact", recorded().record.file], status=2)
        self.assertIn("--redact", line)
