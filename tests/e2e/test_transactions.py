# SPDX-License-Identifier: BSD-2-Clause
"""Transactions at level 3: how each one ended, in pieces or at once, prepared or not, with what was spilled.

What the server says of them: the numbers it gave them, and pg_stat_replication_slots.
"""

import contextlib
import signal
import subprocess
import time

import installation
from cluster import Server, lsn
from live import LiveTest, once, recording, space
from processes import wait_for
from walscope import seconds, view

MAJOR = installation.selected().major
BIG = 3000  # rows that do not fit into logical_decoding_work_mem


@once
def server():
    made = Server(space(), "transactions", {
        "wal_level": "logical", "logical_decoding_work_mem": "64kB", "max_prepared_transactions": "4"}).create()
    made.start()
    made.sql("create table t (i bigint)")
    return made


def run(*statements):
    """In one session; returns the number of the transaction that the first of them begins."""
    return int(server().sql_each(statements[0], "select txid_current()", *statements[1:])[0][0])


@contextlib.contextmanager
def consumer(name, *options, two_phase=False):
    more = ", false, true" if two_phase else ""
    server().sql(f"select pg_create_logical_replication_slot('{name}', 'test_decoding'{more})")
    client = server().recvlogical(name, "-s", "1", *options, application=name)
    try:
        yield int(server().wait_walsender(name)["pid"])
    finally:
        client.stop(signal.SIGINT)
        wait_for("the slot to be free", lambda: server().sql(
            f"select 1 from pg_replication_slots where slot_name = '{name}' and not active"))
        server().sql(f"select pg_drop_replication_slot('{name}')")


def all_sent(name):
    """Waits until all there is was decoded and sent."""
    end = server().value("select pg_current_wal_insert_lsn()")
    wait_for(f"{name} to have all", lambda: server().sql(
        f"select 1 from pg_stat_replication where application_name = '{name}' and sent_lsn >= '{end}'"))


def counted(name):
    """(spilled bytes, streamed pieces) of a slot, once the server's statistics stand still."""
    def look():
        return tuple(map(int, server().sql("select spill_bytes, stream_count from pg_stat_replication_slots "
                                           f"where slot_name = '{name}'")[0]))
    seen = [look()]

    def still():
        seen.append(look())
        return seen[-1] == seen[-2] and any(seen[-1])

    wait_for("the slot's statistics", still, every=0.7)
    return seen[-1]


def of(entries, xid):
    return [entry for entry in entries if entry["xid"] == xid]


