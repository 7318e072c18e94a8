# SPDX-License-Identifier: BSD-2-Clause
"""States: blocked on a full socket and caught up differ, where pg_stat_activity shows the same."""

import os
import signal
import subprocess
import time

import walscope
from clients import clients
from live import (LiveTest, STATES, hold, no_wal_of_its_own, once, primary, recording, standby,
                  wait_backup_stuck, wait_caught_up, wait_disconnected, wait_stuck, walsender_pids)
from processes import alive, start_ticks, wait_for

HOLD = 1.2  # s for which a state is held and watched


class Watched:
    """Pid, record, intervals in which the client was stopped and in which it had caught up."""


def watch(server, application, start, megabytes):
    """A client that stops reading while WAL is written, then reads on and catches up."""
    seen = Watched()
    with recording(server) as seen.record:
        client = start()
        seen.pid = int(server.wait_walsender(application)["pid"])
        client.signal(signal.SIGSTOP)
        server.write_wal(megabytes)
        if wait_stuck(server, application) != seen.pid:
            raise AssertionError(f"{application} has another walsender than before")
        with no_wal_of_its_own(server):
            seen.blocked_event = server.wait_event(seen.pid)
            seen.blocked = hold(seen.pid, HOLD)
            client.signal(signal.SIGCONT)
            caught_up(server, application)
            seen.caught_up = hold(seen.pid, HOLD)
            seen.caught_up_event = server.wait_event(seen.pid)
        client.stop()
    return seen


def caught_up(server, application):
    """All sent, nothing written any more: the walsender waits for WAL."""

    def idle():
        rows = server.sql("select sent_lsn = pg_current_wal_flush_lsn() from pg_stat_replication "
                          f"where application_name = '{application}'")
        return rows and rows[0][0] == "t"

    wait_for(f"{application} to have been sent everything", idle)


@once
def physical():
    server = primary()
    return watch(server, "s_receivewal", lambda: server.receivewal("s_receivewal"), 60)


@once
def logical():
    server = primary()
    server.create_logical_slot("s_slot")
    seen = watch(server, "s_recvlogical", lambda: server.recvlogical("s_slot", application="s_recvlogical"),
                 40)
    server.sql("select pg_drop_replication_slot('s_slot')")
    return seen


