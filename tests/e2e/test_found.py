# SPDX-License-Identifier: BSD-2-Clause
"""Walsenders that ran before walscope: as if they had been seen from the start.

The same sessions are recorded twice, from their start and from the middle of their lives. Both recordings are
held against each other and against the server's views.
"""

import contextlib
import os
import signal
import time

import protocol
import replication_client
import walscope
from cluster import Server, lsn
from live import (LiveTest, hold, no_wal_of_its_own, once, recording, space, wait_backup_stuck, wait_caught_up,
                  wait_disconnected, wait_stuck)
from processes import start_ticks, wait_for

# What they have in common, field by field; the rest is in the tests.
SAME = ("session", "pid", "ns_pid", "kind", "user", "database", "application_name", "client", "slot", "tls",
        "postmaster_pid", "end", "exit", "lost", "replication")
LEVEL = ("--level", "2")


class Pair:
    """A session in both recordings, and what the server said of it."""


def rows_of(server):
    """By pid, what the views say of walsenders."""
    columns = ("pid", "usename", "application_name", "client_addr", "client_port", "datname", "query",
               "backend_start", "sent_lsn", "state", "ssl")
    rows = server.sql(
        "select a.pid, a.usename, a.application_name, host(a.client_addr), a.client_port, a.datname, "
        "a.query, extract(epoch from a.backend_start), r.sent_lsn, r.state, s.ssl "
        "from pg_stat_activity a left join pg_stat_replication r using (pid) "
        "left join pg_stat_ssl s using (pid) "
        "where a.backend_type = 'walsender'")
    return {int(row[0]): dict(zip(columns, row)) for row in rows}


def began_at(pid):
    """When a process began, by /proc, to within a tick of the kernel's clock."""
    # This program may be held up between its looks at two clocks: then it is less.
    booted = max(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) for _ in range(10))
    return booted + start_ticks(pid) / os.sysconf("SC_CLK_TCK")


def last_state(record, pid):
    return record.timeline(pid)[-1]["state"]


class Cast:
    """Long-running sessions of every kind; each waits for something by now."""

    def __init__(self, server, middle):
        self.server, self.middle, self.pids, self.clients = server, middle, {}, []

    def raw(self, name, **how):
        client = replication_client.connect(self.server, application=name, **how)
        self.clients.append(client)
        self.pids[name] = client.pid
        return client

    def enter(self):
        server = self.server
        server.sql("select pg_create_physical_replication_slot('f_slot')")
        server.create_logical_slot("f_logical")
        self.processes = [server.receivewal("f_receivewal", "-S", "f_slot", "-s", "1"),
                          server.recvlogical("f_logical", application="f_recvlogical"),
                          self.middle.receivewal("f_cascaded", "-s", "1")]
        for name in ("f_receivewal", "f_recvlogical"):
            self.pids[name] = int(server.wait_walsender(name)["pid"])
        self.cascaded = int(self.middle.wait_walsender("f_cascaded")["pid"])
        self.pids["found_standby"] = int(server.wait_walsender("found_standby")["pid"])
        self.raw("f_idle").query("IDENTIFY_SYSTEM")
        self.raw("f_idle_db", replication="database", database="postgres").query("SHOW wal_segment_size")
        self.raw("f_idle_tls", tls=True).query("IDENTIFY_SYSTEM")
        self.raw("f_idle_unix", host=server.dir).query("IDENTIFY_SYSTEM")
        self.raw("f_sql", replication="database", database="postgres").send(
            "Q", b"select pg_sleep(600) /* \xc3\xa4 */\0")
        self.raw("f_backup").begin(server.base_backup("f"))
        position = server.value("select pg_current_wal_flush_lsn()")
        self.raw("f_stuck").start(f"START_REPLICATION {position}")
        server.write_wal(40)
        wait_stuck(server, "f_stuck")
        wait_backup_stuck(server, self.pids["f_backup"])

    def settle(self):
        wait_caught_up(self.server, "f_receivewal")
        wait_caught_up(self.server, "found_standby")
        wait_for("the logical receiver to catch up", lambda: self.server.value(
            "select sent_lsn = pg_current_wal_flush_lsn() from pg_stat_replication "
            "where application_name = 'f_recvlogical'") == "t")
        wait_for("the cascaded receiver to catch up", lambda: self.middle.value(
            "select sent_lsn = pg_last_wal_receive_lsn() from pg_stat_replication "
            "where application_name = 'f_cascaded'") == "t")

    def leave(self):
        for client in self.clients:
            client.close()
        for process in self.processes:
            process.stop()