class Transactions(LiveTest):
    def ended(self, record, pid):
        return [entry for entry in record.view("trace") if entry["event"] == "txn" and entry["pid"] == pid]

    def test_subtransactions_are_counted_and_what_is_rolled_back_is_an_abort(self):
        with recording(server(), "--level", "3") as record, consumer("x_subs") as pid:
            xid = run("begin", "savepoint a", "insert into t values (1)", "release a", "savepoint b",
                      "insert into t values (2)", "release b", "insert into t values (3)", "commit")
            aborted = run("begin", "insert into t select generate_series(1, 9)", "rollback")
            all_sent("x_subs")
        entries = self.ended(record, pid)
        entry, = of(entries, xid)
        self.assertEqual(entry["end"], "commit", entry)
        if MAJOR >= 14:  # before, what is known of it is known only if it was looked up last
            self.assertEqual((entry["subtransactions"], entry["changes"]), (2, 1), entry)
            self.assertLess(lsn(entry["first_lsn"]), lsn(entry["lsn"]), entry)
        self.assertEqual(entry["messages"], 5, entry)  # BEGIN, three rows, COMMIT
        entry, = of(entries, aborted)
        self.assertEqual((entry["end"], entry["changes"], entry["messages"]), ("abort", 9, 0), entry)

    if MAJOR >= 14:
        def test_what_a_transaction_spilled_is_what_the_server_says(self):
            with recording(server(), "--level", "3") as record, consumer("x_spill") as pid:
                xid = run("begin", f"insert into t select generate_series(1, {BIG})", "savepoint a",
                          f"insert into t select generate_series(1, {BIG})", "commit")
                all_sent("x_spill")
                spilled, _ = counted("x_spill")
            entry, = of(self.ended(record, pid), xid)
            self.assertEqual(entry["end"], "commit", entry)
            self.assertIn("spilled", entry["flags"])
            self.assertEqual(entry["spill_bytes"], spilled, entry)
            self.assertGreater(entry["spill_ns"], 0, entry)
            self.assertEqual(entry["messages"], 2 * BIG + 2, entry)

        def test_a_streamed_transaction_comes_in_pieces_and_ends_by_commit_or_abort(self):
            with recording(server(), "--level", "3") as record, \
                    consumer("x_stream", "-o", "stream-changes=on") as pid:
                xid = run("begin", f"insert into t select generate_series(1, {BIG})", "commit")
                aborted = run("begin", f"insert into t select generate_series(1, {BIG})", "rollback")
                all_sent("x_stream")
                _, pieces = counted("x_stream")
            entries = self.ended(record, pid)
            # 18 looks first whether a big transaction was aborted meanwhile, and drops it (reorderbuffer.c).
            for number, end in ((xid, "commit"), (aborted, "abort")):
                if MAJOR >= 18 and number == aborted and not of(entries, number):
                    continue
                *before, last = of(entries, number)
                self.assertTrue(before, number)
                self.assertEqual({entry["end"] for entry in before}, {"piece"}, number)
                self.assertTrue(all(entry["lsn"] is None and entry["messages"] for entry in before), before)
                self.assertEqual(last["end"], end)
                self.assertIn("streamed", last["flags"], last)
                self.assertGreater(last["messages"], 0, last)
            # The end of a streamed transaction hands out what is left: one more for the server.
            told = sum(entry["end"] == "piece" for entry in entries)
            self.assertIn(pieces - told, (0, 1), f"{pieces} pieces, told {told}")

        def test_prepared_transactions_are_told_with_their_prepare_and_their_end(self):
            with recording(server(), "--level", "3") as record, consumer("x_two", two_phase=True) as pid:
                xid = run("begin", "insert into t values (1)", "prepare transaction 'one'")
                server().sql("commit prepared 'one'")
                rolled = run("begin", "insert into t values (1)", "prepare transaction 'two'")
                server().sql("rollback prepared 'two'")
                all_sent("x_two")
            entries = self.ended(record, pid)
            for number, end in ((xid, "commit_prepared"), (rolled, "rollback_prepared")):
                prepared, ended = of(entries, number)
                self.assertEqual((prepared["end"], ended["end"]), ("prepare", end))
                self.assertEqual((prepared["messages"], ended["messages"]), (3, 1), (prepared, ended))
                self.assertLess(lsn(prepared["lsn"]), lsn(ended["lsn"]))

    def test_whose_transaction_holds_a_slot_back_is_told(self):
        made = server()
        with recording(made) as record, consumer("x_held") as pid:
            psql = made.start_program(["psql", "-X", "-q", "-t", "-A", "-d", made.conninfo(
                application="forgetful", database="postgres")], name="forgetful", stdin=subprocess.PIPE)
            psql.popen.stdin.write(b"begin; insert into t values (1); select txid_current(), pg_backend_pid();\n")
            psql.popen.stdin.flush()
            xid, holder = map(int, wait_for("the open transaction", lambda: psql.out.strip()).split("|"))
            began = time.time()
            made.write_wal(24)
            all_sent("x_held")
            wait_for("it to be open for some seconds", lambda: time.time() > began + 6)
            slot, = [entry for entry in view(space(), "slots", "--postmaster", str(made.pid))
                     if entry.get("slot") == "x_held"]
            psql.popen.stdin.write(b"commit;\n")
            psql.popen.stdin.close()
            psql.wait()
            ended = time.time()
            all_sent("x_held")
            wait_for("another look", lambda: time.time() > ended + 3)
        told = [entry for entry in record.view("trace") if entry["event"] == "holder" and entry["pid"] == pid]
        self.assertEqual([entry["what"] for entry in told], ["process", "nobody"], told)
        first = told[0]
        self.assertEqual((first["xid"], first["holder_pid"], first["application"], first["database"]),
                         (xid, holder, "forgetful", "postgres"), first)
        if MAJOR >= 14:
            self.assertAlmostEqual(seconds(first["since"]), began, delta=2)
        held = slot["restart_held_by"]
        self.assertEqual((held["kind"], held["xid"], held["pid"], held["user"], held["application_name"]),
                         ("transaction", xid, holder, "postgres", "forgetful"), slot)
        self.assertGreaterEqual(lsn(held["first_lsn"]), lsn(slot["restart_lsn"]), slot)
