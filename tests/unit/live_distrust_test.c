/* SPDX-License-Identifier: BSD-2-Clause */
/* Which fields of the programs' records are believed. */
#include "../lib/proc_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/schema.h"
#include "live/private.h"

struct stand {
	struct ws_live live;
	struct ws_live_options options;
	struct ws_log log;
	struct ws_binary binary, *binaries[1];
	union ws_live_room room;
	unsigned int notes;
	char note[WS_REC_SIZE_MAX];
};

static int take_note(void *arg, const struct ws_rec *rec)
{
	struct stand *s = arg;

	assert_int_equal(rec->kind, WS_KIND_NOTE);
	s->notes++;
	snprintf(s->note, sizeof(s->note), "%s", ((const struct ws_rec_note *)rec)->text);
	return 0;
}

static int setup(void **state)
{
	struct stand *s = calloc(1, sizeof(*s));
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	s->options.log = &s->log;
	s->live = (struct ws_live){ .options = &s->options,
				    .proc = { .root = "/proc" },
				    .sink = { .fn = take_note, .arg = s },
				    .binaries = s->binaries,
				    .binary_count = 1 };
	s->binaries[0] = &s->binary;
	s->binary.server = 3;
	s->binary.major = 15;
	s->binary.layout_source = WS_LAYOUT_TABLE;
	s->binary.plan.config.var.am_db_walsender = s->binary.plan.config.var.xlog_send_logical = 1;
	assert_int_equal(ws_image_open(&s->binary.image, fd, "self", NULL, NULL), 0);
	close(fd);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stand *s = *state;

	ws_image_free(s->binary.image);
	free(s);
	return 0;
}

static const void *pass(struct stand *s, const struct ws_rec *rec)
{
	const struct ws_rec *out = ws_live_doubt(&s->live, rec, &s->room);
	char why[128];

	assert_non_null(out);
	if (!ws_rec_valid(out, out->size, why, sizeof(why)))
		fail_msg("%s", why);
	return out;
}

#define HEAD(of, type)                                                                         \
	{                                                                                      \
		.size = sizeof(struct type), .kind = of, .pid = 77, .start_ns = 5, .server = 3 \
	}

static struct ws_rec_session session_of(uint16_t flags, const char *database)
{
	struct ws_rec_session rec = { .h = HEAD(WS_KIND_SESSION, ws_rec_session) };

	rec.h.flags = flags;
	rec.valid = WS_VALID_USER | WS_VALID_DATABASE | WS_VALID_HOST | WS_VALID_APPLICATION;
	strcpy(rec.user, "repl");
	strcpy(rec.host, "192.0.2.7");
	strcpy(rec.application, "\x01\x02");
	snprintf(rec.database, sizeof(rec.database), "%s", database);
	return rec;
}

static void what_fits_passes_as_it_is(void **state)
{
	struct stand *s = *state;
	struct ws_rec_session plain = session_of(0, "");
	struct ws_rec_session database = session_of(WS_SESSION_DATABASE, "shop");
	struct ws_rec_session refused = session_of(WS_SESSION_REFUSED, "shop");
	struct ws_rec_state change = {
		.h = HEAD(WS_KIND_STATE, ws_rec_state), .from = 0, .to = 2, .sent_lsn = 0x3000000
	};

	assert_memory_equal(pass(s, &plain.h), &plain, sizeof(plain));
	assert_memory_equal(pass(s, &database.h), &database, sizeof(database));
	assert_memory_equal(pass(s, &refused.h), &refused, sizeof(refused));
	assert_memory_equal(pass(s, &change.h), &change, sizeof(change));
	assert_int_equal(s->notes, 0);
}

static void a_field_that_cannot_be_is_told_once_and_unknown_from_then_on(void **state)
{
	struct stand *s = *state;
	struct ws_rec_session first = session_of(0, "repl");
	struct ws_rec_session next = session_of(WS_SESSION_DATABASE, "repl");
	const struct ws_rec_session *out = pass(s, &first.h);

	assert_int_equal(out->valid, first.valid & ~(unsigned int)WS_VALID_DATABASE);
	assert_string_equal(out->database, "");
	assert_string_equal(out->user, "repl");
	assert_int_equal(s->notes, 1);
	assert_non_null(strstr(s->note, "MyProcPort->database_name is \"repl\""));
	assert_non_null(strstr(s->note, "pid 77"));
	out = pass(s, &next.h);
	assert_int_equal(out->valid, next.valid & ~(unsigned int)WS_VALID_DATABASE);
	/* Another field of the same layout is not told of any more. */
	strcpy(first.host, "\x7f");
	out = pass(s, &first.h);
	assert_int_equal(out->valid & WS_VALID_HOST, 0);
	assert_int_equal(s->notes, 1);
	/* Those of another binary are believed. */
	next.h.server = 4;
	assert_ptr_equal(pass(s, &next.h), &next);
}

static void it_is_not_told_what_a_walsender_is_where_nobody_knows(void **state)
{
	struct stand *s = *state;
	struct ws_rec_session rec = session_of(0, "shop");
	struct ws_rec_stream stream = { .h = HEAD(WS_KIND_STREAM, ws_rec_stream), .sent_lsn = 5 };

	s->binary.plan.config.var.am_db_walsender = s->binary.plan.config.var.xlog_send_logical = 0;
	assert_memory_equal(pass(s, &rec.h), &rec, sizeof(rec));
	assert_memory_equal(pass(s, &stream.h), &stream, sizeof(stream));
}

