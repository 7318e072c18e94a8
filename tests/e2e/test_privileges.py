# SPDX-License-Identifier: BSD-2-Clause
"""Tracing with a few capabilities in place of root, and what root gives up."""

import json
import os
import pwd
import shutil
import signal

import walscope
from cluster import Server, server_user
from live import (LiveTest, Recording, may_run_as_other_user, once, primary, space, wait_disconnected,
                  walsender_pids)
from processes import Failure, wait_for

# linux/capability.h
NUMBERS = {"dac_read_search": 2, "sys_ptrace": 19, "sys_admin": 21, "perfmon": 38, "bpf": 39}
OWN = ("bpf", "perfmon")                           # the server's own user
OTHER = OWN + ("sys_ptrace", "dac_read_search")    # any other one
FAILED = 1


def mask(names):
    return sum(1 << NUMBERS[name] for name in names)


@once
def stranger():
    """A user who runs no server."""
    return pwd.getpwnam("nobody")


def with_capabilities(user, names, argv):
    """The command line that runs a program as this user with these capabilities and no other."""
    words = "-all" + "".join(f",+{name}" for name in names)
    return ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups",
            "--inh-caps", words, "--ambient-caps", words, "--bounding-set", words, *argv]


@once
def homes():
    """A home for each user, by name."""
    return {user.pw_name: space().folder(f"home-{user.pw_name}", user) for user in (stranger(), server_user())}


def environment(user):
    return {"XDG_CACHE_HOME": "", "HOME": homes()[user.pw_name]}


def start(user, names, *argv, name="capable", **more):
    return space().start(with_capabilities(user, names, [may_run_as_other_user(), *argv]), name=name,
                         env=environment(user), stop=signal.SIGINT, grace=20, **more)


