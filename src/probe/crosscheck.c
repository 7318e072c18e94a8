/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/crosscheck.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "target/memory.h"

/* A host may run thousands of backends, and one proves as much as all. */
#define CHILDREN_MAX 200

/* Pauses of 1, 2, 4, ... 128 ms between them: nobody is torn, or about to change, that long. */
#define LOOKS 9

/* Elements of an array. */
#define ELEMENTS_MAX 64

/* MAX_STARTUP_PACKET_LENGTH of pqcomm.h, or libpq.h: what a client says is no longer. */
#define TEXT_ROOM 10240

struct look {
	const struct ws_crosscheck *c;
	const struct ws_process *process;
	struct ws_witness witness;
	struct ws_value value; /* as read last */
	uint64_t address;      /* where */
	char text[TEXT_ROOM];
};

static bool read_at(struct look *l, uint64_t address, void *out, size_t size)
{
	l->address = address;
	return ws_memory_read(l->process->pid, address, out, size);
}

/* A variable of the file. False if it is not known, or cannot be read: that proves nothing. */
static bool read_variable(struct look *l, uint64_t variable, void *out, size_t size)
{
	return variable && read_at(l, l->c->postmaster->base + variable, out, size);
}

static bool read_field(struct look *l, uint64_t structure, uint32_t offset, void *out, size_t size)
{
	return offset != WS_UNKNOWN && read_at(l, structure + offset, out, size);
}

/* What does not fit is in `value`. */
static bool fits(struct look *l, enum ws_check check, uint64_t number)
{
	l->value = (struct ws_value){ .number = number };
	return ws_plausible(check, &l->value, &l->witness);
}

/* A `char *` of a structure. */
static bool text_fits(struct look *l, enum ws_check check, uint64_t structure, uint32_t offset)
{
	uint64_t address = 0;
	bool truncated = false;

	l->text[0] = '\0';
	if (!read_field(l, structure, offset, &address, sizeof(address)))
		return true;
	l->value = (struct ws_value){ .number = address };
	if (address && ws_memory_read_string(l->process->pid, address, l->text, sizeof(l->text),
					     &truncated) < 0) {
		/* Anything else, as a process that is gone, does not say so. */
		l->value.wild = errno == EFAULT;
	} else if (address) {
		l->value.text = l->text;
		l->value.room = truncated ? sizeof(l->text) - 1 : sizeof(l->text);
	}
	return ws_plausible(check, &l->value, &l->witness);
}

static enum ws_check look_at_port(struct look *l)
{
	const struct ws_offsets *off = &l->c->config->off;
	const struct {
		enum ws_check check;
		uint32_t offset;
	} texts[] = {
		{ WS_CHECK_HOST, off->port_remote_host },
		{ WS_CHECK_PORT, off->port_remote_port },
		{ WS_CHECK_USER, off->port_user },
		{ WS_CHECK_DATABASE, off->port_database },
		{ WS_CHECK_APPLICATION, off->port_application },
	};
	uint64_t port = 0;
	int32_t sock;
	uint8_t tls;

	if (!read_variable(l, l->c->config->var.my_proc_port, &port, sizeof(port)) || !port)
		return WS_CHECK_NONE;
	if (read_field(l, port, off->port_sock, &sock, sizeof(sock))) {
		/* Extensions may give their background workers a Port of their own making. */
		l->witness.no_socket = l->witness.walsender && sock >= 0 &&
				       ws_proc_is_socket(l->c->proc, l->process->pid, sock) == 0;
		if (!fits(l, WS_CHECK_SOCK, (uint32_t)sock))
			return WS_CHECK_SOCK;
	}
	if (read_field(l, port, off->port_tls, &tls, sizeof(tls)) && !fits(l, WS_CHECK_TLS, tls))
		return WS_CHECK_TLS;
	for (size_t i = 0; i < WS_ARRAY_SIZE(texts); i++) {
		if (!text_fits(l, texts[i].check, port, texts[i].offset))
			return texts[i].check;
		if (texts[i].check == WS_CHECK_HOST)
			l->witness.inet = l->text[0] && l->text[0] != '[';
	}
	return WS_CHECK_NONE;
}

/* MyWalSnd is set behind what it leads to, and taken back in front of it (InitWalSenderSlot,
 * WalSndKill). */
static enum ws_check look_at_walsnd(struct look *l)
{
	const struct ws_offsets *off = &l->c->config->off;
	uint64_t walsnd = 0, sent;
	uint32_t pid, state;

