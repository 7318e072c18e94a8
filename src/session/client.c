/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which program the client is. application_name can be anything, so what it sends comes first: each
 * of PostgreSQL's own programs has a small set of commands, writes them in one way only, and begins
 * with the same ones. A command is looked up in the table of forms, which says what it is evidence
 * of and which programs send it; the facts of all of them decide by the table of rules, the first
 * that fits. Only where commands leave it open does application_name decide, and never against
 * them.
 *
 * Sources, 13 to 18: bin/pg_basebackup/ (streamutil.c: GetConnection sends SHOW data_directory_mode
 * in front of everything else, RetrieveWalSegSize; receivelog.c: ReceiveXlogStream;
 * pg_basebackup.c, pg_receivewal.c, pg_recvlogical.c), libpqwalreceiver.c, walreceiver.c,
 * logical/tablesync.c, logical/worker.c, subscriptioncmds.c.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "session/machine.h"

enum fact {
	SEARCH_PATH = 1 << 0, /* set_config('search_path'): logical, of PostgreSQL's own programs */
	DIR_MODE = 1 << 1,    /* SHOW data_directory_mode: a program of src/bin/pg_basebackup */
	SEGMENT_SIZE = 1 << 2,
	IDENTIFY = 1 << 3,
	STREAM_WAL = 1 << 4, /* START_REPLICATION as receivelog.c and libpqwalreceiver.c write it */
	STREAM_CHANGES = 1 << 5, /* as worker.c has it written: proto_version not in quotes */
	READ_SLOT = 1 << 6,
	NEW_SLOT = 1 << 7,	     /* CREATE_REPLICATION_SLOT, physical */
	EARLY_SLOT = 1 << 8,	     /* the same, in front of IDENTIFY_SYSTEM */
	DROP_SLOT = 1 << 9,	     /* the name in quotes */
	BACKUP = 1 << 10,	     /* BASE_BACKUP as pg_basebackup.c writes it */
	WITH_WAL = 1 << 11,	     /* its options leave the WAL to a stream */
	OWN_BACKUP_SLOT = 1 << 12,   /* pg_basebackup_PID, PID being the walsender's */
	OWN_RECEIVER_SLOT = 1 << 13, /* pg_walreceiver_PID, likewise */
	SYNC_SLOT = 1 << 14,	     /* a slot named by ReplicationSlotNameForTablesync */
	SYNC_SNAPSHOT = 1 << 15,     /* LogicalRepSyncTableStart's transaction */
	SUBSCRIBE = 1 << 16,	     /* the slot of CREATE SUBSCRIPTION */
	UNSUBSCRIBE = 1 << 17,
	QUERY = 1 << 18, /* SELECT, of which none but those of subscriptions begin a session */
	IDENTIFY_AGAIN = 1 << 19, /* a second one */
	/* what is no command */
	LISTENS = 1 << 20, /* the client takes a stream: confirmed positions, or was found at it */
	APPLIED = 1 << 21, /* an applied one among them */
	UNSEEN = 1 << 22,  /* there may have been commands that were not seen */
	COMMANDED = 1 << 23, /* a command was seen */
	FOREIGN = 1 << 24,   /* all of them together are no known program's */
	DATABASE = 1 << 25,
};

/* Programs as bits. */
#define WALRCV	(1U << WS_PROGRAM_WALRECEIVER)
#define RECVWAL (1U << WS_PROGRAM_PG_RECEIVEWAL)
#define RECVLOG (1U << WS_PROGRAM_PG_RECVLOGICAL)
#define BASEBKP (1U << WS_PROGRAM_PG_BASEBACKUP)
#define APPLY	(1U << WS_PROGRAM_APPLY_WORKER)
#define SYNC	(1U << WS_PROGRAM_TABLESYNC_WORKER)
#define DDL	(1U << WS_PROGRAM_OTHER) /* a backend that runs CREATE SUBSCRIPTION and so on */

#define PHYSICAL (WALRCV | RECVWAL | BASEBKP)
#define LOGICAL	 (RECVLOG | APPLY | SYNC | DDL)

/* What a program sends first, behind SEARCH_PATH if that is not it. */
struct beginning {
	uint32_t programs, fact;
	uint32_t major; /* of the server, from which on it does */
};

static const struct beginning beginnings[] = {
	{ LOGICAL, SEARCH_PATH, 0 },
	{ RECVWAL | RECVLOG | BASEBKP, DIR_MODE, 11 },
	{ WALRCV, IDENTIFY, 0 },
};

