/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/plausible.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

struct rule {
	const char *field;
	const char *wanted; /* NULL: the process's own pid */
	bool (*fits)(const struct ws_value *value, const struct ws_witness *witness);
};

static bool is_bool(const struct ws_value *value, const struct ws_witness *witness)
{
	(void)witness;
	return value->number <= 1;
}

static bool is_own_pid(const struct ws_value *value, const struct ws_witness *witness)
{
	return !witness->pid || value->number == witness->pid;
}

/* enum WalSndState: the same in 10 to 18. */
static bool is_state(const struct ws_value *value, const struct ws_witness *witness)
{
	(void)witness;
	return value->number <= WS_WALSND_STOPPING;
}

/*
 * Smaller than the first segment a cluster writes, or beyond what one can write in its life. A
 * physical walsender has sent what there is and no more, with room for what a standby received and
 * had to throw away. A logical one may have taken its position from its client
 * (LogicalConfirmReceivedLocation believes anything).
 */
static bool is_position(const struct ws_value *value, const struct ws_witness *witness)
{
	uint64_t lsn = value->number;

	if (!lsn || witness->database)
		return true;
	if (lsn < 0x100000 || lsn >> 56)
		return false;
	return !witness->wal_end || lsn < WS_LSN_ORDINARY ||
	       lsn - WS_LSN_ORDINARY <= witness->wal_end;
}

/* An array's element begins at a multiple of its size (InitWalSenderSlot of walsender.c,
 * ReplicationSlotCreate and -Acquire of slot.c). */
static bool is_place(const struct ws_value *value, const struct ws_witness *witness)
{
	return !witness->stride ||
	       (value->number % witness->stride == 0 &&
		(!witness->count || value->number / witness->stride < witness->count));
}

/* PID_MAX_LIMIT of Linux; 0 where no walsender is. */
static bool is_any_pid(const struct ws_value *value, const struct ws_witness *witness)
{
	(void)witness;
	return value->number <= 4194304;
}

/* ReplicationSlotValidateName of slot.c: lower case letters, digits, underscores, 1 to 63 of them.
 * Torn between two names it is still made of these. */
static bool is_slot_name(const struct ws_value *value, const struct ws_witness *witness)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	size_t len = value->text ? strnlen(value->text, value->room) : 0;

	(void)witness;
	for (size_t i = 0; i < len; i++)
		if (!strchr(letters, value->text[i]))
			return false;
	return len && len < value->room;
}

/* A slot never used has none; that of one that was dropped stays. */
static bool is_any_slot_name(const struct ws_value *value, const struct ws_witness *witness)
{
	return (value->text && value->room && !value->text[0]) || is_slot_name(value, witness);
}

/* PGINVALID_SOCKET, -1, while the process ends (pqcomm.c, socket_close). */
static bool is_socket(const struct ws_value *value, const struct ws_witness *witness)
{
	return (int32_t)value->number == -1 || ((int32_t)value->number >= 0 && !witness->no_socket);
}

/* Null, or an address of a text that ends. The members of Port are never freed. */
static bool is_ended(const struct ws_value *value, const struct ws_witness *witness)
{
	(void)witness;
	if (!value->text)
		return !value->wild;
	return memchr(value->text, '\0', value->room) != NULL;
}

/* The server makes it itself (pg_getnameinfo_all): an address, "[local]" or a host's name, for a
 * moment "". */
