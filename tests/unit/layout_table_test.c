/* SPDX-License-Identifier: BSD-2-Clause */
/* The field table and the built-in layouts, on the installed server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "layout/layout.h"

#define SERVER "/usr/lib/postgresql/15/bin/postgres"

static struct ws_image *server;

static int open_server(void **state)
{
	ws_autoclose int fd = open(SERVER, O_RDONLY | O_CLOEXEC);
	struct ws_error err = { 0 };

	(void)state;
	if (fd < 0) {
		print_error("%s is not installed\n", SERVER);
		return -1;
	}
	return ws_image_open(&server, fd, SERVER, NULL, &err);
}

static int close_server(void **state)
{
	(void)state;
	ws_image_free(server);
	return 0;
}

static void every_slot_has_exactly_one_field(void **state)
{
	uint8_t seen[sizeof(struct ws_offsets)] = { 0 };
	size_t count;
	const struct ws_layout_field *fields = ws_layout_fields(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		assert_true(fields[i].slot + sizeof(__u32) <= sizeof(seen));
		assert_int_equal(fields[i].slot % sizeof(__u32), 0);
		assert_int_equal(seen[fields[i].slot]++, 0);
		assert_non_null(fields[i].name);
		assert_true(fields[i].type || fields[i].kind == WS_LAYOUT_MACRO);
		assert_true(fields[i].member || fields[i].kind == WS_LAYOUT_SIZE);
	}
	assert_int_equal(count * sizeof(__u32), sizeof(struct ws_offsets));
}

/* Read off builds of PostgreSQL 15 with another tool than the generator's. */
static void the_table_of_15_is_what_was_measured(void **state)
{
	struct ws_layout layout;
	struct ws_error err = { 0 };

	(void)state;
	assert_int_equal(ws_layout_find(server, 15, NULL, &layout, &err), 0);
	assert_int_equal(layout.source, WS_LAYOUT_TABLE);
	assert_int_equal(layout.major, 15);
	assert_int_equal(layout.off.walsnd_state, 4);
	assert_int_equal(layout.off.walsnd_sent, 8);
	assert_int_equal(layout.off.walsnd_write, 24);
	assert_int_equal(layout.off.walsnd_flush, 32);
	assert_int_equal(layout.off.walsnd_apply, 40);
	assert_int_equal(layout.off.walsnd_write_lag, 48);
	assert_int_equal(layout.off.walsnd_flush_lag, 56);
	assert_int_equal(layout.off.walsnd_apply_lag, 64);
	assert_int_equal(layout.off.walsnd_reply_time, 88);
	assert_int_equal(layout.off.port_remote_host, 288);
	assert_int_equal(layout.off.port_remote_port, 312);
	assert_int_equal(layout.off.port_database, 328);
	assert_int_equal(layout.off.port_user, 336);
	assert_int_equal(layout.off.port_application, 360);
	assert_int_equal(layout.off.error_filename, 8);
	assert_int_equal(layout.off.error_lineno, 16);
	assert_int_equal(layout.off.error_funcname, 24);
	assert_int_equal(layout.off.error_sqlerrcode, 48);
	assert_int_equal(layout.off.error_message, 56);
	assert_int_equal(layout.off.slot_name, 24);
	assert_int_equal(layout.off.elevel_commerror, 16);
	assert_int_equal(layout.off.elevel_error, 21);
	assert_int_equal(layout.off.elevel_fatal, 22);
	assert_int_equal(layout.off.elevel_panic, 23);
	assert_int_equal(layout.off.wait_event_standby, WS_UNKNOWN);
}

/* The same for other majors, by builds of them and by Debian's packages; the table has no other
 * source for these than the members each major declares. */