def run_delay(pid):
    """Seconds for which the process could run, and did not."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[1]) / 1e9


class States(LiveTest):
    def test_a_stopped_physical_receiver_is_send_blocked(self):
        self.spent(physical(), "blocked", "send_blocked")

    def test_a_caught_up_physical_receiver_is_wait_wal(self):
        self.spent(physical(), "caught_up", "wait_wal")

    def test_a_stopped_logical_receiver_is_send_blocked(self):
        self.spent(logical(), "blocked", "send_blocked")

    def test_a_caught_up_logical_receiver_is_wait_wal(self):
        self.spent(logical(), "caught_up", "wait_wal")

    def test_a_logical_walsender_leaves_reply_also_when_it_has_read_its_configuration_anew(self):
        """A compiler may repeat the call that handles replies for that turn; no place behind one is missed."""
        server = primary()
        server.create_logical_slot("s_reload")
        with recording(server) as record:
            client = server.recvlogical("s_reload", application="s_reload")
            server.wait_walsender("s_reload")
            server.write_wal(1)
            caught_up(server, "s_reload")
            try:
                server.sql("alter system set wal_sender_timeout = '299s'")
                server.sql("select pg_reload_conf()")
                # A server process that is new knows what all have been told by then.
                wait_for("the setting", lambda: server.value("show wal_sender_timeout") == "299s")
                server.write_wal(1)
                caught_up(server, "s_reload")
            finally:
                server.sql("alter system reset wal_sender_timeout")
                server.sql("select pg_reload_conf()")
            client.stop()
        server.sql("select pg_drop_replication_slot('s_reload')")
        unfired, = [entry["text"] for entry in record.view("trace")
                    if entry["event"] == "note" and "never fired" in entry["text"]]
        self.assertFalse({"replies_end", "replies_copy_end"} & set(unfired.split()), unfired)

    def spent(self, seen, window, state):
        self.assert_mostly(seen.record, seen.pid, getattr(seen, window), state)

    def test_pg_stat_activity_cannot_tell_the_two_apart(self):
        seen = physical()
        self.assertEqual((seen.blocked_event, seen.caught_up_event), ("WalSenderMain", "WalSenderMain"))

    def test_time_blocked_is_in_the_histogram(self):
        seen = physical()
        hist = seen.record.hist(seen.pid, "send_blocked_ns")
        self.assertEqual(hist["unit"], "ns")
        # A checkpointer that writes WAL meanwhile wakes the walsender: then it is two or three waits.
        self.assertGreaterEqual(hist["max"] / 1e9, seen.blocked.seconds / 4)
        self.assertGreaterEqual(hist["count"] * hist["mean"] / 1e9, seen.blocked.seconds)

    def test_a_standby_at_rest_is_wait_wal_only(self):
        server = primary()
        standby()
        with recording(server) as record, no_wal_of_its_own(server):
            pid = int(server.wait_walsender("standby")["pid"])
            wait_caught_up(server, "standby")
            window = hold(pid, 1.0)
        self.assert_mostly(record, pid, window, "wait_wal", 0.99)

    def test_waiting_for_a_cpu_is_off_cpu_at_level_3(self):
        """A walsender shares one CPU with others that never sleep."""
        server = primary()
        with recording(server, "--level", "3") as record:
            client = server.receivewal("s_starved")
            pid = int(server.wait_walsender("s_starved")["pid"])
            cpu = min(os.sched_getaffinity(pid))
            os.sched_setaffinity(pid, {cpu})
            hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"],  # pylint: disable=R1732
                                     preexec_fn=lambda: os.sched_setaffinity(0, {cpu})) for _ in range(2)]
            before = run_delay(pid)
            try:
                wait_for("the walsender to wait for its CPU for half a second", lambda: (
                    server.write_wal(4), run_delay(pid) - before > 0.5)[1])
            finally:
                for hog in hogs:
                    hog.kill()
                    hog.wait()
            wait_caught_up(server, "s_starved")
            delay = run_delay(pid) - before
            client.stop()
            wait_disconnected(server, pid)
        off = [entry for entry in record.timeline(pid) if entry["state"] == "off_cpu"]
        self.assertAlmostEqual(sum(entry["duration_ns"] for entry in off) / 1e9, delay, delta=0.1 * delay + 0.05)
        self.assertIn("wait_wal", {entry["detail"] for entry in off})

    def test_a_throttled_base_backup_is_in_a_backup_state(self):
        seen = clients()
        pid = next(pid for pid in seen.pids("c_basebackup") if seen.record.session(pid)["kind"] == "backup")
        begin, end = seen.marks["backup_streams"], seen.marks["backup_still_streams"]
        times = seen.record.time_in(pid, begin, end)
        # On a busy host the client may not take it at once.
        inside = sum(length for state, length in times.items() if state.startswith("backup_") or state == "send_blocked")
        self.assertGreaterEqual(inside, 0.99 * (end - begin), f"seen {times}")

    def test_an_idle_session_is_stays_idle(self):
        server = primary()
        with recording(server) as record:
            psql = server.start_program(
                ["psql", "-X", "-q", "-d", server.conninfo(application="s_stays_idle", replication="database",
                                                           database="postgres")],
                name="s_stays_idle", stdin=subprocess.PIPE)
            psql.popen.stdin.write(b"IDENTIFY_SYSTEM;\n")
            psql.popen.stdin.flush()
            wait_for("psql's answer", lambda: "systemid" in psql.out)
            pid, = walsender_pids(server, "s_stays_idle")
            window = hold(pid, 0.6)
            psql.popen.stdin.close()
            psql.expect()
        self.assert_mostly(record, pid, window, "idle", 0.99)

    def test_durations_of_a_session_add_up_to_its_own(self):
        seen = clients()
        sessions = seen.record.view("sessions")
        self.assertGreaterEqual(len(sessions), 8)
        for session in sessions:
            segments = seen.record.timeline(session["pid"])
            total = sum(entry["duration_ns"] for entry in segments)
            with self.subTest(session=session["session"], application=session["application_name"]):
                if session["application_name"] != "standby":
                    self.assertEqual(total, session["duration_ns"])
                    continue
                # It ran before: what it did until it was seen is not known, and in no segment.
                before = walscope.seconds(segments[0]["start"]) - walscope.seconds(session["start"])
                self.assertGreaterEqual(before, 0)
                self.assertAlmostEqual(total / 1e9, session["duration_ns"] / 1e9 - before, delta=0.001)

    def test_segments_follow_each_other_without_gap_or_overlap(self):
        seen = clients()
        ends = {}
        for entry in seen.record.view("timeline"):
            self.assertIn(entry["state"], STATES)
            whole, nanoseconds = walscope.timestamp(entry["start"])
            start = whole * 10 ** 9 + nanoseconds
            last = ends.get(entry["session"])
            if last is not None:
                # The times are of the wall clock, which is steered against the monotonic one.
                self.assertAlmostEqual(start, last, delta=1_000_000,
                                       msg=f"{entry['session']} {entry['state']}")
            ends[entry["session"]] = start + entry["duration_ns"]

    def test_nothing_is_unknown_or_lost_in_sessions_seen_from_their_start(self):
        seen = clients()
        for application in ("c_receivewal", "c_recvlogical", "c_endpos", "c_basebackup", "c_psql"):
            for pid in seen.pids(application):
                bad = {entry["state"]: entry["duration_ns"] for entry in seen.record.timeline(pid)
                       if entry["state"] in ("unknown", "lost")}
                self.assertEqual(bad, {}, application)
                self.assertEqual(seen.record.session(pid)["lost"], 0)


class Ends(LiveTest):
    """What a walsender was doing when it, or the recording, came to its end."""

    def stopped_backup(self, server, application):
        """A pg_basebackup that takes nothing any more: its process, and the walsender's pid."""
        client = server.basebackup(application, "-X", "none", "-r", "32M")  # not over before it is stopped
        pid = int(wait_for("the base backup to stream", lambda: server.sql(
            "select pid from pg_stat_progress_basebackup where phase = 'streaming database files'"),
            every=0.002)[0][0])
        client.signal(signal.SIGSTOP)
        wait_backup_stuck(server, pid)
        return client, pid

    def test_a_wait_ended_by_pg_terminate_backend_is_measured_and_what_follows_is_exiting(self):
        server = primary()
        with recording(server) as record:
            client = server.receivewal("s_terminated")
            server.wait_walsender("s_terminated")
            client.signal(signal.SIGSTOP)
            server.write_wal(30)
            pid = wait_stuck(server, "s_terminated")
            ticks = start_ticks(pid)
            window = hold(pid, HOLD)
            server.sql(f"select pg_terminate_backend({pid})")
            wait_for("the walsender to obey", lambda: any(
                line.pid == pid and line.sqlstate == "57P01" for line in server.log()))
            # Mostly it cannot tell its client, whose socket is full, and stays until that is gone;
            # now and then what it has to say still fits.
            said = last_seen = now = time.time()
            while alive(pid, ticks) and now < said + 0.5:
                last_seen, now = now, time.time()
            client.stop(signal.SIGKILL)
            wait_for("the walsender to end", lambda: not alive(pid, ticks))
        self.assert_mostly(record, pid, window, "send_blocked")
        hist = record.hist(pid, "send_blocked_ns")
        self.assertGreaterEqual(hist["count"] * hist["mean"] / 1e9, window.seconds)
        self.assertLessEqual(set(record.time_in(pid, said, time.time())), {"exiting"}, "states after the FATAL")
        self.assertAlmostEqual(record.time_in(pid, said, last_seen).get("exiting", 0), last_seen - said,
                               delta=0.001)

    def test_a_base_backup_terminated_while_its_client_is_stopped_was_send_blocked(self):
        server = primary()
        with recording(server) as record:
            client, pid = self.stopped_backup(server, "s_bb_terminated")
            window = hold(pid, HOLD)
            server.sql(f"select pg_terminate_backend({pid})")
            client.stop(signal.SIGKILL)
            wait_for("the walsender to end", lambda: server.wait_event(pid) is None)
        self.assert_mostly(record, pid, window, "send_blocked")

    def test_a_base_backup_whose_client_is_stopped_is_send_blocked_when_the_recording_ends(self):
        server = primary()
        with recording(server) as record:
            client, pid = self.stopped_backup(server, "s_bb_stopped")
            window = hold(pid, HOLD)
        self.assert_mostly(record, pid, window, "send_blocked")
        client.stop(signal.SIGKILL)

    def test_a_base_backup_found_with_its_client_stopped_is_send_blocked(self):
        server = primary()
        client, pid = self.stopped_backup(server, "s_bb_found")
        with recording(server) as record:
            window = hold(pid, HOLD)
        self.assert_mostly(record, pid, window, "send_blocked")
        client.stop(signal.SIGKILL)
