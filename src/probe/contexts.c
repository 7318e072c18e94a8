/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/contexts.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/util.h"

#define TRIES 3
/* Of MemoryContextData, far enough for all that is read. */
#define RAW_MAX 96
/* isReset and allowInCritSection lie behind the node's tag, in all majors. */
#define TYPE_AT	 0
#define FLAGS_AT 4
/* Numbers of node tags are three digits; no process maps more than 2^47 bytes. */
#define TYPE_MAX  4096
#define BYTES_MAX (1ULL << 47)
#define NOBODY	  UINT32_MAX

/* logical_decoding_work_mem is in kB. */
#define WORK_MEM_UNIT 1024

struct node {
	char raw[RAW_MAX];
	uint64_t at;
	uint32_t parent, depth; /* index of the context that it is in */
	uint32_t name;		/* index, NOBODY: too many are known */
	uint64_t own, whole;
};

/* The contexts of one name. */
struct name {
	uint64_t at; /* where it was read first: a constant, but for 10's */
	char text[WS_CONTEXT_NAME_LEN];
	uint64_t own, whole;
	uint32_t count, largest;
};

struct walk {
	const struct ws_contexts_place *place;
	size_t raw_size;
	struct node *nodes;
	size_t count, cap;
	struct name *names;
	size_t name_count, name_cap;
	bool cut, torn;
};

static uint64_t word(const struct node *node, uint32_t offset)
{
	uint64_t value = 0;

	if (offset != WS_UNKNOWN)
		memcpy(&value, node->raw + offset, sizeof(value));
	return value;
}

/* As far as the last member goes that is known; 0: too little is. */
static size_t raw_size(const struct ws_offsets *off)
{
	const uint32_t all[] = { off->context_parent,	off->context_first_child,
				 off->context_prev,	off->context_next,
				 off->context_name,	off->context_ident,
				 off->context_allocated };
	const size_t needed = 5;
	size_t size = 0;

	for (size_t i = 0; i < WS_ARRAY_SIZE(all); i++) {
		size_t end = (size_t)all[i] + sizeof(uint64_t);

		if (all[i] == WS_UNKNOWN && i >= needed)
			continue;
		if (all[i] == WS_UNKNOWN || end > RAW_MAX)
			return 0;
		size = end > size ? end : size;
	}
	return size;
}

/* What any context is like. */
static bool is_plausible(const struct walk *w, const struct node *node)
{
	const struct ws_offsets *off = w->place->off;
	uint32_t type;

	memcpy(&type, node->raw + TYPE_AT, sizeof(type));
	return type && type < TYPE_MAX && (unsigned char)node->raw[FLAGS_AT] <= 1 &&
	       (unsigned char)node->raw[FLAGS_AT + 1] <= 1 && word(node, off->context_name) &&
	       word(node, off->context_allocated) < BYTES_MAX;
}

/* The context at this address, in `parent`, behind `prev`. */
static uint32_t visit(struct walk *w, uint64_t at, uint32_t parent, uint64_t prev)
{
	const struct ws_offsets *off = w->place->off;
	uint32_t depth = parent == NOBODY ? 0 : w->nodes[parent].depth + 1;
	uint64_t parent_at = parent == NOBODY ? 0 : w->nodes[parent].at;
	struct node *node;

	if (w->count == WS_CONTEXTS_MAX) {
		w->cut = true;
		return NOBODY;
	}
	node = ws_array_grow(&w->nodes, &w->count, &w->cap, sizeof(*node));
	w->torn = !node || !at || at % sizeof(uint64_t) ||
		  !ws_memory_get(w->place->memory, w->place->pid, at, node->raw, w->raw_size) ||
		  !is_plausible(w, node) || word(node, off->context_parent) != parent_at ||
		  word(node, off->context_prev) != prev;
	if (w->torn)
		return NOBODY;
	node->at = at;
	node->parent = parent;
	node->depth = depth;
	return (uint32_t)(w->count - 1);
}

/* Each context, then those in it. None can come twice: it has one parent and one neighbour. */
static bool walk_tree(struct walk *w, uint64_t top)
{
	const struct ws_offsets *off = w->place->off;
	uint32_t at = visit(w, top, NOBODY, 0);

	if (at != NOBODY && word(&w->nodes[at], off->context_next))
		w->torn = true;
	while (at != NOBODY && !w->torn) {
		uint64_t child = word(&w->nodes[at], off->context_first_child), next = 0;

		if (child && w->nodes[at].depth + 1 < WS_CONTEXTS_DEPTH_MAX) {
			at = visit(w, child, at, 0);
			continue;
		}
		w->cut |= child != 0;
		while (at != NOBODY && !(next = word(&w->nodes[at], off->context_next)))
			at = w->nodes[at].parent;
		if (at != NOBODY)
			at = visit(w, next, w->nodes[at].parent, w->nodes[at].at);
	}
	return !w->torn;
}

