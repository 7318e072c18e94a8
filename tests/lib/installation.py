# SPDX-License-Identifier: BSD-2-Clause
"""The PostgreSQL that tests start: the one installed, or another major as Debian or Ubuntu packages it.

WALSCOPE_TEST_MAJOR selects the other one. Its server and clients, with all libraries they need, are unpacked
into a root of their own and run in it: other suites have another C library. Roots are kept in
WALSCOPE_MATRIX_CACHE, else in ~/.cache/walscope-matrix; remove it to have the packages fetched anew.
"""

import glob
import os
import re
import shutil

from archive import Archive
from processes import Failure, Space

PROGRAMS = ("postgres", "initdb", "psql", "pgbench", "pg_basebackup", "pg_receivewal", "pg_recvlogical")
SUITES = {13: "bullseye", 15: "bookworm", 17: "trixie", 18: "forky"}
UBUNTU = {12: "focal", 14: "jammy", 16: "noble"}  # those that no suite of Debian has

# Of what the packages depend on only libraries are wanted and the time zones. No test compiles queries, so
# LLVM is not fetched. initdb runs the server by a shell, and tests have the server run commands: what all systems
# have nothing names.
_WANTED = re.compile(r"lib(?!llvm|perl|python)\S+|zlib1g|tzdata")
_BASICS = ("dash", "coreutils")
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/dev", "/proc")


class Installation:
    """Where a major's programs are. `root`: the folder they take for /, None for the host's."""

    def __init__(self, major, bin_dir, root=None):
        self.major, self.bin, self.root = major, bin_dir, root

    def path(self, path):
        """A file of the installation as the host sees it."""
        return f"{self.root or ''}{path}"

    def enter(self, folder):
        """Option `root` of Process, for a program that works in this folder of the host."""
        if not self.root:
            return None
        top = "/" + os.path.abspath(folder).split("/")[1]
        if top in _SYSTEM:
            raise Failure(f"{folder} cannot be shown in {self.root}: set TMPDIR")
        os.makedirs(self.root + top, exist_ok=True)
        with open(f"{self.root}/etc/hosts", "a", encoding="ascii"):
            pass  # what the host's will appear in; roots of before have none
        # Without hosts the statistics collector, up to 14, has no address for its socket.
        return self.root, ("/dev", "/proc", "/etc/passwd", "/etc/group", "/etc/hosts", top)


def installed():
    """The newest complete installation of the host, None if there is none."""
    found = []
    for path in glob.glob("/usr/lib/postgresql/*/bin"):
        major = path.split("/")[4]
        if major.isdigit() and all(os.access(f"{path}/{name}", os.X_OK) for name in PROGRAMS):
            found.append((int(major), path))
    return Installation(*max(found)) if found else None


def _closure(archive, names):
    """These packages and all that is wanted of what they depend on."""
    needed = archive.dependencies(names)
    found, new = [], list(names)
    while new:
        found += new
        new = sorted({name for of in new for name in needed.get(of, ())
                      if _WANTED.fullmatch(name) and name not in found})
    return found


def _unpack(space, archive, names, root):
    files = archive.fetch(names)
    at_once = len(os.sched_getaffinity(0))
    for start in range(0, len(files), at_once):
        started = [space.start(["dpkg", "-x", file, root], name="dpkg") for file in files[start:start + at_once]]
        for process in started:
            process.expect(0, timeout=120)
    for name in ("dev", "proc", "etc"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    # What the host's will appear in.
    for name in ("passwd", "group"):
        with open(f"{root}/etc/{name}", "w", encoding="ascii"):
            pass
    # The links of a merged /usr, which is not made by its packages' files; older suites have folders.
    for name in ("bin", "sbin", "lib", "lib64"):
        if not os.path.lexists(f"{root}/{name}"):
            os.symlink(f"usr/{name}", f"{root}/{name}")


def cache():
    return os.environ.get("WALSCOPE_MATRIX_CACHE") or os.path.expanduser("~/.cache/walscope-matrix")


def packaged(major, architecture=None):
    """The packages of this major, unpacked into a root; fetched if they are not there yet. `architecture`:
    Debian's name of one that is not this machine's."""
    suites = SUITES | UBUNTU
    if major not in suites:
        raise Failure(f"no suite is known to have PostgreSQL {major} (only {', '.join(map(str, sorted(suites)))})")
    root = os.path.join(cache(), f"{major}-{architecture}" if architecture else str(major))
    if not os.path.exists(root):
        new = f"{root}.new"
        shutil.rmtree(new, ignore_errors=True)
        try:
            with Space("walscope-unpack-") as space:
                os.makedirs(f"{new}/.archive")
                archive = Archive(space, suites[major], folder=f"{new}/.archive", architecture=architecture)
                names = [f"postgresql-{major}", f"postgresql-client-{major}", *_BASICS]
                _unpack(space, archive, _closure(archive, names), new)
            shutil.rmtree(f"{new}/.archive")
            os.rename(new, root)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return Installation(major, f"/usr/lib/postgresql/{major}/bin", root)


def selected():
    """What the tests run with."""
    major = os.environ.get("WALSCOPE_TEST_MAJOR")
    here = installed()
    if major and (not here or here.major != int(major)):
        return packaged(int(major))
    if not here:
        raise Failure("no PostgreSQL server below /usr/lib/postgresql: run scripts/setup")
    return here
