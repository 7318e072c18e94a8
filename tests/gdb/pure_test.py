# SPDX-License-Identifier: BSD-2-Clause
"""text, layout, events and server of walscope_gdb."""

import io
import json
import os
import struct
import tempfile
import unittest

from walscope_gdb import events, layout, server, text

KNOWN = {"is_database": False, "state": "startup", "sent_lsn": None, "port": 5433, "user": "u", "database": "",
         "application_name": "a", "client": "::1", "slot": None, "command": None}


def elf(sections, names_index=None):
    """A little-endian 64-bit ELF file of these sections: (name, type, bytes)."""
    names = b"\0" + b"".join(name + b"\0" for name, _, _ in sections) + b".shstrtab\0"
    all_sections = [*sections, (b".shstrtab", 3, names)]
    body, headers, at = b"", bytes(64), 1
    for name, kind, data in all_sections:
        headers += struct.pack("<IIQQQQIIQQ", at, kind, 0, 0, 64 + len(body), len(data), 0, 0, 1, 0)
        body, at = body + data, at + len(name) + 1
    count = len(all_sections) + 1
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0x1234, 0, 64 + len(body), 0, 64, 0, 0, 64, count,
        count - 1 if names_index is None else names_index)
    return head + body + headers


class Text(unittest.TestCase):
    def test_an_lsn_is_written_as_postgresql_writes_it(self):
        self.assertEqual(text.lsn(0x16B374D848), "16/B374D848")
        self.assertEqual(text.lsn(0x100000000), "1/0")
        self.assertIsNone(text.lsn(0))

    def test_a_timestamp_counts_from_2000(self):
        self.assertEqual(text.timestamptz(1), "2000-01-01T00:00:00.000001+00:00")
        self.assertEqual(text.timestamptz(-1000000), "1999-12-31T23:59:59+00:00")
        self.assertIsNone(text.timestamptz(1 << 62))

    def test_a_packed_sqlstate_is_five_characters(self):
        packed = sum((ord(c) - ord("0") & 0x3F) << 6 * i for i, c in enumerate("57P01"))
        self.assertEqual(text.sqlstate(packed), "57P01")

    def test_nothing_moves_the_cursor_of_a_terminal(self):
        self.assertEqual(text.printable("a\x1b[2J\nb"), "a\\x1b[2J\\nb")

    def test_a_process_name_with_blanks_and_parentheses_hides_no_field(self):
        with tempfile.TemporaryDirectory() as proc:
            os.mkdir(f"{proc}/7")
            with open(f"{proc}/7/stat", "w", encoding="ascii") as file:
                file.write("7 (a) b ()) " + " ".join(str(n) for n in range(3, 53)))
            self.assertEqual(text.session_id(7, proc), "7.22")


class Layout(unittest.TestCase):
    NOTE = struct.pack("<III", 4, 2, 3) + b"GNU\0\xab\xcd\0\0"

    def read(self, data):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return layout.read(file.name)

    def test_numbers_and_build_id_are_read(self):
        data = elf([(b".note.gnu.build-id", 7, self.NOTE),
                    (b".walscope.layout", 1, b"major 15\nWalSnd.state 4\nsizeof(WalSnd) 96\n")])
        self.assertEqual(self.read(data), (
            {"major": 15, "WalSnd.state": 4, "sizeof(WalSnd)": 96}, "abcd"))

    def test_a_file_without_a_layout_says_how_to_get_one(self):
        with self.assertRaisesRegex(server.Error, "walscope symbols"):
            self.read(elf([(b".note.gnu.build-id", 7, self.NOTE)]))

    def test_a_damaged_file_is_refused_or_read_but_nothing_else(self):
        whole = elf([(b".walscope.layout", 1, b"major 15\n")])
        for data in [whole[:n] for n in range(len(whole))] + [
                whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1:] for i in range(len(whole))]:
            try:
                self.read(data)
            except server.Error:
                pass

    def test_lines_that_are_none_are_passed_over(self):
        self.assertEqual(layout.parse("a 1\nb\n\nc -1\nd x\n e f 2\n"), {"a": 1, " e f": 2})


