/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slots out of memory: this process's own, laid out as a server's, with an index of its segment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "shmem/horizon.h"

#define MAX_SLOTS    4
#define MAX_PREPARED 3
#define MB	     (1 << 20)

struct fake_slot {
	uint8_t mutex, in_use;
	int32_t active_pid;
	char name[64], plugin[64];
	uint32_t database, persistency, xmin, catalog_xmin, invalidated;
	uint64_t restart_lsn, confirmed_flush;
};

struct fake_element {
	uint64_t link, hash;
	char key[48];
	uint64_t location, size, allocated;
};

struct fake_prepared {
	uint64_t next, prepared_at;
	uint32_t xid;
	uint8_t valid;
	char gid[200];
};

struct fake_segment {
	int32_t magic;
	uint64_t size, index;
	struct {
		uint64_t nsegs, keysize, entrysize, ssize;
		uint32_t max_bucket;
	} hash;
	uint64_t directory[1];
	uint64_t buckets[2];
	struct fake_element element;
	struct fake_slot slots[MAX_SLOTS];
	struct fake_element prepared_element;
	struct {
		uint64_t free;
		int32_t count;
		uint64_t entries[MAX_PREPARED];
		struct fake_prepared prepared[MAX_PREPARED];
	} two_phase;
	struct fake_element ctl_element, recovery_element, receiver_element;
	struct {
		uint64_t written, slot_min, removed, replayed;
		uint32_t recovery;
	} ctl;
	struct {
		uint64_t latch, replayed;
	} recovery;
	uint64_t received;
};

static struct {
	uint64_t slot_ctl;
	int32_t max_slots, max_prepared;
} variables;

static struct ws_offsets off;
static struct ws_shmem_variables var;
static struct fake_segment *segment;

#define AT(field)      offsetof(struct fake_slot, field)
#define SEGMENT(field) offsetof(struct fake_segment, field)
#define HASH(field)    (SEGMENT(hash.field) - SEGMENT(hash))

static void set_layout(void)
{
	memset(&off, 0xff, sizeof(off));
	off.slots_first = 0;
	off.slot_size = sizeof(struct fake_slot);
	off.slot_in_use = AT(in_use);
	off.slot_active_pid = AT(active_pid);
	off.slot_name = AT(name);
	off.slot_plugin = AT(plugin);
	off.slot_data_database = AT(database);
	off.slot_persistency = AT(persistency);
	off.slot_xmin = AT(xmin);
	off.slot_catalog_xmin = AT(catalog_xmin);
	off.slot_invalidated = AT(invalidated);
	off.slot_restart_lsn = AT(restart_lsn);
	off.slot_confirmed_flush = AT(confirmed_flush);
	off.twophase_count = 8;
	off.twophase_first = 16;
	off.gxact_size = sizeof(struct fake_prepared);
	off.gxact_xid = offsetof(struct fake_prepared, xid);
	off.gxact_prepared_at = offsetof(struct fake_prepared, prepared_at);
	off.gxact_valid = offsetof(struct fake_prepared, valid);
	off.gxact_gid = offsetof(struct fake_prepared, gid);
	off.shmem_totalsize = SEGMENT(size);
	off.shmem_index = SEGMENT(index);
	off.hash_size = sizeof(segment->hash);
	off.hash_nsegs = HASH(nsegs);
	off.hash_keysize = HASH(keysize);
	off.hash_entrysize = HASH(entrysize);
	off.hash_ssize = HASH(ssize);
	off.hash_max_bucket = HASH(max_bucket);
}

