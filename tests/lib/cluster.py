# SPDX-License-Identifier: BSD-2-Clause
"""Throw-away PostgreSQL servers and replication clients for tests, the demonstration and benchmarks.

Each server has a data directory and a log of its own inside a `Space`, listens on a free port of 127.0.0.1
only, asks for a password that nobody else knows, and runs as an unprivileged user (PostgreSQL refuses root).
"""

import array
import contextlib
import csv
import datetime
import fcntl
import io
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import termios

import installation
from processes import Failure, alive, command_line, parents, start_ticks, stat_fields, wait_for

# Part of a conninfo: the server's log shall have the plain SQL of this session, too.
LOG_SQL = {"options": "'-c log_statement=all'"}


def find_server():
    """(bin directory, major version) of the installation the tests run with."""
    found = installation.selected()
    return found.path(found.bin), found.major


def own_installation(space, name="installation", binary=None, origin=None):
    """(program, origin) of a server whose executable is a copy of its own, of `binary` if that is given.

    Probes are planted by file: those planted in the copy are in no other server of this host, and
    those that somebody else plants in the installed file are not in the copy. The server finds
    everything else relative to its executable: links lead back to the installation, in its root.
    """
    origin = origin or installation.selected()
    root = space.file(name)
    program = f"{root}{origin.bin}/postgres"
    if not os.path.exists(program):
        os.makedirs(f"{root}{origin.bin}")
        os.makedirs(f"{root}/usr/share/postgresql")
        os.symlink(f"/usr/lib/postgresql/{origin.major}/lib", f"{root}/usr/lib/postgresql/{origin.major}/lib")
        os.symlink(f"/usr/share/postgresql/{origin.major}", f"{root}/usr/share/postgresql/{origin.major}")
        shutil.copy(binary or origin.path(f"{origin.bin}/postgres"), program)
        if binary:
            _lay_share(f"{root}/usr/lib/postgresql/{origin.major}/share", origin)
    return program, origin


def _lay_share(folder, origin):
    """The installation's files where a server looks for them that was built without a word of Debian's folders,
    and the time zones, which Debian's servers take of the system."""
    os.mkdir(folder)
    shared = f"/usr/share/postgresql/{origin.major}"
    for name in os.listdir(origin.path(shared)):
        os.symlink(f"{shared}/{name}", f"{folder}/{name}")
    os.symlink("/usr/share/zoneinfo", f"{folder}/timezone")


def server_user():
    """Who runs the servers: None (this user) unless this is root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise Failure("neither a user postgres nor a user nobody to run the server as")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def lsn(text):
    """X/X as a number."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class LogLine:
    """One entry of a server's csv log."""

    def __init__(self, row):
        stamp = datetime.datetime.fromisoformat(row[0].removesuffix(" UTC"))
        self.time = stamp.replace(tzinfo=datetime.timezone.utc).timestamp()
        self.user, self.database = row[1], row[2]
        self.pid = int(row[3]) if row[3] else None
        self.process = row[5]  # its start and pid: what a pid is not, it is for good
        self.severity, self.sqlstate, self.message = row[11], row[12], row[13]
        self.query, self.location = row[19], row[21]
        self.application, self.backend_type = row[22], row[23]

    def __repr__(self):
        return (f"{self.time:.3f} [{self.pid}] {self.application} {self.severity}: {self.sqlstate} "
                f"{self.message}")


