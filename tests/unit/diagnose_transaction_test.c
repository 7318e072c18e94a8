/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said of transactions that are gathered, handed out, or streamed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/decoded.h"

#define SESSION WS_SCOPE_SESSION

/* Transaction 777 is gathered: nothing else is there, and no transaction ends. */
static void gather_of(struct lab *lab, uint64_t spilled, uint64_t end_lsn)
{
	struct ws_rec_decoding r = { .valid = ALL_VALID,
				     .txn_xid = 777,
				     .txn_flags = spilled ? WS_TXN_SPILLED : 0,
				     .oldest_xid = 777,
				     .open_txns = 1,
				     .txn_first_lsn = LSN };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		r.read_lsn = lab->sent + 4 * MB;
		r.spill_bytes += spilled;
		r.buffer_bytes = MB;
		r.txn_changes += 1000;
		second(lab, &r);
		tell_flushed(lab, end_lsn);
	}
}

static void gather(struct lab *lab, uint64_t spilled)
{
	gather_of(lab, spilled, LSN + 80 * MB);
}

/* What has come since the last look is no backlog, and its end not that of the transaction. */
static void one_that_has_decoded_next_to_all_there_is_waits_for_its_commit(void **state)
{
	struct lab *lab = *state;

	gather_of(lab, 4 * MB, LSN + 40 * MB + 48);
	assert_verdict(lab, SESSION, "large_transaction");
	assert_said(lab,
		    "; all WAL there is but 48 B has been decoded, and its commit has not come");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "at this rate"));
}

static void a_transaction_that_is_gathered_is_named_with_its_progress(void **state)
{
	gather(*state, 4 * MB);
	assert_verdict(*state, SESSION, "large_transaction");
	assert_said(*state, "Transaction 777,");
	assert_said(*state, "41.0 MB of changes");
	assert_said(*state, "40.0 MB of WAL are still to be decoded, at this rate in 10.0 s");
}

/* It was rolled back, and the look behind finds nothing that is gathered. */
static void a_transaction_that_is_rolled_back_is_gathered_no_more(void **state)
{
	struct ws_rec_decoding none = { .valid = ALL_VALID & ~WS_DECODING_TXN_SPILL,
					.spill_bytes = 40 * MB };
	struct lab *lab = *state;

	gather(lab, 4 * MB);
	none.read_lsn = lab->sent + 4 * MB;
	second(lab, &none);
	lab_judge(lab);
	assert_false(lab_also(lab, "large_transaction"));
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "is being gathered"));
}

/* At level 3 its end is told by itself. */
static void a_transaction_whose_end_was_seen_is_gathered_no_more(void **state)
{
	struct ws_rec_txn end = { .xid = 777, .end = WS_TXN_ABORT };
	struct lab *lab = *state;

	gather(lab, 4 * MB);
	ws_tape_send(&lab->tape, &end.h, WS_KIND_TXN, sizeof(end), 0);
	lab_judge(lab);
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "is being gathered"));
}

static void a_piece_of_a_transaction_that_was_handed_out_is_no_end(void **state)
{
	struct ws_rec_txn piece = { .xid = 777, .end = WS_TXN_PIECE };
	struct lab *lab = *state;

	gather(lab, 4 * MB);
	ws_tape_send(&lab->tape, &piece.h, WS_KIND_TXN, sizeof(piece), 0);
	assert_verdict(lab, SESSION, "large_transaction");
}

static void a_small_transaction_that_stays_open_is_none(void **state)
{
	gather(*state, 0);
	assert_verdict(*state, SESSION, "catching_up");
	assert_false(lab_also(*state, "large_transaction"));
}

/* Transactions of others were spilled for ten seconds, and are over; another one has begun since,
 * of which `spilled` is written to disk in a second. */
static void gather_behind_others(struct lab *lab, uint64_t spilled)
{
	struct ws_rec_decoding r = { .valid = ALL_VALID, .open_txns = 1, .buffer_bytes = 4096 };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 17; i++) {
		r.read_lsn = lab->sent + 4 * MB;
		r.txn_xid = i < 10 ? 700 + i : 777;
		if (i <= 10)
			r.txn_first_lsn = i < 10 ? lab->sent : r.read_lsn - 4096;
		r.txn_flags = i < 10 || (spilled && i > 10) ? WS_TXN_SPILLED : 0;
		r.output_xid = i < 10 ? 700 + i : 709;
		/* The last of the others, too, between two looks. */
		r.spill_bytes += i <= 10 ? 20 * MB : spilled;
		second(lab, &r);
		tell_flushed(lab, r.read_lsn);
	}
}

