/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers found in folders that look like /proc. */
#include "../lib/proc_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

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

	fixture_put_datadir(fx, "one", "900\n/srv/one\n1700000000\n5432\n");
	fixture_put_datadir(fx, "two", "77\n/srv/two\n1700000000\n5433\n");
	for (size_t i = 0; i < WS_ARRAY_SIZE(shapes); i++)
		fixture_put_process(fx, &shapes[i]);
	fixture_scan(fx);
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

static const struct shape family[] = {
	{ 900, 1, NULL, "900", "/pg/postgres", "data", MAPS("/pg/postgres") },
	{ 901, 900, NULL, "901", "/pg/postgres", "data", NULL },
	{ 902, 900, NULL, "902", "/pg/postgres", "data", NULL },
};

/* A server with two children, found once. */
static void put_family(struct fixture *fx)
{
	fixture_put_datadir(fx, "data", "900\n/srv/data\n1700000000\n5432\n");
	for (size_t i = 0; i < WS_ARRAY_SIZE(family); i++)
		fixture_put_process(fx, &family[i]);
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].child_count, 2);
}

static void scan_again(struct fixture *fx)
{
	struct ws_server_list again;

	assert_int_equal(ws_proc_servers_again(&fx->proc, &fx->list, &again, NULL, &fx->err), 0);
	ws_server_list_deinit(&fx->list);
	fx->list = again;
}

/* What is not there cannot have been read. */
static void a_child_that_is_still_there_is_not_read_again(void **state)
{
	struct fixture *fx = *state;

	put_family(fx);
	assert_int_equal(unlink(fixture_path(fx, "proc/901/stat")), 0);
	assert_int_equal(unlink(fixture_path(fx, "proc/901/exe")), 0);
	for (int i = 0; i < 2; i++) {
		scan_again(fx);
		assert_int_equal(fx->list.count, 1);
		assert_int_equal(fx->list.servers[0].child_count, 2);
		assert_int_equal(fx->list.servers[0].children[0].pid, 901);
		assert_int_equal(fx->list.servers[0].children[0].ns_pid, 901);
		assert_int_equal(fx->list.servers[0].children[0].start_ticks, 1901);
	}
}

static void children_come_and_go_between_two_looks(void **state)
{
	struct fixture *fx = *state;
	const struct shape third = { 950, 900, NULL, "950", "/pg/postgres", "data", NULL };

	put_family(fx);
	assert_int_equal(rename(fixture_path(fx, "proc/901"), fixture_path(fx, "901")), 0);
	fixture_put_process(fx, &third);
	scan_again(fx);
	assert_int_equal(fx->list.servers[0].child_count, 2);
	assert_int_equal(fx->list.servers[0].children[0].pid, 902);
	assert_int_equal(fx->list.servers[0].children[1].pid, 950);
}

static void a_pid_that_another_process_has_now_is_read_anew(void **state)
{
	struct fixture *fx = *state;
	const struct shape other = { 901, 1, "bash", "901", "/bin/bash", "data", NULL };

	put_family(fx);
	assert_int_equal(rename(fixture_path(fx, "proc/901"), fixture_path(fx, "901")), 0);
	fixture_put_process(fx, &other);
	scan_again(fx);
	assert_int_equal(fx->list.servers[0].child_count, 1);
	assert_int_equal(fx->list.servers[0].children[0].pid, 902);
}

/* They were left behind, as by a server that was killed, and belong to init now. */
static void children_of_a_server_that_is_gone_are_not_another_ones(void **state)
{
	struct fixture *fx = *state;
	const struct shape orphan = { 902, 1, NULL, "902", NULL, NULL, NULL };

	put_family(fx);
	fixture_put_text(fx, "proc/900/stat",
			 "900 (postgres) S 1 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 77777 22 "
			 "33 184467 1 1 0\n");
	fixture_put_process(fx, &orphan);
	scan_again(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].child_count, 1);
	assert_int_equal(fx->list.servers[0].children[0].pid, 901);
}

