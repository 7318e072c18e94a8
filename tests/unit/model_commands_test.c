/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"
#include "base/util.h"

static const struct ws_command *command(const struct fixture *f, size_t i)
{
	assert_true(i < f->o->command_count);
	return &f->o->commands[i].c;
}

static void run(struct fixture *f, const char *text)
{
	ws_tape_command(&f->tape, text);
	after(f, 3);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	after(f, 1);
}

static void a_finished_command_is_told_with_its_text_and_times(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	run(f, "IDENTIFY_SYSTEM");
	run(f, "SHOW wal_segment_size");
	assert_int_equal(f->o->command_count, 2);
	assert_string_equal(command(f, 0)->text, "IDENTIFY_SYSTEM");
	assert_int_equal(command(f, 0)->text_len, 15);
	assert_false(command(f, 0)->truncated);
	assert_int_equal(command(f, 0)->seq, 1);
	assert_int_equal(command(f, 0)->start_ns, BEGIN + 10);
	assert_int_equal(command(f, 0)->end_ns, BEGIN + 13);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_OK);
	assert_string_equal(command(f, 0)->sqlstate, "");
	assert_null(command(f, 0)->message);
	assert_int_equal(command(f, 1)->seq, 2);
	assert_int_equal(session_of(f)->commands, 2);
}

static void the_kind_is_the_first_keyword(void **state)
{
	static const struct {
		const char *text, *kind;
	} cases[] = {
		{ "IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM" },
		{ "  START_REPLICATION 0/1", "START_REPLICATION" },
		{ "BASE_BACKUP ( LABEL 'x' )", "BASE_BACKUP" },
		{ "CREATE_REPLICATION_SLOT x PHYSICAL", "CREATE_REPLICATION_SLOT" },
		{ "DROP_REPLICATION_SLOT x", "DROP_REPLICATION_SLOT" },
		{ "READ_REPLICATION_SLOT x", "READ_REPLICATION_SLOT" },
		{ "TIMELINE_HISTORY 2", "TIMELINE_HISTORY" },
		{ "show x", "SHOW" },
		{ "identify systems", "IDENTIFY" },
		{ "(1)", NULL },
		{ "", NULL },
		{ "a_word_much_longer_than_any_replication_keyword",
		  "A_WORD_MUCH_LONGER_THAN_ANY_REP" },
	};
	struct fixture *f = *state;

	start_idle(f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run(f, cases[i].text);
		assert_string_equal(command(f, i)->text, cases[i].text);
		if (cases[i].kind)
			assert_string_equal(command(f, i)->kind, cases[i].kind);
		else
			assert_null(command(f, i)->kind);
	}
}

static void sql_is_one_command_whatever_its_keyword(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "COPY t TO STDOUT");
	ws_tape_end(&f->tape, WS_COMMAND_IS_SQL);
	after(f, 9);
	ws_tape_end(&f->tape, WS_COMMAND_SQL_DONE);
	assert_int_equal(f->o->command_count, 1);
	assert_string_equal(command(f, 0)->kind, "SQL");
	assert_string_equal(command(f, 0)->text, "COPY t TO STDOUT");
	assert_int_equal(command(f, 0)->end_ns - command(f, 0)->start_ns, 9);
	assert_int_equal(session_of(f)->kind, WS_SESSION_KIND_SQL);
}

static void an_error_closes_the_command_with_what_psql_would_print(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "IDENTIFY SYSTEMS");
	after(f, 5);
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "42601", "replication_yyerror",
		      "syntax error, unexpected IDENT");
	assert_int_equal(f->o->command_count, 1);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_ERROR);
	assert_string_equal(command(f, 0)->sqlstate, "42601");
	assert_string_equal(command(f, 0)->message, "syntax error, unexpected IDENT");
	assert_string_equal(command(f, 0)->location, "replication_yyerror, src.c:42");
	assert_int_equal(command(f, 0)->end_ns, BEGIN + 15);
}

static void an_error_whose_text_never_comes_closes_the_command_all_the_same(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "TIMELINE_HISTORY 9");
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, NULL, NULL, NULL);
	assert_int_equal(f->o->command_count, 0);
	run(f, "SHOW x");
	assert_int_equal(f->o->command_count, 2);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_ERROR);
	assert_string_equal(command(f, 0)->sqlstate, "");
	assert_null(command(f, 0)->message);
	assert_string_equal(command(f, 0)->location, "src.c:42");
	assert_int_equal(command(f, 1)->outcome, WS_OUTCOME_OK);
}