static bool is_host(const struct ws_value *value, const struct ws_witness *witness)
{
	if (!is_ended(value, witness))
		return false;
	for (const char *p = value->text; p && *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return true;
}

/* NI_NUMERICSERV; that of a Unix socket is what path its client gave it. */
static bool is_service(const struct ws_value *value, const struct ws_witness *witness)
{
	size_t digits;

	if (!is_ended(value, witness))
		return false;
	if (!value->text || !witness->inet)
		return true;
	digits = strspn(value->text, "0123456789");
	return digits <= 5 && !value->text[digits];
}

/* ProcessStartupPacket refuses whoever names none. */
static bool is_user(const struct ws_value *value, const struct ws_witness *witness)
{
	return is_ended(value, witness) && (!witness->parsed || (value->text && value->text[0]));
}

/* ProcessStartupPacket empties that of a walsender that is in no database. */
static bool is_database(const struct ws_value *value, const struct ws_witness *witness)
{
	if (!is_ended(value, witness))
		return false;
	return !witness->parsed || !witness->walsender || witness->database || !value->text ||
	       !value->text[0];
}

/* MAKE_SQLSTATE, elog.h: six bits a character, the first one lowest. */
static bool is_sqlstate(const struct ws_value *value, const struct ws_witness *witness)
{
	(void)witness;
	if (value->number >> 30)
		return false;
	for (int i = 0; i < 5; i++) {
		char c = (char)((value->number >> (6 * i) & 0x3f) + '0');

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')))
			return false;
	}
	return true;
}

static const struct rule rules[WS_CHECK_COUNT] = {
	[WS_CHECK_PID] = { "MyProcPid", NULL, is_own_pid },
	[WS_CHECK_WALSENDER] = { "am_walsender", "0 or 1", is_bool },
	[WS_CHECK_DB_WALSENDER] = { "am_db_walsender", "0 or 1", is_bool },
	[WS_CHECK_WALSND_PID] = { "MyWalSnd->pid", NULL, is_own_pid },
	[WS_CHECK_WALSND_STATE] = { "MyWalSnd->state", "0 to 4", is_state },
	[WS_CHECK_WALSND_SENT] = { "MyWalSnd->sentPtr", "a position in the WAL", is_position },
	[WS_CHECK_WALSND_PLACE] = { "MyWalSnd - WalSndCtl->walsnds",
				    "the place of an element of the array", is_place },
	[WS_CHECK_WALSND_OTHER] = { "WalSndCtl->walsnds[].pid", "0 or a process's", is_any_pid },
	[WS_CHECK_SLOT_PLACE] = { "MyReplicationSlot - ReplicationSlotCtl->replication_slots",
				  "the place of an element of the array", is_place },
	[WS_CHECK_SLOT_OTHER] = { "ReplicationSlotCtl->replication_slots[].data.name",
				  "a slot's name", is_any_slot_name },
	[WS_CHECK_SLOT] = { "MyReplicationSlot->data.name", "a slot's name", is_slot_name },
	[WS_CHECK_FIRST_SLOT] = { "ReplicationSlotCtl->replication_slots[0].data.name",
				  "a slot's name", is_any_slot_name },
	[WS_CHECK_SOCK] = { "MyProcPort->sock", "a socket of the process", is_socket },
	[WS_CHECK_TLS] = { "MyProcPort->ssl_in_use", "0 or 1", is_bool },
	[WS_CHECK_HOST] = { "MyProcPort->remote_host", "a client's address", is_host },
	[WS_CHECK_PORT] = { "MyProcPort->remote_port", "a client's port", is_service },
	[WS_CHECK_USER] = { "MyProcPort->user_name", "a user's name", is_user },
	[WS_CHECK_DATABASE] = { "MyProcPort->database_name",
				"what a walsender of its kind has there", is_database },
	[WS_CHECK_APPLICATION] = { "MyProcPort->application_name", "a text", is_ended },
	[WS_CHECK_SQLSTATE] = { "errordata[].sqlerrcode", "five letters or digits", is_sqlstate },
};

bool ws_plausible(enum ws_check check, const struct ws_value *value,
		  const struct ws_witness *witness)
{
	return rules[check].fits(value, witness);
}

const char *ws_check_field(enum ws_check check)
{
	return rules[check].field;
}

static void print_value(enum ws_check check, const struct ws_value *value, char *out, size_t size)
{
	if (value->wild)
		snprintf(out, size, "an address in no mapping, 0x%" PRIx64, value->number);
	else if (value->text)
		snprintf(out, size, "\"%.*s\"", (int)(value->room < 40 ? value->room : 40),
			 value->text);
	else if (check == WS_CHECK_WALSND_SENT)
		snprintf(out, size, "%" PRIX32 "/%" PRIX32, (uint32_t)(value->number >> 32),
			 (uint32_t)value->number);
	else if (check == WS_CHECK_SQLSTATE)
		snprintf(out, size, "0x%" PRIx64, value->number);
	else if (check == WS_CHECK_USER)
		snprintf(out, size, "null");
	else if (check == WS_CHECK_WALSND_PLACE || check == WS_CHECK_SLOT_PLACE)
		snprintf(out, size, "%" PRId64, (int64_t)value->number);
	else
		snprintf(out, size, "%" PRId64, (int64_t)(int32_t)value->number);
}

const char *ws_check_explain(enum ws_check check, const struct ws_value *value,
			     const struct ws_witness *witness, char text[WS_CHECK_TEXT])
{
	const struct rule *rule = &rules[check];
	char wanted[16], shown[80];

	print_value(check, value, shown, sizeof(shown));
	snprintf(wanted, sizeof(wanted), "%" PRIu32, witness->pid);
	snprintf(text, WS_CHECK_TEXT, "%s is %s, not %s", rule->field, shown,
		 rule->wanted ? rule->wanted : wanted);
	return text;
}
