# SPDX-License-Identifier: BSD-2-Clause
"""What walscope tells of a walsender where eBPF is not allowed, in gdb. text, layout, events and guard know nothing of gdb."""
