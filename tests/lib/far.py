# SPDX-License-Identifier: BSD-2-Clause
"""A network of some length between this host and a namespace: packets arrive late, at a rate, or not at all.

The kernel of a small host has no netem. Here a process of its own passes packets (not connections: both ends
of those are real) from one tun interface to another.

    far.py PID-OF-THE-NAMESPACE INTERFACE  (and as JSON, see Far)
"""

import ctypes
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import sys
import time

sys.dont_write_bytecode = True

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI, _CLONE_NEWNET = 0x400454ca, 1, 0x1000, 0x40000000


def _tun(name):
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return file


class _Way:
    """What is on its way in one direction."""

    def __init__(self, source, sink, delay_s, loss, rate, queue):
        self.source, self.sink = source, sink
        self._delay, self._loss, self._rate, self._queue = delay_s, loss, rate, queue
        self._free = 0.0  # when the line has sent what it was given
        self._under_way = []
        self._numbers = itertools.count()

    def take(self):
        while True:
            try:
                packet = os.read(self.source, 65536)
            except BlockingIOError:
                return
            now = time.monotonic()
            begin = max(self._free, now)
            if random.random() < self._loss or (self._rate and (begin - now) * self._rate > self._queue):
                continue
            self._free = begin + (len(packet) / self._rate if self._rate else 0)
            heapq.heappush(self._under_way, (self._free + self._delay, next(self._numbers), packet))

    def give(self):
        """Hands over what has arrived; returns when the next one will."""
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            try:
                os.write(self.sink, heapq.heappop(self._under_way)[2])
            except OSError:  # not up
                pass
        return self._under_way[0][0] if self._under_way else time.monotonic() + 1


def _pass_on(pid, name, options):
    here = _tun(name)
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    there = _tun("inside")
    print("ready", flush=True)
    ways = [_Way(here, there, options["delay_s"], options["loss"], options["rate"], options["queue"]),
            _Way(there, here, options["delay_s"], 0, None, None)]
    while True:
        wait = min(way.give() for way in ways) - time.monotonic()
        if select.select([here, there], [], [], max(wait, 0))[0]:
            for way in ways:
                way.take()


class Far:
    """A namespace (enter) at the other end: packets take so long each way; of those to there a share is lost, and
    so many bytes a second pass, with a queue of so many in front. It is gone with the space."""

    def __init__(self, space, name, net, *, delay_s, loss=0.0, rate=None, queue=100_000):
        from processes import wait_for  # not where this file is the program

        self._run = space.run
        self.here, self.there = f"{net}.1", f"{net}.2"
        self._holder = space.start(["unshare", "--net", "sleep", "infinity"], name="far-namespace")
        own = os.readlink("/proc/self/ns/net")
        wait_for("the namespace", lambda: os.readlink(f"/proc/{self._holder.pid}/ns/net") != own)
        self._process = space.start(
            [sys.executable, "-B", os.path.abspath(__file__), str(self._holder.pid), name,
             json.dumps({"delay_s": delay_s, "loss": loss, "rate": rate, "queue": queue})], name="far")
        wait_for("the far network", lambda: "ready" in self._process.out)
        for enter, device, address in (((), name, self.here), (self.enter, "inside", self.there)):
            self._run([*enter, "ip", "address", "add", f"{address}/30", "dev", device], name="far-address")
            self._run([*enter, "ip", "link", "set", device, "up"], name="far-up")

    @property
    def enter(self):
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._process.stop()
        self._holder.stop()


if __name__ == "__main__":
    _pass_on(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