/*
 * How a command is written (ws_pattern_matches). The first that fits counts. Nothing here depends
 * on a literal: a recording may have been made with --redact.
 */
struct form {
	const char *pattern;
	const char *label;
	uint32_t facts;
	uint32_t programs;
};

static const struct form forms[] = {
	{ "IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM", IDENTIFY,
	  WALRCV | RECVWAL | RECVLOG | BASEBKP | APPLY },
	{ "SHOW data_directory_mode", "SHOW data_directory_mode", DIR_MODE,
	  RECVWAL | RECVLOG | BASEBKP },
	{ "SHOW wal_segment_size", "SHOW wal_segment_size", SEGMENT_SIZE, RECVWAL | BASEBKP },
	{ "TIMELINE_HISTORY %d", "TIMELINE_HISTORY", 0, WALRCV | RECVWAL | BASEBKP },
	{ "READ_REPLICATION_SLOT %n", "READ_REPLICATION_SLOT", READ_SLOT, RECVWAL },
	{ "CREATE_REPLICATION_SLOT \"pg_basebackup_%p\" TEMPORARY PHYSICAL*",
	  "CREATE_REPLICATION_SLOT pg_basebackup_PID", NEW_SLOT | OWN_BACKUP_SLOT, BASEBKP },
	{ "CREATE_REPLICATION_SLOT \"pg_walreceiver_%p\" TEMPORARY PHYSICAL*",
	  "CREATE_REPLICATION_SLOT pg_walreceiver_PID", NEW_SLOT | OWN_RECEIVER_SLOT, WALRCV },
	{ "CREATE_REPLICATION_SLOT \"%q\" PHYSICAL*", "CREATE_REPLICATION_SLOT PHYSICAL", NEW_SLOT,
	  RECVWAL | BASEBKP },
	{ "CREATE_REPLICATION_SLOT \"%y\" LOGICAL pgoutput *",
	  "CREATE_REPLICATION_SLOT pg_..._sync_...", SYNC_SLOT, SYNC },
	{ "CREATE_REPLICATION_SLOT \"%y\" TEMPORARY LOGICAL pgoutput *", /* 13 */
	  "CREATE_REPLICATION_SLOT ..._sync_...", SYNC_SLOT, SYNC },
	{ "CREATE_REPLICATION_SLOT \"%q\" LOGICAL pgoutput *",
	  "CREATE_REPLICATION_SLOT LOGICAL pgoutput", SUBSCRIBE, DDL },
	{ "CREATE_REPLICATION_SLOT \"%q\" LOGICAL \"%q\"*", "CREATE_REPLICATION_SLOT LOGICAL", 0,
	  RECVLOG },
	{ "DROP_REPLICATION_SLOT \"%q\"", "DROP_REPLICATION_SLOT", DROP_SLOT, RECVWAL | RECVLOG },
	{ "DROP_REPLICATION_SLOT %y WAIT", "DROP_REPLICATION_SLOT pg_..._sync_... WAIT",
	  UNSUBSCRIBE, SYNC | DDL },
	{ "DROP_REPLICATION_SLOT \"%y\" WAIT", "DROP_REPLICATION_SLOT pg_..._sync_... WAIT",
	  UNSUBSCRIBE, SYNC | DDL },
	{ "DROP_REPLICATION_SLOT %n WAIT", "DROP_REPLICATION_SLOT WAIT", UNSUBSCRIBE, DDL },
	{ "START_REPLICATION SLOT \"pg_basebackup_%p\" %l TIMELINE %d",
	  "START_REPLICATION SLOT pg_basebackup_PID", STREAM_WAL | OWN_BACKUP_SLOT, BASEBKP },
	{ "START_REPLICATION SLOT \"pg_walreceiver_%p\" %l TIMELINE %d",
	  "START_REPLICATION SLOT pg_walreceiver_PID", STREAM_WAL | OWN_RECEIVER_SLOT, WALRCV },
	{ "START_REPLICATION SLOT \"%q\" %l TIMELINE %d", "START_REPLICATION SLOT", STREAM_WAL,
	  WALRCV | RECVWAL | BASEBKP },
	{ "START_REPLICATION %l TIMELINE %d", "START_REPLICATION", STREAM_WAL,
	  WALRCV | RECVWAL | BASEBKP },
	{ "START_REPLICATION SLOT \"%y\" LOGICAL %l (proto_version *",
	  "START_REPLICATION SLOT pg_..._sync_... LOGICAL (proto_version ...)",
	  STREAM_CHANGES | SYNC_SLOT, SYNC },
	{ "START_REPLICATION SLOT \"%q\" LOGICAL %l (proto_version *",
	  "START_REPLICATION LOGICAL (proto_version ...)", STREAM_CHANGES, APPLY },
	{ "START_REPLICATION SLOT \"%q\" LOGICAL %l (\"*", "START_REPLICATION LOGICAL", 0,
	  RECVLOG },
	{ "START_REPLICATION SLOT \"%q\" LOGICAL %l", "START_REPLICATION LOGICAL", 0, RECVLOG },
	{ "BASE_BACKUP ( LABEL *", "BASE_BACKUP", BACKUP, BASEBKP },
	{ "BASE_BACKUP LABEL *", "BASE_BACKUP", BACKUP, BASEBKP },  /* up to 14 */
	{ "BASE_BACKUP  LABEL *", "BASE_BACKUP", BACKUP, BASEBKP }, /* of 15 to a server of 14 */
	{ "UPLOAD_MANIFEST", "UPLOAD_MANIFEST", 0, BASEBKP },
	{ "SELECT pg_catalog.set_config(*", "SELECT set_config", SEARCH_PATH,
	  RECVLOG | APPLY | SYNC | DDL },
	{ "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ", "BEGIN", SYNC_SNAPSHOT, SYNC },
	{ "COMMIT", "COMMIT", 0, SYNC },
	{ "COPY *", "COPY", 0, SYNC },
	{ "SELECT *", "SELECT", QUERY, SYNC | DDL },
};

