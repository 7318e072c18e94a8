# SPDX-License-Identifier: BSD-2-Clause
"""Ends of which the server says little, or something misleading: walscope says no more than is known."""

import contextlib
import os
import signal
import socket
import ssl
import struct
import time

import replication_client
from cluster import Server
from histories import differences
from live import (LiveTest, no_wal_of_its_own, once, primary, recording, space, wait_disconnected, wait_gone,
                  wait_stuck)
from processes import alive, start_ticks, wait_for
from protocol import Connection, ServerError, connect


# Up to 13 a server that reads an end of file between transactions does not say so: it ends as with a goodbye.
SILENT_EOF = "client_terminated"


@once
def hasty():
    return Server(space(), "hasty").create()


def give_time(server, setting):
    """How long new connections may take to tell their password."""
    server.sql(f"alter system set authentication_timeout = '{setting}'")
    server.sql("select pg_reload_conf()")
    wait_for("the setting", lambda: server.value("show authentication_timeout") == setting)


@once
def secured():
    """A server that offers TLS."""
    return replication_client.offer_tls_and_unix(Server(space(), "secured").create()).start()


def asked_for_password(server, application):
    """A client that was asked for its password, and its walsender's pid: the log tells it by the client's
    port, which an earlier client may have had."""
    began = time.time() - 0.01
    client = Connection("127.0.0.1", server.port)
    client.startup(user="postgres", replication="true", application_name=application)
    client.wait_password_request()
    port = client.socket.getsockname()[1]
    return client, wait_for("the connection in the log", lambda: [
        line.pid for line in server.log() if line.time >= began
        and line.message.startswith("connection received:") and line.message.endswith(f" port={port}")])[0]


def copying(server, application):
    """A client in the middle of COPY FROM STDIN."""
    client = connect(server, "database", application, database="postgres")
    client.query("create temporary table t (i int)")
    client.send("Q", b"COPY t FROM STDIN\0")
    client.receive_until("G")
    client.send("d", b"1\n")
    return client


def streaming(server, application, **parameters):
    client = connect(server, "true", application, **parameters)
    position = server.value("select pg_current_wal_flush_lsn()")
    client.send("Q", f"START_REPLICATION {position}\0".encode())
    client.receive_until("W")
    return client


def say_goodbye_to_tls(client):
    """The close_notify of TLS, then FIN. It does not wait for the server's."""
    client.socket.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.socket.unwrap()
    client.socket.shutdown(socket.SHUT_WR)


def finish(client):
    """FIN, whatever has not been read yet."""
    client.socket.shutdown(socket.SHUT_WR)  # of TCP alone


