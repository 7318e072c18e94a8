# SPDX-License-Identifier: BSD-2-Clause
"""Sessions that look suspicious and are well: none of them may raise an alarm."""

import signal
import time

import lab
from lab import LabTest, caught_up, primary, pulse, scene, write
from cluster import Server
from live import hold, once, space
from players import Player


@once
def standby():
    """A standby that reports once in a minute, and when it has written something."""
    return Server(space(), "l_rarely", {"wal_receiver_status_interval": "'60s'"}).copy_of(primary())


def receivewal(application):
    server = primary()
    process = server.receivewal(application)
    server.wait_walsender(application)
    return process


class Healthy(LabTest):
    def run_client(self, application, client, seconds=8, load=True, verdict=lab.HEALTHY):
        """Looks at a client under a light load, or none."""
        try:
            with scene(primary()) as seen:
                pid = seen.pid(application)
                if load:
                    with pulse(primary(), 0.05):
                        seen.hold(seconds, pid)
                else:
                    seen.hold(seconds, pid)
                seen.record.end()
        finally:
            client.stop()
        self.assert_healthy(seen, pid, verdict=verdict)

    def test_pg_receivewal_as_it_is_by_default(self):
        """It reports every 10 s, and never says that anything is flushed."""
        self.run_client("l_receivewal", receivewal("l_receivewal"), seconds=14)

    def test_pg_receivewal_that_confirms_at_once(self):
        self.run_client("l_synchronous", lab.synchronous_receivewal(primary(), "l_synchronous"))

    def test_pg_receivewal_with_a_slot_that_confirms_whole_segments(self):
        """What lies between is written and not flushed, as long as its file is not full."""
        server = primary()
        server.sql("select pg_create_physical_replication_slot('l_segments', true)")
        folder = space().folder("l_segments.wal", server.user)
        client = server.start_program(
            ["pg_receivewal", "-D", folder, "-d", server.conninfo(application="l_segments"), "--no-loop", "-S",
             "l_segments", "-s", "2"], name="l_segments", stop=signal.SIGINT)
        try:
            server.wait_walsender("l_segments")
            with pulse(server, 0.1, megabytes=0.5):
                self.run_client("l_segments", client, seconds=20, load=False)
        finally:
            client.stop()
            lab.drop_slot(server, "l_segments")

    def test_pg_recvlogical_as_it_is_by_default(self):
        """It confirms what it has up to 10 s late."""
        server = primary()
        server.create_logical_slot("l_recvlogical")
        client = server.recvlogical("l_recvlogical", application="l_recvlogical")
        try:
            server.wait_walsender("l_recvlogical")
            self.run_client("l_recvlogical", client, seconds=14)
        finally:
            client.stop()
            lab.drop_slot(server, "l_recvlogical")

    def test_a_subscription_as_it_is_by_default(self):
        """Its apply worker commits asynchronously: what it has got is flushed some tenths of a second later."""
        server = primary()
        server.sql("create publication l_subscribed for table filler")
        subscriber = Server(space(), "l_subscriber").create().start()
        subscriber.sql("create table filler (t text)")
        try:
            with scene(server) as seen, pulse(server, 0.1):
                words = server.conninfo(database="postgres", password=server.password)
                subscriber.sql(f"create subscription l_subscribed connection '{words}' publication l_subscribed "
                               "with (copy_data = off)")
                server.wait_walsender("l_subscribed")
                pid = seen.pid("l_subscribed")
                seen.hold(7, pid)
                seen.record.end()
        finally:
            subscriber.stop(signal.SIGQUIT)
            lab.drop_slot(server, "l_subscribed")
            server.sql("drop publication l_subscribed")
        self.assert_healthy(seen, pid)

    def test_a_standby_that_reports_once_in_a_minute(self):
        standby().start()
        try:
            primary().wait_walsender("l_rarely")
            with scene(primary()) as seen:
                pid = seen.pid("l_rarely")
                with pulse(primary(), 0.2):
                    seen.hold(6, pid)
                seen.hold(5, pid)
                seen.record.end()
        finally:
            standby().stop()
        self.assert_healthy(seen, pid)

    def test_a_burst_and_then_silence(self):
        client = receivewal("l_burst")
        try:
            with scene(primary()) as seen:
                pid = seen.pid("l_burst")
                seen.hold(2, pid)
                write(primary(), 40)
                seen.hold(10, pid)
                caught_up(primary(), "l_burst")
                seen.record.end()
        finally:
            client.stop()
        self.assert_healthy(seen, pid)

    def test_a_client_that_stopped_for_a_moment_and_went_on(self):
        client = receivewal("l_moment")
        try:
            with scene(primary()) as seen, pulse(primary(), 0.05):
                pid = seen.pid("l_moment")
                seen.hold(3, pid)
                with lab.Stop(client.pid):
                    hold(pid, 0.5)
                seen.hold(6, pid)
                seen.record.end()
        finally:
            client.stop()
        self.assert_healthy(seen, pid)

    def test_a_cluster_at_rest(self):
        clients = [receivewal(application) for application in ("l_rest1", "l_rest2")]
        try:
            caught_up(primary(), "l_rest1")
            with scene(primary()) as seen:
                pids = [seen.pid(application) for application in ("l_rest1", "l_rest2")]
                seen.hold(8, *pids)
                seen.record.end()
        finally:
            for client in clients:
                client.stop()
        self.assert_healthy(seen, *pids, verdict="healthy_idle")

    def test_a_client_of_a_unix_socket_that_keeps_up(self):
        server = primary()
        folder = space().folder("l_unix.wal", server.user)
        client = server.start_program(
            ["pg_receivewal", "-D", folder, "-d", server.conninfo(application="l_unix", host=server.dir),
             "--no-loop", "--no-sync"], name="l_unix", stop=signal.SIGINT)
        try:
            server.wait_walsender("l_unix")
            self.run_client("l_unix", client)
        finally:
            client.stop()

    def test_a_client_that_takes_much_and_keeps_up(self):
        """Its socket is full now and then, and empties."""
        client = receivewal("l_much")
        try:
            with scene(primary()) as seen, pulse(primary(), 0.25, megabytes=8):
                pid = seen.pid("l_much")
                time.sleep(1)
                seen.hold(7, pid)
                seen.record.end()
        finally:
            client.stop()
        self.assert_healthy(seen, pid, verdict="healthy_streaming")

    def test_less_than_three_seconds_are_insufficient_data(self):
        client = receivewal("l_short")
        try:
            with scene(primary()) as seen:
                pid = seen.pid("l_short")
                began = time.monotonic()
                with Player(primary(), "slow", f"START_REPLICATION {lab.end_of_wal(primary())}", "l_shorter",
                            rate=1 << 30):
                    shorter = seen.pid("l_shorter")
                    time.sleep(0.5)
                lasted = time.monotonic() - began
                time.sleep(3)
                seen.record.end()
        finally:
            client.stop()
        self.assertLess(lasted, 3, "too busy a host to tell anything")
        self.assert_account(seen, pid, shorter)
        self.assert_says(seen.session(shorter), "insufficient_data")
