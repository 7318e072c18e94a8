/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/seed_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include "base/util.h"
#include "target/memory.h"

/*
 * Classes of wait_event_info, and the two events whose number is the same in 10 to 18: they are the
 * first of their class (pgstat.h, from 14 on wait_event.h). Those that differ are in the layout.
 */
#define WAIT_CLASS(wait) ((wait) >> 24)
#define CLASS_ACTIVITY	 0x05 /* of walsenders: WalSenderMain alone, the sleep in WalSndLoop */
#define CLASS_CLIENT	 0x06 /* of walsenders: ClientRead, ClientWrite, WalSenderWaitForWAL, ... */
#define CLIENT_READ	 0x06000000U
#define CLIENT_WRITE	 0x06000001U

void ws_seed_view_init(struct ws_seed_view *view, const struct ws_process *process, uint64_t base,
		       const struct ws_server_config *config, uint64_t query_address,
		       uint64_t wait_address)
{
	memset(view, 0, sizeof(*view));
	view->process = process;
	view->base = base;
	view->config = config;
	view->query_address = query_address;
	view->wait_address = wait_address;
	view->sock = -1;
}

void ws_seed_view_deinit(struct ws_seed_view *view)
{
	ws_buf_deinit(&view->command);
}

static bool read_at(const struct ws_seed_view *view, uint64_t address, void *out, size_t size)
{
	return ws_memory_get(view->memory, view->process->pid, address, out, size);
}

bool ws_seed_view_variable(const struct ws_seed_view *view, uint64_t variable, void *out,
			   size_t size)
{
	return read_at(view, view->base + variable, out, size);
}

/* A pointer variable; one whose address is not known is NULL. */
static bool read_pointer(const struct ws_seed_view *view, uint64_t variable, uint64_t *value)
{
	*value = 0;
	return !variable || ws_seed_view_variable(view, variable, value, sizeof(*value));
}

static bool read_field(const struct ws_seed_view *view, uint64_t address, uint32_t offset,
		       void *out, size_t size)
{
	return offset == WS_UNKNOWN || read_at(view, address + offset, out, size);
}

bool ws_seed_view_anchor(const struct ws_seed_view *view, struct ws_seed_anchor *anchor)
{
	const struct ws_server_config *config = view->config;

	*anchor = (struct ws_seed_anchor){ 0 };
	if (!read_pointer(view, view->query_address, &anchor->query) ||
	    !read_pointer(view, config->var.my_walsnd, &anchor->walsnd))
		return false;
	if (!anchor->walsnd || read_field(view, anchor->walsnd, config->off.walsnd_state,
					  &anchor->state, sizeof(anchor->state)))
		return true;
	/* A dump may have been made without what is shared: then nothing is known of it. */
	anchor->walsnd = 0;
	return view->memory != NULL;
}

bool ws_seed_view_walsnd(struct ws_seed_view *view)
{
	const struct ws_offsets *off = &view->config->off;
	struct ws_seed_walsnd *snd = &view->walsnd;
	const struct {
		uint32_t offset;
		uint64_t *to;
	} fields[] = {
		{ off->walsnd_sent, &snd->sent },
		{ off->walsnd_write, &snd->write },
		{ off->walsnd_flush, &snd->flush },
		{ off->walsnd_apply, &snd->apply },
		{ off->walsnd_reply_time, &snd->reply_time },
	};

	snd->address = view->anchor.walsnd;
	if (!snd->address)
		return true;
	snd->has_state = off->walsnd_state != WS_UNKNOWN;
	snd->state = view->anchor.state;
	/* walsender_private.h, 9.0 to 18: pid is the first member of struct WalSnd. */
	if (!read_at(view, snd->address, &snd->pid, sizeof(snd->pid)))
		return false;
	for (size_t i = 0; i < WS_ARRAY_SIZE(fields); i++) {
		if (!read_field(view, snd->address, fields[i].offset, fields[i].to,
				sizeof(uint64_t)))
			return false;
	}
	return true;
}

/* Where the process tells what it waits for: my_wait_event_info points there, up to 13 MyProc does.
 */
static bool find_wait(const struct ws_seed_view *view, uint64_t *address)
{
	const struct ws_server_config *config = view->config;

	if (view->wait_address)
		return read_pointer(view, view->wait_address, address) && *address;
	if (config->off.proc_wait_event == WS_UNKNOWN ||
	    !read_pointer(view, config->var.my_proc, address) || !*address)
		return false;
	*address += config->off.proc_wait_event;
	return true;
}

