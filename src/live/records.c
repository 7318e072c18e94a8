/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "layout/layout.h"
#include "live/private.h"
#include "live/text_sum.h"

int ws_live_emit(void *arg, const struct ws_rec *rec)
{
	struct ws_live *live = arg;

	if (!live->sink_result)
		live->sink_result = live->sink.fn(live->sink.arg, rec);
	return live->sink_result;
}

static struct ws_rec own_head(enum ws_kind kind, size_t size)
{
	return (struct ws_rec){
		.size = (uint16_t)size,
		.kind = kind,
		.time_ns = ws_clock_mono_ns(),
	};
}

/* Keeps the end of a path: that is where paths differ. */
static void copy_tail(char *out, size_t size, const char *path)
{
	size_t len = strlen(path);

	memcpy(out, len < size ? path : path + len - size + 1, len < size ? len + 1 : size);
}

int ws_live_emit_server(struct ws_live *live, const struct ws_postmaster *postmaster,
			const struct ws_binary *binary)
{
	struct ws_rec_server rec = { .h = own_head(WS_KIND_SERVER, sizeof(rec)) };

	rec.h.pid = postmaster->process.pid;
	rec.h.server = binary->server;
	rec.major = (uint32_t)binary->major;
	rec.layout = (uint32_t)binary->layout_source;
	snprintf(rec.version, sizeof(rec.version), "%s", binary->version);
	snprintf(rec.build_id, sizeof(rec.build_id), "%s", ws_image_build_id(binary->image));
	copy_tail(rec.file, sizeof(rec.file), postmaster->exe);
	copy_tail(rec.datadir, sizeof(rec.datadir), postmaster->datadir);
	return ws_live_emit(live, &rec.h);
}

int ws_live_emit_clock(struct ws_live *live)
{
	struct ws_rec_clock rec = { .h = own_head(WS_KIND_CLOCK, sizeof(rec)) };
	struct ws_clocks now;

	ws_clocks_read(&now);
	rec.h.time_ns = now.mono_ns;
	rec.wall_ns = now.wall_ns;
	rec.boot_ns = now.boot_ns;
	return ws_live_emit(live, &rec.h);
}

int ws_live_emit_note(struct ws_live *live, const char *text)
{
	union {
		struct ws_rec_note rec;
		char bytes[WS_REC_SIZE_MAX];
	} u = { 0 };
	size_t len = strnlen(text, sizeof(u) - sizeof(u.rec) - 1);
	size_t size = (sizeof(u.rec) + len + 1 + 7) & ~(size_t)7;

	u.rec.h = own_head(WS_KIND_NOTE, size);
	memcpy(u.rec.text, text, len);
	return ws_live_emit(live, &u.rec.h);
}

int ws_live_emit_stop(struct ws_live *live, struct ws_rec_stop *stop)
{
	stop->h = own_head(WS_KIND_STOP, sizeof(*stop));
	return ws_live_emit(live, &stop->h);
}

int ws_live_emit_gap(struct ws_live *live, enum ws_gap_cause cause, uint64_t from_ns,
		     uint64_t count)
{
	struct ws_rec_gap rec = {
		.h = own_head(WS_KIND_GAP, sizeof(rec)),
		.from_ns = from_ns,
		.lost = count,
		.cause = cause,
	};

	rec.to_ns = rec.h.time_ns;
	return ws_live_emit(live, &rec.h);
}

bool ws_live_is_ignored(const struct ws_live *live, const struct ws_rec *rec)
{
	size_t count = live->ignored_next < WS_IGNORED_MAX ? live->ignored_next : WS_IGNORED_MAX;

	for (size_t i = 0; i < count; i++) {
		if (live->ignored[i].pid == rec->pid && live->ignored[i].start_ns == rec->start_ns)
			return rec->pid != 0;
	}
	return false;
}

/* A session of a server the filters exclude: its entry is deleted, so that the programs leave the
 * process alone from now on; records already made are dropped. */
static void ignore_session(struct ws_live *live, const struct ws_rec *rec)
{
	live->ignored[live->ignored_next % WS_IGNORED_MAX] = (struct ws_ignored){
		.pid = rec->pid,
		.start_ns = rec->start_ns,
	};
	live->ignored_next++;
	ws_tracer_forget_session(live->tracer, rec->pid, rec->start_ns);
}

/* The strings an error points at are constants of the server binary: read from the file. */
static void complete_error(struct ws_live *live, const struct ws_rec_error *wire,
			   struct ws_rec_error *full)
{
	const struct ws_binary *binary = ws_live_binary(live, wire->h.server);
	const char *file = NULL, *function = NULL;

	memset(full, 0, sizeof(*full));
	memcpy(full, wire, WS_ERROR_WIRE_SIZE);
	full->h.size = sizeof(*full);
	if (binary && full->valid & WS_VALID_FILE)
		file = ws_image_string(binary->image, full->file_addr);
	if (binary && full->valid & WS_VALID_FUNCTION)
		function = ws_image_string(binary->image, full->function_addr);
	if (file)
		snprintf(full->file, sizeof(full->file), "%s", file);
	else
		full->valid &= ~(uint32_t)WS_VALID_FILE;
	if (function)
		snprintf(full->function, sizeof(full->function), "%s", function);
	else
		full->valid &= ~(uint32_t)WS_VALID_FUNCTION;
}

