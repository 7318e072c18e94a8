# SPDX-License-Identifier: BSD-2-Clause
"""What cannot work says so in one line and with the documented exit status."""

import json
import os
import signal
import struct
import time

import walscope
from clients import clients
from cluster import own_installation, server_user
from live import LiveTest, may_run_as_other_user, primary, space, standby
from processes import wait_for

FAILED, USAGE, LOSS = 1, 2, 3


def in_own_pid_namespace(argv):
    """A host of its own as far as /proc goes: no PostgreSQL server runs there. (unshare --mount-proc would
    do, but not where / is no mount point, as in a chroot.)"""
    script = 'mount --make-private /proc && mount -t proc proc /proc && exec "$@"'
    return ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "unchanged",
            "/bin/sh", "-c", script, "sh", *argv]


def clients_file():
    return clients().record.file


class Refusals(LiveTest):
    # -- privileges

    def test_record_without_root(self):
        program = may_run_as_other_user()
        folder = space().folder("not-root", server_user())
        process = space().start([program, "record", "-o", os.path.join(folder, "x.wst"), "--duration", "1"],
                                name="record-user", user=server_user())
        self.assertEqual(process.wait(), FAILED, process.err)
        line = self.assert_one_line(process)
        self.assertRegex(line, r"root|CAP_|privilege|permission|permitted")

    def test_doctor_without_root_says_what_is_missing(self):
        primary()
        process = space().start([may_run_as_other_user(), "doctor", "--json"], name="doctor-user",
                                user=server_user())
        self.assertEqual(process.wait(), FAILED, process.err)
        report = json.loads(process.out)
        self.assertIs(report["ok"], False)
        problems = report["problems"] + [problem for server in report["servers"]
                                         for problem in server["problems"]]
        self.assertTrue(problems)
        self.assertTrue(all(problem["what"] and problem["fix"] for problem in problems), problems)

    def test_doctor_of_confined_root_claims_no_absence_of_servers(self):
        primary()
        process = space().start(["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace",
                                 walscope.binary(), "doctor"], name="doctor-confined")
        self.assertEqual(process.wait(), FAILED, process.err)
        self.assertNotIn("no PostgreSQL server is running", process.out)
        self.assertRegex(process.out, r"no PostgreSQL server is seen, and \d+ processes? may not be examined")
        self.assertRegex(process.out, "without CAP_SYS_PTRACE")

    def test_doctor_on_a_kernel_without_types_says_it_once(self):
        script = 'mount -t tmpfs tmpfs /sys && exec "$@"'
        process = space().start(["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script,
                                 "sh", walscope.binary(), "doctor"], name="doctor-no-types")
        self.assertEqual(process.wait(), FAILED, process.err)
        self.assertEqual(process.err, "")
        self.assertIn("CONFIG_DEBUG_INFO_BTF", process.out)

    def test_views_need_no_root(self):
        file = space().file("public.wst")
        with open(clients_file(), "rb") as source, open(file, "wb") as copy:
            copy.write(source.read())
        os.chmod(file, 0o644)
        for command in ("sessions", "history", "timeline", "hist"):
            space().run([may_run_as_other_user(), command, file], name="view-user", user=server_user())

    # -- servers

    def test_record_without_a_server_waits_and_ends_well_with_no_session(self):
        """Of a binary that no server runs: others may run on this host."""
        file = space().file("no-server.wst")
        program, _ = own_installation(space(), "installation-idle")
        process = space().start([walscope.binary(), "record", "-o", file, "--postgres", program,
                                 "--duration", "1"], name="record-alone", stop=signal.SIGTERM)
        self.assertEqual(process.wait(), 0, process.err)
        self.assertIn("waiting for one", process.err)
        self.assertEqual(walscope.view(space(), "sessions", file), [])

    def test_doctor_without_a_server_says_so(self):
        process = space().start(in_own_pid_namespace([walscope.binary(), "doctor"]), name="doctor-alone",
                                stop=signal.SIGTERM)
        process.wait()
        self.assertRegex(process.out + process.err, r"(?i)no (PostgreSQL )?server|no running")
        process = space().start(in_own_pid_namespace([walscope.binary(), "doctor", "--json"]),
                                name="doctor-alone-json", stop=signal.SIGTERM)
        process.wait()
        self.assertEqual(json.loads(process.out)["servers"], [])

    def test_record_with_a_binary_that_is_not_postgresql(self):
        self.refused(["record", "-o", space().file("x.wst"), "--postgres", "/bin/true", "--duration", "1"])

    def test_doctor_with_a_binary_that_is_not_postgresql(self):
        process = space().start([walscope.binary(), "doctor", "--postgres", "/bin/true", "--json"],
                                name="doctor-true")
        self.assertEqual(process.wait(), FAILED, process.err)

    def test_doctor_of_a_pid_that_is_no_server(self):
        process = space().start([walscope.binary(), "doctor", "--pid", str(os.getpid())], name="doctor-pid")
        self.assertEqual(process.wait(), FAILED, process.err)
        self.assertIn(str(os.getpid()), process.err + process.out)

    def test_a_pid_of_the_server_that_is_no_walsender(self):
        server = primary()
        line = self.refused(["record", "-o", space().file("x.wst"), "--duration", "1",
                             "--pid", str(server.pid)])
        self.assertIn(f"--postmaster={server.pid}", line)
        checkpointer, = server.sql("select pid from pg_stat_activity where backend_type = 'checkpointer'")[0]
        process = walscope.start_record(space(), space().file("y.wst"), "--duration", "0.1",
                                        "--pid", checkpointer)
        self.assertEqual(process.wait(), 0, process.err)
        self.assertIn(f"pid {checkpointer} is no walsender", process.err)

    # -- recordings

    def test_a_recording_that_is_not_there(self):
        for command in ("sessions", "history", "timeline", "hist"):
            self.assertIn("/nonexistent.wst", self.refused([command, "/nonexistent.wst"]))

    def test_a_file_that_is_no_recording(self):
        self.refused(["sessions", "/etc/passwd"])

    def test_an_empty_file(self):
        file = space().file("empty.wst")
        with open(file, "wb"):
            pass
        self.refused(["sessions", file])

    def test_a_folder_in_place_of_a_recording(self):
        folder = space().file("folder.wst")
        os.mkdir(folder)
        self.refused(["sessions", folder])

    def test_a_recording_cut_anywhere_is_read_to_the_cut_with_status_3(self):
        with open(clients_file(), "rb") as file:
            whole = file.read()
        everything = len(walscope.view(space(), "history", clients_file()))
        cut_file = space().file("cut.wst")
        last = 0
        # A file whose header is cut is none (docs/FORMAT.md).
        header, = struct.unpack_from("<I", whole, 12)
        for share in (0, 0.3, 0.5, 0.7, 0.9, 0.99):
            with open(cut_file, "wb") as file:
                file.write(whole[:header + int((len(whole) - header) * share)])
            view = space().start([walscope.binary(), "history", cut_file, "--json"], name="view-cut")
            self.assertEqual(view.wait(), LOSS, f"cut at {share:.0%}: {view.err}")
            self.assertEqual(len(view.err.splitlines()), 1, view.err)
            count = len(walscope.parse_lines(view.out, "history"))
            self.assertGreaterEqual(count, last, f"cut at {share:.0%}")
            self.assertLessEqual(count, everything)
            last = count
        self.assertGreater(last, 0, "nothing was read of a recording cut near its end")

    def test_a_recording_with_a_damaged_byte_says_what_is_missing(self):
        with open(clients_file(), "rb") as file:
            whole = bytearray(file.read())
        whole[len(whole) // 2] ^= 0x55
        damaged = space().file("damaged.wst")
        with open(damaged, "wb") as file:
            file.write(whole)
        view = space().start([walscope.binary(), "sessions", damaged, "--json"], name="view-damaged")
        self.assertEqual(view.wait(), LOSS, view.err)
        self.assertEqual(len(view.err.splitlines()), 1, view.err)

    # -- output

    def test_output_in_a_folder_that_is_not_there(self):
        line = self.refused(["record", "-o", "/nonexistent/x.wst", "--duration", "1"])
        self.assertIn("/nonexistent/x.wst", line)

    def test_output_that_is_a_folder(self):
        self.refused(["record", "-o", space().dir, "--duration", "1"])

    def test_an_earlier_recording_outlives_a_record_that_cannot_start(self):
        file = space().file("earlier.wst")
        with open(clients_file(), "rb") as source, open(file, "wb") as copy:
            copy.write(source.read())
        for argv in (["--pid", str(os.getpid())], ["--postmaster", str(os.getpid())],
                     ["--postgres", "/bin/true"]):
            with self.subTest(argv=argv):
                self.refused(["record", "-o", file, "--duration", "1", *argv])
                with open(file, "rb") as kept, open(clients_file(), "rb") as source:
                    self.assertEqual(kept.read(), source.read())

    def test_an_earlier_recording_outlives_a_record_that_is_stopped_before_it_starts(self):
        server = primary()
        with open(clients_file(), "rb") as source:
            earlier = source.read()
        stopped = 0
        for attempt in range(40):
            file = space().file("stopped.wst")
            with open(file, "wb") as copy:
                copy.write(earlier)
            # Nothing is known of the server: it takes longest to start then.
            process = walscope.start_record(space(), file, "--postmaster", str(server.pid), name="stopped",
                                            env={"XDG_CACHE_HOME": space().folder(f"stopped{attempt}")})
            time.sleep(0.02 + 0.01 * attempt)
            process.signal(signal.SIGTERM)
            status = process.wait()
            with open(file, "rb") as kept:
                same = kept.read() == earlier
            if status == FAILED:  # not by the signal itself, before it was caught
                stopped += 1
                self.assertIn("stopped before tracing began", self.assert_one_line(process))
            self.assertEqual(same, status != 0, f"exit status {status}: {process.err!r}")
            if status == 0 and stopped:
                break
        self.assertGreater(stopped, 0, "it was never stopped while it started")

    def test_a_link_to_nothing_is_no_output(self):
        link, target = space().file("link.wst"), space().file("link-target.wst")
        os.symlink(target, link)
        line = self.refused(["record", "-o", link, "--duration", "1"])
        self.assertIn("link to a file that is not there", line)
        self.assertFalse(os.path.exists(target))

    def test_a_recording_that_is_removed_or_cut_meanwhile_ends(self):
        server = primary()
        for what, spoil in (("removed", os.unlink), ("cut", lambda path: os.truncate(path, 0))):
            with self.subTest(what):
                file = space().file(f"{what}.wst")
                process = walscope.start_record(space(), file, "--postmaster", str(server.pid), name=what)
                walscope.wait_attached(process, server.pid)
                spoil(file)
                self.assertEqual(process.wait(), FAILED, process.err)
                line = self.assert_one_line(process)
                self.assertIn(file, line)
                self.assertIn(f"somebody {what} it", line)

    def test_a_recording_may_be_renamed_meanwhile(self):
        server = primary()
        file, kept = space().file("before.wst"), space().file("behind.wst")
        process = walscope.start_record(space(), file, "--postmaster", str(server.pid), name="renamed")
        walscope.wait_attached(process, server.pid)
        os.rename(file, kept)
        server.replication_psql(["IDENTIFY_SYSTEM"], application="r_renamed")
        process.signal(signal.SIGINT)
        process.expect(0)
        self.assertEqual(len(walscope.view(space(), "history", kept, "--app", "r_renamed")), 1)

    def test_two_records_do_not_share_a_file(self):
        server = primary()
        file = space().file("two.wst")
        first = walscope.start_record(space(), file, "--postmaster", str(server.pid))
        walscope.wait_attached(first, server.pid)
        line = self.refused(["record", "-o", file, "--duration", "1", "--postmaster", str(server.pid)])
        self.assertIn("another recording", line)
        server.replication_psql(["IDENTIFY_SYSTEM"], application="r_two")
        first.stop()
        self.assertEqual(len(walscope.view(space(), "history", file, "--app", "r_two")), 1)

    def test_output_on_a_full_device(self):
        server = primary()
        standby()
        process = walscope.start_record(space(), "/dev/full", "--postmaster", str(server.pid),
                                        "--duration", "3", name="record-full")
        self.assertEqual(process.wait(), FAILED, process.err)
        self.assertRegex(process.err, r"No space left on device")

    def test_stdout_that_cannot_be_written(self):
        process = space().start(["/bin/sh", "-c", 'exec "$0" sessions "$1" >/dev/full', walscope.binary(),
                                 clients_file()], name="stdout-full")
        self.assertEqual(process.wait(), FAILED, process.err)
        self.assert_one_line(process)

    def test_a_reader_that_goes_away_ends_trace(self):
        server = primary()
        standby()
        trace = space().start(["/bin/sh", "-c", '"$0" trace --postmaster "$1" | head -n 3',
                               walscope.binary(), str(server.pid)], name="trace-head", stop=signal.SIGTERM)

        def ended():
            server.replication_psql(["IDENTIFY_SYSTEM"], application="r_trace")
            return not trace.running

        wait_for("trace to end after its reader", ended, every=0.2)

    # -- usage

    def test_usage_errors_have_status_2(self):
        file = space().file("usage.wst")
        for argv in (["nosuchcommand"], ["record"], ["record", "--nosuchoption"], ["sessions"],
                     ["record", "-o", file, "--level", "9"], ["record", "-o", file, "--duration", "soon"],
                     ["sess", clients_file()], []):
            with self.subTest(argv=argv):
                process = space().start([walscope.binary(), *argv], name="usage")
                self.assertEqual(process.wait(), USAGE, process.err)
                self.assertEqual(process.out, "")
                self.assertNotEqual(process.err, "")
                self.assertFalse(os.path.exists(file))

    def test_help_of_every_command_goes_to_stdout_with_status_0(self):
        for command in ("doctor", "trace", "record", "sessions", "history", "timeline", "hist"):
            process = space().run([walscope.binary(), command, "--help"], name="help")
            self.assertIn("walscope", process.out)
            self.assertEqual(process.err, "")
