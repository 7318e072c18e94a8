/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Separate debug files, made of a small program with the tools that distributions use: where they
 * are found, which are refused, and that each answer says where it is from.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "symbol/list.h"

#define PATH_SIZE 512

static const char source[] =
	/* Enough for dwz to find it worth to be shared. */
	"struct shared { long first, second, third, fourth; char text[20]; struct shared *next; } "
	"one;\n"
	"volatile int sink;\n"
	"static int sentPtr __attribute__((used)) = 1;\n"
	"static __attribute__((noinline, noipa)) void WalSndKeepalive(void) { sink++; }\n"
	"static inline __attribute__((always_inline)) void WalSndDone(void) { WalSndKeepalive(); "
	"}\n"
	"static __attribute__((noinline, noipa)) void WalSndLoop(void) { sink = 1; WalSndDone(); "
	"}\n"
	"void WalSndErrorCleanup(void) { sink = 7; }\n"
	"int main(void) { WalSndLoop(); return 0; }\n";

/* The program in the forms that debug information comes in. Names of files in `folder`. */
struct fixture {
	char folder[PATH_SIZE / 2];
	uint64_t loop, pointer; /* WalSndLoop, sentPtr */
	char build_id[2 * WS_BUILD_ID_MAX + 1];
};

static struct fixture fx;

__attribute__((format(printf, 1, 2))) static void sh(const char *fmt, ...)
{
	char command[4 * PATH_SIZE], line[6 * PATH_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "cd '%s' && { %s; } >log 2>&1 || { cat log; false; }",
		 fx.folder, command);
	if (system(line) != 0)
		fail_msg("this failed: %s", command);
}

/* "full" with all, "full.debug" beside it, and "bare" with nothing. */
static int setup(const char *dwarf)
{
	char path[PATH_SIZE], flags[64];
	struct ws_image *image;

	snprintf(flags, sizeof(flags), "-g -gdwarf-%s -Wl,--build-id", dwarf);
	ws_fixture_compile("walsender.c", source, flags, path, sizeof(path));
	snprintf(fx.folder, sizeof(fx.folder), "%.*s", (int)(strrchr(path, '/') - path), path);
	sh("mv walsender.c.bin full && objcopy --only-keep-debug full full.debug && "
	   "strip -o bare full && mkdir -p none");
	snprintf(path, sizeof(path), "%s/full", fx.folder);
	image = ws_fixture_open(path);
	fx.loop = ws_image_symbol(image, "WalSndLoop")->address;
	fx.pointer = ws_image_symbol(image, "sentPtr")->address;
	snprintf(fx.build_id, sizeof(fx.build_id), "%s", ws_image_build_id(image));
	ws_image_free(image);
	unsetenv("DEBUGINFOD_URLS");
	return 0;
}

static int setup_dwarf_4(void **state)
{
	(void)state;
	return setup("4");
}

static int setup_dwarf_5(void **state)
{
	(void)state;
	return setup("5");
}

/* Debian 12's dwz does not know the .debug_addr that clang makes. */
static int setup_gcc_dwarf_5(void **state)
{
	setenv("CC", "gcc", 1);
	return setup_dwarf_5(state);
}

/* What a resolution said at -v, line by line. */
struct notes {
	char text[8192];
};

static void keep_note(void *arg, enum ws_log_level level, const char *line)
{
	struct notes *notes = arg;

	(void)level;
	snprintf(notes->text + strlen(notes->text), sizeof(notes->text) - strlen(notes->text),
		 "%s\n", line);
}

struct answer {
	struct ws_image *image;
	struct ws_debug *debug;
	struct ws_symbol_set set;
	struct notes notes;
	struct ws_log log;
};

/* Resolves `file`; the build-id directory is below `debug_dir` ("none": there is none). */
static void ask_cached(struct answer *a, const char *file, const char *debug_dir, unsigned int skip,
		       const char *cache_dir)
{
	char path[2 * PATH_SIZE], folder[2 * PATH_SIZE];
	struct ws_debug_options options = { .skip = skip,
					    .debug_dir = folder,
					    .debuginfod_limit_ns = 2000000000 };
	struct ws_resolve_options resolve = { .no_recovery = true, .cache_dir = cache_dir };
	struct ws_error err = { 0 };

	memset(a, 0, sizeof(*a));
	a->log = (struct ws_log){ .level = WS_LOG_INFO, .fn = keep_note, .arg = &a->notes };
	snprintf(path, sizeof(path), "%s/%s", fx.folder, file);
	snprintf(folder, sizeof(folder), "%s/%s", fx.folder, debug_dir);
	options.log = resolve.log = &a->log;
	a->image = ws_fixture_open(path);
	a->debug = resolve.debug = ws_debug_new(a->image, &options);
	assert_non_null(a->debug);
	assert_int_equal(ws_resolve(a->image, &resolve, &a->set, &err), 0);
}

