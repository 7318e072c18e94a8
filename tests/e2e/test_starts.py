# SPDX-License-Identifier: BSD-2-Clause
"""How sessions begin, and how connections are refused: with the server's own words, and how long it took."""

import contextlib
import os
import re
import signal
import struct
import time

import walscope
from cluster import Server
from live import LiveTest, once, primary, recording, space, standby, wait_disconnected
from processes import parents, wait_for
from protocol import Connection, ServerError, connect

ERROR = re.compile(r"(ERROR|FATAL): {2}(\w{5}): (.*)")
PAUSE = 0.3
PHASES = ["startup_packet_ns", "authentication_ns", "init_postgres_ns", "init_wal_sender_ns",
          "first_command_ns"]


@once
def door():
    """A server for what must not be done to the shared one: few walsenders, TLS, a Unix socket."""
    server = Server(space(), "door", {"max_wal_senders": "2", "max_connections": "20", "ssl": "on",
                                      "ssl_cert_file": "'door.crt'", "ssl_key_file": "'door.key'",
                                      "superuser_reserved_connections": "0"})
    server.create()
    crt, key = os.path.join(server.data, "door.crt"), os.path.join(server.data, "door.key")
    space().run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                 "/CN=door", "-keyout", key, "-out", crt], name="openssl", user=server.user)
    os.chmod(key, 0o600)
    with open(os.path.join(server.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
        conf.write(f"unix_socket_directories = '{server.dir}'\n")
    with open(os.path.join(server.data, "pg_hba.conf"), "w", encoding="utf-8") as hba:
        hba.write("local all,replication postgres scram-sha-256\n"
                  "host all,replication postgres 127.0.0.1/32 scram-sha-256\n"
                  "host all guest 127.0.0.1/32 scram-sha-256\n"
                  "host replication barred 127.0.0.1/32 reject\n"
                  "host all,replication plain 127.0.0.1/32 scram-sha-256\n")
    server.start()
    server.sql("create role guest login replication; create role barred login replication;"
               f"create role plain login password '{server.password}'")
    return server


def fatal_line(server, message, since):
    """The FATAL of this message in the server's log, once its process has ended."""
    def found():
        lines = [line for line in server.log() if line.time >= since - 0.01 and line.severity == "FATAL"
                 and message in line.message]
        return lines and lines[-1]  # it is logged before the client is told

    line = wait_for(f"a FATAL with {message!r} in the log of {server.name}", found)
    line.since = since
    wait_for(f"the end of {line.pid}", lambda: line.pid not in parents())
    return line


def children(server):
    return {pid for pid, parent in parents().items() if parent == server.pid}


class Starts(LiveTest):
    def expect_refused(self, record, error, line):
        """The one session of this process ended as the client and the server's log say."""
        told = ("FATAL", error.fields["sqlstate"], error.fields["message"], error.location)
        self.assertEqual(told, (line.severity, line.sqlstate, line.message, line.location),
                         "client and log")
        session = record.session(line.pid)
        end = session["exit"]
        self.assertEqual(end["reason"], "refused")
        self.assertEqual((end["severity"], end["sqlstate"], end["message"], end["location"]), told)
        self.assertEqual(session["commands"], 0)
        entries = record.history(line.pid)
        self.assertEqual([(entry["command"], entry["kind"], entry["outcome"], entry["severity"],
                           entry["sqlstate"], entry["message"], entry["location"], entry["message_type"])
                          for entry in entries], [(None, None, "error", *told, None)])
        # The log's time is taken behind it, and has ms.
        self.assertLessEqual(walscope.seconds(entries[0]["start"]), line.time + 0.001)
        self.assertGreaterEqual(walscope.seconds(entries[0]["start"]), line.since)
        return session

    def refuse(self, server, message, password=None, **parameters):
        """Connects and is refused: the ServerError, and the line of the log."""
        since = time.time()
        with Connection("127.0.0.1", server.port) as client, self.assertRaises(ServerError) as caught:
            client.startup(**parameters)
            client.wait_password_request()
            client.answer_password(password)
            client.wait_ready()
        return caught.exception, fatal_line(server, message, since)

    # -- refused

    def test_a_value_of_replication_that_is_none_is_a_refused_session(self):
        server = primary()
        with recording(server) as record:
            early, early_line = self.refuse(server, '"replication": "2"', user="postgres",
                                            application_name="s_before", replication="2")
            late, late_line = self.refuse(server, '"replication": "maybe"', user="postgres",
                                          replication="maybe", database="somewhere",
                                          application_name="s_behind")
        self.assertEqual(early.fields["sqlstate"], "22023")
        session = self.expect_refused(record, early, early_line)
        self.assertEqual((session["user"], session["application_name"], session["replication"]),
                         ("postgres", "s_before", None))
        self.assertEqual(session["postmaster_pid"], server.pid)
        self.assertTrue(session["client"].startswith("127.0.0.1:"), session["client"])
        session = self.expect_refused(record, late, late_line)
        # What stands behind it in the packet was never read.
        self.assertEqual((session["user"], session["database"], session["application_name"]),
                         ("postgres", None, None))

    def test_a_wrong_password_is_a_refused_session(self):
        server = primary()
        with recording(server) as record:
            error, line = self.refuse(server, "password authentication failed", password="wrong",
                                      user="postgres", replication="true", application_name="s_password")
        self.assertEqual(error.fields["sqlstate"], "28P01")
        session = self.expect_refused(record, error, line)
        self.assertEqual((session["application_name"], session["replication"]), ("s_password", "physical"))
        phases = session["start_phases"]
        self.assertGreater(phases["startup_packet_ns"], 0)
        self.assertEqual([phases[name] for name in PHASES[1:]], [None] * 4, "it came no further")

    def test_a_connection_without_an_entry_in_pg_hba_is_a_refused_session(self):
        server = door()
        with recording(server) as record:
            error, line = self.refuse(server, "no pg_hba.conf entry for replication", user="guest",
                                      replication="true", application_name="s_hba")
        self.assertEqual(error.fields["sqlstate"], "28000")
        session = self.expect_refused(record, error, line)
        self.assertEqual((session["user"], session["application_name"]), ("guest", "s_hba"))

    def test_a_connection_that_pg_hba_rejects_is_a_refused_session(self):
        server = door()
        with recording(server) as record:
            error, line = self.refuse(server, "pg_hba.conf rejects replication connection", user="barred",
                                      replication="true", application_name="s_reject")
        self.assertEqual(error.fields["sqlstate"], "28000")
        session = self.expect_refused(record, error, line)
        self.assertEqual((session["user"], session["application_name"], session["replication"]),
                         ("barred", "s_reject", "physical"))
        self.assertIsNone(session["start_phases"]["init_postgres_ns"], "it came no further")

    def test_a_role_that_may_not_replicate_is_a_refused_session(self):
        server = door()
        words = "permission denied to start WAL sender" if server.major >= 16 else "replication role"
        for replication, database in (("true", None), ("database", "postgres")):
            with self.subTest(replication=replication):
                parameters = {"database": database} if database else {}
                with recording(server) as record:
                    error, line = self.refuse(server, words, password=server.password,
                                              user="plain", replication=replication,
                                              application_name="s_plain", **parameters)
                self.assertEqual(error.fields["sqlstate"], "42501")
                session = self.expect_refused(record, error, line)
                self.assertEqual((session["user"], session["database"], session["application_name"]),
                                 ("plain", database, "s_plain"))
                # The password was right: it got that far.
                self.assertGreater(session["start_phases"]["authentication_ns"], 0)

    def test_a_server_with_too_many_connections_refuses_sessions(self):
        """Connections that tell nothing of themselves take the places (MaxLivePostmasterChildren)."""
        server = Server(space(), "crowded", {
            "max_connections": "4", "superuser_reserved_connections": "0", "max_wal_senders": "2",
            "autovacuum_max_workers": "1", "max_worker_processes": "0",
            "max_logical_replication_workers": "0", "authentication_timeout": "'600s'"}).create().start()
        places = 2 * (4 + 1 + 1 + 2 + 0)
        with recording(server) as record, contextlib.ExitStack() as silent:
            before = children(server)
            for _ in range(places):
                silent.enter_context(Connection("127.0.0.1", server.port))
            wait_for("the server to be full", lambda: len(children(server) - before) >= places)
            pids = children(server) - before
            error, line = self.refuse(server, "too many clients", user="postgres", replication="true",
                                      application_name="s_crowd")
            plain, plain_line = self.refuse(server, "too many clients", user="postgres",
                                            database="postgres")
        self.assertEqual((error.fields["sqlstate"], plain.fields["sqlstate"]), ("53300", "53300"))
        session = self.expect_refused(record, error, line)
        self.assertEqual((session["user"], session["application_name"], session["replication"],
                          session["postmaster_pid"]), ("postgres", "s_crowd", "physical", server.pid))
        self.assertEqual(record.sessions(plain_line.pid), [])
        self.assertEqual([pid for pid in pids if record.sessions(pid)], [], "those that said nothing")
        server.stop()

    # -- start-up packets that the server takes for none, by what it had read before it said so

    def refuse_packet(self, server, message, parameters, **how):
        since = time.time()
        with Connection("127.0.0.1", server.port) as client, self.assertRaises(ServerError) as caught:
            client.startup_packet(parameters, **how)
            client.receive()
        return caught.exception, fatal_line(server, message, since)

    def test_a_packet_with_something_behind_its_end_is_a_refused_session(self):
        """Its parameters had been read: it was to be a walsender."""
        server = primary()
        parameters = {"user": "postgres", "application_name": "s_behind_end"}
        with recording(server) as record:
            error, line = self.refuse_packet(server, "invalid startup packet layout",
                                             {**parameters, "replication": "database"}, end=b"\0more")
            _, plain = self.refuse_packet(server, "invalid startup packet layout", parameters,
                                          end=b"\0more")
        self.assertEqual(error.fields["sqlstate"], "08P01")
        session = self.expect_refused(record, error, line)
        self.assertEqual((session["user"], session["application_name"], session["replication"]),
                         ("postgres", "s_behind_end", "database"))
        self.assertNotEqual(plain.pid, line.pid)
        self.assertEqual(record.sessions(plain.pid), [])

    def user_in_log(self, server, pid):
        """What the csv log has in its column of the user, as it is written: nothing for none, "" for an
        empty one."""
        with open(server._log.path, encoding="utf-8") as file:  # pylint: disable=protected-access
            lines = [line.split(",") for line in file]
        seen = {fields[1] for fields in lines if len(fields) > 3 and fields[3] == str(pid)
                and "no PostgreSQL user name" in ",".join(fields)}
        self.assertEqual(len(seen), 1, seen)
        return seen.pop()

    def test_a_packet_without_a_user_is_a_refused_session(self):
        """A user that was not named is not known; one that was named "" is that."""
        server = primary()
        message = "no PostgreSQL user name specified"
        with recording(server) as record:
            none = self.refuse_packet(server, message, {"replication": "true", "application_name": "s_none"})
            empty = self.refuse_packet(server, message, {"user": "", "replication": "true",
                                                         "application_name": "s_empty"})
        for (error, line), written, user in ((none, "", None), (empty, '""', "")):
            with self.subTest(user=user):
                self.assertEqual(error.fields["sqlstate"], "28000")
                self.assertEqual(self.user_in_log(server, line.pid), written)
                self.assertEqual(self.expect_refused(record, error, line)["user"], user)

    def test_a_packet_of_another_protocol_is_no_session(self):
        """The server does not read what else is in it."""
        server = primary()
        with recording(server) as record:
            error, line = self.refuse_packet(server, "unsupported frontend protocol",
                                             {"user": "postgres", "replication": "true"}, version=4 << 16)
            with connect(server, application="s_proper") as client:
                pid = client.pid
            wait_disconnected(server, pid)
        self.assertEqual((error.fields["sqlstate"], line.backend_type), ("0A000", "not initialized"))
        self.assertEqual([entry["pid"] for entry in record.view("sessions")
                          if entry["pid"] in (line.pid, pid)], [pid])

    def test_a_database_that_is_not_there_is_a_refused_session(self):
        server = primary()
        with recording(server) as record:
            error, line = self.refuse(server, "nosuchdb", password=server.password, user="postgres",
                                      database="nosuchdb", replication="database")
        self.assertEqual(error.fields["sqlstate"], "3D000")
        session = self.expect_refused(record, error, line)
        self.assertEqual((session["database"], session["replication"]), ("nosuchdb", "database"))
        self.assertGreater(session["start_phases"]["authentication_ns"], 0)

    def test_one_more_than_max_wal_senders_is_a_refused_session(self):
        server = door()
        with recording(server) as record, contextlib.ExitStack() as clients:
            for number in range(2):
                clients.enter_context(connect(server, application=f"s_full{number}"))
            error, line = self.refuse(server, "max_wal_senders", password=server.password, user="postgres",
                                      replication="true", application_name="s_too_many")
        self.assertEqual(error.fields["sqlstate"], "53300")
        session = self.expect_refused(record, error, line)
        self.assertEqual((session["application_name"], session["user"], session["postmaster_pid"]),
                         ("s_too_many", "postgres", server.pid))

    def test_a_server_that_shuts_down_refuses_sessions(self):
        server = Server(space(), "closing").create().start()
        # A smart shutdown waits for this one.
        idle = server.start_program(["psql", "-X", "-d", server.conninfo(database="postgres"), "-c",
                                     "select pg_sleep(60)"], name="idle")
        wait_for("the query to run", lambda: server.value(
            "select count(*) from pg_stat_activity where query like 'select pg_sleep%'") == "1")
        with recording(server) as record:
            server.process.signal(signal.SIGTERM)
            wait_for("the shutdown to begin", lambda: any("smart shutdown" in line.message
                                                          for line in server.log()))
            error, line = self.refuse(server, "the database system is shutting down", user="postgres",
                                      replication="true", application_name="s_closing")
            self.assertEqual(error.fields["sqlstate"], "57P03")
            record.end()
        session = self.expect_refused(record, error, line)
        self.assertEqual((session["application_name"], session["replication"]), ("s_closing", "physical"))
        idle.stop()
        server.stop(signal.SIGINT)

    def test_a_server_that_starts_up_refuses_sessions(self):
        """The startup process waits for a restore_command."""
        server = Server(space(), "opening", {"restore_command": "'sleep 300; false'"}).copy_of(primary())
        os.unlink(os.path.join(server.data, "standby.signal"))
        with open(os.path.join(server.data, "recovery.signal"), "w", encoding="ascii"):
            pass
        server.process = server.launch()
        wait_for("the server to listen", lambda: any("listening on" in line.message
                                                     for line in server.log()))
        with recording(server) as record:
            error, line = self.refuse(server, "the database system is", user="postgres",
                                      replication="database", database="postgres",
                                      application_name="s_opening")
            self.assertEqual(error.fields["sqlstate"], "57P03")
            self.assertRegex(error.fields["message"], "starting up|not yet accepting connections")
            record.end()
        session = self.expect_refused(record, error, line)
        self.assertEqual((session["application_name"], session["replication"]), ("s_opening", "database"))
        server.stop(signal.SIGQUIT)

    def test_a_server_that_recovers_from_a_crash_refuses_sessions(self):
        """One backend crashes while another one cannot hear that it has to go: the postmaster waits for it."""
        server = Server(space(), "crashing").create().start()
        with connect(server, "false") as crashes, connect(server, "false") as stays:
            with recording(server) as record:
                os.kill(stays.pid, signal.SIGSTOP)
                try:
                    os.kill(crashes.pid, signal.SIGKILL)
                    wait_for("the crash to be seen", lambda: any(
                        "terminating any other active server processes" in line.message
                        for line in server.log()))
                    error, line = self.refuse(server, "recovery mode", user="postgres", replication="true",
                                              application_name="s_crashing")
                finally:
                    os.kill(stays.pid, signal.SIGCONT)
                self.assertEqual(error.fields["sqlstate"], "57P03")
                wait_for("the server to be back", lambda: any(
                    "ready to accept connections" in entry.message and entry.time > line.time
                    for entry in server.log()))
        session = self.expect_refused(record, error, line)
        self.assertEqual(session["application_name"], "s_crashing")
        server.stop(signal.SIGINT)

    def test_refused_ordinary_connections_are_no_sessions(self):
        server = primary()
        with recording(server) as record:
            self.refuse(server, "password authentication failed", password="wrong", user="postgres")
            # The same SQLSTATE as replication=2, of another function.
            error, line = self.refuse(server, "nosuchstyle", password=server.password, user="postgres",
                                      DateStyle="nosuchstyle")
            self.assertEqual(error.fields["sqlstate"], "22023")
        self.assertEqual(record.sessions(line.pid), [])
        self.assertEqual([entry["session"] for entry in record.view("sessions")
                          if entry["exit"]["reason"] == "refused"], [])

    def test_an_idle_session_the_administrator_ends_has_its_error_without_a_command(self):
        server = primary()
        with recording(server) as record:
            with connect(server, application="s_idle") as client:
                client.query("IDENTIFY_SYSTEM")
                server.sql(f"select pg_terminate_backend({client.pid})")
                with self.assertRaises(ServerError) as caught:
                    client.receive()
                wait_disconnected(server, client.pid)
        error = caught.exception
        self.assertEqual(error.fields["sqlstate"], "57P01")
        entries = record.history(client.pid)
        self.assertEqual([(entry["command"], entry["kind"], entry["outcome"], entry["severity"],
                           entry["sqlstate"], entry["message"], entry["location"]) for entry in entries[1:]],
                         [(None, None, "error", "FATAL", "57P01", error.fields["message"], error.location)])
        self.assertEqual(record.session(client.pid)["commands"], 1)

    def test_an_error_only_the_log_has_is_the_one_the_session_ended_with(self):
        """A client that goes away in the middle of a message."""
        server = primary()
        with recording(server) as record:
            with connect(server, application="s_half") as client:
                client.query("IDENTIFY_SYSTEM")
                client.socket.sendall(b"Q" + struct.pack("!I", 100) + b"IDENTIFY")
            wait_disconnected(server, client.pid)
        line = [line for line in server.log() if line.pid == client.pid and line.sqlstate != "00000"][-1]
        end = record.session(client.pid)["exit"]
        self.assertEqual((end["severity"], end["sqlstate"], end["message"], end["location"]),
                         (line.severity, line.sqlstate, line.message, line.location))
        self.assertEqual(line.severity, "LOG")
        self.assertEqual([entry["command"] for entry in record.history(client.pid)], ["IDENTIFY_SYSTEM"])

    def test_text_shows_refusals_as_psql_does(self):
        server = primary()
        with recording(server) as record:
            psql = server.start_program(
                ["psql", "-X", "-d", server.conninfo(application="s_text", replication="2"), "-c",
                 "IDENTIFY_SYSTEM"], name="s_text")
            psql.expect(2)
        message = re.search(r"FATAL: {2}(.*)", psql.err)[1]
        for command in ("sessions", "history"):
            seen = space().run([walscope.binary(), command, record.file, "-v"], name=f"text-{command}").out
            self.assertEqual(ERROR.findall(seen), [("FATAL", "22023", message)], seen)
            self.assertRegex(seen, r"LOCATION: {2}ProcessStartupPacket, (postmaster|backend_startup).c:\d+")

    # -- what is a walsender

    def test_values_of_replication_are_told_apart_as_the_server_does(self):
        server = primary()
        values = {"0": None, "false": None, "off": None, "no": None, "1": "physical", "true": "physical",
                  "on": "physical", "yes": "physical", "database": "database"}
        pids = {}
        with recording(server) as record:
            for value in values:
                with connect(server, value, f"s_value_{value}", database="postgres") as client:
                    pids[value] = client.pid
                    client.query("SHOW wal_level")
                    client.terminate()
                wait_disconnected(server, client.pid)
        types = {line.pid: line.backend_type for line in server.log() if line.backend_type}
        for value, expected in values.items():
            with self.subTest(value=value):
                self.assertEqual(types[pids[value]], "walsender" if expected else "client backend")
                sessions = record.sessions(pids[value])
                self.assertEqual([entry["replication"] for entry in sessions], [expected] if expected else [])
                self.assertEqual([entry["database"] for entry in sessions],
                                 ["postgres" if expected == "database" else None] if expected else [])

    # -- phases

    def start_slowly(self, server, host, tls=False):
        """Pauses in front of each step; returns the pid, and the client's own times."""
        marks = {"connect": time.monotonic()}
        before = children(server)
        with Connection(host, server.port) as client:
            wait_for("the backend", lambda: children(server) - before, every=0.001)
            time.sleep(PAUSE)
            if tls:
                client.start_tls()
            marks["packet"] = time.monotonic()
            client.startup(user="postgres", replication="true", application_name="s_slow")
            client.wait_password_request()
            marks["request"] = time.monotonic()
            time.sleep(2 * PAUSE)
            marks["password"] = time.monotonic()
            client.answer_password(server.password)
            client.wait_ready()
            marks["ready"] = time.monotonic()
            time.sleep(3 * PAUSE)
            marks["command"] = time.monotonic()
            client.query("IDENTIFY_SYSTEM")
            marks["end"] = time.monotonic()
            pid = client.pid
            client.terminate()
        wait_disconnected(server, pid)
        return pid, marks

    def expect_phases(self, record, pid, marks):
        """Each phase lasted at least as long as the client waited in it, and no longer than the time from
        the client's step before to its step behind; together they last from fork to first command."""
        session = record.session(pid)
        phases = session["start_phases"]
        self.assertEqual(sorted(phases), sorted(PHASES))
        seconds = {name: phases[name] / 1e9 for name in PHASES}
        whole = marks["end"] - marks["connect"]
        # The client's pause lies inside the phase, its neighbours' outside.
        for name, pause, at_most in (
                ("startup_packet_ns", PAUSE, marks["request"] - marks["connect"]),
                ("authentication_ns", 2 * PAUSE, marks["ready"] - marks["packet"]),
                ("first_command_ns", 3 * PAUSE, marks["end"] - marks["password"])):
            self.assertGreaterEqual(seconds[name], pause, f"{name}: {seconds}")
            self.assertLessEqual(seconds[name], at_most, f"{name}: {seconds}")
        # Behind the password, in front of ReadyForQuery; and a little beside the authentication.
        for name in ("init_postgres_ns", "init_wal_sender_ns"):
            self.assertGreater(seconds[name], 0)
        self.assertLessEqual(seconds["init_postgres_ns"] + seconds["init_wal_sender_ns"],
                             marks["ready"] - marks["password"] + marks["request"] - marks["packet"])
        self.assertLessEqual(sum(seconds.values()), whole)
        # The command of the history begins where the phases end.
        first = record.history(pid)[0]
        self.assertAlmostEqual(walscope.seconds(first["start"]) - walscope.seconds(session["start"]),
                               sum(seconds.values()), delta=1e-5)
        return session

    def test_phases_of_a_start_over_tcp(self):
        server = door()
        with recording(server) as record:
            pid, marks = self.start_slowly(server, "127.0.0.1")
        session = self.expect_phases(record, pid, marks)
        self.assertTrue(session["client"].startswith("127.0.0.1:"))

    def test_phases_of_a_start_over_tls(self):
        server = door()
        with recording(server) as record:
            pid, marks = self.start_slowly(server, "127.0.0.1", tls=True)
        self.expect_phases(record, pid, marks)
        authorized = [line.message for line in server.log()
                      if line.pid == pid and line.message.startswith("replication connection authorized")]
        self.assertIn("SSL enabled", authorized[0])

    def test_phases_of_a_start_over_a_unix_socket(self):
        server = door()
        with recording(server) as record:
            pid, marks = self.start_slowly(server, server.dir)
        self.assertEqual(self.expect_phases(record, pid, marks)["client"], "[local]")

    def test_a_session_found_running_has_no_phases(self):
        server = primary()
        with connect(server, application="s_found") as client:
            with recording(server) as record:
                client.query("IDENTIFY_SYSTEM")
            self.assertIsNone(record.session(client.pid)["start_phases"])
            self.assertEqual(record.session(client.pid)["replication"], "physical")

    def test_a_walsender_of_a_standby_is_cascading(self):
        pids = {}
        for server in (primary(), standby()):
            with recording(server) as record:
                with connect(server, application="s_cascade") as client:
                    pids[server.name] = client.pid
                    client.query("IDENTIFY_SYSTEM")
            trace = record.view("trace")
            seen = [entry for entry in trace if entry["event"] == "phase" and entry["pid"] == client.pid]
            self.assertEqual([entry["phase"] for entry in seen], ["auth_begin", "auth_end", "initialized"])
            in_recovery = server.value("select pg_is_in_recovery()") == "t"
            self.assertEqual([entry["flags"] for entry in seen],
                             [[], [], ["cascading"] if in_recovery else []])

    # -- messages a walsender refuses

    def test_messages_of_the_extended_protocol_are_refused_by_name(self):
        server = primary()
        bodies = [("P", "Parse", b"\0select 1\0\0\0"), ("B", "Bind", b"\0\0" + struct.pack("!HHH", 0, 0, 0)),
                  ("E", "Execute", b"\0" + struct.pack("!I", 0)), ("D", "Describe", b"S\0"),
                  ("C", "Close", b"S\0"), ("F", "FunctionCall", struct.pack("!IHHH", 1, 0, 0, 0))]
        expected = []
        with recording(server) as record:
            with connect(server, "database", "s_messages", database="postgres") as client:
                client.query("IDENTIFY_SYSTEM")
                for kind, name, body in bodies:
                    with self.assertRaises(ServerError) as caught:
                        client.send(kind, body)
                        client.receive_until("Z")
                    error = caught.exception
                    expected.append((None, None, "error", error.fields["severity"],
                                     error.fields["sqlstate"], error.fields["message"], error.location, name))
                    if kind != "F":  # the server skips everything up to a Sync, but for a function call
                        client.send("S")
                    client.wait_ready()
                client.query("SHOW wal_level")
                client.terminate()
            wait_disconnected(server, client.pid)
        self.assertEqual({entry[4] for entry in expected}, {"08P01"})
        entries = record.history(client.pid)
        self.assertEqual([(entry["command"], entry["kind"], entry["outcome"], entry["severity"],
                           entry["sqlstate"], entry["message"], entry["location"], entry["message_type"])
                          for entry in entries[1:-1]], expected)
        self.assertEqual([entry["message_type"] for entry in (entries[0], entries[-1])], [None, None])
        self.assertEqual(entries[-1]["outcome"], "ok")
        session = record.session(client.pid)
        self.assertEqual(session["commands"], 2)
        self.assertEqual((session["exit"]["reason"], session["exit"]["message"]), ("client_terminated", None))
        text = space().run([walscope.binary(), "history", record.file], name="text-history").out
        for _, name, _ in bodies:
            self.assertIn(f"({name} message)", text)

    def test_ordinary_backends_do_not_run_the_probe_of_refused_messages(self):
        """pgbench -M extended sends thousands of such messages. The recording ends with a note of the probes
        that never fired."""
        server = primary()

        def unfired(clients):
            with recording(server) as record:
                clients()
            return " ".join(entry["text"] for entry in record.view("trace") if entry["event"] == "note")

        def refused():
            with connect(server, application="s_fires") as client:
                client.send("S")
                client.send("P", b"\0select 1\0\0\0")
                with self.assertRaises(ServerError):
                    client.receive_until("1")

        def ordinary():
            connect(server, application="s_fires").close()
            server.pgbench(1, 1, "-M", "extended").expect(0)

        self.assertNotIn("message_refused", unfired(refused))
        self.assertIn("message_refused", unfired(ordinary))
