/* SPDX-License-Identifier: BSD-2-Clause */
/* Static variables by how known functions use them. */
#include "symbol/recover_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define CONFIDENCE 0.98 /* structural: one way to be right, checked from more than one side */

/* How setCC reads the flags of a comparison: 1 for less, -1 for greater, 0 for anything else. */
static int set_direction(const uint8_t *bytes, size_t size)
{
	if (size < 3 || bytes[0] != 0x0f)
		return 0;
	switch (bytes[1]) {
	case 0x92: /* setb: size_t */
	case 0x9c: /* setl: int */
		return 1;
	case 0x97: /* seta */
	case 0x9f: /* setg */
		return -1;
	default:
		return 0;
	}
}

/* Opcode of the instruction without its REX prefix. */
static uint8_t opcode(const uint8_t *bytes)
{
	return (bytes[0] & 0xf0) == 0x40 ? bytes[1] : bytes[0];
}

/*
 * socket_is_send_pending (src/backend/libpq/pqcomm.c) is `return PqSendStart < PqSendPointer;`: a
 * load, a comparison with memory and a setCC. Which operand is which follows from their order and
 * condition.
 */
struct comparison {
	uint64_t less, greater; /* addresses of the two sides */
	uint8_t size;
};

static bool read_comparison(const struct ws_image *image, const struct ws_code *code,
			    struct comparison *out)
{
	const struct ws_insn *load = NULL, *compare = NULL;
	bool memory_first = false;

	for (size_t i = 0; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];
		size_t avail;
		const uint8_t *bytes = ws_image_bytes(image, insn->address, &avail);
		int direction;

		if (!bytes || insn->writes_reference || insn->kind == WS_INSN_CALL)
			return false;
		if (insn->reads_reference && !load && opcode(bytes) == 0x8b) {
			load = insn;
		} else if (insn->reads_reference && load && !compare &&
			   (opcode(bytes) == 0x39 || opcode(bytes) == 0x3b)) {
			compare = insn;
			/* 39: memory is compared with the register, 3b the other way round. */
			memory_first = opcode(bytes) == 0x39;
		} else if (insn->reads_reference) {
			return false;
		}
		direction = set_direction(bytes, avail);
		if (!direction || !compare)
			continue;
		if ((direction > 0) != memory_first) {
			out->less = load->reference;
			out->greater = compare->reference;
		} else {
			out->less = compare->reference;
			out->greater = load->reference;
		}
		out->size = load->access_size;
		return load->access_size == compare->access_size;
	}
	return false;
}

/* int up to 15, size_t from 16 on; not exported; declared next to each other. */
static bool is_plausible(const struct ws_image *image, const struct comparison *c)
{
	uint64_t distance = c->less > c->greater ? c->less - c->greater : c->greater - c->less;

	return (c->size == 4 || c->size == 8) && distance >= c->size && distance <= 64 &&
	       ws_image_is_writable(image, c->less) && ws_image_is_writable(image, c->greater);
}

static void claim_if_open(struct resolver *r, const char *name, uint64_t address, uint64_t size)
{
	long i = ws_resolver_index(r, name);

	if (i >= 0 && ws_resolver_is_open(r, (size_t)i))
		ws_resolver_claim(r, (size_t)i, WS_SOURCE_RECOVERED, address, size, CONFIDENCE);
}

int ws_recover_send_pointers(struct resolver *r, const struct ws_scan *scan, struct ws_error *err)
{
	uint64_t pending = ws_symbol_address(r->set, "socket_is_send_pending");
	long f = pending ? ws_scan_index(scan, pending) : -1;
	struct comparison found = { 0 };
	struct ws_code code;
	bool known;

	if (f < 0 || ws_image_arch(r->image) != WS_ARCH_X86_64)
		return 0;
	if (ws_code_decode(r->image, scan->functions[f], &code, err))
		return -1;
	known = read_comparison(r->image, &code, &found) && is_plausible(r->image, &found);
	ws_code_deinit(&code);
	if (known) {
		claim_if_open(r, "PqSendStart", found.less, found.size);
		claim_if_open(r, "PqSendPointer", found.greater, found.size);
	}
	return 0;
}

static bool is_used(const struct ws_evidence *body, uint64_t address, enum ws_use use, uint8_t size)
{
	for (size_t i = 0; i < body->reference_count; i++) {
		const struct ws_evidence_reference *ref = &body->references[i];

		if (ref->address != address || ref->size != size)
			continue;
		if ((use == WS_USE_READ && ref->reads) || (use == WS_USE_WRITE && ref->writes) ||
		    (use == WS_USE_ADDRESS && !ref->reads && !ref->writes))
			return true;
	}
	return false;
}

/* Whether all bodies of the rule use the address in the rule's way. */
static bool fits_rule(const struct ws_variable_rule *rule, const struct ws_evidence *bodies,
		      uint64_t address)
{
	for (size_t u = 0; u < WS_USES_MAX && rule->uses[u].use; u++) {
		if (!is_used(&bodies[u], address, rule->uses[u].use, rule->size))
			return false;
	}
	return true;
}

static bool is_static_data(const struct ws_image *image, uint64_t address)
{
	const struct ws_image_symbol *symbol = ws_image_symbol_at(image, address);

	return ws_image_is_writable(image, address) && !(symbol && symbol->is_dynamic);
}

