# SPDX-License-Identifier: BSD-2-Clause
"""Logical walsenders: big transactions, slots that wait, consumers that do not confirm, copies of tables."""

import contextlib
import os
import signal
import time

import installation
import lab
from cluster import LOG_SQL, Server, lsn
from lab import LabTest, OpenTransaction, lab_server, primary, pulse, scene
from live import once, space, wait_stuck
from players import Player
from processes import wait_for
from talkers import Talker

NOT_THE_CLIENT = (*lab.RECEIVER, *lab.NETWORK, *lab.STANDBY, *lab.HEALTHY)


@once
def server():
    """Its walsenders keep little of a transaction in memory."""
    made = lab_server("l_logical", logical_decoding_work_mem="'64kB'", max_prepared_transactions=2).start()
    made.sql("create table filler (t text); create table small (i bigint)")
    return made


@contextlib.contextmanager
def slot(made, name, plugin="test_decoding", more=""):
    made.sql(f"select pg_create_logical_replication_slot('{name}', '{plugin}'{more})")
    try:
        yield name
    finally:
        lab.drop_slot(made, name)


@contextlib.contextmanager
def recvlogical(made, name, *options):
    client = made.recvlogical(name, "-s", "1", *options, application=name)
    try:
        yield client
    finally:
        client.stop(signal.SIGKILL)


def undisturbed(pid):
    """What has much to do gets a CPU at once, whatever else the host does: else it is starved, and says so."""
    os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    return pid


class BusyTest(LabTest):
    def assert_works(self, seen, pid, state, share):
        """What the walsender did while the fault was there; it does not sleep then, as one that waits does."""
        for of, window in seen.windows:
            times = seen.record.time_in(of, window.begin, window.end)
            self.assertGreaterEqual(times.get(state, 0), share * window.seconds, f"{pid}: {times}")


@contextlib.contextmanager
def writer(made, statement, rate):
    """Runs a statement so often a second, as far as it can, as long as the body runs."""
    script = space().file(f"writer.{time.monotonic_ns()}.sql")
    with open(script, "w", encoding="ascii") as file:
        file.write(f"{statement};\n")
    os.chmod(script, 0o644)
    bench = made.start_program(["pgbench", "-n", "-c", "1", "-T", "3600", "-R", str(rate), "-f", script, "-d",
                                made.conninfo(application="writer", database="postgres")], name="writer")
    try:
        yield bench
    finally:
        bench.stop(signal.SIGTERM)


def many(made, transactions, rows):
    """Transactions of so many rows each."""
    made.sql(f"do $$ begin for i in 1..{transactions} loop insert into small select generate_series(1, {rows}); "
             "commit; end loop; end $$")


