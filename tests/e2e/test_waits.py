# SPDX-License-Identifier: BSD-2-Clause
"""What no probe shows: locks, full and half-filled sockets outside the send loop, throttling."""

import os
import signal
import subprocess
import time

from live import LiveTest, hold, once, primary, recording, wait_backup_stuck, walsender_pids
from processes import stat_fields, wait_for
from replication_client import connect

HOLD = 1.5  # s for which a state is held and watched


def start_walsender(server, record, application, command):
    """psql that runs a command on a walsender of the database, and the walsender's pid."""
    psql = server.start_program(
        ["psql", "-X", "-q", "-c", command, "-d",
         server.conninfo(application=application, replication="database", database="postgres")],
        name=application)
    pid, = wait_for("the walsender", lambda: walsender_pids(server, application, record_begin(record)))
    return psql, pid


class Holder:
    """A transaction of another session that stays open."""

    def __init__(self, server, *statements):
        self.psql = server.start_program(
            ["psql", "-X", "-q", "-A", "-t", "-d", server.conninfo(application="w_holder", database="postgres")],
            name="w_holder", stdin=subprocess.PIPE)
        text = "begin;\n" + "".join(f"{line};\n" for line in statements)
        self.say(text + "select 'pid=' || pg_backend_pid() || ' xid=' || txid_current();\n")
        said = wait_for("the transaction to begin", lambda: self.psql.out if "xid=" in self.psql.out else None)
        self.pid, self.xid = (int(word.split("=")[1]) for word in said.split()[-2:])

    def say(self, text):
        self.psql.popen.stdin.write(text.encode())
        self.psql.popen.stdin.flush()

    def end(self):
        self.say("commit;\n")
        self.psql.popen.stdin.close()
        self.psql.expect()


def held(server, event, pid):
    """Waits until a backend waits for this and watches it for a while."""
    wait_for(f"backend {pid} to wait for {event}", lambda: server.wait_event(pid) == event)
    return hold(pid, HOLD)


def table(server):
    server.sql("create table if not exists w_table as select i, repeat('x', 200) from generate_series(1, 300000) i")
    return server


@once
def primary_with_table():
    return table(primary())


