/* SPDX-License-Identifier: BSD-2-Clause */
/* What is read of a decoding context, out of this process's own memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/decoding.h"

/* Like the server's own, as far as is read. */
struct node {
	struct node *prev, *next;
};
struct slot {
	uint64_t restart, confirmed, candidate;
	uint32_t catalog_xmin;
};
struct reader {
	void *private_data;
	uint64_t end;
};
struct txn {
	uint32_t flags, xid;
	uint64_t first, final, end, entries;
	struct node subtxns;
	uint32_t nsubtxns;
	struct node node;
	uint64_t size, total;
};
struct reorder {
	struct node toplevel;
	void *private_data;
	uint64_t size;
};
struct context {
	struct slot *slot;
	struct reader *reader;
	struct reorder *reorder;
	int32_t *builder;
	uint64_t write_location;
	uint32_t write_xid;
};

/* A server's static variables. */
static struct {
	void *others[4];
	struct context *context;
	struct slot *my_slot;
	void *more[4];
} data;

struct fixture {
	struct slot slot;
	struct ws_offsets off;
	struct ws_decoding_place place;
	struct txn txns[3];
	struct reorder *reorder;
};

static void link_txns(struct fixture *f, size_t count)
{
	struct node *last = &f->reorder->toplevel;

	for (size_t i = 0; i < count; i++) {
		last->next = &f->txns[i].node;
		f->txns[i].node.prev = last;
		last = &f->txns[i].node;
	}
	last->next = &f->reorder->toplevel;
	f->reorder->toplevel.prev = last;
}

static struct context *new_context(struct slot *slot, struct reorder **reorder)
{
	struct context *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->slot = slot;
	c->reader = calloc(1, sizeof(*c->reader));
	c->reorder = calloc(1, sizeof(*c->reorder));
	c->builder = calloc(1, sizeof(*c->builder));
	assert_true(c->reader && c->reorder && c->builder);
	c->reader->private_data = c;
	c->reorder->private_data = c;
	*reorder = c->reorder;
	return c;
}

static void free_context(struct context *c)
{
	free(c->reader);
	free(c->reorder);
	free(c->builder);
	free(c);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	memset(&data, 0, sizeof(data));
	memset(&f->off, 0xff, sizeof(f->off));
	f->off.logical_slot = offsetof(struct context, slot);
	f->off.logical_reader = offsetof(struct context, reader);
	f->off.logical_reorder = offsetof(struct context, reorder);
	f->off.logical_snapshot_builder = offsetof(struct context, builder);
	f->off.logical_write_location = offsetof(struct context, write_location);
	f->off.logical_write_xid = offsetof(struct context, write_xid);
	f->off.reader_private = offsetof(struct reader, private_data);
	f->off.reader_end = offsetof(struct reader, end);
	f->off.reorder_private = offsetof(struct reorder, private_data);
	f->off.reorder_toplevel = offsetof(struct reorder, toplevel);
	f->off.reorder_size = offsetof(struct reorder, size);
	f->off.slot_restart_lsn = offsetof(struct slot, restart);
	f->off.slot_confirmed_flush = offsetof(struct slot, confirmed);
	f->off.slot_candidate_restart_lsn = offsetof(struct slot, candidate);
	f->off.slot_catalog_xmin = offsetof(struct slot, catalog_xmin);
	f->off.txn_flags = offsetof(struct txn, flags);
	f->off.txn_xid = offsetof(struct txn, xid);
	f->off.txn_first_lsn = offsetof(struct txn, first);
	f->off.txn_final_lsn = offsetof(struct txn, final);
	f->off.txn_end_lsn = offsetof(struct txn, end);
	f->off.txn_entries = offsetof(struct txn, entries);
	f->off.txn_subtxns = offsetof(struct txn, subtxns);
	f->off.txn_nsubtxns = offsetof(struct txn, nsubtxns);
	f->off.txn_node = offsetof(struct txn, node);
	f->off.txn_size = offsetof(struct txn, size);
	f->off.txn_total_size = offsetof(struct txn, total);
	f->place = (struct ws_decoding_place){ .pid = (uint32_t)getpid(),
					       .off = &f->off,
					       .my_replication_slot = (uintptr_t)&data.my_slot };
	f->slot = (struct slot){
		.restart = 100, .confirmed = 200, .candidate = 150, .catalog_xmin = 9
	};
	f->txns[0] = (struct txn){ .xid = 700, .first = 300, .entries = 5, .total = 50 };
	f->txns[1] =
		(struct txn){ .xid = 701, .first = 310, .entries = 90, .total = 60, .flags = 4 };
	f->txns[2] =
		(struct txn){ .xid = 702, .first = 320, .entries = 20, .total = 70, .flags = 16 };
	data.my_slot = &f->slot;
	data.context = new_context(&f->slot, &f->reorder);
	data.context->reader->end = 400;
	f->reorder->size = 4096;
	link_txns(f, 3);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	if (data.context)
		free_context(data.context);
	free(*state);
	return 0;
}