class Transactions(BusyTest):
    def test_transactions_too_big_for_memory_are_spilling(self):
        """Each has ten times the memory allowed, and none is large. Nobody has asked for what they change."""
        made = server()
        made.sql("create publication l_spill for table filler")
        with slot(made, "l_spill", "pgoutput") as name:
            many(made, 1200, 5000)
            with scene(made) as seen, recvlogical(made, name, "-o", "proto_version=1", "-o",
                                                  "publication_names=l_spill"):
                pid = undisturbed(seen.pid(name))
                time.sleep(0.5)
                seen.hold(6, pid)
                seen.record.end()
        entry = self.assert_session(seen, pid, "spilling", (*NOT_THE_CLIENT, "large_transaction", "falling_behind"))
        times = {fact["fact"]: fact["value"] for fact in entry["evidence"]}
        self.assertGreater(times["spill_time"], 0, lab.figures(entry))
        self.assertGreater(times["read_back_time"], 0, lab.figures(entry))
        self.assertEqual(times["logical_decoding_work_mem"], 65536, lab.figures(entry))
        self.assertGreater(times["reorder_buffer_at_most"], 65536, lab.figures(entry))

    def big(self, name, *options, level=2):
        """One of 1.5 million changes, after its commit; returns the transaction, what was seen, the walsender."""
        made = server()
        with slot(made, name):
            xid = made.value("with filled as (insert into small select generate_series(1, 1500000) returning 1) "
                             "select txid_current() from filled limit 1")
            with scene(made, *options, level=level) as seen, recvlogical(made, name):
                pid = undisturbed(seen.pid(name))
                time.sleep(0.5)
                seen.hold(6.5, pid)
                seen.record.end()
        return xid, seen, pid

    def test_a_big_transaction_is_large_transaction(self):
        """Level 3 makes decoding slow enough for it not to be over soon."""
        xid, seen, pid = self.big("l_large", level=3)
        entry = self.assert_session(seen, pid, "large_transaction", NOT_THE_CLIENT, cut=None)
        self.assertIn(f"ransaction {xid},", entry["text"], lab.figures(entry))
        facts = {fact["fact"]: fact["value"] for fact in entry["evidence"]}
        self.assertEqual(facts["xid"], int(xid), lab.figures(entry))
        self.assertGreater(facts["changes"], 100000, lab.figures(entry))
        self.assertLessEqual(facts["changes"], 1500001, lab.figures(entry))

    # Pieces are counted from 14 on; from 17 on the largest of many is found at once.
    if 14 <= installation.selected().major < 17:
        def test_subtransactions_that_are_spilled_one_by_one_are_spilling(self):
            made = server()
            with slot(made, "l_crumbs") as name, recvlogical(made, name) as client:
                made.wait_walsender(name)
                with scene(made) as seen:
                    pid = undisturbed(seen.pid(name))
                    made.sql("do $$ begin for i in 1..30000 loop begin insert into filler values (repeat('s', 200)); "
                             "exception when others then null; end; end loop; end $$")
                    seen.hold(6, pid)
                    seen.record.end()
                client.stop(signal.SIGKILL)
            entry = self.assert_session(seen, pid, "spilling", (*NOT_THE_CLIENT, "large_transaction"))
            self.assertIn("subtransactions of transaction", entry["text"], lab.figures(entry))

    if installation.selected().major >= 14:
        def test_a_big_transaction_that_is_streamed_while_it_runs_is_healthy(self):
            made = server()
            with slot(made, "l_streamed") as name, recvlogical(made, name, "-o", "stream-changes=on"), \
                    scene(made) as seen:
                pid = undisturbed(seen.pid(name))
                made.wait_walsender(name)
                writer = made.start_program(
                    ["psql", "-X", "-q", "-d", made.conninfo(application="streamed", database="postgres"), "-c",
                     "do $$ begin for i in 1..90 loop insert into filler select repeat('s', 1000) from "
                     "generate_series(1, 300); perform pg_sleep(0.1); end loop; end $$"], name="streamed")
                seen.hold(9, pid)
                self.assertTrue(writer.running, "the transaction is over too soon")
                seen.record.end()
                writer.wait()
            entry = self.assert_session(seen, pid, ("healthy_streaming", "catching_up"), (
                *lab.RECEIVER, *lab.NETWORK, *lab.STANDBY, "large_transaction", "spilling", "decode_bound"))
            self.assertIn("(postgres, streamed)", entry["text"], lab.figures(entry))

        def test_a_big_transaction_that_is_prepared_and_waits_is_healthy_and_told(self):
            made = server()
            with slot(made, "l_prepared", more=", false, true") as name:
                made.sql("begin; insert into filler select repeat('p', 1000) from generate_series(1, 25000); "
                         "prepare transaction 'forgotten'")
                try:
                    with recvlogical(made, name) as client, scene(made) as seen, pulse(made):
                        pid = undisturbed(seen.pid(name))

                        def handed_out():
                            with open(client.output, encoding="ascii") as file:
                                return "PREPARE TRANSACTION" in file.read()

                        wait_for("its changes to be handed out", handed_out, every=0.5)
                        seen.hold(7, pid)
                        seen.record.end()
                finally:
                    made.sql("rollback prepared 'forgotten'")
            entry = self.assert_session(seen, pid, lab.HEALTHY, ("large_transaction", "decode_bound"), cut=6)
            self.assertIn("prepared as forgotten", entry["text"], lab.figures(entry))

    def test_a_backlog_of_small_transactions_is_catching_up(self):
        made = server()
        with slot(made, "l_catch") as name:
            many(made, 20000, 150)
            with scene(made, level=3) as seen, recvlogical(made, name):
                pid = undisturbed(seen.pid(name))
                time.sleep(1)
                seen.hold(6, pid)
                seen.record.end()
        entry = self.assert_session(seen, pid, "catching_up", (
            *NOT_THE_CLIENT, "falling_behind", "large_transaction", "spilling", "decode_bound"))
        facts = {fact["fact"] for fact in entry["evidence"]}
        self.assertLessEqual({"not_sent", "estimate"}, facts, lab.figures(entry))


