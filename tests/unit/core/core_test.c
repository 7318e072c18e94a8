/* SPDX-License-Identifier: BSD-2-Clause */
/* What a dump tells, and what no dump may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <lz4frame.h>
#include <lzma.h>
#include <sys/mman.h>
#include <zstd.h>

#include "../../lib/core_fixture.h"
#include "base/util.h"
#include "core/parts.h"
#include "shmem/names.h"

struct test {
	struct fixture fixture;
	struct ws_core *core;
	struct ws_error err;
	char path[64];
	const char *postgres;
	int fd;
};

static int setup(void **state)
{
	static struct test test;
	struct ws_layout layout;
	struct ws_image *image;
	struct ws_error err;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	memset(&test, 0, sizeof(test));
	test.fd = memfd_create("core", MFD_CLOEXEC);
	snprintf(test.path, sizeof(test.path), "/proc/self/fd/%d", test.fd);
	if (ws_image_open(&image, fd, "self", NULL, &err))
		return -1;
	ws_layout_find(image, 15, NULL, &layout, &err);
	ws_image_free(image);
	close(fd);
	test.fixture.off = layout.off;
	fixture_play(&test.fixture);
	*state = &test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	ws_core_free(test->core);
	ws_buf_deinit(&test->fixture.core);
	close(test->fd);
	return 0;
}

static void put(struct test *test, const void *data, size_t size)
{
	assert_int_equal(ftruncate(test->fd, 0), 0);
	assert_int_equal(pwrite(test->fd, data, size, 0), (ssize_t)size);
}

static int read_core(struct test *test)
{
	const struct ws_core_options options = { .file = test->path, .postgres = test->postgres };

	ws_core_free(test->core);
	test->core = NULL;
	memset(&test->err, 0, sizeof(test->err));
	return ws_core_open(&test->core, &options, &test->err);
}

static void dump(struct test *test)
{
	fixture_dump(&test->fixture);
	put(test, test->fixture.core.data, test->fixture.core.len);
}

static void told(struct test *test)
{
	dump(test);
	if (read_core(test))
		print_error("%s: %s\n", test->err.what, test->err.why);
	assert_non_null(test->core);
}

static const struct ws_core_fact *fact(const struct test *test, const char *name)
{
	for (size_t i = 0; i < test->core->fact_count; i++)
		if (strcmp(test->core->facts[i].name, name) == 0)
			return &test->core->facts[i];
	print_error("no fact %s\n", name);
	fail();
	return NULL;
}

static const struct ws_rec *record(const struct test *test, enum ws_kind kind)
{
	for (size_t i = 0; i < test->core->record_count; i++)
		if (test->core->records[i]->kind == kind)
			return test->core->records[i];
	return NULL;
}

static void a_walsender_is_told_of_its_dump(void **state)
{
	struct test *test = *state;
	const struct ws_rec_session *session;
	const struct ws_rec_turn *turn;
	const struct ws_rec_text *text;

	told(test);
	assert_int_equal(test->core->process, WS_CORE_WALSENDER);
	assert_false(test->core->torn);
	session = (const struct ws_rec_session *)record(test, WS_KIND_SESSION);
	assert_string_equal(session->user, "repl");
	assert_string_equal(session->database, "shop");
	assert_string_equal(session->application, "sub1");
	assert_string_equal(session->host, "192.0.2.7");
	assert_int_equal(session->port, 54321);
	assert_string_equal(session->slot, "s1");
	assert_int_equal(session->h.pid, getpid());
	assert_int_equal(session->found, WS_FOUND_STREAM_SOCKET);
	assert_int_equal(session->fork_ns, (849243837336802 + WS_CORE_EPOCH_US) * 1000);
	text = (const struct ws_rec_text *)record(test, WS_KIND_TEXT);
	assert_int_equal(text->len, strlen(debug_query_string));
	assert_memory_equal(text->data, debug_query_string, text->len);
	turn = (const struct ws_rec_turn *)record(test, WS_KIND_TURN);
	assert_int_equal(turn->lsn_to, 0x300014a8);
	assert_int_equal(turn->write_lsn, 0x30001400);
	assert_int_equal(turn->apply_lsn, 0x30001200);
	assert_int_equal(turn->wait, WS_WAIT_SOCKET);
	assert_null(record(test, WS_KIND_EXIT));
	assert_string_equal(fact(test, "walsender_state")->text, "streaming");
	assert_int_equal(fact(test, "pending_bytes")->value, 300);
	assert_int_equal(fact(test, "decoding_lsn")->value, 0x300014a8);
	assert_string_equal(fact(test, "datadir")->text, "/srv/data");
	assert_string_equal(fact(test, "wait_event_type")->text, "Client");
	assert_int_equal(fact(test, "error_depth")->value, 0);
}

static void the_backtrace_has_names(void **state)
{
	static const char *const expected[] = { "fixture_dump", "dump", "told",
						"the_backtrace_has_names" };
	struct test *test = *state;
	size_t found = 0;

	told(test);
	assert_true(test->core->has_backtrace);
	for (size_t i = 0; i < test->core->place_count && found < WS_ARRAY_SIZE(expected); i++)
		if (test->core->places[i].function &&
		    strcmp(test->core->places[i].function, expected[found]) == 0)
			found++;
	/* The compiler may have made one of some, but not of the outermost. */
	assert_true(found >= 1);
	assert_string_equal(test->core->places[0].function, "fixture_dump");
}

