# SPDX-License-Identifier: BSD-2-Clause
"""scripts/gdb: what gdb tells of a walsender of a stripped server is what the server's views say, and what its trace
tells, imported, is what the client did."""

import os
import re
import subprocess

import replication_client
import walscope
from cluster import Server
from debugger import gdb, shown, start, start_trace, symbol_file
from live import LiveTest, no_wal_of_its_own, once, space, wait_caught_up
from processes import wait_for

POSITIONS = ("sent_lsn", "write_lsn", "flush_lsn", "replay_lsn")

# As xlogdefs.h, timestamp.h, c.h, stringinfo.h and walsender_private.h have them, as far as a printer looks at them.
TYPES = """
typedef unsigned long XLogRecPtr; typedef long TimestampTz;
typedef struct nameData { char data[64]; } NameData;
typedef struct StringInfoData { char *data; int len, maxlen, cursor; } StringInfoData;
typedef StringInfoData *StringInfo;
typedef enum { WALSNDSTATE_STARTUP, WALSNDSTATE_BACKUP, WALSNDSTATE_CATCHUP, WALSNDSTATE_STREAMING } WalSndState;
typedef struct WalSnd { int pid; WalSndState state; XLogRecPtr sentPtr, write, flush, apply; } WalSnd;
XLogRecPtr l = 0x16B374D848; TimestampTz ts = 1; NameData nm = {"slot_a"};
StringInfoData si = {"abc\\0def", 3, 1024, 0}; StringInfo sp = &si;
WalSnd w = {42, WALSNDSTATE_STREAMING, 0x100000010, 0x10, 0, 0};
int main(void) { return 0; }
"""


class Scene:
    """A walsender at rest: what the views say of it, and gdb's words on it, the postmaster and a core."""

    def __init__(self):
        self.server = server = Server(space(), "gdb", installation="installation-gdb").create().start()
        self.symbols = symbol_file(space(), server.program)
        server.sql("select pg_create_physical_replication_slot('g_slot')")
        client = server.receivewal("g_phys", "-S", "g_slot", "-s", "1")
        self.pid = int(server.wait_walsender("g_phys")["pid"])
        with no_wal_of_its_own(server):
            server.write_wal(1)
            wait_caught_up(server, "g_phys")
            self.row = wait_for("its reply", lambda: [
                row for row in server.walsenders("g_phys") if row["sent_lsn"] == row["write_lsn"]])[0]
            commands = ("walsender status", "walsender list", "walsender session")
            self.live = {name: gdb(space(), ("-p", self.pid), self.symbols, f"walsender {name}")
                         for name in ("status", "list", "session")}
            prefix = space().file("gdb-core")
            subprocess.run(["gcore", "-o", prefix, str(self.pid)], capture_output=True, check=True)
            core = f"{prefix}.{self.pid}"
            self.core = {command.split()[1]: gdb(space(), (server.program, core), self.symbols, command)
                         for command in commands}
            self.postmaster = {name: gdb(space(), ("-p", server.pid), self.symbols, f"walsender {name}")
                               for name in ("list", "trace")}
            self.numbers = gdb(space(), ("-p", self.pid), self.symbols, "print $lsn(0x1600000028)",
                               "print $timestamptz(86400000000)")
        self.after = server.wait_walsender("g_phys")
        client.stop()
        self.trace()

    def trace(self):
        """A session whose commands are known, followed from between its first and its second one."""
        server = self.server
        client = replication_client.connect(server, application="g_traced")
        client.query("IDENTIFY_SYSTEM")
        file = space().file("gdb.jsonl")
        tracer = start_trace(space(), client.pid, self.symbols, file)
        client.query("SHOW wal_level")
        client.query("IDENTIFY_SYSTEM")
        start = server.value("select pg_current_wal_flush_lsn()")
        self.commands = ["SHOW wal_level", "IDENTIFY_SYSTEM", f"START_REPLICATION PHYSICAL {start}"]
        client.start(self.commands[-1])
        server.wait_walsender("g_traced")
        self.start, self.until = start, server.write_wal(1)
        wait_for("all to be sent", lambda: server.value(
            f"select sent_lsn >= '{self.until}' from pg_stat_replication where application_name = 'g_traced'") == "t")
        self.status = tracer.stop()
        self.alive = os.path.exists(f"/proc/{client.pid}")
        server.sql("select pg_switch_wal()")
        self.still = server.wait_walsender("g_traced")
        self.traced, self.tracer = client.pid, tracer
        client.close()
        self.recording = space().file("gdb.wst")
        self.imported = space().run([walscope.binary(), "import", file, "-o", self.recording])