class Work(BusyTest):
    """More is written than the walsender can do."""

    def swamped(self, name, statement, rate, level, plugin="test_decoding", options=()):
        made = server()
        with slot(made, name, plugin):
            with recvlogical(made, name, *options), scene(made, level=level) as seen:
                pid = undisturbed(seen.pid(name))
                with writer(made, statement, rate):
                    time.sleep(1.5)
                    seen.hold(7, pid)
                seen.record.end()
        return seen, pid

    def test_a_row_filter_that_takes_its_time_is_decode_bound(self):
        """It is looked at before the output plugin begins to write, and lets nothing through."""
        made = server()
        made.sql("create table filtered (t text); create publication l_filter for table filtered "
                 "where (md5(repeat(t, 2000)) = '') with (publish = 'insert')")
        seen, pid = self.swamped(
            "l_filter", "insert into filtered select repeat('f', 1500) from generate_series(1, 100)", 20, 2,
            "pgoutput", ("-o", "proto_version=1", "-o", "publication_names=l_filter"))
        self.assert_session(seen, pid, "decode_bound", (
            *NOT_THE_CLIENT, "catching_up", "large_transaction", "spilling", "output_plugin_slow"))
        self.assert_works(seen, pid, "decode", 0.6)

    def test_values_that_take_long_to_write_are_output_plugin_slow(self):
        """Each element of an array of functions is looked up by its number, for its name."""
        made = server()
        made.sql("create table slow (f regprocedure[]); alter table slow alter f set storage plain")
        seen, pid = self.swamped(
            "l_plugin", "insert into slow select array(select oid from pg_proc limit 1500)::regprocedure[] "
            "from generate_series(1, 100)", 20, 3)
        self.assert_session(seen, pid, "output_plugin_slow", (
            *NOT_THE_CLIENT, "catching_up", "spilling", "decode_bound"))
        self.assert_works(seen, pid, "output_plugin", 0.6)

    def test_a_walsender_that_has_no_single_cause_is_falling_behind(self):
        """At level 3 small changes cost as much in each of the stages."""
        seen, pid = self.swamped("l_behind", "insert into small select generate_series(1, 120)", 2500, 3)
        self.assert_session(seen, pid, ("falling_behind", "decode_bound"), (
            *NOT_THE_CLIENT, "catching_up", "large_transaction", "spilling"))


