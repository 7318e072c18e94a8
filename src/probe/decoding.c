/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/decoding.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "target/memory.h"

/* So many open transactions are looked at, and so many of their subtransactions: what more there
 * are are not counted. */
#define TXNS_MAX    512
#define SUBTXNS_MAX 4096
/* A server's writable data are a fraction of that. */
#define DATA_MAX (64UL * 1024 * 1024)
/* Of ReorderBufferTXN, far enough for all that is read. */
#define TXN_COPY 384

/* txn_flags of reorderbuffer.h, 13 to 18. */
#define RBTXN_IS_SERIALIZED	  0x04
#define RBTXN_IS_SERIALIZED_CLEAR 0x08
#define RBTXN_IS_STREAMED	  0x10
#define RBTXN_PREPARED		  0x40 /* 14 and later: its PREPARE was decoded */

/* Transaction ids below are none of transactions (transam.h). */
#define FIRST_NORMAL_XID 3

static bool read_at(const struct ws_decoding_place *place, uint64_t address, uint32_t offset,
		    void *out, size_t size)
{
	return offset != WS_UNKNOWN && ws_memory_read(place->pid, address + offset, out, size);
}

static uint64_t pointer_at(const struct ws_decoding_place *place, uint64_t address, uint32_t offset)
{
	uint64_t value;

	return read_at(place, address, offset, &value, sizeof(value)) ? value : 0;
}

static uint64_t own_slot(const struct ws_decoding_place *place)
{
	return place->my_replication_slot
		       ? pointer_at(place, place->base + place->my_replication_slot, 0)
		       : 0;
}

static bool is_context_of(const struct ws_decoding_place *place, uint64_t context, uint64_t slot)
{
	const struct ws_offsets *off = place->off;
	uint64_t reader, reorder;

	if (!slot || pointer_at(place, context, off->logical_slot) != slot)
		return false;
	reader = pointer_at(place, context, off->logical_reader);
	reorder = pointer_at(place, context, off->logical_reorder);
	return reader && reorder && pointer_at(place, reader, off->reader_private) == context &&
	       (off->reorder_private == WS_UNKNOWN ||
		pointer_at(place, reorder, off->reorder_private) == context);
}

bool ws_decoding_is_context(const struct ws_decoding_place *place, uint64_t context)
{
	return context && is_context_of(place, context, own_slot(place));
}

uint64_t ws_decoding_context(const struct ws_decoding_place *place, uint64_t variable)
{
	uint64_t context = pointer_at(place, place->base + variable, 0);

	return ws_decoding_is_context(place, context) ? context : 0;
}

void ws_decoding_range(const struct ws_image *image, uint64_t *start, uint64_t *end)
{
	const uint64_t step = 64; /* no segment is smaller */

	*start = 0;
	*end = 0;
	for (uint64_t at = 0, last = ws_image_end(image); at < last; at += step) {
		if (!ws_image_is_writable(image, at))
			continue;
		if (!*end)
			*start = at;
		*end = at + step < last ? at + step : last;
	}
}

uint64_t ws_decoding_find(const struct ws_decoding_place *place, uint64_t start, uint64_t end)
{
	uint64_t slot = own_slot(place), found = 0, *words;
	size_t count;

	start = (start + 7) & ~7ULL;
	if (!slot || end <= start || end - start > DATA_MAX)
		return 0;
	count = (end - start) / sizeof(*words);
	words = calloc(count, sizeof(*words));
	if (!words ||
	    !ws_memory_read(place->pid, place->base + start, words, count * sizeof(*words)))
		goto out;
	for (size_t i = 0; i < count; i++) {
		/* It is allocated: aligned, and none of the server's own variables. */
		if (words[i] < end || words[i] % 8 ||
		    (words[i] >= place->base && words[i] < place->base + end) ||
		    !is_context_of(place, words[i], slot))
			continue;
		if (found) { /* of two none is it */
			found = 0;
			break;
		}
		found = start + i * sizeof(*words);
	}
out:
	free(words);
	return found;
}

static bool read_slot(const struct ws_decoding_place *place, uint64_t slot,
		      struct ws_rec_decoding *rec)
{
	const struct ws_offsets *off = place->off;

	if (!read_at(place, slot, off->slot_restart_lsn, &rec->restart_lsn, sizeof(uint64_t)) ||
	    !read_at(place, slot, off->slot_confirmed_flush, &rec->confirmed_lsn,
		     sizeof(uint64_t)) ||
	    !read_at(place, slot, off->slot_catalog_xmin, &rec->catalog_xmin, sizeof(uint32_t)))
		return false;
	rec->valid |= WS_DECODING_SLOT;
	rec->candidate_lsn = pointer_at(place, slot, off->slot_candidate_restart_lsn);
	return true;
}

