# SPDX-License-Identifier: BSD-2-Clause
"""Servers in odd homes: containers of one image, roots and pid namespaces of their own, links, odd paths.

What a session has to look like is what the server's log, /proc and pg_stat_replication say.
"""

import json
import os
import signal

import walscope
from cluster import Server, find_server, lsn
from homes import Housed, linked_installation, ns_pid
from live import (LiveTest, Recording, once, recording, space, wait_caught_up, wait_disconnected,
                  walsender_pids)
from processes import start_ticks

COMMANDS = ("IDENTIFY_SYSTEM", "DROP_REPLICATION_SLOT no_such_slot", "TIMELINE_HISTORY 9", "SHOW port")


def doctor(*options, status=0):
    text = space().run([walscope.binary(), "doctor", "--json", *options], status=status, name="doctor").out
    return json.loads(text)


def ask(server, application):
    """A session of four commands; returns its pid as the server numbers it."""
    server.replication_psql(COMMANDS, application=application)
    pid = walsender_pids(server, application)[-1]
    wait_disconnected(server, pid)
    return pid


class Receiver:
    """A pg_receivewal that streams from before the recording until after it."""

    def __init__(self, server, application):
        self.server, self.application = server, application
        self.process = server.receivewal(application, "-s", "1")
        self.inner = int(server.wait_walsender(application)["pid"])
        self.pid = server.host_pid(self.inner) if isinstance(server, Housed) else self.inner
        self.session = f"{self.pid}.{start_ticks(self.pid)}"

    def send(self):
        """Writes WAL while it streams; returns how many bytes of it the walsender sent."""
        before = wait_caught_up(self.server, self.application)
        self.server.write_wal(4)
        return lsn(wait_caught_up(self.server, self.application)) - lsn(before)


class Homes(LiveTest):
    def of(self, record, server, postmaster):
        return [entry for entry in record.view("sessions") if entry["postmaster_pid"] == postmaster]

    def assert_told_once(self, record, server, postmaster, inner, application):
        """One session of the ended walsender that calls itself `inner`, with the commands and errors of
        the server's log, each once."""
        found = [entry for entry in self.of(record, server, postmaster)
                 if entry["application_name"] == application]
        self.assertEqual([entry["ns_pid"] for entry in found], [inner], application)
        session = found[0]
        history = sorted((entry for entry in record.view("history") if entry["session"] == session["session"]),
                         key=lambda entry: entry["seq"])
        self.assertEqual([entry["command"] for entry in history],
                         [text for _, text in server.logged_commands(inner)])
        self.assertEqual(session["commands"], len(history))
        errors = [(line.sqlstate, line.message, line.location) for line in server.log()
                  if line.pid == inner and line.severity == "ERROR"]
        self.assertEqual(len(errors), 2, "the server's log")
        self.assertEqual([(entry["sqlstate"], entry["message"], entry["location"]) for entry in history
                          if entry["outcome"] == "error"], errors)
        self.assertEqual(session["exit"]["reason"], "client_terminated")
        self.assertEqual(session["lost"], 0)
        return session

    def assert_streamed(self, record, receiver, postmaster, sent):
        """Its walsender's session, with the bytes it sent, counted once."""
        found = [entry for entry in record.view("sessions") if entry["session"] == receiver.session]
        self.assertEqual(len(found), 1, receiver.session)
        session, = found
        self.assertEqual((session["pid"], session["ns_pid"], session["postmaster_pid"]),
                         (receiver.pid, receiver.inner, postmaster))
        self.assertEqual(session["application_name"], receiver.application)
        self.assertGreaterEqual(session["wal_bytes"], sent)
        self.assertLess(session["wal_bytes"], 1.5 * sent)
        return session

    def assert_both_pids(self, record):
        """Each object that has a process's pid has both of its pids."""
        for view in ("sessions", "history", "timeline", "hist"):
            for entry in record.view(view):
                self.assertIn("ns_pid", entry, view)
        inner = {entry["session"]: entry["ns_pid"] for entry in record.view("sessions")}
        for view in ("history", "timeline", "hist"):
            for entry in record.view(view):
                self.assertEqual(entry["ns_pid"], inner[entry["session"]], (view, entry["session"]))


@once
def containers():
    """Two containers of one image, each with a writable layer, a root and pids of its own."""
    return [Housed(space(), name).create().start() for name in ("container_a", "container_b")]


