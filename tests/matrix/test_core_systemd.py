# SPDX-License-Identifier: BSD-2-Clause
"""walscope core of a dump as systemd-coredump keeps it: made by Debian's, out of its package, which the host need not
have. It is run as the kernel runs it, in a mount namespace, and so leaves nothing on the host."""

import os
import shutil

import test_core_debug
import walscope
from archive import Archive
from live import LiveTest, once, space

# systemd-coredump hands the dump over to another one of its kind, which systemd starts for each connection.
SCRIPT = r'''
set -e
program=$1 source=$2 kept=$3 log=$4; shift 4
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib/systemd
mkdir /run/systemd /var/lib/systemd/coredump
mount --bind "$kept" /var/lib/systemd/coredump
systemd-socket-activate --accept --seqpacket -l /run/systemd/coredump "$program" 2>"$log" & server=$!
trap 'kill $server' EXIT
patience=600
until [ -S /run/systemd/coredump ]; do [ $((patience -= 1)) -gt 0 ]; sleep 0.1; done
"$program" "$@" <"$source"
until grep -q ' died with code 0' "$log"; do [ $((patience -= 1)) -gt 0 ]; sleep 0.1; done
'''


@once
def program():
    archive = Archive(space(), "bookworm", folder=space().folder("archive-systemd"))
    return archive.unpack("systemd-coredump", archive.newest("systemd-coredump")) + "/lib/systemd/systemd-coredump"


def kept_by_systemd(source, seconds):
    """The file it keeps of this dump."""
    folder = space().folder("coredump")
    script = space().file("coredump.sh")
    with open(script, "w", encoding="ascii") as file:
        file.write(SCRIPT)
    # %P %u %g %s %t %c %h of core(5). Of the process it wants to know more, so that it has to be there.
    space().run(["unshare", "--mount", "sh", script, program(), source, folder, space().file("coredump.log"),
                 str(os.getpid()), "0", "0", "11", str(seconds), "18446744073709551615", "host"], timeout=120,
                name="systemd-coredump")
    name, = os.listdir(folder)
    return os.path.join(folder, name)


class CoreSystemd(LiveTest):
    limit_s = 1800  # as in test_core_debug

    def test_it_tells_what_the_dump_tells(self):
        it = test_core_debug.built()
        plain = shutil.copy(it.dumps["phys"], space().file("plain.core"))
        seconds = int(os.stat(plain).st_mtime)
        os.utime(plain, (seconds, seconds))
        kept = kept_by_systemd(plain, seconds)
        self.assertTrue(kept.endswith(".zst"), kept)
        self.assertLess(os.path.getsize(kept), os.path.getsize(plain) / 4)
        # That it is as old as it was when it crashed, not as its file is.
        os.utime(kept, (1, 1))
        seen, = walscope.view(space(), "core", kept, "--postgres", it.server.program)
        expected, = walscope.view(space(), "core", plain, "--postgres", it.server.program)
        self.assertEqual(seen, expected)
        self.assertEqual(seen["application_name"], "phys")
