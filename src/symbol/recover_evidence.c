/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one function does: whom it calls with which constants, what data it names, and what its
 * ereports say about where they stand. Constants are followed through registers along straight code
 * only.
 */
#include "symbol/recover_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/image_parts.h"

#define PARTS_MAX 8 /* the entry range and its cold parts */

struct gathering {
	struct ws_evidence *evidence;
	const struct ws_scan *scan;
	struct ws_value registers[32];
	struct ws_value pushed; /* by the latest push */
	/* aarch64: number + 1 of the reference that put an address into this register */
	size_t made_by[32];
	struct ws_range parts[PARTS_MAX];
	size_t part_count;
	bool is_head;	/* no branch yet */
	bool has_frame; /* rbp is the frame's */
};

/*
 * The functions that are told where an ereport stands (PostgreSQL's src/include/utils/elog.h):
 * position of the file argument and of the function argument.
 */
static const struct {
	const char *name;
	uint8_t file, function;
} reporters[] = {
	{ "errfinish", 0, 2 },	    /* (file, line, func) from 13 on */
	{ "errsave_finish", 1, 3 }, /* (context, file, line, func) from 16 on */
	{ "errstart", 1, 3 },	    /* (elevel, file, line, func, domain) up to 12 */
	{ "elog_start", 0, 2 },	    /* (file, line, func) up to 12 */
};

/* DWARF numbers of the registers that carry arguments. */
static const int8_t argument_registers[2][6] = {
	{ 5, 4, 1, 2, 8, 9 }, /* rdi rsi rdx rcx r8 r9 */
	{ 0, 1, 2, 3, 4, 5 }, /* x0 ... */
};

static const int8_t *arguments_of(const struct gathering *g)
{
	return argument_registers[ws_image_arch(g->scan->image) == WS_ARCH_AARCH64];
}

static void forget_registers(struct gathering *g, uint32_t mask)
{
	for (int i = 0; i < 32; i++) {
		if (mask >> i & 1)
			g->registers[i] = (struct ws_value){ 0 };
	}
}

static const char *string_argument(const struct gathering *g, const struct ws_evidence_call *call,
				   size_t n)
{
	if (call->args[n].kind != WS_VALUE_ADDRESS)
		return NULL;
	return ws_image_string(g->scan->image, call->args[n].value);
}

static int add_report(struct gathering *g, const struct ws_evidence_call *call)
{
	struct ws_evidence *ev = g->evidence;

	for (size_t i = 0; call->name && i < WS_ARRAY_SIZE(reporters); i++) {
		struct ws_evidence_report *report;
		const char *file, *function;

		if (strcmp(call->name, reporters[i].name) != 0)
			continue;
		file = string_argument(g, call, reporters[i].file);
		function = string_argument(g, call, reporters[i].function);
		if (!file && !function)
			return 0;
		report = ws_array_grow(&ev->reports, &ev->report_count, &ev->report_cap,
				       sizeof(*report));
		if (!report)
			return -1;
		report->file = file ? basename(file) : NULL;
		report->function = function;
	}
	return 0;
}

/* The exported or imported name of a callee. */
static const char *callee_name(const struct gathering *g, uint64_t target)
{
	const char *name = ws_image_plt_name(g->scan->image, target);
	const struct ws_image_symbol *symbol;

	if (name)
		return name;
	symbol = ws_image_symbol_at(g->scan->image, target);
	return symbol && symbol->is_function && symbol->is_dynamic ? symbol->name : NULL;
}

static int add_call(struct gathering *g, const struct ws_insn *insn)
{
	const struct ws_image *image = g->scan->image;
	struct ws_evidence *ev = g->evidence;
	struct ws_evidence_call *call;
	const char *name = NULL;

	if (insn->target)
		name = callee_name(g, insn->target);
	else if (insn->reference)
		name = ws_image_slot_import(image, insn->reference);
	if (!insn->target && !name)
		return 0;
	call = ws_array_grow(&ev->calls, &ev->call_count, &ev->call_cap, sizeof(*call));
	if (!call)
		return -1;
	call->at = insn->address;
	call->target = insn->target;
	call->name = name;
	for (int i = 0; i < 6; i++)
		call->args[i] = g->registers[arguments_of(g)[i]];
	call->args[6] = g->pushed;
	return add_report(g, call);
}

