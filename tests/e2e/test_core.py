# SPDX-License-Identifier: BSD-2-Clause
"""walscope core: what a core dump, or a process's memory, tells of a walsender is what the server's views
said at that moment, what a recorder beside it had, and where gdb sees the process in the code."""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import threading
import time

import walscope
from cluster import Server, find_server
from live import LiveTest, no_wal_of_its_own, once, recording, space, wait_caught_up, wait_gone
from processes import Failure, start_ticks, stat_fields, wait_for

WALSENDERS = ("phys", "logi", "back")
_COLUMNS = ("application_name", "pid", "usename", "host(client_addr)", "client_port", "state", "sent_lsn",
            "write_lsn", "flush_lsn", "replay_lsn", "sync_priority")


def _views(server):
    """Rows of pg_stat_replication by application, and of pg_replication_slots by name."""
    rows = server.sql(f"select {', '.join(_COLUMNS)} from pg_stat_replication")
    slots = server.sql("select slot_name, restart_lsn, confirmed_flush_lsn from pg_replication_slots")
    return {row[0]: dict(zip(_COLUMNS, row)) for row in rows}, {row[0]: row[1:] for row in slots}


def _gcore(name, pid):
    """A dump of a process by gdb, which lets it go on."""
    prefix = space().file(f"gcore-{name}")
    done = subprocess.run(["gcore", "-o", prefix, str(pid)], capture_output=True, text=True, check=False)
    path = f"{prefix}.{pid}"
    if not os.path.exists(path):
        raise Failure(f"gcore of {name} made no dump: {done.stdout} {done.stderr}")
    return path