static int setup(void **state)
{
	(void)state;
	set_layout();
	segment = mmap(NULL, sizeof(*segment), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (segment == MAP_FAILED)
		return -1;
	segment->magic = 679834894;
	segment->size = sizeof(*segment);
	segment->index = (uint64_t)&segment->hash;
	segment->hash.nsegs = 1;
	segment->hash.keysize = 48;
	segment->hash.entrysize = 72;
	segment->hash.ssize = 2;
	segment->hash.max_bucket = 1;
	segment->directory[0] = (uint64_t)segment->buckets;
	segment->buckets[1] = (uint64_t)&segment->element;
	strcpy(segment->element.key, "ReplicationSlot Ctl");
	segment->element.location = (uint64_t)segment->slots;
	segment->element.size = sizeof(segment->slots);
	segment->buckets[0] = (uint64_t)&segment->prepared_element;
	strcpy(segment->prepared_element.key, "Prepared Transaction Table");
	segment->prepared_element.location = (uint64_t)&segment->two_phase;
	segment->prepared_element.size = sizeof(segment->two_phase);
	variables.max_prepared = MAX_PREPARED;
	var.max_prepared = (uint64_t)&variables.max_prepared;
	variables.slot_ctl = (uint64_t)segment->slots;
	variables.max_slots = MAX_SLOTS;
	var.slot_ctl = (uint64_t)&variables.slot_ctl;
	var.max_slots = (uint64_t)&variables.max_slots;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return munmap(segment, sizeof(*segment));
}

/* In recovery, whose structures the index has, too. */
static void add_xlog(void)
{
	struct fake_element *ctl = &segment->ctl_element, *recovery = &segment->recovery_element;
	struct fake_element *receiver = &segment->receiver_element;

	segment->buckets[0] = (uint64_t)ctl;
	ctl->link = (uint64_t)recovery;
	recovery->link = (uint64_t)receiver;
	receiver->link = (uint64_t)&segment->prepared_element;
	strcpy(receiver->key, "Wal Receiver Ctl");
	receiver->location = (uint64_t)&segment->received;
	receiver->size = sizeof(segment->received);
	strcpy(ctl->key, "XLOG Ctl");
	ctl->location = (uint64_t)&segment->ctl;
	ctl->size = sizeof(segment->ctl);
	strcpy(recovery->key, "XLOG Recovery Ctl");
	recovery->location = (uint64_t)&segment->recovery;
	recovery->size = sizeof(segment->recovery);
	segment->ctl.recovery = 1; /* RECOVERY_STATE_ARCHIVE */
	segment->ctl.replayed = 0x5000000;
	segment->recovery.replayed = 0x6000000;
	segment->received = 0x6800000;
	off.xlog_write_result = 0;
	off.xlog_slot_min_lsn = 8;
	off.xlog_last_removed = 16;
	off.xlog_recovery_state = offsetof(struct fake_segment, ctl.recovery) - SEGMENT(ctl);
}

static struct fake_slot *add(unsigned int number, const char *name)
{
	struct fake_slot *slot = &segment->slots[number];

	slot->in_use = 1;
	strcpy(slot->name, name);
	slot->restart_lsn = 0x1000028;
	return slot;
}

static int read_slots(struct ws_slot_list *list, struct ws_error *err)
{
	static const struct ws_wal wal = { .major = 18 };
	struct ws_shmem shmem;

	assert_int_equal(ws_shmem_open(&shmem, (uint32_t)getpid(), 0, 18, &off, &var, err), 0);
	return ws_slots_read(&shmem, &wal, list, err);
}

static void slots_in_use_are_read_and_free_ones_are_not(void **state)
{
	struct ws_slot_list list;
	struct ws_error err;
	struct fake_slot *slot;

	(void)state;
	add(0, "physical_1");
	slot = add(2, "logical_1");
	slot->database = 5;
	strcpy(slot->plugin, "pgoutput");
	slot->active_pid = 77;
	slot->invalidated = 2;
	assert_int_equal(read_slots(&list, &err), 0);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.slots[0].name, "physical_1");
	assert_false(list.slots[0].logical);
	assert_string_equal(list.slots[1].plugin, "pgoutput");
	assert_true(list.slots[1].logical);
	assert_int_equal(list.slots[1].active_pid, 77);
	assert_int_equal(list.slots[1].invalid, WS_SLOT_ROWS_REMOVED);
	assert_int_equal(list.slots[1].restart_lsn, 0x1000028);
	ws_slot_list_deinit(&list);
}

static void a_slot_that_cannot_be_one_says_so_and_the_others_are_read(void **state)
{
	struct ws_slot_list list;
	struct ws_error err;

	(void)state;
	memset(segment->slots[0].name, 'x', 64); /* without an end */
	segment->slots[0].in_use = 1;
	add(1, "odd")->restart_lsn = UINT64_MAX;
	add(2, "held")->mutex = 1; /* its lock is never given back */
	add(3, "good");
	assert_int_equal(read_slots(&list, &err), 0);
	assert_int_equal(list.count, 4);
	assert_string_equal(list.slots[0].problem, "its name is none");
	assert_string_equal(list.slots[1].problem, "its LSNs are none");
	assert_string_equal(list.slots[2].problem, "it changes faster than it is read");
	assert_string_equal(list.slots[3].problem, "");
	ws_slot_list_deinit(&list);
}

static void another_size_than_the_servers_own_refuses_the_layout(void **state)
{
	struct ws_slot_list list;
	struct ws_error err;

	(void)state;
	segment->element.size -= 8;
	assert_int_equal(read_slots(&list, &err), -1);
	assert_non_null(strstr(err.why, "layout is of another server"));
}

