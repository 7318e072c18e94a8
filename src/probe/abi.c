/* SPDX-License-Identifier: BSD-2-Clause */
/* System V ABI (x86-64), AAPCS64. */
#include "probe/abi.h"

#include "base/util.h"

static const struct ws_abi abis[] = {
	{
		.arch = WS_ARCH_X86_64,
		.args = { 5, 4, 1, 2, 8, 9 }, /* rdi rsi rdx rcx r8 r9 */
		.arg_count = 6,
		.result = 0,	       /* rax */
		.caller_saved = 0xf37, /* rax rdx rcx rsi rdi r8 to r11 */
		.frame = 0xc0,	       /* rbp rsp */
	},
	{
		.arch = WS_ARCH_AARCH64,
		.args = { 0, 1, 2, 3, 4, 5, 6, 7 },
		.arg_count = 8,
		.result = 0,
		.caller_saved = 0x4007ffff, /* x0 to x18, x30 */
		.frame = 0xa0000000,	    /* x29 sp */
	},
};

const struct ws_abi *ws_abi_of(enum ws_arch arch)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(abis); i++) {
		if (abis[i].arch == arch)
			return &abis[i];
	}
	return NULL;
}
