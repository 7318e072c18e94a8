# SPDX-License-Identifier: BSD-2-Clause
"""Each end that a session can have, caused for real."""

import os
import signal

import walscope
from clients import clients
from cluster import Server
from histories import differences
from live import (LiveTest, no_wal_of_its_own, once, primary, recording, space, wait_caught_up,
                  wait_disconnected)
from processes import alive, start_ticks, wait_for
from protocol import connect
from talkers import Relay, Stopped, Talker, server_process, walsender_of


@once
def victim():
    """A server of its own for ends that take it along. No connection of a test outlives the test."""
    return Server(space(), "ends", {
        "wal_keep_size": "'32MB'", "max_slot_wal_keep_size": "'1MB'", "min_wal_size": "'32MB'",
        "max_wal_size": "'1GB'"}).create()


def running_victim():
    server = victim()
    if server.process is None or not server.process.running:
        server.start()
    return server


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
        return file.read().strip()


class Everyone:
    """A walsender of each kind on one server: what it does, and its pid."""

    def __init__(self, server, prefix):
        self.talkers = {"idle": Talker(server, f"{prefix}_idle"),
                        "sql": Talker(server, f"{prefix}_sql").sleeping()}
        self.programs = {"stream": server.receivewal(f"{prefix}_stream", "-s", "1"),
                         "backup": server.basebackup(f"{prefix}_backup", "--max-rate", "256k", "-X", "none")}
        server.wait_walsender(f"{prefix}_stream")
        server.wait_walsender(f"{prefix}_backup", "backup")
        wait_for("the base backup to stream", lambda: server.sql(
            "select 1 from pg_stat_progress_basebackup where phase = 'streaming database files'"))
        server.write_wal(1)  # not at the beginning of a segment, where the base backup leaves it
        wait_caught_up(server, f"{prefix}_stream")
        self.pids = {what: walsender_of(server, f"{prefix}_{what}")
                     for what in ("idle", "sql", "stream", "backup")}
        self.ticks = {what: start_ticks(pid) for what, pid in self.pids.items()}

    def wait_gone(self):
        wait_for("the walsenders to end",
                 lambda: not any(alive(pid, self.ticks[what]) for what, pid in self.pids.items()))
        for process in [*self.programs.values(), *(talker.process for talker in self.talkers.values())]:
            process.stop(signal.SIGKILL)


