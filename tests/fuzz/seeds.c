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

/* Lines of events, and what servers log. */
static void seed_imports(const char *dir)
{
	static const char *const logs[] = {
		"2026-03-01 12:00:00.001 "
		"UTC,,,4001,\"192.0.2.7:54321\",69a42bc0.fa1,1,\"\",2026-03-01 "
		"12:00:00 UTC,,0,LOG,00000,\"connection received: host=192.0.2.7 "
		"port=54321\",,,,,,,,\"\",\"\",\"not initialized\",,0\n"
		"2026-03-01 12:00:00.003 "
		"CET,\"r\",\"d\",4001,\"192.0.2.7:54321\",69a42bc0.fa1,2,\"\","
		"2026-03-01 12:00:00 UTC,,0,LOG,00000,\"received replication command: SHOW "
		"\"\"x\"\"\n\",,,,,,,,\"exec, w.c:1\",\"s1\",\"walsender\",,0\n"
		"2026-03-01 12:00:00.004 "
		"+03,\"r\",\"d\",4001,\"192.0.2.7:54321\",69a42bc0.fa1,3,\"\","
		"2026-03-01 12:00:00 UTC,,0,FATAL,57P01,\"terminating\",,,,,,\"SHOW "
		"\"\"x\"\"\n\",,\"f, w.c:1\",\"s1\",\"walsender\",,0\n"
		"2026-03-01 12:00:00.009 UTC,,,4000,,69a42bc0.fa0,7,,2026-03-01 12:00:00 "
		"UTC,,0,LOG,"
		"00000,\"server process (PID 4001) was terminated by signal 9: "
		"Killed\",,,,,,,,,\"\",\"postmaster\",,0\n",
		"{\"timestamp\":\"2026-03-01 12:00:00.003 UTC\",\"user\":\"repl\",\"pid\":4001,"
		"\"remote_host\":\"[local]\",\"session_id\":\"69a42bc0.fa1\",\"line_num\":3,"
		"\"error_severity\":\"LOG\",\"message\":\"received replication command: "
		"IDENTIFY_SYSTEM\",\"application_name\":\"s1\",\"backend_type\":\"walsender\"}\n"
		"{\"timestamp\":\"2026-03-01 12:00:00.004 "
		"UTC\",\"pid\":1,\"session_id\":\"69a42bc0.1\","
		"\"error_severity\":\"LOG\",\"message\":\"received fast shutdown request\","
		"\"backend_type\":\"postmaster\"}\n",
	};
	char path[96];

	for (int flags = 0; flags < 16; flags++) {
		const char *args[] = { "trace", "--json", path, NULL };
		struct ws_cli_run run = { 0 };

		ws_sample_write(path, flags);
		ws_cli_run(&run, args);
		write_seed(dir, "sample", flags, run.out, strlen(run.out));
		ws_cli_run_deinit(&run);
		unlink(path);
	}
	for (size_t n = 0; n < sizeof(logs) / sizeof(logs[0]); n++)
		write_seed(dir, "log", (int)n, logs[n], strlen(logs[n]));
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "events") == 0)
		seed_events(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "recording") == 0)
		seed_recordings(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "import") == 0)
		seed_imports(argv[2]);
	else
		return 2;
	return 0;
}
