# SPDX-License-Identifier: BSD-2-Clause
"""How gdb prints PostgreSQL's types where there is debug information; $lsn(x) and $timestamptz(x) need none."""

import gdb
import gdb.printing

from . import text


class Scalar:
    """A number that is read as something else."""

    form = staticmethod(str)

    def __init__(self, value):
        self.value = value

    def to_string(self):
        return type(self).form(int(self.value)) or "0"


class Lsn(Scalar):
    """xlogdefs.h"""

    form = staticmethod(text.lsn)


class Timestamp(Scalar):
    """timestamp.h"""

    form = staticmethod(text.timestamptz)


class StringInfo:
    """stringinfo.h: data of len bytes, which may hold any."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        length = min(max(int(self.value["len"]), 0), 1024)
        return self.value["data"].lazy_string(length=length)


class StringInfoPointer(StringInfo):
    """StringInfo is the pointer."""

    def to_string(self):
        if not int(self.value):
            return "0x0"
        self.value = self.value.dereference()
        return super().to_string()


class Name:
    """c.h: up to the NUL."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        return self.value["data"].string("utf-8", "replace")


class WalSnd:
    """walsender_private.h, in a line."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value
        lsns = " ".join(f"{name} {text.lsn(int(v[name])) or '0/0'}"
                        for name in ("sentPtr", "write", "flush", "apply"))
        return f"WalSnd of {int(v['pid'])}: {v['state']}, {lsns}"


BY_NAME = {"XLogRecPtr": Lsn, "TimestampTz": Timestamp, "StringInfoData": StringInfo,
           "StringInfo": StringInfoPointer, "NameData": Name, "nameData": Name,
           "WalSnd": WalSnd}


def lookup(value):
    """A typedef's own name counts before what it stands for: XLogRecPtr is a uint64."""
    kind = value.type.unqualified()
    printer = BY_NAME.get(kind.name) or BY_NAME.get(kind.strip_typedefs().name)
    return printer(value) if printer else None


class Function(gdb.Function):
    """$lsn(x), $timestamptz(x)"""

    def __init__(self, name, form):
        super().__init__(name)
        self.form = form

    def invoke(self, value):
        return self.form(int(value)) or "0"


def register():
    lookup.__name__ = "walscope"
    gdb.pretty_printers.append(lookup)
    Function("lsn", text.lsn)
    Function("timestamptz", text.timestamptz)
