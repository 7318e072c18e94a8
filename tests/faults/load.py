# SPDX-License-Identifier: BSD-2-Clause
"""A minute of load with walsenders of all kinds at once, and some trouble with a slow standby and clients
that stop; recorded by walscope and watched from outside."""

import os
import re
import signal
import subprocess
import time

import account
import walscope
from cluster import Server, lsn
from live import Recording, Window, once, space, wait_stuck, walsender_pids
from outside import Rest, Sampler, same_wal, writes
from processes import wait_for

TABLES = "pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history, truth_filler"
FILLER = "create table truth_filler (t text)"
STANDBY = {"hot_standby_feedback": "on", "wal_receiver_status_interval": "'1s'"}

# Between the commands of one database walsender pass some seconds of load.
PSQL = (
    "IDENTIFY_SYSTEM;",
    "select count(*) from pgbench_branches;",
    "copy (select generate_series(1, 200000)) to stdout;",
    "TIMELINE_HISTORY 9;",
    "select 1 / 0;",
    "SHOW wal_segment_size;",
    "IDENTIFY SYSTEMS;",
    "CREATE_REPLICATION_SLOT truth_psql PHYSICAL;",
    "READ_REPLICATION_SLOT truth_psql;",
    "DROP_REPLICATION_SLOT truth_psql;",
    "DROP_REPLICATION_SLOT nosuch;",
    "START_REPLICATION SLOT;",
)


class Network:
    """A network namespace behind a link of limited rate. It is gone with the process that holds it."""

    def __init__(self, rate):
        self.holder = space().start(["unshare", "--net", "sleep", "infinity"], name="network")
        own = os.readlink("/proc/self/ns/net")
        wait_for("the namespace", lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own)
        number = os.getpid() % 16000
        self.net, self.here, self.there = (f"198.18.{number >> 6}.{(number & 63) * 4 + i}" for i in (0, 1, 2))
        link = self.link = f"wst{number}"
        self._run("ip", "link", "add", link, "type", "veth", "peer", "name", "inside", "netns",
                  str(self.holder.pid))
        self._run("ip", "address", "add", f"{self.here}/30", "dev", link)
        self._run("ip", "link", "set", link, "up")
        self._run(*self.enter, "ip", "address", "add", f"{self.there}/30", "dev", "inside")
        for device in ("inside", "lo"):
            self._run(*self.enter, "ip", "link", "set", device, "up")
        self._run("tc", "qdisc", "add", "dev", link, "root", "tbf", "rate", rate, "burst", "64kb",
                  "latency", "200ms")

    @property
    def enter(self):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]

    @staticmethod
    def _run(*argv):
        space().run(argv, name="network-" + argv[-1].replace("/", "_"))


class FarServer(Server):
    """A server in another network namespace."""

    def __init__(self, network, name, settings):
        super().__init__(space(), name, settings)
        self.enter = [*network.enter]
        if self.user:
            self.enter += ["--setuid", str(self.user.pw_uid), "--setgid", str(self.user.pw_gid)]

    def start(self, timeout=60):
        self.process = self.space.start([*self.enter, self.program, "-D", self.data], name=self.name,
                                        cwd=self.dir, stop=signal.SIGQUIT)
        self.wait_ready(timeout)
        return self

    def start_program(self, argv, name=None, **options):
        if self.process is None:  # it is being made, from what is here
            return super().start_program(argv, name, **options)
        options["env"] = {"PGPASSWORD": self.password, **options.get("env", {})}
        return self.space.start([*self.enter, f"{self.bin}/{argv[0]}", *argv[1:]], name=name or argv[0],
                                cwd=self.dir, **options)

    def run(self, argv, status=0, timeout=60, **options):
        if self.process is None:
            return super().run(argv, status, timeout, **options)
        return self.start_program(argv, **options).expect(status, timeout)