@once
def scene():
    return Scene()


class Gdb(LiveTest):
    def positions(self, out):
        found = shown(out)
        return [found[name] for name in ("sent_lsn", "write_lsn", "flush_lsn", "apply_lsn")]

    def expected(self):
        return [scene().row[name] or "-" for name in POSITIONS]

    def test_status_is_what_pg_stat_replication_says(self):
        for out, err in (scene().live["status"], scene().core["status"]):
            self.assertEqual(self.positions(out), self.expected(), err)
            found = shown(out)
            self.assertEqual((found["pid"], found["state"], found["slot"], found["pending_bytes"]),
                             (str(scene().pid), "streaming", "g_slot", "0"))
            self.assertRegex(found["command"], '^START_REPLICATION SLOT "g_slot"')

    def test_session_tells_who_it_is(self):
        for out, err in (scene().live["session"], scene().core["session"]):
            found = shown(out)
            self.assertEqual((found["user"], found["application_name"], found["client"], found["errors"]),
                             ("postgres", "g_phys", "127.0.0.1", "none"), err)

    def test_list_has_the_array_in_a_walsender_a_core_and_the_postmaster(self):
        row = scene().row
        wanted = [row["pid"], row["state"], *(row[name] or "-" for name in POSITIONS)]
        for out, err in (scene().live["list"], scene().core["list"], scene().postmaster["list"]):
            lines = [line.split() for line in out.splitlines() if re.match(r" +\d+ streaming", line)]
            self.assertEqual([line[:6] for line in lines], [wanted], err)

    def test_the_postmaster_is_not_traced(self):
        out, err = scene().postmaster["trace"]
        self.assertIn("this is the postmaster", out + err)

    def test_looking_ends_no_walsender(self):
        self.assertEqual(int(scene().after["pid"]), scene().pid)

    def test_wait_attaches_to_the_next_walsender_alone(self):
        server = scene().server
        other = server.receivewal("g_other")
        server.wait_walsender("g_other")
        symbols = scene().symbols
        waiting = start(space(), (server.program,), None, f"walsender wait --postmaster {server.pid} --timeout 30",
                        f'walsender symbols "{symbols}"', "walsender status")
        wait_for("gdb to wait", lambda: "waits for" in waiting.err, 30)
        client = replication_client.connect(server, application="g_next")
        waiting.expect(0)
        self.assertEqual(shown(waiting.out)["pid"], str(client.pid), waiting.err)
        client.query("IDENTIFY_SYSTEM")  # it goes on
        client.close()
        other.stop()

    def test_types_print_where_there_is_debug_information(self):
        program = space().file("types")
        subprocess.run(["gcc", "-g", "-x", "c", "-", "-o", program], input=TYPES, text=True, check=True)
        process = start(space(), (program,), None, *(f"print {name}" for name in ("l", "ts", "nm", "si", "sp", "w")))
        process.expect(0)
        self.assertEqual(re.findall(r"^\$\d+ = (.*)$", process.out, re.M), [
            "16/B374D848", "2000-01-01T00:00:00.000001+00:00", "slot_a", '"abc"', '"abc"',
            "WalSnd of 42: WALSNDSTATE_STREAMING, sentPtr 1/10 write 0/10 flush 0/0 apply 0/0"])

    def test_numbers_print_as_the_server_prints_them(self):
        out, err = scene().numbers
        self.assertIn('"16/28"', out, err)
        self.assertIn('"2000-01-02T00:00:00+00:00"', out, err)

    def test_a_trace_imported_has_the_commands_that_were_run(self):
        rows = [row for row in walscope.view(space(), "history", scene().recording) if row["pid"] == scene().traced]
        self.assertEqual([row["command"] for row in rows], scene().commands)
        self.assertEqual([row["outcome"] for row in rows[:2]], ["ok", "ok"])

    def test_a_trace_imported_has_the_positions_and_no_loss(self):
        events = walscope.view(space(), "trace", scene().recording)
        turns = [event for event in events if event["event"] == "turn"]
        ends = [walscope.position(turn, "lsn") for turn in turns]
        self.assertGreaterEqual(max(ends), walscope.lsn(scene().until))
        self.assertEqual(ends, sorted(ends))
        streams = [event for event in events if event["event"] == "stream"]
        self.assertEqual([event["lsn"] for event in streams], [scene().start])
        self.assertEqual([event["event"] for event in events if event["event"] in ("gap", "stop")], ["stop"])

    def test_ending_a_trace_lets_the_walsender_go_on(self):
        self.assertTrue(scene().alive)
        self.assertEqual(int(scene().still["pid"]), scene().traced)
