# SPDX-License-Identifier: BSD-2-Clause
# What the first process of a machine with a server in its memory (tests/lib/guest.py) begins with. BIN, where the
# server's programs are, is a word of the kernel's command line.
/bin/busybox --install -s /bin
export PATH="/bin:$BIN" LC_ALL=C XDG_CACHE_HOME=/cache PGHOST=/tmp PGUSER=postgres
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
chmod 1777 /tmp /dev/shm
chown -R postgres /data
ip link set lo up

# With the server's options.
start_server() {
	su postgres -s /bin/sh -c "exec postgres -D /data $*" &
	until psql -d postgres -qAtc "create table if not exists t (n int)" 2>/dev/null; do sleep 0.2; done
}

# Waits for the recorder with this pid: it gives up what it no longer needs when it is tracing, and has no helper at
# work that plants probes.
until_it_records() {
	until grep -q "^NoNewPrivs:.*1" "/proc/$1/status" &&
		! grep -qw "^PPid:.*$1" /proc/[0-9]*/status 2>/dev/null; do
		sleep 0.2
	done
}