static void ask(struct answer *a, const char *file, const char *debug_dir, unsigned int skip)
{
	ask_cached(a, file, debug_dir, skip, NULL);
}

static void done(struct answer *a)
{
	ws_symbol_set_deinit(&a->set);
	ws_debug_free(a->debug);
	ws_image_free(a->image);
}

static void check_said(const struct answer *a, const char *what)
{
	if (!strstr(a->notes.text, what))
		fail_msg("nothing like \"%s\" in:\n%s", what, a->notes.text);
}

static void check_found(const struct answer *a, enum ws_symbol_source from)
{
	const struct ws_symbol *loop = ws_symbol_find(&a->set, "WalSndLoop");
	const struct ws_symbol *cleanup = ws_symbol_find(&a->set, "WalSndErrorCleanup");

	if (loop->status != WS_SYMBOL_FOUND)
		fail_msg("WalSndLoop was not found:\n%s", a->notes.text);
	assert_string_equal(ws_symbol_source_name(loop->source), ws_symbol_source_name(from));
	assert_int_equal(loop->address, fx.loop);
	assert_int_equal(ws_symbol_address(&a->set, "sentPtr"),
			 from == WS_SOURCE_MINIDEBUGINFO ? 0 : fx.pointer);
	assert_int_equal(cleanup->source, WS_SOURCE_DYNSYM);
}

static void check_inlined(const struct answer *a, enum ws_symbol_source from)
{
	const struct ws_symbol *inlined = ws_symbol_find(&a->set, "WalSndDone");

	assert_int_equal(inlined->status, WS_SYMBOL_INLINED);
	assert_int_equal(inlined->source, from);
	assert_string_equal(inlined->into[0], "WalSndLoop");
}

static void check_nothing(const struct answer *a)
{
	assert_int_equal(ws_symbol_find(&a->set, "WalSndLoop")->status, WS_SYMBOL_UNKNOWN);
	assert_int_equal(ws_symbol_find(&a->set, "sentPtr")->status, WS_SYMBOL_UNKNOWN);
	assert_int_equal(ws_symbol_find(&a->set, "WalSndErrorCleanup")->status, WS_SYMBOL_FOUND);
}

/* Asks, expects an answer from there, or none. */
static void expect(const char *file, const char *debug_dir, unsigned int skip,
		   enum ws_symbol_source from, const char *note)
{
	struct answer a;

	ask(&a, file, debug_dir, skip);
	if (from)
		check_found(&a, from);
	else
		check_nothing(&a);
	if (note)
		check_said(&a, note);
	done(&a);
}

/* Puts a file of the folder into the build-id directory `dir`. */
static void install(const char *file, const char *dir, const char *build_id)
{
	sh("mkdir -p %s/.build-id/%.2s && cp %s %s/.build-id/%.2s/%s.debug", dir, build_id, file,
	   dir, build_id, build_id + 2);
}

static void a_bare_file_has_its_exports_alone(void **state)
{
	(void)state;
	expect("bare", "none", 0, WS_SOURCE_NONE, "build-id: there is none");
}

static void the_build_id_directory_has_the_rest(void **state)
{
	struct answer a;

	(void)state;
	install("full.debug", "ids", fx.build_id);
	ask(&a, "bare", "ids", 0);
	check_found(&a, WS_SOURCE_DEBUGLINK);
	check_inlined(&a, WS_SOURCE_DEBUGLINK);
	check_said(&a, "names found in");
	assert_non_null(strstr(a.set.steps[WS_STEP_BUILD_ID].file, ".debug"));
	assert_int_equal(a.set.steps[WS_STEP_DEBUGLINK].outcome, WS_STEP_NOT_NEEDED);
	done(&a);
	expect("bare", "ids", WS_STEP_BIT(WS_STEP_BUILD_ID), WS_SOURCE_NONE,
	       "build-id: switched off");
	expect("bare", "ids", WS_STEPS_DEBUG_INFO, WS_SOURCE_NONE, "dwarf: switched off");
}