static void what_others_spilled_before_does_not_make_a_transaction_large(void **state)
{
	gather_behind_others(*state, 0);
	assert_verdict(*state, SESSION, "healthy_streaming");
	assert_false(lab_also(*state, "large_transaction"));
}

static void what_is_spilled_of_a_transaction_behind_others_counts(void **state)
{
	gather_behind_others(*state, 4 * MB);
	assert_verdict(*state, SESSION, "large_transaction");
	assert_said(*state, "24.0 MB of changes");
}

/* A large one is gathered while others, which are small, end one after the other. */
static void gather_beside(struct lab *lab, uint64_t spilled, uint64_t not_sent)
{
	struct ws_rec_decoding r = { .valid = ALL_VALID,
				     .txn_xid = 777,
				     .txn_flags = WS_TXN_SPILLED,
				     .open_txns = 2,
				     .txn_first_lsn = LSN };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		r.read_lsn = lab->sent + 4 * MB;
		r.spill_bytes += spilled;
		r.output_xid = 900 + i;
		second(lab, &r);
		tell_flushed(lab, r.read_lsn + not_sent);
	}
}

static void a_large_transaction_beside_small_ones_is_told(void **state)
{
	gather_beside(*state, 4 * MB, 50 * MB);
	assert_verdict(*state, SESSION, "large_transaction");
	assert_said(*state, "nothing of it has been sent for");
}

static void one_that_is_little_of_what_is_decoded_holds_nobody_up(void **state)
{
	gather_beside(*state, 2 * MB - 1, 50 * MB);
	assert_verdict(*state, SESSION, "decode_bound");
	assert_false(lab_also(*state, "large_transaction"));
}

static void one_with_which_the_session_keeps_up_holds_nobody_up(void **state)
{
	gather_beside(*state, 4 * MB, 0);
	assert_verdict(*state, SESSION, "healthy_streaming");
	assert_false(lab_also(*state, "large_transaction"));
}

/* The slot's restart_lsn is 90 MB before what its client has confirmed. */
static void what_is_decoded_again_is_told(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_decoding r = { .valid = ALL_VALID, .confirmed_lsn = LSN + 90 * MB };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		r.read_lsn = lab->sent + 4 * MB;
		second(lab, &r);
		tell_flushed(lab, LSN + 95 * MB);
	}
	assert_verdict(lab, SESSION, "catching_up");
	assert_said(lab, "Of that, 50.0 MB are decoded again");
}

static const struct ws_fact *fact_of(struct lab *lab, const char *name)
{
	const struct ws_explained *row = lab_find(lab, SESSION);

	for (size_t i = 0; i < row->finding.fact_count; i++)
		if (!strcmp(row->finding.facts[i].fact, name))
			return &row->finding.facts[i];
	return NULL;
}

static void tell_memory(struct lab *lab, uint64_t reorder)
{
	struct ws_rec_memory r = { .valid =
					   WS_MEMORY_BYTES | WS_MEMORY_REORDER | WS_MEMORY_WORK_MEM,
				   .total_bytes = reorder + MB,
				   .reorder_bytes = reorder,
				   .work_mem_bytes = 64 * MB };

	lab_sampled(lab, &r.h, WS_KIND_MEMORY, sizeof(r));
}

static void the_memory_of_a_large_transaction_is_evidence(void **state)
{
	struct lab *lab = *state;

	gather(lab, 4 * MB);
	tell_memory(lab, 50 * MB);
	tell_memory(lab, 40 * MB);
	assert_verdict(lab, SESSION, "large_transaction");
	assert_int_equal(fact_of(lab, "reorder_buffer_at_most")->value, 50 * MB);
	assert_int_equal(fact_of(lab, "logical_decoding_work_mem")->value, 64 * MB);
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "logical_decoding_work_mem"));
}

static void a_buffer_far_beyond_its_limit_is_said(void **state)
{
	gather(*state, 4 * MB);
	tell_memory(*state, 300 * MB);
	assert_verdict(*state, SESSION, "large_transaction");
	assert_said(*state, "took up to 300 MB of memory, beyond logical_decoding_work_mem "
			    "(64.0 MB)");
}