def status_of(pid):
    """Sets of /proc/PID/status as numbers."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        words = dict(line.split(":", 1) for line in file)
    return {key: int(words[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} | {
        "NoNewPrivs": int(words["NoNewPrivs"])}


@once
def perf_events_take_sys_admin():
    """Does this kernel refuse perf events of uprobes to who has CAP_PERFMON? By asking it."""
    script = f"""
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
kind = int(open("/sys/bus/event_source/devices/uprobe/type").read())
path = ctypes.create_string_buffer(os.path.realpath("/proc/self/exe").encode())
attr = bytearray(112)
struct.pack_into("=II", attr, 0, kind, len(attr))
struct.pack_into("=QQ", attr, 56, ctypes.addressof(path), 4096)
raw = (ctypes.c_char * len(attr)).from_buffer(attr)
fd = libc.syscall({ {'x86_64': 298, 'aarch64': 241}[os.uname().machine] }, raw, -1, 0, -1, 8)
error = ctypes.get_errno()
print("given" if fd >= 0 or error not in (1, 13) else "refused")
"""
    process = space().run(with_capabilities(stranger(), OTHER, [shutil.which("python3"), "-c", script]),
                          name="perf-event")
    return process.out.strip() == "refused"


class Privileges(LiveTest):
    def follow(self, user, names, *options):
        """Records a walsender that ran before and one that comes; both are told as the log has them."""
        server = primary()
        file = os.path.join(homes()[user.pw_name], "x.wst")
        before = server.receivewal("p_before")
        seeded = int(server.wait_walsender("p_before")["pid"])
        process = start(user, names, "record", "-o", file, "--postmaster", server.data, *options)
        try:
            walscope.wait_attached(process, server.pid)
            server.replication_psql(["IDENTIFY_SYSTEM", "TIMELINE_HISTORY 7"], application="p_came")
            came = walsender_pids(server, "p_came")[-1]
            wait_disconnected(server, came)
            process.signal(signal.SIGINT)
            self.assertEqual(process.wait(), 0, process.err)
            self.assertEqual(len(process.err.splitlines()), 1, process.err)
        finally:
            process.close()
            before.stop()
        wait_disconnected(server, seeded)
        shutil.rmtree(before.folder)
        record = Recording(process, file)
        self.assertEqual([(entry["command"], entry["outcome"]) for entry in record.history(came)],
                         [("IDENTIFY_SYSTEM", "ok"), ("TIMELINE_HISTORY 7", "error")])
        self.assertEqual(record.session(came)["user"], "postgres")
        self.assertEqual(record.session(came)["exit"]["code"], 0)
        self.assertEqual([entry["command"] for entry in record.history(seeded)],
                         [server.logged_commands(seeded)[-1][1]])
        os.unlink(file)

    def missing(self, user, names, absent, *argv):
        """Fails with one line that names the capability and what it would take."""
        process = start(user, [name for name in names if name != absent], *argv)
        self.assertEqual(process.wait(), FAILED, process.err)
        line = self.assert_one_line(process)
        told = line.partition(" missing")[0]
        self.assertIn(f"CAP_{absent.upper()} is", told)
        for name in names:
            if name != absent:
                self.assertNotIn(f"CAP_{name.upper()}", told)
            self.assertIn(f"cap_{name}", line, "the command that mends it")
        process.close()

    def test_another_user_with_four_capabilities_follows_everything(self):
        self.follow(stranger(), OTHER)

    def test_the_servers_user_with_two_capabilities_follows_everything(self):
        self.follow(server_user(), OWN)

    def test_perf_events_with_what_this_kernel_asks_for(self):
        names = OTHER + (("sys_admin",) if perf_events_take_sys_admin() else ())
        self.follow(stranger(), names, "--attach", "perf")

    def test_perf_events_without_what_this_kernel_asks_for(self):
        file = os.path.join(homes()[stranger().pw_name], "perf.wst")
        argv = ["record", "-o", file, "--postmaster", primary().data, "--attach", "perf"]
        if perf_events_take_sys_admin():
            self.missing(stranger(), OTHER + ("sys_admin",), "sys_admin", *argv)
        else:
            self.missing(stranger(), OTHER, "perfmon", *argv)
        self.assertFalse(os.path.exists(file))

    def test_each_missing_capability_is_named(self):
        file = os.path.join(homes()[stranger().pw_name], "missing.wst")
        for argv in (["record", "-o", file], ["trace"]):
            for absent in OTHER:
                with self.subTest(command=argv[0], absent=absent):
                    self.missing(stranger(), OTHER, absent, *argv, "--postmaster", primary().data,
                                 "--duration", "1")
                    self.assertFalse(os.path.exists(file))

    def test_who_traces_only_his_own_servers_is_told_so(self):
        user, server = server_user(), primary()
        for options, lines in ((["--postgres", server.program], 0), ([], 1)):
            process = start(user, OWN, "trace", *options, "--duration", "0.1")
            process.expect(0)
            told = [line for line in process.err.splitlines() if "CAP_" in line]
            self.assertEqual(len(told), lines, process.err)
            for line in told:
                self.assertIn("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH are missing", line)

    def test_several_missing_capabilities_are_named_in_one_line(self):
        process = start(server_user(), (), "trace", "--postmaster", primary().data, "--duration", "1")
        self.assertEqual(process.wait(), FAILED, process.err)
        self.assertIn("CAP_BPF and CAP_PERFMON are missing", self.assert_one_line(process))

    def doctor(self, user, names):
        process = start(user, names, "doctor", "--pid", str(primary().pid), "--json", name="doctor-capable")
        status = process.wait()
        report, = walscope.parse_lines(process.out, "doctor")
        return status, report

    def test_doctor_tells_have_and_need_of_each_capability(self):
        cases = [(server_user(), OWN, OWN, True)] + [
            (stranger(), tuple(name for name in OTHER if name != absent), OTHER, absent is None)
            for absent in (None, *OTHER)]
        for user, have, need, good in cases:
            with self.subTest(user=user.pw_name, have=have):
                status, report = self.doctor(user, have)
                self.assertEqual((status, report["ok"]), (0 if good else FAILED, good), report["problems"])
                rows = {row["name"]: row for row in report["privileges"]["capabilities"]}
                for name in OTHER + ("sys_admin",):
                    row = rows[f"CAP_{name.upper()}"]
                    self.assertEqual((row["have"], row["need"]), (name in have, name in need), row)
                    self.assertTrue(row["purpose"])
                self.assertEqual(report["privileges"]["systemd"], "AmbientCapabilities=" + " ".join(
                    f"CAP_{name.upper()}" for name in OTHER))
                for name in set(need) - set(have):
                    told = [problem for problem in report["problems"]
                            if f"CAP_{name.upper()}" in problem["what"]]
                    self.assertEqual(len(told), 1, report["problems"])
                    self.assertEqual(told[0]["fix"], report["privileges"]["setcap"])

    def test_the_command_that_doctor_prints_is_enough(self):
        """File capabilities, as doctor says, on a copy that its user then runs without any of his own."""
        folder = space().folder("setcap")
        program = os.path.join(folder, "walscope")
        shutil.copy(walscope.binary(), program)
        os.chmod(program, 0o755)
        user, server = stranger(), primary()
        as_user = {"user": user, "env": environment(user), "stop": signal.SIGINT}
        process = space().start([program, "doctor", "--json"], name="doctor-bare", **as_user)
        self.assertEqual(process.wait(), FAILED, process.err)
        command = json.loads(process.out)["privileges"]["setcap"].split()
        self.assertEqual((command[0], command[-1]), ("setcap", program))
        space().run(command, name="setcap")
        file = os.path.join(homes()[user.pw_name], "setcap.wst")
        process = space().start([program, "record", "-o", file, "--postmaster", server.data],
                                name="record-setcap", **as_user)
        walscope.wait_attached(process, server.pid)
        server.replication_psql(["IDENTIFY_SYSTEM"], application="p_setcap")
        process.signal(signal.SIGINT)
        process.expect(0)
        pid = walsender_pids(server, "p_setcap")[-1]
        self.assertEqual([entry["command"] for entry in Recording(process, file).history(pid)],
                         ["IDENTIFY_SYSTEM"])
        self.assertEqual(os.stat(file).st_uid, user.pw_uid)
        # CAP_DAC_READ_SEARCH is for data directories: what another may not read, he may not either.
        os.chown(file, 0, 0)
        os.chmod(file, 0o600)
        view = space().start([program, "sessions", file], name="view-setcap", **as_user)
        self.assertEqual(view.wait(), FAILED, view.out)
        self.assertIn("Permission denied", self.assert_one_line(view))

    def test_the_cache_of_who_is_not_root_is_in_his_home(self):
        user, server = server_user(), primary()
        folder = os.path.join(homes()[user.pw_name], ".cache")
        os.makedirs(folder, exist_ok=True)
        os.chown(folder, user.pw_uid, user.pw_gid)
        process = start(user, OWN, "trace", "--postmaster", server.data, "--duration", "0.1")
        process.expect(0)
        _, report = self.doctor(user, OWN)
        build_id = report["servers"][0]["build_id"]
        notes = space().run(["readelf", "-n", server.program], name="readelf").out
        self.assertIn(f"Build ID: {build_id}", notes)
        cached = os.path.join(folder, "walscope", f"{build_id}.sym")
        self.assertEqual(os.stat(cached).st_uid, user.pw_uid)
        self.assertEqual(os.stat(cached).st_mode & 0o777, 0o600)

    # -- what is given up

    def given_up(self, process, left, bounding=None):
        bounding = left if bounding is None else bounding
        wanted = {"CapInh": 0, "CapPrm": mask(left), "CapEff": mask(left), "CapBnd": mask(bounding),
                  "CapAmb": 0, "NoNewPrivs": 1}
        try:
            wait_for("the privileges to be given up", lambda: status_of(process.pid) == wanted)
        except Failure:
            self.assertEqual({key: hex(value) for key, value in status_of(process.pid).items()},
                             {key: hex(value) for key, value in wanted.items()})

    def test_root_keeps_what_following_takes_and_follows_a_restart(self):
        server = Server(space(), "restarted").create().start()
        file = space().file("given-up.wst")
        process = walscope.start_record(space(), file, "--postmaster", server.data)
        try:
            walscope.wait_attached(process, server.pid)
            self.given_up(process, OTHER)
            server.restart()
            walscope.wait_followed(space(), file, server.pid)
            server.replication_psql(["IDENTIFY_SYSTEM"], application="p_after")
            # A new file as well: nothing of it is planted yet.
            server.stop()
            shutil.copy(server.program, f"{server.program}.new")
            other = Server.__new__(Server)
            other.__dict__.update(server.__dict__, program=f"{server.program}.new")
            other.start()
            walscope.wait_attached(process, other.pid)
            walscope.wait_followed(space(), file, other.pid)
            other.replication_psql(["IDENTIFY_SYSTEM"], application="p_new_file")
            process.signal(signal.SIGINT)
            process.expect(0)
            other.stop()
        finally:
            process.close()
        record = Recording(process, file)
        for application in ("p_after", "p_new_file"):
            pid, = walsender_pids(server, application)
            self.assertEqual([entry["command"] for entry in record.history(pid)], ["IDENTIFY_SYSTEM"])
        os.unlink(f"{server.program}.new")

    def test_root_keeps_only_what_reading_memory_takes_when_no_server_can_come(self):
        server = primary()
        file = space().file("all-given-up.wst")
        process = walscope.start_record(space(), file, "--postmaster", str(server.pid))
        walscope.wait_attached(process, server.pid)
        self.given_up(process, ("sys_ptrace",))
        server.replication_psql(["IDENTIFY_SYSTEM"], application="p_none")
        process.signal(signal.SIGINT)
        process.expect(0)
        pid = walsender_pids(server, "p_none")[-1]
        record = Recording(process, file)
        self.assertEqual([entry["command"] for entry in record.history(pid)], ["IDENTIFY_SYSTEM"])
        self.assertEqual(record.session(pid)["exit"]["code"], 0)

    def test_a_walsender_named_by_pid_takes_no_privilege_but_to_be_read(self):
        server = primary()
        receiver = server.receivewal("p_pid")
        pid = int(server.wait_walsender("p_pid")["pid"])
        file = space().file("one-pid.wst")
        process = walscope.start_record(space(), file, "--pid", str(pid))
        walscope.wait_attached(process, server.pid)
        self.given_up(process, ("sys_ptrace",))
        server.write_wal(1)
        receiver.stop()
        wait_disconnected(server, pid)
        process.signal(signal.SIGINT)
        process.expect(0)
        session = Recording(process, file).session(pid)
        self.assertEqual(session["exit"]["code"], 0)
        self.assertGreater(session["wal_bytes"], 0)

    def test_a_user_gives_up_what_he_does_not_need(self):
        server, user = primary(), server_user()
        file = os.path.join(homes()[user.pw_name], "user.wst")
        process = start(user, OWN + ("sys_admin",), "record", "-o", file, "--postmaster", server.data)
        walscope.wait_attached(process, server.pid)
        # Without CAP_SETPCAP the bounding set stays; no_new_privs leaves it without effect.
        self.given_up(process, OWN, bounding=OWN + ("sys_admin",))
        process.signal(signal.SIGINT)
        process.expect(0)
