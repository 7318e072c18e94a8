# SPDX-License-Identifier: BSD-2-Clause
"""scripts/gdb: what gdb tells of a walsender of a stripped server is what the server's views say, and what its trace
tells, imported, is what the client did."""

import contextlib
import os
import re
import subprocess

import debug_registers
import replication_client
import walscope
from cluster import Server, lsn
from debugger import SCRIPT, finish, look, rows, shown, start, start_trace, symbol_file, wait_said
from live import LiveTest, no_wal_of_its_own, once, space, wait_caught_up
from processes import wait_for
from test_layouts import give_debug_file

WALSENDERS = ("g_phys", "g_logi", "g_back")
VIEW = ("application_name", "pid", "state", "sent_lsn", "write_lsn", "flush_lsn", "replay_lsn")
COMMANDS = ("walsender status", "walsender list", "walsender session")

# As xlogdefs.h, timestamp.h, c.h, stringinfo.h and walsender_private.h have them, as far as a printer looks at them.
TYPES = """
typedef unsigned long XLogRecPtr; typedef long TimestampTz;
typedef struct nameData { char data[64]; } NameData;
typedef struct StringInfoData { char *data; int len, maxlen, cursor; } StringInfoData;
typedef StringInfoData *StringInfo;
typedef enum { WALSNDSTATE_STARTUP, WALSNDSTATE_BACKUP, WALSNDSTATE_CATCHUP, WALSNDSTATE_STREAMING } WalSndState;
typedef struct WalSnd { int pid; WalSndState state; XLogRecPtr sentPtr, write, flush, apply;
	int sync_standby_priority; } WalSnd;
XLogRecPtr l = 0x16B374D848; TimestampTz ts = 1; NameData nm = {"slot_a"};
StringInfoData si = {"abc\\0def", 3, 1024, 0}; StringInfo sp = &si;
WalSnd w = {42, WALSNDSTATE_STREAMING, 0x100000010, 0x10, 0, 0};
int main(void) { return 0; }
"""


def view(server):
    """Rows of pg_stat_replication by application, positions that are none as gdb's commands print them."""
    return {row[0]: dict(zip(VIEW, (word if word not in ("", "0/0") else "-" for word in row)))
            for row in server.sql(f"select {', '.join(VIEW)} from pg_stat_replication")}


class Scene:
    """A walsender of each kind at rest: what the views say of it, and gdb of it, a backend, the postmaster and their cores."""

    def __init__(self):
        self.server = server = Server(space(), "gdb", installation="installation-gdb").create().start()
        self.symbols = symbol_file(space(), server.program)
        server.sql("select pg_create_physical_replication_slot('g_slot')")
        server.create_logical_slot("g_logical")
        with no_wal_of_its_own(server), contextlib.ExitStack() as stack:
            for client in (server.receivewal("g_phys", "-S", "g_slot", "-s", "1"),
                           server.recvlogical("g_logical", "-F", "1", "-s", "1", application="g_logi")):
                stack.callback(client.stop)
            server.wait_walsender("g_phys")
            server.wait_walsender("g_logi")
            server.write_wal(1)
            stack.callback(server.basebackup("g_back", "-r", "32k", "-X", "none").stop)
            server.wait_walsender("g_back", "backup")
            stack.callback(server.start_program(
                ["psql", "-X", "-q", "-d", server.conninfo(application="g_psql", database="postgres"), "-c",
                 "select pg_sleep(1000)"], name="sleeper").stop)
            self.rest()
            self.look()
            self.after = view(server)

    def rest(self):
        server = self.server
        wait_caught_up(server, "g_phys")
        wait_for("the last replies", lambda: all(
            row["sent_lsn"] == row["write_lsn"] == row["flush_lsn"] for name, row in view(server).items()
            if name == "g_logi"))
        self.row = view(server)
        self.slots = {name: restart for name, restart in server.sql("select slot_name, restart_lsn from pg_replication_slots")}
        at_work = "from pg_stat_activity where application_name like 'g\\_%' and query <> ''"
        wait_for("all to be at work", lambda: server.value(f"select count(*) {at_work}") == "4")
        self.queries = dict(server.sql(f"select application_name, query {at_work}"))
        self.pids = {name: int(pid) for name, pid in server.sql(f"select application_name, pid {at_work}")}
        self.pids["postmaster"] = server.pid
        self.session = walscope.session_id(self.pids["g_phys"])

    def look(self):
        """Of the processes side by side, then of their cores."""
        self.fifo, none = space().file("g_fifo"), space().file("none")
        os.mkfifo(self.fifo)
        reader = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)  # nobody waits for one
        more = {"postmaster": (f"walsender trace -o {none}",),
                "g_phys": ("print $walsnd((long)MyWalSnd)", "print $nameof((long)MyReplicationSlot + 24)",
                           "print $lsn(0x1600000028)", "print $timestamptz(86400000000)", "print $nameof(0)",
                           "backtrace",
                           f"walsender trace -o {self.fifo}")}
        cores = {name: space().file(f"{name}.core") for name in self.pids}
        self.live = self.side_by_side({name: (("-p", pid), *COMMANDS, *more.get(name, ()), f"generate-core-file {cores[name]}")
                                       for name, pid in self.pids.items()})
        os.close(reader)
        no_libraries = ("-iex", "set auto-solib-add off")  # to be quick; they would be of another root, too
        self.core = self.side_by_side({name: ((*no_libraries, self.server.program, core), *COMMANDS,
                                              f"walsender trace -o {none}") for name, core in cores.items()})

    def side_by_side(self, looks):
        """What gdb says, by name of (target, commands)."""
        started = {name: start(space(), target, self.symbols, *commands) for name, (target, *commands) in looks.items()}
        return {name: finish(process) for name, process in started.items()}