static uint64_t find(const struct fixture *f)
{
	return ws_decoding_find(&f->place, (uintptr_t)&data, (uintptr_t)(&data + 1));
}

static void the_variable_is_found_by_what_it_points_to(void **state)
{
	struct fixture *f = *state;

	/* What a server's data have besides: pointers that lead elsewhere, numbers. */
	data.others[0] = f->reorder;
	data.others[1] = data.context->reader;
	data.others[2] = (void *)0x7fffffffdeadbef8;
	data.others[3] = (void *)1;
	assert_int_equal(find(f), (uintptr_t)&data.context);
	assert_int_equal(ws_decoding_context(&f->place, (uintptr_t)&data.context),
			 (uintptr_t)data.context);
}

static void of_two_that_could_be_it_none_is(void **state)
{
	struct fixture *f = *state;
	struct reorder *reorder;
	struct context *other = new_context(&f->slot, &reorder);

	data.more[1] = other;
	assert_int_equal(find(f), 0);
	free_context(other);
}

static void the_context_of_another_slot_is_none(void **state)
{
	struct slot other = { 0 };

	data.context->slot = &other;
	assert_int_equal(find(*state), 0);
}

static void a_context_whose_parts_do_not_know_it_is_none(void **state)
{
	data.context->reader->private_data = NULL;
	assert_int_equal(find(*state), 0);
	data.context->reader->private_data = data.context;
	data.context->reorder->private_data = data.context->reader;
	assert_int_equal(find(*state), 0);
}

static void a_process_without_a_slot_has_none(void **state)
{
	struct ws_rec_decoding rec = { 0 };
	struct fixture *f = *state;

	data.my_slot = NULL;
	assert_int_equal(find(f), 0);
	assert_false(ws_decoding_read(&f->place, 0, false, &rec));
}

static void read_all(const struct fixture *f, struct ws_rec_decoding *rec)
{
	*rec = (struct ws_rec_decoding){ 0 };
	assert_true(ws_decoding_read(&f->place, (uintptr_t)data.context, false, rec));
}

static void positions_and_the_slot_are_read(void **state)
{
	struct ws_rec_decoding rec;

	read_all(*state, &rec);
	assert_int_equal(rec.valid, WS_DECODING_READ | WS_DECODING_SLOT | WS_DECODING_BUFFER |
					    WS_DECODING_TXNS);
	assert_int_equal(rec.read_lsn, 400);
	assert_int_equal(rec.restart_lsn, 100);
	assert_int_equal(rec.confirmed_lsn, 200);
	assert_int_equal(rec.candidate_lsn, 150);
	assert_int_equal(rec.catalog_xmin, 9);
	assert_int_equal(rec.buffer_bytes, 4096);
	assert_int_equal(rec.snapshot, WS_SNAPSHOT_UNKNOWN);
}

static void the_oldest_and_the_biggest_transaction_are_told(void **state)
{
	struct ws_rec_decoding rec;

	read_all(*state, &rec);
	assert_int_equal(rec.open_txns, 3);
	assert_int_equal(rec.oldest_xid, 700);
	assert_int_equal(rec.oldest_lsn, 300);
	assert_int_equal(rec.txn_xid, 701);
	assert_int_equal(rec.txn_changes, 90);
	assert_int_equal(rec.txn_bytes, 60);
	assert_int_equal(rec.txn_flags, WS_TXN_SPILLED);
	assert_int_equal(rec.txn_end_lsn, 0);
}

static void the_one_that_is_handed_out_outranks_the_biggest(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_decoding rec;

	f->txns[2].end = 390;
	data.context->write_xid = 702;
	data.context->write_location = 333;
	read_all(f, &rec);
	assert_int_equal(rec.txn_xid, 702);
	assert_int_equal(rec.txn_flags, WS_TXN_STREAMED | WS_TXN_OUTPUT);
	assert_int_equal(rec.txn_at_lsn, 333);
	/* What another transaction's last write left there is no position of this one. */
	data.context->write_xid = 699;
	read_all(f, &rec);
	assert_int_equal(rec.txn_at_lsn, 0);
}

