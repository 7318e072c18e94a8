/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"

#define SEARCH_PATH "SELECT pg_catalog.set_config('search_path', '', false);"
#define BACKUP \
	"BASE_BACKUP ( LABEL 'pg_basebackup base backup',  PROGRESS,  WAIT 0,  MANIFEST 'yes')"

struct client {
	const char *application;
	uint16_t flags;
	uint32_t major; /* 0: 15 */
	const char *commands[10];
	const char *program;  /* NULL: not known */
	const char *evidence; /* a part of it */
};

static void begin(struct ws_tape *tape, const char *application, uint16_t flags)
{
	struct ws_rec_session rec = { .fork_ns = tape->now_ns,
				      .ns_pid = tape->pid,
				      .postmaster_pid = 1000,
				      .valid = WS_VALID_APPLICATION | WS_VALID_USER |
					       WS_VALID_HOST | WS_VALID_NS_PID | WS_VALID_PARENT };

	strcpy(rec.user, "repl");
	strcpy(rec.host, "192.0.2.7");
	snprintf(rec.application, sizeof(rec.application), "%s", application);
	tape->mark_ns = tape->now_ns;
	ws_tape_send(tape, &rec.h, WS_KIND_SESSION, sizeof(rec), flags);
}

static void run(struct ws_tape *tape, const char *command)
{
	ws_tape_command(tape, command);
	tape->now_ns += 2;
	if (!strncmp(command, "BASE_BACKUP", 11))
		ws_tape_backup(tape, WS_BACKUP_STREAM, 0, 0);
	else
		ws_tape_end(tape, WS_COMMAND_DONE);
	tape->now_ns += 2;
}

static void play(struct fixture *f, const struct client *client, uint32_t pid)
{
	struct ws_tape tape = ws_tape_new(f->tape.sink, pid, BEGIN + pid);
	struct ws_rec_server server = { .major = client->major ? client->major : 15 };
	char out[WS_EVIDENCE_TEXT];
	const struct ws_session *s;
	const char *evidence;

	server.h = (struct ws_rec){ .kind = WS_KIND_SERVER, .size = sizeof(server), .pid = 1000 };
	server.h.time_ns = tape.now_ns;
	tape.sink.fn(tape.sink.arg, &server.h);
	begin(&tape, client->application, client->flags);
	for (size_t i = 0; client->commands[i]; i++)
		run(&tape, client->commands[i]);
	s = ws_observed_session(f->o, pid);
	evidence = ws_session_evidence(s, out);
	if (!client->program) {
		assert_null(ws_program_name(s->program));
	} else {
		if (!ws_program_name(s->program))
			fail_msg("%s not told by %s", client->program, evidence);
		assert_string_equal(ws_program_name(s->program), client->program);
	}
	if (client->evidence && (!evidence || !strstr(evidence, client->evidence)))
		fail_msg("\"%s\" not in \"%s\"", client->evidence, evidence ? evidence : "");
}

static void play_all(struct fixture *f, const struct client *clients, size_t count)
{
	for (size_t i = 0; i < count; i++)
		play(f, &clients[i], (uint32_t)(5000 + i));
}

#define PLAY(clients) play_all(*state, clients, sizeof(clients) / sizeof((clients)[0]))

