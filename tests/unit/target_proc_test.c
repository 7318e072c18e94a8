/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers found in folders that look like /proc, and one in the real /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <link.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "target/proc.h"

/* A folder with proc/ in it, and whatever else a test needs beside. */
struct fixture {
	char dir[64];
	struct ws_proc proc;
	char root[80];
	struct ws_server_list list;
	unsigned int denied;
	struct ws_error err;
};

static const char *path_of(const struct fixture *fx, const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", fx->dir, name);
	return path;
}

static void put(const struct fixture *fx, const char *name, const void *data, size_t len)
{
	FILE *f = fopen(path_of(fx, name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void put_text(const struct fixture *fx, const char *name, const char *text)
{
	put(fx, name, text, strlen(text));
}

static void put_dir(const struct fixture *fx, const char *name)
{
	if (mkdir(path_of(fx, name), 0755) && errno != EEXIST)
		fail_msg("mkdir %s: %s", name, strerror(errno));
}

/* A target without a slash in front lies in the fixture. */
static void put_link(const struct fixture *fx, const char *name, const char *target)
{
	const char *to = target[0] == '/' ? target : path_of(fx, target);

	assert_int_equal(symlink(to, path_of(fx, name)), 0);
}

/* A process: NULL leaves a file out. */
struct shape {
	unsigned int pid, parent;
	const char *comm;
	const char *ns_pids; /* NULL: a kernel without NSpid */
	const char *exe, *cwd, *maps;
};

static void put_process(const struct fixture *fx, const struct shape *shape)
{
	char name[64], text[1024];

	snprintf(name, sizeof(name), "proc/%u", shape->pid);
	put_dir(fx, name);
	snprintf(name, sizeof(name), "proc/%u/stat", shape->pid);
	snprintf(text, sizeof(text),
		 "%u (%s) S %u 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 %u 22 33 184467 1 1 0\n",
		 shape->pid, shape->comm ? shape->comm : "postgres", shape->parent,
		 1000 + shape->pid);
	put_text(fx, name, text);
	snprintf(name, sizeof(name), "proc/%u/status", shape->pid);
	snprintf(text, sizeof(text),
		 "Name:\tpostgres\nUmask:\t0077\nPid:\t%u\n%s%s%sGroups:\t1 2\n", shape->pid,
		 shape->ns_pids ? "NSpid:\t" : "", shape->ns_pids ? shape->ns_pids : "",
		 shape->ns_pids ? "\n" : "");
	put_text(fx, name, text);
	snprintf(name, sizeof(name), "proc/%u/exe", shape->pid);
	if (shape->exe)
		put_link(fx, name, shape->exe);
	snprintf(name, sizeof(name), "proc/%u/cwd", shape->pid);
	if (shape->cwd)
		put_link(fx, name, shape->cwd);
	snprintf(name, sizeof(name), "proc/%u/maps", shape->pid);
	if (shape->maps)
		put_text(fx, name, shape->maps);
}

static void put_datadir(const struct fixture *fx, const char *name, const char *pid_file)
{
	char file[128];

	put_dir(fx, name);
	snprintf(file, sizeof(file), "%s/postmaster.pid", name);
	put_text(fx, file, pid_file);
}

#define MAPS(path)                                                                       \
	"555500000000-555500001000 r--p 00000000 00:00 0 \n"                             \
	"555555554000-555555600000 r--p 00000000 fe:01 4242                  " path "\n" \
	"555555600000-555555a00000 r-xp 000ac000 fe:01 4242                  " path "\n" \
	"7ffff7dd0000-7ffff7df0000 r--p 00000000 fe:01 99                    /lib/libc.so.6\n"
#define BASE 0x555555554000

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	strcpy(fx->dir, "/tmp/walscope-proc-XXXXXX");
	if (!mkdtemp(fx->dir))
		return -1;
	chmod(fx->dir, 0755);
	snprintf(fx->root, sizeof(fx->root), "%s/proc", fx->dir);
	fx->proc.root = fx->root;
	put_dir(fx, "proc");
	put_dir(fx, "proc/self");
	put_text(fx, "proc/uptime", "1 1\n");
	*state = fx;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	ws_server_list_deinit(&fx->list);
	nftw(fx->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(fx);
	return 0;
}

static void scan(struct fixture *fx)
{
	assert_int_equal(ws_proc_servers(&fx->proc, &fx->list, &fx->denied, &fx->err), 0);
}

static void several_servers_are_found_with_their_children(void **state)
{
	struct fixture *fx = *state;
	const char *pg = "/usr/lib/postgresql/15/bin/postgres";
	const char *one = "one", *two = "two";
	const struct shape shapes[] = {
		{ 900, 1, NULL, "900", pg, one, MAPS("/usr/lib/postgresql/15/bin/postgres") },
		{ 903, 900, NULL, "903", pg, one, NULL },
		{ 901, 900, NULL, "901", pg, one, NULL },
		{ 1000, 900, "sh", "1000", "/bin/dash", one, NULL }, /* archive_command */
		{ 77, 1, NULL, "77", pg, two, MAPS("/usr/lib/postgresql/15/bin/postgres") },
		{ 78, 77, NULL, "78", pg, two, NULL },
		{ 79, 78, NULL, "79", pg, two, NULL },		 /* a child's child */
		{ 80, 1, "bash", "80", "/bin/bash", two, NULL }, /* somebody looks around */
		{ 2, 0, "kthreadd", "2", NULL, NULL, NULL },
	};

	put_datadir(fx, "one", "900\n/srv/one\n1700000000\n5432\n");
	put_datadir(fx, "two", "77\n/srv/two\n1700000000\n5433\n");
	for (size_t i = 0; i < WS_ARRAY_SIZE(shapes); i++)
		put_process(fx, &shapes[i]);
	scan(fx);
	assert_int_equal(fx->list.count, 2);
	assert_int_equal(fx->list.servers[0].process.pid, 77);
	assert_string_equal(fx->list.servers[0].datadir, "/srv/two");
	assert_int_equal(fx->list.servers[0].child_count, 1);
	assert_int_equal(fx->list.servers[0].children[0].pid, 78);
	assert_int_equal(fx->list.servers[1].process.pid, 900);
	assert_int_equal(fx->list.servers[1].process.parent, 1);
	assert_int_equal(fx->list.servers[1].process.start_ticks, 1900);
	assert_int_equal(fx->list.servers[1].process.state, 'S');
	assert_string_equal(fx->list.servers[1].datadir, "/srv/one");
	assert_string_equal(fx->list.servers[1].exe, pg);
	assert_false(fx->list.servers[1].exe_deleted);
	assert_int_equal(fx->list.servers[1].base, BASE);
	assert_int_equal(fx->list.servers[1].child_count, 2);
	assert_int_equal(fx->list.servers[1].children[0].pid, 901);
	assert_int_equal(fx->list.servers[1].children[1].pid, 903);
	assert_int_equal(fx->denied, 0);
}

static void a_deleted_executable_keeps_its_path_and_children(void **state)
{
	struct fixture *fx = *state;
	const char *gone = "/usr/lib/postgresql/15/bin/postgres (deleted)";
	const struct shape shapes[] = {
		{ 10, 1, NULL, "10", gone, "data",
		  MAPS("/usr/lib/postgresql/15/bin/postgres (deleted)") },
		{ 11, 10, NULL, "11", gone, "data", NULL },
		/* read before the upgrade unlinked the file */
		{ 12, 10, NULL, "12", "/usr/lib/postgresql/15/bin/postgres", "data", NULL },
	};

	put_datadir(fx, "data", "10\n/data\n");
	for (size_t i = 0; i < WS_ARRAY_SIZE(shapes); i++)
		put_process(fx, &shapes[i]);
	scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_string_equal(fx->list.servers[0].exe, "/usr/lib/postgresql/15/bin/postgres");
	assert_true(fx->list.servers[0].exe_deleted);
	assert_int_equal(fx->list.servers[0].base, BASE);
	assert_int_equal(fx->list.servers[0].child_count, 2);
	assert_int_equal(fx->list.servers[0].ino, 0);
}

static void processes_that_vanish_are_left_out(void **state)
{
	struct fixture *fx = *state;
	const char *pg = "/opt/pg/postgres";

	put_datadir(fx, "data", "20\n/data\n");
	put_datadir(fx, "gone", "30\n/gone\n");
	put_datadir(fx, "maps", "40\n/maps\n");
	put_datadir(fx, "cut", "50\n/cut\n");
	put_process(fx, &(struct shape){ 20, 1, NULL, "20", pg, "data", MAPS("/opt/pg/postgres") });
	put_dir(fx, "proc/21");
	put_dir(fx, "proc/22"); /* a child of which only the executable could still be read */
	put_link(fx, "proc/22/exe", pg);
	put_dir(fx, "proc/30"); /* a postmaster without stat and status */
	put_link(fx, "proc/30/exe", pg);
	put_link(fx, "proc/30/cwd", path_of(fx, "gone"));
	put_process(fx, &(struct shape){ 40, 1, NULL, "40", pg, "maps", NULL });
	put_process(fx, &(struct shape){ 50, 1, NULL, "50", pg, "cut", MAPS("/opt/pg/postgres") });
	put_text(fx, "proc/50/stat", "50 (postgres) S 1 7");
	put_process(fx, &(struct shape){ 51, 20, NULL, "51", pg, "data", NULL });
	put_text(fx, "proc/51/stat", "");
	put_process(fx, &(struct shape){ 60, 1, NULL, "60", pg, "/nowhere/at/all", NULL });
	scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].process.pid, 20);
	assert_int_equal(fx->list.servers[0].child_count, 0);
	assert_int_equal(fx->denied, 0);
}

static void a_name_with_spaces_and_parentheses_confuses_nothing(void **state)
{
	struct fixture *fx = *state;
	const char *names[] = { ") R 1 (x", "a b c", "((", "))", ") ) Z 0 0", "x\n) S 9 9" };
	struct ws_process process;

	for (unsigned int i = 0; i < WS_ARRAY_SIZE(names); i++) {
		put_process(fx, &(struct shape){ 100 + i, 55, names[i], "3", NULL, NULL, NULL });
		assert_true(ws_proc_read(&fx->proc, 100 + i, &process));
		assert_int_equal(process.pid, 100 + i);
		assert_int_equal(process.parent, 55);
		assert_int_equal(process.state, 'S');
		assert_int_equal(process.start_ticks, 1100 + i);
		assert_int_equal(process.ns_pid, 3);
	}
	assert_false(ws_proc_read(&fx->proc, 999, &process));
}

static void a_malformed_stat_is_no_process(void **state)
{
	struct fixture *fx = *state;
	const char *lines[] = {
		"",
		"7",
		"7 (x",
		"7 (x)",
		"7 (x) S",
		"7 (x) SS 1 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 99 1\n",
		"7 (x) S one 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 99 1\n",
		"7 (x) S 1 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 9z9 1\n",
		"7 (x) S 1 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0\n",
	};
	struct ws_process process;

	put_process(fx, &(struct shape){ 7, 1, NULL, "7", NULL, NULL, NULL });
	assert_true(ws_proc_read(&fx->proc, 7, &process));
	for (size_t i = 0; i < WS_ARRAY_SIZE(lines); i++) {
		put_text(fx, "proc/7/stat", lines[i]);
		assert_false(ws_proc_read(&fx->proc, 7, &process));
	}
}

static void the_innermost_pid_decides_in_a_namespace(void **state)
{
	struct fixture *fx = *state;
	const char *pg = "/usr/local/bin/postgres";

	/* the container's data directory, seen from the host; inside it has another path */
	put_dir(fx, "merged");
	put_datadir(fx, "merged/data", "1\n/var/lib/postgresql/data\n");
	put_process(fx, &(struct shape){ 5001, 4999, NULL, "5001\t17\t1", pg, "merged/data",
					 MAPS("/usr/local/bin/postgres") });
	put_process(fx,
		    &(struct shape){ 5002, 5001, NULL, "5002\t18\t27", pg, "merged/data", NULL });
	scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].process.pid, 5001);
	assert_int_equal(fx->list.servers[0].process.ns_pid, 1);
	assert_string_equal(fx->list.servers[0].datadir, "/var/lib/postgresql/data");
	assert_int_equal(fx->list.servers[0].child_count, 1);
	assert_int_equal(fx->list.servers[0].children[0].ns_pid, 27);
}