class Waits(LiveTest):
    def copy_unread(self, *options):
        server = primary_with_table()
        with recording(server, *options) as record:
            client = connect(server, replication="database", application="w_copy", database="postgres")
            client.send("Q", b"COPY w_table TO STDOUT\0")
            client.receive_until("H")
            pid, = wait_for("the walsender", lambda: walsender_pids(server, "w_copy", record_begin(record)))
            window = held(server, "ClientWrite", pid)
            client.close()
        self.assert_mostly(record, pid, window, "send_blocked", 0.9)

    def test_a_copy_whose_client_does_not_read_is_send_blocked(self):
        self.copy_unread()

    def test_a_copy_whose_client_does_not_read_is_send_blocked_at_level_1(self):
        self.copy_unread("--level", "1")

    def test_a_copy_of_a_locked_table_is_wait_lock_for_as_long(self):
        server = primary_with_table()
        with recording(server) as record:
            holder = Holder(server, "lock table w_table")
            began = time.time()
            psql, pid = start_walsender(server, record, "w_locked", "COPY (select 1 from w_table limit 1) TO STDOUT")
            window = held(server, "relation", pid)
            holder.end()
            psql.expect()
            ended = time.time()
        # what a walsender waits for is looked at ten times a second
        self.assert_mostly(record, pid, window, "wait_lock", 0.9)
        self.assertLess(record.time_in(pid, began, ended)["wait_lock"], ended - began)
        waits = [entry for entry in record.timeline(pid) if entry["state"] == "wait_lock"]
        self.assertIn(f"process {holder.pid}", waits[0]["detail"])

    def test_a_stop_in_the_midst_of_a_wait_for_a_lock_hides_nothing_of_it(self):
        server = primary_with_table()
        with recording(server) as record:
            holder = Holder(server, "lock table w_table")
            psql, pid = start_walsender(server, record, "w_held", "COPY (select 1 from w_table limit 1) TO STDOUT")
            before = held(server, "relation", pid)
            os.kill(pid, signal.SIGSTOP)
            wait_for("it to stop", lambda: stat_fields(pid)[0] == "T")
            stopped = time.time()
            time.sleep(HOLD)
            continued = time.time()
            os.kill(pid, signal.SIGCONT)
            behind = held(server, "relation", pid)
            holder.end()
            psql.expect()
        self.assert_mostly(record, pid, before, "wait_lock")
        self.assertGreaterEqual(record.time_in(pid, stopped, continued).get("stopped", 0),
                                0.9 * (continued - stopped))
        self.assert_mostly(record, pid, behind, "wait_lock")

    def test_a_logical_slot_waits_for_an_open_transaction_by_its_xid_and_pid(self):
        server = primary_with_table()
        with recording(server) as record:
            holder = Holder(server, "insert into w_table values (0, '')")
            psql, pid = start_walsender(server, record, "w_slot", "CREATE_REPLICATION_SLOT w_slot LOGICAL test_decoding")
            window = held(server, "transactionid", pid)
            holder.end()
            psql.expect()
        server.sql("select pg_drop_replication_slot('w_slot')")
        self.assert_mostly(record, pid, window, "wait_lock")
        waits = [entry for entry in record.timeline(pid) if entry["state"] == "wait_lock"]
        self.assertEqual({entry["detail"] for entry in waits},
                         {f"waits for transaction {holder.xid} of process {holder.pid}"})

    def test_half_a_message_in_a_stream_is_recv_blocked(self):
        server = primary_with_table()
        with recording(server) as record:
            start = server.value("select pg_current_wal_flush_lsn()")
            client = connect(server, application="w_half")
            client.start(f"START_REPLICATION {start}")
            pid = int(server.wait_walsender("w_half")["pid"])
            client.take_until_quiet()
            client.socket.sendall(b"d\x00\x00\x00\x26r")
            window = held(server, "ClientRead", pid)
            client.close()
        self.assert_mostly(record, pid, window, "recv_blocked")

    def test_a_throttled_base_backup_is_backup_throttled_most_of_its_time(self):
        server = primary_with_table()
        with recording(server) as record:
            client = server.basebackup("w_throttled", "-X", "none", "--max-rate", "4M")
            pid, = wait_for("the walsender", lambda: walsender_pids(server, "w_throttled", record_begin(record)))
            wait_for("the base backup to stream", lambda: server.sql(
                "select pid from pg_stat_progress_basebackup where phase = 'streaming database files'"))
            window = hold(pid, 3.0)
            client.stop(signal.SIGKILL)
        times = record.time_in(pid, window.begin, window.end)
        self.assertGreaterEqual(times.get("backup_throttled", 0), 0.7 * window.seconds, times)

    def test_a_base_backup_whose_client_is_stopped_is_send_blocked(self):
        server = primary_with_table()
        with recording(server) as record:
            client = server.basebackup("w_stopped", "-X", "none", "-r", "32M")
            pid = int(wait_for("the base backup to stream", lambda: server.sql(
                "select pid from pg_stat_progress_basebackup where phase = 'streaming database files'"),
                every=0.002)[0][0])
            client.signal(signal.SIGSTOP)
            wait_backup_stuck(server, pid)
            window = hold(pid, HOLD)
            client.stop(signal.SIGKILL)
        self.assert_mostly(record, pid, window, "send_blocked")

    def test_a_walsender_that_waits_for_a_command_is_idle(self):
        server = primary_with_table()
        with recording(server) as record:
            client = connect(server, application="w_idle")
            pid, = wait_for("the walsender", lambda: walsender_pids(server, "w_idle", record_begin(record)))
            window = held(server, "ClientRead", pid)
            client.leave()
        self.assert_mostly(record, pid, window, "idle", 0.99)

    def test_synchronous_commits_without_a_standby_are_sync_waiters_of_their_kind(self):
        server = primary_with_table()

        def commit(name, level):
            return server.start_program(
                ["psql", "-X", "-q", "-c", f"set synchronous_commit = {level}", "-c", f"create table {name} (i int)",
                 "-d", server.conninfo(application=name, database="postgres")], name=name)

        def waiting():
            rows = server.sql("select pid from pg_stat_activity where wait_event = 'SyncRep'")
            return rows if len(rows) == 4 else None

        server.sql("alter system set synchronous_standby_names = 'w_nobody'")
        try:
            with recording(server) as record:
                server.sql("select pg_reload_conf()")
                wait_for("the server to know", lambda: server.value("show synchronous_standby_names") == "w_nobody")
                clients = [commit("w_flush", "on"), commit("w_write", "remote_write"), commit("w_second", "remote_write"),
                           commit("w_apply", "remote_apply")]
                pids = wait_for("the commits to wait", waiting)
                time.sleep(HOLD + 1)
                for pid, in pids:
                    server.sql(f"select pg_cancel_backend({pid})")
                for client in clients:
                    client.wait(30)
                time.sleep(HOLD + 1)
        finally:
            server.sql("alter system reset synchronous_standby_names")
            server.sql("select pg_reload_conf()")
        seen = [event for event in record.view("trace") if event["event"] == "cluster"]
        most = max(seen, key=lambda event: event["sync_waiters"])
        self.assertEqual([most[f"sync_{kind}waiters"] for kind in ("", "write_", "apply_")], [4, 2, 1])
        self.assertEqual([seen[-1][f"sync_{kind}waiters"] for kind in ("", "write_", "apply_")], [0, 0, 0])
        self.assertEqual(seen[-1]["sync_names"], "w_nobody")
        # The privilege to open the control file is given up by then; it was opened before.
        self.assertEqual({event["db_state"] for event in seen}, {"in_production"})


def record_begin(record):
    return record.process.started_wall
