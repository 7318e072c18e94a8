# SPDX-License-Identifier: BSD-2-Clause
"""Servers in odd homes: in mount and pid namespaces of their own, as containers have them.

All mounts are made inside the server's own mount namespace and go away with its last process, however that
ends. Nothing is mounted on the host.
"""

import os
import signal

from cluster import Server, own_installation
from processes import descendants, wait_for

# The folders of the host that a root of its own is made of.
_HOST = ("usr", "bin", "sbin", "lib", "lib64", "etc", "dev")

_ENTER = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$NEW"
for name in $HOST; do
	if [ -L "/$name" ]; then
		cp -P "/$name" "$NEW/$name"
	elif [ -d "/$name" ]; then
		mkdir "$NEW/$name"
		mount --rbind "/$name" "$NEW/$name"
	fi
done
mkdir -p "$NEW/proc" "$NEW/tmp" "$NEW/old" "$NEW/image" "$NEW/srv/data" "$NEW/layers/upper" "$NEW/layers/work"
chmod 1777 "$NEW/tmp"
chmod 755 "$NEW"
mkdir -p "$NEW$DIR"
mount --bind "$DIR" "$NEW$DIR"
mount --bind "$DATA" "$NEW/srv/data"
case $KIND in
overlay)
	mount -t overlay overlay -o "lowerdir=$IMAGE,upperdir=$NEW/layers/upper,workdir=$NEW/layers/work" "$NEW/image" ;;
bind)
	mount --bind "$IMAGE" "$NEW/image" ;;
esac
if [ "$SHADOW" ]; then
	mount --bind "$IMAGE$SHADOW" "$NEW$SHADOW"
fi
mount -t proc proc "$NEW/proc"
cd "$NEW"
pivot_root . old
umount -l /old
cd /
exec setpriv --reuid "$UID_" --regid "$GID_" --clear-groups --pdeathsig QUIT "$PROGRAM" -D /srv/data
"""


class Housed(Server):
    """A server whose root is its own, made out of folders of the host, with the installation at /image.

    `kind`: `overlay` puts a writable layer over the installation, as containers of one image do, `bind`
    shows it as it is. `pids`: it is process 1 of a pid namespace of its own.
    """

    DATADIR = "/srv/data"  # as the server sees it

    def __init__(self, space, name, kind="overlay", pids=True, installation="image", **more):
        super().__init__(space, name, installation=installation, **more)
        self.kind, self.pids = kind, pids
        self.shadow = ""  # the installed program's path: the installation's is put over it, and started there
        self.image = space.file(installation)
        self.inner_program = "/image" + self.program[len(self.image):]

    def launch(self):
        new = os.path.join(self.dir, "root")
        os.makedirs(new, exist_ok=True)
        user = self.user
        wrap = ["unshare", "--mount", *(["--pid", "--fork", "--kill-child=QUIT"] if self.pids else [])]
        env = {"NEW": new, "HOST": " ".join(_HOST), "DIR": self.dir, "DATA": self.data, "IMAGE": self.image,
               "KIND": self.kind, "PROGRAM": self.shadow or self.inner_program, "SHADOW": self.shadow, "UID_": str(user.pw_uid),
               "GID_": str(user.pw_gid)}
        return self.space.start([*wrap, "/bin/sh", "-c", _ENTER], name=self.name, env=env, cwd="/",
                                stop=signal.SIGQUIT)

    @property
    def pid(self):
        """The postmaster, as the host numbers it."""
        if not self.pids:
            return self.process.pid
        return wait_for(f"the postmaster of {self.name}", lambda: next(
            (pid for pid in descendants(self.process.pid) if ns_pid(pid) == 1), None))

    def stop(self, how=signal.SIGINT, timeout=60):
        os.kill(self.pid, how)
        self.process.wait(timeout)

    def host_pid(self, inner):
        """The host's number of the server's process that calls itself this."""
        return next(pid for pid in descendants(self.process.pid) if ns_pid(pid) == int(inner))


def ns_pid(pid):
    """What a process calls itself: the last number of NSpid."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[-1]) for line in file if line.startswith("NSpid:"))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return None


def linked_installation(space, name, link, of="installation-linked"):
    """An installation whose executable is one of `of`'s: by `link` (os.symlink or os.link)."""
    program, origin = own_installation(space, of)
    bin_dir, major = origin.bin, origin.major
    root = space.file(name)
    os.makedirs(f"{root}{bin_dir}")
    os.makedirs(f"{root}/usr/share/postgresql")
    os.symlink(f"/usr/lib/postgresql/{major}/lib", f"{root}/usr/lib/postgresql/{major}/lib")
    os.symlink(f"/usr/share/postgresql/{major}", f"{root}/usr/share/postgresql/{major}")
    link(program, f"{root}{bin_dir}/postgres")
    return program