@once
def scene():
    return Scene()


class Gdb(LiveTest):
    def both(self, name):
        """What gdb said of a process and of its core."""
        return scene().live[name], scene().core[name]

    def test_status_is_what_pg_stat_replication_says(self):
        for name in WALSENDERS:
            row = scene().row[name]
            if name != "g_back":
                self.assertEqual(scene().after[name], row, "the server was not at rest")
            for said in self.both(name):
                found = shown(said["walsender status"])
                self.assertEqual([found[key] for key in ("pid", "state", "sent_lsn", "write_lsn", "flush_lsn", "apply_lsn")],
                                 [row[key] for key in VIEW[1:]], said["refused"])
                self.assertEqual(found["command"], scene().queries[name])
                self.assertEqual(found["slot"], {"g_phys": "g_slot", "g_logi": "g_logical", "g_back": "-"}[name])
                if name != "g_back":
                    self.assertEqual(found["pending_bytes"], "0")

    def test_session_tells_who_it_is(self):
        for name in WALSENDERS:
            for said in self.both(name):
                found = shown(said["walsender session"])
                self.assertEqual([found[key] for key in ("user", "application_name", "client", "errors", "is_database")],
                                 ["postgres", name, "127.0.0.1", "none", str(name == "g_logi")], said["refused"])
                self.assertEqual(found["database"], "postgres" if name == "g_logi" else "")
                self.assertEqual(found["restart_lsn"], scene().slots.get(found["slot"], "-"))
        self.assertEqual(shown(scene().live["g_phys"]["walsender session"])["session"], scene().session)

    def test_list_has_the_array_in_each_process_of_the_server_and_each_core(self):
        wanted = sorted([row[key] for key in VIEW[1:]] for row in scene().row.values())
        for name in scene().pids:
            for said in self.both(name):
                self.assertEqual(sorted(line[:6] for line in rows(said["walsender list"])), wanted, said["refused"])

    def test_what_is_no_walsender_is_refused_in_a_line(self):
        for said in self.both("g_psql"):
            self.assertIn("this process is no walsender: MyWalSnd is null; `walsender list` has those there are",
                          said["refused"])
        for said in self.both("postmaster"):
            self.assertIn("this is the postmaster: `walsender list` has the walsenders", said["refused"])
        self.assertIn("this is the postmaster, and a stop of it stops the server: `walsender wait` attaches to its next "
                      "walsender alone", scene().live["postmaster"]["refused"])
        for name in WALSENDERS:
            self.assertIn("there is no process to trace: this is a core", scene().core[name]["refused"])

    def test_an_output_that_may_hold_up_its_writer_is_refused(self):
        self.assertIn(f"{scene().fifo} is no regular file: what holds up who reads it would hold up the walsender",
                      scene().live["g_phys"]["refused"])

    def test_looking_and_quitting_ends_nobody(self):
        self.assertEqual({name: int(row["pid"]) for name, row in scene().after.items()},
                         {name: scene().pids[name] for name in WALSENDERS})

    def test_a_backtrace_names_static_functions(self):
        named = re.findall(r"in (\w+) \(", scene().live["g_phys"]["backtrace"])
        rest = iter(named)
        self.assertTrue(all(name in rest for name in ("WalSndLoop", "exec_replication_command", "PostgresMain")), named)

    def test_types_print_where_there_is_debug_information(self):
        program = space().file("types")
        subprocess.run(["gcc", "-g", "-x", "c", "-", "-o", program], input=TYPES, text=True, check=True)
        said = look(space(), (program,), None, *(f"print {name}" for name in ("l", "ts", "nm", "si", "sp", "w")),
                    "print $walsnd(&w)", "print $stringinfo(sp)", "print $nameof(&nm)")
        walsnd = "WalSnd of 42: streaming, sent 1/10 write 0/10 flush 0/0 apply 0/0"
        self.assertEqual([re.sub(r"^\$\d+ = |\n", "", out) for command, out in said.items() if command.startswith("print")], [
            "16/B374D848", "2000-01-01T00:00:00.000001+00:00", '"slot_a"', '"abc"', '"abc"', walsnd, f'"{walsnd}"', '"abc"',
            '"slot_a"'])

    def test_a_server_with_types_of_its_own_needs_no_symbol_file(self):
        """Its debug file has struct Port and struct WalSnd as the server has them."""
        server = give_debug_file(Server(space(), "gdb_types", installation="installation-gdb_types").create()).start()
        client = server.receivewal("g_types")
        row = server.wait_walsender("g_types")
        said = look(space(), ("-p", row["pid"]), None, *COMMANDS)
        client.stop()
        server.stop()
        walsnd, = rows(said["walsender list"])
        self.assertEqual(walsnd[:3], [row["pid"], "streaming", row["sent_lsn"]], said["refused"])
        found = shown(said["walsender session"])
        self.assertEqual([found[key] for key in ("pid", "application_name", "user", "sent_lsn")],
                         [row["pid"], "g_types", "postgres", row["sent_lsn"]])

    def test_the_same_prints_by_the_layout(self):
        said, row = scene().live["g_phys"], scene().row["g_phys"]
        self.assertIn(f'"WalSnd of {row["pid"]}: streaming, sent {row["sent_lsn"]} write {row["write_lsn"]} flush '
                      f'{row["flush_lsn"]} apply 0/0"', said["print $walsnd((long)MyWalSnd)"], said["refused"])
        self.assertIn('"g_slot"', said["print $nameof((long)MyReplicationSlot + 24)"])
        self.assertIn('"16/28"', said["print $lsn(0x1600000028)"])
        self.assertIn('"2000-01-02T00:00:00+00:00"', said["print $timestamptz(86400000000)"])
        self.assertIn("$nameof: Cannot access memory at address 0x0", said["refused"])


