/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * text.h: texts of any length, as a chain of WS_KIND_TEXT records.
 *
 * The verifiers of 5.10 to 6.18 want a constant size for a reservation, so there are two classes: a
 * small first one, which holds nearly every command, and a large one for what goes on. The bytes
 * are read straight into the ring.
 */
#ifndef WS_TEXT_H
#define WS_TEXT_H

#include "text_sum.h"

#define WS_TEXT_CHUNKS (WS_TEXT_MAX / (WS_TEXT_CHUNK - 1))

/* Fills and sends a reserved chunk of `room` bytes; returns how many bytes of text it took if the
 * text goes on behind it, else 0. */
static __always_inline __u32 text_chunk(struct ws_rec_text *t, struct ws_entry *e, __u32 pid,
					__u32 of, __u64 from, __u32 offset, __u32 room, bool last)
{
	long n = bpf_probe_read_user_str(t->data, room, (const void *)(from + offset));
	__u32 len = n > 0 ? n - 1 : 0;
	bool more = n == room;
	__u16 flags = 0;

	if (n < 0) {
		flags = WS_TEXT_LAST | WS_TEXT_UNREADABLE;
		e->unreadable++;
	} else if (!more) {
		flags = WS_TEXT_LAST;
	} else if (last) {
		flags = WS_TEXT_LAST | WS_TEXT_TRUNCATED;
		more = false;
	}
	if (last && offset + len > WS_TEXT_MAX) {
		len = WS_TEXT_MAX - offset;
		flags = WS_TEXT_LAST | WS_TEXT_TRUNCATED;
	}
	fill_head(&t->h, e, pid, WS_KIND_TEXT, sizeof(*t) + len, bpf_ktime_get_ns());
	t->h.flags = flags;
	t->of = of;
	t->offset = offset;
	t->len = len;
	t->reserved = 0;
	account(e, WS_KIND_TEXT, false);
	bpf_ringbuf_submit(t, wake_flags_reserved(sizeof(*t) + room));
	return more ? len : 0;
}

/* A chunk that found no room still takes a number: the reader sees the hole and drops the text. */
static __always_inline void text_lost(struct ws_entry *e)
{
	e->seq++;
	account(e, WS_KIND_TEXT, true);
}

/*
 * Sends the C string at `from` in the process, which is the current one. A global function: the
 * verifier goes through its loop once for a program, not once for each call.
 */
__noinline int emit_text(__u32 pid, __u32 of, __u64 from)
{
	struct ws_entry *e = bpf_map_lookup_elem(&sessions, &pid);
	struct ws_rec_text *t;
	__u32 offset = 0, took, i;

	if (!e)
		return 0;
	t = bpf_ringbuf_reserve(&rb, sizeof(*t) + WS_TEXT_CHUNK_SMALL, 0);
	if (!t) {
		text_lost(e);
		return 0;
	}
	took = text_chunk(t, e, pid, of, from, 0, WS_TEXT_CHUNK_SMALL, false);
	for (i = 0; i < WS_TEXT_CHUNKS && took; i++) {
		offset += took;
		if (i + 1 == WS_TEXT_CHUNKS)
			text_sum(pid, of, from);
		t = bpf_ringbuf_reserve(&rb, sizeof(*t) + WS_TEXT_CHUNK, 0);
		if (!t) {
			text_lost(e);
			return 0;
		}
		took = text_chunk(t, e, pid, of, from, offset, WS_TEXT_CHUNK,
				  i + 1 == WS_TEXT_CHUNKS);
	}
	return 0;
}

#endif