void ws_seed_view_wait(struct ws_seed_view *view)
{
	const struct ws_variables *var = &view->config->var;
	uint32_t pointer, start;

	if (find_wait(view, &view->wait_info))
		view->has_wait = read_at(view, view->wait_info, &view->wait, sizeof(view->wait));
	if (!var->pq_send_pointer || !var->pq_send_start ||
	    !ws_seed_view_variable(view, var->pq_send_start, &start, sizeof(start)) ||
	    !ws_seed_view_variable(view, var->pq_send_pointer, &pointer, sizeof(pointer)))
		return;
	/* pqcomm.c socket_is_send_pending; the other way round they are no such pair, or were
	 * written between the two reads. */
	view->has_pending = start <= pointer;
	view->pending = start < pointer;
}

void ws_seed_view_cascading(struct ws_seed_view *view)
{
	uint64_t variable = view->config->var.am_cascading_walsender;
	uint8_t cascading;

	view->cascading = variable &&
			  ws_seed_view_variable(view, variable, &cascading, sizeof(cascading)) &&
			  cascading == 1;
}

void ws_seed_view_slot(struct ws_seed_view *view)
{
	uint32_t name = view->config->off.slot_name, oid;
	struct {
		char name[WS_NAME_LEN];
		uint32_t database;
	} data;
	uint64_t slot;

	if (!read_pointer(view, view->config->var.my_replication_slot, &slot)) {
		view->unreadable++;
		return;
	}
	if (!slot || name == WS_UNKNOWN)
		return;
	if (!read_at(view, slot + name, &data, sizeof(data))) {
		view->unreadable++;
		return;
	}
	memcpy(view->slot, data.name, sizeof(view->slot));
	/* ReplicationSlotPersistentData of slot.h, 9.4 to 18: the database follows the name, and is
	 * InvalidOid in a physical slot (SlotIsPhysical). */
	memcpy(&oid, &data.database, sizeof(oid));
	view->has_slot = true;
	view->slot_logical = oid != 0;
}

static bool is_text(const char *text, size_t len, bool lines)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (lines && c >= '\t' && c <= '\r')
			continue;
		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

/* A command may hold any character, and so may the names of a user and of a database; what is
 * mostly others than those of text is none. */
static bool is_mostly_text(const char *text, size_t len)
{
	size_t odd = 0;

	for (size_t i = 0; i < len; i++)
		odd += !is_text(text + i, 1, true);
	return is_text(text, len ? 1 : 0, true) && odd <= len / 4;
}

/* A `char *` member of Port; one that is absent is empty. Returns false if it is there and no text.
 */
static bool read_name(struct ws_seed_view *view, uint64_t port, uint32_t offset, bool may_be_null,
		      uint32_t bit, char out[WS_SEED_NAME])
{
	uint64_t address = 0;
	long len = 0;

	if (offset == WS_UNKNOWN)
		return true;
	if (!read_at(view, port + offset, &address, sizeof(address)) ||
	    (!address && !may_be_null) ||
	    (address && (len = ws_memory_get_string(view->memory, view->process->pid, address, out,
						    WS_SEED_NAME, NULL)) < 0)) {
		out[0] = '\0';
		view->unreadable++;
		return true;
	}
	if (bit & (WS_VALID_USER | WS_VALID_DATABASE) ? !is_mostly_text(out, (size_t)len)
						      : !is_text(out, (size_t)len, false)) {
		view->unreadable++;
		return false;
	}
	view->valid |= bit;
	return true;
}

/* pqcomm.c and ip.c: remote_port is a number, or the path of the client's Unix socket (mostly "").
 */
static void read_port_number(struct ws_seed_view *view, uint64_t port)
{
	char text[WS_SEED_NAME] = "", *end;
	unsigned long number;

	if (!read_name(view, port, view->config->off.port_remote_port, false, WS_VALID_PORT,
		       text) ||
	    !(view->valid & WS_VALID_PORT))
		return;
	if (strcmp(view->host, "[local]") == 0)
		return;
	number = strtoul(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !*end && number <= UINT16_MAX)
		view->port = (uint16_t)number;
	else
		view->valid &= ~(uint32_t)WS_VALID_PORT;
}

/* The connection itself: its descriptor, and whether TLS is in use. */
static void read_connection(struct ws_seed_view *view, uint64_t port)
{
	const struct ws_offsets *off = &view->config->off;
	uint8_t tls = 0;
	int32_t sock = -1;

	if (off->port_sock != WS_UNKNOWN &&
	    read_at(view, port + off->port_sock, &sock, sizeof(sock)) && sock >= 0)
		view->sock = sock;
	if (off->port_tls == WS_UNKNOWN)
		return;
	if (read_at(view, port + off->port_tls, &tls, sizeof(tls)) && tls <= 1) {
		view->tls = tls;
		view->valid |= WS_VALID_TLS;
	} else {
		view->unreadable++;
	}
}