class Containers(Homes):
    def test_two_containers_of_one_image_are_told_apart_and_nothing_is_counted_twice(self):
        servers = containers()
        receivers = [Receiver(server, f"h_recv_{server.name}") for server in servers]
        file = space().file("containers.wst")
        process = walscope.start_record(space(), file)
        walscope.wait_attached(process, *(server.pid for server in servers), timeout=60)
        # One lower file behind two paths: a probe planted through either is in both.
        self.assertEqual(*(walscope.breakpoints(server.pid) for server in servers))
        sent = [receiver.send() for receiver in receivers]
        asked = [(server, f"h_{n}_{server.name}", ask(server, f"h_{n}_{server.name}"))
                 for n in range(3) for server in servers]
        process.signal(signal.SIGINT)
        self.assertIn(process.wait(60), (0, 3), process.err)  # of others it may have lost something
        record = Recording(process, file)
        for receiver in receivers:
            receiver.process.stop()
        for server, application, inner in asked:
            self.assert_told_once(record, server, server.pid, inner, application)
        for server, receiver, bytes_sent in zip(servers, receivers, sent):
            self.assert_streamed(record, receiver, server.pid, bytes_sent)
        ids = [entry["session"] for entry in record.view("sessions")]
        self.assertEqual(len(ids), len(set(ids)))
        self.assert_both_pids(record)

    def test_of_two_containers_only_the_one_asked_for_is_recorded(self):
        wanted, other = containers()
        for how in (str(wanted.pid), wanted.data):
            with self.subTest(how=how), recording(wanted, follow=how) as record:
                inner = ask(wanted, f"h_wanted_{len(how)}")
                ask(other, f"h_other_{len(how)}")
            self.assert_told_once(record, wanted, wanted.pid, inner, f"h_wanted_{len(how)}")
            self.assertEqual({entry["postmaster_pid"] for entry in record.view("sessions")}, {wanted.pid})

    def test_a_data_directory_that_is_the_containers_alone_means_all_that_name_it_so(self):
        servers = containers()
        file = space().file("inner_datadir.wst")
        process = walscope.start_record(space(), file, "--postmaster", Housed.DATADIR)
        walscope.wait_attached(process, *(server.pid for server in servers))
        asked = [(server, ask(server, f"h_inner_{server.name}")) for server in servers]
        process.signal(signal.SIGINT)
        process.expect(0)
        record = Recording(process, file)
        for server, inner in asked:
            self.assert_told_once(record, server, server.pid, inner, f"h_inner_{server.name}")

    def test_the_doctor_names_each_container_with_both_pids_of_its_postmaster(self):
        servers = containers()
        seen = {}
        for entry in doctor()["servers"]:
            for server in entry["processes"]:
                seen[server["pid"]] = (server["ns_pid"], server["datadir"], entry["file"])
        for server in servers:
            self.assertEqual(seen[server.pid], (1, Housed.DATADIR, server.inner_program))

    def test_a_container_that_ends_leaves_the_others_sessions_alone(self):
        """Whichever object claimed a session, the other container's end takes nothing away."""
        servers = [Housed(space(), f"pair_{name}", installation="image-pair").create().start() for name in "ab"]
        receivers = [Receiver(server, f"h_{server.name}") for server in servers]
        file = space().file("pair.wst")
        process = walscope.start_record(space(), file, "--postmaster", Housed.DATADIR)
        walscope.wait_attached(process, *(server.pid for server in servers), timeout=60)
        first, second = servers
        ended = first.pid
        first.stop()
        sent = receivers[1].send()
        inner = ask(second, "h_survivor")
        process.signal(signal.SIGINT)
        process.expect(0)
        record = Recording(process, file)
        self.assert_streamed(record, receivers[1], second.pid, sent)
        self.assert_told_once(record, second, second.pid, inner, "h_survivor")
        gone, = [entry for entry in record.view("sessions") if entry["session"] == receivers[0].session]
        self.assertEqual((gone["postmaster_pid"], gone["exit"]["reason"]), (ended, "shutdown"))
        second.stop()


