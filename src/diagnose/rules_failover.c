/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walsender of a failover slot holds its output back until the standbys whose slots are in
 * synchronized_standby_slots have confirmed it (17 and later; WalSndWaitForWal, walsender.c). What
 * is wrong is with one of these, and which, the server's records of that time say.
 */
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

#define TAKE_OUT "take it out of synchronized_standby_slots; a reload is enough."

static const struct {
	const char *is, *was;
	const char *advice;
} whys[] = {
	[WS_STANDBY_BEHIND] = { "its standby has not confirmed that much", "its standby was late",
				"Until that standby confirms, failover slots do not go ahead of "
				"it: see what its own walsender's account says. If it is not to "
				"come back soon, take its slot out of synchronized_standby_slots "
				"(a reload is enough): subscribers may then be ahead "
				"of it after a failover." },
	[WS_STANDBY_MISSING] = { "there is no such slot", "there was no such slot",
				 "Make the slot (pg_create_physical_replication_slot) and name "
				 "it in its standby's primary_slot_name, or " TAKE_OUT },
	[WS_STANDBY_LOGICAL] = { "it is a logical slot, which never counts",
				 "it was a logical slot, which never counts",
				 "Name the physical slot that the standby streams from instead, "
				 "or " TAKE_OUT },
	[WS_STANDBY_INVALID] = { "it is invalidated", "it was invalidated",
				 "That slot is lost: its standby has to be rebuilt, or to get "
				 "its WAL elsewhere, with a slot made anew. Meanwhile " TAKE_OUT },
	[WS_STANDBY_INACTIVE] = { "no standby streams from it", "no standby streamed from it",
				  "Start that standby again, and see that its primary_slot_name "
				  "is this slot; or, if it is not to come back soon, " TAKE_OUT },
};

static bool waits(const struct ws_case *c)
{
	return !c->t->ended_ns && c->t->standing->state == WS_STATE_WAIT_STANDBY;
}

/* What it waits for, or has waited for last; slot "": that is not known. */
static struct ws_standby_wait awaited(const struct ws_case *c)
{
	const struct ws_rec_cluster *r = c->server ? &c->server->cluster : NULL;
	struct ws_standby_wait wait = c->t->standby_wait;

	if (!wait.slot[0] && r && c->server->has_cluster && waits(c))
		ws_standby_wait_take(&wait, r);
	return wait;
}

static void say_slot(const struct ws_case *c, const struct ws_standby_wait *wait,
		     struct ws_finding *f)
{
	uint64_t until = c->t->standby_until_ns;
	uint64_t goes_on = !waits(c) && until && c->to_ns > until ? c->to_ns - until : 0;
	char text[WS_DURATION_TEXT], lsn[WS_LSN_TEXT];

	f->advice = whys[wait->why].advice;
	ws_fact_text(f, "waits_for_slot", wait->slot);
	ws_fact_lsn(f, "slot_confirmed", wait->lsn);
	ws_say(f,
	       "For %s this session held its output back until slot %s, which is in "
	       "synchronized_standby_slots, %s it: %s (it %s confirmed %s).",
	       ws_duration_format(c->state_ns[WS_STATE_WAIT_STANDBY], text), wait->slot,
	       waits(c) ? "confirms" : "had confirmed",
	       waits(c) ? whys[wait->why].is : whys[wait->why].was, waits(c) ? "has" : "had",
	       wait->lsn ? ws_lsn_format(wait->lsn, lsn) : "nothing");
	if (goes_on < ws_limit_ns(WS_LIMIT_LASTING))
		return;
	f->advice = "That wait is over. See what the standby did then.";
	ws_fact(f, "over_for", goes_on, "ns");
	ws_say(f, " That is over for %s.", ws_duration_format(goes_on, text));
}

WS_RULE(failover_slot_wait)
{
	struct ws_standby_wait wait = awaited(c);
	char text[WS_DURATION_TEXT];

	if (!ws_case_dominates(c, WS_STATE_WAIT_STANDBY))
		return false;
	f->confidence = 0.9;
	ws_fact_share(c, f, WS_STATE_WAIT_STANDBY);
	ws_fact_lsn(f, "sent", c->t->standing->sent_lsn);
	if (wait.slot[0] && wait.why < WS_ARRAY_SIZE(whys)) {
		say_slot(c, &wait, f);
		return true;
	}
	ws_say(f,
	       "For %s this session held its output back until the standbys of "
	       "synchronized_standby_slots confirm; which of them it waits for cannot be told "
	       "from here.",
	       ws_duration_format(c->state_ns[WS_STATE_WAIT_STANDBY], text));
	return true;
}

/* The session that streams from a slot, and its account; NULL: none is known. */
static const struct ws_track *streams_from(struct ws_diagnosis *d, const struct ws_session *of,
					   const char *slot, struct ws_explained *e)
{
	for (size_t i = 0; i < d->track_count; i++) {
		const struct ws_track *t = d->tracks[i];

		if (t->s->postmaster_pid != of->postmaster_pid ||
		    t->s->kind != WS_SESSION_KIND_PHYSICAL || strcmp(t->s->slot, slot) != 0)
			continue;
		ws_diagnosis_look_at(d, &t->s, e);
		if (ws_track_streams(t))
			return t;
	}
	return NULL;
}

/* It is well by itself: then it is how late it confirms. */
static void say_late(const struct ws_track *t, struct ws_finding *f)
{
	const struct ws_hist *lag = &t->s->hist[WS_METRIC_FLUSH_LAG_NS];
	uint64_t median = ws_hist_quantile(lag, 0.5);
	char text[WS_DURATION_TEXT];

	if ((double)lag->count >= ws_limit(WS_LIMIT_REPLIES)) {
		ws_fact(f, "standby_flush_lag_median", median, "ns");
		ws_say(f, ", and confirms WAL %s after it was sent",
		       ws_duration_format(median, text));
		if (median >= ws_limit_ns(WS_LIMIT_FLUSH_LAG))
			f->advice = "Failover slots go as fast as that standby confirms: look at "
				    "the disk of its pg_wal (latency of fsync), and at the way to "
				    "it. Others of synchronized_standby_slots wait their turn.";
	}
	ws_say(f, ".");
}

void ws_say_failover_standby(struct ws_diagnosis *d, const struct ws_case *c,
			     struct ws_explained *e)
{
	struct ws_standby_wait wait = awaited(c);
	char id[WS_SESSION_ID_TEXT];
	struct ws_explained why;
	const struct ws_track *t;
	struct ws_finding *f = &e->finding;

	if (e->verdict != WS_VERDICT_FAILOVER_SLOT_WAIT || !wait.slot[0])
		return;
	t = streams_from(d, c->s, wait.slot, &why);
	if (!t)
		return;
	ws_fact_text(f, "standby", t->s->application);
	ws_fact_text(f, "standby_session", ws_session_id(t->s, id));
	ws_say(f, " Walsender %u", t->s->pid);
	if (t->s->application[0])
		ws_say(f, " (%s)", t->s->application);
	ws_say(f, " streams from it");
	switch (why.verdict) {
	case WS_VERDICT_HEALTHY_IDLE:
	case WS_VERDICT_HEALTHY_STREAMING:
		say_late(t, f);
		break;
	case WS_VERDICT_INSUFFICIENT_DATA:
		ws_say(f, ".");
		break;
	default:
		ws_fact_text(f, "standby_verdict", ws_verdict_name(why.verdict));
		ws_say(f, ", and what is wrong with that is %s.", ws_verdict_name(why.verdict));
		break;
	}
}
