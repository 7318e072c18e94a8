# SPDX-License-Identifier: BSD-2-Clause
"""The memory contexts of walsenders, against what the server itself logs of them, and /proc."""

import os
import re
import signal

import installation
import walscope
from cluster import Server
from live import LiveTest, once, recording, space, wait_stuck
from processes import wait_for

MAJOR = installation.selected().major
WORK_MEM_MB = 80
ROWS = 60000  # of a transaction that fits into it, and not into a socket

# Slab contexts, and up to 14 generation contexts, do not count their own head, which the server's log does. A walsender
# that decodes has five of them at most, each smaller than this.
HEAD = 2048
HEADS = 5

# "level: 1; CacheMemoryContext: 524288 total in 7 blocks; ..." (mcxt.c); from 18 on the levels begin at 1.
LINE = re.compile(r"level: (\d+); (.*): (\d+) total in \d+ blocks")
GRAND = re.compile(r"Grand total: (\d+) bytes in \d+ blocks")


@once
def server():
    made = Server(space(), "memory", {"logical_decoding_work_mem": f"{WORK_MEM_MB}MB"}).create().start()
    made.sql("create table big (i bigint, t text)")
    return made


class Stuck:
    """A logical walsender that has gathered a large transaction and hands it to a client that does not read."""

    def __init__(self, slot):
        self.slot = slot
        server().create_logical_slot(slot)
        self.client = server().recvlogical(slot, application=slot)
        server().wait_walsender(slot)
        self.client.signal(signal.SIGSTOP)
        server().sql(f"insert into big select i, repeat('x', 500) from generate_series(1, {ROWS}) i")
        self.pid = wait_stuck(server(), slot, still=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.signal(signal.SIGCONT)
        self.client.stop(signal.SIGINT)
        wait_for("the slot to be free", lambda: server().sql(
            f"select 1 from pg_replication_slots where slot_name = '{self.slot}' and not active"))
        server().sql(f"select pg_drop_replication_slot('{self.slot}')")


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def logged(pid):
    """(all, ReorderBuffer with what is in it) in bytes, by the server's own word."""
    server().sql(f"select pg_log_backend_memory_contexts({pid})")

    def written():
        lines = [line.message for line in server().log() if line.pid == pid]
        return lines if any(GRAND.match(line) for line in lines) else None

    grand, buffer, inside = None, 0, None
    for line in wait_for("the contexts in the log", written):
        context, total = LINE.match(line), GRAND.match(line)
        if total:
            grand = int(total[1])
        elif context:
            level = int(context[1])
            if context[2] == "ReorderBuffer":
                inside = level
            elif inside is not None and level <= inside:
                inside = None
            buffer += int(context[3]) if inside is not None else 0
    return grand, buffer


def told(entries, pid, kind):
    return [entry for entry in entries if entry["event"] == kind and entry["pid"] == pid]


def near(one, other):
    return abs(one - other) < HEADS * HEAD


class Memory(LiveTest):
    def test_what_tells_contexts_apart_is_told_unless_it_is_to_be_redacted(self):
        for name, options, idents in ("y_whole", (), True), ("y_redacted", ("--redact",), False):
            with recording(server(), *options) as record:
                client = server().receivewal(name)
                pid = int(server().wait_walsender(name)["pid"])
                wait_for("walscope to tell of its memory", lambda: told(
                    walscope.view(space(), "trace", record.file, status=3), pid, "memory"), every=1)
                client.stop()
            for entry in told(record.view("trace"), pid, "memory"):
                self.assertIn("CacheMemoryContext", entry["largest_names"])
                self.assertEqual(idents, any(entry["largest_idents"] or []), entry)

    if MAJOR >= 14:
        def test_the_contexts_are_those_that_the_server_logs(self):
            with recording(server()) as record, Stuck("y_contexts") as stuck:
                rss = resident(stuck.pid)
                grand, buffer = logged(stuck.pid)

                def is_told():
                    """It is at rest now, but the last look may have been before that."""
                    seen = told(walscope.view(space(), "trace", record.file, status=3), stuck.pid, "memory")
                    return (seen and near(seen[-1]["total_bytes"], grand)
                            and near(seen[-1]["reorder_bytes"] or 0, buffer))

                wait_for(f"walscope to tell of {grand} bytes, {buffer} of changes", is_told, every=1)
                looked, = walscope.view(space(), "core", "--pid", str(stuck.pid))
                record.end()
            self.assertGreater(buffer, ROWS * 500)
            now = looked["memory"]["contexts"]["last"]
            self.assertTrue(near(now["total_bytes"], grand) and near(now["reorder_bytes"], buffer), (now, grand))
            entries = told(record.view("trace"), stuck.pid, "memory")
            self.assertEqual({entry["work_mem_bytes"] for entry in entries}, {WORK_MEM_MB << 20})
            sampled = told(record.view("trace"), stuck.pid, "sample")[-1]
            self.assertLess(abs(sampled["rss_bytes"] - rss), 1 << 20, (sampled, rss))
            shown, = record.view("show", "--pid", str(stuck.pid))
            self.assertGreaterEqual(shown["memory"]["contexts"]["peak"]["total_bytes"], buffer)
            self.assertIn("ReorderBuffer", [entry["in"] for entry in shown["memory"]["contexts"]["last"]["largest"]])
