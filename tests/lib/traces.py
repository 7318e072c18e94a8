# SPDX-License-Identifier: BSD-2-Clause
"""What probes leave in the kernel and in a probed process, by means other than walscope's own."""

import json
import os
import re
import subprocess

# Kinds of programs and links that walscope makes; others belong to somebody else.
_PROGRAM_TYPES = {"kprobe", "tracing", "raw_tracepoint", "raw_tracepoint_writable", "tracepoint",
                  "perf_event", "syscall"}


def _bpftool(*words):
    program = next((path for path in ("/usr/sbin/bpftool", "/usr/local/sbin/bpftool")
                    if os.access(path, os.X_OK)), "bpftool")
    done = subprocess.run([program, "-j", *words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout or "[]")


def uprobe_links(pid):
    """Ids of the links through which a process holds uprobes, and its perf events."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == "anon_inode:[perf_event]":
                found.add(f"event {name}")
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii", errors="replace") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        if re.search(r"^link_type:\s*uprobe_multi", text, re.M):
            found.add(int(re.search(r"^link_id:\s*(\d+)", text, re.M)[1]))
    return found


def bpf_objects(pid):
    """Ids of the BPF programs, links and maps a process holds: {"prog_id": {..}, "link_id": {..}, ..}."""
    found = {"prog_id": set(), "link_id": set(), "map_id": set()}
    folder = f"/proc/{pid}/fdinfo"
    for name in os.listdir(folder):
        try:
            with open(f"{folder}/{name}", encoding="ascii", errors="replace") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        for key, ids in found.items():
            ids.update(int(number) for number in re.findall(rf"^{key}:\s*(\d+)", text, re.M))
    return found


def _held_by_others():
    """Ids of objects held by a process that is alive: nobody can have left those behind."""
    programs, links = set(), set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                held = bpf_objects(name)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            programs |= held["prog_id"]
            links |= held["link_id"]
    return programs, links


def living_objects():
    """Ids of all BPF programs and links in the kernel, by bpftool: (programs, links)."""
    return ({entry["id"] for entry in _bpftool("prog", "show")},
            {entry["id"] for entry in _bpftool("link", "show")})


def living_bpf():
    """The same with maps, as a set of (kind, id): {("prog_id", 7), ..}."""
    return {(f"{kind}_id", entry["id"]) for kind in ("prog", "link", "map") for entry in _bpftool(kind, "show")}


def kernel_objects():
    """({id: text}, {id: text}): programs and links that no living process holds."""
    if os.geteuid() != 0:
        return {}, {}
    held_programs, held_links = _held_by_others()
    programs = {entry["id"]: f"{entry['id']} {entry['type']} {entry.get('name', '')}"
                for entry in _bpftool("prog", "show")
                if entry["type"] in _PROGRAM_TYPES and entry["id"] not in held_programs}
    links = {entry["id"]: f"{entry['id']} {entry['type']}"
             for entry in _bpftool("link", "show") if entry["id"] not in held_links}
    # A program may be held by a link, or by a perf event, of a living process.
    attached = {entry.get("prog_id") for entry in _bpftool("link", "show") if entry["id"] in held_links}
    return {key: text for key, text in programs.items() if key not in attached}, links


def pinned_objects():
    """Files of all BPF file systems."""
    found = set()
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, where, kind, _ = line.split(" ", 3)
            if kind == "bpf":
                for folder, _, names in os.walk(where):
                    found.update(os.path.join(folder, name) for name in names)
    return found


def breakpoints(pid):
    """Offsets in the executable at which a process's code differs from its file: planted probes."""
    exe = os.readlink(f"/proc/{pid}/exe")
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb") as memory, \
            open(f"/proc/{pid}/exe", "rb") as file:
        for line in maps:
            words = line.split(maxsplit=5)
            if len(words) < 6 or "x" not in words[1] or words[5].strip() != exe:
                continue
            begin, end = (int(text, 16) for text in words[0].split("-"))
            offset = int(words[2], 16)
            memory.seek(begin)
            now = memory.read(end - begin)
            file.seek(offset)
            then = file.read(end - begin)
            for start in range(0, len(then), 4096):
                if now[start:start + 4096] != then[start:start + 4096]:
                    found += [offset + start + i for i, (a, b)
                              in enumerate(zip(now[start:start + 4096], then[start:start + 4096]))
                              if a != b]
    return found