static void the_tables_of_other_majors_are_what_was_measured(void **state)
{
	static const struct {
		int major;
		__u32 database, user, application, reply_time, filename, message, size, error,
			standby, wait, archive, done;
	} measured[] = {
		{ 13, 328, 336, 360, 88, 16, 64, 192, 20, WS_UNKNOWN, 684, 0x08000000, 0x08000004 },
		{ 17, 320, 328, 352, 88, 8, 56, 184, 21, 0x06000006, 712, 0x08000004, 0x0800000b },
		{ 18, 384, 392, 416, 80, 8, 56, 184, 21, 0x06000006, 712, 0x08000004, 0x0800000b },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(measured); i++) {
		struct ws_layout layout;
		struct ws_error err = { 0 };

		assert_int_equal(ws_layout_find(server, measured[i].major, NULL, &layout, &err), 0);
		assert_int_equal(layout.off.walsnd_apply_lag, 64);
		assert_int_equal(layout.off.walsnd_reply_time, measured[i].reply_time);
		assert_int_equal(layout.off.port_remote_host, 288);
		assert_int_equal(layout.off.port_remote_port, 312);
		assert_int_equal(layout.off.port_database, measured[i].database);
		assert_int_equal(layout.off.port_user, measured[i].user);
		assert_int_equal(layout.off.port_application, measured[i].application);
		assert_int_equal(layout.off.error_filename, measured[i].filename);
		assert_int_equal(layout.off.error_message, measured[i].message);
		assert_int_equal(layout.off.error_size, measured[i].size);
		assert_int_equal(layout.off.elevel_error, measured[i].error);
		assert_int_equal(layout.off.slot_name, 24);
		assert_int_equal(layout.off.wait_event_standby, measured[i].standby);
		assert_int_equal(layout.off.proc_wait_event, measured[i].wait);
		assert_int_equal(layout.off.wait_event_archive, measured[i].archive);
		assert_int_equal(layout.off.wait_event_checkpoint_done, measured[i].done);
		assert_int_equal(layout.off.wait_event_checkpoint_start, measured[i].done + 1);
	}
}

/* Places in class IPC of the wait events, counted in the headers of 10 to 15 and in the lists of
 * names of 16 to 18. */
static void each_major_has_its_number_for_waiting_for_a_synchronous_standby(void **state)
{
	static const uint32_t place[] = { 16, 33, 36, 40, 43, 47, 49, 52, 52 };

	(void)state;
	for (int major = 10; major <= 18; major++) {
		struct ws_layout layout;
		struct ws_error err = { 0 };

		assert_int_equal(ws_layout_find(server, major, NULL, &layout, &err), 0);
		assert_int_equal(layout.off.wait_event_sync_rep, 0x08000000 + place[major - 10]);
		/* Behind it come two of the walreceiver. */
		assert_int_equal(layout.off.wait_event_summary,
				 major < 17 ? WS_UNKNOWN : 0x08000003 + place[major - 10]);
	}
}

static void each_supported_major_has_a_row(void **state)
{
	(void)state;
	for (int major = 10; major <= 18; major++) {
		struct ws_layout layout;
		struct ws_error err = { 0 };

		assert_int_equal(ws_layout_find(server, major, NULL, &layout, &err), 0);
		assert_int_equal(layout.off.walsnd_sent, 8);
		/* added to the struct in 12, as was what a standby says about the time */
		assert_int_equal(layout.off.port_application == WS_UNKNOWN, major < 12);
		assert_int_equal(layout.off.walsnd_reply_time == WS_UNKNOWN, major < 12);
		assert_int_equal(layout.off.wait_event_standby == WS_UNKNOWN, major < 17);
		assert_int_equal(layout.off.wait_event_archive == WS_UNKNOWN, major < 13);
	}
}

static void a_stripped_server_falls_back_to_the_table(void **state)
{
	struct ws_layout with = { 0 }, without = { 0 };
	struct ws_debug *debug;
	struct ws_error err = { 0 };

	(void)state;
	assert_true(ws_image_is_stripped(server));
	debug = ws_debug_new(server, &(struct ws_debug_options){ .debug_dir = "/nonexistent" });
	assert_int_equal(ws_layout_find(server, 15, debug, &with, &err), 0);
	assert_int_equal(ws_layout_find(server, 15, NULL, &without, &err), 0);
	ws_debug_free(debug);
	assert_int_equal(with.source, WS_LAYOUT_TABLE);
	assert_memory_equal(&with.off, &without.off, sizeof(with.off));
}

static void a_major_without_a_row_fails_and_says_what_there_is(void **state)
{
	struct ws_layout layout;
	struct ws_error err = { 0 };

	(void)state;
	assert_int_equal(ws_layout_find(server, 9, NULL, &layout, &err), -1);
	assert_non_null(strstr(err.why, "PostgreSQL 9 on x86_64"));
	assert_non_null(strstr(err.why, "(10 to 18)"));
	assert_true(err.fix[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slot_has_exactly_one_field),
		cmocka_unit_test(the_table_of_15_is_what_was_measured),
		cmocka_unit_test(the_tables_of_other_majors_are_what_was_measured),
		cmocka_unit_test(each_major_has_its_number_for_waiting_for_a_synchronous_standby),
		cmocka_unit_test(each_supported_major_has_a_row),
		cmocka_unit_test(a_stripped_server_falls_back_to_the_table),
		cmocka_unit_test(a_major_without_a_row_fails_and_says_what_there_is),
	};

	return cmocka_run_group_tests_name("layout/table", tests, open_server, close_server);
}
