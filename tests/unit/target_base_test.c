/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a server has its executable: recorded maps, ELF headers, and a real process. */
#include "../lib/proc_fixture.h"

#include <elf.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void odd_paths_are_matched_in_maps(void **state)
{
	struct fixture *fx = *state;
	const char *exe = "/opt/gr\xc3\xb6\xc3\x9f"
			  "er \xff dir/po\nst gres";

	fixture_put_datadir(fx, "data", "80\n/da ta/\xc3\xa4\n");
	fixture_put_process(fx, &(struct shape){ 80, 1, NULL, "80", exe, "data",
						 MAPS("/opt/gr\xc3\xb6\xc3\x9f"
						      "er \xff dir/po\\012st gres") });
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_string_equal(fx->list.servers[0].exe, exe);
	assert_string_equal(fx->list.servers[0].datadir, "/da ta/\xc3\xa4");
	assert_int_equal(fx->list.servers[0].base, BASE);
}

/* The device and inode of a real file, and a path in maps that is not the link's (overlayfs, a root
 * of its own). */
static void put_real_server(struct fixture *fx, const void *exe, size_t len, const char *first)
{
	struct stat st;
	char maps[512];

	fixture_put(fx, "server", exe, len);
	assert_int_equal(stat(fixture_path(fx, "server"), &st), 0);
	snprintf(maps, sizeof(maps),
		 "00300000-00301000 r--p 00000000 00:00 7 /elsewhere/server\n"
		 "%s %02x:%02x %lu /inside/server\n"
		 "00900000-00a00000 rw-p 00500000 %02x:%02x %lu /inside/server\n",
		 first, major(st.st_dev), minor(st.st_dev), (unsigned long)st.st_ino,
		 major(st.st_dev), minor(st.st_dev), (unsigned long)st.st_ino);
	fixture_put_datadir(fx, "data", "90\n/data\n");
	fixture_put_process(fx, &(struct shape){ 90, 1, NULL, "90", "server", "data", maps });
}

static void the_file_is_also_told_by_device_and_inode(void **state)
{
	struct fixture *fx = *state;
	struct stat st;

	/* the first page of the file is not mapped any more */
	put_real_server(fx, "no ELF", 6, "00701000-00800000 r-xp 00001000");
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].base, 0x700000);
	assert_int_equal(stat(fixture_path(fx, "server"), &st), 0);
	assert_int_equal(fx->list.servers[0].ino, st.st_ino);
	assert_int_equal(fx->list.servers[0].dev, st.st_dev);
}

static void an_executable_with_fixed_addresses_is_not_moved(void **state)
{
	struct fixture *fx = *state;
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdrs[2];
	} exe = {
		.ehdr = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			  .e_type = ET_EXEC,
			  .e_phoff = sizeof(Elf64_Ehdr),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2 },
		.phdrs = { { .p_type = PT_INTERP, .p_vaddr = 0x400200 },
			   { .p_type = PT_LOAD, .p_vaddr = 0x400000 } },
	};

	put_real_server(fx, &exe, sizeof(exe), "00400000-00800000 r-xp 00000000");
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].base, 0);
}

static void hostile_program_headers_are_ignored(void **state)
{
	struct fixture *fx = *state;
	Elf64_Ehdr ehdr = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			    .e_phoff = UINT64_MAX - 1,
			    .e_phentsize = sizeof(Elf64_Phdr),
			    .e_phnum = 65535 };

	put_real_server(fx, &ehdr, sizeof(ehdr), "00400000-00800000 r-xp 00000000");
	fixture_scan(fx);
	assert_int_equal(fx->list.servers[0].base, 0x400000);
	ws_server_list_deinit(&fx->list);
	ehdr.e_phnum = 3; /* behind the end of the file */
	fixture_put(fx, "server", &ehdr, sizeof(ehdr));
	fixture_scan(fx);
	assert_int_equal(fx->list.servers[0].base, 0x400000);
}

static int main_program_base(struct dl_phdr_info *info, size_t size, void *base)
{
	(void)size;
	*(uint64_t *)base = info->dlpi_addr; /* the first one is the program itself */
	return 1;
}

/* This program passes for a server: it goes into a directory and leaves its pid there. */
static void become_server(const struct fixture *fx, int ready)
{
	char text[64];
	FILE *f;

	if (chdir(fixture_path(fx, "data")))
		_exit(1);
	f = fopen("postmaster.pid", "w");
	snprintf(text, sizeof(text), "%d\n/data\n", (int)getpid());
	if (!f || fputs(text, f) < 0 || fclose(f))
		_exit(1);
	if (fork() >= 0 && write(ready, "x", 1) == 1)
		pause();
	_exit(0);
}

static void a_real_process_is_read_from_the_real_proc(void **state)
{
	struct fixture *fx = *state;
	static const struct ws_proc real = { .root = "/proc" };
	const struct ws_postmaster *server = NULL;
	uint64_t base = 1;
	int ready[2], fd;
	char byte;
	pid_t pid;

	fixture_put_dir(fx, "data");
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		become_server(fx, ready[1]);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(ws_proc_servers(&real, &fx->list, &fx->denied, &fx->err), 0);
	fd = ws_proc_open_exe(&real, (uint32_t)pid, &fx->err);
	kill(-pid, SIGKILL); /* the group this test made: the child and its child */
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);

	for (size_t i = 0; i < fx->list.count; i++) {
		if (fx->list.servers[i].process.pid == (uint32_t)pid)
			server = &fx->list.servers[i];
	}
	assert_non_null(server);
	assert_int_equal(server->process.parent, getpid());
	assert_int_equal(server->child_count, 1);
	assert_int_equal(server->children[0].parent, pid);
	dl_iterate_phdr(main_program_base, &base);
	assert_int_equal(server->base, base);
	assert_true(fd >= 0);
	close(fd);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(odd_paths_are_matched_in_maps),
		TEST(the_file_is_also_told_by_device_and_inode),
		TEST(an_executable_with_fixed_addresses_is_not_moved),
		TEST(hostile_program_headers_are_ignored),
		TEST(a_real_process_is_read_from_the_real_proc),
	};

	return cmocka_run_group_tests_name("target/base", tests, NULL, NULL);
}
