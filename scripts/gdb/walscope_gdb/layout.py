# SPDX-License-Identifier: BSD-2-Clause
"""The layout of a server's structures, out of the section that `walscope symbols --elf` writes."""

import struct

from .server import Error

SECTION = b".walscope.layout"
SHT_NOBITS = 8
LIMIT = 1 << 20  # bytes of the section; walscope writes a few thousand


def _sections(data, path):
    """(name, type, offset, size) of each section of a little-endian 64-bit ELF file."""
    if len(data) < 64 or data[:6] != b"\x7fELF\x02\x01":
        raise Error(f"{path}: no 64-bit little-endian ELF file")
    offset, = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    if size < 64 or offset + size * count > len(data) or names >= count:
        raise Error(f"{path}: its section headers are damaged")
    headers = [struct.unpack_from("<IIQQQQ", data, offset + size * i) for i in range(count)]
    at, length = headers[names][4:6]
    strings = data[at:at + length]
    for name, kind, _, _, start, length in headers:
        yield strings[name:].split(b"\0", 1)[0], kind, start, length


def parse(text):
    """{name: number} of the lines "NAME NUMBER"; others are passed over."""
    fields = {}
    for line in text.splitlines():
        name, _, number = line.rpartition(" ")
        if name and number.isdigit():
            fields[name] = int(number)
    return fields


def _build_id(note):
    """Hexadecimal, of .note.gnu.build-id: three words, the name, the id (elf.h, Elf64_Nhdr); None if it is none."""
    if len(note) < 16:
        return None
    name, size, kind = struct.unpack_from("<III", note)
    start = 12 + (name + 3) // 4 * 4
    return note[start:start + size].hex() if kind == 3 and note[12:16] == b"GNU\0" else None


def read(path):
    """({name: number}, build-id or None) of a symbol file."""
    with open(path, "rb") as file:
        data = file.read()
    fields = build_id = None
    for name, kind, start, length in _sections(data, path):
        if kind == SHT_NOBITS or length > LIMIT or start + length > len(data):
            continue
        if name == SECTION:
            fields = parse(data[start:start + length].decode("ascii", "replace"))
        elif name == b".note.gnu.build-id":
            build_id = _build_id(data[start:start + length])
    if fields is None:
        raise Error(f"{path}: no layout in it: write it with `walscope symbols POSTGRES --elf {path}`")
    return fields, build_id
