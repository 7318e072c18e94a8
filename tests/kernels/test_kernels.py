# SPDX-License-Identifier: BSD-2-Clause
"""The BPF programs on the oldest kernel they are made for, and on others in use: Debian's, of which each is
booted in a machine of qemu (no KVM: it is as slow as that), with nothing but tests/e2e/*_test inside.
These programs have a server in themselves, so the machine needs none."""

import glob
import gzip
import os
import re
import shutil
import subprocess
import time

import walscope
from archive import Archive
from live import LiveTest, once, space
from processes import Failure

MACHINE_LIMIT_S = 900
FOLDERS = ("bin", "dev", "lib64", "proc", "sys", "tests", "tmp")
INIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "init")


def needed(program):
    path = shutil.which(program)
    if not path:
        raise Failure(f"{program} is not installed: run scripts/setup kernels")
    return path


def libraries(program):
    """What the program is linked to, as the dynamic linker finds it."""
    return set(re.findall(r"(/\S+) \(0x", space().run(["ldd", program], name="ldd").out))


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
    root = space().folder("initramfs")
    for name in FOLDERS:
        os.mkdir(os.path.join(root, name))
    shutil.copy(needed("busybox"), os.path.join(root, "bin", "busybox"))
    os.symlink("busybox", os.path.join(root, "bin", "sh"))
    shutil.copy(INIT, os.path.join(root, "init"))
    os.chmod(os.path.join(root, "init"), 0o755)
    for program in programs():
        space().run(["strip", "-g", "-o", os.path.join(root, "tests", os.path.basename(program)), program],
                    name="strip")
    for library in set().union(*(libraries(program) for program in programs())):
        os.makedirs(root + os.path.dirname(library), exist_ok=True)
        shutil.copy(library, root + library)
    names = "".join(f"{os.path.relpath(os.path.join(folder, name), root)}\n"
                    for folder, folders, files in os.walk(root) for name in [*folders, *files])
    packed = subprocess.run([needed("busybox"), "cpio", "-o", "-H", "newc"], cwd=root, input=names.encode(),
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True).stdout
    file = space().file("initramfs.gz")
    with gzip.open(file, "wb", compresslevel=1) as out:
        out.write(packed)
    return file


def boot(suite, release):
    """Runs a machine to its end; returns what it said on its console."""
    if os.uname().machine != "x86_64":
        raise Failure("these kernels are Debian's for amd64")
    archive = Archive(space(), suite)
    number = re.escape(release)
    names = sorted(archive.names(rf"^linux-image-{number}\.[0-9.+a-z-]*-?cloud-amd64$"),
                   key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])
    if not names:
        raise Failure(f"Debian's {suite} has no kernel {release} for clouds")
    root = archive.unpack(names[-1], archive.newest(names[-1]))
    kernel, = glob.glob(f"{root}/boot/vmlinuz-*")
    # Without cmpxchg16b: emulated by qemu 7.2 it was seen to leave part of a pointer in the flags, in the
    # allocator of 6.12, which is a double fault.
    machine = space().start(
        [needed("qemu-system-x86_64"), "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "2",
         "-m", "2048", "-nographic", "-no-reboot", "-nic", "none", "-kernel", kernel, "-initrd", initramfs(), "-append",
         "console=ttyS0 quiet panic=-1 rdinit=/init"], name=f"linux-{release}")
    machine.wait(MACHINE_LIMIT_S)
    return machine.out.replace("\r", "")


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
