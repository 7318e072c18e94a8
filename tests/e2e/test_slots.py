# SPDX-License-Identifier: BSD-2-Clause
"""walscope slots against pg_replication_slots, pg_stat_activity and pg_prepared_xacts of the same server."""

import os
import pwd
import signal
import time

import walscope
from cluster import Server
from libpq import Connection
from live import LiveTest, may_run_as_other_user, once, space
from processes import alive, start_ticks, wait_for

# JSON field by the view's column; those that a major lacks are left out.
COLUMNS = {"slot": "slot_name", "type": "slot_type", "plugin": "plugin", "database_oid": "datoid",
           "temporary": "temporary", "active_pid": "active_pid", "xmin": "xmin", "catalog_xmin": "catalog_xmin",
           "restart_lsn": "restart_lsn", "confirmed_flush": "confirmed_flush_lsn", "wal_status": "wal_status",
           "two_phase": "two_phase", "failover": "failover", "synced": "synced",
           "invalidation": "invalidation_reason"}
# Nothing but what a test does writes WAL or takes transaction ids.
SETTINGS = {"autovacuum": "off", "max_prepared_transactions": "2", "wal_keep_size": "0",
            "max_replication_slots": "12", "max_slot_wal_keep_size": "-1"}
PEEK = b"select count(*) from pg_logical_slot_peek_changes('l_peeked', null, null)"


@once
def server():
    made = Server(space(), "slots", SETTINGS).create().start()
    made.sql("select pg_create_physical_replication_slot('p_reserved', true)")
    made.sql("select pg_create_physical_replication_slot('p_empty')")
    made.sql("select pg_create_physical_replication_slot('p_standby', true)")
    for name in ("l_idle", "l_active", "l_peeked"):
        made.create_logical_slot(name)
    return made


@once
def standby():
    """With a slot, and its feedback."""
    made = Server(space(), "slots_standby", {**SETTINGS, "primary_slot_name": "'p_standby'",
                                             "hot_standby_feedback": "on",
                                             "wal_receiver_status_interval": "'1s'"})
    made.copy_of(server()).start()
    server().wait_walsender("slots_standby")
    return made


def connect(made, application):
    return Connection(host="127.0.0.1", port=made.port, user="postgres", dbname="postgres",
                      password=made.password, application_name=application)


def of_view(made):
    present = {name for name, in made.sql("select attname from pg_attribute where attrelid = "
                                          "'pg_replication_slots'::regclass and attnum > 0")}
    columns = {field: column for field, column in COLUMNS.items() if column in present}
    rows = made.sql("select " + ", ".join(f"coalesce({column}::text, '~')" for column in columns.values()) +
                    " from pg_replication_slots order by slot_name")
    return list(columns), [dict(zip(columns, row)) for row in rows]


def of_walscope(made, *options):
    return walscope.view(space(), "slots", f"--postmaster={made.pid}", *options)


def holders(made):
    """What is said to hold xmin back, by kind."""
    about, = [row for row in of_walscope(made) if "slot" not in row]
    return {hold["kind"]: hold for hold in about["xmin_holders"]}, about


