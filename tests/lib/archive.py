# SPDX-License-Identifier: BSD-2-Clause
"""Packages out of the archives of Debian and Ubuntu, unpacked into a folder: nothing is installed, and of the system's
apt nothing is touched."""

import os
import re

from processes import Failure

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
UBUNTU = ("focal", "jammy", "noble")


class Archive:
    """The packages of one suite, on demand with its security updates. `folder`: where they are kept, else
    in the space. `architecture`: Debian's name of one that is not this machine's."""

    def __init__(self, space, suite, security=False, folder=None, architecture=None):
        self.space, self.suite, self.dir = space, suite, folder or space.folder(f"archive-{suite}")
        for path in ("lists/partial", "cache/archives/partial", "parts"):
            os.makedirs(os.path.join(self.dir, path), exist_ok=True)
        with open(os.path.join(self.dir, "sources.list"), "w", encoding="ascii") as file:
            if suite in UBUNTU:
                how = f"deb [signed-by={self._keys_of_ubuntu()} target=Packages] http://archive.ubuntu.com/ubuntu"
                file.writelines(f"{how} {part} main\n" for part in (suite, f"{suite}-updates"))
            else:
                how = f"deb [signed-by={KEYS} target=Packages] http://deb.debian.org"
                file.write(f"{how}/debian {suite} main\n")
                if security:
                    file.write(f"{how}/debian-security {suite}-security main\n")
        with open(os.path.join(self.dir, "apt.conf"), "w", encoding="ascii") as file:
            file.write(f'''Dir::Etc::sourcelist "{self.dir}/sources.list";
Dir::Etc::sourceparts "{self.dir}/parts";
Dir::State::lists "{self.dir}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{self.dir}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
''')
            if architecture:
                file.write(f'APT::Architecture "{architecture}";\nAPT::Architectures {{ "{architecture}"; }};\n')
        self._apt("apt-get", "update", "-q")

    def _keys_of_ubuntu(self):
        """Debian has them in a package."""
        debian = Archive(self.space, "trixie", folder=os.path.join(self.dir, "keys"))
        return os.path.join(debian.unpack("ubuntu-keyring", debian.newest("ubuntu-keyring")),
                            "usr/share/keyrings/ubuntu-archive-keyring.gpg")

    def _apt(self, program, *words):
        process = self.space.start([program, "-c", os.path.join(self.dir, "apt.conf"), *words], name="apt",
                                   cwd=self.dir)
        if process.wait(900) != 0:
            said = process.err.strip().splitlines() or ["no word"]
            why = next((line for line in said if "Failed to fetch" in line), said[-1])
            raise Failure(f"nothing out of the archive: {program} {words[0]} failed: {why}")
        return process.out

    def names(self, pattern):
        """Of the packages whose name matches."""
        return [line.split(" ", 1)[0] for line in self._apt("apt-cache", "search", "-n", pattern).splitlines()]

    def versions(self, name):
        """Of a package, the newest first."""
        offered = re.findall(rf"^ *{re.escape(name)} \| *(\S+) ", self._apt("apt-cache", "madison", name), re.M)
        if not offered:
            raise Failure(f"{self.suite} has no {name}")
        return offered

    def newest(self, name):
        return self.versions(name)[0]

    def dependencies(self, names):
        """Of each package, and of each of those: what it depends on by name; of alternatives the last one."""
        found, of, taken = {name: [] for name in names}, None, None
        for line in self._apt("apt-cache", "depends", "--important", "--recurse", *names).splitlines():
            word = re.fullmatch(r"(\S+)|( \||  )(?:Pre)?Depends: (\S+)|    (\S+)", line)
            if not word:
                taken = None
            elif word[1]:
                of, taken = word[1], None
            elif word[3]:
                # A virtual package is in <>; the lines behind it name those that provide it.
                taken = None if word[2] == " |" or not word[3].startswith("<") else of
                if word[2] == "  " and not word[3].startswith("<"):
                    found.setdefault(of, []).append(word[3])
            elif taken:
                found.setdefault(taken, []).append(word[4])
                taken = None
        return found

    def fetch(self, names):
        """Downloads the newest version of each; returns the packages' files."""
        self._apt("apt-get", "download", "-q", *names)
        files = {path.split("_")[0]: os.path.join(self.dir, path) for path in os.listdir(self.dir)
                 if path.endswith(".deb")}
        return [files[name] for name in names]

    def unpack(self, name, version):
        """Downloads and unpacks; returns the folder in which the package's files are."""
        self._apt("apt-get", "download", "-q", f"{name}={version}")
        package, = (path for path in os.listdir(self.dir)
                    if path.startswith(f"{name}_{version.replace(':', '%3a')}_") and path.endswith(".deb"))
        root = os.path.join(self.dir, f"{name}_{version}")
        self.space.run(["dpkg", "-x", os.path.join(self.dir, package), root], name="dpkg")
        return root