@once
def found():
    """Both recordings of the cast, and the views at the end of both."""
    server = replication_client.offer_tls_and_unix(Server(space(), "found").create()).start()
    server.pgbench_init(2)
    middle = Server(space(), "found_standby").copy_of(server)
    cast = Cast(server, middle)
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(recording(server, *LEVEL))
        middle.start()
        wait_for("the standby", lambda: server.walsenders("found_standby"))
        whole_middle = stack.enter_context(recording(middle, *LEVEL))
        cast.enter()
        stack.enter_context(no_wal_of_its_own(server))
        cast.settle()
        seen_at = time.time()
        late = stack.enter_context(recording(server, *LEVEL))
        late_middle = stack.enter_context(recording(middle, *LEVEL))
        time.sleep(1.2)
        quiet_until = time.time()
        rows, rows_middle = rows_of(server), rows_of(middle)
        for record in (late, late_middle, whole, whole_middle):
            record.end()
        began = {pid: began_at(pid) for pid in [*cast.pids.values(), cast.cascaded]}
        cast.leave()
    pairs = {}
    for name, pid in cast.pids.items():
        pairs[name] = pair = Pair()
        pair.pid, pair.row, pair.whole, pair.late = pid, rows[pid], whole, late
    pairs["f_cascaded"] = pair = Pair()
    pair.pid, pair.row = cast.cascaded, rows_middle[cast.cascaded]
    pair.whole, pair.late = whole_middle, late_middle
    for pair in pairs.values():
        pair.quiet = (seen_at, quiet_until)
        pair.began = began[pair.pid]
    middle.stop()
    server.stop()
    return pairs


class Found(LiveTest):
    def each(self, check):
        for name, pair in found().items():
            with self.subTest(name):
                check(name, pair)

    def test_it_is_the_same_session(self):
        def check(_, pair):
            whole, late = pair.whole.session(pair.pid), pair.late.session(pair.pid)
            self.assertEqual({field: late[field] for field in SAME}, {field: whole[field] for field in SAME})
            self.assertEqual((whole["was_running"], late["was_running"]), (False, True))
            # Told by the first commands as well, which memory does not keep: not known, or the same.
            self.assertIn(late["program"], (None, whole["program"]))

        self.each(check)

    def test_it_is_whom_the_view_shows(self):
        def check(_, pair):
            row = pair.row
            for record in (pair.whole, pair.late):
                session = record.session(pair.pid)
                self.assertEqual(
                    (session["user"], session["application_name"], session["database"] or "",
                     session["client"]),
                    (row["usename"], row["application_name"], row["datname"],
                     f"{row['client_addr']}:{row['client_port']}" if row["client_addr"] else "[local]"))
                self.assertEqual(session["tls"], row["ssl"] == "t")
                self.assertAlmostEqual(walscope.seconds(session["start"]), pair.began, delta=0.02)
                self.assertLessEqual(walscope.seconds(session["start"]), float(row["backend_start"]) + 0.001)

        self.each(check)

    def test_it_began_when_it_did(self):
        def check(_, pair):
            whole, late = pair.whole.session(pair.pid), pair.late.session(pair.pid)
            self.assertAlmostEqual(walscope.seconds(late["start"]), walscope.seconds(whole["start"]),
                                   delta=0.02)

        self.each(check)

    def test_it_is_in_the_same_command(self):
        def check(name, pair):
            whole, late = pair.whole.history(pair.pid), pair.late.history(pair.pid)
            if name.startswith("f_idle"):
                self.assertEqual((whole[-1]["outcome"], late), ("ok", []))
                return
            fields = ("session", "command", "kind", "outcome", "sqlstate", "message", "location", "truncated")
            self.assertEqual([{field: entry[field] for field in fields} for entry in late],
                             [{field: whole[-1][field] for field in fields}])
            self.assertEqual(late[0]["command"], pair.row["query"])
            self.assertEqual((late[0]["start"], late[0]["outcome"]), (None, "running"))

        self.each(check)

    def test_it_is_in_the_same_state(self):
        def check(_, pair):
            begin, end = pair.quiet
            late = pair.late.session(pair.pid)
            begin = max(begin, walscope.seconds(late["observed_from"])) + 0.1
            whole = pair.whole.time_in(pair.pid, begin, end)
            seen = pair.late.time_in(pair.pid, begin, end)
            self.assertEqual(max(seen, key=seen.get), max(whole, key=whole.get), (whole, seen))
            self.assertEqual(last_state(pair.late, pair.pid), last_state(pair.whole, pair.pid))
            self.assertNotIn("unknown", {**seen, **whole})

        self.each(check)

    def test_its_own_state_and_position_are_those_of_the_view(self):
        def check(name, pair):
            record = next(entry for entry in pair.late.view("trace")
                          if entry["event"] == "session" and entry["pid"] == pair.pid)
            self.assertEqual(record["state"], pair.row["state"] or "startup")
            if pair.row["sent_lsn"]:
                self.assertEqual(record["lsn"], pair.row["sent_lsn"])

        self.each(check)

    def test_positions_are_those_of_the_view(self):
        def check(_, pair):
            if not pair.row["sent_lsn"]:
                return
            for record in (pair.whole, pair.late):
                known = [entry["lsn_to"] for entry in record.timeline(pair.pid) if entry["lsn_to"]]
                self.assertEqual(known[-1:], [pair.row["sent_lsn"]])

        self.each(check)