/* What of a transaction counts. */
struct txn {
	uint64_t next; /* node behind it */
	uint32_t flags, xid;
	uint64_t first_lsn, end_lsn, changes, bytes;
	uint32_t subtxns;
};

static bool copy_field(const char *copy, uint32_t offset, void *to, size_t size)
{
	if (offset > TXN_COPY - size)
		return false;
	memcpy(to, copy + offset, size);
	return true;
}

static bool read_txn(const struct ws_decoding_place *place, uint64_t node, struct txn *txn)
{
	const struct ws_offsets *off = place->off;
	uint32_t size = off->txn_total_size == WS_UNKNOWN ? off->txn_size : off->txn_total_size;
	char copy[TXN_COPY];
	/* No further than what is needed: it may be the last thing in its page. */
	size_t need = size + sizeof(uint64_t);

	if (size == WS_UNKNOWN || need > sizeof(copy) || off->txn_node > size ||
	    !ws_memory_read(place->pid, node - off->txn_node, copy, need))
		return false;
	return copy_field(copy, off->txn_flags, &txn->flags, sizeof(txn->flags)) &&
	       copy_field(copy, off->txn_xid, &txn->xid, sizeof(txn->xid)) &&
	       copy_field(copy, off->txn_first_lsn, &txn->first_lsn, sizeof(uint64_t)) &&
	       copy_field(copy, off->txn_end_lsn, &txn->end_lsn, sizeof(uint64_t)) &&
	       copy_field(copy, off->txn_entries, &txn->changes, sizeof(uint64_t)) &&
	       copy_field(copy, off->txn_nsubtxns, &txn->subtxns, sizeof(uint32_t)) &&
	       copy_field(copy, size, &txn->bytes, sizeof(uint64_t)) &&
	       copy_field(copy, off->txn_node + 8, &txn->next, sizeof(uint64_t)) &&
	       txn->xid >= FIRST_NORMAL_XID;
}

/* Changes of its subtransactions are its own. `left`: how many more are looked at. */
static bool add_subtxns(const struct ws_decoding_place *place, uint64_t node, struct txn *txn,
			uint32_t *left)
{
	uint64_t head = node - place->off->txn_node + place->off->txn_subtxns, at;
	struct txn sub;

	if (!txn->subtxns)
		return true;
	for (at = pointer_at(place, head, 8); at && at != head && *left; at = sub.next) {
		if (!read_txn(place, at, &sub))
			return false;
		--*left;
		txn->changes += sub.changes;
		txn->flags |= sub.flags & (RBTXN_IS_SERIALIZED | RBTXN_IS_SERIALIZED_CLEAR);
		/* Up to 13 nothing sums them up. */
		if (place->off->txn_total_size == WS_UNKNOWN)
			txn->bytes += sub.bytes;
	}
	return at != 0;
}

/* It was handed out with its PREPARE: nothing is left of it but that it has not ended. */
static bool waits_prepared(const struct txn *txn)
{
	return txn->flags & RBTXN_PREPARED && !txn->changes && !txn->bytes;
}

static bool is_output(const struct txn *txn)
{
	return txn->end_lsn && !waits_prepared(txn);
}

/* The one whose end was decoded is being handed out; else the one with the most changes counts. */
static bool is_more(const struct txn *a, const struct txn *b)
{
	if (is_output(a) != is_output(b))
		return is_output(a);
	return a->changes != b->changes ? a->changes > b->changes : a->bytes > b->bytes;
}

static void tell_txn(const struct ws_decoding_place *place, uint64_t context, const struct txn *txn,
		     struct ws_rec_decoding *rec)
{
	const struct ws_offsets *off = place->off;
	uint64_t at = pointer_at(place, context, off->logical_write_location);
	uint64_t end = txn->end_lsn ? txn->end_lsn : rec->read_lsn;
	uint32_t written = 0;

