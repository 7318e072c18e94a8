# SPDX-License-Identifier: BSD-2-Clause
"""Blocks of recordings by docs/FORMAT.md, read without walscope: what a kill has left, and what it has not."""

import os
import struct

import xxhash

FILE = struct.Struct("<8sIIQQQqIIII32s40s64s")
BLOCK = struct.Struct("<IHHQQQQQIIIIQ")
INDEX = struct.Struct("<HHHH")
SEGMENT = struct.Struct("<4s4xQQQ")
CHECKPOINT, LAST = 2, 4


class Segment:
    """A file: its run and number, and of each whole block (flags, records)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        self.path, self.size = path, len(data)
        head = FILE.unpack_from(data)
        size = head[2]
        assert xxhash.xxh64(data[:16] + bytes(8) + data[24:size]).intdigest() == head[3], path
        magic, run, number, before = SEGMENT.unpack_from(data, size - SEGMENT.size)
        self.run, self.number, self.before = (run, number, before) if magic == b"WSSG" else (0, 0, 0)
        self.blocks, self.end = self._blocks(data, size, head[4])

    @staticmethod
    def _blocks(data, at, seed):
        found = []
        while len(data) - at >= BLOCK.size:
            block = BLOCK.unpack_from(data, at)
            header = data[at:at + block[1]]
            content = data[at + block[1]:at + block[1] + block[11]]
            if (xxhash.xxh64(header[:8] + bytes(8) + header[16:], seed=seed).intdigest() != block[3]
                    or xxhash.xxh64(content, seed=seed).intdigest() != block[12]):
                break
            flags = INDEX.unpack_from(header, BLOCK.size + 8 * block[2])[1]
            found.append((flags, block[8]))
            at += block[1] + block[11]
        return found, at

    @property
    def records(self):
        return sum(records for flags, records in self.blocks if not flags & CHECKPOINT)

    @property
    def repeated(self):
        return sum(records for flags, records in self.blocks if flags & CHECKPOINT)


def segments(folder):
    """Those of a flight recorder's directory, in order."""
    return [Segment(os.path.join(folder, name)) for name in sorted(os.listdir(folder))
            if name.startswith("flight-") and name.endswith(".wst")]


def told(found):
    """How many records walscope has to tell of these: all that are whole, and what the first one repeats."""
    return sum(segment.records for segment in found) + found[0].repeated
