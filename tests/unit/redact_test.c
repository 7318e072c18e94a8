/* SPDX-License-Identifier: BSD-2-Clause */
/* What is taken out of texts, and how the pieces of a text come out of the stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/records.h"
#include "base/util.h"
#include "live/redact.h"
#include "session/redact.h"

static void check_command(const char *text, const char *expected)
{
	struct ws_literals literals = { 0 };
	struct ws_buf out = { 0 };

	assert_int_equal(ws_redact_command(text, strlen(text), true, &out, &literals), 0);
	assert_string_equal(out.data ? out.data : "", expected);
	ws_buf_deinit(&out);
	ws_literals_deinit(&literals);
}

static void literals_of_sql_are_numbered(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "select 1", "select $1" },
		{ "select 'a', 12.5e-3, .5, 1.", "select $1, $2, $3, $4" },
		{ "select 0x1F, 1_000", "select $1, $2" },
		{ "select a[1..10]", "select a[$1..$2]" },
		{ "select -1+t1.c2", "select -$1+t1.c2" },
		{ "select ''", "select $1" },
		{ "select 'it''s', 'b'", "select $1, $2" },
		{ "select E'it\\'s', e'\\\\', 'b'", "select $1, $2, $3" },
		{ "select B'1', x'1F', N'n', U&'\\0061', u&'b'", "select $1, $2, $3, $4, $5" },
		{ "select U&\"a\\0062\" UESCAPE '!'", "select U&\"a\\0062\" UESCAPE $1" },
		{ "select 'a'\n  'b'", "select $1" },
		{ "select 'a' -- x\n  'b'", "select $1" },
		{ "select 'a' 'b'", "select $1 $2" },
		{ "select $$a'b$$, $x$ $$ $y$ $x$, $_1$b$_1$", "select $1, $2, $3" },
		{ "select $x$a$X$ b $x$", "select $1" },
		{ "select a$1, b$x$c, \"d'e\", \"f\"\"g'\"",
		  "select a$1, b$x$c, \"d'e\", \"f\"\"g'\"" },
		{ "execute p($2, 'a', $1)", "execute p($2, $3, $1)" },
		{ "select 1$$a b$$, 2.$x$c d$x$", "select $1$2, $3$4" },
		{ "select 1 -- 'a'\n, 2", "select $1 \n, $2" },
		{ "select/* 'a' /* b */ 'c' */1", "select $1" },
		{ "/* select */ select 1", "  select $1" },
		{ "select date'2026-01-01'", "select date$1" },
		{ "select \xc3\xa9'a'", "select \xc3\xa9$1" },
		{ "alter role r password 'secret'", "alter role r password $1" },
		{ "select '\\\\', 'b'", "select $1, $2" },
		/* repl_scanner.l knows keywords in capitals only */
		{ "identify_system 'a'", "identify_system $1" },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++)
		check_command(cases[i][0], cases[i][1]);
}

static void the_rest_goes_with_a_literal_that_does_not_end(void **state)
{
	static const char *const cases[][2] = {
		{ "select 'a", "select $1" },
		{ "select 'a''", "select $1" },
		{ "select E'a\\', b", "select $1" },
		{ "select $$a$ 'b'", "select $1" },
		{ "select $x$ a $$ b", "select $1" },
		{ "select \"a, 'b'", "select ***" },
		{ "select 1 /* a /* b */ 'c'", "select $1  " },
		/* With standard_conforming_strings off this string goes on behind its second quote.
		 */
		{ "select 'C:\\', 'a'", "select $1" },
		{ "select 'a\\'' or b", "select $1" },
		{ "select '\\\\\\', 'a'", "select $1" },
		/* Up to 14 a name stands behind the number, from 16 on a string. */
		{ "select 0x1F$$a b$$, c", "select $1" },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++)
		check_command(cases[i][0], cases[i][1]);
}