/* Steps of the evidence that are no form. */
#define STEP_OTHER 255
_Static_assert(WS_ARRAY_SIZE(forms) < STEP_OTHER, "a step is a byte");

/* A rule fits if all and none of these facts hold, the program sends all the commands that were
 * seen (where `sends` asks for it), and application_name is as given (a pattern). */
struct rule {
	enum ws_program program;
	uint32_t all, none;
	bool sends;
	const char *application;
	const char *why;
};

static const struct rule rules[] = {
	{ WS_PROGRAM_PG_BASEBACKUP, BACKUP | DIR_MODE, 0, true, NULL,
	  "BASE_BACKUP behind SHOW data_directory_mode, both as pg_basebackup writes them" },
	{ WS_PROGRAM_PG_BASEBACKUP, BACKUP | SEGMENT_SIZE, 0, true, NULL, /* servers up to 10 */
	  "BASE_BACKUP behind SHOW wal_segment_size, both as pg_basebackup writes them" },
	{ WS_PROGRAM_PG_BASEBACKUP, BACKUP | UNSEEN, 0, true, NULL,
	  "BASE_BACKUP as pg_basebackup writes it" },
	{ WS_PROGRAM_PG_BASEBACKUP, OWN_BACKUP_SLOT, 0, true, NULL,
	  "WAL stream of a backup: the slot is named as pg_basebackup names its temporary one" },
	{ WS_PROGRAM_WALRECEIVER, OWN_RECEIVER_SLOT, 0, true, NULL,
	  "the slot is named as a walreceiver names its temporary one" },
	{ WS_PROGRAM_WALRECEIVER, STREAM_WAL | APPLIED, DIR_MODE, true, NULL,
	  "streams WAL as a walreceiver asks for it, and confirms that it is applied" },
	{ WS_PROGRAM_PG_RECEIVEWAL, STREAM_WAL | DIR_MODE | SEGMENT_SIZE, 0, true, NULL,
	  "streams WAL behind SHOW data_directory_mode and SHOW wal_segment_size" },
	/* StreamLog asks, and ReceiveXlogStream asks again; LogStreamerMain only calls that */
	{ WS_PROGRAM_PG_RECEIVEWAL, STREAM_WAL | DIR_MODE | IDENTIFY_AGAIN, 0, true, NULL,
	  "streams WAL behind SHOW data_directory_mode and twice IDENTIFY_SYSTEM" },
	{ WS_PROGRAM_PG_RECEIVEWAL, READ_SLOT | DIR_MODE, 0, true, NULL,
	  "READ_REPLICATION_SLOT behind SHOW data_directory_mode" },
	{ WS_PROGRAM_PG_RECEIVEWAL, NEW_SLOT | DIR_MODE | IDENTIFY, EARLY_SLOT, true, NULL,
	  "creates a slot behind SHOW data_directory_mode and IDENTIFY_SYSTEM" },
	{ WS_PROGRAM_PG_RECEIVEWAL, DROP_SLOT | DIR_MODE, 0, true, NULL,
	  "drops a slot behind SHOW data_directory_mode" },
	{ WS_PROGRAM_PG_BASEBACKUP, STREAM_WAL | DIR_MODE, SEGMENT_SIZE | UNSEEN, true, NULL,
	  "WAL stream of a backup: SHOW data_directory_mode, no SHOW wal_segment_size" },
	{ WS_PROGRAM_PG_BASEBACKUP, DIR_MODE | EARLY_SLOT, 0, true, NULL,
	  "WAL stream of a backup: creates a slot in front of IDENTIFY_SYSTEM" },
	{ WS_PROGRAM_PG_RECVLOGICAL, SEARCH_PATH | DIR_MODE, 0, true, NULL,
	  "SHOW data_directory_mode on a database connection" },
	/* What psql is told to send may be anything; but it never takes a stream (COPY BOTH). */
	{ WS_PROGRAM_PSQL, 0, LISTENS | DIR_MODE | SEARCH_PATH, false, "psql",
	  "application_name, and nothing that the client did says otherwise" },
	{ WS_PROGRAM_WALRECEIVER, STREAM_WAL | IDENTIFY, DIR_MODE | UNSEEN, true, NULL,
	  "IDENTIFY_SYSTEM first, no SHOW, and streams WAL as a walreceiver asks for it" },
	{ WS_PROGRAM_TABLESYNC_WORKER, SYNC_SLOT, 0, true, NULL,
	  "the slot is named as those of table synchronisations are" },
	{ WS_PROGRAM_TABLESYNC_WORKER, SEARCH_PATH | SYNC_SNAPSHOT, 0, true, NULL,
	  "the transaction of a table synchronisation" },
	{ WS_PROGRAM_APPLY_WORKER, STREAM_CHANGES, 0, true, NULL,
	  "streams changes as an apply worker asks for them" },
	{ WS_PROGRAM_OTHER, SEARCH_PATH | SUBSCRIBE, 0, true, NULL,
	  "a backend that runs CREATE SUBSCRIPTION: it creates the slot" },
	{ WS_PROGRAM_OTHER, SEARCH_PATH | UNSUBSCRIBE, 0, true, NULL,
	  "a backend that runs ALTER or DROP SUBSCRIPTION: it drops slots" },
	{ WS_PROGRAM_OTHER, SEARCH_PATH | QUERY, SYNC_SNAPSHOT, true, NULL,
	  "a backend that runs CREATE or ALTER SUBSCRIPTION: it asks for publications" },
	{ WS_PROGRAM_WALRECEIVER, 0, DATABASE, true, "walreceiver",
	  "application_name; its commands leave it open" },
	{ WS_PROGRAM_PG_RECEIVEWAL, 0, DATABASE, true, "pg_receivewal",
	  "application_name; its commands leave it open" },
	{ WS_PROGRAM_PG_BASEBACKUP, 0, DATABASE, true, "pg_basebackup",
	  "application_name; its commands leave it open" },
	{ WS_PROGRAM_PG_RECVLOGICAL, DATABASE, 0, true, "pg_recvlogical",
	  "application_name; its commands leave it open" },
	{ WS_PROGRAM_TABLESYNC_WORKER, DATABASE, 0, true, "%y",
	  "application_name; its commands leave it open" },
	{ WS_PROGRAM_OTHER, FOREIGN, 0, false, NULL,
	  "no program of PostgreSQL sends these commands in this order" },
};

