# SPDX-License-Identifier: BSD-2-Clause
"""What a machine of qemu (machine.py) is given to run a server in its memory, with walscope beside it. Its init
sources /server.sh, which is tests/kernels/server.sh."""

import os
import shutil

import cluster
import installation
import machine
import walscope

SERVER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kernels", "server.sh")
PROGRAMS = ("postgres", "psql", "pg_receivewal", "pg_recvlogical")
LIBRARIES = ("libpqwalreceiver.so", "test_decoding.so")


def words():
    """For the kernel's command line."""
    return f"BIN={installation.selected().bin}"


def new_cluster(space):
    """An empty cluster, as initdb makes it, whose clients are trusted."""
    data, user = space.file("guest-data"), cluster.server_user()
    parent = space.folder("guest-cluster", user)
    found = installation.selected()
    space.run([f"{found.bin}/initdb", "-D", os.path.join(parent, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8",
               "--locale=C", "--no-sync"], name="initdb", user=user, cwd=parent, timeout=120)
    shutil.move(os.path.join(parent, "data"), data)
    with open(os.path.join(data, "postgresql.conf"), "a", encoding="ascii") as conf:
        conf.write("fsync = off\nlisten_addresses = ''\nunix_socket_directories = '/tmp'\nshared_buffers = '32MB'\n"
                   "autovacuum = off\nmin_wal_size = '80MB'\nmax_wal_size = '160MB'\ntimezone = 'GMT'\n"
                   "log_timezone = 'GMT'\n")
    return data


def folder_with(space, name, files):
    folder = space.folder(name)
    for file, text in files.items():
        with open(os.path.join(folder, file), "w", encoding="ascii") as out:
            out.write(text)
    return folder


def tree(space, init):
    found = installation.selected()
    share = f"/usr/share/postgresql/{found.major}"
    made = machine.Tree(space, "guest", init)
    made.copy(SERVER, "/server.sh")
    made.copy(folder_with(space, "guest-etc", {"passwd": "root:x:0:0::/:/bin/sh\npostgres:x:70:70::/tmp:/bin/sh\n",
                                               "group": "root:x:0:\npostgres:x:70:\n"}), "/etc")
    os.makedirs(made.root + "/usr/share/zoneinfo")
    made.program(walscope.binary(), "/bin/walscope")
    for name in PROGRAMS:
        made.program(f"{found.bin}/{name}")
    for name in LIBRARIES:
        made.copy(f"/usr/lib/postgresql/{found.major}/lib/{name}")
    for name in ("timezonesets", "postgresql.conf.sample"):
        made.copy(f"{share}/{name}")
    # What is known of the server's symbols, found there in a minute, is found here in a second.
    space.run([walscope.binary(), "symbols", f"{found.bin}/postgres"], name="symbols")
    made.copy(os.path.join(os.environ["XDG_CACHE_HOME"], "walscope"), "/cache/walscope")
    os.chmod(made.copy(new_cluster(space), "/data"), 0o700)
    return made
