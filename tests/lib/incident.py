# SPDX-License-Identifier: BSD-2-Clause
"""A server with a walsender of each kind, at rest; dumps of its processes, and what its views and a recorder beside it
said at that moment; then one crashes."""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time

import walscope
from cluster import Server
from live import no_wal_of_its_own, recording, space, wait_caught_up, wait_gone
from processes import Failure, start_ticks, stat_fields, wait_for

WALSENDERS = ("phys", "logi", "back")
_COLUMNS = ("application_name", "pid", "usename", "host(client_addr)", "client_port", "state", "sent_lsn",
            "write_lsn", "flush_lsn", "replay_lsn", "sync_priority")


def views(server):
    """Rows of pg_stat_replication by application, and of pg_replication_slots by name."""
    rows = server.sql(f"select {', '.join(_COLUMNS)} from pg_stat_replication")
    slots = server.sql("select slot_name, restart_lsn, confirmed_flush_lsn from pg_replication_slots")
    return {row[0]: dict(zip(_COLUMNS, row)) for row in rows}, {row[0]: row[1:] for row in slots}


def gcore(name, pid):
    """A dump of a process by gdb, which lets it go on."""
    prefix = space().file(f"gcore-{name}")
    done = subprocess.run(["gcore", "-o", prefix, str(pid)], capture_output=True, text=True, check=False)
    path = f"{prefix}.{pid}"
    if not os.path.exists(path):
        raise Failure(f"gcore of {name} made no dump: {done.stdout} {done.stderr}")
    return path


def lsn_or_null(text):
    return text if text and text != "0/0" else None


class Incident:
    """`binary`: the server's executable, instead of the installed one."""

    def __init__(self, name="core", binary=None):
        # What a process may dump is inherited from here, and may be raised to the limit by anybody.
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        try:
            self.server = Server(space(), name, installation=f"installation-{name}",
                                 binary=binary).create().start()
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
            self.after = views(server)
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
        self.rows, self.slots = views(server)
        self.queries = {row[0]: row[1] for row in server.sql(
            "select application_name, query from pg_stat_activity where application_name <> ''")}
        self.pids = {name: int(row["pid"]) for name, row in self.rows.items()}
        self.pids["sleeper"] = int(wait_for("the sleeper", lambda: server.value(
            "select pid from pg_stat_activity where application_name = 'sleeper'")))
        self.pids["postmaster"] = server.pid
        self.ticks = {name: start_ticks(pid) for name, pid in self.pids.items()}
        self.oids = {row[0]: (int(row[1]), int(row[2]) if row[2] else None) for row in server.sql(
            "select application_name, usesysid, datid from pg_stat_activity where usesysid is not null")}

    def _dump(self):
        self.dumps = {name: gcore(name, pid) for name, pid in self.pids.items()}

    def _take_live(self):
        self.live = {name: walscope.view(space(), "core", "--pid", str(self.pids[name]))[0]
                     for name in self.pids}
        watch = _Watch(self.pids["phys"])
        self.stopped = [walscope.view(space(), "core", "--pid", str(self.pids["phys"]), "--backtrace")[0]
                        for _ in range(5)]
        self.longest_stop = watch.end()
        self.after_kills = self._kill_in_the_middle()

    def _kill_in_the_middle(self):
        """SIGKILL at moments all over the time that it takes; which walsender streams afterwards. What holds
        it is a process of its own, which ends at once, but need not end before the one that is killed."""
        pid = self.pids["phys"]
        argv = [walscope.binary(), "core", "--pid", str(pid), "--backtrace"]
        begin = time.monotonic()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
        takes = time.monotonic() - begin

        def is_let_go():
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                tracer = re.search(r"^TracerPid:\s*(\d+)", status.read(), re.M)[1]
            return tracer == "0" and stat_fields(pid)[0] not in "tT"

        for i in range(20):
            with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
                time.sleep(takes * i / 20)
                process.kill()
            wait_for("the walsender to be let go", is_let_go, 5)
        return int(self.server.wait_walsender("phys")["pid"])

    def _crash(self):
        """A walsender dies of SIGSEGV, and the server with it; the kernel dumps it, if it is told to."""
        receiver = self.server.receivewal("crash")
        row = self.server.wait_walsender("crash")
        self.crash_pid = int(row["pid"])
        ticks = start_ticks(self.crash_pid)
        with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
            by_kernel = "/" not in file.read().strip().lstrip("|") and resource.getrlimit(
                resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY
        self.crash_dump = None if by_kernel else gcore("crash", self.crash_pid)
        os.kill(self.crash_pid, signal.SIGSEGV)
        wait_gone(self.crash_pid, ticks)
        if by_kernel:
            folder = os.path.join(self.server.dir, "data")
            found = [name for name in os.listdir(folder) if name.startswith("core")]
            self.crash_dump = shutil.copy2(os.path.join(folder, found[0]), space().file("kernel.core"))
        self.by_kernel = by_kernel
        receiver.stop()
        # It is on its way up again, in the middle of which 15 does not always heed a fast shutdown.
        self.server.stop(signal.SIGQUIT)

    def core(self, name):
        """What is told of the dump."""
        return walscope.view(space(), "core", self.dumps[name], "--postgres", self.server.program)[0]


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
