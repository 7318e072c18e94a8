# SPDX-License-Identifier: BSD-2-Clause
"""Bytes on the wire, TLS and the number of sends: against the socket's own counters and what clients got."""

import os
import re
import signal
import subprocess
import time

import replication_client
import walscope
from cluster import Server, lsn
from live import (LiveTest, no_wal_of_its_own, once, recording, space, wait_caught_up, wait_disconnected,
                  wait_stuck)
from processes import Failure, wait_for


@once
def wired():
    """A server with TLS and a Unix socket."""
    server = replication_client.offer_tls_and_unix(Server(space(), "wired").create()).start()
    server.pgbench_init(1)
    return server


def ss(server, client_port):
    """The server's end of a connection: (bytes handed over, bytes confirmed), by ss."""
    text = subprocess.run(["ss", "-tinH", f"sport = :{server.port} and dport = :{client_port}"], check=True,
                          capture_output=True, text=True).stdout
    words = text.split()
    if not words:
        raise Failure(f"ss shows no connection {server.port} to {client_port}")
    # State Recv-Q Send-Q ..: the send queue is what was handed over and not yet confirmed.
    confirmed = re.search(r"\bbytes_acked:(\d+)", text)
    confirmed = int(confirmed[1]) if confirmed else 0
    return confirmed + int(words[2]), confirmed


def ss_at_rest(server, client_port):
    """The same once nothing has changed for a moment."""
    last = [None, time.monotonic()]

    def still():
        now = ss(server, client_port)
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] > 0.5

    wait_for("the socket to come to rest", still, every=0.05)
    return last[0]


def client_port(server, application):
    """(pid, the client's port) of a walsender, by the server."""
    row, = server.sql("select pid, client_port from pg_stat_replication "
                      f"where application_name = '{application}'")
    return int(row[0]), int(row[1])


def wal_position(server):
    return server.value("select pg_current_wal_flush_lsn()")


def wire_of(session):
    return session["wire_bytes"], session["acked_bytes"]