/* The record ends in front of the file's name; what is behind it is nobody's (SAN=1 sees a look).
 */
static void an_error_from_the_kernel_alone_has_no_location(void **state)
{
	struct fixture *f = *state;
	ws_autofree struct ws_rec_error *rec = calloc(1, WS_ERROR_WIRE_SIZE);

	assert_non_null(rec);
	rec->elevel = WS_ELEVEL_ERROR;
	rec->valid = WS_VALID_FILE | WS_VALID_FUNCTION | WS_VALID_SQLSTATE;
	rec->file_addr = 1;
	rec->function_addr = 2;
	start_idle(f);
	ws_tape_command(&f->tape, "SHOW x");
	rec->sqlstate = ws_tape_sqlstate("XX000");
	ws_tape_send(&f->tape, &rec->h, WS_KIND_ERROR, WS_ERROR_WIRE_SIZE, 0);
	ws_tape_ready(&f->tape);
	assert_null(command(f, 0)->location);
	assert_string_equal(command(f, 0)->sqlstate, "XX000");
}

static void an_error_outside_any_command_is_an_entry_without_text(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	run(f, "SHOW x");
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "08P01", "forbidden_in_wal_sender",
		      "extended query protocol not supported in a replication connection");
	run(f, "SHOW y");
	assert_int_equal(f->o->command_count, 3);
	assert_null(command(f, 1)->text);
	assert_null(command(f, 1)->kind);
	assert_int_equal(command(f, 1)->seq, 2);
	assert_string_equal(command(f, 1)->sqlstate, "08P01");
	assert_int_equal(command(f, 1)->start_ns, command(f, 1)->end_ns);
}

static void a_physical_stream_that_ends_with_its_timeline_is_one_command(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_NONE);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(f->o->command_count, 1);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_OK);
}

static void a_stream_its_client_left_is_ok(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	after(f, 10);
	ws_tape_exit(&f->tape, 0, 0);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_OK);
	assert_int_equal(command(f, 0)->end_ns, f->tape.now_ns);
}

static void a_stream_ended_by_a_commerror_is_an_error(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_error(&f->tape, WS_ELEVEL_COMMERROR, "00000", "WalSndCheckTimeOut",
		      "terminating walsender process due to replication timeout");
	assert_int_equal(f->o->command_count, 0);
	ws_tape_exit(&f->tape, 0, 0);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_ERROR);
	assert_string_equal(command(f, 0)->message,
			    "terminating walsender process due to replication timeout");
	assert_string_equal(command(f, 0)->location, "WalSndCheckTimeOut, src.c:42");
}

static void of_two_errors_the_one_that_says_more_is_kept(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_error(&f->tape, WS_ELEVEL_COMMERROR, "08006", "pq_recvbuf",
		      "could not receive data from client: Connection reset by peer");
	ws_tape_error(&f->tape, WS_ELEVEL_COMMERROR, "08P01", "ProcessRepliesIfAny",
		      "unexpected EOF on standby connection");
	ws_tape_exit(&f->tape, 0, 0);
	assert_string_equal(command(f, 0)->sqlstate, "08006");
}

static void a_fatal_outranks_a_commerror(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_error(&f->tape, WS_ELEVEL_COMMERROR, "08006", "internal_flush", "could not send");
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts", "terminating");
	ws_tape_exit(&f->tape, 1, 0);
	assert_string_equal(command(f, 0)->sqlstate, "57P01");
	assert_string_equal(command(f, 0)->message, "terminating");
}

static void an_error_survived_explains_no_later_end(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "COPY t FROM STDIN");
	ws_tape_error(&f->tape, WS_ELEVEL_COMMERROR, "08P01", "pq_getmessage",
		      "incomplete message from client");
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "08P01", "x", "y");
	ws_tape_command(&f->tape, "START_REPLICATION 0/0");
	ws_tape_stream(&f->tape, 0, 1, NULL);
	ws_tape_exit(&f->tape, 0, 0);
	assert_int_equal(command(f, 1)->outcome, WS_OUTCOME_OK);
	assert_int_equal(session_of(f)->exit_reason, WS_END_CLIENT_TERMINATED);
}

