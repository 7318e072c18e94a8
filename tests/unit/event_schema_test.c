/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "event/schema.h"
#include "../lib/random_rec.h"

/* The structures of wire.h, independently of the table. `fixed`: what stands in front of a text. */
static const struct {
	uint16_t kind;
	size_t fixed;
	bool text;
} structs[] = {
	{ WS_KIND_SESSION, sizeof(struct ws_rec_session), false },
	{ WS_KIND_READY, sizeof(struct ws_rec_ready), false },
	{ WS_KIND_COMMAND, sizeof(struct ws_rec_command), false },
	{ WS_KIND_TEXT, sizeof(struct ws_rec_text), true },
	{ WS_KIND_COMMAND_END, sizeof(struct ws_rec_command_end), false },
	{ WS_KIND_ERROR, sizeof(struct ws_rec_error), false },
	{ WS_KIND_STATE, sizeof(struct ws_rec_state), false },
	{ WS_KIND_STREAM, sizeof(struct ws_rec_stream), false },
	{ WS_KIND_TURN, sizeof(struct ws_rec_turn), false },
	{ WS_KIND_KEEPALIVE, sizeof(struct ws_rec_keepalive), false },
	{ WS_KIND_BACKUP, sizeof(struct ws_rec_backup), false },
	{ WS_KIND_EXIT, sizeof(struct ws_rec_exit), false },
	{ WS_KIND_PHASE, sizeof(struct ws_rec_phase), false },
	{ WS_KIND_TEXT_SUM, sizeof(struct ws_rec_text_sum), false },
	{ WS_KIND_MESSAGE, sizeof(struct ws_rec_message), false },
	{ WS_KIND_SIGNAL, sizeof(struct ws_rec_signal), false },
	{ WS_KIND_SLOT, sizeof(struct ws_rec_slot), false },
	{ WS_KIND_ENDING, sizeof(struct ws_rec_ending), false },
	{ WS_KIND_OFF_CPU, sizeof(struct ws_rec_off_cpu), false },
	{ WS_KIND_TXN, sizeof(struct ws_rec_txn), false },
	{ WS_KIND_SERVER, sizeof(struct ws_rec_server), false },
	{ WS_KIND_GAP, sizeof(struct ws_rec_gap), false },
	{ WS_KIND_CLOCK, sizeof(struct ws_rec_clock), false },
	{ WS_KIND_STOP, sizeof(struct ws_rec_stop), false },
	{ WS_KIND_NOTE, sizeof(struct ws_rec_note), true },
	{ WS_KIND_SOCKET, sizeof(struct ws_rec_socket), false },
	{ WS_KIND_SAMPLE, sizeof(struct ws_rec_sample), false },
	{ WS_KIND_BLOCKED, sizeof(struct ws_rec_blocked), false },
	{ WS_KIND_DECODING, sizeof(struct ws_rec_decoding), false },
	{ WS_KIND_CLUSTER, sizeof(struct ws_rec_cluster), false },
	{ WS_KIND_PROGRESS, sizeof(struct ws_rec_progress), false },
	{ WS_KIND_CGROUP, sizeof(struct ws_rec_cgroup), false },
	{ WS_KIND_HOLDER, sizeof(struct ws_rec_holder), false },
	{ WS_KIND_COPY, sizeof(struct ws_rec_copy), false },
	{ WS_KIND_MEMORY, sizeof(struct ws_rec_memory), false },
};

static char *slurp(const char *path)
{
	ws_autofclose FILE *f = fopen(path, "r");
	char *text;
	size_t got;

	if (!f)
		fail_msg("cannot open %s: run from the root of the repository", path);
	text = calloc(1, 1 << 20);
	assert_non_null(text);
	got = fread(text, 1, (1 << 20) - 1, f);
	assert_true(got > 0 && got < (1 << 20) - 1);
	return text;
}

/* Each `WS_KIND_NAME = n` of the header is a kind of that name and number, and there is no other.
 */