static void a_loop_in_the_index_ends(void **state)
{
	struct ws_slot_list list;
	struct ws_error err;

	(void)state;
	strcpy(segment->element.key, "something else");
	segment->element.link = (uint64_t)&segment->element;
	assert_int_equal(read_slots(&list, &err), 0);
}

static void prepare(unsigned int number, uint32_t xid, const char *gid)
{
	struct fake_prepared *prepared = &segment->two_phase.prepared[number];

	*prepared = (struct fake_prepared){ .prepared_at = 1, .xid = xid, .valid = 1 };
	strcpy(prepared->gid, gid);
	segment->two_phase.entries[number] = (uint64_t)prepared;
	segment->two_phase.count = (int32_t)number + 1;
}

static void read_horizon(struct ws_horizon *horizon)
{
	static const struct ws_postmaster postmaster = { 0 };
	static const struct ws_slot_list none = { 0 };
	struct ws_shmem shmem;
	struct ws_error err;

	assert_int_equal(ws_shmem_open(&shmem, (uint32_t)getpid(), 0, 18, &off, &var, &err), 0);
	ws_horizon_read(&shmem, &(struct ws_proc){ .root = "/nonexistent" }, &postmaster, &none,
			horizon);
}

static void the_oldest_prepared_transaction_is_named(void **state)
{
	struct ws_horizon horizon;

	(void)state;
	read_horizon(&horizon);
	assert_int_equal(horizon.count, 0);
	prepare(0, 20, "young");
	prepare(1, UINT32_MAX - 5, "before the numbers went round");
	prepare(2, 10, "being prepared");
	segment->two_phase.prepared[2].valid = 0;
	read_horizon(&horizon);
	assert_int_equal(horizon.count, 1);
	assert_int_equal(horizon.holds[0].kind, WS_HOLDS_PREPARED);
	assert_int_equal(horizon.holds[0].xid, UINT32_MAX - 5);
	assert_string_equal(horizon.holds[0].gid, "before the numbers went round");
}

static void what_cannot_be_a_prepared_transaction_is_named_none(void **state)
{
	struct ws_horizon horizon;

	(void)state;
	prepare(0, 20, "");
	prepare(1, 21, "endless");
	memset(segment->two_phase.prepared[1].gid, 'x', 200);
	prepare(2, 22, "elsewhere");
	segment->two_phase.entries[2] = (uint64_t)&variables;
	read_horizon(&horizon);
	assert_int_equal(horizon.count, 0);
	prepare(0, 20, "good");
	segment->two_phase.count = MAX_PREPARED + 1;
	read_horizon(&horizon);
	assert_int_equal(horizon.count, 0);
	segment->two_phase.count = 1;
	off.gxact_gid = UINT32_MAX - 8; /* of a file that lies */
	read_horizon(&horizon);
	assert_int_equal(horizon.count, 0);
	set_layout();
	variables.max_prepared = MAX_PREPARED - 1; /* the table is larger: another layout */
	read_horizon(&horizon);
	assert_int_equal(horizon.count, 0);
	variables.max_prepared = MAX_PREPARED;
	read_horizon(&horizon);
	assert_int_equal(horizon.count, 1);
}

static enum ws_slot_wal status(uint64_t segment_number, int32_t active_pid, int32_t keep_mb)
{
	const struct ws_wal wal = { .major = 15,
				    .has_ctl = true,
				    .has_limits = true,
				    .written = 100ULL * 16 * MB + 5,
				    .slot_min_lsn = 10ULL * 16 * MB,
				    .last_removed_segment = 20,
				    .segment_size = 16 * MB,
				    .max_wal_size = 64,
				    .max_slot_wal_keep_size = keep_mb };
	const struct ws_slot slot = { .restart_lsn = segment_number * 16 * MB + 40,
				      .active_pid = active_pid };

	return ws_slot_wal_status(&slot, &wal);
}

/* GetWALAvailability's four answers: max_wal_size reaches back 5 segments, the limit 50. */
static void wal_status_is_what_the_server_would_say(void **state)
{
	(void)state;
	assert_int_equal(status(95, 0, 800), WS_SLOT_RESERVED);
	assert_int_equal(status(94, 0, 800), WS_SLOT_EXTENDED);
	assert_int_equal(status(50, 0, 800), WS_SLOT_EXTENDED);
	assert_int_equal(status(49, 0, 800), WS_SLOT_UNRESERVED);
	assert_int_equal(status(21, 0, 800), WS_SLOT_UNRESERVED);
	assert_int_equal(status(20, 0, 800), WS_SLOT_LOST);
	assert_int_equal(status(20, 7, 800), WS_SLOT_UNRESERVED);
	assert_int_equal(status(20, 0, -1), WS_SLOT_EXTENDED);
}

static struct ws_wal read_wal(int major)
{
	struct ws_shmem shmem;
	struct ws_wal wal;

