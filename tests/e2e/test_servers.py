# SPDX-License-Identifier: BSD-2-Clause
"""Servers that crash, restart, are upgraded, come later or run beside each other; pids used twice."""

import os
import re
import resource
import shutil
import signal
import time

import replication_client
import walscope
from cluster import Server
from live import LiveTest, Recording, once, recording, space, wait_disconnected, walsender_pids
from processes import stat_fields, wait_for
from relay import connect_with_pid
from traces import breakpoints


def replace(program, build):
    """As dpkg does: the new file is written beside the old one, and renamed over it."""
    shutil.copy(build, f"{program}.dpkg-new")
    os.link(program, f"{program}.dpkg-tmp")
    os.rename(f"{program}.dpkg-new", program)
    os.unlink(f"{program}.dpkg-tmp")


@once
def pair():
    """Two servers of one binary, which no other test's servers run."""
    return [Server(space(), name, installation="installation-pair").create().start() for name in ("pair1", "pair2")]


def ask(server, application, *commands):
    """One session that runs these commands; returns the pid of its walsender."""
    server.replication_psql(commands, application=application)
    pid = walsender_pids(server, application)[-1]
    wait_disconnected(server, pid)
    return pid


def descriptors(pid):
    """How many a walscope holds that waits: once a second some more, while it looks for servers."""
    seen = []
    for _ in range(30):
        seen.append(len(os.listdir(f"/proc/{pid}/fd")))
        time.sleep(0.01)
    return min(seen)


