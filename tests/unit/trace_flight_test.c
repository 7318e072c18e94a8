/* SPDX-License-Identifier: BSD-2-Clause */
/* The flight recorder's directory: bounded, whole, and one recording again. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/recording.h"
#include "../lib/records.h"
#include "base/log.h"
#include "base/util.h"
#include "session/model.h"
#include "trace/flight.h"
#include "trace/freeze.h"

#define SECOND	 1000000000ULL
#define MIB	 (1024ULL * 1024)
#define CONTEXTS 33
#define COMMAND	 "START_REPLICATION SLOT \"s1\" 0/5000000 TIMELINE 1"

struct said {
	char line[8][200];
	size_t count;
};

struct fixture {
	char dir[64];
	struct rec_list made; /* all that was added, of all runs */
	struct ws_flight *flight;
	struct ws_trace_info info;
	struct said said;
	struct ws_log log;
	uint64_t random, now_ns;
	uint32_t pids; /* of short sessions */
	struct ws_tape streaming, idle;
};

static void say(void *arg, enum ws_log_level level, const char *line)
{
	struct said *said = arg;

	assert_int_equal(level, WS_LOG_WARN);
	assert_true(said->count < 8);
	snprintf(said->line[said->count++], sizeof(said->line[0]), "%s", line);
}

static int add(void *arg, const struct ws_rec *rec)
{
	struct fixture *f = arg;

	rec_list_add(&f->made, rec);
	assert_int_equal(ws_flight_add(f->flight, rec, NULL), 0);
	assert_int_equal(ws_flight_tick(f->flight, rec->time_ns, NULL), 0);
	return 0;
}

static void open_flight(struct fixture *f, uint64_t size, uint64_t age_ns)
{
	struct ws_flight_options options = {
		.dir = f->dir, .size = size, .age_ns = age_ns, .log = &f->log
	};
	struct ws_error err = { 0 };

	if (ws_flight_new(&f->flight, &options, &err) || ws_flight_begin(f->flight, &f->info, &err))
		fail_msg("%s: %s: %s", err.what, err.where, err.why);
}

static void close_flight(struct fixture *f)
{
	assert_int_equal(ws_flight_close(f->flight, NULL), 0);
	f->flight = NULL;
}

static uint64_t noise(struct fixture *f, uint64_t below)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random % below;
}

static void play_clock(struct fixture *f, uint64_t now_ns)
{
	struct ws_rec_clock clock = {
		.h = { .size = sizeof(clock), .kind = WS_KIND_CLOCK, .time_ns = now_ns },
		.wall_ns = 1795000000000000000 + (int64_t)now_ns,
		.boot_ns = now_ns + 5,
	};

	add(f, &clock.h);
}

/* Of the idle one, which never changes again. */
static void play_memory(struct fixture *f)
{
	struct ws_rec_memory r = { .h = { .size = sizeof(r),
					  .kind = WS_KIND_MEMORY,
					  .pid = f->idle.pid,
					  .time_ns = f->idle.now_ns,
					  .start_ns = f->idle.start_ns,
					  .server = f->idle.server },
				   .contexts = CONTEXTS,
				   .names = { "TopMemoryContext" } };

	add(f, &r.h);
}

/* Who is there from the start: one that streams, one that is idle. */
static void play_start(struct fixture *f)
{
	struct ws_sink sink = { .fn = add, .arg = f };

	f->streaming = ws_tape_new(sink, 4001, f->now_ns);
	f->streaming.start_ns += 1234567; /* who finds it running will know clock ticks alone */
	ws_tape_server(&f->streaming, 99, "15.18");
	play_clock(f, f->now_ns);
	ws_tape_session(&f->streaming, 0);
	ws_tape_ready(&f->streaming);
	ws_tape_command(&f->streaming, COMMAND);
	ws_tape_stream(&f->streaming, WS_STREAM_SLOT, 0x5000000, "s1");
	ws_tape_state(&f->streaming, WS_WALSND_CATCHUP, WS_WALSND_STREAMING);
	f->idle = ws_tape_new(sink, 4002, f->now_ns + 10);
	ws_tape_session(&f->idle, 0);
	ws_tape_ready(&f->idle);
	ws_tape_command(&f->idle, "IDENTIFY_SYSTEM");
	f->idle.now_ns += 1000;
	ws_tape_end(&f->idle, WS_COMMAND_DONE);
	play_memory(f);
}

