/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lz4frame.h>
#include <lzma.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/util.h"

#define PIECE	   (256 * 1024)
#define PAGE	   4096
#define SIZE_MAX_B (1ULL << 42) /* no process of a server has more; a bomb has */
#define XZ_MEMORY  (1ULL << 30)

static const char what[] = "cannot unpack core";

/* Takes compressed bytes, gives plain ones: how much of `in` was used and of `out` filled. */
enum step { STEP_BAD = -1, STEP_MORE = 0, STEP_END = 1 };
struct method {
	const char *name;
	const char *magic;
	size_t magic_len;
	void *(*begin)(void);
	enum step (*step)(void *state, const uint8_t *in, size_t *in_len, uint8_t *out,
			  size_t *out_len, bool last);
	void (*end)(void *state);
};

static void *zstd_begin(void)
{
	return ZSTD_createDStream();
}

static enum step zstd_step(void *state, const uint8_t *in, size_t *in_len, uint8_t *out,
			   size_t *out_len, bool last)
{
	ZSTD_inBuffer from = { in, *in_len, 0 };
	ZSTD_outBuffer to = { out, *out_len, 0 };
	size_t rc = ZSTD_decompressStream(state, &to, &from);

	(void)last;
	*in_len = from.pos;
	*out_len = to.pos;
	return ZSTD_isError(rc) ? STEP_BAD : rc ? STEP_MORE : STEP_END;
}

static void zstd_end(void *state)
{
	ZSTD_freeDStream(state);
}

static void *lz4_begin(void)
{
	LZ4F_dctx *state = NULL;

	return LZ4F_isError(LZ4F_createDecompressionContext(&state, LZ4F_VERSION)) ? NULL : state;
}

static enum step lz4_step(void *state, const uint8_t *in, size_t *in_len, uint8_t *out,
			  size_t *out_len, bool last)
{
	size_t rc = LZ4F_decompress(state, out, out_len, in, in_len, NULL);

	(void)last;
	if (LZ4F_isError(rc)) {
		*in_len = *out_len = 0;
		return STEP_BAD;
	}
	return rc ? STEP_MORE : STEP_END;
}

static void lz4_end(void *state)
{
	LZ4F_freeDecompressionContext(state);
}

static void *xz_begin(void)
{
	lzma_stream *state = calloc(1, sizeof(*state));

	if (state && lzma_stream_decoder(state, XZ_MEMORY, LZMA_CONCATENATED) != LZMA_OK) {
		free(state);
		state = NULL;
	}
	return state;
}

static enum step xz_step(void *state, const uint8_t *in, size_t *in_len, uint8_t *out,
			 size_t *out_len, bool last)
{
	lzma_stream *xz = state;
	lzma_ret rc;

	xz->next_in = in;
	xz->avail_in = *in_len;
	xz->next_out = out;
	xz->avail_out = *out_len;
	rc = lzma_code(xz, last ? LZMA_FINISH : LZMA_RUN);
	*in_len -= xz->avail_in;
	*out_len -= xz->avail_out;
	return rc == LZMA_OK ? STEP_MORE : rc == LZMA_STREAM_END ? STEP_END : STEP_BAD;
}

static void xz_end(void *state)
{
	lzma_end(state);
	free(state);
}

static const struct method compressions[] = {
	{ "zstd", "\x28\xb5\x2f\xfd", 4, zstd_begin, zstd_step, zstd_end },
	{ "lz4", "\x04\x22\x4d\x18", 4, lz4_begin, lz4_step, lz4_end },
	{ "xz", "\xfd\x37zXZ\0", 6, xz_begin, xz_step, xz_end },
};

struct unpacking {
	const struct method *method;
	void *state;
	const char *path;
	int from, to;
	uint64_t read, written;
	uint8_t in[PIECE], out[PIECE];
	bool torn;
};

static int no_name(struct ws_error *err)
{
	const char *folder = getenv("TMPDIR");
	char path[PATH_MAX];
	int fd;

	if (!folder || folder[0] != '/')
		folder = "/var/tmp";
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 &&
	    (size_t)snprintf(path, sizeof(path), "%s/walscope-XXXXXX", folder) < sizeof(path)) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0) {
		ws_error_errno(err, errno, what, folder);
		ws_error_fix(err, "TMPDIR names a folder with room for it");
	}
	return fd;
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return len && !data[0] && memcmp(data, data + 1, len - 1) == 0;
}

