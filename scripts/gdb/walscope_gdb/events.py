# SPDX-License-Identifier: BSD-2-Clause
"""What a walsender was seen doing as JSON lines of `walscope trace --json` (docs/EVENTS.md)."""

import json
import os
import time

from . import text

PIECE = 2048  # bytes of a text in one line


class Writer:
    """The events of one session. `out` has write(); `clock` gives (CLOCK_MONOTONIC, CLOCK_REALTIME) in ns."""

    def __init__(self, out, session, clock=lambda: (time.monotonic_ns(), time.time_ns())):
        self.out, self.session, self.clock = out, session, clock
        self.pid = int(session.partition(".")[0])
        self.produced = self.seq = 0
        self.state = None
        self._turn = None  # one whose end is seen at the next: (mono, wall, begin, lsn, waited)

    def _put(self, event, when, own=True, **fields):
        mono, wall = when
        line = {"time": text.wall_time(wall), "session": self.session if own else None,
                "pid": self.pid if own else None, "seq": self.seq if own else None, "event": event,
                "mono_ns": mono, **fields}
        self.seq += own
        self.produced += event != "stop"
        self.out.write(json.dumps(line) + "\n")

    def begin(self, known, found):
        """`known`: server.session(); `found`: docs/EVENTS.md, None for a session that begins now."""
        when = self.clock()
        self._put("clock", when, own=False, wall_ns=when[1], boot_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        flags = (["database"] if known["is_database"] else []) + (["running"] if found else [])
        self._put("session", when, flags=flags, found=found, state=known["state"] if found else None,
                  lsn=known["sent_lsn"] if found else None, port=known["port"], user=known["user"],
                  database=known["database"], application_name=known["application_name"],
                  client=known["client"], slot=known["slot"] if found else None)
        self.state = known["state"] or "startup"  # InitWalSenderSlot in walsender.c
        if found not in (None, "idle", "starting", "unknown") and known["command"] is not None:
            self._command(when, known["command"], ["running"])

    def _command(self, when, command, flags):
        self._put("command", when, flags=flags)
        data = command.encode("utf-8", "surrogateescape")
        pieces = [data[i:i + PIECE] for i in range(0, len(data), PIECE)] or [b""]
        for i, piece in enumerate(pieces):
            self._put("text", when, flags=["last"] if i == len(pieces) - 1 else [], of="command",
                      offset_bytes=i * PIECE, text_bytes=len(piece), text_hex=piece.hex(),
                      text=piece.decode("utf-8", "replace"))

    def ready(self):
        self._put("ready", self.clock())

    def command(self, command):
        self._flush(None)
        self._command(self.clock(), command, [])

    def command_end(self, is_replication, state, lsn):
        self._flush(lsn)
        self.see(state, lsn)
        self._put("command_end", self.clock(), how="done" if is_replication else "is_sql")

    def see(self, state, lsn, when=None):
        """The state that MyWalSnd has now, or had at `when`."""
        if state is not None and state != self.state:
            self._put("state", when or self.clock(), **{"from": self.state, "to": state, "lsn": lsn})
            self.state = state

    def stream(self, logical, lsn, slot):
        self._flush(lsn)
        self._put("stream", self.clock(), lsn=lsn, slot=slot,
                  flags=(["logical"] if logical else []) + (["slot"] if slot else []))

    def send(self, state, lsn, caught_up):
        """XLogSendPhysical begins: the turn before has ended, with all sent that there was if caught_up."""
        when = self.clock()
        before = self._turn
        waited = self._flush(lsn, caught_up)
        self.see(state, lsn, when)
        self._turn = (*when, before[0] if before else when[0], lsn, waited)

    def _flush(self, lsn, caught_up=False):
        """Writes the turn that has begun last, now that it is known where it came to; says whether it waited then."""
        if self._turn is None:
            return False
        mono, wall, begin, lsn_from, waited = self._turn
        self._turn = None
        stage = "wait_ns" if waited else "other_ns"
        self._put("turn", (mono, wall), flags=[], begin=text.wall_time(wall - (mono - begin)), duration_ns=mono - begin,
                  lsn_from=lsn_from, lsn=lsn or lsn_from, stage_ns={stage: mono - begin}, turns=1, sends=1,
                  wait="wal" if caught_up else "none")
        return caught_up

    def settle(self, state, lsn, caught_up):
        """Where the process is when it is let go."""
        self._flush(lsn, caught_up)
        self.see(state, lsn)

    def exit(self, status):
        """`status` as os.wait() has it."""
        self._flush(None)
        signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        self._put("exit", self.clock(), code=None if signal else os.WEXITSTATUS(status), signal=signal, lost=0,
                  unreadable=0)

    def end(self):
        self._flush(None)
        self._put("stop", self.clock(), own=False, produced=self.produced, lost=0)
