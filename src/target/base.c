/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a process has its executable: /proc/PID/maps and the file's program headers. */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/util.h"
#include "target/internal.h"

#define PHDRS_MAX 256

struct mapping {
	uint64_t start;
	uint64_t offset;
	dev_t dev;
	ino_t ino;
	const char *path; /* "" without one */
};

/* proc_pid_maps(5): "start-end perms offset major:minor inode   path" */
static bool parse_mapping(const char *line, struct mapping *map)
{
	unsigned int major_nr, minor_nr;
	unsigned long long ino;
	uint64_t end;
	int used = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s %" SCNx64 " %x:%x %llu%n", &map->start, &end,
		   &map->offset, &major_nr, &minor_nr, &ino, &used) != 6 ||
	    !used || map->start >= end)
		return false;
	map->dev = makedev(major_nr, minor_nr);
	map->ino = (ino_t)ino;
	map->path = line + used + strspn(line + used, " ");
	return true;
}

/* The kernel writes a newline in a path as \012 (fs/proc/task_mmu.c, seq_path with "\n"), but not
 * in a link's target. */
static bool same_path(const char *in_maps, const char *link)
{
	while (*in_maps && *link) {
		if (*link == '\n' && strncmp(in_maps, "\\012", 4) == 0) {
			in_maps += 4;
			link++;
		} else if (*in_maps++ != *link++) {
			return false;
		}
	}
	return *in_maps == *link;
}

/* Either is enough: overlayfs and btrfs show one device in maps and another in stat, and a path can
 * have gained " (deleted)" between two reads. */
static bool is_of_exe(const struct mapping *map, const struct ws_exe *exe)
{
	if (map->ino && map->ino == exe->ino && map->dev == exe->dev)
		return true;
	return map->path[0] == '/' && same_path(map->path, exe->link);
}

static int find_first_mapping(int root, uint32_t pid, const struct ws_exe *exe,
			      struct mapping *found)
{
	char path[WS_PROC_PATH];
	int fd = ws_proc_open_file(root, ws_proc_path(path, pid, "maps"), 0);
	ws_autofree char *line = NULL;
	ws_autofclose FILE *maps = NULL;
	size_t size = 0;
	ssize_t len;

	if (fd < 0)
		return -1;
	maps = fdopen(fd, "r");
	if (!maps) {
		close(fd);
		return -1;
	}
	/* The list is in the order of addresses: the first one that fits is the lowest. */
	while ((len = getline(&line, &size, maps)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (parse_mapping(line, found) && is_of_exe(found, exe) &&
		    found->start >= found->offset) {
			found->path = NULL; /* it dies with the line */
			return 0;
		}
	}
	return ferror(maps) ? -1 : 1;
}

/*
 * Address minus file offset of the first loaded segment: 0 in a PIE, 0x400000 or so in an
 * executable that is linked to a fixed address. A file that is no ELF of this machine's class: 0.
 */
static uint64_t file_bias(int root, uint32_t pid)
{
	char path[WS_PROC_PATH];
	ws_autoclose int fd = ws_proc_open_file(root, ws_proc_path(path, pid, "exe"), 0);
	Elf64_Phdr phdrs[PHDRS_MAX];
	Elf64_Ehdr ehdr;
	size_t size;

	if (fd < 0 || pread(fd, &ehdr, sizeof(ehdr), 0) != (ssize_t)sizeof(ehdr))
		return 0;
	if (memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr.e_ident[EI_DATA] != ELFDATA2LSB || ehdr.e_phentsize != sizeof(phdrs[0]) ||
	    ehdr.e_phnum > PHDRS_MAX || ehdr.e_phoff > INT64_MAX)
		return 0;
	size = ehdr.e_phnum * sizeof(phdrs[0]);
	if (pread(fd, phdrs, size, (off_t)ehdr.e_phoff) != (ssize_t)size)
		return 0;
	/* elf(5): PT_LOAD segments stand in the order of their addresses. */
	for (int i = 0; i < ehdr.e_phnum; i++) {
		if (phdrs[i].p_type == PT_LOAD)
			return phdrs[i].p_vaddr - phdrs[i].p_offset;
	}
	return 0;
}

int ws_proc_load_base(int root, uint32_t pid, const struct ws_exe *exe, uint64_t *base)
{
	struct mapping map;
	int rc = find_first_mapping(root, pid, exe, &map);

	if (rc)
		return rc;
	*base = map.start - map.offset - file_bias(root, pid);
	return 0;
}