class Events(unittest.TestCase):
    def setUp(self):
        self.out, self.now = io.StringIO(), 0
        self.writer = events.Writer(self.out, "12.345", self.clock)

    def clock(self):
        self.now += 1000
        return self.now, self.now + 5_000_000_000

    def lines(self):
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def test_records_of_a_session_are_numbered_without_a_hole(self):
        self.writer.begin(KNOWN, None)
        self.writer.command("x" * (events.PIECE + 1))
        self.writer.end()
        own = [line for line in self.lines() if line["session"]]
        self.assertEqual([line["seq"] for line in own], list(range(len(own))))
        self.assertEqual([line["event"] for line in own], ["session", "command", "text", "text"])
        self.assertEqual([line["flags"] for line in own[2:]], [[], ["last"]])
        self.assertEqual(self.lines()[-1]["produced"], 5)

    def test_a_command_keeps_bytes_that_are_no_utf8(self):
        self.writer.command(b"a\xff".decode("utf-8", "surrogateescape"))
        self.assertEqual(self.lines()[1]["text_hex"], "61ff")

    def test_a_turn_is_written_when_the_next_tells_where_it_came_to(self):
        self.writer.send("catchup", "0/10", False)
        self.assertEqual([line["event"] for line in self.lines()], ["state"])
        self.writer.send("catchup", "0/20", True)
        self.writer.send("catchup", "0/30", False)
        turns = [line for line in self.lines() if line["event"] == "turn"]
        self.assertEqual([(t["lsn_from"], t["lsn"], t["wait"]) for t in turns],
                         [("0/10", "0/20", "wal"), ("0/20", "0/30", "none")])
        self.assertEqual(list(turns[1]["stage_ns"]), ["wait_ns"])

    def test_times_never_go_back(self):
        self.writer.begin(KNOWN, "idle")
        self.writer.send("catchup", "0/10", False)
        self.writer.command_end(True, "startup", "0/20")
        self.writer.exit(0)
        self.writer.end()
        times = [line["mono_ns"] for line in self.lines()]
        self.assertEqual(times, sorted(times))

    def test_a_state_is_told_once(self):
        for state in ("catchup", "catchup", "streaming"):
            self.writer.see(state, "0/10")
        self.assertEqual([(line["from"], line["to"]) for line in self.lines()],
                         [(None, "catchup"), ("catchup", "streaming")])


class Source:
    """Memory made of pieces, for server.Server."""

    def __init__(self, pieces, variables, fields):
        self.pieces, self.address, self.field, self.has = pieces, variables.get, fields.__getitem__, fields.__contains__

    def read(self, where, size):
        for start, data in self.pieces.items():
            if start <= where and where + size <= start + len(data):
                return data[where - start:where - start + size]
        raise OSError("nothing there")


def page(*words):
    """Numbers of eight bytes, and strings as they are, at the beginning of a page."""
    data = b"".join(word if isinstance(word, bytes) else struct.pack("<Q", word) for word in words)
    return data.ljust(4096, b"\0")


class Server(unittest.TestCase):
    WALSND = {"WalSnd.state": 4, "WalSnd.sentPtr": 8, "WalSnd.write": 16, "WalSnd.flush": 24, "WalSnd.apply": 32,
              "WalSnd.sync_standby_priority": 40, "sizeof(WalSnd)": 48, "WalSndCtlData.walsnds": 16}

    def walsnds(self, count):
        walsnd = struct.pack("<IIQQQQQ", 42, 3, 0x100000010, 0x10, 0, 0, 1)
        return server.Server(Source(
            {0x1000: page(0x2000, count), 0x2000: page(bytes(16), bytes(48), walsnd, bytes(48))},
            {"WalSndCtl": 0x1000, "max_wal_senders": 0x1008}, self.WALSND))

    def test_the_array_of_walsenders_has_those_in_use(self):
        found, = self.walsnds(3).walsnds()
        self.assertEqual((found.pid, found.state, found.sent, found.write, found.flush, found.sync_priority),
                         (42, "streaming", "1/10", "0/10", None, 1))

    def test_an_array_of_no_reasonable_size_is_refused(self):
        with self.assertRaisesRegex(server.Error, "max_wal_senders is 99999"):
            self.walsnds(99999).walsnds()

    def test_a_text_goes_on_in_the_next_page_and_ends_at_the_nul(self):
        it = server.Server(Source({0x1000: b"a" * 4096, 0x2000: page(b"bc\xff\0d"), 0x3000: b"e" * 4096}, {}, {}))
        self.assertEqual(it.string(0x1FFF), "abc\udcff")
        self.assertIsNone(it.string(0))
        self.assertIsNone(it.string(0x3FFF), "the page behind it is not there")

    def test_errors_are_those_on_the_stack_however_deep_it_says_it_is(self):
        fields = {"ErrorData.sqlerrcode": 0, "ErrorData.message": 8, "ErrorData.funcname": 16, "sizeof(ErrorData)": 24}
        packed = sum((ord(c) - ord("0") & 0x3F) << 6 * i for i, c in enumerate("57P01"))
        stack = struct.pack("<QQQ", packed, 0x3000, 0) * 5
        for depth, count in ((0xFFFFFFFF, 0), (0, 1), (4, 5), (77, 5)):
            it = server.Server(Source({0x1000: page(depth), 0x2000: page(stack), 0x3000: page(b"too bad")},
                                      {"errordata_stack_depth": 0x1000, "errordata": 0x2000}, fields))
            self.assertEqual(it.errors(), [{"sqlstate": "57P01", "message": "too bad", "function": None}] * count)

    def test_a_major_without_a_field_has_no_value_for_it(self):
        it = server.Server(Source({0x1000: page(0x2000), 0x2000: page(0x3000), 0x3000: page(b"me")},
                                  {"MyProcPort": 0x1000}, {"Port.user_name": 0}))
        self.assertEqual((it.of_port("user_name"), it.of_port("application_name")), ("me", None))


if __name__ == "__main__":
    unittest.main()
