/* SPDX-License-Identifier: BSD-2-Clause */
/* From the memory of a running walsender to a session entry: reads, cross-checks, and fills. */
#include "probe/seed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "probe/plausible.h"
#include "probe/seed_view.h"
#include "target/memory.h"

#define NSEC_PER_SEC 1000000000ULL

/* The process is not stopped: a look whose anchors moved meanwhile is taken again. */
#define LOOKS 8

/* Until then a process may not have come to know its own pid. */
#define NEWBORN_NS (10 * NSEC_PER_SEC)

/* What one attempt found out. */
enum look {
	LOOK_BAD = -1,	/* error filled */
	LOOK_OTHER = 0, /* no walsender, or gone */
	LOOK_DONE = 1,
	LOOK_AGAIN = 2, /* changed under our eyes; error filled in case it stays that way */
};

static const char what[] = "cannot read the state of a running server process";
static const char see_doctor[] = "walscope doctor says where they come from";

static const char *where_pid(const struct ws_seed_view *view, char where[32])
{
	snprintf(where, 32, "pid %u", view->process->pid);
	return where;
}

static enum look unreadable(const struct ws_seed_view *view, const char *name, struct ws_error *err)
{
	int errnum = errno;
	char where[32];

	if (errnum == ESRCH)
		return LOOK_OTHER;
	ws_error_set(err, what, where_pid(view, where), "%s: %s", name, strerror(errnum));
	if (err)
		err->errnum = errnum;
	if (errnum == EPERM || errnum == EACCES)
		ws_error_fix(err, "run as root, or with CAP_SYS_PTRACE");
	else
		ws_error_fix(err, "its address or layout is of another server; %s", see_doctor);
	return LOOK_BAD;
}

/* Holds a value against the rules. False: it is implausible; error filled. */
static bool check(const struct ws_seed_view *view, enum ws_check which,
		  const struct ws_value *value, struct ws_error *err)
{
	const struct ws_witness witness = { .pid = view->process->ns_pid,
					    .walsender = true,
					    .database = view->database };
	char text[WS_CHECK_TEXT], where[32];

	if (ws_plausible(which, value, &witness))
		return true;
	ws_error_set(err, what, where_pid(view, where),
		     "%s: addresses or layout are of another server",
		     ws_check_explain(which, value, &witness, text));
	ws_error_fix(err, "%s", see_doctor);
	return false;
}

static bool check_number(const struct ws_seed_view *view, enum ws_check which, uint64_t number,
			 struct ws_error *err)
{
	return check(view, which, &(struct ws_value){ .number = number }, err);
}

static bool check_text(const struct ws_seed_view *view, enum ws_check which, const char *text,
		       size_t room, struct ws_error *err)
{
	return check(view, which, &(struct ws_value){ .text = text, .room = room }, err);
}

/*
 * A child has its parent's MyProcPid after the fork, until it ran for the first time
 * (fork_process.c, InitPostmasterChild): on a busy host longer than it is looked at. It is no
 * walsender yet, and the programs see whether it becomes one. An old process has no such excuse.
 */
static bool is_newborn(const struct ws_seed_view *view, int32_t pid)
{
	static const struct ws_proc proc = { .root = "/proc" };
	uint64_t tick_ns = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t born_ns = view->process->start_ticks * tick_ns;
	struct ws_process parent;

	return ws_clock_boot_ns() < born_ns + NEWBORN_NS &&
	       ws_proc_read(&proc, view->process->parent, &parent) && pid == (int32_t)parent.ns_pid;
}

static enum look look_at_process(struct ws_seed_view *view, struct ws_error *err)
{
	const struct ws_variables *var = &view->config->var;
	int32_t own = (int32_t)view->process->ns_pid, pid = 0;
	uint8_t walsender = 0;
	char where[32];