/* Nothing happens for so long. */
static void rest(struct fixture *f, uint64_t ns)
{
	f->streaming.mark_ns += ns;
	f->now_ns = f->streaming.now_ns = f->streaming.mark_ns;
}

/* So many turns of 200 us, a clock each second, and now and then a short session. */
static void play_turns(struct fixture *f, size_t count)
{
	uint64_t lsn = 0x5000000;

	for (size_t i = 0; i < count; i++) {
		struct ws_tape_turn turn = { .lsn_from = lsn, .wait = WS_WAIT_WAL, .sends = 1 };

		turn.lsn_to = lsn += 8 * noise(f, 1000);
		turn.stage_ns[WS_STAGE_WAIT] = 100000 + noise(f, 80000);
		turn.stage_ns[WS_STAGE_SEND] = 10000 + noise(f, 10000);
		ws_tape_turn(&f->streaming, &turn);
		if (i % 5000 == 0)
			play_clock(f, f->streaming.now_ns);
		if (i % 3000 == 2999) {
			struct ws_tape other = ws_tape_new(f->streaming.sink, 5000 + f->pids++,
							   f->streaming.now_ns);

			ws_tape_session(&other, 0);
			ws_tape_ready(&other);
			ws_tape_command(&other, "IDENTIFY_SYSTEM");
			ws_tape_end(&other, WS_COMMAND_DONE);
			ws_tape_exit(&other, 0, 0);
		}
	}
	f->now_ns = f->streaming.now_ns;
}

static void play_stop(struct fixture *f)
{
	struct ws_rec_stop stop = {
		.h = { .size = sizeof(stop), .kind = WS_KIND_STOP, .time_ns = f->now_ns }
	};

	add(f, &stop.h);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	signal(SIGXFSZ, SIG_IGN);
	strcpy(f->dir, "/tmp/walscope-flight.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->log = (struct ws_log){ .level = WS_LOG_NOTE, .fn = say, .arg = &f->said };
	f->info = recording_info;
	f->random = 42;
	f->now_ns = 1000 * SECOND;
	f->info.start_mono_ns = f->now_ns;
	*state = f;
	return 0;
}

struct listing {
	char name[128][32];
	size_t count;
	uint64_t bytes;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The segments, in order. */
static void list(const struct fixture *f, struct listing *l)
{
	DIR *dir = opendir(f->dir);
	struct dirent *entry;
	char path[400];
	struct stat st;

	*l = (struct listing){ 0 };
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "flight-", 7) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", f->dir, entry->d_name);
		assert_int_equal(stat(path, &st), 0);
		l->bytes += (uint64_t)st.st_size;
		assert_true(l->count < 128);
		snprintf(l->name[l->count++], sizeof(l->name[0]), "%.31s", entry->d_name);
	}
	closedir(dir);
	qsort(l->name, l->count, sizeof(l->name[0]), by_name);
}

static void path_in(const struct fixture *f, const char *name, char path[160])
{
	snprintf(path, 160, "%s/%s", f->dir, name);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	ws_flight_close(f->flight, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	rec_list_deinit(&f->made);
	free(f);
	return 0;
}

static struct ws_reader *open_reader(const char *path)
{
	struct ws_reader *reader;
	struct ws_error err = { 0 };

	if (ws_reader_open(&reader, path, &err))
		fail_msg("%s: %s: %s", err.what, err.where, err.why);
	return reader;
}

static void expect_same(const struct ws_rec *got, const struct ws_rec *made)
{
	assert_int_equal(got->size, made->size);
	assert_memory_equal(got, made, made->size);
}

static void expect_whole(struct ws_reader *reader)
{
	char why[256];

	if (ws_reader_torn(reader, why, sizeof(why)))
		fail_msg("torn: %s", why);
}

static void rotation_neither_loses_nor_doubles_a_record(void **state)
{
	struct fixture *f = *state;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	struct listing l;
	size_t i = 0;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 200000);
	play_stop(f);
	close_flight(f);
	list(f, &l);
	assert_true(l.count >= 3);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		assert_true(i < f->made.count);
		expect_same(rec, f->made.rec[i++]);
	}
	assert_int_equal(i, f->made.count);
	expect_whole(reader);
	ws_reader_rewind(reader);
	assert_int_equal(ws_reader_next(reader, &rec, NULL), 1);
	expect_same(rec, f->made.rec[0]);
	ws_reader_free(reader);
}