@contextlib.contextmanager
def on_one_processor(server):
    """What is started meanwhile shares a processor with the new processes of the server."""
    before = os.sched_getaffinity(0)
    one = {min(before)}
    os.sched_setaffinity(server.pid, one)
    os.sched_setaffinity(0, one)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        os.sched_setaffinity(server.pid, before)


class Caught:
    """A session that `wait` catches, by name, before PostgresMain, and that is traced then if debug registers stop a process. It
    is a race, and on one processor the walsender loses it: `wait` goes first there. Where the host comes between nevertheless it
    is tried again."""

    def __init__(self):
        self.server, self.symbols = scene().server, scene().symbols
        self.file = space().file("start.jsonl")
        other = self.server.receivewal("g_other")
        self.server.wait_walsender("g_other")
        with on_one_processor(self.server):
            for self.tries in range(1, 11):
                self.name = f"g_start{self.tries}"
                self.catch()
                if self.is_in_time:
                    break
        other.stop()

    def catch(self):
        follow = f"walsender trace -o {self.file}" if debug_registers.stop_a_process() else "detach"
        waiting = start(space(), (self.server.program,), self.symbols,
                        f"walsender wait --postmaster {self.server.pid} --app {self.name} --timeout 60", "walsender status",
                        follow)
        wait_said(waiting, f"waits for a walsender of {self.name}")
        not_it = replication_client.connect(self.server, application="g_not_it")
        client = replication_client.connect(self.server, application=self.name)
        client.query("IDENTIFY_SYSTEM")
        client.leave()
        waiting.expect(0)
        not_it.query("IDENTIFY_SYSTEM")
        not_it.close()
        self.pid, self.said = client.pid, waiting.err
        self.is_in_time = f"attached to {client.pid}, which is before the entry of PostgresMain" in waiting.err


