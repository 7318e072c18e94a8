/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core_fixture.h: the program that includes it plays a PostgreSQL 15 walsender, and writes a core
 * dump of itself: its variables, its shared memory with an index, its stack from the caller on, and
 * the notes that a kernel writes.
 */
#ifndef WS_TESTS_CORE_FIXTURE_H
#define WS_TESTS_CORE_FIXTURE_H

#include <arpa/inet.h>
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/text.h"
#include "config.h"

#define FIXTURE	      __attribute__((used, section("core_fixture")))
#define FIXTURE_SLOTS 4
#define FIXTURE_STACK 16384

static const char fixture_version[] __attribute__((used)) =
	"PostgreSQL 15.18 (a test) on x86_64-pc-linux-gnu, compiled by cc, 64-bit";

/* The server's, by their names; global, as in a server. */
FIXTURE uint8_t am_walsender, am_db_walsender;
FIXTURE int32_t MyProcPid, PostmasterPid, max_wal_senders, errordata_stack_depth;
FIXTURE int32_t max_replication_slots;
FIXTURE int32_t PqSendPointer, PqSendStart;
FIXTURE int64_t MyStartTimestamp;
FIXTURE void *MyProcPort, *MyWalSnd, *MyReplicationSlot, *WalSndCtl, *ReplicationSlotCtl;
FIXTURE const char *debug_query_string, *DataDir;
FIXTURE uint32_t *my_wait_event_info;
FIXTURE uint8_t errordata[5 * 256];
FIXTURE void *logical_decoding_ctx;

/* What they point to. */
FIXTURE static uint8_t fixture_port[1024];
FIXTURE static uint64_t fixture_context[3], fixture_reader[8];
FIXTURE static char fixture_texts[16][256];
FIXTURE static uint32_t fixture_wait;
FIXTURE static uint8_t fixture_room[4096];
extern uint8_t __start_core_fixture[], __stop_core_fixture[];

/* Shared memory: PGShmemHeader, the hash table ShmemIndex, and what that lists. */
#define FIXTURE_ENTRY  512 /* bytes of a PgBackendStatus, at least */
#define FIXTURE_STATUS 2
/* bufmgr.c: descriptors of a cache line, pages of the smallest size there is. */
#define FIXTURE_BUFFERS	   16
#define FIXTURE_DESCRIPTOR 64
#define FIXTURE_PAGE	   1024
struct fixture_element {
	uint64_t link, hash;
	char key[48];
	uint64_t location, size, allocated;
};
static struct {
	uint8_t head[64], table[1024]; /* HASHHDR, and behind it the directory */
	uint64_t buckets[2];
	struct fixture_element elements[6];
	uint8_t slot[1024], control[1024];
	uint8_t statuses[FIXTURE_STATUS * FIXTURE_ENTRY];
	char names[FIXTURE_STATUS][64], activities[FIXTURE_STATUS][256];
	uint8_t descriptors[FIXTURE_BUFFERS][FIXTURE_DESCRIPTOR];
	uint8_t pages[FIXTURE_BUFFERS][FIXTURE_PAGE];
} fixture_shared __attribute__((used, aligned(4096)));

struct fixture {
	struct ws_offsets off; /* of 15 */
	struct ws_buf core;
	size_t stack_size; /* at its end */
	bool bare;	   /* it has neither the program's head nor the files' names, as qemu's */
};

static inline void fixture_put(uint8_t *to, uint32_t offset, const void *data, size_t size)
{
	memcpy(to + offset, data, size);
}

static inline void fixture_put64(uint8_t *to, uint32_t offset, uint64_t value)
{
	fixture_put(to, offset, &value, sizeof(value));
}

static inline void fixture_put32(uint8_t *to, uint32_t offset, uint32_t value)
{
	fixture_put(to, offset, &value, sizeof(value));
}

/* A text in the fixture's memory, and its address at an offset. */
static inline const char *fixture_text(int n, const char *text)
{
	snprintf(fixture_texts[n], sizeof(fixture_texts[n]), "%s", text);
	return fixture_texts[n];
}

