# SPDX-License-Identifier: BSD-2-Clause
"""walscope core of processes of Debian's 15 for aarch64, which qemu's user mode runs: what their dumps tell is what
the server's views said. qemu writes the dumps, with less in them than the kernel puts into its own: neither code nor
which files were mapped."""

import glob
import os
import resource
import signal
import time

import installation
import walscope
from archive import Archive
from cluster import Server
from incident import lsn_or_null, views
from live import LiveTest, no_wal_of_its_own, once, space, wait_caught_up, wait_gone
from processes import start_ticks, wait_for

MAJOR = 15


@once
def emulator():
    archive = Archive(space(), "bookworm", folder=space().folder("archive-qemu"))
    return archive.unpack("qemu-user-static", archive.newest("qemu-user-static")) + "/usr/bin/qemu-aarch64-static"


class Emulated(Server):
    """Its files are those that this machine's programs made: the two processors have them alike."""

    def launch(self):
        foreign = installation.packaged(MAJOR, "arm64")
        self.program = foreign.path(f"{foreign.bin}/postgres")
        return self.space.start([emulator(), f"{foreign.bin}/postgres", "-D", self.data], name=self.name, user=self.user,
                                cwd=self.dir, stop=signal.SIGQUIT, root=foreign.enter(self.space.dir))


class _Incident:
    """A walsender of two kinds and a backend, all of which end by SIGABRT."""

    def __init__(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        try:
            self.server = server = Emulated(space(), "arm64").create().start(timeout=180)
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
        server.sql("select pg_create_physical_replication_slot('s_phys')")
        server.create_logical_slot("s_logi")
        with no_wal_of_its_own(server):
            clients = [server.receivewal("phys", "-S", "s_phys", "-s", "1"),
                       server.recvlogical("s_logi", "-F", "1", "-s", "1", application="logi"),
                       server.start_program(["psql", "-X", "-q", "-d", server.conninfo("sleeper", "postgres"), "-c",
                                             "select pg_sleep(1000)"], name="sleeper")]
            server.wait_walsender("phys", timeout=120)
            server.wait_walsender("logi", timeout=120)
            server.write_wal(1)
            wait_caught_up(server, "phys")
            wait_for("the last replies", lambda: all(
                row["sent_lsn"] == row["write_lsn"] == row["flush_lsn"] for row in server.walsenders("logi")), 60)
            time.sleep(2)
            self.rows, self.slots = views(server)
            pids = {name: int(row["pid"]) for name, row in self.rows.items()}
            pids["sleeper"] = int(wait_for("the sleeper", lambda: server.value(
                "select pid from pg_stat_activity where application_name = 'sleeper'")))
        ticks = {pid: start_ticks(pid) for pid in pids.values()}
        for pid in ticks:
            os.kill(pid, signal.SIGABRT)
        for pid, start in ticks.items():
            wait_gone(pid, start)
        self.dumps = {name: glob.glob(f"{server.data}/qemu_postgres_*_{pid}.core")[0] for name, pid in pids.items()}
        server.stop(signal.SIGQUIT)
        for client in clients:
            client.stop()

    def core(self, name):
        return walscope.view(space(), "core", self.dumps[name], "--postgres", self.server.program)[0]


@once
def incident():
    return _Incident()


class CoreArm64(LiveTest):
    limit_s = 600

    def test_a_dump_says_of_a_walsender_what_the_views_said(self):
        it = incident()
        for name, slot in (("phys", "s_phys"), ("logi", "s_logi")):
            row, seen = it.rows[name], it.core(name)
            self.assertEqual((seen["ns_pid"], seen["user"], seen["application_name"], seen["slot"]),
                             (int(row["pid"]), row["usename"], name, slot))
            self.assertEqual(seen["client"], f"{row['host(client_addr)']}:{row['client_port']}")
            memory = seen["memory"]
            self.assertEqual(memory["walsender_state"], row["state"])
            for view, key in (("sent_lsn", "sent_lsn"), ("write_lsn", "write_lsn"), ("flush_lsn", "flush_lsn")):
                self.assertEqual(lsn_or_null(memory[key]), row[view] or None, f"{name} {key}")
            self.assertEqual(memory["slot_restart_lsn"], it.slots[slot][0])
            self.assertEqual(memory["signal"], "SIGABRT")
        self.assertEqual(memory["decoding_lsn"], row["sent_lsn"])

    def test_the_backtrace_has_names_without_the_c_library(self):
        expected = {"logi": ["WaitEventSetWait", "WalSndWait", "logical_read_xlog_page", "XLogReadRecord", "XLogSendLogical",
                             "WalSndLoop", "exec_replication_command", "PostgresMain", "PostmasterMain", "main"],
                    "phys": ["WaitEventSetWait", "WalSndWait", "WalSndLoop", "exec_replication_command", "PostgresMain",
                             "PostmasterMain", "main"]}
        for name, functions in expected.items():
            named = [frame["function"] for frame in incident().core(name)["backtrace"]]
            rest = iter(named)
            self.assertTrue(all(function in rest for function in functions), f"{name}: {named}")

    def test_a_backend_knows_the_walsenders(self):
        it = incident()
        seen = it.core("sleeper")
        found = {entry["application_name"]: entry for entry in seen["walsenders"]}
        self.assertEqual(sorted(found), sorted(it.rows))
        for name, entry in found.items():
            row = it.rows[name]
            self.assertEqual((entry["ns_pid"], entry["state"], entry["sent_lsn"], entry["session"]),
                             (int(row["pid"]), row["state"], row["sent_lsn"], it.core(name)["session"]))
            self.assertEqual(entry["client"], f"{row['host(client_addr)']}:{row['client_port']}")

    def test_of_another_processor(self):
        path = space().file("other.core")
        with open(incident().dumps["phys"], "rb") as source, open(path, "wb") as out:
            content = bytearray(source.read())
            content[18] = 0xf3  # e_machine: RISC-V
            out.write(content)
        self.assertIn("of another machine than x86-64 or aarch64",
                      self.refused(["core", path, "--postgres", incident().server.program]))
        self.assertIn("of another machine than", self.refused(
            ["core", incident().dumps["phys"], "--postgres", f"{installation.installed().bin}/postgres"]))
