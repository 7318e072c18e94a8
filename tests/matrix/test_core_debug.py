# SPDX-License-Identifier: BSD-2-Clause
"""walscope core of a server with debug information: all that is tested with the packaged one, which is stripped; and
that layout and names are out of DWARF, in the file and in a debug file of its own."""

import os
import shutil

import builds
import test_core
import walscope
from cluster import find_server
from incident import WALSENDERS, Incident
from live import once, space


@once
def built():
    return Incident("core-debug", builds.with_debug_info(find_server()[1]))


@once
def split():
    """A stripped copy of it, and beside that its debug file."""
    folder = space().folder("split")
    program, names = os.path.join(folder, "postgres"), os.path.join(folder, "postgres.debug")
    source = built().server.program
    space().run(["objcopy", "--only-keep-debug", source, names])
    space().run(["objcopy", "--strip-all", f"--add-gnu-debuglink={names}", source, program], cwd=folder)
    return program


def layout_source(program):
    file = space().file("layout.wst")
    space().run([walscope.binary(), "core", built().dumps["phys"], "--postgres", program, "-o", file])
    server, = [entry for entry in walscope.view(space(), "trace", file) if entry["event"] == "server"]
    return server["layout"]


class CoreDebug(test_core.Core):
    limit_s = 1800  # it may have to be built
    incident = staticmethod(built)

    def test_names_and_layout_are_out_of_the_debug_information(self):
        backtrace = built().core("phys")["backtrace"]
        sources = {frame["function"]: frame["source"] for frame in backtrace}
        self.assertEqual(sources["WalSndLoop"], "symtab")
        self.assertNotIn("recovered", sources.values())
        self.assertEqual(layout_source(built().server.program), "dwarf")

    def test_a_debug_file_serves_as_well(self):
        program = split()
        for name in (*WALSENDERS, "postmaster"):
            seen, = walscope.view(space(), "core", built().dumps[name], "--postgres", program)
            expected = built().core(name)
            for told in (seen, expected):
                del told["memory"]["file"]
                for frame in told["backtrace"]:
                    del frame["source"]
            self.assertEqual(seen, expected, name)
        self.assertEqual(layout_source(program), "dwarf")

    def test_without_it_the_same_is_told_by_the_table(self):
        program = os.path.join(space().folder("bare"), "postgres")
        shutil.copy(built().server.program, program)
        space().run(["strip", program])
        self.assertEqual(layout_source(program), "table")
        for name in (*WALSENDERS, "postmaster"):
            seen, = walscope.view(space(), "core", built().dumps[name], "--postgres", program)
            expected = built().core(name)
            for key in ("session", "application_name", "client", "slot", "state", "commands", "walsenders"):
                self.assertEqual(seen.get(key), expected.get(key), f"{name} {key}")
