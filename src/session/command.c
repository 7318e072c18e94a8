/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands and errors. An ERROR ends the command at the time of its record, but its text comes in
 * the records behind it: the command is told to the observer once that is whole.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "session/machine.h"

/* Where a command begins and ends, as far as the window is concerned. */
static bool touches_window(const struct ws_model *model, uint64_t start_ns, uint64_t end_ns)
{
	return start_ns < model->to_ns && (!end_ns || end_ns >= model->from_ns);
}

static void tell(struct ws_machine *m, const struct ws_command *command)
{
	const struct ws_observer *observer = &m->model->observer;

	if (observer->command && touches_window(m->model, command->start_ns, command->end_ns))
		observer->command(observer->arg, &m->s, command);
}

static void describe(struct ws_running *running, struct ws_command *command)
{
	*command = (struct ws_command){
		.seq = running->seq,
		.text = running->text.any ? running->text.buf.data : NULL,
		.text_len = running->text.any ? running->text.buf.len : 0,
		.truncated = running->text.cut,
		.sum = running->text.sum,
		.kind = running->kind[0] ? running->kind : NULL,
		.start_ns = running->start_ns,
		.outside = running->outside,
		.message_type = running->message_type,
	};
}

/* A command that failed gave the session no slot. */
static void take_slot(struct ws_machine *m)
{
	if (m->command.slot[0])
		memcpy(m->s.slot, m->command.slot, sizeof(m->s.slot));
}

static void close_lost(struct ws_machine *m, uint64_t time_ns);

/* The command in front of the one that was found is not that one: it ended while nobody looked. */
static void end_former(struct ws_machine *m)
{
	struct ws_running found = m->command;

	if (!m->former.open)
		return;
	m->command = m->former;
	m->former = (struct ws_running){ 0 };
	close_lost(m, m->command.known_ns);
	ws_assembly_deinit(&m->command.text);
	m->command = found;
}

/* What was found running has the same text as what ran in this session before nobody looked: it is
 * that. */
static void settle_former(struct ws_machine *m)
{
	struct ws_running *running = &m->command, *former = &m->former;

	if (!former->open)
		return;
	if (former->text.buf.len != running->text.buf.len ||
	    memcmp(former->text.buf.data, running->text.buf.data, former->text.buf.len) != 0) {
		end_former(m);
		return;
	}
	running->seq = former->seq;
	running->start_ns = former->start_ns;
	running->found = former->found;
	m->command_seq = former->seq;
	m->s.commands--;
	ws_assembly_deinit(&former->text);
	*former = (struct ws_running){ 0 };
}

/* The text is whole, or as whole as it will get: what it says about the session. */
static void parse(struct ws_machine *m)
{
	struct ws_running *running = &m->command;
	struct ws_session *s = &m->s;
	struct ws_parsed parsed;

	if (!running->open || running->parsed || !running->text.any)
		return;
	running->parsed = true;
	ws_assembly_finish(&running->text);
	if (!running->text.any)
		return;
	settle_former(m);
	ws_parse_command(running->text.buf.data, running->text.buf.len, &parsed);
	if (!running->sql)
		memcpy(running->kind, parsed.keyword, sizeof(running->kind));
	memcpy(running->slot, parsed.slot, sizeof(running->slot));
	if (running->streaming)
		take_slot(m);
	if (parsed.kind)
		s->kind = parsed.kind;
	/* No log says what the server takes it for. */
	if (s->logged && !parsed.replication && parsed.keyword[0])
		ws_command_is_sql(m);
	/* The record that would say so was made before walscope attached. */
	if (running->found && !parsed.replication && s->state == WS_STATE_COMMAND) {
		ws_timeline_enter(m, WS_STATE_SQL, m->s.accounted_ns);
		ws_command_is_sql(m);
	}
	ws_client_command(m, running->text.buf.data, running->text.buf.len);
}

/* s.commands counts those that touch the window, which for a running one is known at its start. */
static void count(struct ws_machine *m, uint64_t start_ns)
{
	if (start_ns < m->model->to_ns)
		m->s.commands++;
}

static void uncount(struct ws_machine *m, uint64_t start_ns, uint64_t end_ns)
{
	if (start_ns < m->model->to_ns && end_ns < m->model->from_ns)
		m->s.commands--;
}

static void open_entry(struct ws_machine *m, uint64_t start_ns, bool outside)
{
	struct ws_running *running = &m->command;

	ws_assembly_clear(&running->text);
	*running = (struct ws_running){
		.open = true,
		.outside = outside,
		.message_type = outside ? m->message_type : 0,
		.seq = ++m->command_seq,
		.start_ns = start_ns,
		.text = running->text,
	};
}