static inline void fixture_put_text(uint8_t *to, uint32_t offset, int n, const char *text)
{
	fixture_put64(to, offset, (uint64_t)(uintptr_t)fixture_text(n, text));
}

static inline void fixture_list(int n, const char *name, const void *location, size_t size)
{
	struct fixture_element *element = &fixture_shared.elements[n];

	element->link = fixture_shared.buckets[n % 2];
	fixture_shared.buckets[n % 2] = (uint64_t)(uintptr_t)element;
	snprintf(element->key, sizeof(element->key), "%s", name);
	element->location = (uint64_t)(uintptr_t)location;
	element->size = size;
}

/* PgBackendStatus of the walsender, the second of two. */
static inline void fixture_status(const struct ws_offsets *off)
{
	uint8_t *entry = fixture_shared.statuses + FIXTURE_ENTRY;
	struct sockaddr_in client = { .sin_family = AF_INET, .sin_port = htons(54321) };

	inet_pton(AF_INET, "192.0.2.7", &client.sin_addr);
	fixture_put32(entry, off->backend_pid, (uint32_t)MyProcPid);
	fixture_put64(entry, off->backend_start, (uint64_t)MyStartTimestamp);
	fixture_put32(entry, off->backend_database, 16384);
	fixture_put32(entry, off->backend_user, 10);
	fixture_put(entry, off->backend_client, &client, sizeof(client));
	snprintf(fixture_shared.names[1], sizeof(fixture_shared.names[1]), "sub1");
	snprintf(fixture_shared.activities[1], sizeof(fixture_shared.activities[1]), "%s",
		 debug_query_string);
}

/* A buffer has the first page of a catalog, 1260 for pg_authid, 1262 for pg_database. */
static inline void fixture_catalog(int buffer, uint32_t relation)
{
	uint8_t *descriptor = fixture_shared.descriptors[buffer];

	fixture_put32(descriptor, 0, 1664); /* pg_global */
	fixture_put32(descriptor, 8, relation);
	fixture_put32(descriptor, 24, 1U << 24); /* BM_VALID */
}

/* Its next row, from the end of the page on. */
static inline void fixture_row(int buffer, uint32_t xmax, uint16_t infomask, uint32_t oid,
			       const char *name)
{
	uint8_t *page = fixture_shared.pages[buffer], *tuple;
	uint32_t length = 24 + 4 + 64, offset;
	uint16_t lower;

	memcpy(&lower, page + 12, sizeof(lower));
	lower = lower ? lower : 24;
	offset = FIXTURE_PAGE - ((lower - 24u) / 4 + 1) * 96;
	fixture_put32(page, lower, offset | 1u << 15 | length << 17); /* LP_NORMAL */
	lower += 4;
	fixture_put(page, 12, &lower, sizeof(lower));
	tuple = page + offset;
	fixture_put32(tuple, 4, xmax);
	fixture_put(tuple, 20, &infomask, sizeof(infomask));
	tuple[22] = 24;
	fixture_put32(tuple, 24, oid);
	fixture_put(tuple, 28, name, strlen(name));
}

