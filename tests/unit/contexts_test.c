/* SPDX-License-Identifier: BSD-2-Clause */
/* What is read of memory contexts, out of a memory that is made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "probe/contexts.h"

#define BASE	0x10000ULL
#define TOP	64 /* addresses in the file */
#define WORKMEM 72
#define HEAP	(BASE + 4096)
#define SIZE	(4UL << 20)

/* Of 13 and later. */
enum { ALLOCATED = 8, PARENT = 24, FIRST = 32, PREV = 40, NEXT = 48, NAME = 56, IDENT = 64 };
#define CONTEXT 80

struct image {
	struct ws_memory memory; /* first */
	char *bytes;		 /* from BASE on */
	uint64_t end;		 /* what is used */
	uint64_t reads;
	/* Behind this read (counted from 1), or behind each, `value` comes to `change`. */
	uint64_t change_behind, change, value;
	bool changes_always; /* and it is another one each time */
	struct ws_offsets off;
	struct ws_contexts_place place;
};

static void put(struct image *m, uint64_t at, uint64_t value)
{
	assert_true(at >= BASE && at + sizeof(value) <= BASE + SIZE);
	memcpy(m->bytes + (at - BASE), &value, sizeof(value));
}

static uint64_t get(const struct image *m, uint64_t at)
{
	uint64_t value;

	memcpy(&value, m->bytes + (at - BASE), sizeof(value));
	return value;
}

static bool read_image(const struct ws_memory *memory, uint64_t at, void *out, size_t size)
{
	struct image *m = (struct image *)memory;

	if (at < BASE || at >= BASE + SIZE || size > BASE + SIZE - at) {
		errno = EFAULT;
		return false;
	}
	memcpy(out, m->bytes + (at - BASE), size);
	m->reads++;
	if (m->changes_always)
		put(m, m->change, m->value + m->reads % 80);
	else if (m->reads == m->change_behind)
		put(m, m->change, m->value);
	return true;
}

static uint64_t text(struct image *m, const char *s)
{
	uint64_t at = m->end;

	memcpy(m->bytes + (at - BASE), s, strlen(s) + 1);
	m->end += (strlen(s) + 8) & ~7ULL;
	return at;
}

/* The newest child is the first one, as MemoryContextCreate links it. */
static uint64_t context(struct image *m, uint64_t parent, uint64_t name, uint64_t bytes)
{
	uint64_t at = m->end, first = parent ? get(m, parent + m->off.context_first_child) : 0;
	const uint32_t type = 430;

	m->end += CONTEXT;
	assert_true(m->end <= BASE + SIZE);
	memcpy(m->bytes + (at - BASE), &type, sizeof(type));
	put(m, at + m->off.context_parent, parent);
	put(m, at + m->off.context_next, first);
	put(m, at + m->off.context_name, name);
	if (m->off.context_allocated != WS_UNKNOWN)
		put(m, at + m->off.context_allocated, bytes);
	if (first)
		put(m, first + m->off.context_prev, at);
	if (parent)
		put(m, parent + m->off.context_first_child, at);
	else
		put(m, BASE + TOP, at);
	return at;
}

static uint64_t named(struct image *m, uint64_t parent, const char *name, uint64_t bytes)
{
	return context(m, parent, text(m, name), bytes);
}

static int setup(void **state)
{
	struct image *m = calloc(1, sizeof(*m));
	const int32_t work_mem_kb = 65536;

	if (!m)
		return -1;
	m->bytes = calloc(1, SIZE);
	m->memory.read = read_image;
	m->end = HEAP;
	memset(&m->off, 0xff, sizeof(m->off));
	m->off.context_allocated = ALLOCATED;
	m->off.context_parent = PARENT;
	m->off.context_first_child = FIRST;
	m->off.context_prev = PREV;
	m->off.context_next = NEXT;
	m->off.context_name = NAME;
	m->off.context_ident = IDENT;
	memcpy(m->bytes + WORKMEM, &work_mem_kb, sizeof(work_mem_kb));
	m->place = (struct ws_contexts_place){
		.memory = &m->memory, .base = BASE, .top = TOP, .work_mem = WORKMEM, .off = &m->off
	};
	*state = m;
	return m->bytes ? 0 : -1;
}

static int teardown(void **state)
{
	struct image *m = *state;

	free(m->bytes);
	free(m);
	return 0;
}