@once
def caught():
    return Caught()


class Wait(LiveTest):
    def test_wait_attaches_to_the_walsender_of_that_name_on_one_processor_before_postgresmain(self):
        self.assertTrue(caught().is_in_time, f"{caught().tries} tries: {caught().said}")


class Traced:
    """Sessions whose commands are known, traced by gdb and imported."""

    def __init__(self):
        self.server, self.symbols = scene().server, scene().symbols
        caught()
        self.start = self.recording("start")
        self.running()
        self.logical()
        self.backup()

    def recording(self, name):
        file = space().file(f"{name}.wst")
        space().run([walscope.binary(), "import", space().file(f"{name}.jsonl"), "-o", file])
        return file

    def running(self):
        """One that is followed from between its first command and its second one until Ctrl-C."""
        server = self.server
        client = replication_client.connect(server, application="g_traced")
        client.query("IDENTIFY_SYSTEM")
        tracer = start_trace(space(), client.pid, self.symbols, space().file("running.jsonl"))
        client.query("SHOW wal_level")
        client.query("IDENTIFY_SYSTEM")
        self.begin = server.value("select pg_current_wal_flush_lsn()")
        self.commands = ["SHOW wal_level", "IDENTIFY_SYSTEM", f"START_REPLICATION PHYSICAL {self.begin}"]
        client.start(self.commands[-1])
        server.wait_walsender("g_traced")
        self.until = server.write_wal(1)
        wait_for("all to be sent", lambda: server.value(
            f"select sent_lsn >= '{self.until}' from pg_stat_replication where application_name = 'g_traced'") == "t")
        self.status = tracer.stop()
        self.running_said = tracer.err
        server.sql("select pg_switch_wal()")
        self.pid, self.still = client.pid, int(server.wait_walsender("g_traced")["pid"])
        client.close()
        self.running = self.recording("running")

    def logical(self):
        """One that streams already, until its end."""
        server = self.server
        client = server.recvlogical("g_logical", "-F", "1", application="g_logi2")
        self.logical_pid = int(server.wait_walsender("g_logi2")["pid"])
        tracer = start_trace(space(), self.logical_pid, self.symbols, space().file("logical.jsonl"))
        server.write_wal(1)
        wait_for("all to be sent", lambda: server.value(
            "select sent_lsn >= pg_current_wal_flush_lsn() from pg_stat_replication where application_name = 'g_logi2'") == "t")
        self.logical_query = server.value(f"select query from pg_stat_activity where pid = {self.logical_pid}")
        client.stop()
        tracer.expect(0)
        self.logical = self.recording("logical")

    def backup(self):
        """One that is in a base backup, which then ends."""
        server = self.server
        client = replication_client.connect(server, application="g_back2")
        tracer = start_trace(space(), client.pid, self.symbols, space().file("backup.jsonl"))
        self.backup_command = server.base_backup("g")
        client.query(self.backup_command)
        client.leave()
        tracer.expect(0)
        self.backup_pid = client.pid
        self.backup = self.recording("backup")


@once
def traced():
    return Traced()


