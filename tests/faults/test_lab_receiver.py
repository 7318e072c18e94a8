# SPDX-License-Identifier: BSD-2-Clause
"""Walsenders whose own process, or whose client, has stopped, is slow, or is silent."""

import contextlib
import signal
import time

import lab
import relays
import walscope
from lab import LabTest, Stop, primary, pulse, scene, write
from live import space, wait_gone, wait_stuck
from players import Player
from processes import alive, start_ticks, wait_for

NOT_THE_RECEIVER = (*lab.NETWORK, *lab.STANDBY, *lab.OWN_WORK, *lab.HEALTHY)


@contextlib.contextmanager
def receivewal(application, *options, **conninfo):
    """pg_receivewal, as it is by default."""
    server = primary()
    folder = server.space.folder(f"{application}.wal", server.user)
    process = server.start_program(
        ["pg_receivewal", "-D", folder, "-d", server.conninfo(application=application, **conninfo), "--no-loop",
         "--no-sync", *options], name=application, stop=signal.SIGINT)
    try:
        server.wait_walsender(application)
        yield process
    finally:
        process.stop()


def is_window_shut(port):
    """Does a peer of this port take nothing more? Then its window is probed (man 5 proc_net: timer 4)."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    return any(row[5].startswith("04:") for row in rows if int(row[1].split(":")[1], 16) == port)


def player(play, application, **options):
    return Player(primary(), play, f"START_REPLICATION {lab.end_of_wal(primary())}", application, **options)


class Stopped(LabTest):
    def test_a_stopped_walsender_is_sender_stopped(self):
        with scene(primary()) as seen, receivewal("l_sender"):
            pid = seen.pid("l_sender")
            with pulse(primary()):
                time.sleep(1)
                with Stop(pid):
                    seen.hold(5, pid)
                    seen.record.end()
        self.assert_session(seen, pid, "sender_stopped",
                            (*lab.RECEIVER, *NOT_THE_RECEIVER), state="stopped")

    def test_a_stopped_client_is_receiver_not_reading_though_little_is_sent_to_it(self):
        """The server's own buffer takes what is sent meanwhile: its walsender waits for WAL as it should."""
        with scene(primary()) as seen, receivewal("l_little") as client:
            pid = seen.pid("l_little")
            with Stop(client.pid), pulse(primary(), 0.1, megabytes=0.03):
                wait_for("its buffer to be full", lambda: is_window_shut(primary().port))
                seen.hold(8, pid)
                seen.record.end()
        self.assert_session(seen, pid, "receiver_not_reading", (*NOT_THE_RECEIVER, "receiver_silent"),
                            state="wait_wal", share=0.8, cut=6)

    def test_a_walsender_stopped_while_its_client_is_stopped_is_sender_stopped(self):
        with scene(primary()) as seen, receivewal("l_both") as client:
            pid = seen.pid("l_both")
            with Stop(client.pid):
                write(primary(), 40)
                wait_stuck(primary(), "l_both")
                with Stop(pid):
                    seen.hold(6, pid)
                    seen.record.end()
        self.assert_session(seen, pid, "sender_stopped", (*lab.NETWORK, *lab.HEALTHY), state="stopped")


