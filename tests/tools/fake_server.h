/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_server.h: a stand-in for a postgres binary, inside the test program itself. Each site is a
 * function of its own whose probed instruction the kernel emulates; what the programs read are
 * variables here. So a test can walk the programs through any sequence, and a benchmark can hit one
 * of them in a loop.
 */
#ifndef WS_TESTS_FAKE_SERVER_H
#define WS_TESTS_FAKE_SERVER_H

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "probe/plan.h"
#include "sites.h"

/*
 * long fake_X(a, b, c, d, e): the arguments are in their registers at the site, the first one also
 * in the result register, the second one on top of the stack (where WAIT_END looks for the event).
 */
#if defined(__x86_64__)
#define FAKE_BODY            \
	"mov %%rdi, %%rax\n" \
	"push %%rsi\n"       \
	"push %%rbp\n"       \
	"pop %%rbp\n"        \
	"pop %%rsi\n"        \
	"ret\n"
#define FAKE_SITE_DELTA 4 /* mov: 3 bytes, push: 1 */
#define FAKE_SP		7
#elif defined(__aarch64__)
#define FAKE_BODY                \
	"str x1, [sp, #-16]!\n"  \
	"b 1f\n"                 \
	"1: ldr x1, [sp], #16\n" \
	"ret\n"
#define FAKE_SITE_DELTA 4
#define FAKE_SP		31
#endif

#if defined(__x86_64__)
#define FAKE_FUNCTION(name)                                                     \
	__attribute__((naked, noinline, used)) static long fake_##name(         \
		long a __attribute__((unused)), long b __attribute__((unused)), \
		long c __attribute__((unused)), long d __attribute__((unused)), \
		long e __attribute__((unused)))                                 \
	{                                                                       \
		__asm__ volatile(FAKE_BODY ::);                                 \
	}
#else /* gcc has no naked functions there */
#define FAKE_FUNCTION(name)                                                                    \
	long fake_##name(long a, long b, long c, long d, long e);                              \
	__asm__(".pushsection .text\n.balign 16\n.type fake_" #name ", %function\nfake_" #name \
		":\n" FAKE_BODY ".popsection\n");
#endif
WS_SITES_SESSION(FAKE_FUNCTION)
WS_SITES_LOOP(FAKE_FUNCTION)
WS_SITES_DETAIL(FAKE_FUNCTION)

typedef long (*fake_function)(long, long, long, long, long);
#define FAKE_ROW(name) [WS_SITE_##name] = fake_##name,
/* clang-format off */
static const fake_function fake_functions[WS_SITE_COUNT] = {
	WS_SITES_SESSION(FAKE_ROW)
	WS_SITES_LOOP(FAKE_ROW)
	WS_SITES_DETAIL(FAKE_ROW)
};
/* clang-format on */

struct fake_walsnd {
	int32_t pid, state;
	uint64_t sent, needreload, write, flush, apply;
	int64_t write_lag, flush_lag, apply_lag;
	uint64_t spare, reply_time;
	char rest[64];
};

struct fake_port {
	const char *host, *port, *database, *user, *application;
	int32_t sock;
	bool ssl_in_use;
};

struct fake_error {
	int32_t elevel, lineno;
	const char *filename, *funcname, *message;
	int32_t sqlerrcode;
};

struct fake_slot {
	char name[64];
};

struct fake_stringinfo {
	char *data;
	int32_t len;
};

/* The variables of the "server". volatile: the programs read them behind the compiler's back. */
static struct {
	volatile bool am_walsender, am_db_walsender;
	volatile int32_t my_proc_pid;
	struct fake_port *volatile my_proc_port;
	struct fake_walsnd *volatile my_walsnd;
	struct fake_slot *volatile my_replication_slot;
	volatile struct fake_error errordata[5];
	volatile int32_t errordata_stack_depth;
	volatile uint32_t wait_event;
	volatile uint32_t *volatile my_wait_event_info;
	volatile uint64_t pq_send_pointer, pq_send_start;
} fake = { .my_wait_event_info = &fake.wait_event };

/* As a compiler makes the __func__ of that function. */
static const char fake_startup_packet_name[] = "ProcessStartupPacket";

