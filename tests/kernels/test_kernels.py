# SPDX-License-Identifier: BSD-2-Clause
"""The BPF programs on the oldest kernel they are made for, and on others in use: Debian's, of which each is
booted in a machine of qemu (no KVM: it is as slow as that), with nothing but tests/e2e/*_test inside.
These programs have a server in themselves, so the machine needs none."""

import glob
import os
import re
import time

import machine
import walscope
from live import LiveTest, once, space
from processes import Failure

MACHINE_LIMIT_S = 900
INIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "init")


@once
def programs():
    folder = os.path.join(os.path.dirname(walscope.binary()), "tests", "e2e")
    found = sorted(glob.glob(os.path.join(folder, "*_test")))
    if not found:
        raise Failure(f"{folder} has no test: run make tests")
    return found


@once
def initramfs():
    """An archive of all there is in such a machine."""
    tree = machine.Tree(space(), "programs", INIT)
    for program in programs():
        tree.program(program, f"/tests/{os.path.basename(program)}")
    return tree.pack()


def boot(suite, release):
    """Runs a machine to its end; returns what it said on its console."""
    runs = machine.start(space(), machine.Kernel(space(), suite, release), initramfs(), f"linux-{release}")
    runs.wait(MACHINE_LIMIT_S)
    return machine.console(runs)


class Kernels(LiveTest):
    limit_s = MACHINE_LIMIT_S + 300

    def passes(self, suite, release):
        began = time.monotonic()
        console = boot(suite, release)
        seen = re.search(r"^kernel (\S+)$", console, re.M)
        self.assertIsNotNone(seen, console[-2000:])
        self.assertTrue(seen[1].startswith(f"{release}."), seen[1])
        if "\nall done\n" not in console:
            self.fail("the machine did not get to the end:\n" + console[-6000:])
        for program in map(os.path.basename, programs()):
            with self.subTest(program=program):
                said = re.search(rf"^begin {program}\n(.*?)^end {program} status (\d+)$", console, re.M | re.S)
                self.assertIsNotNone(said, console[-2000:])
                self.assertEqual(int(said[2]), 0, said[1][-4000:])
                self.assertRegex(said[1], r"\[  PASSED  \] [1-9]")
        print(f"       {seen[1]}: {time.monotonic() - began:.0f} s", flush=True)

    def test_the_programs_load_and_work_on_5_10(self):
        self.passes("bullseye", "5.10")

    def test_the_programs_load_and_work_on_6_1(self):
        self.passes("bookworm", "6.1")

    def test_the_programs_load_and_work_on_6_12(self):
        """The first of Debian's that hangs sites on uprobe_multi links."""
        self.passes("trixie", "6.12")