/* What the model makes of a recording, finished. */
static struct ws_model *model_of(struct ws_reader *reader, uint64_t *records)
{
	struct ws_model *model = ws_model_new(NULL);
	const struct ws_rec *rec;
	uint64_t last = 0;

	*records = 0;
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		assert_int_equal(ws_model_feed(model, rec), 0);
		if (rec->time_ns > last)
			last = rec->time_ns;
		++*records;
	}
	assert_int_equal(ws_model_finish(model, last), 0);
	return model;
}

static const struct ws_session *session_of(const struct ws_model *model, uint32_t pid)
{
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(model, &count);

	for (size_t i = 0; i < count; i++)
		if (sessions[i]->pid == pid)
			return sessions[i];
	return NULL;
}

struct seen {
	char text[128];
	uint64_t start_ns;
	size_t count;
};

static void on_command(void *arg, const struct ws_session *session,
		       const struct ws_command *command)
{
	struct seen *seen = arg;

	if (session->pid != 4001)
		return;
	seen->count++;
	seen->start_ns = command->start_ns;
	snprintf(seen->text, sizeof(seen->text), "%.*s", (int)command->text_len, command->text);
}

/* Identity, command, positions and memory of the two that began in a segment that is gone. */
static void expect_known(const struct fixture *f, const char *path)
{
	struct seen seen = { 0 };
	const struct ws_observer observer = { .arg = &seen, .command = on_command };
	struct ws_reader *reader = open_reader(path);
	struct ws_model *model = ws_model_new(&observer);
	const struct ws_session *session;
	const struct ws_rec *rec;
	uint64_t last = 0, begun = 0;
	size_t i, memories = 0;

	while (ws_reader_next(reader, &rec, NULL) > 0) {
		assert_int_equal(ws_model_feed(model, rec), 0);
		if (rec->kind == WS_KIND_MEMORY) {
			assert_int_equal(rec->pid, 4002);
			assert_int_equal(((const struct ws_rec_memory *)rec)->contexts, CONTEXTS);
			memories++;
		}
		last = rec->time_ns > last ? rec->time_ns : last;
	}
	expect_whole(reader);
	ws_model_finish(model, last);
	session = session_of(model, 4001);
	assert_non_null(session);
	assert_string_equal(session->user, "replicator");
	assert_string_equal(session->slot, "s1");
	assert_int_equal(session->kind, WS_SESSION_KIND_PHYSICAL);
	assert_int_equal(session->walsnd_state, WS_WALSND_STREAMING);
	assert_true(session->sent_lsn > 0x5000000);
	for (i = 0; i < f->made.count && !begun; i++)
		if (f->made.rec[i]->kind == WS_KIND_COMMAND && f->made.rec[i]->pid == 4001)
			begun = f->made.rec[i]->time_ns;
	assert_int_equal(seen.count, 1);
	assert_string_equal(seen.text, COMMAND);
	assert_int_equal(seen.start_ns, begun);
	session = session_of(model, 4002);
	assert_non_null(session);
	assert_int_equal(session->state, WS_STATE_IDLE);
	assert_int_equal(memories, 1);
	assert_int_equal(ws_model_lost(model), 0);
	ws_model_free(model);
	ws_reader_free(reader);
}