def change_conninfo(server, old, new):
    """Of a standby: where it streams from, and how."""
    auto = os.path.join(server.data, "postgresql.auto.conf")
    with open(auto, encoding="utf-8") as file:
        text = file.read()
    if old not in text:
        raise AssertionError(f"no {old} in {text}")
    with open(auto, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


class World:
    """A primary, a standby, a standby of that, and a server that subscribes to the primary."""

    def __init__(self):
        self.network = Network("80mbit")
        self.primary = Server(space(), "t_primary", {
            "listen_addresses": f"'127.0.0.1,{self.network.here}'"}).create()
        with open(os.path.join(self.primary.data, "pg_hba.conf"), "a", encoding="utf-8") as file:
            file.write(f"host replication all {self.network.there}/32 scram-sha-256\n")
        self.primary.start()
        self.primary.pgbench_init(2)
        secret = self.primary.password
        self.primary.sql(f"create role bench superuser login password '{secret}'; {FILLER};"
                         "alter role postgres in database postgres set log_statement = 'all';"
                         f"create publication truth for table {TABLES}")
        self.standby = Server(space(), "t_standby", STANDBY).copy_of(self.primary)
        self.cascade = Server(space(), "t_cascade", STANDBY).copy_of(self.primary)
        change_conninfo(self.cascade, f"port={self.primary.port}", f"port={self.standby.port}")
        self.subscriber = Server(space(), "t_subscriber").create().start()
        self.subscriber.run(["pgbench", "-i", "-q", "-I", "dtp", "-h", "127.0.0.1", "-p",
                             str(self.subscriber.port), "-U", "postgres", "postgres"])
        self.subscriber.sql(FILLER)

    def bench(self, *options):
        """pgbench whose statements are not logged."""
        return self.primary.start_program(
            ["pgbench", "-n", "-N", "-c", "4", "-j", "1", *options, "-h", "127.0.0.1", "-p",
             str(self.primary.port), "-U", "bench", "postgres"], name="pgbench")


@once
def world():
    return World()


def tps(bench):
    bench.expect(timeout=60)
    return float(re.search(r"^tps = ([\d.]+)", bench.out, re.M)[1])


class Watched:
    """A recording, and what was seen meanwhile: a workload is run by `work`, ended by `leave`.

    `names` are the applications whose walsenders stream at the end, `servers` have their walsenders looked
    at.
    """

    def __init__(self, name, level, names, servers):
        self.name, self.level, self.names, self.servers = name, level, names, servers
        self.begin = time.time()
        file = space().file(f"truth-{name}.wst")
        process = walscope.start_record(space(), file, "--postgres", world().primary.program, "--level",
                                        str(level))
        self.record = Recording(process, file)
        try:
            walscope.wait_attached(process, world().primary.pid)
            self.work()
            self._rest()
        finally:
            process.close()
        self.leave()
        self.logs = {server: server.log(everything=True) for server in servers}
        self.tracks = account.tracks(self.record.file)
        self.details = account.details(self.record.file)

    def sample(self):
        self.samplers = [Sampler(server, user="bench") for server in self.servers]

    def _at_rest(self):
        """Nothing is written, all of it is sent, and each client has said that it has it."""
        rows = self.servers[0].sql(
            "select application_name, sent_lsn = pg_current_wal_flush_lsn() and write_lsn = sent_lsn and "
            "(flush_lsn = sent_lsn or flush_lsn is null) and (replay_lsn = sent_lsn or replay_lsn is null "
            "or application_name !~ 'standby') from pg_stat_replication")
        return {name for name, rest in rows if rest == "t"} >= set(self.names)

    def wait_rest(self):
        wait_for("all clients to be at rest", self._at_rest, 60, 0.1)

    def _rest(self):
        """Now and then a server notes its running transactions, at rest too: then it is not one yet."""
        for _ in range(5):
            self.wait_rest()
            self.rest = [[Rest(server)] for server in self.servers]
            self.at_rest_at = time.time()
            self.look()
            if self.rest[0][0].sent() == Rest(self.servers[0]).sent():
                break
        else:
            raise AssertionError("the server does not come to rest")
        self.samples = [sampler.end() for sampler in self.samplers]
        self.record.end()
        self.ended = time.time()
        for rests, server in zip(self.rest, self.servers):
            rests.append(Rest(server))

    def look(self):
        """At what clients have, at rest."""

    @property
    def at_rest(self):
        """(pid, row before the recording ended, row after) of walsenders that stream."""
        for before, after in self.rest:
            for pid, row in before.rows.items():
                if row["sent_lsn"]:
                    yield pid, row, after.rows[pid]

    def row(self, application):
        found = [row for rests in self.rest for row in rests[0].rows.values()
                 if row["application_name"] == application]
        if len(found) != 1:
            raise AssertionError(f"walsenders {found} of {application}, expected one")
        return found[0]

    def start_lsn(self, pid):
        """Where the last START_REPLICATION of this walsender asked to begin, by the server's log."""
        for server in self.servers:
            found = [text for _, text in server.logged_commands(pid) if text.startswith("START_REPLICATION")]
            if found:
                return lsn(re.search(r"([0-9A-F]+/[0-9A-F]+)", found[-1])[1])
        raise AssertionError(f"no START_REPLICATION of {pid} in the logs")

    def walsenders(self):
        """(server, pid) of all that began while this was recorded, by the servers' logs."""
        for server, lines in self.logs.items():
            pids = {line.pid: None for line in lines if line.backend_type == "walsender" and
                    self.begin <= line.time <= self.at_rest_at}
            for pid in pids:
                yield server, pid

    def pids(self, application):
        return walsender_pids(self.servers[0], application, self.begin)


class Minute(Watched):
    """60 s under load, and then some seconds to see what recording costs."""

    def __init__(self, level):
        self.prefix = f"t{level}_"
        names = [self.prefix + name for name in ("async", "sync", "logical", "sub")]
        super().__init__(f"level{level}", level, [*names, "t_standby"],
                         [world().primary, world().standby])

    def work(self):
        self._start()
        self._load()

    def _start(self):
        w, p = world(), world().primary
        slot = f"{self.prefix}sync"
        p.create_logical_slot(f"{self.prefix}logical")
        w.standby.start()
        w.cascade.start()
        p.sql(f"select pg_create_physical_replication_slot('{slot}')")
        self.receivers = {self.prefix + "async": p.receivewal(self.prefix + "async", "-s", "1"),
                          slot: self._synchronous(slot)}
        self.logical = p.recvlogical(f"{self.prefix}logical", "-s", "1", "-F", "1",
                                     application=self.prefix + "logical")
        self.psql = p.start_program(
            ["psql", "-X", "-q", "-d", p.conninfo(
                application=self.prefix + "psql", replication="database", database="postgres")],
            name=self.prefix + "psql", stdin=subprocess.PIPE)
        self.sample()
        for name in ("async", "sync", "logical"):
            p.wait_walsender(self.prefix + name)
        w.standby.wait_walsender("t_cascade")

    @staticmethod
    def _synchronous(slot):
        p = world().primary
        folder = space().folder(f"{slot}.wal", p.user)
        process = p.start_program(
            ["pg_receivewal", "-D", folder, "-d", p.conninfo(application=slot), "--no-loop", "-s", "1",
             "--synchronous", "-S", slot], name=slot, stop=signal.SIGINT)
        process.folder = folder
        return process

    def _say(self, count):
        for command in self.commands[:count]:
            self.psql.popen.stdin.write(f"{command}\n".encode())
        self.psql.popen.stdin.flush()
        del self.commands[:count]

    def _backup(self, number):
        return world().primary.basebackup(f"{self.prefix}backup{number}", "-X", "stream", "-Ft")

    def _subscribe(self):
        p, subscriber = world().primary, world().subscriber
        subscriber.sql("truncate " + TABLES)
        subscriber.sql(f"create subscription {self.prefix}sub connection "
                       f"'{p.conninfo(database='postgres', password=p.password)}' publication truth")

    def _load(self):
        w, p = world(), world().primary
        self.commands = list(PSQL)
        self.backups = []
        end = time.monotonic() + 60
        bench = w.bench("-T", "12")
        time.sleep(1)
        self._subscribe()
        self._say(3)
        self.backups.append(self._backup(1))
        bench.expect(timeout=60)
        wait_for("the tables to be copied", lambda: w.subscriber.value(
            "select count(*) from pg_subscription_rel where srsubstate <> 'r'") == "0", 60)
        self._say(2)
        self.backups[0].expect(timeout=60)
        time.sleep(2)
        p.sql("checkpoint")
        p.sql("select pg_switch_wal()")
        for _ in range(5):
            w.bench("-t", "150").expect()
            time.sleep(0.3)
        self._say(3)
        p.sql("insert into truth_filler select repeat('w', 1000) from generate_series(1, 30000)", 60)
        time.sleep(2)
        bench = w.bench("-T", "12", "-R", "300")
        self.backups.append(self._backup(2))
        time.sleep(3)
        self._say(2)
        bench.expect(timeout=60)
        self._say(2)
        self.backups[1].expect(timeout=60)
        w.bench("-T", "8").expect(timeout=60)
        self._say(1)
        time.sleep(max(end - time.monotonic(), 3))

    def look(self):
        """Bytes and segments of WAL that each pg_receivewal has, and its calls of write()."""
        self.received = {}
        for application, process in self.receivers.items():
            row = self.row(application)
            pid = int(row["pid"])
            size = same_wal(world().primary, process.folder, self.start_lsn(pid), lsn(row["sent_lsn"]))
            self.received[pid] = size, len(os.listdir(process.folder)), writes(process.pid), process
        with open(self.logical.output, "rb") as file:
            text = file.read()
        self.logical_size, self.logical_lines = len(text), text.count(b"\n")

    def _measure(self):
        """Transactions per second with and without a recording, by turns: the machine has other work."""
        file = space().file(f"measured-{self.name}.wst")
        self.tps, self.tps_unrecorded = [], []
        for _ in range(3):
            self.tps_unrecorded.append(tps(world().bench("-T", "3")))
            process = walscope.start_record(space(), file, "--postgres", world().primary.program, "--level",
                                            str(self.level))
            try:
                walscope.wait_attached(process, world().primary.pid)
                self.tps.append(tps(world().bench("-T", "3")))
                process.signal(signal.SIGINT)
                process.expect(0)
            finally:
                process.close()
            os.unlink(file)

    def leave(self):
        w = world()
        self.writes_after = {pid: writes(process.pid) for pid, (*_, process) in self.received.items()}
        self._measure()
        for process in (*self.receivers.values(), self.logical):
            process.stop()
        self.psql.popen.stdin.close()
        self.psql.wait()
        w.subscriber.sql(f"drop subscription {self.prefix}sub")
        w.cascade.stop()
        w.standby.stop()
        for slot in ("sync", "logical"):
            wait_for("the slot to be free", lambda name=slot: w.primary.value(
                f"select active from pg_replication_slots where slot_name = '{self.prefix}{name}'") == "f")
            w.primary.sql(f"select pg_drop_replication_slot('{self.prefix}{slot}')")


class Trouble(Watched):
    """A standby behind a slow link, a client that stops for a while, and the standby's receiver stopped
    for so long that its walsender gives up; it comes back."""

    HOLD = 4.0

    def __init__(self):
        # Copied now: all it lacks would have to pass through its link.
        self.slow = FarServer(world().network, "t_slow", {
            **STANDBY, "wal_retrieve_retry_interval": "'200ms'"}).copy_of(world().primary)
        change_conninfo(self.slow, "host=127.0.0.1",
                        f"host={world().network.here} options=''-c wal_sender_timeout=3s''")
        super().__init__("trouble", 2, ["t_slow", "t_stalled"], [world().primary])

    def work(self):
        p = world().primary
        self.slow.start()
        self.first = int(p.wait_walsender("t_slow")["pid"])
        self.stalled = p.receivewal("t_stalled", "-s", "1")
        self.stalled_pid = int(p.wait_walsender("t_stalled")["pid"])
        self.sample()
        self.stalled.signal(signal.SIGSTOP)
        begin = time.monotonic()
        p.write_wal(40)
        self.slow_from = time.time()
        self.stuck = Window(wait_stuck(p, "t_stalled"))
        wait_for("the slow standby to have it all", lambda: self._caught_up("t_slow"))
        self.slow_to = time.time()
        time.sleep(max(begin + self.HOLD - time.monotonic(), 0))
        self.stuck.close()
        self.stalled.signal(signal.SIGCONT)
        wait_for("the stalled client to have it all", lambda: self._caught_up("t_stalled"))
        self._time_out()

    @staticmethod
    def _caught_up(application):
        rows = world().primary.sql("select write_lsn = pg_current_wal_flush_lsn() from pg_stat_replication "
                                   f"where application_name = '{application}'")
        return rows == [["t"]]

    def _time_out(self):
        p = world().primary
        receiver = int(self.slow.value("select pid from pg_stat_wal_receiver"))
        os.kill(receiver, signal.SIGSTOP)
        try:
            p.write_wal(8)
            self.timed_out_at = wait_for("the walsender to give up", lambda: next(
                (line.time for line in p.log() if line.pid == self.first and
                 line.message == "terminating walsender process due to replication timeout"), None), 20)
            p.write_wal(1)
        finally:
            os.kill(receiver, signal.SIGCONT)
        self.second = int(wait_for("the standby to come back", lambda: [
            row for row in p.walsenders("t_slow") if int(row["pid"]) != self.first])[0]["pid"])
        p.write_wal(1)

    def leave(self):
        self.stalled.stop()
        self.slow.stop()


@once
def level2():
    return Minute(2)


@once
def level3():
    return Minute(3)


@once
def trouble():
    return Trouble()