def reset(client):
    """RST."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class Tampered:
    """A recording whose history tells of no errors at the ends of commands."""

    def __init__(self, record):
        self._record = record

    def view(self, name):
        entries = [dict(entry) for entry in self._record.view(name)]
        for entry in entries:
            if name == "history" and entry["command"] is not None:
                entry.update(outcome="ok", severity=None, sqlstate=None, message=None, location=None)
        return entries


class Goodbyes(LiveTest):
    def ending(self, record, pid, reason, code=None):
        seen = record.session(pid)["exit"]
        self.assertEqual(seen["reason"], reason, seen)
        if code is not None:
            self.assertEqual((seen["code"], seen["signal"]), (code, 0))
        return seen

    def said_in_log(self, server, pid, end):
        """The error of an end is the last one that the server logged of it, but for one of sending it."""
        lines = [line for line in server.log() if line.pid == pid and line.severity in ("FATAL", "LOG")
                 and line.sqlstate != "00000" and not line.message.startswith("could not send")]
        self.assertEqual((end["sqlstate"], end["message"], end["location"]),
                         (lines[-1].sqlstate, lines[-1].message, lines[-1].location))

    def test_a_client_that_leaves_when_asked_for_its_password(self):
        server = primary()
        with recording(server) as record:
            client, pid = asked_for_password(server, "g_leaves")
            ticks = start_ticks(pid)
            client.close()  # psql, to ask its user
            wait_gone(pid, ticks)
        self.assertEqual([line.message for line in server.log() if line.pid == pid and line.severity == "FATAL"],
                         [])
        end = self.ending(record, pid, "client_eof", 0)
        self.assertIsNone(end["message"])
        self.assertEqual(record.history(pid), [])

    def test_who_ends_an_authentication(self):
        server = hasty().start()
        with recording(server) as record:
            killed, by_test = asked_for_password(server, "g_killed")
            ticks = start_ticks(by_test)
            os.kill(by_test, signal.SIGTERM)
            wait_gone(by_test, ticks)
            give_time(server, "2s")
            slow, by_timeout = asked_for_password(server, "g_slow")
            wait_gone(by_timeout, start_ticks(by_timeout))
            give_time(server, "1min")
            late, by_shutdown = asked_for_password(server, "g_late")
            server.stop()
            for client in (killed, slow, late):
                client.close()
        # The server calls all of them a timeout.
        for pid, reason, role, sender in ((by_test, "admin_terminated", "other", os.getpid()),
                                          (by_timeout, "refused", "self", by_timeout),
                                          (by_shutdown, "shutdown", "postmaster", server.pid)):
            with self.subTest(reason=reason):
                end = self.ending(record, pid, reason, 1)
                self.assertEqual(end["sqlstate"], "57014")
                self.said_in_log(server, pid, end)
                by = end["signal_by"]
                self.assertEqual((by["signal"], by["role"], by["pid"]), (signal.SIGTERM, role, sender))

    def test_a_client_that_vanishes_in_a_copy(self):
        server = primary()
        with recording(server) as record:
            closed = copying(server, "g_copy_closed")
            half = copying(server, "g_copy_half")
            half.socket.sendall(b"d\0\0\0\x50abc")
            for client in (closed, half):
                client.close()
                wait_disconnected(server, client.pid)
        for client in (closed, half):
            self.said_in_log(server, client.pid, self.ending(record, client.pid, "client_eof", 1))
            copy = record.history(client.pid)[1]
            self.assertEqual((copy["command"], copy["outcome"], copy["sqlstate"]),
                             ("COPY t FROM STDIN", "error", "08006"))
        self.assertEqual(differences(server, record), [])

    def test_a_client_that_breaks_the_protocol_is_not_gone(self):
        server = primary()
        with recording(server) as record:
            clients = {"type": connect(server, "true", "g_type"), "length": connect(server, "true", "g_length"),
                       "reply": streaming(server, "g_reply"), "stream": streaming(server, "g_stream")}
            if server.major >= 14:  # before, such a message ends the COPY alone
                clients["query"] = copying(server, "g_query")
            clients["type"].socket.sendall(b"\xfe\0\0\0\4")
            clients["length"].socket.sendall(b"Q\0\0\0\2")
            if "query" in clients:
                clients["query"].send("Q", b"select 1\0")
            clients["reply"].send("d", b"Z")
            clients["stream"].send("Q", b"select 1\0")
            for client in clients.values():
                wait_disconnected(server, client.pid)
            for client in clients.values():
                client.close()
        for what, client in clients.items():
            with self.subTest(what=what):
                end = self.ending(record, client.pid, "fatal", 0 if what in ("length", "reply") else 1)
                self.assertEqual(end["sqlstate"], "08P01")
                self.said_in_log(server, client.pid, end)

    def test_a_connection_over_tls_that_is_broken_is_lost(self):
        """Of the same SQLSTATE as an end of file that nobody expected, and no such thing."""
        server = secured()
        with recording(server) as record:
            clients = {"idle": replication_client.connect(server, application="g_tls", tls=True),
                       "streams": replication_client.connect(server, application="g_tls_streams", tls=True)}
            clients["streams"].start(f"START_REPLICATION {server.value('select pg_current_wal_flush_lsn()')}")
            for client in clients.values():
                os.write(client.socket.fileno(), b"\x17\x03\x03\0\x20" + bytes(32))  # none of its records
                wait_disconnected(server, client.pid)
                client.close()
        for what, client in clients.items():
            with self.subTest(what=what):
                end = self.ending(record, client.pid, "connection_lost", 0)
                line, = [line for line in server.log()
                         if line.pid == client.pid and line.message.startswith("SSL error: ")]
                self.assertEqual((end["sqlstate"], end["message"], end["location"]),
                                 (line.sqlstate, line.message, line.location))
        self.assertEqual(record.history(clients["streams"].pid)[-1]["outcome"], "error")

    def test_a_client_that_vanishes_from_a_connection_over_tls(self):
        """Whether that is an end or a loss is for the server to say: TLS has a goodbye of its own."""
        server = secured()
        ways = {"goodbye": say_goodbye_to_tls, "fin": finish, "rst": reset}
        clients = {}
        with recording(server) as record, no_wal_of_its_own(server):
            for what in ways:
                idle = replication_client.connect(server, application=f"g_tls_idle_{what}", tls=True)
                idle.query("IDENTIFY_SYSTEM")
                stream = replication_client.connect(server, application=f"g_tls_stream_{what}", tls=True)
                position = server.value("select pg_current_wal_flush_lsn()")
                stream.start(f"START_REPLICATION {position}")
                stream.take_until_quiet()
                clients[what] = {"idle": idle, "stream": stream}
            for what, way in ways.items():
                for client in clients[what].values():
                    way(client)
                    wait_disconnected(server, client.pid)
                    client.close()
        log = server.log()
        for what in ways:
            for situation, client in clients[what].items():
                with self.subTest(way=what, situation=situation):
                    said = [line for line in log if line.pid == client.pid and line.severity == "LOG"
                            and line.sqlstate != "00000"]
                    lost = any(line.message.startswith(("SSL error: ", "could not receive"))
                               for line in said)
                    if what != "fin":  # there OpenSSL decides
                        self.assertEqual(lost, what == "rst", said)
                    self.assertTrue(said or situation == "idle", "a stream's end is always logged")
                    eof = "client_eof" if said or server.major >= 14 else SILENT_EOF
                    end = self.ending(record, client.pid, "connection_lost" if lost else eof, 0)
                    told = (said[0].sqlstate, said[0].message, said[0].location) if said else (None,) * 3
                    self.assertEqual((end["sqlstate"], end["message"], end["location"]), told)
                    last = record.history(client.pid)[-1]
                    if situation == "stream":
                        self.assertEqual((last["outcome"], last["sqlstate"], last["message"],
                                          last["location"]), ("error", *told))
                    else:
                        self.assertEqual((last["command"], last["outcome"]), ("IDENTIFY_SYSTEM", "ok"))
        self.assertEqual(differences(server, record), [])

    def test_logical_walsenders_that_time_out(self):
        """One has nothing to send, and one cannot send what it has; neither is answered."""
        server = secured()
        quick = {"options": "-c wal_sender_timeout=1500"}
        # A walsender of 13 that is stuck and told of another setting waits for its client for ever (ClientWrite).
        is_old = server.major < 14
        stuck = {"options": "-c wal_sender_timeout=20s"} if is_old else {}
        clients = {}
        with recording(server) as record:
            for what in ("waits", "stuck"):
                name = f"g_logical_{what}"
                server.create_logical_slot(name)
                client = replication_client.connect(server, "database", name, database="postgres",
                                                    **(quick if what == "waits" else stuck))
                clients[what] = client.start(f"START_REPLICATION SLOT {name} LOGICAL 0/0")
            wait_disconnected(server, clients["waits"].pid)
            server.sql("select pg_logical_emit_message(false, 'g', repeat('x', 1000000)) "
                       "from generate_series(1, 40)")
            wait_stuck(server, "g_logical_stuck")
            if not is_old:
                server.sql("alter system set wal_sender_timeout = '1500ms'")
                server.sql("select pg_reload_conf()")
            try:
                wait_disconnected(server, clients["stuck"].pid)
            finally:
                server.sql("alter system reset wal_sender_timeout")
                server.sql("select pg_reload_conf()")
            for what, client in clients.items():
                client.close()
                server.sql(f"select pg_drop_replication_slot('g_logical_{what}')")
        for what, client in clients.items():
            with self.subTest(what=what):
                line, = [line for line in server.log() if line.pid == client.pid
                         and line.message == "terminating walsender process due to replication timeout"]
                end = self.ending(record, client.pid, "replication_timeout", 0)
                last = record.history(client.pid)[-1]
                for seen in (end, last):
                    self.assertEqual((seen["severity"], seen["sqlstate"], seen["message"], seen["location"]),
                                     (line.severity, line.sqlstate, line.message, line.location))
                self.assertEqual((last["kind"], last["outcome"], record.session(client.pid)["kind"]),
                                 ("START_REPLICATION", "error", "logical"))
        self.assertEqual(differences(server, record), [])
        self.assertEqual(len(differences(server, Tampered(record))), 2)

    def test_connections_found_before_they_are_let_in(self):
        server = primary()
        clients = {what: asked_for_password(server, f"g_found_{what}") for what in ("leaves", "wrong", "right")}
        ticks = {what: start_ticks(pid) for what, (_, pid) in clients.items()}
        with recording(server) as record:
            clients["leaves"][0].close()
            with self.assertRaises(ServerError):
                clients["wrong"][0].answer_password("wrong")
            clients["right"][0].answer_password(server.password)
            clients["right"][0].wait_ready()
            clients["right"][0].query("IDENTIFY_SYSTEM")
            clients["right"][0].terminate()
            for what, (_, pid) in clients.items():
                wait_gone(pid, ticks[what])
            clients["wrong"][0].close()
        for what, reason in (("leaves", "client_eof"), ("wrong", "refused"), ("right", "client_terminated")):
            with self.subTest(what=what):
                pid = clients[what][1]
                self.assertTrue(record.session(pid)["was_running"])
                end = self.ending(record, pid, reason)
                if what == "wrong":
                    self.said_in_log(server, pid, end)
                self.assertEqual(record.timeline(pid)[0]["state"], "starting")
                self.assertFalse([entry for entry in record.timeline(pid) if entry["state"] == "unknown"])

    def test_a_slot_that_was_not_created_is_none_of_a_found_sessions(self):
        server = primary()
        writer = Connection("127.0.0.1", server.port).log_in(server.password, user="postgres",
                                                             database="postgres")
        writer.query("begin; select pg_current_xact_id()")  # what a new slot has to wait for
        application = "g_found_slot"
        client = connect(server, "database", application, database="postgres")
        client.send("Q", b"CREATE_REPLICATION_SLOT g_slot LOGICAL test_decoding\0")
        wait_for("the slot to wait", lambda: server.sql(
            f"select 1 from pg_stat_activity where pid = {client.pid} and wait_event_type = 'Lock'"))
        with recording(server) as record:
            server.sql(f"select pg_cancel_backend({client.pid})")
            with self.assertRaises(ServerError):
                client.receive_until("Z")
            client.wait_ready()
            self.assertEqual(server.sql("select 1 from pg_replication_slots where slot_name = 'g_slot'"), [])
            client.terminate()
            wait_disconnected(server, client.pid)
            writer.close()
        self.assertIsNone(record.session(client.pid)["slot"])
        entry, = record.history(client.pid)
        self.assertEqual((entry["outcome"], entry["sqlstate"]), ("error", "57014"))
        self.assertEqual(differences(server, record), [])

    def test_half_a_message_is_the_clients_end(self):
        server = primary()
        with recording(server) as record:
            client = connect(server, "true", "g_half")
            client.socket.sendall(b"Q\0\0\0\x50IDENTIFY")
            client.close()
            wait_disconnected(server, client.pid)
        self.said_in_log(server, client.pid, self.ending(record, client.pid, "client_eof", 0))

    def test_a_server_that_keeps_timeouts_and_lost_clients_to_itself(self):
        server = primary()
        quiet = {"options": "-c log_min_messages=fatal -c wal_sender_timeout=500"}
        with recording(server) as record:
            clients = {what: streaming(server, f"g_quiet_{what}", **quiet)
                       for what in ("timeout", "eof", "goodbye")}
            ticks = {what: start_ticks(client.pid) for what, client in clients.items()}
            clients["eof"].close()
            clients["goodbye"].terminate()
            for what, client in clients.items():
                wait_gone(client.pid, ticks[what])
            clients["timeout"].close()
            between = {what: connect(server, "database", f"g_between_{what}", database="postgres", **quiet)
                       for what in ("eof", "goodbye", "admin")}
            ticks = {what: start_ticks(client.pid) for what, client in between.items()}
            for client in between.values():
                with contextlib.suppress(ServerError):
                    client.query("select 1/0")
            between["eof"].close()
            between["goodbye"].terminate()
            server.sql(f"select pg_terminate_backend({between['admin'].pid})")
            for what, client in between.items():
                wait_gone(client.pid, ticks[what])
            between["admin"].close()
        for what, client in clients.items():
            with self.subTest(streaming=what):
                self.assertFalse([line for line in server.log() if line.pid == client.pid
                                  and "terminating" in line.message])
                self.ending(record, client.pid, "unknown", 0)
                self.assertEqual([entry["outcome"] for entry in record.history(client.pid)], ["lost"])
        eof = "client_eof" if server.major >= 14 else SILENT_EOF
        for what, reason in (("eof", eof), ("goodbye", "client_terminated"),
                             ("admin", "admin_terminated")):
            with self.subTest(between=what):
                self.ending(record, between[what].pid, reason)
                first = record.history(between[what].pid)[0]
                self.assertEqual((first["outcome"], first["sqlstate"]), ("error", "22012"))