static void a_file_with_debug_information_needs_no_other(void **state)
{
	struct answer a;

	(void)state;
	install("full.debug", "ids", fx.build_id);
	ask(&a, "full", "ids", 0);
	check_found(&a, WS_SOURCE_SYMTAB);
	check_inlined(&a, WS_SOURCE_DWARF);
	check_said(&a, "build-id: not needed");
	done(&a);
}

static void a_debug_file_of_another_build_is_refused(void **state)
{
	(void)state;
	sh("printf 'int x = 1; int main(void) { return x; }' >other.c && "
	   "${CC:-cc} -g -Wl,--build-id other.c -o other && objcopy --only-keep-debug other "
	   "other.debug");
	install("other.debug", "wrong", fx.build_id);
	expect("bare", "wrong", 0, WS_SOURCE_NONE, "its build-id is another: not used");
	sh("objcopy --remove-section .note.gnu.build-id full.debug anonymous.debug");
	install("anonymous.debug", "anonymous", fx.build_id);
	expect("bare", "anonymous", 0, WS_SOURCE_NONE, "it has no build-id: not used");
}

static void what_is_no_debug_file_is_passed_over(void **state)
{
	(void)state;
	sh("echo text >text && head -c 100 full.debug >cut && : >empty && mkfifo pipe");
	install("text", "text.d", fx.build_id);
	expect("bare", "text.d", 0, WS_SOURCE_NONE, "it is not an ELF file");
	install("cut", "cut.d", fx.build_id);
	expect("bare", "cut.d", 0, WS_SOURCE_NONE, "not used");
	install("empty", "empty.d", fx.build_id);
	expect("bare", "empty.d", 0, WS_SOURCE_NONE, "not used");
	sh("mkdir -p fifo.d/.build-id/%.2s && mv pipe fifo.d/.build-id/%.2s/%s.debug", fx.build_id,
	   fx.build_id, fx.build_id + 2);
	expect("bare", "fifo.d", 0, WS_SOURCE_NONE, "it is not a regular file");
}

static void the_debug_link_is_followed_to_each_place(void **state)
{
	(void)state;
	sh("rm -rf links && mkdir -p links/.debug root%s/links && cp full.debug links/linked.debug",
	   fx.folder);
	sh("cd links && objcopy --add-gnu-debuglink=linked.debug ../bare linked && chmod +x "
	   "linked");
	expect("links/linked", "none", 0, WS_SOURCE_DEBUGLINK, "links/linked.debug");
	expect("links/linked", "none", WS_STEP_BIT(WS_STEP_DEBUGLINK), WS_SOURCE_NONE,
	       "debuglink: switched off");
	sh("cd links && mv linked.debug .debug/");
	expect("links/linked", "none", 0, WS_SOURCE_DEBUGLINK, "links/.debug/linked.debug");
	sh("mv links/.debug/linked.debug root%s/links/", fx.folder);
	expect("links/linked", "root", 0, WS_SOURCE_DEBUGLINK, "root/");
	expect("links/linked", "none", 0, WS_SOURCE_NONE, "debuglink: there is none");
}

static void a_debug_link_with_another_crc_is_refused(void **state)
{
	(void)state;
	sh("rm -rf crc && mkdir crc && cd crc && cp ../full.debug linked.debug && "
	   "objcopy --add-gnu-debuglink=linked.debug ../bare linked && printf x >>linked.debug");
	expect("crc/linked", "none", 0, WS_SOURCE_NONE, "its CRC is another: not used");
}

/* Its CRC is right, but it was made of another build. */
static void a_debug_link_to_another_build_is_refused(void **state)
{
	(void)state;
	sh("printf 'int y = 1; int main(void) { return y; }' >third.c && "
	   "${CC:-cc} -g -Wl,--build-id third.c -o third && rm -rf build && mkdir build && cd "
	   "build && "
	   "objcopy --only-keep-debug ../third linked.debug && "
	   "objcopy --add-gnu-debuglink=linked.debug ../bare linked");
	expect("build/linked", "none", 0, WS_SOURCE_NONE, "its build-id is another: not used");
}

