# SPDX-License-Identifier: BSD-2-Clause
"""What the memory of a PostgreSQL process says, whoever reads it: gdb of a process or a core, or the tracer.

A source has address(name), None for a name that is not known; field("Type.member"), its offset, and field("sizeof(Type)"), which
raise Error if that is not known, and has("Type.member"); read(where, size), which raises OSError where there is nothing.
"""

from . import text

NAMEDATALEN = 64
MAX_TEXT = 1 << 20
PAGE = 4096
MAX_ARRAY = 4096  # elements of the array of walsenders that are looked at
STATES = ("startup", "backup", "catchup", "streaming", "stopping")  # WalSndState, walsender_private.h
ERRORDATA_STACK_SIZE = 5  # elog.c

# All that is asked of a source for one session.
VARIABLES = ("MyProcPid", "MyProcPort", "MyReplicationSlot", "MyWalSnd", "PqSendPointer", "PqSendStart", "WalSndCaughtUp",
             "am_db_walsender", "debug_query_string", "errordata", "errordata_stack_depth")
FIELDS = ("ErrorData.funcname", "ErrorData.message", "ErrorData.sqlerrcode", "sizeof(ErrorData)", "Port.application_name",
          "Port.database_name", "Port.remote_host", "Port.remote_port", "Port.user_name",
          "ReplicationSlot.data.confirmed_flush", "ReplicationSlot.data.name", "ReplicationSlot.data.restart_lsn",
          "WalSnd.apply", "WalSnd.flush", "WalSnd.sentPtr", "WalSnd.state", "WalSnd.sync_standby_priority", "WalSnd.write")


class Error(Exception):
    """One line: what, where, why, what to do."""


class WalSnd:
    """One element of the shared array (walsender_private.h)."""

    def __init__(self, server, where):
        def lsn(member):
            return text.lsn(server.number(where + server.field(f"WalSnd.{member}")))

        self.pid = server.number(where, 4)
        state = server.number(where + server.field("WalSnd.state"), 4)
        self.state = STATES[state] if state < len(STATES) else None
        self.sent, self.write = lsn("sentPtr"), lsn("write")
        self.flush, self.apply = lsn("flush"), lsn("apply")
        self.sync_priority = server.number(where + server.field("WalSnd.sync_standby_priority"), 4)


class Server:
    """One process of a server, through a source."""

    def __init__(self, source):
        self.address, self.read = source.address, source.read
        self.field, self.has = source.field, source.has

    def number(self, where, size=8):
        return int.from_bytes(self.read(where, size), "little")

    def pointer(self, name):
        """What a pointer variable holds; 0 where there is no such variable."""
        where = self.address(name)
        return self.number(where) if where else 0

    def flag(self, name):
        where = self.address(name)
        return bool(where and self.number(where, 1))

    def string(self, where, limit=MAX_TEXT):
        """Up to the NUL, bytes that are no UTF-8 as surrogates; None for a null pointer or what cannot be read."""
        found = bytearray()
        while where and len(found) < limit:
            size = min(limit - len(found), PAGE - where % PAGE)
            try:
                piece = self.read(where, size)
            except OSError:
                return None
            end = piece.find(b"\0")
            found += piece if end < 0 else piece[:end]
            if end >= 0:
                return found.decode("utf-8", "surrogateescape")
            where += size
        return None

    def is_postmaster(self):
        """globals.c: IsUnderPostmaster is set in every child."""
        if self.address("IsUnderPostmaster") is None:
            raise Error("this is no PostgreSQL server: there is no variable IsUnderPostmaster")
        return not self.flag("IsUnderPostmaster")

    def my_walsnd(self):
        """None in a process that is no walsender."""
        where = self.pointer("MyWalSnd")
        return WalSnd(self, where) if where else None

    def position(self):
        """(state, sentPtr) of this walsender."""
        where = self.pointer("MyWalSnd")
        if not where:
            return None, None
        state = self.number(where + self.field("WalSnd.state"), 4)
        return (STATES[state] if state < len(STATES) else None,
                text.lsn(self.number(where + self.field("WalSnd.sentPtr"))))

    def walsnds(self):
        """All that are in use; the array is in shared memory, so each process and core has it."""
        control = self.pointer("WalSndCtl")
        if not control:
            raise Error("WalSndCtl is not set: this process is not attached to shared memory")
        size, count = self.field("sizeof(WalSnd)"), self.address("max_wal_senders")
        count = self.number(count, 4) if count else 0
        if count > MAX_ARRAY:
            raise Error(f"max_wal_senders is {count}: the wrong binary or a damaged core")
        first = control + self.field("WalSndCtlData.walsnds")
        return [walsnd for walsnd in (WalSnd(self, first + size * i) for i in range(count)) if walsnd.pid]

    def slot(self):
        """Name of the replication slot that this process holds."""
        where = self.pointer("MyReplicationSlot")
        return self.string(where + self.field("ReplicationSlot.data.name"), NAMEDATALEN) if where else None

    def of_port(self, member):
        """A string of MyProcPort (libpq-be.h). Up to 12 that has no application_name."""
        port, name = self.pointer("MyProcPort"), f"Port.{member}"
        return self.string(self.number(port + self.field(name))) if port and self.has(name) else None

    def session(self):
        """{name: value} of who this walsender is and what it does, None where it is not known."""
        slot = self.pointer("MyReplicationSlot")

        def of_slot(member):
            return text.lsn(self.number(slot + self.field(f"ReplicationSlot.data.{member}"))) if slot else None

        walsnd, pid = self.my_walsnd(), self.address("MyProcPid")
        port = self.of_port("remote_port")
        return {
            "pid": self.number(pid, 4) if pid else None,
            "is_database": self.flag("am_db_walsender"),
            "user": self.of_port("user_name"),
            "database": self.of_port("database_name"),
            "application_name": self.of_port("application_name"),
            "client": self.of_port("remote_host"),
            "port": None if port is None else int(port) if port.isdigit() else 0,
            "command": self.string(self.pointer("debug_query_string")),
            "state": walsnd.state if walsnd else None,
            "sent_lsn": walsnd.sent if walsnd else None,
            "write_lsn": walsnd.write if walsnd else None,
            "flush_lsn": walsnd.flush if walsnd else None,
            "apply_lsn": walsnd.apply if walsnd else None,
            "slot": self.slot(),
            "restart_lsn": of_slot("restart_lsn"),
            "confirmed_flush": of_slot("confirmed_flush"),
            "pending_bytes": self.pending_bytes(),
            "errors": self.errors(),
        }

    def pending_bytes(self):
        """pqcomm.c: output from PqSendStart to PqSendPointer waits for the socket. int up to 15, size_t later."""
        start, end = self.address("PqSendStart"), self.address("PqSendPointer")
        if not start or not end:
            return None
        return (self.number(end, 4) - self.number(start, 4)) & 0xFFFFFFFF

    def errors(self):
        """elog.c: the stack of errors that are being reported; None where its place is not known."""
        depth, stack = self.address("errordata_stack_depth"), self.address("errordata")
        if not depth or not stack:
            return None
        depth = int.from_bytes(self.read(depth, 4), "little", signed=True)
        found = []
        for i in range(max(0, min(depth + 1, ERRORDATA_STACK_SIZE))):
            where = stack + i * self.field("sizeof(ErrorData)")
            found.append({"sqlstate": text.sqlstate(self.number(where + self.field("ErrorData.sqlerrcode"), 4)),
                          "message": self.string(self.number(where + self.field("ErrorData.message"))),
                          "function": self.string(self.number(where + self.field("ErrorData.funcname")))})
        return found