AFTERWARDS = ("command", "kind", "outcome", "sqlstate", "message", "location", "truncated")


@once
def went_on():
    """Sessions that go on after they were found, each to an end of its own."""
    server = Server(space(), "went_on").create().start()
    server.pgbench_init(2)
    server.create_logical_slot("g_logical")
    clients, pairs = {}, {}

    def enter(name, **how):
        clients[name] = replication_client.connect(server, application=name, **how)
        return clients[name]

    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(recording(server, *LEVEL))
        database = {"replication": "database", "database": "postgres"}
        enter("g_sql", **database).send("Q", b"select pg_sleep(600)\0")
        enter("g_idle", **database).query("select 1")
        enter("g_backup").begin(server.base_backup("g"))
        position = server.value("select pg_current_wal_flush_lsn()")
        enter("g_physical").start(f"START_REPLICATION {position}")
        enter("g_stuck").start(f"START_REPLICATION {position}")
        enter("g_terminated").start(f"START_REPLICATION {position}")
        enter("g_vanishes").start(f"START_REPLICATION {position}")
        enter("g_logical", **database).start("START_REPLICATION SLOT g_logical LOGICAL 0/0")
        server.write_wal(30)
        wait_stuck(server, "g_stuck")
        for name in ("g_physical", "g_terminated", "g_logical"):
            clients[name].take_until_quiet()
        wait_backup_stuck(server, clients["g_backup"].pid)
        wait_for("the statement", lambda: server.wait_event(clients["g_sql"].pid) == "PgSleep")
        late = stack.enter_context(recording(server, *LEVEL))
        server.sql("create table g_table as select generate_series(1, 20000)")
        server.sql(f"select pg_cancel_backend({clients['g_sql'].pid})")
        with contextlib.suppress(protocol.ServerError):
            clients["g_sql"].receive_until("C")
        clients["g_sql"].receive_until("Z")
        for text in ("select 1 / 0", "IDENTIFY_SYSTEM", "select 2"):
            with contextlib.suppress(protocol.ServerError):
                clients["g_idle"].query(text)
        clients["g_backup"].receive_until("Z")
        stack.enter_context(no_wal_of_its_own(server))
        end = lsn(server.value("select pg_current_wal_flush_lsn()"))
        for name in ("g_physical", "g_terminated", "g_stuck"):
            clients[name].take_until(end)
        for name in ("g_physical", "g_terminated", "g_stuck", "g_logical"):
            clients[name].take_until_quiet(1.0)
        # CopyDone, and what the server has to say to it.
        for name in ("g_physical", "g_stuck"):
            clients[name].send("c")
            clients[name].receive_until("Z")
        server.sql(f"select pg_terminate_backend({clients['g_terminated'].pid})")
        clients["g_vanishes"].close()
        for name in ("g_sql", "g_idle", "g_backup", "g_physical", "g_stuck", "g_logical"):
            clients[name].leave()
        for client in clients.values():
            wait_disconnected(server, client.pid)
        clients["g_terminated"].close()
    for name, client in clients.items():
        pairs[name] = pair = Pair()
        pair.pid, pair.whole, pair.late = client.pid, whole, late
    server.stop()
    return pairs


