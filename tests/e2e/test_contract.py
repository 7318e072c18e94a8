# SPDX-License-Identifier: BSD-2-Clause
"""The JSON contract of the design, the text views, filters and live views."""

import json
import re
import signal

import walscope
from clients import clients
from live import (LiveTest, REASONS, primary, recording, space, standby, wait_caught_up, walsender_pids)
from processes import wait_for

LSN = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}")
VIEWS = ("sessions", "history", "timeline", "hist")
METRICS = set("""send_ns wait_wal_ns send_blocked_ns read_wal_ns reply_interval_ns write_lag_ns flush_lag_ns
    apply_lag_ns send_bytes command_ns decode_ns output_plugin_ns wakeup_to_send_ns""".split())


CLOCK_SLACK_NS = 1_000_000  # the wall clock is steered; it is compared with the monotonic one every second


class Contract(LiveTest):
    def test_every_object_of_a_view_has_the_fields_of_the_contract(self):
        for command in VIEWS:
            objects = clients().record.view(command)
            self.assertTrue(objects, command)
            for entry in objects:
                missing = [field for field in walscope.FIELDS[command] if field not in entry]
                self.assertEqual(missing, [], f"{command}: {entry}")

    def test_values_have_the_types_of_the_contract(self):
        for command in VIEWS:
            for entry in clients().record.view(command):
                for field, value in entry.items():
                    where = f"{command}.{field}: {value!r}"
                    if field.endswith(("_ns", "_bytes")) and value is not None:
                        self.assertIsInstance(value, int, where)
                        self.assertGreaterEqual(value, 0, where)
                    if "lsn" in field and value is not None:
                        self.assertRegex(value, LSN, where)
                    if field in ("start", "end") and value is not None:
                        walscope.timestamp(value)
                self.assertRegex(entry["session"], r"^\d+\.\d+$")
                self.assertEqual(entry["pid"], int(entry["session"].split(".")[0]))
                self.assertEqual(entry["ns_pid"], entry["pid"], "one pid namespace here")

    def test_sessions_are_named_by_pid_and_start_of_the_process(self):
        server = primary()
        standby()
        pid = int(server.wait_walsender("standby")["pid"])
        name = walscope.session_id(pid)
        with recording(server) as record:
            wait_caught_up(server, "standby")
        self.assertEqual(record.session(pid)["session"], name)

    def test_exits_have_a_reason_of_the_contract(self):
        for entry in clients().record.view("sessions"):
            self.assertEqual(sorted(entry["exit"]), ["code", "location", "message", "reason", "severity", "signal",
                                                     "signal_by", "sqlstate"])
            if entry["end"] is None:
                self.assertIsNone(entry["exit"]["reason"], entry["session"])
            else:
                self.assertIn(entry["exit"]["reason"], REASONS, entry["session"])

    def test_histograms_are_consistent(self):
        seen = set()
        for entry in clients().record.view("hist"):
            seen.add(entry["metric"])
            self.assertIn(entry["metric"], METRICS)
            self.assertEqual(entry["unit"], "bytes" if entry["metric"] == "send_bytes" else "ns")
            self.assertEqual(sum(count for _, _, count in entry["buckets"]), entry["count"])
            edges = [edge for low, high, _ in entry["buckets"] for edge in (low, high)]
            self.assertEqual(edges, sorted(edges), "buckets ascend")
            if entry["count"]:
                chain = [entry[key] for key in ("min", "p50", "p90", "p99", "p999", "max")]
                self.assertEqual(chain, sorted(chain), entry["metric"])
                self.assertLessEqual(entry["min"], entry["mean"])
                self.assertLessEqual(entry["mean"], entry["max"])
        self.assertLessEqual({"send_ns", "wait_wal_ns", "send_bytes", "command_ns"}, seen)

    def test_command_histogram_counts_the_ended_commands_of_the_server_log(self):
        seen = clients()
        pid = seen.pid("c_receivewal")
        self.assertEqual(seen.record.hist(pid, "command_ns")["count"], len(seen.server.logged_commands(pid)))

    def test_text_views_show_every_client(self):
        for command in VIEWS:
            text = space().run([walscope.binary(), command, clients().record.file], name="text").out
            self.assertTrue(text.strip(), command)
            self.assertNotIn("\x1b", text, "colours only on a terminal")
        text = space().run([walscope.binary(), "sessions", clients().record.file], name="text",
                           env={"COLUMNS": "200"}).out
        for application in ("c_receivewal", "c_endpos", "c_basebackup", "c_psql", "standby"):
            self.assertIn(application, text)
        text = space().run([walscope.binary(), "history", clients().record.file], name="text").out
        for _, command in clients().server.logged_commands(clients().pid("c_receivewal")):
            self.assertIn(command[:30], text)

    def test_text_of_clients_is_escaped(self):
        server = primary()
        evil = "select 'a\x1b[31mred\x07' -- \u00e9"
        with recording(server) as record:
            server.replication_psql([evil], application="x_escape").expect()
        pid, = walsender_pids(server, "x_escape")
        entry, = record.history(pid)
        self.assertEqual(entry["command"], evil)
        text = space().run([walscope.binary(), "history", record.file], name="text").out
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\x07", text)
        self.assertIn("red", text)

    def test_filters_on_recordings(self):
        seen = clients()
        record = seen.record

        def pids(*options):
            return sorted(entry["pid"] for entry in record.view("sessions", *options))

        self.assertEqual(pids("--app", "c_receivewal"), [seen.pid("c_receivewal")])
        self.assertEqual(pids("--pid", str(seen.pid("c_psql"))), [seen.pid("c_psql")])
        # The session that created the slot held it, too.
        logical = [seen.pid("c_recvlogical"), seen.pid("c_endpos"), seen.pid("create_slot")]
        self.assertEqual(pids("--kind", "logical"), sorted(logical))
        self.assertEqual(pids("--slot", "c_slot"), sorted(logical))
        name = record.session(seen.pid("c_psql"))["session"]
        self.assertEqual(pids("--session", name), [seen.pid("c_psql")])
        self.assertEqual({entry["pid"] for entry in record.view("history", "--app", "c_psql")},
                         {seen.pid("c_psql")})

    def test_a_window_of_time_cuts_the_timeline(self):
        seen = clients()
        pid = seen.pid("c_receivewal")
        segments = seen.record.timeline(pid)
        begin = segments[len(segments) // 3]["start"]
        end = segments[2 * len(segments) // 3]["start"]
        cut = [entry for entry in seen.record.view("timeline", "--from", begin, "--to", end)
               if entry["pid"] == pid]
        self.assertEqual(cut[0]["start"], begin)
        first, last = walscope.timestamp(begin), walscope.timestamp(end)
        length = (last[0] - first[0]) * 10 ** 9 + last[1] - first[1]
        self.assertAlmostEqual(sum(entry["duration_ns"] for entry in cut), length, delta=CLOCK_SLACK_NS)

    def test_trace_prints_a_json_line_per_event(self):
        server = primary()
        trace = space().start([walscope.binary(), "trace", "--json", "--postmaster", str(server.pid)],
                              name="trace-json", stop=signal.SIGINT)
        walscope.wait_attached(trace, server.pid)
        server.replication_psql(["IDENTIFY_SYSTEM", "TIMELINE_HISTORY 9"], application="x_trace")
        pid, = walsender_pids(server, "x_trace")

        def events():
            text = trace.out
            return [entry for entry in walscope.parse_lines(text[:text.rfind("\n") + 1], "trace")
                    if entry["pid"] == pid]

        # A line must come while trace runs, not only at its end.
        wait_for("the end of the session in the trace",
                 lambda: "exit" in [entry["event"] for entry in events()])
        trace.signal(signal.SIGINT)
        trace.expect(0)
        seen = events()
        names = [entry["event"] for entry in seen]
        self.assertEqual(names[0], "session")
        self.assertEqual(names[-1], "exit")
        self.assertEqual(names.count("command"), 2)
        self.assertEqual(names.count("error"), 1)
        self.assertEqual([entry["seq"] for entry in seen], sorted({entry["seq"] for entry in seen}))
        for entry in seen:
            self.assertEqual([field for field in walscope.FIELDS["trace"] if field not in entry], [], entry)
            walscope.timestamp(entry["time"])

    def test_trace_in_text_has_a_line_for_each_command(self):
        server = primary()
        trace = space().start([walscope.binary(), "trace", "--postmaster", str(server.pid)],
                              name="trace-text", stop=signal.SIGINT)
        walscope.wait_attached(trace, server.pid)
        server.replication_psql(["IDENTIFY_SYSTEM"], application="x_text")
        wait_for("the command in the trace", lambda: "IDENTIFY_SYSTEM" in trace.out)
        trace.signal(signal.SIGINT)
        trace.expect(0)
        self.assertNotIn("\x1b", trace.out)

    def test_live_views_look_at_the_running_server(self):
        server = primary()
        standby()
        pid = int(server.wait_walsender("standby")["pid"])
        for command in VIEWS:
            process = space().start([walscope.binary(), command, "--live", "--json", "--postmaster",
                                     str(server.pid)], name="live-view", stop=signal.SIGINT)
            walscope.wait_attached(process, server.pid)
            server.write_wal(1)
            process.signal(signal.SIGINT)
            process.expect(0)
            objects = walscope.parse_lines(process.out, command)
            self.assertIn(pid, {entry["pid"] for entry in objects}, command)

    def test_doctor_approves_of_the_running_server(self):
        server = primary()
        process = space().run([walscope.binary(), "doctor", "--pid", str(server.pid), "--json"],
                              name="doctor")
        report = json.loads(process.out)
        self.assertIs(report["ok"], True)
        self.assertEqual([field for field in ("ok", "kernel", "features", "privileges", "servers", "problems")
                          if field not in report], [])
        found = [entry for entry in report["servers"] if entry["file"] == server.program]
        self.assertEqual(len(found), 1, report["servers"])
        version = server.value("show server_version").split()[0]
        self.assertTrue(found[0]["version"].startswith(version), found[0]["version"])
        planted = [site for site in found[0]["plan"] if site["offset"] is not None]
        self.assertTrue(planted)
        for site in planted:
            self.assertIn(site["kind"], ("entry", "call", "after_call"))
            self.assertIn(site["cost"], ("emulated", "nop5", "stepped"))

    def test_plan_of_doctor_is_what_record_plants(self):
        """The breakpoints found in the server's memory are at the offsets that doctor prints."""
        server = primary()
        process = space().run([walscope.binary(), "doctor", "--pid", str(server.pid), "--json"],
                              name="doctor-plan")
        plan = {int(site["offset"], 16) for entry in json.loads(process.out)["servers"]
                for site in entry["plan"] if site["offset"] is not None and site["level"] <= 2}
        file = space().file("plan.wst")
        record = walscope.start_record(space(), file, "--postmaster", str(server.pid), name="record-plan")
        planted, = walscope.wait_attached(record, server.pid)
        record.signal(signal.SIGINT)
        record.expect(0)
        self.assertEqual(sorted(planted), sorted(plan))