void ws_seed_view_port(struct ws_seed_view *view)
{
	const struct ws_offsets *off = &view->config->off;
	uint64_t port;

	if (!read_pointer(view, view->config->var.my_proc_port, &port) || !port) {
		view->unreadable++;
		return;
	}
	/* What people chose may have control characters: such a value is left out. */
	read_name(view, port, off->port_remote_host, false, WS_VALID_HOST, view->host);
	read_port_number(view, port);
	read_connection(view, port);
	if (!read_name(view, port, off->port_user, false, WS_VALID_USER, view->user))
		view->user[0] = '\0';
	if (!read_name(view, port, off->port_database, true, WS_VALID_DATABASE, view->dbname))
		view->dbname[0] = '\0';
	if (!read_name(view, port, off->port_application, true, WS_VALID_APPLICATION,
		       view->application))
		view->application[0] = '\0';
}

/* PostgreSQL takes no message that is longer (MaxAllocSize, memutils.h). */
#define SUM_MAX	  (1ULL << 30)
#define SUM_PIECE 65536

/* The true length and the hash of a text that is longer than what is kept of it. */
static void sum_command(struct ws_seed_view *view)
{
	ws_autofree char *piece = malloc(SUM_PIECE + 1);
	XXH64_state_t *hash = XXH64_createState();
	uint64_t bytes = 0;
	bool goes_on = piece && hash && XXH64_reset(hash, 0) == XXH_OK;

	while (goes_on && bytes < SUM_MAX) {
		long len = ws_memory_get_string(view->memory, view->process->pid,
						view->anchor.query + bytes, piece, SUM_PIECE + 1,
						&goes_on);

		if (len < 0 || XXH64_update(hash, piece, (size_t)len) != XXH_OK)
			break;
		bytes += (uint64_t)len;
		view->has_command_sum = !goes_on && bytes > WS_TEXT_MAX;
	}
	if (view->has_command_sum) {
		view->command_bytes = bytes;
		view->command_xxh64 = XXH64_digest(hash);
	}
	XXH64_freeState(hash);
}

bool ws_seed_view_command(struct ws_seed_view *view)
{
	static const size_t rooms[] = { WS_TEXT_CHUNK, WS_TEXT_MAX };
	struct ws_buf *buf = &view->command;
	bool truncated = true;
	long len = 0;

	if (!view->anchor.query)
		return true;
	for (size_t i = 0; i < WS_ARRAY_SIZE(rooms) && truncated && len >= 0; i++) {
		if (ws_buf_reserve(buf, rooms[i]))
			return false;
		len = ws_memory_get_string(view->memory, view->process->pid, view->anchor.query,
					   buf->data, rooms[i] + 1, &truncated);
	}
	/*
	 * exec_replication_command and exec_simple_query set the variable back to NULL, as does the
	 * handler of an ERROR; up to 13 there were minors that never set it. A pointer that
	 * outlived its text all the same shows as something else than text.
	 */
	if (len <= 0 || !is_mostly_text(buf->data, (size_t)len)) {
		ws_buf_clear(buf);
		return true;
	}
	buf->len = (size_t)len;
	view->command_truncated = truncated;
	if (truncated)
		sum_command(view);
	return true;
}

/* Takes a word off the front: up to white space, or a quoted identifier whole. Returns its length.
 */
static size_t next_word(const char **text, const char **word)
{
	static const char space[] = " \t\n\r\f\v";
	const char *p = *text + strspn(*text, space);

	*word = p;
	if (*p == '"') {
		for (p++; *p && *p != '"'; p++)
			continue;
		if (*p)
			p++;
	} else {
		p += strcspn(p, space);
	}
	*text = p;
	return (size_t)(p - *word);
}

static bool is_word(const char *word, size_t len, const char *keyword)
{
	return len == strlen(keyword) && strncasecmp(word, keyword, len) == 0;
}

/* repl_gram.y: START_REPLICATION [SLOT name] [PHYSICAL] lsn [TIMELINE n], or
 * START_REPLICATION SLOT name LOGICAL lsn [(options)]. */