class WentOn(LiveTest):
    def each(self, check):
        for name, pair in went_on().items():
            with self.subTest(name):
                check(name, pair)

    def test_it_ends_in_the_same_way(self):
        def check(_, pair):
            whole, late = pair.whole.session(pair.pid), pair.late.session(pair.pid)
            same = [field for field in SAME if field not in ("end", "kind")]
            self.assertEqual({field: late[field] for field in same}, {field: whole[field] for field in same})
            self.assertAlmostEqual(walscope.seconds(late["end"]), walscope.seconds(whole["end"]), delta=0.05)

        self.each(check)

    def test_it_is_of_the_same_kind(self):
        def check(_, pair):
            self.assertEqual(pair.late.session(pair.pid)["kind"], pair.whole.session(pair.pid)["kind"])

        self.each(check)

    def test_the_command_it_was_found_in_and_those_behind_end_in_the_same_way(self):
        def check(name, pair):
            whole, late = pair.whole.history(pair.pid), pair.late.history(pair.pid)
            found_in = int(name != "g_idle")  # that one had had its first command behind it
            whole = whole[1 - found_in:]
            self.assertTrue(whole)
            self.assertEqual([{field: entry[field] for field in AFTERWARDS} for entry in late],
                             [{field: entry[field] for field in AFTERWARDS} for entry in whole])
            for mine, other in list(zip(late, whole))[found_in:]:
                self.assertAlmostEqual(mine["duration_ns"], other["duration_ns"], delta=5e7)

        self.each(check)

    def test_it_goes_through_the_same_states(self):
        """How long in which: to within the time it takes to look at a clock twice."""
        def check(_, pair):
            late = pair.late.session(pair.pid)
            begin, end = walscope.seconds(late["observed_from"]), walscope.seconds(late["end"])
            whole = pair.whole.time_in(pair.pid, begin, end)
            seen = pair.late.time_in(pair.pid, begin, end)
            for state in set(whole) | set(seen):
                self.assertAlmostEqual(seen.get(state, 0), whole.get(state, 0),
                                       delta=0.05 + (end - begin) / 50, msg=f"{state} in {whole} {seen}")
            self.assertNotIn("unknown", seen)

        self.each(check)

    def test_it_gets_to_the_same_position(self):
        def check(_, pair):
            def last(record):
                return [entry["lsn_to"] for entry in record.timeline(pair.pid) if entry["lsn_to"]][-1:]

            self.assertEqual(last(pair.late), last(pair.whole))

        self.each(check)


@once
def under_load():
    """Two streams found while they are at work."""
    server = Server(space(), "found_busy").create().start()
    server.pgbench_init(2)
    server.create_logical_slot("b_logical")
    pairs = {}
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(recording(server, *LEVEL))
        processes = [server.receivewal("b_receivewal", "-s", "1"),
                     server.recvlogical("b_logical", application="b_recvlogical")]
        rows = [server.wait_walsender(name) for name in ("b_receivewal", "b_recvlogical")]
        load = server.pgbench(300)
        time.sleep(1.0)
        late = stack.enter_context(recording(server, *LEVEL))
        begin = lsn(server.value("select pg_current_wal_flush_lsn()"))
        time.sleep(3.0)
        wait_for("more WAL", lambda: lsn(server.value("select pg_current_wal_flush_lsn()")) - begin > 2 << 20)
        load.signal(signal.SIGALRM)  # as if its time were over
        load.expect()
        stack.enter_context(no_wal_of_its_own(server))
        wait_caught_up(server, "b_receivewal")
        wait_for("the logical receiver to catch up", lambda: server.value(
            "select sent_lsn = pg_current_wal_flush_lsn() from pg_stat_replication "
            "where application_name = 'b_recvlogical'") == "t")
        end = server.value("select pg_current_wal_flush_lsn()")
        late.end()
        whole.end()
        for process in processes:
            process.stop()
    for row in rows:
        pairs[row["application_name"]] = pair = Pair()
        pair.pid, pair.whole, pair.late, pair.end = int(row["pid"]), whole, late, lsn(end)
    server.stop()
    return pairs