static void an_error_being_reported_is_told(void **state)
{
	struct test *test = *state;

	fixture_add_error(&test->fixture);
	told(test);
	assert_int_equal(fact(test, "error_depth")->value, 1);
	assert_non_null(strstr(fact(test, "error")->text, "FATAL:  "));
	assert_non_null(strstr(fact(test, "error")->text,
			       ": it is broken, LOCATION: breaker, walsender.c:4711"));
}

static void a_backend_knows_the_walsenders(void **state)
{
	struct test *test = *state;
	const struct ws_core_walsender *walsender;

	am_walsender = 0;
	MyWalSnd = NULL;
	told(test);
	assert_int_equal(test->core->process, WS_CORE_BACKEND);
	assert_true(test->core->has_walsenders);
	assert_int_equal(test->core->walsender_count, 1);
	walsender = &test->core->walsenders[0];
	assert_int_equal(walsender->ns_pid, getpid());
	assert_int_equal(walsender->state, WS_WALSND_STREAMING);
	assert_int_equal(walsender->flush_lsn, 0x30001300);
	assert_string_equal(walsender->application, "sub1");
	assert_string_equal(walsender->command, "START_REPLICATION SLOT \"s1\" LOGICAL 0/0");
	assert_string_equal(walsender->slot, "s1");
	assert_true(walsender->logical);
	assert_false(walsender->physical);
	assert_string_equal(walsender->host, "192.0.2.7");
	assert_int_equal(walsender->port, 54321);
	assert_true(walsender->has_oids);
	assert_int_equal(walsender->user_oid, 10);
	assert_int_equal(walsender->database_oid, 16384);
	assert_string_equal(walsender->user, "postgres");
	assert_string_equal(walsender->database, "shop");
	/* That which its own dump would be told as. */
	assert_int_equal(walsender->pid, getpid());
	assert_int_equal(walsender->start_ns, record(test, WS_KIND_SESSION)->start_ns);
	PostmasterPid = MyProcPid;
	told(test);
	assert_int_equal(test->core->process, WS_CORE_POSTMASTER);
}

/* Logical decoding has a slot; without one it is physical, if it streams. */
static void a_walsender_without_a_slot_is_physical(void **state)
{
	struct test *test = *state;
	const struct ws_offsets *off = &test->fixture.off;
	uint8_t *snd = fixture_shared.control + off->walsndctl_walsnds + off->walsnd_size;

	am_walsender = 0;
	fixture_put(fixture_shared.slot + off->slots_first, off->slot_in_use, "", 1);
	told(test);
	assert_false(test->core->walsenders[0].logical);
	assert_true(test->core->walsenders[0].physical);
	fixture_put32(snd, off->walsnd_state, WS_WALSND_STARTUP);
	told(test);
	assert_false(test->core->walsenders[0].physical);
	/* Whether it has one is not known. */
	fixture_put32(snd, off->walsnd_state, WS_WALSND_STREAMING);
	ReplicationSlotCtl = NULL;
	told(test);
	assert_false(test->core->walsenders[0].physical);
}

