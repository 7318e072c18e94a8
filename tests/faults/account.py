# SPDX-License-Identifier: BSD-2-Clause
"""walscope's account of a recording, read from its views line by line: there are millions of them."""

import bisect
import collections
import json
import os
import subprocess
import tempfile

import walscope
from cluster import lsn
from outside import Steps
from processes import Failure

Reply = collections.namedtuple("Reply", "begin end replies lags")


class _Times:
    """RFC 3339 to seconds; most lines are of the second of the line before."""

    def __init__(self):
        self.text, self.whole = None, 0

    def ns(self, text):
        if text[:19] != self.text:
            self.text, self.whole = text[:19], walscope.timestamp(text)[0] * 10 ** 9
        return self.whole + int(text[20:29])


def _lines(command, file, *options):
    with tempfile.TemporaryFile() as err:
        view = subprocess.Popen([walscope.binary(), command, file, *options, "--json"],
                                stdout=subprocess.PIPE, stderr=err, env={**os.environ, "TZ": "UTC"})
        with view.stdout:
            for line in view.stdout:
                yield json.loads(line)
        status = view.wait()
        err.seek(0)
        if status:
            raise Failure(f"walscope {command}: exit status {status}: {err.read()!r}")


class Track:
    """The timeline of one session."""

    def __init__(self):
        self.start, self.end, self.state, self.lsn = [], [], [], []
        self.bytes = 0
        self.problems = []
        self.times = collections.Counter()
        self._last = None

    def add(self, entry, begin):
        end = begin + entry["duration_ns"]
        low = lsn(entry["lsn_from"]) if entry["lsn_from"] else None
        high = lsn(entry["lsn_to"]) if entry["lsn_to"] else None
        if self.end and abs(begin - self.end[-1]) > 1000:
            self.problems.append(f"a hole or an overlap of {begin - self.end[-1]} ns in front of {entry}")
        if low is not None and self._last is not None and low != self._last:
            self.problems.append(f"from {entry['lsn_from']} behind {self._last:X} in {entry}")
        if low is not None and high is not None:
            if high < low:
                self.problems.append(f"backwards: {entry}")
            elif high - low != (entry["bytes"] or 0):
                self.problems.append(f"bytes and positions differ: {entry}")
        self._last = high if high is not None else self._last
        self.start.append(begin)
        self.end.append(end)
        # One that waits for a CPU is still at what it was at, for all that the server shows.
        self.state.append(entry["detail"] if entry["state"] == "off_cpu" else entry["state"])
        self.lsn.append(self._last)
        self.bytes += entry["bytes"] or 0
        self.times[entry["state"]] += entry["duration_ns"]

    @property
    def last_lsn(self):
        return self._last

    def _range(self, begin, end):
        first = max(bisect.bisect_right(self.start, begin * 1e9) - 1, 0)
        return first, bisect.bisect_right(self.start, end * 1e9)

    def states(self, begin, end):
        """States within [begin, end] (seconds)."""
        first, last = self._range(begin, end)
        return set(self.state[first:last])

    def positions(self, begin, end):
        """(lowest, highest) position it may have had within [begin, end]."""
        first, last = self._range(begin, end)
        low = self.lsn[first - 1] if first else None
        return low, self.lsn[min(last, len(self.lsn) - 1)]


class Detail:
    """What the records of one session hold beside its timeline."""

    def __init__(self):
        self.states = Steps()
        self.replies = []
        self.backup = Steps()
        self.turns = []  # (begin, end, from, to) where the position moved
        self.backup_bytes = self.messages = self.message_bytes = self.moves = 0

    def replies_at(self, begin, end):
        """Replies that may have been the last one at some moment within [begin, end]."""
        last = None
        found = []
        for reply in self.replies[self._first(begin):]:
            if reply.begin > end:
                break
            if reply.end <= begin:
                last = reply
            else:
                found.append(reply)
        return found if last is None else [last, *found]

    def positions(self, begin, end):
        """(lowest, highest) position it had, by the records, within [begin, end]."""
        first = bisect.bisect_left(self.turn_ends, begin)
        last = bisect.bisect_right(self.turn_begins, end) - 1
        if first > last:  # none that moved: where the last one before left it
            return (self.turns[last][3],) * 2
        return self.turns[first][2], self.turns[last][3]

    def _first(self, begin):
        return max(bisect.bisect_right(self.ends, begin) - 1, 0)

    def finish(self):
        self.ends = [reply.end for reply in self.replies]
        self.turn_begins = [turn[0] for turn in self.turns]
        self.turn_ends = [turn[1] for turn in self.turns]


def tracks(file):
    """{pid: Track}"""
    found, times = collections.defaultdict(Track), _Times()
    for entry in _lines("timeline", file):
        found[entry["pid"]].add(entry, times.ns(entry["start"]))
    return found


def details(file):
    """{pid: Detail}"""
    found, times = collections.defaultdict(Detail), _Times()
    for entry in _lines("trace", file):
        if entry["event"] not in _USE or entry["pid"] is None:
            continue
        _USE[entry["event"]](found[entry["pid"]], entry, times.ns(entry["time"]) / 1e9, times)
    for detail in found.values():
        detail.finish()
    return found


def _session(detail, entry, time, _times):
    detail.states.add(time, entry.get("state") or "startup")


def _stream(detail, entry, time, _times):
    detail.turns.append((time, time, lsn(entry["lsn"]), lsn(entry["lsn"])))


def _state(detail, entry, time, _times):
    detail.states.add(time, entry["to"])


def _turn(detail, entry, time, times):
    detail.messages += entry["messages"]
    detail.message_bytes += entry["message_bytes"]
    if entry["lsn"] != entry["lsn_from"] and entry["lsn_from"]:
        detail.moves += 1
        detail.turns.append((times.ns(entry["begin"]) / 1e9, time, lsn(entry["lsn_from"]), lsn(entry["lsn"])))
    if "reply" not in entry["flags"]:
        return
    detail.replies.append(Reply(
        times.ns(entry["begin"]) / 1e9, time,
        tuple(entry[name] and lsn(entry[name]) for name in ("write_lsn", "flush_lsn", "apply_lsn")),
        tuple(entry[name] for name in ("write_lag_us", "flush_lag_us", "apply_lag_us"))))


def _backup(detail, entry, time, _times):
    detail.backup_bytes += entry["sent_bytes"]
    detail.backup.add(time, detail.backup_bytes)


_USE = {"session": _session, "stream": _stream, "state": _state, "turn": _turn, "backup": _backup}