class NotReading(LabTest):
    def check(self, application, **conninfo):
        with receivewal(application, **conninfo) as client, scene(primary()) as seen:
            pid = seen.pid(application)
            with Stop(client.pid):
                write(primary(), 40)
                wait_stuck(primary(), application)
                seen.hold(6, pid)
                seen.record.end()
        return self.assert_session(seen, pid, "receiver_not_reading",
                                   ("receiver_slow", "receiver_silent", *NOT_THE_RECEIVER), state="send_blocked")

    def test_a_stopped_client_over_tcp_is_receiver_not_reading(self):
        self.check("l_stopped_tcp")

    def test_a_stopped_client_over_tls_is_receiver_not_reading(self):
        self.check("l_stopped_tls", sslmode="require")

    def test_a_stopped_client_over_a_unix_socket_is_receiver_not_reading(self):
        self.check("l_stopped_unix", host=primary().dir)

    def test_a_full_socket_takes_two_to_end_its_session(self):
        """The first one waits to be told to the client, which the second one leaves out."""
        terminate = "select pg_terminate_backend({})"
        with receivewal("l_told") as client, scene(primary()) as seen:
            pid = seen.pid("l_told")
            ticks = start_ticks(pid)
            with Stop(client.pid):
                write(primary(), 40)
                wait_stuck(primary(), "l_told")
                primary().sql(terminate.format(pid))
                time.sleep(1)
                seen.hold(6, pid)
                self.assertTrue(alive(pid, ticks))
                seen.record.end()
                primary().sql(terminate.format(pid))
                wait_gone(pid, ticks)
        entry = self.assert_session(seen, pid, "receiver_not_reading", NOT_THE_RECEIVER, state="exiting")
        self.assertIn("was told to end", entry["text"], lab.figures(entry))
        self.assertIn("pg_terminate_backend once more", entry["advice"], lab.figures(entry))

    def test_a_stopped_client_looked_at_live_is_receiver_not_reading(self):
        with receivewal("l_stopped_live") as client, Stop(client.pid):
            write(primary(), 40)
            pid = wait_stuck(primary(), "l_stopped_live")
            entries = walscope.view(space(), "explain", "--live", "--duration", "7", "--postmaster",
                                    str(primary().pid))
        entry, = [entry for entry in entries if entry["scope"] == "session" and entry["pid"] == pid]
        self.assert_whole(entry)
        self.assert_says(entry, "receiver_not_reading", ("receiver_slow", "receiver_silent", *NOT_THE_RECEIVER))

    def test_a_client_that_has_never_read_is_receiver_not_reading(self):
        with scene(primary()) as seen, player("stuck", "l_stuck", buffer=65536):
            pid = seen.pid("l_stuck")
            write(primary(), 40)
            wait_stuck(primary(), "l_stuck")
            seen.hold(6, pid)
            seen.record.end()
        self.assert_session(seen, pid, "receiver_not_reading",
                            ("receiver_slow", *NOT_THE_RECEIVER), state="send_blocked")


class Slow(LabTest):
    def check(self, application, rate=1 << 20, **options):
        with scene(primary()) as seen, player("slow", application, rate=rate, buffer=65536, **options):
            pid = seen.pid(application)
            write(primary(), 60)
            wait_for("the socket to be full", lambda: seen.server.sql(
                "select 1 from pg_stat_replication where sent_lsn < pg_current_wal_flush_lsn() and "
                f"application_name = '{application}'"))
            time.sleep(1)
            seen.hold(8, pid)
            seen.record.end()
        return self.assert_session(seen, pid, "receiver_slow",
                                   ("receiver_not_reading", "receiver_silent", *lab.NETWORK, *lab.STANDBY,
                                    *lab.HEALTHY), state="send_blocked")

    def test_a_slow_reader_over_tcp_is_receiver_slow(self):
        self.check("l_slow_tcp")

    def test_a_slow_reader_over_tls_is_receiver_slow(self):
        self.check("l_slow_tls", tls=True)

    def test_a_slow_reader_over_a_unix_socket_is_receiver_slow(self):
        self.check("l_slow_unix", host=primary().dir)

    def test_a_throttling_relay_is_receiver_slow_and_no_network(self):
        with relays.Throttle(primary().port, 1 << 20) as relay:
            with scene(primary()) as seen, receivewal("l_relay", port=relay.port):
                pid = seen.pid("l_relay")
                write(primary(), 60)
                time.sleep(2)
                seen.hold(8, pid)
                seen.record.end()
                relay.open()
        self.assert_session(seen, pid, "receiver_slow", ("receiver_not_reading", *lab.NETWORK, *lab.HEALTHY),
                            state="send_blocked")


class Silent(LabTest):
    def test_a_client_that_reads_and_answers_nothing_is_receiver_silent(self):
        """After 10 s without a word it is pinged, after 20 s it would be given up."""
        client = player("silent", "l_silent", good_s=4, session="-c wal_sender_timeout=20s")
        with client, scene(primary()) as seen, pulse(primary()):
            pid = seen.pid("l_silent")
            wait_for("silence", lambda: client.said("silent"))
            seen.hold(17.5, pid)
            seen.record.end()
        self.assert_session(seen, pid, "receiver_silent",
                            ("receiver_not_reading", "receiver_slow", *lab.NETWORK, *lab.HEALTHY))

    def test_half_a_message_is_client_protocol_stall(self):
        with scene(primary()) as seen, player("half", "l_half", good_s=2) as client:
            pid = seen.pid("l_half")
            wait_for("half a message", lambda: client.said("half"))
            primary().sql("insert into filler values ('')")
            wait_for("its walsender to wait for the rest",
                     lambda: primary().wait_event(pid) == "ClientRead")
            seen.hold(6, pid)
            seen.record.end()
        self.assert_session(seen, pid, "client_protocol_stall",
                            ("receiver_not_reading", "receiver_slow", *lab.NETWORK, *lab.HEALTHY),
                            state="recv_blocked")
