# SPDX-License-Identifier: BSD-2-Clause
"""Servers of several majors on one host, traced at once into one recording."""

import signal

import installation
import walscope
from cluster import Server, lsn
from live import LiveTest, once, space, wait_caught_up, walsender_pids

MAJORS = (13, 17)


@once
def servers():
    return [Server(space(), f"server{major}", installation=f"installation-{major}",
                   origin=installation.packaged(major)).create().start() for major in MAJORS]


def receiver_of(server):
    return f"m_receivewal{server.major}"


def work(server):
    """What is done with each; returns where its stream was when it ended."""
    server.replication_psql(["IDENTIFY_SYSTEM", "TIMELINE_HISTORY 9", "select 1"], application="m_commands")
    receiver = server.receivewal(receiver_of(server))
    server.wait_walsender(receiver_of(server))
    server.write_wal(2)
    end = wait_caught_up(server, receiver_of(server))
    receiver.stop()
    return end


@once
def recorded():
    """(file, ends of the streams)"""
    file = space().file("majors.wst")
    process = walscope.start_record(space(), file, name="record-majors")
    try:
        walscope.wait_attached(process, *(server.pid for server in servers()))
        ends = [work(server) for server in servers()]
        process.signal(signal.SIGINT)
        process.expect(0)
    finally:
        process.close()
    return file, ends


class Majors(LiveTest):
    limit_s = 240

    def test_each_session_is_in_the_one_recording(self):
        file, _ = recorded()
        seen = {entry["pid"]: entry["application_name"] for entry in walscope.view(space(), "sessions", file)}
        for server in servers():
            for application in ("m_commands", receiver_of(server)):
                pids = walsender_pids(server, application)
                self.assertTrue(pids, application)
                for pid in pids:
                    self.assertEqual(seen.get(pid), application, server.name)

    def test_errors_are_those_of_each_servers_log(self):
        file, _ = recorded()
        history = walscope.view(space(), "history", file)
        for server in servers():
            pid, = walsender_pids(server, "m_commands")
            logged = [(line.sqlstate, line.message, line.location) for line in server.log()
                      if line.pid == pid and line.severity == "ERROR"]
            self.assertEqual(len(logged), 1, server.name)
            seen = [(entry["sqlstate"], entry["message"], entry["location"]) for entry in history
                    if entry["pid"] == pid and entry["severity"] == "ERROR"]
            self.assertEqual(seen, logged, server.name)

    def test_each_stream_ends_where_its_own_server_says(self):
        file, ends = recorded()
        timeline = walscope.view(space(), "timeline", file)
        for server, end in zip(servers(), ends):
            reached = max(lsn(entry["lsn_to"]) for entry in timeline if entry["lsn_to"]
                          and entry["pid"] in walsender_pids(server, receiver_of(server)))
            self.assertEqual(reached, lsn(end), server.name)

    def test_waiting_is_told_from_being_blocked_in_both(self):
        file, _ = recorded()
        timeline = walscope.view(space(), "timeline", file)
        for server in servers():
            states = {entry["state"] for entry in timeline
                      if entry["pid"] in walsender_pids(server, receiver_of(server))}
            self.assertIn("wait_wal", states, server.name)
            self.assertFalse(states & {"unknown", "lost"}, server.name)
