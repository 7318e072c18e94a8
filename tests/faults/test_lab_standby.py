# SPDX-License-Identifier: BSD-2-Clause
"""Standbys that flush slowly, or apply slowly, late or not at all."""

import contextlib
import threading
import time

import lab
from lab import LabTest, OpenTransaction, Stop, primary, pulse, scene, synchronous
from live import once, space, wait_stuck
from processes import wait_for
from slow_standby import SlowStandby
from talkers import server_process

NOT_THE_STANDBY = (*lab.RECEIVER, *lab.NETWORK, *lab.OWN_WORK, *lab.HEALTHY)


@once
def standby():
    server = SlowStandby(space(), "l_standby").copy_of(primary()).start()
    primary().wait_walsender("l_standby")
    return server


def others(verdict):
    """All that is not to be said where this one is."""
    return (*NOT_THE_STANDBY, *(code for code in lab.STANDBY if code != verdict))


@contextlib.contextmanager
def paused():
    standby().sql("select pg_wal_replay_pause()")
    wait_for("replay to pause", lambda: standby().value("select pg_get_wal_replay_pause_state()") == "paused"
             if standby().major >= 14 else standby().value("select pg_is_wal_replay_paused()") == "t")
    try:
        yield
    finally:
        standby().sql("select pg_wal_replay_resume()")


class Limping:
    """A process that is let run a small part of the time."""

    def __init__(self, pid, run, stop):
        self._pid, self._run, self._pause = pid, run, stop
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self):
        while not self._end.is_set():
            with Stop(self._pid):
                self._end.wait(self._pause)
            self._end.wait(self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._end.set()
        self._thread.join()


class StandbyTest(LabTest):
    def setUp(self):
        """What the scenario before has left is applied first."""
        standby()
        lab.caught_up(primary(), "l_standby", "replay_lsn")


class Apply(StandbyTest):
    def record(self, seconds=9, megabytes=None, every=0.1):
        with scene(primary()) as seen, pulse(primary(), every, megabytes):
            pid = seen.pid("l_standby")
            seen.hold(seconds, pid)
            seen.record.end()
        return seen, pid

    def assert_paused(self, seen, pid):
        self.assert_session(seen, pid, "standby_apply_paused", others("standby_apply_paused"), cut=8)
        # A moment is enough for what is known from before it.
        self.assert_says(self.assert_explained(seen, pid, "--from=-4s"), "standby_apply_paused")

    def test_paused_replay_is_standby_apply_paused(self):
        with paused():
            seen, pid = self.record()
        self.assert_paused(seen, pid)

    def test_replay_paused_in_the_midst_is_standby_apply_paused(self):
        with scene(primary()) as seen, pulse(primary()):
            pid = seen.pid("l_standby")
            seen.hold(3, pid)
            with paused():
                seen.hold(9, pid)
                seen.record.end()
        self.assert_paused(seen, pid)

    def test_a_stopped_startup_process_is_standby_apply_paused(self):
        with Stop(server_process(standby(), "startup")):
            seen, pid = self.record()
        self.assert_paused(seen, pid)

    def test_a_query_in_conflict_is_standby_apply_paused(self):
        primary().sql("create table conflict as select generate_series(1, 1000)")
        lab.caught_up(primary(), "l_standby", "replay_lsn")
        with OpenTransaction(standby(), "(select count(*) from conflict)"):
            primary().sql("delete from conflict")
            primary().sql("vacuum conflict")
            wait_for("replay to wait", lambda: standby().value(
                "select count(*) from pg_stat_activity where backend_type = 'startup' and "
                "wait_event = 'RecoveryConflictSnapshot'") == "1")
            seen, pid = self.record()
        primary().sql("drop table conflict")
        self.assert_paused(seen, pid)

    def test_an_apply_delay_is_standby_apply_delayed(self):
        with standby().set("recovery_min_apply_delay", "4s"), pulse(primary()):
            wait_for("the delay to show", lambda: primary().sql(
                "select 1 from pg_stat_replication where application_name = 'l_standby' and "
                "replay_lag > interval '3.5 s'"))
            with scene(primary()) as seen:
                pid = seen.pid("l_standby")
                seen.hold(9, pid)
                seen.record.end()
        self.assert_session(seen, pid, "standby_apply_delayed", others("standby_apply_delayed"), cut=8)

    def test_a_startup_process_that_gets_on_slowly_is_standby_apply_slow(self):
        with Limping(server_process(standby(), "startup"), 0.01, 0.5):
            seen, pid = self.record(seconds=10, megabytes=2, every=0.1)
        self.assert_session(seen, pid, "standby_apply_slow", others("standby_apply_slow"), cut=8)


class Flush(StandbyTest):
    def test_slow_syncs_are_standby_flush_slow(self):
        with standby().slow_sync(400), scene(primary()) as seen, pulse(primary(), 0.05):
            pid = seen.pid("l_standby")
            time.sleep(1)
            seen.hold(9, pid)
            seen.record.end()
        self.assert_session(seen, pid, "standby_flush_slow", others("standby_flush_slow"), cut=8)


    def test_slow_syncs_that_commits_wait_for_are_standby_flush_slow_and_no_single_commit_waits(self):
        """What comes while it syncs is written when that is over: late, too."""
        with standby().slow_sync(200), synchronous(primary(), "l_standby"), pulse(primary(), 0.02, clients=6):
            time.sleep(1)
            with scene(primary()) as seen:
                pid = seen.pid("l_standby")
                seen.hold(9, pid)
                seen.record.end()
        self.assert_session(seen, pid, "standby_flush_slow", others("standby_flush_slow"), cut=8)
        entry = self.assert_other(seen, "cluster", "standby_flush_slow", [pid])
        self.assertIn("which confirms one after the other", entry["text"])


class Receive(StandbyTest):
    def test_a_stopped_walreceiver_is_receiver_not_reading(self):
        pid = int(standby().value("select pid from pg_stat_wal_receiver"))
        with scene(primary()) as seen, Stop(pid):
            sender = seen.pid("l_standby")
            lab.write(primary(), 40)
            wait_stuck(primary(), "l_standby")
            seen.hold(6, sender)
            seen.record.end()
        self.assert_session(seen, sender, "receiver_not_reading", (*lab.STANDBY, *lab.NETWORK, *lab.HEALTHY),
                            state="send_blocked")

    def test_a_standby_that_gets_nothing_is_upstream_stalled_for_who_streams_from_it(self):
        receiver = int(standby().value("select pid from pg_stat_wal_receiver"))
        client = standby().receivewal("l_cascaded")
        try:
            standby().wait_walsender("l_cascaded")
            with pulse(primary()), scene(standby()) as seen:
                pid = seen.pid("l_cascaded")
                seen.hold(3, pid)
                with Stop(receiver):
                    seen.hold(14, pid)
                    seen.record.end()
        finally:
            client.stop()
        self.assert_session(seen, pid, "upstream_stalled", (*lab.RECEIVER, *lab.NETWORK, *lab.STANDBY), cut=None)

    def test_a_standby_whose_primary_is_idle_is_healthy_for_who_streams_from_it(self):
        client = standby().receivewal("l_cascaded_idle")
        try:
            standby().wait_walsender("l_cascaded_idle")
            with scene(standby()) as seen:
                pid = seen.pid("l_cascaded_idle")
                with pulse(primary()):
                    seen.hold(3, pid)
                seen.hold(14, pid)
                seen.record.end()
        finally:
            client.stop()
        self.assert_healthy(seen, pid)