/* Two containers may give one name to two directories. */
static void the_data_directory_is_told_by_the_directory_not_by_its_name(void **state)
{
	struct fixture *fx = *state;
	const char *pg = "/usr/lib/postgresql/15/bin/postgres";
	const struct shape shapes[] = {
		{ 10, 1, NULL, "10\t1", pg, "one", MAPS("/usr/lib/postgresql/15/bin/postgres") },
		{ 20, 1, NULL, "20\t1", pg, "two", MAPS("/usr/lib/postgresql/15/bin/postgres") },
	};
	struct stat st;

	fixture_put_datadir(fx, "one", "1\n/srv/data\n1700000000\n5432\n");
	fixture_put_datadir(fx, "two", "1\n/srv/data\n1700000000\n5432\n");
	for (size_t i = 0; i < WS_ARRAY_SIZE(shapes); i++)
		fixture_put_process(fx, &shapes[i]);
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 2);
	assert_string_equal(fx->list.servers[0].datadir, fx->list.servers[1].datadir);
	assert_int_equal(stat(fixture_path(fx, "one"), &st), 0);
	assert_int_equal(fx->list.servers[0].data_ino, st.st_ino);
	assert_int_equal(fx->list.servers[0].data_dev, st.st_dev);
	assert_int_equal(stat(fixture_path(fx, "two"), &st), 0);
	assert_int_equal(fx->list.servers[1].data_ino, st.st_ino);
}

/* What the links of the namespaces say, walscope's own first; NULL: nothing. */
static bool has_own_mounts(struct fixture *fx, const char *own, const char *server)
{
	const char *pg = "/usr/lib/postgresql/15/bin/postgres";
	const struct shape shape = {
		10, 1, NULL, "10", pg, "data", MAPS("/usr/lib/postgresql/15/bin/postgres")
	};

	fixture_put_datadir(fx, "data", "10\n/srv/data\n1700000000\n5432\n");
	fixture_put_process(fx, &shape);
	fixture_put_dir(fx, "proc/self");
	fixture_put_dir(fx, "proc/self/ns");
	fixture_put_dir(fx, "proc/10/ns");
	if (own)
		fixture_put_link(fx, "proc/self/ns/mnt", own);
	if (server)
		fixture_put_link(fx, "proc/10/ns/mnt", server);
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 1);
	return fx->list.servers[0].own_mounts;
}

static void another_mount_namespace_is_noted(void **state)
{
	assert_true(has_own_mounts(*state, "/mnt:[4026531841]", "/mnt:[4026532200]"));
}

static void walscopes_own_mount_namespace_is_not(void **state)
{
	assert_false(has_own_mounts(*state, "/mnt:[4026531841]", "/mnt:[4026531841]"));
}

static void a_mount_namespace_that_cannot_be_read_is_taken_for_the_own(void **state)
{
	assert_false(has_own_mounts(*state, "/mnt:[4026531841]", NULL));
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

	fixture_put_datadir(fx, "data", "10\n/data\n");
	for (size_t i = 0; i < WS_ARRAY_SIZE(shapes); i++)
		fixture_put_process(fx, &shapes[i]);
	fixture_scan(fx);
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

	fixture_put_datadir(fx, "data", "20\n/data\n");
	fixture_put_datadir(fx, "gone", "30\n/gone\n");
	fixture_put_datadir(fx, "maps", "40\n/maps\n");
	fixture_put_datadir(fx, "cut", "50\n/cut\n");
	fixture_put_process(
		fx, &(struct shape){ 20, 1, NULL, "20", pg, "data", MAPS("/opt/pg/postgres") });
	fixture_put_dir(fx, "proc/21");
	fixture_put_dir(fx,
			"proc/22"); /* a child of which only the executable could still be read */
	fixture_put_link(fx, "proc/22/exe", pg);
	fixture_put_dir(fx, "proc/30"); /* a postmaster without stat and status */
	fixture_put_link(fx, "proc/30/exe", pg);
	fixture_put_link(fx, "proc/30/cwd", fixture_path(fx, "gone"));
	fixture_put_process(fx, &(struct shape){ 40, 1, NULL, "40", pg, "maps", NULL });
	fixture_put_process(
		fx, &(struct shape){ 50, 1, NULL, "50", pg, "cut", MAPS("/opt/pg/postgres") });
	fixture_put_text(fx, "proc/50/stat", "50 (postgres) S 1 7");
	fixture_put_process(fx, &(struct shape){ 51, 20, NULL, "51", pg, "data", NULL });
	fixture_put_text(fx, "proc/51/stat", "");
	fixture_put_process(fx, &(struct shape){ 60, 1, NULL, "60", pg, "/nowhere/at/all", NULL });
	fixture_scan(fx);
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
		fixture_put_process(
			fx, &(struct shape){ 100 + i, 55, names[i], "3", NULL, NULL, NULL });
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

	fixture_put_process(fx, &(struct shape){ 7, 1, NULL, "7", NULL, NULL, NULL });
	assert_true(ws_proc_read(&fx->proc, 7, &process));
	for (size_t i = 0; i < WS_ARRAY_SIZE(lines); i++) {
		fixture_put_text(fx, "proc/7/stat", lines[i]);
		assert_false(ws_proc_read(&fx->proc, 7, &process));
	}
}