static void strings_of_replication_commands_are_blanked(void **state)
{
	static const char *const cases[][2] = {
		{ "IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM" },
		{ "START_REPLICATION SLOT \"s\" 16/B374D848 TIMELINE 3",
		  "START_REPLICATION SLOT \"s\" 16/B374D848 TIMELINE 3" },
		{ "START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1', x 'it''s')",
		  "START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '***', x '***')" },
		{ "BASE_BACKUP (LABEL 'secret', MAX_RATE 32)",
		  "BASE_BACKUP (LABEL '***', MAX_RATE 32)" },
		{ "SHOW \"a", "SHOW ***" },
		{ "SHOW 1a$ 'secret'", "SHOW '***'" },
		{ "BASE_BACKUP ( LABEL 'secret", "BASE_BACKUP ( LABEL '***'" },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++)
		check_command(cases[i][0], cases[i][1]);
}

static void check_message(const char *command, const char *message, bool whole,
			  const char *expected)
{
	struct ws_literals literals = { 0 };
	struct ws_buf out = { 0 }, ignored = { 0 };

	assert_int_equal(ws_redact_command(command, strlen(command), true, &ignored, &literals), 0);
	assert_int_equal(ws_redact_message(message, strlen(message), whole, &literals, &out), 0);
	assert_string_equal(out.data ? out.data : "", expected);
	ws_buf_deinit(&out);
	ws_buf_deinit(&ignored);
	ws_literals_deinit(&literals);
}

static void literals_in_messages_are_blanked(void **state)
{
	static const char *const cases[][3] = {
		{ "select 'abc'::int", "invalid input: \"abc\"", "invalid input: \"***\"" },
		/* Without quotes around it so short a literal is any word. */
		{ "select 'in'::int", "invalid in put: \"in\"", "invalid in put: \"***\"" },
		{ "select 'abcd'::int", "near xabcdx", "near x***x" },
		{ "select 'it''s'::int", "input: \"it's\"", "input: \"***\"" },
		{ "select E'a\\nb'::int", "input: \"a\nb\" or \"E'a\\nb'\"",
		  "input: \"***\" or \"***\"" },
		{ "select 'a'\n'b'::int", "input: \"ab\"", "input: \"***\"" },
		{ "select U&'\\0061b'::int", "input: \"ab\"", "input: \"***\"" },
		{ "select $$a b$$::int", "input: \"a b\"", "input: \"***\"" },
		{ "select 1 'ab'", "at or near \"'ab'\"", "at or near \"'***'\"" },
		{ "select 12345, 12", "value 12345 123456 \"12\" 12",
		  "value *** 123456 \"***\" 12" },
		{ "select 'abcd', 'abcdef'", "\"abcdef\" abcdefg abcde", "\"***\" ***g ***e" },
		{ "select 'ab'::int",
		  "\xc2\xbb"
		  "ab\xc2\xab",
		  "\xc2\xbb***\xc2\xab" },
		{ "select 'host=a pw=x1'", "after \"x1\" of a", "after \"***\" of a" },
		{ "do $$begin raise 'no % for me', 1; end$$", "no 1 for me", "no 1***" },
		{ "do 'begin execute ''select ''''abcd''''''; end'", "near abcd", "near ***" },
		{ "select 1", "nothing in it", "nothing in it" },
		{ "select ''", "input: \"\"", "input: \"\"" },
		/* Nobody knows what else the text held. */
		{ "select 'abc", "unterminated string at or near \"'abc\"", "***" },
		{ "select \"abc", "zero \"abc", "***" },
		{ "select u&'!0061bc' Uescape '!'::int", "input: \"abc\"", "***" },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++)
		check_message(cases[i][0], cases[i][1], true, cases[i][2]);
}

static void a_literal_that_the_end_of_a_message_cuts_is_blanked(void **state)
{
	(void)state;
	check_message("select 'abcdefgh'", "input: abcd", true, "input: abcd");
	check_message("select 'abcdefgh'", "input: abcd", false, "input: ***");
	check_message("select 'abc'", "input: \"abc", false, "input: \"***");
}

