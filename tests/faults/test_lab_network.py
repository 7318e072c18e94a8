# SPDX-License-Identifier: BSD-2-Clause
"""A network that is slow, or swallows all of a sudden what is sent. Clients sit in a namespace of their own."""

import contextlib
import json
import os
import time

import lab
import walscope
from lab import LabTest, lab_server, pulse, scene
from live import once, space
from load import Network
from players import Player

NOT_THE_NETWORK = (*lab.RECEIVER, *lab.STANDBY, *lab.OWN_WORK, *lab.HEALTHY)
FAST = 1 << 30


@once
def network():
    """8 Mbit a second."""
    return Network("8mbit")


@once
def server():
    made = lab_server("l_near", listen_addresses=f"'127.0.0.1,{network().here}'")
    with open(os.path.join(made.data, "pg_hba.conf"), "a", encoding="utf-8") as file:
        file.write(f"host replication all {network().there}/32 scram-sha-256\n")
    made.start()
    made.sql("create table filler (t text)")
    return made


def far(application, **options):
    """A client at the other end that reads all that gets there."""
    return Player(server(), "slow", f"START_REPLICATION {lab.end_of_wal(server())}", application,
                  host=network().here, enter=network().enter, rate=FAST, **options)


@contextlib.contextmanager
def swallowed():
    """The other end has lost its address: what is sent there gets no answer, not even a refusal."""
    here, there = network().here, network().there
    link = network().link
    run = space().run
    seen = run([*network().enter, "ip", "-j", "link", "show", "inside"], name="mac").out
    mac = json.loads(seen)[0]["address"]
    run(["ip", "neigh", "replace", there, "lladdr", mac, "dev", link, "nud", "permanent"], name="neigh")
    run([*network().enter, "ip", "address", "del", f"{there}/30", "dev", "inside"], name="unaddress")
    try:
        yield
    finally:
        run([*network().enter, "ip", "address", "add", f"{there}/30", "dev", "inside"], name="address")
        run(["ip", "neigh", "del", there, "dev", link], name="unneigh")


@contextlib.contextmanager
def one_way():
    """What is sent to the other end is not for it; what it sends gets here."""
    there, link = network().there, network().link
    space().run(["ip", "neigh", "replace", there, "lladdr", "02:00:00:00:00:01", "dev", link, "nud",
                 "permanent"], name="neigh")
    try:
        yield
    finally:
        space().run(["ip", "neigh", "del", there, "dev", link], name="unneigh")


@contextlib.contextmanager
def no_route():
    """This host does not know how to send to the other end."""
    route = ["unreachable", f"{network().there}/32"]
    space().run(["ip", "route", "add", *route], name="route")
    try:
        yield
    finally:
        space().run(["ip", "route", "del", *route], name="unroute")


@contextlib.contextmanager
def congestion_control(name):
    """Of connections made while the body runs."""
    route = ["ip", "route", "change", f"{network().net}/30", "dev", network().link, "src", network().here]
    space().run([*route, "congctl", name], name="route")
    try:
        yield
    finally:
        space().run(route, name="route")


class Slow(LabTest):
    def check(self, application, **options):
        with scene(server()) as seen, far(application, **options):
            pid = seen.pid(application)
            lab.fill(server(), application)
            seen.hold(8, pid)
            seen.record.end()
        self.assert_session(seen, pid, "network_slow",
                            [code for code in (*NOT_THE_NETWORK, "connection_dead")], state="send_blocked")

    def test_a_link_of_8_megabits_is_network_slow(self):
        self.check("l_link")

    def test_a_link_of_8_megabits_is_network_slow_with_tls(self):
        self.check("l_link_tls", tls=True)

    def test_a_link_of_8_megabits_is_network_slow_with_cubic(self):
        with congestion_control("cubic"):
            self.check("l_link_cubic")

    def test_a_link_that_suffices_is_healthy(self):
        with scene(server()) as seen, far("l_suffices"), pulse(server(), 0.1):
            pid = seen.pid("l_suffices")
            seen.hold(8, pid)
            seen.record.end()
        self.assert_healthy(seen, pid)


class Dead(LabTest):
    NEVER = (*NOT_THE_NETWORK, "network_slow")

    def test_a_client_that_nothing_reaches_any_more_is_connection_dead(self):
        with scene(server()) as seen, far("l_dead"), pulse(server(), 0.2):
            pid = seen.pid("l_dead")
            seen.hold(3, pid)
            with swallowed():
                seen.hold(11, pid)
                seen.record.end()
        self.assert_session(seen, pid, "connection_dead", self.NEVER)

    def cut(self, application, way):
        with scene(server()) as seen, far(application), pulse(server(), 0.2):
            pid = seen.pid(application)
            seen.hold(3, pid)
            with way():
                seen.hold(10, pid)
                seen.record.end()
        return self.assert_session(seen, pid, "connection_dead", self.NEVER, cut=6)

    def test_a_way_that_is_cut_in_one_direction_is_connection_dead(self):
        entry = self.cut("l_one_way", one_way)
        self.assertIn("cut in one direction", entry["text"], lab.figures(entry))

    def test_a_client_that_this_host_has_no_route_to_is_connection_dead(self):
        entry = self.cut("l_no_route", no_route)
        self.assertIn("This host has no way to it", entry["text"], lab.figures(entry))

    def test_an_outage_in_the_midst_is_said_of_a_session_that_is_well_again(self):
        with scene(server()) as seen, far("l_outage"), pulse(server(), 0.2):
            pid = seen.pid("l_outage")
            seen.hold(8, pid)
            with swallowed():
                seen.hold(8, pid)
                cut = walscope.rfc3339(time.time())
            lab.caught_up(server(), "l_outage")
            seen.hold(8, pid)
            seen.record.end()
        self.assert_account(seen, pid)
        self.assert_says(self.assert_explained(seen, pid, "--to", cut), "connection_dead", self.NEVER)
        entry = self.assert_explained(seen, pid)
        self.assert_says(entry, (*lab.HEALTHY, "network_slow"))
        self.assertRegex(entry["text"], "was cut", lab.figures(entry))
        self.assert_says(self.assert_explained(seen, pid, "--from=-6s"), lab.HEALTHY)

    def test_a_client_lost_with_its_socket_full_is_connection_dead(self):
        with scene(server()) as seen, far("l_dead_full"):
            pid = seen.pid("l_dead_full")
            with swallowed():
                lab.write(server(), 20)
                time.sleep(2)
                seen.hold(11, pid)
                seen.record.end()
        self.assert_session(seen, pid, "connection_dead", self.NEVER, state="send_blocked")
