# SPDX-License-Identifier: BSD-2-Clause
"""What is sampled of sessions about once a second: against the kernel's files, the server's views and the
test's own clock."""

import os
import signal
import time

import replication_client
from cluster import Server, lsn
from live import (LiveTest, no_wal_of_its_own, once, primary, recording, space, standby, wait_caught_up,
                  wait_stuck)
from processes import stat_fields, wait_for

ENOUGH_S = 3  # at least two samples, unless the host stops walscope meanwhile


@once
def sampled():
    server = replication_client.offer_tls_and_unix(Server(space(), "sampled").create()).start()
    server.pgbench_init(1)
    return server


def records(record, kind, pid):
    return [entry for entry in record.view("trace") if entry["event"] == kind and entry["pid"] == pid]



class Samples(LiveTest):
    def test_a_stopped_walsender_is_stopped_for_as_long(self):
        server = sampled()
        with recording(server) as record:
            client = server.receivewal("m_stopped")
            pid = int(server.wait_walsender("m_stopped")["pid"])
            before = time.time()
            os.kill(pid, signal.SIGSTOP)
            try:
                wait_for("the walsender to stop", lambda: stat_fields(pid)[0] == "T")
                stopped = time.time()
                time.sleep(ENOUGH_S)
            finally:
                end = time.time()
                os.kill(pid, signal.SIGCONT)
            goes_on = time.time()
            server.write_wal(1)
            client.stop()
        seen = record.time_in(pid, before - 60, goes_on + 60).get("stopped", 0)
        self.assertGreaterEqual(seen, end - stopped - 0.01)
        self.assertLessEqual(seen, goes_on - before + 0.01)
        self.assertEqual([entry["signal"] for entry in record.view("trace") if entry["event"] == "signal"
                          and entry["target_pid"] == pid][:2], [signal.SIGSTOP, signal.SIGCONT])
        self.assertNotEqual(record.session(pid)["exit"]["reason"], "killed")

    def test_a_receiver_that_does_not_read_closes_its_window(self):
        server = sampled()
        with recording(server) as record:
            client = server.receivewal("m_window")
            pid = int(server.wait_walsender("m_window")["pid"])
            client.signal(signal.SIGSTOP)
            server.write_wal(60)
            wait_stuck(server, "m_window")
            begin = time.time()
            time.sleep(2 * ENOUGH_S)
            window = time.time() - begin
            client.signal(signal.SIGCONT)
            client.stop()
        seen = records(record, "socket", pid)
        closed = [entry for entry in seen if entry["window_bytes"] == 0 and entry["timer"] == "persist"]
        self.assertGreaterEqual(len(closed), 2, seen)
        grown = (closed[-1]["rwnd_limited_us"] - closed[0]["rwnd_limited_us"]) / 1e6
        self.assertGreater(grown, 0)
        self.assertLess(grown, 2 * window + 10)
        self.assertGreater(closed[-1]["unsent_bytes"], 0)

    def test_a_unix_socket_that_is_not_read_fills(self):
        server = sampled()
        with recording(server) as record:
            client = replication_client.connect(server, application="m_unix", host=server.dir)
            start = server.value("select pg_current_wal_flush_lsn()")
            client.start(f"START_REPLICATION {start}")
            pid = int(wait_for("the walsender", lambda: server.walsenders("m_unix"))[0]["pid"])
            server.write_wal(20)
            wait_stuck(server, "m_unix")
            time.sleep(ENOUGH_S)
            client.close()
        seen = [entry for entry in records(record, "sample", pid) if entry["unix_queued_bytes"] is not None]
        self.assertTrue(seen)
        full = seen[-1]
        self.assertGreater(full["unix_queued_bytes"], full["unix_sndbuf_bytes"] / 2)
        self.assertGreater(full["unix_packets"], 0)
        self.assertGreater(full["pending_bytes"], 0)

    def test_the_target_is_the_end_of_wal(self):
        server = sampled()
        server.create_logical_slot("m_target")
        try:
            with recording(server) as record:
                physical = server.receivewal("m_physical")
                logical = server.recvlogical("m_target", application="m_logical")
                pids = [int(server.wait_walsender(name)["pid"]) for name in ("m_physical", "m_logical")]
                server.write_wal(2)
                with no_wal_of_its_own(server):
                    wait_caught_up(server, "m_physical")
                    wait_for("the logical walsender to catch up", lambda: server.value(
                        "select sent_lsn >= pg_current_wal_flush_lsn() from pg_stat_replication "
                        "where application_name = 'm_logical'") == "t")
                    time.sleep(ENOUGH_S)
                    end = server.value("select pg_current_wal_flush_lsn()")
                    record.end()
                physical.stop()
                logical.stop()
            for pid in pids:
                seen = [entry["target_lsn"] for entry in records(record, "sample", pid)]
                self.assertEqual(lsn(seen[-1]), lsn(end), seen)
        finally:
            server.sql("select pg_drop_replication_slot('m_target')")

    def test_on_a_standby_the_target_is_what_it_received(self):
        server = standby()
        with recording(server) as record, no_wal_of_its_own(primary()):
            client = server.receivewal("m_cascade")
            pid = int(server.wait_walsender("m_cascade")["pid"])
            primary().write_wal(2)
            end = primary().value("select pg_current_wal_flush_lsn()")
            wait_for("the standby to have it all", lambda: server.value(
                f"select pg_last_wal_receive_lsn() >= '{end}'") == "t")
            time.sleep(ENOUGH_S)
            end = server.value("select pg_last_wal_receive_lsn()")
            record.end()
            client.stop()
        seen = [entry["target_lsn"] for entry in records(record, "sample", pid)]
        self.assertEqual(lsn(seen[-1]), lsn(end), seen)

    def test_waiting_for_a_processor_is_counted(self):
        server = sampled()
        with recording(server) as record:
            client = server.receivewal("m_delay")
            pid = int(server.wait_walsender("m_delay")["pid"])
            cpu = sorted(os.sched_getaffinity(pid))[0]
            os.sched_setaffinity(pid, {cpu})
            busy = [server.space.start(["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"],
                                       name="busy") for _ in range(3)]

            def delay():
                with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
                    return int(file.read().split()[1])

            before = delay()
            time.sleep(ENOUGH_S)
            begin = delay()
            server.write_wal(200)
            time.sleep(ENOUGH_S)
            after = delay()
            for process in busy:
                process.stop(signal.SIGKILL)
            client.stop()
        seen = [entry["run_delay_ns"] for entry in records(record, "sample", pid)]
        self.assertGreater(after, begin)
        self.assertTrue(any(value >= before for value in seen), (before, seen))
        self.assertGreater(seen[-1] - seen[0], (after - begin) / 2)