	if (!read_variable(l, l->c->config->var.my_walsnd, &walsnd, sizeof(walsnd)) || !walsnd)
		return WS_CHECK_NONE;
	/* InitWalSender runs behind authentication. */
	l->witness.parsed = true;
	if (read_field(l, walsnd, 0, &pid, sizeof(pid)) && !fits(l, WS_CHECK_WALSND_PID, pid))
		return WS_CHECK_WALSND_PID;
	if (read_field(l, walsnd, off->walsnd_state, &state, sizeof(state)) &&
	    !fits(l, WS_CHECK_WALSND_STATE, state))
		return WS_CHECK_WALSND_STATE;
	if (!read_field(l, walsnd, off->walsnd_sent, &sent, sizeof(sent)))
		return WS_CHECK_NONE;
	l->witness.wal_end = sent < WS_LSN_ORDINARY
				     ? 0
				     : ws_proc_wal_end(l->c->proc, l->c->postmaster->process.pid);
	return fits(l, WS_CHECK_WALSND_SENT, sent) ? WS_CHECK_NONE : WS_CHECK_WALSND_SENT;
}

static bool name_fits(struct look *l, enum ws_check check, uint64_t slot)
{
	char name[WS_NAME_LEN];

	if (!read_field(l, slot, l->c->config->off.slot_name, name, sizeof(name)))
		return true;
	memcpy(l->text, name, sizeof(name));
	l->value = (struct ws_value){ .number = slot, .text = l->text, .room = sizeof(name) };
	return ws_plausible(check, &l->value, &l->witness);
}

static enum ws_check look_at_slot(struct look *l, enum ws_check check, uint64_t variable)
{
	uint64_t slot = 0;

	if (!read_variable(l, variable, &slot, sizeof(slot)) || !slot)
		return WS_CHECK_NONE;
	return name_fits(l, check, slot) ? WS_CHECK_NONE : check;
}

/* MAX_BACKENDS of postmaster.h bounds both arrays' lengths. */
#define COUNT_MAX 0x3ffff

/* An array in shared memory: where a variable leads, behind what stands in front of it. */
struct array {
	uint64_t control, max; /* variables */
	uint32_t first, size;
	uint64_t own; /* variable: the process's element */
	enum ws_check place, other;
};

/* Where the array begins; its stride and length go to the witness. 0: not known. */
static uint64_t find_array(struct look *l, const struct array *a)
{
	uint64_t control = 0;
	int32_t count = 0;

	if (a->first == WS_UNKNOWN || a->size == WS_UNKNOWN || !a->size ||
	    !read_variable(l, a->control, &control, sizeof(control)) || !control)
		return 0;
	l->witness.stride = a->size;
	l->witness.count = 0;
	if (read_variable(l, a->max, &count, sizeof(count)) && count > 0 && count <= COUNT_MAX)
		l->witness.count = (uint64_t)count;
	return control + a->first;
}

/* What each element begins with, or is named: with a stride of another build it is something
 * else. */
static enum ws_check look_at_elements(struct look *l, const struct array *a, uint64_t first)
{
	for (uint64_t i = 0; i < l->witness.count && i < ELEMENTS_MAX; i++) {
		uint64_t element = first + i * a->size;
		uint32_t pid;

		if (a->other == WS_CHECK_SLOT_OTHER) {
			if (!name_fits(l, a->other, element))
				return a->other;
		} else if (read_at(l, element, &pid, sizeof(pid)) && !fits(l, a->other, pid)) {
			return a->other;
		}
	}
	return WS_CHECK_NONE;
}

static enum ws_check look_at_array(struct look *l, const struct array *a)
{
	uint64_t first = find_array(l, a), own = 0;

	if (!first)
		return WS_CHECK_NONE;
	if (read_variable(l, a->own, &own, sizeof(own)) && own && !fits(l, a->place, own - first))
		return a->place;
	return look_at_elements(l, a, first);
}

static enum ws_check look_at_arrays(struct look *l)
{
	const struct ws_offsets *off = &l->c->config->off;
	const struct ws_variables *var = &l->c->config->var;
	const struct array arrays[] = {
		{ l->c->wal_snd_ctl, l->c->max_wal_senders, off->walsndctl_walsnds,
		  off->walsnd_size, var->my_walsnd, WS_CHECK_WALSND_PLACE, WS_CHECK_WALSND_OTHER },
		{ l->c->slot_ctl, l->c->max_slots, off->slots_first, off->slot_size,
		  var->my_replication_slot, WS_CHECK_SLOT_PLACE, WS_CHECK_SLOT_OTHER },
	};
	enum ws_check check = WS_CHECK_NONE;

	for (size_t i = 0; i < WS_ARRAY_SIZE(arrays) && !check; i++)
		check = look_at_array(l, &arrays[i]);
	return check;
}