static void the_innermost_pid_decides_in_a_namespace(void **state)
{
	struct fixture *fx = *state;
	const char *pg = "/usr/local/bin/postgres";

	/* the container's data directory, seen from the host; inside it has another path */
	fixture_put_dir(fx, "merged");
	fixture_put_datadir(fx, "merged/data", "1\n/var/lib/postgresql/data\n");
	fixture_put_process(fx, &(struct shape){ 5001, 4999, NULL, "5001\t17\t1", pg, "merged/data",
						 MAPS("/usr/local/bin/postgres") });
	fixture_put_process(
		fx, &(struct shape){ 5002, 5001, NULL, "5002\t18\t27", pg, "merged/data", NULL });
	fixture_scan(fx);
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

	fixture_put_datadir(fx, "data", "31\n/data\n");
	fixture_put_process(fx, &(struct shape){ 31, 1, NULL, NULL, "/pg/postgres", "data",
						 MAPS("/pg/postgres") });
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].process.ns_pid, 31);
}

static void another_ones_postmaster_pid_makes_no_server(void **state)
{
	struct fixture *fx = *state;
	const char *pg = "/pg/postgres";

	fixture_put_datadir(fx, "data", "500\n/data\n");     /* of a server that is gone */
	fixture_put_datadir(fx, "single", "-41\n/single\n"); /* a standalone backend */
	fixture_put_datadir(fx, "odd", "garbage\n/odd\n");
	fixture_put_datadir(fx, "empty", "");
	fixture_put_datadir(fx, "huge", "99999999999999999999\n/huge\n");
	fixture_put_process(fx,
			    &(struct shape){ 40, 1, NULL, "40", pg, "data", MAPS("/pg/postgres") });
	fixture_put_process(
		fx, &(struct shape){ 41, 1, NULL, "41", pg, "single", MAPS("/pg/postgres") });
	fixture_put_process(fx,
			    &(struct shape){ 42, 1, NULL, "42", pg, "odd", MAPS("/pg/postgres") });
	fixture_put_process(
		fx, &(struct shape){ 43, 1, NULL, "43", pg, "empty", MAPS("/pg/postgres") });
	fixture_put_process(fx,
			    &(struct shape){ 44, 1, NULL, "44", pg, "huge", MAPS("/pg/postgres") });
	/* in a namespace: the outer pid is named, the inner one is another */
	fixture_put_process(
		fx, &(struct shape){ 500, 1, NULL, "500\t3", pg, "data", MAPS("/pg/postgres") });
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 0);
	assert_null(fx->list.servers);
}

static void a_pid_file_that_is_no_plain_file_is_not_opened(void **state)
{
	struct fixture *fx = *state;

	fixture_put_dir(fx, "fifo");
	assert_int_equal(mkfifo(fixture_path(fx, "fifo/postmaster.pid"), 0644), 0);
	fixture_put_datadir(fx, "real", "61\n/real\n");
	fixture_put_dir(fx, "link");
	fixture_put_link(fx, "link/postmaster.pid", fixture_path(fx, "real/postmaster.pid"));
	fixture_put_process(fx, &(struct shape){ 60, 1, NULL, "60", "/pg/postgres", "fifo",
						 MAPS("/pg/postgres") });
	fixture_put_process(fx, &(struct shape){ 61, 1, NULL, "61", "/pg/postgres", "link",
						 MAPS("/pg/postgres") });
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 0);
}

