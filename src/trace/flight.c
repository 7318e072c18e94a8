/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/flight.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "trace/checkpoint.h"
#include "trace/out.h"
#include "trace/segments.h"
#include "trace/writer.h"

#define IDLE_NS 10000000000ULL
#define SYNC_NS 5000000000ULL
#define LOOK_NS                                                                           \
	1000000000ULL /* how often ages are looked at, and a failed switch is tried again \
		       */
#define SEGMENT_MIN   (64 * 1024)
#define SEGMENT_MAX   (64 * 1024 * 1024)
#define SEGMENT_SHARE 16
#define AGE_SHARE     8
#define TEXT_SHARE    64   /* of the bound, for the texts of what a segment repeats */
#define FILES_MAX     1000 /* after many restarts they are small */

/* A segment that is complete. */
struct segment {
	uint64_t number, bytes;
	/* When it was last written to: of this run by the clock that nobody sets, else (0) by that
	 * of the file system. */
	uint64_t end_ns;
	int64_t end_wall_ns;
};

struct ws_flight {
	struct ws_flight_options options;
	char *dir;
	int dir_fd, lock_fd;
	struct ws_trace_info info;
	struct ws_writer *writer;
	struct ws_checkpoint *checkpoint;
	struct segment *segments; /* by number */
	size_t count, cap;
	uint64_t bytes;		 /* of those */
	uint64_t number;	 /* of the one that is written */
	uint64_t other_bytes;	 /* of the one that is being left, or begun */
	uint64_t begun_ns;	 /* when it was, monotonic */
	uint64_t repeated_bytes; /* of what it repeats */
	uint64_t last_ns;	 /* of the last record */
	uint64_t synced_ns, synced_bytes, looked_ns;
	uint64_t retry_ns; /* not before then another segment is tried to be begun */
	bool repeat;	   /* there was no room for what it should repeat */
};

static char *name_of(uint64_t number, const char *suffix, char out[64])
{
	snprintf(out, 64, WS_SEGMENT_PREFIX "%010" PRIu64 "%s", number, suffix);
	return out;
}

static int path_of(const struct ws_flight *f, uint64_t number, const char *suffix,
		   struct ws_buf *path, struct ws_error *err)
{
	char name[64];

	ws_buf_clear(path);
	if (ws_buf_addf(path, "%s/%s", f->dir, name_of(number, suffix, name)))
		return ws_error_errno(err, ENOMEM, WS_OUT_WRITE, f->dir);
	return 0;
}

/* -- what is there already */

