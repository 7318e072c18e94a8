# SPDX-License-Identifier: BSD-2-Clause
"""Servers that are built out of Debian's source packages: where tests need one that no package has. They are kept
where `make truth` keeps its own, which are the same."""

import importlib.machinery
import os
import subprocess

import installation

MATRIX = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "matrix")
VARIANT = "gcc-O2"  # with debug information


def with_debug_info(major):
    """The executable; building it takes some minutes, once."""
    cache = os.path.join(installation.cache(), "truth")
    out = os.path.join(cache, "builds")
    program = os.path.join(out, f"{major}-{VARIANT}", "postgres")
    if not os.path.exists(program):
        truth = importlib.machinery.SourceFileLoader("truth", os.path.join(MATRIX, "truth")).load_module()
        os.makedirs(out, exist_ok=True)
        archive = truth.fetch_source(cache, installation.SUITES[major], major)
        subprocess.run([os.path.join(MATRIX, "build-server"), archive, out, VARIANT], check=True)
    return program