class Slots(LabTest):
    def test_an_open_transaction_under_create_replication_slot_is_slot_waits_for_transaction(self):
        made = server()
        with OpenTransaction(made, "txid_current()") as holder, scene(made) as seen:
            talker = Talker(made, "l_create")
            talker.say("CREATE_REPLICATION_SLOT l_create LOGICAL test_decoding;")
            wait_for("it to wait", lambda: made.wait_event(talker.pid) in ("transactionid", "virtualxid"))
            seen.hold(7, talker.pid)
            seen.record.end()
            holder.end()
            wait_for("the slot", lambda: made.sql(
                "select 1 from pg_replication_slots where slot_name = 'l_create' and confirmed_flush_lsn > '0/0'"))
            talker.quit()
        lab.drop_slot(made, "l_create")
        entry = self.assert_session(seen, talker.pid, "slot_waits_for_transaction", NOT_THE_CLIENT, state="wait_lock")
        text = entry["text"] + str(entry["evidence"])
        self.assertIn(holder.value, text)
        self.assertIn(str(holder.pid), text)
        self.assertIn("building", text)

    def test_a_prepared_transaction_under_create_replication_slot_is_named(self):
        made = server()
        made.sql("begin; insert into small values (1); prepare transaction 'left behind'")
        try:
            with scene(made) as seen:
                talker = Talker(made, "l_behind_it")
                talker.say("CREATE_REPLICATION_SLOT l_behind_it TEMPORARY LOGICAL test_decoding;")
                wait_for("it to wait", lambda: made.wait_event(talker.pid) in ("transactionid", "virtualxid"))
                seen.hold(6, talker.pid)
                seen.record.end()
        finally:
            made.sql("rollback prepared 'left behind'")
            talker.quit()
        entry = self.assert_session(seen, talker.pid, "slot_waits_for_transaction", NOT_THE_CLIENT, state="wait_lock")
        self.assertIn("prepared as left behind,", entry["text"], lab.figures(entry))

    def test_a_consumer_that_confirms_nothing_is_consumer_not_confirming(self):
        made = server()
        with slot(made, "l_greedy") as name:
            start = made.value(f"select confirmed_flush_lsn from pg_replication_slots where slot_name = '{name}'")
            command = f"START_REPLICATION SLOT {name} LOGICAL {start}"
            with scene(made) as seen, pulse(made), \
                    Player(made, "greedy", command, name, logical=True, flush=lsn(start)):
                pid = seen.pid(name)
                seen.hold(34, pid)
                seen.record.end()
        self.assert_session(seen, pid, "consumer_not_confirming",
                            (*lab.RECEIVER, *lab.NETWORK, *lab.HEALTHY, "standby_flush_slow"), cut=None)


@once
def standby():
    made = Server(space(), "l_standby", {"hot_standby_feedback": "on"}).copy_of(primary())
    made.start()
    primary().wait_walsender("l_standby")
    return made