class _Incident:
    """A server with a walsender of each kind, at rest; dumps of its processes; then one crashes."""

    def __init__(self):
        # What a process may dump is inherited from here, and may be raised to the limit by anybody.
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        try:
            self.server = Server(space(), "core").create().start()
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
        server = self.server
        server.sql("select pg_create_physical_replication_slot('s_phys')")
        server.create_logical_slot("s_logi")
        with recording(server) as self.record, no_wal_of_its_own(server), contextlib.ExitStack() as stack:
            for client in (server.receivewal("phys", "-S", "s_phys", "-s", "1"),
                           server.recvlogical("s_logi", "-F", "1", "-s", "1", application="logi")):
                stack.callback(client.stop)
            server.wait_walsender("phys")
            server.wait_walsender("logi")
            server.write_wal(2)
            stack.callback(server.basebackup("back", "-r", "100k", "-X", "none").stop)
            server.wait_walsender("back", "backup")
            sleeper = server.start_program(
                ["psql", "-X", "-q", "-d", server.conninfo(application="sleeper", database="postgres"), "-c",
                 "select pg_sleep(1000)"], name="sleeper")
            stack.callback(sleeper.stop)
            self._look()
            self._dump()
            self.after = _views(server)
            self._take_live()
            self.record.end()
        self._crash()

    def _look(self):
        server = self.server
        wait_caught_up(server, "phys")
        wait_for("the last replies", lambda: all(
            row["sent_lsn"] == row["write_lsn"] == row["flush_lsn"] for row in server.walsenders()
            if row["application_name"] == "logi"))
        time.sleep(1.2)
        self.rows, self.slots = _views(server)
        self.queries = {row[0]: row[1] for row in server.sql(
            "select application_name, query from pg_stat_activity where application_name <> ''")}
        self.pids = {name: int(row["pid"]) for name, row in self.rows.items()}
        self.pids["sleeper"] = int(wait_for("the sleeper", lambda: server.value(
            "select pid from pg_stat_activity where application_name = 'sleeper'")))
        self.pids["postmaster"] = server.pid
        self.ticks = {name: start_ticks(pid) for name, pid in self.pids.items()}

    def _dump(self):
        self.dumps = {name: _gcore(name, pid) for name, pid in self.pids.items()}

    def _take_live(self):
        self.live = {name: walscope.view(space(), "core", "--pid", str(self.pids[name]))[0]
                     for name in self.pids}
        watch = _Watch(self.pids["phys"])
        self.stopped = [walscope.view(space(), "core", "--pid", str(self.pids["phys"]), "--backtrace")[0]
                        for _ in range(5)]
        self.longest_stop = watch.end()
        self.kills = self._kill_in_the_middle()

    def _kill_in_the_middle(self):
        """SIGKILL at moments all over the time that it takes; how the walsender is afterwards."""
        pid = self.pids["phys"]
        argv = [walscope.binary(), "core", "--pid", str(pid), "--backtrace"]
        begin = time.monotonic()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
        takes = time.monotonic() - begin
        seen = []
        for i in range(20):
            with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
                time.sleep(takes * i / 20)
                process.kill()
            wait_for("the walsender to sleep again", lambda: stat_fields(pid)[0] not in "tT", 5)
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                seen.append(re.search(r"^TracerPid:\s*(\d+)", status.read(), re.M)[1])
        row = self.server.wait_walsender("phys")
        return seen, int(row["pid"])

    def _crash(self):
        """A walsender dies of SIGSEGV, and the server with it; the kernel dumps it, if it is told to."""
        receiver = self.server.receivewal("crash")
        row = self.server.wait_walsender("crash")
        self.crash_pid = int(row["pid"])
        ticks = start_ticks(self.crash_pid)
        with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
            by_kernel = "/" not in file.read().strip().lstrip("|") and resource.getrlimit(
                resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY
        self.crash_dump = None if by_kernel else _gcore("crash", self.crash_pid)
        os.kill(self.crash_pid, signal.SIGSEGV)
        wait_gone(self.crash_pid, ticks)
        if by_kernel:
            folder = os.path.join(self.server.dir, "data")
            found = [name for name in os.listdir(folder) if name.startswith("core")]
            self.crash_dump = shutil.copy2(os.path.join(folder, found[0]), space().file("kernel.core"))
        self.by_kernel = by_kernel
        receiver.stop()
        self.server.stop()

    def core(self, name):
        return walscope.view(space(), "core", self.dumps[name], "--postgres", binary())[0]


class _Watch:
    """The longest stretch for which a process was seen stopped by a tracer, by looking all the time."""

    def __init__(self, pid):
        self._pid, self._over, self._longest = pid, False, 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        since = None
        while not self._over:
            now = time.monotonic()
            if stat_fields(self._pid)[0] in "tT":
                since = since or now
                self._longest = max(self._longest, now - since)
            else:
                since = None

    def end(self):
        self._over = True
        self._thread.join()
        return self._longest


def binary():
    return f"{find_server()[0]}/postgres"


@once
def incident():
    return _Incident()


def lsn_or_null(text):
    return text if text and text != "0/0" else None


class Core(LiveTest):
    def assert_is_row(self, name, seen):
        """The session and its memory are what the views said, before and behind the dump."""
        it = incident()
        row = it.rows[name]
        if name != "back":
            self.assertEqual(it.after[0][name], row, "the server was not at rest")
        self.assertEqual(seen["ns_pid"], int(row["pid"]))
        self.assertEqual(seen["user"], row["usename"])
        self.assertEqual(seen["application_name"], name)
        self.assertEqual(seen["client"], f"{row['host(client_addr)']}:{row['client_port']}")
        self.assertEqual(seen["database"], "postgres" if name == "logi" else None)
        memory = seen["memory"]
        self.assertEqual(memory["walsender_state"], row["state"])
        for view, key in (("sent_lsn", "sent_lsn"), ("write_lsn", "write_lsn"), ("flush_lsn", "flush_lsn"),
                          ("replay_lsn", "apply_lsn")):
            self.assertEqual(lsn_or_null(memory[key]), row[view] or None, f"{name} {key}")
        self.assertEqual(memory["sync_priority"], int(row["sync_priority"] or 0))
        self.assertEqual([entry["command"] for entry in seen["commands"]], [it.queries[name]])

    def test_a_dump_says_of_a_walsender_what_the_views_said(self):
        for name in WALSENDERS:
            with self.subTest(name):
                self.assert_is_row(name, incident().core(name))

    def test_memory_of_a_running_walsender_says_the_same(self):
        for name in WALSENDERS:
            with self.subTest(name):
                seen = incident().live[name]
                self.assert_is_row(name, seen)
                self.assertEqual(seen["session"], f"{incident().pids[name]}.{incident().ticks[name]}")
                self.assertIsNone(seen["backtrace"], "nobody asked to stop it")

    def test_its_slot_and_where_decoding_is(self):
        it = incident()
        for name, slot in (("phys", "s_phys"), ("logi", "s_logi")):
            seen = it.core(name)
            memory = seen["memory"]
            self.assertEqual(it.after[1][slot], it.slots[slot], "the server was not at rest")
            restart, confirmed = it.slots[slot]
            self.assertEqual((seen["slot"], memory["slot"]), (slot, slot))
            self.assertEqual(memory["slot_restart_lsn"], restart)
            self.assertEqual(memory.get("slot_confirmed_flush_lsn"), confirmed or None)
        # It has caught up: what it has decoded is what it has sent.
        self.assertEqual(memory["decoding_lsn"], it.rows["logi"]["sent_lsn"])

    def test_a_dump_says_what_the_recorder_beside_it_had(self):
        it = incident()
        for name in WALSENDERS:
            recorded, seen = it.record.session(it.pids[name]), it.core(name)
            for key in ("ns_pid", "kind", "user", "database", "application_name", "client", "slot", "tls",
                        "replication"):
                self.assertEqual(seen[key], recorded[key], f"{name} {key}")
            history = [entry["command"] for entry in it.record.history(it.pids[name])]
            self.assertEqual(seen["commands"][0]["command"], history[-1])
            # gdb stopped it meanwhile, which the recorder saw and the walsender itself did not.
            at = [entry for entry in it.record.timeline(it.pids[name]) if entry["state"] != "stopped"
                  and walscope.seconds(entry["start"]) <= walscope.seconds(seen["memory"]["at"])]
            if name != "back":
                self.assertEqual(seen["state"], at[-1]["state"])
                self.assertEqual(seen["memory"]["sent_lsn"], at[-1]["lsn_to"])
            # The server notes its start a moment behind the fork.
            self.assertAlmostEqual(walscope.seconds(seen["start"]), walscope.seconds(recorded["start"]),
                                   delta=1)

    def test_a_backend_and_the_postmaster_know_all_walsenders(self):
        it = incident()
        for name, process in (("sleeper", "backend"), ("postmaster", "postmaster")):
            for seen in (it.core(name), it.live[name]):
                self.assertEqual(seen["memory"]["process"], process)
                found = {entry["application_name"]: entry for entry in seen["walsenders"]}
                self.assertEqual(sorted(found), sorted(WALSENDERS))
                for client, row in it.rows.items():
                    entry = found[client]
                    self.assertEqual(entry["ns_pid"], int(row["pid"]))
                    self.assertEqual(entry["state"], row["state"])
                    self.assertEqual(entry["sent_lsn"], lsn_or_null(row["sent_lsn"]))
                    self.assertEqual(entry["flush_lsn"], lsn_or_null(row["flush_lsn"]))
                    self.assertEqual(entry["command"], it.queries[client])
        self.assertEqual([found[name]["slot"] for name in WALSENDERS], ["s_phys", "s_logi", None])
        self.assertEqual(it.core("sleeper")["application_name"], "sleeper")

    def test_the_backtrace_is_gdbs_and_has_names(self):
        expected = {"logi": ["XLogReadRecord", "XLogSendLogical", "WalSndLoop", "exec_replication_command",
                             "PostgresMain", "main"],
                    "back": ["perform_base_backup", "SendBaseBackup", "exec_replication_command"]}
        script = ("python\nf = gdb.newest_frame()\nwhile f:\n  print('pc', hex(f.pc()))\n  f = f.older()\nend\n")
        path = space().file("frames.gdb")
        with open(path, "w", encoding="ascii") as file:
            file.write(script)
        for name, functions in expected.items():
            seen = incident().core(name)["backtrace"]
            done = subprocess.run(["gdb", "-batch", "-nx", "-x", path, binary(), incident().dumps[name]],
                                  capture_output=True, text=True, check=False)
            by_gdb = re.findall(r"^pc (0x[0-9a-f]+)", done.stdout, re.M)
            self.assertGreater(len(by_gdb), 5, done.stderr)
            self.assertEqual([frame["address"] for frame in seen][:len(by_gdb)], by_gdb, name)
            named = [frame["function"] for frame in seen]
            rest = iter(named)
            self.assertTrue(all(function in rest for function in functions), f"{name}: {named}")

    def test_the_stop_for_a_backtrace_is_short(self):
        it = incident()
        for seen in it.stopped:
            self.assertIn("WalSndLoop", [frame["function"] for frame in seen["backtrace"]])
        # By walscope's clock, which includes what asking for the stop takes; the best of some, as the
        # host may take the processor away; and by looking from outside.
        self.assertLess(min(seen["memory"]["stopped_ns"] for seen in it.stopped), 5e6)
        self.assertLess(it.longest_stop, 0.05)

    def test_sigkill_in_the_middle_of_a_backtrace_leaves_the_walsender_running(self):
        tracers, pid = incident().kills
        self.assertEqual(set(tracers), {"0"})
        self.assertEqual(pid, incident().pids["phys"], "it is the same walsender that streams")

    def test_a_dump_as_a_recording_is_read_by_the_other_commands(self):
        it = incident()
        for name in WALSENDERS:
            file = space().file(f"core-{name}.wst")
            space().run([walscope.binary(), "core", it.dumps[name], "--postgres", binary(), "-o", file])
            seen = it.core(name)
            [session] = walscope.view(space(), "sessions", file)
            for key in ("session", "pid", "kind", "user", "database", "application_name", "client", "slot",
                        "start", "exit"):
                self.assertEqual(session[key], seen[key], f"{name} {key}")
            history = walscope.view(space(), "history", file)
            self.assertEqual([entry["command"] for entry in history], [it.queries[name]])
            [shown] = walscope.view(space(), "show", file, "--session", seen["session"])
            self.assertEqual(shown["last"], seen["last"])
            self.assertEqual(shown["commands"], seen["commands"])
        self.assertIn("no walsender", self.refused(["core", it.dumps["postmaster"], "--postgres", binary(),
                                                    "-o", space().file("none.wst")]))
        self.assertFalse(os.path.exists(space().file("none.wst")))

    def test_the_dump_of_a_crash_says_so(self):
        it = incident()
        [seen] = walscope.view(space(), "core", it.crash_dump, "--postgres", binary())
        self.assertEqual(seen["ns_pid"], it.crash_pid)
        self.assertEqual(seen["application_name"], "crash")
        self.assertIn("WalSndLoop", [frame["function"] for frame in seen["backtrace"]])
        if it.by_kernel:
            self.assertEqual(seen["memory"]["signal"], "SIGSEGV")
            self.assertEqual((seen["exit"]["reason"], seen["exit"]["signal"]), ("killed", signal.SIGSEGV))

    def test_a_compressed_dump(self):
        whole = incident().core("phys")
        source = incident().dumps["phys"]
        packed = space().file("packed.zst")
        with open(packed, "wb") as out:
            subprocess.run(["zstd", "-q", "-1", "-c", source], stdout=out, check=True)
        os.utime(packed, ns=(os.stat(source).st_mtime_ns,) * 2)
        self.assertEqual(walscope.view(space(), "core", packed, "--postgres", binary())[0], whole)
        with open(packed, "r+b") as file:
            file.truncate(os.path.getsize(packed) // 2)
        self.assertIn(self.status(["core", packed, "--postgres", binary()]), (1, 3))

    def status(self, argv):
        """Exit status; a failure is one line and prints nothing."""
        process = space().start([walscope.binary(), *argv], name="status")
        seen = process.wait(20)
        if seen == 1:
            self.assert_one_line(process)
        return seen

    def test_cut_and_damaged_dumps(self):
        random.seed(6)
        source = incident().dumps["phys"]
        size = os.path.getsize(source)
        path = space().file("damaged.core")
        with open(source, "rb") as file:
            content = bytearray(file.read())
        for cut in (0, 1, 63, 64, 500, 4096, 20000, size // 50, size // 3, size // 2, size - size // 10):
            with open(path, "wb") as file:
                file.write(content[:cut])
            self.assertIn(self.status(["core", path, "--postgres", binary()]), (1, 3), cut)
        shutil.copyfile(source, path)
        notes = content.find(b"CORE\0")
        with open(path, "r+b") as file:
            for _ in range(30):
                at = random.choice((random.randrange(64), random.randrange(notes + 20000),
                                    notes + random.randrange(600)))
                file.seek(at)
                file.write(bytes([random.randrange(256)]))
                file.flush()
                self.assertIn(self.status(["core", path, "--postgres", binary(), "--json"]), (0, 1, 3), at)
                file.seek(at)
                file.write(content[at:at + 1])

    def test_of_another_server_or_of_none(self):
        it = incident()
        with open(binary(), "rb") as file:
            content = file.read()
        build_id = it.core("phys")["memory"]["build_id"]
        at = content.index(bytes.fromhex(build_id))
        other = space().file("other-postgres")
        with open(other, "wb") as file:
            file.write(content[:at] + bytes([content[at] ^ 0xff]) + content[at + 1:])
        line = self.refused(["core", it.dumps["phys"], "--postgres", other])
        self.assertIn(build_id, line)
        self.assertIn(f"{content[at] ^ 0xff:02x}{build_id[2:]}", line)
        self.assertIn("no PostgreSQL server", self.refused(["core", it.dumps["phys"], "--postgres", "/bin/true"]))
        with subprocess.Popen(["sleep", "1000"]) as sleeper:
            dump = _gcore("sleep", sleeper.pid)
            self.assertIn("no PostgreSQL server", self.refused(["core", "--pid", str(sleeper.pid)]))
            sleeper.kill()
        self.assertIn("no PostgreSQL server", self.refused(["core", dump]))
        self.assertIn("no core dump", self.refused(["core", binary(), "--postgres", binary()]))
        self.assertIn("no core dump", self.refused(["core", "/etc/passwd"]))

    def test_the_server_is_found_by_the_dump(self):
        self.assertEqual(walscope.view(space(), "core", incident().dumps["logi"])[0], incident().core("logi"))
