# SPDX-License-Identifier: BSD-2-Clause
"""Failover slots (17 and later), whose walsenders hold their output back for standbys' slots."""

import contextlib
import os
import signal

import installation
import lab
from cluster import Server
from lab import LabTest, Stop, lab_server, pulse, scene
from live import once, space
from processes import wait_for

NOT_THE_CLIENT = (*lab.RECEIVER, *lab.NETWORK, *lab.STANDBY, *lab.HEALTHY)


@once
def servers():
    """A primary, and a standby that streams from slot l_held."""
    made = lab_server("l_failover").start()
    made.sql("create table filler (t text)")
    made.sql("select pg_create_physical_replication_slot('l_held', true)")
    standby = Server(space(), "l_heir", {"wal_receiver_status_interval": "'1s'", "primary_slot_name": "'l_held'"})
    standby.copy_of(made).start()
    made.wait_walsender("l_heir")
    return made, standby


@contextlib.contextmanager
def awaited(made, slots):
    """Failover slots wait for these while the body runs."""
    made.sql(f"alter system set synchronized_standby_slots = '{slots}'")
    made.sql("select pg_reload_conf()")
    try:
        wait_for("the server to know", lambda: made.value("show synchronized_standby_slots") == slots)
        yield
    finally:
        made.sql("alter system reset synchronized_standby_slots")
        made.sql("select pg_reload_conf()")


@contextlib.contextmanager
def consumer(made, name):
    """A client of a failover slot."""
    made.sql(f"select pg_create_logical_replication_slot('{name}', 'test_decoding', false, false, true)")
    client = made.recvlogical(name, "-s", "1", application=name)
    try:
        made.wait_walsender(name)
        yield client
    finally:
        client.stop()
        lab.drop_slot(made, name)


def facts(entry):
    return {fact["fact"]: fact["value"] for fact in entry["evidence"]}


class Failover(LabTest):
    def check(self, seen, pid, waits, *texts):
        entry = self.assert_session(seen, pid, "failover_slot_wait", NOT_THE_CLIENT, "wait_standby")
        self.assertEqual(facts(entry)["waits_for_slot"], waits, lab.figures(entry))
        for text in texts:
            self.assertIn(text, entry["text"], lab.figures(entry))
        return entry

    if installation.selected().major >= 17:
        def test_a_standby_that_is_stopped_is_named_with_what_is_wrong_with_it(self):
            made, standby = servers()
            receiver = int(standby.value("select pid from pg_stat_wal_receiver"))
            with awaited(made, "l_held"), consumer(made, "l_waits"), scene(made) as seen, pulse(made):
                pid, other = seen.pid("l_waits"), seen.pid("l_heir")
                with Stop(receiver):
                    wait_for("it to wait", lambda: made.wait_event(pid) == "WaitForStandbyConfirmation")
                    seen.hold(9, pid)
                    seen.record.end()
            entry = self.check(seen, pid, "l_held", "has not confirmed that much", f"Walsender {other} (l_heir)")
            verdict = seen.session(other)["verdict"]
            self.assertIn(verdict, lab.RECEIVER, lab.figures(entry))
            self.assertIn(verdict, entry["text"], lab.figures(entry))

        def test_a_slot_that_is_gone_is_named(self):
            made, _ = servers()
            made.sql("select pg_create_physical_replication_slot('l_gone', true)")
            with awaited(made, "l_held"), consumer(made, "l_misses"), scene(made) as seen, pulse(made):
                pid = seen.pid("l_misses")
                with awaited(made, "l_held, l_gone"):
                    made.sql("select pg_drop_replication_slot('l_gone')")
                    wait_for("it to wait", lambda: made.wait_event(pid) == "WaitForStandbyConfirmation")
                    seen.hold(7, pid)
                    seen.record.end()
            entry = self.check(seen, pid, "l_gone", "there is no such slot")
            self.assertIn("pg_create_physical_replication_slot", entry["advice"], lab.figures(entry))

        def test_a_wait_that_is_over_is_told_of_the_slot_it_was_for(self):
            made, _ = servers()
            made.sql("select pg_create_physical_replication_slot('l_away', true)")
            with consumer(made, "l_waited"), scene(made) as seen, pulse(made):
                pid = seen.pid("l_waited")
                with awaited(made, "l_away, l_held"):
                    wait_for("it to wait", lambda: made.wait_event(pid) == "WaitForStandbyConfirmation")
                    seen.hold(9, pid)
                wait_for("it to go on", lambda: made.wait_event(pid) != "WaitForStandbyConfirmation")
                seen.hold(6, pid)
                seen.record.end()
            made.sql("select pg_drop_replication_slot('l_away')")
            self.assert_account(seen, pid)
            entry = self.assert_explained(seen, pid)
            self.assert_says(entry, "failover_slot_wait", NOT_THE_CLIENT)
            self.assertEqual(facts(entry)["waits_for_slot"], "l_away", lab.figures(entry))
            self.assertIn("no standby streamed from it", entry["text"], lab.figures(entry))
            self.assertIn("That is over for ", entry["text"], lab.figures(entry))
            self.assert_says(self.assert_explained(seen, pid, "--from=-5s"), lab.HEALTHY)

        def test_a_shutdown_that_waits_for_a_failover_slot_waits_for_its_standby(self):
            made, standby = servers()
            receiver = int(standby.value("select pid from pg_stat_wal_receiver"))
            made.sql("select pg_create_logical_replication_slot('l_late', 'test_decoding', false, false, true)")
            with awaited(made, "l_held"):
                client = made.recvlogical("l_late", "-s", "1", application="l_late")
                made.wait_walsender("l_late")
                with scene(made) as seen:
                    pid, other = seen.pid("l_late"), seen.pid("l_heir")
                    with Stop(receiver):
                        made.sql("insert into filler values ('')")
                        wait_for("it to wait", lambda: made.wait_event(pid) == "WaitForStandbyConfirmation")
                        made.process.signal(signal.SIGINT)
                        seen.hold(7, pid)
                        self.assertTrue(made.process.running)
                        seen.record.end()
                        os.kill(pid, signal.SIGTERM)  # as advised; the standby keeps it waiting no less
                self.assertEqual(made.process.wait(30), 0)
                client.stop()
                made.start()
                made.wait_walsender("l_heir")
            lab.drop_slot(made, "l_late")
            self.assert_account(seen, pid)
            entry = self.assert_other(seen, "cluster", "shutdown_waits_for_standby", [pid])
            self.assertIn(f"for walsender {pid} (l_late)", entry["text"], lab.figures(entry))
            self.assertIn(f"until slot l_held, which is in synchronized_standby_slots, confirms: walsender {other} "
                          "(l_heir)", entry["text"], lab.figures(entry))

        def test_a_standby_that_confirms_holds_nobody_up(self):
            made, _ = servers()
            with awaited(made, "l_held"), consumer(made, "l_goes_on"), scene(made) as seen, pulse(made):
                pid = seen.pid("l_goes_on")
                seen.hold(6, pid)
                seen.record.end()
            self.assert_healthy(seen, pid, seen.pid("l_heir"))