class Servers(LiveTest):
    def told(self, record, server, postmaster, pid):
        """One session, of this postmaster, with the commands that its server logged."""
        self.assertEqual([entry["command"] for entry in record.history(pid)],
                         [text for _, text in server.logged_commands(pid)])
        session = record.session(pid)
        self.assertEqual(session["postmaster_pid"], postmaster)
        self.assertEqual(session["lost"], 0)

    # -- upgrades

    def test_an_upgrade_under_a_running_server_and_its_restart(self):
        server = Server(space(), "upgraded", installation="installation-upgraded").create().start()
        old = server.pid
        with recording(server, follow=server.data) as record:
            first = ask(server, "s_before", "IDENTIFY_SYSTEM")
            replace(server.program, server.program)
            self.assertTrue(os.readlink(f"/proc/{old}/exe").endswith("(deleted)"))
            second = ask(server, "s_deleted", "IDENTIFY_SYSTEM", "SHOW port")
            self.assertTrue(breakpoints_deleted(old))
            receiver = server.receivewal("s_stays")
            stays = int(server.wait_walsender("s_stays")["pid"])
            server.restart()
            receiver.wait()
            self.assertEqual(os.readlink(f"/proc/{server.pid}/exe"), server.program)
            walscope.wait_attached(record.process, server.pid)
            third = ask(server, "s_upgraded", "IDENTIFY_SYSTEM", "TIMELINE_HISTORY 7")
        new = server.pid
        server.stop()
        self.assertNotEqual(old, new)
        for pid, postmaster in ((first, old), (second, old), (stays, old), (third, new)):
            self.told(record, server, postmaster, pid)
        self.assertEqual(record.session(stays)["exit"]["reason"], "shutdown")

    def test_a_recording_that_begins_after_the_upgrade(self):
        server = Server(space(), "upgraded2", installation="installation-upgraded2").create().start()
        receiver = server.receivewal("s_ran")
        ran = int(server.wait_walsender("s_ran")["pid"])
        replace(server.program, server.program)
        file = space().file("deleted.wst")
        process = walscope.start_record(space(), file, "--postgres", server.program)
        wait_for("probes in the deleted file", lambda: breakpoints_deleted(server.pid))
        pid = ask(server, "s_came", "IDENTIFY_SYSTEM")
        process.signal(signal.SIGINT)
        process.expect(0)
        receiver.stop()
        server.stop()
        record = Recording(process, file)
        self.told(record, server, server.pid, pid)
        self.assertEqual([entry["command"] for entry in record.history(ran)],
                         [server.logged_commands(ran)[-1][1]])

    # -- crashes

    def test_a_backend_that_dies_of_sigsegv_and_the_restart_it_causes(self):
        server = pair()[0]
        with recording(server) as record:
            server.receivewal("s_bystander")
            bystander = int(server.wait_walsender("s_bystander")["pid"])
            psql = server.start_program(
                ["psql", "-X", "-d", server.conninfo(application="s_victim", database="postgres"), "-c",
                 "select pg_sleep(60)"], name="s_victim")
            victim, = wait_for("the victim", lambda: [int(row[0]) for row in server.sql(
                "select pid from pg_stat_activity where application_name = 's_victim' "
                "and wait_event = 'PgSleep'")])
            began = time.time()
            os.kill(victim, signal.SIGSEGV)
            psql.wait()
            wait_for("crash recovery", lambda: any(
                "database system is ready to accept connections" in line.message and line.time > began - 1
                and line.time > crash for crash in [line.time for line in server.log()
                                                    if f"(PID {victim}) was terminated" in line.message]
                for line in server.log()))
            server.wait_ready()
            after = ask(server, "s_after_crash", "IDENTIFY_SYSTEM", "SHOW port")
        self.told(record, server, server.pid, bystander)
        self.told(record, server, server.pid, after)
        self.assertEqual(record.session(bystander)["exit"]["reason"], "crash_restart")
        self.assertEqual(record.sessions(victim), [], "an ordinary backend is no session")

    # -- several servers

    def test_two_servers_of_one_binary_are_told_apart(self):
        servers = pair()
        file = space().file("pair.wst")
        process = walscope.start_record(space(), file, "--postgres", servers[0].program)
        walscope.wait_attached(process, *(server.pid for server in servers))
        seen = []
        for number in range(3):
            for server in servers:
                seen.append((server, ask(server, f"s_{server.name}", "IDENTIFY_SYSTEM",
                                         f"SHOW {'port' if number else 'data_directory'}")))
        process.signal(signal.SIGINT)
        process.expect(0)
        record = Recording(process, file)
        for server, pid in seen:
            self.told(record, server, server.pid, pid)
        self.assertEqual(sorted(entry["pid"] for entry in record.view("sessions")
                                if entry["application_name"] in ("s_pair1", "s_pair2")),
                         sorted(pid for _, pid in seen))

    def test_a_second_server_of_the_binary_that_starts_later(self):
        server = pair()[0]
        file = space().file("later.wst")
        process = walscope.start_record(space(), file, "--postgres", server.program)
        walscope.wait_attached(process, server.pid)
        late = Server(space(), "late_pair", installation="installation-pair").create().start()
        mine, other = ask(late, "s_late", "IDENTIFY_SYSTEM"), ask(server, "s_early", "SHOW port")
        late.stop()
        process.signal(signal.SIGINT)
        process.expect(0)
        record = Recording(process, file)
        self.told(record, late, late.pid, mine)
        self.told(record, server, server.pid, other)

    def test_a_filter_holds_where_the_first_record_of_a_session_is_lost(self):
        """A ring buffer too small for the other server's sessions, which come too fast for it."""
        mine, other = pair()
        with recording(mine, "--ring", "4k", "--level", "3") as record:
            record.process.signal(signal.SIGSTOP)  # nothing is taken out of the ring
            pids = [ask(other, "s_other", "IDENTIFY_SYSTEM", "SHOW port", "TIMELINE_HISTORY 7")
                    for _ in range(8)]
            record.process.signal(signal.SIGCONT)
            time.sleep(0.2)
            record.process.signal(signal.SIGSTOP)
            more = [ask(other, "s_other", "IDENTIFY_SYSTEM", "SHOW port", "TIMELINE_HISTORY 7")
                    for _ in range(8)]
            record.process.signal(signal.SIGCONT)
            record.process.signal(signal.SIGINT)
            self.assertIn(record.process.wait(), (0, 3))
            record.process.popen.returncode = 0  # it lost something, of nobody's session here
        view = space().start([walscope.binary(), "sessions", record.file, "--json"], name="view-lost")
        self.assertIn(view.wait(), (0, 3), view.err)
        seen = {entry["pid"] for entry in walscope.parse_lines(view.out, "sessions")}
        self.assertFalse(seen & set(pids + more), "sessions of a server the filter excludes")

    # -- pids

    def test_a_walsenders_pid_that_another_walsender_gets(self):
        server = pair()[0]
        with recording(server) as record:
            pid = ask(server, "s_first", "IDENTIFY_SYSTEM")

            def connect(port):
                server.start_program(
                    ["psql", "-X", "-q", "-d", server.conninfo(application="s_again", replication="database",
                                                               database="postgres", port=port), "-c",
                     "SHOW data_directory", "-c", "TIMELINE_HISTORY 7"], name="s_again").wait()

            connect_with_pid(server, pid, connect, lambda: pid in walsender_pids(server, "s_again"))
            wait_for("its end", lambda: sum(
                line.pid == pid and line.message.startswith("disconnection:")
                for line in server.log(everything=True)) == 2)
        first, second = sorted(record.sessions(pid), key=lambda entry: entry["start"])
        self.assertEqual((first["application_name"], second["application_name"]), ("s_first", "s_again"))
        self.assertNotEqual(first["session"], second["session"])
        self.assertLessEqual(first["end"], second["start"])
        for session, commands in ((first, ["IDENTIFY_SYSTEM"]),
                                  (second, ["SHOW data_directory", "TIMELINE_HISTORY 7"])):
            self.assertEqual([entry["command"] for entry in record.history(pid)
                              if entry["session"] == session["session"]], commands)
            self.assertEqual((session["exit"]["reason"], session["lost"]), ("client_terminated", 0))

    def test_a_walsenders_pid_that_another_servers_walsender_gets(self):
        server, other = pair()
        file = space().file("reused.wst")
        process = walscope.start_record(space(), file, "--postgres", server.program)
        walscope.wait_attached(process, server.pid, other.pid)
        pid = ask(server, "s_one", "IDENTIFY_SYSTEM")

        def connect(port):
            other.start_program(
                ["psql", "-X", "-q", "-d", other.conninfo(application="s_two", replication="database",
                                                          database="postgres", port=port), "-c",
                 "SHOW port"], name="s_two").wait()

        connect_with_pid(other, pid, connect, lambda: pid in walsender_pids(other, "s_two"))
        wait_disconnected(other, pid)
        process.signal(signal.SIGINT)
        process.expect(0)
        seen = sorted(Recording(process, file).sessions(pid), key=lambda entry: entry["start"])
        self.assertEqual([(entry["application_name"], entry["postmaster_pid"]) for entry in seen],
                         [("s_one", server.pid), ("s_two", other.pid)])

    def test_a_walsenders_pid_that_an_ordinary_backend_gets(self):
        server = pair()[0]
        with recording(server) as record:
            pid = ask(server, "s_walsender", "IDENTIFY_SYSTEM")

            def connect(port):
                server.start_program(
                    ["psql", "-X", "-q", "-d", server.conninfo(application="s_backend", database="postgres",
                                                               port=port), "-c",
                     "select 1 / 0", "-c", "select 1"], name="s_backend").wait()

            connect_with_pid(server, pid, connect, lambda: any(
                line.pid == pid and line.application == "s_backend" for line in server.log()))
        session = record.session(pid)
        self.assertEqual((session["application_name"], session["exit"]["reason"]),
                         ("s_walsender", "client_terminated"))
        self.assertEqual([entry["command"] for entry in record.history(pid)], ["IDENTIFY_SYSTEM"])

    # -- attaching

    def test_a_server_that_cannot_be_loaded_at_first_is_tried_again(self):
        server = Server(space(), "retried", installation="installation-retried").create()
        with recording(server, follow=server.data, attach=False) as record:
            wait_for("the recording to begin", lambda: os.path.exists(record.file))
            recorder = record.process.pid
            soft, hard = resource.prlimit(recorder, resource.RLIMIT_NOFILE)
            held = descriptors(recorder)
            # Enough to look for servers, too few to load programs for one.
            resource.prlimit(recorder, resource.RLIMIT_NOFILE, (held + 8, hard))
            server.start()
            wait_for("a word on it", lambda: "Too many open files" in record.process.err)
            time.sleep(3.2)  # tried again after a second, and after two
            self.assertEqual(len([line for line in record.process.err.splitlines()
                                  if "Too many open files" in line]), 1, record.process.err)
            resource.prlimit(recorder, resource.RLIMIT_NOFILE, (soft, hard))
            walscope.wait_attached(record.process, server.pid)
            pid = ask(server, "s_retried", "IDENTIFY_SYSTEM", "SHOW port")
        self.told(record, server, server.pid, pid)
        server.stop()

    def test_a_walsender_is_followed_once_probes_can_be_planted(self):
        """At first the programs can be loaded, but there is one descriptor too few to hang them all on sites."""
        server = Server(space(), "replanted", installation="installation-replanted").create().start()
        with recording(server, "--level", "3", follow=server.data) as record:
            attached = descriptors(record.process.pid)
        server.stop()
        with recording(server, "--level", "3", follow=server.data, attach=False) as record:
            wait_for("the recording to begin", lambda: os.path.exists(record.file))
            recorder = record.process.pid
            soft, hard = resource.prlimit(recorder, resource.RLIMIT_NOFILE)
            held = descriptors(recorder)
            resource.prlimit(recorder, resource.RLIMIT_NOFILE, (held, hard))  # it cannot even look for servers
            server.start()
            client = replication_client.connect(server, application="s_replanted")
            resource.prlimit(recorder, resource.RLIMIT_NOFILE, (attached - 1, hard))
            wait_for("a word on it", lambda: "cannot plant the probes" in record.process.err)
            client.query("IDENTIFY_SYSTEM")
            resource.prlimit(recorder, resource.RLIMIT_NOFILE, (soft, hard))
            walscope.wait_attached(record.process, server.pid)
            client.query("SHOW port")
            client.query("SHOW data_directory_mode")
            client.close()
            wait_disconnected(server, client.pid)
        self.assertEqual([entry["command"] for entry in record.history(client.pid)],
                         ["SHOW port", "SHOW data_directory_mode"])
        session = record.session(client.pid)
        self.assertEqual((session["application_name"], session["exit"]["reason"], session["lost"]),
                         ("s_replanted", "client_eof", 0))
        server.stop()

    def test_too_few_files_to_open_is_one_line(self):
        for limit in (8, 24, 48):
            with self.subTest(limit=limit):
                file = space().file("few.wst")
                process = space().start(["prlimit", f"--nofile={limit}:{limit}", walscope.binary(), "record",
                                         "-o", file, "--postmaster", pair()[0].data, "--duration", "1"],
                                        name="few")
                self.assertEqual(process.wait(), 1, process.err)
                line = self.assert_one_line(process)
                self.assertIn(f"may open {limit} files", line)
                self.assertFalse(os.path.exists(file))

    def test_a_signal_while_attaching_ends_it_soon_and_leaves_nothing(self):
        """Soon by the processor time it takes, which the load of this host leaves alone. Before tracing has
        begun there is nothing to keep, and no file that would say so."""
        server = pair()[0]
        env = {"XDG_CACHE_HOME": "/nonexistent"}  # everything is to be found anew
        file = space().file("interrupted.wst")

        def spent(after, status, number=signal.SIGINT):
            process = walscope.start_record(space(), file, "--postmaster", server.data, name="interrupted",
                                            env=env)
            try:
                if not after(process):  # this host was too slow
                    process.signal(signal.SIGCONT)
                    process.stop()
                    os.unlink(file)
                    return spent(after, status, number)
                process.signal(number)
                process.signal(signal.SIGCONT)
                _, ended, usage = os.wait4(process.pid, 0)
                process.popen.returncode = os.waitstatus_to_exitcode(ended)
                self.assertEqual(process.popen.returncode, status, process.err)
                if status:
                    self.assertIn("stopped before tracing began", self.assert_one_line(process))
            finally:
                process.close()
            return usage.ru_utime + usage.ru_stime

        whole = spent(lambda process: walscope.wait_attached(process, server.pid), 0)
        os.unlink(file)
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                self.assertLess(spent(lambda process: wait_caught(process, number), 1, number), 0.8 * whole)
                self.assertFalse(os.path.exists(file))
                self.assertEqual(breakpoints(server.pid), [])