static void a_command_killed_with_its_process_says_so(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_exit(&f->tape, 0, 9);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_ERROR);
	assert_string_equal(command(f, 0)->message, "the process was ended by SIGKILL");
	assert_string_equal(command(f, 0)->sqlstate, "");
}

static void a_command_ended_by_quickdie_says_so(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_exit(&f->tape, 2, 0);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_ERROR);
	assert_string_equal(command(f, 0)->message, "the process exited with status 2");
}

static void a_command_still_running_at_the_end_is_told_as_running(void **state)
{
	struct fixture *f = *state;
	struct ws_command now;

	start_streaming(f, 0, 1000);
	assert_true(ws_session_command(session_of(f), &now));
	assert_string_equal(now.kind, "START_REPLICATION");
	ws_model_finish(f->o->model, f->tape.now_ns + 5);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_RUNNING);
	assert_int_equal(command(f, 0)->end_ns, 0);
	assert_int_equal(session_of(f)->commands, 1);
}

static void a_command_found_running_has_no_start(void **state)
{
	struct fixture *f = *state;

	ws_tape_found(&f->tape, WS_FOUND_COMMAND, 0);
	ws_tape_command_head(&f->tape, WS_COMMAND_RUNNING);
	ws_tape_text(&f->tape, WS_TEXT_COMMAND, 0, "BASE_BACKUP", 11, WS_TEXT_LAST);
	after(f, 50);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(command(f, 0)->start_ns, 0);
	assert_int_equal(command(f, 0)->end_ns, BEGIN + 50);
	assert_int_equal(session_of(f)->hist[WS_METRIC_COMMAND_NS].count, 0);
	assert_int_equal(session_of(f)->kind, WS_SESSION_KIND_BACKUP);
	assert_int_equal(session_of(f)->first_command_ns, 0);
}

static void sql_found_running_is_sql(void **state)
{
	struct fixture *f = *state;

	ws_tape_found(&f->tape, WS_FOUND_COMMAND, 0);
	ws_tape_command_head(&f->tape, WS_COMMAND_RUNNING);
	ws_tape_text(&f->tape, WS_TEXT_COMMAND, 0, "COPY t TO STDOUT", 16, WS_TEXT_LAST);
	after(f, 50);
	ws_tape_end(&f->tape, WS_COMMAND_SQL_DONE);
	ws_tape_exit(&f->tape, 0, 0);
	assert_string_equal(command(f, 0)->kind, "SQL");
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_OK);
	assert_int_equal(session_of(f)->kind, WS_SESSION_KIND_SQL);
	assert_timeline(f, "sql 50");
}

static void a_long_text_is_put_together_from_its_chunks(void **state)
{
	struct fixture *f = *state;
	char text[20000];

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 26);
	text[sizeof(text) - 1] = '\0';
	start_idle(f);
	run(f, text);
	assert_int_equal(command(f, 0)->text_len, sizeof(text) - 1);
	assert_memory_equal(command(f, 0)->text, text, sizeof(text));
	assert_false(command(f, 0)->truncated);
	/* And the next one starts from nothing. */
	run(f, "SHOW x");
	assert_string_equal(command(f, 1)->text, "SHOW x");
}

static void chunk(struct fixture *f, uint32_t offset, const char *data, uint16_t flags)
{
	ws_tape_text(&f->tape, WS_TEXT_COMMAND, offset, data, strlen(data), flags);
}

static void gap(struct fixture *f)
{
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns, 1, WS_GAP_RING_FULL);
}

static void a_text_with_a_missing_chunk_ends_in_front_of_it(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command_head(&f->tape, 0);
	chunk(f, 0, "SELECT ", 0);
	gap(f);
	chunk(f, 20, "from t", WS_TEXT_LAST);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(f->o->command_count, 1);
	assert_string_equal(command(f, 0)->text, "SELECT ");
	assert_int_equal(command(f, 0)->text_len, 7);
	assert_true(command(f, 0)->truncated);
}

static void chunks_in_any_order_make_the_text(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command_head(&f->tape, 0);
	chunk(f, 0, "SELECT", 0);
	chunk(f, 10, "fr", 0);
	chunk(f, 6, " 42 ", 0);
	chunk(f, 6, " 42 ", 0);
	chunk(f, 12, "om t", WS_TEXT_LAST);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_string_equal(command(f, 0)->text, "SELECT 42 from t");
	assert_false(command(f, 0)->truncated);
}