static void open_command(struct ws_machine *m, uint64_t start_ns)
{
	open_entry(m, start_ns, false);
	m->commanded = true;
	count(m, start_ns);
}

static void close_command(struct ws_machine *m, uint64_t end_ns, enum ws_outcome outcome,
			  const struct ws_problem *problem, const char *why)
{
	struct ws_running *running = &m->command;
	struct ws_command command;

	if (!running->open)
		return;
	parse(m);
	end_former(m);
	ws_assembly_finish(&running->text);
	if (outcome == WS_OUTCOME_OK)
		take_slot(m);
	else if (running->found && !strcmp(running->kind, "CREATE_REPLICATION_SLOT"))
		m->s.slot[0] = '\0'; /* memory named the slot that it was about to create */
	describe(running, &command);
	command.end_ns = end_ns;
	command.outcome = outcome;
	command.message = why;
	if (problem) {
		command.elevel = problem->elevel;
		memcpy(command.sqlstate, problem->sqlstate, sizeof(command.sqlstate));
		command.message = problem->message.any ? problem->message.buf.data : NULL;
		command.message_truncated = problem->message.any && problem->message.cut;
		command.message_sum = problem->message.sum;
		command.location = problem->location[0] ? problem->location : NULL;
	}
	running->open = false;
	if (!running->outside && end_ns)
		uncount(m, command.start_ns, end_ns);
	tell(m, &command);
	ws_assembly_clear(&running->text);
}

static void close_measured(struct ws_machine *m, uint64_t end_ns, enum ws_outcome outcome,
			   const struct ws_problem *problem, const char *why)
{
	uint64_t start_ns = m->command.start_ns;

	/* A log says that it went well by what comes next. */
	if (m->s.logged && outcome == WS_OUTCOME_OK)
		end_ns = 0;
	if (m->command.open && !m->command.outside && end_ns && start_ns && end_ns >= start_ns)
		ws_metrics_command(m, end_ns - start_ns);
	close_command(m, end_ns, outcome, problem, why);
}

/* Its end is missing: it is known to have run until the gap. */
static void close_lost(struct ws_machine *m, uint64_t time_ns)
{
	const struct ws_running *running = &m->command;

	close_command(m, running->known_ns ? running->known_ns : time_ns, WS_OUTCOME_LOST, NULL,
		      NULL);
}

/* The command at hand is told once more, behind a gap: its text comes again. */
static bool is_repeated(struct ws_machine *m, const struct ws_rec *rec)
{
	struct ws_running *running = &m->command;

	if (!(rec->flags & WS_COMMAND_STARTED) || !running->open || running->outside ||
	    running->start_ns != rec->time_ns)
		return false;
	ws_assembly_clear(&running->text);
	running->parsed = running->gap = false;
	return true;
}

/* One is found running behind a time that nobody recorded: it may be the one of before. */
static bool is_found_again(const struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_running *running = &m->command;

	return rec->flags & WS_COMMAND_RUNNING && !(rec->flags & WS_COMMAND_STARTED) &&
	       running->open && running->gap && running->parsed && !running->outside &&
	       running->text.any;
}

void ws_command_begin(struct ws_machine *m, const struct ws_rec *rec)
{
	bool started = !(rec->flags & WS_COMMAND_RUNNING) || rec->flags & WS_COMMAND_STARTED;

	if (is_repeated(m, rec))
		return;
	if (is_found_again(m, rec)) {
		end_former(m);
		m->former = m->command;
		m->command = (struct ws_running){ 0 };
	}
	/* When it was told is not when a repeated one ended. */
	close_lost(m, rec->flags & WS_COMMAND_STARTED ? m->s.accounted_ns : rec->time_ns);
	open_command(m, started ? rec->time_ns : 0);
	m->command.found = rec->flags & WS_COMMAND_RUNNING;
	if (!m->s.first_command_ns && !(rec->flags & WS_COMMAND_RUNNING))
		m->s.first_command_ns = rec->time_ns;
	/* Errors the session survived explain no end. */
	m->clues = 0;
	m->fatal.set = false;
}

static void add_text(struct ws_machine *m, struct ws_assembly *text, const struct ws_rec_text *rec)
{
	if (ws_assembly_add(text, rec))
		m->model->failed = true;
}

static void add_message(struct ws_machine *m, const struct ws_rec_text *rec)
{
	/* A second beginning is that of an error whose own record is missing. */
	if (!rec->offset && m->problem.message.any)
		ws_command_settle(m);
	if (!m->problem.set)
		return;
	add_text(m, &m->problem.message, rec);
	if (rec->h.flags & WS_TEXT_LAST)
		ws_command_settle(m);
}