static void secrets_of_connection_strings_are_blanked(void **state)
{
	static const char *const cases[][2] = {
		{ "bad: host=a password=b user=c", "bad: host=a password=*** user=c" },
		{ "PassWord = 'b c\\' d' user=c", "PassWord = *** user=c" },
		{ "in \"host=a sslpassword=b\"", "in \"host=a sslpassword=***\"" },
		{ "passfile=/a/b sslkey=c", "passfile=*** sslkey=***" },
		{ "postgresql://u:p@h/d", "postgresql://u:***@h/d" },
		{ "postgres://u:p@s/w@h:1/d?x=y z", "postgres://u:***@h:1/d?x=y z" },
		{ "postgresql://h:5432/d", "postgresql://h:5432/d" },
		{ "postgresql://h/d?password=p", "postgresql://h/d?password=***" },
		{ "password authentication failed for user \"x\"",
		  "password authentication failed for user \"x\"" },
		{ "no_password=x", "no_password=x" },
		{ "password=", "password=***" },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++)
		check_message("", cases[i][0], true, cases[i][1]);
}

/* A client may send what it likes: neither many literals that are alike nor long ones take long. */
static void a_hostile_command_does_not_take_long(void **state)
{
	static char command[1 << 20], message[1 << 20];
	uint64_t before = ws_clock_mono_ns();
	struct ws_literals literals = { 0 };
	struct ws_buf out = { 0 };
	size_t len = 0;

	(void)state;
	while (len + 16 < sizeof(command))
		len += (size_t)sprintf(command + len, "'aaaa%05zu',", len / 12);
	for (size_t i = 0; i + 1 < sizeof(message); i++)
		message[i] = i % 5 == 4 ? '"' : 'a';
	assert_int_equal(ws_redact_command(command, len, true, &out, &literals), 0);
	ws_buf_clear(&out);
	assert_int_equal(ws_redact_message(message, sizeof(message) - 1, true, &literals, &out), 0);
	ws_buf_deinit(&out);
	ws_literals_deinit(&literals);
	assert_true(ws_clock_mono_ns() - before < 20000000000ULL);
}

/* -- the stream */

struct heard {
	struct ws_buf text, kinds;
	uint32_t next_seq;
	uint16_t flags; /* of the last piece */
	uint64_t sum_bytes, sum_hash;
	bool sum_hashed;
};

static int hear(void *arg, const struct ws_rec *rec)
{
	const struct ws_rec_text_sum *sum = (const struct ws_rec_text_sum *)rec;
	const struct ws_rec_text *text = (const struct ws_rec_text *)rec;
	struct heard *heard = arg;

	assert_true(ws_buf_addf(&heard->kinds, "%u ", rec->kind) == 0);
	if (rec->kind < WS_KIND_SERVER)
		assert_int_equal(rec->seq, heard->next_seq++);
	if (rec->kind == WS_KIND_TEXT) {
		assert_int_equal(rec->size, sizeof(*text) + text->len);
		assert_int_equal(text->offset, heard->text.len);
		assert_int_equal(ws_buf_add(&heard->text, text->data, text->len), 0);
		heard->flags = rec->flags;
	}
	if (rec->kind == WS_KIND_TEXT_SUM) {
		heard->sum_bytes = sum->len;
		heard->sum_hash = sum->hash;
		heard->sum_hashed = rec->flags & WS_TEXT_SUM_HASH;
	}
	return 0;
}

struct stream {
	struct heard heard;
	struct ws_redact *redact;
	struct ws_tape tape;
};

static void begin(struct stream *s)
{
	*s = (struct stream){ 0 };
	s->redact = ws_redact_new((struct ws_sink){ .fn = hear, .arg = &s->heard });
	assert_non_null(s->redact);
	s->tape =
		ws_tape_new((struct ws_sink){ .fn = ws_redact_feed, .arg = s->redact }, 100, 1000);
	ws_tape_session(&s->tape, WS_SESSION_DATABASE);
}