static int by_number(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int add_segment(struct ws_flight *f, uint64_t number, const struct stat *st)
{
	struct segment *s = ws_array_grow(&f->segments, &f->count, &f->cap, sizeof(*s));

	if (!s)
		return -1;
	s->number = number;
	s->bytes = (uint64_t)st->st_size;
	s->end_wall_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	f->bytes += s->bytes;
	return 0;
}

static int look_around(struct ws_flight *f, struct ws_error *err)
{
	int fd = openat(f->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;
	uint64_t number;
	int rc = 0;

	if (!dir) {
		ws_error_errno(err, errno, WS_OUT_CREATE, f->dir);
		ws_cleanup_close(&fd);
		return -1;
	}
	while (rc == 0 && (entry = readdir(dir))) {
		if (ws_segment_number(entry->d_name, WS_SEGMENT_UNNAMED, &number))
			unlinkat(f->dir_fd, entry->d_name, 0);
		else if (ws_segment_number(entry->d_name, WS_SEGMENT_SUFFIX, &number) &&
			 fstatat(f->dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			 add_segment(f, number, &st))
			rc = ws_error_errno(err, ENOMEM, WS_OUT_CREATE, f->dir);
	}
	closedir(dir);
	if (f->count)
		qsort(f->segments, f->count, sizeof(*f->segments), by_number);
	f->number = f->count ? f->segments[f->count - 1].number : 0;
	return rc;
}

static int refuse_second(const struct ws_flight *f, struct ws_error *err)
{
	char text[32] = "";
	long got = ws_read_at(f->lock_fd, text, sizeof(text) - 1, 0);
	int pid = got > 0 ? atoi(text) : 0;

	if (pid > 0)
		ws_error_set(err, WS_OUT_CREATE, f->dir,
			     "another walscope, process %d, records into it", pid);
	else
		ws_error_set(err, WS_OUT_CREATE, f->dir, "another walscope records into it");
	return ws_error_fix(err, "end that one, or name another directory");
}

static int lock(struct ws_flight *f, struct ws_error *err)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char text[32];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	f->lock_fd = openat(f->dir_fd, WS_SEGMENT_LOCK,
			    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (f->lock_fd < 0)
		return ws_error_errno(err, errno, WS_OUT_CREATE, f->dir);
	/* One that readers can ask for without taking it. A file system without locks is no reason
	 * not to record. */
	if (fcntl(f->lock_fd, F_OFD_SETLK, &whole) && (errno == EAGAIN || errno == EACCES))
		return refuse_second(f, err);
	/* The disk may be full, and whom it belongs to the lock says all the same. */
	if (ftruncate(f->lock_fd, 0) == 0)
		(void)!pwrite(f->lock_fd, text, (size_t)len, 0);
	return 0;
}

static void free_flight(struct ws_flight *f)
{
	ws_checkpoint_free(f->checkpoint);
	ws_cleanup_close(&f->dir_fd);
	ws_cleanup_close(&f->lock_fd);
	free(f->segments);
	free(f->dir);
	free(f);
}

int ws_flight_new(struct ws_flight **flight, const struct ws_flight_options *options,
		  struct ws_error *err)
{
	struct ws_flight *f = calloc(1, sizeof(*f));

	*flight = NULL;
	if (!f)
		return ws_error_errno(err, ENOMEM, WS_OUT_CREATE, options->dir);
	f->dir_fd = f->lock_fd = -1;
	f->options = *options;
	f->dir = strdup(options->dir);
	f->checkpoint = ws_checkpoint_new();
	if (!f->dir || !f->checkpoint) {
		ws_error_errno(err, ENOMEM, WS_OUT_CREATE, options->dir);
		goto fail;
	}
	/* It will hold SQL. */
	if (mkdir(f->dir, 0700) && errno != EEXIST) {
		ws_error_errno(err, errno, WS_OUT_CREATE, f->dir);
		goto fail;
	}
	f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir_fd < 0) {
		ws_error_errno(err, errno, WS_OUT_CREATE, f->dir);
		goto fail;
	}
	if (lock(f, err) || look_around(f, err))
		goto fail;
	*flight = f;
	return 0;
fail:
	free_flight(f);
	return -1;
}

/* -- bounds */

static int drop_oldest(struct ws_flight *f)
{
	char name[64];

	if (!f->count)
		return -1;
	name_of(f->segments[0].number, WS_SEGMENT_SUFFIX, name);
	if (unlinkat(f->dir_fd, name, 0) && errno != ENOENT)
		return -1;
	f->bytes -= f->segments[0].bytes;
	memmove(&f->segments[0], &f->segments[1], (f->count - 1) * sizeof(*f->segments));
	f->count--;
	return 0;
}

/* Before the writer writes: the bound holds at any time. */
static int make_room(void *arg, uint64_t bytes)
{
	struct ws_flight *f = arg;
	uint64_t now = f->other_bytes + (f->writer ? ws_writer_bytes(f->writer) : 0) + bytes;

	while (f->bytes + now > f->options.size)
		if (drop_oldest(f))
			return ENOSPC;
	return 0;
}

static bool is_aged(const struct ws_flight *f, const struct segment *s, uint64_t now_ns)
{
	if (s->end_ns)
		return now_ns > s->end_ns && now_ns - s->end_ns > f->options.age_ns;
	return ws_clock_wall_ns() - s->end_wall_ns > (int64_t)f->options.age_ns;
}

static void drop_aged(struct ws_flight *f, uint64_t now_ns)
{
	while (f->count >= FILES_MAX && drop_oldest(f) == 0)
		;
	if (!f->options.age_ns)
		return;
	while (f->count && is_aged(f, &f->segments[0], now_ns))
		if (drop_oldest(f))
			return;
}

/* -- segments */

static int give_name(struct ws_flight *f, struct ws_error *err)
{
	struct ws_buf path = { 0 };
	char from[64], to[64];
	int rc = -1;

	name_of(f->number, WS_SEGMENT_UNNAMED, from);
	name_of(f->number, WS_SEGMENT_SUFFIX, to);
	/* What the name stands for is on the disk before the name is. */
	if (ws_writer_sync(f->writer, err))
		return -1;
	if (renameat(f->dir_fd, from, f->dir_fd, to) || (fsync(f->dir_fd) && errno != EINVAL))
		return ws_error_errno(err, errno, WS_OUT_WRITE, f->dir);
	if (path_of(f, f->number, WS_SEGMENT_SUFFIX, &path, err) == 0)
		rc = ws_writer_renamed(f->writer, path.data, err);
	ws_buf_deinit(&path);
	return rc;
}

static int repeat_record(void *arg, const struct ws_rec *rec)
{
	struct ws_flight *f = arg;

	return ws_writer_add(f->writer, rec, NULL);
}

static int repeat(struct ws_flight *f, struct ws_error *err)
{
	uint64_t before = ws_writer_bytes(f->writer);
	int rc = ws_writer_repeats(f->writer, true, err);

	if (rc < 0)
		return -1;
	if (ws_checkpoint_tell(f->checkpoint, f->last_ns, f->options.size / TEXT_SHARE,
			       repeat_record, f))
		return ws_writer_flush(f->writer, err)
			       ? -1
			       : ws_error_errno(err, EIO, WS_OUT_WRITE, f->dir);
	rc = ws_writer_repeats(f->writer, false, err);
	f->repeat = rc > 0;
	f->repeated_bytes = ws_writer_bytes(f->writer) - before;
	return rc < 0 ? -1 : 0;
}

int ws_flight_begin(struct ws_flight *f, const struct ws_trace_info *info, struct ws_error *err)
{
	struct ws_buf path = { 0 };
	int rc;

	f->info = *info;
	if (getrandom(&f->info.run, sizeof(f->info.run), GRND_NONBLOCK) != sizeof(f->info.run) ||
	    !f->info.run)
		f->info.run = (uint64_t)ws_clock_wall_ns() << 1 | 1;
	f->info.segment = ++f->number;
	drop_aged(f, info->start_mono_ns);
	if (make_room(f, SEGMENT_MIN) || path_of(f, f->number, WS_SEGMENT_UNNAMED, &path, err)) {
		ws_buf_deinit(&path);
		return ws_error_errno(err, ENOSPC, WS_OUT_CREATE, f->dir);
	}
	rc = ws_writer_new(&f->writer, path.data, &f->info, err);
	ws_buf_deinit(&path);
	if (rc)
		return -1;
	ws_writer_set_log(f->writer, f->options.log, f->dir);
	ws_writer_set_room(f->writer, (struct ws_room){ .fn = make_room, .arg = f });
	ws_writer_set_idle(f->writer, IDLE_NS);
	f->begun_ns = f->synced_ns = f->looked_ns = info->start_mono_ns;
	return give_name(f, err);
}

static uint64_t segment_bytes(const struct ws_flight *f)
{
	uint64_t bytes = f->options.size / SEGMENT_SHARE;

	if (bytes < SEGMENT_MIN)
		bytes = SEGMENT_MIN;
	if (bytes > SEGMENT_MAX)
		bytes = SEGMENT_MAX;
	return bytes > 4 * f->repeated_bytes ? bytes : 4 * f->repeated_bytes;
}

static bool is_due(const struct ws_flight *f, uint64_t now_ns)
{
	if (!ws_writer_is_filling(f->writer) || now_ns < f->retry_ns)
		return false;
	if (ws_writer_bytes(f->writer) >= segment_bytes(f))
		return true;
	return f->options.age_ns && now_ns - f->begun_ns >= f->options.age_ns / AGE_SHARE;
}

static int end_segment(struct ws_flight *f, uint64_t number, uint64_t bytes)
{
	struct segment *s = ws_array_grow(&f->segments, &f->count, &f->cap, sizeof(*s));

	if (!s)
		return -1;
	s->number = number;
	s->bytes = bytes;
	s->end_ns = f->last_ns;
	f->bytes += bytes;
	return 0;
}

/* Goes on in another segment, if there is room for one. */
static int rotate(struct ws_flight *f, uint64_t now_ns, struct ws_error *err)
{
	struct ws_trace_info info = f->info;
	struct ws_buf path = { 0 };
	char name[64];
	struct stat st;
	int rc;

	info.segment = f->number + 1;
	info.start_wall_ns = ws_clock_wall_ns();
	info.start_mono_ns = now_ns;
	if (path_of(f, info.segment, WS_SEGMENT_UNNAMED, &path, err))
		return -1;
	f->other_bytes = SEGMENT_MIN / 4; /* its header */
	rc = ws_writer_switch(f->writer, path.data, &info, err);
	f->other_bytes = 0;
	ws_buf_deinit(&path);
	if (rc < 0)
		return -1;
	if (rc > 0) { /* no room: this one goes on, and another try is made later */
		f->retry_ns = now_ns + LOOK_NS;
		return 0;
	}
	/* Its last block is among its bytes by now. */
	name_of(f->number, WS_SEGMENT_SUFFIX, name);
	if (fstatat(f->dir_fd, name, &st, 0))
		st.st_size = 0; /* somebody removed it */
	if (end_segment(f, f->number, (uint64_t)st.st_size))
		return ws_error_errno(err, ENOMEM, WS_OUT_WRITE, f->dir);
	f->number = info.segment;
	f->begun_ns = f->synced_ns = now_ns;
	f->synced_bytes = 0;
	return repeat(f, err) || give_name(f, err) ? -1 : 0;
}

int ws_flight_add(struct ws_flight *f, const struct ws_rec *rec, struct ws_error *err)
{
	if (ws_writer_add(f->writer, rec, err))
		return -1;
	if (ws_checkpoint_feed(f->checkpoint, rec))
		return ws_error_errno(err, ENOMEM, WS_OUT_WRITE, f->dir);
	if (rec->time_ns > f->last_ns)
		f->last_ns = rec->time_ns;
	/* Nothing follows a stop. */
	return rec->kind != WS_KIND_STOP && is_due(f, f->last_ns) ? rotate(f, f->last_ns, err) : 0;
}

int ws_flight_tick(struct ws_flight *f, uint64_t now_ns, struct ws_error *err)
{
	if (ws_writer_tick(f->writer, now_ns, err))
		return -1;
	if (now_ns >= f->looked_ns + LOOK_NS) {
		f->looked_ns = now_ns;
		drop_aged(f, now_ns);
		if (f->repeat && repeat(f, err))
			return -1;
	}
	if (now_ns < f->synced_ns + SYNC_NS || ws_writer_bytes(f->writer) == f->synced_bytes)
		return 0;
	f->synced_ns = now_ns;
	f->synced_bytes = ws_writer_bytes(f->writer);
	return ws_writer_sync(f->writer, err);
}

int ws_flight_end(struct ws_flight *f, struct ws_error *err)
{
	return f->writer ? ws_writer_end(f->writer, err) : 0;
}

uint64_t ws_flight_missing(const struct ws_flight *f)
{
	return f->writer ? ws_writer_missing(f->writer) : 0;
}

uint64_t ws_flight_bytes(const struct ws_flight *f, size_t *segments)
{
	*segments = f->count + (f->writer != NULL);
	return f->bytes + (f->writer ? ws_writer_bytes(f->writer) : 0);
}

int ws_flight_close(struct ws_flight *f, struct ws_error *err)
{
	int rc;

	if (!f)
		return 0;
	rc = ws_writer_close(f->writer, err);
	free_flight(f);
	return rc;
}
