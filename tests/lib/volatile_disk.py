# SPDX-License-Identifier: BSD-2-Clause
"""A disk that loses what its write cache has when the power goes: a server of the NBD protocol for qemu.

What is written stays in the cache until it is flushed (or was written with FUA). When the power goes, of each
sector in the cache a coin decides whether it got to the disk, in no order: the worst a real one may do.
"""

import os
import socket
import struct
import threading

SECTOR = 512

# docs of the NBD project: doc/proto.md
MAGIC, OPTION_MAGIC, OPTION_REPLY = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
REQUEST, REPLY = 0x25609513, 0x67446698
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
OPT_EXPORT_NAME, OPT_ABORT, OPT_INFO, OPT_GO = 1, 2, 6, 7
REP_ACK, REP_INFO, REP_ERR_UNSUP = 1, 3, 1 << 31 | 1
CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH = 0, 1, 2, 3
CMD_FLAG_FUA = 1
EINVAL = 22


class VolatileDisk:
    """`path`: what is on the disk for good; its size is the disk's. One machine at a time may use it."""

    def __init__(self, path, at):
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self.file).st_size
        self.cache = {}  # sector: its bytes
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(at)
        self.socket.listen(1)
        self.uri = f"nbd+unix:///?socket={at}"
        self._idle = threading.Event()
        self._idle.set()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.socket.close()
        os.close(self.file)

    def power_off(self, chance, timeout=60):
        """Its machine is gone: so is what the cache had, but for what a coin keeps. Returns how many sectors
        were lost and kept."""
        if not self._idle.wait(timeout):
            raise TimeoutError("the machine still uses its disk")
        cached, self.cache = self.cache, {}
        kept = [sector for sector in sorted(cached) if chance.random() < 0.5]
        for sector in kept:
            os.pwrite(self.file, cached[sector], sector * SECTOR)
        return len(cached) - len(kept), len(kept)

    def _serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self._idle.clear()
            try:
                with peer:
                    if self._agree(peer):
                        self._answer(peer)
            except (ConnectionError, EOFError):
                pass
            finally:
                self._idle.set()

    @staticmethod
    def _take(peer, size):
        got = bytearray()
        while len(got) < size:
            piece = peer.recv(size - len(got))
            if not piece:
                raise EOFError
            got += piece
        return bytes(got)

    def _agree(self, peer):
        """The handshake; returns whether requests follow."""
        flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA
        peer.sendall(struct.pack(">QQH", MAGIC, OPTION_MAGIC, FIXED_NEWSTYLE | NO_ZEROES))
        client, = struct.unpack(">I", self._take(peer, 4))
        while True:
            _, option, length = struct.unpack(">QII", self._take(peer, 16))
            self._take(peer, length)

            def reply(kind, data=b"", option=option):
                peer.sendall(struct.pack(">QIII", OPTION_REPLY, option, kind, len(data)) + data)

            if option == OPT_EXPORT_NAME:
                peer.sendall(struct.pack(">QH", self.size, flags) + (b"" if client & NO_ZEROES else bytes(124)))
                return True
            if option in (OPT_INFO, OPT_GO):
                reply(REP_INFO, struct.pack(">HQH", 0, self.size, flags))
                reply(REP_ACK)
                if option == OPT_GO:
                    return True
            elif option == OPT_ABORT:
                reply(REP_ACK)
                return False
            else:
                reply(REP_ERR_UNSUP)

    def _answer(self, peer):
        while True:
            magic, flags, kind, handle, at, length = struct.unpack(">IHHQQI", self._take(peer, 28))
            if magic != REQUEST or kind == CMD_DISC:
                return
            data = self._take(peer, length) if kind == CMD_WRITE else b""
            error, answer = 0, b""
            if at % SECTOR or length % SECTOR or at + length > self.size:
                error = EINVAL
            elif kind == CMD_READ:
                answer = self._read(at, length)
            elif kind == CMD_WRITE:
                self._write(at, data, flags & CMD_FLAG_FUA)
            elif kind == CMD_FLUSH:
                self._flush()
            else:
                error = EINVAL
            peer.sendall(struct.pack(">IIQ", REPLY, error, handle) + answer)

    def _read(self, at, length):
        found = bytearray(os.pread(self.file, length, at))
        if self.cache:
            for sector in range(at // SECTOR, (at + length) // SECTOR):
                if sector in self.cache:
                    place = sector * SECTOR - at
                    found[place:place + SECTOR] = self.cache[sector]
        return bytes(found)

    def _write(self, at, data, durable):
        for place in range(0, len(data), SECTOR):
            sector = (at + place) // SECTOR
            if durable:
                self.cache.pop(sector, None)
            else:
                self.cache[sector] = data[place:place + SECTOR]
        if durable:
            os.pwrite(self.file, data, at)

    def _flush(self):
        for sector, data in self.cache.items():
            os.pwrite(self.file, data, sector * SECTOR)
        self.cache.clear()