struct tree {
	uint64_t top, cache, message, command, reorder, tuples, index[3];
};

/* As a logical walsender has it. */
static struct tree plant(struct image *m)
{
	struct tree t;
	uint64_t index_name = text(m, "index info");

	t.top = named(m, 0, "TopMemoryContext", 100);
	t.cache = named(m, t.top, "CacheMemoryContext", 1000);
	for (size_t i = 0; i < WS_ARRAY_SIZE(t.index); i++)
		t.index[i] = context(m, t.cache, index_name, 10 + i);
	t.message = named(m, t.top, "MessageContext", 20);
	t.command = named(m, t.message, "Replication command context", 30);
	t.reorder = named(m, t.command, "ReorderBuffer", 40);
	t.tuples = named(m, t.reorder, "Tuples", 50000);
	named(m, t.reorder, "Change", 2000);
	named(m, t.top, "ErrorContext", 8);
	return t;
}

static size_t row(const struct ws_rec_memory *rec, const char *name)
{
	for (size_t i = 0; i < WS_CONTEXTS; i++)
		if (!strcmp(rec->names[i], name))
			return i;
	fail_msg("%s is not told", name);
	return 0;
}

static void sums_are_told_by_name(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	size_t i;

	plant(m);
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_int_equal(rec.contexts, 11);
	assert_int_equal(rec.h.flags, 0);
	assert_int_equal(rec.total_bytes, 100 + 1000 + 33 + 20 + 30 + 40 + 50000 + 2000 + 8);
	assert_int_equal(rec.reorder_bytes, 52040);
	assert_int_equal(rec.cache_bytes, 1033);
	assert_int_equal(rec.work_mem_bytes, 65536 * 1024);
	assert_int_equal(rec.valid, WS_MEMORY_BYTES | WS_MEMORY_REORDER | WS_MEMORY_WORK_MEM |
					    WS_MEMORY_IDENTS);
	assert_string_equal(rec.names[0], "Tuples");
	assert_string_equal(rec.parents[0], "ReorderBuffer");
	assert_int_equal(rec.own[0], 50000);
	assert_string_equal(rec.names[1], "Change");
	i = row(&rec, "index info");
	assert_int_equal(rec.counts[i], 3);
	assert_int_equal(rec.own[i], 33);
	assert_string_equal(rec.parents[i], "CacheMemoryContext");
	i = row(&rec, "TopMemoryContext");
	assert_int_equal(rec.whole[i], rec.total_bytes);
	assert_string_equal(rec.parents[i], "");
	assert_int_equal(rec.whole[row(&rec, "CacheMemoryContext")], 1033);
}

static void a_name_within_itself_counts_once(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	uint64_t top = named(m, 0, "TopMemoryContext", 1), name = text(m, "nested");
	uint64_t outer = context(m, top, name, 100);

	context(m, context(m, outer, name, 10), name, 1000);
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_string_equal(rec.names[0], "nested");
	assert_int_equal(rec.counts[0], 3);
	assert_int_equal(rec.own[0], 1110);
	assert_int_equal(rec.whole[0], 1110);
	assert_string_equal(rec.parents[0], "nested");
}

static void names_at_different_places_are_one(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	uint64_t top = named(m, 0, "TopMemoryContext", 1);

	named(m, top, "ExprContext", 5);
	named(m, top, "ExprContext", 6);
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_string_equal(rec.names[0], "ExprContext");
	assert_int_equal(rec.own[0], 11);
}

static void the_ident_of_the_largest_is_told(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	struct tree t = plant(m);
	size_t i;

	put(m, t.index[0] + IDENT, text(m, "small_index"));
	put(m, t.index[2] + IDENT, text(m, "pg_class_\xff_index"));
	assert_true(ws_contexts_read(&m->place, &rec));
	i = row(&rec, "index info");
	assert_string_equal(rec.idents[i], "pg_class_?_index");
	assert_string_equal(rec.idents[row(&rec, "Tuples")], "");
}

static void a_long_ident_is_cut_at_a_whole_character(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	struct tree t = plant(m);
	char statement[200] = "";

	for (int i = 0; i < 60; i++)
		strcat(statement, i ? "\xc3\xa4" : "x");
	strcat(statement, "x");
	put(m, t.tuples + IDENT, text(m, statement));
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_int_equal(strlen(rec.idents[0]), 63);
	statement[63] = '\0';
	assert_string_equal(rec.idents[0], statement);
}

