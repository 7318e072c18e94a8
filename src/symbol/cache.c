/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers kept by build id: a text file, one line per wanted name, closed by a checksum. The file
 * could have been written by anybody, so it must belong to this user, name this program's version,
 * this list of names and these options, and every address in it must pass the checks of a fresh
 * one. A build id is what the file claims to be: tools that move code keep it (llvm-bolt), and
 * anybody can give one to a program of his own. So the contents count as well.
 */
#include "symbol/resolve_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/text.h"
#include "base/util.h"
#include "symbol/image_parts.h"

#define CACHE_FORMAT   8 /* raise when the meaning of a line or the rules of recovery change */
#define CACHE_MAX_SIZE (256 * 1024)

const char *ws_cache_folder(char *path, size_t size)
{
	/* With capabilities of its file, whoever runs it must not choose the addresses to probe. */
	const char *home = secure_getenv("XDG_CACHE_HOME");

	if (home && home[0] == '/')
		snprintf(path, size, "%s/walscope", home);
	else if (geteuid() == 0)
		snprintf(path, size, "/var/cache/walscope");
	else if ((home = secure_getenv("HOME")) && home[0] == '/')
		snprintf(path, size, "%s/.cache/walscope", home);
	else
		return NULL;
	return path;
}

static void note(const struct resolver *r, const char *file, const char *why)
{
	ws_log(r->options->log, WS_LOG_INFO, "symbol cache %s/%s: %s: ignored",
	       r->options->cache_dir, file, why);
}

/* Of all that is loaded; some milliseconds for a server. */
static uint64_t hash_contents(const struct ws_image *image)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *seg = &image->segments[i];

		hash = XXH64(&seg->vaddr, sizeof(seg->vaddr), hash);
		hash = XXH64(seg->bytes, seg->file_size, hash);
	}
	return hash;
}

/* The build-id of this program: rules of recovery may have changed without a new version. */
static int own_build_id(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t *hash = arg;

	(void)size;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_NOTE)
			*hash = XXH64((const void *)(info->dlpi_addr + ph->p_vaddr), ph->p_memsz,
				      *hash);
	}
	return 1; /* the first object is the program */
}

/* The first line: everything that must be the same for the answers to be the same. */
static int add_header(const struct resolver *r, struct ws_buf *buf)
{
	XXH64_hash_t names = 0;
	uint64_t program = 0;

	for (size_t i = 0; i < r->set->count; i++)
		names = XXH64(r->wanted[i].name, strlen(r->wanted[i].name) + 1, names);
	dl_iterate_phdr(own_build_id, &program);
	return ws_buf_addf(buf,
			   "walscope-symbols %d %s %016" PRIx64 " %s contents=%016" PRIx64
			   " names=%016" PRIx64 " debug=%016" PRIx64 " skip=%x\n",
			   CACHE_FORMAT, WS_VERSION, program, ws_image_build_id(r->image),
			   hash_contents(r->image), (uint64_t)names, ws_debug_fingerprint(r->debug),
			   r->skip);
}

/* "NAME STATUS SOURCE ADDRESS SIZE CONFIDENCE INTO,INTO\n"; "-" where there is no `into`. */
static int add_line(const struct ws_symbol *symbol, struct ws_buf *buf)
{
	int rc = ws_buf_addf(buf, "%s %d %d %" PRIx64 " %" PRIx64 " %.4f ", symbol->name,
			     symbol->status, symbol->source, symbol->address, symbol->size,
			     symbol->confidence);

	for (size_t n = 0; n < WS_SYMBOL_INTO_MAX && symbol->into[n]; n++)
		rc |= ws_buf_addf(buf, "%s%s", n ? "," : "", symbol->into[n]);
	if (!symbol->into[0])
		rc |= ws_buf_addstr(buf, "-");
	return rc | ws_buf_addstr(buf, "\n");
}

static int add_end(struct ws_buf *buf)
{
	return ws_buf_addf(buf, "end %016" PRIx64 "\n", (uint64_t)XXH64(buf->data, buf->len, 0));
}