static inline void fixture_share(const struct ws_offsets *off)
{
	uint8_t *table = fixture_shared.table;

	fixture_put32(fixture_shared.head, 0, 679834894); /* PGShmemMagic */
	fixture_put64(fixture_shared.head, off->shmem_totalsize, sizeof(fixture_shared));
	fixture_put64(fixture_shared.head, off->shmem_index, (uint64_t)(uintptr_t)table);
	fixture_put64(table, off->hash_nsegs, 1);
	fixture_put64(table, off->hash_ssize, 2);
	fixture_put64(table, off->hash_keysize, 48);
	fixture_put64(table, off->hash_entrysize, sizeof(struct fixture_element) - 16);
	fixture_put32(table, off->hash_max_bucket, 1);
	fixture_put64(table, off->hash_size, (uint64_t)(uintptr_t)fixture_shared.buckets);
	fixture_list(0, "ReplicationSlot Ctl", fixture_shared.slot,
		     off->slots_first + off->slot_size);
	fixture_list(1, "Backend Status Array", fixture_shared.statuses,
		     sizeof(fixture_shared.statuses));
	fixture_list(2, "Backend Application Name Buffer", fixture_shared.names,
		     sizeof(fixture_shared.names));
	fixture_list(3, "Backend Activity Buffer", fixture_shared.activities,
		     sizeof(fixture_shared.activities));
	fixture_list(4, "Buffer Descriptors", fixture_shared.descriptors,
		     sizeof(fixture_shared.descriptors));
	fixture_list(5, "Buffer Blocks", fixture_shared.pages, sizeof(fixture_shared.pages));
	for (uint32_t i = 0; i < FIXTURE_BUFFERS; i++)
		fixture_put32(fixture_shared.descriptors[i], 20, i);
	fixture_catalog(3, 1260);
	fixture_row(3, 0, 0x0900, 10, "postgres"); /* HEAP_XMIN_COMMITTED, HEAP_XMAX_INVALID */
	fixture_catalog(9, 1262);
	fixture_row(9, 0, 0x0900, 16384, "shop");
}

static inline void fixture_play_slot(const struct ws_offsets *off)
{
	uint8_t *slot = fixture_shared.slot + off->slots_first;

	max_replication_slots = 1;
	ReplicationSlotCtl = fixture_shared.slot;
	MyReplicationSlot = slot;
	fixture_put(slot, off->slot_in_use, "\1", 1);
	fixture_put32(slot, off->slot_active_pid, (uint32_t)MyProcPid);
	fixture_put(slot, off->slot_name, "s1", 3);
	fixture_put(slot, off->slot_plugin, "pgoutput", 9);
	fixture_put32(slot, off->slot_data_database, 16384);
	fixture_put64(slot, off->slot_restart_lsn, 0x30001000);
	fixture_put64(slot, off->slot_confirmed_flush, 0x30001300);
}

/* A logical walsender that streams, and holds 300 bytes that its socket does not take. */
static inline void fixture_play(struct fixture *f)
{
	const struct ws_offsets *off = &f->off;
	uint8_t *snd = fixture_shared.control + off->walsndctl_walsnds + off->walsnd_size;

	memset(__start_core_fixture, 0, (size_t)(__stop_core_fixture - __start_core_fixture));
	memset(&fixture_shared, 0, sizeof(fixture_shared));
	fixture_room[0] = 1;
	am_walsender = am_db_walsender = 1;
	MyProcPid = getpid();
	PostmasterPid = getppid();
	max_wal_senders = FIXTURE_SLOTS;
	errordata_stack_depth = -1;
	PqSendStart = 100;
	PqSendPointer = 400;
	MyStartTimestamp = 849243837336802;
	MyProcPort = fixture_port;
	MyWalSnd = snd;
	WalSndCtl = fixture_shared.control;
	fixture_play_slot(off);
	DataDir = fixture_text(8, "/srv/data");
	debug_query_string = fixture_text(9, "START_REPLICATION SLOT \"s1\" LOGICAL 0/0");
	my_wait_event_info = &fixture_wait;
	fixture_wait = 0x06000006;
	fixture_put_text(fixture_port, off->port_remote_host, 0, "192.0.2.7");
	fixture_put_text(fixture_port, off->port_remote_port, 1, "54321");
	fixture_put_text(fixture_port, off->port_database, 2, "shop");
	fixture_put_text(fixture_port, off->port_user, 3, "repl");
	fixture_put_text(fixture_port, off->port_application, 4, "sub1");
	fixture_put32(snd, 0, (uint32_t)MyProcPid);
	fixture_put32(snd, off->walsnd_state, WS_WALSND_STREAMING);
	fixture_put64(snd, off->walsnd_sent, 0x300014a8);
	fixture_put64(snd, off->walsnd_write, 0x30001400);
	fixture_put64(snd, off->walsnd_flush, 0x30001300);
	fixture_put64(snd, off->walsnd_apply, 0x30001200);
	logical_decoding_ctx = fixture_context;
	fixture_context[1] = (uint64_t)(uintptr_t)MyReplicationSlot;
	fixture_context[2] = (uint64_t)(uintptr_t)fixture_reader;
	fixture_reader[4] = (uint64_t)(uintptr_t)fixture_context;
	fixture_reader[5] = 0x30001400;
	fixture_reader[6] = 0x300014a8;
	fixture_share(off);
	fixture_status(off);
}

