# SPDX-License-Identifier: BSD-2-Clause
"""The process or core that gdb has, as a source of server.Server: variables by symbol, fields by layout."""

import os
import tempfile

import gdb

from . import layout, server, text


class Inferior:
    """What gdb has now, and the layout that it was given."""

    def __init__(self):
        self._fields = {}

    def take(self, path):
        """The layout in a symbol file, and its names: gdb finds it as the program's debug file, unless there is another."""
        fields, build_id = layout.read(path)
        objfiles = gdb.current_progspace().objfiles()
        if not objfiles:
            raise server.Error("gdb has no program: start it with the server's, or attach to a process first")
        its = objfiles[0].build_id
        if build_id is None or build_id != its:
            raise server.Error(f"{path} is of another server: its build-id is {build_id}, the program's {its}")
        before = gdb.parameter("debug-file-directory")
        with tempfile.TemporaryDirectory() as folder:
            debug_file = os.path.join(folder, ".build-id", its[:2], f"{its[2:]}.debug")
            os.makedirs(os.path.dirname(debug_file))
            os.symlink(os.path.abspath(path), debug_file)
            try:
                gdb.execute(f"set debug-file-directory {before}:{folder}")
                gdb.execute(f"with confirm off -- symbol-file {_quoted(objfiles[0].filename)}", to_string=True)
            finally:
                gdb.execute(f"set debug-file-directory {before}")
        self._fields = fields
        enter_root()

    def has(self, name):
        if name not in self._fields:
            self._fields[name] = _field_of_debug_info(name)
        return self._fields[name] is not None

    def field(self, name):
        if not self.has(name):
            raise server.Error(f"the layout of {name} is not known: write it with `walscope symbols {program()} --elf FILE`, "
                               "then `walsender symbols FILE`")
        return self._fields[name]

    @staticmethod
    def address(name):
        try:
            return int(gdb.parse_and_eval(f"(unsigned long)&{name}"))
        except gdb.error:
            return None

    @staticmethod
    def read(where, size):
        try:
            return bytes(gdb.selected_inferior().read_memory(where, size))
        except gdb.MemoryError as error:
            raise OSError(str(error)) from None


def _quoted(path):
    """As gdb's own word splitting takes it."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


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


def process():
    """The pid of the process that gdb has; None if it has a core, whose process may live on, or nothing."""
    inferior = gdb.selected_inferior()
    return inferior.pid if inferior.pid and inferior.connection.type == "native" else None


def process_session():
    """PID.STARTTICKS as gdb sees the process; None for a core."""
    return text.session_id(process()) if process() else None


def enter_root():
    """Has gdb take libraries from where the process has them: in a root of its own the host's are others, and lead astray."""
    root = f"/proc/{process()}/root"
    if process() and not os.path.samefile(root, "/") and gdb.parameter("sysroot") != root:
        gdb.execute(f"set sysroot {root}", to_string=True)


def calls():
    """{name: where its caller goes on} of the functions that are being executed."""
    enter_root()
    found, frame = {}, gdb.newest_frame()
    while frame is not None:
        older = frame.older()
        found.setdefault(frame.name(), older.pc() if older is not None else None)
        frame = older
    return found


INFERIOR = Inferior()
SERVER = server.Server(INFERIOR)
