/* SPDX-License-Identifier: BSD-2-Clause */
/* Seeds for the targets that read walscope's own formats: `seeds TARGET DIR`. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/random_rec.h"
#include "../lib/recording.h"
#include "../lib/sample.h"
#include "base/text.h"

static void write_seed(const char *dir, const char *name, int n, const void *data, size_t size)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s-%d", dir, name, n);
	f = fopen(path, "we");
	if (!f || fwrite(data, 1, size, f) != size || fclose(f)) {
		perror(path);
		exit(1);
	}
}

static int append(void *arg, const struct ws_rec *rec)
{
	static const char zeros[8];
	struct ws_buf *buf = arg;

	return ws_buf_add(buf, rec, rec->size) || ws_buf_add(buf, zeros, -buf->len % 8) ? -1 : 0;
}

/* Each session of the sample alone, too: small inputs are changed to better effect. */
static void seed_events(const char *dir)
{
	struct random_recs random = { .state = 1, .time_ns = 1000 };
	struct ws_buf buf = { 0 };

	for (int flags = 0; flags < 16; flags++) {
		ws_buf_clear(&buf);
		ws_sample_send((struct ws_sink){ .fn = append, .arg = &buf }, flags);
		write_seed(dir, "sample", flags, buf.data, buf.len);
	}
	for (int kind = 1; kind < WS_KIND_MAX; kind++) {
		union random_rec rec;

		ws_buf_clear(&buf);
		for (int i = 0; i < 4; i++) {
			random_rec_of(&random, &rec, (uint16_t)kind);
			append(&buf, &rec.h);
		}
		write_seed(dir, "kind", kind, buf.data, buf.len);
	}
	ws_buf_deinit(&buf);
}

static void seed_recordings(const char *dir)
{
	struct recording recording;
	char path[96], *bytes;
	size_t size;

	for (int flags = 0; flags < 16; flags++) {
		ws_sample_write(path, flags);
		bytes = file_bytes(path, &size);
		write_seed(dir, "sample", flags, bytes, size);
		free(bytes);
		unlink(path);
	}
	for (int n = 1; n < 5; n++) {
		recording_make(&recording, (uint64_t)n, (size_t)n, 10);
		write_seed(dir, "random", n, recording.bytes, recording.size);
		recording_deinit(&recording);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "events") == 0)
		seed_events(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "recording") == 0)
		seed_recordings(argv[2]);
	else
		return 2;
	return 0;
}
