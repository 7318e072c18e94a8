# SPDX-License-Identifier: BSD-2-Clause
"""Loss is a fact, never a silence: a ring that is too small, a disk that is full, a clock that steps, a
reader that goes away. The long versions are in tests/faults."""

import os
import resource
import signal
import subprocess
import time

import books
import protocol
import walscope
from churning import churn, churn_server, read_churn
from live import LiveTest, once, primary, recording, space, wait_caught_up, walsender_pids
from processes import alive, command_line, parents, start_ticks, wait_for

VIEWS = ("sessions", "history", "timeline", "hist", "trace")
SLEPT = (0.5, 2.5, 0.7)  # s, by a client while a clock steps in the longest


@once
def lossy():
    """A recording through the smallest of rings, with clients that stay, come and go; walscope itself is
    stopped for a moment, so that something is lost however fast this machine is."""
    server = churn_server()
    stay = server.receivewal("loss_before")  # found running
    server.wait_walsender("loss_before")
    before = time.time()
    process = walscope.start_record(space(), space().file("lossy.wst"), "--postmaster", str(server.pid),
                                    "--ring", "4k", name="lossy")
    walscope.wait_attached(process, server.pid)
    late = server.receivewal("loss_after", "-s", "1")
    server.wait_walsender("loss_after")
    load = server.pgbench(300, 4)
    clients = churn(server, 6, 3, "loss_churn")
    while clients.running:
        time.sleep(0.6)
        process.signal(signal.SIGSTOP)
        time.sleep(0.2)
        process.signal(signal.SIGCONT)
    clients.expect(0)
    load.signal(signal.SIGALRM)  # as if its time were over
    load.expect(0)
    wait_caught_up(server, "loss_after")
    wait_for("the walsenders of clients that left to end", lambda: sum(
        parent == server.pid and "walsender" in command_line(pid) for pid, parent in parents().items()) == 2)
    process.signal(signal.SIGINT)
    process.expect(3)
    process.file = space().file("lossy.wst")
    process.server, process.before = server, before
    process.clients = read_churn(clients)
    for client in (stay, late):
        client.stop()
    return process


@once
def lossy_events():
    return walscope.view(space(), "trace", lossy().file, status=3)