static void text_sum(struct fixture *f, enum ws_text_of of, uint64_t len, uint16_t flags)
{
	struct ws_rec_text_sum rec = { .of = of, .len = len, .hash = 0xabcdef };

	ws_tape_send(&f->tape, &rec.h, WS_KIND_TEXT_SUM, WS_TEXT_SUM_SIZE, flags);
}

static void a_cut_text_has_the_length_and_hash_that_were_measured(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command_head(&f->tape, 0);
	chunk(f, 0, "SELECT ", 0);
	text_sum(f, WS_TEXT_COMMAND, 3000000, WS_TEXT_SUM_HASH);
	chunk(f, 7, "'\xc3\xa9\xe2\x82", WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "42601", "scanner_yyerror", NULL);
	ws_tape_text(&f->tape, WS_TEXT_MESSAGE, 0, "near ", 5, 0);
	text_sum(f, WS_TEXT_MESSAGE, 2000000, 0);
	ws_tape_text(&f->tape, WS_TEXT_MESSAGE, 5, "x", 1, WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	/* In front of a character that it was cut in the middle of. */
	assert_string_equal(command(f, 0)->text, "SELECT '\xc3\xa9");
	assert_true(command(f, 0)->truncated);
	assert_true(command(f, 0)->sum.has_bytes && command(f, 0)->sum.has_hash);
	assert_int_equal(command(f, 0)->sum.bytes, 3000000);
	assert_int_equal(command(f, 0)->sum.xxh64, 0xabcdef);
	assert_string_equal(command(f, 0)->message, "near x");
	assert_true(command(f, 0)->message_truncated);
	assert_int_equal(command(f, 0)->message_sum.bytes, 2000000);
	assert_false(command(f, 0)->message_sum.has_hash);
}

static void the_length_of_a_whole_text_is_its_own_and_of_a_torn_one_not_known(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	run(f, "IDENTIFY_SYSTEM");
	ws_tape_command_head(&f->tape, 0);
	chunk(f, 0, "SELECT", WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(command(f, 0)->sum.bytes, 15);
	assert_true(command(f, 0)->sum.has_bytes);
	assert_false(command(f, 0)->sum.has_hash);
	assert_false(command(f, 1)->sum.has_bytes);
}

static void a_text_whose_last_chunk_is_missing_is_truncated(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command_head(&f->tape, 0);
	chunk(f, 0, "START_REPLICATION SLOT \"a b\" LOG", 0);
	gap(f);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_string_equal(command(f, 0)->text, "START_REPLICATION SLOT \"a b\" LOG");
	assert_string_equal(command(f, 0)->kind, "START_REPLICATION");
	assert_true(command(f, 0)->truncated);
	assert_string_equal(session_of(f)->slot, "a b");
}

static void a_text_whose_first_chunk_is_missing_is_not_known(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command_head(&f->tape, 0);
	gap(f);
	chunk(f, 448, "the rest", WS_TEXT_LAST);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(f->o->command_count, 1);
	assert_null(command(f, 0)->text);
	assert_null(command(f, 0)->kind);
	assert_true(command(f, 0)->truncated);
}

static void a_text_without_its_command_is_one_whose_start_is_lost(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "SHOW x");
	gap(f);
	chunk(f, 0, "SHOW y", WS_TEXT_LAST);
	after(f, 4);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(f->o->command_count, 2);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_LOST);
	assert_string_equal(command(f, 1)->text, "SHOW y");
	assert_int_equal(command(f, 1)->start_ns, 0);
	assert_int_equal(command(f, 1)->outcome, WS_OUTCOME_OK);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_COMMAND], 4);
}