static void programs_are_told_by_their_commands_whatever_their_name(void **state)
{
	static const struct client clients[] = {
		{ "psqlx",
		  0,
		  0,
		  { "IDENTIFY_SYSTEM", "START_REPLICATION 0/3000000 TIMELINE 1" },
		  "walreceiver",
		  "IDENTIFY_SYSTEM, START_REPLICATION" },
		{ "pg_receivewal",
		  0,
		  0,
		  { "IDENTIFY_SYSTEM", "TIMELINE_HISTORY 2",
		    "START_REPLICATION SLOT \"s1\" 1A/3000000 TIMELINE 2" },
		  "walreceiver",
		  "TIMELINE_HISTORY" },
		{ "x",
		  0,
		  0,
		  { "IDENTIFY_SYSTEM",
		    "CREATE_REPLICATION_SLOT \"pg_walreceiver_5002\" TEMPORARY PHYSICAL "
		    "(RESERVE_WAL)",
		    "START_REPLICATION SLOT \"pg_walreceiver_5002\" 0/3000000 TIMELINE 1" },
		  "walreceiver",
		  "temporary" },
		{ "psql",
		  0,
		  0,
		  { "SHOW data_directory_mode", "IDENTIFY_SYSTEM", "SHOW wal_segment_size",
		    "IDENTIFY_SYSTEM", "START_REPLICATION 0/3000000 TIMELINE 1" },
		  "pg_receivewal",
		  "SHOW wal_segment_size" },
		{ "walreceiver",
		  0,
		  0,
		  { "SHOW data_directory_mode", "IDENTIFY_SYSTEM",
		    "CREATE_REPLICATION_SLOT \"s\" PHYSICAL (RESERVE_WAL)" },
		  "pg_receivewal",
		  NULL },
		{ "walreceiver",
		  0,
		  0,
		  { "SHOW data_directory_mode", "IDENTIFY_SYSTEM", "DROP_REPLICATION_SLOT \"s\"" },
		  "pg_receivewal",
		  NULL },
		{ "walreceiver",
		  0,
		  0,
		  { "SHOW data_directory_mode", "SHOW wal_segment_size", "IDENTIFY_SYSTEM",
		    BACKUP },
		  "pg_basebackup",
		  "BASE_BACKUP" },
		{ "walreceiver",
		  0,
		  0,
		  { "SHOW data_directory_mode",
		    "CREATE_REPLICATION_SLOT \"pg_basebackup_5007\" TEMPORARY PHYSICAL "
		    "(RESERVE_WAL)",
		    "IDENTIFY_SYSTEM",
		    "START_REPLICATION SLOT \"pg_basebackup_5007\" 0/2000000 TIMELINE 1" },
		  "pg_basebackup",
		  "WAL stream" },
		{ "walreceiver",
		  0,
		  0,
		  { "SHOW data_directory_mode", "IDENTIFY_SYSTEM",
		    "START_REPLICATION 0/2000000 TIMELINE 1" },
		  "pg_basebackup",
		  "no SHOW wal_segment_size" },
		{ "psql",
		  WS_SESSION_DATABASE,
		  0,
		  { SEARCH_PATH, "SHOW data_directory_mode", "IDENTIFY_SYSTEM",
		    "START_REPLICATION SLOT \"s\" LOGICAL 0/0 (\"skip-empty-xacts\" '1')" },
		  "pg_recvlogical",
		  NULL },
		{ "psql",
		  WS_SESSION_DATABASE,
		  0,
		  { SEARCH_PATH, "IDENTIFY_SYSTEM",
		    "START_REPLICATION SLOT \"s\" LOGICAL 0/0 (proto_version '3', "
		    "publication_names '\"p\"')" },
		  "apply_worker",
		  NULL },
		{ "psql",
		  WS_SESSION_DATABASE,
		  0,
		  { SEARCH_PATH, "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ",
		    "CREATE_REPLICATION_SLOT \"pg_16401_sync_16390_7244\" LOGICAL pgoutput "
		    "(SNAPSHOT 'use')",
		    "SELECT c.oid", "COPY public.t (a, b) TO STDOUT", "COMMIT",
		    "START_REPLICATION SLOT \"pg_16401_sync_16390_7244\" LOGICAL 0/1 "
		    "(proto_version '3', publication_names '\"p\"')" },
		  "tablesync_worker",
		  NULL },
		{ "psql", /* once more, as its connection was lost */
		  0,
		  0,
		  { "SHOW data_directory_mode", "IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM",
		    "START_REPLICATION 0/3000000 TIMELINE 1" },
		  "pg_receivewal",
		  "twice IDENTIFY_SYSTEM" },
	};

	PLAY(clients);
}

static void older_servers_are_asked_in_other_ways(void **state)
{
	static const struct client clients[] = {
		{ "x",
		  WS_SESSION_DATABASE,
		  13,
		  { SEARCH_PATH, "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ",
		    "CREATE_REPLICATION_SLOT \"sub_16401_sync_16390\" TEMPORARY LOGICAL pgoutput "
		    "USE_SNAPSHOT" },
		  "tablesync_worker",
		  NULL },
		{ "x",
		  0,
		  13,
		  { "SHOW data_directory_mode", "SHOW wal_segment_size", "IDENTIFY_SYSTEM",
		    "BASE_BACKUP LABEL 'pg_basebackup base backup'  NOWAIT MANIFEST 'yes' " },
		  "pg_basebackup",
		  NULL },
		{ "x",
		  0,
		  10,
		  { "SHOW wal_segment_size", "IDENTIFY_SYSTEM",
		    "BASE_BACKUP LABEL 'pg_basebackup base backup'  NOWAIT" },
		  "pg_basebackup",
		  NULL },
	};

	PLAY(clients);
}