static void idents_are_not_read_where_they_are_not_to_be_told(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	struct tree t = plant(m);

	put(m, t.tuples + IDENT, text(m, "select 'secret'"));
	m->place.no_idents = true;
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_false(rec.valid & WS_MEMORY_IDENTS);
	for (size_t i = 0; i < WS_CONTEXTS; i++)
		assert_string_equal(rec.idents[i], "");
}

/* Up to 12. */
static void without_sizes_none_is_told(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	uint64_t top, name;

	m->off.context_allocated = WS_UNKNOWN;
	m->off.context_ident = WS_UNKNOWN;
	m->place.work_mem = 0;
	top = named(m, 0, "TopMemoryContext", 0);
	name = text(m, "index info");
	for (int i = 0; i < 5; i++)
		context(m, top, name, 0);
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_int_equal(rec.valid, 0);
	assert_int_equal(rec.contexts, 6);
	assert_int_equal(rec.total_bytes, 0);
	assert_string_equal(rec.names[0], "index info");
	assert_int_equal(rec.counts[0], 5);
}

/* -- what does not add up */

static bool is_read(struct image *m)
{
	struct ws_rec_memory rec = { .h = { 0 } };

	return ws_contexts_read(&m->place, &rec);
}

static void a_cycle_of_neighbours_is_refused(void **state)
{
	struct image *m = *state;
	struct tree t = plant(m);

	put(m, t.index[0] + NEXT, t.index[2]);
	assert_false(is_read(m));
	assert_true(m->reads < 1000);
}

static void a_context_within_what_is_in_it_is_refused(void **state)
{
	struct image *m = *state;
	struct tree t = plant(m);

	put(m, t.tuples + FIRST, t.command);
	assert_false(is_read(m));
	put(m, t.tuples + FIRST, t.tuples);
	assert_false(is_read(m));
	assert_true(m->reads < 1000);
}

static void each_link_has_to_be_answered(void **state)
{
	struct image *m = *state;
	struct tree t = plant(m);
	const struct {
		uint64_t at, value;
	} torn[] = {
		{ t.index[1] + PARENT, t.top },	   { t.index[1] + PREV, 0 },
		{ t.reorder + PARENT, 0 },	   { t.top + PARENT, t.cache },
		{ t.top + NEXT, t.cache },	   { t.top + PREV, t.cache },
		{ t.reorder + FIRST, t.index[0] },
	};

	for (size_t i = 0; i < WS_ARRAY_SIZE(torn); i++) {
		uint64_t was = get(m, torn[i].at);

		assert_true(is_read(m));
		put(m, torn[i].at, torn[i].value);
		assert_false(is_read(m));
		put(m, torn[i].at, was);
	}
}

static void what_is_no_context_is_refused(void **state)
{
	struct image *m = *state;
	struct tree t = plant(m);
	uint64_t unprintable = text(m, "bad\x01name"), empty = text(m, "");
	const struct {
		uint64_t at, value;
	} wrong[] = {
		{ BASE + TOP, 0 },
		{ BASE + TOP, t.top + 4 },
		{ BASE + TOP, 0x7fff00000000ULL },
		{ t.reorder + FIRST, 0x7fff00000000ULL },
		{ t.reorder + FIRST, BASE + SIZE - 16 },
		{ t.reorder, 0 },		       /* its type */
		{ t.reorder, 0x100001aeULL << 4 },     /* likewise */
		{ t.reorder, 0x20000000000ULL | 430 }, /* isReset */
		{ t.reorder + ALLOCATED, 1ULL << 50 },
		{ t.reorder + NAME, 0 },
		{ t.reorder + NAME, 12345 },
		{ t.reorder + NAME, unprintable },
		{ t.reorder + NAME, empty },
		{ t.tuples + IDENT, 0x7fff00000000ULL },
	};

	for (size_t i = 0; i < WS_ARRAY_SIZE(wrong); i++) {
		uint64_t was = get(m, wrong[i].at);

		assert_true(is_read(m));
		put(m, wrong[i].at, wrong[i].value);
		assert_false(is_read(m));
		put(m, wrong[i].at, was);
	}
}

static void without_the_variable_or_a_layout_there_is_nothing(void **state)
{
	struct image *m = *state;

	plant(m);
	m->place.top = 0;
	assert_false(is_read(m));
	m->place.top = TOP;
	assert_true(is_read(m));
	m->off.context_prev = WS_UNKNOWN;
	assert_false(is_read(m));
	m->off.context_prev = 4096;
	assert_false(is_read(m));
}

