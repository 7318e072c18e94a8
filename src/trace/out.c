/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "trace/trace.h"

int ws_out_refuse(const struct ws_out *out, struct ws_error *err)
{
	if (err)
		*err = out->error;
	return -1;
}

int ws_out_fail(struct ws_out *out, int errnum, const char *what, struct ws_error *err)
{
	ws_error_errno(&out->error, errnum, what, out->path);
	if (errnum == ENOSPC || errnum == EDQUOT)
		ws_error_fix(&out->error, "make room; what was written stays readable");
	if (errnum == EFBIG)
		ws_error_fix(&out->error, "see `ulimit -f`; what was written stays readable");
	out->failed = true;
	return ws_out_refuse(out, err);
}

bool ws_out_is_full(int errnum)
{
	return errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG;
}

/* As much as there is room for; *errnum says why it is not all. */
static size_t write_some(int fd, const struct ws_buf *bytes, int *errnum)
{
	size_t done = 0;
	ssize_t wrote;

	while (done < bytes->len) {
		wrote = write(fd, bytes->data + done, bytes->len - done);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			*errnum = wrote ? errno : EIO;
			break;
		}
		done += (size_t)wrote;
	}
	return done;
}

int ws_out_write(struct ws_out *out, const struct ws_buf *bytes, int *errnum)
{
	size_t done = write_some(out->fd, bytes, errnum);

	if (done == bytes->len) {
		out->bytes += done;
		return 0;
	}
	if (done && !out->truncatable)
		return ws_out_fail(out, *errnum, WS_OUT_WRITE, NULL);
	if (done && (ftruncate(out->fd, (off_t)out->bytes) < 0 ||
		     lseek(out->fd, (off_t)out->bytes, SEEK_SET) < 0))
		return ws_out_fail(out, errno, WS_OUT_WRITE, NULL);
	return -1;
}

int ws_out_check(struct ws_out *out, struct ws_error *err)
{
	struct stat st;
	bool removed;

	if (!out->truncatable || fstat(out->fd, &st) < 0)
		return 0;
	removed = out->linked && !st.st_nlink;
	if (!removed && (uint64_t)st.st_size >= out->bytes)
		return 0;
	ws_error_set(&out->error, WS_OUT_WRITE, out->path, "somebody %s while it was being written",
		     removed ? "removed it" : "cut it");
	ws_error_fix(&out->error, "record anew, into a file that is left alone until the end");
	out->failed = true;
	return ws_out_refuse(out, err);
}

int ws_writer_lock(int fd, const char *path, struct ws_error *err)
{
	/* A file system without locks is no reason not to record. */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return 0;
	return ws_error_set(err, WS_OUT_CREATE, path, "another recording is being written to it");
}

int ws_out_open(struct ws_out *out, const char *path, struct ws_error *err)
{
	struct stat st;

	*out = (struct ws_out){ .fd = -1, .path = strdup(path) };
	if (!out->path)
		return ws_error_errno(err, ENOMEM, WS_OUT_CREATE, path);
	out->fd = open(out->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (out->fd < 0 || fstat(out->fd, &st) < 0)
		return ws_error_errno(err, errno, WS_OUT_CREATE, out->path);
	out->truncatable = S_ISREG(st.st_mode);
	out->linked = st.st_nlink != 0;
	return out->truncatable ? ws_writer_lock(out->fd, out->path, err) : 0;
}

/* The first bytes of the file as it is; of one that may not be read none. */
static int read_start(const char *path, struct ws_buf *start, size_t size)
{
	ws_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	long got;

	if (ws_buf_reserve(start, size))
		return -1;
	got = fd < 0 ? 0 : ws_read_at(fd, start->data, size, 0);
	start->len = got > 0 ? (size_t)got : 0;
	return 0;
}

static void write_back(int fd, const struct ws_buf *old, off_t size)
{
	if (old->len)
		(void)!pwrite(fd, old->data, old->len, 0);
	(void)!ftruncate(fd, size);
}

/*
 * The header goes over the start of an older recording, which a full disk allows on most file
 * systems; where it does not, the older one is put back. Only then is the rest of it cut off.
 */
static int replace_file(struct ws_out *out, const struct ws_buf *header, struct ws_error *err)
{
	struct ws_buf old = { 0 };
	struct stat st;
	int rc = -1, errnum = 0;

	if (fstat(out->fd, &st) < 0 || lseek(out->fd, 0, SEEK_SET) < 0)
		return ws_error_errno(err, errno, WS_OUT_CREATE, out->path);
	if (read_start(out->path, &old, header->len)) {
		ws_out_fail(out, ENOMEM, WS_OUT_CREATE, err);
	} else if (write_some(out->fd, header, &errnum) < header->len) {
		ws_out_fail(out, errnum, WS_OUT_WRITE, err);
		write_back(out->fd, &old, st.st_size);
	} else if (ftruncate(out->fd, (off_t)header->len) < 0 || fchmod(out->fd, 0600) < 0) {
		/* It will hold SQL. The umask may have taken bits, an older file may have more. */
		ws_out_fail(out, errno, WS_OUT_CREATE, err);
	} else {
		out->bytes = header->len;
		rc = 0;
	}
	ws_buf_deinit(&old);
	return rc;
}

int ws_out_begin(struct ws_out *out, const struct ws_buf *header, struct ws_error *err)
{
	int errnum = 0;

	if (out->truncatable)
		return replace_file(out, header, err);
	return ws_out_write(out, header, &errnum) ? ws_out_fail(out, errnum, WS_OUT_WRITE, err) : 0;
}

int ws_out_sync(struct ws_out *out, struct ws_error *err)
{
	/* Devices and pipes have nothing to sync. */
	if (fdatasync(out->fd) < 0 && errno != EINVAL && errno != EROFS)
		return ws_out_fail(out, errno, WS_OUT_WRITE, err);
	return 0;
}

int ws_out_close(struct ws_out *out, struct ws_error *err)
{
	int fd = out->fd;

	out->fd = -1;
	/* Devices and pipes have nothing to sync. */
	if (fsync(fd) < 0 && errno != EINVAL && errno != EROFS) {
		ws_out_fail(out, errno, WS_OUT_WRITE, err);
		close(fd);
		return -1;
	}
	return close(fd) < 0 ? ws_out_fail(out, errno, WS_OUT_WRITE, err) : 0;
}

void ws_out_deinit(struct ws_out *out)
{
	if (out->fd >= 0)
		close(out->fd);
	free(out->path);
	*out = (struct ws_out){ .fd = -1 };
}