class Standby(LabTest):
    """Logical decoding on a standby, which is there from 16 on."""

    if installation.selected().major >= 16:
        def test_a_slot_made_on_a_standby_says_what_it_waits_for(self):
            made = standby()
            lab.write(primary(), 1)
            lab.caught_up(primary(), "l_standby", "replay_lsn")
            with scene(made) as seen:
                talker = Talker(made, "l_there")
                talker.say("CREATE_REPLICATION_SLOT l_there LOGICAL test_decoding;")
                wait_for("it to wait", lambda: made.wait_event(talker.pid) == "WalSenderWaitForWal")
                seen.hold(6, talker.pid)
                seen.record.end()
                primary().sql("select pg_log_standby_snapshot()")
                wait_for("the slot", lambda: made.sql(
                    "select 1 from pg_replication_slots where slot_name = 'l_there' and confirmed_flush_lsn > '0/0'"))
                talker.quit()
            lab.drop_slot(made, "l_there")
            entry = self.assert_session(seen, talker.pid, "slot_waits_for_transaction", (*lab.RECEIVER, *lab.NETWORK))
            self.assertIn("WAL record of the transactions that run", entry["text"], lab.figures(entry))

        def test_a_slot_made_on_a_standby_says_that_it_waits_for_a_transaction_of_the_primary(self):
            """There is no lock of it there."""
            made = standby()
            with OpenTransaction(primary(), "txid_current()") as holder, scene(made) as seen:
                talker = Talker(made, "l_elsewhere")
                talker.say("CREATE_REPLICATION_SLOT l_elsewhere TEMPORARY LOGICAL test_decoding;")
                wait_for("the slot", lambda: made.sql(
                    "select 1 from pg_replication_slots where slot_name = 'l_elsewhere'"))
                for _ in range(8):
                    primary().sql("select pg_log_standby_snapshot(); insert into filler values ('')")
                    time.sleep(1)
                seen.record.end()
                holder.end()
                primary().sql("select pg_log_standby_snapshot()")
                talker.quit()
            entry = self.assert_session(seen, talker.pid, "slot_waits_for_transaction", (*lab.RECEIVER, *lab.NETWORK))
            self.assertIn("waits for transactions of the primary", entry["text"], lab.figures(entry))
            self.assertIn("On the primary end the oldest", entry["advice"], lab.figures(entry))

        def made_there(self, stack, made, name):
            """A slot of a standby, dropped in the end."""
            create = made.start_program(
                ["psql", "-X", "-q", "-d", made.conninfo(database="postgres"), "-c",
                 f"select pg_create_logical_replication_slot('{name}', 'test_decoding')"], name="create")
            wait_for("the slot", lambda: primary().sql("select pg_log_standby_snapshot()") and not create.running)
            stack.callback(lab.drop_slot, made, name)

        def test_a_session_whose_standby_does_not_replay_is_standby_apply_paused(self):
            made = standby()
            with contextlib.ExitStack() as stack:
                self.made_there(stack, made, "l_held_back")
                seen = stack.enter_context(scene(made))
                stack.enter_context(recvlogical(made, "l_held_back"))
                with pulse(primary()):
                    pid = seen.pid("l_held_back")
                    made.wait_walsender("l_held_back")
                    time.sleep(1)
                    made.sql("select pg_wal_replay_pause()")
                    stack.callback(made.sql, "select pg_wal_replay_resume()")
                    seen.hold(8, pid)
                seen.record.end()
            entry = self.assert_session(seen, pid, "standby_apply_paused", (*lab.RECEIVER, *lab.NETWORK, *lab.HEALTHY),
                                        cut=6)
            self.assertIn("This server is a standby itself", entry["text"], lab.figures(entry))

        def test_a_session_whose_standby_has_to_remove_rows_is_slot_invalidated(self):
            """It takes no feedback of what decoding needs to its primary."""
            made = Server(space(), "l_ruthless", {"hot_standby_feedback": "off"}).copy_of(primary()).start()
            try:
                with contextlib.ExitStack() as stack:
                    self.made_there(stack, made, "l_conflict")
                    seen = stack.enter_context(scene(made))
                    client = stack.enter_context(recvlogical(made, "l_conflict"))
                    pid = seen.pid("l_conflict")
                    made.wait_walsender("l_conflict")
                    time.sleep(4)
                    primary().sql("create table l_gone (i int); drop table l_gone")

                    def ended():
                        primary().sql("vacuum full pg_class")
                        return not client.running

                    # The feedback of another standby may be 10 s old.
                    wait_for("its end", ended, every=1)
                    for _ in range(3):
                        with recvlogical(made, "l_conflict") as refused:
                            refused.wait()
                    seen.record.end()
            finally:
                made.stop(signal.SIGQUIT)
            self.assert_session(seen, pid, "slot_invalidated", (*lab.RECEIVER, *lab.NETWORK, *lab.HEALTHY), cut=None)
            self.assert_other(seen, "group", "slot_invalidated", seen.pids("l_conflict")[-1:])

        def test_a_session_that_decodes_what_is_replayed_is_healthy(self):
            made = standby()
            with contextlib.ExitStack() as stack:
                self.made_there(stack, made, "l_replayed")
                seen = stack.enter_context(scene(made))
                stack.enter_context(recvlogical(made, "l_replayed"))
                with pulse(primary()):
                    pid = seen.pid("l_replayed")
                    seen.hold(6, pid)
                seen.record.end()
            self.assert_healthy(seen, pid)
            decoded = [event for event in seen.record.view("trace") if event["event"] == "decoding" and
                       event["pid"] == pid]
            self.assertGreater(len(decoded), 3, decoded)
            self.assertGreater(lsn(decoded[-1]["lsn"]), lsn(decoded[0]["lsn"]))