	if (!var->my_proc_pid || !var->am_walsender) {
		ws_error_set(err, what, where_pid(view, where), "the address of %s is not known",
			     var->my_proc_pid ? "am_walsender" : "MyProcPid");
		return LOOK_BAD;
	}
	if (!ws_seed_view_variable(view, var->my_proc_pid, &pid, sizeof(pid)))
		return unreadable(view, "MyProcPid", err);
	if (pid != own && !view->memory && is_newborn(view, pid))
		return LOOK_OTHER;
	if (!check_number(view, WS_CHECK_PID, (uint32_t)pid, err))
		return LOOK_AGAIN;
	if (!ws_seed_view_variable(view, var->am_walsender, &walsender, sizeof(walsender)))
		return unreadable(view, "am_walsender", err);
	if (!check_number(view, WS_CHECK_WALSENDER, walsender, err))
		return LOOK_AGAIN;
	if (!walsender)
		return LOOK_OTHER;
	if (var->am_db_walsender &&
	    !ws_seed_view_variable(view, var->am_db_walsender, &view->database, 1))
		return unreadable(view, "am_db_walsender", err);
	return check_number(view, WS_CHECK_DB_WALSENDER, view->database, err) ? LOOK_DONE
									      : LOOK_AGAIN;
}

static enum look look_at_walsnd(struct ws_seed_view *view, struct ws_error *err)
{
	struct ws_seed_walsnd *snd = &view->walsnd;

	if (!ws_seed_view_walsnd(view))
		return unreadable(view, "MyWalSnd", err);
	if (!snd->address)
		return LOOK_DONE;
	if (!check_number(view, WS_CHECK_WALSND_PID, (uint32_t)snd->pid, err) ||
	    (snd->has_state && !check_number(view, WS_CHECK_WALSND_STATE, snd->state, err)))
		return LOOK_AGAIN;
	/* The other positions are the client's claim and may be anything. */
	return check_number(view, WS_CHECK_WALSND_SENT, snd->sent, err) ? LOOK_DONE : LOOK_AGAIN;
}

static enum look look_once(struct ws_seed_view *view, struct ws_error *err)
{
	const struct ws_seed_anchor *anchor = &view->anchor;
	struct ws_seed_anchor again;
	enum look look = look_at_process(view, err);

	if (look != LOOK_DONE)
		return look;
	if (!ws_seed_view_anchor(view, &view->anchor))
		return unreadable(view, "debug_query_string", err);
	look = look_at_walsnd(view, err);
	if (look != LOOK_DONE)
		return look;
	ws_seed_view_wait(view);
	ws_seed_view_cascading(view);
	ws_seed_view_slot(view);
	if (view->has_slot && !check_text(view, WS_CHECK_SLOT, view->slot, sizeof(view->slot), err))
		return LOOK_AGAIN;
	ws_seed_view_port(view);
	if (!check_text(view, WS_CHECK_HOST, view->host, sizeof(view->host), err))
		return LOOK_AGAIN;
	if (!ws_seed_view_command(view)) {
		errno = ENOMEM;
		return unreadable(view, "debug_query_string", err);
	}
	if (!ws_seed_view_anchor(view, &again))
		return unreadable(view, "debug_query_string", err);
	if (again.query != anchor->query || again.walsnd != anchor->walsnd ||
	    again.state != anchor->state) {
		char where[32];

		ws_error_set(err, what, where_pid(view, where),
			     "it changes faster than it is read");
		return LOOK_AGAIN;
	}
	return LOOK_DONE;
}

/* Is it still the process that was asked for, alive? Also takes its scheduler state of now. */
static bool is_still_there(struct ws_seed_view *view)
{
	static const struct ws_proc proc = { .root = "/proc" };
	struct ws_process now;

	if (!ws_proc_read(&proc, view->process->pid, &now) ||
	    now.start_ticks != view->process->start_ticks || now.state == 'Z' || now.state == 'X')
		return false;
	view->sleeping = now.state == 'S' || now.state == 'T' || now.state == 't';
	return true;
}

