# SPDX-License-Identifier: BSD-2-Clause
"""Which program a client is, whatever it calls itself. What it really is says who started it."""

import re
import time

from cluster import LOG_SQL, LogKept, Server
from histories import differences, missing
from live import (LiveTest, once, primary, recording, space, standby, wait_caught_up, wait_disconnected,
                  walsender_pids)
from processes import command_line, wait_for


@once
def subscriber():
    return Server(space(), "subscriber").create().start()


@once
def cascade():
    """A standby of the standby."""
    server = Server(space(), "cascade").copy_of(standby()).start()
    standby().wait_walsender("cascade")
    return server


class Seen:
    """One recording of clients under names that mislead; by name: their walsenders, by the log."""

    def __init__(self, server, record):
        self.server, self.record = server, record
        self.begin, self.end = time.time(), float("inf")

    def pids(self, application):
        began = {line.pid for line in self.server.log() if self.begin <= line.time <= self.end}
        found = [pid for pid in walsender_pids(self.server, application, self.begin) if pid in began]
        if not found:
            raise AssertionError(f"the server's log has no walsender of {application}")
        return found

    def sessions(self, application):
        return [self.record.session(pid) for pid in self.pids(application)]

    def that_ran(self, application, beginning):
        """The walsenders of a name that got a command with this beginning (a pattern), by the log."""
        return [pid for pid in self.pids(application)
                if any(re.match(beginning, text) for _, text in self.server.logged_commands(pid))]


def walsenders_end(server, application, since):
    for pid in walsender_pids(server, application, since):
        wait_disconnected(server, pid)


def receive(seen, application, *options):
    """pg_receivewal from its start to its end."""
    receiver = seen.server.receivewal(application, "-s", "1", *options)
    seen.server.wait_walsender(application)
    wait_caught_up(seen.server, application)
    receiver.stop()


def manage_slots(seen):
    """The programs that create and drop slots and do nothing else."""
    server = seen.server
    for application, *argv in (
            ("m_receive_create", "pg_receivewal", "--create-slot", "-S", "m_physical"),
            ("m_receive_drop", "pg_receivewal", "--drop-slot", "-S", "m_physical"),
            ("m_logical_create", "pg_recvlogical", "--create-slot", "-S", "m_logical", "-P",
             "test_decoding")):
        database = "postgres" if argv[0] == "pg_recvlogical" else None
        server.run([*argv, "-d", server.conninfo(application=application, database=database)])
    receiver = server.recvlogical("m_logical", application="walreceiver")
    server.wait_walsender("walreceiver")
    receiver.stop()
    server.run(["pg_recvlogical", "--drop-slot", "-S", "m_logical", "-d",
                server.conninfo(application="m_logical_drop", database="postgres")])


def subscribe(seen, name, **more):
    """A subscription of a table with rows, until it is in sync and has got a change; then it is dropped."""
    server, other = seen.server, subscriber()
    server.sql(f"create table {name} (i int primary key); insert into {name} select generate_series(1, 5000);"
               f"create publication {name} for table {name}")
    other.sql(f"create table {name} (i int primary key)")
    how = server.conninfo(database="postgres", password=server.password, **LOG_SQL, **more).replace("'", "''")
    other.sql(f"create subscription {name} connection '{how}' publication {name}")
    wait_for(f"the subscription {name} to be in sync", lambda: other.sql(
        "select 1 from pg_subscription_rel join pg_subscription on oid = srsubid "
        f"where subname = '{name}' and srsubstate = 'r'"))
    server.sql(f"insert into {name} values (0)")
    wait_for("the change to arrive", lambda: other.value(f"select count(*) from {name}") == "5001")
    worker = other.value(f"select pid from pg_stat_subscription where subname = '{name}' and relid is null")
    seen.worker_line = command_line(int(worker))
    other.sql(f"drop subscription {name}")