/* -- what changes meanwhile */

static void a_tree_that_changes_once_is_read_again(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	struct tree t = plant(m);
	uint64_t reads;

	assert_true(is_read(m));
	reads = m->reads;
	/* What is in "ReorderBuffer" is gone when all were seen. */
	m->change_behind = reads + 15;
	m->change = t.reorder + FIRST;
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_true(m->reads > 2 * reads + 10);
	assert_int_equal(rec.reorder_bytes, 40);
}

static void a_tree_that_never_keeps_still_is_not_told(void **state)
{
	struct image *m = *state;
	struct tree t = plant(m);

	m->change = t.tuples + NAME;
	m->value = text(
		m, "a name of which each end is a name, too: another one with each read of the "
		   "memory, whatever was read");
	m->changes_always = true;
	assert_false(is_read(m));
}

static void a_size_that_changes_is_that_of_the_last_look(void **state)
{
	struct image *m = *state;
	struct tree t = plant(m);
	struct ws_rec_memory rec = { .h = { 0 } };

	/* Behind the first look at all, in front of the second. */
	m->change_behind = 14;
	m->change = t.tuples + ALLOCATED;
	m->value = 60000;
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_int_equal(rec.own[0], 60000);
}

/* -- many */

static void of_too_many_contexts_a_part_is_told(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	uint64_t top = named(m, 0, "TopMemoryContext", 1), name = text(m, "index info");

	for (int i = 0; i < WS_CONTEXTS_MAX + 10; i++)
		context(m, top, name, 1);
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_int_equal(rec.h.flags, WS_MEMORY_CUT);
	assert_int_equal(rec.contexts, WS_CONTEXTS_MAX);
	assert_int_equal(rec.total_bytes, WS_CONTEXTS_MAX);
}

static void what_lies_too_deep_is_not_told(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	uint64_t at = named(m, 0, "TopMemoryContext", 1), name = text(m, "deep");

	for (int i = 0; i < WS_CONTEXTS_DEPTH_MAX - 1; i++)
		at = context(m, at, name, 1);
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_int_equal(rec.h.flags, 0);
	assert_int_equal(rec.contexts, WS_CONTEXTS_DEPTH_MAX);
	context(m, at, name, 1);
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_int_equal(rec.h.flags, WS_MEMORY_CUT);
	assert_int_equal(rec.contexts, WS_CONTEXTS_DEPTH_MAX);
}

static void of_too_many_names_all_are_summed_up(void **state)
{
	struct image *m = *state;
	struct ws_rec_memory rec = { .h = { 0 } };
	uint64_t top = named(m, 0, "TopMemoryContext", 1);
	char name[32];

	for (int i = 0; i < WS_CONTEXTS_NAMES_MAX + 5; i++) {
		snprintf(name, sizeof(name), "name %d", i);
		named(m, top, name, 1);
	}
	assert_true(ws_contexts_read(&m->place, &rec));
	assert_int_equal(rec.h.flags, WS_MEMORY_CUT);
	assert_int_equal(rec.total_bytes, WS_CONTEXTS_NAMES_MAX + 6);
}

#define IMAGE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IMAGE(sums_are_told_by_name),
		IMAGE(a_name_within_itself_counts_once),
		IMAGE(names_at_different_places_are_one),
		IMAGE(the_ident_of_the_largest_is_told),
		IMAGE(a_long_ident_is_cut_at_a_whole_character),
		IMAGE(idents_are_not_read_where_they_are_not_to_be_told),
		IMAGE(without_sizes_none_is_told),
		IMAGE(a_cycle_of_neighbours_is_refused),
		IMAGE(a_context_within_what_is_in_it_is_refused),
		IMAGE(each_link_has_to_be_answered),
		IMAGE(what_is_no_context_is_refused),
		IMAGE(without_the_variable_or_a_layout_there_is_nothing),
		IMAGE(a_tree_that_changes_once_is_read_again),
		IMAGE(a_tree_that_never_keeps_still_is_not_told),
		IMAGE(a_size_that_changes_is_that_of_the_last_look),
		IMAGE(of_too_many_contexts_a_part_is_told),
		IMAGE(what_lies_too_deep_is_not_told),
		IMAGE(of_too_many_names_all_are_summed_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