	assert_int_equal(ws_shmem_open(&shmem, (uint32_t)getpid(), 0, major, &off, &var, NULL), 0);
	ws_wal_read(&shmem, &wal);
	return wal;
}

static void in_recovery_the_position_is_the_one_replayed(void **state)
{
	struct ws_wal wal;

	(void)state;
	add_xlog();
	off.recovery_replayed = 8; /* 15 and later: a structure of its own */
	wal = read_wal(15);
	assert_true(wal.in_recovery);
	assert_int_equal(wal.source, WS_WAL_REPLAYED);
	assert_int_equal(wal.position, 0x6000000);
	off.recovery_replayed = WS_UNKNOWN;
	off.xlog_replayed = 24;
	assert_int_equal(read_wal(14).position, 0x5000000);
	off.xlog_replayed = WS_UNKNOWN;
	assert_int_equal(read_wal(12).source, WS_WAL_NONE);
}

static void a_position_that_no_cluster_reaches_is_none(void **state)
{
	(void)state;
	add_xlog();
	off.recovery_replayed = 8;
	segment->recovery.replayed = UINT64_MAX - 7;
	assert_int_equal(read_wal(15).source, WS_WAL_NONE);
	segment->recovery.replayed = 0;
	assert_int_equal(read_wal(15).source, WS_WAL_NONE);
}

static void after_recovery_the_position_is_the_one_written(void **state)
{
	struct ws_wal wal;

	(void)state;
	add_xlog();
	off.recovery_replayed = 8;
	segment->ctl.recovery = 2;
	segment->ctl.written = 0x7000000;
	wal = read_wal(15);
	assert_int_equal(wal.source, WS_WAL_WRITTEN);
	assert_int_equal(wal.position, 0x7000000);
}

static struct ws_wal_ends read_ends(void)
{
	struct ws_wal_places places;
	struct ws_wal_ends ends;
	struct ws_shmem shmem;

	assert_int_equal(ws_shmem_open(&shmem, (uint32_t)getpid(), 0, 15, &off, &var, NULL), 0);
	ws_wal_find(&shmem, &places);
	ws_wal_ends(&shmem, &places, &ends);
	return ends;
}

/* A physical walsender of a standby sends what came from upstream, or out of an archive; a logical
 * one what was replayed. */
static void a_standby_has_to_send_what_it_received_or_replayed(void **state)
{
	struct ws_wal_ends ends;

	(void)state;
	add_xlog();
	off.recovery_replayed = 8;
	off.walrcv_received = WS_UNKNOWN;
	off.walrcv_flushed = 0;
	ends = read_ends();
	assert_int_equal(ends.flushed, 0);
	assert_int_equal(ws_wal_target(&ends, false), 0x6800000);
	assert_int_equal(ws_wal_target(&ends, true), 0x6000000);
	segment->received = 0x5800000;
	ends = read_ends();
	assert_int_equal(ws_wal_target(&ends, false), 0x6000000);
	/* up to 12 what was replayed is not known */
	off.recovery_replayed = WS_UNKNOWN;
	off.walrcv_flushed = WS_UNKNOWN;
	off.walrcv_received = 0;
	ends = read_ends();
	assert_int_equal(ws_wal_target(&ends, false), 0x5800000);
	assert_int_equal(ws_wal_target(&ends, true), 0);
}

static void a_primary_has_to_send_what_it_flushed(void **state)
{
	struct ws_wal_ends ends;

	(void)state;
	add_xlog();
	off.recovery_replayed = 8;
	segment->ctl.recovery = 2;
	segment->ctl.slot_min = 0x7000000; /* where flush follows write */
	ends = read_ends();
	assert_int_equal(ends.replayed, 0);
	assert_int_equal(ws_wal_target(&ends, false), 0x7000000);
	assert_int_equal(ws_wal_target(&ends, true), 0x7000000);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(slots_in_use_are_read_and_free_ones_are_not),
		TEST(a_slot_that_cannot_be_one_says_so_and_the_others_are_read),
		TEST(another_size_than_the_servers_own_refuses_the_layout),
		TEST(a_loop_in_the_index_ends),
		TEST(the_oldest_prepared_transaction_is_named),
		TEST(what_cannot_be_a_prepared_transaction_is_named_none),
		TEST(wal_status_is_what_the_server_would_say),
		TEST(in_recovery_the_position_is_the_one_replayed),
		TEST(a_position_that_no_cluster_reaches_is_none),
		TEST(after_recovery_the_position_is_the_one_written),
		TEST(a_standby_has_to_send_what_it_received_or_replayed),
		TEST(a_primary_has_to_send_what_it_flushed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
