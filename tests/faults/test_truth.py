# SPDX-License-Identifier: BSD-2-Clause
"""Truth from outside: for a minute under load with walsenders of all kinds at once, and through some trouble,
what walscope says is what the views, the clients, the sockets and the servers' logs say."""

import collections
import functools
import statistics
import os

import load
import logs
import walscope
from cluster import lsn
from live import LiveTest

SLACK = 0.001  # s by which a wall clock and walscope's may differ
WAITS = {"wait_wal", "send_blocked", "stopping", "wait_standby"}
# What a walsender that shows this wait event may be doing.
EVENTS = {
    "WalSenderMain": WAITS,
    "WalSenderWaitForWAL": {"wait_wal", "stopping"},
    "WalSenderWriteData": {"send_blocked"},
    "WALRead": {"send", "read_wal", "decode", "backup_wal"},
    "ClientRead": {"idle", "sql", "recv_blocked"},
    "BaseBackupRead": {"backup_read"},
    "BaseBackupThrottle": {"backup_throttled", "backup_read", "backup_send"},
    "CheckpointStart": {"backup_checkpoint"},
    "CheckpointDone": {"backup_checkpoint"},
}


def _each(runs, test):
    @functools.wraps(test)
    def each(self):
        for run in runs:
            with self.subTest(run=run.__name__):
                test(self, run())

    return each


def minute(test):
    """Holds for the minute under load, at each level."""
    return _each((load.level2, load.level3), test)


def always(test):
    """Holds for the minute under load at each level, and through the trouble."""
    return _each((load.level2, load.level3, load.trouble), test)


def name_of(row):
    return f"{row['application_name']} ({row['pid']})"


def say(run, text):
    print(f"       {run.name}: {text}")


def samples(run):
    """Samples of walsenders, each with what the recording has of it."""
    for senders, _ in run.samples:
        for sample in senders:
            yield sample, run.tracks[sample.pid], run.details[sample.pid]


