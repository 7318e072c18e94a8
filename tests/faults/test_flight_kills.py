# SPDX-License-Identifier: BSD-2-Clause
"""SIGKILL of flight recorders at random moments under load, run after run in one directory: one that keeps all,
and one that begins a segment each half second and drops what is older than four seconds."""

import os
import random
import time

import flights
import segments
import walscope
from live import LiveTest, once, primary, space
from processes import start_ticks
from test_kills import Pace

KILLS = int(os.environ.get("WALSCOPE_FLIGHT_KILLS", "200"))
SEED = 20261129
KEEPS, DROPS = "16M", "1M,4s"


class Killed:
    pass


def count(found):
    return f"{len(found)} segments, {sum(segment.records for segment in found)} records"


@once
def killed():
    server, chance, seen = primary(), random.Random(SEED), Killed()
    seen.keeps, seen.drops, seen.problems = space().folder("flight-keeps"), space().folder("flight-drops"), []
    seen.rotated = 0
    receiver = server.receivewal("fk_receivewal")
    seen.pid = int(server.wait_walsender("fk_receivewal")["pid"])
    seen.session = f"{seen.pid}.{start_ticks(seen.pid)}"
    load = server.pgbench(120 + 4 * KILLS, 4)
    before, during, after = Pace(server), Pace(server), Pace(server)
    try:
        time.sleep(2)
        with before.counted():
            time.sleep(5)
        for number in range(KILLS):
            # A quarter of them while it starts.
            seconds = chance.uniform(0, 0.5) if number % 4 == 0 else chance.uniform(0.5, 1.7)
            keeps = number % 2
            with during.counted():
                flights.kill_after(seen.keeps if keeps else seen.drops, server, KEEPS if keeps else DROPS, seconds,
                                   f"flight{number % 4}")
            if not keeps and segments.segments(seen.drops):  # none: the first was killed before it had begun
                problems, _, found = flights.wrong(seen.drops)
                seen.problems += [f"kill {number}: {line}" for line in problems]
                seen.rotated += len(found) > len({segment.run for segment in found})
        # The last run gets as far as to tell of its sessions: what it did not see go on would be lost.
        flights.kill_after(seen.keeps, server, KEEPS, 5, "flight-last")
        with after.counted():
            time.sleep(5)
    finally:
        load.stop()
        receiver.stop()
    problems, seen.runs, found = flights.wrong(seen.keeps)
    seen.problems += problems
    print(f"        {KILLS} kills: {len(seen.runs)} runs of one, {count(found)}; the other was found with several "
          f"segments of a run {seen.rotated} times; transactions/s: {before.rate():.0f} before, "
          f"{during.rate():.0f} during, {after.rate():.0f} after", flush=True)
    return seen


class FlightKills(LiveTest):
    limit_s = 1200

    def test_every_recording_opens_and_nothing_written_is_missing_or_doubled(self):
        self.assertEqual(killed().problems, [])

    def test_most_runs_had_begun_and_many_had_several_segments(self):
        self.assertGreater(len(killed().runs), KILLS // 6)
        self.assertGreater(killed().rotated, KILLS // 10)

    def test_the_session_is_one_through_all_runs_and_so_is_its_command(self):
        seen = killed()
        entries = [entry for entry in walscope.view(space(), "sessions", seen.keeps, status=3)
                   if entry["session"] == seen.session]
        self.assertEqual([(entry["application_name"], entry["exit"]["reason"]) for entry in entries],
                         [("fk_receivewal", None)])
        commands = walscope.view(space(), "history", seen.keeps, "--session", seen.session, status=3)
        self.assertEqual([command["outcome"] for command in commands][-1:], ["running"])
