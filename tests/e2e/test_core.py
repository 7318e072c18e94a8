# SPDX-License-Identifier: BSD-2-Clause
"""walscope core: what a core dump, or a process's memory, tells of a walsender is what the server's views
said at that moment, what a recorder beside it had, and where gdb sees the process in the code."""

import os
import random
import re
import shutil
import signal
import subprocess

import walscope
from incident import WALSENDERS, Incident, gcore, lsn_or_null
from live import LiveTest, once, space


@once
def installed():
    return Incident()


class Core(LiveTest):
    incident = staticmethod(installed)

    def binary(self):
        return self.incident().server.program

    def assert_is_row(self, name, seen):
        """The session and its memory are what the views said, before and behind the dump."""
        it = self.incident()
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
                self.assert_is_row(name, self.incident().core(name))

    def test_memory_of_a_running_walsender_says_the_same(self):
        for name in WALSENDERS:
            with self.subTest(name):
                seen = self.incident().live[name]
                self.assert_is_row(name, seen)
                self.assertEqual(seen["session"], f"{self.incident().pids[name]}.{self.incident().ticks[name]}")
                self.assertIsNone(seen["backtrace"], "nobody asked to stop it")

    def test_its_slot_and_where_decoding_is(self):
        it = self.incident()
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
        it = self.incident()
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
        it = self.incident()
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
                    self.assertEqual(entry["client"], f"{row['host(client_addr)']}:{row['client_port']}")
                    self.assertEqual((entry["user_oid"], entry["database_oid"]), it.oids[client])
                    self.assertEqual((entry["user"], entry["database"]),
                                     (row["usename"], "postgres" if client == "logi" else None))
                    # That which the walsender's own dump or memory is told as.
                    own = it.live[client] if seen is it.live[name] else it.core(client)
                    self.assertEqual((entry["session"], entry["pid"]), (own["session"], own["pid"]))
        self.assertEqual([found[name]["slot"] for name in WALSENDERS], ["s_phys", "s_logi", None])
        self.assertEqual(it.core("sleeper")["application_name"], "sleeper")

    def test_the_backtrace_is_gdbs_and_has_names(self):
        expected = {"logi": ["XLogReadRecord", "XLogSendLogical", "WalSndLoop", "exec_replication_command",
                             "PostgresMain", "main"],
                    "back": ["perform_base_backup", "SendBaseBackup", "exec_replication_command"]}
        script = ("python\nf = gdb.newest_frame()\nwhile f:\n  if f.type() != gdb.INLINE_FRAME:\n"
                  "    print('pc', hex(f.pc()))\n  f = f.older()\nend\n")
        it = self.incident()
        sysroot = it.server.root[0] if it.server.root else "/"
        path = space().file("frames.gdb")
        with open(path, "w", encoding="ascii") as file:
            file.write(script)
        for name, functions in expected.items():
            seen = it.core(name)["backtrace"]
            done = subprocess.run(["gdb", "-batch", "-nx", "-iex", f"set sysroot {sysroot}", "-x", path, self.binary(),
                                   it.dumps[name]], capture_output=True, text=True, check=False)
            by_gdb = re.findall(r"^pc (0x[0-9a-f]+)", done.stdout, re.M)
            self.assertGreater(len(by_gdb), 5, done.stderr)
            self.assertEqual([frame["address"] for frame in seen][:len(by_gdb)], by_gdb, name)
            named = [frame["function"] for frame in seen]
            rest = iter(named)
            self.assertTrue(all(function in rest for function in functions), f"{name}: {named}")

    def test_the_stop_for_a_backtrace_is_short(self):
        it = self.incident()
        for seen in it.stopped:
            self.assertIn("WalSndLoop", [frame["function"] for frame in seen["backtrace"]])
        # By walscope's clock, which includes what asking for the stop takes; the best of some, as the
        # host may take the processor away; and by looking from outside.
        self.assertLess(min(seen["memory"]["stopped_ns"] for seen in it.stopped), 5e6)
        self.assertLess(it.longest_stop, 0.05)

    def test_sigkill_in_the_middle_of_a_backtrace_leaves_the_walsender_running(self):
        it = self.incident()
        self.assertEqual(it.after_kills, it.pids["phys"], "it is the same walsender that streams")

    def test_a_dump_as_a_recording_is_read_by_the_other_commands(self):
        it = self.incident()
        for name in WALSENDERS:
            file = space().file(f"core-{name}.wst")
            space().run([walscope.binary(), "core", it.dumps[name], "--postgres", self.binary(), "-o", file])
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
        self.assertIn("no walsender", self.refused(["core", it.dumps["postmaster"], "--postgres", self.binary(),
                                                    "-o", space().file("none.wst")]))
        self.assertFalse(os.path.exists(space().file("none.wst")))

    def test_a_dump_is_not_replaced_by_its_recording(self):
        dump = space().file("kept.core")
        os.link(self.incident().dumps["phys"], dump)
        size = os.path.getsize(dump)
        self.assertIn("-o names another file", self.refused(
            ["core", self.incident().dumps["phys"], "--postgres", self.binary(), "-o", dump]))
        self.assertEqual(os.path.getsize(dump), size)

    def test_the_dump_of_a_crash_says_so(self):
        it = self.incident()
        [seen] = walscope.view(space(), "core", it.crash_dump, "--postgres", self.binary())
        self.assertEqual(seen["ns_pid"], it.crash_pid)
        self.assertEqual(seen["application_name"], "crash")
        self.assertIn("WalSndLoop", [frame["function"] for frame in seen["backtrace"]])
        if it.by_kernel:
            self.assertEqual(seen["memory"]["signal"], "SIGSEGV")
            self.assertEqual((seen["exit"]["reason"], seen["exit"]["signal"]), ("killed", signal.SIGSEGV))

    def test_a_compressed_dump(self):
        whole = self.incident().core("phys")
        source = self.incident().dumps["phys"]
        packed = space().file("packed.zst")
        with open(packed, "wb") as out:
            subprocess.run(["zstd", "-q", "-1", "-c", source], stdout=out, check=True)
        os.utime(packed, ns=(os.stat(source).st_mtime_ns,) * 2)
        self.assertEqual(walscope.view(space(), "core", packed, "--postgres", self.binary())[0], whole)
        with open(packed, "r+b") as file:
            file.truncate(os.path.getsize(packed) // 2)
        self.assertIn(self.status(["core", packed, "--postgres", self.binary()]), (1, 3))

    def status(self, argv):
        """Exit status; a failure is one line and prints nothing."""
        process = space().start([walscope.binary(), *argv], name="status")
        seen = process.wait(20)
        if seen == 1:
            self.assert_one_line(process)
        return seen

    def test_cut_and_damaged_dumps(self):
        random.seed(6)
        source = self.incident().dumps["phys"]
        size = os.path.getsize(source)
        path = space().file("damaged.core")
        with open(source, "rb") as file:
            content = bytearray(file.read())
        for cut in (0, 1, 63, 64, 500, 4096, 20000, size // 50, size // 3, size // 2, size - size // 10):
            with open(path, "wb") as file:
                file.write(content[:cut])
            self.assertIn(self.status(["core", path, "--postgres", self.binary()]), (1, 3), cut)
        shutil.copyfile(source, path)
        notes = content.find(b"CORE\0")
        with open(path, "r+b") as file:
            for _ in range(30):
                at = random.choice((random.randrange(64), random.randrange(notes + 20000),
                                    notes + random.randrange(600)))
                file.seek(at)
                file.write(bytes([random.randrange(256)]))
                file.flush()
                self.assertIn(self.status(["core", path, "--postgres", self.binary(), "--json"]), (0, 1, 3), at)
                file.seek(at)
                file.write(content[at:at + 1])

    def test_of_another_server_or_of_none(self):
        it = self.incident()
        with open(self.binary(), "rb") as file:
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
            dump = gcore("sleep", sleeper.pid)
            self.assertIn("no PostgreSQL server", self.refused(["core", "--pid", str(sleeper.pid)]))
            sleeper.kill()
        self.assertIn("no PostgreSQL server", self.refused(["core", dump]))
        self.assertIn("no core dump", self.refused(["core", self.binary(), "--postgres", self.binary()]))
        self.assertIn("no core dump", self.refused(["core", "/etc/passwd"]))

    def test_the_server_is_found_by_the_dump(self):
        it = self.incident()
        if it.server.root:  # what it calls itself is in a mount namespace that is gone
            self.assertIn("is not here", self.refused(["core", it.dumps["logi"]]))
        else:
            self.assertEqual(walscope.view(space(), "core", it.dumps["logi"])[0], it.core("logi"))