class FoundAtWork(LiveTest):
    def each(self, check):
        for name, pair in under_load().items():
            with self.subTest(name):
                check(name, pair)

    def test_bytes_count_from_the_position_it_was_found_at(self):
        def check(_, pair):
            session = next(entry for entry in pair.late.view("trace")
                           if entry["event"] == "session" and entry["pid"] == pair.pid)
            self.assertGreater(pair.end - lsn(session["lsn"]), 1 << 20)
            self.assertEqual(pair.late.session(pair.pid)["wal_bytes"], pair.end - lsn(session["lsn"]))

        self.each(check)

    def test_time_goes_where_it_went_for_who_saw_it_from_the_start(self):
        def check(_, pair):
            late = pair.late.session(pair.pid)
            begin = walscope.seconds(late["observed_from"])
            end = begin + late["duration_ns"] / 1e9 - (begin - walscope.seconds(late["start"])) - 0.2
            whole = pair.whole.time_in(pair.pid, begin, end)
            seen = pair.late.time_in(pair.pid, begin, end)
            for state in set(whole) | set(seen):
                self.assertAlmostEqual(seen.get(state, 0), whole.get(state, 0), delta=0.1 * (end - begin),
                                       msg=f"{state} in {whole} {seen}")
            self.assertNotIn("unknown", seen)
            self.assertNotIn("lost", seen)

        self.each(check)

    def test_a_base_backup_waits_for_its_checkpoint(self):
        """A spread checkpoint takes its time, until somebody asks for one at once."""
        server = Server(space(), "found_spread", {"checkpoint_completion_target": "0.9"}).create().start()
        server.write_wal(20)
        client = replication_client.connect(server, application="f_checkpoint")
        client.begin(server.base_backup("f", fast=False))
        wait_for("the backup to wait for its checkpoint",
                 lambda: server.wait_event(client.pid) == "CheckpointDone")
        phase = "select phase from pg_stat_progress_basebackup"
        with recording(server) as record:
            window = hold(client.pid, 0.6)
            self.assertEqual(server.value(phase), "waiting for checkpoint to finish")
            server.sql("checkpoint")
            client.receive_until("Z")
            pid = client.pid
            client.leave()
            wait_disconnected(server, pid)
        server.stop()
        self.assert_mostly(record, pid, window, "backup_checkpoint")
        states = [entry["state"] for entry in record.timeline(pid)]
        self.assertEqual(states[0], "backup_checkpoint", states)
        # The files of a new cluster are gone in a moment: a slow client may have blocked all of it.
        self.assertTrue({"backup_read", "backup_send", "send_blocked"} & set(states), states)
        self.assertEqual([(entry["kind"], entry["outcome"]) for entry in record.history(pid)],
                         [("BASE_BACKUP", "ok")])

    def test_a_base_backup_waits_for_its_wal_to_be_archived(self):
        server = Server(space(), "found_archive", {"archive_mode": "on", "archive_command": "'false'"})
        server.create().start()
        client = replication_client.connect(server, application="f_archive")
        pid = client.pid
        client.begin(server.base_backup("f", wait=True))
        client.take_until_quiet()  # the server has to get rid of its files first
        phase = f"select phase from pg_stat_progress_basebackup where pid = {pid}"

        def waits():
            while client.readable():
                client.take()
            return server.wait_event(pid) == "BackupWaitWalArchive"

        wait_for("the backup to wait for the archive", waits)
        self.assertEqual(server.value(phase), "waiting for wal archiving to finish")
        with recording(server) as record:
            window = hold(pid, 0.6)
            self.assertEqual(server.value(phase), "waiting for wal archiving to finish")
            server.sql("alter system set archive_command = 'true'")
            server.sql("select pg_reload_conf()")
            # 13's archiver looks again only once there is another segment, or a minute later.
            server.sql("select pg_logical_emit_message(true, 'f', 'f')")
            server.sql("select pg_switch_wal()")
            client.receive_until("Z")
            client.leave()
            wait_disconnected(server, pid)
        server.stop()
        self.assert_mostly(record, pid, window, "backup_wait_archive")
        states = [entry["state"] for entry in record.timeline(pid)]
        self.assertEqual(states[0], "backup_wait_archive", states)
        self.assertNotIn("unknown", states)
        self.assertEqual([(entry["kind"], entry["outcome"]) for entry in record.history(pid)],
                         [("BASE_BACKUP", "ok")])
