/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flight_fixture.h: the flight recorder's directory in a folder of the test's own, and two
 * walsenders to record: one that streams, one that is idle. Include it behind cmocka.h.
 */
#ifndef WS_TESTS_FLIGHT_FIXTURE_H
#define WS_TESTS_FLIGHT_FIXTURE_H

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "recording.h"
#include "records.h"
#include "session/model.h"
#include "trace/flight.h"

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

static inline void say(void *arg, enum ws_log_level level, const char *line)
{
	struct said *said = arg;

	assert_int_equal(level, WS_LOG_WARN);
	assert_true(said->count < 8);
	snprintf(said->line[said->count++], sizeof(said->line[0]), "%s", line);
}

static inline int add(void *arg, const struct ws_rec *rec)
{
	struct fixture *f = arg;

	rec_list_add(&f->made, rec);
	assert_int_equal(ws_flight_add(f->flight, rec, NULL), 0);
	assert_int_equal(ws_flight_tick(f->flight, rec->time_ns, NULL), 0);
	return 0;
}

static inline void open_flight(struct fixture *f, uint64_t size, uint64_t age_ns)
{
	struct ws_flight_options options = {
		.dir = f->dir, .size = size, .age_ns = age_ns, .log = &f->log
	};
	struct ws_error err = { 0 };

	if (ws_flight_new(&f->flight, &options, &err) || ws_flight_begin(f->flight, &f->info, &err))
		fail_msg("%s: %s: %s", err.what, err.where, err.why);
}

static inline void close_flight(struct fixture *f)
{
	assert_int_equal(ws_flight_close(f->flight, NULL), 0);
	f->flight = NULL;
}

static inline uint64_t noise(struct fixture *f, uint64_t below)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random % below;
}

static inline void play_clock(struct fixture *f, uint64_t now_ns)
{
	struct ws_rec_clock clock = {
		.h = { .size = sizeof(clock), .kind = WS_KIND_CLOCK, .time_ns = now_ns },
		.wall_ns = 1795000000000000000 + (int64_t)now_ns,
		.boot_ns = now_ns + 5,
	};

	add(f, &clock.h);
}

/* Of the idle one, which never changes again. */
static inline void play_memory(struct fixture *f)
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
static inline void play_start(struct fixture *f)
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
static inline void rest(struct fixture *f, uint64_t ns)
{
	f->streaming.mark_ns += ns;
	f->now_ns = f->streaming.now_ns = f->streaming.mark_ns;
}

/* So many turns of 200 us, a clock each second, and now and then a short session. */
static inline void play_turns(struct fixture *f, size_t count)
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

static inline void play_stop(struct fixture *f)
{
	struct ws_rec_stop stop = {
		.h = { .size = sizeof(stop), .kind = WS_KIND_STOP, .time_ns = f->now_ns }
	};

	add(f, &stop.h);
}

static inline int set_up(void **state)
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

static inline int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The segments, in order. */
static inline void list(const struct fixture *f, struct listing *l)
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

static inline void path_in(const struct fixture *f, const char *name, char path[160])
{
	snprintf(path, 160, "%s/%s", f->dir, name);
}

static inline int tear_down(void **state)
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

static inline struct ws_reader *open_reader(const char *path)
{
	struct ws_reader *reader;
	struct ws_error err = { 0 };

	if (ws_reader_open(&reader, path, &err))
		fail_msg("%s: %s: %s", err.what, err.where, err.why);
	return reader;
}

static inline void expect_same(const struct ws_rec *got, const struct ws_rec *made)
{
	assert_int_equal(got->size, made->size);
	assert_memory_equal(got, made, made->size);
}

static inline void expect_whole(struct ws_reader *reader)
{
	char why[256];

	if (ws_reader_torn(reader, why, sizeof(why)))
		fail_msg("torn: %s", why);
}

/* What the model makes of a recording, finished. */
static inline struct ws_model *model_of(struct ws_reader *reader, uint64_t *records)
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

static inline const struct ws_session *session_of(const struct ws_model *model, uint32_t pid)
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

static inline void on_command(void *arg, const struct ws_session *session,
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
static inline void expect_known(const struct fixture *f, const char *path)
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

#define FLIGHT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
