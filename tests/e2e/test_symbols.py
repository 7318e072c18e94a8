# SPDX-License-Identifier: BSD-2-Clause
"""walscope symbols: its JSON, against what readelf says, and its symbol file, in gdb, bpftrace and perf."""

import os
import re
import shutil
import signal
import stat

import walscope
from cluster import Server
from live import LiveTest, once, space, walsender_pids
from processes import Failure, wait_for

STATUS = {"found", "inlined", "absent", "unknown"}
SOURCES = {"symtab", "dynsym", "dwarf", "debuglink", "minidebuginfo", "debuginfod", "recovered"}
COSTS = {"emulated", "nop5", "stepped"}
HEX = re.compile(r"0x[0-9a-f]+")


@once
def traced():
    """A server that nothing else looks at, with a client that streams."""
    server = Server(space(), "symbols", installation="installation-symbols").create().start()
    server.receivewal("sym_receivewal")
    server.wait_walsender("sym_receivewal")
    return server


def walsender(server):
    return walsender_pids(server, "sym_receivewal")[-1]


@once
def report():
    entry, = walscope.view(space(), "symbols", traced().program)
    return entry


@once
def symbol_file():
    path = space().file("postgres.sym")
    space().run([walscope.binary(), "symbols", traced().program, "--elf", path], name="symbols-elf")
    return path


def needed(program):
    if not shutil.which(program):
        raise Failure(f"{program} is not installed: run scripts/setup")
    return program


def as_debug_file(argv):
    """Runs a program in a mount namespace of its own, in which the symbol file is the server's debug file."""
    build_id = report()["build_id"]
    folder = f"/usr/lib/debug/.build-id/{build_id[:2]}"
    script = ('mount -t tmpfs none /usr/lib/debug && mkdir -p "$1" && cp "$2" "$1/$3.debug" && '
              'mount -t tracefs tracefs /sys/kernel/tracing && shift 3 && exec "$@"')
    return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", folder, symbol_file(),
            build_id[2:], *argv]


def readelf(*words):
    return space().run([needed("readelf"), "-W", *words], name="readelf").out