/* Ours, and nobody else may write to it. */
static bool is_safe(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static int open_dir(const struct resolver *r)
{
	int fd = open(r->options->cache_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && !is_safe(fd, S_IFDIR)) {
		note(r, "", "the folder belongs to somebody else or others may write to it");
		close(fd);
		return -1;
	}
	return fd;
}

static bool read_file(const struct resolver *r, const char *file, struct ws_buf *buf)
{
	ws_autoclose int dir = open_dir(r), fd = -1;
	ssize_t n;

	if (dir < 0)
		return false;
	fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	if (!is_safe(fd, S_IFREG)) {
		note(r, file, "it belongs to somebody else or others may write to it");
		return false;
	}
	if (ws_buf_reserve(buf, CACHE_MAX_SIZE))
		return false;
	while ((n = read(fd, buf->data + buf->len, CACHE_MAX_SIZE - buf->len)) > 0)
		buf->len += (size_t)n;
	buf->data[buf->len] = '\0';
	return n == 0 && strlen(buf->data) == buf->len;
}

/* Cuts the closing line off and compares the checksum in it. */
static bool check_end(struct ws_buf *buf)
{
	static const size_t end_len = sizeof("end 0123456789abcdef\n") - 1;
	struct ws_buf again = { 0 };
	bool same;

	if (buf->len < end_len)
		return false;
	if (ws_buf_add(&again, buf->data, buf->len - end_len) || add_end(&again)) {
		ws_buf_deinit(&again);
		return false;
	}
	same = again.len == buf->len && memcmp(again.data, buf->data, buf->len) == 0;
	ws_buf_deinit(&again);
	buf->len -= end_len;
	buf->data[buf->len] = '\0';
	return same;
}

static bool take_into(struct resolver *r, size_t i, enum ws_symbol_source source, char *list)
{
	char *save, *name;

	if (strcmp(list, "-") == 0)
		return true;
	for (name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		if (ws_resolver_inlined(r, i, source, name))
			return false;
	}
	return true;
}

static bool take_line(struct resolver *r, size_t i, char *line)
{
	struct ws_symbol *symbol = &r->set->symbols[i];
	uint64_t address, size;
	char name[64], into[512];
	int status, source;
	double confidence;

	if (sscanf(line, "%63s %d %d %" SCNx64 " %" SCNx64 " %lf %511s", name, &status, &source,
		   &address, &size, &confidence, into) != 7)
		return false;
	if (strcmp(name, symbol->name) != 0 || source < 0 || source > WS_SOURCE_RECOVERED ||
	    !(confidence >= 0 && confidence <= 1))
		return false;
	switch (status) {
	case WS_SYMBOL_FOUND:
		if (!ws_resolver_claim(r, i, (enum ws_symbol_source)source, address, size,
				       confidence))
			return false;
		break;
	case WS_SYMBOL_INLINED:
	case WS_SYMBOL_UNKNOWN:
		break;
	case WS_SYMBOL_ABSENT:
		return symbol->status == WS_SYMBOL_ABSENT;
	default:
		return false;
	}
	if (symbol->status == WS_SYMBOL_ABSENT ||
	    !take_into(r, i, (enum ws_symbol_source)source, into))
		return false;
	symbol->confidence = confidence;
	return symbol->status == (enum ws_symbol_status)status;
}

static bool take_lines(struct resolver *r, char *text)
{
	char *save, *line = strtok_r(text, "\n", &save);

	for (size_t i = 0; i < r->set->count; i++) {
		line = strtok_r(NULL, "\n", &save);
		if (!line || !take_line(r, i, line))
			return false;
	}
	return strtok_r(NULL, "\n", &save) == NULL;
}

static void forget(struct resolver *r, const struct ws_symbol *before)
{
	for (size_t i = 0; i < r->set->count; i++)
		r->set->symbols[i] = before[i];
}

bool ws_cache_read(struct resolver *r)
{
	struct ws_buf text = { 0 }, header = { 0 };
	char file[WS_BUILD_ID_MAX * 2 + 8];
	ws_autofree struct ws_symbol *before = NULL;
	bool used = false;

	if (!r->options->cache_dir || !ws_image_build_id(r->image)[0])
		return false;
	snprintf(file, sizeof(file), "%s.sym", ws_image_build_id(r->image));
	before = malloc(r->set->count * sizeof(*before));
	if (before && read_file(r, file, &text)) {
		memcpy(before, r->set->symbols, r->set->count * sizeof(*before));
		if (add_header(r, &header) == 0 && text.len >= header.len &&
		    memcmp(text.data, header.data, header.len) == 0)
			used = check_end(&text) && take_lines(r, text.data);
		if (!used) {
			note(r, file, "torn, or of another version or option set");
			forget(r, before);
		}
	}
	ws_buf_deinit(&text);
	ws_buf_deinit(&header);
	return used;
}

/* Written beside and renamed, so that a reader sees all of it or none. */
static int write_file(int dir, const char *file, const struct ws_buf *buf)
{
	ws_autoclose int fd = -1;
	char temporary[WS_BUILD_ID_MAX * 2 + 40];
	ssize_t n;

	snprintf(temporary, sizeof(temporary), ".%s.%ld", file, (long)getpid());
	unlinkat(dir, temporary, 0);
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	n = write(fd, buf->data, buf->len);
	if (n < 0 || (size_t)n != buf->len || renameat(dir, temporary, dir, file)) {
		unlinkat(dir, temporary, 0);
		return -1;
	}
	return 0;
}

void ws_cache_write(const struct resolver *r)
{
	ws_autoclose int dir = -1;
	struct ws_buf buf = { 0 };
	char file[WS_BUILD_ID_MAX * 2 + 8];
	int rc;

	if (!r->options->cache_dir || !ws_image_build_id(r->image)[0])
		return;
	snprintf(file, sizeof(file), "%s.sym", ws_image_build_id(r->image));
	if (mkdir(r->options->cache_dir, 0700) && errno != EEXIST) {
		note(r, file, "the folder cannot be created");
		return;
	}
	dir = open_dir(r);
	if (dir < 0)
		return;
	rc = add_header(r, &buf);
	for (size_t i = 0; i < r->set->count; i++)
		rc |= add_line(&r->set->symbols[i], &buf);
	rc |= add_end(&buf);
	if (rc || write_file(dir, file, &buf))
		note(r, file, "cannot be written");
	ws_buf_deinit(&buf);
}
