/* SPDX-License-Identifier: BSD-2-Clause */
#include "layout/dwarf.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/dwarf_name.h"

/* No structure of interest comes near; a larger offset is a lie that would read far-away memory. */
#define OFFSET_MAX 65536

/* Nested types and anonymous members, deeper than which only a loop in hostile DWARF goes. */
#define DEPTH_MAX 8

/* Members looked at for one field. Depth alone is no bound: members that all have the type they
 * stand in make it a power. */
#define MEMBERS_MAX 10000

enum seen { NOT_SEEN = 0, SEEN_ELSEWHERE, SEEN_IN_WALSENDER, CONFLICT };

struct search {
	struct ws_dwarf_names names;
	struct ws_offsets *off;
	const struct ws_layout_field *fields;
	size_t count;
	enum seen *seen;  /* parallel to fields */
	uint32_t *values; /* parallel to fields; WS_UNKNOWN: described, but without that member */
};

/* The structure, union or enumeration behind typedefs and qualifiers. */
static bool strip_type(Dwarf_Die *die, Dwarf_Die *type)
{
	Dwarf_Attribute attr;

	*type = *die;
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		switch (dwarf_tag(type)) {
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
		case DW_TAG_enumeration_type:
			return true;
		case DW_TAG_typedef:
		case DW_TAG_const_type:
		case DW_TAG_volatile_type:
		case DW_TAG_member:
			break;
		default:
			return false;
		}
		if (!dwarf_formref_die(dwarf_attr_integrate(type, DW_AT_type, &attr), type))
			return false;
	}
	return false;
}

/* A member whose place is an expression, or a bit field, has no offset that could be used. */
static bool member_offset(Dwarf_Die *member, bool is_union, Dwarf_Word *offset)
{
	Dwarf_Attribute attr;

	if (dwarf_hasattr(member, DW_AT_bit_size))
		return false;
	if (!dwarf_attr(member, DW_AT_data_member_location, &attr)) {
		*offset = 0;
		return is_union;
	}
	return dwarf_formudata(&attr, offset) == 0 && *offset < OFFSET_MAX;
}

/* The search for one member. */
struct member_search {
	const struct ws_dwarf_names *names;
	int left; /* of MEMBERS_MAX */
};

static bool find_member(struct member_search *m, Dwarf_Die *type, const char *path, int depth,
			Dwarf_Word *offset);

static bool try_member(struct member_search *m, Dwarf_Die *type, Dwarf_Die *member,
		       const char *path, int depth, Dwarf_Word *offset)
{
	const char *name = ws_dwarf_name(m->names, member);
	size_t len = strcspn(path, ".");
	Dwarf_Word here, inner = 0;
	Dwarf_Die inner_type;

	if (dwarf_tag(member) != DW_TAG_member)
		return false;
	if (name && (strlen(name) != len || memcmp(name, path, len) != 0))
		return false;
	if (!member_offset(member, dwarf_tag(type) == DW_TAG_union_type, &here))
		return false;
	if (!name || path[len] == '.') { /* an anonymous union, or a dotted path */
		if (!strip_type(member, &inner_type) ||
		    !find_member(m, &inner_type, name ? path + len + 1 : path, depth + 1, &inner))
			return false;
	}
	*offset = here + inner;
	return *offset < OFFSET_MAX;
}

static bool find_member(struct member_search *m, Dwarf_Die *type, const char *path, int depth,
			Dwarf_Word *offset)
{
	Dwarf_Die member;

	if (depth > DEPTH_MAX || dwarf_child(type, &member) != 0)
		return false;
	do {
		if (try_member(m, type, &member, path, depth, offset))
			return true;
	} while (m->left-- > 0 && dwarf_siblingof(&member, &member) == 0);
	return false;
}

