# SPDX-License-Identifier: BSD-2-Clause
"""The flight recorder: kills, a piece taken out while it runs, its unit's capabilities, its syncs, a full disk."""

import os
import random
import re
import signal
import subprocess
import time

import flights
import segments
import walscope
from cluster import lsn
from live import LiveTest, once, primary, space
from processes import start_ticks, wait_for

SEED = 20261129
KILLS = 5
UNIT = os.path.join(walscope.ROOT, "scripts", "systemd", "walscope-flight.service")


def settings():
    """Those of the unit's [Service], the last one of each name."""
    with open(UNIT, encoding="ascii") as file:
        return dict(re.findall(r"^(\w+)=(.*)$", file.read(), re.M))


@once
def traced_calls():
    """A recorder's folder, and its system calls that were answered with no error, by strace: (name, arguments)."""
    server, folder, log = primary(), space().folder("flight-calls"), space().file("calls.log")
    process = space().start(["strace", "-f", "-y", "-o", log, walscope.binary(), "record", "-q", "-o", folder,
                             "--flight", "1M,16s", "--postmaster", str(server.pid), "--duration", "7"], name="calls")
    process.expect(0, timeout=60)
    with open(log, encoding="utf-8", errors="replace") as file:
        return folder, re.findall(r"^\d+ +(\w+)\((.*)\) += [^-]", file.read(), re.M)


def allowed_calls(names):
    """Names and @sets of SystemCallFilter= as the calls they stand for."""
    text = space().run(["systemd-analyze", "syscall-filter"], name="filters").out
    sets, last = {}, None
    for line in text.splitlines():
        word = line.strip()
        if line.startswith("@"):
            last = sets.setdefault(word, [])
        elif word and not word.startswith("#") and last is not None:
            last.append(word)
    found = set()
    while names:
        name, names = names[0], names[1:]
        if name.startswith("@"):
            names = names + sets[name]
        else:
            found.add(name)
    return found


class Flown:
    pass


@once
def flown():
    """A walsender under load, and recorders of it that are killed; the last one ends in good order."""
    server, chance, seen = primary(), random.Random(SEED), Flown()
    seen.folder = space().folder("flight")
    receiver = server.receivewal("fl_receivewal")
    seen.pid = int(server.wait_walsender("fl_receivewal")["pid"])
    seen.session = f"{seen.pid}.{start_ticks(seen.pid)}"
    seen.command = server.value(f"select query from pg_stat_activity where pid = {seen.pid}")
    load = server.pgbench(60, 4)
    for number in range(KILLS):
        flights.kill_after(seen.folder, server, "1M", chance.uniform(1.3, 2.2), f"flight{number}")
    recorder = flights.start(seen.folder, server, "1M")
    walscope.wait_attached(recorder, server.pid)
    # Enough for several segments of 64 KiB.
    first = len(segments.segments(seen.folder))
    wait_for("some segments", lambda: len(segments.segments(seen.folder)) >= first + 2, 30)
    seen.second = flights.start(seen.folder, server, "1M", name="second")
    seen.second_status = seen.second.wait(20)
    seen.recorder_pid = recorder.pid
    seen.piece = space().file("piece.wst")
    seen.before = server.value("select pg_current_wal_lsn()")
    space().run([walscope.binary(), "freeze", seen.folder, "-o", seen.piece, "--last", "3s"], name="freeze")
    seen.sizes = sum(segment.size for segment in segments.segments(seen.folder))
    recorder.signal(signal.SIGINT)
    seen.status = recorder.wait(30)
    load.stop()
    receiver.stop()
    return seen