class Truth(LiveTest):
    limit_s = 350

    @always
    def test_nothing_is_lost_and_every_walsender_is_a_session(self, run):
        for session in run.record.view("sessions"):
            self.assertEqual(session["lost"], 0, session)
        for _, pid in run.walsenders():
            run.record.session(pid)

    @minute
    def test_tps_with_and_without_the_recording(self, run):
        """Printed, not judged: the machine is anything. What is asserted is that it did not stand still."""
        recorded, bare = sum(run.tps), sum(run.tps_unrecorded)
        say(run, f"tps recorded {[round(tps) for tps in run.tps]}, not "
            f"{[round(tps) for tps in run.tps_unrecorded]}, ratio {recorded / bare:.3f}; "
            f"recording {os.path.getsize(run.record.file) / 1e6:.1f} MB")
        self.assertGreater(recorded, bare / 10)

    @always
    def test_wal_bytes_are_the_distance_from_start_replication_to_sent_lsn(self, run):
        checked = 0
        for pid, before, after in run.at_rest:
            session = run.record.session(pid)
            if session["kind"] == "physical":
                start = run.start_lsn(pid)
                checked += 1
                least, most = (lsn(row["sent_lsn"]) - start for row in (before, after))
                self.assertGreaterEqual(session["wal_bytes"], least, name_of(before))
                self.assertLessEqual(session["wal_bytes"], most, name_of(before))
        self.assertEqual(checked, 2 if run.name == "trouble" else 4)

    @minute
    def test_wal_bytes_are_the_bytes_in_the_files_of_pg_receivewal(self, run):
        for pid, before, after in run.at_rest:
            if pid in run.received:
                size = run.received[pid][0]
                more = lsn(after["sent_lsn"]) - lsn(before["sent_lsn"])
                seen = run.record.session(pid)["wal_bytes"]
                self.assertGreater(size, 50 << 20, name_of(before))
                self.assertTrue(size <= seen <= size + more, f"{name_of(before)}: wal_bytes {seen}, "
                                f"{size} in files, at most {more} more while the recording ended")

    @minute
    def test_sends_are_the_messages_that_pg_receivewal_wrote(self, run):
        """It writes each message at once, in two pieces where a segment ends, and 2048 pages of zeros into
        a new segment (receivelog.c, walmethods.c)."""
        for pid, (_, segments, before, _) in run.received.items():
            before, after = (count - 2048 * segments for count in (before, run.writes_after[pid]))
            seen = run.record.hist(pid, "send_bytes")
            self.assertTrue(before - segments <= seen["count"] <= after,
                            f"{seen['count']} sends that moved, {before} writes in {segments} segments, "
                            f"{after} when the recording had ended")
            self.assertEqual(seen["count"], run.details[pid].moves)
            self.assertEqual(run.record.hist(pid, "send_ns")["count"], seen["count"])

    @always
    def test_wire_bytes_and_acked_bytes_are_those_of_the_socket_and_sends_those_of_the_client(self, run):
        for before, after in run.rest:
            for pid, (handed, acked) in before.sockets.items():
                session = run.record.session(pid)
                later_handed, later_acked = after.sockets[pid]
                self.assertIsNotNone(session["wire_bytes"], session["application_name"])
                self.assertTrue(handed <= session["wire_bytes"] <= later_handed,
                                f"{session['application_name']}: wire_bytes {session['wire_bytes']}, "
                                f"of the socket {handed} to {later_handed}")
                self.assertTrue(acked <= session["acked_bytes"] <= later_acked,
                                f"{session['application_name']}: acked_bytes {session['acked_bytes']}, "
                                f"of the socket {acked} to {later_acked}")
                if session["wal_bytes"] and session["kind"] == "physical":
                    self.assertEqual(session["sends"], run.record.hist(pid, "send_bytes")["count"])

    @always
    def test_the_positions_of_a_timeline_are_contiguous_and_end_at_sent_lsn(self, run):
        for pid, track in run.tracks.items():
            self.assertEqual(track.problems[:3], [], f"pid {pid}, {len(track.problems)} in all")
        for pid, before, after in run.at_rest:
            last = run.tracks[pid].last_lsn
            self.assertGreaterEqual(last, lsn(before["sent_lsn"]), name_of(before))
            self.assertLessEqual(last, lsn(after["sent_lsn"]), name_of(before))
            self.assertEqual(run.tracks[pid].bytes, run.record.session(pid)["wal_bytes"], name_of(before))

    @always
    def test_sent_lsn_while_it_runs_is_in_the_record_of_that_moment(self, run):
        checked, late, wrong = 0, [], []
        for sample, track, detail in samples(run):
            if sample.sent is None or sample.state not in ("catchup", "streaming"):
                continue
            checked += 1
            low, high = detail.positions(sample.begin - SLACK, sample.end + SLACK)
            if not low <= sample.sent <= high:
                wrong.append((sample, f"{low:X}", f"{high:X}"))
            # Where in its record of up to some 10 ms the position moved is not known.
            low, high = track.positions(sample.begin - 0.012, sample.end + 0.012)
            if low is not None and not low <= sample.sent <= high:
                late.append((sample, f"{low:X}", f"{high:X}"))
        say(run, f"{checked} samples of sent_lsn, {len(wrong)} disagree with the records, {len(late)} with "
            "the timeline")
        self.assertGreater(checked, 150)
        self.assertEqual(wrong[:3], [], f"{len(wrong)} of {checked}")
        self.assertLessEqual(len(late), checked / 200, late[:3])

    @always
    def test_the_state_of_pg_stat_replication_is_the_state_recorded(self, run):
        seen, wrong = collections.Counter(), []
        for sample, _, detail in samples(run):
            recorded = detail.states.between(sample.begin - SLACK, sample.end + SLACK)
            seen[sample.state] += 1
            if sample.state not in recorded:
                wrong.append((sample, recorded))
        say(run, f"samples of states: {dict(seen)}, {len(wrong)} disagree")
        self.assertEqual(wrong[:3], [], f"{len(wrong)} of {seen}")
        expected = ("streaming",) if run.name == "trouble" else ("startup", "backup", "streaming")
        for state in expected:
            self.assertGreater(seen[state], 5, seen)

    @always
    def test_wait_events_agree_with_the_timeline(self, run):
        """A process may be off its CPU between the two: 1 in 200 may disagree."""
        checked, sole, wrong = 0, 0, []
        for sample, track, _ in samples(run):
            states = track.states(sample.begin - SLACK, sample.end + SLACK)
            allowed = EVENTS.get(sample.wait_event)
            if sample.wait_event and allowed is None:
                continue
            checked += 1
            sole += len(states) == 1
            if not (states & allowed if sample.wait_event else states - WAITS):
                wrong.append((sample, states))
        say(run, f"{checked} samples of wait events, {sole} within one state, {len(wrong)} disagree")
        self.assertGreater(sole, 150)
        self.assertLessEqual(len(wrong), checked / 200, wrong[:5])

    @always
    def test_who_waits_behind_the_end_of_wal_is_not_said_to_wait_for_wal(self, run):
        """pg_stat_activity has WalSenderMain for both. Seen for half a second on end: a process that writes
        WAL because the buffers are full wakes no walsender until it, or the WAL writer, flushes."""
        checked, wrong, before = 0, [], {}
        for sample, track, _ in samples(run):
            last = before.get(sample.pid)
            if sample.wait_event != "WalSenderMain" or sample.sent >= sample.flushed:
                before.pop(sample.pid, None)
            elif not last or last.sent != sample.sent:
                before[sample.pid] = sample
            elif sample.begin - last.end > 0.5:
                checked += 1
                states = track.states(last.end + 0.5, sample.begin - SLACK)
                if "wait_wal" in states:
                    wrong.append((last, sample, states))
        say(run, f"{checked} samples blocked behind the end of WAL, {len(wrong)} said to wait for WAL")
        self.assertEqual(wrong[:3], [], f"{len(wrong)} of {checked}")
        if run.name == "trouble":
            self.assertGreater(checked, 20)

    @always
    def test_the_last_reply_is_that_of_the_view(self, run):
        for pid, before, after in run.at_rest:
            views = [tuple(row[name] and lsn(row[name]) or None
                           for name in ("write_lsn", "flush_lsn", "replay_lsn")) for row in (before, after)]
            self.assertIn(run.details[pid].replies[-1].replies, views, name_of(before))

    @always
    def test_positions_and_lags_of_the_view_are_those_of_the_replies(self, run):
        """One in 1000 may have been seen between two replies that the walsender read at one go."""
        checked, lags, wrong, odd = 0, 0, [], 0
        for sample, _, detail in samples(run):
            if not any(sample.replies):
                continue
            checked += 1
            lags += any(lag is not None for lag in sample.lags)
            replies = detail.replies_at(sample.begin - SLACK, sample.end + SLACK)
            if (sample.replies, sample.lags) in [(reply.replies, reply.lags) for reply in replies]:
                continue
            odd += 1
            written = [reply.replies[0] or 0 for reply in replies]
            if not written or not min(written) <= sample.replies[0] <= max(written):
                wrong.append((sample, replies[:3]))
        say(run, f"{checked} samples of replies, {lags} with a lag, {odd} between two replies, "
            f"{len(wrong)} disagree")
        self.assertGreater(lags, 50)
        self.assertEqual(wrong[:3], [], f"{len(wrong)} of {checked}")
        self.assertLessEqual(odd, checked / 1000)

    @always
    def test_lags_of_its_own_are_those_of_the_server_where_that_has_any(self, run):
        """Of physical standbys: for logical ones the server remembers one position a second. Its lags begin where
        it knows that there is WAL to send, before the socket has taken what is in front of that."""
        metrics = ("write_lag_ns", "flush_lag_ns", "apply_lag_ns")
        checked = 0
        for pid, row, _ in run.at_rest:
            if run.record.session(pid)["kind"] != "physical":
                continue
            known = [0, 0, 0]
            lags = [[], [], []]
            for reply in run.details[pid].replies:
                for i, (position, lag) in enumerate(zip(reply.replies, reply.lags)):
                    if (position or 0) > known[i] and lag is not None:
                        lags[i].append(lag * 1000)
                    known[i] = position or 0
            for metric, expected in zip(metrics, lags):
                if len(expected) >= 20:
                    seen, median = run.record.hist(pid, metric), statistics.median(expected)
                    text = f"{name_of(row)} {metric}: {seen['p50']}, the server's {median}"
                    self.assertGreaterEqual(seen["count"], len(expected), text)
                    self.assertLess(seen["p50"] - median, max(median / 2, 500_000), text)
                    if run.tracks[pid].times["send_blocked"] < 0.1 * run.record.session(pid)["duration_ns"]:
                        self.assertLess(median - seen["p50"], max(median / 2, 500_000), text)
                    checked += 1
        self.assertGreaterEqual(checked, 1)

    @always
    def test_histories_agree_with_the_servers_logs(self, run):
        count, errors = 0, 0
        for server, pid in run.walsenders():
            lines = [line for line in run.logs[server] if line.time <= run.at_rest_at]
            history = run.record.history(pid)
            self.assertEqual(logs.differences(lines, pid, history, 0.5), [], server.name)
            count += len(history)
            errors += sum(entry["outcome"] == "error" for entry in history)
        say(run, f"{count} commands, {errors} failed")
        self.assertGreaterEqual(count, 6 if run.name == "trouble" else 40)
        self.assertGreaterEqual(errors, 1 if run.name == "trouble" else 5)

    @always
    def test_states_add_up_to_the_life_of_the_process(self, run):
        for _, pid in run.walsenders():
            session = run.record.session(pid)
            times = run.tracks[pid].times
            self.assertAlmostEqual(sum(times.values()), session["duration_ns"],
                                   delta=0.005 * session["duration_ns"], msg=session)
            self.assertLessEqual(times["unknown"], 0.005 * session["duration_ns"], session)
            self.assertEqual(times["lost"], 0, session)

    @always
    def test_durations_are_those_of_the_log(self, run):
        """From the log's word of a connection to that of its end, or to the end of the recording."""
        for server, pid in run.walsenders():
            lines = [line for line in run.logs[server] if line.pid == pid]
            end = next((line.time for line in lines if line.message.startswith("disconnection:")), None)
            if end is None or end > run.at_rest_at:
                end = run.ended
            duration = run.record.session(pid)["duration_ns"] / 1e9
            self.assertAlmostEqual(duration, end - lines[0].time, delta=0.5, msg=lines[0].message)

    @minute
    def test_backup_bytes_are_the_size_of_the_archive_and_follow_the_progress_view(self, run):
        streamed = [backup for _, backups in run.samples for backup in backups]
        for backup in run.backups:
            application = os.path.basename(backup.folder).removesuffix(".backup")
            pids = run.pids(application)
            self.assertEqual(len(pids), 2, application)
            pid = next(pid for pid in pids if run.record.session(pid)["kind"] == "backup")
            size = os.path.getsize(os.path.join(backup.folder, "base.tar"))
            self.assertEqual(run.record.session(pid)["backup_bytes"], size, application)
            steps = run.details[pid].backup
            checked = 0
            for begin, end, of, done in streamed:
                if of == pid:
                    # A record tells of the 100 ms before it, or of one chunk that took longer.
                    low = steps.between(begin - SLACK, begin)[0]
                    high = min((value for when, value in zip(steps.times, steps.values)
                                if when > end + SLACK), default=size)
                    self.assertTrue(low <= done <= high, f"{application}: {done} streamed, recorded "
                                    f"{low} to {high}")
                    checked += 1
            self.assertGreater(checked, 0, application)

    def test_messages_of_a_logical_stream_are_those_its_client_wrote(self):
        """Each with a head of 25 bytes (WalSndPrepareWrite), for which pg_recvlogical writes a newline."""
        run = load.level3()
        pid, = run.pids(run.prefix + "logical")
        detail = run.details[pid]
        self.assertEqual(detail.messages, run.logical_lines)
        self.assertEqual(detail.message_bytes - 24 * detail.messages, run.logical_size)