/* .gnu_debuglink names a file, not a path, and not the file it is in. */
static void a_debug_link_cannot_lead_elsewhere(void **state)
{
	(void)state;
	sh("rm -rf path && mkdir path && cp bare path/up && cp full.debug path.debug && "
	   "printf '../path.debug\\0\\0\\0\\1\\2\\3\\4' >path.link && "
	   "objcopy --add-section .gnu_debuglink=path.link path/up");
	expect("path/up", "none", 0, WS_SOURCE_NONE, "debuglink: there is none");
	sh("printf 'self\\0\\0\\0\\0\\1\\2\\3\\4' >self.link && "
	   "objcopy --add-section .gnu_debuglink=self.link bare path/self");
	expect("path/self", "none", 0, WS_SOURCE_NONE, "debuglink: there is none");
	sh("printf 'unended' >un.link && objcopy --add-section .gnu_debuglink=un.link bare "
	   "path/un");
	expect("path/un", "none", 0, WS_SOURCE_NONE, "debuglink: there is none");
}

/* Two programs whose common entries dwz moved into a third file. */
static void make_dwz(void)
{
	sh("rm -rf dwz && mkdir dwz && cp full dwz/a && cp full dwz/b && cp full dwz/c && cd dwz "
	   "&& "
	   "dwz -m common -M %s/dwz/common a b c && objcopy --only-keep-debug a a.debug && "
	   "objcopy --add-gnu-debuglink=a.debug ../bare linked && "
	   "objdump -h a.debug | grep -q gnu_debugaltlink",
	   fx.folder);
}

static void dwz_files_are_read_with_what_they_share(void **state)
{
	struct answer a;

	(void)state;
	make_dwz();
	ask(&a, "dwz/linked", "none", 0);
	check_found(&a, WS_SOURCE_DEBUGLINK);
	check_inlined(&a, WS_SOURCE_DEBUGLINK);
	done(&a);
	sh("cd dwz && mv common elsewhere");
	ask(&a, "dwz/linked", "none", 0);
	check_found(&a, WS_SOURCE_DEBUGLINK); /* by its .symtab */
	assert_int_equal(ws_symbol_find(&a.set, "WalSndDone")->status, WS_SYMBOL_UNKNOWN);
	check_said(&a, "which is not to be had: not used");
	done(&a);
	sh("cd dwz && cp ../bare common");
	ask(&a, "dwz/linked", "none", 0);
	assert_int_equal(ws_symbol_find(&a.set, "WalSndDone")->status, WS_SYMBOL_UNKNOWN);
	check_said(&a, "altlink: ");
	check_said(&a, "its build-id is another: not used");
	done(&a);
	sh("cd dwz && mv elsewhere common");
	ask(&a, "dwz/linked", "none", WS_STEP_BIT(WS_STEP_ALTLINK));
	assert_int_equal(ws_symbol_find(&a.set, "WalSndDone")->status, WS_SYMBOL_UNKNOWN);
	check_said(&a, "altlink: ");
	check_said(&a, "switched off");
	done(&a);
}

/* As rpm makes it: the functions that .dynsym lacks, and no more. */
static void make_mini(void)
{
	sh("nm -D full --format=posix --defined-only | awk '{ print $1 }' | sort >dynamic && "
	   "nm full --format=posix --defined-only | awk '$2 ~ /[Tt]/ { print $1 }' | sort >all && "
	   "comm -13 dynamic all >keep && "
	   "objcopy -S --remove-section .gdb_index --remove-section .comment --keep-symbols=keep "
	   "full.debug mini && xz -kf mini && objcopy --add-section .gnu_debugdata=mini.xz bare "
	   "withmini");
}

static void names_of_mini_debug_info_are_taken(void **state)
{
	(void)state;
	make_mini();
	expect("withmini", "none", 0, WS_SOURCE_MINIDEBUGINFO, "minidebuginfo: 2 names found");
	expect("withmini", "none", WS_STEP_BIT(WS_STEP_MINIDEBUGINFO), WS_SOURCE_NONE,
	       "minidebuginfo: switched off");
	install("full.debug", "ids", fx.build_id);
	expect("withmini", "ids", 0, WS_SOURCE_DEBUGLINK, "minidebuginfo: not needed");
}