class Flight(LiveTest):
    limit_s = 90

    def test_after_kills_nothing_that_was_written_is_missing_or_doubled(self):
        seen = flown()
        problems, runs, found = flights.wrong(seen.folder)
        self.assertEqual(problems, [])
        self.assertIn(seen.status, (0, 3))
        self.assertGreater(len({segment.run for segment in found}), 1)
        self.assertEqual(len(runs), len({segment.run for segment in found}))
        self.assertLessEqual(seen.sizes, 1024 * 1024)

    def test_each_segment_knows_the_session_that_began_before_it(self):
        seen = flown()
        segment = segments.segments(seen.folder)[-1]
        entries = walscope.view(space(), "sessions", segment.path)
        entry = next(entry for entry in entries if entry["session"] == seen.session)
        self.assertEqual((entry["application_name"], entry["kind"]), ("fl_receivewal", "physical"))
        commands = walscope.view(space(), "history", segment.path, "--session", seen.session)
        self.assertEqual([(command["command"], command["outcome"]) for command in commands],
                         [(seen.command, "running")])

    def test_a_second_recorder_is_refused_by_one_line_with_the_pid(self):
        seen = flown()
        self.assertEqual(seen.second_status, 1)
        self.assertRegex(seen.second.err, rf"\A[^\n]*process {seen.recorder_pid}\b[^\n]*\n\Z")

    def test_a_piece_is_whole_and_as_long_as_asked(self):
        seen = flown()
        entries = walscope.view(space(), "sessions", seen.piece)
        entry = next(entry for entry in entries if entry["session"] == seen.session)
        self.assertEqual(entry["application_name"], "fl_receivewal")
        self.assertGreater(entry["wal_bytes"], 0)
        spans = walscope.view(space(), "timeline", seen.piece, "--session", seen.session)
        length = sum(span["duration_ns"] for span in spans) / 1e9
        self.assertGreater(length, 2.5)
        self.assertLess(length, 3.5)
        # What was sent before it was called is in it.
        sent = max(walscope.position(span, "lsn_to") or 0 for span in spans)
        self.assertGreaterEqual(sent, lsn(seen.before))

    def test_one_session_is_told_alike_whether_others_are_read_or_not(self):
        seen = flown()
        for command in ("sessions", "history", "timeline", "hist"):
            whole = [entry for entry in walscope.view(space(), command, seen.folder, status=3)
                     if entry["session"] == seen.session]
            self.assertEqual(walscope.view(space(), command, seen.folder, "--session", seen.session, status=3),
                             whole, command)

    def test_the_story_of_a_session_goes_through_all_runs(self):
        seen = flown()
        entry, = walscope.view(space(), "show", seen.folder, "--session", seen.session, status=3)
        self.assertEqual((entry["session"], entry["application_name"]), (seen.session, "fl_receivewal"))
        self.assertEqual(entry["commands"][-1]["command"], seen.command)

    def test_it_runs_with_what_the_unit_leaves_it(self):
        names = [name.removeprefix("CAP_").lower() for name in settings()["CapabilityBoundingSet"].split()]
        words = "-all" + "".join(f",+{name}" for name in names)
        server, folder = primary(), space().folder("flight-unit")
        process = space().start(["setpriv", "--bounding-set", words, "--inh-caps", "-all", "--no-new-privs",
                                 walscope.binary(), "record", "-q", "-o", folder, "--flight", "1M,7d",
                                 "--postmaster", str(server.pid)],
                                name="unit", stop=signal.SIGINT, grace=20)
        walscope.wait_attached(process, server.pid)
        server.replication_psql(["IDENTIFY_SYSTEM"], application="fl_unit")
        process.signal(signal.SIGTERM)
        process.expect(0)
        names = [entry["application_name"] for entry in walscope.view(space(), "sessions", folder)]
        self.assertIn("fl_unit", names)

    def test_the_unit_is_sound_and_hardened(self):
        text = space().file("walscope-flight.service")
        with open(UNIT, encoding="ascii") as file, open(text, "w", encoding="ascii") as out:
            out.write(file.read().replace("/usr/local/sbin/walscope", walscope.binary()))
        process = space().run(["systemd-analyze", "--man=no", "verify", text], name="verify")
        self.assertEqual(process.out + process.err, "")
        process = space().run(["systemd-analyze", "security", "--offline=true", "--threshold=30", text],
                              name="security")
        self.assertIn("Overall exposure level", process.out)

    def test_what_was_written_is_synced_as_promised(self):
        """Of each segment its beginning before it has its name, then its directory, and in the end its whole."""
        folder, calls = traced_calls()
        calls = [(call, args) for call, args in calls if re.fullmatch(r"f(data)?sync|rename\w*", call)]
        begun = [number for number, (call, _) in enumerate(calls) if call.startswith("rename")]
        self.assertGreaterEqual(len(begun), 3)
        for number in begun:
            self.assertIn(".tmp", calls[number - 1][1])
            self.assertRegex(calls[number + 1][1], rf"<{re.escape(folder)}>")
        ended = [args for call, args in calls if call == "fsync" and args.endswith(".wst>")]
        self.assertEqual(len(ended), len(begun))

    def test_it_calls_nothing_that_the_unit_forbids(self):
        allowed = allowed_calls(["@default", *settings()["SystemCallFilter"].split()])
        _, calls = traced_calls()
        self.assertEqual({call for call, _ in calls} - allowed, set())
        families = {args.split(",")[0] for call, args in calls if call in ("socket", "socketpair")}
        self.assertLessEqual(families, set(settings()["RestrictAddressFamilies"].split()))
        executable = [args for call, args in calls if call in ("mmap", "mprotect")
                      and "PROT_WRITE" in args and "PROT_EXEC" in args]
        self.assertEqual(executable, [])


