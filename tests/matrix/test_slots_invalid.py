# SPDX-License-Identifier: BSD-2-Clause
"""Slots that a server has given up, by each cause that 17 and 18 know besides removed WAL (tests/e2e/test_slots.py):
walscope slots says what the server's view says."""

import functools

import installation
import test_slots
from cluster import Server
from live import LiveTest, space
from processes import wait_for

MAJORS = (17, 18)


@functools.cache
def origin(major):
    return {"installation": f"installation-invalid-{major}", "origin": installation.packaged(major)}


@functools.cache
def primary(major):
    return Server(space(), f"invalid_{major}", test_slots.SETTINGS, **origin(major)).create().start()


@functools.cache
def standby(major):
    """Without feedback and a slot of its own on the primary: nothing there waits for it."""
    made = Server(space(), f"invalid_standby_{major}", test_slots.SETTINGS, **origin(major))
    return made.copy_of(primary(major)).start()


def decode_on_standby(major, slot):
    """Makes a logical slot there, which takes the primary's word of what runs."""
    made = standby(major)
    end = primary(major).value("select pg_current_wal_flush_lsn()")
    wait_for("the standby to know its primary's settings",
             lambda: made.sql(f"select 1 where pg_last_wal_replay_lsn() >= '{end}'"), every=0.1)
    client = made.start_program(
        ["psql", "-X", "-q", "-d", made.conninfo(database="postgres"), "-c",
         f"select pg_create_logical_replication_slot('{slot}', 'test_decoding')"], name=f"make-{slot}")

    def is_made():
        primary(major).sql("select pg_log_standby_snapshot()")
        return not client.running

    wait_for(f"{slot} to be made", is_made, every=0.2)
    client.expect(0)


def is_given_up(made, slot):
    return made.sql("select 1 from pg_replication_slots where invalidation_reason is not null and "
                    f"slot_name = '{slot}'")


class Invalid(LiveTest):
    maxDiff = None
    compare = test_slots.SlotsTest.compare

    def check(self, made, slot, why):
        wait_for(f"{slot} to be given up", lambda: is_given_up(made, slot), every=0.2)
        row = self.compare(made)[slot]
        self.assertEqual((row["invalidation"], row["wal_status"]), (why, "lost"), row)

    def test_removed_rows(self):
        for major in MAJORS:
            decode_on_standby(major, "rows")
            self.assertIsNone(self.compare(standby(major))["rows"]["invalidation"])
            primary(major).sql("create table gone (i int); drop table gone")
            primary(major).sql("vacuum full pg_class")
            self.check(standby(major), "rows", "rows_removed")

    def test_a_primary_that_no_longer_writes_what_decoding_needs(self):
        for major in MAJORS:
            decode_on_standby(major, "level")
            primary(major).sql("alter system set wal_level = 'replica'")
            primary(major).restart()
            self.check(standby(major), "level", "wal_level_insufficient")
            primary(major).sql("alter system reset wal_level")
            primary(major).restart()

    def test_idleness(self):
        made = primary(18)
        made.sql("select pg_create_physical_replication_slot('idle', true)")
        self.assertIsNone(self.compare(made)["idle"]["invalidation"])
        made.sql("alter system set idle_replication_slot_timeout = '1s'")
        made.sql("select pg_reload_conf()")

        def given_up():
            made.sql("checkpoint")
            return is_given_up(made, "idle")

        wait_for("the slot to be given up", given_up, every=0.5)
        self.check(made, "idle", "idle_timeout")