static void a_change_that_is_handed_out_while_the_transaction_runs_is_told(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_decoding rec;

	data.context->write_xid = 701;
	data.context->write_location = 350;
	read_all(f, &rec);
	assert_int_equal(rec.txn_xid, 701);
	assert_int_equal(rec.txn_at_lsn, 350);
	/* Behind what was decoded there is none. */
	data.context->write_location = 401;
	read_all(f, &rec);
	assert_int_equal(rec.txn_at_lsn, 0);
}

static void changes_of_subtransactions_are_those_of_their_transaction(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_decoding rec;
	struct txn subs[2] = { { .xid = 703, .entries = 80, .total = 1 },
			       { .xid = 704, .entries = 7, .total = 1, .flags = 4 } };

	f->txns[0].nsubtxns = 2;
	f->txns[0].subtxns.next = &subs[0].node;
	subs[0].node.next = &subs[1].node;
	subs[1].node.next = &f->txns[0].subtxns;
	read_all(f, &rec);
	assert_int_equal(rec.open_txns, 3);
	assert_int_equal(rec.txn_xid, 700);
	assert_int_equal(rec.txn_changes, 92);
	assert_int_equal(rec.txn_subtxns, 2);
	assert_int_equal(rec.txn_bytes, 50);
	assert_int_equal(rec.txn_flags, WS_TXN_SPILLED);
	/* Up to 13 there is no sum. */
	f->off.txn_total_size = WS_UNKNOWN;
	f->txns[0].size = 10;
	subs[0].size = 20;
	subs[1].size = 30;
	read_all(f, &rec);
	assert_int_equal(rec.txn_bytes, 60);
	/* A list that leads astray. */
	subs[1].node.next = (struct node *)8;
	read_all(f, &rec);
	assert_false(rec.valid & WS_DECODING_TXNS);
}

/* Its end_lsn stays that of its PREPARE. */
static void a_prepared_transaction_that_was_handed_out_waits(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_decoding rec;

	f->txns[1].flags = 0x40;
	f->txns[1].end = 390;
	read_all(f, &rec);
	assert_int_equal(rec.txn_xid, 701);
	assert_int_equal(rec.txn_flags, WS_TXN_OUTPUT);
	f->txns[1].entries = 0;
	f->txns[1].total = 0;
	read_all(f, &rec);
	assert_int_equal(rec.txn_xid, 702);
	assert_int_equal(rec.txn_flags, WS_TXN_STREAMED);
	link_txns(f, 2);
	f->txns[0].entries = 0;
	f->txns[0].total = 0;
	f->txns[0].flags = 0x40;
	f->txns[0].end = 380;
	read_all(f, &rec);
	assert_int_equal(rec.txn_flags, WS_TXN_PREPARED);
	assert_int_equal(rec.oldest_xid, 700);
}

static void a_list_that_leads_astray_says_nothing(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_decoding rec;

	f->txns[1].node.next = (struct node *)8;
	read_all(f, &rec);
	assert_false(rec.valid & WS_DECODING_TXNS);
	assert_int_equal(rec.txn_xid, 0);
	/* In a circle. */
	f->txns[1].node.next = &f->txns[0].node;
	read_all(f, &rec);
	assert_false(rec.valid & WS_DECODING_TXNS);
	/* No transaction. */
	link_txns(f, 3);
	f->txns[0].xid = 2;
	read_all(f, &rec);
	assert_false(rec.valid & WS_DECODING_TXNS);
}

static void an_empty_buffer_has_no_transaction(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_decoding rec;

	link_txns(f, 0);
	read_all(f, &rec);
	assert_true(rec.valid & WS_DECODING_TXNS);
	assert_int_equal(rec.open_txns, 0);
	assert_int_equal(rec.txn_xid, 0);
}

static void what_the_layout_does_not_know_is_left_out(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_decoding rec;

	f->off.reorder_toplevel = WS_UNKNOWN;
	f->off.reorder_size = WS_UNKNOWN;
	f->off.txn_node = WS_UNKNOWN;
	f->off.txn_size = WS_UNKNOWN;
	f->off.txn_total_size = WS_UNKNOWN;
	read_all(f, &rec);
	assert_int_equal(rec.valid, WS_DECODING_READ | WS_DECODING_SLOT);
}