static bool word_is(const char *word, size_t len, const char *what)
{
	return len == strlen(what) && !strncmp(word, what, len);
}

/* pg_basebackup -X stream: it does not wait for the archive, and WAL is not among what it asks
 * for. With -X fetch it asks for WAL, with -X none it waits. */
static bool leaves_wal_to_a_stream(const char *text, size_t len)
{
	bool quoted = false, waits = true, wal = false;

	for (size_t i = 0; i < len;) {
		size_t n = 0;

		if (text[i] == '\'')
			quoted = !quoted;
		while (!quoted && i + n < len &&
		       (isalnum((unsigned char)text[i + n]) || text[i + n] == '_'))
			n++;
		if (n) {
			/* It has no use for WAIT 1. */
			waits &= !word_is(text + i, n, "NOWAIT") && !word_is(text + i, n, "WAIT");
			wal |= word_is(text + i, n, "WAL");
		}
		i += n ? n : 1;
	}
	return !waits && !wal;
}

static uint32_t facts_of(const struct ws_machine *m)
{
	const struct ws_session *s = &m->s;
	const struct ws_client *c = &m->client;

	return c->facts | (s->database ? DATABASE : 0) |
	       (c->facts & COMMANDED && !c->programs ? FOREIGN : 0);
}

static bool application_is(const struct ws_session *s, const char *pattern)
{
	const char *name = s->application;

	return (s->valid & WS_VALID_APPLICATION) &&
	       ws_pattern_matches(pattern, name, strlen(name), 0);
}

