# SPDX-License-Identifier: BSD-2-Clause
"""Flight recorders that are killed, and what is left of them."""

import collections
import os
import signal
import time

import books
import segments
import walscope
from live import space

MADE_BY_READER = ("unrecorded", "torn")


def start(folder, server, size, *options, name="flight", **more):
    return walscope.start_record(space(), folder, "--flight", size, "--postmaster", str(server.pid), *options,
                                 name=name, **more)


def kill_after(folder, server, size, seconds, name):
    """A recorder that is killed so long after its start."""
    process = start(folder, server, size, name=name)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def trace(folder):
    """All events of the directory, and what walscope says on stderr."""
    process = space().start([walscope.binary(), "trace", folder, "--json"], name="flight-trace")
    status = process.wait(300)
    if status not in (0, 3):
        raise AssertionError(f"exit status {status}: {process.err}")
    return walscope.parse_lines(process.out, folder), process.err


def is_own(event):
    """A gap that the reader made, which stands in no file."""
    return event["event"] == "gap" and event["cause"] in MADE_BY_READER


def runs_of(events):
    """The events of each run: between them nobody recorded. What cannot be read of one is told in its place."""
    runs = [[]]
    for event in events:
        if event["event"] == "gap" and event["cause"] == "unrecorded" and not event["session"]:
            runs.append([])
        elif not is_own(event) or event["cause"] == "torn":
            runs[-1].append(event)
    return runs


def disorder(events, found):
    """What of these events is doubled, or missing without a gap: a list of lines."""
    counted = collections.Counter(
        (event["session"], event["seq"], event["event"], event["time"], event.get("offset_bytes"))
        for event in [event for event in events if not is_own(event)][found[0].repeated:]
        if event["session"] and event["seq"] is not None)
    problems = [f"twice: {key}" for key, count in counted.items() if count > 1]
    for number, run in enumerate(runs_of(events)):
        # What the first segment repeats has no numbers of its own.
        problems += [f"run {number}: {line}" for line in books.sequences(run[found[0].repeated if number == 0 else 0:])
                     if found[0].number == 1 or number]
    return problems


def wrong(folder):
    """What of a directory is missing, doubled, or not as its files have it: a list of lines; and its runs."""
    found = segments.segments(folder)
    events, err = trace(folder)
    kept = [event for event in events if not is_own(event)]
    problems = disorder(events, found)
    if len(kept) != segments.told(found):
        problems.append(f"{len(kept)} of {segments.told(found)} records are told")
    if "damage" in err:
        problems.append(err)
    return problems, runs_of(events), found