static const char *told_user(struct test *test)
{
	am_walsender = 0;
	MyWalSnd = NULL;
	told(test);
	assert_int_equal(test->core->walsender_count, 1);
	return test->core->walsenders[0].user;
}

static void a_name_is_that_of_the_row_that_counts(void **state)
{
	struct test *test = *state;

	memset(fixture_shared.pages[3], 0, sizeof(fixture_shared.pages[3]));
	fixture_row(3, 700, 0x0100, 10, "before");
	fixture_row(3, 0, 0x0900, 11, "another");
	fixture_row(3, 0, 0x0800, 10, "now");
	fixture_row(3, 0, 0x0a00, 10, "undone"); /* HEAP_XMIN_INVALID */
	fixture_row(9, 0, 0x0900, 10, "database");
	assert_string_equal(told_user(test), "now");
	/* One of two is not committed, and which of them no row says. */
	fixture_row(3, 0, 0x0800, 10, "later");
	assert_string_equal(told_user(test), "");
	assert_string_equal(test->core->walsenders[0].database, "shop");
}

static void a_row_that_cannot_be_is_none(void **state)
{
	static const struct {
		int at, size;
		uint32_t value;
	} wrong[] = {
		{ 24, 4, 1000 | 1U << 15 | 92U << 17 }, /* behind the page's end */
		{ 24, 4, (FIXTURE_PAGE - 96) | 1U << 15 | 91U << 17 },
		{ 24, 4, (FIXTURE_PAGE - 96) | 3U << 15 | 92U << 17 }, /* LP_DEAD */
		{ 12, 2, 27 },
		{ FIXTURE_PAGE - 96 + 22, 1, 255 },
		{ FIXTURE_PAGE - 96 + 22, 1, 0 },
		{ FIXTURE_PAGE - 96 + 28, 4, 0 }, /* no name */
	};
	struct test *test = *state;
	uint8_t page[FIXTURE_PAGE];

	memcpy(page, fixture_shared.pages[3], sizeof(page));
	for (size_t i = 0; i < WS_ARRAY_SIZE(wrong); i++) {
		memcpy(fixture_shared.pages[3] + wrong[i].at, &wrong[i].value,
		       (size_t)wrong[i].size);
		assert_string_equal(told_user(test), "");
		memcpy(fixture_shared.pages[3], page, sizeof(page));
	}
	/* Its name does not end. */
	memset(fixture_shared.pages[3] + FIXTURE_PAGE - 96 + 28, 'x', 64);
	assert_string_equal(told_user(test), "");
	memcpy(fixture_shared.pages[3], page, sizeof(page));
	assert_string_equal(told_user(test), "postgres");
	/* The list of buffers is something else. */
	fixture_put32(fixture_shared.descriptors[0], 20, 1);
	assert_string_equal(told_user(test), "");
}

static void up_to_11_a_row_has_its_number_in_its_head(void **state)
{
	struct test *test = *state;
	const struct ws_core_impl *impl;
	struct ws_shmem shmem;
	struct ws_catalog_name names[] = { { .oid = 10 }, { .oid = 16384, .database = true } };

	memset(fixture_shared.pages[3], 0, sizeof(fixture_shared.pages[3]));
	fixture_row(3, 0, 0x0908, 10, "postgres"); /* HEAP_HASOID */
	fixture_shared.pages[3][FIXTURE_PAGE - 96 + 22] = 28;
	told(test);
	impl = test->core->impl;
	shmem = impl->shmem;
	shmem.major = 11;
	ws_catalog_names_read(&shmem, names, WS_ARRAY_SIZE(names));
	assert_string_equal(names[0].name, "postgres");
	assert_string_equal(names[1].name, ""); /* that row has none */
}

/* gcore of a process in a container: its dump's pid is the host's, those in its memory are not. */
static void sessions_of_another_pid_namespace_are_not_known(void **state)
{
	struct test *test = *state;

	am_walsender = 0;
	MyProcPid = getpid() + 1;
	told(test);
	assert_int_equal(test->core->walsender_count, 1);
	assert_int_equal(test->core->walsenders[0].pid, 0);
	assert_string_equal(test->core->walsenders[0].host, "192.0.2.7");
}

