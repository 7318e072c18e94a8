# SPDX-License-Identifier: BSD-2-Clause
"""SIGKILL of flight recorders at random moments under load: in one directory, run after run."""

import os
import random
import time

import flights
import walscope
from live import LiveTest, once, primary, space
from processes import start_ticks
from test_kills import Pace

KILLS = int(os.environ.get("WALSCOPE_FLIGHT_KILLS", "200"))
SEED = 20261129
SIZE = "4M"  # segments of 256 KiB, of which the oldest go


class Killed:
    pass


@once
def killed():
    server, chance, seen = primary(), random.Random(SEED), Killed()
    seen.folder, seen.problems = space().folder("flight-kills"), []
    receiver = server.receivewal("fk_receivewal")
    seen.pid = int(server.wait_walsender("fk_receivewal")["pid"])
    seen.session = f"{seen.pid}.{start_ticks(seen.pid)}"
    load = server.pgbench(20 + 4 * KILLS, 4)
    before, during, after = Pace(server), Pace(server), Pace(server)
    try:
        time.sleep(2)
        with before.counted():
            time.sleep(5)
        for number in range(KILLS):
            # A quarter of them while it starts; and also what begins and ends segments.
            seconds = chance.uniform(0, 0.5) if number % 4 == 0 else chance.uniform(0.5, 1.7)
            with during.counted():
                flights.kill_after(seen.folder, server, SIZE, seconds, f"flight{number % 4}")
            if number == KILLS // 3:
                seen.problems += [f"after kill {number}: {line}" for line in flights.wrong(seen.folder)[0]]
        with after.counted():
            time.sleep(5)
    finally:
        load.stop()
        receiver.stop()
    problems, seen.runs, seen.found = flights.wrong(seen.folder)
    seen.problems += problems
    records = sum(segment.records for segment in seen.found)
    print(f"        {KILLS} kills: {len(seen.runs)} runs in {len(seen.found)} segments, {records} records; "
          f"transactions/s: {before.rate():.0f} before, {during.rate():.0f} during, {after.rate():.0f} after",
          flush=True)
    seen.ratio = during.rate() / max(before.rate(), after.rate())
    return seen


class FlightKills(LiveTest):
    limit_s = 1200

    def test_every_recording_opens_and_nothing_written_is_missing_or_doubled(self):
        self.assertEqual(killed().problems, [])

    def test_most_runs_had_begun(self):
        self.assertGreater(len(killed().runs), KILLS // 3)

    def test_the_session_is_one_through_all_runs(self):
        seen = killed()
        entries = [entry for entry in walscope.view(space(), "sessions", seen.folder, status=3)
                   if entry["session"] == seen.session]
        self.assertEqual([(entry["application_name"], entry["exit"]["reason"]) for entry in entries],
                         [("fk_receivewal", None)])