/*
 * A string. The compiler may load an ereport's __func__ long before the call and keep it in a
 * register through a loop, where the arguments are not followed to; the string still tells.
 */
static const char *text_at(const struct ws_image *image, uint64_t address)
{
	const char *text = NULL;

	if (!ws_image_is_code(image, address) && !ws_image_is_writable(image, address))
		text = ws_image_string(image, address);
	return text && strnlen(text, 4) == 4 ? text : NULL;
}

/* The exported variable that holds the address, or the exported function that begins there. */
static const char *exported_at(const struct ws_image *image, uint64_t address)
{
	const struct ws_image_symbol *symbol;
	size_t count;
	long at;

	symbol = ws_image_symbol_at(image, address);
	if (symbol && symbol->is_dynamic)
		return symbol->name;
	symbol = ws_image_symbols(image, &count);
	if (!count)
		return NULL;
	at = ws_image_search(&symbol->address, count, sizeof(*symbol), address);
	for (; at >= 0 && symbol[at].address + symbol[at].size <= address; at--) {
		if (symbol[at].is_dynamic)
			return NULL;
	}
	return at >= 0 && symbol[at].is_dynamic && !symbol[at].is_function ? symbol[at].name : NULL;
}

/* Through a slot of the GOT, too. */
static const char *reference_name(const struct ws_image *image, uint64_t address, bool reads)
{
	const char *name = exported_at(image, address);
	uint64_t value;

	if (name || !reads)
		return name;
	name = ws_image_slot_import(image, address);
	if (!name && ws_image_is_pie(image) && ws_image_relocated(image, address, &value))
		name = exported_at(image, value);
	return name;
}

/*
 * aarch64 code takes one address (gcc's section anchors) and adds to it for all that lies around
 * it: what is there itself is not meant.
 */
static void drop_anchor(struct gathering *g, const struct ws_insn *insn)
{
	struct ws_evidence_reference *references = g->evidence->references;
	uint32_t read = insn->regs_read;
	int base = insn->memory_reg;

	if (base < 0 && read && !(read & (read - 1)))
		base = __builtin_ctz(read);
	if (base < 0 || !g->made_by[base])
		return;
	references[g->made_by[base] - 1].is_anchor = true;
	references[g->made_by[base] - 1].name = references[g->made_by[base] - 1].text = NULL;
}

static void forget_makers(struct gathering *g, uint32_t mask)
{
	for (int i = 0; i < 32; i++) {
		if (mask >> i & 1)
			g->made_by[i] = 0;
	}
}

static struct ws_evidence_reference *new_reference(struct gathering *g, const struct ws_insn *insn,
						   uint64_t address, uint8_t size)
{
	struct ws_evidence *ev = g->evidence;
	struct ws_evidence_reference *ref = ws_array_grow(&ev->references, &ev->reference_count,
							  &ev->reference_cap, sizeof(*ref));

	if (!ref)
		return NULL;
	ref->address = address;
	ref->size = size;
	ref->reads = insn->reads_reference;
	ref->writes = insn->writes_reference;
	ref->is_head = g->is_head;
	ref->name = reference_name(g->scan->image, address, ref->reads);
	if (!ref->reads && !ref->writes && !ref->name)
		ref->text = text_at(g->scan->image, address);
	return ref;
}

static int add_element(struct gathering *g, const struct ws_insn *insn)
{
	struct ws_evidence *ev = g->evidence;
	struct ws_evidence_element *element;

	if (!insn->element || !insn->access_size ||
	    !ws_image_is_mapped(g->scan->image, insn->element))
		return 0;
	element = ws_array_grow(&ev->elements, &ev->element_count, &ev->element_cap,
				sizeof(*element));
	if (!element)
		return -1;
	element->address = insn->element;
	element->size = insn->is_pair ? insn->access_size / 2 : insn->access_size;
	element->writes = insn->dest_reg < 0;
	return 0;
}

static int add_reference(struct gathering *g, const struct ws_insn *insn)
{
	bool is_arm64 = ws_image_arch(g->scan->image) == WS_ARCH_AARCH64;
	uint8_t size = insn->is_pair ? insn->access_size / 2 : insn->access_size;

	if (!insn->reference || !ws_image_is_mapped(g->scan->image, insn->reference)) {
		forget_makers(g, insn->regs_written);
		return add_element(g, insn);
	}
	if (is_arm64)
		drop_anchor(g, insn);
	if (!new_reference(g, insn, insn->reference, size) ||
	    (insn->is_pair && !new_reference(g, insn, insn->reference + size, size)))
		return -1;
	forget_makers(g, insn->regs_written);
	if (is_arm64 && insn->dest_reg >= 0 && insn->memory_reg < 0)
		g->made_by[insn->dest_reg] = g->evidence->reference_count;
	return 0;
}