static void without_nspid_the_pid_itself_counts(void **state)
{
	struct fixture *fx = *state;

	put_datadir(fx, "data", "31\n/data\n");
	put_process(fx, &(struct shape){ 31, 1, NULL, NULL, "/pg/postgres", "data",
					 MAPS("/pg/postgres") });
	scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].process.ns_pid, 31);
}

static void another_ones_postmaster_pid_makes_no_server(void **state)
{
	struct fixture *fx = *state;
	const char *pg = "/pg/postgres";

	put_datadir(fx, "data", "500\n/data\n");     /* of a server that is gone */
	put_datadir(fx, "single", "-41\n/single\n"); /* a standalone backend */
	put_datadir(fx, "odd", "garbage\n/odd\n");
	put_datadir(fx, "empty", "");
	put_datadir(fx, "huge", "99999999999999999999\n/huge\n");
	put_process(fx, &(struct shape){ 40, 1, NULL, "40", pg, "data", MAPS("/pg/postgres") });
	put_process(fx, &(struct shape){ 41, 1, NULL, "41", pg, "single", MAPS("/pg/postgres") });
	put_process(fx, &(struct shape){ 42, 1, NULL, "42", pg, "odd", MAPS("/pg/postgres") });
	put_process(fx, &(struct shape){ 43, 1, NULL, "43", pg, "empty", MAPS("/pg/postgres") });
	put_process(fx, &(struct shape){ 44, 1, NULL, "44", pg, "huge", MAPS("/pg/postgres") });
	/* in a namespace: the outer pid is named, the inner one is another */
	put_process(fx,
		    &(struct shape){ 500, 1, NULL, "500\t3", pg, "data", MAPS("/pg/postgres") });
	scan(fx);
	assert_int_equal(fx->list.count, 0);
	assert_null(fx->list.servers);
}

