/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of signatures: that it is of the form its readers rely on, for every major. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "symbol/recover_parts.h"

static void load(struct ws_sig_unit *sig, const char *file, int major)
{
	for (size_t u = 0; u < ws_sig_unit_count(); u++) {
		if (strcmp(ws_sig_unit_file(u), file) != 0)
			continue;
		assert_int_equal(ws_sig_unit_load(sig, u, major), 0);
		return;
	}
	fail_msg("no unit %s", file);
}

static const struct ws_sig_function *function_of(const struct ws_sig_unit *sig, const char *name)
{
	long f = ws_sig_function(sig, name);

	return f < 0 ? NULL : &sig->functions[f];
}

static bool has_feature(const struct ws_sig_unit *sig, const char *function, const char *feature)
{
	long id = ws_sig_feature(sig, feature);

	return id >= 0 && ws_bit(function_of(sig, function)->own, (size_t)id);
}

static void every_unit_is_sorted_for_every_major(void **state)
{
	(void)state;
	for (size_t u = 0; u < ws_sig_unit_count(); u++) {
		for (int major = 0; major <= 20; major += major ? 1 : 10) {
			struct ws_sig_unit sig;

			assert_int_equal(ws_sig_unit_load(&sig, u, major), 0);
			for (size_t f = 1; f < sig.function_count; f++)
				assert_true(strcmp(sig.functions[f - 1].name,
						   sig.functions[f].name) < 0);
			for (size_t i = 1; i < sig.feature_count; i++)
				assert_true(strcmp(sig.features[i - 1], sig.features[i]) < 0);
			for (size_t i = 1; i < sig.number_count; i++)
				assert_true(sig.numbers[i - 1] < sig.numbers[i]);
			for (size_t f = 0; f < sig.function_count; f++)
				assert_true(ws_bit(sig.functions[f].closure, f));
			ws_sig_unit_deinit(&sig);
		}
	}
}

/* walsender.c (13, 15, 17): who calls whom, and what is static. */
static void a_function_has_what_its_source_has(void **state)
{
	struct ws_sig_unit sig;

	(void)state;
	load(&sig, "walsender.c", 15);
	assert_true(function_of(&sig, "WalSndLoop")->is_static);
	assert_true(function_of(&sig, "WalSndLoop")->reports);
	assert_false(function_of(&sig, "exec_replication_command")->is_static);
	assert_true(has_feature(&sig, "WalSndLoop", "ProcessConfigFile"));
	assert_false(has_feature(&sig, "WalSndLoop", "WALRead"));
	assert_true(ws_bit(function_of(&sig, "exec_replication_command")->calls,
			   (size_t)ws_sig_function(&sig, "WalSndWait")));
	assert_false(ws_bit(function_of(&sig, "WalSndWait")->calls,
			    (size_t)ws_sig_function(&sig, "WalSndLoop")));
	assert_true(function_of(&sig, "XLogSendPhysical")->is_taken);
	assert_false(function_of(&sig, "WalSndWait")->is_taken);
	assert_true(function_of(&sig, "WalSndKeepaliveIfNecessary")->is_quick);
	ws_sig_unit_deinit(&sig);
}

static bool has_number(const struct ws_sig_unit *sig, const char *function, uint64_t number,
		       bool is_inner)
{
	long n = ws_sig_number(sig, number);
	const struct ws_sig_function *of = function_of(sig, function);

	return n >= 0 && ws_bit(is_inner ? of->inner_numbers : of->numbers, (size_t)n);
}

/* The lag tracker's buffer has 8192 elements of 16 bytes, behind 8 (walsender.c, all versions).
 * DecodeInsert, which heap_decode calls, looks for XLH_INSERT_CONTAINS_NEW_TUPLE, 1 << 3. */