/* Blocks are large beside a small limit. */
static void a_buffer_of_some_blocks_is_not_beyond_its_limit(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_memory r = { .valid =
					   WS_MEMORY_BYTES | WS_MEMORY_REORDER | WS_MEMORY_WORK_MEM,
				   .reorder_bytes = 9 * MB,
				   .work_mem_bytes = 65536 };

	gather(lab, 4 * MB);
	lab_sampled(lab, &r.h, WS_KIND_MEMORY, sizeof(r));
	assert_verdict(lab, SESSION, "large_transaction");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "logical_decoding_work_mem"));
}

/* Its commit was decoded: `each` bytes of its WAL are handed out in a second. */
static void hand_out(struct lab *lab, uint64_t size, uint64_t each)
{
	struct ws_rec_decoding r = { .valid = ALL_VALID,
				     .txn_xid = 778,
				     .txn_flags = WS_TXN_OUTPUT | WS_TXN_SPILLED,
				     .txn_changes = 50000,
				     .txn_first_lsn = LSN,
				     .txn_at_lsn = LSN + each,
				     .txn_end_lsn = LSN + size,
				     .read_lsn = LSN + size };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		second(lab, &r);
		r.txn_at_lsn += each;
	}
}

static void a_transaction_that_is_handed_out_says_how_much_is_done(void **state)
{
	hand_out(*state, 100 * MB, 5 * MB);
	assert_verdict(*state, SESSION, "large_transaction");
	assert_said(*state, "Transaction 778,");
	assert_said(*state, "50000 changes, 100 MB of WAL");
	assert_said(*state, "50 % of its WAL are done, at this rate in 10.0 s");
}

static void a_transaction_that_comes_no_further_is_told_from_a_slow_one(void **state)
{
	hand_out(*state, 100 * MB, 0);
	assert_verdict(*state, SESSION, "large_transaction");
	assert_said(*state, "It has not come further of late");
}

/* For three seconds this one is gathered, and for four 778 is handed out. */
static void gather_and_hand_out(struct lab *lab, uint32_t gathered)
{
	struct ws_rec_decoding r = {
		.valid = ALL_VALID, .txn_xid = gathered, .txn_changes = 50000, .txn_first_lsn = LSN
	};

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 7; i++) {
		if (i == 3) {
			r.txn_xid = 778;
			r.txn_flags = WS_TXN_OUTPUT;
			r.txn_end_lsn = LSN + 100 * MB;
		}
		r.txn_at_lsn = LSN + i * 5 * MB;
		second(lab, &r);
	}
}

static void both_halves_of_a_large_transaction_count(void **state)
{
	gather_and_hand_out(*state, 778);
	assert_verdict(*state, SESSION, "large_transaction");
	assert_said(*state, "is handed to the client for 3");
}

static void the_first_half_of_another_transaction_does_not(void **state)
{
	gather_and_hand_out(*state, 777);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void a_small_transaction_that_is_handed_out_is_none(void **state)
{
	hand_out(*state, MB, 1024);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

/* Transaction 779 was streamed while it ran: at its commit some of it is left. */
static void of_a_streamed_transaction_what_is_left_is_told(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_decoding r = { .valid = ALL_VALID,
				     .txn_xid = 779,
				     .txn_flags = WS_TXN_OUTPUT | WS_TXN_STREAMED,
				     .txn_changes = 50000,
				     .txn_subtxns = 3,
				     .txn_first_lsn = LSN,
				     .txn_at_lsn = LSN + 60 * MB,
				     .txn_end_lsn = LSN + 100 * MB,
				     .read_lsn = LSN + 100 * MB };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		second(lab, &r);
		r.txn_at_lsn += 2 * MB;
	}
	assert_verdict(lab, SESSION, "large_transaction");
	assert_said(lab, "of which the client has had a part");
	assert_said(lab, "22.0 MB of it are left, at this rate in 11.0 s");
}

/* Its changes are handed out as they come. */
static void a_transaction_that_is_streamed_while_it_runs_is_none(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_decoding r = { .valid = ALL_VALID,
				     .txn_xid = 777,
				     .txn_flags = WS_TXN_STREAMED,
				     .open_txns = 1,
				     .buffer_bytes = 40 * MB,
				     .txn_first_lsn = LSN };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		r.read_lsn = lab->sent + 4 * MB;
		r.stream_bytes += 4 * MB;
		r.stream_count++;
		second(lab, &r);
		tell_flushed(lab, LSN + 80 * MB);
	}
	assert_verdict(lab, SESSION, "catching_up");
	assert_false(lab_also(lab, "large_transaction"));
}

