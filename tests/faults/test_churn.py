# SPDX-License-Identifier: BSD-2-Clause
"""64 walsenders that connect, run three commands and leave, as fast as they can."""

import collections
import os
import time

import books
import walscope
from churning import churn, churn_server, read_churn
from live import LiveTest, once, recording
from processes import stat_fields, wait_for

WORKERS, SECONDS = 64, 20
MAP_SIZE = 4096  # WS_SESSIONS_MAX
TICKS = os.sysconf("SC_CLK_TCK")


def usage(pid):
    """(CPU seconds, resident megabytes at most) of a process."""
    fields = stat_fields(pid)
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / TICKS, peak / 1024


class Crowd:
    pass


@once
def crowd():
    server = churn_server()
    seen = Crowd()
    with recording(server) as record:
        begin = time.monotonic()
        process = churn(server, WORKERS, SECONDS, "crowd")
        process.expect(0, timeout=SECONDS + 60)
        seen.seconds = time.monotonic() - begin
        wait_for("the last walsender to be gone",
                 lambda: not server.sql("select 1 from pg_stat_activity where backend_type = 'walsender'"))
        seen.cpu, seen.peak = usage(record.process.pid)
        record.process.signal(2)
        status = record.process.wait(60)
    seen.clients = read_churn(process)
    seen.status = 3 if status == 3 else 0
    seen.record = record
    seen.events = record.view("trace", status=seen.status)
    commands = sum(len(client["commands"]) for client in seen.clients)
    stop = books.stop_of(seen.events)
    print(f"        {len(seen.clients)} sessions and {commands} commands in {seen.seconds:.1f} s: "
          f"{len(seen.clients) / seen.seconds:.0f} sessions/s, {stop['produced'] / seen.seconds:.0f} records/s, "
          f"{stop['lost']} lost, recorder {seen.cpu:.2f} s of CPU, {seen.peak:.1f} MB", flush=True)
    return seen


class Churn(LiveTest):
    limit_s = 240

    def test_every_session_is_there_or_counted_as_lost(self):
        seen = crowd()
        made, lost = (books.stop_of(seen.events)[key] for key in ("made_of", "lost_of"))
        self.assertGreater(len(seen.clients), 20 * WORKERS)
        self.assertEqual(made["session"], len(seen.clients))
        self.assertEqual(made["exit"], len(seen.clients))
        self.assertEqual(made["command"], sum(len(client["commands"]) for client in seen.clients))
        sessions = {entry["pid"] for entry in seen.record.view("sessions", status=seen.status)}
        absent = {client["pid"] for client in seen.clients} - sessions
        self.assertLessEqual(len(absent), lost["session"])
        self.assertEqual(+books.by_kind(seen.events), +books.kept(books.stop_of(seen.events)))
        self.assertEqual(books.sequences(seen.events), [])

    def test_every_command_is_as_its_client_tells_where_nothing_was_lost(self):
        seen = crowd()
        pids = collections.Counter(client["pid"] for client in seen.clients)
        lossy = {entry["pid"] for entry in seen.record.view("sessions", status=seen.status) if entry["lost"]}
        history = {}
        for entry in seen.record.view("history", status=seen.status):
            history.setdefault(entry["pid"], []).append((entry["command"], entry["sqlstate"]))
        wrong = [(client, history.get(client["pid"])) for client in seen.clients
                 if client["pid"] not in lossy and pids[client["pid"]] == 1
                 and history.get(client["pid"]) != [tuple(pair) for pair in client["commands"]]]
        self.assertEqual(wrong[:5], [])
        if books.stop_of(seen.events)["lost"] == 0:
            self.assertEqual(lossy, set())

    def test_every_end_has_its_reason(self):
        seen = crowd()
        left = collections.Counter(
            (entry["exit"]["reason"], entry["exit"]["code"], entry["exit"]["signal"])
            for entry in seen.record.view("sessions", status=seen.status)
            if entry["lost"] == 0 and entry["application_name"].startswith("crowd"))
        self.assertEqual(set(left), {("client_terminated", 0, 0)}, left)

    def test_the_recorder_needs_no_memory_for_sessions_that_ended(self):
        self.assertLess(crowd().peak, 100)

    def test_sessions_that_find_the_map_full_are_counted(self):
        """The recorder is stopped until more walsenders have ended than the kernel keeps."""
        server = churn_server()
        process = walscope.start_record(server.space, server.space.file("full.wst"), "--postmaster",
                                        str(server.pid), "--ring", "64M", name="full")
        walscope.wait_attached(process, server.pid)
        process.signal(19)
        clients = []
        while sum(len(read_churn(done)) for done in clients) < MAP_SIZE + 500:
            clients.append(churn(server, WORKERS, 8, "full").expect(0, timeout=60))
        process.signal(18)
        time.sleep(1.5)
        clients.append(churn(server, 8, 1, "again").expect(0, timeout=60))
        process.signal(2)
        process.expect(3, timeout=60)
        done = [client for each in clients for client in read_churn(each)]
        events = walscope.view(server.space, "trace", server.space.file("full.wst"), status=3)
        stop = books.stop_of(events)
        untracked = sum(gap["lost"] for gap in books.gaps(events) if gap["cause"] == "sessions_full")
        print(f"        {len(done)} sessions while the map has room for {MAP_SIZE}: {untracked} not followed",
              flush=True)
        self.assertGreater(untracked, 0)
        self.assertEqual(stop["made_of"]["session"] + untracked, len(done))
        self.assertEqual(+books.by_kind(events), +books.kept(stop))
        self.assertEqual(books.sequences(events), [])
        self.assertIn(f"{untracked} sessions not traced", process.err)
        names = {entry["application_name"]
                 for entry in walscope.view(server.space, "sessions", server.space.file("full.wst"), status=3)}
        self.assertLessEqual({client["application"] for client in read_churn(clients[-1])}, names)

    def test_a_tiny_ring_loses_and_says_how_much_of_each_kind(self):
        server = churn_server()
        for ring in ("4k", "16k", "64k"):
            with self.subTest(ring=ring):
                process = walscope.start_record(
                    server.space, server.space.file(f"ring{ring}.wst"), "--postmaster", str(server.pid),
                    "--ring", ring, name=f"ring{ring}")
                walscope.wait_attached(process, server.pid)
                load = server.pgbench(5, 4)
                stay = server.receivewal(f"ring{ring}_stay")
                clients = churn(server, 16, 5, f"ring{ring}_churn")
                for _ in range(4):
                    time.sleep(0.8)
                    process.signal(19)
                    time.sleep(0.3)
                    process.signal(18)
                clients.expect(0)
                load.expect(0)
                stay.stop()
                process.signal(2)
                process.expect(3)
                events = walscope.view(server.space, "trace", server.space.file(f"ring{ring}.wst"), status=3)
                stop = books.stop_of(events)
                done = read_churn(clients)
                print(f"        ring {ring}: {stop['produced']} made, {stop['lost']} lost: "
                      + ", ".join(f"{number} {kind}" for kind, number in books.lost(stop).items()), flush=True)
                self.assertGreater(stop["lost"], 0)
                self.assertEqual(stop["made_of"]["session"], len(done) + 1)
                self.assertEqual(stop["made_of"]["exit"], len(done) + 1)
                self.assertEqual(+books.by_kind(events), +books.kept(stop))
                self.assertEqual(books.sequences(events), [])
                self.assertEqual(books.missing(events), stop["lost"])
