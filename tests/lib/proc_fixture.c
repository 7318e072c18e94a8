/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc_fixture.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *fixture_path(const struct fixture *fx, const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", fx->dir, name);
	return path;
}

void fixture_put(const struct fixture *fx, const char *name, const void *data, size_t len)
{
	FILE *f = fopen(fixture_path(fx, name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

void fixture_put_text(const struct fixture *fx, const char *name, const char *text)
{
	fixture_put(fx, name, text, strlen(text));
}

void fixture_put_dir(const struct fixture *fx, const char *name)
{
	if (mkdir(fixture_path(fx, name), 0755) && errno != EEXIST)
		fail_msg("mkdir %s: %s", name, strerror(errno));
}

/* A target without a slash in front lies in the fixture. */
void fixture_put_link(const struct fixture *fx, const char *name, const char *target)
{
	const char *to = target[0] == '/' ? target : fixture_path(fx, target);

	assert_int_equal(symlink(to, fixture_path(fx, name)), 0);
}

void fixture_put_process(const struct fixture *fx, const struct shape *shape)
{
	char name[64], text[1024];

	snprintf(name, sizeof(name), "proc/%u", shape->pid);
	fixture_put_dir(fx, name);
	snprintf(name, sizeof(name), "proc/%u/stat", shape->pid);
	snprintf(text, sizeof(text),
		 "%u (%s) S %u 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 %u 22 33 184467 1 1 0\n",
		 shape->pid, shape->comm ? shape->comm : "postgres", shape->parent,
		 1000 + shape->pid);
	fixture_put_text(fx, name, text);
	snprintf(name, sizeof(name), "proc/%u/status", shape->pid);
	snprintf(text, sizeof(text),
		 "Name:\tpostgres\nUmask:\t0077\nPid:\t%u\n%s%s%sGroups:\t1 2\n", shape->pid,
		 shape->ns_pids ? "NSpid:\t" : "", shape->ns_pids ? shape->ns_pids : "",
		 shape->ns_pids ? "\n" : "");
	fixture_put_text(fx, name, text);
	snprintf(name, sizeof(name), "proc/%u/exe", shape->pid);
	if (shape->exe)
		fixture_put_link(fx, name, shape->exe);
	snprintf(name, sizeof(name), "proc/%u/cwd", shape->pid);
	if (shape->cwd)
		fixture_put_link(fx, name, shape->cwd);
	snprintf(name, sizeof(name), "proc/%u/maps", shape->pid);
	if (shape->maps)
		fixture_put_text(fx, name, shape->maps);
}

void fixture_put_datadir(const struct fixture *fx, const char *name, const char *pid_file)
{
	char file[128];

	fixture_put_dir(fx, name);
	snprintf(file, sizeof(file), "%s/postmaster.pid", name);
	fixture_put_text(fx, file, pid_file);
}

int fixture_setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	strcpy(fx->dir, "/tmp/walscope-proc-XXXXXX");
	if (!mkdtemp(fx->dir))
		return -1;
	chmod(fx->dir, 0755);
	snprintf(fx->root, sizeof(fx->root), "%s/proc", fx->dir);
	fx->proc.root = fx->root;
	fixture_put_dir(fx, "proc");
	fixture_put_dir(fx, "proc/self");
	fixture_put_text(fx, "proc/uptime", "1 1\n");
	*state = fx;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int fixture_teardown(void **state)
{
	struct fixture *fx = *state;

	ws_server_list_deinit(&fx->list);
	nftw(fx->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(fx);
	return 0;
}

void fixture_scan(struct fixture *fx)
{
	assert_int_equal(ws_proc_servers(&fx->proc, &fx->list, &fx->denied, &fx->err), 0);
}
