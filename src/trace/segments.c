/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/segments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "trace/header.h"

#define WHAT	  "cannot read recording"
#define FILES_FEW 200 /* more may need a higher limit of open files */

bool ws_segment_number(const char *name, const char *suffix, uint64_t *number)
{
	size_t prefix = strlen(WS_SEGMENT_PREFIX), digits;

	if (strncmp(name, WS_SEGMENT_PREFIX, prefix) != 0)
		return false;
	digits = strspn(name + prefix, "0123456789");
	if (digits < 10 || digits > 19 || strcmp(name + prefix + digits, suffix) != 0)
		return false;
	*number = strtoull(name + prefix, NULL, 10);
	return true;
}

static bool is_recording(const char *name)
{
	size_t len = strlen(name), suffix = strlen(WS_SEGMENT_SUFFIX);

	return name[0] != '.' && len > suffix &&
	       strcmp(name + len - suffix, WS_SEGMENT_SUFFIX) == 0;
}

static void free_names(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

/* Names of the files that count. -1: out of memory. */
static int list_names(DIR *dir, char ***names, size_t *count)
{
	bool only_segments = false;
	struct dirent *entry;
	size_t cap = 0, kept = 0;
	uint64_t number;

	while ((entry = readdir(dir))) {
		char **name;

		if (!is_recording(entry->d_name))
			continue;
		only_segments |= ws_segment_number(entry->d_name, WS_SEGMENT_SUFFIX, &number);
		name = ws_array_grow(names, count, &cap, sizeof(*name));
		if (name)
			*name = strdup(entry->d_name);
		if (!name || !*name)
			return -1;
	}
	for (size_t i = 0; i < *count; i++) {
		if (only_segments && !ws_segment_number((*names)[i], WS_SEGMENT_SUFFIX, &number))
			free((*names)[i]);
		else
			(*names)[kept++] = (*names)[i];
	}
	*count = kept;
	return 0;
}

static bool is_known(const struct ws_segments *s, const struct ws_segment_file *file)
{
	for (size_t i = 0; i < s->count; i++)
		if (&s->items[i] != file && s->items[i].file_id == file->file_id)
			return true;
	return false;
}

static void close_file(struct ws_segment_file *file)
{
	ws_cleanup_close(&file->fd);
	free(file->path);
	file->path = NULL;
}

/* Takes `path`; 1: it is there, 0: it is gone (or not to be read, *err says why), -1. */
static int open_file(struct ws_segment_file *file, char *path, struct ws_error *err)
{
	struct ws_columns columns = { 0 };
	struct stat st;
	int rc;

	*err = (struct ws_error){ 0 };
	*file = (struct ws_segment_file){ .fd = -1, .path = path };
	if (!path)
		return ws_error_errno(err, ENOMEM, WHAT, NULL);
	/* O_NONBLOCK: a FIFO is refused below, not waited for. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file->fd < 0 && errno == ENOENT)
		return 0;
	if (file->fd < 0 || fstat(file->fd, &st) < 0)
		return ws_error_errno(err, errno, WHAT, path);
	if (!S_ISREG(st.st_mode)) {
		ws_error_set(err, WHAT, path, "it is not a regular file");
		return 0;
	}
	file->limit = (uint64_t)st.st_size;
	rc = ws_header_read(file->fd, path, &file->info, &file->file_id, &columns, &file->repair,
			    err);
	ws_columns_deinit(&columns);
	return rc >= 0;
}

/* One file of the directory. */
static int add_file(struct ws_segments *s, const char *dir, const char *name, struct ws_error *err)
{
	struct ws_segment_file *file =
		ws_array_grow(&s->items, &s->count, &s->cap, sizeof(*s->items));
	struct ws_buf path = { 0 };
	struct ws_error why;
	int rc;

	if (!file)
		return ws_error_errno(err, ENOMEM, WHAT, dir);
	if (ws_buf_addf(&path, "%s/%s", dir, name))
		ws_buf_deinit(&path);
	rc = open_file(file, path.data, &why);
	if (rc > 0 && !is_known(s, file))
		return 0;
	close_file(file);
	s->count--;
	if (rc < 0 && err)
		*err = why;
	if (rc < 0)
		return -1;
	if (rc == 0 && why.what[0] && !s->unreadable++)
		s->why = why;
	return 0;
}

static int by_order(const void *a, const void *b)
{
	const struct ws_trace_info *x = &((const struct ws_segment_file *)a)->info;
	const struct ws_trace_info *y = &((const struct ws_segment_file *)b)->info;

	if (x->run && y->run)
		return x->segment < y->segment ? -1 : x->segment > y->segment;
	return x->start_wall_ns < y->start_wall_ns ? -1 : x->start_wall_ns > y->start_wall_ns;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Each segment is held open, so that it can be read also when it has been removed. */
static void raise_limit(size_t files)
{
	struct rlimit limit;

	if (files < FILES_FEW || getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Whoever records into the directory holds its lock. */
static bool is_locked(const char *dir)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	ws_autoclose int fd = -1;
	struct ws_buf path = { 0 };

	if (ws_buf_addf(&path, "%s/" WS_SEGMENT_LOCK, dir) == 0)
		fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ws_buf_deinit(&path);
	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

static int open_directory(struct ws_segments *s, const char *path, struct ws_error *err)
{
	DIR *dir = opendir(path);
	char **names = NULL;
	size_t count = 0;
	int rc = 0;

	s->directory = true;
	if (!dir)
		return ws_error_errno(err, errno, WHAT, path);
	if (list_names(dir, &names, &count))
		rc = ws_error_errno(err, ENOMEM, WHAT, path);
	closedir(dir);
	/* Before the files are opened: one that ends meanwhile is seen to have ended. */
	s->written_to = is_locked(path);
	raise_limit(count);
	if (count)
		qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = add_file(s, path, names[i], err);
	free_names(names, count);
	if (rc)
		return -1;
	if (s->count > 1)
		qsort(s->items, s->count, sizeof(*s->items), by_order);
	if (s->count)
		return 0;
	if (!s->unreadable)
		return ws_error_set(err, WHAT, path,
				    "it is a directory without recordings (*" WS_SEGMENT_SUFFIX
				    ")");
	if (err)
		*err = s->why;
	return -1;
}

int ws_segments_open(struct ws_segments *s, const char *path, struct ws_error *err)
{
	struct ws_error why;
	struct stat st;
	int rc;

	*s = (struct ws_segments){ 0 };
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return open_directory(s, path, err);
	s->items = calloc(1, sizeof(*s->items));
	if (!s->items)
		return ws_error_errno(err, ENOMEM, WHAT, path);
	s->count = 1;
	rc = open_file(s->items, strdup(path), &why);
	if (rc == 0 && !why.what[0])
		ws_error_errno(&why, ENOENT, WHAT, path);
	s->items->limit = UINT64_MAX;
	if (rc > 0)
		return 0;
	if (err)
		*err = why;
	return -1;
}

void ws_segments_deinit(struct ws_segments *s)
{
	for (size_t i = 0; i < s->count; i++)
		close_file(&s->items[i]);
	free(s->items);
	*s = (struct ws_segments){ 0 };
}