static bool find_enumerator(const struct ws_dwarf_names *names, Dwarf_Die *type, const char *name,
			    Dwarf_Word *value)
{
	Dwarf_Die die;

	if (dwarf_child(type, &die) != 0)
		return false;
	do {
		const char *this = ws_dwarf_name(names, &die);
		Dwarf_Attribute attr;

		if (dwarf_tag(&die) != DW_TAG_enumerator || !this || strcmp(this, name) != 0)
			continue;
		return dwarf_formudata(dwarf_attr(&die, DW_AT_const_value, &attr), value) == 0 &&
		       *value < WS_UNKNOWN;
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

/* Sets *value to WS_UNKNOWN if the type is there without the member. False: not such a type. */
static bool value_of(const struct ws_dwarf_names *names, const struct ws_layout_field *field,
		     Dwarf_Die *type, uint32_t *value)
{
	struct member_search m = { .names = names, .left = MEMBERS_MAX };
	bool is_enum = dwarf_tag(type) == DW_TAG_enumeration_type;
	Dwarf_Word word;
	int size;

	if (is_enum != (field->kind == WS_LAYOUT_ENUM))
		return false;
	*value = WS_UNKNOWN;
	switch (field->kind) {
	case WS_LAYOUT_OFFSET:
		if (find_member(&m, type, field->member, 0, &word))
			*value = (uint32_t)word;
		return true;
	case WS_LAYOUT_ENUM:
		if (find_enumerator(names, type, field->member, &word))
			*value = (uint32_t)word;
		return true;
	case WS_LAYOUT_SIZE:
		size = dwarf_bytesize(type);
		if (size > 0 && size < OFFSET_MAX)
			*value = (uint32_t)size;
		return true;
	default:
		return false;
	}
}

static void visit_type(struct search *s, Dwarf_Die *die, enum seen rank)
{
	const char *name = ws_dwarf_name(&s->names, die);
	bool is_stripped = false;
	Dwarf_Die type;

	for (size_t i = 0; name && i < s->count; i++) {
		uint32_t value;

		if (!s->fields[i].type || s->seen[i] == SEEN_IN_WALSENDER ||
		    strcmp(s->fields[i].type, name) != 0)
			continue;
		if (!is_stripped &&
		    (!strip_type(die, &type) || dwarf_hasattr(&type, DW_AT_declaration)))
			return;
		is_stripped = true;
		if (!value_of(&s->names, &s->fields[i], &type, &value))
			continue;
		if (s->seen[i] == NOT_SEEN) {
			s->seen[i] = rank;
			s->values[i] = value;
		} else if (s->values[i] != value) {
			s->seen[i] = CONFLICT;
		}
	}
}

static bool is_walsender_unit(const struct ws_dwarf_names *names, Dwarf_Die *unit)
{
	static const char tail[] = "walsender.c";
	const char *name = ws_dwarf_name(names, unit);
	size_t len = name ? strlen(name) : 0;

	if (len < sizeof(tail) - 1 || strcmp(name + len - (sizeof(tail) - 1), tail) != 0)
		return false;
	return len == sizeof(tail) - 1 || name[len - sizeof(tail)] == '/';
}

static void visit_units(struct search *s, Dwarf *dwarf, bool walsender)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit, die;

	while (dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL) == 0) {
		if (is_walsender_unit(&s->names, &unit) != walsender ||
		    dwarf_child(&unit, &die) != 0)
			continue;
		do {
			switch (dwarf_tag(&die)) {
			case DW_TAG_structure_type:
			case DW_TAG_typedef:
			case DW_TAG_enumeration_type:
				visit_type(s, &die, walsender ? SEEN_IN_WALSENDER : SEEN_ELSEWHERE);
				break;
			default:
				break;
			}
		} while (dwarf_siblingof(&die, &die) == 0);
	}
}

size_t ws_layout_read_dwarf(Dwarf *dwarf, struct ws_offsets *off)
{
	struct search s = { .off = off };
	size_t found = 0;
	Dwarf *alt;

	ws_dwarf_names_init(&s.names, dwarf);
	s.fields = ws_layout_fields(&s.count);
	s.seen = calloc(s.count, sizeof(*s.seen));
	s.values = calloc(s.count, sizeof(*s.values));
	if (s.seen && s.values) {
		visit_units(&s, dwarf, true);
		visit_units(&s, dwarf, false);
		/* dwz moves what several files share into another one. */
		alt = dwarf_getalt(dwarf);
		if (alt)
			visit_units(&s, alt, false);
		for (size_t i = 0; i < s.count; i++) {
			uint32_t value = s.seen[i] == CONFLICT ? WS_UNKNOWN : s.values[i];

			if (s.seen[i] == NOT_SEEN)
				continue;
			memcpy((char *)off + s.fields[i].slot, &value, sizeof(value));
			found += value != WS_UNKNOWN;
		}
	}
	free(s.seen);
	free(s.values);
	return found;
}