static void a_text_is_bounded(void **state)
{
	struct fixture *f = *state;
	static char big[4096];

	memset(big, 'x', sizeof(big));
	start_idle(f);
	ws_tape_command_head(&f->tape, 0);
	for (uint32_t at = 0; at < WS_TEXT_MAX + 3 * sizeof(big); at += sizeof(big))
		ws_tape_text(&f->tape, WS_TEXT_COMMAND, at, big, sizeof(big), 0);
	ws_tape_text(&f->tape, WS_TEXT_COMMAND, UINT32_MAX - 1, "ab", 2,
		     WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(command(f, 0)->text_len, WS_TEXT_MAX);
	assert_true(command(f, 0)->truncated);
}

static void an_unreadable_text_is_not_an_empty_one(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command_head(&f->tape, 0);
	chunk(f, 0, "", WS_TEXT_LAST | WS_TEXT_UNREADABLE);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_null(command(f, 0)->text);
	ws_tape_command_head(&f->tape, 0);
	chunk(f, 0, "", WS_TEXT_LAST);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_string_equal(command(f, 1)->text, "");
	ws_tape_command_head(&f->tape, 0);
	chunk(f, 0, "SHOW ", 0);
	chunk(f, 5, "", WS_TEXT_LAST | WS_TEXT_UNREADABLE);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_string_equal(command(f, 2)->text, "SHOW ");
	assert_true(command(f, 2)->truncated);
}

static void a_message_of_an_error_that_is_missing_is_nobodys(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "SHOW x");
	gap(f);
	ws_tape_text(&f->tape, WS_TEXT_MESSAGE, 0, "boom", 4, WS_TEXT_LAST);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_OK);
	/* Nor is a second message the first error's. */
	ws_tape_command(&f->tape, "SHOW y");
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "42601", "f", NULL);
	ws_tape_text(&f->tape, WS_TEXT_MESSAGE, 0, "first", 5, 0);
	gap(f);
	ws_tape_text(&f->tape, WS_TEXT_MESSAGE, 0, "other", 5, WS_TEXT_LAST);
	assert_int_equal(f->o->command_count, 2);
	assert_string_equal(command(f, 1)->message, "first");
}

static void the_session_is_what_its_commands_make_it(void **state)
{
	static const struct {
		const char *text;
		enum ws_session_kind kind;
		const char *slot;
	} cases[] = {
		{ "IDENTIFY_SYSTEM", WS_SESSION_KIND_UNKNOWN, "" },
		{ "SHOW x", WS_SESSION_KIND_UNKNOWN, "" },
		{ "CREATE_REPLICATION_SLOT \"mine\" PHYSICAL RESERVE_WAL", WS_SESSION_KIND_PHYSICAL,
		  "mine" },
		{ "CREATE_REPLICATION_SLOT \"mine\" LOGICAL \"pgoutput\"", WS_SESSION_KIND_LOGICAL,
		  "mine" },
		{ "CREATE_REPLICATION_SLOT mine TEMPORARY LOGICAL pgoutput",
		  WS_SESSION_KIND_LOGICAL, "mine" },
		{ "DROP_REPLICATION_SLOT other", WS_SESSION_KIND_UNKNOWN, "" },
		{ "READ_REPLICATION_SLOT other", WS_SESSION_KIND_UNKNOWN, "" },
		{ "BASE_BACKUP", WS_SESSION_KIND_BACKUP, "" },
		{ "START_REPLICATION 0/0", WS_SESSION_KIND_PHYSICAL, "" },
		{ "START_REPLICATION SLOT Folded 0/0", WS_SESSION_KIND_PHYSICAL, "folded" },
		{ "START_REPLICATION SLOT \"Kept\"\"x\" PHYSICAL 0/0", WS_SESSION_KIND_PHYSICAL,
		  "Kept\"x" },
		{ "START_REPLICATION SLOT s LOGICAL 0/0 (\"a\" 'b')", WS_SESSION_KIND_LOGICAL,
		  "s" },
		{ "START_REPLICATION LOGICAL 0/0", WS_SESSION_KIND_LOGICAL, "" },
		{ "START_REPLICATION SLOT \"open", WS_SESSION_KIND_PHYSICAL, "" },
		/* repl_scanner.l knows upper case only */
		{ "start_replication slot s logical 0/0", WS_SESSION_KIND_UNKNOWN, "" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ws_tape tape = ws_tape_new(f->tape.sink, (uint32_t)(5000 + i), BEGIN);
		const struct ws_session *s;

		ws_tape_session(&tape, 0);
		ws_tape_command(&tape, cases[i].text);
		ws_tape_end(&tape, WS_COMMAND_DONE);
		ws_tape_exit(&tape, 0, 0);
		s = ws_observed_session(f->o, tape.pid);
		assert_int_equal(s->kind, cases[i].kind);
		assert_string_equal(s->slot, cases[i].slot);
	}
}

static void a_command_that_fails_gives_the_session_no_slot(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "CREATE_REPLICATION_SLOT taken PHYSICAL");
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "42710", "ReplicationSlotCreate", "exists");
	assert_string_equal(session_of(f)->slot, "");
	run(f, "CREATE_REPLICATION_SLOT mine PHYSICAL");
	assert_string_equal(session_of(f)->slot, "mine");
	ws_tape_command(&f->tape, "START_REPLICATION SLOT nosuch LOGICAL 0/0");
	assert_string_equal(session_of(f)->slot, "mine");
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "42704", "ReplicationSlotAcquire", "no");
	assert_string_equal(session_of(f)->slot, "mine");
}