static void a_name_is_not_believed_against_the_commands(void **state)
{
	static const struct client clients[] = {
		{ "walreceiver",
		  0,
		  0,
		  { "IDENTIFY_SYSTEM", "SHOW server_version" },
		  "other",
		  "IDENTIFY_SYSTEM, other" },
		{ "walreceiver", WS_SESSION_DATABASE, 0, { "IDENTIFY_SYSTEM" }, "other", NULL },
		{ "walreceiver", /* which begins with IDENTIFY_SYSTEM */
		  0,
		  0,
		  { "START_REPLICATION 0/3000000 TIMELINE 1", "IDENTIFY_SYSTEM" },
		  "other",
		  "START_REPLICATION, IDENTIFY_SYSTEM" },
		{ "pg_receivewal", 0, 0, { "SHOW data_directory_mode;" }, "other", NULL },
		{ "pg_receivewal",
		  0,
		  0,
		  { "IDENTIFY_SYSTEM", "SHOW wal_segment_size" },
		  "other",
		  NULL },
		{ "pg_recvlogical",
		  WS_SESSION_DATABASE,
		  0,
		  { "SHOW data_directory_mode" },
		  "other",
		  NULL },
		{ "pg_basebackup", 0, 0, { "BASE_BACKUP (LABEL 'x')" }, "other", NULL },
		{ "pg_1_sync_2_3", WS_SESSION_DATABASE, 0, { "select 1" }, "other", NULL },
	};

	PLAY(clients);
}

static void a_name_decides_where_commands_leave_it_open(void **state)
{
	static const struct client clients[] = {
		{ "walreceiver", 0, 0, { "IDENTIFY_SYSTEM" }, "walreceiver", "application_name" },
		{ "pg_receivewal",
		  0,
		  0,
		  { "SHOW data_directory_mode" },
		  "pg_receivewal",
		  "application_name" },
		{ "pg_basebackup", 0, 0, { NULL }, "pg_basebackup", "application_name" },
		{ "pg_16401_sync_16390_7244",
		  WS_SESSION_DATABASE,
		  0,
		  { SEARCH_PATH },
		  "tablesync_worker",
		  "application_name" },
		{ "psql",
		  WS_SESSION_DATABASE,
		  0,
		  { "IDENTIFY_SYSTEM", "select 1" },
		  "psql",
		  "application_name" },
		{ "psql", 0, 0, { "START_REPLICATION 0/3000000 TIMELINE 1" }, "psql", NULL },
		{ "mine", 0, 0, { "IDENTIFY_SYSTEM" }, NULL, "leave it open" },
		{ "mine", 0, 0, { NULL }, NULL, NULL },
		{ "pg_16401_sync_x", WS_SESSION_DATABASE, 0, { SEARCH_PATH }, NULL, NULL },
	};

	PLAY(clients);
}

static void a_subscriptions_own_commands_are_no_workers(void **state)
{
	static const struct client clients[] = {
		{ "sub",
		  WS_SESSION_DATABASE,
		  0,
		  { SEARCH_PATH, "SELECT DISTINCT t.schemaname FROM x",
		    "CREATE_REPLICATION_SLOT \"sub\" LOGICAL pgoutput (SNAPSHOT 'nothing')" },
		  "other",
		  "CREATE SUBSCRIPTION" },
		{ "sub",
		  WS_SESSION_DATABASE,
		  0,
		  { SEARCH_PATH, "DROP_REPLICATION_SLOT sub WAIT" },
		  "other",
		  "DROP SUBSCRIPTION" },
	};

	PLAY(clients);
}

static void a_walreceiver_of_a_standby_is_a_cascading_one(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_phase phase = { .phase = WS_PHASE_INITIALIZED };
	struct ws_tape tape = f->tape;
	char out[WS_EVIDENCE_TEXT];

	begin(&tape, "x", 0);
	ws_tape_send(&tape, &phase.h, WS_KIND_PHASE, sizeof(phase), WS_PHASE_CASCADING);
	run(&tape, "IDENTIFY_SYSTEM");
	assert_int_equal(session_of(f)->program, WS_PROGRAM_UNKNOWN);
	run(&tape, "START_REPLICATION 0/3000000 TIMELINE 1");
	assert_int_equal(session_of(f)->program, WS_PROGRAM_CASCADING_STANDBY);
	assert_non_null(strstr(ws_session_evidence(session_of(f), out), "standby itself"));
}