static bool is_inside(const struct gathering *g, uint64_t address)
{
	for (size_t i = 0; i < g->part_count; i++) {
		if (address >= g->parts[i].start && address < g->parts[i].end)
			return true;
	}
	return false;
}

/* A jump out of the function: to a cold part of it, or a tail call. */
static int follow_jump(struct gathering *g, const struct ws_insn *insn, bool after_report)
{
	long i;

	/* errfinish does not return for ERROR; what stands behind it was only laid out there. */
	if (is_inside(g, insn->target) || after_report)
		return 0;
	i = ws_scan_index(g->scan, insn->target);
	if (i >= 0 && ws_scan_is_fragment(g->scan, (size_t)i)) {
		if (g->part_count < PARTS_MAX)
			g->parts[g->part_count++] = g->scan->functions[i];
		return 0;
	}
	if (i >= 0 && g->scan->functions[i].start != insn->target)
		return 0;
	return insn->kind == WS_INSN_JUMP ? add_call(g, insn) : 0;
}

static void follow_value(struct gathering *g, const struct ws_insn *insn)
{
	struct ws_value value = { 0 };
	bool plain = insn->memory_reg < 0 && !insn->reads_reference && !insn->writes_reference;
	uint32_t read = insn->regs_read;

	if (insn->kind == WS_INSN_PUSH) {
		read &= ~(1U << 7);
		g->pushed =
			read && !(read & (read - 1)) ? g->registers[__builtin_ctz(read)] : value;
		return;
	}
	if (insn->dest_reg >= 0 && plain && insn->regs_written == 1U << insn->dest_reg) {
		if (insn->reference)
			value = (struct ws_value){ WS_VALUE_ADDRESS, insn->reference };
		else if (insn->has_immediate && !read)
			value = (struct ws_value){ WS_VALUE_NUMBER, (uint64_t)insn->immediate };
		else if (!insn->has_immediate && read && !(read & (read - 1)) &&
			 read != insn->regs_written)
			value = g->registers[__builtin_ctz(read)];
	}
	forget_registers(g, insn->regs_written);
	if (value.kind)
		g->registers[insn->dest_reg] = value;
}

/* Where a function keeps its variables, offsets say nothing. */
static bool is_frame(const struct gathering *g, int reg)
{
	if (ws_image_arch(g->scan->image) == WS_ARCH_AARCH64)
		return reg == 29 || reg == 31;
	return reg == 7 || (reg == 6 && g->has_frame);
}

/* Does it add to what lies in the frame? */
static bool adds_to_frame(const struct gathering *g, const struct ws_insn *insn)
{
	if (ws_image_arch(g->scan->image) == WS_ARCH_AARCH64)
		return insn->regs_read & (1U << 29 | 1U << 31);
	return is_frame(g, insn->dest_reg);
}

static int add_number(struct ws_evidence *ev, uint64_t found)
{
	uint64_t *number;

	if (!found)
		return 0;
	number = ws_array_grow(&ev->numbers, &ev->number_count, &ev->number_cap, sizeof(*number));
	if (!number)
		return -1;
	*number = found;
	return 0;
}

/* On aarch64 what is added to an address makes another of it, and one instruction reads or writes
 * two. */
static int add_offset(struct gathering *g, const struct ws_insn *insn)
{
	bool is_arm64 = ws_image_arch(g->scan->image) == WS_ARCH_AARCH64;
	int64_t second = insn->displacement + insn->access_size / 2;

	if (insn->memory_reg < 0 || is_frame(g, insn->memory_reg) ||
	    (is_arm64 && (insn->reference || insn->element)))
		return 0;
	if (add_number(g->evidence, ws_number(true, insn->displacement)))
		return -1;
	return insn->is_pair ? add_number(g->evidence, ws_number(true, second)) : 0;
}

