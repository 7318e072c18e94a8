# SPDX-License-Identifier: BSD-2-Clause
"""Machines of qemu with a kernel of Debian's and nothing but what they are given: an initramfs. No KVM: it is as
slow as that."""

import glob
import gzip
import os
import re
import shutil
import subprocess

from archive import Archive
from processes import Failure

FOLDERS = ("bin", "dev", "lib64", "proc", "sys", "tmp")


def needed(program):
    path = shutil.which(program)
    if not path:
        raise Failure(f"{program} is not installed: run scripts/setup kernels")
    return path


class Kernel:
    """Debian's newest of a release, as 6.1: those for clouds."""

    def __init__(self, space, suite, release):
        if os.uname().machine != "x86_64":
            raise Failure("these kernels are Debian's for amd64")
        archive = Archive(space, suite)
        names = sorted(archive.names(rf"^linux-image-{re.escape(release)}\.[0-9.+a-z-]*-?cloud-amd64$"),
                       key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])
        if not names:
            raise Failure(f"Debian's {suite} has no kernel {release} for clouds")
        self.root = archive.unpack(names[-1], archive.newest(names[-1]))
        self.image, = glob.glob(f"{self.root}/boot/vmlinuz-*")

    def modules(self, *names):
        """Their files; those that are built in have none."""
        found = {os.path.basename(path).split(".")[0]: path
                 for path in glob.glob(f"{self.root}/lib/modules/*/**/*.ko*", recursive=True)}
        return [found[name] for name in names if name in found]


class Tree:
    """The files of a machine, with busybox as its shell."""

    def __init__(self, space, name, init):
        self.space, self.name, self.root = space, name, space.folder(name)
        for folder in FOLDERS:
            os.mkdir(os.path.join(self.root, folder))
        self.copy(needed("busybox"), "/bin/busybox")
        os.symlink("busybox", os.path.join(self.root, "bin", "sh"))
        self.copy(init, "/init")
        os.chmod(self.root + "/init", 0o755)

    def copy(self, path, inside=None):
        """A file or a folder, under its own name or another."""
        target = self.root + (inside or path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(path):
            shutil.copytree(path, target, symlinks=True)
        else:
            shutil.copy(path, target)
        return target

    def program(self, path, inside=None):
        """A program or library without what debuggers want, and what it is linked to as the dynamic linker finds
        it."""
        self.space.run(["strip", "-g", self.copy(path, inside)], name="strip")
        for library in re.findall(r"(/\S+) \(0x", self.space.run(["ldd", path], name="ldd").out):
            if not os.path.exists(self.root + library):
                self.copy(library)

    def pack(self):
        names = "".join(f"{os.path.relpath(os.path.join(folder, name), self.root)}\n"
                        for folder, folders, files in os.walk(self.root) for name in [*folders, *files])
        packed = subprocess.run([needed("busybox"), "cpio", "-o", "-H", "newc"], cwd=self.root, input=names.encode(),
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True).stdout
        file = self.space.file(f"{self.name}.gz")
        with gzip.open(file, "wb", compresslevel=1) as out:
            out.write(packed)
        return file


def start(space, kernel, initramfs, name, *options, words=""):
    """A machine that runs; what it says on its console is its output. `words`: for its kernel's command line."""
    # Without cmpxchg16b: emulated by qemu 7.2 it was seen to leave part of a pointer in the flags, in the
    # allocator of 6.12, which is a double fault.
    return space.start(
        [needed("qemu-system-x86_64"), "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "2", "-m", "2048",
         "-nographic", "-no-reboot", "-nic", "none", "-kernel", kernel.image, "-initrd", initramfs, *options, "-append",
         f"console=ttyS0 quiet panic=-1 rdinit=/init {words}"], name=name)


def console(machine):
    return machine.out.replace("\r", "")