class Wire(LiveTest):
    def rest_and_end(self, server, record, ports):
        """Ends the recording while the sockets are at rest; what ss says of each."""
        with no_wal_of_its_own(server):
            for _ in range(5):
                before = {port: ss_at_rest(server, port) for port in ports}
                if {port: ss(server, port) for port in ports} == before:
                    break
            record.end()
            after = {port: ss(server, port) for port in ports}
        self.assertEqual(before, after, "the sockets were not at rest")
        return before

    def test_streams_at_rest_are_as_their_sockets_say(self):
        server = wired()
        server.create_logical_slot("w_rest")
        server.sql("create table if not exists w_rest (i int)")
        with recording(server) as record:
            clients = [server.receivewal("w_receivewal", "-s", "1"),
                       server.recvlogical("w_rest", application="w_recvlogical")]
            names = ("w_receivewal", "w_recvlogical")
            for name in names:
                server.wait_walsender(name)
            server.sql("insert into w_rest select generate_series(1, 20000)")
            server.write_wal(5)
            wait_caught_up(server, "w_receivewal")
            ports = dict(client_port(server, name) for name in names)
            seen = self.rest_and_end(server, record, ports.values())
        for client in clients:
            client.stop()
        for pid, port in ports.items():
            self.assertEqual(wire_of(record.session(pid)), seen[port])
            self.assertGreater(seen[port][0], 100000)
            self.assertIs(record.session(pid)["tls"], True, "libpq prefers TLS where a server has it")
        wait_for("the slot to be free", lambda: server.value(
            "select active from pg_replication_slots where slot_name = 'w_rest'") == "f")
        server.sql("select pg_drop_replication_slot('w_rest')")

    def ended(self, *steps, **how):
        """A client that runs these commands and leaves; itself and its session."""
        server = wired()
        with recording(server) as record:
            client = replication_client.connect(server, **how)
            for step in steps:
                client.query(step)
            client.leave()
            wait_disconnected(server, client.pid)
        return client, record.session(client.pid)

    def test_sql_is_what_the_client_received(self):
        client, session = self.ended("IDENTIFY_SYSTEM", "select repeat('x', 300000)",
                                     replication="database", database="postgres", application="w_sql")
        self.assertGreater(client.bytes, 300000)
        self.assertEqual((*wire_of(session), session["tls"]), (client.bytes, client.bytes, False))
        self.assertIsNone(session["sends"])

    def test_a_base_backup_is_what_the_client_received(self):
        client, session = self.ended(wired().base_backup("w"), application="w_backup")
        self.assertGreater(client.bytes, 10 << 20)
        self.assertEqual(session["kind"], "backup")
        self.assertEqual(wire_of(session), (client.bytes, client.bytes))

    def test_tls_is_what_a_relay_counted_and_more_than_the_messages(self):
        server = wired()
        relay = replication_client.Relay(server.port)
        client, session = self.ended("IDENTIFY_SYSTEM", "select repeat('x', 300000)", port=relay.port,
                                     tls=True, replication="database", database="postgres",
                                     application="w_tls")
        self.assertEqual((session["wire_bytes"], session["tls"]), (relay.wait(), True))
        # The server's last word is that it closes the connection, and it waits for no answer.
        self.assertIn(relay.received - session["acked_bytes"], range(0, 64))
        self.assertGreater(relay.received, client.bytes)
        self.assertLess(relay.received, client.bytes * 1.1)

    def test_a_stream_over_tls_is_as_its_socket_says(self):
        server = wired()
        with recording(server) as record:
            client = replication_client.connect(server, application="w_tls_stream", tls=True)
            client.start(f"START_REPLICATION {wal_position(server)}")
            client.take_until(lsn(server.write_wal(4)))
            client.take_until_quiet()
            seen = self.rest_and_end(server, record, [client.port])[client.port]
        client.close()
        session = record.session(client.pid)
        self.assertEqual((*wire_of(session), session["tls"]), (*seen, True))
        self.assertGreater(session["wire_bytes"], client.bytes)

    def test_a_unix_socket_has_no_bytes_on_the_wire(self):
        client, session = self.ended("IDENTIFY_SYSTEM", host=wired().dir, application="w_unix")
        self.assertEqual((session["client"], session["tls"]), ("[local]", False))
        self.assertEqual(wire_of(session), (None, None))
        self.assertGreater(client.bytes, 0)

    def test_a_client_that_stops_reading(self):
        server = wired()
        with recording(server) as record:
            client = replication_client.connect(server, application="w_stuck")
            client.start(f"START_REPLICATION {wal_position(server)}")
            server.write_wal(40)
            self.assertEqual(wait_stuck(server, "w_stuck"), client.pid)
            seen = self.rest_and_end(server, record, [client.port])[client.port]
        client.close()
        wire, acked = wire_of(record.session(client.pid))
        self.assertEqual((wire, acked), seen)
        self.assertGreater(wire - acked, 10000)

    def test_a_session_found_running_counts_from_then_on(self):
        server = wired()
        client = replication_client.connect(server, application="w_ran")
        client.start(f"START_REPLICATION {wal_position(server)}")
        with no_wal_of_its_own(server):
            client.take_until(lsn(server.write_wal(2)))
            before = client.bytes, client.data_messages
            with recording(server) as record:
                client.take_until(lsn(server.write_wal(3)))
                self.rest_and_end(server, record, [client.port])
            self.assertFalse(client.readable(), "there was more")
        client.close()
        session = record.session(client.pid)
        self.assertIs(session["was_running"], True)
        self.assertGreater(before[0], 2 << 20)
        self.assertEqual(wire_of(session), (client.bytes - before[0],) * 2)
        self.assertEqual(session["sends"], client.data_messages - before[1])

    def test_a_session_found_running_that_ends(self):
        server = wired()
        client = replication_client.connect(server, replication="database", database="postgres",
                                            application="w_ran_ends")
        client.query("select repeat('x', 100000)")
        before = client.bytes
        with recording(server) as record:
            client.query("select repeat('x', 50000)")
            client.leave()
            wait_disconnected(server, client.pid)
        self.assertEqual(wire_of(record.session(client.pid)), (client.bytes - before,) * 2)

    def test_windows_beside_each_other_add_up(self):
        server = wired()
        with recording(server) as record:
            client = replication_client.connect(server, application="w_window")
            client.start(f"START_REPLICATION {wal_position(server)}")
            middle = []
            for _ in range(3):
                client.take_until(lsn(server.write_wal(1)))
                client.take_until_quiet(0.8)
                middle.append(time.time())
            client.leave()
            wait_disconnected(server, client.pid)
        # Relative to the end as --from and --to take it: a time of RFC 3339.
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle[1])) + f"{middle[1] % 1:.6f}"[1:] + "Z"
        parts = [entry for edge in ("--to", "--from") for entry in record.view("sessions", edge, stamp)
                 if entry["pid"] == client.pid]
        self.assertEqual(len(parts), 2)
        self.assertEqual(sum(part["wire_bytes"] for part in parts), client.bytes)
        self.assertGreater(min(part["wire_bytes"] for part in parts), 500000)
        self.assertEqual(sum(part["sends"] for part in parts), client.data_messages)

    def test_a_filter_keeps_the_sockets_of_other_sessions_out(self):
        server = wired()
        with recording(server, "--app", "w_wanted") as record:
            clients = [replication_client.connect(server, replication="database", database="postgres",
                                                  application=name) for name in ("w_wanted", "w_unwanted")]
            for _ in range(3):
                for client in clients:
                    client.query("select repeat('x', 10000)")
                time.sleep(0.8)
            for client in clients:
                client.leave()
                wait_disconnected(server, client.pid)
        wanted = clients[0].pid
        samples = {entry["pid"] for entry in record.view("trace") if entry["event"] == "socket"}
        self.assertEqual(samples, {wanted})
        self.assertEqual([entry["pid"] for entry in record.view("sessions")], [wanted])

    def test_samples_are_taken_once_a_second_when_something_changed(self):
        server = wired()
        with recording(server) as record:
            begin = time.monotonic()
            quiet = replication_client.connect(server, application="w_quiet")
            met = time.monotonic() - begin
            begin = time.monotonic()
            client = replication_client.connect(server, replication="database", database="postgres",
                                                application="w_samples")
            while time.monotonic() < begin + 4:
                client.query("select repeat('x', 1000)")
                time.sleep(0.05)
            client.leave()
            lasted = time.monotonic() - begin
        quiet.close()
        samples = [entry for entry in record.view("trace") if entry["event"] == "socket"]
        busy = [entry["wire_bytes"] for entry in samples if entry["pid"] == client.pid]
        self.assertIn(len(busy), range(2, int(lasted) + 3))
        self.assertEqual(busy, sorted(set(busy)))
        # Once, and before if it was met while it connected.
        self.assertIn(len([entry for entry in samples if entry["pid"] == quiet.pid]), range(1, int(met) + 3))