class Symbols(LiveTest):
    # -- JSON

    def test_the_object_has_the_fields_of_the_contract(self):
        entry = report()
        for field in "file build_id arch version major stripped resolve_ms symbols".split():
            self.assertIn(field, entry)
        self.assertEqual(entry["file"], traced().program)
        self.assertEqual(entry["major"], int(traced().major))
        self.assertIn(f"PostgreSQL) {entry['version']} ",
                      space().run([traced().program, "--version"], name="version").out.replace("\n", " "))
        self.assertIn(f"Build ID: {entry['build_id']}", readelf("-n", traced().program))
        self.assertEqual(entry["stripped"], ".symtab" not in readelf("-S", traced().program))

    def test_symbols_have_the_fields_and_values_of_the_contract(self):
        for symbol in report()["symbols"]:
            for field in "name status address offset source confidence into site".split():
                self.assertIn(field, symbol)
            self.assertIn(symbol["status"], STATUS)
            self.assertIsInstance(symbol["into"], list)
            if symbol["status"] != "found":
                self.assertIsNone(symbol["address"])
                self.assertIsNone(symbol["site"])
                continue
            self.assertRegex(symbol["address"], HEX)
            self.assertIn(symbol["source"], SOURCES)
            self.assertGreater(symbol["confidence"], 0)
            self.assertLessEqual(symbol["confidence"], 1)
            if symbol["site"]:
                self.assertRegex(symbol["site"]["offset"], HEX)
                self.assertIn(symbol["site"]["cost"], COSTS)
                self.assertTrue(symbol["site"]["instruction"])

    def test_exported_functions_are_where_readelf_has_them(self):
        exported = {}
        for value, name in re.findall(r"^ *\d+: ([0-9a-f]+) .* (?:FUNC|OBJECT) .* (\w+)$",
                                      readelf("--dyn-syms", traced().program), re.M):
            exported.setdefault(name, set()).add(int(value, 16))
        seen = 0
        for symbol in report()["symbols"]:
            if symbol["source"] != "dynsym" or symbol["status"] != "found":
                continue
            self.assertIn(int(symbol["address"], 16), exported[symbol["name"]], symbol["name"])
            seen += 1
        self.assertGreater(seen, 20)

    def test_the_wanted_functions_are_found(self):
        status = {symbol["name"]: symbol["status"] for symbol in report()["symbols"]}
        for name in ("PostgresMain", "exec_replication_command", "WalSndLoop", "XLogSendPhysical", "XLogSendLogical"):
            self.assertEqual(status[name], "found", name)

    # -- the symbol file

    def test_the_symbol_file_can_be_read_by_all_and_has_the_build_id(self):
        mode = os.stat(symbol_file()).st_mode
        self.assertTrue(stat.S_ISREG(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o644)
        self.assertIn(f"Build ID: {report()['build_id']}", readelf("-n", symbol_file()))
        loop, = re.findall(r"([0-9a-f]+) +(\d+) FUNC .* WalSndLoop$", readelf("-s", symbol_file()), re.M)
        wanted, = (symbol for symbol in report()["symbols"] if symbol["name"] == "WalSndLoop")
        self.assertEqual(int(loop[0], 16), int(wanted["address"], 16))
        self.assertGreater(int(loop[1]), 100)

    def test_only_a_regular_file_is_replaced(self):
        link = space().file("link.sym")
        os.symlink(symbol_file(), link)
        for target in (link, "/dev/null", space().dir, traced().program):
            process = space().run([walscope.binary(), "symbols", traced().program, "--elf", target], status=1,
                                  name="refused")
            self.assertEqual(len(process.err.splitlines()), 1, process.err)
            self.assertIn("cannot write symbol file", process.err)
        self.assertTrue(os.path.islink(link))

    def test_what_is_no_server_is_one_line_and_status_1(self):
        process = space().run([walscope.binary(), "symbols", "/bin/ls"], status=1, name="no-server")
        self.assertEqual(process.out, "")
        self.assertEqual(len(process.err.splitlines()), 1, process.err)
        self.assertIn("no PostgreSQL server", process.err)

    # -- other programs

    def test_gdb_stops_in_a_static_function_and_leaves(self):
        server = traced()
        pid = walsender(server)
        commands = ["break XLogSendPhysical", "echo ready\\n", "continue", "backtrace 3", "delete", "detach"]
        process = space().start([needed("gdb"), "-nx", "-batch", "-e", server.program, "-s", symbol_file(),
                                 "-p", str(pid), *(word for command in commands for word in ("-ex", command))],
                                name="gdb", stop=signal.SIGTERM)
        try:
            wait_for("gdb to wait for the breakpoint", lambda: "ready" in process.out, 60)
            server.write_wal(1)
            process.expect(0, 60)
        finally:
            process.close()
        self.assertRegex(process.out, r"Breakpoint 1, 0x[0-9a-f]+ in XLogSendPhysical \(\)")
        self.assertRegex(process.out, r"#1 +0x[0-9a-f]+ in WalSndLoop \(\)")
        self.assertRegex(process.out, r"#2 +0x[0-9a-f]+ in (exec_replication_command|StartReplication)")
        self.assertEqual(server.wait_walsender("sym_receivewal")["pid"], str(pid), "the same walsender goes on")
        self.assertEqual(server.value("select 1"), "1")

    def test_bpftrace_finds_a_static_function(self):
        server = traced()
        pid = walsender(server)
        process = space().start(
            as_debug_file([needed("bpftrace"), "-e",
                           f"uprobe:{server.program}:XLogSendPhysical {{ @hits[pid] = count(); }} "
                           'interval:ms:100 { printf("tick\\n"); }']),
            name="bpftrace", stop=signal.SIGINT)
        try:
            wait_for("bpftrace to attach", lambda: "tick" in process.out, 60)
            server.write_wal(1)
            process.signal(signal.SIGINT)
            process.expect(0, 30)
        finally:
            process.close()
        hits = {int(key): int(count) for key, count in re.findall(r"@hits\[(\d+)\]: (\d+)", process.out)}
        self.assertEqual(set(hits), {pid}, process.out)

    def test_gdb_takes_it_for_the_debug_file_of_the_server(self):
        process = space().run(as_debug_file([needed("gdb"), "-nx", "-batch", "-ex", "info address WalSndLoop",
                                             "-ex", "info symbol PostgresMain", traced().program]), name="gdb-debug")
        address, = (symbol["address"] for symbol in report()["symbols"] if symbol["name"] == "WalSndLoop")
        self.assertIn(f'Symbol "WalSndLoop" is at {address} in a file compiled without debugging', process.out)
        self.assertIn("PostgresMain in section .text", process.out)

    def test_perf_names_a_static_function(self):
        server = traced()
        client = server.receivewal("sym_perf")
        pid = int(server.wait_walsender("sym_perf")["pid"])
        wanted, = (symbol for symbol in report()["symbols"] if symbol["name"] == "XLogSendPhysical")
        data, name = space().file("perf.data"), f"walscope_sym_{os.getpid()}"
        events = "/sys/kernel/tracing/uprobe_events"
        script = (f'echo "p:{name}/send {server.program}:{wanted["offset"]}" >>{events} && '
                  f'{{ perf record -q -N -e {name}:send -o "{data}" -p {pid} sleep 2; }}; '
                  f'echo "-:{name}/send" >>{events}')
        needed("perf")
        process = space().start(as_debug_file(["/bin/sh", "-c", script]), name="perf-record", stop=signal.SIGTERM)
        try:
            wait_for("perf to record", lambda: os.path.exists(data), 30)
            wait_for("its end", lambda: (server.write_wal(1), not process.running)[1], 30, every=0.5)
            process.expect(0, 30)
        finally:
            process.close()
        # Of a process that runs perf looks at the debug files of its mount namespace, which are the host's.
        client.stop()
        wait_for("the walsender to end", lambda: not os.path.exists(f"/proc/{pid}"))
        process = space().run(as_debug_file(["perf", "script", "-i", data, "-F", "ip,sym"]), name="perf-script")
        self.assertEqual(set(re.findall(r"^ *[0-9a-f]+ (.+)$", process.out, re.M)), {"XLogSendPhysical"})
