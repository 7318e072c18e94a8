/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/errors.h"

#include <stdio.h>

#include "base/util.h"

static const char *level_name(const struct ws_offsets *off, uint32_t elevel, char room[24])
{
	if (elevel == off->elevel_commerror)
		return "COMMERROR";
	if (elevel == off->elevel_error)
		return "ERROR";
	if (elevel == off->elevel_fatal)
		return "FATAL";
	if (elevel == off->elevel_panic)
		return "PANIC";
	snprintf(room, 24, "level %u", elevel);
	return room;
}

/* elog.h, PGUNSIXBIT */
static void unpack_sqlstate(uint32_t packed, char out[6])
{
	for (int i = 0; i < 5; i++, packed >>= 6)
		out[i] = (char)((packed & 0x3f) + '0');
	out[5] = '\0';
}

static bool read_field(const struct ws_core_impl *impl, uint64_t error, uint32_t offset, void *out,
		       size_t size)
{
	return offset != WS_UNKNOWN && ws_core_read(impl, error + offset, out, size);
}

static void read_text(const struct ws_core_impl *impl, uint64_t error, uint32_t offset, char *out,
		      size_t size)
{
	uint64_t address = 0;

	if (!read_field(impl, error, offset, &address, sizeof(address)) || !address ||
	    ws_memory_get_string(impl->memory, impl->about.pid, address, out, size, NULL) < 0)
		snprintf(out, size, "?");
}

static void tell(const struct ws_core_impl *impl, uint64_t error, char text[WS_CORE_ERROR_TEXT])
{
	const struct ws_offsets *off = &impl->layout.off;
	char message[1024], function[128], file[256], sqlstate[6], level[24];
	uint32_t elevel = 0, packed = 0;
	int32_t line = 0;

	text[0] = '\0';
	if (!read_field(impl, error, off->error_elevel, &elevel, sizeof(elevel)) ||
	    !read_field(impl, error, off->error_sqlerrcode, &packed, sizeof(packed)))
		return;
	read_field(impl, error, off->error_lineno, &line, sizeof(line));
	read_text(impl, error, off->error_message, message, sizeof(message));
	read_text(impl, error, off->error_funcname, function, sizeof(function));
	read_text(impl, error, off->error_filename, file, sizeof(file));
	unpack_sqlstate(packed, sqlstate);
	snprintf(text, WS_CORE_ERROR_TEXT, "%s:  %s: %s, LOCATION: %s, %s:%d",
		 level_name(off, elevel, level), sqlstate, message, function, file, line);
}

int ws_core_errors_read(const struct ws_core_impl *impl,
			char texts[WS_CORE_ERRORS][WS_CORE_ERROR_TEXT])
{
	const struct ws_variables *var = &impl->plan.config.var;
	const struct ws_offsets *off = &impl->layout.off;
	int32_t depth = 0;

	if (!var->errordata || !var->errordata_stack_depth || off->error_size == WS_UNKNOWN ||
	    !ws_core_read(impl, impl->base + var->errordata_stack_depth, &depth, sizeof(depth)) ||
	    depth < -1 || depth >= WS_CORE_ERRORS)
		return -1;
	for (int32_t i = 0; i <= depth; i++)
		tell(impl, impl->base + var->errordata + (uint64_t)(depth - i) * off->error_size,
		     texts[i]);
	return depth + 1;
}
