/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "event/schema.h"
#include "trace/header.h"
#include "../lib/recording.h"

static void expect_records(const char *path, const struct rec_list *written, size_t count)
{
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t i;

	assert_int_equal(ws_reader_open(&reader, path, NULL), 0);
	for (i = 0; i < count; i++) {
		assert_int_equal(ws_reader_next(reader, &rec, NULL), 1);
		assert_int_equal(rec->size, written->rec[i]->size);
		assert_memory_equal(rec, written->rec[i], rec->size);
	}
	assert_int_equal(ws_reader_next(reader, &rec, NULL), 0);
	ws_reader_free(reader);
}

/* Many records, so that blocks are closed by size, of all kinds. */
static void test_what_was_added_comes_back_byte_for_byte(void **state)
{
	const struct ws_kind_info *kinds;
	struct recording recording;
	size_t count, i, k;

	(void)state;
	recording_make(&recording, 1, 5, 4000);
	assert_true(recording.size > recording.block_at[0] + 5 * 512 * 1024);
	kinds = ws_kinds(&count);
	for (i = 0; i < count; i++) {
		for (k = 0; k < recording.written.count; k++) {
			if (recording.written.rec[k]->kind == kinds[i].kind)
				break;
		}
		assert_true(k < recording.written.count);
	}
	expect_records(recording.path, &recording.written, recording.written.count);
	recording_deinit(&recording);
}

static void test_blocks_of_any_number_of_records_come_back(void **state)
{
	struct recording recording;
	size_t each;

	(void)state;
	for (each = 1; each < 40; each++) {
		recording_make(&recording, 100 + each, 3, each);
		expect_records(recording.path, &recording.written, recording.written.count);
		recording_deinit(&recording);
	}
}

static struct ws_writer *new_writer(struct recording *recording)
{
	struct ws_writer *writer;

	recording_make(recording, 2, 0, 0);
	rec_list_deinit(&recording->written);
	assert_int_equal(ws_writer_new(&writer, recording->path, &recording_info, NULL), 0);
	return writer;
}

static void test_more_kinds_than_a_block_may_have_come_back(void **state)
{
	struct recording recording;
	struct ws_writer *writer = new_writer(&recording);
	struct random_recs random = { .state = 3 };
	union random_rec rec;
	uint16_t kind;

	(void)state;
	for (kind = 1000; kind < 1300; kind++) {
		random_rec_of(&random, &rec, kind);
		assert_int_equal(ws_writer_add(writer, &rec.h, NULL), 0);
		rec_list_add(&recording.written, &rec.h);
	}
	assert_int_equal(ws_writer_close(writer, NULL), 0);
	expect_records(recording.path, &recording.written, 300);
	recording_deinit(&recording);
}

static void test_a_record_that_is_not_sound_comes_back_as_a_gap(void **state)
{
	struct recording recording;
	struct ws_writer *writer = new_writer(&recording);
	struct ws_rec_state change = {
		.h = { .size = sizeof(change), .kind = WS_KIND_STATE, .time_ns = 77, .pid = 5 }
	};
	struct ws_reader *reader;
	const struct ws_rec *rec;
	char why[128];

	(void)state;
	change.to = 1234; /* a newer PostgreSQL's? not ours to hand on */
	assert_int_equal(ws_writer_add(writer, &change.h, NULL), 0);
	assert_int_equal(ws_writer_close(writer, NULL), 0);
	assert_int_equal(ws_reader_open(&reader, recording.path, NULL), 0);
	assert_int_equal(ws_reader_next(reader, &rec, NULL), 1);
	assert_int_equal(rec->kind, WS_KIND_GAP);
	assert_int_equal(((const struct ws_rec_gap *)rec)->cause, WS_GAP_INVALID);
	assert_int_equal(((const struct ws_rec_gap *)rec)->lost, 1);
	assert_int_equal(rec->time_ns, 77);
	assert_int_equal(ws_reader_next(reader, &rec, NULL), 0);
	assert_true(ws_reader_torn(reader, why, sizeof(why)));
	assert_non_null(strstr(why, "not sound"));
	ws_reader_free(reader);
	recording_deinit(&recording);
}

