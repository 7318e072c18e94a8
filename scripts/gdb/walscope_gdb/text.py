# SPDX-License-Identifier: BSD-2-Clause
"""Values as PostgreSQL and `walscope trace --json` print them."""

import datetime
import os

# timestamp.h: TimestampTz counts microseconds since this day, in UTC.
POSTGRES_EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)


def lsn(value):
    """XLogRecPtr as %X/%X; None for InvalidXLogRecPtr."""
    return f"{value >> 32:X}/{value & 0xFFFFFFFF:X}" if value else None


def timestamptz(value):
    """TimestampTz in RFC 3339; None for 0, which no field that is read here holds as a time."""
    if not value:
        return None
    try:
        return (POSTGRES_EPOCH + datetime.timedelta(microseconds=value)).isoformat()
    except OverflowError:
        return None


def sqlstate(packed):
    """elog.h, MAKE_SQLSTATE: five characters of six bits, from '0' on."""
    return "".join(chr((packed >> 6 * i & 0x3F) + ord("0")) for i in range(5))


def printable(value):
    """Text of the server for a terminal: nothing in it moves the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def wall_time(ns):
    """CLOCK_REALTIME in RFC 3339 with nanoseconds, in UTC."""
    seconds, rest = divmod(ns, 1_000_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}+00:00"


def start_ticks(pid, proc="/proc"):
    """Field 22 of /proc/PID/stat, as the name in field 2 may hold anything; OSError when there is no such process."""
    with open(os.path.join(proc, str(pid), "stat"), encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def session_id(pid, proc="/proc"):
    return f"{pid}.{start_ticks(pid, proc)}"