static void a_pid_file_that_is_no_plain_file_is_not_opened(void **state)
{
	struct fixture *fx = *state;

	put_dir(fx, "fifo");
	assert_int_equal(mkfifo(path_of(fx, "fifo/postmaster.pid"), 0644), 0);
	put_datadir(fx, "real", "61\n/real\n");
	put_dir(fx, "link");
	put_link(fx, "link/postmaster.pid", path_of(fx, "real/postmaster.pid"));
	put_process(fx, &(struct shape){ 60, 1, NULL, "60", "/pg/postgres", "fifo",
					 MAPS("/pg/postgres") });
	put_process(fx, &(struct shape){ 61, 1, NULL, "61", "/pg/postgres", "link",
					 MAPS("/pg/postgres") });
	scan(fx);
	assert_int_equal(fx->list.count, 0);
}

static void a_server_started_by_a_server_is_not_its_child(void **state)
{
	struct fixture *fx = *state;
	const char *pg = "/pg/postgres";

	put_datadir(fx, "a", "70\n/a\n");
	put_datadir(fx, "b", "71\n/b\n");
	put_process(fx, &(struct shape){ 70, 1, NULL, "70", pg, "a", MAPS("/pg/postgres") });
	put_process(fx, &(struct shape){ 71, 70, NULL, "71", pg, "b", MAPS("/pg/postgres") });
	scan(fx);
	assert_int_equal(fx->list.count, 2);
	assert_int_equal(fx->list.servers[0].child_count, 0);
}