static inline void fixture_add_error(struct fixture *f)
{
	const struct ws_offsets *off = &f->off;

	errordata_stack_depth = 0;
	fixture_put32(errordata, off->error_elevel, off->elevel_fatal);
	fixture_put32(errordata, off->error_sqlerrcode, 0x1234567 & 0x3fffffff);
	fixture_put32(errordata, off->error_lineno, 4711);
	fixture_put_text(errordata, off->error_message, 10, "it is broken");
	fixture_put_text(errordata, off->error_funcname, 11, "breaker");
	fixture_put_text(errordata, off->error_filename, 12, "walsender.c");
}

/* -- the dump */

static inline void fixture_note(struct ws_buf *notes, uint32_t type, const void *data, size_t size)
{
	Elf64_Nhdr head = { 5, (uint32_t)size, type };
	static const char zeros[8];

	ws_buf_add(notes, &head, sizeof(head));
	ws_buf_add(notes, "CORE\0\0\0", 8);
	ws_buf_add(notes, data, size);
	ws_buf_add(notes, zeros, -notes->len % 4);
}

/* pr_reg of struct elf_prstatus. Returns the stack pointer. */
static inline uint64_t fixture_registers(const ucontext_t *context, uint8_t status[392])
{
	uint64_t raw[34] = { 0 };
#if defined(__x86_64__)
	static const int order[27] = {
		REG_R15, REG_R14, REG_R13, REG_R12, REG_RBP, REG_RBX, REG_R11, REG_R10, REG_R9,
		REG_R8,	 REG_RAX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RAX, REG_RIP, -1,
		REG_EFL, REG_RSP, -1,	   -1,	    -1,	     -1,      -1,      -1,	-1,
	};
	uint64_t sp = (uint64_t)context->uc_mcontext.gregs[REG_RSP];

	for (int i = 0; i < 27; i++)
		raw[i] = order[i] < 0 ? 0 : (uint64_t)context->uc_mcontext.gregs[order[i]];
	memcpy(status + 112, raw, 27 * 8);
#else
	uint64_t sp = context->uc_mcontext.sp;

	memcpy(raw, context->uc_mcontext.regs, 31 * 8);
	raw[31] = sp;
	raw[32] = context->uc_mcontext.pc;
	memcpy(status + 112, raw, 34 * 8);
#endif
	return sp;
}

static int fixture_base(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(uint64_t *)arg = info->dlpi_addr;
	return 1; /* the program comes first */
}

static inline void fixture_notes(struct ws_buf *notes, const ucontext_t *context, uint64_t base,
				 bool bare, uint64_t *sp)
{
	uint8_t status[392] = { 0 }, info[136] = { 0 };
	uint64_t auxv[6] = { AT_PHDR, getauxval(AT_PHDR), AT_PHNUM, getauxval(AT_PHNUM), 0, 0 };
	uint64_t files[5] = { 1, 4096, base, base + (1ULL << 30), 0 };
	char mapped[5 * 8 + 512];
	ssize_t len;

	fixture_put32(status, 12, 0);
	fixture_put32(status, 32, (uint32_t)getpid());
	fixture_put32(status, 36, (uint32_t)getppid());
	*sp = fixture_registers(context, status);
	fixture_note(notes, NT_PRSTATUS, status, sizeof(status));
	info[1] = 'S';
	fixture_put32(info, 24, (uint32_t)getpid());
	fixture_put32(info, 28, (uint32_t)getppid());
	fixture_put(info, 40, "postgres", 9);
	fixture_put(info, 56, "postgres: walsender repl", 25);
	fixture_note(notes, NT_PRPSINFO, info, sizeof(info));
	fixture_note(notes, NT_AUXV, auxv, sizeof(auxv));
	memcpy(mapped, files, sizeof(files));
	len = readlink("/proc/self/exe", mapped + sizeof(files), 511);
	mapped[sizeof(files) + (size_t)len] = '\0';
	if (!bare)
		fixture_note(notes, NT_FILE, mapped, sizeof(files) + (size_t)len + 1);
}