/* -- names */

static bool is_name(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return len > 0;
}

/* Whole characters: what is none becomes a question mark. */
static size_t tidy(char *text, size_t len)
{
	size_t n;

	len = ws_text_utf8_whole(text, len);
	text[len] = '\0';
	for (size_t i = 0; i < len; i += n) {
		n = ws_text_utf8_len(text + i, len - i);
		if (n)
			continue;
		text[i] = '?';
		n = 1;
	}
	return len;
}

static struct name *name_at(struct walk *w, uint64_t at)
{
	char text[WS_CONTEXT_NAME_LEN];
	struct name *name;
	long len;

	for (size_t i = 0; i < w->name_count; i++)
		if (w->names[i].at == at)
			return &w->names[i];
	len = ws_memory_get_string(w->place->memory, w->place->pid, at, text, sizeof(text), NULL);
	w->torn = len < 0 || !is_name(text, (size_t)len);
	if (w->torn)
		return NULL;
	tidy(text, (size_t)len);
	for (size_t i = 0; i < w->name_count; i++)
		if (!strcmp(w->names[i].text, text))
			return &w->names[i];
	if (w->name_count == WS_CONTEXTS_NAMES_MAX) {
		w->cut = true;
		return NULL;
	}
	name = ws_array_grow(&w->names, &w->name_count, &w->name_cap, sizeof(*name));
	w->torn = !name;
	if (!name)
		return NULL;
	*name = (struct name){ .at = at };
	memcpy(name->text, text, sizeof(text));
	return name;
}

static bool read_names(struct walk *w)
{
	for (size_t i = 0; i < w->count && !w->torn; i++) {
		const struct name *name =
			name_at(w, word(&w->nodes[i], w->place->off->context_name));

		w->nodes[i].name = name ? (uint32_t)(name - w->names) : NOBODY;
	}
	return !w->torn;
}

/* -- sums */

/* Is it in a context of its own name? */
static bool is_nested(const struct walk *w, const struct node *node)
{
	for (uint32_t at = node->parent; at != NOBODY; at = w->nodes[at].parent)
		if (w->nodes[at].name == node->name)
			return true;
	return false;
}

static void sum_up(struct walk *w)
{
	for (size_t i = 0; i < w->count; i++) {
		w->nodes[i].own = word(&w->nodes[i], w->place->off->context_allocated);
		w->nodes[i].whole = w->nodes[i].own;
	}
	/* What is in a context stands behind it. */
	for (size_t i = w->count; i-- > 1;)
		w->nodes[w->nodes[i].parent].whole += w->nodes[i].whole;
	for (size_t i = 0; i < w->count; i++) {
		const struct node *node = &w->nodes[i];
		struct name *name = node->name == NOBODY ? NULL : &w->names[node->name];

		if (!name)
			continue;
		name->own += node->own;
		name->whole += is_nested(w, node) ? 0 : node->whole;
		if (!name->count++ || node->own > w->nodes[name->largest].own)
			name->largest = (uint32_t)i;
	}
}

/* -- the record */

static int by_size(const void *a, const void *b)
{
	const struct name *x = *(const struct name *const *)a, *y = *(const struct name *const *)b;

	if (x->own != y->own)
		return x->own < y->own ? 1 : -1;
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->text, y->text);
}

static const struct name *find_name(const struct walk *w, const char *text)
{
	for (size_t i = 0; i < w->name_count; i++)
		if (!strcmp(w->names[i].text, text))
			return &w->names[i];
	return NULL;
}

/* It may be gone, and another text be there: then the context is not what it was, either. */
static bool read_ident(const struct walk *w, const struct node *node, char out[WS_NAME_LEN])
{
	uint64_t at = word(node, w->place->off->context_ident);
	long len;

	if (!at)
		return true;
	len = ws_memory_get_string(w->place->memory, w->place->pid, at, out, WS_NAME_LEN, NULL);
	if (len < 0)
		return false;
	tidy(out, (size_t)len);
	return true;
}

static const char *name_of(const struct walk *w, uint32_t node)
{
	uint32_t name = node == NOBODY ? NOBODY : w->nodes[node].name;

	return name == NOBODY ? "" : w->names[name].text;
}

static bool tell_name(const struct walk *w, const struct name *name, size_t i,
		      struct ws_rec_memory *rec)
{
	const struct node *largest = &w->nodes[name->largest];

	rec->own[i] = name->own;
	rec->whole[i] = name->whole;
	rec->counts[i] = name->count;
	strcpy(rec->names[i], name->text);
	strcpy(rec->parents[i], name_of(w, largest->parent));
	return !(rec->valid & WS_MEMORY_IDENTS) || read_ident(w, largest, rec->idents[i]);
}