static void a_server_started_by_a_server_is_not_its_child(void **state)
{
	struct fixture *fx = *state;
	const char *pg = "/pg/postgres";

	fixture_put_datadir(fx, "a", "70\n/a\n");
	fixture_put_datadir(fx, "b", "71\n/b\n");
	fixture_put_process(fx,
			    &(struct shape){ 70, 1, NULL, "70", pg, "a", MAPS("/pg/postgres") });
	fixture_put_process(fx,
			    &(struct shape){ 71, 70, NULL, "71", pg, "b", MAPS("/pg/postgres") });
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 2);
	assert_int_equal(fx->list.servers[0].child_count, 0);
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
	fixture_put_datadir(fx, "data", text);
	fixture_put_process(fx, &(struct shape){ 81, 1, NULL, "81", exe, "data", "" });
	fixture_scan(fx);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(strlen(fx->list.servers[0].exe), 510);
	assert_int_equal(strlen(fx->list.servers[0].datadir), 510);
	/* none of the (empty) mappings is its own: not known */
	assert_int_equal(fx->list.servers[0].base, 0);
}

static void what_may_not_be_read_is_counted(void **state)
{
	struct fixture *fx = *state;
	bool root = geteuid() == 0;

	fixture_put_datadir(fx, "data", "95\n/data\n");
	fixture_put_process(fx, &(struct shape){ 95, 1, NULL, "95", "/pg/postgres", "data",
						 MAPS("/pg/postgres") });
	fixture_put_process(fx,
			    &(struct shape){ 96, 95, NULL, "96", "/pg/postgres", "data", NULL });
	fixture_put_datadir(fx, "mine", "97\n/mine\n");
	fixture_put_process(fx, &(struct shape){ 97, 1, NULL, "97", "/pg/postgres", "mine",
						 MAPS("/pg/postgres") });
	assert_int_equal(chmod(fixture_path(fx, "proc/95"), 0), 0);
	assert_int_equal(chmod(fixture_path(fx, "proc/97/maps"), 0), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	fixture_scan(fx);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(fx->list.count, 0);
	assert_int_equal(fx->denied, 2);
	chmod(fixture_path(fx, "proc/95"), 0755);
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

	fixture_put_dir(fx, "proc/sys");
	fixture_put_dir(fx, "proc/sys/kernel");
	fixture_put_dir(fx, "proc/sys/kernel/random");
	fixture_put_text(fx, "proc/sys/kernel/random/boot_id",
			 "0a1b2c3d-0000-4000-8000-0123456789ab\n");
	assert_int_equal(ws_proc_boot_id(&fx->proc, boot_id, &fx->err), 0);
	assert_string_equal(boot_id, "0a1b2c3d-0000-4000-8000-0123456789ab");
	fixture_put_text(fx, "proc/sys/kernel/random/boot_id", "0a1b2c3d\n");
	assert_int_equal(ws_proc_boot_id(&fx->proc, boot_id, &fx->err), -1);
	fixture_put_text(fx, "proc/sys/kernel/random/boot_id",
			 "0a1b2c3d/0000-4000-8000-0123456789ab/etc\n");
	assert_int_equal(ws_proc_boot_id(&fx->proc, boot_id, &fx->err), -1);
}

static void thousands_of_processes_are_no_trouble(void **state)
{
	struct fixture *fx = *state;
	struct shape shape = { 0, 1, NULL, NULL, "/usr/bin/something", "/nowhere", NULL };
	uint64_t start;

	fixture_put_datadir(fx, "data", "7000\n/data\n");
	for (unsigned int pid = 1000; pid < 5000; pid++) {
		shape.pid = pid;
		fixture_put_process(fx, &shape);
	}
	shape = (struct shape){
		7000, 1, NULL, "7000", "/pg/postgres", "data", MAPS("/pg/postgres")
	};
	fixture_put_process(fx, &shape);
	shape.parent = 7000;
	shape.maps = NULL;
	shape.ns_pids = NULL;
	for (unsigned int pid = 7001; pid <= 7500; pid++) {
		shape.pid = pid;
		fixture_put_process(fx, &shape);
	}
	start = ws_clock_mono_ns();
	fixture_scan(fx);
	print_message("4501 processes in %.1f ms\n", (double)(ws_clock_mono_ns() - start) / 1e6);
	assert_int_equal(fx->list.count, 1);
	assert_int_equal(fx->list.servers[0].child_count, 500);
	for (unsigned int i = 0; i < 500; i++)
		assert_int_equal(fx->list.servers[0].children[i].pid, 7001 + i);
}

static void a_title_tells_who_takes_slots(void **state)
{
	static const char *const takers[] = {
		"postgres: checkpointer ",
		"postgres: checkpointer",
		"postgres: checkpointer performing shutdown checkpoint",
		"postgres: main: checkpointer ",
		"postgres: a: b: checkpointer ",
		"postgres: checkpointer process   ",
		"postgres: startup recovering 000000010000000000000003",
		"postgres: standby: startup waiting for 00000001000000000000000A",
		"postgres: startup process   recovering 000000010000000000000003",
	};
	static const char *const others[] = {
		"postgres: walwriter ",
		"postgres: checkpointer postgres 127.0.0.1(45678) idle",
		"postgres: checkpointer performing [local] idle",
		"postgres: main: startup recovering ::1(4) idle in transaction",
		"postgres: checkpointers ",
		"postgres: walsender checkpointer 10.0.0.1(4) streaming 0/3000000",
		"postgres",
		"checkpointer",
		"",
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(takers); i++)
		if (!ws_title_takes_slots(takers[i]))
			fail_msg("not known: %s", takers[i]);
	for (size_t i = 0; i < WS_ARRAY_SIZE(others); i++)
		if (ws_title_takes_slots(others[i]))
			fail_msg("taken for one: %s", others[i]);
}

static void a_title_tells_a_walreceiver(void **state)
{
	(void)state;
	assert_true(ws_title_is_walreceiver("postgres: walreceiver streaming 0/3000060"));
	assert_true(ws_title_is_walreceiver("postgres: 15/main: walreceiver "));
	assert_true(
		ws_title_is_walreceiver("postgres: wal receiver process   streaming 0/3000060"));
	assert_false(ws_title_is_walreceiver("postgres: walreceiver postgres [local] idle"));
	assert_false(ws_title_is_walreceiver("postgres: walreceivers "));
	assert_false(ws_title_is_walreceiver("walreceiver"));
}

static void a_title_is_read_up_to_its_end(void **state)
{
	static const char cmdline[] = "postgres: checkpointer \0\0\0-D\0/srv";
	struct fixture *fx = *state;
	const struct ws_proc proc = { .root = fx->root };
	char title[64];

	fixture_put_process(fx, &(struct shape){ 10, 1, NULL, "10", "/bin/postgres", NULL, NULL });
	fixture_put(fx, "proc/10/cmdline", cmdline, sizeof(cmdline));
	assert_true(ws_proc_title(&proc, 10, title, sizeof(title)));
	assert_string_equal(title, "postgres: checkpointer ");
	assert_true(ws_proc_title(&proc, 10, title, 9));
	assert_string_equal(title, "postgres");
	assert_false(ws_proc_title(&proc, 11, title, sizeof(title)));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(several_servers_are_found_with_their_children),
		TEST(a_child_that_is_still_there_is_not_read_again),
		TEST(children_come_and_go_between_two_looks),
		TEST(a_pid_that_another_process_has_now_is_read_anew),
		TEST(children_of_a_server_that_is_gone_are_not_another_ones),
		TEST(the_data_directory_is_told_by_the_directory_not_by_its_name),
		TEST(another_mount_namespace_is_noted),
		TEST(walscopes_own_mount_namespace_is_not),
		TEST(a_mount_namespace_that_cannot_be_read_is_taken_for_the_own),
		TEST(a_deleted_executable_keeps_its_path_and_children),
		TEST(processes_that_vanish_are_left_out),
		TEST(a_name_with_spaces_and_parentheses_confuses_nothing),
		TEST(a_malformed_stat_is_no_process),
		TEST(the_innermost_pid_decides_in_a_namespace),
		TEST(without_nspid_the_pid_itself_counts),
		TEST(another_ones_postmaster_pid_makes_no_server),
		TEST(a_pid_file_that_is_no_plain_file_is_not_opened),
		TEST(a_server_started_by_a_server_is_not_its_child),
		TEST(a_path_that_is_too_long_is_cut_at_a_character),
		TEST(what_may_not_be_read_is_counted),
		TEST(a_root_that_cannot_be_read_is_an_error),
		TEST(the_boot_id_must_look_like_one),
		TEST(a_title_tells_who_takes_slots),
		TEST(a_title_tells_a_walreceiver),
		TEST(a_title_is_read_up_to_its_end),
		TEST(thousands_of_processes_are_no_trouble),
	};

	return cmocka_run_group_tests_name("target/proc", tests, NULL, NULL);
}