static int add_numbers(struct gathering *g, const struct ws_insn *insn)
{
	bool is_arm64 = ws_image_arch(g->scan->image) == WS_ARCH_AARCH64;
	uint64_t found = 0;

	if (insn->kind == WS_INSN_NOP)
		return 0;
	if (insn->is_value && (is_arm64 || !insn->target))
		found = ws_number(false, insn->number);
	else if (insn->is_offset && !adds_to_frame(g, insn) &&
		 !(is_arm64 && (insn->reference || insn->element)))
		found = ws_number(true, insn->number);
	return add_offset(g, insn) || add_number(g->evidence, found) ? -1 : 0;
}

/* A callee may change all but rbx, rbp, rsp, r12 to r15 (x19 to x29, sp). */
static uint32_t call_clobbered(const struct gathering *g)
{
	return ws_image_arch(g->scan->image) == WS_ARCH_AARCH64 ? 0x4007ffffU : 0x00000f37U;
}

static int see(struct gathering *g, const struct ws_insn *insn, bool after_report)
{
	if (insn->is_branch_target || insn->is_switch_target)
		forget_registers(g, ~0U);
	if (add_numbers(g, insn))
		return -1;
	switch (insn->kind) {
	case WS_INSN_CALL:
	case WS_INSN_CALL_INDIRECT:
		if (add_call(g, insn))
			return -1;
		forget_registers(g, call_clobbered(g));
		forget_makers(g, call_clobbered(g));
		g->pushed = (struct ws_value){ 0 };
		return add_reference(g, insn);
	case WS_INSN_JUMP:
	case WS_INSN_BRANCH:
		g->is_head = false;
		if (follow_jump(g, insn, after_report))
			return -1;
		if (insn->kind == WS_INSN_JUMP)
			forget_registers(g, ~0U);
		return 0;
	case WS_INSN_RETURN:
	case WS_INSN_JUMP_INDIRECT:
		forget_registers(g, ~0U);
		return add_reference(g, insn);
	case WS_INSN_NOP:
		return 0;
	default:
		if (add_reference(g, insn))
			return -1;
		follow_value(g, insn);
		return 0;
	}
}

static bool is_report(const struct gathering *g, const struct ws_insn *insn)
{
	const char *name = insn->kind == WS_INSN_CALL ? callee_name(g, insn->target) : NULL;

	return name && strcmp(name, "errfinish") == 0;
}

/* mov rbp, rsp */
static bool keeps_frame(const struct ws_code *code)
{
	for (size_t i = 0; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];

		if (insn->dest_reg == 6 && insn->regs_read == 1U << 7 && insn->memory_reg < 0 &&
		    !insn->has_immediate && insn->kind == WS_INSN_OTHER)
			return true;
	}
	return false;
}

static int gather_part(struct gathering *g, struct ws_range part, struct ws_error *err)
{
	bool after_report = false;
	struct ws_code code;
	int rc = 0;

	if (ws_code_decode(g->scan->image, part, &code, err))
		return -1;
	forget_registers(g, ~0U);
	if (part.start == g->evidence->range.start) {
		g->evidence->is_quick = ws_scan_is_quick(g->scan, &code);
		g->has_frame = keeps_frame(&code);
	}
	for (size_t i = 0; i < code.count && rc == 0; i++) {
		rc = see(g, &code.insns[i], after_report);
		after_report = is_report(g, &code.insns[i]);
	}
	ws_code_deinit(&code);
	if (rc)
		return ws_error_errno(err, ENOMEM, "cannot gather evidence",
				      ws_image_path(g->scan->image));
	return 0;
}

int ws_evidence_gather(struct ws_evidence *evidence, const struct ws_scan *scan, size_t function,
		       struct ws_error *err)
{
	struct gathering g = { .evidence = evidence, .scan = scan };

	*evidence = (struct ws_evidence){ .range = scan->functions[function] };
	evidence->name = callee_name(&g, evidence->range.start);
	g.parts[g.part_count++] = evidence->range;
	g.is_head = true;
	for (size_t i = 0; i < g.part_count; i++) {
		if (gather_part(&g, g.parts[i], err)) {
			ws_evidence_deinit(evidence);
			return -1;
		}
	}
	return 0;
}

void ws_evidence_deinit(struct ws_evidence *evidence)
{
	free(evidence->calls);
	free(evidence->references);
	free(evidence->elements);
	free(evidence->reports);
	free(evidence->numbers);
	*evidence = (struct ws_evidence){ 0 };
}
