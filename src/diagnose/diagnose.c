/* SPDX-License-Identifier: BSD-2-Clause */
/* Lets the rules look: at each session, at groups of them, at each server. */
#include "diagnose/diagnose.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

/* Not what follows from whatever is wrong. */
static bool is_cause(const struct ws_rule *rule)
{
	return rule->rank < WS_RANK_HEALTHY && rule->verdict != WS_VERDICT_FALLING_BEHIND &&
	       rule->verdict != WS_VERDICT_CATCHING_UP &&
	       rule->verdict != WS_VERDICT_INSUFFICIENT_DATA;
}

/* A cause of its own beside the verdict; no text: there is none. */
struct beside {
	enum ws_verdict verdict;
	struct ws_finding finding;
};

/* The first rule that fits is the verdict, and of the others the first that is a cause of its own
 * is put beside it. False: none does. */
static bool judge(const struct ws_case *c, struct ws_explained *e, struct beside *beside)
{
	uint64_t fit = 0; /* verdicts, as bits */
	size_t count;
	const struct ws_rule *rules = ws_rules(&count);

	for (size_t i = 0; i < count; i++) {
		struct ws_finding finding = { .advice = rules[i].advice };
		bool of_its_own = is_cause(&rules[i]) && !(rules[i].follows & fit), any = fit;

		/* What is healthy is so only if nothing else fits. */
		if (!(rules[i].scopes & c->scope) ||
		    (any && (rules[i].rank == WS_RANK_HEALTHY ||
			     rules[i].verdict == WS_VERDICT_INSUFFICIENT_DATA)) ||
		    !rules[i].fits(c, &finding))
			continue;
		fit |= WS_VERDICT_BIT(rules[i].verdict);
		if (any) {
			e->also[e->also_count++] = rules[i].verdict;
			if (!beside->finding.text[0] && of_its_own)
				*beside = (struct beside){ rules[i].verdict, finding };
			continue;
		}
		e->verdict = rules[i].verdict;
		e->finding = finding;
		if (rules[i].rank == WS_RANK_DATA)
			break; /* nothing else can be said */
	}
	return fit;
}

static bool has_fact(const struct ws_finding *f, const char *fact)
{
	for (size_t i = 0; i < f->fact_count; i++)
		if (strcmp(f->facts[i].fact, fact) == 0)
			return true;
	return false;
}

/* What the second cause is said by, as far as there is room: a fact of the verdict keeps its name.
 */
static void add_facts(const struct ws_finding *from, struct ws_finding *f)
{
	for (size_t i = 0; i < from->fact_count && f->fact_count < WS_FACTS_MAX; i++)
		if (!has_fact(f, from->facts[i].fact))
			f->facts[f->fact_count++] = from->facts[i];
}

/* Behind all that is said of the verdict itself. What to do about the second cause is left out
 * where it is nothing else, or the room is needed to say what it is. */
static void say_beside(const struct beside *beside, struct ws_finding *f)
{
	if (!beside->finding.text[0])
		return;
	ws_say(f, " Beside this, %s: %s", ws_verdict_name(beside->verdict), beside->finding.text);
	add_facts(&beside->finding, f);
	if (strcmp(beside->finding.advice, f->advice) != 0 &&
	    strlen(f->text) + 1 + strlen(beside->finding.advice) < sizeof(f->text))
		ws_say(f, " %s", beside->finding.advice);
}

static uint64_t end_of(const struct ws_diagnosis *d, const struct ws_session *s)
{
	uint64_t end = s->end_ns ? s->end_ns : s->accounted_ns;

	return end < d->to_ns ? end : d->to_ns;
}

static void add_times(const struct ws_diagnosis *d, const struct ws_session *s,
		      struct ws_explained *e)
{
	uint64_t from = s->begin_ns > d->from_ns ? s->begin_ns : d->from_ns, to = end_of(d, s);

	e->wall_ns += to > from ? to - from : 0;
	for (int i = 0; i < WS_STATE_COUNT; i++) {
		e->state_ns[i] += s->state_ns[i];
		e->accounted_ns += s->state_ns[i];
	}
}