class Trouble(LiveTest):
    limit_s = 350

    def test_a_client_that_stalls_is_send_blocked(self):
        run = load.trouble()
        self.assert_mostly(run.record, run.stalled_pid, run.stuck, "send_blocked")

    def test_a_standby_behind_a_slow_link_is_send_blocked_while_that_is_full(self):
        """The link carries 10 MB in a second: all 40 MB have long been written."""
        run = load.trouble()
        blocked = [sample for sample, _, _ in samples(run) if sample.pid == run.first and
                   run.slow_from < sample.begin < run.slow_to and sample.wait_event == "WalSenderMain" and
                   sample.sent < sample.flushed]
        self.assertGreater(len(blocked), 10)
        begin, end = blocked[0].begin, blocked[-1].end
        self.assertGreater(end - begin, 1)
        times = run.record.time_in(run.first, begin, end)
        self.assertGreaterEqual(times.get("send_blocked", 0), 0.9 * (end - begin), times)

    def test_a_walsender_that_timed_out_and_its_successor_are_two_sessions(self):
        run = load.trouble()
        first, second = run.record.session(run.first), run.record.session(run.second)
        self.assertEqual(first["exit"]["reason"], "replication_timeout")
        self.assertAlmostEqual(walscope.seconds(first["end"]), run.timed_out_at, delta=0.5)
        self.assertIsNone(second["end"])
        self.assertGreater(walscope.seconds(second["start"]), walscope.seconds(first["end"]))
        last, = [entry for entry in run.record.history(run.first) if entry["kind"] == "START_REPLICATION"]
        self.assertEqual((last["outcome"], last["message"]),
                         ("error", "terminating walsender process due to replication timeout"))

    def test_a_walsender_that_timed_out_sent_what_the_view_last_said(self):
        run = load.trouble()
        sent = [sample.sent for sample, _, _ in samples(run) if sample.pid == run.first]
        self.assertEqual(run.record.session(run.first)["wal_bytes"], sent[-1] - run.start_lsn(run.first))
