# SPDX-License-Identifier: BSD-2-Clause
"""The commands and errors of a walsender by the server's csv log, to be compared with its history.

Wants log_replication_commands, log_error_verbosity=verbose, and log_statement=all for plain SQL.
"""

import walscope

_PREFIXES = ("received replication command: ", "statement: ")


class Logged:
    """A command, or an error whose command the log does not name (text None)."""

    def __init__(self, text, time):
        self.text, self.time = text, time
        self.error = None  # (sqlstate, message, location)
        self.error_time = None
        self.commerror = False

    def __repr__(self):
        return f"{self.time:.3f} {self.text!r} {self.error or ''}"


def is_commerror_in_command(line):
    """Was this logged at COMMERROR, which the log calls LOG, while a command ran? It ends the command.

    What else is logged at LOG has no SQLSTATE; of COMMERRORs only the replication timeout has none
    (WalSndCheckTimeOut, walsender.c). Between commands there is no query.
    """
    return (line.severity == "LOG" and bool(line.query)
            and (line.sqlstate != "00000" or line.location.startswith("WalSndCheckTimeOut,")))


def command_in(line):
    """The text of the command that a line of the log is about, None if it is about none."""
    if line.severity != "LOG":
        return None
    for prefix in _PREFIXES:
        if line.message.startswith(prefix):
            return line.message[len(prefix):]
    return None


def logged(lines, pid):
    """(commands, errors between commands) of a walsender in the order of the log.

    A command whose text could not be parsed is not logged: only its error is, which for plain SQL
    names the text.
    """
    commands, outside = [], []
    for line in lines:
        if line.pid != pid:
            continue
        text = command_in(line)
        if text is not None:
            commands.append(Logged(text, line.time))
        ending = is_commerror_in_command(line)
        if not ending and line.severity not in ("ERROR", "FATAL", "PANIC"):
            continue
        last = commands[-1] if commands else None
        mine = last and line.query and line.query == last.text
        if mine and ending and last.error:
            continue  # its callers say what it meant to them
        if not (mine and (last.error is None or last.commerror)):
            last = Logged(line.query or None, line.time)
            (commands if line.severity == "ERROR" or line.query else outside).append(last)
        last.error = (line.sqlstate, line.message, line.location)
        last.error_time = line.time
        last.commerror = ending  # unless a FATAL follows
    return commands, outside


def differences(lines, pid, history, tolerance):
    """What a history says otherwise than the log: a list of texts, empty if they agree.

    The log writes a line after what it tells of, in ms, and may be late by `tolerance` seconds.
    """
    commands, _ = logged(lines, pid)
    found = []
    if len(commands) != len(history):
        found.append(f"pid {pid}: the log has {len(commands)} commands, the history {len(history)}:\n"
                     f"  log {commands}\n  history {[entry['command'] for entry in history]}")
    for expected, entry in zip(commands, history):
        begin = walscope.seconds(entry["start"]) if entry["start"] else None
        if expected.text is not None and entry["command"] != expected.text:
            found.append(f"pid {pid}: command {entry['command']!r}, by the log {expected.text!r}")
        if begin is None or not begin - 0.002 <= expected.time <= begin + tolerance:
            found.append(f"pid {pid}: {entry['command']!r} began {entry['start']}, "
                         f"by the log {expected.time:.3f}")
        seen = (entry["sqlstate"], entry["message"], entry["location"])
        if seen != (expected.error or (None, None, None)):
            found.append(f"pid {pid}: {entry['command']!r} {entry['outcome']} {seen}, "
                         f"by the log {expected.error}")
        if expected.error and begin is not None:
            end = begin + entry["duration_ns"] / 1e9
            if not end - tolerance <= expected.error_time <= end + tolerance:
                found.append(f"pid {pid}: {entry['command']!r} failed at {end:.3f}, "
                             f"by the log {expected.error_time:.3f}")
    return found