static size_t pack_zstd(const void *data, size_t size, uint8_t *out, size_t room)
{
	return ZSTD_compress(out, room, data, size, 1);
}

static size_t pack_lz4(const void *data, size_t size, uint8_t *out, size_t room)
{
	return LZ4F_compressFrame(out, room, data, size, NULL);
}

static size_t pack_xz(const void *data, size_t size, uint8_t *out, size_t room)
{
	size_t at = 0;

	return lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, data, size, out, &at, room) ==
			       LZMA_OK
		       ? at
		       : 0;
}

static void a_dump_without_what_is_shared_tells_the_rest(void **state)
{
	struct test *test = *state;
	const struct ws_rec_session *session;

	MyWalSnd = MyReplicationSlot = WalSndCtl = ReplicationSlotCtl = (void *)0x7000000000;
	my_wait_event_info = (void *)0x7000000100;
	told(test);
	assert_false(test->core->torn);
	assert_int_equal(fact(test, "shared_memory")->value, 0);
	session = (const struct ws_rec_session *)record(test, WS_KIND_SESSION);
	assert_string_equal(session->application, "sub1");
	assert_int_equal(session->found, WS_FOUND_COMMAND);
	assert_string_equal(session->slot, "");
	assert_non_null(record(test, WS_KIND_TEXT));
	assert_null(record(test, WS_KIND_TURN));
	am_walsender = 0;
	told(test);
	assert_false(test->core->has_walsenders);
}

static void a_dump_without_the_programs_head_is_told_with_its_file(void **state)
{
	struct test *test = *state;
	uint64_t base = 0;

	dl_iterate_phdr(fixture_base, &base);
	test->fixture.bare = true;
	test->postgres = "/proc/self/exe";
	told(test);
	assert_string_equal(fact(test, "datadir")->text, "/srv/data");
	assert_int_equal(((const struct ws_rec_session *)record(test, WS_KIND_SESSION))->base,
			 base);
	test->postgres = NULL;
	assert_int_equal(read_core(test), -1);
	assert_non_null(strstr(test->err.why, "not named in it"));
}

static void a_compressed_dump_is_the_same(void **state)
{
	size_t (*const pack[])(const void *, size_t, uint8_t *, size_t) = { pack_zstd, pack_lz4,
									    pack_xz };
	static uint8_t packed[1 << 20];
	struct test *test = *state;

	dump(test);
	for (size_t i = 0; i < WS_ARRAY_SIZE(pack); i++) {
		size_t size = pack[i](test->fixture.core.data, test->fixture.core.len, packed,
				      sizeof(packed));

		assert_true(size && size < sizeof(packed));
		put(test, packed, size);
		assert_int_equal(read_core(test), 0);
		assert_false(test->core->torn);
		assert_int_equal(fact(test, "pending_bytes")->value, 300);
		put(test, packed, size - 10);
		assert_true(read_core(test) || test->core->torn);
	}
}

static void another_servers_dump_is_refused(void **state)
{
	struct test *test = *state;
	char build_id[2 * WS_BUILD_ID_MAX + 1];
	struct ws_core_dump d;
	char *at = NULL;
	uint8_t first;

	dump(test);
	assert_int_equal(ws_core_dump_open(&d, test->path, NULL, &test->err), 0);
	snprintf(build_id, sizeof(build_id), "%s", d.build_id);
	ws_core_dump_close(&d);
	assert_true(strlen(build_id) > 8);
	first = (uint8_t)strtoul((char[]){ build_id[0], build_id[1], '\0' }, NULL, 16);
	at = memmem(test->fixture.core.data, test->fixture.core.len, "GNU", 4);
	assert_non_null(at);
	while (at && (uint8_t)at[4] != first)
		at = memmem(at + 4,
			    test->fixture.core.len - (size_t)(at + 4 - test->fixture.core.data),
			    "GNU", 4);
	assert_non_null(at);
	at[4] ^= 0x55;
	put(test, test->fixture.core.data, test->fixture.core.len);
	assert_int_equal(read_core(test), -1);
	assert_non_null(strstr(test->err.why, build_id));
	assert_non_null(strstr(test->err.why, build_id + 2)); /* the rest is in both */
}