class Again(LiveTest):
    limit_s = 60

    def test_a_session_seen_from_its_start_is_the_same_one_to_the_next_run(self):
        server, folder = primary(), space().folder("flight-again")
        first = flights.start(folder, server, "1M", name="again")
        walscope.wait_attached(first, server.pid)
        receiver = server.receivewal("fl_again")
        pid = int(server.wait_walsender("fl_again")["pid"])
        session = walscope.session_id(pid)
        time.sleep(2.2)  # it is written down
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        second = flights.start(folder, server, "1M", name="again")
        walscope.wait_attached(second, server.pid)
        time.sleep(1)
        second.signal(signal.SIGINT)
        second.expect(0)
        entry, = walscope.view(space(), "show", folder, "--session", session, status=3)
        self.assertIsNotNone(entry["start_phases"]["startup_packet_ns"], "its start was seen")
        self.assertEqual(entry["application_name"], "fl_again")
        self.assertEqual([command["outcome"] for command in entry["commands"]][-1:], ["running"])
        self.assertIsNone(entry["exit"]["reason"])
        self.assertEqual([stream["found"] for stream in entry["streams"]], [False, True])
        receiver.stop()


class Full(LiveTest):
    limit_s = 60

    def test_a_full_disk_is_said_once_counted_and_got_over(self):
        server, mount = primary(), space().folder("flight.disk")
        script = 'mount -t tmpfs -o size=4M,mode=755 tmpfs "$1" && cd "$1" && shift || exit 99; exec "$@"'
        process = space().start(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", mount, walscope.binary(),
             "record", "-q", "-o", f"{mount}/ring", "--flight", "3M", "--postmaster", str(server.pid)],
            name="flight-full", stop=signal.SIGINT, grace=20)
        walscope.wait_attached(process, server.pid)
        there = f"/proc/{process.pid}/root{mount}"
        server.replication_psql(["IDENTIFY_SYSTEM"], application="ff_before")
        time.sleep(2.2)
        with open(f"{there}/filler", "wb", buffering=0) as out:
            try:
                while out.write(bytes(4096)):
                    pass
            except OSError:
                pass
        for number in range(400):
            server.replication_psql(["IDENTIFY_SYSTEM"] * 200, application=f"ff_{number}")
            if "recording paused" in process.err:
                break
        wait_for("the pause", lambda: "recording paused" in process.err)
        server.replication_psql(["IDENTIFY_SYSTEM"] * 200, application="ff_meanwhile")
        time.sleep(2.2)
        os.unlink(f"{there}/filler")
        server.replication_psql(["IDENTIFY_SYSTEM"], application="ff_behind")
        wait_for("it to go on", lambda: "recording resumed" in process.err)
        time.sleep(2.2)  # its block is written
        copy = space().file("ring-copy")
        subprocess.run(["cp", "-r", f"{there}/ring", copy], check=True)
        process.signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 3)
        self.assertEqual(len(re.findall("recording paused", process.err)), 1)
        missing = int(re.search(r"resumed: .*: (\d+) records are missing", process.err)[1])
        events = walscope.view(space(), "trace", copy, status=3)
        gaps = [event for event in events if event["event"] == "gap" and event["cause"] == "unwritten"]
        self.assertEqual([gap["lost"] for gap in gaps], [missing])
        names = {event["application_name"] for event in events if event["event"] == "session"}
        self.assertLessEqual({"ff_before", "ff_behind"}, names)