static bool tell_largest(const struct walk *w, struct ws_rec_memory *rec)
{
	const struct name **order = calloc(w->name_count + 1, sizeof(*order));
	bool good = order != NULL;

	for (size_t i = 0; good && i < w->name_count; i++)
		order[i] = &w->names[i];
	if (good)
		qsort(order, w->name_count, sizeof(*order), by_size);
	for (size_t i = 0; good && i < w->name_count && i < WS_CONTEXTS; i++)
		good = tell_name(w, order[i], i, rec);
	free(order);
	return good;
}

static void read_work_mem(const struct ws_contexts_place *place, struct ws_rec_memory *rec)
{
	int32_t kb;

	if (!place->work_mem ||
	    !ws_memory_get(place->memory, place->pid, place->base + place->work_mem, &kb,
			   sizeof(kb)) ||
	    kb <= 0)
		return;
	rec->work_mem_bytes = (uint64_t)kb * WORK_MEM_UNIT;
	rec->valid |= WS_MEMORY_WORK_MEM;
}

static bool tell(const struct walk *w, struct ws_rec_memory *rec)
{
	const struct ws_offsets *off = w->place->off;
	const struct name *reorder = find_name(w, "ReorderBuffer");
	const struct name *cache = find_name(w, "CacheMemoryContext");

	rec->contexts = (uint32_t)w->count;
	rec->h.flags = w->cut ? WS_MEMORY_CUT : 0;
	if (off->context_ident != WS_UNKNOWN && !w->place->no_idents)
		rec->valid |= WS_MEMORY_IDENTS;
	if (off->context_allocated != WS_UNKNOWN) {
		rec->valid |= WS_MEMORY_BYTES | (reorder ? WS_MEMORY_REORDER : 0);
		rec->total_bytes = w->nodes[0].whole;
		rec->reorder_bytes = reorder ? reorder->whole : 0;
		rec->cache_bytes = cache ? cache->whole : 0;
	}
	read_work_mem(w->place, rec);
	return tell_largest(w, rec);
}

/* -- did it keep still? */

static bool same_links(const struct walk *w, const struct node *node, const char *raw)
{
	const struct ws_offsets *off = w->place->off;
	const uint32_t links[] = {
		off->context_parent, off->context_first_child, off->context_prev,
		off->context_next,   off->context_name,	       off->context_ident
	};

	for (size_t i = 0; i < WS_ARRAY_SIZE(links); i++)
		if (links[i] != WS_UNKNOWN &&
		    memcmp(node->raw + links[i], raw + links[i], sizeof(uint64_t)) != 0)
			return false;
	return true;
}

/* Sizes are those of the second time: that took less long. */
static bool read_again(struct walk *w)
{
	struct ws_piece *pieces = calloc(w->count, sizeof(*pieces));
	char *raw = calloc(w->count, RAW_MAX);
	bool good = pieces && raw;

	for (size_t i = 0; good && i < w->count; i++)
		pieces[i] = (struct ws_piece){ w->nodes[i].at, raw + i * RAW_MAX, w->raw_size };
	good = good && ws_memory_get_many(w->place->memory, w->place->pid, pieces, w->count);
	for (size_t i = 0; good && i < w->count; i++) {
		good = same_links(w, &w->nodes[i], raw + i * RAW_MAX);
		memcpy(w->nodes[i].raw, raw + i * RAW_MAX, w->raw_size);
		good = good && is_plausible(w, &w->nodes[i]);
	}
	free(raw);
	free(pieces);
	return good;
}

static bool read_once(const struct ws_contexts_place *place, size_t size, struct ws_rec_memory *rec)
{
	struct walk w = { .place = place, .raw_size = size };
	uint64_t top, again;
	bool good = ws_memory_get(place->memory, place->pid, place->base + place->top, &top,
				  sizeof(top)) &&
		    walk_tree(&w, top) && read_names(&w) && read_again(&w);

	if (good) {
		sum_up(&w);
		good = tell(&w, rec) &&
		       ws_memory_get(place->memory, place->pid, place->base + place->top, &again,
				     sizeof(again)) &&
		       again == top;
	}
	free(w.nodes);
	free(w.names);
	return good;
}

bool ws_contexts_read(const struct ws_contexts_place *place, struct ws_rec_memory *rec)
{
	size_t size = raw_size(place->off);

	for (int i = 0; place->top && size && i < TRIES; i++) {
		const struct ws_rec head = rec->h;

		*rec = (struct ws_rec_memory){ .h = head };
		if (read_once(place, size, rec))
			return true;
	}
	return false;
}