static void a_prepared_transaction_that_waits_is_none(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_decoding r = { .valid = ALL_VALID,
				     .txn_xid = 780,
				     .txn_flags = WS_TXN_PREPARED | WS_TXN_SPILLED,
				     .open_txns = 1,
				     .txn_first_lsn = LSN,
				     .txn_at_lsn = LSN + 100 * MB,
				     .txn_end_lsn = LSN + 100 * MB };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		r.read_lsn = lab->sent + 4 * MB;
		r.spill_bytes = i < 2 ? 0 : 50 * MB;
		second(lab, &r);
		tell_flushed(lab, lab->sent);
	}
	assert_verdict(lab, SESSION, "healthy_streaming");
	assert_false(lab_also(lab, "large_transaction"));
}

static void transactions_that_follow_each_other_are_none(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_decoding r = { .valid = ALL_VALID,
				     .txn_flags = WS_TXN_OUTPUT,
				     .txn_changes = 50000 };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		r.txn_xid = 800 + i / 3;
		r.output_xid = r.txn_xid;
		r.txn_first_lsn = r.txn_at_lsn = lab->sent;
		r.txn_end_lsn = lab->sent + 40 * MB;
		second(lab, &r);
	}
	assert_verdict(lab, SESSION, "healthy_streaming");
}

/* Two large ones are gathered at once; of the one with the most changes so much is spilled. */
static void gather_two(struct lab *lab, uint64_t its, uint64_t spilled, uint32_t valid)
{
	struct ws_rec_decoding r = { .valid = ALL_VALID | valid,
				     .txn_xid = 777,
				     .txn_flags = WS_TXN_SPILLED,
				     .open_txns = 2,
				     .txn_first_lsn = LSN };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		r.read_lsn = lab->sent + 4 * MB;
		r.spill_bytes += spilled;
		if (valid)
			r.txn_spill_bytes += its;
		r.buffer_bytes = 3 * MB;
		r.txn_bytes = MB;
		r.txn_changes += 1000;
		second(lab, &r);
		tell_flushed(lab, LSN + 80 * MB);
	}
}

static void of_two_at_once_the_size_is_that_of_the_one_named(void **state)
{
	const struct ws_explained *row;

	gather_two(*state, 2 * MB, 4 * MB, WS_DECODING_TXN_SPILL);
	assert_verdict(*state, SESSION, "large_transaction");
	assert_said(*state, "21.0 MB of changes so far, and nothing");
	row = lab_find(*state, SESSION);
	for (size_t i = 0; i < row->finding.fact_count; i++)
		if (!strcmp(row->finding.facts[i].fact, "spilled"))
			assert_int_equal(row->finding.facts[i].value, 20 * MB);
}

static void where_that_is_not_known_it_is_at_most_that_of_both(void **state)
{
	gather_two(*state, 0, 4 * MB, 0);
	assert_verdict(*state, SESSION, "large_transaction");
	assert_said(*state, "up to 41.0 MB of changes so far (others are gathered, too");
}

static void a_small_one_beside_one_that_is_spilled_is_not_large(void **state)
{
	gather_two(*state, 0, 4 * MB, WS_DECODING_TXN_SPILL);
	lab_judge(*state);
	assert_false(lab_find(*state, SESSION)->verdict == WS_VERDICT_LARGE_TRANSACTION ||
		     lab_also(*state, "large_transaction"));
}

/* -- with too little CPU */

/* Transaction 777 is gathered, and spilled, by a walsender whose control group is out of its quota;
 * and another process keeps its slot back. */
