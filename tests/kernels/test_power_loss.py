# SPDX-License-Identifier: BSD-2-Clause
"""Power loss: a machine of qemu with a server in its memory and a flight recorder that writes to ext4 on a disk
with a write cache of its own. It is killed at random moments: what its kernel and the disk's cache had not flushed
is lost. The machine then begins anew with the disk as it is, again and again.

What had to be recorded, the clients tell: each command says on the console when the server was done with it.
"""

import os
import random
import re
import shutil
import signal
import time

import flights
import guest
import machine
import segments
import walscope
from live import LiveTest, once, space
from processes import wait_for
from volatile_disk import VolatileDisk

LOSSES = int(os.environ.get("WALSCOPE_POWER_LOSSES", "6"))
SEED = 20261129
INIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "init_power")
MODULES = ("virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk")
DISK_BYTES = 128 << 20
BOOT_LIMIT_S = 600
# A second until a block is written and five until it is synced, and this for a slow machine to do so.
PROMISED_S, SLOW_S = 6, 2
# One that writes a single segment, which nothing but the interval syncs; one that begins segments all the time, on a
# kernel that writes to the disk's cache whenever it likes.
RECORDERS = (("keeps", "64M", 0), ("changes", "16M,60s", 20))


@once
def kernel():
    return machine.Kernel(space(), "bookworm", "6.1")


@once
def initramfs():
    tree = guest.tree(space(), INIT)
    os.makedirs(tree.root + "/disk")
    modules = kernel().modules(*MODULES)
    order = guest.folder_with(space(), "power-modules",
                              {"order": "".join(f"{os.path.basename(path)}\n" for path in modules)})
    for path in modules:
        shutil.copy(path, order)
    tree.copy(order, "/modules")
    return tree.pack()


def done(said):
    """Numbers of the commands of which the console tells, by when they were done."""
    return {int(number): float(when) for number, when in re.findall(r"^(\d+)\|\d+\|(\d+\.\d+)\|done$", said, re.M)}


def recorded_from(said):
    """The number of the first command that began when the recorder was seen to record; None: not yet."""
    _, it, behind = said.partition("\nit records\n")
    begun = [number for number in done(behind) if it]
    # One may have begun already, and one more may have been under way to the server.
    return min(begun) + 2 if len(begun) > 2 else None


class Boot:
    """One life of the machine, and what its recorder has left on the disk when the power went."""

    def __init__(self, disk, chance, number):
        self.number, (self.name, size, writeback) = number, RECORDERS[number % len(RECORDERS)]
        runs = machine.start(space(), kernel(), initramfs(), f"power-{number}",
                             "-drive", f"file={disk.uri},format=raw,if=virtio,cache=writeback",
                             words=f"{guest.words()} BOOT={number} FLIGHT={self.name} SIZE={size} WRITEBACK={writeback}")
        wait_for(lambda: f"machine {number} to record and its clients to work; it said:\n"
                         f"{machine.console(runs)[-1000:]}",
                 lambda: recorded_from(machine.console(runs)), BOOT_LIMIT_S, every=0.2)
        # Some before anything is owed. By the machine's clock: how fast it is depends on what else its host does.
        moment = chance.uniform(0, 8) if number % 3 == 2 else chance.uniform(9, 28)
        until = max(done(machine.console(runs)).values()) + moment
        wait_for(f"machine {number} to go on for a while",
                 lambda: max(done(machine.console(runs)).values()) > until, BOOT_LIMIT_S,
                 every=0.05)
        time.sleep(chance.uniform(0, 0.5))
        runs.stop(signal.SIGKILL)
        said = machine.console(runs)
        self.lost = disk.power_off(chance)
        self.done = done(said)
        self.last = max(self.done.values())
        first = recorded_from(said)
        self.owed = {number for number, when in self.done.items()
                     if number >= first and when < self.last - PROMISED_S - SLOW_S}

    def look_into(self, folder):
        # What was not synced yet may be damaged, also in front of what got to the disk.
        events, _ = flights.trace(folder)
        self.problems = flights.disorder(events, segments.segments(folder))
        self.told = commands_in(folder)
        self.kept = self.told.get(self.number, set())


def folders_of(image, number):
    """The recorders' folders out of a disk without power: on a copy, whose file system is made good first."""
    copy, out = space().file(f"disk-{number}"), space().folder(f"disk-{number}.files")
    shutil.copy(image, copy)
    fsck = space().start([machine.needed("e2fsck"), "-fy", copy], name="e2fsck")
    if fsck.wait() not in (0, 1):
        raise AssertionError(f"the file system is broken: {fsck.out}")
    space().run([machine.needed("debugfs"), "-R", f"rdump / {out}", copy], name="debugfs")
    os.unlink(copy)
    return out


class Lost:
    def __init__(self):
        self.boots, self.problems = [], []


def commands_in(folder):
    """The numbers of the commands that are told to have ended well, by their boot."""
    found = {}
    for entry in walscope.view(space(), "history", folder, status=3):
        words = re.match(r"SELECT (\d+) AS numbered, (\d+) AS boot", entry["command"] or "")
        if words and entry["outcome"] == "ok":
            found.setdefault(int(words[2]), set()).add(int(words[1]))
    return found


@once
def lost():
    chance, seen = random.Random(SEED), Lost()
    image = space().file("power.img")
    with open(image, "wb") as file:
        file.truncate(DISK_BYTES)
    space().run([machine.needed("mke2fs"), "-q", "-t", "ext4", image], name="mke2fs")
    disk = VolatileDisk(image, space().file("power.socket"))
    try:
        for number in range(LOSSES):
            boot = Boot(disk, chance, number)
            seen.boots.append(boot)
            files = folders_of(image, number)
            boot.look_into(os.path.join(files, boot.name))
            seen.problems += [f"boot {number}: {line}" for line in boot.problems]
            print(f"        {boot.name}: up to {max(boot.done)} done, {max(boot.owed, default=0)} owed and "
                  f"{max(boot.kept, default=0)} found; of the disk's cache {boot.lost[0]} sectors lost, {boot.lost[1]} kept",
                  flush=True)
    finally:
        disk.close()
    return seen


class PowerLoss(LiveTest):
    limit_s = 2 * BOOT_LIMIT_S * LOSSES

    def test_every_recording_opens_and_nothing_of_it_is_missing_or_doubled(self):
        self.assertEqual(lost().problems, [])

    def test_what_is_older_than_the_promised_interval_is_there(self):
        for boot in lost().boots:
            with self.subTest(boot=boot.number):
                self.assertEqual(sorted(boot.owed - boot.kept), [])

    def test_much_was_owed_and_something_was_lost(self):
        """Else nothing was tested."""
        self.assertGreater(sum(len(boot.owed) for boot in lost().boots), 2 * LOSSES)
        self.assertGreater(sum(boot.lost[0] + max(boot.done) - max(boot.kept, default=0) for boot in lost().boots), 0)

    def test_what_was_there_stays_through_all_later_losses(self):
        kept, last = {}, {}
        for boot in lost().boots:
            if boot.name == RECORDERS[0][0]:
                kept[boot.number] = boot.kept
                last = {number: boot.told.get(number, set()) for number in kept}
        self.assertEqual(last, kept)