/* As a later version that appended a field to the kind would write it. */
static void test_a_record_longer_than_known_comes_back_as_far_as_known(void **state)
{
	struct recording recording;
	struct ws_writer *writer = new_writer(&recording);
	struct random_recs random = { .state = 12 };
	union random_rec rec = { 0 };
	struct ws_rec *known;

	(void)state;
	random_rec_of(&random, &rec, WS_KIND_STATE);
	rec_list_add(&recording.written, &rec.h);
	known = recording.written.rec[0];
	rec.h.size += 8;
	memcpy(rec.bytes + known->size, "appended", 8);
	assert_int_equal(ws_writer_add(writer, &rec.h, NULL), 0);
	assert_int_equal(ws_writer_close(writer, NULL), 0);
	expect_records(recording.path, &recording.written, 1);
	recording_deinit(&recording);
}

static void test_the_writer_refuses_records_of_impossible_size(void **state)
{
	struct recording recording;
	struct ws_writer *writer = new_writer(&recording);
	union random_rec rec = { .h = { .size = 31, .kind = 99 } };
	struct ws_error err;

	(void)state;
	assert_int_equal(ws_writer_add(writer, &rec.h, &err), -1);
	rec.h.size = WS_REC_SIZE_MAX + 1;
	assert_int_equal(ws_writer_add(writer, &rec.h, &err), -1);
	rec.h.size = 32;
	assert_int_equal(ws_writer_add(writer, &rec.h, &err), 0);
	rec_list_add(&recording.written, &rec.h);
	assert_int_equal(ws_writer_close(writer, NULL), 0);
	expect_records(recording.path, &recording.written, 1);
	recording_deinit(&recording);
}

static void test_the_header_comes_back(void **state)
{
	struct recording recording;
	struct ws_reader *reader;
	const struct ws_trace_info *info;

	(void)state;
	recording_make(&recording, 4, 0, 0);
	assert_int_equal(ws_reader_open(&reader, recording.path, NULL), 0);
	info = ws_reader_info(reader);
	assert_int_equal(info->format, WS_TRACE_FORMAT);
	assert_int_equal(info->level, recording_info.level);
	assert_int_equal(info->ticks_per_s, recording_info.ticks_per_s);
	assert_true(info->start_mono_ns == recording_info.start_mono_ns);
	assert_true(info->start_wall_ns == recording_info.start_wall_ns);
	assert_string_equal(info->version, recording_info.version);
	assert_string_equal(info->boot_id, recording_info.boot_id);
	assert_string_equal(info->host, recording_info.host);
	ws_reader_free(reader);
	recording_deinit(&recording);
}