static void a_function_has_the_numbers_of_its_source(void **state)
{
	struct ws_sig_unit sig;

	(void)state;
	load(&sig, "walsender.c", 15);
	assert_true(has_number(&sig, "LagTrackerWrite", ws_number(true, 8 + 8192 * 16), false));
	assert_false(has_number(&sig, "WalSndKill", ws_number(false, 8191), false));
	assert_int_equal(ws_sig_number(&sig, ws_number(false, 0x12345678)), -1);
	ws_sig_unit_deinit(&sig);
	load(&sig, "decode.c", 17);
	assert_true(has_number(&sig, "DecodeInsert", ws_number(false, 8), false));
	assert_true(has_number(&sig, "heap_decode", ws_number(false, 8), true));
	ws_sig_unit_deinit(&sig);
}

/* What is 0, or 1, every function has; an offset below a pointer is no field's. */
static void a_number_that_tells_nothing_is_none(void **state)
{
	(void)state;
	assert_int_equal(ws_number(true, 0), 0);
	assert_int_equal(ws_number(true, -8), 0);
	assert_int_equal(ws_number(false, 0), 0);
	assert_int_equal(ws_number(false, 1), 0);
	assert_int_not_equal(ws_number(false, 8), ws_number(true, 8));
	assert_int_equal(ws_number(false, -1), ws_number(false, 0xffffffff));
}

static void a_major_has_only_its_own_functions(void **state)
{
	struct ws_sig_unit sig;

	(void)state;
	load(&sig, "walsender.c", 13);
	assert_null(function_of(&sig, "WalSndWait"));
	assert_null(function_of(&sig, "AlterReplicationSlot"));
	ws_sig_unit_deinit(&sig);
	load(&sig, "walsender.c", 17);
	assert_true(function_of(&sig, "AlterReplicationSlot")->is_required);
	ws_sig_unit_deinit(&sig);
}

/* 14 lies between 13, which has no WalSndWait, and 15, which has it. */
static void a_major_without_a_version_is_seen_from_both_neighbours(void **state)
{
	struct ws_sig_unit sig;

	(void)state;
	load(&sig, "walsender.c", 14);
	assert_non_null(function_of(&sig, "WalSndWait"));
	assert_false(function_of(&sig, "WalSndWait")->is_required);
	assert_true(function_of(&sig, "WalSndLoop")->is_required);
	ws_sig_unit_deinit(&sig);
}

static void a_string_is_reduced_to_plain_characters(void **state)
{
	char text[WS_SIG_STRING];

	(void)state;
	assert_string_equal(ws_sig_string("\"%s\" has now caught up with", text),
			    "\"__s__has_now_caught_up_w");
	assert_string_equal(ws_sig_string("", text), "\"");
}

static void all_names_are_sorted_and_none_comes_twice(void **state)
{
	size_t count, wanted_count;
	ws_autofree struct ws_symbol_wanted *all = ws_symbol_wanted_all(&count);

	(void)state;
	ws_symbol_wanted(&wanted_count);
	assert_non_null(all);
	assert_true(count > wanted_count + 200);
	for (size_t i = 1; i < count; i++) {
		assert_true(strcmp(all[i - 1].name, all[i].name) < 0);
		assert_true(all[i].first_major >= 10);
	}
}

/* XLogPageRead moved from xlog.c to xlogrecovery.c in 15: one function. */
static void a_function_that_moved_is_one(void **state)
{
	size_t count, found = 0;
	ws_autofree struct ws_symbol_wanted *all = ws_symbol_wanted_all(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(all[i].name, "XLogPageRead") != 0)
			continue;
		found++;
		assert_int_equal(all[i].first_major, 10);
		assert_int_equal(all[i].last_major, 0);
	}
	assert_int_equal(found, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_unit_is_sorted_for_every_major),
		cmocka_unit_test(a_function_has_what_its_source_has),
		cmocka_unit_test(a_function_has_the_numbers_of_its_source),
		cmocka_unit_test(a_number_that_tells_nothing_is_none),
		cmocka_unit_test(a_major_has_only_its_own_functions),
		cmocka_unit_test(a_major_without_a_version_is_seen_from_both_neighbours),
		cmocka_unit_test(a_string_is_reduced_to_plain_characters),
		cmocka_unit_test(all_names_are_sorted_and_none_comes_twice),
		cmocka_unit_test(a_function_that_moved_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