static void set_times(const struct ws_diagnosis *d, struct ws_explained *e, struct ws_case *c)
{
	for (size_t i = 0; i < e->session_count; i++)
		add_times(d, e->sessions[i], e);
	c->diagnosis = d;
	c->scope = e->scope;
	c->from_ns = e->from_ns;
	c->to_ns = e->to_ns;
	c->wall_ns = e->wall_ns;
	c->accounted_ns = e->accounted_ns;
	c->lost_ns = e->state_ns[WS_STATE_LOST];
	c->state_ns = e->state_ns;
}

/* One that ends behind the window goes on, and of why it will end nothing is known. */
static const struct ws_track *track_of(struct ws_diagnosis *d, const struct ws_session *s)
{
	struct ws_track *t = ws_track_find(d, s->pid, s->start_ns);
	bool ended = s->end_ns && s->end_ns < d->to_ns;

	if (!t)
		return NULL;
	t->ended_ns = ended ? s->end_ns : 0;
	t->ended_by = ended ? s->exit_reason : WS_END_NONE;
	return t;
}

static const struct ws_server_track *server_of(const struct ws_diagnosis *d, uint32_t pid)
{
	for (size_t i = 0; pid && i < d->server_count; i++)
		if (d->servers[i].pid == pid)
			return &d->servers[i];
	return NULL;
}

/* Where what is known of a session ends: what is lost up to the end, as of a recording that was cut
 * off, says nothing of how long anything has lasted. */
static uint64_t known_end(const struct ws_track *t, const struct ws_explained *e)
{
	uint64_t lost_ns = t->s && t->s->state == WS_STATE_LOST ? t->s->state_since_ns : e->to_ns;

	lost_ns = lost_ns > t->last_ns ? lost_ns : t->last_ns;
	lost_ns = lost_ns > e->from_ns ? lost_ns : e->from_ns;
	return lost_ns < e->to_ns ? lost_ns : e->to_ns;
}

void ws_diagnosis_look_at(struct ws_diagnosis *d, const struct ws_session *const *s_at,
			  struct ws_explained *e)
{
	const struct ws_session *s = *s_at;
	struct ws_case c = { .s = s,
			     .t = track_of(d, s),
			     .server = server_of(d, s->postmaster_pid) };
	struct beside beside = { 0 };
	static const struct ws_standing unknown;
	static const struct ws_track nothing = { .standing = &unknown };

	if (!c.t)
		c.t = &nothing;
	*e = (struct ws_explained){ .scope = WS_SCOPE_SESSION,
				    .session = s,
				    .sessions = s_at,
				    .session_count = 1,
				    .postmaster_pid = s->postmaster_pid };
	e->from_ns = s->begin_ns > d->from_ns ? s->begin_ns : d->from_ns;
	e->to_ns = end_of(d, s);
	set_times(d, e, &c);
	c.to_ns = known_end(c.t, e);
	judge(&c, e, &beside);
	ws_say_failover_standby(d, &c, e);
	c.to_ns = e->to_ns;
	ws_say_remarks(&c, e);
	say_beside(&beside, &e->finding);
}

static int explain_session(struct ws_diagnosis *d, const struct ws_session *s, ws_explain_fn fn,
			   void *arg)
{
	const struct ws_track *t = track_of(d, s);
	struct ws_explained e;

	ws_diagnosis_look_at(d, &s, &e);
	/* Not there: the cluster's own sentence takes up what is said of a session. */
	if (t)
		ws_say_commits_wait(d, t, server_of(d, s->postmaster_pid), &e);
	return fn(arg, &e);
}

/* Sessions and their tracks, that belong together. */
struct members {
	const struct ws_session **sessions;
	const struct ws_track **tracks;
	size_t count;
};

static int members_init(struct members *m, size_t count)
{
	m->sessions = calloc(count + 1, sizeof(*m->sessions));
	m->tracks = calloc(count + 1, sizeof(*m->tracks));
	return m->sessions && m->tracks ? 0 : -1;
}

static void members_deinit(struct members *m)
{
	free(m->sessions);
	free(m->tracks);
}

static void members_add(struct members *m, struct ws_diagnosis *d, const struct ws_session *s)
{
	const struct ws_track *t = track_of(d, s);

	if (!t)
		return;
	m->sessions[m->count] = s;
	m->tracks[m->count++] = t;
}

