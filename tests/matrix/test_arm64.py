# SPDX-License-Identifier: BSD-2-Clause
"""What is found in Debian's servers for aarch64, which do not run here: their packages are unpacked, and the
plan is held against the instructions in the file."""

import functools
import json
import os
import re
import struct
import subprocess

import walscope
from archive import Archive
from live import LiveTest, space
from processes import Failure

SUITES = {15: "bookworm", 17: "trixie"}

# Sites up to level 2 that cannot be had, and why. sql_end: gcc makes one call of PostgresMain's two calls of
# exec_simple_query, so that whatever stands behind it is run by every backend for every simple query.
LACKING = {"sql_end": "its call of exec_simple_query serves backends that are no walsenders, too"}

# Sites that are single-stepped: the kernel simulates no instruction in front of which the arguments are still
# where they came. All others are simulated.
STEPPED = {"keepalive", "message_refused"}

# What the kernel simulates: arch/arm64/kernel/probes/decode-insn.c and simulate-insn.c; b, bl, b.cond, cbz, cbnz,
# tbz, tbnz, adr, adrp, br, blr, ret.
SIMULATED = ((0x7c000000, 0x14000000), (0xff000010, 0x54000000), (0x7e000000, 0x34000000), (0x7e000000, 0x36000000),
             (0x1f000000, 0x10000000), (0xff9ffc1f, 0xd61f0000))

# Sites behind or at a call: of an exported function, or through PqCommMethods' member at this offset.
CALLS = {"command_end": "exec_replication_command", "wait_end": "WaitEventSetWait", "read_start": "WALRead",
         "read_end": "WALRead", "decode_start": "LogicalDecodingProcessRecord",
         "decode_end": "LogicalDecodingProcessRecord", "backup_done": "WalSndResourceCleanup",
         "auth_begin": "ClientAuthentication", "auth_end": "ClientAuthentication", "initialized": "InitWalSender",
         "flush_end": 0x10, "message_flushed": 0x10, "backup_chunk_end": 0x20}
VARIABLES = ("errordata", "errordata_stack_depth", "PqSendPointer", "PqSendStart", "sentPtr", "WalSndCaughtUp")
FAR = 24  # instructions from a site back to its call, at most


@functools.lru_cache
def server(major):
    """Debian's package, unpacked; the file of the server."""
    name = f"postgresql-{major}"
    archive = Archive(space(), SUITES[major], architecture="arm64")
    path = f"{archive.unpack(name, archive.newest(name))}/usr/lib/postgresql/{major}/bin/postgres"
    if not os.path.exists(path):
        raise Failure(f"{name} of Debian's arm64 has no {path}")
    return path


def plan(major, level=3):
    done = subprocess.run([walscope.binary(), "doctor", "--json", "--level", str(level), "--postgres", server(major)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    found, = json.loads(done.stdout)["servers"]
    return found["plan"]


class File:
    """The server's file: its instructions and exported names. In its segment of code, which is its first, a
    place in the file and an address are the same number."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        out = subprocess.run(["readelf", "--dyn-syms", "-W", path], text=True, stdout=subprocess.PIPE, check=True).stdout
        self.exported = {words[7].split("@")[0]: int(words[1], 16) for words in map(str.split, out.splitlines())
                         if len(words) == 8 and words[3] == "FUNC"}
        segments = subprocess.run(["readelf", "-lW", path], text=True, stdout=subprocess.PIPE, check=True).stdout
        first, = [line.split() for line in segments.splitlines() if "LOAD" in line and " E " in line]
        assert int(first[1], 16) == int(first[2], 16) == 0, first

    def word(self, offset):
        return struct.unpack_from("<I", self.data, offset)[0]

    def call_before(self, offset):
        """The call at a site, or the nearest one before it: (place, target), target None for one through a register."""
        for at in range(offset, offset - 4 * FAR, -4):
            word = self.word(at)
            if word >> 26 == 0x25:  # bl
                return at, at + 4 * (((word & 0x3ffffff) ^ 0x2000000) - 0x2000000)
            if word & 0xfffffc1f == 0xd63f0000:  # blr
                return at, None
        raise Failure(f"no call in front of {offset:#x}")

    def member_loaded(self, call):
        """The offset of the load that the register of a blr comes from."""
        register = self.word(call) >> 5 & 31
        for at in range(call - 4, call - 4 * FAR, -4):
            word = self.word(at)
            if word & 0xffc0001f == 0xf9400000 | register:  # ldr xN, [xM, #offset]
                return (word >> 10 & 0xfff) * 8
        raise Failure(f"nothing loads the register of the call at {call:#x}")


class Arm64(LiveTest):
    limit_s = 240

    def test_every_site_up_to_level_2_is_found_but_those_that_cannot_be_had(self):
        for major in SUITES:
            with self.subTest(major=major):
                missing = {entry["probe"]: re.sub("0x[0-9a-f]+", "ADDRESS", entry["reason"]) for entry in plan(major)
                           if entry["level"] <= 2 and entry["status"] not in ("planted", "not_in_major")}
                self.assertEqual(missing, LACKING)

    def test_sites_are_cheap_by_the_kernels_list_but_for_known_ones(self):
        for major in SUITES:
            with self.subTest(major=major):
                file = File(server(major))
                stepped = {entry["probe"] for entry in plan(major) if entry["status"] == "planted" and not any(
                    file.word(int(entry["offset"], 16)) & mask == value for mask, value in SIMULATED)}
                self.assertEqual(stepped, STEPPED)

    def test_sites_of_calls_are_at_the_call_of_the_function_or_behind_it(self):
        for major in SUITES:
            with self.subTest(major=major):
                file = File(server(major))
                offsets = {entry["probe"]: int(entry["offset"], 16) for entry in plan(major)
                           if entry["status"] == "planted"}
                self.assertLessEqual(set(CALLS), set(offsets))
                for probe, callee in CALLS.items():
                    call, target = file.call_before(offsets[probe] - (0 if probe.endswith(("_start", "_begin")) else 4))
                    if isinstance(callee, str):
                        self.assertEqual(target, file.exported[callee], probe)
                    else:
                        self.assertIsNone(target, probe)
                        self.assertEqual(file.member_loaded(call), callee, probe)

    def test_the_variables_that_the_programs_read_are_found(self):
        for major in SUITES:
            with self.subTest(major=major):
                done = subprocess.run([walscope.binary(), "symbols", "--json", server(major)], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, check=True)
                found = {entry["name"] for entry in json.loads(done.stdout)["symbols"] if entry["status"] == "found"}
                self.assertEqual(set(VARIABLES) - found, set())
