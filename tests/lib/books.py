# SPDX-License-Identifier: BSD-2-Clause
"""What a recording's events say of their own completeness: counts by kind, and sequence numbers."""

import collections

# Made by the collector: they have no number in a session's sequence.
UNNUMBERED = {"server", "gap", "clock", "stop", "note", "socket", "sample", "blocked", "decoding", "cluster",
              "progress", "cgroup", "holder", "copy", "memory"}


def by_kind(events):
    return collections.Counter(entry["event"] for entry in events if entry["event"] not in UNNUMBERED)


def stop_of(events):
    last = events[-1]
    if last["event"] != "stop":
        raise AssertionError(f"the last event is {last['event']}, not stop")
    return last


def kept(stop):
    """Records by kind that have to be in the recording."""
    return collections.Counter({kind: made - stop["lost_of"][kind] - stop["filtered_of"][kind]
                                for kind, made in stop["made_of"].items()})


def lost(stop):
    return {kind: number for kind, number in stop["lost_of"].items() if number}


def sequences(events):
    """What is wrong with the sequences: each hole must have a gap of its size in its place, and each gap a
    hole. A record that could not be written (no session's gap) may leave a hole in any."""
    wrong, expected, excused = [], {}, set()
    for entry in events:
        if entry["event"] == "gap" and entry.get("session") is None and not entry.get("pid"):
            if entry["cause"] in ("unwritten", "torn"):
                excused = set(expected) | {None}
            continue
        session = entry.get("session")
        if session is None or (entry["event"] in UNNUMBERED and entry["event"] != "gap"):
            continue
        if session not in expected and entry["event"] == "session" and "running" in str(entry.get("flags")):
            expected[session] = entry["seq"]
        seen = expected.get(session, 0)
        if entry["seq"] != seen:
            if session in excused or (session not in expected and None in excused):
                if entry["seq"] < seen:
                    wrong.append(f"{session}: {entry['event']} {entry['seq']} behind {seen}")
            else:
                wrong.append(f"{session}: {entry['event']} has number {entry['seq']}, expected {seen}")
        excused.discard(session)
        expected[session] = entry["seq"] + (entry["lost"] or 0 if entry["event"] == "gap" else 1)
    return wrong


def gaps(events, session=None):
    return [entry for entry in events if entry["event"] == "gap"
            and (session is None or entry.get("session") == session)]


def missing(events):
    """Records that all gaps together stand for."""
    return sum(entry["lost"] or 0 for entry in gaps(events))