static void the_bound_holds_and_what_is_left_is_known_and_whole(void **state)
{
	struct fixture *f = *state;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t i, records = 0, turns = 0;
	struct listing l;
	char path[160];

	open_flight(f, MIB, 0);
	play_start(f);
	for (int k = 0; k < 60; k++) {
		play_turns(f, 5000);
		list(f, &l);
		assert_true(l.bytes <= MIB);
	}
	play_stop(f);
	close_flight(f);
	list(f, &l);
	assert_true(l.bytes <= MIB && l.bytes > MIB / 2);
	assert_string_not_equal(l.name[0], "flight-0000000001.wst");
	for (i = 0; i < l.count; i++) {
		path_in(f, l.name[i], path);
		expect_known(f, path);
	}
	expect_known(f, f->dir);
	/* Behind what is repeated: the last records, each once. */
	reader = open_reader(f->dir);
	for (i = 0; ws_reader_next(reader, &rec, NULL) > 0; records++)
		i = rec->kind == WS_KIND_TURN && !turns++ ? records : i;
	assert_true(i < 40);
	ws_reader_rewind(reader);
	records -= i + 1; /* those behind the turn that tells positions */
	for (i++; i > 0; i--)
		assert_int_equal(ws_reader_next(reader, &rec, NULL), 1);
	while (ws_reader_next(reader, &rec, NULL) > 0 && rec->kind != WS_KIND_TURN)
		records--;
	for (i = f->made.count - records; i < f->made.count; i++) {
		expect_same(rec, f->made.rec[i]);
		assert_int_equal(ws_reader_next(reader, &rec, NULL), i + 1 < f->made.count);
	}
	ws_reader_free(reader);
}

/* Records of a directory without one of its segments, and what the gap says of it. */
static void a_missing_segment_is_a_gap_of_as_many_records(void **state)
{
	struct fixture *f = *state;
	const struct ws_rec *rec;
	struct ws_reader *reader;
	uint64_t lost = 0;
	struct listing l;
	char path[160];
	size_t i = 0;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 200000);
	play_stop(f);
	close_flight(f);
	list(f, &l);
	path_in(f, l.name[1], path);
	assert_int_equal(unlink(path), 0);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0 && rec->kind != WS_KIND_GAP)
		expect_same(rec, f->made.rec[i++]);
	assert_int_equal(rec->kind, WS_KIND_GAP);
	lost = ((const struct ws_rec_gap *)rec)->lost;
	assert_true(lost > 1000);
	assert_int_equal(((const struct ws_rec_gap *)rec)->cause, WS_GAP_TORN);
	/* Behind what the next segment repeats come all the others. */
	i += lost;
	do {
		if (rec->size == f->made.rec[i]->size &&
		    memcmp(rec, f->made.rec[i], rec->size) == 0)
			i++;
		else
			assert_true(i < f->made.count - 1000);
	} while (ws_reader_next(reader, &rec, NULL) > 0);
	assert_int_equal(i, f->made.count);
	assert_true(ws_reader_torn(reader, path, sizeof(path)));
	snprintf(path + 100, 60, "%llu records are missing", (unsigned long long)lost);
	assert_non_null(strstr(path, path + 100));
	ws_reader_free(reader);
}

static void a_second_recorder_is_refused_by_its_pid(void **state)
{
	struct fixture *f = *state;
	struct ws_flight_options options = { .dir = f->dir, .size = MIB };
	struct ws_flight *second;
	struct ws_error err;
	char pid[32];

	open_flight(f, MIB, 0);
	snprintf(pid, sizeof(pid), "process %d,", (int)getpid());
	assert_int_equal(ws_flight_new(&second, &options, &err), -1);
	assert_null(second);
	assert_non_null(strstr(err.why, pid));
	close_flight(f);
	assert_int_equal(ws_flight_new(&second, &options, &err), 0);
	ws_flight_close(second, NULL);
}

