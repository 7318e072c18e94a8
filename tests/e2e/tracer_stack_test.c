/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs take of the stack. Kernels up to 6.12 have 512 bytes for a program and all it
 * calls, and eight calls within each other; later ones give each function a stack of its own, so
 * that loading here shows nothing. Needs root, to load; not part of `make unit`.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>

#include <bpf/libbpf.h>
#include <cmocka.h>
#include <linux/bpf.h>

#include "config.h"
#include "probe/attach.h"
#include "skel/host.skel.h"
#include "skel/server.skel.h"

/* kernel/bpf/verifier.c check_max_stack_depth(), 5.10 to 6.12: MAX_BPF_STACK, MAX_CALL_FRAMES */
#define STACK_MOST  512
#define STACK_UNIT  32
#define FRAMES_MOST 8

struct code {
	const struct bpf_insn *insns;
	size_t count;
	const char *name;
};

static bool is_call(const struct bpf_insn *insn)
{
	return insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL;
}

/* Where the function that begins at `start` ends: at the next one that is called. */
static size_t end_of(const struct code *code, size_t start)
{
	size_t end = code->count;

	for (size_t i = 0; i < code->count; i++) {
		size_t callee = i + 1 + (size_t)code->insns[i].imm;

		if (is_call(&code->insns[i]) && callee > start && callee < end)
			end = callee;
	}
	return end;
}

/* How deep an instruction reaches below the frame's top: an access, or an address taken. */
static int reach(const struct bpf_insn *insns, size_t i)
{
	const struct bpf_insn *insn = &insns[i];
	__u8 class = BPF_CLASS(insn->code);

	if ((class == BPF_ST || class == BPF_STX) && insn->dst_reg == BPF_REG_10)
		return -insn->off;
	if (class == BPF_LDX && insn->src_reg == BPF_REG_10)
		return -insn->off;
	if (insn->code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn->src_reg == BPF_REG_10 &&
	    insns[i + 1].code == (BPF_ALU64 | BPF_ADD | BPF_K) &&
	    insns[i + 1].dst_reg == insn->dst_reg)
		return -insns[i + 1].imm;
	return 0;
}

/* What the function at `start` and the deepest of what it calls take. */
static int depth_of(const struct code *code, size_t start, int frames)
{
	size_t end = end_of(code, start);
	int own = 1, most = 0;

	if (frames > FRAMES_MOST)
		fail_msg("%s: more than %d calls within each other", code->name, FRAMES_MOST);
	for (size_t i = start; i < end; i++) {
		int bytes = reach(code->insns, i), below = 0;

		if (is_call(&code->insns[i]))
			below = depth_of(code, i + 1 + (size_t)code->insns[i].imm, frames + 1);
		own = bytes > own ? bytes : own;
		most = below > most ? below : most;
	}
	return (own + STACK_UNIT - 1) / STACK_UNIT * STACK_UNIT + most;
}

static void fits(struct bpf_object *object)
{
	struct bpf_program *prog;
	int deepest = 0;

	bpf_object__for_each_program(prog, object)
	{
		const struct code code = { bpf_program__insns(prog), bpf_program__insn_cnt(prog),
					   bpf_program__name(prog) };
		int depth = depth_of(&code, 0, 1);

		if (depth > STACK_MOST)
			fail_msg("%s takes %d bytes of stack", code.name, depth);
		deepest = depth > deepest ? depth : deepest;
	}
	assert_true(deepest > 64); /* it was looked at */
}

static void programs_of_the_host_fit_on_the_stack_of_old_kernels(void **state)
{
	struct host_bpf *skel = host_bpf__open_and_load();

	(void)state;
	assert_non_null(skel);
	fits(skel->obj);
	host_bpf__destroy(skel);
}

static void programs_of_a_server_fit_on_the_stack_of_old_kernels(void **state)
{
	struct server_bpf *skel = server_bpf__open();
	struct ws_kernel_features features;
	struct bpf_program *prog;

	(void)state;
	assert_non_null(skel);
	ws_kernel_probe(&features);
	/* Those that tell sites apart by cookies are for kernels that have them. */
	bpf_object__for_each_program(
		prog, skel->obj) if (strncmp(bpf_program__name(prog), "group_", 6) == 0)
		bpf_program__set_autoload(prog, features.attach_cookie);
	assert_int_equal(server_bpf__load(skel), 0);
	fits(skel->obj);
	server_bpf__destroy(skel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_of_the_host_fit_on_the_stack_of_old_kernels),
		cmocka_unit_test(programs_of_a_server_fit_on_the_stack_of_old_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
