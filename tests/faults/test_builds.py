# SPDX-License-Identifier: BSD-2-Clause
"""Servers of two builds: beside each other in one recording, and one after the other by an upgrade."""

import os
import re
import shutil
import signal

import walscope
from archive import Archive
from cluster import Server, find_server
from live import LiveTest, Recording, once, recording, space, wait_disconnected, walsender_pids
from processes import Failure

# What both were built from differs, and where an error is raised with it.
COMMANDS = ("IDENTIFY_SYSTEM", "DROP_REPLICATION_SLOT no_such_slot", "TIMELINE_HISTORY 9", "SHOW port")


@once
def other_build():
    """Another build of the installed server's major version, out of Debian's archive."""
    _, major = find_server()
    name = f"postgresql-{major}"
    archive = Archive(space(), "bookworm", security=True)
    installed = build_id(os.path.join(find_server()[0], "postgres"))
    versions = archive.versions(name)
    for version in versions:
        build = f"{archive.unpack(name, version)}/usr/lib/postgresql/{major}/bin/postgres"
        if build_id(build) != installed:
            return build
    raise Failure(f"no other build of the server: the archive's {name} {', '.join(versions)} is the installed one")


def build_id(program):
    return re.search(r"Build ID: (\w+)", space().run(["readelf", "-n", program], name="readelf").out)[1]


def ask(server, application):
    server.replication_psql(COMMANDS, application=application)
    pid = walsender_pids(server, application)[-1]
    wait_disconnected(server, pid)
    return pid


class Builds(LiveTest):
    limit_s = 300

    def told(self, record, server, postmaster, pid):
        self.assertEqual(record.session(pid)["postmaster_pid"], postmaster)
        history = record.history(pid)
        self.assertEqual([entry["command"] for entry in history],
                         [text for _, text in server.logged_commands(pid)])
        errors = [(line.sqlstate, line.message, line.location) for line in server.log()
                  if line.pid == pid and line.severity == "ERROR"]
        self.assertEqual(len(errors), 2, "the server's log")
        self.assertEqual([(entry["sqlstate"], entry["message"], entry["location"]) for entry in history
                          if entry["outcome"] == "error"], errors)

    def builds(self, record):
        """By postmaster: the build-id that the recording names."""
        return {entry["pid"]: entry["build_id"] for entry in record.view("trace")
                if entry["event"] == "server"}

    def test_two_builds_in_one_recording(self):
        old = Server(space(), "old_build", installation="installation-old", binary=other_build()).create().start()
        new = Server(space(), "new_build", installation="installation-new").create().start()
        file = space().file("builds.wst")
        process = walscope.start_record(space(), file)  # no filter takes just these two
        walscope.wait_attached(process, old.pid, new.pid, timeout=60)
        seen = [(server, ask(server, f"u_{server.name}")) for _ in range(3) for server in (old, new)]
        process.signal(signal.SIGINT)
        self.assertIn(process.wait(60), (0, 3), process.err)  # of others it may have lost something
        version = [server.value("show server_version") for server in (old, new)]
        self.assertNotEqual(*version)
        for server in (old, new):
            server.stop()
        record = Recording(process, file)
        for server, pid in seen:
            self.told(record, server, server.pid, pid)
        built = self.builds(record)
        self.assertEqual((built[old.pid], built[new.pid]), (build_id(old.program), build_id(new.program)))

    def test_an_upgrade_to_another_build_under_a_running_server(self):
        server = Server(space(), "package", installation="installation-package",
                        binary=other_build()).create().start()
        before, old = server.value("show server_version"), server.pid
        old_id = build_id(server.program)
        with recording(server, follow=server.data) as record:
            first = ask(server, "u_first")
            shutil.copy(os.path.join(find_server()[0], "postgres"), f"{server.program}.dpkg-new")
            os.rename(f"{server.program}.dpkg-new", server.program)
            self.assertTrue(os.readlink(f"/proc/{old}/exe").endswith("(deleted)"))
            second = ask(server, "u_deleted")
            server.restart()
            walscope.wait_attached(record.process, server.pid)
            third = ask(server, "u_third")
            self.assertNotEqual(server.value("show server_version"), before)
        server.stop()
        for pid, postmaster in ((first, old), (second, old), (third, server.pid)):
            self.told(record, server, postmaster, pid)
        built = self.builds(record)
        self.assertEqual((built[old], built[server.pid]), (old_id, build_id(server.program)))