/* Whose child is it? 0 if that cannot be told: its own record is missing, and it is gone. */
static uint32_t postmaster_of(const struct ws_live *live, const struct ws_rec *rec)
{
	const struct ws_rec_session *session = (const struct ws_rec_session *)rec;
	struct ws_process process;
	struct ws_entry entry;

	if (rec->kind == WS_KIND_SESSION)
		return session->postmaster_pid;
	/* The entry outlives the process, until the record of its end was read. */
	if (ws_tracer_entry(live->tracer, rec->pid, &entry) && entry.start_ns == rec->start_ns &&
	    entry.postmaster_pid)
		return entry.postmaster_pid;
	return ws_proc_read(&live->proc, rec->pid, &process) ? process.parent : 0;
}

/* Do the filters want this process of that postmaster (0: it cannot be told)? One not seen before
 * is looked up first. */
static int wants(struct ws_live *live, uint32_t pid, uint32_t postmaster)
{
	const struct ws_live_options *options = live->options;
	int wanted;

	if (options->pid && options->pid != pid)
		return 0;
	wanted = ws_live_wants_postmaster(live, postmaster);
	if (wanted >= 0 || !postmaster)
		return wanted != 0;
	if (ws_live_rescan(live))
		return -1;
	wanted = ws_live_wants_postmaster(live, postmaster);
	if (wanted >= 0)
		return wanted;
	/* One that runs, but may not be examined, or came after the only one that is wanted. One
	 * that is gone may have been wanted. */
	return !ws_live_is_narrowed(options) ||
	       !ws_proc_read(&live->proc, postmaster, &(struct ws_process){ 0 });
}

bool ws_live_is_strange(struct ws_live *live, uint32_t pid, const struct ws_entry *entry)
{
	return !ws_order_knows(live->order, pid, entry->start_ns) &&
	       wants(live, pid, entry->postmaster_pid) == 0;
}

/* The first record that arrives of a session, which is not its own where the ring was full. */
static bool is_first(const struct ws_live *live, const struct ws_rec *rec, size_t size)
{
	if (rec->kind == WS_KIND_SESSION)
		return size >= sizeof(struct ws_rec_session);
	return rec->kind < WS_KIND_SERVER && rec->pid &&
	       !ws_order_knows(live->order, rec->pid, rec->start_ns);
}

/* The exit is the last record the programs make of a session; a new process may have got its pid,
 * and its entry, meanwhile. */
static int close_session(struct ws_live *live, const struct ws_rec *exit)
{
	ws_tracer_forget_session(live->tracer, exit->pid, exit->start_ns);
	return ws_order_session_gone(live->order, exit->pid, exit->start_ns, exit->seq + 1,
				     exit->time_ns);
}

int ws_live_from_ring(void *arg, const void *data, size_t size)
{
	struct ws_live *live = arg;
	const struct ws_rec *rec = data;
	union ws_live_room room;
	struct ws_rec_text_sum sum;
	struct ws_rec_signal signal;
	struct ws_rec_error full;
	struct ws_rec_exit end;
	int rc;

	if (live->sink_result)
		return -1;
	if (size < sizeof(*rec) || size < rec->size)
		return ws_order_feed(live->order, data, size);
	ws_live_count_arrived(live, rec);
	if (ws_live_is_ignored(live, rec) || !ws_live_wants_alone(live, rec)) {
		ws_live_count_filtered(live, rec);
		return 0;
	}
	if (is_first(live, rec, size)) {
		int wanted = wants(live, rec->pid, postmaster_of(live, rec));

		if (wanted < 0)
			return -1;
		if (!wanted) {
			ignore_session(live, rec);
			ws_live_count_filtered(live, rec);
			return 0;
		}
	}
	data = ws_live_doubt(live, rec, &room);
	if (!data)
		return -1;
	if (rec->kind == WS_KIND_ERROR && rec->size == WS_ERROR_WIRE_SIZE) {
		complete_error(live, data, &full);
		data = &full;
		size = sizeof(full);
	}
	if (rec->kind == WS_KIND_TEXT_SUM && rec->size == sizeof(sum) && size >= rec->size) {
		sum = ws_text_sum_end(data);
		data = &sum;
		size = sum.h.size;
	}
	if (rec->kind == WS_KIND_SIGNAL && rec->size == sizeof(signal)) {
		memcpy(&signal, data, sizeof(signal));
		ws_live_complete_signal(live, &signal);
		ws_live_note_stop(live, &signal);
		data = &signal;
	}
	if (rec->kind == WS_KIND_EXIT && rec->size <= sizeof(end) && live->detach_ns &&
	    rec->time_ns >= live->detach_ns) {
		memcpy(&end, data, rec->size);
		end.h.flags |= WS_EXIT_UNWATCHED;
		data = &end;
		size = rec->size;
	}
	rc = ws_order_feed(live->order, data, size);
	if (rc == 0 && rec->kind == WS_KIND_EXIT)
		rc = close_session(live, rec);
	return rc;
}
