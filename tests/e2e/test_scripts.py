# SPDX-License-Identifier: BSD-2-Clause
"""scripts/setup and scripts/demo do what they promise, and leave nothing."""

import os
import re
import signal

from cluster import server_user
from live import LiveTest, space
from processes import alive, descendants, start_ticks, wait_for
from walscope import ROOT, binary


def demo(name, *options):
    folder = space().folder(name, mode=0o711)
    process = space().start([f"{ROOT}/scripts/demo", *options], name=name, stop=signal.SIGTERM, grace=30,
                            env={"TMPDIR": folder, "WALSCOPE": binary()}, cwd=ROOT)
    process.folder = folder
    return process


class Scripts(LiveTest):
    def test_setup_installs_nothing_and_leaves_apt_alone_when_nothing_is_missing(self):
        """Any call of apt-get would fail: the one found first is a program that does."""
        folder = space().folder("no-apt")
        with open(f"{folder}/apt-get", "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexit 99\n")
        os.chmod(f"{folder}/apt-get", 0o755)
        setup = space().run([f"{ROOT}/scripts/setup"], name="setup",
                            env={"PATH": f"{folder}:{os.environ['PATH']}"})
        self.assertIn("nothing to install", setup.err)

    def test_the_table_of_layouts_is_what_its_script_makes(self):
        with open(f"{ROOT}/src/layout/tables.inc", encoding="ascii") as file:
            self.assertEqual(space().run([f"{ROOT}/scripts/layout-table"], name="layout-table").out, file.read())

    def test_demo_shows_all_views_and_leaves_nothing(self):
        process = demo("demo", "--seconds", "5")
        self.assertEqual(process.wait(120), 0, process.err)
        for command in ("record", "sessions", "history", "timeline", "hist"):
            self.assertRegex(process.out + process.err, rf"walscope {command} ")
        for application in ("standby", "pg_receivewal", "pg_recvlogical", "pg_basebackup"):
            self.assertIn(application, process.out)
        self.assertEqual(os.listdir(process.folder), [])

    def check_interrupted(self, how, status):
        process = demo(f"demo-{how.name}", "--seconds", "20")

        def said(text):
            self.assertTrue(process.running, process.err)
            return text in process.err

        wait_for("the demonstration to start its load", lambda: said("load:"), 60)
        started = [(pid, start_ticks(pid)) for pid in descendants(process.pid)]
        self.assertGreater(len(started), 10, "servers and clients")
        process.signal(how)
        self.assertEqual(process.wait(120), status, process.err)
        self.assertEqual([pid for pid, ticks in started if ticks and alive(pid, ticks)], [])
        self.assertEqual(os.listdir(process.folder), [])

    def test_demo_cleans_up_when_interrupted_with_sigint(self):
        self.check_interrupted(signal.SIGINT, 130)

    def test_demo_cleans_up_when_ended_with_sigterm(self):
        self.check_interrupted(signal.SIGTERM, 143)

    def test_demo_cleans_up_when_the_recording_fails(self):
        fake = space().file("fake-walscope")
        with open(fake, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho 'walscope: cannot trace: a test says so' >&2\nexit 1\n")
        os.chmod(fake, 0o755)
        folder = space().folder("demo-failing", mode=0o711)
        process = space().start([f"{ROOT}/scripts/demo"], name="demo-failing", stop=signal.SIGTERM, grace=30,
                                env={"TMPDIR": folder, "WALSCOPE": fake}, cwd=ROOT)
        self.assertEqual(process.wait(120), 1, process.err)
        self.assertIn("a test says so", process.err)
        self.assertEqual(os.listdir(folder), [])

    def test_demo_keeps_the_recording_when_asked(self):
        process = demo("demo-keep", "--seconds", "3", "--keep")
        self.assertEqual(process.wait(120), 0, process.err)
        path = re.search(r"the recording is (\S+)", process.err)[1]
        self.assertTrue(os.path.getsize(path))
        space().run([binary(), "sessions", path], name="kept")

    def test_demo_without_root_refuses_before_doing_anything(self):
        script = space().file("demo-copy")
        with open(f"{ROOT}/scripts/demo", "rb") as source, open(script, "wb") as copy:
            copy.write(source.read())
        os.chmod(script, 0o755)
        process = space().start([script], name="demo-user", user=server_user())
        self.assertEqual(process.wait(), 1)
        self.assertRegex(process.err, "root")
