# SPDX-License-Identifier: BSD-2-Clause
"""What views, sockets and files say of walsenders, taken from outside while they run."""

import bisect
import collections
import csv
import os
import re
import subprocess
import threading
import time

from cluster import lsn

# The functions are read before clock_timestamp() and after statement_timestamp() say when, so each row
# was true at some moment between the two.
_SENDERS = """
select 'S', (extract(epoch from statement_timestamp()) * 1000000)::bigint,
  (extract(epoch from clock_timestamp()) * 1000000)::bigint, w.pid, w.state, w.sent_lsn, w.write_lsn,
  w.flush_lsn, w.replay_lsn, (extract(epoch from w.write_lag) * 1000000)::bigint,
  (extract(epoch from w.flush_lag) * 1000000)::bigint, (extract(epoch from w.replay_lag) * 1000000)::bigint,
  a.wait_event, case when pg_is_in_recovery() then pg_last_wal_receive_lsn()
  else pg_current_wal_flush_lsn() end
  from pg_stat_get_wal_senders() w join pg_stat_get_activity(null) a on a.pid = w.pid;
"""
_BACKUPS = """
select 'B', (extract(epoch from statement_timestamp()) * 1000000)::bigint,
  (extract(epoch from clock_timestamp()) * 1000000)::bigint, pid, backup_streamed
  from pg_stat_progress_basebackup where phase = 'streaming database files';
"""

Sample = collections.namedtuple("Sample",
                                "begin end pid state sent replies lags wait_event flushed")


def _position(text):
    return lsn(text) if text else None


def _number(text):
    return int(text) if text else None


class Sampler:
    """Looks at the views of a server every so often, in one session, until it is stopped."""

    def __init__(self, server, every=0.07, user="postgres"):
        self.server, self.every = server, every
        self.process = server.start_program(
            ["psql", "-X", "-q", "--csv", "-t", "-d",
             server.conninfo(application="sampler", database="postgres", user=user)],
            name=f"sampler-{server.name}", stdin=subprocess.PIPE)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        text = (_SENDERS + _BACKUPS).encode()
        while not self._stop.wait(self.every):
            try:
                self.process.popen.stdin.write(text)
                self.process.popen.stdin.flush()
            except (OSError, ValueError):  # it ended, or is closed
                return

    def end(self):
        """Samples of the walsenders, and (begin, end, pid, streamed bytes) of base backups; seconds."""
        self._stop.set()
        self._thread.join()
        self.process.popen.stdin.close()
        self.process.expect()
        senders, backups = [], []
        with open(self.process.out_path, encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                begin, end, pid = int(row[1]) / 1e6, int(row[2]) / 1e6, int(row[3])
                if row[0] == "B":
                    backups.append((begin, end, pid, int(row[4])))
                    continue
                senders.append(Sample(begin, end, pid, row[4], _position(row[5]),
                                      tuple(map(_position, row[6:9])), tuple(map(_number, row[9:12])),
                                      row[12], _position(row[13])))
        return senders, backups


class Rest:
    """The views and sockets of a server's walsenders at one moment of rest."""

    def __init__(self, server):
        self.time = time.time()
        columns = ("pid", "application_name", "client_port", "state", "sent_lsn", "write_lsn", "flush_lsn",
                   "replay_lsn")
        rows = server.sql(
            "select a.pid, a.application_name, a.client_port, w.state, w.sent_lsn, w.write_lsn, w.flush_lsn, "
            "w.replay_lsn from pg_stat_get_activity(null) a join pg_stat_get_wal_senders() w "
            "on w.pid = a.pid")
        self.rows = {int(row[0]): dict(zip(columns, row)) for row in rows}
        sockets = _sockets(server.port)
        self.sockets = {pid: sockets.get(int(row["client_port"])) for pid, row in self.rows.items()}

    def sent(self):
        return {pid: row["sent_lsn"] for pid, row in self.rows.items()}


def _sockets(port):
    """{client's port: (bytes handed to it, bytes acknowledged)} of a server's ends of connections."""
    text = subprocess.run(["ss", "-tinHO", f"sport = :{port}"], capture_output=True, text=True,
                          check=True).stdout
    found = {}
    for line in text.splitlines():
        words = line.split()
        if words[0] != "ESTAB":
            continue
        counters = {key: int(value) for key, value in re.findall(r"\b(\w+):(\d+)", line)}
        acked = counters.get("bytes_acked", 0)
        found[int(words[4].rpartition(":")[2])] = (acked + int(words[2]), acked)
    return found


def same_wal(server, folder, begin, end):
    """A folder of pg_receivewal holds what the server's WAL has in [begin, end).

    Returns how many bytes do, by comparing them, plus what is behind `end` but the zeros of a new segment.
    """
    size, total = 16 << 20, 0
    for start in range(begin - begin % size, end, size):
        number = start // size
        name = f"{1:08X}{number >> 8:08X}{number & 0xFF:08X}"
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            path += ".partial"
        low, high = max(begin - start, 0), min(end - start, size)
        with open(path, "rb") as client, open(os.path.join(server.data, "pg_wal", name), "rb") as own:
            mine, theirs = own.read(), client.read()
        if mine[low:high] != theirs[low:high]:
            raise AssertionError(f"{path} differs from the server's WAL")
        more = len(theirs[high:].rstrip(b"\0"))
        total += high - low + more
    return total


def writes(pid):
    """Calls of write() and its like on files that a process made (/proc/PID/io; sockets' sends are none)."""
    with open(f"/proc/{pid}/io", encoding="ascii") as file:
        return int(re.search(r"^syscw: (\d+)", file.read(), re.M)[1])


class Steps:
    """A value over time: each holds from its time until the next one's."""

    def __init__(self):
        self.times, self.values = [], []

    def add(self, when, value):
        self.times.append(when)
        self.values.append(value)

    def between(self, begin, end):
        """All values it had in [begin, end]."""
        first = max(bisect.bisect_right(self.times, begin) - 1, 0)
        return self.values[first:bisect.bisect_right(self.times, end)]
