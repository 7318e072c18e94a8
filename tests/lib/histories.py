# SPDX-License-Identifier: BSD-2-Clause
"""Compares what a recording's history says of every walsender with what the server logged of it.

The log has each replication command that could be read (log_replication_commands), plain SQL of sessions that
asked for log_statement=all, and each error (verbose, csv). It has no line for a command with a syntax error,
for SQL on a physical walsender, and for a message of the extended protocol, but the errors of all of them.
A COMMERROR, which the log calls LOG, that was raised while a command ran ended it; the first one counts, unless a
FATAL follows. One behind the ERROR that ended the command came of telling the client so.
"""

import logs
import walscope

LOG_SLACK = 0.05  # s; the log's times have milliseconds, and the machine may be busy


class _Log:
    """What the log has of one walsender."""

    def __init__(self, lines):
        self.commands, self.errors = [], []
        self.logs_sql = any(line.message.startswith("statement: ") for line in lines)
        broken = False  # by a COMMERROR, the last one of the errors
        failed = None  # the text of the command whose ERROR was the last one of the errors
        for line in lines:
            command = logs.command_in(line)
            if command is not None:
                self.commands.append((line.time, command))
                failed = None
            told = (line.sqlstate, line.message, line.location)
            if line.severity in ("ERROR", "FATAL"):
                if broken and line.query:
                    self.errors.pop()
                self.errors.append(told)
                broken = False
                failed = line.query if line.severity == "ERROR" else None
            elif logs.is_commerror_in_command(line) and not broken and line.query != failed:
                self.errors.append(told)
                broken = True


def _unlogged(entry, log):
    """May the log have no line for this command?"""
    if entry["command"] is None:  # an error between commands, or of a message that is refused
        return entry["outcome"] == "error"
    if entry["kind"] == "SQL" and not log.logs_sql:
        return True
    refused = (entry["location"] or "").startswith("exec_replication_command,")  # SQL, on a physical one
    return entry["sqlstate"] in ("42601", "08P01") or refused and entry["sqlstate"] == "0A000"


def _commands(name, entries, log, partial):
    """Every logged command is in the history, in order, with its time; what else there is has a reason."""
    found, logged = [], list(log.commands)
    for entry in entries:
        if logged and entry["command"] == logged[0][1]:
            moment, text = logged.pop(0)
            start = entry["start"] and walscope.seconds(entry["start"])
            if start and not moment - 1.0 <= start <= moment + LOG_SLACK:
                found.append(f"{name}: {text!r} was logged at {moment:.3f}, and started at {start:.3f}")
        elif not _unlogged(entry, log):
            found.append(f"{name}: {entry['command']!r} is not what the log has next: "
                         f"{logged[0][1] if logged else None!r}")
    if logged and not partial:
        found.append(f"{name}: logged, but not in the history: {[text for _, text in logged]}")
    return found


def _errors(name, entries, log, partial):
    seen = [(entry["sqlstate"], entry["message"], entry["location"]) for entry in entries
            if entry["sqlstate"] is not None]
    expected = log.errors[:len(seen)] if partial else log.errors
    return [] if seen == expected else [f"{name}: errors {seen}, logged {expected}"]


def _order(name, entries):
    numbers = [entry["seq"] for entry in entries]
    starts = [walscope.seconds(entry["start"]) for entry in entries if entry["start"]]
    ends = [walscope.seconds(entry["start"]) + entry["duration_ns"] / 1e9 for entry in entries
            if entry["start"] and entry["duration_ns"] is not None]
    found = []
    if numbers != sorted(set(numbers)):
        found.append(f"{name}: numbers {numbers}")
    if starts != sorted(starts):
        found.append(f"{name}: commands not in the order of their starts")
    if any(end > start + 1e-6 for end, start in zip(ends, starts[1:])):
        found.append(f"{name}: a command ends behind the start of the next one")
    return found


def differences(server, record):
    """What a recording of this server and its log do not agree upon: a list of lines, empty if they agree.

    Sessions that ran before the recording began, or after it ended, are compared as far as it goes.
    """
    found, lines, entries = [], {}, {}
    sessions = record.view("sessions")
    for line in server.log():
        lines.setdefault(line.pid, []).append(line)
    for entry in record.view("history"):
        entries.setdefault(entry["session"], []).append(entry)
    for session in sessions:
        name = f"{session['session']} {session['application_name']}"
        begin = session["start"] and walscope.seconds(session["start"]) - LOG_SLACK
        end = session["end"] and walscope.seconds(session["end"]) + LOG_SLACK
        seen = session["observed_from"] if session["was_running"] else session["start"]
        since = walscope.seconds(seen) - LOG_SLACK if seen else 0
        log = _Log([line for line in lines.get(session["ns_pid"], [])
                    if line.time >= max(begin or 0, since) and (not end or line.time <= end)])
        mine = sorted(entries.get(session["session"], []), key=lambda entry: entry["seq"])
        known = [entry for entry in mine if entry["start"] or not session["was_running"]]
        found += _commands(name, known, log, partial=session["end"] is None)
        found += _errors(name, mine, log, partial=session["end"] is None)
        found += _order(name, mine)
    return found


def missing(server, record, begin, end):
    """Walsenders that the log has, connected and gone between these times, and the recording has not."""
    have = {session["ns_pid"] for session in record.view("sessions")}
    walsenders = {}
    for line in server.log():
        if line.backend_type == "walsender":
            walsenders.setdefault(line.pid, []).append(line.time)
    return sorted(pid for pid, times in walsenders.items()
                  if begin <= min(times) and max(times) <= end and pid not in have)
