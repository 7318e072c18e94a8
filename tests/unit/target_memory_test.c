/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads of another process's memory, tried on this one: the same system call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target/memory.h"

/* Two readable pages followed by one that is not. */
struct area {
	size_t page;
	char *start, *end;
};

static int setup(void **state)
{
	static struct area area;

	area.page = (size_t)sysconf(_SC_PAGESIZE);
	area.start = mmap(NULL, 3 * area.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	if (area.start == MAP_FAILED)
		return -1;
	area.end = area.start + 2 * area.page;
	memset(area.start, 'x', 2 * area.page);
	*state = &area;
	return mprotect(area.end, area.page, PROT_NONE);
}

static int teardown(void **state)
{
	struct area *area = *state;

	return munmap(area->start, 3 * area->page);
}

static uint64_t address_of(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static uint32_t self(void)
{
	return (uint32_t)getpid();
}

static void reads_across_a_page_boundary(void **state)
{
	struct area *area = *state;
	char out[64];

	memcpy(area->start + area->page - 4, "12345678", 8);
	assert_true(ws_memory_read(self(), address_of(area->start + area->page - 4), out, 8));
	assert_memory_equal(out, "12345678", 8);
	assert_true(ws_memory_read(self(), 1, out, 0));
}

static void a_read_is_all_or_nothing(void **state)
{
	struct area *area = *state;
	char out[64];

	errno = 0;
	assert_false(ws_memory_read(self(), address_of(area->end - 8), out, 16));
	assert_int_equal(errno, EFAULT);
	errno = 0;
	assert_false(ws_memory_read(self(), address_of(area->end), out, 1));
	assert_int_equal(errno, EFAULT);
	errno = 0;
	assert_false(ws_memory_read(self(), 0, out, 8));
	assert_int_equal(errno, EFAULT);
	errno = 0;
	assert_false(ws_memory_read(self(), UINT64_MAX - 3, out, 8));
	assert_int_equal(errno, EFAULT);
}

static void a_string_at_the_end_of_a_mapping_is_read(void **state)
{
	struct area *area = *state;
	char out[256];
	bool truncated = true;

	memcpy(area->end - 6, "hello", 6);
	assert_int_equal(ws_memory_read_string(self(), address_of(area->end - 6), out, sizeof(out),
					       &truncated),
			 5);
	assert_string_equal(out, "hello");
	assert_false(truncated);
}

static void a_string_that_runs_into_an_unreadable_page_is_an_error(void **state)
{
	struct area *area = *state;
	char out[256];

	memset(out, 'z', sizeof(out));
	errno = 0;
	assert_int_equal(
		ws_memory_read_string(self(), address_of(area->end - 6), out, sizeof(out), NULL),
		-1);
	assert_int_equal(errno, EFAULT);
	assert_true(strlen(out) < sizeof(out));
}

static void a_long_string_is_cut_and_says_so(void **state)
{
	struct area *area = *state;
	bool truncated = false;
	static char out[8192];

	assert_int_equal(
		ws_memory_read_string(self(), address_of(area->start), out, 10, &truncated), 9);
	assert_true(truncated);
	assert_string_equal(out, "xxxxxxxxx");
	/* across pages, too */
	assert_int_equal(ws_memory_read_string(self(), address_of(area->start + 7), out,
					       area->page + 100, &truncated),
			 (long)area->page + 99);
	assert_true(truncated);
}

static void a_string_that_just_fits_is_whole(void **state)
{
	struct area *area = *state;
	bool truncated = true;
	char out[6];

	memcpy(area->start + 100, "hello", 6);
	assert_int_equal(
		ws_memory_read_string(self(), address_of(area->start + 100), out, 6, &truncated),
		5);
	assert_false(truncated);
	assert_int_equal(
		ws_memory_read_string(self(), address_of(area->start + 100), out, 5, &truncated),
		4);
	assert_true(truncated);
	assert_string_equal(out, "hell");
}

static void no_room_for_a_string_is_an_error(void **state)
{
	struct area *area = *state;
	char out = 'z';

	errno = 0;
	assert_int_equal(ws_memory_read_string(self(), address_of(area->start), &out, 0, NULL), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(out, 'z');
}

static void a_process_that_is_gone_is_told_from_bad_memory(void **state)
{
	pid_t pid = fork();
	int status;
	char out;

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	errno = 0;
	assert_false(ws_memory_read((uint32_t)pid, address_of(*state), &out, 1));
	assert_int_equal(errno, ESRCH);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_across_a_page_boundary, setup, teardown),
		cmocka_unit_test_setup_teardown(a_read_is_all_or_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_string_at_the_end_of_a_mapping_is_read, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_string_that_runs_into_an_unreadable_page_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_string_is_cut_and_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(a_string_that_just_fits_is_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room_for_a_string_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(a_process_that_is_gone_is_told_from_bad_memory,
						setup, teardown),
	};

	return cmocka_run_group_tests_name("target/memory", tests, NULL, NULL);
}
