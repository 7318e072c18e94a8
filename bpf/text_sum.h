/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * text_sum.h: true length and hash of a text of which not all is sent.
 *
 * The text is read piece by piece into an entry of the map `scratch`: not through the ring, which a
 * discarded reservation fills all the same, nor into per-CPU memory, since a uprobe program can be
 * preempted by another one on the same CPU. Global functions with scalar arguments (all that 5.10
 * takes): the verifier goes through each once, so that 1 GiB costs it no more than 2 kB.
 */
#ifndef WS_TEXT_SUM_H
#define WS_TEXT_SUM_H

#include "server.h"
#include "xxh64.h"

#define WS_SUM_BLOCK   2048 /* hashed by one call */
#define WS_SUM_BLOCKS  (WS_SUM_PIECE / WS_SUM_BLOCK)
#define WS_SUM_STRIPES (WS_SUM_BLOCK / WS_XXH64_STRIPE)
/* 256 runs of 256 pieces: PostgreSQL takes no message of 1 GiB (MaxAllocSize, memutils.h) */
#define WS_SUM_RUN  256
#define WS_SUM_RUNS 256

/* What an entry starts from; too big for a program's stack. */
const struct ws_scratch empty_scratch = {};

/* Hashes the whole stripes of one block of the piece. */
__noinline int text_sum_block(__u32 pid, __u32 block)
{
	struct ws_scratch *s = bpf_map_lookup_elem(&scratch, &pid);
	__u32 at = (block & (WS_SUM_BLOCKS - 1)) * WS_SUM_BLOCK, i;
	__u64 a, b, c, d, *in;

	if (!s)
		return 0;
	in = (__u64 *)(s->data + at);
	a = s->lanes[0];
	b = s->lanes[1];
	c = s->lanes[2];
	d = s->lanes[3];
	for (i = 0; i < WS_SUM_STRIPES && at + WS_XXH64_STRIPE <= s->have; i++) {
		a = ws_xxh64_round(a, in[4 * i]);
		b = ws_xxh64_round(b, in[4 * i + 1]);
		c = ws_xxh64_round(c, in[4 * i + 2]);
		d = ws_xxh64_round(d, in[4 * i + 3]);
		at += WS_XXH64_STRIPE;
	}
	s->lanes[0] = a;
	s->lanes[1] = b;
	s->lanes[2] = c;
	s->lanes[3] = d;
	return 0;
}

enum sum_result { SUM_GOES_ON = 0, SUM_WHOLE = 1, SUM_FAILED = 2 };

/* Reads and hashes the piece at `from`: exactly WS_SUM_PIECE bytes, unless the text ends there. */
__noinline int text_sum_piece(__u32 pid, __u64 from)
{
	struct ws_scratch *s = bpf_map_lookup_elem(&scratch, &pid);
	__u32 i, have;
	long n;

	if (!s)
		return SUM_FAILED;
	n = bpf_probe_read_user_str(s->data, WS_SUM_PIECE + 1, (const void *)from);
	if (n < 0)
		return SUM_FAILED;
	/* an empty string is one byte to current kernels, and none to 5.10 and 6.1 */
	have = n > 0 ? n - 1 : 0;
	s->have = have;
	s->len += have;
	for (i = 0; i < WS_SUM_BLOCKS; i++)
		text_sum_block(pid, i);
	return n == WS_SUM_PIECE + 1 ? SUM_GOES_ON : SUM_WHOLE;
}

__noinline int text_sum_run(__u32 pid, __u64 from)
{
	int i, rc;

	for (i = 0; i < WS_SUM_RUN; i++) {
		rc = text_sum_piece(pid, from);
		if (rc != SUM_GOES_ON)
			return rc;
		from += WS_SUM_PIECE;
	}
	return SUM_GOES_ON;
}

/* Tells what was measured. The tail lies behind the piece's last whole stripe: all pieces but the
 * last are whole stripes. */
static __always_inline void text_sum_emit(struct ws_entry *e, __u32 pid, __u32 of,
					  const struct ws_scratch *s)
{
	struct ws_rec_text_sum *r = bpf_ringbuf_reserve(&rb, sizeof(*r), 0);

	account(e, WS_KIND_TEXT_SUM, !r);
	if (!r) {
		e->seq++;
		return;
	}
	fill_head(&r->h, e, pid, WS_KIND_TEXT_SUM, sizeof(*r), bpf_ktime_get_ns());
	r->h.flags = WS_TEXT_SUM_HASH;
	r->of = of;
	r->reserved = 0;
	r->len = s->len;
	r->hash = 0;
	__builtin_memcpy(r->lanes, s->lanes, sizeof(r->lanes));
	__builtin_memcpy(r->tail, s->data + (s->have & (WS_SUM_PIECE - WS_XXH64_STRIPE)),
			 sizeof(r->tail));
	bpf_ringbuf_submit(r, wake_flags_reserved(sizeof(*r)));
}

/* Measures the C string at `from`, and tells if it is longer than what is sent of it. */
__noinline int text_sum(__u32 pid, __u32 of, __u64 from)
{
	struct ws_entry *e = bpf_map_lookup_elem(&sessions, &pid);
	int rc = SUM_GOES_ON, i;
	struct ws_scratch *s;

	if (!e || bpf_map_update_elem(&scratch, &pid, &empty_scratch, BPF_ANY))
		return 0;
	s = bpf_map_lookup_elem(&scratch, &pid);
	if (!s)
		return 0;
	ws_xxh64_begin(s->lanes);
	for (i = 0; i < WS_SUM_RUNS && rc == SUM_GOES_ON; i++) {
		rc = text_sum_run(pid, from);
		from += (__u64)WS_SUM_RUN * WS_SUM_PIECE;
	}
	if (rc == SUM_WHOLE && s->len > WS_TEXT_MAX)
		text_sum_emit(e, pid, of, s);
	bpf_map_delete_elem(&scratch, &pid);
	return 0;
}

#endif
