# SPDX-License-Identifier: BSD-2-Clause
"""Running walscope: recordings, and their views as JSON."""

import datetime
import json
import os
import re
import signal
import time

from cluster import lsn
from processes import Failure, parents, start_ticks, wait_for
from traces import breakpoints, uprobe_links

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# The contract of each view: fields every object has, in any order. New fields may be added.
FIELDS = {
    "sessions": ("session pid ns_pid kind replication user database application_name client slot program "
                 "program_evidence partner start end duration_ns start_phases "
                 "exit tls commands events lost wal_bytes wire_bytes acked_bytes").split(),
    "history": ("session pid ns_pid seq command kind start duration_ns outcome severity sqlstate message "
                "location message_type truncated").split(),
    "timeline": "session pid ns_pid state start duration_ns lsn_from lsn_to bytes detail".split(),
    "hist": "session pid ns_pid metric unit count min max mean p50 p90 p99 p999 buckets".split(),
    "trace": "time session pid ns_pid seq event lsn duration_ns".split(),
}


def binary():
    path = os.environ.get("WALSCOPE", os.path.join(ROOT, "build", "walscope"))
    if not os.access(path, os.X_OK):
        raise Failure(f"{path} is not there: run make, or set WALSCOPE")
    return path


def session_id(pid):
    """walscope's name for a living process."""
    return f"{pid}.{start_ticks(pid)}"


def is_tracing(pid):
    """Has walscope come to where it gives up what it no longer needs (see ws_live_give_up)? And is none of
    its helpers at work that plant probes (probe/aside.h)?"""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        if not re.search(r"^NoNewPrivs:\s*1$", file.read(), re.M):
            return False
    return not any(parent == pid for parent in parents().values())


def wait_attached(process, *postmasters, timeout=60.0):
    """Waits until probes are planted in these servers: all that are to be there.

    Judged by the code of the servers themselves, which differs from their file, by the links the process
    holds, and by what it is at: it may be held up in the midst of planting for as long as the host likes.
    Returns the offsets by server.
    """
    deadline = time.monotonic() + timeout
    last = None
    while True:
        if not process.running:
            raise Failure(f"{process.describe()}: exit status {process.wait()} while it had to attach")
        try:
            # In this order: what is seen while it plants nothing, before and behind, is all of it.
            tracing = is_tracing(process.pid)
            seen = [breakpoints(pid) for pid in postmasters], uprobe_links(process.pid)
            tracing = tracing and is_tracing(process.pid)
        except FileNotFoundError:  # it ends
            tracing, seen = False, None
        if tracing and seen == last and all(seen[0]) and seen[1]:
            return seen[0]
        last = seen if tracing else None
        if time.monotonic() > deadline:
            raise Failure(f"{process.describe()}: no probes in {postmasters} within {timeout:g} s")
        time.sleep(0.01)


def wait_followed(space, file, postmaster):
    """Waits until a recorder follows a postmaster that began behind it. Where its binary was traced before,
    the probes are there at once."""
    wait_for(f"postmaster {postmaster} to be followed", lambda: any(
        event["event"] == "server" and event["pid"] == postmaster
        for event in view(space, "trace", file, status=3)))


def start_record(space, file, *options, name="record", **more):
    """Starts `walscope record`; SIGINT ends it."""
    return space.start([binary(), "record", "-o", file, *options], name=name, stop=signal.SIGINT, grace=20,
                       **more)


def parse_lines(text, what):
    """JSON lines as objects."""
    objects = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise Failure(f"{what}: line {number} is no JSON ({error}): {line[:200]!r}") from None
        if not isinstance(entry, dict):
            raise Failure(f"{what}: line {number} is no object: {line[:200]!r}")
        objects.append(entry)
    return objects


def view(space, command, *options, status=0):
    """Objects that `walscope COMMAND ... --json` prints."""
    process = space.run([binary(), command, *options, "--json"], status=status, name=f"view-{command}",
                        timeout=60)
    return parse_lines(process.out, f"walscope {command}")


def position(entry, field):
    """An LSN of a JSON object as a number, None if it is not known."""
    return None if entry[field] is None else lsn(entry[field])


def rfc3339(when):
    """Seconds since the epoch as walscope's options take them."""
    return datetime.datetime.fromtimestamp(when, datetime.timezone.utc).isoformat(timespec="microseconds")


def timestamp(text):
    """RFC 3339 with nanoseconds as (seconds, nanoseconds) since the epoch."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})(Z|[+-]\d\d:\d\d)", text)
    if not match:
        raise Failure(f"not a time of RFC 3339 with nanoseconds and offset: {text!r}")
    zone = match[3].replace("Z", "+00:00")
    return int(datetime.datetime.fromisoformat(match[1] + zone).timestamp()), int(match[2])


def seconds(text):
    """The same as a number of seconds."""
    whole, nanoseconds = timestamp(text)
    return whole + nanoseconds / 1e9


def nanoseconds(text):
    """The same as a whole number of nanoseconds."""
    whole, fraction = timestamp(text)
    return whole * 1_000_000_000 + fraction