static void the_state_of_a_snapshot_is_told_where_it_is_wanted(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_decoding rec;

	for (int32_t builder = -1; builder <= 3; builder++) {
		*data.context->builder = builder;
		rec = (struct ws_rec_decoding){ 0 };
		assert_true(ws_decoding_read(&f->place, (uintptr_t)data.context, true, &rec));
		assert_int_equal(rec.snapshot,
				 builder <= 2 ? builder + 2 : (int32_t)WS_SNAPSHOT_UNKNOWN);
	}
}

/* Decoding was at 500 when watching began; what was seen to be spilled is given. */
static bool spilled_of(const struct ws_spilled *seen, struct ws_rec_decoding *rec)
{
	struct ws_decoding sums = { 0 };

	if (seen)
		sums.spilled[2] = *seen;
	rec->valid = 0;
	rec->txn_xid = 700;
	ws_decoding_spilled(&sums, 500, rec);
	return rec->valid & WS_DECODING_TXN_SPILL;
}

/* One that has subtransactions may have been forgotten, as others were that are no older. */
static void what_may_have_lost_its_place_has_no_known_spill(void **state)
{
	struct ws_decoding sums = { .forgotten = 700 };
	struct ws_rec_decoding rec = { .txn_xid = 700, .txn_subtxns = 1, .txn_first_lsn = 600 };

	(void)state;
	ws_decoding_spilled(&sums, 500, &rec);
	assert_int_equal(rec.valid & WS_DECODING_TXN_SPILL, 0);
	rec.txn_xid = 701;
	ws_decoding_spilled(&sums, 500, &rec);
	assert_int_equal(rec.valid & WS_DECODING_TXN_SPILL, WS_DECODING_TXN_SPILL);
}

static void what_is_spilled_of_a_transaction_is_what_was_seen_of_it(void **state)
{
	const struct ws_spilled seen = { .xid = 700, .bytes = 4096 }, other = { .xid = 701 };
	const struct ws_spilled partly = { .xid = 700, .bytes = 4096, .partly = 1 };
	struct ws_rec_decoding rec = { .txn_first_lsn = 400 };

	(void)state;
	assert_true(spilled_of(&other, &rec));
	assert_int_equal(rec.txn_spill_bytes, 0);
	rec.txn_flags = WS_TXN_SPILLED;
	assert_true(spilled_of(&seen, &rec));
	assert_int_equal(rec.txn_spill_bytes, 4096);
	assert_false(spilled_of(&partly, &rec));
	assert_false(spilled_of(&other, &rec));
}

/* Its subtransactions are spilled each for itself. */
static void of_one_with_subtransactions_only_if_it_was_watched_from_its_begin_on(void **state)
{
	const struct ws_spilled seen = { .xid = 700, .bytes = 4096 };
	struct ws_rec_decoding rec = { .txn_first_lsn = 499, .txn_subtxns = 2 };

	(void)state;
	assert_false(spilled_of(&seen, &rec));
	assert_false(spilled_of(NULL, &rec));
	rec.txn_first_lsn = 500;
	assert_true(spilled_of(&seen, &rec));
	assert_int_equal(rec.txn_spill_bytes, 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_variable_is_found_by_what_it_points_to),
		TEST(of_two_that_could_be_it_none_is),
		TEST(the_context_of_another_slot_is_none),
		TEST(a_context_whose_parts_do_not_know_it_is_none),
		TEST(a_process_without_a_slot_has_none),
		TEST(positions_and_the_slot_are_read),
		TEST(the_oldest_and_the_biggest_transaction_are_told),
		TEST(the_one_that_is_handed_out_outranks_the_biggest),
		TEST(a_change_that_is_handed_out_while_the_transaction_runs_is_told),
		TEST(changes_of_subtransactions_are_those_of_their_transaction),
		TEST(a_prepared_transaction_that_was_handed_out_waits),
		TEST(a_list_that_leads_astray_says_nothing),
		TEST(an_empty_buffer_has_no_transaction),
		TEST(what_the_layout_does_not_know_is_left_out),
		TEST(the_state_of_a_snapshot_is_told_where_it_is_wanted),
		TEST(what_may_have_lost_its_place_has_no_known_spill),
		TEST(what_is_spilled_of_a_transaction_is_what_was_seen_of_it),
		TEST(of_one_with_subtransactions_only_if_it_was_watched_from_its_begin_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