class Log:
    """What a server has logged, whoever asks: by its csv log, which is read on from where it was read to.

    Lines come there by way of the server's logging process, which the load of a host may hold up, behind
    those that logged them.
    """

    def __init__(self, path):
        self.path, self.lines = path, []
        self._offset = 0
        self._logger = None  # (pid, ticks) and the descriptor of the pipe it reads

    def know_logger(self, server):
        """The logging process of a server, once there is one; call it while that runs."""
        if self._logger and alive(*self._logger[0]):
            return
        postmaster = server.pid
        with contextlib.suppress(OSError):
            pipe = os.readlink(f"/proc/{postmaster}/fd/2")
            for pid, parent in parents().items():
                if parent == postmaster and command_line(pid).endswith("logger"):
                    folder = f"/proc/{pid}/fd"
                    mine = [name for name in os.listdir(folder) if os.readlink(f"{folder}/{name}") == pipe]
                    if mine:
                        self._logger = (pid, start_ticks(pid)), f"{folder}/{mine[0]}"

    def _is_written(self):
        """Has the logging process written down what it was told before this call?"""
        if not self._logger or not alive(*self._logger[0]):
            return True
        try:
            pipe = os.open(self._logger[1], os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return not alive(*self._logger[0])
        try:
            unread = array.array("i", [0])
            fcntl.ioctl(pipe, termios.FIONREAD, unread)
        finally:
            os.close(pipe)
        fields = stat_fields(self._logger[0][0])
        return unread[0] == 0 and (fields is None or fields[0] in "SZ")

    def read(self):
        """All lines that were logged before this call."""
        wait_for(f"the lines of {self.path} to be written", self._is_written, every=0.001)
        if not os.path.exists(self.path):
            return self.lines
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            new = file.read()
        new = new[:new.rfind(b"\n") + 1]
        while new.count(b'"') % 2:  # the last entry has more lines than are there
            new = new[:new.rfind(b"\n", 0, len(new) - 1) + 1]
        self._offset += len(new)
        rows = csv.reader(io.StringIO(new.decode(errors="replace"), newline=""))
        self.lines += [LogLine(row) for row in rows if len(row) >= 24]
        return self.lines


def of_last_processes(lines):
    """Without those of processes whose pid another one has got since."""
    last = {line.pid: line.process for line in lines}
    return [line for line in lines if last[line.pid] == line.process]


class Server:
    """A primary or a standby."""

    SETTINGS = {
        "listen_addresses": "'127.0.0.1'",
        "wal_level": "logical",
        "max_wal_senders": "20",
        "max_replication_slots": "20",
        "max_wal_size": "'8GB'",
        "wal_keep_size": "'1GB'",
        "checkpoint_timeout": "'1h'",
        "fsync": "off",
        "autovacuum": "off",
        "shared_buffers": "'64MB'",
        "wal_sender_timeout": "'300s'",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "logging_collector": "on",
        "log_destination": "'stderr,csvlog'",
        "log_filename": "'server.log'",
        "log_rotation_age": "0",
        "log_rotation_size": "0",
        "log_error_verbosity": "verbose",
        "log_replication_commands": "on",
        "log_connections": "on",
        "log_disconnections": "on",
    }

    def __init__(self, space, name, settings=None, installation="installation", binary=None, origin=None):
        self.space, self.name = space, name
        self.program, self.origin = own_installation(space, installation, binary, origin)
        self.bin, self.major = self.origin.bin, self.origin.major
        self.root = self.origin.enter(space.dir)
        self.user = server_user()
        self.dir = space.folder(name, self.user)
        self.data = os.path.join(self.dir, "data")
        self.log_dir = os.path.join(self.dir, "log")
        self.port = free_port()
        self.settings = {**self.SETTINGS, **(settings or {})}
        self.password = secrets.token_hex(16)
        self.process = None
        self._log = Log(os.path.join(self.log_dir, "server.csv"))

    # -- life

    def create(self):
        """A new, empty cluster."""
        secret = os.path.join(self.dir, "password")
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(self.password + "\n")
        if self.user:
            os.chown(secret, self.user.pw_uid, self.user.pw_gid)
        self.run(["initdb", "-D", self.data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}",
                  "-E", "UTF8", "--locale=C", "--no-sync",
                  *(["--no-instructions"] if self.major >= 14 else [])], timeout=120)
        os.unlink(secret)
        self._configure()
        return self

    def copy_of(self, primary):
        """A streaming standby, copied with pg_basebackup -R."""
        self.password = primary.password
        self.run(["pg_basebackup", "-D", self.data, "-d", primary.conninfo(application=f"{self.name}_copy"),
                  "-R", "-X", "stream", "-c", "fast", "--no-sync"], timeout=120)
        self.settings["cluster_name"] = f"'{self.name}'"
        self._configure()
        auto = os.path.join(self.data, "postgresql.auto.conf")
        with open(auto, encoding="utf-8") as file:
            text = re.sub(r"application_name=\S*_copy", f"application_name={self.name}", file.read())
        with open(auto, "w", encoding="utf-8") as file:
            file.write(text)
        return self

    def _configure(self):
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            for key, value in {**self.settings, "port": str(self.port), "log_directory": f"'{self.log_dir}'",
                               "unix_socket_directories": "''"}.items():
                conf.write(f"{key} = {value}\n")

    def launch(self):
        return self.space.start(
            [self.program, "-D", self.data], name=self.name, user=self.user, cwd=self.dir,
            stop=signal.SIGQUIT, root=self.root)

    def start(self, timeout=60):
        self.process = self.launch()
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=60):
        """Waits until it answers SQL."""

        def ready():
            if not self.process.running:
                raise Failure(f"{self.process.describe()} ended at once; its log ends:\n{self.log_tail()}")
            probe = self.start_program(["psql", *self._psql_options(), "-c", "select 1"], name="ready")
            return probe.wait(timeout) == 0

        wait_for(lambda: f"{self.name} to accept connections; its log ends:\n{self.log_tail()}", ready,
                 timeout, every=0.05)
        self._log.know_logger(self)

    @property
    def pid(self):
        """The postmaster."""
        return self.process.pid

    def stop(self, how=signal.SIGINT, timeout=60):
        """Ends the server: SIGINT is a fast, SIGTERM a smart, SIGQUIT an immediate shutdown."""
        self.process.signal(how)
        status = self.process.wait(timeout)
        if status != 0 and how != signal.SIGQUIT:
            raise Failure(f"{self.name}: exit status {status}; its log ends:\n{self.log_tail()}")

    def restart(self):
        self.stop()
        return self.start()

    # -- programs that talk to it

    def conninfo(self, application=None, database=None, **more):
        words = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "dbname": database,
                 "application_name": application, **more}
        return " ".join(f"{key}={value}" for key, value in words.items() if value is not None)

    def start_program(self, argv, name=None, **options):
        """Starts one of PostgreSQL's programs as the server's user."""
        options["env"] = {"PGPASSWORD": self.password, **options.get("env", {})}
        return self.space.start([f"{self.bin}/{argv[0]}", *argv[1:]], name=name or argv[0], user=self.user,
                                cwd=self.dir, root=self.root, **options)

    def run(self, argv, status=0, timeout=60, **options):
        options["env"] = {"PGPASSWORD": self.password, **options.get("env", {})}
        return self.space.run([f"{self.bin}/{argv[0]}", *argv[1:]], status=status, timeout=timeout,
                              name=options.pop("name", argv[0]), user=self.user, cwd=self.dir, root=self.root,
                              **options)

    def _psql_options(self):
        return ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d",
                self.conninfo(application="walscope_test", database="postgres")]

    def sql(self, statement, timeout=120):
        """Runs SQL; returns its rows as lists of strings."""
        text = self.run(["psql", *self._psql_options(), "--csv", "-t", "-c", statement], timeout=timeout).out
        return list(csv.reader(io.StringIO(text)))

    def sql_each(self, *statements):
        """Runs them one by one in one session; returns the rows of all. psql up to 14 shows only the last rows of
        several statements that it is given at once."""
        words = [word for statement in statements for word in ("-c", statement)]
        text = self.run(["psql", *self._psql_options(), "--csv", "-t", *words], timeout=120).out
        return list(csv.reader(io.StringIO(text)))

    def value(self, statement, timeout=120):
        """The first column of the only row."""
        rows = self.sql(statement, timeout)
        if len(rows) != 1:
            raise Failure(f"{statement}: {len(rows)} rows, expected 1")
        return rows[0][0]

    def replication_psql(self, commands, database="postgres", application="psql_repl", physical=False,
                         timeout=60):
        """Runs replication commands in one session and shows errors as VERBOSITY verbose prints them."""
        how = self.conninfo(application=application, replication="true" if physical else "database",
                            database=None if physical else database, **LOG_SQL)
        argv = ["psql", "-X", "-q", "-v", "VERBOSITY=verbose", "-d", how]
        for command in commands:
            argv += ["-c", command]
        process = self.start_program(argv, name=application)
        process.wait(timeout)
        return process

    def receivewal(self, application="pg_receivewal", *options):
        folder = self.space.folder(f"{self.name}.{application}.wal", self.user)
        process = self.start_program(
            ["pg_receivewal", "-D", folder, "-d", self.conninfo(application=application), "--no-loop",
             "--no-sync", *options], name=application, stop=signal.SIGINT)
        process.folder = folder
        return process

    def create_logical_slot(self, slot, database="postgres"):
        how = self.conninfo(application="create_slot", database=database, **LOG_SQL)
        self.run(["pg_recvlogical", "-d", how,
                  "--create-slot", "-S", slot, "-P", "test_decoding"])

    def recvlogical(self, slot, *options, application="pg_recvlogical", database="postgres"):
        output = self.space.file(f"{self.name}.{application}.{slot}.changes")
        with open(output, "wb"):
            pass
        if self.user:
            os.chown(output, self.user.pw_uid, self.user.pw_gid)
        process = self.start_program(
            ["pg_recvlogical", "-d", self.conninfo(application=application, database=database, **LOG_SQL),
             "--start",
             "-S", slot, "-f", output, "--no-loop", *options], name=application, stop=signal.SIGINT)
        process.output = output
        return process

    def basebackup(self, application="pg_basebackup", *options):
        folder = os.path.join(self.dir, f"{application}.backup")
        process = self.start_program(
            ["pg_basebackup", "-D", folder, "-d", self.conninfo(application=application), "--no-sync",
             "-c", "fast", *options], name=application, stop=signal.SIGINT)
        process.folder = folder
        return process

    def pgbench_init(self, scale=1):
        self.run(["pgbench", "-i", "-q", "-s", str(scale), "-h", "127.0.0.1", "-p", str(self.port),
                  "-U", "postgres", "postgres"], timeout=120, name="pgbench-init")

    def pgbench(self, seconds, clients=4, *options):
        return self.start_program(
            ["pgbench", "-n", "-N", "-c", str(clients), "-j", "1", "-T", str(seconds), *options, "-h",
             "127.0.0.1", "-p", str(self.port), "-U", "postgres", "postgres"], name="pgbench")

    def base_backup(self, label, fast=True, wait=False, rate=None):
        """The replication command in the major's grammar, not as pg_basebackup writes it."""
        if self.major < 15:
            return (f"BASE_BACKUP {'FAST ' if fast else ''}{'' if wait else 'NOWAIT '}"
                    f"{f'MAX_RATE {rate} ' if rate else ''}LABEL '{label}'")
        return (f"BASE_BACKUP (LABEL '{label}', CHECKPOINT '{'fast' if fast else 'spread'}', "
                f"WAIT {'true' if wait else 'false'}{f', MAX_RATE {rate}' if rate else ''})")

    # -- what the server knows

    def walsenders(self, application=None):
        """Rows of pg_stat_replication as dicts."""
        columns = ("pid", "application_name", "state", "sent_lsn", "write_lsn", "flush_lsn", "replay_lsn")
        rows = self.sql(f"select {', '.join(columns)} from pg_stat_replication order by pid")
        found = [dict(zip(columns, row)) for row in rows]
        return [row for row in found if application in (None, row["application_name"])]

    def wait_walsender(self, application, state="streaming", timeout=30):
        """Waits until this client's walsender has this state; returns its row."""
        rows = wait_for(f"a walsender of {application} in state {state} on {self.name}",
                        lambda: [row for row in self.walsenders(application) if row["state"] == state],
                        timeout)
        return rows[0]

    def wait_event(self, pid):
        """wait_event of pg_stat_activity for a backend, None if it has none, or there is no such backend."""
        rows = self.sql(f"select coalesce(wait_event, '') from pg_stat_activity where pid = {pid}")
        return rows[0][0] if rows and rows[0] else None

    def write_wal(self, megabytes):
        """Writes about this much WAL, and returns its end."""
        self.sql("create table if not exists filler (t text);"
                 f"insert into filler select repeat('w', 1000) from generate_series(1, {megabytes * 1000})")
        return self.value("select pg_current_wal_flush_lsn()")

    def log(self, everything=False):
        """The csv log so far, without the lines of processes whose pid another one has got since (pids
        come round while tests run), or with everything."""
        if self.process is not None and self.process.running:
            self._log.know_logger(self)
        lines = self._log.read()
        return list(lines) if everything else of_last_processes(lines)

    def log_tail(self, lines=8):
        path = os.path.join(self.log_dir, "server.log")
        if not os.path.exists(path):
            return f"    (no log) {self.process.err}"
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(f"    {line}" for line in file.readlines()[-lines:])

    def logged_commands(self, pid):
        """(time, text) of the commands of a walsender, by the server's own log: replication commands,
        and plain SQL where the client asked for log_statement=all (LOG_SQL)."""
        found = []
        for line in self.log():
            if line.pid == pid:
                for prefix in ("received replication command: ", "statement: "):
                    if line.message.startswith(prefix):
                        found.append((line.time, line.message[len(prefix):]))
        return found


class LogKept:
    """A server whose log is what it was now: for tests that look at it when others have added to it, and
    pids have come round."""

    def __init__(self, server):
        self._server, self._lines = server, server.log()

    def log(self):
        return self._lines

    logged_commands = Server.logged_commands

    def __getattr__(self, name):
        return getattr(self._server, name)