class Namespaces(Homes):
    def test_a_server_in_a_root_of_its_own(self):
        server = Housed(space(), "rooted", kind="bind", pids=False, installation="image-rooted").create().start()
        self.assertEqual(os.readlink(f"/proc/{server.pid}/exe"), server.inner_program)
        self.assertFalse(os.path.exists(server.inner_program), "a path of the host")
        receiver = Receiver(server, "h_rooted_recv")
        with recording(server, "--postgres", server.program) as record:
            sent = receiver.send()
            inner = ask(server, "h_rooted")
        session = self.assert_told_once(record, server, server.pid, inner, "h_rooted")
        self.assertEqual(session["pid"], session["ns_pid"])
        self.assert_streamed(record, receiver, server.pid, sent)
        receiver.process.stop()
        server.stop()

    def test_both_pids_are_shown_of_a_server_in_a_pid_namespace(self):
        server = Housed(space(), "numbered", kind="bind", installation="image-numbered").create().start()
        self.assertEqual(ns_pid(server.pid), 1)
        receiver = Receiver(server, "h_numbered_recv")
        self.assertNotEqual(receiver.pid, receiver.inner)
        with recording(server) as record:
            sent = receiver.send()
            inner = ask(server, "h_numbered")
        self.assert_told_once(record, server, server.pid, inner, "h_numbered")
        self.assert_streamed(record, receiver, server.pid, sent)
        self.assert_both_pids(record)
        for entry in record.view("trace"):
            self.assertIn("ns_pid", entry)
            if entry["pid"] == receiver.pid:
                self.assertEqual(entry["ns_pid"], receiver.inner)
        text = space().run([walscope.binary(), "sessions", record.file, "-v"], name="text").out
        self.assertIn(str(receiver.pid), text)
        self.assertIn(str(receiver.inner), text)
        receiver.process.stop()
        server.stop()

    def test_walscope_itself_in_a_pid_namespace_says_where_to_run_it(self):
        """It would see other pids in /proc than the kernel's programs do."""
        inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", walscope.binary()]
        file = space().file("inside.wst")
        for argv in (["record", "-o", file, "--duration", "1"], ["trace", "--duration", "1"]):
            with self.subTest(command=argv[0]):
                process = space().start([*inside, *argv], name="inside")
                self.assertEqual(process.wait(20), 1, process.err)
                self.assertIn("pid namespace", self.assert_one_line(process))
                self.assertIn("--pid=host", process.err)
        self.assertFalse(os.path.exists(file))
        told = space().run([*inside, "doctor", "--json"], status=1, name="inside").out
        self.assertIn("--pid=host", "".join(entry["fix"] for entry in json.loads(told)["problems"]))

    def test_a_file_of_the_host_is_not_taken_for_a_containers_file_of_that_name(self):
        """The path is the same in both, the file is not."""
        installed = f"{find_server()[0]}/postgres"
        server = Housed(space(), "named_alike", kind="bind", pids=False,
                        installation="image-alike").create()
        server.shadow = installed
        server.start()
        self.assertEqual(os.readlink(f"/proc/{server.pid}/exe"), installed)
        host = Server(space(), "of_host").create()
        host.program = installed
        host.start()
        file = space().file("alike.wst")
        process = walscope.start_record(space(), file, "--postgres", installed)
        walscope.wait_attached(process, host.pid)
        ask(server, "h_alike")
        of_host = ask(host, "h_of_host")
        process.signal(signal.SIGINT)
        self.assertIn(process.wait(60), (0, 3), process.err)
        record = Recording(process, file)
        self.assertEqual(self.of(record, server, server.pid), [])
        self.assert_told_once(record, host, host.pid, of_host, "h_of_host")
        host.stop()
        file = space().file("alike-own.wst")
        process = walscope.start_record(space(), file, "--postgres", f"/proc/{server.pid}/root{installed}")
        walscope.wait_attached(process, server.pid)
        inner = ask(server, "h_alike_own")
        process.signal(signal.SIGINT)
        process.expect(0)
        self.assert_told_once(Recording(process, file), server, server.pid, inner, "h_alike_own")
        server.stop()


class Paths(Homes):
    def test_links_to_one_binary_are_one_binary(self):
        linked_installation(space(), "installation-symlink", os.symlink)
        linked_installation(space(), "installation-hardlink", os.link)
        servers = [Server(space(), f"server_{how}", installation=f"installation-{how}").create()
                   for how in ("linked", "symlink", "hardlink")]
        for server in servers:
            server.start()
        inode = {(os.stat(f"/proc/{server.pid}/exe").st_dev, os.stat(f"/proc/{server.pid}/exe").st_ino)
                 for server in servers}
        self.assertEqual(len(inode), 1)
        plain, symlink, hardlink = servers
        self.assertEqual(os.readlink(f"/proc/{symlink.pid}/exe"), plain.program)
        self.assertEqual(os.readlink(f"/proc/{hardlink.pid}/exe"), hardlink.program)
        entries = [entry for entry in doctor()["servers"]
                   if {server.pid for server in servers} & {item["pid"] for item in entry["processes"]}]
        self.assertEqual([{item["pid"] for item in entry["processes"]} for entry in entries],
                         [{server.pid for server in servers}], "one binary, three servers")
        for path in (plain.program, symlink.program, hardlink.program):
            with self.subTest(path=path):
                file = space().file(f"links{servers[0].pid}-{len(path)}.wst")
                process = walscope.start_record(space(), file, "--postgres", path)
                walscope.wait_attached(process, *(server.pid for server in servers))
                asked = [(server, ask(server, f"h_{len(path)}_{server.name}")) for server in servers]
                process.signal(signal.SIGINT)
                process.expect(0)
                record = Recording(process, file)
                for server, pid in asked:
                    self.assert_told_once(record, server, server.pid, pid, f"h_{len(path)}_{server.name}")
                self.assertEqual(len(record.view("sessions")), len(servers))
        for server in servers:
            server.stop()

    def test_a_path_with_spaces_and_characters_beyond_ascii(self):
        name = "Größe & 数据  server's (deleted)"
        server = Server(space(), "odd_path", installation=name).create().start()
        self.assertIn(name, os.readlink(f"/proc/{server.pid}/exe"))
        for options in (["--postgres", server.program], ["--postmaster", server.data]):
            with self.subTest(options=options):
                application = f"h_odd_{options[0].strip('-')}"
                file = space().file(f"{application}.wst")
                process = walscope.start_record(space(), file, *options)
                walscope.wait_attached(process, server.pid)
                pid = ask(server, application)
                process.signal(signal.SIGINT)
                process.expect(0)
                self.assert_told_once(Recording(process, file), server, server.pid, pid, application)
        self.assertIn(server.program, [entry["file"] for entry in doctor()["servers"]])
        self.assertEqual(doctor("--postgres", server.program)["servers"][0]["file"], server.program)
        server.stop()