static void mini_debug_info_that_is_none_is_passed_over(void **state)
{
	(void)state;
	make_mini();
	sh("head -c 200 mini.xz >cut.xz && objcopy --add-section .gnu_debugdata=cut.xz bare "
	   "cutmini");
	expect("cutmini", "none", 0, WS_SOURCE_NONE, ".gnu_debugdata: it is no valid xz: not used");
	sh("echo text | xz >text.xz && objcopy --add-section .gnu_debugdata=text.xz bare textmini");
	expect("textmini", "none", 0, WS_SOURCE_NONE, "it is not an ELF file: not used");
	sh("head -c 100000000 /dev/zero | xz -0 >bomb.xz && "
	   "objcopy --add-section .gnu_debugdata=bomb.xz bare bombmini");
	expect("bombmini", "none", 0, WS_SOURCE_NONE, "it unpacks to more than 64 MiB: not used");
}

/* -- debuginfod: a server with one file, or one that never answers */

struct server {
	pid_t pid;
	int port;
};

static void serve(int listener, const char *file)
{
	ws_autofree uint8_t *bytes = NULL;
	char wanted[2 * WS_BUILD_ID_MAX + 64];
	size_t size = 0;

	if (file) {
		char path[2 * PATH_SIZE];

		snprintf(path, sizeof(path), "%s/%s", fx.folder, file);
		bytes = ws_fixture_read(path, &size);
	}
	snprintf(wanted, sizeof(wanted), "GET /buildid/%s/debuginfo ", fx.build_id);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		char request[4096] = "";

		if (fd < 0 || recv(fd, request, sizeof(request) - 1, 0) <= 0)
			_exit(0);
		if (!file)
			pause();
		if (strncmp(request, wanted, strlen(wanted)) == 0) {
			dprintf(fd, "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
			if (write(fd, bytes, size) != (ssize_t)size)
				_exit(1);
		} else {
			dprintf(fd, "HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n");
		}
		close(fd);
	}
}

static void start_server(struct server *server, const char *file)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char urls[64], cache[PATH_SIZE];

	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	server->port = ntohs(address.sin_port);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(listener, file);
	}
	close(listener);
	snprintf(urls, sizeof(urls), "http://127.0.0.1:%d", server->port);
	setenv("DEBUGINFOD_URLS", urls, 1);
	sh("rm -rf client");
	snprintf(cache, sizeof(cache), "%s/client", fx.folder);
	setenv("DEBUGINFOD_CACHE_PATH", cache, 1);
}

static void stop_server(struct server *server)
{
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	unsetenv("DEBUGINFOD_URLS");
}

static void debuginfod_has_the_rest(void **state)
{
	struct server server;
	struct answer a;

	(void)state;
	start_server(&server, "full.debug");
	ask(&a, "bare", "none", 0);
	check_found(&a, WS_SOURCE_DEBUGINFOD);
	check_inlined(&a, WS_SOURCE_DEBUGINFOD);
	done(&a);
	expect("bare", "none", WS_STEP_BIT(WS_STEP_DEBUGINFOD), WS_SOURCE_NONE,
	       "debuginfod: switched off");
	stop_server(&server);
	expect("bare", "none", 0, WS_SOURCE_NONE, "DEBUGINFOD_URLS is not set: not asked");
}

static void debuginfod_with_another_file_is_not_believed(void **state)
{
	struct server server;

	(void)state;
	sh("printf 'int z = 1; int main(void) { return z; }' >fourth.c && "
	   "${CC:-cc} -g -Wl,--build-id fourth.c -o fourth");
	start_server(&server, "fourth");
	expect("bare", "none", 0, WS_SOURCE_NONE, "its build-id is another: not used");
	stop_server(&server);
}

static void debuginfod_without_the_file_is_passed_over(void **state)
{
	struct server server;
	struct answer a;

	(void)state;
	start_server(&server, "full.debug");
	sh("printf 'int v = 1; int main(void) { return v; }' >fifth.c && "
	   "${CC:-cc} -g -Wl,--build-id fifth.c -o fifth && strip -o foreign fifth");
	ask(&a, "foreign", "none", 0);
	check_said(&a, "debuginfod: No such file or directory: not used");
	assert_int_equal(ws_symbol_find(&a.set, "WalSndLoop")->status, WS_SYMBOL_UNKNOWN);
	done(&a);
	stop_server(&server);
}