static void odd_paths_are_matched_in_maps(void **state)
{
	struct fixture *fx = *state;
	const char *exe = "/opt/gr\xc3\xb6\xc3\x9f"
			  "er \xff dir/po\nst gres";

	put_datadir(fx, "data", "80\n/da ta/\xc3\xa4\n");
	put_process(fx, &(struct shape){ 80, 1, NULL, "80", exe, "data",
					 MAPS("/opt/gr\xc3\xb6\xc3\x9f"
					      "er \xff dir/po\\012st gres") });
	scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_string_equal(fx->list.servers[0].exe, exe);
	assert_string_equal(fx->list.servers[0].datadir, "/da ta/\xc3\xa4");
	assert_int_equal(fx->list.servers[0].base, BASE);
}

static void a_path_that_is_too_long_is_cut_at_a_character(void **state)
{
	struct fixture *fx = *state;
	char exe[1200], text[1300];

	memset(exe, 'a', sizeof(exe));
	exe[0] = '/';
	memcpy(exe + 510, "\xc3\xa4", 2); /* would be cut in its middle */
	exe[sizeof(exe) - 1] = '\0';
	snprintf(text, sizeof(text), "81\n%s\n", exe);
	put_datadir(fx, "data", text);
	put_process(fx, &(struct shape){ 81, 1, NULL, "81", exe, "data", "" });
	scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(strlen(fx->list.servers[0].exe), 510);
	assert_int_equal(strlen(fx->list.servers[0].datadir), 510);
	/* none of the (empty) mappings is its own: not known */
	assert_int_equal(fx->list.servers[0].base, 0);
}

