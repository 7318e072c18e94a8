# SPDX-License-Identifier: BSD-2-Clause
"""walscope slots against pg_replication_slots of the same server."""

import walscope
from cluster import Server
from live import LiveTest, once, space

# JSON field by the view's column; those that a major lacks are left out.
COLUMNS = {"slot": "slot_name", "type": "slot_type", "plugin": "plugin", "database_oid": "datoid",
           "temporary": "temporary", "active_pid": "active_pid", "xmin": "xmin", "catalog_xmin": "catalog_xmin",
           "restart_lsn": "restart_lsn", "confirmed_flush": "confirmed_flush_lsn", "wal_status": "wal_status",
           "two_phase": "two_phase", "failover": "failover", "synced": "synced",
           "invalidation": "invalidation_reason"}


@once
def server():
    made = Server(space(), "slots", {"max_slot_wal_keep_size": "-1", "max_prepared_transactions": "2"}).create().start()
    made.sql("select pg_create_physical_replication_slot('p_reserved', true)")
    made.sql("select pg_create_physical_replication_slot('p_empty')")
    made.sql("select pg_create_logical_replication_slot('l_idle', 'test_decoding')")
    made.sql("select pg_create_logical_replication_slot('l_active', 'test_decoding')")
    return made


def of_view(made):
    present = {name for name, in made.sql("select attname from pg_attribute where attrelid = 'pg_replication_slots'::regclass "
                           "and attnum > 0")}
    columns = {field: column for field, column in COLUMNS.items() if column in present}
    rows = made.sql("select " + ", ".join(f"coalesce({column}::text, '~')" for column in columns.values()) +
                    " from pg_replication_slots order by slot_name")
    return list(columns), [dict(zip(columns, row)) for row in rows]


def of_walscope(made, fields):
    rows = [row for row in walscope.view(space(), "slots", f"--postmaster={made.pid}") if "slot" in row]
    text = {None: "~", True: "true", False: "false"}
    return [{field: text[row[field]] if row[field] is None or isinstance(row[field], bool) else str(row[field])
             for field in fields} for row in sorted(rows, key=lambda row: row["slot"])], rows


class SlotsTest(LiveTest):
    maxDiff = None

    def compare(self, made):
        """Both sides of the same moment: the view is asked again if it changed meanwhile."""
        for _ in range(10):
            fields, before = of_view(made)
            seen, rows = of_walscope(made, fields)
            if before == of_view(made)[1]:
                break
        self.assertEqual(seen, before)
        return {row["slot"]: row for row in rows}

    def test_every_column_is_as_the_view_has_it(self):
        made = server()
        client = made.recvlogical("l_active", application="slots_recv")
        made.wait_walsender("slots_recv")
        rows = self.compare(made)
        self.assertLessEqual({"p_reserved", "p_empty", "l_idle", "l_active"}, set(rows))
        self.assertEqual(rows["l_active"]["holder"]["kind"], "walsender")
        self.assertEqual(rows["l_active"]["holder"]["application_name"], "slots_recv")
        self.assertEqual(rows["l_active"]["database"], "postgres")
        self.assertIsNone(rows["l_idle"]["holder"])
        client.stop()

    def test_a_slot_whose_wal_was_removed_is_lost(self):
        made = server()
        made.sql("select pg_create_physical_replication_slot('p_lost', true)")
        made.sql("alter system set max_slot_wal_keep_size = '1MB'")
        made.sql("alter system set wal_keep_size = '0'")
        made.sql("alter system set max_wal_size = '32MB'")
        made.sql("alter system set min_wal_size = '32MB'")
        made.sql("select pg_reload_conf()")
        for _ in range(4):
            made.sql("select pg_switch_wal(); create table if not exists f(a int); insert into f values (1)")
        made.sql("select pg_switch_wal()")
        made.sql("checkpoint")
        rows = self.compare(made)
        self.assertEqual(rows["p_lost"]["wal_status"], "lost")
