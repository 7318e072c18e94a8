# SPDX-License-Identifier: BSD-2-Clause
"""The demonstration: a small replication set-up under load, recorded and shown. Called by scripts/demo."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import processes  # noqa: E402
from cluster import Server  # noqa: E402
from processes import Failure  # noqa: E402
from walscope import binary, wait_attached  # noqa: E402

LOSS = 3  # exit status: done, but with loss


def say(text):
    print(f"demo: {text}", file=sys.stderr, flush=True)


def heading(text, argv):
    line = "-" * max(8, 98 - len(text))
    bold, dim, plain = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
    print(f"\n{bold}-- {text} {line}{plain}\n{dim}$ {shlex.join(argv)}{plain}\n", flush=True)


def short(argv):
    """The command line as a user would type it in the clone."""
    return [os.path.relpath(argv[0], os.getcwd()) if argv[0].startswith(os.getcwd()) else argv[0], *argv[1:]]


def show(text, argv):
    """Runs a view with the terminal as its output."""
    heading(text, short(argv))
    status = subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode
    sys.stdout.flush()
    if status not in (0, LOSS):
        raise Failure(f"{shlex.join(argv)}: exit status {status}")
    return status


def wait_until(moment):
    while time.monotonic() < moment:
        time.sleep(min(0.05, max(0.0, moment - time.monotonic())))


def workload(primary, began, seconds):
    """What happens during the recording: returns the clients that have to end well."""
    say("load: pgbench; a pg_recvlogical and a pg_basebackup start now")
    load = primary.pgbench(max(1, int(seconds * 0.7)), 2)
    primary.create_logical_slot("demo_slot")
    logical = primary.recvlogical("demo_slot")
    backup = primary.basebackup("pg_basebackup", "--max-rate", "30M")
    primary.wait_walsender("pg_recvlogical")

    wait_until(began + seconds * 0.35)
    say("pg_receivewal stops reading for a while (SIGSTOP), as a hung or overloaded receiver does")
    receiver = primary.receiver
    receiver.signal(signal.SIGSTOP)
    try:
        primary.write_wal(60)
        wait_until(began + seconds * 0.6)
    finally:
        receiver.signal(signal.SIGCONT)

    say("a mistyped replication command")
    primary.replication_psql(["IDENTIFY_SYSTEM", "DROP_REPLICATION_SLOT no_such_slot"], application="psql")
    return load, backup, logical


def demonstrate(space, seconds, recording):
    program = binary()
    os.environ["XDG_CACHE_HOME"] = space.folder("cache")  # leave nothing in /var/cache
    say("starting a throw-away primary")
    primary = Server(space, "primary").create().start()
    primary.pgbench_init(5)
    say("starting a streaming standby and a pg_receivewal")
    standby = Server(space, "standby").copy_of(primary).start()
    primary.receiver = primary.receivewal()
    primary.wait_walsender("standby")
    primary.wait_walsender("pg_receivewal")

    argv = [program, "record", "-o", recording, "--duration", str(seconds), "--postmaster",
            str(primary.pid)]
    say(f"recording for {seconds} s: {shlex.join(short(argv))}")
    record = space.start(argv, name="record", stop=signal.SIGINT, grace=20)
    wait_attached(record, primary.pid)
    began = time.monotonic()
    load, backup, logical = workload(primary, began, seconds)
    load.expect(timeout=seconds + 60)
    backup.expect(timeout=120)
    status = record.wait(seconds + 60)
    if status not in (0, LOSS):
        raise Failure(f"{record.describe()}: exit status {status}")
    notes = record.err.strip()
    if notes:
        print(notes, file=sys.stderr)
    for name, process in (("pg_receivewal", primary.receiver), ("pg_recvlogical", logical),
                          ("the standby", standby.process)):
        if not process.running:
            raise Failure(f"{name} did not survive: {process.describe()}")

    show("sessions: who replicated, from where, how much", [program, "sessions", recording])
    show("history: every command of every walsender", [program, "history", recording])
    show("timeline: what each walsender was doing", [program, "timeline", recording])
    show("hist: how long the receiver that stopped made its walsender send, wait and block",
         [program, "hist", recording, "--app", "pg_receivewal"])
    return status


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if options.seconds < 3:
        parser.error("--seconds must be at least 3")

    processes.raise_on_signals()
    recording = None
    try:
        with processes.Space("walscope-demo-") as space:
            if options.keep:
                recording = os.path.join(tempfile.mkdtemp(prefix="walscope-recording-"), "demo.wst")
            status = demonstrate(space, options.seconds, recording or space.file("demo.wst"))
            say("cleaning up")
    except processes.Interrupted as interrupt:
        say(f"ended by {interrupt}; everything is cleaned up")
        return interrupt.status
    except Failure as failure:
        say(str(failure))
        return 1
    finally:
        if recording and os.path.exists(recording):
            say(f"the recording is {recording}")
        elif recording:
            os.rmdir(os.path.dirname(recording))
    if status == LOSS:
        say("the recording has gaps (exit status 3): see the lines above")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
