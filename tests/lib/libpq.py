# SPDX-License-Identifier: BSD-2-Clause
"""The server's own client library by ctypes: statements of any length and of any bytes but NUL."""

import ctypes
import ctypes.util
import re

from processes import Failure

_pq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
for _name, _result, _arguments in (
        ("PQconnectdb", ctypes.c_void_p, [ctypes.c_char_p]),
        ("PQstatus", ctypes.c_int, [ctypes.c_void_p]),
        ("PQerrorMessage", ctypes.c_char_p, [ctypes.c_void_p]),
        ("PQbackendPID", ctypes.c_int, [ctypes.c_void_p]),
        ("PQexec", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
        ("PQsendQuery", ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
        ("PQgetResult", ctypes.c_void_p, [ctypes.c_void_p]),
        ("PQresultErrorField", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int]),
        ("PQntuples", ctypes.c_int, [ctypes.c_void_p]),
        ("PQgetvalue", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
        ("PQclear", None, [ctypes.c_void_p]),
        ("PQfinish", None, [ctypes.c_void_p])):
    _function = getattr(_pq, _name)
    _function.restype, _function.argtypes = _result, _arguments


def quoted(value):
    """A value of a connection string."""
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


class Connection:
    """A connection; `words` are those of a connection string, as str or bytes."""

    def __init__(self, **words):
        text = b" ".join(key.encode() + b"=" + quoted(os_text(value)).encode("utf-8", "surrogateescape")
                         for key, value in words.items())
        self._conn = _pq.PQconnectdb(text)
        if _pq.PQstatus(self._conn) != 0:
            message = _pq.PQerrorMessage(self._conn).decode(errors="replace")
            self.close()
            raise Failure(f"cannot connect: {message}")
        self.pid = _pq.PQbackendPID(self._conn)

    def send(self, statement):
        """Sends a statement and does not wait for what comes of it."""
        if not _pq.PQsendQuery(self._conn, statement):
            raise Failure("cannot send: " + _pq.PQerrorMessage(self._conn).decode(errors="replace"))

    def finish(self):
        """Waits for the end of what was sent, whatever comes of it."""
        while result := _pq.PQgetResult(self._conn):
            _pq.PQclear(result)

    def run(self, statement):
        """Runs a statement (bytes). Returns its error as (sqlstate, message as bytes, location),
        None if it succeeds, and the first value of its result."""
        result = _pq.PQexec(self._conn, statement)
        try:
            state, message, function, file, line = (
                _pq.PQresultErrorField(result, ord(field)) for field in "CMRFL")
            value = _pq.PQgetvalue(result, 0, 0) if _pq.PQntuples(result) > 0 else None
            if not state:
                return None, value
            return (state.decode(), message, f"{function.decode()}, {file.decode()}:{line.decode()}"), value
        finally:
            _pq.PQclear(result)

    def close(self):
        _pq.PQfinish(self._conn)
        self._conn = None

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()


def os_text(value):
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