/* A walsender found in the send loop; its client confirms these positions. */
static const struct ws_session *found(struct fixture *f, const char *application,
				      uint64_t apply_lsn, uint16_t flags, const char *command)
{
	struct ws_tape tape = f->tape;
	struct ws_rec_session rec = { .valid = WS_VALID_APPLICATION, .found = WS_FOUND_STREAM_WAL };

	snprintf(rec.application, sizeof(rec.application), "%s", application);
	tape.mark_ns = tape.now_ns;
	ws_tape_send(&tape, &rec.h, WS_KIND_SESSION, sizeof(rec), WS_SESSION_RUNNING | flags);
	ws_tape_command_head(&tape, WS_COMMAND_RUNNING);
	ws_tape_text(&tape, WS_TEXT_COMMAND, 0, command, strlen(command), WS_TEXT_LAST);
	ws_tape_turn(&tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_REPLY] = 1 },
						    .flags = WS_TURN_REPLY,
						    .write_lsn = 1,
						    .apply_lsn = apply_lsn,
						    .wait = WS_WAIT_WAL });
	return session_of(f);
}

#define STREAM_WAL "START_REPLICATION SLOT \"s\" 0/3000000 TIMELINE 1"

static void a_stream_found_running_whose_client_applies_is_a_walreceivers(void **state)
{
	assert_int_equal(found(*state, "psql", 1, 0, STREAM_WAL)->program, WS_PROGRAM_WALRECEIVER);
}

static void one_that_applies_nothing_is_not_known(void **state)
{
	assert_int_equal(found(*state, "mine", 0, 0, STREAM_WAL)->program, WS_PROGRAM_UNKNOWN);
}

static void one_that_applies_nothing_is_known_by_its_name(void **state)
{
	assert_int_equal(found(*state, "pg_receivewal", 0, 0, STREAM_WAL)->program,
			 WS_PROGRAM_PG_RECEIVEWAL);
}

static void a_stream_found_running_is_not_psqls(void **state)
{
	assert_int_equal(found(*state, "psql", 0, 0, STREAM_WAL)->program, WS_PROGRAM_UNKNOWN);
}

static void a_cascading_standby_found_running_is_one(void **state)
{
	assert_int_equal(found(*state, "s", 1, WS_SESSION_CASCADING, STREAM_WAL)->program,
			 WS_PROGRAM_CASCADING_STANDBY);
}

static void a_worker_found_running_is_told_by_what_it_asked_for(void **state)
{
	assert_int_equal(found(*state, "psql", 1, WS_SESSION_DATABASE,
			       "START_REPLICATION SLOT \"s\" LOGICAL 0/0 (proto_version '3')")
				 ->program,
			 WS_PROGRAM_APPLY_WORKER);
}

static void a_refused_message_is_no_program_of_postgresqls(void **state)
{
	struct fixture *f = *state;
	struct ws_tape tape = f->tape;

	begin(&tape, "walreceiver", 0);
	ws_tape_error(&tape, WS_ELEVEL_ERROR, "08P01", "forbidden_in_wal_sender", "no");
	assert_int_equal(session_of(f)->program, WS_PROGRAM_OTHER);
}

static void commands_behind_a_gap_do_not_say_what_came_first(void **state)
{
	struct fixture *f = *state;
	struct ws_tape tape = f->tape;

	begin(&tape, "x", 0);
	ws_tape_lose(&tape, 2);
	ws_tape_gap(&tape, tape.now_ns, tape.now_ns + 1, 2, WS_GAP_RING_FULL);
	run(&tape, "IDENTIFY_SYSTEM");
	run(&tape, STREAM_WAL);
	assert_int_equal(session_of(f)->program, WS_PROGRAM_UNKNOWN);
}

/* -- the two sessions of a pg_basebackup */

static struct ws_tape backup(struct fixture *f, uint32_t pid, uint64_t at, const char *command)
{
	struct ws_tape tape = ws_tape_new(f->tape.sink, pid, at);

	begin(&tape, "pg_basebackup", 0);
	run(&tape, "SHOW data_directory_mode");
	run(&tape, "SHOW wal_segment_size");
	run(&tape, "IDENTIFY_SYSTEM");
	run(&tape, command);
	return tape;
}

static struct ws_tape stream(struct fixture *f, uint32_t pid, uint64_t at, const char *application)
{
	struct ws_tape tape = ws_tape_new(f->tape.sink, pid, at);

	begin(&tape, application, 0);
	run(&tape, "SHOW data_directory_mode");
	run(&tape, "IDENTIFY_SYSTEM");
	run(&tape, STREAM_WAL);
	return tape;
}