	rec->txn_xid = txn->xid;
	rec->txn_first_lsn = txn->first_lsn;
	rec->txn_end_lsn = txn->end_lsn;
	rec->txn_changes = txn->changes;
	rec->txn_bytes = txn->bytes;
	rec->txn_subtxns = txn->subtxns;
	if (txn->flags & (RBTXN_IS_SERIALIZED | RBTXN_IS_SERIALIZED_CLEAR))
		rec->txn_flags |= WS_TXN_SPILLED;
	if (txn->flags & RBTXN_IS_STREAMED)
		rec->txn_flags |= WS_TXN_STREAMED;
	if (waits_prepared(txn))
		rec->txn_flags |= WS_TXN_PREPARED;
	if (is_output(txn))
		rec->txn_flags |= WS_TXN_OUTPUT;
	if (read_at(place, context, off->logical_write_xid, &written, sizeof(written)) &&
	    written == txn->xid && at >= txn->first_lsn && at <= end)
		rec->txn_at_lsn = at;
}

/* The list is in the order of first records, and changes while it is read: one that leads elsewhere
 * says nothing. */
static void read_txns(const struct ws_decoding_place *place, uint64_t context, uint64_t reorder,
		      struct ws_rec_decoding *rec)
{
	const struct ws_offsets *off = place->off;
	uint64_t head = reorder + off->reorder_toplevel, node;
	struct txn txn, most = { 0 }, oldest = { 0 };
	uint32_t count = 0, left = SUBTXNS_MAX;

	if (off->reorder_toplevel == WS_UNKNOWN || off->txn_node == WS_UNKNOWN)
		return;
	for (node = pointer_at(place, head, 8); node && node != head; node = txn.next) {
		if (count == TXNS_MAX || !read_txn(place, node, &txn) ||
		    !add_subtxns(place, node, &txn, &left))
			return;
		if (!count++)
			oldest = txn;
		if (!most.xid || is_more(&txn, &most))
			most = txn;
	}
	rec->valid |= WS_DECODING_TXNS;
	rec->open_txns = count;
	if (!count)
		return;
	rec->oldest_xid = oldest.xid;
	rec->oldest_lsn = oldest.first_lsn;
	tell_txn(place, context, &most, rec);
}

static void read_snapshot(const struct ws_decoding_place *place, uint64_t context,
			  struct ws_rec_decoding *rec)
{
	uint64_t builder = pointer_at(place, context, place->off->logical_snapshot_builder);
	int32_t state; /* struct SnapBuild begins with it: 10 to 18 */

	if (builder && ws_memory_read(place->pid, builder, &state, sizeof(state)) && state >= -1 &&
	    state <= 2)
		rec->snapshot = (uint32_t)(state + 2);
}

bool ws_decoding_read(const struct ws_decoding_place *place, uint64_t context, bool snapshot,
		      struct ws_rec_decoding *rec)
{
	const struct ws_offsets *off = place->off;
	uint64_t reader, reorder, slot = own_slot(place);

	if (!slot || !read_slot(place, slot, rec))
		return false;
	if (!context)
		return true;
	reader = pointer_at(place, context, off->logical_reader);
	reorder = pointer_at(place, context, off->logical_reorder);
	if (reader && read_at(place, reader, off->reader_end, &rec->read_lsn, sizeof(uint64_t)))
		rec->valid |= WS_DECODING_READ;
	if (snapshot)
		read_snapshot(place, context, rec);
	if (!reorder)
		return true;
	read_at(place, context, off->logical_write_xid, &rec->output_xid, sizeof(uint32_t));
	if (read_at(place, reorder, off->reorder_size, &rec->buffer_bytes, sizeof(uint64_t)))
		rec->valid |= WS_DECODING_BUFFER;
	read_txns(place, context, reorder, rec);
	return true;
}

/* A transaction that was spilled before says so itself. Which of its subtransactions were is not
 * known: not of all a look is taken, and the programs see one when it is spilled itself. Of one of
 * more transactions at a time than are kept apart nothing is known either. */
void ws_decoding_spilled(const struct ws_decoding *sums, uint64_t since_lsn,
			 struct ws_rec_decoding *rec)
{
	const struct ws_spilled *spilled = NULL;

	if (!rec->txn_xid || (rec->txn_subtxns && rec->txn_first_lsn < since_lsn))
		return;
	for (size_t i = 0; i < WS_SPILLED_MAX; i++)
		if (sums->spilled[i].xid == rec->txn_xid)
			spilled = &sums->spilled[i];
	if (spilled ? spilled->partly : rec->txn_flags & WS_TXN_SPILLED)
		return;
	/* It may have lost its place, and of its subtransactions none says so itself. */
	if (!spilled && rec->txn_subtxns && sums->forgotten &&
	    (int32_t)(rec->txn_xid - sums->forgotten) <= 0)
		return;
	rec->txn_spill_bytes = spilled ? spilled->bytes : 0;
	rec->valid |= WS_DECODING_TXN_SPILL;
}
