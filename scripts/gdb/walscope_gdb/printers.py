# SPDX-License-Identifier: BSD-2-Clause
"""How gdb prints PostgreSQL's types: by itself where there is debug information; where there is none, $lsn(number),
$timestamptz(number), $nameof(address), $stringinfo(address) and $walsnd(address) print the same by the layout."""

import gdb

from . import server, text
from .inferior import SERVER

MAX_STRINGINFO = 1024  # bytes that are printed


def lsn(number):
    """xlogdefs.h"""
    return text.lsn(number & 0xFFFFFFFFFFFFFFFF) or "0/0"


def timestamptz(number):
    """timestamp.h"""
    return text.timestamptz(number) or str(number)


def walsnd(found):
    """walsender_private.h, in a line."""
    return (f"WalSnd of {found.pid}: {found.state or '?'}, sent {found.sent or '0/0'} write {found.write or '0/0'} "
            f"flush {found.flush or '0/0'} apply {found.apply or '0/0'}")


def stringinfo_length(length):
    return min(max(length, 0), MAX_STRINGINFO)


class Printer:
    """Of one value of a type."""

    def __init__(self, value):
        self.value = value


class Lsn(Printer):
    def to_string(self):
        return lsn(int(self.value))


class Timestamp(Printer):
    def to_string(self):
        return timestamptz(int(self.value))


class StringInfo(Printer):
    """stringinfo.h: data of len bytes, which may hold any."""

    def to_string(self):
        return self.value["data"].lazy_string(length=stringinfo_length(int(self.value["len"])))


class StringInfoPointer(Printer):
    """StringInfo is the pointer."""

    def to_string(self):
        return StringInfo(self.value.dereference()).to_string() if int(self.value) else "0x0"


class Name(Printer):
    """c.h: up to the NUL."""

    def to_string(self):
        return self.value["data"].string("utf-8", "replace")

    @staticmethod
    def display_hint():
        return "string"


class WalSnd(Printer):
    """Its members, which debug information has under the names that the layout has."""

    def __init__(self, value):
        super().__init__(value)
        state = int(value["state"])
        self.pid = int(value["pid"])
        self.state = server.STATES[state] if state < len(server.STATES) else None
        self.sent, self.write, self.flush, self.apply = (
            text.lsn(int(value[name])) for name in ("sentPtr", "write", "flush", "apply"))

    def to_string(self):
        return walsnd(self)


BY_NAME = {"XLogRecPtr": Lsn, "TimestampTz": Timestamp, "StringInfoData": StringInfo, "StringInfo": StringInfoPointer,
           "NameData": Name, "nameData": Name, "WalSnd": WalSnd}


def lookup(value):
    """A typedef's own name counts before what it stands for: XLogRecPtr is a uint64."""
    kind = value.type.unqualified()
    printer = BY_NAME.get(kind.name) or BY_NAME.get(kind.strip_typedefs().name)
    return printer(value) if printer else None


class Function(gdb.Function):
    """A convenience function of one number."""

    def __init__(self, name, form):
        super().__init__(name)
        self.name, self.form = name, form

    def invoke(self, value):
        try:
            return self.form(int(value))
        except (OSError, OverflowError, server.Error, gdb.error) as error:
            raise gdb.GdbError(f"${self.name}: {error}") from None


def nameof(address):
    return SERVER.read(address, server.NAMEDATALEN).split(b"\0", 1)[0].decode("utf-8", "replace")


def stringinfo(address):
    """data comes first in it."""
    length = SERVER.number(address + SERVER.field("StringInfoData.len"), 4)
    return SERVER.read(SERVER.number(address), stringinfo_length(length)).decode("utf-8", "replace")


def walsnd_at(address):
    return walsnd(server.WalSnd(SERVER, address))


def register():
    lookup.__name__ = "walscope"
    gdb.pretty_printers.append(lookup)
    for name, form in (("lsn", lsn), ("timestamptz", timestamptz), ("nameof", nameof), ("stringinfo", stringinfo),
                       ("walsnd", walsnd_at)):
        Function(name, form)