class Trace(LiveTest):
    def setUp(self):
        debug_registers.need(self)

    def history(self, file, pid):
        return [row for row in walscope.view(space(), "history", file) if row["pid"] == pid]

    def test_a_session_that_is_traced_from_its_start_has_it(self):
        self.assertIn("walsender trace: its start is traced", caught().said)
        session, = walscope.view(space(), "sessions", traced().start)
        self.assertEqual((session["pid"], session["application_name"], session["user"]),
                         (caught().pid, caught().name, "postgres"))
        self.assertEqual((session["exit"]["code"], session["lost"]), (0, 0))
        kinds = [event["event"] for event in walscope.view(space(), "trace", traced().start) if event["session"]]
        self.assertEqual(kinds, ["session", "ready", "command", "text", "command_end", "exit"])
        row, = self.history(traced().start, caught().pid)
        self.assertEqual((row["command"], row["outcome"]), ("IDENTIFY_SYSTEM", "ok"))

    def test_a_trace_imported_has_the_commands_that_were_run(self):
        found = self.history(traced().running, traced().pid)
        self.assertEqual([row["command"] for row in found], traced().commands)
        self.assertEqual([row["outcome"] for row in found[:2]], ["ok", "ok"])

    def test_a_trace_imported_has_the_positions_and_no_loss(self):
        events = walscope.view(space(), "trace", traced().running)
        turns = [event for event in events if event["event"] == "turn"]
        ends = [walscope.position(turn, "lsn") for turn in turns]
        self.assertGreaterEqual(max(ends), lsn(traced().until))
        self.assertEqual(ends, sorted(ends))
        streams = [event for event in events if event["event"] == "stream"]
        self.assertEqual([event["lsn"] for event in streams], [traced().begin])
        self.assertEqual([event["event"] for event in events if event["event"] in ("gap", "stop")], ["stop"])

    def test_ending_a_trace_lets_the_walsender_go_on_and_says_what_it_cost(self):
        self.assertEqual((traced().status, traced().still), (0, traced().pid))
        self.assertIn("walsender trace: its start is over, and not in the trace", traced().running_said)
        self.assertRegex(traced().running_said, r"the walsender runs on; [1-9]\d* stops in [\d.]+ s, .* us on average")

    def test_a_trace_of_a_logical_walsender_has_what_it_ran_when_it_began(self):
        session, = walscope.view(space(), "sessions", traced().logical)
        self.assertEqual((session["kind"], session["slot"], session["database"], session["exit"]["code"]),
                         ("logical", "g_logical", "postgres", 0))
        row, = self.history(traced().logical, traced().logical_pid)
        self.assertEqual(row["command"], traced().logical_query)

    def test_a_trace_of_a_base_backup_has_it_as_a_command(self):
        row, = self.history(traced().backup, traced().backup_pid)
        self.assertEqual((row["command"], row["kind"], row["outcome"]), (traced().backup_command, "BASE_BACKUP", "ok"))


class Refused(LiveTest):
    def refuse(self, name, *before):
        """gdb, told to trace, says why it does not, and leaves the walsender and a file that was there as they were."""
        server, file = scene().server, space().file(f"{name}.jsonl")
        with open(file, "w", encoding="ascii") as out:
            out.write("of an earlier trace\n")
        client = replication_client.connect(server, application=name)
        said = look(space(), ("-p", client.pid), scene().symbols, *before, "walsender session", f"walsender trace -o {file}",
                    "shell ps -o args= --ppid $PPID", "walsender session")
        self.assertEqual([line for line in said["refused"] if line.startswith("walsender trace")], [
            "walsender trace: this machine's debug registers can be set, but stop no process, as on some virtual machines: a trace "
            "would see nothing; use `walscope record`, which needs none"])
        self.assertEqual(shown(said["walsender session"])["application_name"], name)
        self.assertNotRegex(said["shell ps -o args= --ppid $PPID"], "tracer.py|defunct")
        with open(file, encoding="ascii") as out:
            self.assertEqual(out.read(), "of an earlier trace\n")
        client.query("IDENTIFY_SYSTEM")
        client.close()

    def test_debug_registers_that_stop_nobody_are_refused_in_a_line(self):
        debug_registers.need(self, that_stop=False)
        self.refuse("g_no_stop")

    def test_debug_registers_that_stop_nobody_are_refused_by_a_stand_in_for_the_proof(self):
        stand_in = space().file("stand_in.py")
        with open(stand_in, "w", encoding="utf-8") as out:
            out.write(f"import sys\nsys.path.insert(0, {os.path.dirname(SCRIPT)!r})\n"
                      "from walscope_gdb import ptrace, tracer\nptrace.registers_stop_a_process = lambda: False\ntracer.main()\n")
        self.refuse("g_stand_in", f"python from walscope_gdb import tracer; tracer.__file__ = {stand_in!r}")