/* As another process would read it: no sanitizer minds what lies between variables. */
static inline size_t fixture_read(uint64_t address, void *out, size_t size)
{
	struct iovec to = { out, size }, from = { (void *)(uintptr_t)address, size };
	ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

	return n > 0 ? (size_t)n : 0;
}

/* There may be less, up to the stack's end. */
static inline size_t fixture_stack_size(uint64_t sp)
{
	static char room[FIXTURE_STACK];

	return fixture_read(sp, room, sizeof(room)) & ~(size_t)7;
}

/* A dump has whole pages. */
static inline void fixture_pages(Elf64_Phdr *phdr, const void *begin, const void *end)
{
	phdr->p_vaddr = (uint64_t)(uintptr_t)begin & ~4095ULL;
	phdr->p_filesz = (((uint64_t)(uintptr_t)end + 4095) & ~4095ULL) - phdr->p_vaddr;
}

/* Where the process is said to be. A frame of its own, so that it has a name in the backtrace. */
__attribute__((noinline)) static void fixture_dump(struct fixture *f)
{
	Elf64_Ehdr ehdr = {
		.e_type = ET_CORE,
#if defined(__x86_64__)
		.e_machine = EM_X86_64,
#else
		.e_machine = EM_AARCH64,
#endif
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(ehdr),
		.e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 5
	};
	Elf64_Phdr phdrs[5] = { { .p_type = PT_NOTE, .p_align = 4 } };
	struct ws_buf notes = { 0 };
	uint64_t base = 0, sp, offset = sizeof(ehdr) + sizeof(phdrs);
	ucontext_t context;

	getcontext(&context);
	dl_iterate_phdr(fixture_base, &base);
	fixture_notes(&notes, &context, base, f->bare, &sp);
	memcpy(ehdr.e_ident, "\177ELF\2\1\1", 7);
	phdrs[0].p_offset = offset;
	phdrs[0].p_filesz = notes.len;
	phdrs[1].p_vaddr = base;
	phdrs[1].p_filesz = f->bare ? 0 : 4096;
	fixture_pages(&phdrs[2], __start_core_fixture, __stop_core_fixture);
	fixture_pages(&phdrs[3], &fixture_shared, &fixture_shared + 1);
	phdrs[4].p_vaddr = sp;
	f->stack_size = fixture_stack_size(sp);
	phdrs[4].p_filesz = f->stack_size;
	offset += notes.len;
	for (int i = 1; i < 5; i++) {
		phdrs[i].p_type = PT_LOAD;
		phdrs[i].p_memsz = i == 1 ? 4096 : phdrs[i].p_filesz;
		phdrs[i].p_offset = offset;
		offset += phdrs[i].p_filesz;
	}
	ws_buf_clear(&f->core);
	ws_buf_add(&f->core, &ehdr, sizeof(ehdr));
	ws_buf_add(&f->core, phdrs, sizeof(phdrs));
	ws_buf_add(&f->core, notes.data, notes.len);
	for (int i = 1; i < 5; i++) {
		ws_buf_reserve(&f->core, phdrs[i].p_filesz);
		f->core.len += fixture_read(phdrs[i].p_vaddr, f->core.data + f->core.len,
					    phdrs[i].p_filesz);
	}
	ws_buf_deinit(&notes);
}

#endif