class Sends(LiveTest):
    MESSAGES = 1500  # at least

    def streamed(self, level, command, **how):
        """A client that streams under load; itself and its session."""
        server = wired()
        with recording(server, "--level", str(level)) as record:
            client = replication_client.connect(server, **how)
            client.start(command)
            load = server.pgbench(300)
            while client.data_messages < self.MESSAGES:
                client.take()
            load.signal(signal.SIGALRM)  # as if its time were over
            while load.running:
                if client.readable(0.1):
                    client.take()
            load.expect()
            client.take_until_quiet()
            client.leave()
            wait_disconnected(server, client.pid)
        session = record.session(client.pid)
        self.assertEqual(session["lost"], 0)
        return client, session

    def physical(self, level):
        return self.streamed(level, f"START_REPLICATION {wal_position(wired())}", application="w_sends")

    def logical(self, level):
        server = wired()
        server.create_logical_slot("w_sends")
        try:
            return self.streamed(level, "START_REPLICATION SLOT w_sends LOGICAL 0/0", replication="database",
                                 database="postgres", application="w_sends")
        finally:
            server.sql("select pg_drop_replication_slot('w_sends')")

    def test_physical_sends_are_the_messages_the_client_got(self):
        client, session = self.physical(2)
        self.assertEqual(session["sends"], client.data_messages)

    def test_physical_sends_at_level_3(self):
        client, session = self.physical(3)
        self.assertEqual(session["sends"], client.data_messages)

    def test_logical_sends_at_level_3_are_the_messages_the_client_got(self):
        client, session = self.logical(3)
        self.assertEqual(session["sends"], client.data_messages)

    def test_sends_that_were_not_counted_are_null(self):
        self.assertIsNone(self.physical(1)[1]["sends"])
        self.assertIsNone(self.logical(2)[1]["sends"])

    def test_sends_of_a_server_that_shuts_down(self):
        """WalSndDone sends once more in the turn in which it finds that all was sent."""
        server = Server(space(), "sends_down").create().start()
        server.pgbench_init(1)
        with recording(server) as record:
            receiver = replication_client.connect(server, application="w_down")
            receiver.start(f"START_REPLICATION {wal_position(server)}")
            load = server.pgbench(30)
            begin = time.monotonic()
            while time.monotonic() < begin + 1:
                if receiver.readable(0.1):
                    receiver.take()
            server.process.signal(signal.SIGINT)
            kind, end = "", 0
            while kind != "c":
                kind, body = receiver.receive()
                if kind == "d":
                    receiver.data_messages += body[:1] == b"w"
                    end = max(end, int.from_bytes(body[9:17], "big") if body[:1] == b"w"
                              else int.from_bytes(body[1:9], "big"))
                    if body[:1] == b"w":
                        end = max(end, int.from_bytes(body[1:9], "big") + len(body) - 25)
                    receiver.reply(end)
                elif kind == "C":
                    break
            load.wait()
            receiver.close()
            server.process.wait()
        session = record.session(receiver.pid)
        self.assertEqual(session["exit"]["reason"], "shutdown")
        self.assertEqual(session["sends"], receiver.data_messages)