static void test_the_file_is_for_its_owner_alone(void **state)
{
	static const mode_t masks[] = { 0, 022, 0777 };
	struct recording recording;
	struct ws_writer *writer;
	mode_t mask;
	struct stat st;
	size_t i;

	(void)state;
	recording_make(&recording, 5, 0, 0);
	for (i = 0; i < WS_ARRAY_SIZE(masks); i++) {
		unlink(recording.path);
		mask = umask(masks[i]);
		assert_int_equal(ws_writer_new(&writer, recording.path, &recording_info, NULL), 0);
		umask(mask);
		assert_int_equal(ws_writer_close(writer, NULL), 0);
		assert_int_equal(stat(recording.path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	/* Also if it was there before. */
	assert_int_equal(chmod(recording.path, 0644), 0);
	assert_int_equal(ws_writer_new(&writer, recording.path, &recording_info, NULL), 0);
	assert_int_equal(ws_writer_close(writer, NULL), 0);
	assert_int_equal(stat(recording.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	recording_deinit(&recording);
}

static void add_small(struct recording *recording, struct ws_writer *writer, uint64_t time_ns)
{
	struct ws_rec_keepalive rec = {
		.h = { .size = sizeof(rec), .kind = WS_KIND_KEEPALIVE, .time_ns = time_ns }
	};

	assert_int_equal(ws_writer_add(writer, &rec.h, NULL), 0);
	rec_list_add(&recording->written, &rec.h);
}

static void test_a_block_is_closed_when_it_is_a_second_old(void **state)
{
	struct recording recording;
	struct ws_writer *writer = new_writer(&recording);
	uint64_t header = ws_writer_bytes(writer), bytes;

	(void)state;
	assert_int_equal(ws_writer_tick(writer, 1000, NULL), 0);
	add_small(&recording, writer, 5000000000);
	assert_int_equal(ws_writer_tick(writer, 5999999999, NULL), 0);
	assert_true(ws_writer_bytes(writer) == header);
	assert_int_equal(ws_writer_tick(writer, 1, NULL), 0); /* before it: no age at all */
	assert_true(ws_writer_bytes(writer) == header);
	assert_int_equal(ws_writer_tick(writer, 6000000000, NULL), 0);
	bytes = ws_writer_bytes(writer);
	assert_true(bytes > header);
	/* Nothing in it: nothing to close. */
	assert_int_equal(ws_writer_tick(writer, 60000000000, NULL), 0);
	assert_true(ws_writer_bytes(writer) == bytes);
	/* The next record's time does it too, if nobody ticks. */
	add_small(&recording, writer, 60000000000);
	add_small(&recording, writer, 60900000000);
	assert_true(ws_writer_bytes(writer) == bytes);
	add_small(&recording, writer, 61000000000);
	assert_true(ws_writer_bytes(writer) > bytes);
	/* What is in the file can be read before it is closed. */
	expect_records(recording.path, &recording.written, 3);
	assert_int_equal(ws_writer_close(writer, NULL), 0);
	expect_records(recording.path, &recording.written, 4);
	recording_deinit(&recording);
}

static void test_a_file_that_is_being_written_is_not_written_by_another(void **state)
{
	struct recording recording;
	struct ws_writer *writer, *other;
	struct ws_error err;

	(void)state;
	writer = new_writer(&recording);
	assert_int_equal(ws_writer_new(&other, recording.path, &recording_info, &err), -1);
	assert_null(other);
	assert_string_equal(err.why, "another recording is being written to it");
	add_small(&recording, writer, 1);
	assert_int_equal(ws_writer_close(writer, NULL), 0);
	expect_records(recording.path, &recording.written, 1);
	recording_deinit(&recording);
}

static void test_a_full_device_is_an_error(void **state)
{
	struct ws_writer *writer = (void *)1;
	struct ws_error err;

	(void)state;
	assert_int_equal(ws_writer_new(&writer, "/dev/full", &recording_info, &err), -1);
	assert_null(writer);
	assert_int_equal(err.errnum, ENOSPC);
	assert_string_equal(err.where, "/dev/full");
	assert_int_equal(ws_writer_close(writer, &err), 0);
}

static void expect_open_error(const char *path, const char *why)
{
	struct ws_reader *reader = (void *)1;
	struct ws_error err;

	assert_int_equal(ws_reader_open(&reader, path, &err), -1);
	assert_null(reader);
	assert_string_equal(err.where, path);
	if (!strstr(err.why, why))
		fail_msg("'%s' does not say '%s'", err.why, why);
}

static void test_what_is_no_recording_is_refused_with_the_reason(void **state)
{
	struct recording recording;
	char fifo[128];
	struct ws_disk_file head;

	(void)state;
	recording_make(&recording, 6, 1, 3);
	expect_open_error("/nonexistent/a.wst", "No such file");
	snprintf(fifo, sizeof(fifo), "%s/empty", recording.dir);
	assert_int_equal(mkdir(fifo, 0700), 0);
	expect_open_error(fifo, "a directory without recordings");
	rmdir(fifo);
	snprintf(fifo, sizeof(fifo), "%s/fifo", recording.dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	expect_open_error(fifo, "not a regular file");
	unlink(fifo);
	recording_put(&recording, "", 0);
	expect_open_error(recording.path, "empty");
	recording_put(&recording, "time,event\n1,2\n", 15);
	expect_open_error(recording.path, "not a walscope recording");
	recording_put(&recording, "t", 1);
	expect_open_error(recording.path, "not a walscope recording");
	memcpy(&head, recording.bytes, sizeof(head));
	head.format = 7;
	memcpy(recording.bytes, &head, sizeof(head));
	head.hash = ws_header_hash(recording.bytes, head.header_size);
	memcpy(recording.bytes, &head, sizeof(head));
	recording_put(&recording, recording.bytes, recording.size);
	expect_open_error(recording.path, "format version 7");
	expect_open_error(recording.path, "reads format versions 1 to 2");
	/* Of another version nothing else is known, also not how long its header is. */
	recording_put(&recording, recording.bytes, 14);
	expect_open_error(recording.path, "format version 7");
	recording_deinit(&recording);
}

static void test_a_header_cut_short_is_refused(void **state)
{
	struct recording recording;
	size_t size;

	(void)state;
	recording_make(&recording, 7, 1, 3);
	for (size = 1; size < recording.block_at[0]; size++) {
		recording_put(&recording, recording.bytes, size);
		expect_open_error(recording.path, "cut short");
	}
	recording_deinit(&recording);
}

/* As long as they are now: those of fixtures are shorter. */
static void test_a_header_with_one_byte_changed_is_read(void **state)
{
	struct recording recording;

	(void)state;
	recording_make(&recording, 8, 1, 3);
	recording.bytes[recording.block_at[0] - 1] ^= 0x10;
	recording_put(&recording, recording.bytes, recording.size);
	expect_records(recording.path, &recording.written, recording.written.count);
	recording_deinit(&recording);
}

static void test_the_descriptor_is_not_inherited(void **state)
{
	struct recording recording;
	struct ws_writer *writer = new_writer(&recording);
	char link[64], target[128];
	ssize_t len;
	int fd, found = 0;

	(void)state;
	for (fd = 3; fd < 64; fd++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		len = readlink(link, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = '\0';
		if (strcmp(target, recording.path))
			continue;
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		found++;
	}
	assert_int_equal(found, 1);
	assert_int_equal(ws_writer_close(writer, NULL), 0);
	recording_deinit(&recording);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_added_comes_back_byte_for_byte),
		cmocka_unit_test(test_blocks_of_any_number_of_records_come_back),
		cmocka_unit_test(test_more_kinds_than_a_block_may_have_come_back),
		cmocka_unit_test(test_a_record_that_is_not_sound_comes_back_as_a_gap),
		cmocka_unit_test(test_a_record_longer_than_known_comes_back_as_far_as_known),
		cmocka_unit_test(test_the_writer_refuses_records_of_impossible_size),
		cmocka_unit_test(test_the_header_comes_back),
		cmocka_unit_test(test_the_file_is_for_its_owner_alone),
		cmocka_unit_test(test_a_block_is_closed_when_it_is_a_second_old),
		cmocka_unit_test(test_a_file_that_is_being_written_is_not_written_by_another),
		cmocka_unit_test(test_a_full_device_is_an_error),
		cmocka_unit_test(test_what_is_no_recording_is_refused_with_the_reason),
		cmocka_unit_test(test_a_header_cut_short_is_refused),
		cmocka_unit_test(test_a_header_with_one_byte_changed_is_read),
		cmocka_unit_test(test_the_descriptor_is_not_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