static void test_the_kinds_are_those_of_wire_h(void **state)
{
	ws_autofree char *text = slurp("bpf/wire.h");
	const char *at = text;
	char name[40], lower[40];
	size_t seen = 0, count, i;
	int number, len;

	(void)state;
	while ((at = strstr(at, "\tWS_KIND_"))) {
		at += strlen("\tWS_KIND_");
		if (sscanf(at, "%39[A-Z_] = %d%n", name, &number, &len) != 2 ||
		    !strcmp(name, "MAX"))
			continue;
		for (i = 0; i <= strlen(name); i++)
			lower[i] = (char)tolower(name[i]);
		assert_non_null(ws_kind_info((uint16_t)number));
		assert_string_equal(ws_kind_info((uint16_t)number)->name, lower);
		assert_ptr_equal(ws_kind_by_name(lower), ws_kind_info((uint16_t)number));
		seen++;
	}
	ws_kinds(&count);
	assert_int_equal(seen, count);
	assert_int_equal(seen, WS_ARRAY_SIZE(structs));
}

static void test_unknown_kinds_are_not_in_the_table(void **state)
{
	unsigned int kind;
	size_t known = 0, count;

	(void)state;
	for (kind = 0; kind <= UINT16_MAX; kind++) {
		const struct ws_kind_info *info = ws_kind_info((uint16_t)kind);

		if (!info)
			continue;
		assert_int_equal(info->kind, kind);
		known++;
	}
	ws_kinds(&count);
	assert_int_equal(known, count);
	assert_null(ws_kind_by_name("tur"));
	assert_null(ws_kind_by_name(""));
}

static void test_each_byte_of_each_struct_is_described_once(void **state)
{
	size_t i, k, at;

	(void)state;
	for (i = 0; i < WS_ARRAY_SIZE(structs); i++) {
		const struct ws_kind_info *info = ws_kind_info(structs[i].kind);
		uint8_t seen[WS_REC_SIZE_MAX] = { 0 };

		for (k = 0; k < info->field_count; k++) {
			const struct ws_field *field = &info->fields[k];

			if (field->type == WS_FIELD_TEXT) {
				assert_true(structs[i].text);
				assert_int_equal(field->offset, structs[i].fixed);
				continue;
			}
			for (at = 0; at < (size_t)field->size * field->count; at++)
				seen[field->offset + at]++;
		}
		for (at = 0; at < sizeof(seen); at++) {
			bool flags = at == offsetof(struct ws_rec, flags) ||
				     at == offsetof(struct ws_rec, flags) + 1;
			bool body = at >= sizeof(struct ws_rec) && at < structs[i].fixed;

			if (flags ? seen[at] > 1 : seen[at] != body)
				fail_msg("byte %zu of %s is described %u times", at, info->name,
					 seen[at]);
		}
	}
}

static void test_sizes_are_those_of_the_structs(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < WS_ARRAY_SIZE(structs); i++) {
		const struct ws_kind_info *info = ws_kind_info(structs[i].kind);

		assert_true(info->min_size <= info->max_size);
		assert_true(info->max_size <= WS_REC_SIZE_MAX);
		if (structs[i].text) {
			assert_int_equal(info->sizes[0], 0);
			assert_true(info->min_size >= structs[i].fixed);
			assert_true(info->max_size > structs[i].fixed);
			continue;
		}
		assert_int_equal(info->min_size, info->sizes[0]);
		assert_int_equal(info->max_size, structs[i].fixed);
		assert_int_equal(info->sizes[1] ? info->sizes[1] : info->sizes[0],
				 structs[i].fixed);
	}
	assert_int_equal(ws_kind_info(WS_KIND_TURN)->sizes[0], WS_TURN_SHORT_SIZE);
	assert_int_equal(ws_kind_info(WS_KIND_ERROR)->sizes[0], WS_ERROR_WIRE_SIZE);
}

static bool ends_with(const char *name, const char *end)
{
	return strlen(name) >= strlen(end) && !strcmp(name + strlen(name) - strlen(end), end);
}