@once
def clients():
    server = primary()
    standby()
    subscriber()
    with recording(server) as record:
        seen = Seen(server, record)
        first = server.wait_walsender("standby")["pid"]
        server.sql(f"select pg_terminate_backend({first})")
        wait_for("the standby to come back", lambda: [
            row for row in server.walsenders("standby") if row["state"] == "streaming" and row["pid"] != first])
        server.write_wal(1)
        wait_caught_up(server, "standby")

        receive(seen, "pg_recvlogical")
        server.sql("select pg_create_physical_replication_slot('m_slot', true)")
        receive(seen, "m_slot", "-S", "m_slot")
        server.sql("select pg_drop_replication_slot('m_slot')")
        manage_slots(seen)

        backups = [server.basebackup("pg_receivewal"),
                   server.basebackup("m_fetch", "-X", "fetch"),
                   server.basebackup("m_none", "-X", "none"),
                   server.basebackup("m_own_slot", "-C", "-S", "m_own_slot"),
                   server.basebackup("m_no_slot", "--no-slot")]
        for backup in backups:
            backup.expect()
        server.sql("select pg_drop_replication_slot('m_own_slot')")

        server.replication_psql(["IDENTIFY_SYSTEM"], application="psql", physical=True)
        server.replication_psql(["IDENTIFY_SYSTEM", "SHOW server_version"], application="m_walreceiver",
                                physical=True)
        server.replication_psql(["IDENTIFY_SYSTEM", "START_REPLICATION 0/1 TIMELINE 1"],
                                application="m_psql_start", physical=True)
        server.replication_psql(["select 1", "IDENTIFY_SYSTEM"], application="pg_basebackup")
        seen.subscribed = time.time()
        subscribe(seen, "m_plain")
        subscribe(seen, "m_misled", application_name="pg_basebackup_m")

        # No walsenders, whatever they call themselves; the last one as the slot-sync worker of 17 does.
        for name in ("walreceiver", "m_ordinary", "standby_slotsync worker"):
            server.run(["psql", "-X", "-q", "-d", server.conninfo(
                application=f"'{name}'", database="postgres"), "-c", "select pg_is_in_recovery()"],
                       name=f"plain_{name.replace(' ', '_')}")
        for application in ("m_receive_drop", "m_logical_drop", "m_no_slot", "pg_basebackup", "m_plain"):
            walsenders_end(server, application, seen.begin)
        seen.end = time.time()
    seen.server = LogKept(server)
    return seen