/* What is there when the recorder is killed: blocks up to the last one, and no stop. */
static void kill_recorder(struct fixture *f, size_t turns)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		open_flight(f, 3 * MIB, 0);
		play_start(f);
		play_turns(f, turns);
		ws_flight_tick(f->flight, f->now_ns + 20 * SECOND, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_new_run_goes_on_in_the_directory(void **state)
{
	struct fixture *f = *state;
	uint64_t from = 0, to = 0, ends = 0, records, first_end;
	const struct ws_session *session;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	struct ws_command command;
	struct ws_model *model;
	struct ws_tape later;
	char why[256];

	kill_recorder(f, 20000);
	reader = open_reader(f->dir);
	model = model_of(reader, &records);
	ws_reader_span(reader, &from, &first_end);
	assert_true(ws_reader_torn(reader, why, sizeof(why)));
	ws_model_free(model);
	ws_reader_free(reader);
	/* 4001 runs on and is found, 4002 is gone. */
	f->now_ns = 1100 * SECOND;
	f->info.start_mono_ns = f->now_ns;
	f->info.start_wall_ns += 100 * (int64_t)SECOND;
	open_flight(f, 3 * MIB, 0);
	later = ws_tape_new((struct ws_sink){ .fn = add, .arg = f }, 4001, f->now_ns);
	later.start_ns = 1000 * SECOND;
	ws_tape_server(&later, 99, "15.18");
	ws_tape_found(&later, WS_FOUND_STREAM_WAL, 0x7000000);
	ws_tape_command_head(&later, WS_COMMAND_RUNNING);
	ws_tape_text(&later, WS_TEXT_COMMAND, 0, COMMAND, strlen(COMMAND), WS_TEXT_LAST);
	later.now_ns += 3 * SECOND;
	f->now_ns = later.now_ns;
	play_clock(f, f->now_ns);
	play_stop(f);
	close_flight(f);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		const struct ws_rec_gap *gap = (const void *)rec;

		if (rec->kind != WS_KIND_GAP)
			continue;
		assert_int_equal(gap->cause, WS_GAP_UNRECORDED);
		if (rec->pid) {
			assert_int_equal(rec->pid, 4002);
			ends++;
		} else {
			from = gap->from_ns;
			to = gap->to_ns;
		}
	}
	assert_int_equal(ends, 1);
	assert_int_equal(from, first_end);
	assert_int_equal(to, 1100 * SECOND);
	assert_true(ws_reader_torn(reader, why, sizeof(why)));
	assert_non_null(strstr(why, "1 runs of it were cut off"));
	ws_reader_rewind(reader);
	model = model_of(reader, &records);
	session = session_of(model, 4001);
	assert_non_null(session);
	assert_int_equal(session->end_ns, 0);
	assert_int_equal(session->sent_lsn, 0x7000000);
	/* Its start was seen. */
	assert_false(session->was_running);
	assert_int_equal(session->packet_ns, 1000 * SECOND);
	assert_int_equal(session->commands, 1);
	assert_true(ws_session_command(session, &command));
	assert_int_equal(command.seq, 1);
	assert_int_equal(command.start_ns, 1000 * SECOND);
	assert_true(session->state_ns[WS_STATE_LOST] >= to - from);
	session = session_of(model, 4002);
	assert_int_equal(session->end_ns, to);
	assert_int_equal(ws_model_lost(model), 0);
	ws_model_free(model);
	ws_reader_free(reader);
}

/* Another run, so many seconds after the start, which sees one session go on; 0: none. */
static void run_again(struct fixture *f, uint64_t seconds, uint32_t filter, uint32_t pid)
{
	struct ws_tape tape;

	f->info.filter = filter;
	f->info.start_wall_ns += (int64_t)(seconds * SECOND - f->info.start_mono_ns);
	f->info.start_mono_ns = f->now_ns = seconds * SECOND;
	open_flight(f, 3 * MIB, 0);
	tape = ws_tape_new((struct ws_sink){ .fn = add, .arg = f }, pid, f->now_ns);
	tape.start_ns = 1000 * SECOND;
	ws_tape_server(&tape, 99, "15.18");
	if (pid)
		ws_tape_found(&tape, WS_FOUND_STREAM_WAL, 0x7000000);
	f->now_ns += 3 * SECOND;
	play_clock(f, f->now_ns);
	play_stop(f);
	close_flight(f);
}