static void test_fields_are_complete_and_named_by_the_contract(void **state)
{
	size_t i, k, j;

	(void)state;
	for (i = 0; i < WS_ARRAY_SIZE(structs); i++) {
		const struct ws_kind_info *info = ws_kind_info(structs[i].kind);

		assert_non_null(info->help);
		for (k = 0; k < info->field_count; k++) {
			const struct ws_field *field = &info->fields[k];

			assert_true(field->count >= 1);
			for (j = 0; j < k; j++)
				assert_string_not_equal(field->name, info->fields[j].name);
			if (field->names && field->count > 1 && !field->hidden)
				assert_int_equal(field->name_count, field->count);
			if (field->type == WS_FIELD_ENUM || field->type == WS_FIELD_FLAGS)
				assert_true(field->name_count > 0);
			if (field->hidden)
				continue;
			if (field->type == WS_FIELD_DURATION)
				assert_true(ends_with(field->name, "_ns"));
			if (field->type == WS_FIELD_LSN)
				assert_true(!strcmp(field->name, "lsn") ||
					    !strncmp(field->name, "lsn_", 4) ||
					    ends_with(field->name, "_lsn"));
			if (field->type == WS_FIELD_TIME)
				assert_false(ends_with(field->name, "_ns"));
		}
	}
}

static void test_random_records_are_sound(void **state)
{
	struct random_recs random = { .state = 1 };
	union random_rec rec;
	char why[128];
	int i;

	(void)state;
	for (i = 0; i < 5000; i++) {
		random_rec(&random, &rec);
		if (!ws_rec_valid(&rec, rec.h.size, why, sizeof(why)))
			fail_msg("kind %u of %u bytes: %s", rec.h.kind, rec.h.size, why);
	}
}

static void test_checks_looked_up_once_say_the_same(void **state)
{
	struct random_recs random = { .state = 4 };
	size_t unsound = 0, size;
	struct ws_checks checks;
	union random_rec rec;

	(void)state;
	ws_checks_init(&checks);
	for (int i = 0; i < 20000; i++) {
		random_rec(&random, &rec);
		size = rec.h.size;
		assert_true(ws_checks_pass(&checks, &rec, size));
		for (int n = 0; n < 1 + i % 8; n++)
			((uint8_t *)&rec)[random_next(&random) % (i % 2 ? size : 4)] =
				(uint8_t)random_next(&random);
		assert_int_equal(ws_checks_pass(&checks, &rec, size),
				 ws_rec_valid(&rec, size, NULL, 0));
		unsound += !ws_rec_valid(&rec, size, NULL, 0);
	}
	assert_true(unsound > 1000);
}

static void test_a_record_that_is_cut_is_not_sound(void **state)
{
	struct random_recs random = { .state = 2 };
	union random_rec rec;
	char why[128];
	size_t size;
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		random_rec(&random, &rec);
		for (size = 0; size < rec.h.size; size++) {
			/* A copy of its own, so that ASan sees a byte read too many. */
			ws_autofree char *copy = malloc(size ? size : 1);

			memcpy(copy, &rec, size);
			*why = '\0';
			assert_false(ws_rec_valid(copy, size, why, sizeof(why)));
			assert_true(*why);
		}
	}
}

static void test_a_known_kind_of_another_size_is_not_sound(void **state)
{
	union random_rec rec;
	size_t i, size;

	(void)state;
	for (i = 0; i < WS_ARRAY_SIZE(structs); i++) {
		const struct ws_kind_info *info = ws_kind_info(structs[i].kind);

		if (structs[i].text)
			continue;
		for (size = sizeof(struct ws_rec); size < 1200; size++) {
			struct random_recs random = { .state = 3 };

			if (size == info->sizes[0] || size == info->sizes[1])
				continue;
			random_rec_of(&random, &rec, info->kind);
			rec.h.size = (uint16_t)size;
			assert_false(ws_rec_valid(&rec, sizeof(rec), NULL, 0));
		}
	}
}

static void test_a_text_longer_than_its_record_is_not_sound(void **state)
{
	union random_rec buffer = { .h = { .size = sizeof(struct ws_rec_text) + 10,
					   .kind = WS_KIND_TEXT } };
	struct ws_rec_text *text = (void *)&buffer;

	(void)state;
	text->of = WS_TEXT_COMMAND;
	text->len = 10;
	assert_true(ws_rec_valid(text, text->h.size, NULL, 0));
	text->len = 11;
	assert_false(ws_rec_valid(text, text->h.size, NULL, 0));
	text->len = UINT32_MAX;
	assert_false(ws_rec_valid(text, text->h.size, NULL, 0));
}