static int explain_members(struct ws_diagnosis *d, const struct members *m, struct ws_explained *e,
			   const struct ws_server_track *server, ws_explain_fn fn, void *arg)
{
	bool judged;
	struct beside beside = { 0 };
	struct ws_case c = { .members = m->tracks, .member_count = m->count, .server = server };

	e->sessions = m->sessions;
	e->session_count = m->count;
	e->from_ns = d->from_ns ? d->from_ns : d->first_ns;
	e->to_ns = d->to_ns < d->last_ns ? d->to_ns : d->last_ns;
	set_times(d, e, &c);
	judged = judge(&c, e, &beside);
	say_beside(&beside, &e->finding);
	if (server)
		judged = ws_sync_kept_waiting(d, &c, judged, e);
	return judged ? fn(arg, e) : 0;
}

/* To be put into groups. */
struct placed {
	const struct ws_session *s;
	uint32_t line; /* of its server: to be looked for once, not each time it is compared */
};

/* What a group has in common: the slot if there is one, else application and client; and the
 * server, however often that was started. */
static int by_group(const struct placed *a, const struct placed *b)
{
	const struct ws_session *x = a->s, *y = b->s;
	int rc;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	rc = strncmp(x->slot, y->slot, sizeof(x->slot));
	if (rc || x->slot[0])
		return rc;
	rc = strncmp(x->application, y->application, sizeof(x->application));
	return rc ? rc : strncmp(x->host, y->host, sizeof(x->host));
}