static void debuginfod_that_does_not_answer_is_given_up(void **state)
{
	uint64_t start = ws_clock_mono_ns();
	struct server server;

	(void)state;
	start_server(&server, NULL);
	expect("bare", "none", 0, WS_SOURCE_NONE, "debuginfod: no answer within");
	assert_true(ws_clock_mono_ns() - start < 15000000000);
	stop_server(&server);
}

/* -- hostile files */

static void a_damaged_debug_file_costs_no_more_than_itself(void **state)
{
	char path[2 * PATH_SIZE], copy[3 * PATH_SIZE];
	ws_autofree uint8_t *bytes = NULL;
	size_t size;

	(void)state;
	install("full.debug", "hostile", fx.build_id);
	snprintf(path, sizeof(path), "%s/full.debug", fx.folder);
	snprintf(copy, sizeof(copy), "%s/hostile/.build-id/%.2s/%s.debug", fx.folder, fx.build_id,
		 fx.build_id + 2);
	bytes = ws_fixture_read(path, &size);
	for (size_t at = 0; at < size; at += 1 + size / 300) {
		FILE *file = fopen(copy, "w");
		size_t cut = at % 2 ? at : size;
		struct ws_symbol_list list;
		struct ws_error err;
		struct answer a;

		assert_non_null(file);
		bytes[at] ^= 0xff;
		assert_int_equal(fwrite(bytes, 1, cut, file), cut);
		bytes[at] ^= 0xff;
		fclose(file);
		ask(&a, "bare", "hostile", 0);
		assert_int_equal(ws_symbol_find(&a.set, "WalSndErrorCleanup")->source,
				 WS_SOURCE_DYNSYM);
		assert_int_equal(ws_symbol_list_make(a.image, a.debug, &a.set, true, &list, &err),
				 0);
		for (size_t i = 0; i < list.count; i++)
			assert_true(list.symbols[i].status != WS_SYMBOL_FOUND ||
				    ws_image_is_mapped(a.image, list.symbols[i].address));
		ws_symbol_list_deinit(&list);
		done(&a);
	}
}

/* -- everything there is */

static void the_list_has_names_nobody_wants(void **state)
{
	struct ws_symbol_list list;
	bool seen = false;
	struct ws_error err;
	struct answer a;

	(void)state;
	install("full.debug", "ids", fx.build_id);
	ask(&a, "bare", "ids", 0);
	assert_int_equal(ws_symbol_list_make(a.image, a.debug, &a.set, true, &list, &err), 0);
	for (size_t i = 0; i < list.count; i++) {
		const struct ws_symbol *symbol = &list.symbols[i];

		if (i > 0)
			assert_true(strcmp(symbol[-1].name, symbol->name) <= 0);
		if (strcmp(symbol->name, "main") == 0) {
			assert_false(seen);
			assert_int_equal(symbol->status, WS_SYMBOL_FOUND);
			seen = true;
		}
	}
	assert_true(seen);
	ws_symbol_list_deinit(&list);
	assert_int_equal(ws_symbol_list_make(a.image, a.debug, &a.set, false, &list, &err), 0);
	assert_int_equal(list.count, a.set.count);
	ws_symbol_list_deinit(&list);
	done(&a);
}

static void the_list_is_the_same_with_the_set_out_of_the_cache(void **state)
{
	static const struct {
		const char *file, *debug_dir;
	} cases[] = { { "bare", "ids" }, { "bare", "none" }, { "full", "none" } };
	char cache[2 * PATH_SIZE];

	(void)state;
	install("full.debug", "ids", fx.build_id);
	snprintf(cache, sizeof(cache), "%s/cache", fx.folder);
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++) {
		struct ws_symbol_list first, second;
		struct ws_error err;
		struct answer a, b;

		sh("rm -rf cache");
		ask_cached(&a, cases[i].file, cases[i].debug_dir, 0, cache);
		ask_cached(&b, cases[i].file, cases[i].debug_dir, 0, cache);
		assert_false(a.set.from_cache);
		assert_true(b.set.from_cache);
		assert_int_equal(ws_symbol_list_make(a.image, a.debug, &a.set, true, &first, &err),
				 0);
		assert_int_equal(ws_symbol_list_make(b.image, b.debug, &b.set, true, &second, &err),
				 0);
		assert_int_equal(first.count, second.count);
		for (size_t k = 0; k < first.count; k++) {
			assert_string_equal(first.symbols[k].name, second.symbols[k].name);
			assert_int_equal(first.symbols[k].address, second.symbols[k].address);
			assert_int_equal(first.symbols[k].source, second.symbols[k].source);
		}
		ws_symbol_list_deinit(&first);
		ws_symbol_list_deinit(&second);
		done(&a);
		done(&b);
	}
}