/*
 * The first slot is where ReplicationSlotCtl leads (slot.h, 10 to 18), and shared: read in a child,
 * because while a server restarts after a crash its postmaster has none, and for a moment no shared
 * memory of its own.
 */
static enum ws_check look_at_child(struct look *l)
{
	const struct ws_variables *var = &l->c->config->var;
	enum ws_check check;
	uint8_t walsender = 0, database = 0;

	if (!read_variable(l, var->am_walsender, &walsender, sizeof(walsender)))
		return WS_CHECK_NONE;
	if (!fits(l, WS_CHECK_WALSENDER, walsender))
		return WS_CHECK_WALSENDER;
	if (read_variable(l, var->am_db_walsender, &database, sizeof(database)) &&
	    !fits(l, WS_CHECK_DB_WALSENDER, database))
		return WS_CHECK_DB_WALSENDER;
	l->witness.walsender = walsender;
	l->witness.database = database || !var->am_db_walsender;
	check = walsender ? look_at_walsnd(l) : WS_CHECK_NONE;
	if (!check)
		check = look_at_port(l);
	if (!check)
		check = look_at_slot(l, WS_CHECK_SLOT, var->my_replication_slot);
	if (!check)
		check = look_at_slot(l, WS_CHECK_FIRST_SLOT, l->c->slot_ctl);
	return check ? check : look_at_arrays(l);
}

static enum ws_check look_once(struct look *l)
{
	const struct ws_process *postmaster = &l->c->postmaster->process;
	uint32_t pid = 0;

	l->witness = (struct ws_witness){ .pid = l->process->ns_pid };
	if (!read_variable(l, l->c->config->var.my_proc_pid, &pid, sizeof(pid)))
		return WS_CHECK_NONE;
	/* A child that did not run yet has its parent's (fork_process.c, InitPostmasterChild). */
	if (l->process != postmaster && pid == postmaster->ns_pid)
		return WS_CHECK_NONE;
	if (!fits(l, WS_CHECK_PID, pid))
		return WS_CHECK_PID;
	return l->process == postmaster ? WS_CHECK_NONE : look_at_child(l);
}

/* Is it still the process that was meant, running the postmaster's image at the postmaster's
 * address? A postmaster that is process 1 adopts what other servers of its binary leave behind. */
static bool is_of_server(const struct look *l)
{
	struct ws_process now;
	uint64_t base;

	return ws_proc_read(l->c->proc, l->process->pid, &now) &&
	       now.start_ticks == l->process->start_ticks && now.parent == l->process->parent &&
	       now.state != 'Z' && now.state != 'X' &&
	       ws_proc_base(l->c->proc, l->process->pid, &base) && base == l->c->postmaster->base;
}

/* Returns what is implausible, and stays so. */
static enum ws_check look_at(struct look *l)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	enum ws_check first = look_once(l);

	for (int i = 1; i < LOOKS && first; i++) {
		nanosleep(&pause, NULL);
		pause.tv_nsec *= 2;
		if (look_once(l) != first)
			return WS_CHECK_NONE;
	}
	return first && is_of_server(l) ? first : WS_CHECK_NONE;
}

bool ws_crosscheck(const struct ws_crosscheck *c, struct ws_misfit *misfit)
{
	size_t count = c->postmaster->child_count;
	struct look look = { .c = c };

	for (size_t i = 0; i <= count && i <= CHILDREN_MAX; i++) {
		enum ws_check check;

		look.process = i ? &c->postmaster->children[i - 1] : &c->postmaster->process;
		check = look_at(&look);
		if (!check)
			continue;
		misfit->check = check;
		misfit->pid = look.process->pid;
		misfit->address = look.address;
		ws_check_explain(check, &look.value, &look.witness, misfit->text);
		return true;
	}
	return false;
}

void ws_misfit_error(const struct ws_misfit *misfit, const struct ws_misfit_server *server,
		     const char *what, struct ws_error *err)
{
	bool dwarf = server->source == WS_LAYOUT_DWARF;
	char where[560], at[24] = "";

	if (misfit->address)
		snprintf(at, sizeof(at), " at 0x%" PRIx64, misfit->address);
	snprintf(where, sizeof(where), "%.460s (pid %" PRIu32 "%s)", server->file, misfit->pid, at);
	ws_error_set(err, what, where, "%s: the layout %s %d does not fit", misfit->text,
		     dwarf ? "in the debug information of" : "that is built in for", server->major);
	ws_error_fix(err, "%s, or report build-id %s",
		     dwarf ? "remove the debug file that is of another build"
			   : "install the server's debug symbols",
		     server->build_id[0] ? server->build_id : "(none)");
}