static int by_group_and_start(const void *a, const void *b)
{
	const struct ws_session *x = ((const struct placed *)a)->s;
	const struct ws_session *y = ((const struct placed *)b)->s;
	int rc = by_group(a, b);

	if (rc)
		return rc;
	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static bool has_name(const struct ws_session *s)
{
	return s->slot[0] || s->application[0] || s->host[0];
}

static int explain_groups(struct ws_diagnosis *d, const struct ws_session *const *sessions,
			  size_t count, ws_explain_fn fn, void *arg)
{
	struct members m = { 0 };
	ws_autofree struct placed *sorted = calloc(count + 1, sizeof(*sorted));
	int rc = sorted && members_init(&m, count) == 0 ? 0 : -1;
	size_t next;

	if (rc == 0 && count) {
		ws_lines_draw(d, sessions, count);
		for (size_t i = 0; i < count; i++)
			sorted[i] = (struct placed){ sessions[i], ws_line_of(d, sessions[i]) };
		qsort(sorted, count, sizeof(*sorted), by_group_and_start);
	}
	for (size_t i = 0; i < count && rc == 0; i = next) {
		const struct ws_session *s = sorted[i].s;
		struct ws_explained e = { .scope = WS_SCOPE_GROUP,
					  .name = s->slot[0] ? s->slot : s->application };

		m.count = 0;
		for (next = i; next < count && by_group(&sorted[i], &sorted[next]) == 0; next++)
			members_add(&m, d, sorted[next].s);
		e.postmaster_pid = sorted[next - 1].s->postmaster_pid;
		if (m.count && has_name(s))
			rc = explain_members(d, &m, &e, NULL, fn, arg);
	}
	members_deinit(&m);
	return rc;
}

/* pg_%u_sync_%u_%llu: the subscription, the table, the publisher's system (tablesync.c,
 * ReplicationSlotNameForTablesync, 14 and later). Such a worker's slot and application. */
static bool sync_name(const char *name, unsigned long *subscription)
{
	char *end;

	if (strncmp(name, "pg_", 3) != 0 || name[3] < '0' || name[3] > '9')
		return false;
	*subscription = strtoul(name + 3, &end, 10);
	return strncmp(end, "_sync_", 6) == 0;
}

static bool is_sync_worker(const struct ws_session *s, unsigned long *subscription)
{
	return s->slot[0] ? sync_name(s->slot, subscription)
			  : sync_name(s->application, subscription);
}

static bool same_subscriber(const struct ws_session *a, const struct ws_session *b)
{
	return a->postmaster_pid == b->postmaster_pid && strcmp(a->host, b->host) == 0 &&
	       strcmp(a->user, b->user) == 0 && strcmp(a->database_name, b->database_name) == 0;
}

/*
 * The publisher is told no name that the workers of one subscription share with the one that
 * applies changes. But that one runs as long as they do, with the same connection string, so that
 * it is among the apply workers of that host, user and database. Of several it is the only one for
 * the publications that a worker has named.
 */
static const struct ws_session *apply_worker(struct ws_diagnosis *d,
					     const struct ws_session *const *sessions, size_t count,
					     const struct ws_session *worker, uint64_t publications)
{
	const struct ws_session *found = NULL, *agrees = NULL;
	size_t possible = 0, agree = 0;

	for (size_t i = 0; i < count; i++) {
		const struct ws_session *s = sessions[i];
		const struct ws_track *t = track_of(d, s);
		uint64_t its = t ? t->publications : 0;

		if (s->program != WS_PROGRAM_APPLY_WORKER || !t || t->ended_ns ||
		    !same_subscriber(s, worker) || (its && publications && its != publications))
			continue;
		found = s;
		possible++;
		if (its && publications) {
			agrees = s;
			agree++;
		}
	}
	return agree == 1 ? agrees : possible == 1 ? found : NULL;
}

/* Workers that copy tables come and go, each with a slot of its own: the subscription is what they
 * have in common. */
static int explain_subscriptions(struct ws_diagnosis *d, const struct ws_session *const *sessions,
				 size_t count, ws_explain_fn fn, void *arg)
{
	struct members m = { 0 };
	int rc = members_init(&m, count + 1);

	for (size_t i = 0; i < count && rc == 0; i++) {
		const struct ws_session *first = sessions[i], *apply;
		struct ws_explained e = { .scope = WS_SCOPE_SUBSCRIPTION,
					  .postmaster_pid = first->postmaster_pid };
		unsigned long subscription, other;
		uint64_t publications;
		bool told = false;

		if (!is_sync_worker(first, &subscription))
			continue;
		for (size_t j = 0; j < i && !told; j++)
			told = sessions[j]->postmaster_pid == first->postmaster_pid &&
			       is_sync_worker(sessions[j], &other) && other == subscription;
		if (told)
			continue;
		m.count = 0;
		publications = 0;
		for (size_t j = i; j < count; j++) {
			const struct ws_track *t = track_of(d, sessions[j]);

			if (sessions[j]->postmaster_pid != first->postmaster_pid ||
			    !is_sync_worker(sessions[j], &other) || other != subscription)
				continue;
			members_add(&m, d, sessions[j]);
			if (t && t->publications)
				publications = t->publications;
		}
		apply = apply_worker(d, sessions, count, first, publications);
		if (apply)
			members_add(&m, d, apply);
		e.name = apply ? apply->slot : first->slot[0] ? first->slot : first->application;
		if (m.count)
			rc = explain_members(d, &m, &e, NULL, fn, arg);
	}
	members_deinit(&m);
	return rc;
}

static int explain_clusters(struct ws_diagnosis *d, const struct ws_session *const *sessions,
			    size_t count, bool all, ws_explain_fn fn, void *arg)
{
	struct members m = { 0 };
	int rc = members_init(&m, count);

	for (size_t i = 0; i < d->server_count && rc == 0; i++) {
		const struct ws_server_track *server = &d->servers[i];
		struct ws_explained e = { .scope = WS_SCOPE_CLUSTER,
					  .postmaster_pid = server->pid };

		m.count = 0;
		for (size_t s = 0; s < count; s++)
			if (sessions[s]->postmaster_pid == server->pid)
				members_add(&m, d, sessions[s]);
		if (m.count || all)
			rc = explain_members(d, &m, &e, server, fn, arg);
	}
	members_deinit(&m);
	return rc;
}

int ws_diagnosis_explain(struct ws_diagnosis *d, const struct ws_session *const *sessions,
			 size_t count, bool all_clusters, ws_explain_fn fn, void *arg)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = explain_session(d, sessions[i], fn, arg);
	if (rc == 0)
		rc = explain_groups(d, sessions, count, fn, arg);
	if (rc == 0)
		rc = explain_subscriptions(d, sessions, count, fn, arg);
	if (rc == 0)
		rc = explain_clusters(d, sessions, count, all_clusters, fn, arg);
	return rc;
}
