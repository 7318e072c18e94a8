# SPDX-License-Identifier: BSD-2-Clause
"""Layouts that do not fit the server that runs.

Each server runs a copy of the executable whose build-id and debug link are those of a debug file the test
makes: one that belongs to the copy by all that can be told, and describes a structure as the server does not
have it. So a build looks whose debug file is of another one.
"""

import json
import os
import platform
import re
import signal
import subprocess
import time
import zlib

import walscope
from cluster import Server
from live import LiveTest, Recording, once, primary, space, standby, wait_disconnected, walsender_pids
from processes import command_line, parents, wait_for
from traces import breakpoints

TABLES = os.path.join(walscope.ROOT, "src", "layout", "tables.inc")

# Members of struct Port and struct WalSnd, and the name of their row in the tables.
PORT = (("int", "sock", "port_sock"), ("_Bool", "ssl_in_use", "port_tls"),
        ("char *", "remote_host", "port_remote_host"), ("char *", "remote_port", "port_remote_port"),
        ("char *", "database_name", "port_database"), ("char *", "user_name", "port_user"),
        ("char *", "application_name", "port_application"))
WALSND = (("int", "state", "walsnd_state"), ("unsigned long", "sentPtr", "walsnd_sent"),
          ("unsigned long", "write", "walsnd_write"), ("unsigned long", "flush", "walsnd_flush"),
          ("unsigned long", "apply", "walsnd_apply"), ("unsigned long", "writeLag", "walsnd_write_lag"),
          ("unsigned long", "flushLag", "walsnd_flush_lag"), ("unsigned long", "applyLag", "walsnd_apply_lag"),
          ("unsigned long", "replyTime", "walsnd_reply_time"),
          ("int", "sync_standby_priority", "walsnd_sync_priority"))


def true_offsets(major):
    with open(TABLES, encoding="ascii") as file:
        text = file.read()
    arch = {"x86_64": "X86_64", "aarch64": "AARCH64"}[platform.machine()]
    row = re.search(r"\.major = %d,\s*\.arch = WS_ARCH_%s,\s*\.off = \{(.*?)\}" % (major, arch), text, re.S)[1]
    return {name: int(value) for name, value in re.findall(r"\.(\w+) = (\d+)", row)}


def declare(structure, members, offsets, size=0):
    inner = f"\tchar whole[{size}];\n" if size else ""
    inner += "".join(f"\tstruct {{ char before_{name}[{offsets[row]}]; {kind} {name}; }} __attribute__((packed));\n"
                    for kind, name, row in members if row in offsets)
    return f"typedef struct {structure} {{ union {{\n{inner}}}; }} {structure};\n{structure} a_{structure};\n"