static uint64_t end_of(const struct fixture *f, uint32_t pid)
{
	struct ws_reader *reader = open_reader(f->dir);
	uint64_t records, end;
	struct ws_model *model = model_of(reader, &records);

	assert_non_null(session_of(model, pid));
	end = session_of(model, pid)->end_ns;
	ws_model_free(model);
	ws_reader_free(reader);
	return end;
}

static void a_run_with_another_filter_ends_no_session_that_it_does_not_see(void **state)
{
	struct fixture *f = *state;

	kill_recorder(f, 1000);
	run_again(f, 1100, 7, 4001);
	assert_int_equal(end_of(f, 4001), 0);
	assert_int_equal(end_of(f, 4002), 0);
	run_again(f, 1200, 8, 0);
	assert_int_equal(end_of(f, 4001), 0);
	/* The same one again would have told it. */
	run_again(f, 1300, 7, 0);
	assert_int_equal(end_of(f, 4001), 1300 * SECOND);
	assert_int_equal(end_of(f, 4002), 0);
	run_again(f, 1400, 0, 0);
	assert_int_equal(end_of(f, 4001), 1300 * SECOND);
	assert_int_equal(end_of(f, 4002), 1400 * SECOND);
}

static void a_later_boot_follows_in_time_and_shares_no_session(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0, between = 0;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	struct ws_model *model;
	size_t count, stops = 0;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 5000);
	play_stop(f);
	close_flight(f);
	/* Ten minutes later, with a clock that starts anew. */
	f->info.start_wall_ns += 600 * (int64_t)SECOND;
	f->info.start_mono_ns = f->now_ns = 5 * SECOND;
	strcpy(f->info.boot_id, "99999999-2222-3333-4444-555555555555");
	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 100);
	play_stop(f);
	close_flight(f);
	reader = open_reader(f->dir);
	model = ws_model_new(NULL);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		ws_model_feed(model, rec);
		if (rec->kind == WS_KIND_STOP) {
			if (!stops++)
				between = rec->time_ns;
			last = rec->time_ns;
		}
		if (stops)
			assert_true(rec->time_ns >= between);
	}
	assert_int_equal(stops, 2);
	assert_true(last > between);
	assert_true(last >= 1600 * SECOND && last < 1601 * SECOND);
	ws_model_finish(model, last);
	ws_model_sessions(model, &count);
	assert_int_equal(count, 2 + 2 + 1); /* two of each boot, and a short one */
	expect_whole(reader);
	ws_model_free(model);
	ws_reader_free(reader);
}

static void what_is_older_than_the_age_goes(void **state)
{
	struct fixture *f = *state;
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct listing l;
	char path[160];

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 150000);
	play_stop(f);
	close_flight(f);
	list(f, &l);
	assert_true(l.count > 1);
	path_in(f, l.name[0], path);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	open_flight(f, 3 * MIB, 3600 * SECOND);
	assert_int_equal(access(path, F_OK), -1);
	path_in(f, l.name[1], path);
	assert_int_equal(access(path, F_OK), 0);
	/* And a segment ends after an eighth of it, however small it is. */
	play_start(f);
	rest(f, 451 * SECOND);
	play_turns(f, 3);
	play_stop(f);
	close_flight(f);
	path_in(f, l.name[1], path);
	snprintf(path + strlen(path) - 14, 15, "%010zu.wst", l.count + 2);
	assert_int_equal(access(path, F_OK), 0);
}

static void what_this_run_wrote_ages_whatever_the_wall_clock_says(void **state)
{
	struct fixture *f = *state;
	struct listing l;

	open_flight(f, 3 * MIB, 80 * SECOND);
	play_start(f);
	for (int i = 0; i < 20; i++) {
		play_turns(f, 3);
		rest(f, 11 * SECOND); /* a segment each */
	}
	play_stop(f);
	close_flight(f);
	list(f, &l);
	assert_in_range(l.count, 7, 10);
}