class Clients(LabTest):
    def test_a_stopped_pg_recvlogical_is_receiver_not_reading(self):
        made = primary()
        with slot(made, "l_lstopped") as name, recvlogical(made, name) as client, scene(made) as seen:
            pid = seen.pid(name)
            made.wait_walsender(name)
            with lab.Stop(client.pid):
                lab.write(made, 40)
                wait_stuck(made, name)
                seen.hold(6, pid)
                seen.record.end()
        self.assert_session(seen, pid, "receiver_not_reading", (*lab.NETWORK, *lab.STANDBY, *lab.HEALTHY),
                            state="send_blocked")

    def test_half_a_message_of_a_consumer_is_client_protocol_stall(self):
        made = primary()
        with slot(made, "l_lhalf") as name, scene(made) as seen, \
                Player(made, "half", f"START_REPLICATION SLOT {name} LOGICAL 0/0", name, logical=True,
                       good_s=2) as client:
            pid = seen.pid(name)
            wait_for("half a message", lambda: client.said("half"))
            lab.write(made, 1)
            wait_for("its walsender to wait for the rest", lambda: made.wait_event(pid) == "ClientRead")
            seen.hold(6, pid)
            seen.record.end()
            client.process.stop(signal.SIGKILL)
        self.assert_session(seen, pid, "client_protocol_stall", (*lab.NETWORK, *lab.STANDBY, *lab.HEALTHY),
                            state="recv_blocked")


class Copies(BusyTest):
    def copy(self, name, filtered="", trigger=""):
        """Copies a table of 40 MB for a subscription; returns what was recorded of it, and the walsender."""
        made = server()
        made.sql(f"create table {name} (t text); insert into {name} select repeat('c', 2000) from "
                 f"generate_series(1, 20000); create publication {name} for table {name} {filtered} "
                 "with (publish = 'insert')")
        subscriber = Server(space(), f"{name}_subscriber").create().start()
        subscriber.sql(f"create table {name} (t text); {trigger}")
        try:
            with scene(made) as seen:
                subscriber.sql(f"create subscription {name} connection '{made.conninfo(**self.words(made))}' "
                               f"publication {name}")
                pid = wait_for("the copy", lambda: next(
                    (line.pid for line in made.log() if line.message.startswith("statement: COPY ") and
                     name in line.message and line.backend_type == "walsender"), None))
                undisturbed(pid)
                time.sleep(1)
                self.copied = [self.rows(made, pid)]
                seen.hold(8, pid)
                self.copied.append(self.rows(made, pid))
                seen.record.end()
        finally:
            subscriber.stop(signal.SIGQUIT)
            for row in made.sql(f"select slot_name from pg_replication_slots where slot_name ~ '^({name}|pg_)'"):
                lab.drop_slot(made, row[0])
        return seen, pid

    @staticmethod
    def rows(made, pid):
        """That the server has copied; it says so from 14 on."""
        return int(made.value(f"select tuples_processed from pg_stat_progress_copy where pid = {pid}")
                   ) if made.major >= 14 else None

    @staticmethod
    def words(made):
        """Of a conninfo within the quotes of a statement."""
        return {"database": "postgres", "password": made.password,
                **{key: value.replace("'", "''") for key, value in LOG_SQL.items()}}

    if installation.selected().major >= 15:  # row filters
        def test_the_copy_of_a_table_is_table_copy(self):
            """What the server has to find out about each row takes its time, at most."""
            seen, pid = self.copy("l_copied", filtered="where (md5(repeat(t, 500)) <> '')")
            entry = self.assert_session(seen, pid, "table_copy", NOT_THE_CLIENT)
            self.assert_works(seen, pid, "sql", 0.9)
            group = self.assert_other(seen, "group", "table_copy", [pid])
            self.assertIn("l_copied", group["text"], lab.figures(group))
            apply = seen.pids("l_copied")[-1]
            self.assertIn(seen.session(apply)["session"], group["sessions"], lab.figures(group))
            self.assertIn("l_copied", entry["text"] + str(entry["evidence"]), lab.figures(entry))
            first, last = self.copied
            told = [event["rows"] for event in seen.record.view("trace")
                    if event["event"] == "copy" and event["pid"] == pid]
            self.assertEqual(bool(told), first is not None, told)
            if first is not None:
                self.assertTrue(any(first <= rows <= last for rows in told), f"{told}, not from {first} to {last}")
                self.assertIn("rows since it began", entry["text"])

    def test_the_copy_of_a_table_for_a_slow_subscriber_is_receiver_slow(self):
        """Its trigger takes its time over each row."""
        seen, pid = self.copy("l_slowly", trigger=(
            "create function slowly() returns trigger language plpgsql as 'begin perform pg_sleep(0.002); "
            "return new; end'; create trigger slowly before insert on l_slowly for each row execute function "
            "slowly(); alter table l_slowly enable always trigger slowly"))
        entry = self.assert_session(seen, pid, "receiver_slow", (*lab.NETWORK, *lab.STANDBY, *lab.HEALTHY),
                                    state="send_blocked")
        self.assertIn("table_copy", entry["also"], lab.figures(entry))