def give_debug_file(server, **wrong):
    """Lets the server's executable, a copy of its own, have a debug file in which these rows are wrong."""
    folder = os.path.dirname(server.program)
    found = subprocess.run(["readelf", "-n", server.program], stdout=subprocess.PIPE, text=True, check=True).stdout
    old = re.search(r"Build ID: ([0-9a-f]+)", found)[1]
    new = os.urandom(len(old) // 2).hex()
    with open(server.program, "rb") as file:
        data = file.read()
    link = re.search(rb"[0-9a-f]{%d}\.debug\0{1,4}" % (len(old) - 2), data)
    name = link[0].rstrip(b"\0").decode()
    offsets = {**true_offsets(server.major), **wrong}
    source = os.path.join(space().folder(f"{server.name}.source"), "walsender.c")
    with open(source, "w", encoding="ascii") as file:
        file.write(declare("Port", PORT, offsets) + declare("WalSnd", WALSND, offsets, offsets["walsnd_size"]))
        file.write(f"typedef struct WalSndCtlData {{ char before[{offsets['walsndctl_walsnds']}]; WalSnd walsnds[]; }}"
                   " WalSndCtlData;\nWalSndCtlData a_WalSndCtlData;\n")
    debug = os.path.join(folder, name)
    subprocess.run(["gcc", "-g", "-shared", "-nostdlib", f"-Wl,--build-id=0x{new}", "-o", debug, source],
                   check=True)
    with open(debug, "rb") as file:
        crc = zlib.crc32(file.read())
    at = link.start() + -(-(len(name) + 1) // 4) * 4
    data = data[:at] + crc.to_bytes(4, "little") + data[at + 4:]
    data = data.replace(bytes.fromhex(old), bytes.fromhex(new))
    os.unlink(server.program)
    with open(server.program, "wb") as file:
        file.write(data)
    os.chmod(server.program, 0o755)
    server.build_id, server.debug = new, debug
    return server


@once
def wrong_port():
    """Its debug file has database_name where the server has user_name."""
    server = Server(space(), "wrong_port", installation="installation-wrong_port").create()
    give_debug_file(server, port_database=true_offsets(server.major)["port_user"])
    return server.start()


def doctor(server, status):
    report = json.loads(space().run([walscope.binary(), "doctor", "--pid", str(server.pid), "--json"],
                                    status=status, name="doctor").out)
    return report, next(entry for entry in report["servers"] if entry["file"] == server.program)


def ask(server, application, database=None):
    server.replication_psql(["IDENTIFY_SYSTEM"], application=application, physical=database is None, database=database)
    pid = walsender_pids(server, application)[-1]
    wait_disconnected(server, pid)
    return pid


class Layouts(LiveTest):
    def refuses(self, server, application, *words):
        """record and doctor refuse it, in one line that has all of these words."""
        client = server.receivewal(application)
        pid = int(server.wait_walsender(application)["pid"])
        file = space().file(f"{application}.wst")
        line = self.refused(["record", "-o", file, "--postmaster", str(server.pid), "--duration", "5"])
        report, entry = doctor(server, 1)
        problem, = [item for item in entry["problems"] if "does not fit" in item["what"]]
        text = space().run([walscope.binary(), "doctor", "--pid", str(server.pid)], status=1, name="doctor").out
        client.stop()
        self.assertFalse(os.path.exists(file))
        self.assertFalse(report["ok"])
        for word in (*words, server.program, f"pid {pid}", "does not fit"):
            self.assertIn(word, line)
            self.assertIn(word, problem["what"])
            self.assertIn(word, text)
        for word in ("remove the debug file", server.build_id):
            self.assertIn(word, line)
            self.assertIn(word, problem["fix"])
        self.assertEqual(breakpoints(server.pid), [], "probes in a server that was refused")

    def test_a_server_with_another_port_is_refused_in_one_line(self):
        self.refuses(wrong_port(), "l_port", "MyProcPort->database_name", '"postgres"')

    def test_a_server_with_another_walsnd_is_refused_in_one_line(self):
        """Where its state is said to be, the server has the low half of sentPtr."""
        server = Server(space(), "wrong_walsnd", installation="installation-wrong_walsnd").create()
        give_debug_file(server, walsnd_state=true_offsets(server.major)["walsnd_sent"])
        server.start()
        self.refuses(server, "l_walsnd", "MyWalSnd->state", "not 0 to 4")
        server.stop()

    def test_a_server_with_walsnds_of_another_size_is_refused_in_one_line(self):
        """Of each single one all members are where the server has them."""
        server = Server(space(), "wrong_stride", installation="installation-wrong_stride").create()
        give_debug_file(server, walsnd_size=true_offsets(server.major)["walsnd_size"] + 8)
        server.start()
        clients = [server.receivewal(name) for name in ("l_one", "l_two")]
        for name in ("l_one", "l_two"):
            server.wait_walsender(name)
        line = self.refused(["record", "-o", space().file("l_stride.wst"), "--postmaster", str(server.pid),
                             "--duration", "5"])
        for client in clients:
            client.stop()
        server.stop()
        for word in ("WalSndCtl->walsnds", "does not fit", server.program, "remove the debug file"):
            self.assertIn(word, line)

    def test_others_are_traced_and_it_is_when_its_debug_file_is_gone(self):
        other = primary()
        server = Server(space(), "mended", installation="installation-mended").create()
        give_debug_file(server, port_database=true_offsets(server.major)["port_user"])
        server.start()
        client = server.receivewal("l_beside")
        pid = int(server.wait_walsender("l_beside")["pid"])
        file = space().file("l_beside.wst")
        process = walscope.start_record(space(), file)
        walscope.wait_attached(process, other.pid)
        good = ask(other, "l_good")
        self.assertEqual(breakpoints(server.pid), [])
        os.unlink(server.debug)
        wait_for("probes in the server", lambda: breakpoints(server.pid))
        walscope.wait_attached(process, other.pid, server.pid)
        later = ask(server, "l_mended", database="template1")
        process.signal(signal.SIGINT)
        self.assertIn(process.wait(60), (0, 3), process.err)  # of others it may have lost something
        client.stop()
        server.stop()
        lines = [line for line in process.err.splitlines() if server.program in line]
        self.assertEqual(len(lines), 2, process.err)
        self.assertIn("does not fit", lines[0])
        self.assertIn("is traced now", lines[1])
        record = Recording(process, file)
        self.assertEqual(record.session(good)["application_name"], "l_good")
        for session, database in (record.session(pid), None), (record.session(later), "template1"):
            self.assertEqual((session["user"], session["database"]), ("postgres", database))

    def test_what_does_not_fit_of_a_session_that_starts_later_is_null_and_told_once(self):
        server = wrong_port()
        wait_for("no backend but the server's own", lambda: not client_pids(server))
        file = space().file("l_later.wst")
        process = walscope.start_record(space(), file, "--postmaster", str(server.pid))
        walscope.wait_attached(process, server.pid)
        pids = [ask(server, f"l_later{n}") for n in range(2)]
        pids.append(ask(server, "l_later_db", database="template1"))
        process.signal(signal.SIGINT)
        process.expect(0)
        record = Recording(process, file)
        for pid in pids:
            session = record.session(pid)
            self.assertIsNone(session["database"])
            self.assertEqual(session["user"], "postgres")
            self.assertEqual(session["client"].rsplit(":", 1)[0], "127.0.0.1")
            self.assertEqual([entry["command"] for entry in record.history(pid)],
                             [text for _, text in server.logged_commands(pid)])
        lines = [line for line in process.err.splitlines() if "does not fit" in line]
        self.assertEqual(len(lines), 1, process.err)
        self.assertIn("MyProcPort->database_name", lines[0])
        told = [entry["text"] for entry in record.view("trace") if entry["event"] == "note"]
        self.assertEqual(len([text for text in told if "does not fit" in text]), 1, told)


class Healthy(LiveTest):
    def accepts(self, *servers, before=lambda: None):
        """doctor finds nothing wrong with the layouts of these servers, which it looks at."""
        process = space().start([walscope.binary(), "doctor", "--json"], name="doctor-healthy")
        while process.running:
            before()
        process.wait(60)
        report = json.loads(process.out)
        seen = {item["pid"] for entry in report["servers"] for item in entry["processes"]}
        self.assertLessEqual({server.pid for server in servers}, seen)
        files = {server.program for server in servers}
        problems = [item["what"] for entry in report["servers"] if entry["file"] in files
                    for item in entry["problems"]]
        self.assertEqual([text for text in problems if "does not fit" in text], [])

    def test_a_server_without_walsenders_and_slots(self):
        server = Server(space(), "bare", installation="installation-healthy", settings={
            "wal_level": "minimal", "max_wal_senders": "0", "max_replication_slots": "0"}).create().start()
        self.accepts(server)
        sleeper = start_sleeper(server)
        wait_for("its backend", lambda: client_pids(server))
        self.accepts(server)
        sleeper.close()
        server.stop()

    def test_a_standby_with_a_walsender_of_its_own(self):
        server, receiver = standby(), standby().receivewal("l_cascaded")
        server.wait_walsender("l_cascaded")
        self.accepts(primary(), server)
        receiver.stop()

    def test_a_server_that_crashes_restarts_and_is_connected_to_all_the_time(self):
        """Its backends are killed as fast as they come, so that doctor meets it at any stage of all that."""
        server = Server(space(), "crashing_all_the_time", installation="installation-healthy").create().start()
        server.sql("select pg_create_physical_replication_slot('l_first'), "
                   "pg_create_physical_replication_slot('l_gone'), pg_drop_replication_slot('l_gone')")
        crashes, folder = [], space().folder("l_crashing.wal", server.user)

        def crash():
            clients = [start_sleeper(server), server.start_program(
                ["pg_receivewal", "-D", folder, "--no-loop", "--no-sync", "-d",
                 server.conninfo(application="l_crashing")], name="l_crashing", stop=signal.SIGINT)]
            while all(client.running for client in clients) and len(client_pids(server)) < len(clients):
                time.sleep(0.01)
            for pid in client_pids(server)[-1:]:
                crashes.append(pid)
                os.kill(pid, signal.SIGSEGV)
            for client in clients:
                client.close()

        for _ in range(4):
            self.accepts(server, before=crash)
        self.assertGreater(len(crashes), 3)
        server.wait_ready()
        server.stop()


def start_sleeper(server):
    return server.start_program(["psql", "-X", "-d", server.conninfo(application="l_sleeper", database="postgres"),
                                 "-c", "select pg_sleep(30)"], name="l_sleeper")


def client_pids(server):
    """The postmaster's children that serve clients, by their titles."""
    return [pid for pid, parent in parents().items()
            if parent == server.pid and "127.0.0.1(" in command_line(pid)]