static void limit_room(uint64_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_is_told_once_and_counted(void **state)
{
	struct fixture *f = *state;
	uint64_t lost = 0, count = 0;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t before;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 10000);
	before = f->made.count;
	limit_room(4096); /* not even a header */
	play_turns(f, 300000);
	assert_int_equal(f->said.count, 1);
	assert_non_null(strstr(f->said.line[0], "recording paused"));
	limit_room(0);
	play_turns(f, 50000);
	assert_int_equal(f->said.count, 2);
	assert_non_null(strstr(f->said.line[1], "recording resumed"));
	play_stop(f);
	close_flight(f);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		if (rec->kind == WS_KIND_GAP) {
			assert_int_equal(((const struct ws_rec_gap *)rec)->cause, WS_GAP_UNWRITTEN);
			lost += ((const struct ws_rec_gap *)rec)->lost;
		} else {
			count++;
		}
	}
	assert_true(lost > 200000);
	assert_int_equal(count + lost, f->made.count);
	assert_true(count > before);
	expect_whole(reader);
	ws_reader_free(reader);
}

static void a_piece_is_frozen_while_it_is_recorded(void **state)
{
	struct fixture *f = *state;
	struct ws_freeze freeze = { .to_ns = UINT64_MAX };
	size_t i = 0, got = 0, wanted = 0;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	char path[160], command[512];

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 100000);
	path_in(f, "piece.wst", path);
	freeze.path = path;
	freeze.from_ns = f->now_ns - 5 * SECOND;
	freeze.to_ns = f->now_ns - 2 * SECOND;
	reader = open_reader(f->dir);
	assert_true(ws_reader_goes_on(reader));
	ws_reader_skip_to(reader, freeze.from_ns);
	assert_int_equal(ws_freeze_run(&freeze, reader, NULL), 0);
	ws_reader_free(reader);
	expect_known(f, path);
	while (i < f->made.count && f->made.rec[i]->time_ns < freeze.from_ns)
		i++;
	for (size_t k = i; k < f->made.count; k++)
		wanted += f->made.rec[k]->time_ns < freeze.to_ns;
	assert_int_equal(freeze.records, wanted);
	reader = open_reader(path);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		if (!got && (rec->size != f->made.rec[i]->size ||
			     memcmp(rec, f->made.rec[i], rec->size) != 0))
			continue; /* what is known where it begins */
		expect_same(rec, f->made.rec[i + got++]);
	}
	assert_int_equal(got, wanted);
	ws_reader_free(reader);
	/* Nothing else is left, and the directory's other recordings do not count. */
	snprintf(command, sizeof(command), "test $(ls %s | grep -vc ^flight) = 1", f->dir);
	assert_int_equal(system(command), 0);
}

/* Each segment but the first begins long before that, by the wall clock. */
static void a_clock_that_is_set_back_costs_a_piece_nothing(void **state)
{
	struct fixture *f = *state;

	f->info.start_wall_ns = 4000000000000000000;
	a_piece_is_frozen_while_it_is_recorded(state);
}

static void a_piece_does_not_take_the_place_of_a_segment(void **state)
{
	struct fixture *f = *state;
	struct ws_freeze freeze = { .to_ns = UINT64_MAX };
	char path[160], *before, *after;
	uint64_t size, size_after;
	struct ws_reader *reader;
	struct ws_error err;
	struct listing l;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 10);
	list(f, &l);
	path_in(f, l.name[0], path);
	before = file_bytes(path, &size);
	freeze.path = path;
	reader = open_reader(f->dir);
	assert_int_equal(ws_freeze_run(&freeze, reader, &err), -1);
	assert_string_equal(err.where, path);
	assert_non_null(strstr(err.why, "segments"));
	ws_reader_free(reader);
	after = file_bytes(path, &size_after);
	assert_int_equal(size_after, size);
	assert_memory_equal(after, before, size);
	free(before);
	free(after);
}