void ws_command_text(struct ws_machine *m, const struct ws_rec_text *rec)
{
	struct ws_running *running = &m->command;

	if (rec->len > rec->h.size - sizeof(*rec))
		return;
	if (rec->of == WS_TEXT_MESSAGE)
		add_message(m, rec);
	if (rec->of != WS_TEXT_COMMAND)
		return;
	/* What is still to come of an error's text is missing: another command has begun. */
	if (m->problem.set)
		ws_command_settle(m);
	/* A text without its command: that record is missing. */
	if (!running->open || running->parsed || (running->gap && !rec->offset)) {
		close_lost(m, rec->h.time_ns);
		open_command(m, 0);
		ws_timeline_enter(m, WS_STATE_COMMAND, rec->h.time_ns);
	}
	add_text(m, &running->text, rec);
	if (rec->h.flags & WS_TEXT_LAST)
		parse(m);
}

void ws_command_text_sum(struct ws_machine *m, const struct ws_rec_text_sum *rec)
{
	if (rec->of == WS_TEXT_COMMAND && m->command.open && !m->command.parsed)
		ws_assembly_sum(&m->command.text, rec);
	else if (rec->of == WS_TEXT_MESSAGE && m->problem.set)
		ws_assembly_sum(&m->problem.message, rec);
}

void ws_command_is_sql(struct ws_machine *m)
{
	struct ws_running *running = &m->command;

	parse(m);
	running->sql = true;
	strcpy(running->kind, "SQL");
	if (m->s.kind == WS_SESSION_KIND_UNKNOWN)
		m->s.kind = WS_SESSION_KIND_SQL;
}

void ws_command_done(struct ws_machine *m, uint64_t time_ns)
{
	close_measured(m, time_ns, WS_OUTCOME_OK, NULL, NULL);
}

void ws_command_gap(struct ws_machine *m, uint64_t from_ns)
{
	struct ws_running *running = &m->command;

	if (!running->open || running->gap)
		return; /* the first of several gaps is where the doubt begins */
	running->gap = true;
	running->known_ns = from_ns > running->start_ns ? from_ns : running->start_ns;
}

/* PostgreSQL's unpack_sql_state (elog.c): six bits a character, the first one lowest. */
static void unpack_sqlstate(uint32_t packed, char out[6])
{
	for (int i = 0; i < 5; i++, packed >>= 6)
		out[i] = (char)((packed & 0x3F) + '0');
	out[5] = '\0';
}

/* "function, file:line", as psql's verbose mode prints it; `file` as the server cuts it (elog.c
 * keeps the base name). */
static void locate(struct ws_problem *problem, const struct ws_rec_error *rec)
{
	const char *file = rec->file, *slash;
	char where[96] = "";

	problem->location[0] = '\0';
	problem->function[0] = '\0';
	if (rec->h.size < sizeof(*rec)) /* it ends in front of `file`: it could not be resolved */
		return;
	slash = strrchr(file, '/');
	if (rec->valid & WS_VALID_FUNCTION)
		memcpy(problem->function, rec->function, sizeof(problem->function));
	if ((rec->valid & WS_VALID_FILE) && file[0])
		snprintf(where, sizeof(where), "%s:%u", slash ? slash + 1 : file,
			 rec->valid & WS_VALID_LINE ? rec->line : 0);
	if (problem->function[0] || where[0])
		snprintf(problem->location, sizeof(problem->location), "%s%s%s", problem->function,
			 problem->function[0] && where[0] ? ", " : "", where);
}

void ws_command_error(struct ws_machine *m, const struct ws_rec_error *rec)
{
	struct ws_problem *problem = &m->problem;

	ws_assembly_clear(&problem->message);
	problem->set = true;
	problem->closing = rec->elevel == WS_ELEVEL_ERROR;
	problem->elevel = rec->elevel;
	problem->time_ns = rec->h.time_ns;
	problem->sqlstate[0] = '\0';
	if (rec->valid & WS_VALID_SQLSTATE)
		unpack_sqlstate(rec->sqlstate, problem->sqlstate);
	locate(problem, rec);
	/* A message that is refused (forbidden_in_wal_sender), a connection that is refused, an
	 * idle session that is ended: an entry of its own. */
	problem->outside = problem->elevel != WS_ELEVEL_COMMERROR && !m->command.open;
	if (problem->outside)
		open_entry(m, rec->h.time_ns, true);
	if (problem->outside && problem->closing)
		ws_client_foreign(m);
}

void ws_command_message(struct ws_machine *m, const struct ws_rec_message *rec)
{
	close_lost(m, rec->h.time_ns);
	m->message_type = (uint8_t)rec->type;
}

/* Of several, the one that ended the process is kept: a FATAL, else the first COMMERROR (the EOF
 * that follows a failed read says less). */