# Run by python3 -c: refuses bpf(BPF_ITER_CREATE) with EPERM to the program that takes its place.
WITHOUT_ITERATORS = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x15, 0, 1, 33), (0x06, 0, 0, 0x00050001),
        (0x06, 0, 0, 0x7fff0000)]
code = b"".join(struct.pack("HBBI", *line) for line in code)
room = ctypes.create_string_buffer(code)
libc = ctypes.CDLL(None, use_errno=True)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(room)))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit("no seccomp filter: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
"""


class Offer(LiveTest):
    def test_tracing_goes_on_where_sockets_cannot_be_sampled(self):
        """A filter of system calls in the place of a kernel without iterators."""
        server = wired()
        file = space().file("without_iterators.wst")
        process = space().start(
            ["/usr/bin/python3", "-c", WITHOUT_ITERATORS, walscope.binary(), "record", "-o", file,
             "--postmaster", str(server.pid)], name="without-iterators", stop=signal.SIGINT, grace=20)
        try:
            walscope.wait_attached(process, server.pid)
            clients = [replication_client.connect(server, application=name)
                       for name in ("w_blind_ends", "w_blind_stays")]
            time.sleep(2.5)
            for client in clients:
                client.query("IDENTIFY_SYSTEM")
            clients[0].leave()
            wait_disconnected(server, clients[0].pid)
            process.signal(signal.SIGINT)
            process.expect(0)
            clients[1].close()
        finally:
            process.close()
        self.assertEqual(process.err.count("cannot sample the sessions and their sockets"), 1, process.err)
        sessions = {entry["pid"]: entry for entry in walscope.view(space(), "sessions", file)}
        self.assertEqual(wire_of(sessions[clients[0].pid]), (clients[0].bytes,) * 2)
        self.assertEqual(wire_of(sessions[clients[1].pid]), (None, None))
        self.assertEqual([sessions[client.pid]["commands"] for client in clients], [1, 1])

    def test_doctor_says_whether_sockets_can_be_sampled(self):
        """True exactly if a recording holds such an iterator."""
        server = wired()
        with recording(server) as record:
            held = []
            for name in os.listdir(f"/proc/{record.process.pid}/fd"):
                with open(f"/proc/{record.process.pid}/fdinfo/{name}", encoding="ascii") as file:
                    held += re.findall(r"^link_type:\s*(\w+)", file.read(), re.M)
        process = space().run([walscope.binary(), "doctor", "--json"], name="doctor-iterator")
        doctor, = walscope.parse_lines(process.out, "doctor")
        self.assertIs(doctor["features"]["task_iterator"], "iter" in held)
