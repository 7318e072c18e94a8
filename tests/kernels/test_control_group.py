# SPDX-License-Identifier: BSD-2-Clause
"""A quota of version 2 of control groups, which a host either has or version 1: in a machine of qemu with a server."""

import json
import os
import re

import guest
import machine
from live import LiveTest, once, space

INIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "init_quota")
LIMIT_S = 600
QUOTA = 15


@once
def console():
    kernel = machine.Kernel(space(), "bookworm", "6.1")
    runs = machine.start(space(), kernel, guest.tree(space(), INIT).pack(), "quota",
                         words=f"{guest.words()} QUOTA={QUOTA}")
    runs.wait(LIMIT_S)
    return machine.console(runs)


class ControlGroup(LiveTest):
    limit_s = LIMIT_S + 300

    def test_a_quota_of_the_slice_is_cpu_starved_and_named(self):
        said = console()
        self.assertIn("\nall done\n", said, said[-4000:])
        self.assertIn("\nwork left: true\n", said)
        self.assertIn("\nrecorded with status 0\n", said)
        entries = [json.loads(line) for line in re.findall(r"^\{.*\}$", said, re.M)]
        session, = [entry for entry in entries if entry["verdict"] == "cpu_starved"]
        evidence = {fact["fact"]: fact["value"] for fact in session["evidence"]}
        self.assertEqual(evidence["control_group"], "/database.slice")
        self.assertEqual(evidence["cpu_quota"], QUOTA)
