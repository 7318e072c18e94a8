# SPDX-License-Identifier: BSD-2-Clause
"""walscope's commands for gdb 12 and later: `source walscope.py`, then `help walsender`."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from walscope_gdb import commands  # noqa: E402

commands.register()
