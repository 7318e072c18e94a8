/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/plant.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/util.h"
#include "probe/aside.h"
#include "probe/kernel.h"

void ws_plant_init(struct ws_plant *plant, enum ws_attach_method method, int exe_fd)
{
	size_t i;

	*plant = (struct ws_plant){ .method = method };
	snprintf(plant->path, sizeof(plant->path), "/proc/self/fd/%d", exe_fd);
	for (i = 0; i < WS_PLANT_GROUPS; i++)
		plant->links[i] = -1;
}

int ws_plant_add(struct ws_plant *plant, struct bpf_program *prog, enum ws_plant_group group,
		 enum ws_site site, uint64_t offset)
{
	struct ws_plant_site *sites =
		reallocarray(plant->sites, plant->count + 1, sizeof(*plant->sites));

	if (!sites)
		return -1;
	plant->sites = sites;
	sites[plant->count++] = (struct ws_plant_site){
		.prog = prog, .group = group, .site = site, .offset = offset
	};
	return 0;
}

static int plant_error(struct ws_error *err, int errnum, const char *where)
{
	ws_error_errno(err, errnum, "cannot plant the probes", where);
	return ws_error_fix(err, errnum == EPERM || errnum == EACCES
					 ? "run as root, or see walscope doctor"
					 : "see walscope doctor");
}

static int attach_group(struct ws_plant *plant, enum ws_plant_group group, struct ws_error *err)
{
	uint64_t offsets[WS_SITE_COUNT], cookies[WS_SITE_COUNT];
	struct bpf_program *prog = NULL;
	uint32_t n = 0;
	size_t i;
	int fd;

	for (i = 0; i < plant->count && n < WS_SITE_COUNT; i++) {
		if (plant->sites[i].group != group)
			continue;
		prog = plant->sites[i].prog;
		offsets[n] = plant->sites[i].offset;
		cookies[n++] = plant->sites[i].site;
	}
	if (!n)
		return 0;
	fd = ws_kernel_link_uprobes(bpf_program__fd(prog), plant->path, offsets, cookies, n);
	if (fd < 0)
		return plant_error(err, -fd, bpf_program__name(prog));
	plant->links[group] = fd;
	return 0;
}

/* The start of sessions is the first row of the catalogue: backwards, it comes last. */
static int attach_perf(struct ws_plant *plant, enum ws_plant_group group, struct ws_error *err)
{
	size_t i;

	for (i = plant->count; i-- > 0;) {
		struct ws_plant_site *s = &plant->sites[i];

		if (s->group != group)
			continue;
		s->link = bpf_program__attach_uprobe(s->prog, false, -1, plant->path, s->offset);
		if (!s->link)
			return plant_error(err, errno, bpf_program__name(s->prog));
	}
	return 0;
}

static int detach(void *arg);

struct attaching {
	struct ws_plant *plant;
	struct ws_error *err;
};

static int attach(void *arg)
{
	const struct attaching *a = arg;
	struct ws_plant *plant = a->plant;
	struct ws_error *err = a->err;
	int ret = 0, group;

	for (group = 0; ret == 0 && group < WS_PLANT_GROUPS; group++)
		ret = plant->method == WS_ATTACH_PERF ? attach_perf(plant, group, err)
						      : attach_group(plant, group, err);
	if (ret < 0)
		detach(plant);
	return ret;
}

int ws_plant_attach(struct ws_plant *plant, struct ws_error *err)
{
	struct attaching attaching = { .plant = plant, .err = err };

	/* Stands if the process that is to plant them comes to its end before. */
	ws_error_set(err, "cannot plant the probes", NULL, "planting was killed");
	return ws_aside(attach, &attaching);
}

static int detach(void *arg)
{
	struct ws_plant *plant = arg;
	size_t i, site;

	/* The start of sessions first: see enum ws_plant_group. Perf events one after the other:
	 * the kernel takes them off under one lock, threads gained a tenth. */
	for (i = WS_PLANT_GROUPS; i-- > 0;) {
		if (plant->links[i] >= 0)
			close(plant->links[i]);
		plant->links[i] = -1;
		for (site = 0; site < plant->count; site++) {
			if (plant->sites[site].group != i)
				continue;
			bpf_link__destroy(plant->sites[site].link);
			plant->sites[site].link = NULL;
		}
	}
	return 0;
}

void ws_plant_remove(struct ws_plant *plant)
{
	ws_aside(detach, plant);
	free(plant->sites);
	plant->sites = NULL;
	plant->count = 0;
}