static void end(struct stream *s)
{
	ws_redact_free(s->redact);
	ws_buf_deinit(&s->heard.text);
	ws_buf_deinit(&s->heard.kinds);
}

static void forget(struct stream *s)
{
	ws_buf_clear(&s->heard.text);
	ws_buf_clear(&s->heard.kinds);
}

static void piece(struct stream *s, uint32_t offset, const char *text, uint16_t flags)
{
	ws_tape_text(&s->tape, WS_TEXT_COMMAND, offset, text, strlen(text), flags);
}

static void a_literal_over_two_pieces_is_one(void **state)
{
	struct stream s;

	(void)state;
	begin(&s);
	ws_tape_command_head(&s.tape, 0);
	forget(&s);
	piece(&s, 0, "select 'sec", 0);
	piece(&s, 11, "ret', 'x", 0);
	assert_string_equal(s.heard.kinds.data, "");
	piece(&s, 19, "y'", WS_TEXT_LAST);
	assert_string_equal(s.heard.kinds.data, "4 4 4 ");
	assert_string_equal(s.heard.text.data, "select $1, $2");
	assert_int_equal(s.heard.flags, WS_TEXT_LAST);
	forget(&s);
	ws_tape_end(&s.tape, WS_COMMAND_IS_SQL);
	ws_tape_error(&s.tape, WS_ELEVEL_ERROR, "22P02", "f", "input \"secret\", \"xy\"");
	assert_string_equal(s.heard.text.data, "input \"***\", \"***\"");
	end(&s);
}

static void a_text_that_lost_a_piece_ends_in_front_of_it(void **state)
{
	struct stream s;

	(void)state;
	begin(&s);
	ws_tape_command_head(&s.tape, 0);
	piece(&s, 0, "select 1, a", 0);
	ws_tape_gap(&s.tape, 0, 1, 1, WS_GAP_RING_FULL);
	assert_string_equal(s.heard.text.data, "select $1, a");
	forget(&s);
	ws_tape_end(&s.tape, WS_COMMAND_IS_SQL);
	ws_tape_error(&s.tape, WS_ELEVEL_ERROR, "22P02", "f", "input \"secret\"");
	assert_string_equal(s.heard.text.data, "***");
	/* The next command is known again. */
	forget(&s);
	ws_tape_command(&s.tape, "select 'b2'");
	forget(&s);
	ws_tape_error(&s.tape, WS_ELEVEL_ERROR, "22P02", "f", "input \"b2\", \"secret\"");
	assert_string_equal(s.heard.text.data, "input \"***\", \"secret\"");
	end(&s);
}

static int keep_last(void *arg, const struct ws_rec *rec)
{
	if (rec->kind == WS_KIND_TEXT)
		memcpy(arg, rec, sizeof(struct ws_rec_text));
	return 0;
}