static void keep_fatal(struct ws_machine *m)
{
	struct ws_problem former = m->fatal;

	if (former.set &&
	    (former.elevel != WS_ELEVEL_COMMERROR || m->problem.elevel == WS_ELEVEL_COMMERROR))
		return;
	m->fatal = m->problem;
	m->problem = former;
}

void ws_command_settle(struct ws_machine *m)
{
	struct ws_problem *problem = &m->problem;
	uint32_t clues;

	parse(m);
	if (!problem->set)
		return;
	ws_assembly_finish(&problem->message);
	if (problem->closing || problem->outside)
		close_measured(m, problem->time_ns, WS_OUTCOME_ERROR, problem, NULL);
	clues = ws_exit_clues(problem);
	m->clues = ws_exit_add_clues(m->clues, clues);
	if (!problem->closing) {
		if (ws_exit_follows(clues))
			ws_timeline_enter(m, WS_STATE_EXITING, problem->time_ns);
		keep_fatal(m);
	}
	problem->set = false;
}

/* Why a process took its command with it, where no error says so. */
static void explain_end(const struct ws_session *s, char *why, size_t size)
{
	static const struct {
		int signal;
		const char *name;
	} signals[] = {
		{ SIGKILL, "SIGKILL" }, { SIGSEGV, "SIGSEGV" }, { SIGABRT, "SIGABRT" },
		{ SIGBUS, "SIGBUS" },	{ SIGQUIT, "SIGQUIT" }, { SIGTERM, "SIGTERM" },
		{ SIGILL, "SIGILL" },	{ SIGFPE, "SIGFPE" },
	};

	if (s->exit_signal <= 0) {
		snprintf(why, size, "the process exited with status %d", s->exit_code);
		return;
	}
	snprintf(why, size, "the process was ended by signal %d", s->exit_signal);
	for (size_t i = 0; i < WS_ARRAY_SIZE(signals); i++)
		if (signals[i].signal == s->exit_signal)
			snprintf(why, size, "the process was ended by %s", signals[i].name);
}

void ws_command_exit(struct ws_machine *m, uint64_t time_ns)
{
	const struct ws_session *s = &m->s;
	char why[64];

	if (m->fatal.set) {
		close_measured(m, time_ns, WS_OUTCOME_ERROR, &m->fatal, NULL);
	} else if (s->exit_signal > 0 || s->exit_code > 0) {
		explain_end(s, why, sizeof(why));
		close_measured(m, time_ns, WS_OUTCOME_ERROR, NULL, why);
	} else if (m->hole || m->command.gap || s->exit_code < 0 ||
		   s->exit_reason == WS_END_UNKNOWN) {
		close_lost(m, time_ns);
	} else if (s->exit_reason == WS_END_CLIENT_EOF) {
		close_measured(m, time_ns, WS_OUTCOME_ERROR, NULL, "the client's connection ended");
	} else {
		/* The client went away in good order, which is how streams end. */
		close_measured(m, time_ns, WS_OUTCOME_OK, NULL, NULL);
	}
}

void ws_command_finish(struct ws_machine *m)
{
	struct ws_command command;

	end_former(m);
	/* Nothing behind the gap says that it still runs. */
	if (m->command.gap)
		close_lost(m, m->command.known_ns);
	if (ws_session_command(&m->s, &command))
		tell(m, &command);
}

bool ws_session_command(const struct ws_session *session, struct ws_command *command)
{
	struct ws_machine *m = ws_machine_of(session);

	if (m->ended || !m->command.open)
		return false;
	describe(&m->command, command);
	return true;
}

bool ws_session_error(const struct ws_session *session, struct ws_report *report)
{
	const struct ws_problem *problem = &ws_machine_of(session)->fatal;

	/* One it survived without another command explains no end in good order. */
	if (!session->end_ns || !problem->set || session->exit_reason == WS_END_CLIENT_TERMINATED)
		return false;
	*report = (struct ws_report){
		.elevel = problem->elevel,
		.sqlstate = problem->sqlstate[0] ? problem->sqlstate : NULL,
		.message = problem->message.any ? problem->message.buf.data : NULL,
		.location = problem->location[0] ? problem->location : NULL,
		.truncated = problem->message.cut,
		.sum = problem->message.sum,
	};
	return true;
}

void ws_command_release(struct ws_machine *m)
{
	ws_assembly_deinit(&m->command.text);
	ws_assembly_deinit(&m->former.text);
	ws_assembly_deinit(&m->problem.message);
}

void ws_command_deinit(struct ws_machine *m)
{
	ws_command_release(m);
	ws_assembly_deinit(&m->fatal.message);
}

void ws_command_streams(struct ws_machine *m)
{
	m->command.streaming = true;
	take_slot(m);
}

void ws_command_goes_on(struct ws_machine *m)
{
	m->command.gap = false;
	m->command.known_ns = 0;
}
