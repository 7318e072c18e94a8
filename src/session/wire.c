/* SPDX-License-Identifier: BSD-2-Clause */
/* What went over the wire: messages, and bytes as the socket counts them. */
#include "session/machine.h"

/*
 * XLogData messages. A call of XLogSendPhysical that moves sentPtr sends one, and no record holds
 * two such calls (bpf/on_loop.h); what moved without a call was sent before the sites were planted.
 * Those of logical replication are counted at level 3, where XLogSendLogical begins by reading.
 */
void ws_wire_turn(struct ws_machine *m, const struct ws_rec_turn *r)
{
	struct ws_session *s = &m->s;
	uint32_t sends = 0;

	if (r->h.flags & WS_TURN_LOGICAL) {
		s->has_sends |= m->in_loop && (r->stage_ns[WS_STAGE_READ] || r->messages);
		sends = m->in_loop ? r->messages : 0;
	} else if (m->in_loop) {
		s->has_sends = true;
		sends = r->sends && r->lsn_from && r->lsn_to > r->lsn_from;
	}
	if (m->model->inside)
		s->sends += sends;
}

/* Bytes count in the window in which the sample lies that shows them, as turns do. */
void ws_wire_sample(struct ws_machine *m, uint64_t wire, uint64_t acked)
{
	struct ws_session *s = &m->s;

	/* What a session found running had sent before is not counted. */
	if (s->was_running && !m->sampled) {
		m->wire_last = wire;
		m->acked_last = acked;
	}
	m->sampled = true;
	s->has_wire_bytes = true;
	if (wire < m->wire_last || acked < m->acked_last || acked > wire)
		return;
	if (m->model->inside) {
		s->wire_bytes += wire - m->wire_last;
		s->acked_bytes += acked - m->acked_last;
	}
	m->wire_last = wire;
	m->acked_last = acked;
}

void ws_wire_end(struct ws_machine *m, uint64_t wire, uint64_t acked)
{
	/* Of one that was found running and never sampled nobody knows where to count from. */
	if (m->sampled || !m->s.was_running)
		ws_wire_sample(m, wire, acked);
}