/* The device and inode of a real file, and a path in maps that is not the link's (overlayfs, a root
 * of its own). */
static void put_real_server(struct fixture *fx, const void *exe, size_t len, const char *first)
{
	struct stat st;
	char maps[512];

	put(fx, "server", exe, len);
	assert_int_equal(stat(path_of(fx, "server"), &st), 0);
	snprintf(maps, sizeof(maps),
		 "00300000-00301000 r--p 00000000 00:00 7 /elsewhere/server\n"
		 "%s %02x:%02x %lu /inside/server\n"
		 "00900000-00a00000 rw-p 00500000 %02x:%02x %lu /inside/server\n",
		 first, major(st.st_dev), minor(st.st_dev), (unsigned long)st.st_ino,
		 major(st.st_dev), minor(st.st_dev), (unsigned long)st.st_ino);
	put_datadir(fx, "data", "90\n/data\n");
	put_process(fx, &(struct shape){ 90, 1, NULL, "90", "server", "data", maps });
}

static void the_file_is_also_told_by_device_and_inode(void **state)
{
	struct fixture *fx = *state;
	struct stat st;

	/* the first page of the file is not mapped any more */
	put_real_server(fx, "no ELF", 6, "00701000-00800000 r-xp 00001000");
	scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].base, 0x700000);
	assert_int_equal(stat(path_of(fx, "server"), &st), 0);
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
	scan(fx);
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
	scan(fx);
	assert_int_equal(fx->list.servers[0].base, 0x400000);
	ws_server_list_deinit(&fx->list);
	ehdr.e_phnum = 3; /* behind the end of the file */
	put(fx, "server", &ehdr, sizeof(ehdr));
	scan(fx);
	assert_int_equal(fx->list.servers[0].base, 0x400000);
}

