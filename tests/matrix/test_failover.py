# SPDX-License-Identifier: BSD-2-Clause
"""A failover slot (17 and later), which holds its output back for a standby's slot."""

import installation
import lab
from cluster import Server
from lab import LabTest, scene
from live import once, space
from processes import wait_for


@once
def server():
    made = Server(space(), "failover", {"wal_sender_timeout": "'300s'"}, installation="installation-failover",
                  origin=installation.packaged(17)).create().start()
    made.sql("select pg_create_physical_replication_slot('f_standby', true)")
    made.sql("select pg_create_logical_replication_slot('f_logical', 'test_decoding', false, false, true)")
    made.sql("alter system set synchronized_standby_slots = 'f_standby'")
    made.sql("select pg_reload_conf()")
    return made


class Failover(LabTest):
    def test_a_failover_slot_names_the_slot_that_it_waits_for(self):
        made = server()
        wait_for("the server to know", lambda: made.value("show synchronized_standby_slots") == "f_standby")
        with scene(made) as seen:
            client = made.recvlogical("f_logical", application="f_logical")
            try:
                pid = seen.pid("f_logical")
                made.write_wal(1)
                wait_for("it to wait", lambda: made.wait_event(pid) == "WaitForStandbyConfirmation")
                seen.hold(7, pid)
                self.assertEqual(made.wait_event(pid), "WaitForStandbyConfirmation")
                confirmed = made.value("select restart_lsn from pg_replication_slots where slot_name = 'f_standby'")
                seen.record.end()
            finally:
                client.stop()
        entry = self.assert_session(seen, pid, "failover_slot_wait", (*lab.RECEIVER, *lab.NETWORK, *lab.HEALTHY),
                                    "wait_standby")
        facts = {fact["fact"]: fact["value"] for fact in entry["evidence"]}
        self.assertEqual(facts["waits_for_slot"], "f_standby")
        self.assertEqual(facts["slot_confirmed"], confirmed)
        self.assertIn("no standby streams from it", entry["text"])