/* The only address that fits, 0 if there is none or more than one. */
static uint64_t match_variable(const struct ws_image *image, const struct ws_variable_rule *rule,
			       const struct ws_evidence *bodies)
{
	uint64_t found = 0;

	for (size_t i = 0; i < bodies[0].reference_count; i++) {
		uint64_t address = bodies[0].references[i].address;

		if (address == found || bodies[0].references[i].is_anchor ||
		    !is_static_data(image, address) || !fits_rule(rule, bodies, address))
			continue;
		if (found)
			return 0;
		found = address;
	}
	return found;
}

/* On aarch64 an address may be one to which more is added, and which is itself that of something
 * else (gcc's section anchors): where only the address is taken, that cannot be told. Of an array
 * the accesses to its elements tell. */
static bool can_be_told(const struct resolver *r, const struct ws_variable_rule *rule)
{
	return rule->uses[0].use != WS_USE_ADDRESS || ws_image_arch(r->image) == WS_ARCH_X86_64;
}

/* The function that a rule names, in the scan; -1: not known. */
static long rule_function(const struct resolver *r, const struct ws_scan *scan, const char *name)
{
	const struct ws_image_symbol *symbol = ws_image_symbol(scan->image, name);
	uint64_t start =
		symbol && symbol->is_dynamic ? symbol->address : ws_symbol_address(r->set, name);

	return start ? ws_scan_index(scan, start) : -1;
}

static int apply_variable_rule(struct resolver *r, const struct ws_scan *scan,
			       const struct ws_variable_rule *rule, struct ws_error *err)
{
	struct ws_evidence bodies[WS_USES_MAX] = { 0 };
	long i = ws_resolver_index(r, rule->name);
	bool complete = true;
	uint64_t address;
	int rc = 0;

	if (i < 0 || !ws_resolver_is_open(r, (size_t)i) || !can_be_told(r, rule))
		return 0;
	for (size_t u = 0; u < WS_USES_MAX && rule->uses[u].use && complete && rc == 0; u++) {
		long f = rule_function(r, scan, rule->uses[u].function);

		complete = f >= 0;
		if (complete)
			rc = ws_evidence_gather(&bodies[u], scan, (size_t)f, err);
	}
	if (complete && rc == 0) {
		address = match_variable(r->image, rule, bodies);
		if (address)
			ws_resolver_claim(r, (size_t)i, WS_SOURCE_RECOVERED, address, rule->size,
					  CONFIDENCE);
	}
	for (size_t u = 0; u < WS_USES_MAX; u++)
		ws_evidence_deinit(&bodies[u]);
	return rc;
}

static bool reads_element(const struct ws_evidence *body, uint64_t address, uint8_t size)
{
	for (size_t i = 0; i < body->element_count; i++) {
		const struct ws_evidence_element *element = &body->elements[i];

		if (element->address == address && element->size == size && !element->writes)
			return true;
	}
	return false;
}

/* Where the array begins: the only place at which all bodies read their members; 0. */
static uint64_t match_array(const struct ws_image *image, const struct ws_array_rule *rule,
			    const struct ws_evidence *bodies)
{
	uint64_t found = 0;

	for (size_t i = 0; i < bodies[0].element_count; i++) {
		uint64_t address = bodies[0].elements[i].address - rule->reads[0].offset;
		bool fits = is_static_data(image, address);

		for (size_t u = 0; u < WS_USES_MAX && rule->reads[u].size && fits; u++)
			fits = reads_element(&bodies[u], address + rule->reads[u].offset,
					     rule->reads[u].size);
		if (!fits || address == found)
			continue;
		if (found)
			return 0;
		found = address;
	}
	return found;
}

static int apply_array_rule(struct resolver *r, const struct ws_scan *scan,
			    const struct ws_array_rule *rule, struct ws_error *err)
{
	struct ws_evidence bodies[WS_USES_MAX] = { 0 };
	long i = ws_resolver_index(r, rule->name);
	bool complete = true;
	uint64_t address;
	int rc = 0;

	if (i < 0 || !ws_resolver_is_open(r, (size_t)i))
		return 0;
	for (size_t u = 0; u < WS_USES_MAX && rule->reads[u].size && complete && rc == 0; u++) {
		long f = rule_function(r, scan, rule->reads[u].function);

		complete = f >= 0;
		if (complete)
			rc = ws_evidence_gather(&bodies[u], scan, (size_t)f, err);
	}
	address = complete && rc == 0 ? match_array(r->image, rule, bodies) : 0;
	if (address)
		ws_resolver_claim(r, (size_t)i, WS_SOURCE_RECOVERED, address, 0, CONFIDENCE);
	for (size_t u = 0; u < WS_USES_MAX; u++)
		ws_evidence_deinit(&bodies[u]);
	return rc;
}

int ws_recover_variables(struct resolver *r, const struct ws_scan *scan, struct ws_error *err)
{
	size_t count, array_count;
	const struct ws_variable_rule *rules = ws_variable_rules(&count);
	const struct ws_array_rule *arrays = ws_array_rules(&array_count);

	for (size_t i = 0; i < count; i++) {
		if (apply_variable_rule(r, scan, &rules[i], err))
			return -1;
	}
	for (size_t i = 0; i < array_count; i++) {
		if (apply_array_rule(r, scan, &arrays[i], err))
			return -1;
	}
	return 0;
}