def as_text(value):
    return {None: "~", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


class SlotsTest(LiveTest):
    maxDiff = None

    def compare(self, made):
        """Both sides of the same moment: asked again if the view changed meanwhile."""
        for _ in range(20):
            fields, before = of_view(made)
            rows = sorted((row for row in of_walscope(made) if "slot" in row), key=lambda row: row["slot"])
            if before == of_view(made)[1]:
                break
        else:
            self.fail("the view never stood still")
        self.assertEqual([{field: as_text(row[field]) for field in fields} for row in rows], before)
        return {row["slot"]: row for row in rows}

    def test_every_column_is_as_the_view_has_it(self):
        made = server()
        client = made.recvlogical("l_active", application="slots_recv")
        walsender = made.wait_walsender("slots_recv")
        with connect(made, "slots_temporary") as session:
            self.assertIsNone(session.run(b"select pg_create_physical_replication_slot('t_mine', true, true)")[0])
            rows = self.compare(made)
            self.assertEqual(rows["t_mine"]["persistency"], "temporary")
            self.assertEqual(rows["t_mine"]["holder"]["kind"], "backend")
            self.assertEqual(rows["t_mine"]["ns_pid"], session.pid)
        self.assertLessEqual({"p_reserved", "p_empty", "l_idle", "l_active"}, set(rows))
        self.assertEqual(rows["l_active"]["holder"]["kind"], "walsender")
        self.assertEqual(rows["l_active"]["holder"]["application_name"], "slots_recv")
        self.assertEqual(rows["l_active"]["database"], "postgres")
        host, port = made.sql("select host(client_addr), client_port from pg_stat_activity "
                              f"where pid = {walsender['pid']}")[0]
        self.assertEqual(rows["l_active"]["holder"]["client"], f"{host}:{port}")
        self.assertEqual(rows["l_active"]["ns_pid"], int(walsender["pid"]))
        self.assertIsNone(rows["l_idle"]["holder"])
        self.assertIsNone(rows["p_empty"]["retained_bytes"])
        client.stop()

    def test_retained_bytes_reach_from_restart_lsn_to_the_end_of_wal(self):
        made = server()
        for _ in range(20):
            before = int(made.value("select pg_current_wal_lsn() - '0/0'"))
            row, = [row for row in of_walscope(made, "--slot=p_reserved") if "slot" in row]
            after = int(made.value("select pg_current_wal_lsn() - '0/0'"))
            if before == after:
                break
        self.assertEqual(row["position_kind"], "written")
        self.assertEqual(walscope.position(row, "position"), before)
        self.assertEqual(row["retained_bytes"], before - walscope.position(row, "restart_lsn"))

    def test_a_slot_whose_wal_was_removed_is_lost(self):
        made = Server(space(), "slots_lost", {**SETTINGS, "max_slot_wal_keep_size": "'1MB'",
                                              "max_wal_size": "'32MB'", "min_wal_size": "'32MB'"}).create().start()
        made.sql("select pg_create_physical_replication_slot('p_lost', true)")
        made.sql("select pg_create_physical_replication_slot('p_empty')")
        made.create_logical_slot("l_lost")
        made.sql("create table f(a int)")
        first = made.value("select pg_walfile_name(restart_lsn) from pg_replication_slots where slot_name = 'p_lost'")
        seen = {self.compare(made)["p_lost"]["wal_status"]}
        for _ in range(4):
            made.sql("insert into f values (1)")
            made.sql("select pg_switch_wal()")
            seen.add(self.compare(made)["p_lost"]["wal_status"])
        made.sql("checkpoint")
        rows = self.compare(made)
        self.assertFalse(os.path.exists(os.path.join(made.data, "pg_wal", first)))
        self.assertEqual(rows["p_lost"]["wal_status"], "lost")
        self.assertEqual(rows["l_lost"]["wal_status"], "lost")
        self.assertIsNone(rows["p_empty"]["wal_status"])
        self.assertIn("reserved", seen)
        made.stop()

    def test_a_slot_that_a_function_reads_is_held_by_a_backend_with_its_statement(self):
        made = server()
        made.sql("create table if not exists peeked(a int); insert into peeked select generate_series(1, 100000)")
        with connect(made, "slots_peek") as session:
            ticks = start_ticks(session.pid)
            try:
                while True:  # it is stopped while it holds the slot, or has gone through: then again
                    session.send(PEEK)
                    wait_for("the slot to be held", lambda: made.sql(
                        f"select 1 from pg_replication_slots where active_pid = {session.pid} union all "
                        f"select 2 from pg_stat_activity where pid = {session.pid} and state = 'idle'"))
                    os.kill(session.pid, signal.SIGSTOP)
                    if made.sql(f"select 1 from pg_replication_slots where active_pid = {session.pid}"):
                        break
                    os.kill(session.pid, signal.SIGCONT)
                    session.finish()
                row = self.compare(made)["l_peeked"]
                redacted, = [one for one in of_walscope(made, "--slot=l_peeked", "--redact") if "slot" in one]
            finally:
                if alive(session.pid, ticks):
                    os.kill(session.pid, signal.SIGCONT)
            self.assertEqual(row["ns_pid"], session.pid)
            self.assertEqual(row["holder"]["kind"], "backend")
            self.assertEqual(row["holder"]["application_name"], "slots_peek")
            self.assertEqual(row["holder"]["query"], PEEK.decode())
            self.assertEqual(redacted["holder"]["query"],
                             "select count(*) from pg_logical_slot_peek_changes($1, null, null)")

    def test_a_prepared_and_an_open_transaction_are_named_as_what_holds_xmin_back(self):
        made = server()
        made.sql("create table if not exists held(a int)")
        made.sql("begin; insert into held values (1); prepare transaction 'of another; node'")
        prepared = int(made.value("select transaction from pg_prepared_xacts"))
        with connect(made, "slots_open") as writer, connect(made, "slots_reader") as reader:
            writer.run(b"begin")
            writer.run(b"insert into held values (2)")
            own = int(made.value(f"select backend_xid from pg_stat_activity where pid = {writer.pid}"))
            found, about = holders(made)
            self.assertEqual(about["next_xid"], int(made.value("select txid_current() % (1::bigint << 32)")))
            self.assertEqual((found["prepared_transaction"]["xid"], found["prepared_transaction"]["gid"]),
                             (prepared, "of another; node"))
            self.assertEqual(found["prepared_transaction"]["age"], about["next_xid"] - prepared)
            since = float(made.value("select extract(epoch from prepared) from pg_prepared_xacts"))
            self.assertAlmostEqual(walscope.seconds(found["prepared_transaction"]["since"]), since, 5)
            self.assertEqual((found["transaction"]["xid"], found["transaction"]["ns_pid"]), (own, writer.pid))
            self.assertFalse(found["transaction"]["snapshot"])
            if made.major >= 14:
                since = float(made.value("select extract(epoch from xact_start) from pg_stat_activity "
                                         f"where pid = {writer.pid}"))
                self.assertAlmostEqual(walscope.seconds(found["transaction"]["since"]), since, 5)

            # A snapshot sees the prepared one as running: it is not the reader's own, and stays.
            reader.run(b"begin isolation level repeatable read")
            reader.run(b"select count(*) from held")
            self.assertEqual(int(made.value("select backend_xmin from pg_stat_activity "
                                            f"where pid = {reader.pid}")), prepared)
            found, about = holders(made)
            order = [hold["kind"] for hold in about["xmin_holders"]]
            self.assertLess(order.index("prepared_transaction"), order.index("transaction"))
            self.assertEqual((found["transaction"]["xid"], found["transaction"]["ns_pid"],
                              found["transaction"]["snapshot"]), (prepared, reader.pid, True))
            made.sql("rollback prepared 'of another; node'")
            found, _ = holders(made)
            self.assertNotIn("prepared_transaction", found)
            self.assertEqual((found["transaction"]["xid"], found["transaction"]["ns_pid"]), (prepared, reader.pid))
        wait_for("the transactions to end", lambda: made.value(
            "select count(*) from pg_stat_activity where application_name in ('slots_open', 'slots_reader')") == "0")
        self.assertNotIn("transaction", holders(made)[0])

    def test_an_exported_snapshot_is_named_as_what_holds_xmin_back(self):
        made = server()
        with connect(made, "slots_exporter") as session, \
                Connection(host="127.0.0.1", port=made.port, user="postgres", dbname="postgres",
                           password=made.password, application_name="slots_maker", replication="database") as maker:
            session.run(b"begin isolation level repeatable read")
            session.run(b"select pg_export_snapshot()")
            made.sql("create table if not exists exported(a int)")  # its xid is ahead of the snapshot
            xmin, since = made.sql("select backend_xmin, extract(epoch from xact_start) from pg_stat_activity "
                                   f"where pid = {session.pid}")[0]
            found = holders(made)[0]["exported_snapshot"]
            self.assertEqual((found["ns_pid"], found["xid"], found["snapshot"]), (session.pid, int(xmin), True))
            if made.major >= 14:
                self.assertAlmostEqual(walscope.seconds(found["since"]), float(since), 5)
            session.run(b"commit")
            self.assertNotIn("exported_snapshot", holders(made)[0])

            maker.run(b"CREATE_REPLICATION_SLOT t_exports TEMPORARY LOGICAL test_decoding EXPORT_SNAPSHOT")
            found = holders(made)[0]["exported_snapshot"]
            self.assertEqual(found["ns_pid"], maker.pid)
            self.assertEqual(made.value(f"select backend_xmin from pg_stat_activity where pid = {maker.pid}"),
                             str(found["xid"]))
            maker.run(b"IDENTIFY_SYSTEM")  # whatever comes next ends its transaction
            self.assertNotIn("exported_snapshot", holders(made)[0])

    def test_the_slot_of_a_standby_and_that_of_logical_decoding_are_named_as_what_holds_xmin_back(self):
        made, copy = server(), standby()
        with connect(copy, "slots_far") as reader:
            reader.run(b"begin isolation level repeatable read")
            reader.run(b"select count(*) from pg_class")
            oldest = int(copy.value(f"select backend_xmin from pg_stat_activity where pid = {reader.pid}"))
            made.sql("create table if not exists moved(a int)")  # its xid is ahead of what the standby keeps
            wait_for("the standby's feedback", lambda: made.sql(
                f"select 1 from pg_replication_slots where slot_name = 'p_standby' and xmin = '{oldest}'"))
            asked = time.time()
            made.sql("checkpoint")  # which writes the slots that have changed to their files
            found, _ = holders(made)
            self.assertEqual((found["slot"]["slot"], found["slot"]["xid"]), ("p_standby", oldest))
            self.assertTrue(asked - 1 <= walscope.seconds(found["slot"]["since"]) <= time.time(), found)
            self.assertNotIn("hot_standby_feedback", found)
            name, xmin = made.sql("select slot_name, catalog_xmin from pg_replication_slots where catalog_xmin is "
                                  "not null order by age(catalog_xmin) desc limit 1")[0]
            self.assertEqual(found["slot_catalog"]["xid"], int(xmin))
            self.assertEqual(made.value("select catalog_xmin from pg_replication_slots where slot_name = "
                                        f"'{found['slot_catalog']['slot']}'"), xmin, name)
            written = os.stat(os.path.join(made.data, "pg_replslot", found["slot_catalog"]["slot"], "state")).st_mtime
            self.assertLessEqual(walscope.seconds(found["slot_catalog"]["since"]), written + 0.001)

    def test_on_a_standby_retained_bytes_reach_to_where_it_has_replayed(self):
        made = standby()
        if not made.sql("select 1 from pg_replication_slots where slot_name = 's_physical'"):
            made.sql("select pg_create_physical_replication_slot('s_physical', true)")
        end = server().write_wal(1)
        wait_for("the standby to replay it", lambda: made.sql(f"select 1 where pg_last_wal_replay_lsn() >= '{end}'"))
        for _ in range(20):
            before = made.value("select pg_last_wal_replay_lsn()")
            row = self.compare(made)["s_physical"]
            if before == made.value("select pg_last_wal_replay_lsn()"):
                break
        self.assertIsNotNone(row["restart_lsn"])
        self.assertEqual((row["position"], row["position_kind"]), (before, "replayed"))
        self.assertEqual(row["retained_bytes"],
                         walscope.position(row, "position") - walscope.position(row, "restart_lsn"))
        self.assertGreater(row["retained_bytes"], 0)
        self.assertTrue(holders(made)[1]["in_recovery"])
        self.assertFalse(holders(server())[1]["in_recovery"])

    def test_filters_leave_the_other_slots_and_servers_out(self):
        made, copy = server(), standby()
        every = walscope.view(space(), "slots")
        self.assertLessEqual({made.pid, copy.pid}, {row["postmaster_pid"] for row in every})
        rows = walscope.view(space(), "slots", f"--postmaster={made.data}", "--slot=p_empty")
        self.assertEqual([row["slot"] for row in rows if "slot" in row], ["p_empty"])
        self.assertEqual({row["postmaster_pid"] for row in rows}, {made.pid})
        none = walscope.view(space(), "slots", f"--postmaster={made.pid}", "--slot=no_such")
        self.assertEqual([row for row in none if "slot" in row], [])
        refused = space().run([walscope.binary(), "slots", f"--postmaster={os.getpid()}"], status=1)
        self.assertEqual((refused.out, len(refused.err.splitlines())), ("", 1))

    def test_without_privileges_one_line_says_so(self):
        nobody = pwd.getpwnam("nobody")
        refused = space().run(
            ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
             "--inh-caps=-all", "--bounding-set=-all", may_run_as_other_user(), "slots",
             f"--postmaster={server().pid}"], status=1)
        self.assertEqual((refused.out, len(refused.err.splitlines())), ("", 1))
        self.assertIn("run as root", refused.err)