static void test_a_string_that_does_not_end_is_not_sound(void **state)
{
	struct random_recs random = { .state = 4 };
	union random_rec rec;
	struct ws_rec_session *session = (void *)&rec;
	struct ws_rec_note *note = (void *)&rec;

	(void)state;
	random_rec_of(&random, &rec, WS_KIND_SESSION);
	assert_true(ws_rec_valid(&rec, rec.h.size, NULL, 0));
	memset(session->slot, 'x', sizeof(session->slot));
	assert_false(ws_rec_valid(&rec, rec.h.size, NULL, 0));
	random_rec_of(&random, &rec, WS_KIND_NOTE);
	memset(note->text, 'x', rec.h.size - sizeof(*note));
	assert_false(ws_rec_valid(&rec, rec.h.size, NULL, 0));
}

static void test_an_enum_out_of_range_is_not_sound(void **state)
{
	struct random_recs random = { .state = 5 };
	union random_rec rec;
	struct ws_rec_state *change = (void *)&rec;
	struct ws_rec_gap *gap = (void *)&rec;

	(void)state;
	random_rec_of(&random, &rec, WS_KIND_STATE);
	change->to = WS_WALSND_STOPPING;
	assert_true(ws_rec_valid(&rec, rec.h.size, NULL, 0));
	change->to = WS_WALSND_STOPPING + 1;
	assert_false(ws_rec_valid(&rec, rec.h.size, NULL, 0));
	random_rec_of(&random, &rec, WS_KIND_GAP);
	gap->cause = 0;
	assert_false(ws_rec_valid(&rec, rec.h.size, NULL, 0));
}

static void test_impossible_heads_are_not_sound(void **state)
{
	union random_rec rec = { .h = { .size = 32, .kind = 99 } };

	(void)state;
	assert_true(ws_rec_valid(&rec, 32, NULL, 0));
	rec.h.size = 31;
	assert_false(ws_rec_valid(&rec, 32, NULL, 0));
	rec.h.size = WS_REC_SIZE_MAX + 1;
	assert_false(ws_rec_valid(&rec, WS_REC_SIZE_MAX + 1, NULL, 0));
	rec.h.size = 32;
	rec.h.kind = 0;
	assert_false(ws_rec_valid(&rec, 32, NULL, 0));
}

static const struct ws_field *field_of(uint16_t kind, const char *name)
{
	const struct ws_kind_info *info = ws_kind_info(kind);
	size_t i;

	for (i = 0; i < info->field_count; i++) {
		if (!strcmp(info->fields[i].name, name))
			return &info->fields[i];
	}
	fail_msg("%s has no field %s", info->name, name);
	return NULL;
}

static void test_fields_that_were_not_read_are_not_known(void **state)
{
	struct ws_rec_turn turn = { .h = { .size = sizeof(turn), .kind = WS_KIND_TURN } };
	struct ws_rec_session session = { .h = { .size = sizeof(session),
						 .kind = WS_KIND_SESSION } };

	(void)state;
	turn.write_lag_us = -1;
	turn.flush_lag_us = 0;
	assert_false(ws_field_known(field_of(WS_KIND_TURN, "write_lsn"), &turn.h));
	assert_false(ws_field_known(field_of(WS_KIND_TURN, "woke"), &turn.h));
	turn.h.flags = WS_TURN_REPLY | WS_TURN_WOKE;
	assert_true(ws_field_known(field_of(WS_KIND_TURN, "write_lsn"), &turn.h));
	assert_true(ws_field_known(field_of(WS_KIND_TURN, "woke"), &turn.h));
	assert_false(ws_field_known(field_of(WS_KIND_TURN, "write_lag_us"), &turn.h));
	assert_true(ws_field_known(field_of(WS_KIND_TURN, "flush_lag_us"), &turn.h));
	turn.h.size = WS_TURN_SHORT_SIZE;
	assert_false(ws_field_known(field_of(WS_KIND_TURN, "write_lsn"), &turn.h));

	assert_false(ws_field_known(field_of(WS_KIND_SESSION, "user"), &session.h));
	session.valid = WS_VALID_USER;
	assert_true(ws_field_known(field_of(WS_KIND_SESSION, "user"), &session.h));
	assert_false(ws_field_known(field_of(WS_KIND_SESSION, "slot"), &session.h));
}