static bool is_start_replication(const char *command, bool *logical)
{
	const char *text = command, *word;
	size_t len = next_word(&text, &word);

	*logical = false;
	if (!is_word(word, len, "START_REPLICATION"))
		return false;
	len = next_word(&text, &word);
	if (!is_word(word, len, "SLOT"))
		return true;
	next_word(&text, &word);
	len = next_word(&text, &word);
	*logical = is_word(word, len, "LOGICAL");
	return true;
}

/*
 * StartReplication and StartLogicalReplication set catchup in front of the loop and startup behind
 * it, and WalSndErrorCleanup sets startup after an ERROR: catchup and streaming are inside.
 * Stopping is set in front of other commands too (walsender.c, 10 to 18).
 */
static bool is_streaming(struct ws_seed_view *view)
{
	const struct ws_seed_walsnd *snd = &view->walsnd;
	bool start = false;

	view->logical = view->has_slot && view->slot_logical;
	if (view->command.len)
		start = is_start_replication(view->command.data, &view->logical);
	if (!snd->address || !snd->has_state)
		return false;
	if (view->command.len && !start)
		return false;
	if (snd->state == WS_WALSND_CATCHUP || snd->state == WS_WALSND_STREAMING)
		return true;
	return snd->state == WS_WALSND_STOPPING &&
	       (start || (view->has_wait && WAIT_CLASS(view->wait) == CLASS_ACTIVITY));
}

static bool waits_for(const struct ws_seed_view *view, uint32_t event)
{
	return view->has_wait && event != WS_UNKNOWN && view->wait == event;
}

/* Told by meaning, because the numbers within a class differ by major. */
static enum ws_found judge_stream(const struct ws_seed_view *view)
{
	if (!view->has_wait) {
		/* A walsender sleeps for WAL or for the socket, and else hardly ever. */
		if (!view->sleeping)
			return WS_FOUND_STREAM_BUSY;
	} else if (view->wait == CLIENT_READ) {
		return WS_FOUND_STREAM_RECV;
	} else if (view->wait == CLIENT_WRITE) {
		return WS_FOUND_STREAM_SOCKET;
	} else if (waits_for(view, view->config->off.wait_event_standby)) {
		return WS_FOUND_STREAM_STANDBY;
	} else if (WAIT_CLASS(view->wait) != CLASS_ACTIVITY &&
		   WAIT_CLASS(view->wait) != CLASS_CLIENT) {
		return WS_FOUND_STREAM_BUSY; /* a lock, a read: part of the work */
	}
	if (!view->has_pending)
		return WS_FOUND_COMMAND; /* it waits, and for which of the two cannot be told */
	return view->pending ? WS_FOUND_STREAM_SOCKET : WS_FOUND_STREAM_WAL;
}

static enum ws_found judge_other(const struct ws_seed_view *view)
{
	const struct ws_offsets *off = &view->config->off;
	bool reads;

	if (view->in_backup && waits_for(view, CLIENT_WRITE))
		return WS_FOUND_BACKUP_SEND;
	if (view->in_backup && (waits_for(view, off->wait_event_checkpoint_start) ||
				waits_for(view, off->wait_event_checkpoint_done)))
		return WS_FOUND_BACKUP_CHECKPOINT;
	if (view->in_backup && waits_for(view, off->wait_event_archive))
		return WS_FOUND_BACKUP_ARCHIVE;
	if (view->command.len || view->in_backup)
		return WS_FOUND_COMMAND;
	reads = view->has_wait ? view->wait == CLIENT_READ : view->query_address && view->sleeping;
	/* Not yet in InitWalSender, or in WalSndKill already, which waits for no client. */
	if (view->config->var.my_walsnd && !view->walsnd.address)
		return reads ? WS_FOUND_STARTING : WS_FOUND_UNKNOWN;
	if (reads)
		return WS_FOUND_IDLE;
	return WS_FOUND_COMMAND;
}

/* Besides streams the making of a logical slot waits so. */
static bool may_wait(const struct ws_seed_view *view)
{
	const char *text = view->command.data, *word;
	size_t len;

	if (view->in_stream || !view->command.len)
		return true;
	len = next_word(&text, &word);
	return is_word(word, len, "START_REPLICATION") ||
	       is_word(word, len, "CREATE_REPLICATION_SLOT");
}

void ws_seed_view_judge(struct ws_seed_view *view)
{
	view->in_stream = is_streaming(view);
	view->may_wait = may_wait(view);
	view->in_backup = !view->in_stream && view->walsnd.address && view->walsnd.has_state &&
			  view->walsnd.state == WS_WALSND_BACKUP;
	view->found = view->in_stream ? judge_stream(view) : judge_other(view);
}
