# SPDX-License-Identifier: BSD-2-Clause
"""A PostgreSQL process or its core as gdb has it: variables by name, fields by layout."""

import contextlib
import os

import gdb

from . import layout, text

AT_ENTRY = 9  # elf.h
NAMEDATALEN = 64
MAX_TEXT = 1 << 20
MAX_ARRAY = 4096  # elements of the array of walsenders that are looked at
STATES = ("startup", "backup", "catchup", "streaming", "stopping")  # WalSndState, walsender_private.h

_fields = {}
_places = None  # {name: address} while that cannot change


def load_symbols(path):
    """add-symbol-file at the place where the program was loaded, and the layout that is in it."""
    fields, entry, build_id = layout.read(path)
    objfiles = gdb.current_progspace().objfiles()
    its = objfiles[0].build_id if objfiles else None
    if build_id and its and build_id != its:
        raise gdb.GdbError(f"{path} is of another server: its build-id is {build_id}, the program's {its}")
    gdb.execute(f"add-symbol-file {quoted(path)} -o {_auxv(AT_ENTRY) - entry:#x}", to_string=True)
    _fields.clear()
    _fields.update(fields)


def quoted(path):
    """As gdb's own word splitting takes it."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _auxv(number):
    for line in gdb.execute("info auxv", to_string=True).splitlines():
        words = line.split()
        if words and words[0] == str(number):
            return int(words[-1], 0)
    raise gdb.GdbError("info auxv has no AT_ENTRY: attach to a server's process, or load its core, first")


def field(name):
    """Offset of "Type.member", from the symbol file or from debug information; sizeof(Type) likewise."""
    if name in _fields:
        return _fields[name]
    value = _field_of_debug_info(name)
    if value is None:
        raise gdb.GdbError(f"the layout of {name} is not known: write it with `walscope symbols "
                           f"{program()} --elf FILE`, then `walsender symbols FILE`")
    _fields[name] = value
    return value


def _field_of_debug_info(name):
    try:
        if name.startswith("sizeof("):
            return gdb.lookup_type(name[7:-1]).sizeof
        kind, member = name.split(".", 1)
        return int(gdb.parse_and_eval(f"(unsigned long)&(({kind} *)0)->{member}"))
    except gdb.error:
        return None


def program():
    return gdb.current_progspace().filename or "POSTGRES"


@contextlib.contextmanager
def same_process():
    """Until its end gdb stays with one process: an address is looked up once, which takes gdb a millisecond and more."""
    global _places
    _places = {}
    try:
        yield
    finally:
        _places = None


def address(name):
    """Of a variable or function; None if gdb knows no such name."""
    if _places is None:
        return _address(name)
    if name not in _places:
        _places[name] = _address(name)
    return _places[name]


def _address(name):
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&{name}"))
    except gdb.error:
        return None


def read(where, size):
    return bytes(gdb.selected_inferior().read_memory(where, size))


def number(where, size=8):
    return int.from_bytes(read(where, size), "little")


def pointer(name):
    """What a pointer variable holds; 0 where there is no such variable."""
    where = address(name)
    return number(where) if where else 0


def flag(name):
    where = address(name)
    return bool(where and number(where, 1))


def string(where, limit=MAX_TEXT):
    """Up to the NUL; None for a null pointer or what cannot be read."""
    found = bytearray()
    while where and len(found) < limit:
        size = min(256, 4096 - where % 4096)
        try:
            piece = read(where, size)
        except gdb.MemoryError:
            return None
        end = piece.find(b"\0")
        found += piece if end < 0 else piece[:end]
        if end >= 0:
            return found.decode("utf-8", "replace")
        where += size
    return None


def pid():
    """Of the process, also of a core's; MyProcPid is exported."""
    where = address("MyProcPid")
    return number(where, 4) if where else gdb.selected_inferior().pid


def is_postmaster():
    """globals.c: IsUnderPostmaster is set in every child."""
    if address("IsUnderPostmaster") is None:
        raise gdb.GdbError("this is no PostgreSQL server: there is no variable IsUnderPostmaster")
    return not flag("IsUnderPostmaster")


