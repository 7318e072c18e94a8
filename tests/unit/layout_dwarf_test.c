/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offsets out of DWARF: sources with the server's structure names are compiled, and the compiler's
 * own offsetof, put into the same object, is what must come out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "layout/dwarf.h"

static char dir[] = "/tmp/layout_dwarf_test.XXXXXX";

static void write_source(const char *name, const char *text)
{
	char path[128];
	ws_autofclose FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* Compiles the sources named into one shared object with DWARF; returns its path. */
static const char *compile(const char *output, const char *sources, const char *flags)
{
	static char path[128];
	char command[512];

	snprintf(path, sizeof(path), "%s/%s", dir, output);
	snprintf(command, sizeof(command), "cd %s && cc -g -O0 -shared -fPIC %s %s -o %s", dir,
		 flags, sources, output);
	if (system(command) != 0)
		fail_msg("no compiler to make a fixture with: %s", command);
	return path;
}

static size_t read_offsets(const char *path, struct ws_offsets *off)
{
	ws_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	Dwarf *dwarf = dwarf_begin(fd, DWARF_C_READ);
	size_t found;

	assert_non_null(dwarf);
	memset(off, 0xff, sizeof(*off));
	found = ws_layout_read_dwarf(dwarf, off);
	dwarf_end(dwarf);
	return found;
}

/* Shapes a server has: plain, nested through a typedef, an anonymous union, a typedef without a
 * tag. */
static const char server_structs[] =
	"#include <stddef.h>\n"
	"typedef struct nameData { char data[64]; } NameData;\n"
	"typedef struct Persistent { NameData pad; int id; NameData name; } Persistent;\n"
	"typedef struct ReplicationSlot { char lock; int active_pid; Persistent data; } "
	"ReplicationSlot;\n"
	"typedef struct WalSnd { int pid, state; long sentPtr; char needreload; long write, flush, "
	"apply, writeLag, flushLag, applyLag; char mutex; long replyTime; } WalSnd;\n"
	"typedef struct { void *head; union { struct { int skip; void *out; }; long other; }; } "
	"LogicalDecodingContext;\n"
	"typedef struct ErrorData { int elevel; char *filename; int lineno; int cut : 3; } "
	"ErrorData;\n"
	"enum WaitEventClient { WAIT_EVENT_A = 0x6000000, WAIT_EVENT_WAIT_FOR_STANDBY_CONFIRMATION "
	"};\n"
	"ReplicationSlot slot; WalSnd walsnd; LogicalDecodingContext context; ErrorData error;\n"
	"enum WaitEventClient wait;\n"
	"unsigned truth[] = { offsetof(WalSnd, state), offsetof(WalSnd, replyTime), "
	"offsetof(ReplicationSlot, data.name), offsetof(LogicalDecodingContext, out), "
	"offsetof(ErrorData, filename), sizeof(ErrorData), "
	"WAIT_EVENT_WAIT_FOR_STANDBY_CONFIRMATION };\n";

static void offsets_are_those_the_compiler_gives(void **state)
{
	static const char *const flags[] = { "-gdwarf-4", "-gdwarf-5" };
	struct ws_offsets off;

	(void)state;
	write_source("walsender.c", server_structs);
	for (size_t i = 0; i < WS_ARRAY_SIZE(flags); i++) {
		const char *path = compile("plain.so", "walsender.c", flags[i]);
		void *object = dlopen(path, RTLD_NOW);
		const unsigned int *truth;

		assert_non_null(object);
		truth = dlsym(object, "truth");
		assert_non_null(truth);
		read_offsets(path, &off);
		assert_int_equal(off.walsnd_state, truth[0]);
		assert_int_equal(off.walsnd_reply_time, truth[1]);
		assert_int_equal(off.slot_name, truth[2]);
		assert_int_equal(off.logical_out, truth[3]);
		assert_int_equal(off.error_filename, truth[4]);
		assert_int_equal(off.error_size, truth[5]);
		assert_int_equal(off.wait_event_standby, truth[6]);
		dlclose(object);
		unlink(path);
	}
}

static void a_member_or_type_that_is_not_there_stays_unknown(void **state)
{
	struct ws_offsets off;

	(void)state;
	write_source("walsender.c", server_structs);
	read_offsets(compile("missing.so", "walsender.c", ""), &off);
	assert_int_equal(off.error_message, WS_UNKNOWN);     /* no such member */
	assert_int_equal(off.wait_event_events, WS_UNKNOWN); /* no such type */
	assert_int_equal(off.elevel_error, WS_UNKNOWN);	     /* a macro */
}

static void a_member_that_is_gone_replaces_what_was_believed(void **state)
{
	const char *path;
	struct ws_offsets off;
	Dwarf *dwarf;

	(void)state;
	write_source("walsender.c", server_structs);
	path = compile("gone.so", "walsender.c", "");
	ws_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

	dwarf = dwarf_begin(fd, DWARF_C_READ);
	assert_non_null(dwarf);
	memset(&off, 0, sizeof(off)); /* as a table would have filled it */
	ws_layout_read_dwarf(dwarf, &off);
	assert_int_equal(off.error_message, WS_UNKNOWN);
	assert_int_equal(off.wait_event_events,
			 0); /* its type is not described: the table stands */
	dwarf_end(dwarf);
}

static void the_unit_of_the_walsender_decides(void **state)
{
	struct ws_offsets off;

	(void)state;
	write_source("walsender.c", "struct WalSnd { int pid, state; } one;\n");
	write_source("other.c", "struct WalSnd { long pad[4]; int state; } two;\n");
	write_source("notwalsender.c", "struct WalSnd { long pad[8]; int state; } three;\n");
	read_offsets(compile("order.so", "notwalsender.c other.c walsender.c", ""), &off);
	assert_int_equal(off.walsnd_state, 4);
}

static void units_that_disagree_make_a_field_unknown(void **state)
{
	struct ws_offsets off;

	(void)state;
	write_source("one.c", "struct WalSnd { int pid, state; long sentPtr; } one;\n");
	write_source("two.c", "struct WalSnd { long pid; int state; } two;\n");
	read_offsets(compile("conflict.so", "one.c two.c", ""), &off);
	assert_int_equal(off.walsnd_state, WS_UNKNOWN);
	assert_int_equal(off.walsnd_sent, WS_UNKNOWN);
}

static void a_declaration_says_nothing(void **state)
{
	struct ws_offsets off;

	(void)state;
	write_source("walsender.c", "struct WalSnd *p;\n");
	write_source("other.c", "struct WalSnd { long pid; int state; } two;\n");
	read_offsets(compile("declared.so", "walsender.c other.c", ""), &off);
	assert_int_equal(off.walsnd_state, 8);
}

/* Not that the result is right: that there is one, and no offset that reads far away. */
static void damaged_dwarf_does_no_harm(void **state)
{
	static uint8_t bytes[1 << 20];
	char path[160];
	struct stat st;
	unsigned int seed = 1;
	size_t count;
	const struct ws_layout_field *fields = ws_layout_fields(&count);

	(void)state;
	write_source("walsender.c", server_structs);
	snprintf(path, sizeof(path), "%s", compile("damaged.so", "walsender.c", ""));
	ws_autoclose int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size > 0 && (size_t)st.st_size <= sizeof(bytes));
	assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	for (int round = 0; round < 300; round++) {
		struct ws_offsets off;
		Dwarf *dwarf;

		for (int i = 0; i < 8; i++) {
			/* behind the ELF header, without which there is no DWARF to begin with */
			off_t at = 64 + rand_r(&seed) % (st.st_size - 64);
			uint8_t byte = (uint8_t)rand_r(&seed);

			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		}
		memset(&off, 0xff, sizeof(off));
		dwarf = dwarf_begin(fd, DWARF_C_READ);
		if (dwarf)
			ws_layout_read_dwarf(dwarf, &off);
		for (size_t i = 0; dwarf && i < count; i++) {
			uint32_t value;

			memcpy(&value, (char *)&off + fields[i].slot, sizeof(value));
			if (fields[i].kind != WS_LAYOUT_ENUM)
				assert_true(value == WS_UNKNOWN || value < 65536);
		}
		dwarf_end(dwarf);
		assert_int_equal(pwrite(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	}
}

/* As a compiler never writes it: 40 members without a name, each of the type they stand in. */
static const char endless_struct[] =
	"__asm__(\".section .debug_abbrev\\n\"\n"
	"\" .uleb128 1, 0x11\\n .byte 1\\n .uleb128 3, 8, 0, 0\\n\"\n" /* unit: name */
	"\" .uleb128 2, 0x13\\n .byte 1\\n .uleb128 3, 8, 0, 0\\n\"\n" /* structure: name */
	"\" .uleb128 3, 0x0d\\n .byte 0\\n .uleb128 0x49, 0x13, 0x38, 0xb, 0, 0, 0\\n\"\n"
	"\" .section .debug_info\\nstart: .long end - . - 4\\n .value 4\\n .long 0\\n .byte "
	"8\\n\"\n"
	"\" .uleb128 1\\n .asciz \\\"walsender.c\\\"\\n\"\n"
	"\"type: .uleb128 2\\n .asciz \\\"WalSnd\\\"\\n\"\n"
	"\" .rept 40\\n .uleb128 3\\n .long type - start\\n .byte 0\\n .endr\\n\"\n"
	"\" .byte 0, 0\\nend: .text\\n\");\n";

static void a_structure_that_holds_itself_does_not_hold_the_search_up(void **state)
{
	struct ws_offsets off;

	(void)state;
	write_source("walsender.c", endless_struct);
	alarm(20); /* a search through all of them would take years */
	read_offsets(compile("endless.so", "walsender.c", "-g0"), &off);
	alarm(0);
	assert_int_equal(off.walsnd_state, WS_UNKNOWN);
}

/* A server in a container is opened through /proc; its path leads nowhere here, or elsewhere. */
static void the_open_file_is_read_and_not_its_path(void **state)
{
	struct ws_debug *debug;
	struct ws_layout layout;
	struct ws_image *image;
	struct ws_error err;

	(void)state;
	write_source("walsender.c", server_structs);
	ws_autoclose int fd =
		open(compile("contained.so", "walsender.c", ""), O_RDONLY | O_CLOEXEC);

	assert_int_equal(ws_image_open(&image, fd, "/in/a/container/postgres", NULL, &err), 0);
	debug = ws_debug_new(image, &(struct ws_debug_options){ 0 });
	assert_int_equal(ws_layout_find(image, 99, debug, &layout, &err), 0);
	assert_int_equal(layout.source, WS_LAYOUT_DWARF);
	assert_int_equal(layout.off.walsnd_state, 4);
	assert_int_equal(ws_layout_find(image, 99, NULL, &layout, &err), -1);
	ws_debug_free(debug);
	ws_image_free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_are_those_the_compiler_gives),
		cmocka_unit_test(a_member_or_type_that_is_not_there_stays_unknown),
		cmocka_unit_test(a_member_that_is_gone_replaces_what_was_believed),
		cmocka_unit_test(the_unit_of_the_walsender_decides),
		cmocka_unit_test(units_that_disagree_make_a_field_unknown),
		cmocka_unit_test(a_declaration_says_nothing),
		cmocka_unit_test(damaged_dwarf_does_no_harm),
		cmocka_unit_test(a_structure_that_holds_itself_does_not_hold_the_search_up),
		cmocka_unit_test(the_open_file_is_read_and_not_its_path),
	};

	return cmocka_run_group_tests_name("layout/dwarf", tests, make_dir, remove_dir);
}