static void a_new_debug_file_makes_the_cache_stale(void **state)
{
	uint64_t before, after;
	struct answer a;

	(void)state;
	sh("rm -rf late");
	ask(&a, "bare", "late", 0);
	before = ws_debug_fingerprint(a.debug);
	assert_int_equal(ws_debug_fingerprint(a.debug), before);
	install("full.debug", "late", fx.build_id);
	after = ws_debug_fingerprint(a.debug);
	assert_int_not_equal(before, after);
	done(&a);
}

/* In a container a debug file is where the container has it. */
static void the_root_of_the_process_is_looked_at(void **state)
{
	char path[2 * PATH_SIZE], root[2 * PATH_SIZE];
	struct ws_debug_options options = { .root = root, .debug_dir = "/usr/lib/debug" };
	const struct ws_debug_file *file;
	struct ws_debug *debug;
	struct ws_image *image;

	(void)state;
	sh("rm -rf jail && mkdir -p jail/usr/lib/debug/.build-id/%.2s jail/data && "
	   "cp full.debug jail/data/ && "
	   "ln -s /data/full.debug jail/usr/lib/debug/.build-id/%.2s/%s.debug",
	   fx.build_id, fx.build_id, fx.build_id + 2);
	snprintf(path, sizeof(path), "%s/bare", fx.folder);
	snprintf(root, sizeof(root), "%s/jail", fx.folder);
	image = ws_fixture_open(path);
	debug = ws_debug_new(image, &options);
	file = ws_debug_file(debug, WS_STEP_BUILD_ID);
	assert_non_null(file);
	assert_non_null(file->dwarf);
	ws_debug_free(debug);
	ws_image_free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bare_file_has_its_exports_alone),
		cmocka_unit_test(the_build_id_directory_has_the_rest),
		cmocka_unit_test(a_file_with_debug_information_needs_no_other),
		cmocka_unit_test(a_debug_file_of_another_build_is_refused),
		cmocka_unit_test(what_is_no_debug_file_is_passed_over),
		cmocka_unit_test(the_debug_link_is_followed_to_each_place),
		cmocka_unit_test(a_debug_link_with_another_crc_is_refused),
		cmocka_unit_test(a_debug_link_to_another_build_is_refused),
		cmocka_unit_test(a_debug_link_cannot_lead_elsewhere),
		cmocka_unit_test(dwz_files_are_read_with_what_they_share),
		cmocka_unit_test(names_of_mini_debug_info_are_taken),
		cmocka_unit_test(mini_debug_info_that_is_none_is_passed_over),
		cmocka_unit_test(debuginfod_has_the_rest),
		cmocka_unit_test(debuginfod_with_another_file_is_not_believed),
		cmocka_unit_test(debuginfod_without_the_file_is_passed_over),
		cmocka_unit_test(debuginfod_that_does_not_answer_is_given_up),
		cmocka_unit_test(a_damaged_debug_file_costs_no_more_than_itself),
		cmocka_unit_test(the_list_has_names_nobody_wants),
		cmocka_unit_test(the_list_is_the_same_with_the_set_out_of_the_cache),
		cmocka_unit_test(a_new_debug_file_makes_the_cache_stale),
		cmocka_unit_test(the_root_of_the_process_is_looked_at),
	};

	const struct CMUnitTest of_version[] = {
		cmocka_unit_test(the_build_id_directory_has_the_rest),
		cmocka_unit_test(a_file_with_debug_information_needs_no_other),
		cmocka_unit_test(a_damaged_debug_file_costs_no_more_than_itself),
	};
	const struct CMUnitTest of_dwz[] = {
		cmocka_unit_test(dwz_files_are_read_with_what_they_share),
	};

	return cmocka_run_group_tests_name("symbol/debug", tests, setup_dwarf_4,
					   ws_fixture_teardown) +
	       cmocka_run_group_tests_name("symbol/debug, DWARF 5", of_version, setup_dwarf_5,
					   ws_fixture_teardown) +
	       cmocka_run_group_tests_name("symbol/debug, DWARF 5 of gcc", of_dwz,
					   setup_gcc_dwarf_5, ws_fixture_teardown);
}
