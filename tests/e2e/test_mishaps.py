# SPDX-License-Identifier: BSD-2-Clause
"""Commands that go wrong in ways of their own: each error is the one the client got and the log has."""

import contextlib
import struct

from histories import differences
from live import LiveTest, primary, recording, wait_disconnected
from processes import wait_for
from protocol import Connection, ServerError, connect


class Mishaps(LiveTest):
    def talk(self, client, *commands):
        """Sends commands one by one; what the client was told: (command, error or None)."""
        told = []
        for command in commands:
            try:
                client.query(command)
                told.append((command, None))
            except ServerError as error:
                told.append((command, (error.fields["sqlstate"], error.fields["message"], error.location)))
        return told

    def check(self, record, server, pid, told):
        """The history is what the client was told, and agrees with the log."""
        self.assertEqual([(entry["command"], entry["sqlstate"] and (
            entry["sqlstate"], entry["message"], entry["location"])) for entry in record.history(pid)], told)
        self.assertEqual(differences(server, record), [])

    def run_on_database(self, application, *commands):
        server = primary()
        with recording(server) as record:
            client = connect(server, "database", application, database="postgres",
                             options="-c log_statement=all")
            told = self.talk(client, *commands)
            client.terminate()
            wait_disconnected(server, client.pid)
        self.check(record, server, client.pid, told)
        return told

    def test_errors_inside_functions_triggers_and_constraints(self):
        told = self.run_on_database(
            "m_inside",
            "create temporary table m (i int primary key)",
            "create temporary table d (i int references m deferrable initially deferred)",
            "create function pg_temp.caught() returns int language plpgsql as $$begin begin perform 1/0; "
            "exception when division_by_zero then null; end; return 1; end$$",
            "create function pg_temp.twice() returns int language plpgsql as $$begin begin perform 1/0; "
            "exception when division_by_zero then raise exception 'again' using errcode = 'P0042'; end; end$$",
            "create function pg_temp.t() returns trigger language plpgsql as "
            "$$begin raise exception 'not %', new.i; end$$",
            "create trigger t before insert on m for each row when (new.i = 7) execute function pg_temp.t()",
            "select pg_temp.caught()", "select pg_temp.twice()", "insert into m values (7)",
            "insert into m values (1)", "insert into m values (1)",
            "begin; insert into d values (2); commit", "select 1; select 1/0; select 2",
            "begin", "savepoint s", "select 1/0", "IDENTIFY_SYSTEM", "rollback to s", "select 1", "commit",
            "", "do $$begin raise warning 'w'; raise log 'l'; end$$")
        self.assertEqual([error[0] for _, error in told if error],
                         ["P0042", "P0001", "23505", "23503", "22012", "22012", "25P02"])

    def test_timeouts_of_commands(self):
        holder = Connection("127.0.0.1", primary().port).log_in(primary().password, user="postgres",
                                                                database="postgres")
        holder.query("begin; lock pgbench_history")
        told = self.run_on_database("m_timeouts", "set statement_timeout = 500", "select pg_sleep(30)",
                                    "set statement_timeout = 0", "set lock_timeout = 100",
                                    "select * from pgbench_history", "IDENTIFY_SYSTEM")
        holder.close()
        self.assertEqual([error[0] for _, error in told if error], ["57014", "55P03"])

    def test_timeouts_between_commands(self):
        server = primary()
        cases = {"idle_session_timeout": ((), "57P05"),
                 "idle_in_transaction_session_timeout": (("begin",), "25P03")}
        with recording(server) as record:
            pids = {}
            for setting, (commands, _) in cases.items():
                client = connect(server, "database", f"m_{setting}", database="postgres",
                                 options=f"-c {setting}=100")
                self.talk(client, *commands)
                pids[setting] = client.pid
                wait_disconnected(server, client.pid)
                client.close()
        for setting, (commands, state) in cases.items():
            with self.subTest(setting=setting):
                line, = [line for line in server.log() if line.pid == pids[setting] and line.severity == "FATAL"]
                self.assertEqual(line.sqlstate, state)
                end = record.session(pids[setting])["exit"]
                self.assertEqual((end["reason"], end["code"], end["sqlstate"], end["message"], end["location"]),
                                 ("fatal", 1, state, line.message, line.location))
                *before, last = record.history(pids[setting])
                self.assertEqual([entry["command"] for entry in before], list(commands))
                self.assertEqual((last["command"], last["sqlstate"]), (None, state))

    def test_slots_that_cannot_be_used(self):
        server = primary()
        names = ("m_active", "m_logical")
        for name in names:
            server.create_logical_slot(name)
        server.sql("create database m_other")
        server.create_logical_slot("m_elsewhere", database="m_other")
        with recording(server) as record:
            user = connect(server, "database", "m_user", database="postgres")
            user.send("Q", b"START_REPLICATION SLOT m_active LOGICAL 0/0\0")
            user.receive_until("W")
            client = connect(server, "database", "m_slots", database="postgres")
            told = self.talk(client, "START_REPLICATION SLOT m_active LOGICAL 0/0", "DROP_REPLICATION_SLOT m_active",
                             "START_REPLICATION SLOT m_elsewhere LOGICAL 0/0",
                             "START_REPLICATION SLOT m_logical PHYSICAL 0/0", "START_REPLICATION SLOT m_none 0/0",
                             "CREATE_REPLICATION_SLOT m_logical LOGICAL test_decoding",
                             "CREATE_REPLICATION_SLOT m_new LOGICAL m_no_such_plugin",
                             "START_REPLICATION SLOT m_logical LOGICAL 0/0 (\"nosuch\" 'x')",
                             "START_REPLICATION 7F/0", "START_REPLICATION 0/1000000 TIMELINE 9",
                             "TIMELINE_HISTORY 9")
            client.terminate()
            wait_disconnected(server, client.pid)
            user.terminate()
            wait_disconnected(server, user.pid)
        for name in names:
            server.sql(f"select pg_drop_replication_slot('{name}')")
        server.run(["psql", "-X", "-d", server.conninfo(database="m_other"), "-c",
                    "select pg_drop_replication_slot('m_elsewhere')"])
        server.sql("drop database m_other")
        self.assertTrue(all(error for _, error in told), told)
        self.check(record, server, client.pid, told)
        self.assertIsNone(record.session(client.pid)["slot"])
        self.assertEqual(record.session(user.pid)["slot"], "m_active")

    def test_commands_of_one_packet(self):
        server = primary()
        commands = ["IDENTIFY_SYSTEM", "select 1/0", "SHOW work_mem", "select 2", "SHOW nosuch", "select 3"]
        with recording(server) as record:
            client = connect(server, "database", "m_packet", database="postgres",
                             options="-c log_statement=all")
            client.socket.sendall(b"".join(
                b"Q" + struct.pack("!I", len(command) + 5) + command.encode() + b"\0" for command in commands)
                + b"X" + struct.pack("!I", 4))
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    with contextlib.suppress(ServerError):
                        client.receive()
            client.close()
            wait_disconnected(server, client.pid)
        self.assertEqual([(entry["command"], entry["sqlstate"]) for entry in record.history(client.pid)],
                         list(zip(commands, (None, "22012", None, None, "42704", None))))
        self.assertEqual(record.session(client.pid)["exit"]["reason"], "client_terminated")
        self.assertEqual(differences(server, record), [])

    def test_a_copy_that_its_client_gives_up(self):
        server = primary()
        with recording(server) as record:
            client = connect(server, "database", "m_copy", database="postgres", options="-c log_statement=all")
            told = self.talk(client, "create temporary table t (i int)")
            for answer in (("f", b"no more\0"), ("d", b"one\n")):
                client.send("Q", b"COPY t FROM STDIN\0")
                client.receive_until("G")
                client.send(*answer)
                if answer[0] == "d":
                    client.send("c")
                with self.assertRaises(ServerError) as caught:
                    client.receive_until("Z")
                client.wait_ready()
                error = caught.exception
                told.append(("COPY t FROM STDIN",
                             (error.fields["sqlstate"], error.fields["message"], error.location)))
            client.terminate()
            wait_disconnected(server, client.pid)
        self.assertEqual([error[0] for _, error in told if error], ["57014", "22P02"])
        self.check(record, server, client.pid, told)

    def test_a_database_dropped_under_its_walsender(self):
        server = primary()
        server.sql("create database m_doomed")
        with recording(server) as record:
            client = connect(server, "database", "m_doomed", database="m_doomed")
            dropper = Connection("127.0.0.1", server.port).log_in(server.password, user="postgres",
                                                                  database="postgres")
            dropper.query("drop database m_doomed with (force)")
            wait_for("the walsender's end", lambda: any(
                line.pid == client.pid and line.severity == "FATAL" for line in server.log()))
            wait_disconnected(server, client.pid)
            client.close()
            dropper.terminate()
        end = record.session(client.pid)["exit"]
        self.assertEqual((end["reason"], end["sqlstate"]), ("admin_terminated", "57P01"))
        self.assertEqual((end["signal_by"]["pid"], end["signal_by"]["role"]), (dropper.pid, "backend"))