/* The directory's last segment is these bytes now: so many records are whole. */
static void expect_records(struct fixture *f, const char *path, const void *bytes, size_t size,
			   size_t whole)
{
	FILE *out = fopen(path, "w");
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t i = 0;

	assert_int_equal(fwrite(bytes, 1, size, out), size);
	fclose(out);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0)
		if (rec->kind != WS_KIND_GAP)
			expect_same(rec, f->made.rec[i++]);
	assert_int_equal(i, whole);
	assert_true(ws_reader_torn(reader, NULL, 0));
	ws_reader_free(reader);
}

/* Cuts the last segment at every byte of its last two blocks; flips every byte of the last one. */
static void whatever_is_whole_is_read(void **state)
{
	struct fixture *f = *state;
	uint64_t end[3] = { 0 }, size;
	size_t upto[3] = { 0 }, segments;
	struct listing l;
	char path[160], *bytes;

	open_flight(f, 3 * MIB, 80 * SECOND);
	play_start(f);
	play_turns(f, 10);
	rest(f, 11 * SECOND); /* the next segment */
	for (int i = 0; i < 3; i++) {
		play_turns(f, 4);
		rest(f, 2 * SECOND);
		ws_flight_tick(f->flight, f->streaming.now_ns, NULL);
		upto[i] = f->made.count;
		end[i] = ws_flight_bytes(f->flight, &segments);
	}
	assert_int_equal(segments, 2);
	close_flight(f);
	list(f, &l);
	path_in(f, l.name[1], path);
	bytes = file_bytes(path, &size);
	for (uint64_t cut = end[2] - end[0]; cut > 0; cut--)
		expect_records(f, path, bytes, size - cut,
			       cut > end[2] - end[1] ? upto[0] : upto[1]);
	for (uint64_t flip = size - (end[2] - end[1]); flip < size; flip++) {
		bytes[flip] ^= 0x55;
		expect_records(f, path, bytes, size, upto[1]);
		bytes[flip] ^= 0x55;
	}
	free(bytes);
}

static void one_session_is_read_without_the_others(void **state)
{
	struct fixture *f = *state;
	uint64_t decoded, passed, first, last, all_first, all_last;
	struct rec_list wanted = { 0 };
	const uint32_t pid = 5007;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t i = 0;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 200000);
	play_stop(f);
	close_flight(f);
	for (i = 0; i < f->made.count; i++)
		if (!f->made.rec[i]->start_ns || f->made.rec[i]->pid == 5007)
			rec_list_add(&wanted, f->made.rec[i]);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0)
		;
	ws_reader_span(reader, &all_first, &all_last);
	ws_reader_rewind(reader);
	ws_reader_narrow(reader,
			 &(struct ws_reader_want){ .narrow = true, .pids = &pid, .pid_count = 1 });
	for (i = 0; ws_reader_next(reader, &rec, NULL) > 0;) {
		assert_true(i < wanted.count);
		expect_same(rec, wanted.rec[i++]);
	}
	assert_int_equal(i, wanted.count);
	ws_reader_blocks(reader, &decoded, &passed);
	assert_true(passed > 10 * decoded);
	ws_reader_span(reader, &first, &last);
	assert_int_equal(first, all_first);
	assert_int_equal(last, all_last);
	ws_reader_free(reader);
	rec_list_deinit(&wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rotation_neither_loses_nor_doubles_a_record, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_bound_holds_and_what_is_left_is_known_and_whole,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_missing_segment_is_a_gap_of_as_many_records,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_second_recorder_is_refused_by_its_pid, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_run_with_another_filter_ends_no_session_that_it_does_not_see, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_new_run_goes_on_in_the_directory, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_later_boot_follows_in_time_and_shares_no_session,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_older_than_the_age_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_this_run_wrote_ages_whatever_the_wall_clock_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_disk_is_told_once_and_counted, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_piece_is_frozen_while_it_is_recorded, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_clock_that_is_set_back_costs_a_piece_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_piece_does_not_take_the_place_of_a_segment,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(whatever_is_whole_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_session_is_read_without_the_others, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