static const struct ws_offsets fake_offsets = {
	.walsnd_state = offsetof(struct fake_walsnd, state),
	.walsnd_sent = offsetof(struct fake_walsnd, sent),
	.walsnd_write = offsetof(struct fake_walsnd, write),
	.walsnd_flush = offsetof(struct fake_walsnd, flush),
	.walsnd_apply = offsetof(struct fake_walsnd, apply),
	.walsnd_write_lag = offsetof(struct fake_walsnd, write_lag),
	.walsnd_flush_lag = offsetof(struct fake_walsnd, flush_lag),
	.walsnd_apply_lag = offsetof(struct fake_walsnd, apply_lag),
	.walsnd_reply_time = offsetof(struct fake_walsnd, reply_time),
	.port_sock = offsetof(struct fake_port, sock),
	.port_tls = offsetof(struct fake_port, ssl_in_use),
	.port_remote_host = offsetof(struct fake_port, host),
	.port_remote_port = offsetof(struct fake_port, port),
	.port_database = offsetof(struct fake_port, database),
	.port_user = offsetof(struct fake_port, user),
	.port_application = offsetof(struct fake_port, application),
	.error_size = sizeof(struct fake_error),
	.error_elevel = offsetof(struct fake_error, elevel),
	.error_filename = offsetof(struct fake_error, filename),
	.error_lineno = offsetof(struct fake_error, lineno),
	.error_funcname = offsetof(struct fake_error, funcname),
	.error_sqlerrcode = offsetof(struct fake_error, sqlerrcode),
	.error_message = offsetof(struct fake_error, message),
	.slot_name = offsetof(struct fake_slot, name),
	.logical_out = 0, /* the context is a pointer to the StringInfo */
	.stringinfo_len = offsetof(struct fake_stringinfo, len),
	.wait_event_events = 0,
	.elevel_commerror = 16,
	.elevel_error = 21,
	.elevel_fatal = 22,
	.elevel_panic = 23,
	.wait_event_standby = 0x6000099,
};

struct fake_place {
	uint64_t address;     /* wanted */
	uint64_t base;	      /* found: load base */
	uint64_t file_offset; /* found */
};

static inline int fake_find(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct fake_place *p = arg;
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t at = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && p->address >= at && p->address < at + ph->p_filesz) {
			p->base = info->dlpi_addr;
			p->file_offset = p->address - at + ph->p_offset;
		}
	}
	return 1; /* the first object is the program itself */
}

static inline uint64_t fake_base(void)
{
	struct fake_place p = { .address = (uintptr_t)fake_functions[WS_SITE_SESSION_START] };

	dl_iterate_phdr(fake_find, &p);
	return p.base;
}

static inline uint64_t fake_vaddr(const volatile void *p)
{
	return (uintptr_t)p - fake_base();
}

/* The level at which a site is planted in a server, too. */
static inline int fake_level(uint32_t site)
{
	size_t count;
	const struct ws_probe *probe = ws_catalogue(&count);

	while (count && probe->site != site) {
		probe++;
		count--;
	}
	return count ? probe->level : 1;
}

/* A plan of the sites of a level. Its arrays live in static storage: one plan at a time. */
static inline void fake_plan(struct ws_plan *plan, int level)
{
	static struct ws_probe probes[WS_SITE_COUNT];
	static struct ws_planned planned[WS_SITE_COUNT];
	struct fake_place p;
	size_t i, n = 0;

	memset(plan, 0, sizeof(*plan));
	for (i = 1; i < WS_SITE_COUNT; i++) {
		p.address = (uintptr_t)fake_functions[i] + FAKE_SITE_DELTA;
		dl_iterate_phdr(fake_find, &p);
		probes[n].site = i;
		planned[n].probe = &probes[n];
		planned[n].status = fake_level(i) <= level ? WS_PLAN_PLANTED : WS_PLAN_NOT_AT_LEVEL;
		plan->planted += planned[n].status == WS_PLAN_PLANTED;
		planned[n].address = p.address - p.base;
		planned[n].offset = p.file_offset;
		n++;
	}
	plan->sites = planned;
	plan->count = n;
	plan->level = level;
	plan->config.level = level;
	plan->config.wait_event_reg = FAKE_SP;
	plan->config.wait_event_disp = 0;
	plan->config.off = fake_offsets;
	plan->config.var = (struct ws_variables){
		.am_walsender = fake_vaddr(&fake.am_walsender),
		.am_db_walsender = fake_vaddr(&fake.am_db_walsender),
		.my_proc_pid = fake_vaddr(&fake.my_proc_pid),
		.my_proc_port = fake_vaddr(&fake.my_proc_port),
		.my_walsnd = fake_vaddr(&fake.my_walsnd),
		.my_replication_slot = fake_vaddr(&fake.my_replication_slot),
		.errordata = fake_vaddr(fake.errordata),
		.errordata_stack_depth = fake_vaddr(&fake.errordata_stack_depth),
		.xlog_send_logical = fake_vaddr((const void *)fake_SEND_LOGICAL),
		.my_wait_event_info = fake_vaddr(&fake.my_wait_event_info),
		.pq_send_pointer = fake_vaddr(&fake.pq_send_pointer),
		.pq_send_start = fake_vaddr(&fake.pq_send_start),
		.startup_packet_name = fake_vaddr(fake_startup_packet_name),
	};
}

/* As the planner does at level 2 where it can: on_sleep in place of the sites at the waits. */
static inline void fake_plan_asleep(struct ws_plan *plan)
{
	fake_plan(plan, 2);
	for (size_t i = 0; i < plan->count; i++) {
		switch (plan->sites[i].probe->site) {
		case WS_SITE_WAIT_START:
		case WS_SITE_LOOP_WAIT_START:
		case WS_SITE_WRITE_WAIT_START:
		case WS_SITE_WAL_WAIT_START:
			plan->sites[i].status = WS_PLAN_NOT_AT_LEVEL;
			plan->planted--;
			break;
		default:
			break;
		}
	}
	plan->config.sleep_tells = 1;
}

#endif