static void a_state_that_is_none_is_unknown(void **state)
{
	struct stand *s = *state;
	struct ws_rec_state rec = { .h = HEAD(WS_KIND_STATE, ws_rec_state),
				    .from = 805311488,
				    .to = 2,
				    .sent_lsn = 0x3000000 };
	const struct ws_rec_state *out = pass(s, &rec.h);

	assert_int_equal(out->from, WS_UNKNOWN);
	assert_int_equal(out->to, 2);
	assert_false(ws_field_known(&ws_kind_info(WS_KIND_STATE)->fields[0], &out->h));
	assert_non_null(strstr(s->note, "MyWalSnd->state is 805311488"));
	rec.from = 1;
	out = pass(s, &rec.h);
	assert_int_equal(out->from, WS_UNKNOWN);
}

static void a_position_that_is_none_is_unknown_in_all_records(void **state)
{
	struct stand *s = *state;
	struct ws_rec_stream stream = { .h = HEAD(WS_KIND_STREAM, ws_rec_stream), .sent_lsn = 77 };
	struct ws_rec_turn turn = {
		.h = HEAD(WS_KIND_TURN, ws_rec_turn), .lsn_from = 77, .lsn_to = 78, .begin_ns = 9
	};
	struct ws_rec_keepalive keepalive = { .h = HEAD(WS_KIND_KEEPALIVE, ws_rec_keepalive),
					      .lsn = 78 };

	/* A client may have made a logical one believe anything. */
	stream.h.flags = WS_STREAM_LOGICAL;
	assert_memory_equal(pass(s, &stream.h), &stream, sizeof(stream));
	stream.h.flags = 0;
	assert_int_equal(((const struct ws_rec_stream *)pass(s, &stream.h))->sent_lsn, 0);
	assert_non_null(strstr(s->note, "MyWalSnd->sentPtr is 0/4D"));
	assert_int_equal(((const struct ws_rec_turn *)pass(s, &turn.h))->lsn_from, 0);
	assert_int_equal(((const struct ws_rec_turn *)pass(s, &turn.h))->lsn_to, 0);
	assert_int_equal(((const struct ws_rec_turn *)pass(s, &turn.h))->begin_ns, 9);
	assert_int_equal(((const struct ws_rec_keepalive *)pass(s, &keepalive.h))->lsn, 0);
}

static void a_slot_and_a_sqlstate_that_are_none_are_unknown(void **state)
{
	struct stand *s = *state;
	struct ws_rec_stream stream = { .h = HEAD(WS_KIND_STREAM, ws_rec_stream),
					.slot = "No Slot" };
	struct ws_rec_error error = { .h = HEAD(WS_KIND_ERROR, ws_rec_error),
				      .elevel = WS_ELEVEL_ERROR,
				      .sqlstate = 0xffffffff,
				      .valid = WS_VALID_SQLSTATE | WS_VALID_LINE };

	stream.h.flags = WS_STREAM_SLOT;
	assert_int_equal(((const struct ws_rec *)pass(s, &stream.h))->flags & WS_STREAM_SLOT, 0);
	assert_int_equal(((const struct ws_rec_error *)pass(s, &error.h))->valid, WS_VALID_LINE);
	/* As it comes from the kernel, without its last two fields */
	error.h.size = WS_ERROR_WIRE_SIZE;
	assert_int_equal(
		((const struct ws_rec_error *)ws_live_doubt(&s->live, &error.h, &s->room))->valid,
		WS_VALID_LINE);
	assert_int_equal(s->notes, 1);
}

/* MyProcPid, against /proc */
static void a_pid_that_is_another_is_unknown(void **state)
{
	struct stand *s = *state;
	struct ws_rec_session rec = session_of(0, "");
	struct ws_process self;

	assert_true(ws_proc_read(&s->live.proc, (uint32_t)getpid(), &self));
	rec.h.pid = self.pid;
	rec.h.start_ns = self.start_ticks * WS_TICK_NS;
	rec.valid |= WS_VALID_NS_PID;
	rec.ns_pid = self.ns_pid;
	assert_memory_equal(pass(s, &rec.h), &rec, sizeof(rec));
	/* Of a process that is gone it is not known. */
	rec.ns_pid++;
	rec.h.start_ns -= WS_TICK_NS;
	assert_memory_equal(pass(s, &rec.h), &rec, sizeof(rec));
	rec.h.start_ns += WS_TICK_NS;
	assert_int_equal(((const struct ws_rec_session *)pass(s, &rec.h))->valid & WS_VALID_NS_PID,
			 0);
	assert_int_equal(s->notes, 1);
}

static void a_record_that_is_too_short_is_left_to_others(void **state)
{
	struct stand *s = *state;
	struct ws_rec_session rec = session_of(0, "repl");

	rec.h.size = sizeof(struct ws_rec);
	assert_ptr_equal(ws_live_doubt(&s->live, &rec.h, &s->room), &rec);
	rec.h.size = UINT16_MAX;
	assert_ptr_equal(ws_live_doubt(&s->live, &rec.h, &s->room), &rec);
	assert_int_equal(s->notes, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(what_fits_passes_as_it_is),
		TEST(a_field_that_cannot_be_is_told_once_and_unknown_from_then_on),
		TEST(it_is_not_told_what_a_walsender_is_where_nobody_knows),
		TEST(a_state_that_is_none_is_unknown),
		TEST(a_position_that_is_none_is_unknown_in_all_records),
		TEST(a_slot_and_a_sqlstate_that_are_none_are_unknown),
		TEST(a_pid_that_is_another_is_unknown),
		TEST(a_record_that_is_too_short_is_left_to_others),
	};

	return cmocka_run_group_tests_name("live/distrust", tests, NULL, NULL);
}