static const struct rule *find_rule(const struct ws_machine *m)
{
	uint32_t facts = facts_of(m);
	bool any = !(facts & COMMANDED);

	for (size_t i = 0; i < WS_ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if ((facts & r->all) == r->all && !(facts & r->none) &&
		    (!r->sends || any || m->client.programs & 1U << r->program) &&
		    (!r->application || application_is(&m->s, r->application)))
			return r;
	}
	return NULL;
}

static bool same_field(const struct ws_session *a, const struct ws_session *b, uint32_t valid,
		       const char *x, const char *y)
{
	return (a->valid & valid) == (b->valid & valid) && (!(a->valid & valid) || !strcmp(x, y));
}

static bool same_client(const struct ws_session *a, const struct ws_session *b)
{
	return a->postmaster_pid == b->postmaster_pid &&
	       same_field(a, b, WS_VALID_HOST, a->host, b->host) &&
	       same_field(a, b, WS_VALID_USER, a->user, b->user) &&
	       same_field(a, b, WS_VALID_APPLICATION, a->application, b->application);
}

/* Can `stream` be the WAL stream of `backup`? pg_basebackup connects again once the server has told
 * it where the backup starts, which is behind the checkpoint (StartLogStreamer), and leaves the
 * first connection only when the second one is done. */
static bool can_be_partners(const struct ws_machine *backup, const struct ws_machine *stream)
{
	uint64_t from = backup->client.backup_ns, born = stream->s.fork_ns;

	if (!(backup->client.facts & WITH_WAL) || stream->client.facts & BACKUP ||
	    backup->s.partner_pid || stream->s.partner_pid ||
	    backup->s.program != WS_PROGRAM_PG_BASEBACKUP ||
	    stream->s.program != WS_PROGRAM_PG_BASEBACKUP ||
	    !(stream->client.facts & (STREAM_WAL | EARLY_SLOT)) ||
	    !same_client(&backup->s, &stream->s))
		return false;
	if (backup->backup_phase == WS_BACKUP_BEGIN || backup->backup_phase == WS_BACKUP_CHECKPOINT)
		return false;
	return born >= (from ? from : backup->s.fork_ns) &&
	       (!backup->s.end_ns || backup->s.end_ns >= born);
}

static struct ws_machine *only_partner(const struct ws_machine *m)
{
	const struct ws_model *model = m->model;
	struct ws_machine *found = NULL;

	for (size_t i = 0; i < model->session_count; i++) {
		struct ws_machine *other = ws_machine_of(model->sessions[i]);

		if (other == m || !(m->client.facts & BACKUP ? can_be_partners(m, other)
							     : can_be_partners(other, m)))
			continue;
		if (found) /* nothing tells which */
			return NULL;
		found = other;
	}
	return found;
}

static void pair(struct ws_machine *m)
{
	struct ws_machine *other = only_partner(m);

	if (!other || only_partner(other) != m)
		return;
	m->s.partner_pid = other->s.pid;
	m->s.partner_start_ns = other->s.start_ns;
	other->s.partner_pid = m->s.pid;
	other->s.partner_start_ns = m->s.start_ns;
}

void ws_client_judge(struct ws_machine *m)
{
	const struct rule *rule = find_rule(m);

	m->s.program = rule ? rule->program : WS_PROGRAM_UNKNOWN;
	m->client.why = rule ? rule->why : NULL;
	if (m->s.program == WS_PROGRAM_WALRECEIVER && m->s.cascading)
		m->s.program = WS_PROGRAM_CASCADING_STANDBY;
	if (m->s.program == WS_PROGRAM_PG_BASEBACKUP && !m->s.partner_pid)
		pair(m);
}

void ws_client_init(struct ws_machine *m, bool seen_from_start)
{
	m->client = (struct ws_client){ .programs = UINT32_MAX };
	if (!seen_from_start)
		m->client.facts = UNSEEN;
}

