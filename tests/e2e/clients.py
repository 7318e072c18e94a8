# SPDX-License-Identifier: BSD-2-Clause
"""One recording of every kind of client, looked at by several tests."""

import re
import time

from cluster import LogKept, lsn
from live import (no_wal_of_its_own, once, primary, recording, standby, wait_caught_up, wait_disconnected,
                  walsender_pids)
from processes import alive, start_ticks, wait_for

# What psql sends on a replication=database connection, and whether it is plain SQL.
PSQL_COMMANDS = (
    "IDENTIFY_SYSTEM",
    "SHOW wal_segment_size",
    "TIMELINE_HISTORY 9",
    "DROP_REPLICATION_SLOT nosuch",
    "IDENTIFY SYSTEMS",
    "select 1 / 0",
    "select count(*) from pgbench_branches",
    "CREATE_REPLICATION_SLOT psql_slot PHYSICAL",
    "DROP_REPLICATION_SLOT psql_slot",
    "START_REPLICATION SLOT",
)
PHYSICAL_COMMANDS = ("IDENTIFY_SYSTEM", "select 1")
ERROR_BLOCK = re.compile(r"^(ERROR|FATAL): {2}(\w{5}): (.*?)\n(?:.*\n)*?LOCATION: {2}(.*)$", re.M)


class Clients:
    """What was run, and what the server's log says about it."""

    def __init__(self, server, record):
        self.server, self.record = server, record
        self.marks = {}

    def pids(self, application):
        found = walsender_pids(self.server, application, self.marks["begin"])
        if not found:
            raise AssertionError(f"the server's log has no walsender of {application}")
        return found

    def pid(self, application):
        found = self.pids(application)
        if len(found) != 1:
            raise AssertionError(f"walsenders {found} of {application}, expected one")
        return found[0]

    def errors(self, pid):
        """(sqlstate, message, location) of each ERROR and FATAL, by the server's log."""
        return [(line.sqlstate, line.message, line.location) for line in self.server.log()
                if line.pid == pid and line.severity in ("ERROR", "FATAL")]


def psql_errors(process):
    """(sqlstate, message, location) of each error that psql printed with VERBOSITY verbose."""
    return [(state, message, location) for _, state, message, location in ERROR_BLOCK.findall(process.err)]


@once
def clients():
    """Every kind of client, all started after walscope attached and all but the standby ended before it."""
    server = primary()
    standby()
    with recording(server) as record:
        seen = Clients(server, record)
        seen.marks["begin"] = time.time()
        receiver = server.receivewal("c_receivewal", "-v", "-s", "1")
        server.wait_walsender("c_receivewal")
        server.create_logical_slot("c_slot")
        server.sql("create table if not exists c_table (i int)")
        logical = server.recvlogical("c_slot", application="c_recvlogical")
        server.wait_walsender("c_recvlogical")
        backup = server.basebackup("c_basebackup", "--max-rate", "16M")

        def backup_phase():
            rows = server.sql("select phase from pg_stat_progress_basebackup")
            return rows and rows[0][0] == "streaming database files"

        def backup_still_streams():
            now = time.time()
            streams = backup_phase()
            if streams:
                seen.marks["backup_still_streams"] = now
            return streams

        wait_for("the base backup to stream", backup_phase, every=0.002)
        seen.marks["backup_streams"] = time.time()
        # For a while nothing else: what comes then may take longer than all of it.
        while backup_still_streams() and time.time() < seen.marks["backup_streams"] + 0.5:
            pass
        server.sql("insert into c_table select generate_series(1, 20000)")
        seen.psql = server.replication_psql(PSQL_COMMANDS, application="c_psql")
        seen.physical = server.replication_psql(PHYSICAL_COMMANDS, application="c_physical", physical=True)

        while backup_still_streams():
            time.sleep(0.02)
        backup.expect()
        seen.backup_folder = backup.folder
        seen.backup_seconds = time.time() - backup.started_wall

        # Not at the beginning of a segment, where the base backup leaves it.
        server.write_wal(1)
        pid = seen.pid("c_receivewal")
        ticks = start_ticks(pid)
        with no_wal_of_its_own(server):
            seen.received_to = wait_caught_up(server, "c_receivewal")
            seen.marks["receiver_stops"] = time.time()
            receiver.stop()
            wait_for("its walsender to end", lambda: not alive(pid, ticks))
        seen.receiver = receiver
        seen.marks["receiver_gone"] = time.time()

        # Another consumer of the slot that ends by itself, in good order, at a position.
        logical.stop()
        wait_disconnected(server, seen.pid("c_recvlogical"))
        seen.endpos = server.value("select pg_current_wal_flush_lsn()")
        ending = server.recvlogical("c_slot", "--endpos", seen.endpos, application="c_endpos")
        server.sql("insert into c_table values (0)")
        ending.expect()
        wait_disconnected(server, seen.pid("c_endpos"))
        server.sql("select pg_drop_replication_slot('c_slot')")
        seen.marks["end"] = time.time()
    seen.server = LogKept(server)
    seen.start_lsn = {}
    for application in ("c_receivewal",):
        pid = seen.pid(application)
        starts = [re.search(r"([0-9A-F]+/[0-9A-F]+)", text)[1]
                  for _, text in server.logged_commands(pid) if text.startswith("START_REPLICATION")]
        seen.start_lsn[application] = lsn(starts[0])
    return seen