static uint32_t partner(const struct fixture *f, uint32_t pid)
{
	const struct ws_session *s = ws_observed_session(f->o, pid);
	char out[WS_SESSION_ID_TEXT];

	assert_int_equal(s->program, WS_PROGRAM_PG_BASEBACKUP);
	assert_int_equal(!s->partner_pid, !ws_session_partner(s, out));
	return s->partner_pid;
}

static void a_backup_and_its_wal_stream_are_partners(void **state)
{
	struct fixture *f = *state;

	backup(f, 1, BEGIN, BACKUP);
	stream(f, 2, BEGIN + MS, "pg_basebackup");
	assert_int_equal(partner(f, 1), 2);
	assert_int_equal(partner(f, 2), 1);
}

static void a_backup_that_streams_no_wal_has_no_partner(void **state)
{
	static const char *const commands[] = {
		"BASE_BACKUP ( LABEL 'WAIT 0')",
		"BASE_BACKUP ( LABEL 'x',  WAL,  WAIT 0)",
	};
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 2; i++) {
		backup(f, 10 + 2 * i, BEGIN + i * MS, commands[i]);
		stream(f, 11 + 2 * i, BEGIN + i * MS + MS / 2, "pg_basebackup");
		assert_int_equal(partner(f, 10 + 2 * i), 0);
		assert_int_equal(partner(f, 11 + 2 * i), 0);
	}
}

static void another_application_or_an_earlier_stream_is_no_partner(void **state)
{
	struct fixture *f = *state;
	struct ws_tape early = ws_tape_new(f->tape.sink, 3, BEGIN - MS);

	begin(&early, "pg_basebackup", 0);
	run(&early, "SHOW data_directory_mode");
	backup(f, 1, BEGIN, BACKUP);
	stream(f, 2, BEGIN + MS, "another");
	run(&early, "IDENTIFY_SYSTEM");
	run(&early, STREAM_WAL);
	assert_int_equal(partner(f, 1), 0);
	assert_int_equal(partner(f, 2), 0);
	assert_int_equal(partner(f, 3), 0);
}

static void of_two_backups_that_a_stream_may_belong_to_none_is_taken(void **state)
{
	struct fixture *f = *state;

	backup(f, 1, BEGIN, BACKUP);
	backup(f, 2, BEGIN + MS, BACKUP);
	stream(f, 3, BEGIN + 2 * MS, "pg_basebackup");
	assert_int_equal(partner(f, 1), 0);
	assert_int_equal(partner(f, 2), 0);
	assert_int_equal(partner(f, 3), 0);
}

static void backups_one_after_the_other_keep_their_own_partners(void **state)
{
	struct fixture *f = *state;
	struct ws_tape first = backup(f, 1, BEGIN, BACKUP);

	stream(f, 2, BEGIN + MS, "pg_basebackup");
	backup(f, 3, BEGIN + 2 * MS, BACKUP);
	stream(f, 4, BEGIN + 3 * MS, "pg_basebackup");
	first.now_ns = BEGIN + 4 * MS;
	ws_tape_exit(&first, 0, 0);
	assert_int_equal(partner(f, 1), 2);
	assert_int_equal(partner(f, 3), 4);
	assert_int_equal(partner(f, 4), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(programs_are_told_by_their_commands_whatever_their_name),
		TEST(older_servers_are_asked_in_other_ways),
		TEST(a_name_is_not_believed_against_the_commands),
		TEST(a_name_decides_where_commands_leave_it_open),
		TEST(a_subscriptions_own_commands_are_no_workers),
		TEST(a_walreceiver_of_a_standby_is_a_cascading_one),
		TEST(a_stream_found_running_whose_client_applies_is_a_walreceivers),
		TEST(one_that_applies_nothing_is_not_known),
		TEST(one_that_applies_nothing_is_known_by_its_name),
		TEST(a_stream_found_running_is_not_psqls),
		TEST(a_cascading_standby_found_running_is_one),
		TEST(a_worker_found_running_is_told_by_what_it_asked_for),
		TEST(a_refused_message_is_no_program_of_postgresqls),
		TEST(commands_behind_a_gap_do_not_say_what_came_first),
		TEST(a_backup_and_its_wal_stream_are_partners),
		TEST(a_backup_that_streams_no_wal_has_no_partner),
		TEST(another_application_or_an_earlier_stream_is_no_partner),
		TEST(of_two_backups_that_a_stream_may_belong_to_none_is_taken),
		TEST(backups_one_after_the_other_keep_their_own_partners),
	};

	return cmocka_run_group_tests_name("model_client", tests, NULL, NULL);
}