static void a_stream_has_its_slot_from_the_command_where_its_record_is_missing(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "START_REPLICATION SLOT s 0/0 TIMELINE 1");
	ws_tape_lose(&f->tape, 1);
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns, 1, WS_GAP_RING_FULL);
	f->tape.mark_ns = f->tape.now_ns;
	turn(f, 1, WS_WAIT_WAL);
	assert_string_equal(session_of(f)->slot, "s");
}

static void sql_on_the_way_does_not_change_what_a_session_is(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "SELECT 1");
	ws_tape_end(&f->tape, WS_COMMAND_IS_SQL);
	ws_tape_end(&f->tape, WS_COMMAND_SQL_DONE);
	assert_int_equal(session_of(f)->kind, WS_SESSION_KIND_SQL);
	ws_tape_command(&f->tape, "START_REPLICATION SLOT s LOGICAL 0/0");
	ws_tape_stream(&f->tape, WS_STREAM_LOGICAL, 1, "from_memory");
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	ws_tape_command(&f->tape, "SELECT 1");
	ws_tape_end(&f->tape, WS_COMMAND_IS_SQL);
	assert_int_equal(session_of(f)->kind, WS_SESSION_KIND_LOGICAL);
	assert_string_equal(session_of(f)->slot, "from_memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_finished_command_is_told_with_its_text_and_times),
		TEST(the_kind_is_the_first_keyword),
		TEST(sql_is_one_command_whatever_its_keyword),
		TEST(an_error_closes_the_command_with_what_psql_would_print),
		TEST(an_error_whose_text_never_comes_closes_the_command_all_the_same),
		TEST(an_error_from_the_kernel_alone_has_no_location),
		TEST(an_error_outside_any_command_is_an_entry_without_text),
		TEST(a_physical_stream_that_ends_with_its_timeline_is_one_command),
		TEST(a_stream_its_client_left_is_ok),
		TEST(a_stream_ended_by_a_commerror_is_an_error),
		TEST(of_two_errors_the_one_that_says_more_is_kept),
		TEST(a_fatal_outranks_a_commerror),
		TEST(an_error_survived_explains_no_later_end),
		TEST(a_command_killed_with_its_process_says_so),
		TEST(a_command_ended_by_quickdie_says_so),
		TEST(a_command_still_running_at_the_end_is_told_as_running),
		TEST(a_command_found_running_has_no_start),
		TEST(sql_found_running_is_sql),
		TEST(a_long_text_is_put_together_from_its_chunks),
		TEST(a_text_with_a_missing_chunk_ends_in_front_of_it),
		TEST(chunks_in_any_order_make_the_text),
		TEST(a_cut_text_has_the_length_and_hash_that_were_measured),
		TEST(the_length_of_a_whole_text_is_its_own_and_of_a_torn_one_not_known),
		TEST(a_text_whose_last_chunk_is_missing_is_truncated),
		TEST(a_text_whose_first_chunk_is_missing_is_not_known),
		TEST(a_text_without_its_command_is_one_whose_start_is_lost),
		TEST(a_text_is_bounded),
		TEST(an_unreadable_text_is_not_an_empty_one),
		TEST(a_message_of_an_error_that_is_missing_is_nobodys),
		TEST(the_session_is_what_its_commands_make_it),
		TEST(sql_on_the_way_does_not_change_what_a_session_is),
		TEST(a_command_that_fails_gives_the_session_no_slot),
		TEST(a_stream_has_its_slot_from_the_command_where_its_record_is_missing),
	};

	return cmocka_run_group_tests_name("model_commands", tests, NULL, NULL);
}