static void copy_name(char *out, size_t size, const char *in)
{
	size_t len = strlen(in);

	if (len >= size) {
		len = size - 1;
		while (len && ((unsigned char)in[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(out, in, len);
	out[len] = '\0';
}

/* Numbers of the records that ws_seed_records makes. */
static uint32_t record_count(const struct ws_seed *seed)
{
	size_t pieces = (seed->command.len + WS_TEXT_CHUNK - 1) / WS_TEXT_CHUNK;

	if (!seed->has_command)
		return 1;
	return 2 + (uint32_t)(pieces ? pieces : 1) + (seed->has_command_sum ? 1 : 0);
}

static void fill_session(const struct ws_seed_view *view, struct ws_seed *seed, uint64_t now)
{
	struct ws_rec_session *rec = &seed->session;

	rec->h = (struct ws_rec){ .size = sizeof(*rec),
				  .kind = WS_KIND_SESSION,
				  .pid = view->process->pid,
				  .time_ns = now,
				  .start_ns = seed->entry.start_ns,
				  .server = view->config->server,
				  .flags = WS_SESSION_RUNNING };
	if (view->database)
		rec->h.flags |= WS_SESSION_DATABASE;
	if (view->cascading)
		rec->h.flags |= WS_SESSION_CASCADING;
	if (view->tls)
		rec->h.flags |= WS_SESSION_TLS;
	rec->base = view->base;
	rec->ns_pid = view->process->ns_pid;
	rec->postmaster_pid = view->process->parent;
	rec->valid = view->valid | WS_VALID_NS_PID | WS_VALID_PARENT;
	rec->found = (uint8_t)view->found;
	if (view->walsnd.has_state)
		rec->walsnd_state = (uint8_t)(view->walsnd.state + 1);
	rec->port = view->port;
	rec->sent_lsn = view->walsnd.sent;
	copy_name(rec->user, sizeof(rec->user), view->user);
	copy_name(rec->database, sizeof(rec->database), view->dbname);
	copy_name(rec->application, sizeof(rec->application), view->application);
	copy_name(rec->host, sizeof(rec->host), view->host);
	copy_name(rec->slot, sizeof(rec->slot), view->slot);
}

/* The entry as the programs would have left it: bpf/on_loop.h says which stage follows which site.
 */
static void fill_stream(const struct ws_seed_view *view, struct ws_entry *entry)
{
	const __u64 *site = view->config->site_addr;

	entry->flags |= WS_ENTRY_IN_LOOP;
	if (view->config->level >= 2)
		entry->flags |= WS_ENTRY_TURNS;
	if (view->logical) {
		entry->flags |= WS_ENTRY_LOGICAL;
		entry->turn.h.flags |= WS_TURN_LOGICAL;
	}
	if (view->found == WS_FOUND_STREAM_SOCKET && site[WS_SITE_MESSAGE_WRITE])
		entry->resume = WS_STAGE_SEND;
	else
		entry->resume = site[WS_SITE_DECODE_START] ? WS_STAGE_READ : WS_STAGE_DECODE;
	switch (view->found) {
	case WS_FOUND_STREAM_SOCKET:
	case WS_FOUND_STREAM_WAL:
	case WS_FOUND_STREAM_STANDBY:
	case WS_FOUND_COMMAND: /* it waits, for one of these */
		entry->stage = WS_STAGE_WAIT;
		break;
	case WS_FOUND_STREAM_RECV:
		entry->stage = WS_STAGE_REPLY;
		break;
	default:
		/* Where exactly is not to be had from outside; the next site puts it right. */
		entry->stage = view->logical ? WS_STAGE_DECODE : WS_STAGE_SEND;
		break;
	}
	entry->after_wait = entry->resume;
	if (!view->logical || (site[WS_SITE_REPLIES_END] && view->found != WS_FOUND_STREAM_SOCKET))
		entry->after_wait = WS_STAGE_REPLY;
	if (entry->stage == WS_STAGE_WAIT)
		entry->nap = WS_NAP_ASLEEP;
	if (view->has_wait) {
		entry->wait_event = view->wait;
		entry->wait_info = view->wait_info;
	}
}

static void fill_entry(const struct ws_seed_view *view, struct ws_seed *seed, uint64_t now)
{
	struct ws_entry *entry = &seed->entry;
	const struct ws_seed_walsnd *snd = &view->walsnd;

	entry->base = view->base;
	entry->server = view->config->server;
	entry->postmaster_pid = view->process->parent;
	entry->unreadable = view->unreadable;
	entry->sock = view->sock;
	entry->flags = WS_ENTRY_BASE;
	if (!view->may_wait)
		entry->flags |= WS_ENTRY_NO_WAITS;
	entry->stage = WS_STAGE_OTHER;
	entry->resume = WS_STAGE_OTHER;
	entry->walsnd = snd->address;
	/* As last seen, so that only the next reply counts as a new one. */
	entry->reply_time_us = snd->reply_time;
	entry->write_lsn = snd->write;
	entry->flush_lsn = snd->flush;
	entry->apply_lsn = snd->apply;
	entry->turn.begin_ns = now;
	entry->turn.lsn_from = snd->sent;
	entry->turn.lsn_to = snd->sent;
	/* The wait it is in, if any, is the session record's `found`; the one that will follow is
	 * set by the site at which it begins. */
	entry->turn.wait = WS_WAIT_NONE;
	entry->turn.h.flags = WS_TURN_ATTACHED;
	if (seed->has_command) {
		entry->flags |= WS_ENTRY_IN_COMMAND;
		entry->mark_ns = now;
	}
	if (view->in_backup) /* the phase stays 0: the next chunk or phase tells it */
		entry->flags |= WS_ENTRY_IN_BACKUP;
	if (view->found == WS_FOUND_BACKUP_SEND) { /* a chunk, most likely */
		entry->backup.phase = WS_BACKUP_STREAM;
		entry->backup.h.time_ns = now;
		entry->backup_mark_ns = now;
	}
	if (view->found == WS_FOUND_BACKUP_CHECKPOINT) {
		entry->backup.phase = WS_BACKUP_CHECKPOINT;
		entry->backup.h.time_ns = now;
	}
	if (view->found == WS_FOUND_BACKUP_ARCHIVE) {
		entry->backup.phase = WS_BACKUP_WAIT_ARCHIVE;
		entry->backup.h.time_ns = now;
	}
	if (view->in_stream)
		fill_stream(view, entry);
	entry->seq = record_count(seed);
}

/* Takes the command over from the view. */
static void fill(struct ws_seed_view *view, struct ws_seed *seed, uint64_t start_ns, uint64_t now)
{
	seed->entry.start_ns = start_ns;
	seed->entry.postmaster_pid = view->process->parent;
	seed->has_command = view->in_stream || view->in_backup || view->command.len;
	seed->command = view->command;
	seed->command_truncated = view->command_truncated;
	seed->has_command_sum = view->has_command_sum;
	seed->command_bytes = view->command_bytes;
	seed->command_xxh64 = view->command_xxh64;
	view->command = (struct ws_buf){ 0 };
	fill_entry(view, seed, now);
	fill_session(view, seed, now);
}

static void fill_running(struct ws_seed_view *view, struct ws_seed *seed)
{
	uint64_t tick_ns = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t start_ns = view->process->start_ticks * tick_ns;
	/* Read in this order the difference is never negative, and too great by some ns only. */
	uint64_t mono = ws_clock_mono_ns(), suspended = ws_clock_boot_ns() - mono;

	fill(view, seed, start_ns, mono);
	/* What the host slept since is not known apart from what it slept before: 0 at worst. */
	seed->session.fork_ns = start_ns > suspended ? start_ns - suspended : 0;
}

int ws_seed_read(const struct ws_process *process, uint64_t base,
		 const struct ws_server_config *config, uint64_t debug_query_string,
		 uint64_t my_wait_event_info, struct ws_seed *seed, struct ws_error *err)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	struct ws_seed_view view;
	enum look look = LOOK_AGAIN;

	memset(seed, 0, sizeof(*seed));
	for (int i = 0; i < LOOKS && look == LOOK_AGAIN; i++) {
		if (i)
			nanosleep(&pause, NULL);
		ws_seed_view_init(&view, process, base, config, debug_query_string,
				  my_wait_event_info);
		look = look_once(&view, err);
		if (look != LOOK_DONE)
			ws_seed_view_deinit(&view);
	}
	if (look == LOOK_OTHER)
		return 0;
	if (!is_still_there(&view)) {
		ws_seed_view_deinit(&view);
		return 0;
	}
	if (look != LOOK_DONE)
		return -1;
	ws_seed_view_judge(&view);
	fill_running(&view, seed);
	ws_seed_view_deinit(&view);
	return 1;
}

int ws_seed_read_still(const struct ws_process *process, uint64_t base,
		       const struct ws_server_config *config, uint64_t debug_query_string,
		       uint64_t my_wait_event_info, const struct ws_seed_still *still,
		       struct ws_seed *seed, struct ws_error *err)
{
	struct ws_seed_view view;
	enum look look;

	memset(seed, 0, sizeof(*seed));
	ws_seed_view_init(&view, process, base, config, debug_query_string, my_wait_event_info);
	view.memory = still->memory;
	view.sleeping = still->sleeping;
	look = look_once(&view, err);
	if (look == LOOK_DONE) {
		ws_seed_view_judge(&view);
		fill(&view, seed, still->start_ns, still->time_ns);
		seed->session.fork_ns = still->fork_ns;
	}
	ws_seed_view_deinit(&view);
	return look == LOOK_DONE ? 1 : look == LOOK_OTHER ? 0 : -1;
}

void ws_seed_deinit(struct ws_seed *seed)
{
	ws_buf_deinit(&seed->command);
}

static int sum_record(const struct ws_seed *seed, struct ws_rec head,
		      int (*fn)(void *arg, const struct ws_rec *rec), void *arg)
{
	struct ws_rec_text_sum rec = { .h = head };

	rec.h.kind = WS_KIND_TEXT_SUM;
	rec.h.size = WS_TEXT_SUM_SIZE;
	rec.h.flags = WS_TEXT_SUM_HASH;
	rec.of = WS_TEXT_COMMAND;
	rec.len = seed->command_bytes;
	rec.hash = seed->command_xxh64;
	return fn(arg, &rec.h);
}

static int text_records(const struct ws_seed *seed, struct ws_rec head,
			int (*fn)(void *arg, const struct ws_rec *rec), void *arg)
{
	union {
		struct ws_rec_text text;
		char room[sizeof(struct ws_rec_text) + WS_TEXT_CHUNK];
	} rec;
	size_t at = 0;
	int rc;

	do {
		size_t len = seed->command.len - at;

		if (len > WS_TEXT_CHUNK)
			len = WS_TEXT_CHUNK;
		memset(&rec.text, 0, sizeof(rec.text));
		rec.text.h = head;
		rec.text.h.kind = WS_KIND_TEXT;
		rec.text.h.size = (uint16_t)(sizeof(rec.text) + len);
		rec.text.of = WS_TEXT_COMMAND;
		rec.text.offset = (uint32_t)at;
		rec.text.len = (uint32_t)len;
		if (len)
			memcpy(rec.text.data, seed->command.data + at, len);
		at += len;
		if (at == seed->command.len && seed->has_command_sum) {
			if (sum_record(seed, head, fn, arg))
				return -1;
			rec.text.h.seq = ++head.seq;
		}
		if (at == seed->command.len)
			rec.text.h.flags |= WS_TEXT_LAST;
		if (at == seed->command.len && seed->command_truncated)
			rec.text.h.flags |= WS_TEXT_TRUNCATED;
		if (!seed->command.len)
			rec.text.h.flags |= WS_TEXT_UNREADABLE;
		rc = fn(arg, &rec.text.h);
		head.seq++;
	} while (!rc && at < seed->command.len);
	return rc;
}

int ws_seed_records(const struct ws_seed *seed, int (*fn)(void *arg, const struct ws_rec *rec),
		    void *arg)
{
	struct ws_rec_command command = { .h = seed->session.h };

	if (fn(arg, &seed->session.h))
		return -1;
	if (!seed->has_command)
		return 0;
	command.h.size = sizeof(command);
	command.h.kind = WS_KIND_COMMAND;
	command.h.flags = WS_COMMAND_RUNNING;
	command.h.seq++;
	if (fn(arg, &command.h))
		return -1;
	command.h.flags = 0;
	command.h.seq++;
	return text_records(seed, command.h, fn, arg) ? -1 : 0;
}