static void add_step(struct ws_client *c, uint8_t step)
{
	if (c->step_count && c->steps[c->step_count - 1] == step)
		return;
	if (c->step_count < WS_CLIENT_STEPS)
		c->steps[c->step_count++] = step;
	else
		c->more_steps = true;
}

/* Leaves the programs that may have begun like this. */
static uint32_t that_begin_so(const struct ws_machine *m, uint32_t programs)
{
	const struct ws_rec_server *server = ws_model_server(m->model, &m->s);
	uint32_t facts = m->client.facts;

	programs &= m->s.database ? LOGICAL : PHYSICAL;
	if (facts & UNSEEN)
		return programs;
	for (size_t i = 0; i < WS_ARRAY_SIZE(beginnings); i++) {
		const struct beginning *b = &beginnings[i];
		/* Behind SEARCH_PATH the other one comes with the next command. */
		bool too_early = b->fact != SEARCH_PATH && facts == (SEARCH_PATH | COMMANDED);

		if (!(facts & b->fact) && !too_early && (!server || server->major >= b->major))
			programs &= ~b->programs;
	}
	return programs;
}

static void add_form(struct ws_machine *m, const struct form *form, const char *text, size_t len)
{
	struct ws_client *c = &m->client;

	if (form->facts & c->facts & IDENTIFY)
		c->facts |= IDENTIFY_AGAIN;
	if (form->facts & NEW_SLOT && !(c->facts & (IDENTIFY | UNSEEN)))
		c->facts |= EARLY_SLOT;
	c->facts |= form->facts;
	if (form->facts & BACKUP) {
		c->backup_ns = m->command.start_ns;
		if (leaves_wal_to_a_stream(text, len))
			c->facts |= WITH_WAL;
	}
	c->programs = that_begin_so(m, c->programs & form->programs);
}

void ws_client_command(struct ws_machine *m, const char *text, size_t len)
{
	const struct ws_session *s = &m->s;
	struct ws_client *c = &m->client;
	uint32_t pid = s->valid & WS_VALID_NS_PID ? s->ns_pid : 0;
	size_t i = 0;

	while (i < WS_ARRAY_SIZE(forms) && !ws_pattern_matches(forms[i].pattern, text, len, pid))
		i++;
	if (i == WS_ARRAY_SIZE(forms)) {
		ws_client_foreign(m);
		return;
	}
	add_step(c, (uint8_t)i);
	c->facts |= COMMANDED;
	add_form(m, &forms[i], text, len);
	ws_client_judge(m);
}

void ws_client_foreign(struct ws_machine *m)
{
	add_step(&m->client, STEP_OTHER);
	m->client.facts |= COMMANDED;
	m->client.programs = 0;
	ws_client_judge(m);
}

void ws_client_listens(struct ws_machine *m, uint64_t apply_lsn)
{
	uint32_t facts = LISTENS | (apply_lsn ? APPLIED : 0);

	if ((m->client.facts & facts) == facts)
		return;
	m->client.facts |= facts;
	ws_client_judge(m);
}

void ws_client_gap(struct ws_machine *m)
{
	/* What was told of a stream stands: its client had sent what it sends. */
	if (!(m->client.facts & (STREAM_WAL | BACKUP)))
		m->client.facts |= UNSEEN;
}

const char *ws_session_evidence(const struct ws_session *session, char out[WS_EVIDENCE_TEXT])
{
	const struct ws_client *c = &ws_machine_of(session)->client;
	size_t len = 0;

	out[0] = '\0';
	if (!c->why && !c->step_count)
		return NULL;
	len += (size_t)snprintf(out, WS_EVIDENCE_TEXT, "%s",
				c->why ? c->why : "its commands leave it open");
	if (session->program == WS_PROGRAM_CASCADING_STANDBY)
		len += (size_t)snprintf(out + len, WS_EVIDENCE_TEXT - len,
					"; this server is a standby itself");
	for (size_t i = 0; i < c->step_count && len < WS_EVIDENCE_TEXT; i++)
		len += (size_t)snprintf(out + len, WS_EVIDENCE_TEXT - len, "%s%s",
					i		    ? ", "
					: c->facts & UNSEEN ? "; seen: "
							    : "; commands: ",
					c->steps[i] == STEP_OTHER ? "other"
								  : forms[c->steps[i]].label);
	if (c->more_steps && len < WS_EVIDENCE_TEXT)
		snprintf(out + len, WS_EVIDENCE_TEXT - len, ", ...");
	return out;
}
