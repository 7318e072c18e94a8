# SPDX-License-Identifier: BSD-2-Clause
"""Sessions that end, and begin again, and end again."""

import os
import signal
import time

import lab
from cluster import Server
from lab import LabTest, lab_server, primary, pulse, scene
from live import once, space
from players import Player
from processes import wait_for
from talkers import server_process


@once
def small():
    """A server that keeps no more WAL than it needs."""
    server = lab_server("l_small", wal_keep_size="0", max_wal_size="'48MB'", min_wal_size="'32MB'",
                        max_slot_wal_keep_size="'32MB'").start()
    server.sql("create table filler (t text)")
    return server


def sessions_of(seen, application, count, timeout=30):
    """Waits until a client's sessions are that many, and all but the last have ended."""

    def ended():
        pids = set(seen.pids(application))
        gone = {line.pid for line in seen.server.log() if line.message.startswith("disconnection:")}
        return len(pids & gone) >= count and sorted(pids & gone)

    return wait_for(f"{count} sessions of {application}", ended, timeout)


def lose(server, slot):
    """Writes until the server keeps no longer what the slot needs."""

    def lost():
        lab.write(server, 24)
        server.sql("checkpoint")
        return server.value(f"select wal_status from pg_replication_slots where slot_name = '{slot}'") == "lost"

    wait_for("the slot to be lost", lost)


class Unwatched(LabTest):
    def test_an_end_while_the_recorder_takes_its_probes_out_gets_no_false_reason(self):
        """What a session reports at its end may come behind the probes; its exit is seen for longer."""
        server = primary()
        for delay in (0.01, 0.03, 0.06):
            name = f"l_unwatched{round(delay * 1000)}"
            client = server.start_program(
                ["pg_receivewal", "-D", server.space.folder(f"{name}.wal", server.user), "-d",
                 server.conninfo(application=name), "--no-loop", "--no-sync"], name=name)
            try:
                server.wait_walsender(name)
                with scene(server) as seen:
                    pid = seen.pid(name)
                    seen.record.process.signal(signal.SIGINT)
                    time.sleep(delay)
                    os.kill(pid, signal.SIGTERM)
                    seen.record.process.expect(0)
            finally:
                client.close()
            self.assertIn(seen.record.session(pid)["exit"]["reason"], (None, "unknown", "admin_terminated"))