static void every_cut_is_told_or_refused(void **state)
{
	struct test *test = *state;
	size_t size;

	dump(test);
	size = test->fixture.core.len;
	for (size_t cut = 0; cut < size; cut += cut < 2000 ? 1 : 331) {
		struct ws_core_dump d;

		put(test, test->fixture.core.data, cut);
		if (ws_core_dump_open(&d, test->path, NULL, &test->err))
			assert_true(test->err.what[0] && test->err.why[0]);
		else
			assert_true(d.torn);
		ws_core_dump_close(&d);
	}
	put(test, test->fixture.core.data, size - test->fixture.stack_size - 4096);
	assert_true(read_core(test) || test->core->torn);
}

static void hostile_numbers_are_refused_or_bounded(void **state)
{
	static const uint64_t numbers[] = { 0,		1,	   0xffff,     INT32_MAX,
					    UINT32_MAX, INT64_MAX, UINT64_MAX, 1ULL << 40 };
	struct test *test = *state;
	char kept[8];

	dump(test);
	for (size_t at = 16; at < 1600; at += 4) {
		for (size_t i = 0; i < WS_ARRAY_SIZE(numbers); i++) {
			struct ws_core_dump d;
			uint64_t word;

			memcpy(kept, test->fixture.core.data + at, sizeof(kept));
			memcpy(test->fixture.core.data + at, &numbers[i], sizeof(kept));
			put(test, test->fixture.core.data, test->fixture.core.len);
			if (ws_core_dump_open(&d, test->path, NULL, &test->err) == 0)
				ws_memory_get(&d.memory, 0, (uint64_t)(uintptr_t)&am_walsender,
					      &word, sizeof(word));
			ws_core_dump_close(&d);
			memcpy(test->fixture.core.data + at, kept, sizeof(kept));
		}
	}
}

static void a_stack_that_leads_nowhere_ends(void **state)
{
	struct test *test = *state;
	char *stack;

	dump(test);
	stack = test->fixture.core.data + test->fixture.core.len - test->fixture.stack_size;
	for (size_t at = 0; at < test->fixture.stack_size; at += 8) {
		uint64_t word = (uint64_t)(uintptr_t)fixture_dump + 4;

		memcpy(stack + at, &word, sizeof(word));
	}
	put(test, test->fixture.core.data, test->fixture.core.len);
	assert_int_equal(read_core(test), 0);
	assert_true(test->core->place_count >= 1 && test->core->place_count <= 128);
}

static void what_is_no_dump_is_refused(void **state)
{
	struct test *test = *state;
	const struct ws_core_options exe = { .file = "/proc/self/exe" };

	put(test, "x", 1);
	assert_int_equal(read_core(test), -1);
	assert_non_null(strstr(test->err.why, "no core dump"));
	assert_int_equal(ws_core_open(&test->core, &exe, &test->err), -1);
	assert_non_null(strstr(test->err.why, "no core dump"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_walsender_is_told_of_its_dump),
		TEST(the_backtrace_has_names),
		TEST(an_error_being_reported_is_told),
		TEST(a_backend_knows_the_walsenders),
		TEST(a_walsender_without_a_slot_is_physical),
		TEST(a_name_is_that_of_the_row_that_counts),
		TEST(a_row_that_cannot_be_is_none),
		TEST(up_to_11_a_row_has_its_number_in_its_head),
		TEST(sessions_of_another_pid_namespace_are_not_known),
		TEST(a_dump_without_what_is_shared_tells_the_rest),
		TEST(a_dump_without_the_programs_head_is_told_with_its_file),
		TEST(a_compressed_dump_is_the_same),
		TEST(another_servers_dump_is_refused),
		TEST(every_cut_is_told_or_refused),
		TEST(hostile_numbers_are_refused_or_bounded),
		TEST(a_stack_that_leads_nowhere_ends),
		TEST(what_is_no_dump_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