static void test_numbers_are_loaded_with_their_sign(void **state)
{
	struct ws_rec_turn turn = { .h = { .size = sizeof(turn), .kind = WS_KIND_TURN } };

	(void)state;
	turn.timeout_ms = -1;
	turn.turns = UINT32_MAX;
	turn.stage_ns[WS_STAGE_TAIL] = 42;
	assert_true(ws_field_load(field_of(WS_KIND_TURN, "timeout_ms"), &turn.h, 0) == UINT64_MAX);
	assert_true(ws_field_load(field_of(WS_KIND_TURN, "turns"), &turn.h, 0) == UINT32_MAX);
	assert_int_equal(ws_field_load(field_of(WS_KIND_TURN, "stage_ns"), &turn.h, WS_STAGE_TAIL),
			 42);
}

/* The section of a kind: from its heading to the next one. */
static char *section(const char *page, const char *kind)
{
	char heading[64];
	const char *at, *end;

	snprintf(heading, sizeof(heading), "\n### %s\n", kind);
	at = strstr(page, heading);
	if (!at)
		fail_msg("docs/EVENTS.md has no section for %s", kind);
	end = strstr(at + strlen(heading), "\n##");
	return strndup(at, end ? (size_t)(end - at) : strlen(at));
}

static void test_the_page_mentions_each_kind_field_and_name(void **state)
{
	ws_autofree char *page = slurp("docs/EVENTS.md");
	char quoted[80];
	size_t i, k, n;

	(void)state;
	for (i = 0; i < WS_ARRAY_SIZE(structs); i++) {
		const struct ws_kind_info *info = ws_kind_info(structs[i].kind);
		ws_autofree char *text = section(page, info->name);

		for (k = 0; k < info->field_count; k++) {
			const struct ws_field *field = &info->fields[k];

			if (field->hidden)
				continue;
			snprintf(quoted, sizeof(quoted), "\n| `%s` |", field->name);
			if (!strstr(text, quoted))
				fail_msg("docs/EVENTS.md: %s has no row for %s", info->name,
					 field->name);
			for (n = 0; n < field->name_count; n++) {
				if (!field->names[n])
					continue;
				snprintf(quoted, sizeof(quoted), "`%s`", field->names[n]);
				if (!strstr(text, quoted))
					fail_msg("docs/EVENTS.md: %s.%s does not say %s",
						 info->name, field->name, quoted);
			}
		}
	}
}

/* Of a word that is listed; it need not be shown. */
static void test_each_bit_that_a_field_counts_by_has_a_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(structs); i++) {
		const struct ws_kind_info *info = ws_kind_info(structs[i].kind);

		for (size_t f = 0; f < info->field_count * info->field_count; f++) {
			const struct ws_field *field = &info->fields[f / info->field_count];
			const struct ws_field *word = &info->fields[f % info->field_count];

			if (!field->valid_mask || word->type != WS_FIELD_FLAGS ||
			    word->offset != field->valid_offset)
				continue;
			for (unsigned int bit = 0; bit < 32; bit++)
				if (field->valid_mask >> bit & 1 &&
				    (bit >= word->name_count || !word->names[bit]))
					fail_msg("%s: bit %u, of %s, has no name", info->name, bit,
						 field->name);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_kinds_are_those_of_wire_h),
		cmocka_unit_test(test_unknown_kinds_are_not_in_the_table),
		cmocka_unit_test(test_each_byte_of_each_struct_is_described_once),
		cmocka_unit_test(test_sizes_are_those_of_the_structs),
		cmocka_unit_test(test_fields_are_complete_and_named_by_the_contract),
		cmocka_unit_test(test_random_records_are_sound),
		cmocka_unit_test(test_checks_looked_up_once_say_the_same),
		cmocka_unit_test(test_a_record_that_is_cut_is_not_sound),
		cmocka_unit_test(test_a_known_kind_of_another_size_is_not_sound),
		cmocka_unit_test(test_a_text_longer_than_its_record_is_not_sound),
		cmocka_unit_test(test_a_string_that_does_not_end_is_not_sound),
		cmocka_unit_test(test_an_enum_out_of_range_is_not_sound),
		cmocka_unit_test(test_impossible_heads_are_not_sound),
		cmocka_unit_test(test_fields_that_were_not_read_are_not_known),
		cmocka_unit_test(test_numbers_are_loaded_with_their_sign),
		cmocka_unit_test(test_the_page_mentions_each_kind_field_and_name),
		cmocka_unit_test(test_each_bit_that_a_field_counts_by_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