static void a_piece_behind_a_hole_is_handed_on_empty(void **state)
{
	struct ws_rec_text last = { 0 };
	struct ws_redact *redact = ws_redact_new((struct ws_sink){ keep_last, &last });
	struct ws_tape tape = ws_tape_new((struct ws_sink){ ws_redact_feed, redact }, 100, 1000);

	(void)state;
	ws_tape_session(&tape, 0);
	ws_tape_command_head(&tape, 0);
	ws_tape_text(&tape, WS_TEXT_COMMAND, 0, "select '", 8, 0);
	ws_tape_lose(&tape, 1);
	ws_tape_text(&tape, WS_TEXT_COMMAND, 500, "secret'", 7, WS_TEXT_LAST);
	assert_int_equal(last.h.size, sizeof(last));
	assert_int_equal(last.h.seq, 4);
	assert_int_equal(last.offset, 500);
	assert_int_equal(last.len, 0);
	assert_int_equal(last.h.flags, WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	/* A text whose first piece is missing. */
	ws_tape_command_head(&tape, 0);
	ws_tape_lose(&tape, 1);
	ws_tape_text(&tape, WS_TEXT_COMMAND, 447, "secret", 6, 0);
	assert_int_equal(last.len, 0);
	assert_int_equal(last.offset, 447);
	ws_redact_free(redact);
}

static void a_sum_keeps_its_length_and_loses_its_hash(void **state)
{
	struct ws_rec_text_sum sum = { .of = WS_TEXT_COMMAND, .len = 2000000, .hash = 77 };
	struct stream s;

	(void)state;
	begin(&s);
	ws_tape_command_head(&s.tape, 0);
	forget(&s);
	piece(&s, 0, "select 'sec", 0);
	ws_tape_send(&s.tape, &sum.h, WS_KIND_TEXT_SUM, WS_TEXT_SUM_SIZE, WS_TEXT_SUM_HASH);
	piece(&s, 11, "ret'", WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	assert_string_equal(s.heard.kinds.data, "4 14 4 ");
	assert_int_equal(s.heard.sum_bytes, 2000000);
	assert_int_equal(s.heard.sum_hash, 0);
	assert_false(s.heard.sum_hashed);
	assert_string_equal(s.heard.text.data, "select $1");
	assert_int_equal(s.heard.flags, WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	/* What stood behind the cut is not known. */
	forget(&s);
	ws_tape_error(&s.tape, WS_ELEVEL_ERROR, "22P02", "f", "input \"other\"");
	assert_string_equal(s.heard.text.data, "***");
	end(&s);
}

static void a_text_that_outgrows_its_pieces_is_cut(void **state)
{
	static char text[WS_TEXT_CHUNK];
	struct stream s;

	(void)state;
	memset(text, '1', sizeof(text) - 1);
	for (size_t i = 1; i < sizeof(text) - 1; i += 2)
		text[i] = ',';
	begin(&s);
	ws_tape_command_head(&s.tape, 0);
	piece(&s, 0, text, WS_TEXT_LAST);
	assert_int_equal(s.heard.text.len, WS_TEXT_CHUNK);
	assert_int_equal(s.heard.flags, WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	end(&s);
}

static void an_error_behind_the_end_of_a_command_is_not_its(void **state)
{
	struct stream s;

	(void)state;
	begin(&s);
	ws_tape_command(&s.tape, "select 'administrator'");
	ws_tape_end(&s.tape, WS_COMMAND_IS_SQL);
	ws_tape_end(&s.tape, WS_COMMAND_SQL_DONE);
	forget(&s);
	ws_tape_error(&s.tape, WS_ELEVEL_FATAL, "57P01", "f", "due to administrator command");
	assert_string_equal(s.heard.text.data, "due to administrator command");
	ws_tape_exit(&s.tape, 1, 0);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_of_sql_are_numbered),
		cmocka_unit_test(the_rest_goes_with_a_literal_that_does_not_end),
		cmocka_unit_test(strings_of_replication_commands_are_blanked),
		cmocka_unit_test(literals_in_messages_are_blanked),
		cmocka_unit_test(a_literal_that_the_end_of_a_message_cuts_is_blanked),
		cmocka_unit_test(secrets_of_connection_strings_are_blanked),
		cmocka_unit_test(a_hostile_command_does_not_take_long),
		cmocka_unit_test(a_literal_over_two_pieces_is_one),
		cmocka_unit_test(a_text_that_lost_a_piece_ends_in_front_of_it),
		cmocka_unit_test(a_piece_behind_a_hole_is_handed_on_empty),
		cmocka_unit_test(a_sum_keeps_its_length_and_loses_its_hash),
		cmocka_unit_test(a_text_that_outgrows_its_pieces_is_cut),
		cmocka_unit_test(an_error_behind_the_end_of_a_command_is_not_its),
	};

	return cmocka_run_group_tests_name("redact", tests, NULL, NULL);
}