class Ends(LabTest):
    def check(self, seen, verdict, application, fact=None):
        pids = seen.pids(application)
        self.assert_account(seen, *pids)
        # Who asks in vain for WAL, or a slot, that is gone does come again and again.
        fits = {verdict, "reconnect_loop"} if verdict in ("wal_removed", "slot_invalidated") else {verdict}
        never = [code for code in lab.ENDS if code not in fits]
        entry = self.assert_other(seen, "group", verdict, pids[:-1], never)
        self.assertGreaterEqual(len(entry["sessions"]), len(pids) - 1, lab.figures(entry))
        if fact:
            self.assertIn(fact, entry["text"] + str(entry["evidence"]), lab.figures(entry))

    def test_a_position_whose_wal_is_gone_is_wal_removed(self):
        server = small()
        first = server.value("select pg_walfile_name(pg_current_wal_lsn())")
        position = server.value("select pg_current_wal_lsn()")
        for _ in range(4):
            server.sql("insert into filler values (''); select pg_switch_wal()")
            server.sql("checkpoint")
        wait_for("the segment to go", lambda: not os.path.exists(os.path.join(server.data, "pg_wal", first)))
        with scene(server) as seen, Player(server, "slow", f"START_REPLICATION {position}", "l_removed",
                                           rate=1 << 30, times=5, pause=0.7):
            sessions_of(seen, "l_removed", 5)
            seen.record.end()
        self.check(seen, "wal_removed", "l_removed", first)

    def test_a_slot_that_another_one_holds_is_reconnect_loop(self):
        server = primary()
        slot = "l_taken"
        server.sql(f"select pg_create_physical_replication_slot('{slot}', true)")
        start = f"START_REPLICATION SLOT {slot} {lab.end_of_wal(server)}"
        with Player(server, "slow", start, "l_holder", rate=1 << 30), scene(server) as seen:
            server.wait_walsender("l_holder")
            with Player(server, "slow", start, "l_comer", rate=1 << 30, times=5, pause=0.7):
                sessions_of(seen, "l_comer", 5)
                seen.record.end()
        lab.drop_slot(server, slot)
        self.check(seen, "reconnect_loop", "l_comer", "55006")

    def test_a_subscription_in_conflict_is_reconnect_loop(self):
        server, subscriber = primary(), lab_server("l_conflicting", wal_retrieve_retry_interval="'1s'").start()
        for made in (server, subscriber):
            made.sql("create table l_conflict (id int primary key)")
        server.sql("create publication l_conflict for table l_conflict")
        where = server.conninfo(database="postgres", password=server.password)
        subscriber.sql(f"create subscription l_conflict connection '{where}' publication l_conflict "
                       "with (copy_data = false)")
        server.wait_walsender("l_conflict")
        with scene(server) as seen:
            subscriber.sql("insert into l_conflict values (1)")
            server.sql("insert into l_conflict values (1)")
            sessions_of(seen, "l_conflict", 5)
            seen.record.end()
        subscriber.stop()
        lab.drop_slot(server, "l_conflict")
        self.check(seen, "reconnect_loop", "l_conflict", "restart at")

    def test_a_standby_that_crashes_again_and_again_is_reconnect_loop(self):
        server = primary()
        standby = Server(space(), "l_crashing").copy_of(server)
        with scene(server) as seen, pulse(server, 0.2):
            for _ in range(3):
                standby.start()
                server.wait_walsender("l_crashing")
                time.sleep(1)
                standby.stop(signal.SIGQUIT)
            sessions_of(seen, "l_crashing", 3)
            seen.record.end()
        self.check(seen, "reconnect_loop", "l_crashing", "connection broken off")

    def test_a_server_that_crashes_again_and_again_is_reconnect_loop_and_named(self):
        """Its client tries again after 5 s, and has done nothing wrong."""
        server = lab_server("l_crashes").start()
        with scene(server) as seen:
            client = server.start_program(
                ["pg_receivewal", "-D", space().folder("l_undone.wal", server.user), "-d",
                 server.conninfo(application="l_undone"), "--no-sync"], name="l_undone", stop=signal.SIGINT)
            for _ in range(3):
                server.wait_walsender("l_undone")
                time.sleep(1)
                os.kill(server_process(server, "walwriter"), signal.SIGKILL)
                server.wait_ready()
            server.wait_walsender("l_undone")
            seen.record.end()
        client.stop()
        server.stop()
        self.check(seen, "reconnect_loop", "l_undone", "The server itself crashes again and again: 3 sessions")

    def test_a_receiver_that_cannot_write_is_reconnect_loop(self):
        """It takes leave each time, and tries again after 5 s."""
        server = primary()
        folder = space().folder("l_full.wal", server.user)
        os.chmod(folder, 0o500)
        with scene(server) as seen:
            client = server.start_program(
                ["pg_receivewal", "-D", folder, "-d", server.conninfo(application="l_full"), "--no-sync"],
                name="l_full", stop=signal.SIGINT)
            sessions_of(seen, "l_full", 4)
            seen.record.end()
        client.stop()
        self.check(seen, "reconnect_loop", "l_full")

    def test_clients_of_one_name_that_are_gone_at_a_time_are_no_loop(self):
        server = primary()
        with scene(server) as seen:
            clients = [server.start_program(
                ["pg_receivewal", "-D", space().folder(f"l_gone{number}.wal", server.user), "-d",
                 server.conninfo(application="l_gone"), "--no-loop"], name="l_gone", stop=signal.SIGINT)
                for number in range(4)]
            wait_for("all of them", lambda: len(server.walsenders("l_gone")) == len(clients))
            time.sleep(1)
            for client in clients:
                client.stop(signal.SIGKILL)
            lab.write(server, 1)
            pids = sessions_of(seen, "l_gone", len(clients))
            seen.record.end()
        self.assert_account(seen, *pids)
        self.assert_no_end(seen)

    def assert_no_end(self, seen):
        for entry in seen.explained():
            for code in lab.ENDS:
                self.assertNotIn(code, (entry["verdict"], *entry["also"]), lab.figures(entry))

    def test_a_client_given_up_again_and_again_is_timeout_loop(self):
        server = primary()
        start = f"START_REPLICATION {lab.end_of_wal(server)}"
        with scene(server) as seen, pulse(server), \
                Player(server, "silent", start, "l_timeout", good_s=0, times=3, pause=0.3,
                       session="-c wal_sender_timeout=2s"):
            sessions_of(seen, "l_timeout", 3)
            seen.record.end()
        self.check(seen, "timeout_loop", "l_timeout", start.split()[-1])

    def test_a_slot_that_holds_too_much_is_slot_invalidated(self):
        server = small()
        slot = "l_lost"
        server.sql(f"select pg_create_physical_replication_slot('{slot}', true)")
        start = f"START_REPLICATION SLOT {slot} {lab.end_of_wal(server)}"
        with scene(server) as seen, Player(server, "silent", start, "l_lost", good_s=1) as client:
            pid = seen.pid("l_lost")
            wait_for("silence", lambda: client.said("silent"))
            seen.hold(3, pid)
            lose(server, slot)
            seen.record.end()
        lab.drop_slot(server, slot)
        self.assertEqual(seen.record.session(pid)["exit"]["reason"], "slot_invalidated")
        self.assert_session(seen, pid, "slot_invalidated", ("receiver_not_reading", *lab.NETWORK, *lab.HEALTHY),
                            cut=None)

    def test_a_slot_that_was_lost_before_is_slot_invalidated(self):
        """All that is recorded of it is a client that comes in vain."""
        server, slot = small(), "l_lost_before"
        server.sql(f"select pg_create_logical_replication_slot('{slot}', 'test_decoding')")
        lose(server, slot)
        with scene(server) as seen, Player(server, "slow", f"START_REPLICATION SLOT {slot} LOGICAL 0/0",
                                           slot, logical=True, rate=1 << 30, times=5, pause=0.7):
            sessions_of(seen, slot, 5)
            seen.record.end()
        lab.drop_slot(server, slot)
        self.check(seen, "slot_invalidated", slot, "55000")

    def test_one_timeout_is_no_loop(self):
        server = primary()
        with scene(server) as seen, pulse(server), \
                Player(server, "silent", f"START_REPLICATION {lab.end_of_wal(server)}", "l_once", good_s=0,
                       session="-c wal_sender_timeout=4s"):
            pid, = sessions_of(seen, "l_once", 1)
            seen.record.end()
        self.assert_account(seen, pid)
        self.assertEqual(seen.record.session(pid)["exit"]["reason"], "replication_timeout")
        self.assert_no_end(seen)