/* Leaves holes where there are only zeros. */
static int put(struct unpacking *u, size_t len, struct ws_error *err)
{
	for (size_t at = 0; at < len;) {
		size_t piece = PAGE - (size_t)(u->written % PAGE);

		if (piece > len - at)
			piece = len - at;
		if (!is_zero(u->out + at, piece)) {
			ssize_t n = pwrite(u->to, u->out + at, piece, (off_t)u->written);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0) {
				ws_error_errno(err, n ? errno : ENOSPC, what, u->path);
				return ws_error_fix(err, "TMPDIR names a folder with room for it");
			}
			piece = (size_t)n;
		}
		at += piece;
		u->written += piece;
	}
	if (u->written > SIZE_MAX_B)
		return ws_error_set(err, what, u->path, "it is larger than any process's memory");
	return 0;
}

/* What was read last; `last`: there is no more. Returns 1 at the end, -1 with err filled. */
static int feed(struct unpacking *u, size_t len, bool last, struct ws_error *err)
{
	size_t at = 0, out_len = 0;
	enum step step = STEP_MORE;

	do {
		size_t in_len = len - at;

		out_len = sizeof(u->out);
		step = u->method->step(u->state, u->in + at, &in_len, u->out, &out_len, last);
		at += in_len;
		if (put(u, out_len, err))
			return -1;
		if (!in_len && !out_len)
			break;
		/* zstd and lz4: one frame may follow another. */
	} while (step != STEP_BAD && (at < len || out_len == sizeof(u->out)));
	u->torn = step != STEP_END;
	return step == STEP_BAD || at < len ? 1 : 0;
}

static int run(struct unpacking *u, struct ws_error *err)
{
	int rc = 0;

	while (rc == 0) {
		long n = ws_read_at(u->from, u->in, sizeof(u->in), u->read);

		if (n < 0)
			return ws_error_errno(err, errno, what, u->path);
		u->read += (uint64_t)n;
		rc = n ? feed(u, (size_t)n, false, err) : 1;
		/* xz says that it ended only when it is told that there is no more. */
		if (!n && u->torn && feed(u, 0, true, err) < 0)
			return -1;
	}
	if (rc > 0 && ftruncate(u->to, (off_t)u->written))
		return ws_error_errno(err, errno, what, u->path);
	if (rc > 0 && !u->written)
		return ws_error_set(err, what, u->path, "nothing in it can be unpacked");
	return rc < 0 ? -1 : 0;
}

static const struct method *find_method(int fd)
{
	uint8_t head[6] = { 0 };

	if (ws_read_at(fd, head, sizeof(head), 0) != (long)sizeof(head))
		return NULL;
	for (size_t i = 0; i < WS_ARRAY_SIZE(compressions); i++)
		if (memcmp(head, compressions[i].magic, compressions[i].magic_len) == 0)
			return &compressions[i];
	return NULL;
}

int ws_core_unpack(int *fd, const char *path, bool *torn, const struct ws_log *log,
		   struct ws_error *err)
{
	const struct method *method = find_method(*fd);
	struct unpacking *u;
	int rc = -1;

	*torn = false;
	if (!method)
		return 0;
	u = calloc(1, sizeof(*u));
	if (!u)
		return ws_error_errno(err, ENOMEM, what, path);
	u->method = method;
	u->path = path;
	u->from = *fd;
	u->to = no_name(err);
	if (u->to >= 0 && !(u->state = method->begin()))
		ws_error_errno(err, ENOMEM, what, path);
	if (u->state) {
		ws_log(log, WS_LOG_INFO, "%s is compressed with %s: unpacking", path, method->name);
		rc = run(u, err);
		method->end(u->state);
	}
	if (rc == 0) {
		*torn = u->torn;
		close(*fd);
		*fd = u->to;
	} else if (u->to >= 0) {
		close(u->to);
	}
	free(u);
	return rc;
}