static void what_may_not_be_read_is_counted(void **state)
{
	struct fixture *fx = *state;
	bool root = geteuid() == 0;

	put_datadir(fx, "data", "95\n/data\n");
	put_process(fx, &(struct shape){ 95, 1, NULL, "95", "/pg/postgres", "data",
					 MAPS("/pg/postgres") });
	put_process(fx, &(struct shape){ 96, 95, NULL, "96", "/pg/postgres", "data", NULL });
	put_datadir(fx, "mine", "97\n/mine\n");
	put_process(fx, &(struct shape){ 97, 1, NULL, "97", "/pg/postgres", "mine",
					 MAPS("/pg/postgres") });
	assert_int_equal(chmod(path_of(fx, "proc/95"), 0), 0);
	assert_int_equal(chmod(path_of(fx, "proc/97/maps"), 0), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	scan(fx);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(fx->list.count, 0);
	assert_int_equal(fx->denied, 2);
	chmod(path_of(fx, "proc/95"), 0755);
}

static void a_root_that_cannot_be_read_is_an_error(void **state)
{
	struct fixture *fx = *state;
	struct ws_proc nowhere = { .root = "/nowhere/proc" };
	struct ws_process process;
	char boot_id[WS_BOOT_ID_TEXT];

	assert_int_equal(ws_proc_servers(&nowhere, &fx->list, NULL, &fx->err), -1);
	assert_int_equal(fx->err.errnum, ENOENT);
	assert_string_equal(fx->err.where, "/nowhere/proc");
	assert_int_equal(fx->list.count, 0);
	assert_false(ws_proc_read(&nowhere, 1, &process));
	assert_int_equal(ws_proc_boot_id(&nowhere, boot_id, &fx->err), -1);
	assert_int_equal(ws_proc_open_exe(&fx->proc, 1, &fx->err), -1);
	assert_int_equal(fx->err.errnum, ENOENT);
}

static void the_boot_id_must_look_like_one(void **state)
{
	struct fixture *fx = *state;
	char boot_id[WS_BOOT_ID_TEXT];

	put_dir(fx, "proc/sys");
	put_dir(fx, "proc/sys/kernel");
	put_dir(fx, "proc/sys/kernel/random");
	put_text(fx, "proc/sys/kernel/random/boot_id", "0a1b2c3d-0000-4000-8000-0123456789ab\n");
	assert_int_equal(ws_proc_boot_id(&fx->proc, boot_id, &fx->err), 0);
	assert_string_equal(boot_id, "0a1b2c3d-0000-4000-8000-0123456789ab");
	put_text(fx, "proc/sys/kernel/random/boot_id", "0a1b2c3d\n");
	assert_int_equal(ws_proc_boot_id(&fx->proc, boot_id, &fx->err), -1);
	put_text(fx, "proc/sys/kernel/random/boot_id",
		 "0a1b2c3d/0000-4000-8000-0123456789ab/etc\n");
	assert_int_equal(ws_proc_boot_id(&fx->proc, boot_id, &fx->err), -1);
}

static void thousands_of_processes_are_no_trouble(void **state)
{
	struct fixture *fx = *state;
	struct shape shape = { 0, 1, NULL, NULL, "/usr/bin/something", "/nowhere", NULL };
	uint64_t start;

	put_datadir(fx, "data", "7000\n/data\n");
	for (unsigned int pid = 1000; pid < 5000; pid++) {
		shape.pid = pid;
		put_process(fx, &shape);
	}
	shape = (struct shape){
		7000, 1, NULL, "7000", "/pg/postgres", "data", MAPS("/pg/postgres")
	};
	put_process(fx, &shape);
	shape.parent = 7000;
	shape.maps = NULL;
	shape.ns_pids = NULL;
	for (unsigned int pid = 7001; pid <= 7500; pid++) {
		shape.pid = pid;
		put_process(fx, &shape);
	}
	start = ws_clock_mono_ns();
	scan(fx);
	print_message("4501 processes in %.1f ms\n", (double)(ws_clock_mono_ns() - start) / 1e6);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].child_count, 500);
	for (unsigned int i = 0; i < 500; i++)
		assert_int_equal(fx->list.servers[0].children[i].pid, 7001 + i);
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

	if (chdir(path_of(fx, "data")))
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

	put_dir(fx, "data");
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
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(several_servers_are_found_with_their_children),
		TEST(a_deleted_executable_keeps_its_path_and_children),
		TEST(processes_that_vanish_are_left_out),
		TEST(a_name_with_spaces_and_parentheses_confuses_nothing),
		TEST(a_malformed_stat_is_no_process),
		TEST(the_innermost_pid_decides_in_a_namespace),
		TEST(without_nspid_the_pid_itself_counts),
		TEST(another_ones_postmaster_pid_makes_no_server),
		TEST(a_pid_file_that_is_no_plain_file_is_not_opened),
		TEST(a_server_started_by_a_server_is_not_its_child),
		TEST(odd_paths_are_matched_in_maps),
		TEST(a_path_that_is_too_long_is_cut_at_a_character),
		TEST(the_file_is_also_told_by_device_and_inode),
		TEST(an_executable_with_fixed_addresses_is_not_moved),
		TEST(hostile_program_headers_are_ignored),
		TEST(what_may_not_be_read_is_counted),
		TEST(a_root_that_cannot_be_read_is_an_error),
		TEST(the_boot_id_must_look_like_one),
		TEST(thousands_of_processes_are_no_trouble),
		TEST(a_real_process_is_read_from_the_real_proc),
	};

	return cmocka_run_group_tests_name("target/proc", tests, NULL, NULL);
}