class Clients(LiveTest):
    def told(self, session, program, *evidence):
        self.assertEqual(session["program"], program, session["program_evidence"])
        for part in evidence:
            self.assertIn(part, session["program_evidence"])

    # -- physical

    def test_a_standby_is_a_walreceiver(self):
        seen = clients()
        pid = seen.that_ran("standby", "START_REPLICATION")[-1]
        self.told(seen.record.session(pid), "walreceiver", "IDENTIFY_SYSTEM", "START_REPLICATION")
        self.assertIsNone(seen.record.session(pid)["partner"])

    def test_pg_receivewal_under_another_programs_name(self):
        session, = clients().sessions("pg_recvlogical")
        self.told(session, "pg_receivewal", "SHOW wal_segment_size")
        self.assertEqual(session["kind"], "physical")

    def test_pg_receivewal_with_a_slot_asks_for_it(self):
        session, = clients().sessions("m_slot")
        self.told(session, "pg_receivewal",
                  "READ_REPLICATION_SLOT" if primary().major >= 15 else "START_REPLICATION SLOT")
        self.assertEqual((session["kind"], session["slot"]), ("physical", "m_slot"))

    def test_pg_receivewal_that_manages_slots_only(self):
        session, = clients().sessions("m_receive_create")
        self.told(session, "pg_receivewal", "CREATE_REPLICATION_SLOT")
        self.assertEqual((session["kind"], session["slot"]), ("physical", "m_physical"))
        session, = clients().sessions("m_receive_drop")
        self.told(session, "pg_receivewal", "DROP_REPLICATION_SLOT")
        self.assertEqual((session["kind"], session["slot"]), (None, None))

    # -- base backups

    def backup_of(self, application, *, streams):
        """The sessions of a pg_basebackup: the main one, and the one of its WAL."""
        seen = clients()
        main, = seen.that_ran(application, "BASE_BACKUP")
        stream = seen.that_ran(application, "START_REPLICATION")
        self.assertEqual(len(stream), 1 if streams else 0, "by the server's log")
        main = seen.record.session(main)
        self.told(main, "pg_basebackup", "BASE_BACKUP")
        self.assertEqual(main["kind"], "backup")
        if not streams:
            self.assertIsNone(main["partner"])
            return main, None
        stream = seen.record.session(stream[0])
        self.told(stream, "pg_basebackup", "WAL stream")
        self.assertEqual(stream["kind"], "physical")
        self.assertEqual((main["partner"], stream["partner"]), (stream["session"], main["session"]))
        return main, stream

    def test_the_two_sessions_of_pg_basebackup_belong_together(self):
        _, stream = self.backup_of("pg_receivewal", streams=True)
        self.assertEqual(stream["slot"], f"pg_basebackup_{stream['pid']}")

    def test_the_two_sessions_of_pg_basebackup_with_a_slot_of_its_own(self):
        _, stream = self.backup_of("m_own_slot", streams=True)
        self.assertEqual(stream["slot"], "m_own_slot")

    def test_the_two_sessions_of_pg_basebackup_without_a_slot(self):
        _, stream = self.backup_of("m_no_slot", streams=True)
        self.assertIsNone(stream["slot"])

    def test_pg_basebackup_that_streams_no_wal_has_one_session(self):
        self.backup_of("m_fetch", streams=False)
        self.backup_of("m_none", streams=False)

    # -- logical

    def test_pg_recvlogical_under_another_programs_name(self):
        session, = clients().sessions("walreceiver")
        self.told(session, "pg_recvlogical", "SHOW data_directory_mode")
        self.assertEqual((session["kind"], session["slot"]), ("logical", "m_logical"))

    def test_pg_recvlogical_that_manages_slots_only(self):
        for application, kind in (("m_logical_create", "logical"), ("m_logical_drop", "sql")):
            session, = clients().sessions(application)
            self.told(session, "pg_recvlogical")
            self.assertEqual(session["kind"], kind, application)

    def check_subscription(self, application, table):
        seen = clients()
        self.assertRegex(seen.worker_line, "logical replication (apply )?worker for subscription")  # 17: apply
        sync = [pid for pid in range_of(seen) if any(
            text.startswith(f"COPY public.{table} ") for _, text in seen.server.logged_commands(pid))]
        self.assertEqual(len(sync), 1, "by the server's log")
        session = seen.record.session(sync[0])
        self.told(session, "tablesync_worker", "COPY")
        self.assertRegex(session["slot"], r"_\d+_sync_\d+_\d+$" if seen.server.major >= 14 else r"_\d+_sync_\d+$")
        self.assertEqual(session["kind"], "logical")
        applies = [pid for pid in seen.pids(application) if pid not in sync and any(
            text.startswith("START_REPLICATION") for _, text in seen.server.logged_commands(pid))]
        self.assertEqual(len(applies), 1, "by the server's log")
        session = seen.record.session(applies[0])
        self.told(session, "apply_worker", "proto_version")
        self.assertEqual((session["kind"], session["slot"]), ("logical", table))
        for beginning, why in ((f'CREATE_REPLICATION_SLOT "{table}"', "CREATE SUBSCRIPTION"),
                               (f'DROP_REPLICATION_SLOT "?{table}"? WAIT', "DROP SUBSCRIPTION")):
            pid, = seen.that_ran(application, beginning)
            self.told(seen.record.session(pid), "other", why)

    def test_the_workers_of_a_subscription(self):
        self.check_subscription("m_plain", "m_plain")

    def test_the_workers_of_a_subscription_under_another_programs_name(self):
        self.check_subscription("pg_basebackup_m", "m_misled")

    # -- others

    def test_psql_is_known_by_its_name(self):
        session, = clients().sessions("psql")
        self.told(session, "psql", "application_name")

    def test_psql_under_another_programs_name_is_not_taken_for_it(self):
        session, = clients().sessions("pg_basebackup")
        self.told(session, "other")
        self.assertEqual(session["kind"], "sql")

    def test_a_walreceiver_sends_no_show(self):
        session, = clients().sessions("m_walreceiver")
        self.told(session, "other", "IDENTIFY_SYSTEM, other")

    def test_ordinary_connections_are_no_sessions(self):
        seen = clients()
        ordinary = {line.pid for line in seen.server.log()
                    if seen.begin <= line.time <= seen.end and line.backend_type == "client backend"}
        self.assertGreater(len(ordinary), 10)
        self.assertIn("standby_slotsync worker", {line.application for line in seen.server.log()
                                                  if line.pid in ordinary})
        self.assertEqual([session["session"] for session in seen.record.view("sessions")
                          if session["pid"] in ordinary], [])

    def test_every_session_of_the_recording_has_a_program(self):
        seen = clients()
        open_ones = [session for session in seen.record.view("sessions")
                     if session["program"] is None and not session["was_running"]]
        self.assertEqual([session["program_evidence"] for session in open_ones], [])

    def test_histories_are_those_of_the_servers_log(self):
        seen = clients()
        self.assertEqual(missing(seen.server, seen.record, seen.begin, seen.end), [])
        self.assertEqual(differences(seen.server, seen.record), [])

    # -- found running

    def test_sessions_found_running_are_told_apart_too(self):
        server = primary()
        standby()
        server.create_logical_slot("f_slot")
        receiver = server.receivewal("pg_receivewal")
        logical = server.recvlogical("f_slot", application="pg_recvlogical")
        for application in ("pg_receivewal", "pg_recvlogical"):
            server.wait_walsender(application)
        pids = {row["application_name"]: int(row["pid"]) for row in server.walsenders()}
        with recording(server) as record:
            server.write_wal(1)
            wait_caught_up(server, "standby")
            server.sql("select pg_sleep(0.2)")
        receiver.stop()
        logical.stop()
        wait_disconnected(server, pids["pg_recvlogical"])
        server.sql("select pg_drop_replication_slot('f_slot')")
        for application, program in (("standby", "walreceiver"), ("pg_receivewal", "pg_receivewal"),
                                     ("pg_recvlogical", "pg_recvlogical")):
            session = record.session(pids[application])
            self.assertIs(session["was_running"], True)
            self.told(session, program)

    def test_a_cascading_standby_found_running(self):
        cascade()
        pid = int(standby().wait_walsender("cascade")["pid"])
        with recording(standby()) as record:
            primary().write_wal(1)
            wait_caught_up_on_standby("cascade")
            time.sleep(0.2)
        self.told(record.session(pid), "cascading_standby", "standby itself")

    def test_a_cascading_standby_seen_from_its_start(self):
        cascade()
        server = standby()
        before = server.wait_walsender("cascade")["pid"]
        with recording(server) as record:
            server.sql(f"select pg_terminate_backend({before})")
            row = wait_for("the cascade to come back", lambda: [
                row for row in server.walsenders("cascade")
                if row["state"] == "streaming" and row["pid"] != before])[0]
            primary().write_wal(1)
            wait_caught_up_on_standby("cascade")
        self.told(record.session(int(row["pid"])), "cascading_standby", "standby itself")


def wait_caught_up_on_standby(application):
    """Waits until a client of the standby has confirmed all that the primary has written."""
    end = primary().value("select pg_current_wal_flush_lsn()")
    wait_for(f"{application} to catch up", lambda: standby().sql(
        f"select 1 from pg_stat_replication where application_name = '{application}' "
        f"and replay_lsn >= '{end}'"))


def range_of(seen):
    """All walsenders of the server's log since the recording began."""
    return sorted({line.pid for line in seen.server.log()
                   if line.backend_type == "walsender" and line.time >= seen.begin})
