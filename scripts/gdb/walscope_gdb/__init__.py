# SPDX-License-Identifier: BSD-2-Clause
"""What walscope tells of a walsender where eBPF is not allowed, in gdb. text, layout, server, events and ptrace know
nothing of gdb; tracer and watcher are programs that gdb starts beside it."""