def wait_caught(process, number):
    """Waits until walscope, which has just been started, would catch this signal, and holds it there: it is
    the next thing that it gets to know. False if it is tracing by then."""
    def caught():
        with open(f"/proc/{process.pid}/status", encoding="ascii", errors="replace") as file:
            return int(re.search(r"^SigCgt:\s*(\w+)$", file.read(), re.M)[1], 16) >> (number - 1) & 1

    wait_for("the program to catch signals", caught, every=0.001)
    process.signal(signal.SIGSTOP)
    wait_for("the program to stop", lambda: stat_fields(process.pid)[0] == "T", every=0.001)
    return not walscope.is_tracing(process.pid)


def breakpoints_deleted(pid):
    """Are probes planted in a process whose file was replaced? (Its path leads to another one now.)"""
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb") as memory, \
            open(f"/proc/{pid}/exe", "rb") as file:
        exe = os.readlink(f"/proc/{pid}/exe")
        for line in maps:
            words = line.rstrip("\n").split(maxsplit=5)
            if len(words) < 6 or "x" not in words[1] or words[5] != exe:
                continue
            begin, end = (int(text, 16) for text in words[0].split("-"))
            memory.seek(begin)
            file.seek(int(words[2], 16))
            found.append(memory.read(end - begin) != file.read(end - begin))
    return any(found)
