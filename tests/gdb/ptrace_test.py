# SPDX-License-Identifier: BSD-2-Clause
"""What ptrace.py says of the machine's debug registers."""

import os
import unittest

import debug_registers
from walscope_gdb import ptrace


class Proof(unittest.TestCase):
    def test_debug_registers_stop_a_process_or_do_not_as_another_program_says(self):
        debug_registers.need(self, debug_registers.stop_a_process())
        self.assertEqual(ptrace.registers_stop_a_process(), debug_registers.stop_a_process())

    def test_the_proof_leaves_no_child_and_no_file(self):
        debug_registers.need(self, debug_registers.stop_a_process())
        files = os.listdir("/proc/self/fd")
        ptrace.registers_stop_a_process()
        self.assertEqual(os.listdir("/proc/self/fd"), files)
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


if __name__ == "__main__":
    unittest.main()