class Loss(LiveTest):
    # -- a ring that is too small

    def test_by_kind_what_was_made_is_recorded_or_counted_as_lost(self):
        events = lossy_events()
        stop = books.stop_of(events)
        self.assertEqual(+books.by_kind(events), +books.kept(stop))
        self.assertEqual(stop["lost"], sum(stop["lost_of"].values()))
        self.assertGreater(stop["lost"], 0)
        self.assertEqual(books.missing(events), stop["lost"])

    def test_what_was_made_is_what_clients_did(self):
        """Of sessions and commands the clients know themselves how many there were."""
        made, clients = books.stop_of(lossy_events())["made_of"], lossy().clients
        self.assertGreater(len(clients), 20)
        self.assertEqual(made["session"], len(clients) + 2)
        self.assertEqual(made["exit"], len(clients))
        # loss_before: the command it is in. loss_after: all that pg_receivewal sends.
        pid = walsender_pids(lossy().server, "loss_after", lossy().before)[0]
        others = 1 + len(lossy().server.logged_commands(pid))
        self.assertEqual(made["command"], sum(len(client["commands"]) for client in clients) + others)
        self.assertEqual(made["error"], sum(state is not None for client in clients
                                            for _, state in client["commands"]))

    def test_each_hole_in_the_numbers_is_a_gap_and_each_gap_a_hole(self):
        self.assertEqual(books.sequences(lossy_events()), [])

    def test_the_kinds_that_were_lost_are_said_once(self):
        lines = [line for line in lossy().err.splitlines() if "are missing" in line]
        self.assertEqual(len(lines), 1, lossy().err)
        for kind, number in books.lost(books.stop_of(lossy_events())).items():
            self.assertRegex(lines[0], rf"[:,] {number} {kind}\b")

    def test_every_view_of_it_says_so_in_one_line(self):
        for command in VIEWS:
            for json in ([], ["--json"]):
                with self.subTest(command=command, json=bool(json)):
                    process = space().run([walscope.binary(), command, lossy().file, *json], status=3,
                                          name=f"lossy-{command}")
                    lines = process.err.splitlines()
                    self.assertEqual(len(lines), 1, process.err)
                    self.assertRegex(lines[0], r"^walscope: .*: \d+ events are missing")

    def test_sessions_say_how_much_they_lost(self):
        events = lossy_events()
        lost = {}
        for entry in books.gaps(events):
            if entry["session"]:
                more = 1 if entry["cause"] == "exit_missed" and not entry["lost"] else entry["lost"]
                lost[entry["session"]] = lost.get(entry["session"], 0) + more
        self.assertGreater(len(lost), 1)
        for entry in walscope.view(space(), "sessions", lossy().file, status=3):
            self.assertEqual(entry["lost"], lost.get(entry["session"], 0), entry["session"])

    def test_a_session_that_lost_nothing_is_as_its_client_tells(self):
        server = lossy().server
        whole = {entry["pid"] for entry in walscope.view(space(), "sessions", lossy().file, status=3)
                 if entry["lost"] == 0}
        history = {}
        for entry in walscope.view(space(), "history", lossy().file, status=3):
            history.setdefault(entry["pid"], []).append((entry["command"], entry["sqlstate"]))
        for client in lossy().clients:
            seen, expected = history.get(client["pid"], []), [tuple(pair) for pair in client["commands"]]
            if client["pid"] in whole:
                self.assertEqual(seen, expected, client["application"])
            for pair in seen:  # nothing is made up of what is left
                if pair[0] is not None and pair[1] is not None:
                    self.assertIn(pair, expected)
        self.assertEqual(server.process.running, True)

    def test_the_time_of_a_gap_is_lost_time_and_never_claimed(self):
        timeline = {}
        for entry in walscope.view(space(), "timeline", lossy().file, status=3):
            begin = walscope.nanoseconds(entry["start"])
            timeline.setdefault(entry["session"], []).append(
                (begin, begin + entry["duration_ns"], entry["state"]))
        checked, behind = 0, {}
        for entry in reversed(lossy_events()):
            gap, entry_behind = entry, behind.get(entry["session"])
            if entry["session"]:
                behind[entry["session"]] = entry
            if entry["event"] != "gap" or not entry["session"] or not gap["lost"] or not gap["from"]:
                continue
            begin, end = walscope.nanoseconds(gap["from"]), walscope.nanoseconds(gap["to"])
            # The next record tells of the time it is about.
            if entry_behind and entry_behind["duration_ns"]:
                end = walscope.nanoseconds(entry_behind["time"]) - entry_behind["duration_ns"]
            for start, stop, state in timeline[gap["session"]]:
                if min(stop, end) > max(start, begin):
                    checked += 1
                    self.assertEqual(state, "lost", gap)
        self.assertGreater(checked, 0)

    def test_a_command_of_which_the_end_is_missing_is_lost(self):
        """In sessions that a gap in front of the exit has cut off."""
        for entry in walscope.view(space(), "history", lossy().file, status=3):
            if entry["outcome"] in ("ok", "error"):
                self.assertIsNotNone(entry["duration_ns"], entry)
        last = {}
        for entry in lossy_events():
            if entry["session"]:
                last.setdefault(entry["session"], []).append(entry["event"])
        cut = {session for session, names in last.items()
               if "gap" in names and "command" in names
               and not {"command_end", "error"} & set(names[len(names) - 1 - names[::-1].index("command"):])
               and "gap" in names[len(names) - 1 - names[::-1].index("command"):]
               and names[-1] in ("exit", "gap")}
        outcomes = {}
        for entry in walscope.view(space(), "history", lossy().file, status=3):
            outcomes.setdefault(entry["session"], []).append(entry["outcome"])
        for session in cut:
            self.assertIn("lost", outcomes.get(session, []), session)

    # -- nothing lost, and the same books

    def test_the_books_agree_with_a_filter_too(self):
        server = primary()
        with recording(server, "--app", "loss_wanted") as record:
            server.replication_psql(["IDENTIFY_SYSTEM", "SHOW port"], application="loss_wanted")
            server.replication_psql(["IDENTIFY_SYSTEM"], application="loss_unwanted")
        events = record.view("trace")
        stop = books.stop_of(events)
        self.assertEqual(+books.by_kind(events), +books.kept(stop))
        self.assertEqual(books.lost(stop), {})
        self.assertEqual(stop["made_of"]["session"] - stop["filtered_of"]["session"], 1)
        self.assertGreaterEqual(stop["filtered_of"]["command"], 1)

    def test_sessions_of_another_server_are_filtered_not_lost(self):
        server, other = primary(), churn_server()
        with recording(server) as record:
            other.replication_psql(["IDENTIFY_SYSTEM"], application="loss_other")
            server.replication_psql(["IDENTIFY_SYSTEM"], application="loss_mine")
        events = record.view("trace")
        stop = books.stop_of(events)
        self.assertEqual(+books.by_kind(events), +books.kept(stop))
        self.assertEqual(books.sequences(events), [])
        self.assertGreaterEqual(stop["filtered_of"]["session"], 1)

    # -- a reader that goes away

    def test_output_to_a_closed_pipe_ends_silently(self):
        server = primary()
        with recording(server) as record:
            server.replication_psql(["IDENTIFY_SYSTEM"], application="loss_pipe")
        argvs = [[command, record.file, *json] for command in VIEWS for json in ([], ["--json"])]
        argvs += [[command, "--live", "--duration", "300ms", "--postmaster", str(server.pid)]
                  for command in VIEWS]
        argvs += [["doctor"], ["doctor", "--json"], ["--help"], ["sessions", "--help"]]
        for argv in argvs:
            with self.subTest(argv=argv):
                self.assertEqual(self.into_closed_pipe(argv), (0, ""))

    def into_closed_pipe(self, argv):
        """(status, stderr) of a run whose stdout nobody reads any more."""
        read, write = os.pipe()
        os.close(read)
        try:
            done = subprocess.run([walscope.binary(), *argv], stdout=write, stderr=subprocess.PIPE, text=True,
                                  timeout=60, check=False)
        finally:
            os.close(write)
        return done.returncode, "".join(line for line in done.stderr.splitlines(True)
                                        if "no PostgreSQL server" not in line)

    def test_a_recording_whose_stderr_is_a_closed_pipe_is_whole(self):
        server = primary()
        read, write = os.pipe()
        file = space().file("closed_stderr.wst")
        process = subprocess.Popen([walscope.binary(), "record", "-o", file, "--postmaster", str(server.pid)],
                                   stderr=write, stdin=subprocess.DEVNULL)
        try:
            os.close(write)
            walscope.wait_attached(PlainProcess(process), server.pid)
            os.close(read)
            server.replication_psql(["IDENTIFY_SYSTEM"], application="loss_stderr")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(60), 0)
        finally:
            process.kill()
            process.wait()
        names = [entry["application_name"] for entry in walscope.view(space(), "sessions", file)]
        self.assertIn("loss_stderr", names)

    # -- a clock that steps

    def stepped(self, seconds):
        """A recording of whose wall clock the second half is `seconds` away, and how long each command of its
        client lasted for that one."""
        server = primary()
        library, step = step_library(), space().file(f"step{seconds}")
        file = space().file(f"stepped{seconds}.wst")
        process = walscope.start_record(
            space(), file, "--postmaster", str(server.pid), name=f"stepped{seconds}",
            env={"LD_PRELOAD": library, "CLOCK_STEP_FILE": step})
        walscope.wait_attached(process, server.pid)
        begin, lasted = time.time(), []
        with protocol.connect(server, "database", f"loss_step{seconds}", database="postgres") as client:
            for slept in SLEPT:
                sent = time.monotonic()
                client.send("Q", f"select pg_sleep({slept})\0".encode())
                if slept == max(SLEPT):
                    time.sleep(0.3)
                    with open(step + ".new", "w", encoding="ascii") as out:
                        out.write(str(seconds))
                    os.rename(step + ".new", step)
                client.wait_ready()
                lasted.append(time.monotonic() - sent)
            client.terminate()
        ticks = start_ticks(client.pid)
        wait_for("its walsender to end", lambda: not alive(client.pid, ticks))
        end = time.time()
        process.signal(signal.SIGINT)
        process.expect(0)
        return file, client.pid, begin, end, lasted

    def check_step(self, seconds):
        file, pid, begin, end, lasted = self.stepped(seconds)
        history = [entry for entry in walscope.view(space(), "history", file) if entry["pid"] == pid]
        self.assertEqual([entry["command"] for entry in history], [f"select pg_sleep({slept})" for slept in SLEPT])
        for entry, slept, longest in zip(history, SLEPT, lasted):
            self.assertGreaterEqual(entry["duration_ns"] / 1e9, slept)
            self.assertLessEqual(entry["duration_ns"] / 1e9, longest)
        # Each time is what the clock said then.
        self.assertTrue(begin - 1 <= walscope.seconds(history[0]["start"]) <= end, history[0])
        self.assertTrue(begin - 1 <= walscope.seconds(history[2]["start"]) - seconds <= end, history[2])
        session, = [entry for entry in walscope.view(space(), "sessions", file) if entry["pid"] == pid]
        self.assertGreaterEqual(session["duration_ns"] / 1e9, sum(SLEPT))
        self.assertLessEqual(session["duration_ns"] / 1e9, end - begin)
        timeline = [entry for entry in walscope.view(space(), "timeline", file) if entry["pid"] == pid]
        self.assertEqual(sum(entry["duration_ns"] for entry in timeline), session["duration_ns"])
        jumps = [walscope.nanoseconds(after["start"]) - walscope.nanoseconds(entry["start"])
                 - entry["duration_ns"] for entry, after in zip(timeline, timeline[1:])]
        self.assertEqual([round(jump / 1e9) for jump in jumps if jump], [seconds])
        events = walscope.view(space(), "trace", file)
        self.assertEqual(books.sequences(events), [])
        # In the order in which things happened, whatever the clock says.
        order = [entry["event"] for entry in events if entry["pid"] == pid]
        self.assertEqual(order[0], "session")
        self.assertEqual(order[-1], "exit")

    def test_a_mocked_wall_clock_that_steps_forward_harms_neither_order_nor_durations(self):
        self.check_step(3600)

    def test_a_mocked_wall_clock_that_steps_back_harms_neither_order_nor_durations(self):
        self.check_step(-3600)

    # -- a limit on the size of files

    def names(self, file):
        """Applications in a recording that is being written, which has no end yet."""
        process = space().start([walscope.binary(), "sessions", file, "--json"], name="names")
        process.expect(3)
        return {entry["application_name"] for entry in walscope.parse_lines(process.out, "sessions")}

    def test_beyond_the_limit_on_file_sizes_the_recording_pauses_and_goes_on(self):
        server = primary()
        file = space().file("limited.wst")
        process = walscope.start_record(space(), file, "--postmaster", str(server.pid), name="limited")
        walscope.wait_attached(process, server.pid)
        header = os.path.getsize(file)
        server.replication_psql(["IDENTIFY_SYSTEM"], application="loss_first")
        wait_for("its events in the file", lambda: "loss_first" in self.names(file))
        self.assertGreater(os.path.getsize(file), header)
        unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (os.path.getsize(file) + 1, unlimited[1]))
        server.replication_psql(["IDENTIFY_SYSTEM"], application="loss_unwritten")
        wait_for("the pause", lambda: "recording paused" in process.err)
        time.sleep(3)  # its records are in a block, and that was tried
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
        wait_for("it to go on", lambda: "recording resumed" in process.err)
        server.replication_psql(["IDENTIFY_SYSTEM"], application="loss_third")
        process.signal(signal.SIGINT)
        process.expect(3)
        names = {entry["application_name"] for entry in walscope.view(space(), "sessions", file, status=3)}
        self.assertEqual(names & {"loss_first", "loss_unwritten", "loss_third"}, {"loss_first", "loss_third"})
        events = walscope.view(space(), "trace", file, status=3)
        gap, = books.gaps(events)
        self.assertEqual((gap["cause"], gap["session"]), ("unwritten", None))
        stop = books.stop_of(events)
        # What is not there is in the gap, which also stands for the collector's own records.
        absent = sum(books.kept(stop).values()) - sum(books.by_kind(events).values())
        self.assertGreater(absent, 0)
        self.assertGreaterEqual(gap["lost"], absent)
        self.assertEqual([line.split(": ")[1] for line in process.err.splitlines() if "recording " in line],
                         ["recording paused", "recording resumed"])


class PlainProcess:
    """As much of a Process as wait_attached asks for."""

    def __init__(self, popen):
        self.popen, self.pid = popen, popen.pid

    @property
    def running(self):
        return self.popen.poll() is None

    def describe(self):
        return "record"

    def wait(self):
        return self.popen.wait(60)


@once
def step_library():
    """The library that steps the wall clock of one program, built here."""
    source = os.path.join(walscope.ROOT, "tests", "lib", "preload", "clock_step.c")
    library = space().file("clock_step.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", library, source, "-ldl"], check=True)
    return library