class Ends(LiveTest):
    def ending(self, record, pid, reason, code=None, sig=None):
        """The end of a session as walscope tells it."""
        seen = record.session(pid)["exit"]
        self.assertEqual((seen["reason"], seen["code"], seen["signal"]), (reason, code, sig))
        return seen

    def sent_by(self, record, pid, number, sender, role, name=None):
        """Who sent the signal that ended it."""
        seen = record.session(pid)["exit"]["signal_by"]
        self.assertIsNotNone(seen, f"signal_by of {pid}")
        expected = {"signal": int(number), "pid": sender, "role": role}
        self.assertEqual({field: seen[field] for field in expected}, expected)
        if name:
            self.assertEqual(seen["name"], name)

    # -- clients

    def test_a_client_that_says_goodbye(self):
        seen = clients()
        for application in ("c_psql", "c_receivewal", "c_endpos"):
            end = self.ending(seen.record, seen.pid(application), "client_terminated", 0, 0)
            self.assertIsNone(end["signal_by"])

    def vanish(self, server, situation, way):
        """Brings a client into a situation and lets it vanish; returns its walsender's pid."""
        application = f"e_{situation}_{way}"
        relay = Relay(server) if way != "killed" else None
        port = relay and relay.port
        if situation == "streaming":
            client = server.start_program(
                ["pg_receivewal", "-D", space().folder(f"{application}.wal", server.user), "--no-loop",
                 "--no-sync", "-s", "1", "-d", server.conninfo(application=application, **({"port": port} if port else {}))],
                name=application)
            pid = int(server.wait_walsender(application)["pid"])
            wait_caught_up(server, application)
        else:
            talker = Talker(server, application, port)
            client, pid = talker.process, talker.pid
            if situation == "transaction":
                talker.say("begin;")
                talker.until("state = 'idle in transaction'")
            elif situation == "sql":
                holder = connect(server, "false", f"{application}_holder", database="postgres")
                holder.query("select pg_advisory_lock(1)")
                talker.say("select pg_advisory_lock_shared(1), repeat('x', 8000000);")
                talker.until("wait_event = 'advisory'")
        if relay is None:
            client.stop(signal.SIGKILL)
        elif way == "reset":
            relay.reset()
        else:
            relay.half_close()
        if situation == "sql":
            holder.terminate()  # and the walsender has something to say
        wait_disconnected(server, pid)
        client.stop(signal.SIGKILL)
        return pid

    def test_clients_that_vanish(self):
        server = primary()
        situations = ("idle", "transaction", "sql", "streaming")
        ways = ("killed", "closed", "reset")
        # Whoever is sent something when he is gone resets the connection: that is another end.
        with recording(server) as record, no_wal_of_its_own(server):
            pids = {(situation, way): self.vanish(server, situation, way)
                    for situation in situations for way in ways}
        log = server.log()
        events = record.view("trace")
        for (situation, way), pid in pids.items():
            with self.subTest(situation=situation, way=way):
                # COMMERROR stands in the log as LOG.
                said = [line.message for line in log
                        if line.pid == pid and line.severity in ("LOG", "FATAL")
                        and ("client" in line.message or "connection" in line.message)
                        and not line.message.startswith(("connection ", "disconnection", "replication "))]
                failed = any("could not" in message for message in said)
                if situation != "sql":  # a client that is gone resets what it is sent: it depends
                    self.assertEqual(failed, way == "reset", said)
                end = record.session(pid)["exit"]
                # Up to 13 a server that reads the end of file between transactions says so to nobody, not
                # even to itself: it ends as with a goodbye.
                is_silent = server.major < 14 and situation == "idle"
                expected = ("connection_lost" if failed else "client_terminated" if is_silent else "client_eof")
                self.assertEqual(end["reason"], expected, said)
                fatal = [line for line in log if line.pid == pid and line.severity == "FATAL"]
                self.assertEqual((end["code"], end["signal"]), (1 if fatal else 0, 0))
                last = record.history(pid)[-1]
                if situation == "streaming":
                    self.assertEqual((last["kind"], last["outcome"], last["message"]),
                                     ("START_REPLICATION", "error", said[0]))
                elif situation == "sql" and fatal:
                    self.assertEqual((last["outcome"], last["sqlstate"], last["message"]),
                                     ("error", fatal[0].sqlstate, fatal[0].message))
                if situation in ("idle", "transaction"):
                    cause, = [event["cause"] for event in events
                              if event["event"] == "ending" and event["pid"] == pid]
                    self.assertEqual(cause, "client_eof" if server.major >= 14 else None)
        self.assertEqual(differences(server, record), [])

    def test_a_replication_timeout(self):
        server = primary()
        with recording(server) as record:
            receiver = server.start_program(
                ["pg_receivewal", "-D", space().folder("e_timeout.wal", server.user), "-d",
                 server.conninfo(application="e_timeout", options="'-c wal_sender_timeout=2s'"),
                 "--no-loop", "--no-sync"], name="e_timeout")
            pid = int(server.wait_walsender("e_timeout")["pid"])
            receiver.signal(signal.SIGSTOP)
            wait_disconnected(server, pid)
            receiver.stop(signal.SIGKILL)
        self.assertTrue(any("replication timeout" in line.message for line in server.log()
                            if line.pid == pid))
        self.ending(record, pid, "replication_timeout", 0, 0)
        self.assertEqual(differences(server, record), [])

    # -- the server

    def test_terminated_by_sql_and_by_a_stranger(self):
        server = primary()
        with recording(server) as record:
            by_sql, by_kill = Everyone(server, "e_term"), Everyone(server, "e_kill")
            sender = {}
            for what, pid in by_sql.pids.items():
                sender[pid], = [int(row[0]) for row in server.sql(
                    f"select pg_backend_pid() from pg_terminate_backend({pid})")]
            for pid in by_kill.pids.values():
                os.kill(pid, signal.SIGTERM)
            by_sql.wait_gone()
            by_kill.wait_gone()
        for everyone in (by_sql, by_kill):
            for what, pid in everyone.pids.items():
                with self.subTest(what=what, by="sql" if everyone is by_sql else "kill"):
                    fatal = [(line.sqlstate, line.message, line.location) for line in server.log()
                             if line.pid == pid and line.severity == "FATAL"]
                    self.assertEqual([state for state, _, _ in fatal], ["57P01"], "the server's log")
                    self.ending(record, pid, "admin_terminated", 1, 0)
                    if everyone is by_sql:
                        self.sent_by(record, pid, signal.SIGTERM, sender[pid], "backend", "postgres")
                    else:
                        self.sent_by(record, pid, signal.SIGTERM, os.getpid(), "other", name_of(os.getpid()))
                    if what != "idle":
                        entry = record.history(pid)[-1]
                        self.assertEqual((entry["outcome"], entry["sqlstate"], entry["message"],
                                          entry["location"]), ("error", *fatal[0]))

    def test_a_walsender_that_ran_before_is_terminated(self):
        server = primary()
        receiver = server.receivewal("e_before")
        pid = int(server.wait_walsender("e_before")["pid"])
        with recording(server) as record:
            sender, = [int(row[0]) for row in server.sql(
                f"select pg_backend_pid() from pg_terminate_backend({pid})")]
            wait_disconnected(server, pid)
        receiver.wait()
        self.ending(record, pid, "admin_terminated", 1, 0)
        self.sent_by(record, pid, signal.SIGTERM, sender, "backend")

    def test_sql_that_terminates_its_own_walsender_is_no_shutdown(self):
        server = primary()
        with recording(server) as record:
            talker = Talker(server, "e_suicide")
            talker.say("select pg_terminate_backend(pg_backend_pid()), pg_sleep(10);")
            wait_disconnected(server, talker.pid)
        self.ending(record, talker.pid, "admin_terminated", 1, 0)
        self.sent_by(record, talker.pid, signal.SIGTERM, talker.pid, "self")

    def test_another_fatal_error(self):
        server = primary()
        with recording(server) as record:
            talker = Talker(server, "e_fatal", options="'-c idle_in_transaction_session_timeout=200ms'")
            talker.say("begin;")
            wait_disconnected(server, talker.pid)
        self.assertEqual([line.sqlstate for line in server.log()
                          if line.pid == talker.pid and line.severity == "FATAL"], ["25P03"])
        self.ending(record, talker.pid, "fatal", 1, 0)
        self.assertIsNone(record.session(talker.pid)["exit"]["signal_by"])

    def shut_down(self, how):
        """Ends the server with a walsender of each kind at work; returns them and the recording."""
        server = running_victim()
        with recording(server) as record:
            everyone = Everyone(server, f"e_{how.name.lower()}")
            server.stop(how)
            everyone.wait_gone()
        return server, everyone, record

    def orderly_shutdown(self, how):
        _, everyone, record = self.shut_down(how)
        for what, pid in everyone.pids.items():
            with self.subTest(what=what):
                if what == "stream":
                    self.ending(record, pid, "shutdown", 0, 0)
                    self.assertIsNone(record.session(pid)["exit"]["signal_by"])
                else:
                    # HandleWalSndInitStopping (walsender.c): who does not stream ends itself
                    self.ending(record, pid, "shutdown", 1, 0)
                    self.sent_by(record, pid, signal.SIGTERM, pid, "self")
                if what in ("sql", "backup"):
                    entry = record.history(pid)[-1]
                    self.assertEqual((entry["outcome"], entry["sqlstate"]), ("error", "57P01"))

    def test_a_fast_shutdown(self):
        self.orderly_shutdown(signal.SIGINT)

    def test_a_smart_shutdown(self):
        self.orderly_shutdown(signal.SIGTERM)

    def test_an_immediate_shutdown(self):
        server, everyone, record = self.shut_down(signal.SIGQUIT)
        for what, pid in everyone.pids.items():
            with self.subTest(what=what):
                self.ending(record, pid, "shutdown", 2, 0)
                self.sent_by(record, pid, signal.SIGQUIT, server.pid, "postmaster", "postgres")
                self.assertEqual([entry["outcome"] for entry in record.history(pid)][-1],
                                 "ok" if what == "idle" else "error")

    def crashed(self, server, pid):
        """Waits until the server has recovered from this process's crash."""
        def recovered():
            lines = server.log()
            since = [line.time for line in lines if f"(PID {pid}) was terminated by signal" in line.message]
            return since and any("database system is ready to accept connections" in line.message
                                 and line.time > since[-1] for line in lines)

        wait_for("crash recovery", recovered)
        server.wait_ready()

    def test_a_crash_of_a_backend(self):
        server = running_victim()
        for number in (signal.SIGKILL, signal.SIGSEGV):
            with self.subTest(signal=number.name):
                with recording(server) as record:
                    everyone = Everyone(server, f"e_crash{int(number)}")
                    backend = server.start_program(
                        ["psql", "-X", "-d", server.conninfo(application="e_backend", database="postgres"),
                         "-c", "select pg_sleep(60)"], name="e_backend")
                    pid, = wait_for("the backend", lambda: [int(row[0]) for row in server.sql(
                        "select pid from pg_stat_activity where application_name = 'e_backend' "
                        "and wait_event = 'PgSleep'")])
                    os.kill(pid, number)
                    self.crashed(server, pid)
                    everyone.wait_gone()
                    backend.wait()
                for what, walsender in everyone.pids.items():
                    with self.subTest(what=what):
                        self.ending(record, walsender, "crash_restart", 2, 0)
                        self.sent_by(record, walsender, signal.SIGQUIT, server.pid, "postmaster")

    def test_a_walsender_that_is_killed(self):
        server = running_victim()
        for number in (signal.SIGKILL, signal.SIGSEGV):
            with self.subTest(signal=number.name):
                with recording(server) as record:
                    everyone = Everyone(server, f"e_killed{int(number)}")
                    pid = everyone.pids["stream"]
                    os.kill(pid, number)
                    self.crashed(server, pid)
                    everyone.wait_gone()
                    next_one = server.receivewal(f"e_after{int(number)}")
                    after = int(server.wait_walsender(f"e_after{int(number)}")["pid"])
                next_one.stop()
                self.assertEqual([(entry["command"], entry["outcome"]) for entry in record.history(after)],
                                 [(text, "running" if text.startswith("START") else "ok")
                                  for _, text in server.logged_commands(after)])
                self.ending(record, pid, "killed", None, int(number))
                self.sent_by(record, pid, number, os.getpid(), "other", name_of(os.getpid()))
                entry = record.history(pid)[-1]
                self.assertEqual((entry["kind"], entry["outcome"], entry["message"]),
                                 ("START_REPLICATION", "error", f"the process was ended by {number.name}"))
                self.ending(record, everyone.pids["idle"], "crash_restart", 2, 0)

    def test_a_walsender_that_the_kernel_kills(self):
        """A limit of processor time: the kernel sends SIGXCPU, which ends the process."""
        server = running_victim()
        with recording(server) as record:
            talker = Talker(server, "e_xcpu")
            space().run(["prlimit", f"--pid={talker.pid}", "--cpu=1:"], user=server.user)
            talker.say("do $$ begin loop end loop; end $$;")
            self.crashed(server, talker.pid)
            talker.kill()
        self.ending(record, talker.pid, "killed", None, int(signal.SIGXCPU))
        self.sent_by(record, talker.pid, signal.SIGXCPU, None, "kernel")

    def test_the_death_of_the_postmaster(self):
        server = running_victim()
        with recording(server) as record:
            everyone = Everyone(server, "e_orphan")
            os.kill(server.pid, signal.SIGKILL)
            server.process.wait()
            everyone.wait_gone()
        for what, pid in everyone.pids.items():
            with self.subTest(what=what):
                self.ending(record, pid, "postmaster_death", 1, 0)

    # -- slots

    def slot_in_use(self, server, application):
        """A pg_receivewal that streams from a slot of its own; returns it and its walsender's pid."""
        slot = f"{application}_slot"
        server.sql(f"select pg_create_physical_replication_slot('{slot}', true)")
        receiver = server.receivewal(application, "-S", slot, "-s", "1")
        pid = int(server.wait_walsender(application)["pid"])
        wait_for("the slot to be used", lambda: server.sql(
            f"select 1 from pg_replication_slots where slot_name = '{slot}' and active_pid = {pid}"))
        return receiver, pid, slot

    def start_checkpoint(self, server):
        return server.start_program(
            ["psql", "-X", "-d", server.conninfo(database="postgres"), "-c", "checkpoint"],
            name="e_checkpoint")

    def slot_state(self, server, slot):
        return server.value(f"select wal_status from pg_replication_slots where slot_name = '{slot}'")

    def slot_reports(self, server, slot):
        """What the server's log says about this slot: (pid of who says so, first word)."""
        return [(line.pid, line.message.split()[0]) for line in server.log()
                if f'slot "{slot}"' in line.message
                and line.message.startswith(("terminating process", "invalidating "))]

    def test_a_slot_that_is_invalidated(self):
        server = running_victim()
        checkpointer = server_process(server, "checkpointer")
        with recording(server) as record:
            receiver, pid, slot = self.slot_in_use(server, "e_lost")
            with Stopped(receiver.pid):
                server.write_wal(96)
                checkpoint = self.start_checkpoint(server)
                # It reports its FATAL to the client, too, and that has to take it.
                wait_for("the walsender to obey", lambda: any(
                    line.pid == pid and line.sqlstate == "57P01" for line in server.log()))
            checkpoint.expect()
            wait_disconnected(server, pid)
            receiver.stop(signal.SIGKILL)
            self.assertEqual(self.slot_state(server, slot), "lost")
        server.sql(f"select pg_drop_replication_slot('{slot}')")
        self.assertEqual(self.slot_reports(server, slot),
                         [(checkpointer, "terminating"), (checkpointer, "invalidating")])
        self.ending(record, pid, "slot_invalidated", 1, 0)
        self.sent_by(record, pid, signal.SIGTERM, checkpointer, "checkpointer")
        self.assertEqual(record.session(pid)["slot"], slot)
        table = space().run([walscope.binary(), "sessions", record.file, "-v"]).out
        self.assertIn(f"slot_invalidated (code 1), SIGTERM by checkpointer {checkpointer} (postgres)", table)
        said = [line.message for line in server.log() if f'slot "{slot}"' in line.message
                and line.pid == checkpointer]
        self.assertEqual([event["message"] for event in record.view("trace") if event["event"] == "slot"],
                         said)
        lines = space().run([walscope.binary(), "trace", record.file]).out
        self.assertIn(f"SIGTERM to {pid} by checkpointer {checkpointer}", lines)
        for message in said:
            self.assertIn(f"process {checkpointer} says: {message}", lines)
        self.assertIn("proc_exit(1), cause killed" if server.major >= 14 else "proc_exit(1)", lines)

    def test_a_slot_that_is_released_and_stays_good(self):
        """The walsender goes when the checkpointer asks for it, but by the time that looks again the slot
        has been moved on, and there is nothing to invalidate."""
        server = running_victim()
        checkpointer = server_process(server, "checkpointer")
        with recording(server) as record:
            receiver, pid, slot = self.slot_in_use(server, "e_good")
            with Stopped(pid) as walsender:
                server.write_wal(96)
                checkpoint = self.start_checkpoint(server)
                wait_for("the checkpointer to end the walsender",
                         lambda: self.slot_reports(server, slot))
                wait_for("the checkpointer to wait for it", lambda: server.sql(
                    f"select 1 from pg_stat_activity where pid = {checkpointer} "
                    "and wait_event = 'ReplicationSlotDrop'"))
                with Stopped(checkpointer):
                    walsender.go_on()
                    wait_disconnected(server, pid)
                    server.sql(f"select pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")
            checkpoint.expect()
            receiver.stop(signal.SIGKILL)
            self.assertNotEqual(self.slot_state(server, slot), "lost")
        server.sql(f"select pg_drop_replication_slot('{slot}')")
        self.assertEqual(self.slot_reports(server, slot), [(checkpointer, "terminating")])
        self.ending(record, pid, "slot_released", 1, 0)
        self.sent_by(record, pid, signal.SIGTERM, checkpointer, "checkpointer")