class WalSnd:
    """One element of the shared array (walsender_private.h)."""

    def __init__(self, where):
        def lsn(member):
            return text.lsn(number(where + field(f"WalSnd.{member}")))

        self.pid = number(where, 4)
        state = number(where + field("WalSnd.state"), 4)
        self.state = STATES[state] if state < len(STATES) else None
        self.sent, self.write = lsn("sentPtr"), lsn("write")
        self.flush, self.apply = lsn("flush"), lsn("apply")
        self.sync_priority = number(where + field("WalSnd.sync_standby_priority"), 4)


def my_walsnd():
    """None in a process that is no walsender."""
    where = pointer("MyWalSnd")
    return WalSnd(where) if where else None


def walsnds():
    """All that are in use; the array is in shared memory, so each process and core has it."""
    control = pointer("WalSndCtl")
    if not control:
        raise gdb.GdbError("WalSndCtl is not set: this process is not attached to shared memory")
    size, count = field("sizeof(WalSnd)"), address("max_wal_senders")
    count = number(count, 4) if count else 0
    if count > MAX_ARRAY:
        raise gdb.GdbError(f"max_wal_senders is {count}: the wrong binary or a damaged core")
    first = control + field("WalSndCtlData.walsnds")
    return [walsnd for walsnd in (WalSnd(first + size * i) for i in range(count)) if walsnd.pid]


def session():
    """{name: value} of who this walsender is and what it does, None where it is not known."""
    port, slot = pointer("MyProcPort"), pointer("MyReplicationSlot")

    def of_port(member):
        return string(number(port + field(f"Port.{member}"))) if port else None

    def of_slot(member):
        return text.lsn(number(slot + field(f"ReplicationSlot.data.{member}"))) if slot else None

    walsnd = my_walsnd()
    port_text = of_port("remote_port") or ""
    return {
        "pid": pid(),
        "is_database": flag("am_db_walsender"),
        "user": of_port("user_name"),
        "database": of_port("database_name"),
        "application_name": of_port("application_name"),
        "client": of_port("remote_host"),
        "port": int(port_text) if port_text.isdigit() else 0 if port else None,
        "command": string(pointer("debug_query_string")),
        "state": walsnd.state if walsnd else None,
        "sent_lsn": walsnd.sent if walsnd else None,
        "write_lsn": walsnd.write if walsnd else None,
        "flush_lsn": walsnd.flush if walsnd else None,
        "apply_lsn": walsnd.apply if walsnd else None,
        "slot": string(slot + field("ReplicationSlot.data.name"), NAMEDATALEN) if slot else None,
        "restart_lsn": of_slot("restart_lsn"),
        "confirmed_flush": of_slot("confirmed_flush"),
        "pending_bytes": pending_bytes(),
        "errors": errors(),
    }


def pending_bytes():
    """pqcomm.c: output from PqSendStart to PqSendPointer waits for the socket. int up to 15."""
    start, end = address("PqSendStart"), address("PqSendPointer")
    if not start or not end:
        return None
    return (number(end, 4) - number(start, 4)) & 0xFFFFFFFF


def errors():
    """elog.c: the stack of errors that are being reported; None where its place is not known."""
    depth, stack = address("errordata_stack_depth"), address("errordata")
    if not depth or not stack:
        return None
    depth = int.from_bytes(read(depth, 4), "little", signed=True)
    found = []
    for i in range(max(0, min(depth, 4) + 1)):  # ERRORDATA_STACK_SIZE is 5
        where = stack + i * field("sizeof(ErrorData)")
        found.append({"sqlstate": text.sqlstate(number(where + field("ErrorData.sqlerrcode"), 4)),
                      "message": string(number(where + field("ErrorData.message"))),
                      "function": string(number(where + field("ErrorData.funcname")))})
    return found


def process_session():
    """PID.STARTTICKS as gdb sees the process; a core's is not known."""
    inferior = gdb.selected_inferior()
    return text.session_id(inferior.pid) if os.path.exists(f"/proc/{inferior.pid}/stat") else None