static void gather_starved(struct lab *lab, uint64_t spilled, uint32_t xid)
{
	struct ws_rec_decoding r = { .valid = ALL_VALID,
				     .txn_xid = xid,
				     .txn_flags = WS_TXN_SPILLED,
				     .oldest_xid = 700,
				     .open_txns = 1,
				     .restart_lsn = LSN,
				     .txn_first_lsn = LSN };
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_THROTTLED | WS_SAMPLE_DELAY };
	struct ws_rec_cgroup group = { .quota_us = 20000,
				       .period_us = 100000,
				       .path = "/kubepods.slice/kubepods-burstable.slice/cri-1" };
	struct ws_rec_holder holder = { .xid = 700,
					.what = WS_HELD_PROCESS,
					.first_lsn = LSN,
					.holder_pid = 4711,
					.user = "report",
					.application = "nightly" };

	lab_stream(lab, WS_STREAM_LOGICAL);
	lab_sampled(lab, &group.h, WS_KIND_CGROUP, sizeof(group));
	holder.since_ns = lab->tape.now_ns;
	lab_sampled(lab, &holder.h, WS_KIND_HOLDER, sizeof(holder));
	for (unsigned int i = 0; i < 10; i++) {
		r.read_lsn = lab->sent + 4 * MB;
		r.spill_bytes += spilled;
		r.spill_ns += 400000000;
		r.buffer_bytes = xid ? MB : 0;
		r.txn_changes += 1000;
		r.output_xid = xid ? 0 : 800 + i;
		second(lab, &r);
		sample.throttled_ns += SECOND * 7 / 10;
		sample.run_delay_ns += SECOND / 2;
		sample.target_lsn = 0;
		lab_outside(lab, &(struct step){ .sample = &sample });
		tell_flushed(lab, LSN + 80 * MB);
	}
}

static void who_spills_with_too_little_cpu_has_two_causes(void **state)
{
	gather_starved(*state, MB, 0);
	assert_verdict(*state, SESSION, "cpu_starved");
	assert_said(*state,
		    "Beside this, spilling: Decoding writes changes to disk and reads them");
	assert_said(*state, " Raise logical_decoding_work_mem");
}

static void so_has_a_large_transaction(void **state)
{
	gather_starved(*state, 4 * MB, 777);
	assert_verdict(*state, SESSION, "cpu_starved");
	assert_true(lab_also(*state, "spilling"));
	assert_said(*state,
		    "Beside this, large_transaction: Transaction 777, a large one, is being");
	assert_said(*state, " Its output comes at its commit.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(a_transaction_that_is_gathered_is_named_with_its_progress),
		LAB(one_that_has_decoded_next_to_all_there_is_waits_for_its_commit),
		LAB(a_transaction_that_is_rolled_back_is_gathered_no_more),
		LAB(a_transaction_whose_end_was_seen_is_gathered_no_more),
		LAB(a_piece_of_a_transaction_that_was_handed_out_is_no_end),
		LAB(a_small_transaction_that_stays_open_is_none),
		LAB(what_others_spilled_before_does_not_make_a_transaction_large),
		LAB(what_is_spilled_of_a_transaction_behind_others_counts),
		LAB(a_large_transaction_beside_small_ones_is_told),
		LAB(one_that_is_little_of_what_is_decoded_holds_nobody_up),
		LAB(one_with_which_the_session_keeps_up_holds_nobody_up),
		LAB(what_is_decoded_again_is_told),
		LAB(the_memory_of_a_large_transaction_is_evidence),
		LAB(a_buffer_far_beyond_its_limit_is_said),
		LAB(a_buffer_of_some_blocks_is_not_beyond_its_limit),
		LAB(a_transaction_that_is_handed_out_says_how_much_is_done),
		LAB(a_transaction_that_comes_no_further_is_told_from_a_slow_one),
		LAB(both_halves_of_a_large_transaction_count),
		LAB(the_first_half_of_another_transaction_does_not),
		LAB(a_small_transaction_that_is_handed_out_is_none),
		LAB(of_a_streamed_transaction_what_is_left_is_told),
		LAB(a_transaction_that_is_streamed_while_it_runs_is_none),
		LAB(a_prepared_transaction_that_waits_is_none),
		LAB(transactions_that_follow_each_other_are_none),
		LAB(of_two_at_once_the_size_is_that_of_the_one_named),
		LAB(where_that_is_not_known_it_is_at_most_that_of_both),
		LAB(a_small_one_beside_one_that_is_spilled_is_not_large),
		LAB(who_spills_with_too_little_cpu_has_two_causes),
		LAB(so_has_a_large_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
