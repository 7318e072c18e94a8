# SPDX-License-Identifier: BSD-2-Clause
"""Clients that are far away: there a round trip takes its time whatever else is wrong."""

import contextlib
import itertools
import os

import lab
from far import Far
from lab import LabTest, lab_server, pulse, scene
from live import once, space
from players import Player

NOT_THE_NETWORK = (*lab.RECEIVER, *lab.STANDBY, *lab.OWN_WORK, *lab.HEALTHY, "connection_dead")
NET = "198.19"
LINK = 1_000_000  # bytes a second
_numbers = itertools.count(os.getpid() % 200)


@once
def server():
    """Whoever comes from elsewhere than these clients is refused."""
    made = lab_server("l_far", listen_addresses="'*'")
    with open(os.path.join(made.data, "pg_hba.conf"), "a", encoding="utf-8") as file:
        file.write(f"host replication all {NET}.0.0/16 scram-sha-256\n")
    made.start()
    made.sql("create table filler (t text)")
    return made


@contextlib.contextmanager
def kernel(name, value):
    """A setting of this host's TCP, for connections made while the body runs."""
    path = f"/proc/sys/net/ipv4/{name}"
    with open(path, encoding="ascii") as file:
        before = file.read()
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
        yield
    finally:
        with open(path, "w", encoding="ascii") as file:
            file.write(before)


class LongWay(LabTest):
    @contextlib.contextmanager
    def client(self, application, way, **options):
        """Reads all that gets there at once."""
        number = next(_numbers)
        with Far(space(), f"wsf{os.getpid() % 100000}.{number}", f"{NET}.{number % 256}", **way) as far, \
                Player(server(), "slow", f"START_REPLICATION {lab.end_of_wal(server())}", application,
                       host=far.here, enter=far.enter, rate=1 << 30, **options):
            yield

    def blocked(self, application, verdict, never, way, **options):
        with scene(server()) as seen, self.client(application, way, **options):
            pid = seen.pid(application)
            lab.fill(server(), application)
            seen.hold(7, pid)
            seen.record.end()
        return self.assert_session(seen, pid, verdict, never, state="send_blocked")

    def test_a_full_link_of_40_ms_is_network_slow(self):
        self.blocked("l_full", "network_slow", NOT_THE_NETWORK, {"delay_s": 0.02, "rate": LINK})

    def test_a_full_link_of_40_ms_is_network_slow_with_cubic_and_a_short_queue(self):
        with kernel("tcp_congestion_control", "cubic"):
            self.blocked("l_short", "network_slow", NOT_THE_NETWORK,
                         {"delay_s": 0.02, "rate": LINK, "queue": 30_000})

    def test_a_way_that_loses_packets_is_network_slow(self):
        with kernel("tcp_congestion_control", "cubic"):
            self.blocked("l_loses", "network_slow", NOT_THE_NETWORK, {"delay_s": 0.01, "loss": 0.03})

    def test_a_send_buffer_too_small_for_the_way_is_network_slow_and_named(self):
        with kernel("tcp_wmem", "4096 16384 65536"):
            entry = self.blocked("l_buffer", "network_slow", NOT_THE_NETWORK, {"delay_s": 0.03})
        self.assertIn("send buffer", entry["text"], lab.figures(entry))

    def test_a_receive_buffer_too_small_for_the_way_is_receiver_slow(self):
        self.blocked("l_window", "receiver_slow", (*lab.NETWORK, *lab.STANDBY, *lab.HEALTHY, "receiver_not_reading"),
                     {"delay_s": 0.05}, buffer=16384)

    def test_a_way_of_80_ms_that_suffices_is_healthy(self):
        with scene(server()) as seen, self.client("l_long", {"delay_s": 0.04}), pulse(server(), 0.1):
            pid = seen.pid("l_long")
            seen.hold(7, pid)
            seen.record.end()
        self.assert_healthy(seen, pid)