class Subscriptions(LabTest):
    def test_a_subscription_that_applies_slowly_is_receiver_slow_before_its_socket_is_full(self):
        """It takes 0.3 s for a change, of which ten a second come, and says of each when it is through."""
        made = server()
        made.sql("create table l_late (t text); create publication l_late for table l_late")
        subscriber = Server(space(), "l_late_subscriber").create().start()
        subscriber.sql(
            "create table l_late (t text); create function late() returns trigger language plpgsql as 'begin perform "
            "pg_sleep(0.3); return new; end'; create trigger late before insert on l_late for each row execute "
            "function late(); alter table l_late enable always trigger late")
        try:
            subscriber.sql(f"create subscription l_late connection '{made.conninfo(**Copies.words(made))}' "
                           "publication l_late with (copy_data = false)")
            made.wait_walsender("l_late")
            with scene(made) as seen, writer(made, "insert into l_late values ('late')", 10):
                pid = seen.pid("l_late")
                time.sleep(5)
                seen.hold(12, pid)
                seen.record.end()
        finally:
            subscriber.stop(signal.SIGQUIT)
            lab.drop_slot(made, "l_late")
        entry = self.assert_session(seen, pid, "receiver_slow", (
            *lab.NETWORK, *lab.STANDBY, *lab.HEALTHY, "receiver_not_reading", "receiver_silent"), cut=8)
        self.assertIn("takes changes in more slowly", entry["text"], lab.figures(entry))


@once
def promoted():
    """A server on its second time line."""
    made = Server(space(), "l_promoted").copy_of(primary())
    made.start()
    primary().wait_walsender("l_promoted")
    lab.write(primary(), 1)
    lab.caught_up(primary(), "l_promoted", "replay_lsn")
    made.start_at = lab.end_of_wal(primary())
    lab.write(primary(), 1)
    lab.caught_up(primary(), "l_promoted", "replay_lsn")
    made.sql("select pg_promote()")
    return made


class Ends(LabTest):
    def copydone(self, level):
        made = promoted()
        with scene(made, level=level) as seen, Player(made, "copydone", f"START_REPLICATION {made.start_at} TIMELINE 1",
                                                      "l_copydone") as client:
            wait_for("the server's CopyDone", lambda: client.said("copydone"))
            pid = seen.pid("l_copydone")
            time.sleep(0.5)
            seen.hold(5, pid)
            seen.record.end()
        self.assert_session(seen, pid, "waits_for_copydone", (*lab.RECEIVER, *lab.NETWORK, *lab.HEALTHY))
        for of, window in seen.windows:
            times = seen.record.time_in(of, window.begin, window.end)
            self.assertGreaterEqual(times.get("wait_copydone", 0), 0.9 * window.seconds, times)

    def test_a_copydone_that_is_never_answered_is_waits_for_copydone(self):
        self.copydone(2)

    def test_at_level_3_too(self):
        self.copydone(3)
